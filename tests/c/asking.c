/* What a client asks: before each attempt, and after each loss. */
#include "harness.h"

/* A configuration whose client asks before each attempt. */
static lw_config *asking(const char *path)
{
    lw_config *config = hasty(path);

    CHECK_CODE(lw_config_set_before_connect(config, true), LW_OK);
    return config;
}

/* Answers question `ask` with the URL of `path` and, unless NULL, this header or
 * subprotocol. */
static int32_t proceed_to(lw_client *client, uint64_t ask, const char *path, const char *header,
                          const char *subprotocol)
{
    lw_config *changes = lw_config_new(url(server.ws, path));
    int32_t code;

    if (header != NULL)
        lw_config_add_header(changes, "Authorization", header);
    if (subprotocol != NULL)
        lw_config_add_subprotocol(changes, subprotocol);
    code = lw_client_proceed(client, ask, changes);
    lw_config_free(changes);
    return code;
}

static const char *const guarded = "/need-header?name=Authorization&value=Bearer%202";

/* The first token has expired; the second is good. */
static void renew_token(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    switch (event->kind) {
    case LW_EVENT_BEFORE_CONNECT:
        CHECK(event->ask != 0);
        CHECK_INT(event->reconnects, 0);
        CHECK_INT(lw_error_http_status(event->error), event->attempt == 1 ? 0 : 403);
        CHECK_CODE(proceed_to(client, event->ask, guarded,
                              event->attempt == 1 ? "Bearer 1" : "Bearer 2", NULL),
                   LW_OK);
        break;
    case LW_EVENT_SHOULD_RECONNECT:
        CHECK_INT(lw_error_http_status(event->error), 403);
        CHECK_INT(event->attempt, 1);
        CHECK(!event->retry); /* as a rule */
        CHECK(event->retry_in_ms <= 10);
        CHECK(event->len > 0); /* what the server said */
        CHECK_CODE(lw_client_decide(client, event->ask, true), LW_OK);
        break;
    default:
        CHECK_INT(event->ask, 0);
    }
}

static void each_attempt_may_have_a_token_of_its_own(void)
{
    const struct entry *open;
    struct tape tape;
    lw_client *client;
    lw_config *config = asking(guarded);

    tape_init(&tape);
    tape.also = renew_token;
    lw_config_set_should_reconnect(config, true);
    lw_config_add_header(config, "Authorization", "replaced");
    client = start(&tape, config);
    open = tape_wait(&tape, LW_EVENT_OPEN, 1);
    if (open != NULL)
        CHECK_INT(open->attempt, 2);
    CHECK_INT(tape_count(&tape, LW_EVENT_BEFORE_CONNECT), 2);
    CHECK_INT(tape_count(&tape, LW_EVENT_SHOULD_RECONNECT), 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void an_answer_may_come_later_from_any_thread(void)
{
    const struct entry *asked, *open;
    struct tape tape;
    lw_client *client;
    lw_config *config = asking("/http?status=404");

    tape_init(&tape);
    client = start(&tape, config);
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    if (asked != NULL) {
        CHECK_CODE(lw_client_decide(client, asked->ask, true), LW_EINVAL);
        CHECK_CODE(lw_client_proceed(client, asked->ask + 1, NULL), LW_EINVAL);
        CHECK_CODE(proceed_to(client, asked->ask, "/subprotocol", NULL, "v2"), LW_OK);
        open = tape_wait(&tape, LW_EVENT_OPEN, 1);
        if (open != NULL)
            CHECK_TEXT(open->subprotocol, "v2");
        /* Only the first answer counts. */
        CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_EINVAL);
        CHECK_CODE(lw_client_refuse(client, asked->ask, NULL, 0, true), LW_EINVAL);
    }
    finish(&tape, client);
    tape_destroy(&tape);
}

static void changes_are_for_one_attempt(void)
{
    const struct entry *asked, *down;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, asking("/http?status=503"));
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    if (asked != NULL)
        CHECK_CODE(proceed_to(client, asked->ask, "/drop", NULL, NULL), LW_OK);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 2);
    if (asked != NULL) {
        CHECK_INT(asked->attempt, 1);
        CHECK_INT(asked->reconnects, 1);
        CHECK_CODE(asked->error, LW_ELOST);
        CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_OK);
    }
    down = tape_wait(&tape, LW_EVENT_DOWN, 2);
    if (down != NULL)
        CHECK_INT(down->http_status, 503);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void changes_that_cannot_be_used_leave_the_question_open(void)
{
    const struct entry *asked;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, asking("/echo"));
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    if (asked != NULL) {
        lw_config *changes = lw_config_new("http://127.0.0.1/");

        CHECK_CODE(lw_client_proceed(client, asked->ask, changes), LW_EURL);
        lw_config_free(changes);
        changes = lw_config_new("ws://127.0.0.1/\xff");
        CHECK_CODE(lw_client_proceed(client, asked->ask, changes), LW_EURL);
        lw_config_free(changes);
        CHECK_CODE(proceed_to(client, asked->ask, "/echo", "a\r\nb", NULL), LW_EINVAL);
        CHECK_CODE(lw_client_refuse(client, asked->ask, "\xff", 1, true), LW_EINVAL);
        CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_OK);
    }
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_refusal_is_a_failed_attempt(void)
{
    const struct entry *asked, *down, *closed;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, asking("/echo"));
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    if (asked != NULL)
        CHECK_CODE(lw_client_refuse(client, asked->ask, "no token", 8, true), LW_OK);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL) {
        CHECK_CODE(down->error, LW_EHOOK);
        CHECK_TEXT(down->message, "before_connect: no token");
    }
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 2);
    if (asked != NULL) {
        CHECK_INT(asked->attempt, 2);
        CHECK_CODE(asked->error, LW_EHOOK);
        CHECK_CODE(lw_client_refuse(client, asked->ask, "logged out", 10, false), LW_OK);
    }
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        CHECK_CODE(closed->error, LW_EHOOK);
        CHECK_TEXT(closed->message, "before_connect: logged out");
    }
    lw_client_free(client);
    tape_destroy(&tape);
}

static void an_answer_that_does_not_come_is_a_failed_attempt(void)
{
    const struct entry *asked, *down;
    struct tape tape;
    lw_client *client;
    lw_config *config = asking("/echo");

    tape_init(&tape);
    lw_config_set_hook_timeout(config, 50);
    client = start(&tape, config);
    asked = tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL)
        CHECK_CODE(down->error, LW_ETIMEOUT);
    if (asked != NULL)
        CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_EINVAL);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void the_program_may_end_what_would_go_on(void)
{
    const struct entry *asked, *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = hasty("/close?code=4000");

    tape_init(&tape);
    lw_config_set_should_reconnect(config, true);
    client = start(&tape, config);
    asked = tape_wait(&tape, LW_EVENT_SHOULD_RECONNECT, 1);
    if (asked != NULL) {
        CHECK(asked->retry);
        CHECK_INT(asked->code, 4000);
        CHECK_CODE(asked->error, LW_ECLOSED);
        CHECK_CODE(lw_client_proceed(client, asked->ask, NULL), LW_EINVAL);
        CHECK_CODE(lw_client_decide(client, asked->ask, false), LW_OK);
    }
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_INT(closed->code, 4000);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void without_a_decision_the_rule_decides(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = hasty("/http?status=503");

    tape_init(&tape);
    lw_config_set_should_reconnect(config, true);
    lw_config_set_hook_timeout(config, 50);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_DOWN, 1);
    finish(&tape, client);
    tape_destroy(&tape);

    config = hasty("/http?status=404");
    tape_init(&tape);
    lw_config_set_should_reconnect(config, true);
    lw_config_set_hook_timeout(config, 50);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_INT(closed->http_status, 404);
    CHECK_INT(tape_count(&tape, LW_EVENT_SHOULD_RECONNECT), 1);
    lw_client_free(client);
    tape_destroy(&tape);
}

void test_asking(void)
{
    RUN(each_attempt_may_have_a_token_of_its_own);
    RUN(an_answer_may_come_later_from_any_thread);
    RUN(changes_are_for_one_attempt);
    RUN(changes_that_cannot_be_used_leave_the_question_open);
    RUN(a_refusal_is_a_failed_attempt);
    RUN(an_answer_that_does_not_come_is_a_failed_attempt);
    RUN(the_program_may_end_what_would_go_on);
    RUN(without_a_decision_the_rule_decides);
}
