/* How a connection ends, and how a client comes back. */
#include "harness.h"

/* Connects once to `path` and checks how the server ends it. */
static void ends(const char *path, uint16_t code, const char *reason, bool clean, int32_t error)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, path));

    tape_init(&tape);
    lw_config_set_reconnect_off(config);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        CHECK_INT(closed->code, code);
        CHECK_TEXT(closed->reason, reason);
        CHECK_INT(closed->clean, clean);
        CHECK_CODE(closed->error, error);
    }
    lw_client_free(client);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

static void the_code_of_the_peer_comes_as_it_is(void)
{
    ends("/close?code=1000&reason=done", 1000, "done", true, LW_OK);
    ends("/close?code=4001&reason=gr%C3%BC%C3%9Fe", 4001, "gr\xc3\xbc\xc3\x9f" "e", true,
         LW_ECLOSED);
    ends("/close?code=0", 1005, "", true, LW_OK);
    ends("/drop", 1006, "", false, LW_ELOST);
}

static void the_protocol_is_enforced(void)
{
    /* A reserved bit; text that is not UTF-8. */
    ends("/raw?after=c101", 1006, "", false, LW_EPROTO);
    ends("/raw?after=8101ff", 1006, "", false, LW_EUTF8);
}

static void ones_own_code_reaches_the_peer(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_close(client, 4002, "so long", 7), LW_OK);
    CHECK_CODE(lw_client_close(client, 4003, "again", 5), LW_OK); /* without effect */
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        CHECK_INT(closed->code, 4002);
        CHECK(closed->clean);
        CHECK_CODE(closed->error, LW_OK);
    }
    CHECK_INT(lw_client_state(client), LW_STATE_CLOSED);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void codes_and_reasons_are_checked(void)
{
    static const uint16_t codes[] = {1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
    char reason[124];
    struct tape tape;
    lw_client *client;
    size_t i;

    memset(reason, 'r', sizeof reason);
    tape_init(&tape);
    client = start_open(&tape, "/echo");
    for (i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (!CHECK_CODE(lw_client_close(client, codes[i], NULL, 0), LW_EINVAL))
            printf("  for %d\n", codes[i]);
    CHECK_CODE(lw_client_close(client, 1000, reason, 124), LW_EINVAL);
    CHECK_CODE(lw_client_close(client, 1000, "\xff", 1), LW_EINVAL);
    CHECK_INT(lw_client_state(client), LW_STATE_OPEN);
    CHECK_CODE(lw_client_close(client, 1000, reason, 123), LW_OK);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void nothing_is_sent_after_the_close(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(send_string(client, "last"), LW_OK);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    CHECK_CODE(send_string(client, "late"), LW_ECLOSED);
    CHECK_CODE(lw_client_ping(client, NULL, 0), LW_ECLOSED);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    /* What was sent before the close has arrived. */
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 1);
    CHECK_CODE(send_string(client, "later"), LW_ECLOSED);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void a_lost_connection_is_replaced(void)
{
    const struct entry *down, *open, *message;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/drop?after=1"));

    tape_init(&tape);
    lw_config_set_reconnect(config, 1, 10, 2.0, 0, 0);
    client = start(&tape, config);
    CHECK_CODE(send_string(client, "one"), LW_OK);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL) {
        CHECK_CODE(down->error, LW_ELOST);
        CHECK_INT(down->code, 0);
    }
    open = tape_wait(&tape, LW_EVENT_OPEN, 2);
    if (open != NULL)
        CHECK_INT(open->reconnects, 1);
    CHECK_CODE(send_string(client, "two"), LW_OK);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 2);
    if (message != NULL)
        CHECK_TEXT(message->data, "two");
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    lw_client_free(client);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

void test_closing(void)
{
    RUN(the_code_of_the_peer_comes_as_it_is);
    RUN(the_protocol_is_enforced);
    RUN(ones_own_code_reaches_the_peer);
    RUN(codes_and_reasons_are_checked);
    RUN(nothing_is_sent_after_the_close);
    RUN(a_lost_connection_is_replaced);
}
