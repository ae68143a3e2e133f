/*
 * opponent: serves until its standard input ends. Prints one line of JSON, with
 * the URLs of both ports and the certificate of the CA (DIRECTORY of the
 * program/tls/{ca,cert,key}.pem).
 *
 *   /echo                                  sends back what comes
 *   /flood?count=&size=&kind=&deflate=     after the first message, `count` messages
 *   /sink?count=                           takes messages; says "done" after the last
 *   /tick?count=&interval=                 after the first message, at random distances of
 *                                          `interval` µs on average, messages that begin with
 *                                          CLOCK_MONOTONIC of their sending, in ns
 *   /steady?interval=                      a message every `interval` ms
 *   /hub                                   what one client says, all of the hub's hear
 */
#define _GNU_SOURCE
#include "opponent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum kind { STDIN, PLAIN_PORT, TLS_PORT, SOCKET, TIMER };

struct source {
    enum kind kind;
    int fd;
    struct connection *connection;
};

/* How much is read at once, and how much of a flood is written in one turn. */
enum { READ = 1 << 20, TURN = 4 << 20 };

static int epoll;
static SSL_CTX *tls;
/* One for all: what is left of a read goes to the connection. */
static char scratch[READ];
/* Connections to which something was said and not sent. */
static struct connection **talking;
static size_t talking_len, talking_room;

void *must(void *allocated)
{
    if (!allocated)
        abort();
    return allocated;
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static struct source *watch(enum kind kind, int fd, struct connection *connection)
{
    struct source *source = must(malloc(sizeof *source));
    *source = (struct source){kind, fd, connection};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    return source;
}

static void want_out(struct connection *c, bool wanted)
{
    if (c->wants_out == wanted)
        return;
    c->wants_out = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = c->socket};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

void set_timer(struct connection *c, uint64_t due_ns)
{
    if (!c->timer) {
        c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        c->timer = watch(TIMER, c->timer_fd, c);
    }
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due_ns / 1000000000U),
                                         .tv_nsec = (long)(due_ns % 1000000000U)}};
    timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* --- The transport ---------------------------------------------------------- */

static ssize_t tls_result(struct connection *c, int result)
{
    if (result > 0)
        return result;
    int error = SSL_get_error(c->ssl, result);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

ssize_t take(struct connection *c, char *into, size_t room)
{
    return c->ssl ? tls_result(c, SSL_read(c->ssl, into, (int)room)) : recv(c->fd, into, room, 0);
}

ssize_t give(struct connection *c, const char *bytes, size_t len)
{
    return c->ssl ? tls_result(c, SSL_write(c->ssl, bytes, (int)len))
                  : send(c->fd, bytes, len, MSG_NOSIGNAL);
}

/* --- What is to be sent ------------------------------------------------------ */

void say(struct connection *c, const void *bytes, size_t len)
{
    if (c->out_len == c->out_at) {
        c->out_at = c->out_len = 0;
        if (talking_len == talking_room) {
            talking_room = talking_room ? 2 * talking_room : 64;
            talking = must(realloc(talking, talking_room * sizeof *talking));
        }
        talking[talking_len++] = c;
    }
    if (c->out_len + len > c->out_room) {
        c->out_room = 2 * c->out_room + len;
        c->out = must(realloc(c->out, c->out_room));
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

void say_frame(struct connection *c, unsigned opcode, const void *payload, size_t len)
{
    char header[10];
    say(c, header, put_header(header, opcode | 0x80, len));
    say(c, payload, len);
}

/* False: the connection failed. */
static bool flush(struct connection *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = give(c, c->out + c->out_at, c->out_len - c->out_at);
        if (n < 0) {
            want_out(c, true);
            return errno == EAGAIN;
        }
        c->out_at += (size_t)n;
    }
    /* What is idle costs nothing. */
    free(c->out);
    c->out = NULL;
    c->out_at = c->out_len = c->out_room = 0;
    return true;
}

static bool flood(struct connection *c)
{
    struct block *block = &c->block;
    size_t turn = 0;
    while (c->done < c->count && turn < TURN) {
        uint64_t left = c->count - c->done + c->block_frame;
        size_t end = left < block->frames ? block->ends[left - 1] : block->len;
        ssize_t n = give(c, block->bytes + c->block_at, end - c->block_at);
        if (n < 0) {
            want_out(c, true);
            return errno == EAGAIN;
        }
        turn += (size_t)n;
        c->block_at += (size_t)n;
        while (c->block_frame < block->frames && block->ends[c->block_frame] <= c->block_at) {
            c->block_frame++;
            c->done++;
        }
        if (c->block_frame == block->frames)
            c->block_at = c->block_frame = 0;
    }
    want_out(c, c->done < c->count);
    return true;
}

static bool write_all(struct connection *c)
{
    if (!flush(c))
        return false;
    if (c->out_at < c->out_len)
        return true;
    if (c->begun && c->done < c->count)
        return flood(c);
    want_out(c, false);
    return true;
}

/* --- What comes ---------------------------------------------------------------- */

static void remove_mask(char *payload, uint64_t len, const char *mask)
{
    uint64_t wide, at = 0;
    memcpy(&wide, mask, 4);
    memcpy((char *)&wide + 4, mask, 4);
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, payload + at, 8);
        word ^= wide;
        memcpy(payload + at, &word, 8);
    }
    for (; at < len; at++)
        payload[at] ^= mask[at % 4];
}

/* Returns how many bytes were taken. */
static size_t take_frames(struct connection *c, char *bytes, size_t len)
{
    size_t at = 0;
    while (len - at >= 6) {
        unsigned first = (unsigned char)bytes[at];
        uint64_t payload = (unsigned char)bytes[at + 1] & 0x7F;
        size_t header = 6;
        if (payload >= 126) {
            size_t extra = payload == 126 ? 2 : 8;
            header += extra;
            if (len - at < header)
                break;
            payload = 0;
            for (size_t i = 0; i < extra; i++)
                payload = payload << 8 | (unsigned char)bytes[at + 2 + i];
        }
        bool data = (first & 8) == 0;
        if (data && c->work == SINK) {
            if (first & 0x80)
                on_message(c, first, NULL, payload);
            uint64_t there = len - at - header;
            if (there < payload) {
                c->skip = payload - there;
                return len;
            }
        } else {
            if (len - at < header + payload)
                break;
            char *start = bytes + at + header;
            remove_mask(start, payload, start - 4);
            if (data) {
                on_message(c, first, start, payload);
            } else if ((first & 15) == 9) {
                say_frame(c, 0xA, start, payload);
            } else if ((first & 15) == 8) {
                say_frame(c, 8, start, payload < 2 ? 0 : 2);
                c->closing = true;
            }
        }
        at += header + payload;
    }
    return at;
}

static void keep(struct connection *c, const char *bytes, size_t len)
{
    if (len > c->in_room) {
        c->in_room = len < 4096 ? len : 2 * len;
        c->in = must(realloc(c->in, c->in_room));
    }
    if (len)
        memmove(c->in, bytes, len);
    c->in_len = len;
    if (!len) {
        free(c->in);
        c->in = NULL;
        c->in_room = 0;
    }
}

static bool take_bytes(struct connection *c, char *bytes, size_t len)
{
    size_t at = 0;
    if (!c->upgraded) {
        ssize_t request = upgrade(c, bytes, len);
        if (request < 0)
            return false;
        if (request == 0) {
            keep(c, bytes, len);
            return true;
        }
        c->upgraded = true;
        at = (size_t)request;
        if (c->work == HUB)
            join(c);
        if (c->work == STEADY) {
            c->due_ns = now_ns() + (uint64_t)rand() % c->interval_ns;
            set_timer(c, c->due_ns);
        }
    }
    if (c->skip) {
        uint64_t skipped = c->skip < len - at ? c->skip : len - at;
        c->skip -= skipped;
        at += skipped;
    }
    at += take_frames(c, bytes + at, len - at);
    keep(c, bytes + at, len - at);
    return true;
}

static bool read_all(struct connection *c)
{
    for (size_t turn = 0; turn < TURN;) {
        ssize_t n;
        if (c->in_len) {
            /* Room for the rest of a large message, or for much that is small. */
            if (c->in_room - c->in_len < READ / 4) {
                c->in_room = 2 * c->in_room + READ / 4;
                c->in = must(realloc(c->in, c->in_room));
            }
            n = take(c, c->in + c->in_len, c->in_room - c->in_len);
            if (n > 0) {
                size_t len = c->in_len + (size_t)n;
                c->in_len = 0;
                if (!take_bytes(c, c->in, len))
                    return false;
            }
        } else {
            n = take(c, scratch, sizeof scratch);
            if (n > 0 && !take_bytes(c, scratch, (size_t)n))
                return false;
        }
        if (n == 0)
            return false;
        if (n < 0)
            return errno == EAGAIN;
        turn += (size_t)n;
        /* A short read means that the socket is empty; TLS may hold more. */
        if (!c->ssl && (size_t)n < READ / 4)
            return true;
    }
    return true;
}

static void end(struct connection *c)
{
    for (size_t i = 0; i < talking_len; i++)
        if (talking[i] == c)
            talking[i] = talking[--talking_len];
    leave(c);
    if (c->ssl)
        SSL_free(c->ssl);
    close(c->fd);
    if (c->timer)
        close(c->timer_fd);
    free(c->timer);
    free(c->socket);
    free(c->block.bytes);
    free(c->block.ends);
    free(c->in);
    free(c->out);
    free(c);
}

static void accept_all(int port, bool secure)
{
    int fd, on = 1;
    while ((fd = accept4(port, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        if (secure) {
            c->ssl = must(SSL_new(tls));
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl);
        }
        c->socket = watch(SOCKET, fd, c);
    }
}

/* False: the connection is over. */
static bool turn(struct source *source, uint32_t events)
{
    struct connection *c = source->connection;
    if (source->kind == TIMER) {
        uint64_t rings;
        if (read(source->fd, &rings, sizeof rings) == sizeof rings)
            on_timer(c);
        return true;
    }
    if (events & ~(uint32_t)EPOLLOUT && !read_all(c))
        return false;
    return write_all(c) && !(c->closing && c->out_at == c->out_len);
}

/* What was said in this turn to others than those whose turn it was. */
static void flush_talking(void)
{
    while (talking_len) {
        struct connection *c = talking[--talking_len];
        if (!write_all(c))
            shutdown(c->fd, SHUT_RDWR);
    }
}

static int listen_on(struct sockaddr_in *address)
{
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)address, len) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)address, &len)) {
        perror("opponent");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    (void)argc;
    char directory[4096], file[3][4200];
    if (!realpath(argv[0], directory))
        return 1;
    dirname(directory);
    for (int i = 0; i < 3; i++)
        snprintf(file[i], sizeof file[i], "%s/tls/%s.pem", directory,
                 (const char *[]){"ca", "cert", "key"}[i]);
    tls = must(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* All clients offer it, and it costs this server least: it is not to set the pace. */
    if (SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1) {
        fputs("opponent: this OpenSSL has no TLS_AES_128_GCM_SHA256\n", stderr);
        return 1;
    }
    if (SSL_CTX_use_certificate_file(tls, file[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, file[2], SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "opponent: expected a certificate in %s and a key in %s\n", file[1], file[2]);
        return 1;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    struct sockaddr_in plain, secure;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(PLAIN_PORT, listen_on(&plain), NULL);
    watch(TLS_PORT, listen_on(&secure), NULL);
    watch(STDIN, 0, NULL);
    printf("{\"ws\": \"ws://127.0.0.1:%d\", \"wss\": \"wss://localhost:%d\", \"ca\": \"%s\"}\n",
           ntohs(plain.sin_port), ntohs(secure.sin_port), file[0]);
    fflush(stdout);
    for (;;) {
        /* One at a time: a turn may end the connection of another event. */
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 1)
            continue;
        struct source *source = event.data.ptr;
        char ignored[256];
        switch (source->kind) {
        case STDIN:
            if (read(0, ignored, sizeof ignored) <= 0)
                return 0;
            break;
        case PLAIN_PORT:
        case TLS_PORT:
            accept_all(source->fd, source->kind == TLS_PORT);
            break;
        case SOCKET:
        case TIMER:
            if (!turn(source, event.events))
                end(source->connection);
            break;
        }
        flush_talking();
    }
}
