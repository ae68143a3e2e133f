/* Ends that are not a close: free and release from everywhere, exit, fork. */
#include "harness.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void free_in_callback(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_MESSAGE)
        lw_client_free(client);
}

static void release_in_callback(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_MESSAGE)
        lw_client_release(client);
}

/* Ends a client in its own callback, while more messages are behind that one. */
static void ends_in_callback(void (*end)(struct tape *, lw_client *, const lw_event *))
{
    struct tape tape;

    tape_init(&tape);
    tape.also = end;
    start(&tape, lw_config_new(url(server.ws, "/push?count=100&size=10")));
    tape_wait_freed(&tape);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_CLOSED), 0);
    tape_destroy(&tape);
}

static void a_callback_may_free_its_client(void)
{
    ends_in_callback(free_in_callback);
}

static void a_callback_may_release_its_client(void)
{
    ends_in_callback(release_in_callback);
}

static void free_on_closed(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_CLOSED)
        lw_client_free(client);
}

static void the_last_callback_may_free_its_client(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    tape.also = free_on_closed;
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    tape_wait_freed(&tape);
    tape_destroy(&tape);
}

static void free_ends_a_client_in_every_state(void)
{
    static const char *const paths[] = {"/echo", "/stall-handshake", "/http?status=503", "/stall",
                                        "/push?count=100000&size=100"};
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct tape tape;
        lw_client *client;

        tape_init(&tape);
        client = start(&tape, lw_config_new(url(server.ws, paths[i])));
        lw_client_free(client);
        CHECK_INT(tape.freed, 1);
        tape_destroy(&tape);
    }
}

/* A callback that stays in an event until it is told to go on. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered;
    bool open;
    bool left;
    long limit_ms;
};

static void gate_init(struct gate *gate, long limit_ms)
{
    memset(gate, 0, sizeof *gate);
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
    gate->limit_ms = limit_ms;
}

static void pass_gate(struct tape *tape, lw_client *client, const lw_event *event)
{
    struct gate *gate = (struct gate *)tape->extra;
    struct timespec due;
    bool late = false;

    if (event->kind != LW_EVENT_OPEN)
        return;
    deadline(&due, gate->limit_ms);
    pthread_mutex_lock(&gate->lock);
    gate->entered = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open && !late)
        late = pthread_cond_timedwait(&gate->changed, &gate->lock, &due) != 0;
    gate->left = true;
    pthread_mutex_unlock(&gate->lock);
    /* Whatever the others did meanwhile, the handle is valid here. */
    CHECK(lw_client_state(client) >= 0);
}

static void wait_entered(struct gate *gate)
{
    struct timespec due;
    bool late = false;

    deadline(&due, 1000L * limit_s());
    pthread_mutex_lock(&gate->lock);
    while (!gate->entered && !late)
        late = pthread_cond_timedwait(&gate->changed, &gate->lock, &due) != 0;
    CHECK(gate->entered);
    pthread_mutex_unlock(&gate->lock);
}

static void free_waits_for_a_callback_on_another_thread(void)
{
    struct gate gate;
    struct tape tape;
    lw_client *client;

    gate_init(&gate, 100); /* nobody opens it */
    tape_init(&tape);
    tape.also = pass_gate;
    tape.extra = &gate;
    client = start(&tape, lw_config_new(url(server.ws, "/echo")));
    wait_entered(&gate);
    lw_client_free(client);
    CHECK(gate.left);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

static void release_does_not_wait(void)
{
    struct gate gate;
    struct tape tape;
    lw_client *client;

    gate_init(&gate, 1000L * limit_s());
    tape_init(&tape);
    tape.also = pass_gate;
    tape.extra = &gate;
    client = start(&tape, lw_config_new(url(server.ws, "/push?count=10&size=10")));
    wait_entered(&gate);
    lw_client_release(client);
    pthread_mutex_lock(&gate.lock);
    CHECK(!gate.left);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    tape_wait_freed(&tape);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 0);
    tape_destroy(&tape);
}

/* The exit status of a child, or -1. */
static int status_of(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void a_program_may_end_with_an_open_client(void)
{
    pid_t child = fork();

    if (child == 0) {
        execl(program, program, "--leave-open", url(server.ws, "/echo"), (char *)NULL);
        _exit(127);
    }
    CHECK_INT(status_of(child), 0);
}

/* What the child of a fork does with the client of its parent, and without. */
static bool child_starts_anew(lw_client *inherited)
{
    const struct entry *message;
    struct tape tape;
    lw_client *client;
    bool held;

    held = CHECK_CODE(send_string(inherited, "from the child"), LW_EFORKED);
    held = CHECK_CODE(lw_client_ping(inherited, NULL, 0), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_close(inherited, 1000, NULL, 0), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_reconnect(inherited), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_network_changed(inherited), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_proceed(inherited, 1, NULL), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_refuse(inherited, 1, NULL, 0, true), LW_EFORKED) && held;
    held = CHECK_CODE(lw_client_decide(inherited, 1, true), LW_EFORKED) && held;
    lw_client_free(inherited);
    tape_init(&tape);
    client = start_open(&tape, "/echo");
    held = CHECK_CODE(send_string(client, "of my own"), LW_OK) && held;
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    held = message != NULL && strcmp(message->data, "of my own") == 0 && held;
    lw_client_free(client);
    return held;
}

static void a_forked_child_starts_anew(void)
{
    const struct entry *message;
    struct tape tape;
    lw_client *client;
    int result[2];
    pid_t child;
    char held = 'n';

    CHECK_INT(pipe(result), 0);
    tape_init(&tape);
    client = start_open(&tape, "/echo");
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm((unsigned)(3 * limit_s()));
        held = child_starts_anew(client) ? 'y' : 'n';
        fflush(stdout);
        /* Not by the exit status: leak checkers change it, for the threads of
         * the parent are gone here, with all that hung on their stacks. */
        _exit(write(result[1], &held, 1) == 1 ? 0 : 1);
    }
    close(result[1]);
    CHECK_INT(read(result[0], &held, 1), 1);
    CHECK_INT(held, 'y');
    CHECK(status_of(child) >= 0);
    close(result[0]);
    CHECK_CODE(send_string(client, "from the parent"), LW_OK);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (message != NULL)
        CHECK_TEXT(message->data, "from the parent");
    finish(&tape, client);
    tape_destroy(&tape);
}

static void after_a_shutdown_new_clients_start_anew(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_shutdown(1000u * (uint32_t)limit_s()), LW_OK);
    CHECK_CODE(send_string(client, "late"), LW_ECLOSED);
    lw_client_free(client);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    finish(&tape, client);
    tape_destroy(&tape);
    /* Nothing is left running for a leak checker to wonder about. */
    CHECK_CODE(lw_shutdown(1000u * (uint32_t)limit_s()), LW_OK);
}

void test_lifetime(void)
{
    RUN(a_callback_may_free_its_client);
    RUN(a_callback_may_release_its_client);
    RUN(the_last_callback_may_free_its_client);
    RUN(free_ends_a_client_in_every_state);
    RUN(free_waits_for_a_callback_on_another_thread);
    RUN(release_does_not_wait);
    RUN(a_program_may_end_with_an_open_client);
    RUN(a_forked_child_starts_anew);
    RUN(after_a_shutdown_new_clients_start_anew);
}
