/*
 * raw URL COUNT: the limit. The same 64-byte echo over a blocking socket, with
 * a frame made beforehand: what the kernel and the server take by themselves.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"

int main(int argc, char **argv)
{
    static const char request[] = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned char frame[6 + 64] = {0x82, 0x80 | 64, 1, 2, 3, 4};
    char buffer[4096];
    int one = 1;

    /* ws://127.0.0.1:PORT/echo */
    if (argc != 3 || strrchr(argv[1], ':') == NULL)
        return 2;
    long count = atol(argv[2]);
    address.sin_port = htons((uint16_t)atoi(strrchr(argv[1], ':') + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 1;
    send(fd, request, sizeof request - 1, 0);
    if (recv(fd, buffer, sizeof buffer, 0) <= 0)
        return 1;

    for (long i = 0; i < count; i++) {
        uint64_t begun = now_ns();
        if (send(fd, frame, sizeof frame, 0) != sizeof frame)
            return 1;
        for (ssize_t got = 0, n; got < 2 + 64; got += n)
            if ((n = recv(fd, buffer, sizeof buffer, 0)) <= 0)
                return 1;
        sample(now_ns() - begun);
    }
    print_median();
    return 0;
}
