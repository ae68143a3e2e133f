/*
 * longwire through its C interface: driven by the library's thread, which calls
 * back, or with BENCH_MODE=hosted by a loop here.
 *
 * A sink sends from the main thread, in the hosted mode from the loop, and when
 * the send buffer is full waits for LW_EVENT_DRAIN.
 */
#define _GNU_SOURCE
#include <longwire.h>

#include <semaphore.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "measure.h"

static void *payload;
static uint64_t open_clients, sent;
static bool finished;
/* All are open, the send buffer has room again, all is measured. */
static sem_t all_open, room, over;

static void send_echo(lw_client *client)
{
    sending();
    if (lw_client_send_binary(client, payload, bench.size) != LW_OK)
        fail("an echo was not taken");
}

static void on_open(lw_client *client)
{
    if (++open_clients < (bench.workload == MANY ? bench.count : 1))
        return;
    opened();
    if (bench.workload == ECHO)
        send_echo(client);
    else if (bench.workload == FLOOD || bench.workload == TICK)
        lw_client_send_text(client, "go", 2);
    sem_post(&all_open);
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    enum next next;
    (void)user;
    switch (event->kind) {
    case LW_EVENT_OPEN:
        on_open(client);
        break;
    case LW_EVENT_MESSAGE:
        if (finished)
            break;
        next = came(event->data, event->len);
        if (next == SEND) {
            send_echo(client);
        } else if (next == OVER) {
            finished = true;
            sem_post(&over);
        }
        break;
    case LW_EVENT_DRAIN:
        sem_post(&room);
        break;
    case LW_EVENT_CLOSED:
        fail(event->error ? lw_error_message(event->error) : "the server closed");
    }
}

/* As much as the send buffer has room for. */
static void send_some(lw_client *client)
{
    int32_t code = LW_OK;
    while (sent < bench.count && (code = lw_client_send_binary(client, payload, bench.size)) == LW_OK)
        sent++;
    if (code != LW_OK && code != LW_EFULL)
        fail(lw_strerror(code));
}

static void wait_for_callbacks(lw_client *client)
{
    sem_wait(&all_open);
    if (bench.workload == MANY) {
        uint64_t before = messages();
        sleep((unsigned)bench.size);
        end();
        report(messages() - before);
        return;
    }
    if (bench.workload == SINK)
        for (send_some(client); sent < bench.count; send_some(client))
            sem_wait(&room);
    sem_wait(&over);
    report(bench.messages);
}

static void drive(lw_client **clients, uint64_t count)
{
    struct epoll_event ready[256];
    uint64_t before = 0;
    bool measured = false;
    int loop = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t i = 0; i < count; i++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = clients[i]};
        epoll_ctl(loop, EPOLL_CTL_ADD, lw_client_poll_fd(clients[i]), &wanted);
    }
    while (!finished) {
        int patience = -1;
        if (bench.workload == MANY && open_clients == count) {
            if (!measured)
                before = bench.messages;
            measured = true;
            uint64_t past = now_ns() - bench.begun_ns, whole = bench.size * 1000000000u;
            if (past >= whole)
                break;
            patience = (int)((whole - past) / 1000000u) + 1;
        }
        int n = epoll_wait(loop, ready, 256, patience);
        for (int i = 0; i < n; i++)
            lw_client_drive(ready[i].data.ptr, 64, on_event, NULL);
        if (bench.workload == SINK && open_clients > 0 && sent < bench.count && (sent == 0 || sem_trywait(&room) == 0))
            send_some(clients[0]);
    }
    if (bench.workload == MANY)
        end();
    report(bench.messages - before);
}

int main(int argc, char **argv)
{
    const char *mode = getenv("BENCH_MODE");
    bool hosted = mode && strcmp(mode, "hosted") == 0;
    take_arguments(argc, argv);
    uint64_t count = bench.workload == MANY ? bench.count : 1;
    lw_client **clients = calloc(count, sizeof *clients);
    payload = calloc(1, bench.size + 1);
    sem_init(&all_open, 0, 0);
    sem_init(&room, 0, 0);
    sem_init(&over, 0, 0);

    lw_config *config = lw_config_new(bench.url);
    lw_config_set_reconnect_off(config);
    lw_config_set_compression(config, bench.deflate);
    /* What waits stays in the processor's cache: see docs/performance.md. */
    lw_config_set_send_buffer(config, 2 << 20);
    if (bench.tls)
        lw_config_set_tls_ca_file(config, bench.ca);
    for (uint64_t i = 0; i < count; i++) {
        int32_t code = hosted ? lw_client_new_hosted(config, &clients[i], NULL)
                              : lw_client_new(config, on_event, NULL, NULL, &clients[i], NULL);
        if (code != LW_OK)
            fail(lw_strerror(code));
    }
    lw_config_free(config);
    if (hosted)
        drive(clients, count);
    else
        wait_for_callbacks(clients[0]);
    for (uint64_t i = 0; i < count; i++)
        lw_client_free(clients[i]);
    return 0;
}
