/*
 * client callback|hosted URL COUNT: echoes through the C interface in each of
 * COUNT cases of a fuzzing server, driven by the library's thread or by a poll
 * loop here.
 *
 * What becomes of a connection is for the server to judge. Only what no server
 * can bring about ends this program early: a send that is refused although
 * the connection is open.
 */
#define _POSIX_C_SOURCE 200809L
#include <longwire.h>

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sem_t over;

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)user;
    if (event->kind == LW_EVENT_MESSAGE) {
        const char *data = (const char *)event->data;
        int32_t sent = event->is_text ? lw_client_send_text(client, data, event->len)
                                      : lw_client_send_binary(client, data, event->len);
        if (sent != LW_OK && sent != LW_ECLOSED) {
            fprintf(stderr, "client: no echo: %s\n", lw_strerror(sent));
            exit(1);
        }
    } else if (event->kind == LW_EVENT_CLOSED) {
        sem_post(&over);
    }
}

static int32_t start(const lw_config *config, bool hosted, lw_client **client)
{
    return hosted ? lw_client_new_hosted(config, client, NULL)
                  : lw_client_new(config, on_event, NULL, NULL, client, NULL);
}

static void drive(lw_client *client)
{
    struct pollfd readable = {.fd = lw_client_poll_fd(client), .events = POLLIN};
    while (lw_client_drive(client, 64, on_event, NULL) != LW_DRIVE_FINISHED)
        poll(&readable, 1, -1);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    bool hosted = strcmp(argv[1], "hosted") == 0;
    int count = atoi(argv[3]);
    sem_init(&over, 0, 0);

    for (int number = 1; number <= count; number++) {
        char url[256];
        lw_client *client;
        snprintf(url, sizeof url, "%s/runCase?case=%d&agent=longwire", argv[2], number);
        lw_config *config = lw_config_new(url);
        lw_config_set_reconnect_off(config);
        if (start(config, hosted, &client) != LW_OK)
            return 1;
        lw_config_free(config);
        if (hosted)
            drive(client);
        sem_wait(&over);
        lw_client_free(client);
    }
    return 0;
}
