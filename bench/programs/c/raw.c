/*
 * The limit: a blocking socket that is given frames made beforehand and counts
 * the bytes that come, in blocks as large as is of use. What no client can go
 * below, as it is what the kernel and the server take by themselves.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "measure.h"

enum { BLOCK = 256 * 1024 };

static size_t header_len(uint64_t payload)
{
    return payload < 126 ? 2 : payload <= UINT16_MAX ? 4 : 10;
}

/* A masked frame around what is there already; returns its length. */
static size_t put_frame(unsigned char *frame, unsigned char opcode, uint64_t len)
{
    size_t header = header_len(len);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (unsigned char)(header == 2 ? len : header == 4 ? 126 : 127);
    for (size_t i = 2; i < header; i++)
        frame[i] = (unsigned char)(len >> 8 * (header - 1 - i));
    memcpy(frame + header, "mask", 4);
    return header + 4 + len;
}

static void send_all(int fd, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            fail("send failed");
        bytes += n;
        len -= (size_t)n;
    }
}

static void recv_all(int fd, unsigned char *into, size_t len)
{
    if (recv(fd, into, len, MSG_WAITALL) != (ssize_t)len)
        fail("the server ended");
}

/* ws://127.0.0.1:PORT/PATH */
static int connected(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char request[1024], response[4096] = "";
    unsigned port;
    int at = 0, one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (sscanf(bench.url, "ws://127.0.0.1:%u%n", &port, &at) != 1)
        fail("expected ws://127.0.0.1:PORT/PATH");
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("no connection");
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       bench.url + at, port);
    send_all(fd, (unsigned char *)request, (size_t)len);
    for (size_t got = 0; strstr(response, "\r\n\r\n") == NULL;) {
        ssize_t n = recv(fd, response + got, sizeof response - 1 - got, 0);
        if (n <= 0)
            fail("no handshake");
        got += (size_t)n;
    }
    if (strncmp(response, "HTTP/1.1 101", 12) != 0)
        fail("the handshake was refused");
    return fd;
}

static void echo(int fd)
{
    size_t back = header_len(bench.size) + bench.size;
    unsigned char *frame = calloc(1, 14 + bench.size), *echoed = malloc(back);
    size_t len = put_frame(frame, 2, bench.size);
    enum next next = SEND;
    opened();
    while (next == SEND) {
        sending();
        send_all(fd, frame, len);
        recv_all(fd, echoed, back);
        next = came(echoed + header_len(bench.size), bench.size);
    }
}

static void flood(int fd)
{
    static unsigned char block[BLOCK];
    unsigned char go[8] = {[6] = 'g' ^ 'm', 'o' ^ 'a'};
    uint64_t left = bench.count * (header_len(bench.size) + bench.size);
    opened();
    send_all(fd, go, put_frame(go, 1, 2));
    while (left > 0) {
        ssize_t n = recv(fd, block, left < BLOCK ? (size_t)left : BLOCK, 0);
        if (n <= 0)
            fail("the server ended");
        left -= (uint64_t)n;
    }
    end();
    bench.messages = bench.count;
}

static void sink(int fd)
{
    size_t frame = header_len(bench.size) + 4 + bench.size;
    uint64_t frames = BLOCK / frame + 1;
    unsigned char *block = calloc(frames, frame), done[2 + 4];
    for (uint64_t i = 0; i < frames; i++)
        put_frame(block + i * frame, 2, bench.size);
    opened();
    for (uint64_t left = bench.count; left > 0;) {
        uint64_t now = left < frames ? left : frames;
        send_all(fd, block, now * frame);
        left -= now;
    }
    recv_all(fd, done, sizeof done);
    came(done + 2, 4);
}

int main(int argc, char **argv)
{
    take_arguments(argc, argv);
    if (bench.workload == TICK || bench.workload == MANY || bench.tls || bench.deflate)
        left_out("a raw socket has neither frames of different contents nor TLS nor compression");
    int fd = connected();
    if (bench.workload == ECHO)
        echo(fd);
    else if (bench.workload == FLOOD)
        flood(fd);
    else
        sink(fd);
    report(bench.messages);
    return 0;
}
