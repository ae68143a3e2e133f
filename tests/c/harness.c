#include "harness.h"

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct server server;
const char *program;

/* --- Checks --------------------------------------------------------------- */

static pthread_mutex_t failing = PTHREAD_MUTEX_INITIALIZER;
static int failed_checks;
static int passed;
static int failed;

static bool fail(bool held, const char *format, const char *file, int line, const char *what,
                 const char *actual, const char *expected)
{
    if (!held) {
        pthread_mutex_lock(&failing);
        failed_checks++;
        printf("  %s:%d: ", file, line);
        printf(format, what, actual, expected);
        printf("\n");
        fflush(stdout);
        pthread_mutex_unlock(&failing);
    }
    return held;
}

bool check(bool held, const char *what, const char *file, int line)
{
    return fail(held, "%s does not hold%s%s", file, line, what, "", "");
}

bool check_int(long long actual, long long expected, const char *what, const char *file, int line)
{
    char came[32], wanted[32];

    snprintf(came, sizeof came, "%lld", actual);
    snprintf(wanted, sizeof wanted, "%lld", expected);
    return fail(actual == expected, "%s is %s, expected %s", file, line, what, came, wanted);
}

bool check_code(int32_t actual, int32_t expected, const char *what, const char *file, int line)
{
    return fail(actual == expected, "%s is %s, expected %s", file, line, what,
                lw_error_name(actual), lw_error_name(expected));
}

bool check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line)
{
    return fail(strcmp(actual, expected) == 0, "%s is \"%s\", expected \"%s\"", file, line, what,
                actual, expected);
}

void run(const char *name, void (*test)(void))
{
    int before = failed_checks;
    const char *only = getenv("LONGWIRE_TEST_ONLY");

    if (only != NULL && strstr(name, only) == NULL)
        return;
    test();
    if (failed_checks == before)
        passed++;
    else
        failed++;
    printf("%s %s\n", failed_checks == before ? "ok    " : "FAILED", name);
    fflush(stdout);
}

/* --- The server ----------------------------------------------------------- */

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* Copies the string of a key out of one line of JSON, which has no escapes. */
static void json_string(const char *json, const char *key, char *out, size_t size)
{
    char pattern[64];
    const char *start, *end;

    snprintf(pattern, sizeof pattern, "\"%s\":\"", key);
    start = strstr(json, pattern);
    end = start == NULL ? NULL : strchr(start + strlen(pattern), '"');
    if (end == NULL || (size_t)(end - start) >= size) {
        fprintf(stderr, "the server did not tell its %s: %s\n", key, json);
        exit(2);
    }
    start += strlen(pattern);
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = '\0';
}

/* Starts the server, which ends when our end of its stdin is closed, hence
 * with this process. */
void start_server(void)
{
    const char *path = getenv("LONGWIRE_TEST_SERVER");
    char line[2048];
    int to[2], from[2];
    FILE *out;

    if (path == NULL)
        path = access("target/release/longwire-test-server", X_OK) == 0
                   ? "target/release/longwire-test-server"
                   : "target/debug/longwire-test-server";
    if (pipe(to) != 0 || pipe(from) != 0)
        die("pipe");
    fcntl(to[1], F_SETFD, FD_CLOEXEC);
    switch (server.pid = fork()) {
    case -1:
        die("fork");
        break;
    case 0:
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(from[0]);
        execl(path, path, "--stdin-guard", (char *)NULL);
        die(path);
    }
    close(to[0]);
    close(from[1]);
    out = fdopen(from[0], "r");
    if (out == NULL || fgets(line, sizeof line, out) == NULL) {
        fprintf(stderr, "%s did not start\n", path);
        exit(2);
    }
    fclose(out);
    json_string(line, "ws", server.ws, sizeof server.ws);
    json_string(line, "wss", server.wss, sizeof server.wss);
    json_string(line, "wss_bad_name", server.wss_bad_name, sizeof server.wss_bad_name);
    json_string(line, "wss_client_cert", server.wss_client_cert, sizeof server.wss_client_cert);
    json_string(line, "ca_file", server.ca_file, sizeof server.ca_file);
}

const char *url(const char *base, const char *path)
{
    static char ring[8][512];
    static int next;
    char *place = ring[next++ % 8];

    snprintf(place, sizeof ring[0], "%s%s", base, path);
    return place;
}

/* --- Waiting -------------------------------------------------------------- */

int limit_s(void)
{
    const char *given = getenv("LONGWIRE_TEST_LIMIT");

    return given == NULL ? 10 : atoi(given);
}

void deadline(struct timespec *due, long ms)
{
    clock_gettime(CLOCK_REALTIME, due);
    due->tv_sec += ms / 1000;
    due->tv_nsec += ms % 1000 * 1000000;
    if (due->tv_nsec >= 1000000000) {
        due->tv_sec++;
        due->tv_nsec -= 1000000000;
    }
}

/* --- The tape ------------------------------------------------------------- */

void tape_init(struct tape *tape)
{
    memset(tape, 0, sizeof *tape);
    pthread_mutex_init(&tape->lock, NULL);
    pthread_cond_init(&tape->changed, NULL);
}

void tape_destroy(struct tape *tape)
{
    size_t i;

    for (i = 0; i < tape->count; i++) {
        free(tape->entries[i]->data);
        free(tape->entries[i]);
    }
    free(tape->entries);
    pthread_cond_destroy(&tape->changed);
    pthread_mutex_destroy(&tape->lock);
}

static struct entry *copied(const lw_event *event)
{
    struct entry *entry = (struct entry *)calloc(1, sizeof *entry);

    entry->kind = event->kind;
    entry->is_text = event->is_text;
    entry->clean = event->clean;
    entry->first = event->first;
    entry->last = event->last;
    entry->code = event->code;
    entry->attempt = event->attempt;
    entry->reconnects = event->reconnects;
    entry->round_trip_us = event->round_trip_us;
    entry->retry_in_ms = event->retry_in_ms;
    entry->ask = event->ask;
    entry->unsent_messages = event->unsent_messages;
    entry->unsent_bytes = event->unsent_bytes;
    entry->expired = event->expired;
    entry->retry = event->retry;
    entry->error = lw_error_code(event->error);
    entry->http_status = lw_error_http_status(event->error);
    snprintf(entry->message, sizeof entry->message, "%s", lw_error_message(event->error));
    snprintf(entry->subprotocol, sizeof entry->subprotocol, "%s", event->subprotocol);
    snprintf(entry->reason, sizeof entry->reason, "%s", event->reason);
    entry->len = event->len;
    entry->data = (char *)malloc(event->len + 1);
    if (event->len > 0)
        memcpy(entry->data, event->data, event->len);
    entry->data[event->len] = '\0';
    return entry;
}

void on_event(lw_client *client, const lw_event *event, void *user)
{
    struct tape *tape = (struct tape *)user;
    struct entry *entry = copied(event);

    CHECK_INT(event->size, sizeof *event);
    if (tape->also != NULL)
        tape->also(tape, client, event);
    pthread_mutex_lock(&tape->lock);
    CHECK_INT(tape->freed, 0);
    if (tape->count == tape->capacity) {
        tape->capacity = tape->capacity == 0 ? 16 : 2 * tape->capacity;
        tape->entries =
            (struct entry **)realloc(tape->entries, tape->capacity * sizeof *tape->entries);
    }
    tape->entries[tape->count++] = entry;
    pthread_cond_broadcast(&tape->changed);
    pthread_mutex_unlock(&tape->lock);
}

void on_free(void *user)
{
    struct tape *tape = (struct tape *)user;

    pthread_mutex_lock(&tape->lock);
    tape->freed++;
    pthread_cond_broadcast(&tape->changed);
    pthread_mutex_unlock(&tape->lock);
}

/* The nth event of a kind, with the lock held. */
static const struct entry *find(const struct tape *tape, uint32_t kind, size_t nth)
{
    size_t i;

    for (i = 0; i < tape->count; i++)
        if (tape->entries[i]->kind == kind && --nth == 0)
            return tape->entries[i];
    return NULL;
}

const struct entry *tape_wait(struct tape *tape, uint32_t kind, size_t nth)
{
    const struct entry *found;
    struct timespec due;
    bool late = false;

    deadline(&due, 1000L * limit_s());
    pthread_mutex_lock(&tape->lock);
    while ((found = find(tape, kind, nth)) == NULL && !late)
        late = pthread_cond_timedwait(&tape->changed, &tape->lock, &due) != 0;
    if (found == NULL) {
        size_t i;

        printf("  no event %u number %zu within %d s; what came:", kind, nth, limit_s());
        for (i = 0; i < tape->count && i < 20; i++)
            printf(" %u", tape->entries[i]->kind);
        printf("\n");
    }
    pthread_mutex_unlock(&tape->lock);
    CHECK(found != NULL);
    return found;
}

bool tape_wait_freed(struct tape *tape)
{
    struct timespec due;
    bool late = false, freed;

    deadline(&due, 1000L * limit_s());
    pthread_mutex_lock(&tape->lock);
    while (tape->freed == 0 && !late)
        late = pthread_cond_timedwait(&tape->changed, &tape->lock, &due) != 0;
    freed = tape->freed == 1;
    pthread_mutex_unlock(&tape->lock);
    return CHECK(freed);
}

size_t tape_count(struct tape *tape, uint32_t kind)
{
    size_t i, count = 0;

    pthread_mutex_lock(&tape->lock);
    for (i = 0; i < tape->count; i++)
        count += tape->entries[i]->kind == kind;
    pthread_mutex_unlock(&tape->lock);
    return count;
}

/* --- Clients -------------------------------------------------------------- */

lw_client *start(struct tape *tape, lw_config *config)
{
    lw_client *client = NULL;
    lw_error *error = NULL;

    CHECK_CODE(lw_client_new(config, on_event, tape, on_free, &client, &error), LW_OK);
    CHECK_TEXT(lw_error_message(error), "");
    lw_config_free(config);
    if (client == NULL) {
        printf("  no client, no test\n");
        exit(1);
    }
    return client;
}

lw_client *start_open(struct tape *tape, const char *path)
{
    lw_client *client = start(tape, lw_config_new(url(server.ws, path)));

    tape_wait(tape, LW_EVENT_OPEN, 1);
    CHECK_INT(lw_client_state(client), LW_STATE_OPEN);
    return client;
}

void finish(struct tape *tape, lw_client *client)
{
    const struct entry *closed;

    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    closed = tape_wait(tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, LW_OK);
    lw_client_free(client);
    CHECK_INT(tape->freed, 1);
    CHECK_INT(tape_count(tape, LW_EVENT_CLOSED), 1);
}

int32_t send_string(lw_client *client, const char *text)
{
    return lw_client_send_text(client, text, strlen(text));
}

lw_config *hasty(const char *path)
{
    lw_config *config = lw_config_new(url(server.ws, path));

    CHECK_CODE(lw_config_set_reconnect(config, 1, 10, 2.0, 0, 5000), LW_OK);
    return config;
}

void proceed_always(struct tape *tape, lw_client *client, const lw_event *event)
{
    (void)tape;
    if (event->kind == LW_EVENT_BEFORE_CONNECT)
        CHECK_CODE(lw_client_proceed(client, event->ask, NULL), LW_OK);
}

lw_stats stats_of(const lw_client *client)
{
    lw_stats stats;

    stats.size = sizeof stats;
    CHECK_CODE(lw_client_stats(client, &stats), LW_OK);
    CHECK_INT(stats.size, sizeof stats);
    return stats;
}

char *pattern(size_t len)
{
    char *bytes = (char *)malloc(len + 1);
    size_t i;

    for (i = 0; i < len; i++)
        bytes[i] = (char)('a' + (i * 7 + i / 26) % 26);
    bytes[len] = '\0';
    return bytes;
}

int verdict(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
