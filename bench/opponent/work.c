/* What the paths of the opponent do. */
#define _GNU_SOURCE
#include "opponent.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* A flood is written from blocks of about this many bytes. */
enum { BLOCK = 1 << 18, KINDS = 64 };

size_t put_header(char *frame, unsigned first, uint64_t len)
{
    frame[0] = (char)first;
    if (len < 126) {
        frame[1] = (char)len;
        return 2;
    }
    size_t bytes = len <= UINT16_MAX ? 2 : 8;
    frame[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++)
        frame[2 + i] = (char)(len >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

/* An order book's update, a different one for each `seed`. */
static size_t json(char *text, size_t size, unsigned seed)
{
    srand(seed + 1);
    size_t len = (size_t)sprintf(text, "{\"channel\":\"book\",\"symbol\":\"BTC-USD\",\"seq\":%d,\"levels\":[", rand());
    while (len + 64 < size)
        len += (size_t)sprintf(text + len, "{\"side\":\"%s\",\"price\":%d.%02d,\"size\":%d},",
                               rand() & 1 ? "buy" : "sell", rand() % 90000, rand() % 100, rand() % 500);
    return len - 1 + (size_t)sprintf(text + len - 1, "]}");
}

/* As one message of permessage-deflate, without context (RFC 7692 section 7.2.1). */
static size_t deflated(const char *text, size_t len, char *into, size_t room)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)text, .avail_in = (uInt)len,
                       .next_out = (Bytef *)into, .avail_out = (uInt)room};
    deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    deflate(&stream, Z_SYNC_FLUSH);
    size_t written = room - stream.avail_out - 4;
    deflateEnd(&stream);
    return written;
}

struct block flood_block(size_t size, bool text, bool compressed)
{
    struct block block = {0};
    size_t frames = BLOCK / (size + 10) + 1;
    size_t room = frames * (size + 256);
    block.bytes = must(malloc(room));
    block.ends = must(malloc(frames * sizeof *block.ends));
    char *message = must(malloc(size + 256)), *small = must(malloc(size + 256));
    for (size_t i = 0; i < frames; i++) {
        const char *payload = message;
        size_t len = size;
        unsigned first = text ? 0x81 : 0x82;
        if (compressed) {
            len = deflated(message, json(message, size, i % KINDS), small, size + 256);
            payload = small;
            first |= 0x40;
        } else {
            for (size_t at = 0; at < size; at++)
                message[at] = (char)('a' + at % 26);
        }
        block.len += put_header(block.bytes + block.len, first, len);
        memcpy(block.bytes + block.len, payload, len);
        block.len += len;
        block.ends[block.frames++] = block.len;
    }
    free(message);
    free(small);
    return block;
}

/* --- The hub: what one member says, all of them hear ---------------------- */

static struct connection *hub;

void join(struct connection *c)
{
    c->next_in_hub = hub;
    if (hub)
        hub->previous_in_hub = c;
    hub = c;
}

void leave(struct connection *c)
{
    if (c->next_in_hub)
        c->next_in_hub->previous_in_hub = c->previous_in_hub;
    if (c->previous_in_hub)
        c->previous_in_hub->next_in_hub = c->next_in_hub;
    else if (hub == c)
        hub = c->next_in_hub;
}

/* --- Messages and timers --------------------------------------------------- */

static uint64_t exponential(uint64_t mean)
{
    return (uint64_t)(-log((rand() + 1.0) / (RAND_MAX + 2.0)) * (double)mean);
}

void on_message(struct connection *c, unsigned first, const char *payload, uint64_t len)
{
    switch (c->work) {
    case ECHO:
        say_frame(c, first, payload, len);
        break;
    case SINK:
        if (++c->done == c->count)
            say_frame(c, 0x81, "done", 4);
        break;
    case FLOOD:
        c->begun = true;
        break;
    case TICK:
        c->due_ns = now_ns() + exponential(c->interval_ns);
        set_timer(c, c->due_ns);
        break;
    case HUB:
        for (struct connection *other = hub; other; other = other->next_in_hub)
            say_frame(other, first, payload, len);
        break;
    case STEADY:
        break;
    }
}

void on_timer(struct connection *c)
{
    char payload[64] = {0};
    if (c->work == STEADY) {
        memset(payload, 'x', sizeof payload);
        say_frame(c, 0x81, payload, sizeof payload);
        c->due_ns += c->interval_ns;
        set_timer(c, c->due_ns);
        return;
    }
    for (uint64_t now = now_ns(); c->done < c->count && c->due_ns <= now; now = now_ns()) {
        memcpy(payload, &now, sizeof now);
        say_frame(c, 0x82, payload, sizeof payload);
        c->done++;
        c->due_ns += exponential(c->interval_ns);
    }
    if (c->done < c->count)
        set_timer(c, c->due_ns);
}
