/* SPDX-License-Identifier: Apache-2.0 */
/* warren verify, export-cert, export-trust: certificates, for people and for other programs. They need no
 * connection; verify needs no network either. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOT_JUDGED = 3 /* exit status */ };
enum { MAX_FILE = 20 * 1024 * 1024, MAX_PASSPHRASE = 1024 };

struct words { /* as typed */
    const char *state, *ca, *name, *crl, *at, *out, *passphrase_fd, *alone;
    bool is_client, is_general, is_pkcs12, is_json;
};

struct own_verb {
    const char *name, *options, *usage, *help;
    int (*run)(const struct words *words);
};

static int misused(const char *why, const char *what)
{
    return cli_misuse("try: warren --help", "%s%s", why, what);
}

/* ---- files ---- */

struct bytes {
    char *data;
    size_t size;
};

static bool read_all(FILE *file, struct bytes *to)
{
    size_t room = 0, n;

    do {
        if (to->size == room) {
            char *more = room < MAX_FILE ? realloc(to->data, room = room ? 2 * room : 65536) : NULL;
            if (!more) {
                errno = room < MAX_FILE ? ENOMEM : EFBIG;
                return false;
            }
            to->data = more;
        }
        n = fread(to->data + to->size, 1, room - to->size, file);
        to->size += n;
    } while (n > 0);
    return !ferror(file);
}

/* "-" is standard input. */
static bool read_file(const char *path, struct bytes *to)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    bool ok = file && read_all(file, to);

    int why = errno;
    if (!ok)
        cli_put_cause("not_found", "name a file that can be read", "%s: %s", path, strerror(why));
    if (!ok)
        fprintf(stderr, "warren: %s: %s\n", path, strerror(why));
    if (file && file != stdin)
        fclose(file);
    return ok;
}

/* ---- verify ---- */

static void say_good(const struct words *words, const struct peer_chain_facts *facts)
{
    if (words->is_json) {
        printf("{\"result\": \"good\", \"subject\": ");
        cli_json_text(stdout, facts->subject);
        printf(", \"issuer\": ");
        cli_json_text(stdout, facts->issuer);
        printf(", \"names\": ");
        cli_json_text(stdout, facts->names);
        printf(", \"serial\": ");
        cli_json_text(stdout, facts->serial);
        printf(", \"not_before\": %llu, \"not_after\": %llu}\n",
               (unsigned long long)facts->not_before, (unsigned long long)facts->not_after);
        return;
    }
    printf("good: it is for %s\n", words->name);
}

static int say_bad(const struct words *words, const struct peer_error *error)
{
    bool is_judged = strcmp(error->name, "invalid_argument") != 0;

    if (!words->is_json && !is_judged) {
        fprintf(stderr, "warren: verify: not judged: ");
        cli_put_safe(stderr, error->text, strlen(error->text));
        fprintf(stderr, "\nwhat to do: %s\n", error->remedy);
        return NOT_JUDGED;
    }
    if (words->is_json) {
        printf("{\"result\": \"%s\", \"code\": ", is_judged ? "bad" : "not_judged");
        cli_json_text(stdout, error->name);
        printf(", \"reason\": ");
        cli_json_text(stdout, error->text);
        printf(is_judged ? "}\n" : ", ");
        if (!is_judged) {
            printf("\"error\": {\"code\": ");
            cli_json_text(stdout, error->name);
            printf(", \"cause\": ");
            cli_json_text(stdout, error->text);
            printf(", \"remedy\": ");
            cli_json_text(stdout, error->remedy);
            printf("}}\n");
        }
        return is_judged ? 1 : NOT_JUDGED;
    }
    printf("bad: %s: ", error->name);
    cli_put_safe(stdout, error->text, strlen(error->text));
    printf("\n");
    return 1;
}

static int ask(const struct words *words, const struct peer_chain_question *question)
{
    struct peer_chain_facts facts;
    struct peer_error error;

    if (!peer_verify_chain(question, &facts, &error))
        return say_bad(words, &error);
    say_good(words, &facts);
    return 0;
}

static int run_verify(const struct words *words)
{
    struct bytes chain = { NULL, 0 }, roots = { NULL, 0 }, crl = { NULL, 0 };
    struct peer_chain_question question = { .name = words->name,
                                            .is_client = words->is_client,
                                            .is_general = words->is_general };
    int status = NOT_JUDGED;

    if (!words->ca || !words->name || !words->alone)
        return misused("verify: --ca, --name and a file with the chain are needed", "");
    if (words->at && !cli_read_time(words->at, &question.at))
        return misused("--at: expected a day such as 2027-01-31, or a time such as "
                       "2027-01-31T12:00:00Z, found ",
                       words->at);
    if (read_file(words->alone, &chain) && read_file(words->ca, &roots) &&
        (!words->crl || read_file(words->crl, &crl))) {
        question.chain = chain.data;
        question.chain_size = chain.size;
        question.roots = roots.data;
        question.roots_size = roots.size;
        question.crl = crl.data;
        question.crl_size = crl.size;
        status = ask(words, &question);
    }
    free(chain.data);
    free(roots.data);
    free(crl.data);
    return status;
}

/* ---- exports ---- */

/* Up to the first newline; false after having said why. */
static bool read_passphrase(const char *fd_text, char to[MAX_PASSPHRASE])
{
    char *end;
    long fd = strtol(fd_text, &end, 10);
    size_t used = 0;
    ssize_t n = 1;

    while (!*end && used < MAX_PASSPHRASE - 1 && (n = read((int)fd, to + used, 1)) == 1 &&
           to[used] != '\n')
        used++;
    to[used] = '\0';
    if (!*end && n >= 0 && used > 0 && used < MAX_PASSPHRASE - 1)
        return true;
    cli_misuse("try: warren --help",
               "--passphrase-fd: expected the number of an open file with a line of up to %d bytes",
               MAX_PASSPHRASE - 2);
    return false;
}

static int run_export(const struct words *words, bool is_trust)
{
    char passphrase[MAX_PASSPHRASE] = "";
    struct peer_export wanted = { .state_dir = words->state,
                                  .path = words->out,
                                  .is_trust = is_trust,
                                  .is_pkcs12 = words->is_pkcs12 };
    struct peer_error error;
    bool is_done;

    if (!words->out || words->alone)
        return misused("export: --out and nothing else is needed", "");
    if (words->is_pkcs12 && !words->passphrase_fd)
        return misused("--pkcs12: a passphrase is needed, by --passphrase-fd", "");
    if (words->passphrase_fd && !read_passphrase(words->passphrase_fd, passphrase))
        return 2;
    wanted.passphrase = words->passphrase_fd ? passphrase : NULL;
    is_done = peer_export(&wanted, &error);
    explicit_bzero(passphrase, sizeof(passphrase));
    if (!is_done)
        return cli_fail(&(const struct cli){ 0 }, "export", &error);
    fprintf(stderr, "%s: written%s\n", words->out,
            is_trust ? ""
            : words->passphrase_fd
                ? "; it holds this machine's TLS key, under the passphrase"
                : "; it holds this machine's TLS key, for anybody who can read it");
    return 0;
}

static int run_export_cert(const struct words *words)
{
    return run_export(words, false);
}

static int run_export_trust(const struct words *words)
{
    return run_export(words, true);
}

/* ---- finding them ---- */

static const struct own_verb verbs[] = {
    { "verify", "cnlautgJ", "verify --ca FILE --name NAME [--crl FILE] [--at TIME] CHAIN",
      "judge a chain of certificates, and say why", run_verify },
    { "export-cert", "sopx", "export-cert --out FILE [--pkcs12] [--passphrase-fd N]",
      "this machine's certificate with its key, for other programs", run_export_cert },
    { "export-trust", "sopx", "export-trust --out FILE [--pkcs12] [--passphrase-fd N]",
      "the network's root, for other programs", run_export_trust },
};

void cli_pki_usage(FILE *out)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        fprintf(out, "  warren %s\n  %48s%s\n", verbs[i].usage, "", verbs[i].help);
}

static bool read_words(int argc, char **argv, const struct own_verb *verb, struct words *words)
{
    static const struct option options[] = {
        { "state", required_argument, NULL, 's' },
        { "ca", required_argument, NULL, 'c' },
        { "name", required_argument, NULL, 'n' },
        { "crl", required_argument, NULL, 'l' },
        { "at", required_argument, NULL, 'a' },
        { "out", required_argument, NULL, 'o' },
        { "passphrase-fd", required_argument, NULL, 'p' },
        { "pkcs12", no_argument, NULL, 'x' },
        { "client", no_argument, NULL, 't' },
        { "general", no_argument, NULL, 'g' },
        { "json", no_argument, NULL, 'J' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    char remedy[512];

    snprintf(remedy, sizeof(remedy), "usage: warren %s", verb->usage);
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (c == '?' || c == ':')
            return cli_bad_option(argv, c, verb->name, remedy) == 0;
        if (!strchr(verb->options, c))
            return cli_misuse(remedy, "%s: not with this option", verb->name) == 0;
        switch (c) {
        case 's':
            words->state = optarg;
            break;
        case 'c':
            words->ca = optarg;
            break;
        case 'n':
            words->name = optarg;
            break;
        case 'l':
            words->crl = optarg;
            break;
        case 'a':
            words->at = optarg;
            break;
        case 'o':
            words->out = optarg;
            break;
        case 'p':
            words->passphrase_fd = optarg;
            break;
        case 'x':
            words->is_pkcs12 = true;
            break;
        case 't':
            words->is_client = true;
            break;
        case 'g':
            words->is_general = true;
            break;
        case 'J':
            words->is_json = true;
            break;
        }
    }
    if (optind < argc)
        words->alone = argv[optind++];
    if (optind < argc)
        cli_misuse(remedy, "%s: one argument too many: \"%.64s\"", verb->name, argv[optind]);
    return optind >= argc;
}

bool cli_pki(int argc, char **argv, int *ret_status)
{
    struct words words = { 0 };
    int at = 1;

    while (at + 1 < argc && strcmp(argv[at], "--state") == 0) { /* it may stand before the verb */
        words.state = argv[at + 1];
        at += 2;
    }
    for (size_t i = 0; at < argc && i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(argv[at], verbs[i].name) != 0)
            continue;
        *ret_status =
            read_words(argc - at, argv + at, &verbs[i], &words) ? verbs[i].run(&words) : 2;
        return true;
    }
    return false;
}
