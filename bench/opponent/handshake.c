/* The opening handshake (RFC 6455 section 4.2), and what the path asks for. */
#define _GNU_SOURCE
#include "opponent.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t number(const char *query, const char *name, uint64_t otherwise)
{
    char key[32];
    int len = snprintf(key, sizeof key, "%s=", name);
    for (const char *at = query; (at = strstr(at, key)); at += len)
        if (at[-1] == '?' || at[-1] == '&')
            return strtoull(at + len, NULL, 10);
    return otherwise;
}

static int work_of(const char *path)
{
    static const struct {
        const char *path;
        enum work work;
    } known[] = {{"/echo", ECHO}, {"/flood", FLOOD},   {"/sink", SINK},
                 {"/tick", TICK}, {"/steady", STEADY}, {"/hub", HUB}};
    size_t len = strcspn(path, "? ");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].path) == len && strncmp(path, known[i].path, len) == 0)
            return (int)known[i].work;
    return -1;
}

ssize_t upgrade(struct connection *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return len < 16384 ? 0 : -1;
    size_t request = (size_t)(end - bytes) + 4;
    char *text = must(strndup(bytes, request));
    const char *key = strcasestr(text, "\r\nsec-websocket-key:");
    const char *target = strchr(text, ' ');
    int work = key && target ? work_of(target + 1) : -1;
    if (work < 0) {
        free(text);
        return -1;
    }
    char *query = must(strndup(target + 1, strcspn(target + 1, " ")));
    c->work = (enum work)work;
    c->count = number(query, "count", UINT64_MAX);
    c->interval_ns = number(query, "interval", 1000) * (c->work == TICK ? 1000 : 1000000);
    bool deflate =
        number(query, "deflate", 0) && strcasestr(text, "permessage-deflate");
    if (c->work == FLOOD)
        c->block = flood_block(number(query, "size", 64), strstr(query, "kind=text"), deflate);
    free(query);

    key += strlen("\r\nsec-websocket-key:");
    key += strspn(key, " \t");
    char joined[128], accept[64];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int joined_len = snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                              (int)strcspn(key, " \t\r"), key);
    SHA1((unsigned char *)joined, (size_t)joined_len, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    free(text);

    char answer[512];
    int answer_len = snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n%s\r\n",
        accept,
        deflate ? "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                  "client_no_context_takeover\r\n"
                : "");
    say(c, answer, (size_t)answer_len);
    return (ssize_t)request;
}
