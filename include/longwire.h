/*
 * longwire: a WebSocket client that stays connected.
 *
 *     static void on_event(lw_client *client, const lw_event *event, void *user)
 *     {
 *         if (event->kind == LW_EVENT_OPEN)
 *             lw_client_send_text(client, "hello", 5);
 *         else if (event->kind == LW_EVENT_MESSAGE)
 *             fwrite(event->data, 1, event->len, stdout);
 *     }
 *
 *     lw_config *config = lw_config_new("wss://feed.example/ticks");
 *     lw_client *client;
 *     int32_t code = lw_client_new(config, on_event, NULL, NULL, &client, NULL);
 *
 * A client is one connection at a time. When it is lost the client tells why,
 * comes back by itself and goes on, until it is closed.
 *
 * THREADS
 *
 * There are two kinds of clients. One made by lw_client_new is driven by a
 * thread of the library: its callback runs there. One made by
 * lw_client_new_hosted is driven by a loop of yours: its callback runs inside
 * lw_client_drive, on the thread that calls it. A hosted client that is not
 * driven for a while stays connected: the library answers pings and keeps what
 * arrives, in order, within the receive buffer.
 *
 * Either way the events of one client come one at a time and in order. All
 * runtime-driven clients share the thread that calls back, so a callback that
 * blocks holds up the others.
 *
 * Every function on a client may be called from any thread, at the same time
 * as others, and inside callbacks. Three rules remain. After lw_client_free or
 * lw_client_release the handle is gone for all threads. lw_client_free waits for a
 * callback that is running on another thread, so do not call it while holding
 * a lock that the callback takes. And a configuration or an lw_message is used by
 * one thread at a time.
 *
 * The questions of a client (below) are events like the others, and come on the
 * same threads; a hosted client gets one before everything else that waits for it.
 * They may be answered from any thread, during the event or later. Lines of the log
 * come on the library's threads and on those that call the library, for both kinds of
 * clients, several at a time.
 *
 * Sends go out on the thread that calls them, with no detour, and never block.
 * The messages of one thread arrive in the order in which they were sent, each
 * whole: while an lw_message is under way the others wait for its end.
 *
 * OWNERSHIP
 *
 * What a function takes, it copies: strings, configurations and payloads can
 * be freed or changed when the call returns. What an event points to, and the
 * event itself, is borrowed and lives until the callback returns; copy what you
 * keep. A configuration is freed with lw_config_free, a client with
 * lw_client_free or lw_client_release, a message that was begun with lw_message_end
 * or lw_message_abandon, before or after its client, and an error received through
 * an lw_error ** with lw_error_free. Freeing NULL does nothing.
 *
 * user is yours: the library hands it to the callback and, when no callback
 * will run any more, exactly once to free_user. The same holds for the function and
 * the user of lw_config_set_log.
 *
 * Payloads, and reasons for closing, are a pointer and a length and may contain
 * any bytes; NULL is fine for no bytes. What one writes down in a configuration
 * is a NUL-terminated string. All text is UTF-8.
 *
 * ERRORS
 *
 * Functions that can fail return an int32_t: LW_OK or another number that is
 * not negative, or a negative LW_E* code. Codes never change their meaning.
 * What is wrong with a call or a configuration is the result of that call, and
 * lw_client_new says more through its lw_error **. Whatever happens later
 * (a server that refuses, a certificate that is not accepted, a connection that
 * is lost) comes as an LW_EVENT_DOWN or, if trying again is of no use, as an
 * LW_EVENT_CLOSED, with an error inside.
 *
 * NULL where something else was expected is LW_EINVAL, never a crash. A defect
 * in the library is LW_EPANIC, and the client it happened to is closed. There is
 * no errno. lw_config_set_log tells of each step of a client, lw_client_stats of its
 * state at any moment.
 *
 * EVENTS
 *
 *     OPEN (MESSAGE | CHUNK | PONG | DRAIN)* DOWN  ...  OPEN ...  CLOSED
 *
 * CLOSED is always the last event, and comes exactly once, unless the client is
 * freed first: after that nothing comes. New kinds of events may appear in later
 * versions; ignore what you do not know.
 *
 * QUESTIONS
 *
 * A client asks only if it was told to. With lw_config_set_before_connect each attempt
 * waits, after LW_EVENT_BEFORE_CONNECT, for lw_client_proceed, which may name URL,
 * headers and subprotocols anew (a token that expires), or for lw_client_refuse. With
 * lw_config_set_should_reconnect each loss and each failed attempt waits, after
 * LW_EVENT_SHOULD_RECONNECT, for lw_client_decide. An answer that takes long is given
 * later, from a thread of yours; lw_config_set_hook_timeout limits the wait.
 * lw_client_close, lw_client_free and lw_client_release go through meanwhile.
 *
 * LARGE MESSAGES
 *
 * A message need not be in memory as a whole. With lw_config_set_streaming it is
 * delivered in parts, as LW_EVENT_CHUNK instead of LW_EVENT_MESSAGE, and may be of
 * any length. lw_message_begin sends one piece by piece.
 *
 * COMPRESSION
 *
 * permessage-deflate is offered and, if the server agrees, used: extensions of
 * LW_EVENT_OPEN tells. By default a connection keeps no memory for what it
 * sends, and 48 KB for what it receives, from the first compressed message on. See
 * lw_config_set_compression, and LW_SEND_UNCOMPRESSED for what must not be
 * compressed.
 *
 * FORK
 *
 * A client does not survive fork(): in the child, sending to an inherited client,
 * pinging, closing, reconnecting and driving it, answering its questions, and asking
 * for its figures or for what never left, answer LW_EFORKED. Freeing it there is fine;
 * the parent's connection is untouched, and the child can make clients of its own.
 *
 * A program may return from main or call exit() with clients open.
 */
#ifndef LONGWIRE_H
#define LONGWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Everything a client is made from.
 */
typedef struct lw_config lw_config;

/**
 * A WebSocket client: one connection at a time, replaced when it is lost.
 */
typedef struct lw_client lw_client;

/**
 * A message that is sent piece by piece.
 */
typedef struct lw_message lw_message;

/**
 * Why something failed: a code, and a sentence that says what was expected and
 * what came.
 *
 * A function that takes an lw_error ** stores NULL there on success and an error
 * on failure, which the caller frees with lw_error_free. Pass NULL if the code is
 * enough. An error inside an event belongs to the event and is not freed.
 */
typedef struct lw_error lw_error;

/**
 * The response headers of an event; see lw_event_header.
 */
typedef struct lw_headers lw_headers;

/**
 * Frees a user pointer, once it is not needed any more; see lw_client_new and
 * lw_config_set_log.
 */
typedef void (*lw_free_user)(void *user);

/* Version ------------------------------------------------------------------------- */

/**
 * The version of this header, major << 16 | minor << 8 | patch.
 */
#define LW_VERSION_NUMBER 256

/**
 * The version of the library that is loaded, such as "0.1.0". Any thread;
 * never NULL, never freed.
 */
const char *lw_version(void);

/**
 * The version of the library that is loaded, to be compared with
 * LW_VERSION_NUMBER, the version the program was compiled with. Any thread.
 */
uint32_t lw_version_number(void);

/* Errors -------------------------------------------------------------------------- */

/**
 * Success.
 */
#define LW_OK 0

/**
 * An argument is not what the function takes: a NULL, a header with a line
 * break, an unknown constant.
 */
#define LW_EINVAL -1

/**
 * The URL cannot be used: not a URL, not ws: or wss:, or no host.
 */
#define LW_EURL -2

/**
 * The connection is closed or closing, and this client never opens again.
 */
#define LW_ECLOSED -3

/**
 * The send buffer is full: nothing of the message was taken, and
 * LW_EVENT_DRAIN follows.
 */
#define LW_EFULL -4

/**
 * Not connected, and the client was told to refuse sends meanwhile; or this is a
 * ping or an lw_message, which never wait for a connection.
 */
#define LW_EOFFLINE -5

/**
 * A time limit passed.
 */
#define LW_ETIMEOUT -6

/**
 * The host name did not resolve.
 */
#define LW_EDNS -7

/**
 * No TCP connection: refused, unreachable, and the like.
 */
#define LW_ECONNECT -8

/**
 * The TLS handshake or a TLS record failed.
 */
#define LW_ETLS -9

/**
 * The server's certificate was not accepted.
 */
#define LW_ECERT -10

/**
 * The server answered, but not with a valid WebSocket handshake.
 */
#define LW_EHANDSHAKE -11

/**
 * The server answered the handshake with another HTTP status than 101; see
 * lw_error_http_status.
 */
#define LW_ESTATUS -12

/**
 * The peer broke the WebSocket protocol.
 */
#define LW_EPROTO -13

/**
 * Text that is not UTF-8.
 */
#define LW_EUTF8 -14

/**
 * A message is larger than the limit.
 */
#define LW_ETOOBIG -15

/**
 * The TCP connection ended without a closing handshake.
 */
#define LW_ELOST -16

/**
 * The peer did not answer a heartbeat ping in time.
 */
#define LW_EHEARTBEAT -17

/**
 * The operating system refused a thread, a descriptor or memory.
 */
#define LW_ERESOURCE -18

/**
 * The client is being driven already, by another thread or further up the
 * stack; or another message of lw_message_begin has not ended.
 */
#define LW_EBUSY -19

/**
 * The client was made by the parent of this forked process.
 */
#define LW_EFORKED -20

/**
 * A defect in longwire: a panic was caught, and the client is closed.
 */
#define LW_EPANIC -21

/**
 * This kind of client does not have the operation.
 */
#define LW_EUNSUPPORTED -22

/**
 * The answer to LW_EVENT_BEFORE_CONNECT was lw_client_refuse.
 */
#define LW_EHOOK -23

/**
 * The code of an error; LW_OK if it is NULL.
 */
int32_t lw_error_code(const lw_error *error);

/**
 * What happened, as a NUL-terminated sentence that lives as long as the
 * error; the empty string if it is NULL.
 */
const char *lw_error_message(const lw_error *error);

/**
 * The HTTP status that the server answered, for LW_ESTATUS; otherwise 0.
 */
int32_t lw_error_http_status(const lw_error *error);

/**
 * Frees an error that an lw_error ** received. NULL is fine; errors inside
 * events are not freed.
 */
void lw_error_free(lw_error *error);

/**
 * The name of a code, such as "LW_EURL"; "LW_E?" for a number that is none.
 * Any thread; never NULL, never freed.
 */
const char *lw_error_name(int32_t code);

/**
 * A short sentence for a code, for when there is no lw_error at hand. Any
 * thread; never NULL, never freed.
 */
const char *lw_strerror(int32_t code);

/* Configuration ------------------------------------------------------------------- */

/**
 * lw_config_set_offline: keep messages until the client is connected, within
 * the send buffer. The default.
 */
#define LW_OFFLINE_QUEUE 0

/**
 * lw_config_set_offline: answer LW_EOFFLINE.
 */
#define LW_OFFLINE_REFUSE 1

/**
 * The defaults, for a ws:// or wss:// URL. A URL that cannot be used is
 * reported by lw_client_new, with a message; NULL gives NULL.
 *
 * Whoever makes a configuration frees it with lw_config_free, at any time:
 * clients have copies. Different threads may use different configurations,
 * but one configuration only one after another. Every setter returns LW_OK
 * or LW_EINVAL.
 */
lw_config *lw_config_new(const char *url);

/**
 * Frees a configuration. NULL is fine.
 */
void lw_config_free(lw_config *config);

/**
 * Adds a request header. The headers that make the handshake (Upgrade,
 * Connection, Sec-WebSocket-*) cannot be given; Host can be replaced.
 */
int32_t lw_config_add_header(lw_config *config, const char *name, const char *value);

/**
 * Offers a subprotocol, the most wanted first.
 */
int32_t lw_config_add_subprotocol(lw_config *config, const char *name);

/**
 * Sets the Origin header. Default: none, as this is no browser.
 */
int32_t lw_config_set_origin(lw_config *config, const char *origin);

/**
 * Connects through this proxy, or with NULL through none: http://, https://, socks5://
 * or socks5h://, then [user:password@]host:port. Default: what HTTPS_PROXY (for wss:),
 * HTTP_PROXY (for ws:), ALL_PROXY and NO_PROXY say in the environment.
 */
int32_t lw_config_set_proxy(lw_config *config, const char *url);

/**
 * How many redirects one attempt follows: never from wss: to ws:, and to another
 * origin without credentials. Default: 0.
 */
int32_t lw_config_set_max_redirects(lw_config *config, uint32_t redirects);

/**
 * The time limit of one attempt: name lookup, TCP, TLS and the handshake.
 * Default: 10,000 ms.
 */
int32_t lw_config_set_connect_timeout_ms(lw_config *config, uint32_t ms);

/**
 * The time limit of the closing handshake, after which the TCP connection is
 * dropped. Default: 10,000 ms.
 */
int32_t lw_config_set_close_timeout_ms(lw_config *config, uint32_t ms);

/**
 * Pings after nothing was received for interval_ms (0: never), and gives
 * the connection up if nothing comes back for timeout_ms after a ping.
 * Default: 20,000 and 20,000 ms.
 */
int32_t lw_config_set_heartbeat(lw_config *config,
                                uint32_t interval_ms,
                                uint32_t timeout_ms);

/**
 * What a send does while the client is not connected: LW_OFFLINE_QUEUE or
 * LW_OFFLINE_REFUSE.
 */
int32_t lw_config_set_offline(lw_config *config, uint32_t offline);

/**
 * Messages that waited for a connection for ms are dropped (0: never), and counted:
 * expired of LW_EVENT_OPEN and of lw_stats. Default: 0.
 */
int32_t lw_config_set_offline_max_age(lw_config *config, uint32_t ms);

/**
 * For hosted clients: how long messages may wait for a program that does not call
 * lw_client_drive (0: for ever), before the log and stalled_ms of lw_stats tell of it
 * and, if close is true, the connection is closed with code 1001 and the client ends
 * with LW_ETIMEOUT. Default: 0, false.
 */
int32_t lw_config_set_consumer_timeout(lw_config *config, uint32_t ms, bool close);

/**
 * true delivers messages in pieces, as they arrive, instead of whole. Then neither
 * the largest message nor the most fragments bound what is received. Default: false.
 */
int32_t lw_config_set_streaming(lw_config *config, bool streaming);

/**
 * The largest message accepted, and the largest sent whole. Default: 64 MiB.
 */
int32_t lw_config_set_max_message_size(lw_config *config, size_t bytes);

/**
 * The most fragments one message may come in. Default: 131,072.
 */
int32_t lw_config_set_max_fragments(lw_config *config, uint32_t fragments);

/**
 * The most bytes that wait to be sent, past which a send answers LW_EFULL;
 * one message is always taken when nothing waits. Default: 16 MiB.
 */
int32_t lw_config_set_send_buffer(lw_config *config, size_t bytes);

/**
 * The most bytes of messages that wait to be fetched, past which reading
 * stops. Default: 16 MiB.
 */
int32_t lw_config_set_receive_buffer(lw_config *config, size_t bytes);

/* Configuration: reconnecting ----------------------------------------------------- */

/**
 * How to come back after a loss: the wait before attempt n is drawn between
 * min_ms and min(max_ms, min_ms * factor^n). Gives up after
 * max_attempts failed attempts in a row (0: never); a connection that lived
 * for stable_after_ms starts the back-off anew. Default: 250, 30,000, 2.0,
 * 0, 5,000. The other settings of reconnecting stay as they are. LW_EINVAL also
 * if min_ms is greater than max_ms, or factor less than 1 or not finite.
 */
int32_t lw_config_set_reconnect(lw_config *config,
                                uint32_t min_ms,
                                uint32_t max_ms,
                                double factor,
                                uint32_t max_attempts,
                                uint32_t stable_after_ms);

/**
 * The client lives as long as its first connection.
 */
int32_t lw_config_set_reconnect_off(lw_config *config);

/**
 * Gives up when there was no stable connection for ms (0: never). Default: 0. This and
 * the next three also switch reconnecting on.
 */
int32_t lw_config_set_reconnect_max_time(lw_config *config, uint32_t ms);

/**
 * A server that says Retry-After is not called again earlier, but not later than this
 * for its sake. Default: 3,600,000 ms.
 */
int32_t lw_config_set_max_retry_after(lw_config *config, uint32_t ms);

/**
 * After the close codes 1012 (restart) and 1013 (try again later) the wait is drawn
 * between min_ms and max_ms, or from the back-off where that is longer. Default: 5,000 and
 * 30,000. LW_EINVAL also if min_ms is greater than max_ms.
 */
int32_t lw_config_set_restart_delay(lw_config *config,
                                    uint32_t min_ms,
                                    uint32_t max_ms);

/**
 * Has a cause be tried again, or not, whatever the rule says: an HTTP status (100 to
 * 599), the peer's close code (1000 to 4999, 1005 for none) or an LW_E code. Of several
 * for one cause the last counts. LW_EINVAL also for other numbers.
 */
int32_t lw_config_set_retry(lw_config *config, int32_t cause, bool retry);

/**
 * true has each attempt wait for an answer to LW_EVENT_BEFORE_CONNECT. Default: false.
 */
int32_t lw_config_set_before_connect(lw_config *config, bool on);

/**
 * true has each loss, and each failed attempt, wait for an answer to
 * LW_EVENT_SHOULD_RECONNECT. Default: false.
 */
int32_t lw_config_set_should_reconnect(lw_config *config, bool on);

/**
 * How long the answer to either may take, from the event on. Default: 10,000 ms.
 */
int32_t lw_config_set_hook_timeout(lw_config *config, uint32_t ms);

/* Configuration: log -------------------------------------------------------------- */

/**
 * lw_config_set_log: something was lost.
 */
#define LW_LOG_ERROR 1

/**
 * lw_config_set_log: something went wrong and is being dealt with.
 */
#define LW_LOG_WARNING 2

/**
 * lw_config_set_log: a connection came or went.
 */
#define LW_LOG_INFO 3

/**
 * lw_config_set_log: each step.
 */
#define LW_LOG_DEBUG 4

/**
 * Gets one line of the log: its level, LW_LOG_*, and a NUL-terminated sentence in UTF-8
 * that lives until the function returns. Never with credentials, and never with what
 * messages say; but with the reasons that servers give.
 *
 * It is called on the library's threads and on those that call the library, several at
 * a time. It must not block nor free a client, and no C++ exception may leave it.
 */
typedef void (*lw_log_fn)(int32_t level, const char *text, void *user);

/**
 * Hands what the clients made from this configuration do to log, with user: lines up to
 * level, one of LW_LOG_*. Default: none.
 *
 * free_user (which may be NULL) is called with user exactly once, when no line will
 * come any more: after the configuration is freed or told another log, and each client
 * made from it has ended and is freed, on the thread that happened to be the last; or
 * at once if this function fails. Lines may come until then. LW_EINVAL also for
 * another level, and for NULL instead of a function.
 */
int32_t lw_config_set_log(lw_config *config,
                          int32_t level,
                          lw_log_fn log,
                          void *user,
                          lw_free_user free_user);

/* Configuration: TLS -------------------------------------------------------------- */

/**
 * Trusts the certificate authorities in this PEM file instead of the
 * system's.
 */
int32_t lw_config_set_tls_ca_file(lw_config *config, const char *path);

/**
 * The same as len bytes of PEM text; used together with the file if both
 * are given.
 */
int32_t lw_config_set_tls_ca_pem(lw_config *config, const char *pem, size_t len);

/**
 * false accepts any certificate. Only for tests: anyone between the client
 * and the server can then read and change everything. Default: true.
 */
int32_t lw_config_set_tls_verify(lw_config *config, bool verify);

/**
 * The name that the certificate must carry and that is sent as SNI. Default:
 * the URL's host.
 */
int32_t lw_config_set_tls_server_name(lw_config *config, const char *name);

/**
 * The client's certificate, with what links it to an authority, and its private key,
 * not encrypted: two PEM files, or one twice. Read anew at each attempt, so that they
 * can be replaced while the client lives. Default: none.
 */
int32_t lw_config_set_tls_client_cert(lw_config *config,
                                      const char *cert_file,
                                      const char *key_file);

/**
 * Accepts only servers whose public key is this one, or another that was added:
 * sha256// and the base64 of the SHA-256 of its SubjectPublicKeyInfo, as curl has
 * it. All other checks remain. Default: any key.
 */
int32_t lw_config_add_tls_pinned_key(lw_config *config, const char *pin);

/* Configuration: compression ------------------------------------------------------ */

/**
 * Whether to offer permessage-deflate (RFC 7692). Default: true.
 */
int32_t lw_config_set_compression(lw_config *config, bool enabled);

/**
 * Messages shorter than this are sent as they are. Default: 1024 bytes. This and the
 * following also switch compression on.
 */
int32_t lw_config_set_compression_threshold(lw_config *config, size_t bytes);

/**
 * How hard to compress: a level from 1, the quickest, to 9, the smallest; and a memory
 * level from 1, the least, to 9, the most. Default: 6 and 8. LW_EINVAL also outside
 * these.
 */
int32_t lw_config_set_compression_level(lw_config *config,
                                        uint32_t level,
                                        uint32_t memory_level);

/**
 * The largest windows with which the client and the server may compress, as the
 * logarithm of their bytes, 9 to 15. Default: 15 and 15. LW_EINVAL also outside these.
 */
int32_t lw_config_set_compression_window_bits(lw_config *config,
                                              uint32_t client,
                                              uint32_t server);

/**
 * Whether the client and the server keep what they compressed, so that similar
 * messages get smaller one after another, for memory on both sides; false asks for
 * each message to be compressed by itself. Default: false and true.
 */
int32_t lw_config_set_compression_context_takeover(lw_config *config,
                                                   bool client,
                                                   bool server);

/* Events -------------------------------------------------------------------------- */

/**
 * The connection is open: attempt, reconnects, subprotocol, extensions, expired and
 * lw_event_header. What is sent from within this event precedes whatever was
 * queued while the client was down.
 */
#define LW_EVENT_OPEN 1

/**
 * A complete message: data, len, is_text.
 */
#define LW_EVENT_MESSAGE 2

/**
 * The answer to a ping: data, len, round_trip_us.
 */
#define LW_EVENT_PONG 3

/**
 * The connection was lost or could not be made, and another attempt follows:
 * error, code, attempt, retry_in_ms. If a server refused the handshake
 * (LW_ESTATUS), data and len are the beginning of the body it answered, and
 * lw_event_header finds its headers.
 */
#define LW_EVENT_DOWN 4

/**
 * The send buffer has room again after a send answered LW_EFULL.
 */
#define LW_EVENT_DRAIN 5

/**
 * The last event, exactly once: code, reason, clean, unsent_messages, unsent_bytes, and
 * error unless this end was wanted by one of the two sides. Data, len and headers as
 * for LW_EVENT_DOWN.
 */
#define LW_EVENT_CLOSED 6

/**
 * A part of a message as it arrived, with lw_config_set_streaming: data, len,
 * is_text, first, last. How the server cut the message into fragments does not
 * matter. A part may be empty, and end inside a character; that all of a text
 * is UTF-8 is checked as it comes. A message whose connection is lost
 * meanwhile has no last part: LW_EVENT_DOWN or LW_EVENT_CLOSED follows.
 */
#define LW_EVENT_CHUNK 7

/**
 * With lw_config_set_before_connect. An attempt waits for lw_client_proceed or
 * lw_client_refuse, here or later, from any thread: ask, attempt, reconnects, and error
 * for why the attempt or connection before came to nothing. Data, len and headers as
 * for LW_EVENT_DOWN. Without an answer within the hook timeout the attempt fails with
 * LW_ETIMEOUT.
 */
#define LW_EVENT_BEFORE_CONNECT 8

/**
 * With lw_config_set_should_reconnect. A loss or a failed attempt waits for
 * lw_client_decide, here or later, from any thread: ask, retry, and as for
 * LW_EVENT_DOWN. Without an answer within the hook timeout it is as retry says.
 * LW_EVENT_DOWN or LW_EVENT_CLOSED follows.
 */
#define LW_EVENT_SHOULD_RECONNECT 9

/**
 * One thing that happened to a client. The event and everything it points to
 * belong to the library and live until the callback returns.
 *
 * Members that do not belong to the kind of the event are 0 or NULL; strings
 * are "" instead, and always NUL-terminated. Members may be added at the end:
 * ask size before using one that is newer than the library you require.
 */
typedef struct lw_event {
    /**
     * The size of this struct in the library that made it.
     */
    size_t size;
    /**
     * LW_EVENT_*.
     */
    uint32_t kind;
    /**
     * OPEN: how many attempts this connection took, counted from 1. BEFORE_CONNECT:
     * which one this is, counted in the same way. DOWN, SHOULD_RECONNECT: how many
     * failed since the last stable connection.
     */
    uint32_t attempt;
    /**
     * OPEN, BEFORE_CONNECT: how many connections were open before this one.
     */
    uint32_t reconnects;
    /**
     * DOWN, SHOULD_RECONNECT, CLOSED: the peer's close code as it came, 1005 if its
     * close frame had none. Without a close frame 1006 in CLOSED, 0 in the others.
     */
    uint16_t code;
    /**
     * MESSAGE, CHUNK: whether this is text (valid UTF-8; a message, not each of
     * its chunks) or binary.
     */
    bool is_text;
    /**
     * CLOSED: whether the closing handshake was completed.
     */
    bool clean;
    /**
     * MESSAGE, CHUNK, PONG: the payload, not NUL-terminated. If error is LW_ESTATUS:
     * the beginning of the body with which the server refused the handshake.
     */
    const uint8_t *data;
    /**
     * How many bytes data points to.
     */
    size_t len;
    /**
     * DOWN, CLOSED, BEFORE_CONNECT, SHOULD_RECONNECT: the cause; NULL if there is none.
     */
    const lw_error *error;
    /**
     * CLOSED: the peer's reason.
     */
    const char *reason;
    /**
     * Its length, without the NUL.
     */
    size_t reason_len;
    /**
     * OPEN: the subprotocol the server chose among those offered.
     */
    const char *subprotocol;
    /**
     * OPEN: the value of Sec-WebSocket-Extensions.
     */
    const char *extensions;
    /**
     * DOWN, SHOULD_RECONNECT: the wait before the next attempt.
     */
    uint64_t retry_in_ms;
    /**
     * PONG: the time since the ping with this payload was sent; -1 for a pong
     * that nobody asked for.
     */
    int64_t round_trip_us;
    /**
     * For lw_event_header.
     */
    const lw_headers *headers;
    /**
     * CHUNK: a message begins.
     */
    bool first;
    /**
     * CHUNK: the message is complete.
     */
    bool last;
    /**
     * BEFORE_CONNECT, SHOULD_RECONNECT: what the answer has to name; never 0.
     */
    uint64_t ask;
    /**
     * CLOSED: how many messages never left; lw_client_unsent has them.
     */
    size_t unsent_messages;
    /**
     * CLOSED: how many bytes these are.
     */
    size_t unsent_bytes;
    /**
     * OPEN: how many messages were dropped since the last connection because they had
     * waited for too long; see lw_config_set_offline_max_age.
     */
    size_t expired;
    /**
     * SHOULD_RECONNECT: what would happen without an answer: whether another attempt
     * follows.
     */
    bool retry;
} lw_event;

/**
 * Gets the events of a client, one at a time and in order. It must not block
 * for long, and no C++ exception may leave it. client is valid during the
 * call and may be used, closed and freed.
 */
typedef void (*lw_callback)(lw_client *client, const struct lw_event *event, void *user);

/**
 * Finds a response header by its name, in any case: the first of that name in
 * an OPEN event, or in an event whose error is LW_ESTATUS.
 * Stores where the value begins and its length in value and len, and
 * returns true; or stores NULL and 0 and returns false. Only during the
 * callback.
 */
bool lw_event_header(const struct lw_event *event,
                     const char *name,
                     const char **value,
                     size_t *len);

/* Clients ------------------------------------------------------------------------- */

/**
 * lw_client_state: dialling, or in the TLS or WebSocket handshake.
 */
#define LW_STATE_CONNECTING 0

/**
 * lw_client_state: messages flow.
 */
#define LW_STATE_OPEN 1

/**
 * lw_client_state: the connection was lost; the next attempt waits for its
 * time.
 */
#define LW_STATE_DOWN 2

/**
 * lw_client_state: a closing handshake is under way; sends are refused.
 */
#define LW_STATE_CLOSING 3

/**
 * lw_client_state: over for good.
 */
#define LW_STATE_CLOSED 4

/**
 * lw_client_drive: everything that was there has been delivered. The same as
 * LW_OK.
 */
#define LW_DRIVE_IDLE 0

/**
 * lw_client_drive: there is more to do, as the budget was spent, or as the
 * peer closes and gets its answer after your replies to what came before; the
 * descriptor stays readable.
 */
#define LW_DRIVE_MORE 1

/**
 * lw_client_drive: LW_EVENT_CLOSED was delivered, now or before, or the
 * callback freed the client; no event will ever come.
 */
#define LW_DRIVE_FINISHED 2

/**
 * Starts a client that the library drives on a thread of its own: callback
 * gets the events there, with user. Returns at once; connecting goes on in
 * the background, and its outcome comes as an event.
 *
 * Stores the handle in client and returns LW_OK; or stores NULL there and an
 * explanation in error (which may be NULL) and returns LW_EURL or LW_EINVAL
 * for what is wrong with the configuration, or LW_ERESOURCE if no thread could
 * be started. The configuration is copied. Events may come before this
 * function has returned.
 *
 * free_user (which may be NULL) is called with user exactly once, after
 * the last callback, on the thread that happened to end the client: after
 * LW_EVENT_CLOSED, or when the client is freed or released, or at once if
 * this function fails. It must not free the client.
 *
 * Any thread.
 */
int32_t lw_client_new(const lw_config *config,
                      lw_callback callback,
                      void *user,
                      lw_free_user free_user,
                      lw_client **client,
                      lw_error **error);

/**
 * Starts a client that the caller drives from a loop of its own: wait until
 * lw_client_poll_fd is readable, then call lw_client_drive. Otherwise like
 * lw_client_new.
 */
int32_t lw_client_new_hosted(const lw_config *config,
                             lw_client **client,
                             lw_error **error);

/**
 * The descriptor of a hosted client to wait on, for reading and
 * level-triggered; the same for the client's whole life, also across
 * reconnects. It belongs to the client: never read or close it, and stop
 * watching it before the client is freed.
 *
 * Returns the descriptor, or a negative code: LW_EUNSUPPORTED for a client
 * that the library drives. Any thread.
 */
int32_t lw_client_poll_fd(const lw_client *client);

/**
 * Reads, decodes, answers pings and hands up to budget events to callback
 * with user, on the calling thread. Does not block.
 *
 * Returns LW_DRIVE_IDLE, LW_DRIVE_MORE or LW_DRIVE_FINISHED, or a negative
 * code: LW_EBUSY while another thread, or a callback further up the stack, is
 * driving this client; LW_EUNSUPPORTED for a client that the library drives;
 * LW_EINVAL for a budget of 0. Any thread, one at a time.
 */
int32_t lw_client_drive(lw_client *client,
                        size_t budget,
                        lw_callback callback,
                        void *user);

/**
 * Begins the closing handshake, after everything sent so far, and ends the
 * client's life: it does not reconnect. code is 1000 to 1003, 1007 to 1014
 * or 3000 to 4999; 0 sends neither code nor reason. The reason is UTF-8, at
 * most 123 bytes, and may be NULL.
 * LW_EVENT_CLOSED follows. Without effect on a client that is closing already. An
 * lw_message under way ends here unfinished, and what waits behind it is not sent.
 *
 * Returns LW_OK, LW_EINVAL or LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_close(lw_client *client,
                        uint16_t code,
                        const char *reason,
                        size_t reason_len);

/**
 * Connects anew: at once instead of waiting for the next attempt, or in place of a
 * connection that is open, which is given up (code 1001). An attempt that is under way
 * goes on; if it fails, the next one follows at once.
 *
 * Returns LW_OK; LW_EUNSUPPORTED for a client that does not reconnect; LW_EINVAL;
 * LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_reconnect(lw_client *client);

/**
 * A hint that another network may be in use. A client that waits for its next attempt
 * makes it at once, with the back-off begun anew. An open connection is asked for a
 * sign of life, and lost (LW_EHEARTBEAT) without one within 5 s, or the heartbeat's
 * timeout if that is shorter.
 *
 * Returns LW_OK, LW_EINVAL or LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_network_changed(lw_client *client);

/**
 * Where the client is in its life: LW_STATE_*, or LW_EINVAL for NULL. Any
 * thread.
 */
int32_t lw_client_state(const lw_client *client);

/**
 * How many bytes were taken by sends and not yet by the kernel; 0 for NULL.
 * Any thread.
 */
size_t lw_client_buffered_amount(const lw_client *client);

/**
 * The latest round trip that a ping measured, in microseconds; -1 if there is
 * none. Any thread.
 */
int64_t lw_client_round_trip_us(const lw_client *client);

/**
 * Ends the client and frees the handle, without waiting for the peer: a close
 * frame with code 1001 goes out if the socket takes it at once. To end with a
 * closing handshake, call lw_client_close first and wait for LW_EVENT_CLOSED.
 *
 * When this returns no callback runs any more, nor ever will, except the one
 * that this may have been called from; free_user has run, or runs right
 * after that callback. It waits for a callback that is running on another
 * thread: never call it while holding a lock that the callback takes.
 * NULL is fine. Any thread, also inside a callback; once.
 */
void lw_client_free(lw_client *client);

/**
 * The same without waiting: for destructors, finalizers and other places that
 * must not block. A callback may still be running on another thread when this
 * returns; none begins. free_user runs soon after. NULL is fine. Any thread,
 * also inside a callback; instead of lw_client_free.
 */
void lw_client_release(lw_client *client);

/**
 * Ends all clients of this process and stops the library's threads, waiting
 * at most limit_ms: for hosts that unload or finalise. Clients made later
 * start the threads again; handles are still to be freed. Not needed before
 * the process exits. Returns LW_OK. Any thread, but not inside a callback.
 */
int32_t lw_shutdown(uint32_t limit_ms);

/* Questions ----------------------------------------------------------------------- */

/**
 * Has the attempt of LW_EVENT_BEFORE_CONNECT go on: as configured if changes is NULL,
 * else with the URL, all the headers and all the subprotocols of changes instead, for
 * this attempt only. The rest of changes is without effect; it is copied.
 *
 * Returns LW_OK; LW_EINVAL if ask is not the number of a question that is open:
 * answered already, or too late; LW_EURL or LW_EINVAL for changes that cannot be used,
 * after which the question stays open; LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_proceed(lw_client *client, uint64_t ask, const lw_config *changes);

/**
 * Has the attempt of LW_EVENT_BEFORE_CONNECT fail with LW_EHOOK and reason, which is
 * UTF-8 and may be NULL. Another attempt follows if retry is true, as after any
 * failure; else the client ends.
 *
 * Returns LW_OK; LW_EINVAL, also if ask is not the number of a question that is open;
 * LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_refuse(lw_client *client,
                         uint64_t ask,
                         const char *reason,
                         size_t len,
                         bool retry);

/**
 * Answers LW_EVENT_SHOULD_RECONNECT: whether another attempt follows.
 *
 * Returns LW_OK; LW_EINVAL if ask is not the number of a question that is open;
 * LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_decide(lw_client *client, uint64_t ask, bool retry);

/* Statistics ---------------------------------------------------------------------- */

/**
 * A client at one moment. Counters are over its whole life, all connections together.
 * Members may be added at the end.
 */
typedef struct lw_stats {
    /**
     * Set it to sizeof(lw_stats). On return: how many bytes of it the library knew and
     * filled; those behind it are 0.
     */
    size_t size;
    /**
     * LW_STATE_*.
     */
    int32_t state;
    /**
     * The attempt that is under way or, while LW_STATE_DOWN, is waiting for its time:
     * counted from 1 since the last open connection. While open, how many it took.
     */
    uint32_t attempt;
    /**
     * Connections that were opened.
     */
    uint32_t connections;
    /**
     * Why the latest connection was lost, or the latest attempt failed: an LW_E code,
     * or LW_OK if none was yet.
     */
    int32_t last_error;
    /**
     * The HTTP status of that error, for LW_ESTATUS; otherwise 0.
     */
    int32_t last_error_http_status;
    /**
     * Its message, NUL-terminated UTF-8, cut where it is longer; "" if there is none.
     */
    char last_error_message[256];
    /**
     * The time until the next attempt, while LW_STATE_DOWN; -1 otherwise.
     */
    int64_t next_retry_ms;
    /**
     * How long the connection has been open; -1 if it is not.
     */
    int64_t connected_for_ms;
    /**
     * When it was opened, by the system's clock: milliseconds since the beginning of
     * 1970 (UTC); -1 if it is not open.
     */
    int64_t connected_since_ms;
    /**
     * Messages taken by sends; those that expired or never left included.
     */
    uint64_t messages_sent;
    /**
     * Messages that came, whole or in parts.
     */
    uint64_t messages_received;
    /**
     * Bytes of frames handed to the kernel or to TLS.
     */
    uint64_t bytes_sent;
    /**
     * Bytes of frames that came.
     */
    uint64_t bytes_received;
    /**
     * Pings sent, those of the heartbeat included.
     */
    uint64_t pings_sent;
    /**
     * Pongs that answered one of them.
     */
    uint64_t pongs_received;
    /**
     * The latest round trip of a ping; -1 if there is none.
     */
    int64_t round_trip_us;
    /**
     * The round trip smoothed as TCP does it (RFC 6298: 7/8 old, 1/8 new); -1 if there
     * is none.
     */
    int64_t smoothed_round_trip_us;
    /**
     * Bytes that were taken by sends and not yet by the kernel.
     */
    size_t buffered_amount;
    /**
     * Hosted: bytes of messages that wait for lw_client_drive.
     */
    size_t inbox;
    /**
     * Messages dropped because they had waited too long for a connection; see
     * lw_config_set_offline_max_age.
     */
    uint64_t expired;
    /**
     * For how long messages have waited for lw_client_drive, once that is longer than
     * lw_config_set_consumer_timeout says; -1 otherwise.
     */
    int64_t stalled_ms;
    /**
     * Bytes of messages that were compressed to be sent, before that …
     */
    uint64_t deflated_before;
    /**
     * … and after it.
     */
    uint64_t deflated_after;
    /**
     * Bytes of compressed messages as they came …
     */
    uint64_t inflated_before;
    /**
     * … and as they were delivered.
     */
    uint64_t inflated_after;
} lw_stats;

/**
 * Fills stats, whose size the caller has set.
 *
 * Returns LW_OK; LW_EINVAL for NULL, or for a size that is smaller than the first
 * version of the struct; LW_EFORKED. Any thread, also inside a callback.
 */
int32_t lw_client_stats(const lw_client *client, struct lw_stats *stats);

/* Sending ------------------------------------------------------------------------- */

/**
 * lw_client_send, lw_message_begin: a text message, in UTF-8.
 */
#define LW_TEXT 1

/**
 * lw_client_send, lw_message_begin: a binary message.
 */
#define LW_BINARY 2

/**
 * lw_client_send, lw_message_begin: as it is, even if compression was agreed on; for
 * what is compressed already, or secret beside what others can choose (RFC 7692
 * section 8).
 */
#define LW_SEND_UNCOMPRESSED 1

/**
 * lw_client_send, lw_message_begin: as from within LW_EVENT_OPEN, wherever it is sent
 * from: as long as that event or its lw_client_hold lasts it precedes what was queued
 * while the client was down. At any other time without effect.
 */
#define LW_SEND_AHEAD 2

/**
 * Gets one message that never left: LW_TEXT or LW_BINARY, and len bytes that live until
 * it returns.
 */
typedef void (*lw_unsent_fn)(uint32_t kind, const uint8_t *data, size_t len, void *user);

/**
 * Sends len bytes of UTF-8 as a text message, from the calling thread. Never
 * blocks: what the kernel does not take now is kept and sent later. The bytes
 * are copied or gone when this returns.
 *
 * Returns LW_OK; LW_EFULL if the send buffer is full (nothing was taken, and
 * LW_EVENT_DRAIN follows); LW_EOFFLINE if not connected and so configured;
 * LW_ECLOSED; LW_EUTF8; LW_ETOOBIG past the largest message; LW_EFORKED. Any
 * thread, also inside a callback.
 */
int32_t lw_client_send_text(lw_client *client, const char *text, size_t len);

/**
 * Sends len bytes as a binary message; like lw_client_send_text.
 */
int32_t lw_client_send_binary(lw_client *client, const void *data, size_t len);

/**
 * Sends len bytes as a message of this kind, LW_TEXT or LW_BINARY, with flags: 0 or
 * what is wanted of LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD. Like lw_client_send_text;
 * LW_EINVAL also for other kinds and flags.
 */
int32_t lw_client_send(lw_client *client,
                       uint32_t kind,
                       const void *data,
                       size_t len,
                       uint32_t flags);

/**
 * Sends a ping with up to 125 bytes; the answer is an LW_EVENT_PONG.
 *
 * Returns LW_OK; LW_EOFFLINE if not connected; LW_EINVAL if the payload is
 * too long; LW_EFULL; LW_ECLOSED; LW_EFORKED. Any thread, also inside a
 * callback.
 */
int32_t lw_client_ping(lw_client *client, const void *data, size_t len);

/**
 * From within LW_EVENT_OPEN: what was queued while the client was down waits until
 * lw_client_ready, so that an answer of the server's can be awaited first. What is sent
 * meanwhile with LW_SEND_AHEAD goes out.
 *
 * Stores the number of the connection in hold, for lw_client_ready, and returns LW_OK;
 * or stores 0 there and returns LW_EOFFLINE if there is no connection that has just
 * opened; LW_EINVAL. Any thread, while the event lasts.
 */
int32_t lw_client_hold(lw_client *client, uint64_t *hold);

/**
 * Has the queue follow on the connection that was held. Without effect if that one is
 * gone. Returns LW_OK or LW_EINVAL. Any thread, also inside a callback.
 */
int32_t lw_client_ready(lw_client *client, uint64_t hold);

/**
 * Hands each message that never left to callback, with user, in the order in which they
 * were sent, before it returns. Call it in LW_EVENT_CLOSED or later. A second call finds
 * none.
 *
 * Returns LW_OK; LW_EINVAL for NULL; LW_EFORKED. Any thread, also inside a callback;
 * callback runs on this thread, and may free the client.
 */
int32_t lw_client_unsent(lw_client *client, lw_unsent_fn callback, void *user);

/* Messages ------------------------------------------------------------------------ */

/**
 * Begins a message of this kind, LW_TEXT or LW_BINARY, with flags: 0 or
 * what is wanted of LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD. Stores it in message and
 * returns LW_OK; or stores NULL there and returns a code: LW_EOFFLINE if not connected, or if messages that were
 * queued meanwhile have yet to go out, for this one is never queued; LW_EBUSY while
 * another such message of this client has not ended; LW_EINVAL; LW_ECLOSED;
 * LW_EFORKED.
 *
 * Whole messages that are sent until it ends wait for that, in the send buffer; pings
 * do not. It has no largest size. Any thread, also inside a callback.
 */
int32_t lw_message_begin(lw_client *client,
                         uint32_t kind,
                         uint32_t flags,
                         lw_message **message);

/**
 * Sends the next len bytes of the message. Text may be cut anywhere, also inside a
 * character. Never blocks; the bytes are copied or gone when this returns.
 *
 * Returns LW_OK; LW_EFULL if the send buffer is full (LW_EVENT_DRAIN follows) and
 * LW_EUTF8 for what cannot go on a text, which both took nothing, so that the same or
 * another piece may follow; LW_ELOST if the connection is no more that the message
 * began on, and LW_ECLOSED, after which nothing can; LW_EINVAL; LW_EFORKED. Any
 * thread, one at a time for each message, also inside a callback.
 */
int32_t lw_message_continue(lw_message *message, const void *data, size_t len);

/**
 * Ends the message, frees the handle, and lets out the messages that waited.
 *
 * Returns LW_OK, which means what it means for a send; LW_EUTF8 if a text ends inside
 * a character, which gives the connection up like lw_message_abandon; LW_ELOST or
 * LW_ECLOSED if it cannot be completed any more; LW_EINVAL for NULL; LW_EFORKED. Never
 * LW_EFULL. The handle is gone whatever this returns. Any thread, also inside a
 * callback; once.
 */
int32_t lw_message_end(lw_message *message);

/**
 * Frees the handle of a message that is not to be completed. Of one that has no piece
 * yet nothing was sent. Otherwise the server can make nothing of what follows: the
 * connection, if it is still there, is given up with close code 1011, LW_EVENT_DOWN
 * or LW_EVENT_CLOSED tell of LW_ELOST, and the client comes back as after any loss.
 * NULL is fine. Any thread, also inside a callback; instead of lw_message_end.
 */
void lw_message_abandon(lw_message *message);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LONGWIRE_H */
