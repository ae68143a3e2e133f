/* What is wrong with a call is the result of that call: a code, a message where
 * there is a place for one, and never a crash. */
#include "harness.h"

#include <math.h>

static void on_unsent(uint32_t kind, const uint8_t *data, size_t len, void *user)
{
    (void)kind, (void)data, (void)len, (void)user;
    CHECK(!"a message");
}

static void null_is_refused_everywhere(void)
{
    lw_client *client = (lw_client *)&server;
    lw_message *message = (lw_message *)&server;
    lw_error *error = NULL;
    lw_config *config = lw_config_new("ws://127.0.0.1/");
    lw_stats stats;
    const char *value = "untouched";
    size_t len = 1;
    uint64_t hold = 1;

    CHECK(lw_config_new(NULL) == NULL);
    lw_config_free(NULL);
    CHECK_CODE(lw_config_add_header(NULL, "a", "b"), LW_EINVAL);
    CHECK_CODE(lw_config_add_header(config, NULL, "b"), LW_EINVAL);
    CHECK_CODE(lw_config_add_header(config, "a", NULL), LW_EINVAL);
    CHECK_CODE(lw_config_add_subprotocol(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_add_subprotocol(config, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_origin(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_set_origin(config, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_ca_file(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_ca_file(config, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_ca_pem(NULL, "a", 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_ca_pem(config, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_verify(NULL, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_server_name(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_server_name(config, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_client_cert(NULL, "a", "b"), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_client_cert(config, NULL, "b"), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_client_cert(config, "a", NULL), LW_EINVAL);
    CHECK_CODE(lw_config_add_tls_pinned_key(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_add_tls_pinned_key(config, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_proxy(NULL, "a"), LW_EINVAL);
    CHECK_CODE(lw_config_set_proxy(config, NULL), LW_OK);
    CHECK_CODE(lw_config_set_max_redirects(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_compression(NULL, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_compression_threshold(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_compression_level(NULL, 6, 8), LW_EINVAL);
    CHECK_CODE(lw_config_set_compression_window_bits(NULL, 15, 15), LW_EINVAL);
    CHECK_CODE(lw_config_set_compression_context_takeover(NULL, true, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_streaming(NULL, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_connect_timeout_ms(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_close_timeout_ms(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_heartbeat(NULL, 1, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_reconnect(NULL, 1, 1, 2.0, 1, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_reconnect_off(NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_reconnect_max_time(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_max_retry_after(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_restart_delay(NULL, 1, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_retry(NULL, 403, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_before_connect(NULL, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_should_reconnect(NULL, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_hook_timeout(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_log(config, LW_LOG_INFO, NULL, NULL, NULL), LW_EINVAL);
    CHECK_CODE(lw_config_set_offline(NULL, LW_OFFLINE_QUEUE), LW_EINVAL);
    CHECK_CODE(lw_config_set_offline_max_age(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_consumer_timeout(NULL, 1, true), LW_EINVAL);
    CHECK_CODE(lw_config_set_max_message_size(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_max_fragments(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_send_buffer(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_config_set_receive_buffer(NULL, 1), LW_EINVAL);

    CHECK_CODE(lw_client_new(NULL, on_event, NULL, NULL, &client, &error), LW_EINVAL);
    CHECK(client == NULL);
    CHECK_CODE(lw_error_code(error), LW_EINVAL);
    CHECK(strstr(lw_error_message(error), "NULL") != NULL);
    lw_error_free(error);
    CHECK_CODE(lw_client_new(config, NULL, NULL, NULL, &client, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_new(config, on_event, NULL, NULL, NULL, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_new_hosted(NULL, &client, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_new_hosted(config, NULL, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_poll_fd(NULL), LW_EINVAL);
    CHECK_CODE(lw_client_drive(NULL, 1, on_event, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_send_text(NULL, "a", 1), LW_EINVAL);
    CHECK_CODE(lw_client_send_binary(NULL, "a", 1), LW_EINVAL);
    CHECK_CODE(lw_client_send(NULL, LW_TEXT, "a", 1, 0), LW_EINVAL);
    CHECK_CODE(lw_message_begin(NULL, LW_TEXT, 0, &message), LW_EINVAL);
    CHECK(message == NULL);
    CHECK_CODE(lw_message_begin(NULL, LW_TEXT, 0, NULL), LW_EINVAL);
    CHECK_CODE(lw_message_continue(NULL, "a", 1), LW_EINVAL);
    CHECK_CODE(lw_message_end(NULL), LW_EINVAL);
    lw_message_abandon(NULL);
    CHECK_CODE(lw_client_ping(NULL, NULL, 0), LW_EINVAL);
    CHECK_CODE(lw_client_close(NULL, 1000, NULL, 0), LW_EINVAL);
    CHECK_CODE(lw_client_state(NULL), LW_EINVAL);
    CHECK_CODE(lw_client_reconnect(NULL), LW_EINVAL);
    CHECK_CODE(lw_client_network_changed(NULL), LW_EINVAL);
    CHECK_CODE(lw_client_proceed(NULL, 1, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_refuse(NULL, 1, NULL, 0, true), LW_EINVAL);
    CHECK_CODE(lw_client_decide(NULL, 1, true), LW_EINVAL);
    CHECK_CODE(lw_client_hold(NULL, &hold), LW_EINVAL);
    CHECK_INT(hold, 0);
    CHECK_CODE(lw_client_ready(NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_client_stats(NULL, &stats), LW_EINVAL);
    CHECK_CODE(lw_client_unsent(NULL, on_unsent, NULL), LW_EINVAL);
    CHECK_INT(lw_client_buffered_amount(NULL), 0);
    CHECK_INT(lw_client_round_trip_us(NULL), -1);
    lw_client_free(NULL);
    lw_client_release(NULL);

    CHECK_CODE(lw_error_code(NULL), LW_OK);
    CHECK_TEXT(lw_error_message(NULL), "");
    CHECK_INT(lw_error_http_status(NULL), 0);
    lw_error_free(NULL);
    CHECK(!lw_event_header(NULL, "a", &value, &len));
    CHECK(value == NULL && len == 0);
    CHECK(!lw_event_header(NULL, NULL, NULL, NULL));
    lw_config_free(config);
}

static void null_payloads_are_refused_unless_empty(void)
{
    struct tape tape;
    lw_client *client;
    lw_stats stats;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_client_send_text(client, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_client_send_binary(client, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_client_send_binary(client, "", (size_t)-1), LW_EINVAL);
    CHECK_CODE(lw_client_send(client, LW_BINARY, NULL, 1, 0), LW_EINVAL);
    CHECK_CODE(lw_client_ping(client, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_client_refuse(client, 1, NULL, 1, true), LW_EINVAL);
    CHECK_CODE(lw_client_hold(client, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_unsent(client, NULL, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_stats(client, NULL), LW_EINVAL);
    stats.size = sizeof stats - 1;
    CHECK_CODE(lw_client_stats(client, &stats), LW_EINVAL);
    CHECK_CODE(lw_client_send_text(client, NULL, 0), LW_OK);
    CHECK_CODE(lw_client_send_binary(client, NULL, 0), LW_OK);
    tape_wait(&tape, LW_EVENT_MESSAGE, 2);
    finish(&tape, client);
    tape_destroy(&tape);
}

/* Checks that no client can be made from `config`, which is freed, and that the
 * message says more than the code. */
static void refused(lw_config *config, int32_t code, const char *what)
{
    struct tape tape;
    lw_client *client = NULL;
    lw_error *error = NULL;
    int32_t came;

    tape_init(&tape);
    came = lw_client_new(config, on_event, &tape, on_free, &client, &error);
    if (!CHECK_CODE(came, code))
        printf("  for %s\n", what);
    CHECK(client == NULL);
    CHECK_CODE(lw_error_code(error), code);
    CHECK(strlen(lw_error_message(error)) > 10);
    CHECK_INT(tape.freed, 1);
    lw_error_free(error);
    if (client != NULL)
        lw_client_free(client);
    CHECK_CODE(lw_client_new_hosted(config, &client, NULL), code);
    lw_client_free(client);
    lw_config_free(config);
    tape_destroy(&tape);
}

static void bad_urls_are_refused(void)
{
    static const char *const urls[] = {
        "",
        " ",
        "nonsense",
        "127.0.0.1:80",
        "/path",
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "ws:",
        "ws://",
        "ws:///path",
        "ws://:80/",
        "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:port/",
        "ws://ho st/",
        "ws://[::1/",
        "ws://127.0.0.1/\r\nX-Injected: yes",
        "ws://127.0.0.1/a b",
        "ws://127.0.0.1\n/",
        "ws://127.0.0.1/\xff\xfe",
    };
    size_t i;

    for (i = 0; i < sizeof urls / sizeof urls[0]; i++)
        refused(lw_config_new(urls[i]), LW_EURL, urls[i]);
}

static void bad_headers_are_refused(void)
{
    static const char *const pairs[][2] = {
        {"X-A", "line\r\nX-Injected: yes"},
        {"X-A", "line\nfeed"},
        {"X-A\r\nX-Injected", "yes"},
        {"X A", "space"},
        {"", "empty"},
        {"X-A:", "colon"},
        {"Upgrade", "other"},
        {"connection", "close"},
        {"Sec-WebSocket-Key", "mine"},
        {"sec-websocket-version", "12"},
    };
    lw_config *config;
    size_t i;

    for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        config = lw_config_new("ws://127.0.0.1/");
        CHECK_CODE(lw_config_add_header(config, pairs[i][0], pairs[i][1]), LW_OK);
        refused(config, LW_EINVAL, pairs[i][0]);
    }
    config = lw_config_new("ws://127.0.0.1/");
    CHECK_CODE(lw_config_set_origin(config, "https://a\r\nX: y"), LW_OK);
    refused(config, LW_EINVAL, "origin");
}

static void bad_subprotocols_are_refused(void)
{
    static const char *const names[] = {"", "a b", "a,b", "a\r\nb", "caf\xc3\xa9"};
    lw_config *config;
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        config = lw_config_new("ws://127.0.0.1/");
        CHECK_CODE(lw_config_add_subprotocol(config, names[i]), LW_OK);
        refused(config, LW_EINVAL, names[i]);
    }
    config = lw_config_new("ws://127.0.0.1/");
    CHECK_CODE(lw_config_add_subprotocol(config, "twice"), LW_OK);
    CHECK_CODE(lw_config_add_subprotocol(config, "twice"), LW_OK);
    refused(config, LW_EINVAL, "the same subprotocol twice");
}

static void what_is_not_utf8_is_refused_by_the_setter(void)
{
    lw_config *config = lw_config_new("ws://127.0.0.1/");

    CHECK_CODE(lw_config_add_header(config, "X-A", "\xff"), LW_EINVAL);
    CHECK_CODE(lw_config_add_subprotocol(config, "\xff"), LW_EINVAL);
    CHECK_CODE(lw_config_set_tls_ca_pem(config, "\xff", 1), LW_EINVAL);
    lw_config_free(config);
}

static void bad_trust_is_refused(void)
{
    lw_config *config = lw_config_new("wss://localhost/");

    CHECK_CODE(lw_config_set_tls_ca_file(config, "/no/such/ca.pem"), LW_OK);
    refused(config, LW_EINVAL, "a CA file that does not exist");
    config = lw_config_new("wss://localhost/");
    CHECK_CODE(lw_config_set_tls_ca_pem(config, "nonsense", 8), LW_OK);
    refused(config, LW_EINVAL, "PEM without a certificate");
    config = lw_config_new("wss://localhost/");
    CHECK_CODE(lw_config_set_tls_server_name(config, "not a name"), LW_OK);
    refused(config, LW_EINVAL, "a server name with spaces");
    config = lw_config_new("wss://localhost/");
    CHECK_CODE(lw_config_set_tls_client_cert(config, "/no/such/cert.pem", "/no/such.key"), LW_OK);
    refused(config, LW_EINVAL, "a client certificate that does not exist");
    config = lw_config_new("wss://localhost/");
    CHECK_CODE(lw_config_add_tls_pinned_key(config, "sha256//AAAA"), LW_OK);
    refused(config, LW_EINVAL, "a pin that is too short");
}

static void bad_numbers_are_refused(void)
{
    static const double factors[] = {0.0, 0.5, -2.0, NAN, INFINITY};
    static const int32_t causes[] = {LW_OK, LW_EHOOK - 1, 99, 600, 999, 5000, INT32_MIN, INT32_MAX};
    lw_config *config = lw_config_new("ws://127.0.0.1/");
    size_t i;

    CHECK_CODE(lw_config_set_offline(config, 7), LW_EINVAL);
    for (i = 0; i < sizeof factors / sizeof factors[0]; i++)
        CHECK_CODE(lw_config_set_reconnect(config, 100, 1000, factors[i], 0, 0), LW_EINVAL);
    CHECK_CODE(lw_config_set_reconnect(config, 1000, 100, 2.0, 0, 0), LW_EINVAL);
    CHECK_CODE(lw_config_set_reconnect(config, 100, 100, 1.0, 0, 0), LW_OK);
    CHECK_CODE(lw_config_set_restart_delay(config, 1000, 100), LW_EINVAL);
    CHECK_CODE(lw_config_set_restart_delay(config, 100, 100), LW_OK);
    for (i = 0; i < sizeof causes / sizeof causes[0]; i++)
        CHECK_CODE(lw_config_set_retry(config, causes[i], true), LW_EINVAL);
    lw_config_free(config);
}

static void bad_details_of_compression_are_refused(void)
{
    static const uint32_t levels[] = {0, 10, 256 + 6, UINT32_MAX};
    static const uint32_t windows[] = {0, 8, 16, 256 + 15, UINT32_MAX};
    lw_config *config = lw_config_new("ws://127.0.0.1/");
    size_t i;

    for (i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        CHECK_CODE(lw_config_set_compression_level(config, levels[i], 8), LW_EINVAL);
        CHECK_CODE(lw_config_set_compression_level(config, 6, levels[i]), LW_EINVAL);
    }
    for (i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        CHECK_CODE(lw_config_set_compression_window_bits(config, windows[i], 15), LW_EINVAL);
        CHECK_CODE(lw_config_set_compression_window_bits(config, 15, windows[i]), LW_EINVAL);
    }
    CHECK_CODE(lw_config_set_compression_level(config, 1, 9), LW_OK);
    CHECK_CODE(lw_config_set_compression_window_bits(config, 9, 15), LW_OK);
    CHECK_CODE(lw_config_set_compression(config, false), LW_OK);
    lw_config_free(config);
}

static void unknown_kinds_and_flags_of_a_send_are_refused(void)
{
    lw_message *message = (lw_message *)&server;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    CHECK_CODE(lw_message_begin(client, 0, 0, &message), LW_EINVAL);
    CHECK(message == NULL);
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 4, &message), LW_EINVAL);
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 0, NULL), LW_EINVAL);
    CHECK_CODE(lw_client_send(client, 0, "a", 1, 0), LW_EINVAL);
    CHECK_CODE(lw_client_send(client, 3, "a", 1, 0), LW_EINVAL);
    CHECK_CODE(lw_client_send(client, LW_TEXT, "a", 1, 4), LW_EINVAL);
    CHECK_CODE(lw_client_send(client, LW_TEXT, "\xff", 1, 0), LW_EUTF8);
    CHECK_CODE(lw_client_send(client, LW_TEXT, "a", 1, 0), LW_OK);
    CHECK_CODE(lw_client_send(client, LW_BINARY, "\xff", 1, LW_SEND_UNCOMPRESSED), LW_OK);
    CHECK_CODE(lw_client_send(client, LW_TEXT, "a", 1, LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD),
               LW_OK);
    tape_wait(&tape, LW_EVENT_MESSAGE, 3);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void every_code_has_a_name_and_a_sentence(void)
{
    int32_t code;

    CHECK_TEXT(lw_error_name(LW_OK), "LW_OK");
    CHECK_TEXT(lw_error_name(LW_EURL), "LW_EURL");
    CHECK_TEXT(lw_error_name(LW_EHOOK), "LW_EHOOK");
    for (code = LW_EHOOK; code <= LW_OK; code++) {
        CHECK(strncmp(lw_error_name(code), "LW_", 3) == 0);
        CHECK(strlen(lw_strerror(code)) > 0);
    }
    CHECK_TEXT(lw_error_name(1), "LW_E?");
    CHECK_TEXT(lw_error_name(INT32_MIN), "LW_E?");
    CHECK(strlen(lw_strerror(4711)) > 0);
}

static void the_library_is_the_one_of_the_header(void)
{
    char version[32];

    CHECK_INT(lw_version_number(), LW_VERSION_NUMBER);
    snprintf(version, sizeof version, "%d.%d.%d", LW_VERSION_NUMBER >> 16,
             LW_VERSION_NUMBER >> 8 & 0xff, LW_VERSION_NUMBER & 0xff);
    CHECK_TEXT(lw_version(), version);
}

void test_arguments(void)
{
    RUN(null_is_refused_everywhere);
    RUN(null_payloads_are_refused_unless_empty);
    RUN(bad_urls_are_refused);
    RUN(bad_headers_are_refused);
    RUN(bad_subprotocols_are_refused);
    RUN(what_is_not_utf8_is_refused_by_the_setter);
    RUN(bad_trust_is_refused);
    RUN(bad_numbers_are_refused);
    RUN(bad_details_of_compression_are_refused);
    RUN(unknown_kinds_and_flags_of_a_send_are_refused);
    RUN(every_code_has_a_name_and_a_sentence);
    RUN(the_library_is_the_one_of_the_header);
}
