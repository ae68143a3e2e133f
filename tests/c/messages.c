/* Messages both ways: sizes, order, threads, bounds, pings. */
#include "harness.h"

#include <signal.h>

static void every_size_comes_back_as_it_went(void)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 1 << 20};
    size_t count = sizeof sizes / sizeof sizes[0], i;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    for (i = 0; i < count; i++) {
        char *bytes = pattern(sizes[i]);

        CHECK_CODE(lw_client_send_text(client, bytes, sizes[i]), LW_OK);
        CHECK_CODE(lw_client_send_binary(client, bytes, sizes[i]), LW_OK);
        free(bytes); /* it was copied */
    }
    for (i = 0; i < 2 * count; i++) {
        const struct entry *message = tape_wait(&tape, LW_EVENT_MESSAGE, i + 1);
        char *expected = pattern(sizes[i / 2]);

        if (message != NULL) {
            CHECK_INT(message->len, sizes[i / 2]);
            CHECK_INT(message->is_text, i % 2 == 0);
            CHECK(message->len == sizes[i / 2] && memcmp(message->data, expected, message->len) == 0);
        }
        free(expected);
    }
    finish(&tape, client);
    tape_destroy(&tape);
}

static void what_the_server_pushes_arrives_in_order(void)
{
    struct tape tape;
    lw_client *client;
    unsigned long i;

    tape_init(&tape);
    /* It may be over before one can look whether it is open. */
    client = start(&tape, lw_config_new(url(server.ws, "/push?count=2000&size=300&kind=binary")));
    for (i = 0; i < 2000; i++) {
        const struct entry *message = tape_wait(&tape, LW_EVENT_MESSAGE, i + 1);

        if (message == NULL || !CHECK_INT(strtoul(message->data, NULL, 10), i) ||
            !CHECK_INT(message->len, 300))
            break;
    }
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void one_thread_is_heard_in_order(void)
{
    struct tape tape;
    lw_client *client;
    const struct entry *last;
    int i;

    tape_init(&tape);
    client = start_open(&tape, "/order");
    for (i = 0; i < 10000; i++) {
        char number[16];

        snprintf(number, sizeof number, "%d", i);
        if (!CHECK_CODE(send_string(client, number), LW_OK))
            break;
    }
    last = tape_wait(&tape, LW_EVENT_MESSAGE, 10000);
    if (last != NULL)
        CHECK_TEXT(last->data, "9999");
    finish(&tape, client);
    tape_destroy(&tape);
}

enum { SENDERS = 8, EACH = 1000 };

static void *send_many(void *user)
{
    static const char filler[200] = {0};
    lw_client *client = (lw_client *)user;
    int i;

    for (i = 0; i < EACH; i++)
        CHECK_CODE(lw_client_send_binary(client, filler, (size_t)(i % 200)), LW_OK);
    return NULL;
}

static void many_threads_send_at_once(void)
{
    pthread_t senders[SENDERS];
    const struct entry *total;
    struct tape tape;
    lw_client *client;
    int i;

    tape_init(&tape);
    client = start_open(&tape, "/count?every=8000");
    for (i = 0; i < SENDERS; i++)
        CHECK_INT(pthread_create(&senders[i], NULL, send_many, client), 0);
    for (i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    total = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    /* 1000 messages are five times 0 to 199 bytes. */
    if (total != NULL)
        CHECK_TEXT(total->data, "8000 796000");
    finish(&tape, client);
    tape_destroy(&tape);
}

static void answer_at_once(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_OPEN)
        CHECK_CODE(send_string(client, "0"), LW_OK);
    if (event->kind == LW_EVENT_MESSAGE && event->len < 3) {
        char next[32];

        snprintf(next, sizeof next, "%.*s0", (int)event->len, (const char *)event->data);
        CHECK_CODE(send_string(client, next), LW_OK);
    }
}

static void callbacks_may_send(void)
{
    const struct entry *message;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    tape.also = answer_at_once;
    client = start_open(&tape, "/echo");
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 3);
    if (message != NULL)
        CHECK_TEXT(message->data, "000");
    finish(&tape, client);
    tape_destroy(&tape);
}

static void say_first(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_OPEN)
        CHECK_CODE(send_string(client, "0"), LW_OK);
}

static void what_open_sends_precedes_what_was_queued(void)
{
    struct tape tape;
    lw_client *client;
    const struct entry *last;

    tape_init(&tape);
    tape.also = say_first;
    client = start(&tape, lw_config_new(url(server.ws, "/order")));
    CHECK_CODE(send_string(client, "1"), LW_OK);
    CHECK_CODE(send_string(client, "2"), LW_OK);
    last = tape_wait(&tape, LW_EVENT_MESSAGE, 3);
    if (last != NULL)
        CHECK_TEXT(last->data, "2");
    finish(&tape, client);
    tape_destroy(&tape);
}

static void sends_are_refused_while_offline_if_so_configured(void)
{
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/stall-handshake"));

    tape_init(&tape);
    CHECK_CODE(lw_config_set_offline(config, LW_OFFLINE_REFUSE), LW_OK);
    client = start(&tape, config);
    CHECK_CODE(send_string(client, "too early"), LW_EOFFLINE);
    CHECK_INT(lw_client_state(client), LW_STATE_CONNECTING);
    lw_client_free(client);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

/* Sends 64 KiB at a time until the buffer is full; how many were taken. */
static int fill(lw_client *client)
{
    char *bytes = pattern(65536);
    int taken = 0;
    int32_t code;

    while ((code = lw_client_send_binary(client, bytes, 65536)) == LW_OK && taken < 100000)
        taken++;
    CHECK_CODE(code, LW_EFULL);
    free(bytes);
    return taken;
}

static void a_full_buffer_refuses_and_drains(void)
{
    const struct entry *total;
    char expected[64];
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/count"));
    int taken;

    /* Queued while a server that does nothing is asked for a connection, so
       that nothing can drain before it is full. */
    tape_init(&tape);
    lw_config_set_send_buffer(config, 1 << 20);
    CHECK_INT(kill((pid_t)server.pid, SIGSTOP), 0);
    client = start(&tape, config);
    taken = fill(client);
    CHECK_INT(kill((pid_t)server.pid, SIGCONT), 0);
    tape_wait(&tape, LW_EVENT_DRAIN, 1);
    CHECK_CODE(send_string(client, "again"), LW_OK);
    total = tape_wait(&tape, LW_EVENT_MESSAGE, (size_t)taken + 1);
    snprintf(expected, sizeof expected, "%d %ld", taken + 1, taken * 65536L + 5);
    if (total != NULL)
        CHECK_TEXT(total->data, expected);
    CHECK_INT(lw_client_buffered_amount(client), 0);
    CHECK_INT(tape_count(&tape, LW_EVENT_DRAIN), 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_stalled_peer_fills_the_buffer_and_no_more(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/stall"));

    tape_init(&tape);
    lw_config_set_send_buffer(config, 1 << 20);
    lw_config_set_close_timeout_ms(config, 200);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    fill(client);
    CHECK(lw_client_buffered_amount(client) > 0);
    CHECK(lw_client_buffered_amount(client) <= (1 << 20) + 65536);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        CHECK_INT(closed->code, 1006);
        CHECK(!closed->clean);
    }
    lw_client_free(client);
    tape_destroy(&tape);
}

static void text_is_utf8(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_send_text(client, "caf\xe9", 4), LW_EUTF8);
    CHECK_CODE(lw_client_send_text(client, "a\0b", 3), LW_OK);
    tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_ping_measures_the_round_trip(void)
{
    char long_payload[126];
    const struct entry *pong;
    struct tape tape;
    lw_client *client;

    memset(long_payload, 'x', sizeof long_payload);
    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_INT(lw_client_round_trip_us(client), -1);
    CHECK_CODE(lw_client_ping(client, "are you there", 13), LW_OK);
    pong = tape_wait(&tape, LW_EVENT_PONG, 1);
    if (pong != NULL) {
        CHECK_TEXT(pong->data, "are you there");
        CHECK(pong->round_trip_us >= 0);
        CHECK_INT(lw_client_round_trip_us(client), pong->round_trip_us);
    }
    CHECK_CODE(lw_client_ping(client, NULL, 0), LW_OK);
    CHECK_CODE(lw_client_ping(client, long_payload, 125), LW_OK);
    CHECK_CODE(lw_client_ping(client, long_payload, 126), LW_EINVAL);
    pong = tape_wait(&tape, LW_EVENT_PONG, 3);
    if (pong != NULL)
        CHECK_INT(pong->len, 125);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void the_heartbeat_pings_and_notices_silence(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/echo"));

    tape_init(&tape);
    lw_config_set_heartbeat(config, 20, 5000);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_PONG, 2);
    finish(&tape, client);
    tape_destroy(&tape);

    tape_init(&tape);
    config = lw_config_new(url(server.ws, "/stall"));
    lw_config_set_heartbeat(config, 50, 50);
    lw_config_set_reconnect_off(config);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, LW_EHEARTBEAT);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void a_message_past_the_limit_ends_the_connection(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/push?count=1&size=1001"));

    tape_init(&tape);
    lw_config_set_max_message_size(config, 1000);
    lw_config_set_reconnect_off(config);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, LW_ETOOBIG);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 0);
    lw_client_free(client);
    tape_destroy(&tape);
}

void test_messages(void)
{
    RUN(every_size_comes_back_as_it_went);
    RUN(what_the_server_pushes_arrives_in_order);
    RUN(one_thread_is_heard_in_order);
    RUN(many_threads_send_at_once);
    RUN(callbacks_may_send);
    RUN(what_open_sends_precedes_what_was_queued);
    RUN(sends_are_refused_while_offline_if_so_configured);
    RUN(a_full_buffer_refuses_and_drains);
    RUN(a_stalled_peer_fills_the_buffer_and_no_more);
    RUN(text_is_utf8);
    RUN(a_ping_measures_the_round_trip);
    RUN(the_heartbeat_pings_and_notices_silence);
    RUN(a_message_past_the_limit_ends_the_connection);
}
