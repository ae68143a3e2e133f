/*
 * c WS WSS CA_FILE FIRST COUNT PACE_MS: the C library as clients of the chaos run.
 *
 * README.md says what they do and what they report. The library's thread calls
 * back, the main thread sends; one lock is enough for both.
 */
#include <longwire.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 30000
/* So much slower is the talk when it is to come to its end. */
#define UNHURRIED 10
#define LARGEST 70000
/* Codes of errors are 0 to -CODES. */
#define CODES 32
#define MAX_CLIENTS 256

struct row {
    long connection;
    long sent; /* when it was lost; -1 if it was not */
    long heard[2], acked[2];
};

struct talker {
    lw_client *client;
    int number;
    bool open, full;
    struct row *rows;
    size_t count, room;
    long sent, taken, heard, acked, answers; /* of what was sent, the last that was not refused */
    long *unsent;
    size_t unsent_count, unsent_room;
    long downs[CODES], failures[CODES];
    int closed, code;
    bool clean;
    char wrong[300];
    long mark; /* what has to be acknowledged until it may fall silent */
    long long due_ms;
};

static struct talker talkers[MAX_CLIENTS];
static int total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A byte for the main thread: something changed. */
static int changes[2];
static char alphabet[LARGEST];

static void fail(const char *what)
{
    fprintf(stderr, "c: %s\n", what);
    exit(1);
}

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void changed(void)
{
    /* A full pipe tells the same. */
    if (write(changes[1], "", 1) < 0)
        return;
}

/* Keeps the first complaint. */
static void complain(struct talker *talker, const char *format, ...)
{
    va_list arguments;

    if (talker->wrong[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(talker->wrong, sizeof talker->wrong, format, arguments);
    va_end(arguments);
}

static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    *room = *room == 0 ? 16 : *room * 2;
    array = realloc(array, *room * size);
    if (array == NULL)
        fail("out of memory");
    return array;
}

static size_t filler(long number)
{
    if (number % 97 == 0)
        return 20000 + (size_t)(number * 7919 % 40000);
    if (number % 19 == 0)
        return 1000 + (size_t)(number * 31 % 7000);
    return (size_t)(number * 13 % 100);
}

static void say(struct talker *talker)
{
    static char text[LARGEST];
    long number = ++talker->sent;
    size_t head = (size_t)sprintf(text, "%ld ", number);
    int32_t code;

    memcpy(text + head, alphabet + number % 26, filler(number));
    code = lw_client_send(talker->client, number % 2 == 1 ? LW_TEXT : LW_BINARY, text,
                          head + filler(number), 0);
    if (code == LW_OK) {
        talker->taken = number;
        return;
    }
    if (code != LW_EFULL)
        complain(talker, "message %ld: %s", number, lw_error_name(code));
    talker->unsent = grown(talker->unsent, talker->unsent_count, &talker->unsent_room,
                           sizeof *talker->unsent);
    talker->unsent[talker->unsent_count++] = number;
    talker->full = true;
}

static void opened(struct talker *talker, lw_client *client, const lw_event *event)
{
    struct row row = {0, -1, {0, 0}, {0, 0}};
    const char *name;
    size_t len;
    char greeting[80];
    int32_t code;

    if (talker->open)
        complain(talker, "open, but it was open");
    if (event->reconnects != talker->count)
        complain(talker, "%zu connections, %u reconnects", talker->count + 1, event->reconnects);
    if (lw_event_header(event, "X-Connection", &name, &len)) {
        /* Not NUL-terminated. */
        snprintf(greeting, sizeof greeting, "%.*s", (int)len, name);
        row.connection = strtol(greeting, NULL, 10);
    }
    len = (size_t)sprintf(greeting, "hello %ld %ld", row.connection, talker->heard);
    code = lw_client_send_text(client, greeting, len);
    if (code != LW_OK)
        complain(talker, "the greeting: %s", lw_error_name(code));
    talker->open = true;
    talker->rows = grown(talker->rows, talker->count, &talker->room, sizeof row);
    talker->rows[talker->count++] = row;
}

static void take(struct talker *talker, const lw_event *event)
{
    char head[80] = "";
    struct row *row = &talker->rows[talker->count - 1];
    long connection, heard, acked;
    size_t len;

    if (talker->count == 0) {
        complain(talker, "a message before the first open");
        return;
    }
    memcpy(head, event->data, event->len < sizeof head - 1 ? event->len : sizeof head - 1);
    if (sscanf(head, "%ld %ld %ld ", &connection, &heard, &acked) != 3 || heard < 0 || acked < 0) {
        complain(talker, "an answer begins with %s", head);
        return;
    }
    len = (size_t)sprintf(head, "%ld %ld %ld ", connection, heard, acked);
    if (event->len != len + filler(acked) || event->is_text != (acked % 2 == 1) ||
        memcmp(event->data, head, len) != 0 ||
        memcmp(event->data + len, alphabet + heard % 26, filler(acked)) != 0)
        complain(talker, "answer %ld is not what was sent", heard);
    if (!talker->open || connection != row->connection || heard <= talker->heard ||
        acked <= talker->acked || (row->heard[1] != 0 && heard != row->heard[1] + 1))
        complain(talker, "%safter %ld and %ld on connection %ld", head, talker->heard,
                 talker->acked, row->connection);
    if (acked > talker->sent)
        complain(talker, "%ld is acknowledged and was never sent", acked);
    talker->answers++;
    talker->heard = row->heard[1] = heard;
    talker->acked = row->acked[1] = acked;
    if (row->heard[0] == 0) {
        row->heard[0] = heard;
        row->acked[0] = acked;
    }
}

static void down(struct talker *talker, const lw_event *event)
{
    int32_t code = -lw_error_code(event->error);

    if (code < 0 || code >= CODES)
        code = 0;
    if (talker->open) {
        talker->rows[talker->count - 1].sent = talker->sent;
        talker->downs[code]++;
    } else {
        talker->failures[code]++;
    }
    talker->open = false;
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    struct talker *talker = user;

    pthread_mutex_lock(&lock);
    if (talker->closed > 0)
        complain(talker, "an event of kind %u after the end", event->kind);
    switch (event->kind) {
    case LW_EVENT_OPEN:
        opened(talker, client, event);
        break;
    case LW_EVENT_MESSAGE:
        take(talker, event);
        break;
    case LW_EVENT_DOWN:
        down(talker, event);
        break;
    case LW_EVENT_DRAIN:
        if (!talker->full)
            complain(talker, "drain, but nothing was refused");
        talker->full = false;
        break;
    case LW_EVENT_CLOSED:
        if (event->error != NULL)
            complain(talker, "the end: %s", lw_error_message(event->error));
        talker->open = false;
        talker->closed++;
        talker->code = event->code;
        talker->clean = event->clean;
        break;
    }
    pthread_mutex_unlock(&lock);
    changed();
}

static bool is_silent(const struct talker *talker)
{
    return talker->mark >= 0 && talker->acked > talker->mark;
}

static bool is_open(const struct talker *talker)
{
    return talker->open;
}

static bool is_settled(const struct talker *talker)
{
    return is_silent(talker) && talker->acked == talker->taken && talker->open && !talker->full;
}

static bool is_closed(const struct talker *talker)
{
    return talker->closed > 0;
}

static bool all(bool (*is)(const struct talker *))
{
    bool they_are = true;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < total; i++)
        they_are = they_are && is(&talkers[i]);
    pthread_mutex_unlock(&lock);
    return they_are;
}

/* Says what is due; milliseconds until the next that is. */
static int tick(int pace_ms)
{
    long long now = now_ms(), next = now + 1000;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < total; i++) {
        struct talker *talker = &talkers[i];
        if (talker->due_ms == 0 || is_silent(talker))
            continue;
        /* After a long pause there is nothing to be caught up with. */
        if (now > talker->due_ms + 1000)
            talker->due_ms = now;
        for (; talker->due_ms <= now; talker->due_ms += pace_ms)
            say(talker);
        if (talker->due_ms < next)
            next = talker->due_ms;
    }
    pthread_mutex_unlock(&lock);
    return (int)(next - now);
}

/* Talks until `is` holds for all of them, the limit has come, or, without `is`, stdin has a line. */
static void run(bool (*is)(const struct talker *), int limit_ms, int pace_ms)
{
    long long end = now_ms() + limit_ms;
    struct pollfd fds[2] = {{changes[0], POLLIN, 0}, {is == NULL ? STDIN_FILENO : -1, POLLIN, 0}};
    char bytes[256];

    while (is == NULL || (!all(is) && now_ms() < end)) {
        poll(fds, 2, tick(pace_ms));
        if (fds[0].revents != 0 && read(changes[0], bytes, sizeof bytes) < 0)
            continue;
        if (fds[1].revents != 0)
            return;
    }
}

static void print_counts(const char *name, const long counts[CODES])
{
    const char *comma = "";

    printf(",\"%s\":{", name);
    for (int code = 0; code < CODES; code++) {
        if (counts[code] == 0)
            continue;
        printf("%s\"%s\":%ld", comma, lw_error_name(-code), counts[code]);
        comma = ",";
    }
    printf("}");
}

static void report(const struct talker *talker)
{
    printf("{\"number\":%d,\"sent\":%ld,\"answers\":%ld,\"closed\":%d,\"code\":%d,\"clean\":%s",
           talker->number, talker->sent, talker->answers, talker->closed, talker->code,
           talker->clean ? "true" : "false");
    print_counts("downs", talker->downs);
    print_counts("failures", talker->failures);
    printf(",\"unsent\":[");
    for (size_t i = 0; i < talker->unsent_count; i++)
        printf("%s%ld", i == 0 ? "" : ",", talker->unsent[i]);
    printf("],\"connections\":[");
    for (size_t i = 0; i < talker->count; i++) {
        const struct row *row = &talker->rows[i];
        printf("%s[%ld,%ld,%ld,%ld,%ld,%ld]", i == 0 ? "" : ",", row->connection, row->sent,
               row->heard[0], row->heard[1], row->acked[0], row->acked[1]);
    }
    printf("],\"wrong\":[");
    if (talker->wrong[0] != '\0') {
        putchar('"');
        for (const char *c = talker->wrong; *c != '\0'; c++)
            putchar(*c == '"' || *c == '\\' || *c < ' ' ? '\'' : *c);
        putchar('"');
    }
    printf("]}");
}

static void start(struct talker *talker, const char *base, const char *ca_file)
{
    char url[200];
    lw_config *config;
    lw_error *error;

    snprintf(url, sizeof url, "%s/%d", base, talker->number);
    config = lw_config_new(url);
    lw_config_set_tls_ca_file(config, ca_file);
    lw_config_set_connect_timeout_ms(config, 2000);
    lw_config_set_heartbeat(config, 1000, 1000);
    lw_config_set_reconnect(config, 50, 1000, 2.0, 0, 500);
    lw_config_set_send_buffer(config, 32 << 10);
    if (lw_client_new(config, on_event, talker, NULL, &talker->client, &error) != LW_OK)
        fail(lw_error_message(error));
    lw_config_free(config);
}

static void settle(int pace_ms)
{
    const char *comma = "";

    pthread_mutex_lock(&lock);
    for (int i = 0; i < total; i++)
        talkers[i].mark = talkers[i].sent;
    pthread_mutex_unlock(&lock);
    run(is_settled, LIMIT_MS, pace_ms * UNHURRIED);
    pthread_mutex_lock(&lock);
    printf("{\"unsettled\":[");
    for (int i = 0; i < total; i++) {
        talkers[i].due_ms = 0;
        if (is_settled(&talkers[i]))
            continue;
        printf("%s%d", comma, talkers[i].number);
        comma = ",";
    }
    printf("]}\n");
    pthread_mutex_unlock(&lock);
}

static void finish(void)
{
    for (int i = 0; i < total; i++)
        lw_client_close(talkers[i].client, 1000, NULL, 0);
    run(is_closed, LIMIT_MS, 1000);
    /* Freed before the report: a callback that comes still would be in it. */
    for (int i = 0; i < total; i++)
        lw_client_free(talkers[i].client);
    printf("{\"clients\":[");
    for (int i = 0; i < total; i++) {
        if (i > 0)
            putchar(',');
        report(&talkers[i]);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    char word[20];
    int pace_ms;

    if (argc != 7 || atoi(argv[5]) < 1 || atoi(argv[5]) > MAX_CLIENTS)
        fail("usage: c WS WSS CA_FILE FIRST COUNT PACE_MS");
    total = atoi(argv[5]);
    pace_ms = atoi(argv[6]);
    for (size_t i = 0; i < sizeof alphabet; i++)
        alphabet[i] = (char)('a' + i % 26);
    if (pipe(changes) != 0)
        fail("no pipe");
    for (int end = 0; end < 2; end++)
        fcntl(changes[end], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < total; i++) {
        talkers[i].number = atoi(argv[4]) + i;
        talkers[i].mark = -1;
        start(&talkers[i], argv[talkers[i].number % 3 == 0 ? 2 : 1], argv[3]);
    }
    run(is_open, LIMIT_MS, pace_ms);
    printf("{\"open\":%d}\n", total);
    fflush(stdout);

    for (;;) {
        run(NULL, 0, pace_ms);
        if (fgets(word, sizeof word, stdin) == NULL)
            return 1;
        if (strcmp(word, "talk\n") == 0) {
            for (int i = 0; i < total; i++)
                talkers[i].due_ms = now_ms() + (long long)i * pace_ms / total;
            printf("{\"talking\":%d}\n", total);
        } else if (strcmp(word, "settle\n") == 0) {
            settle(pace_ms);
        } else if (strcmp(word, "close\n") == 0) {
            finish();
            return 0;
        }
        fflush(stdout);
    }
}
