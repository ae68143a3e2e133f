/*
 * What the C and C++ programs of the benchmark share: the command line
 *
 *     PROGRAM echo|flood|sink|tick|many URL COUNT SIZE
 *
 * what each workload does at each message, and the line of JSON at the end.
 * Exit 1 is a failure, exit 3 something that the client does not have.
 *
 * At most one thread at a time uses what is here, except that messages() may be
 * called beside came().
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum workload { ECHO, FLOOD, SINK, TICK, MANY };

/* What a program does after a message. */
enum next { WAIT, SEND, OVER };

static struct {
    enum workload workload;
    const char *url, *ca;
    bool tls, deflate;
    uint64_t count, size;

    /* Echoes that are not measured yet, messages that are, and the bytes in them. */
    uint64_t warm_up, messages, bytes;
    uint64_t sent_ns, begun_ns;
    double begun_cpu, seconds, cpu;
    uint64_t peak;
    uint64_t *samples;
    size_t sampled;
} bench;

static inline void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void left_out(const char *why)
{
    fprintf(stderr, "LEFT OUT: %s\n", why);
    exit(3);
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double cpu_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

/* The most memory this program ever had. Not ru_maxrss, which begins with what the
   process had that started it. */
static inline uint64_t peak_bytes(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
            break;
    if (status)
        fclose(status);
    if (kilobytes == 0)
        fail("no VmHWM in /proc/self/status");
    return kilobytes * 1024;
}

static inline void begin(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    bench.begun_cpu = cpu_seconds(&usage);
    bench.begun_ns = now_ns();
}

static inline void end(void)
{
    struct rusage usage;
    bench.seconds = (double)(now_ns() - bench.begun_ns) / 1e9;
    getrusage(RUSAGE_SELF, &usage);
    bench.cpu = cpu_seconds(&usage) - bench.begun_cpu;
    bench.peak = peak_bytes();
}

static inline void take_arguments(int argc, char **argv)
{
    static const char *const workloads[] = {"echo", "flood", "sink", "tick", "many"};
    size_t at = 0;
    if (argc != 5)
        fail("expected WORKLOAD URL COUNT SIZE");
    while (at < 5 && strcmp(workloads[at], argv[1]) != 0)
        at++;
    if (at == 5)
        fail("no such workload");
    bench.workload = (enum workload)at;
    bench.url = argv[2];
    bench.tls = strncmp(bench.url, "wss:", 4) == 0;
    bench.deflate = strstr(bench.url, "deflate=1") != NULL;
    bench.ca = getenv("BENCH_CA");
    if (bench.tls && bench.ca == NULL)
        fail("BENCH_CA names no certificate authority");
    bench.count = strtoull(argv[3], NULL, 10);
    bench.size = strtoull(argv[4], NULL, 10);
    bench.warm_up = bench.workload == ECHO ? bench.count / 10 : 0;
    if (bench.workload == ECHO || bench.workload == TICK) {
        bench.samples = (uint64_t *)malloc(bench.count * sizeof *bench.samples);
        if (bench.samples == NULL)
            fail("no memory");
    }
}

/* For connections: all are open, what is measured begins (echo: unless the
   warm-up comes first). */
static inline void opened(void)
{
    if (bench.warm_up == 0)
        begin();
}

/* Just before an echo is sent. */
static inline void sending(void)
{
    bench.sent_ns = now_ns();
}

static inline uint64_t messages(void)
{
    return __atomic_load_n(&bench.messages, __ATOMIC_RELAXED);
}

/* What is inflated is JSON, and only about as long as it was asked to be. */
static inline void check_flood(void)
{
    uint64_t whole = bench.count * bench.size;
    if (bench.deflate ? bench.bytes < whole / 2 || bench.bytes > whole + whole / 2 : bench.bytes != whole)
        fail("the flood had another length");
}

/* A handler that notes how old the tick is and then works for half the interval. */
static inline void tick(const void *data, size_t len)
{
    uint64_t stamp, now = now_ns();
    if (len < sizeof stamp)
        fail("a tick without its time");
    memcpy(&stamp, data, sizeof stamp);
    bench.samples[bench.sampled++] = now - stamp;
    while (now_ns() - now < bench.size * 500)
        ;
}

/* For each whole message. After OVER nothing more is measured. */
static inline enum next came(const void *data, size_t len)
{
    if (bench.workload == ECHO) {
        uint64_t taken = now_ns() - bench.sent_ns;
        if (len != bench.size)
            fail("the echo had another length");
        if (bench.warm_up > 0) {
            if (--bench.warm_up == 0)
                begin();
            return SEND;
        }
        bench.samples[bench.sampled++] = taken;
    } else if (bench.workload == SINK) {
        if (len != 4 || memcmp(data, "done", 4) != 0)
            fail("expected done");
        bench.messages = bench.count;
        end();
        return OVER;
    } else if (bench.workload == TICK) {
        tick(data, len);
    }
    bench.bytes += len;
    uint64_t now = bench.messages + 1;
    __atomic_store_n(&bench.messages, now, __ATOMIC_RELAXED);
    if (bench.workload == MANY || now < bench.count)
        return bench.workload == ECHO ? SEND : WAIT;
    end();
    if (bench.workload == FLOOD)
        check_flood();
    return OVER;
}

static inline int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The line of JSON, with the messages that were measured. */
static inline void report(uint64_t measured)
{
    printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"messages\": %llu, \"peak\": %llu", bench.seconds, bench.cpu,
           (unsigned long long)measured, (unsigned long long)bench.peak);
    if (bench.sampled > 0) {
        qsort(bench.samples, bench.sampled, sizeof *bench.samples, by_value);
        printf(", \"p50\": %.2f, \"p99\": %.2f", (double)bench.samples[bench.sampled / 2] / 1e3,
               (double)bench.samples[bench.sampled * 99 / 100] / 1e3);
    }
    printf("}\n");
    fflush(stdout);
}

#endif
