/*
 * allocations receive|echo|thread|burst callback|hosted URL COUNT SIZE: how often memory
 * is allocated in this process, by whatever thread, while messages travel.
 *
 *   receive  takes COUNT messages; URL is the test server's /push
 *   echo     sends the next message from the callback that brings the echo of the last
 *   thread   the same from another thread
 *   burst    sends from another thread, never waiting but for room in the send buffer, once
 *            the first COUNT / 10 have arrived; URL is /count with every=COUNT / 10
 *
 * Prints the number of allocations between COUNT / 10 and COUNT * 9 / 10 messages, then for
 * the first few a line "from" and their call stacks. bench/guards/allocations.py judges them.
 *
 * The library calls the C library's malloc like everybody else, so it comes by here.
 */
#define _GNU_SOURCE
#include <longwire.h>

#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- malloc, with a count ------------------------------------------------------ */

enum { SHOWN = 3, DEPTH = 40 };

static atomic_bool counting;
static atomic_ulong allocations;
static void *stacks[SHOWN][DEPTH];
static int depths[SHOWN];

static void count(void)
{
    if (!atomic_load(&counting))
        return;
    unsigned long which = atomic_fetch_add(&allocations, 1);
    if (which < SHOWN)
        depths[which] = backtrace(stacks[which], DEPTH);
}

/* The C library's own, under the names that stay when malloc is replaced. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t items, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count();
    return __libc_calloc(items, size);
}

void *realloc(void *memory, size_t size)
{
    count();
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count();
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* --- The traffic --------------------------------------------------------------- */

static enum { RECEIVE, ECHO, THREAD, BURST } way;
static unsigned long wanted, passed, answers;
static char payload[1 << 20];
static size_t size;
/* What the thread that sends waits for: its turn, or room in the send buffer, … */
static sem_t go_on;
/* … and in a burst that what it sent while the connection was new has arrived. */
static sem_t arrived;
static sem_t over;

/* Another message has been received, or sent if nothing comes back. */
static void pass(void)
{
    passed++;
    if (passed == wanted / 10)
        atomic_store(&counting, true);
    if (passed == wanted * 9 / 10)
        atomic_store(&counting, false);
}

static int32_t send_one(lw_client *client)
{
    return lw_client_send_binary(client, payload, size);
}

static void received(lw_client *client, const lw_event *event)
{
    if (way == BURST) {
        if (++answers == 10)
            lw_client_close(client, 1000, NULL, 0);
        else if (answers == 1)
            sem_post(&arrived);
        return;
    }
    if (event->len != size)
        abort();
    pass();
    if (passed == wanted)
        lw_client_close(client, 1000, NULL, 0);
    else if (way == ECHO && send_one(client) != LW_OK)
        abort();
    else if (way == THREAD)
        sem_post(&go_on);
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)user;
    switch (event->kind) {
    case LW_EVENT_OPEN:
        if (way == ECHO)
            send_one(client);
        else
            sem_post(&go_on);
        break;
    case LW_EVENT_MESSAGE:
        received(client, event);
        break;
    case LW_EVENT_DRAIN:
        sem_post(&go_on);
        break;
    case LW_EVENT_CLOSED:
        sem_post(&over);
        break;
    }
}

static void *send_all(void *user)
{
    lw_client *client = (lw_client *)user;
    sem_wait(&go_on);
    for (unsigned long sent = 0; sent < wanted;) {
        int32_t code = send_one(client);
        if (code == LW_OK)
            sent++;
        else if (code != LW_EFULL)
            abort();
        if (code == LW_OK && way == BURST) {
            pass();
            if (sent == wanted / 10)
                sem_wait(&arrived);
        } else if (sent < wanted) {
            sem_wait(&go_on);
        }
    }
    return NULL;
}

static int drive(lw_client *client)
{
    struct pollfd ready = {.fd = lw_client_poll_fd(client), .events = POLLIN};
    int32_t state;
    do {
        poll(&ready, 1, -1);
        state = lw_client_drive(client, 64, on_event, NULL);
    } while (state == LW_DRIVE_IDLE || state == LW_DRIVE_MORE);
    return state == LW_DRIVE_FINISHED;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"receive", "echo", "thread", "burst"};
    if (argc != 6)
        return 2;
    for (int i = 0; i < 4; i++)
        if (strcmp(argv[1], ways[i]) == 0)
            way = i;
    int hosted = strcmp(argv[2], "hosted") == 0;
    wanted = strtoul(argv[4], NULL, 10);
    size = strtoul(argv[5], NULL, 10);
    if (size > sizeof payload)
        return 2;
    sem_init(&go_on, 0, 0);
    sem_init(&arrived, 0, 0);
    sem_init(&over, 0, 0);
    /* It allocates when it is called for the first time. */
    backtrace(stacks[0], DEPTH);

    lw_client *client;
    lw_config *config = lw_config_new(argv[3]);
    lw_config_set_reconnect_off(config);
    int32_t code = hosted ? lw_client_new_hosted(config, &client, NULL)
                          : lw_client_new(config, on_event, NULL, NULL, &client, NULL);
    lw_config_free(config);
    if (code != LW_OK)
        return 1;
    pthread_t sender;
    int sends = way == THREAD || way == BURST;
    if (sends && pthread_create(&sender, NULL, send_all, client) != 0)
        return 1;
    if (!hosted)
        sem_wait(&over);
    else if (!drive(client))
        return 1;
    if (sends)
        pthread_join(sender, NULL);
    lw_client_free(client);
    if (passed != wanted)
        return 1;

    printf("%lu\n", atomic_load(&allocations));
    for (unsigned long i = 0; i < SHOWN && i < atomic_load(&allocations); i++) {
        puts("from");
        fflush(stdout);
        backtrace_symbols_fd(stacks[i], depths[i], STDOUT_FILENO);
    }
    return 0;
}
