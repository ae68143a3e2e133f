/* Time and medians for the programs of this folder. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t *samples;
static size_t sampled, room;

static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void sample(uint64_t ns)
{
    if (sampled == room) {
        room = room ? room * 2 : 4096;
        samples = (uint64_t *)realloc(samples, room * sizeof *samples);
    }
    samples[sampled++] = ns;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline void print_median(void)
{
    qsort(samples, sampled, sizeof *samples, by_value);
    printf("%.2f\n", (double)samples[sampled / 2] / 1000.0);
}
