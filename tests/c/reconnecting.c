/* When a client comes back: what the options say, and the program. */
#include "harness.h"

#include <time.h>

/* Starts a client, and waits until it was down for the nth time; checks the wait that
 * it announced then, and closes it. Frees the configuration. */
static void waits(lw_config *config, size_t nth, uint64_t least_ms, uint64_t most_ms)
{
    const struct entry *down;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, config);
    down = tape_wait(&tape, LW_EVENT_DOWN, nth);
    if (down != NULL && !CHECK(down->retry_in_ms >= least_ms && down->retry_in_ms <= most_ms))
        printf("  %lu ms\n", (unsigned long)down->retry_in_ms);
    finish(&tape, client);
    tape_destroy(&tape);
}

/* The same until it gave up. */
static void ends(lw_config *config, int32_t error)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, error);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void every_cause_may_be_tried_again_or_not(void)
{
    lw_config *config = hasty("/http?status=403");

    CHECK_CODE(lw_config_set_retry(config, 403, true), LW_OK);
    waits(config, 2, 0, 10);
    config = hasty("/http?status=403");
    CHECK_CODE(lw_config_set_retry(config, LW_ESTATUS, true), LW_OK);
    waits(config, 2, 0, 10);
    config = hasty("/close?code=1000");
    CHECK_CODE(lw_config_set_retry(config, 1000, true), LW_OK);
    waits(config, 2, 0, 10);
    config = hasty("/drop");
    CHECK_CODE(lw_config_set_retry(config, LW_ELOST, true), LW_OK);
    CHECK_CODE(lw_config_set_retry(config, LW_ELOST, false), LW_OK);
    ends(config, LW_ELOST);
    config = hasty("/http?status=503");
    CHECK_CODE(lw_config_set_retry(config, 503, false), LW_OK);
    ends(config, LW_ESTATUS);
}

static void one_setter_leaves_the_others_alone(void)
{
    lw_config *config = hasty("/http?status=403");

    lw_config_set_retry(config, 403, true);
    lw_config_set_reconnect(config, 20, 20, 1.0, 0, 5000);
    lw_config_set_max_retry_after(config, 1);
    lw_config_set_restart_delay(config, 1, 1);
    lw_config_set_reconnect_max_time(config, 0);
    waits(config, 2, 20, 20);
    /* And switches on. */
    config = hasty("/drop");
    lw_config_set_reconnect_off(config);
    lw_config_set_max_retry_after(config, 1);
    waits(config, 1, 250, 1000);
}

static void retry_after_is_honoured_within_its_limit(void)
{
    waits(hasty("/http?status=503&header=Retry-After:%201"), 1, 1000, 1010);
    {
        lw_config *config = hasty("/http?status=503&header=Retry-After:%20100");

        CHECK_CODE(lw_config_set_max_retry_after(config, 50), LW_OK);
        waits(config, 2, 50, 60);
    }
}

static void a_server_that_restarts_is_given_time(void)
{
    lw_config *config = hasty("/close?code=1012");

    waits(hasty("/close?code=1012"), 1, 5000, 30000);
    waits(hasty("/close?code=1013"), 1, 5000, 30000);
    CHECK_CODE(lw_config_set_restart_delay(config, 20, 30), LW_OK);
    waits(config, 2, 20, 30);
}

static void a_client_gives_up_after_its_time(void)
{
    lw_config *config = hasty("/http?status=503");

    CHECK_CODE(lw_config_set_reconnect_max_time(config, 100), LW_OK);
    ends(config, LW_ESTATUS);
}

/* A configuration whose client would wait for minutes. */
static lw_config *patient(const char *path)
{
    lw_config *config = hasty(path);

    lw_config_set_reconnect(config, 600000, 600000, 1.0, 0, 5000);
    return config;
}

static void reconnect_ends_the_wait(void)
{
    const struct entry *down;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, patient("/http?status=503"));
    tape_wait(&tape, LW_EVENT_DOWN, 1);
    CHECK_CODE(lw_client_reconnect(client), LW_OK);
    down = tape_wait(&tape, LW_EVENT_DOWN, 2);
    if (down != NULL)
        CHECK_INT(down->attempt, 2);
    /* The back-off begins anew on another network. */
    CHECK_CODE(lw_client_network_changed(client), LW_OK);
    down = tape_wait(&tape, LW_EVENT_DOWN, 3);
    if (down != NULL)
        CHECK_INT(down->attempt, 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void reconnect_replaces_an_open_connection(void)
{
    const struct entry *open, *down;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, patient("/echo"));
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    CHECK_CODE(lw_client_reconnect(client), LW_OK);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL)
        CHECK_INT(down->retry_in_ms, 0);
    open = tape_wait(&tape, LW_EVENT_OPEN, 2);
    if (open != NULL)
        CHECK_INT(open->reconnects, 1);
    CHECK_CODE(send_string(client, "on the new one"), LW_OK);
    tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void what_does_not_reconnect_cannot_be_told_to(void)
{
    struct tape tape;
    lw_client *client;
    lw_config *config = hasty("/echo");

    tape_init(&tape);
    lw_config_set_reconnect_off(config);
    client = start(&tape, config);
    CHECK_CODE(lw_client_reconnect(client), LW_EUNSUPPORTED);
    CHECK_CODE(lw_client_network_changed(client), LW_OK);
    finish(&tape, client);
    tape_destroy(&tape);
}

/* Bytes that came a moment before a hint count as the sign of life that it asks for, so
 * it is given again. */
static void hint_until_down(struct tape *tape, lw_client *client)
{
    int left = 5 * limit_s();

    while (tape_count(tape, LW_EVENT_DOWN) == 0 && left-- > 0) {
        struct timespec due;
        int late = 0;

        CHECK_CODE(lw_client_network_changed(client), LW_OK);
        deadline(&due, 200);
        pthread_mutex_lock(&tape->lock);
        while (tape->count < 2 && late == 0)
            late = pthread_cond_timedwait(&tape->changed, &tape->lock, &due);
        pthread_mutex_unlock(&tape->lock);
    }
}

static void another_network_is_tried_out(void)
{
    const struct entry *down;
    struct tape tape;
    lw_client *client;
    lw_config *config;

    /* The connection that lives stays. */
    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_network_changed(client), LW_OK);
    tape_wait(&tape, LW_EVENT_PONG, 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    finish(&tape, client);
    tape_destroy(&tape);

    /* The one that does not is lost, although there is no heartbeat. */
    tape_init(&tape);
    config = hasty("/stall");
    lw_config_set_heartbeat(config, 0, 50);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    hint_until_down(&tape, client);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL)
        CHECK_CODE(down->error, LW_EHEARTBEAT);
    lw_client_free(client);
    tape_destroy(&tape);
}

void test_reconnecting(void)
{
    RUN(every_cause_may_be_tried_again_or_not);
    RUN(one_setter_leaves_the_others_alone);
    RUN(retry_after_is_honoured_within_its_limit);
    RUN(a_server_that_restarts_is_given_time);
    RUN(a_client_gives_up_after_its_time);
    RUN(reconnect_ends_the_wait);
    RUN(reconnect_replaces_an_open_connection);
    RUN(what_does_not_reconnect_cannot_be_told_to);
    RUN(another_network_is_tried_out);
}
