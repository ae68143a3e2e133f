/*
 * herd URL COUNT: COUNT clients of one server, until stdin ends.
 *
 * Prints "open" each time all of them are connected, and "down CODE MS" for each
 * loss: the server's close code or 0, and the wait before the next attempt.
 */
#include <longwire.h>

#include <stdio.h>
#include <stdlib.h>

static unsigned count;
/* Events come from one thread, main reads none of this. */
static unsigned open_now;

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)client;
    (void)user;
    if (event->kind == LW_EVENT_OPEN && ++open_now == count) {
        puts("open");
    } else if (event->kind == LW_EVENT_DOWN) {
        open_now--;
        printf("down %u %lu\n", (unsigned)event->code, (unsigned long)event->retry_in_ms);
    } else if (event->kind == LW_EVENT_CLOSED && event->error != NULL) {
        printf("closed %s\n", lw_error_message(event->error));
    } else {
        return;
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    lw_config *config;
    lw_client **clients;

    if (argc != 3 || (count = (unsigned)atoi(argv[2])) == 0)
        return 2;
    config = lw_config_new(argv[1]);
    clients = calloc(count, sizeof(lw_client *));
    if (config == NULL || clients == NULL || lw_config_set_proxy(config, NULL) != LW_OK)
        return 1;
    for (unsigned n = 0; n < count; n++) {
        if (lw_client_new(config, on_event, NULL, NULL, &clients[n], NULL) != LW_OK)
            return 1;
    }
    while (getchar() != EOF) {
    }
    for (unsigned n = 0; n < count; n++)
        lw_client_free(clients[n]);
    lw_config_free(config);
    free(clients);
    return 0;
}
