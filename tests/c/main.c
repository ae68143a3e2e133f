/* All C tests in one program. */
#include "harness.h"

/* `--leave-open URL`: returns from main with an open client. */
static int leave_open(const char *where)
{
    static struct tape tape;

    tape_init(&tape);
    start(&tape, lw_config_new(where));
    return tape_wait(&tape, LW_EVENT_OPEN, 1) == NULL;
}

/* `--leave-asked URL`: the same with one that waits for an answer. */
static int leave_asked(const char *where)
{
    static struct tape tape;
    lw_config *config = lw_config_new(where);

    tape_init(&tape);
    lw_config_set_before_connect(config, true);
    start(&tape, config);
    return tape_wait(&tape, LW_EVENT_BEFORE_CONNECT, 1) == NULL;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--leave-asked") == 0)
        return leave_asked(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--leave-open") == 0)
        return leave_open(argv[2]);

    start_server();
    test_arguments();
    test_connecting();
    test_messages();
    test_pieces();
    test_closing();
    test_hosted();
    test_asking();
    test_reconnecting();
    test_queueing();
    test_watching();
    test_endings();
    test_lifetime();
    return verdict();
}
