/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct verb {
    const char *name;
    int (*run)(const struct cli *cli);                      /* or */
    int (*run_own)(struct cli *cli, int argc, char **argv); /* reads its options itself */
    int n_arguments;                                        /* at most */
    const char *options; /* the letters of those that it knows, beside --state */
    const char *usage, *help;
} verbs[] = {
    { "join", cli_join, NULL, 1, "jtRp", "join [--join-file FILE | --resume] < JOINSTRING",
      "join a network: get this machine's ID and certificate" },
    { "id", cli_id, NULL, 0, "J", "id [--json]",
      "show this machine's ID, fingerprint and certificate" },
    { "chat", cli_chat, NULL, 1, "aflpSFP",
      "chat [ID|NAME] [--accept [--for DURATION]] [--path WHICH]",
      "with an ID or a name: dial it and chat; without: wait for a call" },
    { "tunnel", NULL, cli_tunnel, 1, "", "tunnel ID|NAME LOCALPORT:HOST:PORT...",
      "ports of this machine that come out at the other one" },
    { "nc", NULL, cli_nc, 1, "", "nc ID|NAME [HOST:]PORT",
      "standard input and output to a port there, for ssh's ProxyCommand" },
    { "expose", NULL, cli_expose, 1, "", "expose [HOST:]PORT... [--accept]",
      "let tunnel and nc of other machines in to these ports" },
    { "send", NULL, cli_send, 1, "", "send FILE... ID|NAME", "send files; what broke off goes on" },
    { "receive", NULL, cli_receive, 1, "", "receive [DIR] [--accept]",
      "take files that are sent to this machine" },
    { "call", NULL, cli_call, 1, "", "call PROCEDURE [VALUE | KEY=VALUE]...",
      "call a procedure of the network: network.whoami, ID.APP.METHOD" },
    { "sub", NULL, cli_sub, 1, "", "sub TOPIC", "print what is published, a JSON line each" },
    { "pub", NULL, cli_pub, 1, "", "pub TOPIC [VALUE... | -]",
      "publish values, or each line of standard input" },
    { "serve", NULL, cli_serve, 1, "", "serve PROCEDURE -- COMMAND [ARG]...",
      "run COMMAND for every call of me.APP.METHOD" },
    { "admin", NULL, cli_admin, 1, "", "admin VERB...",
      "administer the network: `warren admin help`" },
    { "doctor", cli_doctor, NULL, 0, "Jlp", "doctor [--json]",
      "this machine and its way into the network, a line each, good or bad" },
    { "explain", NULL, cli_explain, 1, "", "explain ID|NAME [--can CAP]... [--json]",
      "why the path to that machine is what it is, and what would help" },
    { "audit-witness", cli_witness, NULL, 0, "J", "audit-witness [--json]",
      "what this machine heard last of the network's audit, for `warren-den audit verify "
      "--witness`" },
    { "name", cli_name, NULL, 3, "Jtp", "name list | claim NAME | release NAME | transfer NAME ID",
      "readable names for this machine's ID" },
    { "rekey", cli_rekey, NULL, 0, "tp", "rekey", "a new identity key, signed by the old one" },
    { "known", cli_known, NULL, 2, "y", "known accept ID [--yes]",
      "agree to the changed key of a machine that is known here" },
    { "consent", cli_consent, NULL, 2, "J",
      "consent [none|ask|deny] [attended|unattended] | longest DURATION|none",
      "what is asked before calls are taken, whatever policy says" },
    { "passphrase", cli_change_passphrase, NULL, 0, "pnX", "passphrase [--remove]",
      "keep the identity key under a passphrase, or another, or none" },
    { "export", cli_export, NULL, 1, "p", "export FILE [--passphrase-fd N]",
      "move this identity into a file under a passphrase" },
    { "import", cli_import, NULL, 1, "p", "import FILE [--passphrase-fd N]",
      "take an identity from such a file" },
};

enum { N_VERBS = sizeof(verbs) / sizeof(*verbs), MAX_GIVEN = 15 };

static void usage(FILE *out)
{
    fprintf(out, "usage: warren [--state DIR] VERB\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  warren %-40s %s\n", verbs[i].usage, verbs[i].help);
    cli_pki_usage(out);
    fprintf(
        out,
        "\n"
        "  --state DIR       the state folder (mode 0700); default $XDG_STATE_HOME/warren or\n"
        "                    ~/.local/state/warren\n"
        "  --join-file FILE  join: read the join string from there instead of standard input\n"
        "  --timeout SECONDS join: give up after so long (default 60)\n"
        "  --accept          chat, expose, receive: take every call that policy allows, without\n"
        "                    asking\n"
        "  --for DURATION    chat --accept: each link ends after so long: 30m, 2h\n"
        "  --facts FILE      chat: write what the session rests on (statements, path, TLS) as "
        "JSON\n"
        "  --sas             chat: show four characters to compare on the phone\n"
        "  --loopback        chat and the like: use 127.0.0.1 too, for two peers on one machine\n"
        "  --path WHICH      links: auto (the default), direct, relay or turn: over which paths\n"
        "  --json            id, name, call: as JSON\n"
        "  --resume          join: go on waiting for approval, without the join string\n"
        "  --passphrase-fd N read the passphrase of the key (export, import: of the file) from "
        "this\n"
        "                    descriptor\n"
        "  --new-passphrase-fd N, --remove\n"
        "                    passphrase: read the new one from this descriptor; keep it under "
        "none\n"
        "  --yes             known: do not ask\n"
        "  --timeout TIME    call, pub: 5s, 500ms, 2m; 60s is the default\n"
        "  --progress        call: print results as they come; serve: each line of output is one\n"
        "  --kwargs JSON     call, pub: keywords, as a JSON object\n"
        "  --match KIND      sub, serve: exact, prefix or wildcard\n"
        "  --retained        sub: what was published with --retain too\n"
        "  --count N         sub: end after N\n"
        "  --acknowledge     pub: print the publication's number\n"
        "  --retain          pub: kept by the router for those who subscribe later\n"
        "  --to ID,...       pub: to these alone\n"
        "  --invoke POLICY   serve: single, roundrobin, random, first or last, among several\n"
        "  --max-parallel N  serve: at most N commands at once (default 4)\n"
        "  --accept, --loopback  call, serve: as for chat\n"
        "  --help, --version\n");
}

const char *cli_when(uint64_t ms, char to[CLI_WHEN])
{
    if (ms == 0)
        return "at once";
    snprintf(to, CLI_WHEN, "in %.1f s", (double)ms / 1000);
    return to;
}

void cli_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
}

int cli_fail(const struct cli *cli, const char *what, const struct peer_error *error)
{
    if (cli_goes_on())
        return 1;
    if (cli->json || cli_speaks_json())
        cli_put_error(error);
    fprintf(stderr, "warren: %s: %s: ", what, error->name);
    cli_put_safe(stderr, error->text, strlen(error->text));
    fprintf(stderr, "\nwhat to do: %s\n", error->remedy);
    return 1;
}

bool cli_is_for_people(const struct peer_error *error)
{
    return strcmp(error->name, "clone") == 0 || strcmp(error->name, "revoked") == 0 ||
           strcmp(error->name, "clock_skew") == 0;
}

const char *cli_show_id(const char *id, char to[24])
{
    size_t len = strlen(id), used = 0;

    for (size_t i = 0; i < len && used < 21; i++) {
        if (i && (len - i) % 3 == 0)
            to[used++] = ' ';
        to[used++] = id[i];
    }
    to[used] = '\0';
    return to;
}

/* ---- signals: they come only while cli_wait() waits, so that none is missed ---- */

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t stopped;
static sigset_t mask_before;
static bool are_caught;

static void on_signal(int number)
{
    stopped = number;
}

void cli_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigset_t mask;

    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof(stop_signals) / sizeof(*stop_signals); i++) {
        sigaddset(&mask, stop_signals[i]);
        sigaction(stop_signals[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &mask, are_caught ? NULL : &mask_before);
    are_caught = true;
}

int cli_stopped(void)
{
    return stopped;
}

int cli_take_stop(void)
{
    int number = stopped; /* the signals come in cli_poll() alone */

    stopped = 0;
    return number;
}

int cli_poll(struct pollfd *fds, unsigned long n, int ms)
{
    struct timespec wait = { ms / 1000, (long)(ms % 1000) * 1000000 };

    return ppoll(fds, n, ms < 0 ? NULL : &wait, are_caught ? &mask_before : NULL);
}

enum cli_ready cli_wait(const struct peer *peer, int input, int ms)
{
    struct pollfd fds[2] = { { peer_fd(peer), POLLIN, 0 }, { input, POLLIN, 0 } };
    int ready = CLI_TIMEOUT;

    if (cli_poll(fds, 2, ms) <= 0)
        return CLI_TIMEOUT;
    if (fds[0].revents)
        ready |= CLI_PEER;
    if (input >= 0 && fds[1].revents)
        ready |= CLI_INPUT;
    return (enum cli_ready)ready;
}

static const char try_help[] = "try: warren --help";

bool cli_read_path(const char *text, enum peer_path *ret_path)
{
    static const char *const names[] = { [PEER_PATH_AUTO] = "auto",
                                         [PEER_PATH_DIRECT] = "direct",
                                         [PEER_PATH_RELAY] = "relay",
                                         [PEER_PATH_TURN] = "turn" };

    for (size_t i = PEER_PATH_AUTO; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_path = (enum peer_path)i;
            return true;
        }
    }
    cli_misuse(try_help, "--path: expected auto, direct, relay or turn, found \"%.64s\"", text);
    return false;
}

/* ---- options ---- */

static const struct option options[] = {
    { "state", required_argument, NULL, 's' },
    { "join-file", required_argument, NULL, 'j' },
    { "timeout", required_argument, NULL, 't' },
    { "accept", no_argument, NULL, 'a' },
    { "for", required_argument, NULL, 'F' },
    { "facts", required_argument, NULL, 'f' },
    { "loopback", no_argument, NULL, 'l' },
    { "sas", no_argument, NULL, 'S' },
    { "resume", no_argument, NULL, 'R' },
    { "passphrase-fd", required_argument, NULL, 'p' },
    { "new-passphrase-fd", required_argument, NULL, 'n' },
    { "remove", no_argument, NULL, 'X' },
    { "yes", no_argument, NULL, 'y' },
    { "path", required_argument, NULL, 'P' },
    { "json", no_argument, NULL, 'J' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* Those that are kept as they stand. */
static bool take_plain(struct cli *cli, int letter)
{
    const struct {
        int letter;
        bool *flag;
        const char **text;
    } plain[] = {
        { 'a', .flag = &cli->accept },        { 'S', .flag = &cli->sas },
        { 'l', .flag = &cli->loopback },      { 'J', .flag = &cli->json },
        { 'R', .flag = &cli->resume },        { 'X', .flag = &cli->remove },
        { 'y', .flag = &cli->yes },           { 's', .text = &cli->state_dir },
        { 'j', .text = &cli->join_file },     { 'f', .text = &cli->facts_file },
        { 'p', .text = &cli->passphrase_fd }, { 'n', .text = &cli->new_passphrase_fd },
    };

    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        if (plain[i].letter != letter)
            continue;
        if (plain[i].flag)
            *plain[i].flag = true;
        else
            *plain[i].text = optarg;
        return true;
    }
    return false;
}

static bool read_duration(struct cli *cli)
{
    if (cli_read_duration(optarg, &cli->for_ms))
        return true;
    cli_misuse(try_help, "--for: expected a duration such as 30m or 2h, found \"%.64s\"", optarg);
    return false;
}

static bool read_timeout(struct cli *cli)
{
    char *end;

    cli->timeout_s = strtod(optarg, &end);
    cli->has_timeout = true;
    if (*end == '\0' && cli->timeout_s > 0)
        return true;
    cli_misuse(try_help, "--timeout: expected a number of seconds, found \"%.64s\"", optarg);
    return false;
}

static bool take_option(struct cli *cli, int letter, bool *ret_done)
{
    switch (letter) {
    case 'F':
        return read_duration(cli);
    case 'P':
        return cli_read_path(optarg, &cli->path);
    case 't':
        return read_timeout(cli);
    case 'h':
        usage(stdout);
        return *ret_done = true;
    case 'V':
        printf("warren %s\n", peer_version());
        return *ret_done = true;
    default:
        return take_plain(cli, letter);
    }
}

/* `given`: the letters of those that are there. False after having said what was wrong. */
static bool read_options(int argc, char **argv, struct cli *cli, char *given, bool *ret_done)
{
    int c;

    opterr = 0;
    while (!*ret_done && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return cli_bad_option(argv, c, "", try_help) == 0;
        if (strlen(given) < MAX_GIVEN)
            given[strlen(given)] = (char)c;
        if (!take_option(cli, c, ret_done))
            return false;
    }
    return true;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int refuse_usage(const struct verb *verb, const char *why, const char *word)
{
    char remedy[512];

    snprintf(remedy, sizeof(remedy), "usage: warren %s%s", verb->run_own ? "[--state DIR] " : "",
             verb->usage);
    return word ? cli_misuse(remedy, "%s: %s: \"%.64s\"", verb->name, why, word)
                : cli_misuse(remedy, "%s: %s", verb->name, why);
}

/* An option that the verb does not know is named, not passed over. */
static bool check_given(const struct verb *verb, const char *given)
{
    for (; *given != '\0'; given++) {
        if (*given != 's' && !strchr(verb->options, *given)) {
            refuse_usage(verb, "an option is given that it does not have", NULL);
            return false;
        }
    }
    return true;
}

/* Answers that could not be written are not answers. */
static int flushed(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "warren: standard output: %s\n", strerror(errno));
    return status ? status : 1;
}

/* Who started this may have closed them; what is opened next would take their numbers, and what is
 * printed would go there. They are opened so that using them fails. */
static void hold_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* is the lowest */
    }
}

static void forbid_dumps(void) /* the process holds keys */
{
    struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Where the verb is, when it is one that reads its own options; what comes before it may be --state. */
static const struct verb *find_own(struct cli *cli, int argc, char **argv, int *ret_at)
{
    const struct verb *verb;
    int at = 1;

    for (; at < argc && strncmp(argv[at], "--state", 7) == 0; at++) {
        if (argv[at][7] == '=')
            cli->state_dir = argv[at] + 8;
        else if (argv[at][7] == '\0' && at + 1 < argc)
            cli->state_dir = argv[++at];
    }
    verb = at < argc ? find_verb(argv[at]) : NULL;
    *ret_at = at;
    return verb && verb->run_own ? verb : NULL;
}

static int run_own(struct cli *cli, const struct verb *verb, int argc, char **argv)
{
    int status = verb->run_own(cli, argc, argv);

    if (status < 0)
        usage(stdout);
    return flushed(status < 0 ? 0 : status);
}

/* Before the words are understood: what is wrong with them is JSON too. Behind "--" stand the words of another command. */
static void find_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            cli_speak_json();
    }
}

static int run_words(int argc, char **argv)
{
    struct cli cli = { .timeout_s = 60 };
    const struct verb *verb;
    char given[MAX_GIVEN + 1] = "";
    bool is_done = false;
    int at, status;

    optind = 0; /* getopt_long() begins anew */
    if (cli_pki(argc, argv, &status))
        return flushed(status);
    verb = find_own(&cli, argc, argv, &at);
    if (verb)
        return run_own(&cli, verb, argc - at, argv + at);
    if (!read_options(argc, argv, &cli, given, &is_done))
        return flushed(2);
    if (is_done)
        return flushed(0);
    if (optind >= argc) {
        cli_put_cause("invalid_argument", try_help, "expected a verb");
        usage(stderr);
        return flushed(2);
    }
    verb = find_verb(argv[optind]);
    if (!verb)
        return flushed(cli_misuse(try_help, "there is no verb \"%.64s\"", argv[optind]));
    for (int i = 0; i < verb->n_arguments && optind + 1 < argc; i++) {
        const char **to = i == 0 ? &cli.argument : &cli.more[i - 1];
        *to = argv[++optind];
    }
    if (optind + 1 < argc)
        return flushed(refuse_usage(verb, "one argument too many", argv[optind + 1]));
    if (verb->run_own)
        return flushed(refuse_usage(verb, "its options follow the verb", NULL));
    if (!check_given(verb, given))
        return flushed(2);
    return flushed(verb->run(&cli));
}

/* Reading them changes them. */
static char **copy_words(int argc, char **argv)
{
    char **copy = calloc((size_t)argc + 1, sizeof(*copy));

    for (int i = 0; copy && i < argc; i++) {
        copy[i] = strdup(argv[i]);
        if (!copy[i])
            abort();
    }
    return copy ? copy : (abort(), NULL);
}

int main(int argc, char **argv)
{
    char **copy = copy_words(argc, argv);
    int status;

    hold_standard();
    forbid_dumps();
    find_json(argc, argv);
    status = run_words(argc, argv);
    if (cli_take_anew())
        status = run_words(argc, copy);
    cli_forget_passphrase();
    for (int i = 0; i < argc; i++)
        free(copy[i]);
    free(copy);
    return status;
}
