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
