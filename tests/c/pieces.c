/* Messages in pieces: sent in fragments, received in chunks. */
#include "harness.h"

#include <signal.h>

/* --- Receiving ------------------------------------------------------------- */

/* A client for a path, whose messages come in chunks. */
static lw_client *start_streaming(struct tape *tape, const char *path)
{
    lw_config *config = lw_config_new(url(server.ws, path));

    tape_init(tape);
    CHECK_CODE(lw_config_set_streaming(config, true), LW_OK);
    lw_config_set_max_message_size(config, 1000);
    lw_config_set_reconnect(config, 1, 10, 2.0, 0, 0);
    return start(tape, config);
}

/* Puts the chunks of the next message together, beginning with the nth of all.
 * Stores how many there were; the bytes are to be freed. */
static char *join(struct tape *tape, size_t nth, size_t *chunks, size_t *len)
{
    const struct entry *chunk;
    char *whole = (char *)calloc(1, 1);

    *chunks = *len = 0;
    do {
        chunk = tape_wait(tape, LW_EVENT_CHUNK, nth + *chunks);
        if (chunk == NULL || !CHECK_INT(chunk->first, *chunks == 0))
            break;
        whole = (char *)realloc(whole, *len + chunk->len + 1);
        memcpy(whole + *len, chunk->data, chunk->len + 1);
        *len += chunk->len;
        ++*chunks;
    } while (!chunk->last);
    return whole;
}

static void a_large_message_comes_in_chunks_past_every_limit(void)
{
    struct tape tape;
    lw_client *client = start_streaming(&tape, "/push?count=2&size=2000000&kind=binary");
    size_t nth = 1, chunks, len;
    unsigned long i;

    for (i = 0; i < 2; i++) {
        char *message = join(&tape, nth, &chunks, &len);

        CHECK_INT(len, 2000000);
        CHECK_INT(strtoul(message, NULL, 10), i);
        CHECK(chunks > 1);
        nth += chunks;
        free(message);
    }
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_CHUNK), nth - 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 0);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void a_chunk_may_end_inside_a_character(void)
{
    struct tape tape;
    /* A text in two fragments, cut inside its second character; an empty one. */
    lw_client *client = start_streaming(&tape, "/raw?after=010267c38003bc6e6e8100");
    size_t chunks, len, empty;
    char *message = join(&tape, 1, &chunks, &len);

    CHECK_TEXT(message, "g\xc3\xbcnn");
    CHECK(tape_wait(&tape, LW_EVENT_CHUNK, 1)->is_text);
    CHECK_INT(tape_wait(&tape, LW_EVENT_CHUNK, 1)->len, 2);
    free(message);
    free(join(&tape, chunks + 1, &empty, &len));
    CHECK_INT(empty, 1);
    CHECK_INT(len, 0);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_lost_connection_leaves_a_message_without_its_last_chunk(void)
{
    const struct entry *chunk;
    struct tape tape;
    /* Half a message, then a close frame with 1012. */
    lw_client *client = start_streaming(&tape, "/raw?after=020368616c880203f4");

    tape_wait(&tape, LW_EVENT_DOWN, 1);
    chunk = tape_wait(&tape, LW_EVENT_CHUNK, 1);
    if (chunk != NULL) {
        CHECK_TEXT(chunk->data, "hal");
        CHECK(chunk->first && !chunk->last && !chunk->is_text);
    }
    lw_client_free(client);
    tape_destroy(&tape);
}

static void text_in_chunks_is_checked_as_a_whole(void)
{
    const struct entry *down;
    struct tape tape;
    /* A character that the second fragment does not go on with. */
    lw_client *client = start_streaming(&tape, "/raw?after=0102c3bc0001c3800167");

    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL)
        CHECK_CODE(down->error, LW_EUTF8);
    lw_client_free(client);
    tape_destroy(&tape);
}

/* --- Sending --------------------------------------------------------------- */

static lw_message *begin(lw_client *client, uint32_t kind)
{
    lw_message *message = NULL;

    CHECK_CODE(lw_message_begin(client, kind, 0, &message), LW_OK);
    return message;
}

/* Waits for the nth message, and compares. */
static void hear(struct tape *tape, size_t nth, const char *expected)
{
    const struct entry *message = tape_wait(tape, LW_EVENT_MESSAGE, nth);

    if (message != NULL)
        CHECK_TEXT(message->data, expected);
}

/* How the server saw the end of /raw?id=ID. */
static void hear_result(const char *id, const char *expected)
{
    const struct entry *result;
    struct tape tape;
    char path[64];
    lw_client *client;

    tape_init(&tape);
    snprintf(path, sizeof path, "/raw-result?id=%s", id);
    client = start(&tape, lw_config_new(url(server.ws, path)));
    result = tape_wait(&tape, LW_EVENT_MESSAGE, 1);
    if (result != NULL && !CHECK(strncmp(result->data, expected, strlen(expected)) == 0))
        printf("  the server saw: %s\n", result->data);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void pieces_arrive_as_one_message(void)
{
    struct tape tape;
    lw_client *client;
    lw_message *message;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "caf\xc3", 4), LW_OK);
    CHECK_CODE(lw_message_continue(message, NULL, 0), LW_OK);
    CHECK_CODE(lw_message_continue(message, NULL, 1), LW_EINVAL);
    CHECK_CODE(lw_message_continue(message, "\xa9", 1), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
    hear(&tape, 1, "caf\xc3\xa9");
    CHECK_CODE(lw_message_begin(client, LW_BINARY, LW_SEND_UNCOMPRESSED, &message), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK); /* an empty one */
    hear(&tape, 2, "");
    CHECK(!tape_wait(&tape, LW_EVENT_MESSAGE, 2)->is_text);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void other_messages_wait_and_pings_do_not(void)
{
    lw_message *message, *second = (lw_message *)&server;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "a", 1), LW_OK);
    CHECK_CODE(send_string(client, "whole"), LW_OK);
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 0, &second), LW_EBUSY);
    CHECK(second == NULL);
    CHECK(lw_client_buffered_amount(client) > 5);
    CHECK_CODE(lw_client_ping(client, "p", 1), LW_OK);
    tape_wait(&tape, LW_EVENT_PONG, 1);
    CHECK_INT(tape_count(&tape, LW_EVENT_MESSAGE), 0);
    CHECK_CODE(lw_message_continue(message, "b", 1), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
    hear(&tape, 1, "ab");
    hear(&tape, 2, "whole");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_end(message), LW_OK);
    finish(&tape, client);
    tape_destroy(&tape);
}

static void say_first_in_pieces(struct tape *tape, lw_client *client, const lw_event *event)
{
    lw_message *message;

    (void)tape;
    if (event->kind != LW_EVENT_OPEN)
        return;
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "fir", 3), LW_OK);
    CHECK_CODE(lw_message_continue(message, "st", 2), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
}

static void what_open_sends_in_pieces_precedes_what_was_queued(void)
{
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    tape.also = say_first_in_pieces;
    client = start(&tape, lw_config_new(url(server.ws, "/echo")));
    CHECK_CODE(send_string(client, "queued"), LW_OK);
    hear(&tape, 1, "first");
    hear(&tape, 2, "queued");
    finish(&tape, client);
    tape_destroy(&tape);
}

static void a_message_is_begun_only_while_connected(void)
{
    lw_message *message = (lw_message *)&server;
    struct tape tape;
    lw_client *client;

    tape_init(&tape);
    client = start(&tape, lw_config_new(url(server.ws, "/stall-handshake")));
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 0, &message), LW_EOFFLINE);
    CHECK(message == NULL);
    lw_client_free(client);
    tape_destroy(&tape);

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "a", 1), LW_OK);
    CHECK_CODE(lw_client_close(client, 1000, NULL, 0), LW_OK);
    CHECK_CODE(lw_message_continue(message, "b", 1), LW_ECLOSED);
    CHECK_CODE(lw_message_end(message), LW_ECLOSED);
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 0, &message), LW_ECLOSED);
    tape_wait(&tape, LW_EVENT_CLOSED, 1);
    CHECK_CODE(lw_message_begin(client, LW_TEXT, 0, &message), LW_ECLOSED);
    lw_client_free(client);
    tape_destroy(&tape);
}

static void text_in_pieces_is_utf8(void)
{
    const struct entry *down;
    struct tape tape;
    lw_client *client;
    lw_message *message;

    tape_init(&tape);
    client = start_open(&tape, "/echo");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "a\xff", 2), LW_EUTF8);
    CHECK_CODE(lw_message_continue(message, "b\xc3", 2), LW_OK);
    CHECK_CODE(lw_message_continue(message, "c", 1), LW_EUTF8);
    CHECK_CODE(lw_message_continue(message, "\xa4", 1), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
    hear(&tape, 1, "b\xc3\xa4");
    finish(&tape, client);
    tape_destroy(&tape);

    tape_init(&tape);
    client = start_open(&tape, "/raw?id=c-ends-inside");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, "\xc3", 1), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_EUTF8);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL)
        CHECK_CODE(down->error, LW_ELOST);
    lw_client_free(client);
    tape_destroy(&tape);
    hear_result("c-ends-inside", "1011 ");
}

static void an_abandoned_message_gives_its_connection_up(void)
{
    const struct entry *down;
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/raw?id=c-abandoned"));
    lw_message *message;

    tape_init(&tape);
    /* The server keeps the result of the last connection of an id: the next one
       comes when the result has been heard. */
    lw_config_set_reconnect(config, 60000, 60000, 2.0, 0, 0);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    lw_message_abandon(begin(client, LW_TEXT)); /* of which nothing was sent */
    message = begin(client, LW_BINARY);
    CHECK_CODE(lw_message_continue(message, "half", 4), LW_OK);
    lw_message_abandon(message);
    down = tape_wait(&tape, LW_EVENT_DOWN, 1);
    if (down != NULL) {
        CHECK_CODE(down->error, LW_ELOST);
        CHECK(strstr(down->message, "given up") != NULL);
    }
    hear_result("c-abandoned", "1011 ");
    CHECK_CODE(lw_client_reconnect(client), LW_OK);
    tape_wait(&tape, LW_EVENT_OPEN, 2);
    message = begin(client, LW_BINARY);
    CHECK_CODE(lw_message_end(message), LW_OK);
    lw_client_free(client);
    tape_destroy(&tape);
}

/* In OPEN, where the connection cannot be lost yet. */
static void begin_one(struct tape *tape, lw_client *client, const lw_event *event)
{
    if (event->kind != LW_EVENT_OPEN || tape->extra != NULL)
        return;
    CHECK_CODE(send_string(client, "and now end"), LW_OK);
    tape->extra = begin(client, LW_BINARY);
    CHECK_CODE(lw_message_continue((lw_message *)tape->extra, "half", 4), LW_OK);
}

static void a_message_is_lost_with_its_connection(void)
{
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/drop?after=1"));
    lw_message *message;

    tape_init(&tape);
    tape.also = begin_one;
    lw_config_set_reconnect(config, 1, 10, 2.0, 0, 0);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_DOWN, 1);
    message = (lw_message *)tape.extra;
    CHECK_CODE(lw_message_continue(message, "b", 1), LW_ELOST);
    /* The next connection knows nothing of it. */
    tape_wait(&tape, LW_EVENT_OPEN, 2);
    CHECK_CODE(lw_message_continue(message, "b", 1), LW_ELOST);
    CHECK_CODE(lw_message_end(message), LW_ELOST);
    message = begin(client, LW_BINARY);
    lw_client_free(client);
    /* It outlives its client, and is freed all the same. */
    CHECK(lw_message_end(message) <= LW_OK);
    CHECK_INT(tape.freed, 1);
    tape_destroy(&tape);
}

static void a_full_buffer_leaves_the_piece_untaken(void)
{
    enum { PIECE = 1 << 20 };
    char *piece = pattern(PIECE);
    char expected[64];
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/count"));
    lw_message *message;
    size_t waiting;
    int32_t code;
    int taken = 0;

    tape_init(&tape);
    lw_config_set_send_buffer(config, 4 * PIECE);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    message = begin(client, LW_BINARY);
    /* A server that reads nothing for the moment. */
    CHECK_INT(kill((pid_t)server.pid, SIGSTOP), 0);
    while ((code = lw_message_continue(message, piece, PIECE)) == LW_OK && taken < 200)
        taken++;
    CHECK_CODE(code, LW_EFULL);
    waiting = lw_client_buffered_amount(client);
    CHECK(waiting > 3 * PIECE && waiting <= 4 * PIECE);
    CHECK_INT(tape_count(&tape, LW_EVENT_DRAIN), 0);
    CHECK_INT(kill((pid_t)server.pid, SIGCONT), 0);
    tape_wait(&tape, LW_EVENT_DRAIN, 1);
    CHECK_CODE(lw_message_continue(message, piece, PIECE), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
    snprintf(expected, sizeof expected, "1 %d", (taken + 1) * PIECE);
    hear(&tape, 1, expected);
    finish(&tape, client);
    tape_destroy(&tape);
    free(piece);
}

static void a_whole_message_has_a_largest_size_and_pieces_do_not(void)
{
    struct tape tape;
    lw_client *client;
    lw_config *config = lw_config_new(url(server.ws, "/count"));
    char *bytes = pattern(1001);
    lw_message *message;

    tape_init(&tape);
    lw_config_set_max_message_size(config, 1000);
    client = start(&tape, config);
    tape_wait(&tape, LW_EVENT_OPEN, 1);
    CHECK_CODE(lw_client_send_text(client, bytes, 1001), LW_ETOOBIG);
    CHECK_CODE(lw_client_send_binary(client, bytes, 1001), LW_ETOOBIG);
    CHECK_CODE(lw_client_send(client, LW_TEXT, bytes, 1001, 0), LW_ETOOBIG);
    CHECK_CODE(lw_client_send(client, LW_TEXT, bytes, 1000, 0), LW_OK);
    hear(&tape, 1, "1 1000");
    message = begin(client, LW_TEXT);
    CHECK_CODE(lw_message_continue(message, bytes, 1001), LW_OK);
    CHECK_CODE(lw_message_continue(message, bytes, 1001), LW_OK);
    CHECK_CODE(lw_message_end(message), LW_OK);
    hear(&tape, 2, "2 3002");
    finish(&tape, client);
    tape_destroy(&tape);
    free(bytes);
}

void test_pieces(void)
{
    RUN(a_large_message_comes_in_chunks_past_every_limit);
    RUN(a_chunk_may_end_inside_a_character);
    RUN(a_lost_connection_leaves_a_message_without_its_last_chunk);
    RUN(text_in_chunks_is_checked_as_a_whole);
    RUN(pieces_arrive_as_one_message);
    RUN(other_messages_wait_and_pings_do_not);
    RUN(what_open_sends_in_pieces_precedes_what_was_queued);
    RUN(a_message_is_begun_only_while_connected);
    RUN(text_in_pieces_is_utf8);
    RUN(an_abandoned_message_gives_its_connection_up);
    RUN(a_message_is_lost_with_its_connection);
    RUN(a_full_buffer_leaves_the_piece_untaken);
    RUN(a_whole_message_has_a_largest_size_and_pieces_do_not);
}
