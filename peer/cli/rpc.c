/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

int rpc_usage(const struct rpc_words *words, const char *fmt, ...)
{
    va_list args;
    char *cause;

    va_start(args, fmt);
    if (vasprintf(&cause, fmt, args) < 0)
        abort();
    va_end(args);
    cli_misuse("try: warren --help", "%s: %s", words->verb, cause);
    free(cause);
    return 2;
}

static int read_duration(const struct rpc_words *words, const char *text, double *ret_seconds)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = { { "", 1 }, { "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 } };
    char *end;
    double n = strtod(text, &end);

    for (size_t i = 0; n > 0 && end != text && i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(end, units[i].unit) == 0 && n * units[i].seconds <= 24 * 3600) {
            *ret_seconds = n * units[i].seconds;
            return 0;
        }
    }
    return rpc_usage(words, "--timeout: expected a duration such as 5s or 500ms, found \"%s\"",
                     text);
}

static int read_number(const struct rpc_words *words, const char *option, const char *text,
                       unsigned long *ret_n)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end != '\0' || *text < '0' || *text > '9' || n == 0 || n > 1000000000)
        return rpc_usage(words, "--%s: expected a number from 1, found \"%s\"", option, text);
    *ret_n = n;
    return 0;
}

static const struct option options[] = {
    { "state", required_argument, NULL, 's' },
    { "timeout", required_argument, NULL, 't' },
    { "progress", no_argument, NULL, 'p' },
    { "kwargs", required_argument, NULL, 'k' },
    { "json", no_argument, NULL, 'J' },
    { "match", required_argument, NULL, 'm' },
    { "retained", no_argument, NULL, 'r' },
    { "count", required_argument, NULL, 'c' },
    { "acknowledge", no_argument, NULL, 'A' },
    { "retain", no_argument, NULL, 'R' },
    { "to", required_argument, NULL, 'T' },
    { "invoke", required_argument, NULL, 'i' },
    { "max-parallel", required_argument, NULL, 'P' },
    { "accept", no_argument, NULL, 'a' },
    { "loopback", no_argument, NULL, 'l' },
    { "sign", no_argument, NULL, 'S' },
    { "passphrase-fd", required_argument, NULL, 'F' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static int take_option(struct cli *cli, struct rpc_words *words, int c, char *value)
{
    switch (c) {
    case 's':
        cli->state_dir = value;
        return 0;
    case 'F':
        cli->passphrase_fd = value;
        return 0;
    case 't':
        return read_duration(words, value, &words->timeout_s);
    case 'p':
        words->progress = true;
        return 0;
    case 'k':
        words->kwargs = value;
        return 0;
    case 'J':
        cli->json = words->json = true;
        return 0;
    case 'm':
        words->match = value;
        return 0;
    case 'r':
        words->retained = true;
        return 0;
    case 'c':
        words->has_count = true;
        return read_number(words, "count", value, &words->count);
    case 'A':
        words->acknowledge = true;
        return 0;
    case 'R':
        words->retain = true;
        return 0;
    case 'T':
        words->to = value;
        return 0;
    case 'i':
        words->invoke = value;
        return 0;
    case 'P':
        return read_number(words, "max-parallel", value, &words->max_parallel);
    case 'a':
        words->accept = true;
        return 0;
    case 'S':
        words->sign = true;
        return 0;
    default:
        words->loopback = true;
        return 0;
    }
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(word, *words) == 0)
            return true;
    }
    return false;
}

static int check_words(const struct rpc_words *words)
{
    static const char *const matches[] = { "exact", "prefix", "wildcard", NULL };
    static const char *const invokes[] = {
        "single", "roundrobin", "random", "first", "last", NULL
    };

    if (words->match && !is_one_of(words->match, matches))
        return rpc_usage(words, "--match: expected exact, prefix or wildcard, found \"%s\"",
                         words->match);
    if (words->invoke && !is_one_of(words->invoke, invokes))
        return rpc_usage(
            words, "--invoke: expected single, roundrobin, random, first or last, found \"%s\"",
            words->invoke);
    return 0;
}

/* "--name", "--name=value" or "--name value"; *at moves over what it takes. 0, or the exit status. */
static int read_option(struct cli *cli, struct rpc_words *words, const char *letters, char **argv,
                       int argc, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *option = options;

    while (option->name && (strlen(option->name) != len || strncmp(option->name, name, len) != 0))
        option++;
    if (!option->name)
        return rpc_usage(words, "there is no option --%.*s", (int)len, name);
    if (option->val == 'h')
        return -1;
    if (!strchr("sF", option->val) && !strchr(letters, option->val)) /* all have these two */
        return rpc_usage(words, "--%s is not an option of it", option->name);
    if (!option->has_arg && equals)
        return rpc_usage(words, "--%s takes no value", option->name);
    if (option->has_arg && !equals && *at + 1 >= argc)
        return rpc_usage(words, "--%s: its value is missing", option->name);
    return take_option(cli, words, option->val,
                       !option->has_arg ? ""
                       : equals         ? argv[*at] + 2 + len + 1
                                        : argv[++*at]);
}

/* Not getopt's way: "-1.5" is a value. */
int rpc_words_read(struct cli *cli, int argc, char **argv, const char *letters,
                   struct rpc_words *words)
{
    int status = 0, at = 1;

    *words = (struct rpc_words){ .verb = argv[0], .max_parallel = 4, .word = argv + 1 };
    for (; at < argc && strcmp(argv[at], "--") != 0 && status == 0; at++) {
        if (strcmp(argv[at], "-h") == 0)
            return -1;
        if (strncmp(argv[at], "--", 2) == 0)
            status = read_option(cli, words, letters, argv, argc, &at);
        else
            words->word[words->n++] = argv[at];
    }
    if (status != 0)
        return status;
    if (at < argc && strchr(letters, '-'))
        words->command = argv + at + 1;
    for (at++; at < argc && !words->command; at++)
        words->word[words->n++] = argv[at];
    cli->loopback |= words->loopback;
    return check_words(words);
}

/* ---- values ---- */

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static bool looks_like_json(const char *word, size_t size)
{
    while (size && strchr(" \t\r\n", *word)) {
        word++;
        size--;
    }
    return size && strchr("[{\"", *word) && *word != '\0';
}

char *rpc_json_value(const char *word, size_t size, struct peer_error *ret_error)
{
    size_t bytes_size, length;
    void *bytes = peer_msgpack_from_json(word, size, &bytes_size, ret_error);
    char *json = NULL;
    FILE *out;

    if (bytes || looks_like_json(word, size)) {
        if (bytes)
            json = checked(strndup(word, size));
        free(bytes);
        return json;
    }
    out = checked(open_memstream(&json, &length));
    cli_json_bytes(out, word, size);
    fclose(out);
    bytes = peer_msgpack_from_json(json, length, &bytes_size, ret_error);
    if (!bytes) {
        free(json);
        return NULL;
    }
    free(bytes);
    return json;
}

/* Where the value begins in "key=value"; NULL: it is none. */
static const char *after_key(const char *word)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return n && word[n] == '=' && !strchr("0123456789-", word[0]) ? word + n + 1 : NULL;
}

/* Whether one of these words begins with the same `size` bytes: a key and its =. */
static bool has_key(char *const *word, int n, const char *key, size_t size)
{
    for (int i = 0; i < n; i++) {
        if (strncmp(word[i], key, size) == 0)
            return true;
    }
    return false;
}

static int put_word(const struct rpc_words *words, const char *word, FILE *args, FILE *kwargs,
                    int *n_args, int *n_keys)
{
    const char *value = kwargs ? after_key(word) : NULL;
    struct peer_error error;
    const char *from = value ? value : word;
    char *json = rpc_json_value(from, strlen(from), &error);

    if (!json)
        return rpc_usage(words,
                         "\"%s\" is not JSON: %s (text that begins so is given as \"\\\"...\\\"\")",
                         from, error.text);
    if (value) {
        fprintf(kwargs, "%s", (*n_keys)++ ? "," : "");
        cli_json_bytes(kwargs, word, (size_t)(value - word) - 1);
        fprintf(kwargs, ":%s", json);
    } else {
        fprintf(args, "%s%s", (*n_args)++ ? "," : "", json);
    }
    free(json);
    return 0;
}

static int pack(const struct rpc_words *words, const char *json, const char *what, void **ret_bytes,
                size_t *ret_size)
{
    struct peer_error error;

    *ret_bytes = peer_msgpack_from_json(json, strlen(json), ret_size, &error);
    return *ret_bytes ? 0 : rpc_usage(words, "%s: %s", what, error.text);
}

int rpc_json_of_words(const struct rpc_words *words, char *const *word, int n, bool takes_keys,
                      struct rpc_json *ret_json)
{
    char *args = NULL, *kwargs = NULL;
    size_t args_len, kwargs_len;
    FILE *args_out = checked(open_memstream(&args, &args_len));
    FILE *kwargs_out = checked(open_memstream(&kwargs, &kwargs_len));
    int n_args = 0, n_keys = 0, status = 0;

    *ret_json = (struct rpc_json){ 0 };
    fputc('[', args_out);
    fputc('{', kwargs_out);
    for (int i = 0; i < n && status == 0; i++) {
        const char *value = takes_keys ? after_key(word[i]) : NULL;
        if (value && has_key(word, i, word[i], (size_t)(value - word[i])))
            status = rpc_usage(words, "the keyword %.*s is given twice", (int)(value - word[i]) - 1,
                               word[i]);
        else
            status = put_word(words, word[i], args_out, takes_keys ? kwargs_out : NULL, &n_args,
                              &n_keys);
    }
    fputc(']', args_out);
    fputc('}', kwargs_out);
    fclose(args_out);
    fclose(kwargs_out);
    if (status == 0 && n_keys && words->kwargs)
        status = rpc_usage(words, "keywords are given by --kwargs or as key=value, not by both");
    if (status == 0 && words->kwargs && words->kwargs[strspn(words->kwargs, " \t\n")] != '{')
        status = rpc_usage(words, "--kwargs: expected a JSON object, found \"%s\"", words->kwargs);
    if (status == 0)
        status = pack(words, args, "arguments", &ret_json->args, &ret_json->args_size);
    if (status == 0 && (n_keys || words->kwargs))
        status = pack(words, n_keys ? kwargs : words->kwargs, n_keys ? "keywords" : "--kwargs",
                      &ret_json->kwargs, &ret_json->kwargs_size);
    free(args);
    free(kwargs);
    return status;
}

bool rpc_json_args(const char *value_json, struct rpc_json *ret_json, struct peer_error *ret_error)
{
    char *args = NULL;

    *ret_json = (struct rpc_json){ 0 };
    if (asprintf(&args, "[%s]", value_json) < 0)
        abort();
    ret_json->args = peer_msgpack_from_json(args, strlen(args), &ret_json->args_size, ret_error);
    free(args);
    return ret_json->args != NULL;
}

struct peer_values rpc_values(const struct rpc_json *json)
{
    return (struct peer_values){ json->args, json->args_size, json->kwargs, json->kwargs_size };
}

void rpc_json_free(struct rpc_json *json)
{
    free(json->args);
    free(json->kwargs);
    *json = (struct rpc_json){ 0 };
}

/* ---- names and the peer ---- */

static size_t digits_at(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n >= 6 && n <= 9 && text[n] == '.' ? n : 0;
}

int rpc_name(const struct cli *cli, const struct rpc_words *words, const char *word,
             char ret_id[16], char **ret_name)
{
    struct peer_identity own;
    struct peer_error error;
    int n;

    if (!peer_identity_load(cli->state_dir, &own, &error))
        return cli_fail(cli, words->verb, &error);
    snprintf(ret_id, 16, "%s", own.id);
    if (strncmp(word, "me.", 3) == 0 || strcmp(word, "me") == 0)
        n = asprintf(ret_name, "peer.%s%s", own.id, word + 2);
    else if (digits_at(word))
        n = asprintf(ret_name, "peer.%s", word);
    else
        n = asprintf(ret_name, "%s", word);
    if (n < 0)
        abort();
    return 0;
}

bool rpc_name_split(const char *name, char ret_id[16], char ret_app[72])
{
    size_t n;

    if (strncmp(name, "peer.", 5) != 0 || (n = digits_at(name + 5)) == 0)
        return false;
    snprintf(ret_id, 16, "%.*s", (int)n, name + 5);
    name += 5 + n + 1;
    n = strcspn(name, ".");
    snprintf(ret_app, 72, "%.*s", (int)(n < 71 ? n : 71), name);
    return n > 0 && n < 60;
}

struct peer *rpc_open(const struct cli *cli, const struct rpc_words *words,
                      const char *const *capabilities, int *ret_status)
{
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = cli->state_dir,
                                  .capabilities = capabilities,
                                  .allow_loopback = cli->loopback };
    struct peer *peer = cli_open(cli, words->verb, &config);

    *ret_status = 1;
    cli_catch_signals(); /* the prompt had its own way with them */
    return peer;
}

bool rpc_on_connection(const struct peer *peer, const struct peer_event *event)
{
    bool is_notice = event->type == PEER_EVENT_CLONED || event->type == PEER_EVENT_CLOCK ||
                     event->type == PEER_EVENT_NAME_MOVED;
    char when[CLI_WHEN];

    if (is_notice)
        cli_say("%s: %s\nwhat to do: %s", event->error.name, event->error.text,
                event->error.remedy);
    if (event->type != PEER_EVENT_OFFLINE)
        return event->type == PEER_EVENT_ONLINE || is_notice;
    if (peer_is_online(peer))
        return true;
    fprintf(stderr, "offline: ");
    cli_put_safe(stderr, event->error.text, strlen(event->error.text));
    cli_say("; trying again %s", cli_when(event->pause_ms, when));
    return true;
}
