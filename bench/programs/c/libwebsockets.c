/*
 * libwebsockets, as its minimal examples are: one service loop, writes from the
 * writeable callback, as long as the pipe is not choked. A message may come in
 * pieces, which the user has to put together; those that fit the buffer do not.
 */
#define _GNU_SOURCE
#include <libwebsockets.h>

#include "measure.h"

/* How much is read at once. */
enum { READ = 64 * 1024 };

static struct lws_context *context;
static unsigned char *payload;
static unsigned char *partial;
static size_t partial_len, partial_room;
static uint64_t open_clients, sent, before;
static bool finished;
static lws_sorted_usec_list_t deadline;

static void on_deadline(lws_sorted_usec_list_t *timer)
{
    (void)timer;
    end();
    finished = true;
    lws_cancel_service(context);
}

static void on_open(struct lws *wsi)
{
    if (++open_clients < (bench.workload == MANY ? bench.count : 1))
        return;
    opened();
    if (bench.workload == MANY) {
        before = bench.messages;
        lws_sul_schedule(context, 0, &deadline, on_deadline, (lws_usec_t)bench.size * LWS_US_PER_SEC);
    } else {
        lws_callback_on_writable(wsi);
    }
}

static void on_message(struct lws *wsi, const void *data, size_t len)
{
    enum next next = came(data, len);
    if (next == SEND)
        lws_callback_on_writable(wsi);
    else if (next == OVER)
        finished = true;
}

static void on_piece(struct lws *wsi, const void *data, size_t len)
{
    bool last = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    if (finished)
        return;
    if (last && partial_len == 0) {
        on_message(wsi, data, len);
        return;
    }
    if (partial_len + len > partial_room) {
        partial_room = 2 * (partial_len + len);
        partial = realloc(partial, partial_room);
    }
    memcpy(partial + partial_len, data, len);
    partial_len += len;
    if (last) {
        len = partial_len;
        partial_len = 0;
        on_message(wsi, partial, len);
    }
}

static void write_binary(struct lws *wsi)
{
    if (lws_write(wsi, payload + LWS_PRE, bench.size, LWS_WRITE_BINARY) < (int)bench.size)
        fail("lws_write failed");
}

static void on_writeable(struct lws *wsi)
{
    if (bench.workload == ECHO) {
        sending();
        write_binary(wsi);
    } else if (bench.workload == SINK) {
        for (; sent < bench.count && !lws_send_pipe_choked(wsi); sent++)
            write_binary(wsi);
        if (sent < bench.count)
            lws_callback_on_writable(wsi);
    } else if (sent++ == 0) {
        unsigned char go[LWS_PRE + 2];
        memcpy(go + LWS_PRE, "go", 2);
        lws_write(wsi, go + LWS_PRE, 2, LWS_WRITE_TEXT);
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        on_open(wsi);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        on_piece(wsi, in, len);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        if (bench.workload != MANY)
            on_writeable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fail(in ? in : "no connection");
        break;
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (!finished)
            fail("the server closed");
        break;
    default:
        break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "bench", .callback = on_event, .rx_buffer_size = READ},
        {.name = NULL},
    };
    static const struct lws_extension extensions[] = {
        {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"},
        {NULL, NULL, NULL},
    };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .pt_serv_buf_size = READ,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    take_arguments(argc, argv);
    lws_set_log_level(LLL_ERR, NULL);
    if (bench.deflate)
        info.extensions = extensions;
    if (bench.tls) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.client_ssl_ca_filepath = bench.ca;
    }
    context = lws_create_context(&info);
    if (context == NULL)
        fail("no context");
    payload = calloc(1, LWS_PRE + bench.size);

    const char *scheme, *host, *path;
    int port;
    char whole_path[1024];
    if (lws_parse_uri(strdup(bench.url), &scheme, &host, &port, &path) != 0)
        fail("not a URL");
    snprintf(whole_path, sizeof whole_path, "/%s", path);
    struct lws_client_connect_info connect = {
        .context = context,
        .address = host,
        .host = host,
        .port = port,
        .path = whole_path,
        .ssl_connection = bench.tls ? LCCSCF_USE_SSL : 0,
        .local_protocol_name = "bench",
    };
    for (uint64_t i = 0; i < (bench.workload == MANY ? bench.count : 1); i++)
        if (lws_client_connect_via_info(&connect) == NULL)
            fail("no connection");
    while (!finished)
        if (lws_service(context, 0) < 0)
            fail("the service ended");
    report(bench.messages - before);
    lws_context_destroy(context);
    return 0;
}
