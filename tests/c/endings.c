/* Ends at the worst moment: inside each callback, while a question has no answer, and in
 * each step of an attempt. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* How to end a client. */
enum end { CLOSE, FREE, RELEASE, ENDS };

static void end(lw_client *client, enum end how)
{
    switch (how) {
    case CLOSE:
        CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
        break;
    case FREE:
        lw_client_free(client);
        break;
    default:
        lw_client_release(client);
    }
}

/* Checks that what was ended is over: CLOSED for a close, silence otherwise. */
static void is_over(struct tape *tape, lw_client *client, enum end how)
{
    if (how == CLOSE) {
        const struct entry *closed = tape_wait(tape, LW_EVENT_CLOSED, 1);

        if (closed != NULL)
            CHECK_CODE(closed->error, LW_OK);
        CHECK_INT(lw_client_state(client), LW_STATE_CLOSED);
        lw_client_free(client);
    }
    tape_wait_freed(tape);
    CHECK_INT(tape_count(tape, LW_EVENT_CLOSED), how == CLOSE);
}

/* --- Inside a callback ---------------------------------------------------- */

/* Which event is to be the last that the program takes an interest in, and how. */
struct plan {
    uint32_t kind;
    enum end how;
};

/* Goes on with everything, except where it ends. */
static void follow_plan(struct tape *tape, lw_client *client, const lw_event *event)
{
    const struct plan *plan = (const struct plan *)tape->extra;

    if (event->kind == plan->kind) {
        end(client, plan->how);
        return;
    }
    switch (event->kind) {
    case LW_EVENT_BEFORE_CONNECT:
        CHECK_CODE(lw_client_proceed(client, event->ask, NULL), LW_OK);
        break;
    case LW_EVENT_SHOULD_RECONNECT:
        CHECK_CODE(lw_client_decide(client, event->ask, true), LW_OK);
        break;
    case LW_EVENT_OPEN:
        lw_client_ping(client, NULL, 0);
        break;
    case LW_EVENT_PONG:
        lw_client_send_text(client, NULL, 0);
        break;
    default:
        break;
    }
}

static void every_callback_may_end_its_client(void)
{
    static const uint32_t kinds[] = {LW_EVENT_BEFORE_CONNECT, LW_EVENT_OPEN, LW_EVENT_PONG,
                                     LW_EVENT_MESSAGE,        LW_EVENT_DOWN, LW_EVENT_SHOULD_RECONNECT};
    size_t i;
    int how;

    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (how = CLOSE; how < ENDS; how++) {
            struct plan plan;
            struct tape tape;
            lw_client *client;
            lw_config *config = hasty("/drop?after=1");

            plan.kind = kinds[i];
            plan.how = (enum end)how;
            tape_init(&tape);
            tape.also = follow_plan;
            tape.extra = &plan;
            lw_config_set_before_connect(config, true);
            lw_config_set_should_reconnect(config, true);
            client = start(&tape, config);
            tape_wait(&tape, kinds[i], 1);
            is_over(&tape, client, plan.how);
            tape_destroy(&tape);
        }
}

static void a_hosted_client_may_be_ended_while_it_asks(void)
{
    int how;

    for (how = CLOSE; how < ENDS; how++) {
        struct plan plan;
        struct tape tape;
        lw_client *client = NULL;
        lw_config *config = hasty("/echo");
        int32_t driven;

        plan.kind = LW_EVENT_BEFORE_CONNECT;
        plan.how = (enum end)how;
        tape_init(&tape);
        tape.also = follow_plan;
        tape.extra = &plan;
        lw_config_set_before_connect(config, true);
        CHECK_CODE(lw_client_new_hosted(config, &client, NULL), LW_OK);
        lw_config_free(config);
        driven = drive_until(client, &tape, 64, LW_EVENT_BEFORE_CONNECT, 1);
        if (how == CLOSE) {
            drive_until(client, &tape, 64, LW_EVENT_CLOSED, 1);
            CHECK_INT(lw_client_drive(client, 1, on_event, &tape), LW_DRIVE_FINISHED);
            lw_client_free(client);
        } else {
            CHECK_INT(driven, LW_DRIVE_FINISHED);
        }
        CHECK_INT(tape.count, how == CLOSE ? 2 : 1);
        tape_destroy(&tape);
    }
}

/* A question precedes whatever else waits, and comes when the loop does. */
static void a_hosted_client_asks_inside_drive(void)
{
    struct tape tape;
    lw_client *client = NULL;
    lw_config *config = hasty("/drop?after=1");
    const struct entry *first;

    tape_init(&tape);
    tape.also = proceed_always;
    lw_config_set_before_connect(config, true);
    lw_config_set_should_reconnect(config, true);
    CHECK_CODE(lw_client_new_hosted(config, &client, NULL), LW_OK);
    lw_config_free(config);
    CHECK_CODE(send_string(client, "echo"), LW_OK);
    drive_until(client, &tape, 1, LW_EVENT_SHOULD_RECONNECT, 1);
    first = tape.entries[0];
    CHECK_INT(first->kind, LW_EVENT_BEFORE_CONNECT);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    CHECK_CODE(lw_client_decide(client, tape.entries[tape.count - 1]->ask, true), LW_OK);
    drive_until(client, &tape, 1, LW_EVENT_OPEN, 2);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_BEFORE_CONNECT), 2);
    lw_client_free(client);
    tape_destroy(&tape);
}

/* --- While a question has no answer --------------------------------------- */

static void a_question_does_not_keep_its_client(void)
{
    static const uint32_t kinds[] = {LW_EVENT_BEFORE_CONNECT, LW_EVENT_SHOULD_RECONNECT};
    size_t i;
    int how;

    for (i = 0; i < 2; i++)
        for (how = CLOSE; how < ENDS; how++) {
            const struct entry *asked;
            struct tape tape;
            lw_client *client;
            lw_config *config = hasty("/drop");

            tape_init(&tape);
            lw_config_set_before_connect(config, i == 0);
            lw_config_set_should_reconnect(config, i == 1);
            lw_config_set_hook_timeout(config, 600000);
            client = start(&tape, config);
            asked = tape_wait(&tape, kinds[i], 1);
            end(client, (enum end)how);
            if (how == CLOSE && asked != NULL) {
                tape_wait(&tape, LW_EVENT_CLOSED, 1);
                CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_EINVAL);
                CHECK_CODE(lw_client_decide(client, asked->ask, true), LW_EINVAL);
            }
            is_over(&tape, client, (enum end)how);
            tape_destroy(&tape);
        }
}

static void a_program_may_end_while_it_is_asked(void)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        execl(program, program, "--leave-asked", url(server.ws, "/echo"), (char *)NULL);
        _exit(127);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- In each step of an attempt ------------------------------------------- */

/* A port that takes connections and says nothing. */
static int silent_port(char *where, size_t size)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    CHECK_INT(listen(listener, 8), 0);
    snprintf(where, size, "wss://127.0.0.1:%d/", ntohs(address.sin_port));
    return listener;
}

/* Ends a client in every way, once there is an event of this kind if it is not 0. Frees
 * nothing of `config`, which is used for each. */
static void ends_any_way(lw_config *config, uint32_t kind, int listener)
{
    int how;

    for (how = CLOSE; how < ENDS; how++) {
        struct tape tape;
        lw_client *client = NULL;
        int accepted = -1;

        tape_init(&tape);
        CHECK_CODE(lw_client_new(config, on_event, &tape, on_free, &client, NULL), LW_OK);
        if (listener >= 0)
            CHECK((accepted = accept(listener, NULL, NULL)) >= 0);
        if (kind != 0)
            tape_wait(&tape, kind, 1);
        end(client, (enum end)how);
        is_over(&tape, client, (enum end)how);
        if (accepted >= 0)
            close(accepted);
        tape_destroy(&tape);
    }
}

static void every_step_of_an_attempt_may_be_the_last(void)
{
    char where[64];
    int listener = silent_port(where, sizeof where);
    lw_config *config = hasty("/echo");

    ends_any_way(config, 0, -1); /* dialling, or wherever it has come to */
    lw_config_free(config);
    config = lw_config_new(where);
    lw_config_set_proxy(config, NULL);
    ends_any_way(config, 0, listener); /* in the TLS handshake */
    lw_config_free(config);
    /* The same port, where the request is taken and never answered. */
    memmove(where + 2, where + 3, strlen(where + 3) + 1);
    config = lw_config_new(where);
    lw_config_set_proxy(config, NULL);
    ends_any_way(config, 0, listener);
    lw_config_free(config);
    config = hasty("/http?status=503");
    lw_config_set_reconnect(config, 600000, 600000, 1.0, 0, 5000);
    ends_any_way(config, LW_EVENT_DOWN, -1); /* in the wait for the next */
    lw_config_free(config);
    close(listener);
}

void test_endings(void)
{
    RUN(every_callback_may_end_its_client);
    RUN(a_hosted_client_may_be_ended_while_it_asks);
    RUN(a_hosted_client_asks_inside_drive);
    RUN(a_question_does_not_keep_its_client);
    RUN(a_program_may_end_while_it_is_asked);
    RUN(every_step_of_an_attempt_may_be_the_last);
}
