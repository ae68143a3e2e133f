/*
 * What the C tests share: checks, the test server, and a tape that records what
 * a client tells. Everything here and in the tests is C99 and C++11 at once.
 *
 * Tests wait for events, and every wait has a limit.
 */
#ifndef LONGWIRE_TESTS_HARNESS_H
#define LONGWIRE_TESTS_HARNESS_H

#include <longwire.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Checks --------------------------------------------------------------- */

/* Each says whether it held; a test goes on after a failed check unless it
 * cannot. */
#define CHECK(condition) check((condition) ? true : false, #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) \
    check_int((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)
#define CHECK_CODE(actual, expected) check_code((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), #actual, __FILE__, __LINE__)

bool check(bool held, const char *what, const char *file, int line);
bool check_int(long long actual, long long expected, const char *what, const char *file, int line);
bool check_code(int32_t actual, int32_t expected, const char *what, const char *file, int line);
bool check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line);

/* Runs a test and counts it. */
#define RUN(test) run(#test, test)
void run(const char *name, void (*test)(void));
/* Says how many passed and failed; the exit status of the program. */
int verdict(void);

/* The chapters, one per file. */
void test_arguments(void);
void test_connecting(void);
void test_messages(void);
void test_pieces(void);
void test_closing(void);
void test_lifetime(void);
void test_hosted(void);
void test_asking(void);
void test_reconnecting(void);
void test_queueing(void);
void test_watching(void);
void test_endings(void);

/* --- The server ----------------------------------------------------------- */

struct server {
    long pid;
    char ws[128];
    char wss[128];
    char wss_bad_name[128];
    char wss_client_cert[128];
    char ca_file[512];
};

extern struct server server;

/* Starts it; first thing in main, before there are threads. */
void start_server(void);

/* The path of this program, to run it again. */
extern const char *program;

/* A URL on the server; lives until the eighth next call. */
const char *url(const char *base, const char *path);

/* --- Waiting -------------------------------------------------------------- */

/* The limit of every wait, in seconds: LONGWIRE_TEST_LIMIT, or 10. */
int limit_s(void);

struct timespec;
/* The time `ms` from now, for pthread_cond_timedwait. */
void deadline(struct timespec *due, long ms);

/* --- The tape ------------------------------------------------------------- */

/* A copy of an event. */
struct entry {
    uint32_t kind;
    bool is_text;
    bool clean;
    bool first;
    bool last;
    uint16_t code;
    uint32_t attempt;
    uint32_t reconnects;
    int32_t error;
    int32_t http_status;
    int64_t round_trip_us;
    uint64_t retry_in_ms;
    uint64_t ask;
    size_t unsent_messages;
    size_t unsent_bytes;
    size_t expired;
    bool retry;
    char subprotocol[64];
    char reason[128];
    char message[512]; /* of the error */
    char *data;        /* NUL-terminated */
    size_t len;
};

struct tape {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct entry **entries;
    size_t count;
    size_t capacity;
    int freed;
    /* Called with each event before it is recorded, without the lock. */
    void (*also)(struct tape *tape, lw_client *client, const lw_event *event);
    void *extra;
};

void tape_init(struct tape *tape);
void tape_destroy(struct tape *tape);

/* The callback and the free_user that record to a tape. */
void on_event(lw_client *client, const lw_event *event, void *user);
void on_free(void *user);

/* Waits for the nth event of a kind, counted from 1; NULL, and a failed check,
 * if it does not come. */
const struct entry *tape_wait(struct tape *tape, uint32_t kind, size_t nth);
/* The same until `free_user` has run. */
bool tape_wait_freed(struct tape *tape);
/* How many events of a kind there are now. */
size_t tape_count(struct tape *tape, uint32_t kind);

/* --- Clients -------------------------------------------------------------- */

/* A client that records to `tape`; frees the configuration. */
lw_client *start(struct tape *tape, lw_config *config);
/* The same, for a path of the ws: server, and waits until it is open. */
lw_client *start_open(struct tape *tape, const char *path);
/* Closes with 1000, waits for CLOSED, frees, and checks that free_user ran
 * once. */
void finish(struct tape *tape, lw_client *client);

/* Polls and drives a hosted client until there are `count` events of a kind; what the
 * last drive said. */
int32_t drive_until(lw_client *client, struct tape *tape, size_t budget, uint32_t kind,
                    size_t count);

int32_t send_string(lw_client *client, const char *text);

/* A configuration for a path of the ws: server, with a short back-off. */
lw_config *hasty(const char *path);
/* For `also`: lets every attempt go on. */
void proceed_always(struct tape *tape, lw_client *client, const lw_event *event);
/* What a client says of itself. */
lw_stats stats_of(const lw_client *client);

/* Bytes that differ by position, to be freed. */
char *pattern(size_t len);

#endif
