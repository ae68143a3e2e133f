/* What comes of an attempt to connect, in every way a server can refuse. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connects once and checks that the end is `error`. Frees the configuration. */
static void fails(lw_config *config, int32_t error, int http_status, const char *body)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    lw_config_set_reconnect_off(config);
    client = start(&tape, config);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL) {
        if (!CHECK_CODE(closed->error, error))
            printf("  %s\n", closed->message);
        CHECK_INT(closed->http_status, http_status);
        CHECK_TEXT(closed->data, body);
        CHECK_INT(closed->code, 1006);
        CHECK(!closed->clean);
        CHECK(strlen(closed->message) > 10);
    }
    CHECK_INT(tape_count(&tape, LW_EVENT_OPEN), 0);
    CHECK_INT(lw_client_state(client), LW_STATE_CLOSED);
    CHECK_CODE(send_string(client, "late"), LW_ECLOSED);
    lw_client_free(client);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

static void a_port_that_refuses(void)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int bound = socket(AF_INET, SOCK_STREAM, 0);
    char where[64];

    /* Bound but not listening: nobody else can take the port meanwhile. */
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(getsockname(bound, (struct sockaddr *)&address, &size), 0);
    snprintf(where, sizeof where, "ws://127.0.0.1:%d/", ntohs(address.sin_port));
    fails(lw_config_new(where), LW_ECONNECT, 0, "");
    close(bound);
}

static void a_host_that_does_not_resolve(void)
{
    fails(lw_config_new("ws://no-such-host.invalid/"), LW_EDNS, 0, "");
}

static void a_server_that_answers_something_else(void)
{
    fails(lw_config_new(url(server.ws, "/http?status=200&body=hello")), LW_ESTATUS, 200, "hello");
    fails(lw_config_new(url(server.ws, "/http?status=403&body=who+are+you")), LW_ESTATUS, 403,
          "who are you");
    fails(lw_config_new(url(server.ws, "/garbage")), LW_EHANDSHAKE, 0, "");
}

static void a_server_that_answers_nothing(void)
{
    lw_config *config = lw_config_new(url(server.ws, "/stall-handshake"));

    lw_config_set_connect_timeout_ms(config, 200);
    fails(config, LW_ETIMEOUT, 0, "");
}

static void find_header(struct tape *tape, lw_client *client, const lw_event *event)
{
    const char *value;
    size_t len;

    (void)client;
    if (event->kind == LW_EVENT_CLOSED && lw_event_header(event, "X-REASON", &value, &len))
        *(bool *)tape->extra = len == 4 && memcmp(value, "full", 4) == 0;
}

static void the_headers_of_a_refusal_can_be_read(void)
{
    struct tape tape;
    lw_client *client;
    bool found = false;

    tape_init(&tape);
    tape.also = find_header;
    tape.extra = &found;
    client = start(&tape, lw_config_new(url(server.ws, "/http?status=403&header=X-Reason:%20full")));
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    CHECK(found);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void keep_extensions(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)client;
    if (event->kind == LW_EVENT_OPEN)
        snprintf((char *)tape->extra, 64, "%s", event->extensions);
}

static void compression_is_offered_and_what_was_agreed_on_is_told(void)
{
    static const char *const agreeing =
        "/http?status=101&header=Upgrade:%20websocket&header=Connection:%20Upgrade"
        "&header=Sec-WebSocket-Accept:%20{accept}"
        "&header=Sec-WebSocket-Extensions:%20permessage-deflate";
    char extensions[64] = "";
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, agreeing));

    tape_init(&tape);
    tape.also = keep_extensions;
    tape.extra = extensions;
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    lw_client_free(client);
    CHECK_TEXT(extensions, "permessage-deflate");
    tape_destroy(&tape);

    /* Nobody can agree to what was not offered. */
    config = lw_config_new(url(server.ws, agreeing));
    CHECK_CODE(lw_config_set_compression(config, false), LW_OK);
    fails(config, LW_EHANDSHAKE, 0, "");
}

static void a_final_answer_ends_a_client_that_would_reconnect(void)
{
    const struct entry *closed;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, lw_config_new(url(server.ws, "/http?status=404")));
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_INT(closed->http_status, 404);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void a_busy_server_is_tried_again(void)
{
    const struct entry *down, *closed;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/http?status=503"));

    tape_init(&tape);
    lw_config_set_reconnect(config, 1, 10, 2.0, 3, 5000);
    client = start(&tape, config);
    down = tape_wait(&tape, LW_EVENT_DOWN, 2);
    if (down != NULL) {
        CHECK_INT(down->attempt, 2);
        CHECK_INT(down->http_status, 503);
    }
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, LW_ESTATUS);
    lw_client_free(client);
    tape_destroy(&tape);
}

/* Connects, says hello over TLS, and closes. Frees the configuration. */
static void talks(lw_config *config)
{
    const struct entry *message;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, config);
    CHECK_CODE(send_string(client, "hello"), LW_OK);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (message != NULL)
        CHECK_TEXT(message->data, "hello");
    finish(&tape, client);
    tape_destroy(&tape);
}

static char *contents(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    char *text = (char *)malloc(65536);

    *len = file == NULL ? 0 : fread(text, 1, 65536, file);
    if (file != NULL)
        fclose(file);
    return text;
}

static void a_ca_of_ones_own(void)
{
    lw_config *config = lw_config_new(url(server.wss, "/echo"));
    size_t len;
    char *pem = contents(server.ca_file, &len);

    lw_config_set_tls_ca_file(config, server.ca_file);
    talks(config);
    config = lw_config_new(url(server.wss, "/echo"));
    CHECK_CODE(lw_config_set_tls_ca_pem(config, pem, len), LW_OK);
    free(pem); /* it was copied */
    talks(config);
}

static void an_unknown_ca_is_not_accepted(void)
{
    fails(lw_config_new(url(server.wss, "/echo")), LW_ECERT, 0, "");
}

static void a_certificate_for_another_host_is_not_accepted(void)
{
    lw_config *config = lw_config_new(url(server.wss_bad_name, "/echo"));

    lw_config_set_tls_ca_file(config, server.ca_file);
    fails(config, LW_ECERT, 0, "");
}

static void the_name_in_the_certificate_can_be_given(void)
{
    lw_config *config = lw_config_new(url(server.wss_bad_name, "/echo"));

    lw_config_set_tls_ca_file(config, server.ca_file);
    lw_config_set_tls_server_name(config, "other.example");
    talks(config);
}

static void verification_can_be_turned_off(void)
{
    lw_config *config = lw_config_new(url(server.wss_bad_name, "/echo"));

    lw_config_set_tls_verify(config, false);
    talks(config);
}

/* A file beside the server's CA; lives until the next call with this `place`. */
static const char *beside_ca(char place[512], const char *name)
{
    char *slash;

    snprintf(place, 512, "%s", server.ca_file);
    slash = strrchr(place, '/');
    if (slash != NULL)
        snprintf(slash + 1, 512 - (size_t)(slash + 1 - place), "%s", name);
    return place;
}

static lw_config *as_client(const char *cert_file, const char *key_file)
{
    lw_config *config = lw_config_new(url(server.wss_client_cert, "/echo"));
    char cert[512], key[512];

    lw_config_set_tls_ca_file(config, server.ca_file);
    CHECK_CODE(lw_config_set_tls_client_cert(config, beside_ca(cert, cert_file),
                                             beside_ca(key, key_file)),
               LW_OK);
    return config;
}

static void a_server_may_demand_a_client_certificate(void)
{
    lw_config *config = lw_config_new(url(server.wss_client_cert, "/echo"));

    lw_config_set_tls_ca_file(config, server.ca_file);
    fails(config, LW_ETLS, 0, "");
    fails(as_client("expired.pem", "expired.key"), LW_ETLS, 0, "");
    fails(as_client("foreign.pem", "foreign.key"), LW_ETLS, 0, "");
    talks(as_client("client.pem", "client.key"));
}

static void a_key_that_is_not_pinned_is_not_accepted(void)
{
    lw_config *config = lw_config_new(url(server.wss, "/echo"));

    lw_config_set_tls_ca_file(config, server.ca_file);
    CHECK_CODE(lw_config_add_tls_pinned_key(
                   config, "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
               LW_OK);
    fails(config, LW_ECERT, 0, "");
}

/* Checks what the request offers. Frees the configuration. */
static void offers(lw_config *config, const char *what)
{
    const struct entry *message;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, config);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (message != NULL && what != NULL)
        CHECK(strstr(message->data, what) != NULL);
    if (message != NULL && what == NULL)
        CHECK(strstr(message->data, "permessage-deflate") == NULL);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void compression_is_offered_as_configured(void)
{
    lw_config *config = lw_config_new(url(server.ws, "/headers"));

    offers(config, "\"permessage-deflate; client_no_context_takeover; client_max_window_bits\"");
    config = lw_config_new(url(server.ws, "/headers"));
    lw_config_set_compression_context_takeover(config, true, false);
    lw_config_set_compression_window_bits(config, 10, 11);
    offers(config, "\"permessage-deflate; server_no_context_takeover; server_max_window_bits=11; "
                   "client_max_window_bits=10\"");
    config = lw_config_new(url(server.ws, "/headers"));
    lw_config_set_compression_level(config, 9, 9);
    lw_config_set_compression(config, false);
    offers(config, NULL);
}

static void headers_origin_and_subprotocols_arrive(void)
{
    const struct entry *open, *message;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/headers"));

    tape_init(&tape);
    lw_config_add_header(config, "X-One", "first");
    lw_config_add_header(config, "Authorization", "Bearer caf\xc3\xa9");
    lw_config_set_origin(config, "https://app.example");
    client = start(&tape, config);
    message = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (message != NULL) {
        CHECK(strstr(message->data, "\"x-one\":\"first\"") != NULL);
        CHECK(strstr(message->data, "\"origin\":\"https://app.example\"") != NULL);
        CHECK(strstr(message->data, "\"authorization\":\"Bearer caf\xc3\xa9\"") != NULL);
    }
    finish(&tape, client);
    tape_destroy(&tape);

    tape_init(&tape);
    config = lw_config_new(url(server.ws, "/subprotocol?choose=v2"));
    lw_config_add_subprotocol(config, "v3");
    lw_config_add_subprotocol(config, "v2");
    client = start(&tape, config);
    open = tape_wait(&tape, LW_EVENT_OPEN, 1);
    if (open != NULL) {
        CHECK_TEXT(open->subprotocol, "v2");
        CHECK_INT(open->attempt, 1);
        CHECK_INT(open->reconnects, 0);
    }
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_subprotocol_nobody_offered_is_refused(void)
{
    lw_config *config = lw_config_new(url(server.ws, "/subprotocol?choose=v9"));

    lw_config_add_subprotocol(config, "v2");
    fails(config, LW_EHANDSHAKE, 0, "");
}

void test_connecting(void)
{
    RUN(a_port_that_refuses);
    RUN(a_host_that_does_not_resolve);
    RUN(a_server_that_answers_something_else);
    RUN(a_server_that_answers_nothing);
    RUN(the_headers_of_a_refusal_can_be_read);
    RUN(compression_is_offered_and_what_was_agreed_on_is_told);
    RUN(a_final_answer_ends_a_client_that_would_reconnect);
    RUN(a_busy_server_is_tried_again);
    RUN(a_ca_of_ones_own);
    RUN(an_unknown_ca_is_not_accepted);
    RUN(a_certificate_for_another_host_is_not_accepted);
    RUN(the_name_in_the_certificate_can_be_given);
    RUN(verification_can_be_turned_off);
    RUN(a_server_may_demand_a_client_certificate);
    RUN(a_key_that_is_not_pinned_is_not_accepted);
    RUN(compression_is_offered_as_configured);
    RUN(headers_origin_and_subprotocols_arrive);
    RUN(a_subprotocol_nobody_offered_is_refused);
}
