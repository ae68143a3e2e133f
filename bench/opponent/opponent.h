/*
 * The other side of a measurement: a WebSocket server that costs as little as
 * it can, so that what is measured is the client.
 *
 * One thread, one epoll. It trusts its clients (they are ours): frames are not
 * validated, masks are only removed where the bytes are sent back.
 */
#ifndef OPPONENT_H
#define OPPONENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum work { ECHO, FLOOD, SINK, TICK, STEADY, HUB };

struct source;

/* What is sent over and over: whole frames, one behind the other. */
struct block {
    char *bytes;
    size_t len;
    /* Where each frame ends. */
    size_t *ends;
    size_t frames;
};

struct connection {
    struct source *socket, *timer;
    int fd, timer_fd;
    SSL *ssl;
    bool secured, upgraded, wants_out, closing;

    enum work work;
    uint64_t count, interval_ns;
    struct block block;

    /* The beginning of a frame or of the request that is not all there. */
    char *in;
    size_t in_len, in_room;
    /* Payload that is still to come and that nobody looks at. */
    uint64_t skip;

    char *out;
    size_t out_at, out_len, out_room;

    /* Messages taken or sent, and how far into the block the flood is. */
    uint64_t done, due_ns;
    size_t block_at, block_frame;
    bool begun;
    struct connection *next_in_hub, *previous_in_hub;
};

/* The transport: as read(2) and write(2) on a non-blocking socket; -1 with
   errno EAGAIN when there is nothing to do now. */
ssize_t take(struct connection *, char *into, size_t room);
ssize_t give(struct connection *, const char *bytes, size_t len);

/* Adds to what is sent at the end of the turn. */
void say(struct connection *, const void *bytes, size_t len);
void say_frame(struct connection *, unsigned opcode, const void *payload, size_t len);

/* The handshake: 0 as long as the request is incomplete, its length when it
   was answered, -1 for something else. */
ssize_t upgrade(struct connection *, const char *bytes, size_t len);

/* A header without a mask, into `frame`; returns its length (2 to 10). */
size_t put_header(char *frame, unsigned first, uint64_t len);

struct block flood_block(size_t size, bool text, bool deflated);

/* What the connection is for, when it sends a message or when its timer rings. */
void on_message(struct connection *, unsigned first, const char *payload, uint64_t len);
void on_timer(struct connection *);
/* The hub's members. */
void join(struct connection *);
void leave(struct connection *);

uint64_t now_ns(void);
void *must(void *allocated);
void set_timer(struct connection *, uint64_t due_ns);

#endif
