/*
 * longwire callback|hosted URL COUNT: 64-byte echoes through the C interface,
 * driven by the library's thread or by a poll loop here.
 */
#define _GNU_SOURCE
#include <longwire.h>

#include <poll.h>
#include <semaphore.h>
#include <string.h>

#include "clock.h"

static long left;
static uint64_t begun;
static sem_t over;

static void next(lw_client *client)
{
    static const char payload[64];
    begun = now_ns();
    lw_client_send_binary(client, payload, sizeof payload);
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)user;
    if (event->kind == LW_EVENT_OPEN) {
        next(client);
    } else if (event->kind == LW_EVENT_MESSAGE) {
        sample(now_ns() - begun);
        if (--left > 0)
            next(client);
        else
            lw_client_close(client, 1000, NULL, 0);
    } else if (event->kind == LW_EVENT_CLOSED) {
        sem_post(&over);
    }
}

int main(int argc, char **argv)
{
    lw_client *client;
    if (argc != 4)
        return 2;
    left = atol(argv[3]);
    sem_init(&over, 0, 0);
    lw_config *config = lw_config_new(argv[2]);
    lw_config_set_reconnect_off(config);
    if (strcmp(argv[1], "hosted") == 0) {
        if (lw_client_new_hosted(config, &client, NULL) != LW_OK)
            return 1;
        struct pollfd ready = {.fd = lw_client_poll_fd(client), .events = POLLIN};
        do
            poll(&ready, 1, -1);
        while (lw_client_drive(client, 64, on_event, NULL) != LW_DRIVE_FINISHED);
    } else {
        if (lw_client_new(config, on_event, NULL, NULL, &client, NULL) != LW_OK)
            return 1;
        sem_wait(&over);
    }
    lw_config_free(config);
    lw_client_free(client);
    if (left > 0)
        return 1;
    print_median();
    return 0;
}
