/*
 * burst URL COUNT: sends COUNT messages of 64 bytes in one go, from a thread
 * that has no event loop, and waits until the server says it has them.
 * URL is the test server's /count?every=COUNT.
 */
#include <longwire.h>

#include <semaphore.h>
#include <stdlib.h>

static sem_t event_came;

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)client;
    (void)user;
    if (event->kind == LW_EVENT_OPEN || event->kind == LW_EVENT_MESSAGE)
        sem_post(&event_came);
}

int main(int argc, char **argv)
{
    static const char payload[64];
    lw_client *client;
    if (argc != 3)
        return 2;
    sem_init(&event_came, 0, 0);
    lw_config *config = lw_config_new(argv[1]);
    if (lw_client_new(config, on_event, NULL, NULL, &client, NULL) != LW_OK)
        return 1;
    lw_config_free(config);
    sem_wait(&event_came);
    for (long left = atol(argv[2]); left > 0; left--)
        if (lw_client_send_binary(client, payload, sizeof payload) != LW_OK)
            return 1;
    sem_wait(&event_came);
    lw_client_free(client);
    return 0;
}
