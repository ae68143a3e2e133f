/* Clients that a loop of the program drives. */
#include "harness.h"

#include <poll.h>
#include <time.h>

/* A hosted client for a path of the ws: server. */
static lw_client *hosted(const char *path)
{
    lw_config *config = lw_config_new(url(server.ws, path));
    lw_client *client = NULL;

    CHECK_CODE(lw_client_new_hosted(config, &client, NULL), LW_OK);
    lw_config_free(config);
    if (client == NULL)
        exit(1);
    return client;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int32_t drive_until(lw_client *client, struct tape *tape, size_t budget, uint32_t kind,
                    size_t count)
{
    int64_t limit = now_ms() + 1000 * limit_s();
    int32_t driven = LW_DRIVE_IDLE;
    struct pollfd watched;

    watched.fd = lw_client_poll_fd(client);
    watched.events = POLLIN;
    while (tape_count(tape, kind) < count) {
        size_t before = tape->count;

        if (!CHECK(poll(&watched, 1, (int)(limit - now_ms() > 0 ? limit - now_ms() : 0)) == 1)) {
            printf("  no event %u number %zu within %d s\n", kind, count, limit_s());
            break;
        }
        driven = lw_client_drive(client, budget, on_event, tape);
        CHECK(tape->count - before <= budget);
        if (!CHECK(driven >= 0))
            break;
    }
    return driven;
}

static void a_loop_of_ones_own_drives_a_client(void)
{
    struct tape tape;
    lw_client *client = hosted("/echo");
    int fd = lw_client_poll_fd(client);
    int i;

    tape_init(&tape);
    CHECK(fd >= 0);
    drive_until(client, &tape, 64, LW_EVENT_OPEN, 1);
    for (i = 1; i <= 100; i++) {
        CHECK_CODE(send_string(client, "there and back"), LW_OK);
        drive_until(client, &tape, 64, LW_EVENT_MESSAGE, (size_t)i);
    }
    CHECK_CODE(lw_client_ping(client, "p", 1), LW_OK);
    drive_until(client, &tape, 64, LW_EVENT_PONG, 1);
    CHECK_INT(lw_client_poll_fd(client), fd);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    drive_until(client, &tape, 64, LW_EVENT_CLOSED, 1);
    CHECK_INT(lw_client_drive(client, 64, on_event, &tape), LW_DRIVE_FINISHED);
    CHECK_INT(tape_count(&tape, LW_EVENT_CLOSED), 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void a_spent_budget_loses_nothing(void)
{
    struct tape tape;
    lw_client *client = hosted("/push?count=1000&size=100");
    bool more = false;
    unsigned long i;

    tape_init(&tape);
    CHECK_CODE(lw_client_drive(client, 0, on_event, &tape), LW_EINVAL);
    for (i = 1; i <= 1000; i++)
        more = drive_until(client, &tape, 3, LW_EVENT_MESSAGE, i) == LW_DRIVE_MORE || more;
    CHECK(more);
    for (i = 0; i < 1000; i++) {
        const struct entry *message = tape_wait(&tape, LW_EVENT_MESSAGE, i + 1);

        if (message == NULL || !CHECK_INT(strtoul(message->data, NULL, 10), i))
            break;
    }
    drive_until(client, &tape, 3, LW_EVENT_CLOSED, 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void drive_again(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)event;
    CHECK_CODE(lw_client_drive(client, 1, on_event, tape), LW_EBUSY);
}

static void a_callback_cannot_drive(void)
{
    struct tape tape;
    lw_client *client = hosted("/echo");

    tape_init(&tape);
    tape.also = drive_again;
    drive_until(client, &tape, 64, LW_EVENT_OPEN, 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void free_in_callback(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_MESSAGE)
        lw_client_free(client);
}

static void a_callback_may_free_the_client_it_is_driven_by(void)
{
    struct tape tape;
    lw_client *client = hosted("/push?count=10&size=10");

    tape_init(&tape);
    tape.also = free_in_callback;
    CHECK_INT(drive_until(client, &tape, 64, LW_EVENT_MESSAGE, 1), LW_DRIVE_FINISHED);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 1);
    tape_destroy(&tape);
}

static void the_two_kinds_are_not_confused(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_poll_fd(client), LW_EUNSUPPORTED);
    CHECK_CODE(lw_client_drive(client, 1, on_event, &tape), LW_EUNSUPPORTED);
    finish(&tape, client);
    tape_destroy(&tape);
    client = hosted("/echo");
    CHECK_CODE(lw_client_drive(client, 1, NULL, NULL), LW_EINVAL);
    lw_client_free(client);
}

/* The server pings, drops whoever does not answer in time, and sends messages
 * meanwhile. The loop looks away for longer than that. */
static void a_loop_that_looks_away_stays_connected(void)
{
    struct tape tape;
    lw_client *client = hosted("/pinger?interval_ms=200&timeout_ms=600&messages=20&spread_ms=1000");
    const struct entry *last;
    struct timespec away = {1, 500000000};
    unsigned long i;

    tape_init(&tape);
    drive_until(client, &tape, 64, LW_EVENT_OPEN, 1);
    nanosleep(&away, NULL);
    drive_until(client, &tape, 64, LW_EVENT_MESSAGE, 20);
    for (i = 0; i < 20; i++) {
        const struct entry *message = tape_wait(&tape, LW_EVENT_MESSAGE, i + 1);

        if (message == NULL || !CHECK_INT(strtoul(message->data, NULL, 10), i))
            break;
    }
    CHECK_CODE(send_string(client, "done"), LW_OK);
    drive_until(client, &tape, 64, LW_EVENT_MESSAGE, 21);
    last = tape_wait(&tape, LW_EVENT_MESSAGE, 21);
    if (last != NULL)
        CHECK(strncmp(last->data, "alive ", 6) == 0);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    lw_client_free(client);
    tape_destroy(&tape);
}

void test_hosted(void)
{
    RUN(a_loop_of_ones_own_drives_a_client);
    RUN(a_spent_budget_loses_nothing);
    RUN(a_callback_cannot_drive);
    RUN(a_callback_may_free_the_client_it_is_driven_by);
    RUN(the_two_kinds_are_not_confused);
    RUN(a_loop_that_looks_away_stays_connected);
}
