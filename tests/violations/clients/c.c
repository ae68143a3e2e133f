/*
 * The C library as a client of the violations: a case a line on stdin, what
 * happens on stdout. README.md has the words.
 */
#include <longwire.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct user {
    /* What to do once open: nothing, "close" or "send:SIZE". */
    const char *on_open;
    sem_t over;
};

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void say_hex(const char *bytes, size_t len)
{
    if (len == 0)
        putchar('-');
    for (size_t i = 0; i < len; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

/* Symbol, status and message. */
static void say_error(const lw_error *error)
{
    const char *message = lw_error_message(error);

    printf(" %s %d ", error == NULL ? "-" : lw_error_name(lw_error_code(error)) + strlen("LW_"),
           (int)lw_error_http_status(error));
    say_hex(message, strlen(message));
}

static unsigned long adler32(const uint8_t *bytes, size_t len)
{
    unsigned long a = 1;
    unsigned long b = 0;

    for (size_t i = 0; i < len; i++) {
        a = (a + bytes[i]) % 65521;
        b = (a + b) % 65521;
    }
    return b << 16 | a;
}

static void begin(lw_client *client, const struct user *user)
{
    int32_t code = LW_OK;

    if (strcmp(user->on_open, "close") == 0) {
        code = lw_client_close(client, 1000, NULL, 0);
    } else if (strncmp(user->on_open, "send:", 5) == 0) {
        size_t size = strtoul(user->on_open + 5, NULL, 10);
        void *zeros = calloc(1, size);
        code = lw_client_send_binary(client, zeros, size);
        free(zeros);
    }
    if (code != LW_OK)
        fail(lw_strerror(code));
}

static void on_event(lw_client *client, const lw_event *event, void *pointer)
{
    struct user *user = (struct user *)pointer;

    switch (event->kind) {
    case LW_EVENT_OPEN:
        printf("open %s\n", event->subprotocol[0] == '\0' ? "-" : event->subprotocol);
        begin(client, user);
        break;
    case LW_EVENT_MESSAGE:
        printf("%s %zu %lu\n", event->is_text ? "text" : "binary", event->len,
               adler32(event->data, event->len));
        break;
    case LW_EVENT_DOWN:
        printf("down");
        say_error(event->error);
        putchar('\n');
        break;
    case LW_EVENT_CLOSED:
        printf("closed %d %s ", event->code, event->clean ? "clean" : "unclean");
        say_hex(event->reason, event->reason_len);
        say_error(event->error);
        putchar('\n');
        break;
    }
    fflush(stdout);
    if (event->kind == LW_EVENT_CLOSED)
        sem_post(&user->over);
}

static void set(lw_config *config, const char *name, char *value)
{
    unsigned long number = strtoul(value, NULL, 10);
    int32_t code = LW_EINVAL;

    if (strcmp(name, "connect_timeout") == 0) {
        code = lw_config_set_connect_timeout_ms(config, (uint32_t)number);
    } else if (strcmp(name, "close_timeout") == 0) {
        code = lw_config_set_close_timeout_ms(config, (uint32_t)number);
    } else if (strcmp(name, "max_message_size") == 0) {
        code = lw_config_set_max_message_size(config, number);
    } else if (strcmp(name, "max_fragments") == 0) {
        code = lw_config_set_max_fragments(config, (uint32_t)number);
    } else if (strcmp(name, "reconnect") == 0) {
        uint32_t ms = (uint32_t)number;
        code = lw_config_set_reconnect(config, ms, ms, 2.0, 0, 5000);
        if (code == LW_OK)
            code = lw_config_set_restart_delay(config, ms, ms);
    } else if (strcmp(name, "compression") == 0) {
        code = lw_config_set_compression(config, number != 0);
    } else if (strcmp(name, "server_max_window_bits") == 0) {
        code = lw_config_set_compression_window_bits(config, 15, (uint32_t)number);
    } else if (strcmp(name, "server_no_context_takeover") == 0) {
        code = lw_config_set_compression_context_takeover(config, false, number == 0);
    } else if (strcmp(name, "subprotocols") == 0) {
        char *rest = value;
        for (char *one; (one = strtok_r(rest, ",", &rest)) != NULL;)
            code = lw_config_add_subprotocol(config, one);
    }
    if (code != LW_OK)
        fail(name);
}

/* `line` begins with the URL; the other words may come in any order. */
static void play(char *line)
{
    struct user user = {.on_open = ""};
    lw_config *config = NULL;
    lw_client *client;
    lw_error *error;
    char *rest = line;

    for (char *word; (word = strtok_r(rest, " \n", &rest)) != NULL;) {
        char *value = strchr(word, '=');
        if (value == NULL)
            fail(word);
        *value++ = '\0';
        if (strcmp(word, "url") == 0) {
            config = lw_config_new(value);
            lw_config_set_reconnect_off(config);
        } else if (strcmp(word, "on_open") == 0) {
            user.on_open = value;
        } else {
            set(config, word, value);
        }
    }
    sem_init(&user.over, 0, 0);
    if (lw_client_new(config, on_event, &user, NULL, &client, &error) != LW_OK)
        fail(lw_error_message(error));
    lw_config_free(config);
    while (sem_wait(&user.over) != 0)
        ;
    lw_client_free(client);
    sem_destroy(&user.over);
}

int main(void)
{
    static char line[4096];

    while (fgets(line, sizeof line, stdin) != NULL)
        play(line);
    return 0;
}
