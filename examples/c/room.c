/*
 * room URL CA_FILE NAME COUNT: talks in a room where everybody hears everybody,
 * until COUNT of its own messages have come back.
 *
 * It sends "NAME 1", "NAME 2", ... every 25 ms while connected. When the
 * connection is lost, the client comes back by itself and the talk goes on. At
 * the end it prints one line of JSON.
 */
#include <longwire.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PACE_US 25000
#define LIMIT_US 60000000
#define MOST_SENT (LIMIT_US / PACE_US + 1)

struct room {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *name;
    size_t count;
    bool open;
    bool closed;
    int32_t error;
    uint32_t reconnects;
    size_t sent;
    size_t received;
    size_t returned; /* of our own */
    int64_t sent_at_us[MOST_SENT + 1];
    int64_t round_trips_us[MOST_SENT + 1];
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The number in a message of our own, "NAME number"; 0 for anything else. */
static size_t own_number(const struct room *room, const lw_event *event)
{
    char text[128];
    size_t prefix = strlen(room->name);

    if (event->len <= prefix + 1 || event->len >= sizeof text)
        return 0;
    memcpy(text, event->data, event->len);
    text[event->len] = '\0';
    if (strncmp(text, room->name, prefix) != 0 || text[prefix] != ' ')
        return 0;
    return (size_t)strtoul(text + prefix + 1, NULL, 10);
}

static void on_event(lw_client *client, const lw_event *event, void *user)
{
    struct room *room = (struct room *)user;
    size_t number;

    (void)client;
    pthread_mutex_lock(&room->lock);
    switch (event->kind) {
    case LW_EVENT_OPEN:
        room->open = true;
        room->reconnects = event->reconnects;
        break;
    case LW_EVENT_MESSAGE:
        room->received++;
        number = own_number(room, event);
        if (number >= 1 && number <= room->sent)
            room->round_trips_us[room->returned++] = now_us() - room->sent_at_us[number];
        break;
    case LW_EVENT_DOWN:
        room->open = false;
        break;
    case LW_EVENT_CLOSED:
        room->open = false;
        room->closed = true;
        room->error = lw_error_code(event->error);
        if (event->error != NULL)
            fprintf(stderr, "room: %s: %s\n", room->name, lw_error_message(event->error));
        break;
    }
    pthread_cond_signal(&room->changed);
    pthread_mutex_unlock(&room->lock);
}

/* Waits, with the lock held, until something changed or the time has come. */
static void wait_until(struct room *room, int64_t due_us)
{
    struct timespec due;

    due.tv_sec = (time_t)(due_us / 1000000);
    due.tv_nsec = (long)(due_us % 1000000) * 1000;
    pthread_cond_timedwait(&room->changed, &room->lock, &due);
}

/* Sends the next message. Sends never wait for a callback, so the lock can stay
 * with us, and the answer cannot be counted before the time is in the table. */
static int32_t say(struct room *room, lw_client *client)
{
    char text[128];
    int length = snprintf(text, sizeof text, "%s %zu", room->name, room->sent + 1);

    room->sent_at_us[++room->sent] = now_us();
    return lw_client_send_text(client, text, (size_t)length);
}

/* Talks until COUNT own messages have come back; true if they did. */
static bool talk(struct room *room, lw_client *client)
{
    int64_t limit_us = now_us() + LIMIT_US;
    int64_t next_us = now_us();
    bool done;

    pthread_mutex_lock(&room->lock);
    while (room->returned < room->count && !room->closed && now_us() < limit_us) {
        if (room->open && now_us() >= next_us && room->sent < MOST_SENT) {
            int32_t code = say(room, client);
            if (code != LW_OK)
                fprintf(stderr, "room: %s: %s\n", room->name, lw_strerror(code));
            next_us = now_us() + PACE_US;
        }
        wait_until(room, room->open ? next_us : limit_us);
    }
    done = room->returned >= room->count;
    if (!done)
        fprintf(stderr, "room: %s: %zu of %zu messages came back\n", room->name, room->returned,
                room->count);
    pthread_mutex_unlock(&room->lock);
    return done;
}

static bool leave(struct room *room, lw_client *client)
{
    lw_client_close(client, 1000, NULL, 0);
    pthread_mutex_lock(&room->lock);
    while (!room->closed)
        pthread_cond_wait(&room->changed, &room->lock);
    pthread_mutex_unlock(&room->lock);
    return room->error == LW_OK;
}

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static void report(struct room *room, const char *url)
{
    qsort(room->round_trips_us, room->returned, sizeof room->round_trips_us[0], ascending);
    printf("{\"language\":\"C\",\"url\":\"%s\",\"sent\":%zu,\"received\":%zu,"
           "\"round_trip_us\":%lld,\"reconnects\":%lu}\n",
           url, room->sent, room->received,
           (long long)room->round_trips_us[room->returned / 2],
           (unsigned long)room->reconnects);
}

static void init(struct room *room, const char *name, size_t count)
{
    pthread_condattr_t attributes;

    memset(room, 0, sizeof *room);
    room->name = name;
    room->count = count;
    pthread_mutex_init(&room->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&room->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

int main(int argc, char **argv)
{
    static struct room room;
    lw_client *client;
    lw_error *error;
    size_t count = argc == 5 ? (size_t)strtoul(argv[4], NULL, 10) : 0;
    bool done;

    if (count == 0 || count > MOST_SENT) {
        fprintf(stderr, "usage: room URL CA_FILE NAME COUNT, with COUNT from 1 to %d\n", MOST_SENT);
        return 2;
    }
    init(&room, argv[3], count);

    lw_config *config = lw_config_new(argv[1]);
    lw_config_set_tls_ca_file(config, argv[2]);
    lw_config_set_reconnect(config, 100, 1000, 2.0, 0, 5000);
    if (lw_client_new(config, on_event, &room, NULL, &client, &error) != LW_OK) {
        fprintf(stderr, "room: %s\n", lw_error_message(error));
        lw_error_free(error);
        lw_config_free(config);
        return 1;
    }
    lw_config_free(config);

    done = talk(&room, client);
    done = leave(&room, client) && done;
    lw_client_free(client);
    if (done)
        report(&room, argv[1]);
    return done ? 0 : 1;
}
