/*
 * c URL COUNT: longwire through its C interface, driven by the library's thread.
 * What it prints and takes is in run.py.
 */
#define _GNU_SOURCE
#include <longwire.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { AT_ONCE = 256 };

static size_t count, opened, heard;
static sem_t room, all_open, all_heard;

static double now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "c: %s\n", what);
    exit(1);
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    (void)client, (void)user;
    switch (event->kind) {
    case LW_EVENT_OPEN:
        sem_post(&room);
        if (++opened == count)
            sem_post(&all_open);
        break;
    case LW_EVENT_MESSAGE:
        if (++heard % count == 0)
            sem_post(&all_heard);
        break;
    case LW_EVENT_CLOSED:
        fail(event->error ? lw_error_message(event->error) : "the server closed");
    }
}

/* A line of /proc/self/smaps_rollup, in bytes. */
static long long memory(const char *name)
{
    char line[256];
    long long kilobytes = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %lld", &kilobytes);
    if (!file || kilobytes < 0)
        fail("the memory cannot be read");
    fclose(file);
    return kilobytes * 1024;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double broadcast(lw_client *client)
{
    static const char payload[64];
    double begun = now();
    if (lw_client_send_binary(client, payload, sizeof payload) != LW_OK)
        fail("the message was not taken");
    sem_wait(&all_heard);
    return now() - begun;
}

static void connect_all(const char *url, lw_client **clients)
{
    char hub[256];
    const char *ca = getenv("BENCH_CA");
    snprintf(hub, sizeof hub, "%s/hub", url);
    lw_config *config = lw_config_new(hub);
    lw_config_set_reconnect_off(config);
    if (strncmp(url, "wss:", 4) == 0)
        lw_config_set_tls_ca_file(config, ca);
    for (size_t i = 0; i < count; i++) {
        sem_wait(&room);
        int32_t code = lw_client_new(config, on_event, NULL, NULL, &clients[i], NULL);
        if (code != LW_OK)
            fail(lw_strerror(code));
    }
    lw_config_free(config);
    sem_wait(&all_open);
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc != 3 || (count = strtoul(argv[2], NULL, 10)) == 0)
        fail("expected URL COUNT");
    lw_client **clients = calloc(count, sizeof *clients);
    sem_init(&room, 0, AT_ONCE);
    sem_init(&all_open, 0, 0);
    sem_init(&all_heard, 0, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);

    double begun = now();
    connect_all(argv[1], clients);
    printf("{\"connected\": %zu, \"seconds\": %.6f}\n", count, now() - begun);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "memory\n") == 0)
            printf("{\"rss\": %lld, \"pss\": %lld}\n", memory("Rss"), memory("Pss"));
        else if (strcmp(line, "cpu\n") == 0)
            printf("{\"cpu\": %.6f}\n", cpu());
        else if (strcmp(line, "broadcast\n") == 0)
            printf("{\"seconds\": %.6f}\n", broadcast(clients[0]));
        else if (strcmp(line, "end\n") == 0)
            break;
        else
            fail("an unknown command");
    }
    /* The kernel takes all connections down at once. */
    puts("{}");
    return 0;
}
