/*
 * echo URL MESSAGE [CA_FILE]: sends one message, prints the answer, and closes.
 *
 *     cc echo.c $(pkg-config --cflags --libs longwire) -pthread -o echo
 */
#include <longwire.h>

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

struct app {
    const char *message;
    int32_t result;
    sem_t over;
};

/* Called on a thread of the library, for one event after another. */
static void on_event(lw_client *client, const lw_event *event, void *user)
{
    struct app *app = (struct app *)user;

    switch (event->kind) {
    case LW_EVENT_OPEN:
        lw_client_send_text(client, app->message, strlen(app->message));
        break;
    case LW_EVENT_MESSAGE:
        printf("%.*s\n", (int)event->len, (const char *)event->data);
        lw_client_close(client, 1000, NULL, 0);
        break;
    case LW_EVENT_DOWN: /* the client tries again by itself */
        fprintf(stderr, "echo: %s\n", lw_error_message(event->error));
        break;
    case LW_EVENT_CLOSED:
        if (event->error != NULL)
            fprintf(stderr, "echo: %s\n", lw_error_message(event->error));
        app->result = lw_error_code(event->error);
        sem_post(&app->over);
        break;
    }
}

int main(int argc, char **argv)
{
    struct app app;
    lw_client *client;
    lw_error *error;

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: echo URL MESSAGE [CA_FILE]\n");
        return 2;
    }
    app.message = argv[2];
    sem_init(&app.over, 0, 0);

    lw_config *config = lw_config_new(argv[1]);
    if (argc == 4)
        lw_config_set_tls_ca_file(config, argv[3]);
    if (lw_client_new(config, on_event, &app, NULL, &client, &error) != LW_OK) {
        fprintf(stderr, "echo: %s\n", lw_error_message(error));
        lw_error_free(error);
        lw_config_free(config);
        return 1;
    }
    lw_config_free(config);

    sem_wait(&app.over);
    lw_client_free(client);
    return app.result == LW_OK ? 0 : 1;
}
