/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { MAX_JOIN = 520 };

static void wipe(void *bytes, size_t size)
{
    explicit_bzero(bytes, size);
}

/* Reads one line into `to`, without its newline; false at the end of the file or when it is too long. */
static bool read_line(FILE *from, char *to, size_t size)
{
    size_t used = 0;
    int c;

    while ((c = fgetc(from)) != EOF && c != '\n') {
        if (used + 1 >= size)
            return false;
        to[used++] = (char)c;
    }
    while (used && (to[used - 1] == ' ' || to[used - 1] == '\r' || to[used - 1] == '\t'))
        used--;
    to[used] = '\0';
    return used > 0;
}

/* Whether nothing but white space follows. */
static bool at_end(FILE *from)
{
    int c;

    while ((c = fgetc(from)) != EOF) {
        if (c != '\n' && c != '\r' && c != ' ' && c != '\t')
            return false;
    }
    return true;
}

/* ---- the prompt: without echo, because the string may hold a token ---- */

static const int prompt_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static struct termios terminal_before;

static void on_prompt_signal(int number)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_signals(bool is_prompting)
{
    struct sigaction action = { .sa_handler = is_prompting ? on_prompt_signal : SIG_DFL };

    for (size_t i = 0; i < sizeof(prompt_signals) / sizeof(*prompt_signals); i++)
        sigaction(prompt_signals[i], &action, NULL);
    signal(SIGTSTP,
           is_prompting ? SIG_IGN : SIG_DFL); /* a stopped program leaves no silent terminal */
}

static bool prompt(char *to, size_t size)
{
    struct termios silent;
    bool ok;

    if (tcgetattr(STDIN_FILENO, &terminal_before) != 0)
        return read_line(stdin, to, size);
    silent = terminal_before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    watch_signals(true);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    fprintf(stderr, "join string (not shown): ");
    fflush(stderr);
    ok = read_line(stdin, to, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    watch_signals(false);
    fputc('\n', stderr);
    return ok;
}

static bool read_join(const struct cli *cli, char *to, size_t size)
{
    FILE *file;
    bool ok;

    if (cli->join_file && strcmp(cli->join_file, "-") != 0) {
        file = fopen(cli->join_file, "re");
        if (!file) {
            cli_misuse("name a file that can be read", "join: %s: %s", cli->join_file,
                       strerror(errno));
            return false;
        }
        setvbuf(file, NULL, _IONBF, 0); /* no copy of a token in a stream's buffer */
        ok = read_line(file, to, size) && at_end(file);
        fclose(file);
    } else if (isatty(STDIN_FILENO)) {
        ok = prompt(to, size);
    } else {
        setvbuf(stdin, NULL, _IONBF, 0);
        ok = read_line(stdin, to, size) && at_end(stdin);
    }
    if (!ok)
        cli_misuse("ask the network's operator for a join string",
                   "join: expected one line, a join string of at most 512 characters "
                   "(warren://host/network#...)");
    return ok;
}

/* A join string given as an argument stands in the process list: fine for a public one alone. */
static bool take_argument(const char *argument, char *to, size_t size)
{
    const char *pin = strchr(argument, '#');

    if (pin && strchr(pin, '.')) {
        fprintf(
            stderr,
            "warren: join: a join string with a token is a secret and is not taken as an argument, "
            "where every user of this machine could read it\n"
            "what to do: warren join < FILE, or warren join --join-file FILE; and ask for a new "
            "token, this one may have been seen\n");
        return false;
    }
    snprintf(to, size, "%s", argument);
    return true;
}

#define NEVER (~0ull)

/* Somebody has to say yes, which may take days: the code once, then a sign of life now and then. */
static void say_waiting(const struct peer_event *event, bool *is_waiting)
{
    static unsigned long long said_at;

    if (!*is_waiting) {
        cli_say("the operator has to let this machine in. Its code is");
        printf("%s\n", event->code);
        fflush(stdout);
        cli_say("compare it with the one that the operator sees (warren-den waiting list); this "
                "goes on "
                "by itself then");
        said_at = cli_now();
    } else if (cli_now() - said_at > 60000) {
        cli_say("still waiting for approval of %s", event->code);
        said_at = cli_now();
    }
    *is_waiting = true;
}

/* A folder is one machine for good, whatever its join string meant. */
static int say_outcome(const struct cli *cli, const char *id_before, const struct peer_error *error)
{
    char shown[24];
    int status = error ? cli_fail(cli, "join", error) : 0;

    if (*id_before != '\0' && (!error || strcmp(error->name, "revoked") == 0))
        cli_say("this folder was %s before%s: a join string makes another machine, or gives an ID "
                "a new "
                "key, only with a new state folder: warren join --state DIR",
                cli_show_id(id_before, shown), error ? "" : ", and still is, with the same key");
    return status;
}

/* Until the ID and the certificate are there. */
static int wait_joined(const struct cli *cli, struct peer *peer, const char *id_before)
{
    unsigned long long until = cli_now() + (unsigned long long)(cli->timeout_s * 1000);
    struct peer_error last = { "timeout", "no answer came in time", "try again" };
    struct peer_identity identity;
    struct peer_event event;
    bool is_waiting = false;

    for (;;) {
        unsigned long long now = cli_now();
        if (now >= until)
            return say_outcome(cli, id_before, &last);
        cli_wait(peer, -1, until == NEVER ? -1 : (int)(until - now));
        if (cli_stopped()) {
            cli_say("not joined%s", is_waiting ? "; `warren join --resume` waits on" : "");
            return 128 + cli_stopped();
        }
        while (cli_next_event(peer, &event)) {
            if (event.type == PEER_EVENT_JOINED && peer_identity(peer, &identity)) {
                cli_say("joined");
                cli_print_identity(&identity, stdout);
                return say_outcome(cli, id_before, NULL);
            }
            if (event.type == PEER_EVENT_FAILED)
                return say_outcome(cli, id_before, &event.error);
            if (event.type == PEER_EVENT_ONLINE)
                cli_say("the router has proved itself, and took our key");
            if (event.type == PEER_EVENT_WAITING) {
                say_waiting(&event, &is_waiting);
                until = NEVER;
            }
            if (event.type == PEER_EVENT_CLOCK)
                cli_say("%s: %s\nwhat to do: %s", event.error.name, event.error.text,
                        event.error.remedy);
            if (event.type == PEER_EVENT_OFFLINE) {
                char when[CLI_WHEN];
                last = event.error;
                if (cli_is_for_people(&last))
                    return say_outcome(cli, id_before, &last);
                cli_say("%s; trying again %s", event.error.text, cli_when(event.pause_ms, when));
            }
        }
    }
}

int cli_join(const struct cli *cli)
{
    struct peer_config config = { .size = sizeof(config), .state_dir = cli->state_dir };
    struct peer_identity before;
    struct peer_error unused;
    struct peer *peer;
    char join[MAX_JOIN];
    int status;

    if (cli->resume)
        join[0] = '\0';
    else if (cli->argument ? !take_argument(cli->argument, join, sizeof(join))
                           : !read_join(cli, join, sizeof(join)))
        return 2;
    config.join = cli->resume ? NULL : join;
    if (!peer_identity_load(cli->state_dir, &before, &unused) || !strchr(join, '#') ||
        !strchr(strchr(join, '#'), '.')) /* without a token it asks for nothing new */
        before.id[0] = '\0';
    do {
        peer = cli_open(cli, "join", &config);
        cli_catch_signals(); /* prompts have their own way with them */
        status = peer ? wait_joined(cli, peer, before.id) : 1;
        peer_free(peer);
    } while (cli_take_anew());
    wipe(join, sizeof(join));
    return status;
}
