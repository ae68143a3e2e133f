/* What waits for a connection: what may precede it, what expires, and what never left. */
#include "harness.h"

/* Waits for the nth question before an attempt. */
static uint64_t asked(struct tape *tape, size_t nth)
{
    const struct entry *entry = tape_wait(tape, LW_EVENT_BEFORE_CONNECT, nth);

    return entry == NULL ? 0 : entry->ask;
}

static void hold_queue(struct tape *tape, lw_client *client, const lw_event *event)
{
    if (event->kind == LW_EVENT_OPEN)
        CHECK_CODE(lw_client_hold(client, (uint64_t *)tape->extra), LW_OK);
}

/* Sends `number` as /order expects it. */
static void send_number(lw_client *client, int number, uint32_t flags)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%d", number);

    CHECK_CODE(lw_client_send(client, LW_TEXT, text, (size_t)len, flags), LW_OK);
}

/* The server closes a connection whose messages are out of order, and begins from 0 on
 * each. So on each one the login, which needs an answer, has to precede what was sent
 * while down. */
static void a_login_may_precede_the_queue(void)
{
    struct tape tape;
    lw_client *client;
    lw_config *config = hasty("/order");
    uint64_t hold = 0;
    size_t round, i;

    tape_init(&tape);
    tape.also = hold_queue;
    tape.extra = &hold;
    lw_config_set_before_connect(config, true);
    client = start(&tape, config);
    for (round = 0; round < 3; round++) {
        uint64_t ask = asked(&tape, round + 1);

        send_number(client, 2, 0);
        send_number(client, 3, LW_SEND_AHEAD); /* of nothing, while down */
        CHECK_CODE(lw_client_proceed(client, ask, NULL), LW_OK);
        tape_wait(&tape, LW_EVENT_OPEN, round + 1);
        send_number(client, 0, LW_SEND_AHEAD);
        tape_wait(&tape, LW_EVENT_MESSAGE, 5 * round + 1); /* "you are logged in" */
        send_number(client, 4, 0);
        send_number(client, 1, LW_SEND_AHEAD);
        CHECK_CODE(lw_client_ready(client, hold), LW_OK);
        tape_wait(&tape, LW_EVENT_MESSAGE, 5 * round + 5);
        CHECK_CODE(lw_client_ready(client, hold), LW_OK); /* again: without effect */
        CHECK_CODE(lw_client_reconnect(client), LW_OK);
    }
    for (i = 0; i < 15; i++) {
        const struct entry *message = tape_wait(&tape, LW_EVENT_MESSAGE, i + 1);

        if (message == NULL || !CHECK_INT(strtoul(message->data, NULL, 10), i % 5))
            break;
    }
    asked(&tape, 4);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void only_what_has_just_opened_can_be_held(void)
{
    struct tape tape;
    lw_client *client;
    uint64_t hold = 1;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(send_string(client, "a"), LW_OK);
    tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    CHECK_CODE(lw_client_hold(client, &hold), LW_EOFFLINE);
    CHECK_INT(hold, 0);
    CHECK_CODE(lw_client_ready(client, 4711), LW_OK);
    finish(&tape, client);
    tape_destroy(&tape);
}

/* Leaves the first question without an answer. */
static void proceed_later(struct tape *tape, lw_client *client, const lw_event *event)
{
    if (event->attempt > 1)
        proceed_always(tape, client, event);
}

static void what_is_too_old_is_not_sent(void)
{
    const struct entry *open, *message;
    struct tape tape;
    lw_client *client;
    lw_config *config = hasty("/echo");

    tape_init(&tape);
    tape.also = proceed_later;
    lw_config_set_before_connect(config, true);
    lw_config_set_hook_timeout(config, 300);
    lw_config_set_offline_max_age(config, 50);
    client = start(&tape, config);
    CHECK_CODE(send_string(client, "old"), LW_OK);
    CHECK_CODE(send_string(client, "old"), LW_OK);
    open = tape_wait(&tape, LW_EVENT_OPEN, 1);
    if (open != NULL)
        CHECK_INT(open->expired, 2);
    CHECK_INT(stats_of(client).expired, 2);
    CHECK_CODE(send_string(client, "new"), LW_OK);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (message != NULL)
        CHECK_TEXT(message->data, "new");
    finish(&tape, client);
    tape_destroy(&tape);
}

/* What lw_client_unsent handed over. */
struct unsent {
    size_t count;
    uint32_t kinds[4];
    char texts[4][16];
    size_t lens[4];
    lw_client *to_free;
};

static void on_unsent(uint32_t kind, const uint8_t *data, size_t len, void *user)
{
    struct unsent *unsent = (struct unsent *)user;

    if (!CHECK(unsent->count < 4) || !CHECK(len < 16))
        return;
    unsent->kinds[unsent->count] = kind;
    unsent->lens[unsent->count] = len;
    memcpy(unsent->texts[unsent->count++], data, len);
    lw_client_free(unsent->to_free);
    unsent->to_free = NULL;
}

/* A client that was closed with two messages left. */
static lw_client *left_behind(struct tape *tape)
{
    const struct entry *closed;
    struct unsent unsent;
    lw_config *config = hasty("/echo");
    lw_client *client;

    lw_config_set_before_connect(config, true);
    client = start(tape, config);
    CHECK_CODE(send_string(client, "text"), LW_OK);
    CHECK_CODE(lw_client_send_binary(client, "\0\1", 2), LW_OK);
    memset(&unsent, 0, sizeof unsent);
    CHECK_CODE(lw_client_unsent(client, on_unsent, &unsent), LW_OK);
    CHECK_INT(unsent.count, 0); /* they may leave yet */
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    closed = tape_wait(tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        CHECK_INT(closed->unsent_messages, 2);
        CHECK_INT(closed->unsent_bytes, 6);
    }
    return client;
}

static void what_never_left_is_returned_once(void)
{
    struct unsent unsent;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    memset(&unsent, 0, sizeof unsent);
    client = left_behind(&tape);
    CHECK_CODE(lw_client_unsent(client, on_unsent, &unsent), LW_OK);
    CHECK_INT(unsent.count, 2);
    CHECK_INT(unsent.kinds[0], LW_TEXT);
    CHECK_INT(unsent.lens[0], 4);
    CHECK(memcmp(unsent.texts[0], "text", 4) == 0);
    CHECK_INT(unsent.kinds[1], LW_BINARY);
    CHECK_INT(unsent.lens[1], 2);
    CHECK(memcmp(unsent.texts[1], "\0\1", 2) == 0);
    CHECK_CODE(lw_client_unsent(client, on_unsent, &unsent), LW_OK);
    CHECK_INT(unsent.count, 2);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void who_gets_what_never_left_may_free_the_client(void)
{
    struct unsent unsent;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    memset(&unsent, 0, sizeof unsent);
    client = left_behind(&tape);
    unsent.to_free = client;
    CHECK_CODE(lw_client_unsent(client, on_unsent, &unsent), LW_OK);
    CHECK_INT(unsent.count, 2);
    tape_destroy(&tape);
}

void test_queueing(void)
{
    RUN(a_login_may_precede_the_queue);
    RUN(only_what_has_just_opened_can_be_held);
    RUN(what_is_too_old_is_not_sent);
    RUN(what_never_left_is_returned_once);
    RUN(who_gets_what_never_left_may_free_the_client);
}
