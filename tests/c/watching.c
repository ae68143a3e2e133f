/* What a client says of itself: statistics, the log, and whether anybody listens. */
#include "harness.h"

#include <time.h>

/* --- A log on paper ------------------------------------------------------- */

struct paper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t levels[64];
    char lines[64][256];
    size_t count;
    int freed;
};

static void paper_init(struct paper *paper)
{
    memset(paper, 0, sizeof *paper);
    pthread_mutex_init(&paper->lock, NULL);
    pthread_cond_init(&paper->changed, NULL);
}

static void on_line(int32_t level, const char *text, void *user)
{
    struct paper *paper = (struct paper *)user;

    pthread_mutex_lock(&paper->lock);
    CHECK_INT(paper->freed, 0);
    if (paper->count < 64) {
        paper->levels[paper->count] = level;
        snprintf(paper->lines[paper->count++], sizeof paper->lines[0], "%s", text);
    }
    pthread_cond_broadcast(&paper->changed);
    pthread_mutex_unlock(&paper->lock);
}

static void on_paper_free(void *user)
{
    struct paper *paper = (struct paper *)user;

    pthread_mutex_lock(&paper->lock);
    paper->freed++;
    pthread_cond_broadcast(&paper->changed);
    pthread_mutex_unlock(&paper->lock);
}

/* The level of the first line that contains `what`; 0 if there is none. With the lock. */
static int32_t find_line(const struct paper *paper, const char *what)
{
    size_t i;

    for (i = 0; i < paper->count; i++)
        if (strstr(paper->lines[i], what) != NULL)
            return paper->levels[i];
    return 0;
}

/* Waits for such a line, or with NULL until it was freed. */
static int32_t wait_line(struct paper *paper, const char *what)
{
    struct timespec due;
    int32_t level = 0;
    bool late = false;

    deadline(&due, 1000L * limit_s());
    pthread_mutex_lock(&paper->lock);
    while (!late) {
        level = what == NULL ? paper->freed : find_line(paper, what);
        if (level != 0)
            break;
        late = pthread_cond_timedwait(&paper->changed, &paper->lock, &due) != 0;
    }
    pthread_mutex_unlock(&paper->lock);
    if (!CHECK(!late))
        printf("  no line with \"%s\"\n", what == NULL ? "" : what);
    return level;
}

static lw_config *logged(struct paper *paper, const char *path, int32_t level)
{
    lw_config *config = hasty(path);

    paper_init(paper);
    CHECK_CODE(lw_config_set_log(config, level, on_line, paper, on_paper_free), LW_OK);
    return config;
}

static void every_step_is_logged(void)
{
    static struct paper paper;
    struct tape tape;
    lw_client *client;
    lw_config *config = logged(&paper, "/drop?after=1", LW_LOG_DEBUG);

    tape_init(&tape);
    lw_config_add_header(config, "Authorization", "Bearer topsecret");
    client = start(&tape, config);
    CHECK_CODE(send_string(client, "topsecret"), LW_OK);
    CHECK_INT(wait_line(&paper, "attempt 1: connecting to"), LW_LOG_DEBUG);
    CHECK_INT(wait_line(&paper, "open: attempt 1, reconnect 0"), LW_LOG_INFO);
    CHECK_INT(wait_line(&paper, "down: "), LW_LOG_WARNING);
    CHECK_INT(wait_line(&paper, "reconnect 1"), LW_LOG_INFO);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    CHECK_INT(wait_line(&paper, "closed with code"), LW_LOG_INFO);
    lw_client_free(client);
    CHECK_INT(wait_line(&paper, NULL), 1);
    CHECK_INT(find_line(&paper, "topsecret"), 0);
    tape_destroy(&tape);
}

static void the_log_has_what_its_level_asks_for(void)
{
    static struct paper paper;
    struct tape tape;
    lw_client *client;
    lw_config *config = logged(&paper, "/http?status=404", LW_LOG_ERROR);
    size_t i;

    tape_init(&tape);
    client = start(&tape, config);
    CHECK_INT(wait_line(&paper, "closed with code 1006"), LW_LOG_ERROR);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    lw_client_free(client);
    CHECK_INT(wait_line(&paper, NULL), 1);
    for (i = 0; i < paper.count; i++)
        CHECK_INT(paper.levels[i], LW_LOG_ERROR);
    tape_destroy(&tape);
}

static void the_log_is_freed_once_and_last(void)
{
    static struct paper first, second, refused;
    struct tape tape;
    lw_client *client = NULL;
    lw_config *config = logged(&first, "/echo", LW_LOG_INFO);

    /* Nobody uses it any more. */
    paper_init(&second);
    CHECK_CODE(lw_config_set_log(config, LW_LOG_INFO, on_line, &second, on_paper_free), LW_OK);
    CHECK_INT(first.freed, 1);
    /* Nobody ever does. */
    paper_init(&refused);
    CHECK_CODE(lw_config_set_log(config, 0, on_line, &refused, on_paper_free), LW_EINVAL);
    CHECK_INT(refused.freed, 1);
    CHECK_CODE(lw_config_set_log(config, 5, on_line, &refused, on_paper_free), LW_EINVAL);
    CHECK_CODE(lw_config_set_log(NULL, LW_LOG_INFO, on_line, &refused, on_paper_free), LW_EINVAL);
    CHECK_CODE(lw_config_set_log(config, LW_LOG_INFO, NULL, &refused, on_paper_free), LW_EINVAL);
    CHECK_INT(refused.freed, 4);
    tape_init(&tape);
    client = start(&tape, config); /* frees it */
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    CHECK_INT(second.freed, 0);
    finish(&tape, client);
    CHECK_INT(wait_line(&second, NULL), 1);
    tape_destroy(&tape);
}

/* --- Statistics ----------------------------------------------------------- */

static void statistics_tell_what_happened(void)
{
    struct tape tape;
    lw_client *client;
    lw_stats stats;
    lw_config *config = hasty("/echo");
    int64_t now_ms;

    tape_init(&tape);
    lw_config_set_before_connect(config, true);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1);
    CHECK_CODE(send_string(client, "12345"), LW_OK);
    stats = stats_of(client);
    CHECK_INT(stats.state, LW_STATE_CONNECTING);
    CHECK_INT(stats.attempt, 1);
    CHECK_INT(stats.connections, 0);
    CHECK_CODE(stats.last_error, LW_OK);
    CHECK_TEXT(stats.last_error_message, "");
    CHECK_INT(stats.connected_for_ms, -1);
    CHECK_INT(stats.connected_since_ms, -1);
    CHECK_INT(stats.next_retry_ms, -1);
    CHECK_INT(stats.round_trip_us, -1);
    CHECK_INT(stats.smoothed_round_trip_us, -1);
    CHECK_INT(stats.stalled_ms, -1);
    CHECK_INT(stats.messages_sent, 1);
    CHECK_INT(stats.bytes_sent, 0);
    CHECK(stats.buffered_amount >= 5);
    CHECK_CODE(lw_client_proceed(client, 1, NULL), LW_OK);

    tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    CHECK_CODE(lw_client_ping(client, "p", 1), LW_OK);
    tape_wait(&tape, LW_EVENT_PONG, 1);
    stats = stats_of(client);
    now_ms = (int64_t)time(NULL) * 1000;
    CHECK_INT(stats.state, LW_STATE_OPEN);
    CHECK_INT(stats.connections, 1);
    CHECK(stats.connected_for_ms >= 0 && stats.connected_for_ms < 600000);
    CHECK(stats.connected_since_ms > now_ms - 600000 && stats.connected_since_ms < now_ms + 2000);
    CHECK_INT(stats.messages_received, 1);
    CHECK_INT(stats.bytes_sent, (2 + 4 + 5) + (2 + 4 + 1)); /* headers, masks, payloads */
    CHECK_INT(stats.pings_sent, 1);
    CHECK_INT(stats.pongs_received, 1);
    CHECK(stats.round_trip_us >= 0);
    CHECK(stats.smoothed_round_trip_us >= 0);
    CHECK_INT(stats.buffered_amount, 0);
    CHECK_INT(stats.deflated_before + stats.deflated_after, 0); /* the server never does */
    CHECK_INT(stats.inflated_before + stats.inflated_after, 0);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    stats = stats_of(client);
    CHECK_INT(stats.state, LW_STATE_CLOSED);
    CHECK_INT(stats.bytes_received, (2 + 5) + (2 + 1) + (2 + 2));
    CHECK_INT(stats.connected_for_ms, -1);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void statistics_tell_why_it_is_down(void)
{
    struct tape tape;
    lw_client *client;
    lw_stats stats;
    lw_config *config = hasty("/http?status=503");

    tape_init(&tape);
    lw_config_set_reconnect(config, 600000, 600000, 1.0, 0, 5000);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_DOWN, 1);
    stats = stats_of(client);
    CHECK_INT(stats.state, LW_STATE_DOWN);
    CHECK_INT(stats.attempt, 2);
    CHECK_CODE(stats.last_error, LW_ESTATUS);
    CHECK_INT(stats.last_error_http_status, 503);
    CHECK(strstr(stats.last_error_message, "503") != NULL);
    CHECK(stats.next_retry_ms > 0 && stats.next_retry_ms <= 600000);
    finish(&tape, client);
    tape_destroy(&tape);
}

/* Of a program with a newer header than the library the rest is 0. */
static void statistics_may_grow(void)
{
    struct {
        lw_stats known;
        char later[16];
    } stats;
    struct tape tape;
    lw_client *client;
    size_t i;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    memset(&stats, 'x', sizeof stats);
    stats.known.size = sizeof stats - 1;
    CHECK_CODE(lw_client_stats(client, &stats.known), LW_OK);
    CHECK_INT(stats.known.size, sizeof stats.known);
    CHECK_INT(stats.known.connections, 1);
    for (i = 0; i < sizeof stats.later; i++)
        CHECK_INT(stats.later[i], i < sizeof stats.later - 1 ? 0 : 'x');
    finish(&tape, client);
    tape_destroy(&tape);
}

/* --- A loop that looks away ----------------------------------------------- */

/* A hosted client that has an echo to fetch and does not. */
static lw_client *neglected(struct tape *tape, struct paper *paper, bool close)
{
    lw_config *config = logged(paper, "/echo", LW_LOG_DEBUG);
    lw_client *client = NULL;

    CHECK_CODE(lw_config_set_consumer_timeout(config, 200, close), LW_OK);
    CHECK_CODE(lw_client_new_hosted(config, &client, NULL), LW_OK);
    lw_config_free(config);
    tape_init(tape);
    drive_until(client, tape, 64, LW_EVENT_OPEN, 1);
    CHECK_CODE(send_string(client, "for nobody"), LW_OK);
    CHECK_INT(wait_line(paper, "the program took no message"), LW_LOG_WARNING);
    return client;
}

static void a_program_that_takes_nothing_is_noticed(void)
{
    static struct paper paper;
    struct tape tape;
    lw_client *client = neglected(&tape, &paper, false);

    CHECK(stats_of(client).stalled_ms >= 200);
    drive_until(client, &tape, 64, LW_EVENT_MESSAGE, 1);
    CHECK_INT(wait_line(&paper, "takes messages again"), LW_LOG_INFO);
    CHECK_INT(stats_of(client).stalled_ms, -1);
    CHECK_INT(tape_count(&tape, LW_EVENT_DOWN), 0);
    lw_client_free(client);
    CHECK_INT(wait_line(&paper, NULL), 1);
    tape_destroy(&tape);
}

static void a_program_that_takes_nothing_may_lose_its_connection(void)
{
    static struct paper paper;
    const struct entry *closed;
    struct tape tape;
    lw_client *client = neglected(&tape, &paper, true);

    CHECK_INT(wait_line(&paper, "closed with code"), LW_LOG_ERROR);
    drive_until(client, &tape, 64, LW_EVENT_CLOSED, 1);
    closed = tape_wait(&tape, LW_EVENT_CLOSED, 1);
    if (closed != NULL)
        CHECK_CODE(closed->error, LW_ETIMEOUT);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 1); /* it is not lost */
    lw_client_free(client);
    CHECK_INT(wait_line(&paper, NULL), 1);
    tape_destroy(&tape);
}

void test_watching(void)
{
    RUN(every_step_is_logged);
    RUN(the_log_has_what_its_level_asks_for);
    RUN(the_log_is_freed_once_and_last);
    RUN(statistics_tell_what_happened);
    RUN(statistics_tell_why_it_is_down);
    RUN(statistics_may_grow);
    RUN(a_program_that_takes_nothing_is_noticed);
    RUN(a_program_that_takes_nothing_may_lose_its_connection);
}
