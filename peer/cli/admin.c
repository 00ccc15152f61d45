/* SPDX-License-Identifier: Apache-2.0 */
/* `warren admin`: den's acts for administrators, each a request that this machine's identity key signs. */
#include "admin.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORDS = 24, CALL_FOR_MS = 60000, PAGE = 200 };
enum { ONE, LIST, LINES, JOIN, TEXT, VERIFY, LOAD, TRIAL };
enum { MAX_POLICY = 768 * 1024 };

struct verb {
    const char *first, *second; /* NULL: one word */
    const char *procedure;
    const char
        *arguments; /* what follows, in order: members of the request; the last may end in '?' */
    const char *options; /* "--reason WORD" and the like; a flag ends in '!' */
    int answer;
    const char *columns; /* LIST; TEXT: the member */
    const char *help;
};

#define TOKEN_OPTIONS "uses expires role groups label ephemeral device-life needs-approval!"
static const struct verb verbs[] = {
    { "status", NULL, "den.status", "", "", ONE, "", "how den is" },
    { "peer", "list", "den.peer.list", "", "", LIST,
      "id state role created_at admitted_at ends_at groups host", "every ID" },
    { "peer", "get", "den.peer.get", "id", "", ONE, "",
      "one ID with its names, certificates and sessions" },
    { "peer", "groups", "den.peer.groups", "id groups", "", ONE, "",
      "sets the groups of an ID; \"\" for none" },
    { "peer", "remove", "den.peer.remove", "id", "", ONE, "",
      "admits it no more; its session and its links end" },
    { "peer", "re-enrol", "den.peer.re_enrol", "id", "expires device-life", JOIN, "",
      "a join string that gives this ID a new key" },
    { "name", "list", "den.name.all", "", "", LIST,
      "name id assigned name_no claimed_at released_at", "every name" },
    { "name", "assign", "den.name.assign", "name id", "", ONE, "", "assigns a reserved name" },
    { "name", "free", "den.name.free", "name", "", ONE, "", "takes a name away" },
    { "token", "list", "den.token.list", "", "", LIST,
      "token state role expires_at used uses_left groups created_by label", "enrolment tokens" },
    { "token", "add", "den.token.add", "", TOKEN_OPTIONS, JOIN, "",
      "a join string with a new token, which is drawn here: a secret" },
    { "token", "revoke", "den.token.revoke", "token", "", ONE, "",
      "nobody joins with it any more" },
    { "waiting", "list", "den.waiting.list", "", "", LIST,
      "code state role first_asked_at last_asked_at host source", "machines that wait" },
    { "approve", NULL, "den.waiting.approve", "code", "role groups", ONE, "",
      "lets a waiting machine in; keeps a provisional ID" },
    { "deny", NULL, "den.waiting.deny", "code", "", ONE, "", "turns it away" },
    { "cert", "list", "den.cert.list", "", "id state expires-before", LIST,
      "serial id state not_before not_after reason", "what was ever signed" },
    { "cert", "show", "den.cert.show", "serial", "", ONE, "", "one certificate" },
    { "cert", "revoke", "den.cert.revoke", "serial", "reason", ONE, "", "revokes one certificate" },
    { "revoke", NULL, "den.cert.revoke", "id?", "id serial key reason", ONE, "",
      "revokes an identity with all its certificates, a certificate, or a key" },
    { "session", "list", "den.session.list", "", "id open!", LIST,
      "sid from to state opened_at closed_at capabilities path sent_by_caller sent_by_called "
      "reason",
      "sessions, the newest first" },
    { "session", "close", "den.session.end", "sid", "reason", ONE, "",
      "ends a session at both its ends" },
    { "policy", "show", "den.policy.show", "", "", TEXT, "text", "the policy in force" },
    { "policy", "load", "den.policy.load", "file", "replaces", LOAD, "",
      "puts FILE (- for standard input) in force, if its own tests pass" },
    { "policy", "test", "den.policy.load", "file", "", TRIAL, "",
      "what is wrong with FILE; nothing changes" },
    { "router", "list", "den.router.list", "", "", LIST, "key from until", "routers" },
    { "rollover", "status", "den.rollover.status", "", "", ONE, "", "where a rollover is" },
    { "audit", "list", "den.audit.list", "", "after since until", LIST, "no at what facts",
      "the audit" },
    { "audit", "export", "den.audit.list", "", "after since until", LINES, "",
      "the audit, a JSON object a line: `warren-den audit check` verifies it" },
    { "audit", "head", "den.audit.head", "", "", ONE, "", "number and head of the newest entry" },
    { "audit", "verify", "den.audit.verify", "", "", VERIFY, "", "den checks its whole chain" },
};
enum { N_VERBS = sizeof(verbs) / sizeof(*verbs) };

struct order {
    struct cli *cli;
    const struct verb *verb;
    const char *out;
    const char *keys[MAX_WORDS], *values[MAX_WORDS]; /* value NULL: true */
    int n;
    char *text; /* of the FILE that is sent */
    struct rpc_words words;
    struct peer *peer;
    struct peer_call *call;
    char *next; /* where the next page begins */
    char token[32], public_key[65];
    unsigned n_items;
    bool is_over;
    int status;
    struct peer_error last;
    unsigned long long began, until; /* cli_now(); until: for what comes before the first call */
};

/* ---- words ------------------------------------------------------------------------------------------- */

static void print_verb(FILE *out, const struct verb *v)
{
    bool is_first = true;

    fprintf(out, "  %s%s%s", v->first, v->second ? " " : "", v->second ? v->second : "");
    for (const char *at = v->arguments; *at; at++, is_first = at[-1] == ' ') {
        if (is_first)
            fputs(at[strcspn(at, " ?")] == '?' ? " [" : " ", out);
        if (*at != ' ')
            fputc(*at == '?' ? ']' : toupper((unsigned char)*at), out);
    }
    for (const char *at = v->options; *at; at += strspn(at, " ")) {
        int len = (int)strcspn(at, " ");
        bool is_flag = at[len - 1] == '!';
        fprintf(out, " [--%.*s%s]", len - is_flag, at, is_flag ? "" : " ...");
        at += len;
    }
    fprintf(out, "%s\n      %s\n", v->answer == JOIN ? " [--out FILE]" : "", v->help);
}

static void print_verbs(FILE *out)
{
    fprintf(out, "usage: warren [--state DIR] admin VERB... [--json] [--timeout SECONDS]\n");
    for (size_t i = 0; i < N_VERBS; i++)
        print_verb(out, &verbs[i]);
}

/* "a b? c!" as an array of its words without their marks. */
static void put_words(FILE *out, const char *words)
{
    char word[32];

    fputc('[', out);
    for (const char *at = words; *at; at += strcspn(at, " "), at += *at == ' ') {
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " ?!"), at);
        fputs(at == words ? "" : ", ", out);
        cli_json_text(out, word);
    }
    fputc(']', out);
}

static void print_verbs_json(FILE *out)
{
    for (size_t i = 0; i < N_VERBS; i++) {
        const struct verb *v = &verbs[i];
        fprintf(out, "%s{\"verb\": \"%s%s%s\", \"arguments\": ", i ? ", " : "[", v->first,
                v->second ? " " : "", v->second ? v->second : "");
        put_words(out, v->arguments);
        fputs(", \"options\": ", out);
        put_words(out, v->options);
        fputs(", \"help\": ", out);
        cli_json_text(out, v->help);
        fputc('}', out);
    }
    fputs("]\n", out);
}

static bool has_word(const char *words, const char *word, bool *ret_is_flag)
{
    size_t len = strlen(word);

    for (; *words; words += strcspn(words, " "), words += *words == ' ') {
        size_t n = strcspn(words, " ");
        bool is_flag = n && words[n - 1] == '!';
        if (n - is_flag == len && strncmp(words, word, len) == 0) {
            *ret_is_flag = is_flag;
            return true;
        }
    }
    return false;
}

static int misuse(const char *what, const char *word)
{
    return cli_misuse("`warren admin help` shows how it is used", "admin: %s \"%.160s\"", what,
                      word);
}

static bool set(struct order *o, const char *key, const char *value)
{
    if (o->n == MAX_WORDS)
        return false;
    o->keys[o->n] = key;
    o->values[o->n++] = value;
    return true;
}

static int read_timeout(struct order *o, const char *value)
{
    char *end;

    o->words.timeout_s = strtod(value, &end);
    return end != value && *end == '\0' && o->words.timeout_s > 0 && o->words.timeout_s <= 86400
               ? 0
               : misuse("--timeout: expected a number of seconds, found", value);
}

/* `--name VALUE`, `--name=VALUE` or a flag; *i moves on. 0, or the exit status. */
static int take_option(struct order *o, int argc, char **argv, int *i)
{
    char *word = argv[*i] + 2, *equals = strchr(word, '=');
    const char *value = equals ? equals + 1 : NULL;
    bool is_flag = false;

    if (equals)
        *equals = '\0';
    if (strcmp(word, "json") == 0 && !value) {
        o->cli->json = o->words.json = true;
        return 0;
    }
    bool is_own = has_word(o->verb->options, word, &is_flag);
    if (!is_own && strcmp(word, "passphrase-fd") != 0 && strcmp(word, "timeout") != 0 &&
        !(o->verb->answer == JOIN && strcmp(word, "out") == 0))
        return misuse("there is no option", argv[*i]);
    if (!is_flag && !value && (++*i >= argc || strncmp(argv[*i], "--", 2) == 0))
        return misuse("a value is missing after", argv[*i - 1]); /* --NAME=--VALUE has one */
    value = is_flag ? NULL : value ? value : argv[*i];
    if (is_own)
        return set(o, word, value) ? 0 : misuse("too many words at", word);
    if (strcmp(word, "out") == 0)
        o->out = value;
    else if (strcmp(word, "timeout") == 0)
        return read_timeout(o, value);
    else
        o->cli->passphrase_fd = value;
    return 0;
}

static int take_words(struct order *o, int argc, char **argv)
{
    const char *names = o->verb->arguments;
    int status = 0;

    for (int i = 0; i < argc && status == 0; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            status = take_option(o, argc, argv, &i);
            continue;
        }
        if (!*names)
            return misuse("one word too many:", argv[i]);
        set(o, names, argv[i]);
        names += strcspn(names, " ");
        names += *names == ' ';
    }
    return status == 0 && *names && !strchr(names, '?') ? misuse("missing:", names) : status;
}

static int bad_file(const struct order *o, const char *path, const char *why)
{
    struct peer_error error = { "invalid_argument", "", "name a file that can be read" };

    snprintf(error.text, sizeof(error.text), "%.160s: %s", path, why);
    rpc_fail(o->cli, "admin", &error, NULL);
    return 1;
}

/* 1 */
static int cannot_write(const struct order *o, const char *code, const char *why)
{
    struct peer_error error = { .remedy = "name a file that can be made anew" };

    snprintf(error.name, sizeof(error.name), "%s", code);
    snprintf(error.text, sizeof(error.text), "%.160s: %s", o->out ? o->out : "standard output",
             why);
    return cli_fail(o->cli, "admin", &error);
}

/* The whole file, or standard input. 0, or the exit status. */
static int read_policy(struct order *o, const char *path)
{
    FILE *from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = malloc(MAX_POLICY + 2);
    size_t n;

    if (from == stdin)
        cli_only_once();
    if (!text)
        abort();
    if (!from) {
        free(text);
        return bad_file(o, path, strerror(errno));
    }
    n = fread(text, 1, MAX_POLICY + 1, from);
    text[n] = '\0';
    o->text = text;
    int failed = ferror(from) ? errno : 0;
    if (from != stdin)
        fclose(from);
    if (failed)
        return bad_file(o, path, strerror(failed));
    return n <= MAX_POLICY && strlen(text) == n
               ? 0
               : bad_file(o, path, "not a text of at most 768 KiB");
}

/* A FILE goes as its text. */
static int take_file(struct order *o)
{
    for (int i = 0; i < o->n; i++) {
        if (strncmp(o->keys[i], "file", 4) != 0)
            continue;
        int status = read_policy(o, o->values[i]);
        o->keys[i] = "text";
        o->values[i] = o->text;
        if (status == 0 && o->verb->answer == TRIAL)
            set(o, "trial", NULL);
        return status;
    }
    return 0;
}

static const struct verb *find_verb(int argc, char **argv, int *ret_used)
{
    for (size_t i = 0; i < N_VERBS; i++) {
        const struct verb *v = &verbs[i];
        if (argc < 1 || strcmp(argv[0], v->first) != 0)
            continue;
        if (v->second && (argc < 2 || strcmp(argv[1], v->second) != 0))
            continue;
        *ret_used = v->second ? 2 : 1;
        return v;
    }
    return NULL;
}

/* ---- asking ------------------------------------------------------------------------------------------- */

static void end(struct order *o, int status)
{
    o->is_over = true;
    o->status = status;
}

/* What to do is den's to say: it knows which of the errors with that code this is. */
static void take_remedy(const struct peer_message *message, struct peer_error *error)
{
    struct peer_error unused;
    char *kwargs =
        message && message->values.kwargs_size
            ? peer_json_from_msgpack(message->values.kwargs, message->values.kwargs_size, &unused)
            : NULL;
    char *remedy = kwargs && strncmp(message->uri, "den.error.", 10) == 0
                       ? admin_text_member(kwargs, "remedy")
                       : NULL;

    if (remedy && strlen(remedy) < sizeof(error->remedy))
        snprintf(error->remedy, sizeof(error->remedy), "%s", remedy);
    free(remedy);
    free(kwargs);
}

static void fail(struct order *o, const struct peer_error *why, const struct peer_message *message)
{
    struct peer_error error = *why;

    take_remedy(message, &error);
    if (o->n_items && o->words.json && o->verb->answer == LIST) /* some pages of it were printed */
        printf("]\n");
    end(o, rpc_fail(o->cli, "admin", &error, message));
}

static void put_key(FILE *to, const char *key, bool is_first)
{
    fprintf(to, "%s\"", is_first ? "" : ",");
    for (; *key && !strchr(" ?", *key); key++)
        fputc(*key == '-' ? '_' : *key, to);
    fprintf(to, "\":");
}

static char *body_of(const struct order *o)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    int n = 0;

    if (!to)
        abort();
    fputc('{', to);
    for (int i = 0; i < o->n; i++) {
        if (o->next && strcmp(o->keys[i], "after") == 0)
            continue;
        put_key(to, o->keys[i], n++ == 0);
        if (o->values[i])
            cli_json_text(to, o->values[i]);
        else
            fputs("true", to);
    }
    if (o->verb->answer == LIST || o->verb->answer == LINES) {
        put_key(to, "limit", n++ == 0);
        fprintf(to, "%d", PAGE);
    }
    if (o->next) {
        put_key(to, "after", n++ == 0);
        cli_json_text(to, o->next);
    }
    if (o->verb->answer == JOIN) {
        put_key(to, "key", n++ == 0);
        cli_json_text(to, o->public_key);
    }
    fputc('}', to);
    fclose(to);
    return text;
}

static void ask(struct order *o)
{
    const struct peer_call_options options = { .size = sizeof(options),
                                               .timeout_ms = CALL_FOR_MS,
                                               .is_signed = true };
    struct peer_error error;
    struct peer_values values = { 0 };
    char *json = body_of(o);
    size_t size;
    void *body = peer_msgpack_from_json(json, strlen(json), &size, &error);

    free(json);
    values.kwargs = body;
    values.kwargs_size = body ? size : 0;
    cli_only_once();
    o->call = body ? peer_call(o->peer, o->verb->procedure, &values, &options, &error) : NULL;
    free(body);
    if (!o->call)
        fail(o, &error, NULL);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void next_page(struct order *o, const char *json)
{
    free(o->next);
    o->next = admin_text_member(json, "next");
    o->call = NULL;
    if (o->next)
        ask(o);
}

static void take_list(struct order *o, const char *json)
{
    const char *stop, *items = admin_member(json, "items", &stop);
    bool is_lines = o->verb->answer == LINES;

    if (!items)
        items = "[]";
    if (is_lines && items[1] != ']') {
        o->n_items += admin_print_json_items(items, "", "\n");
        putchar('\n');
    } else if (o->words.json) {
        o->n_items += admin_print_json_items(items, o->n_items ? ", " : "[", ", ");
    } else if (!is_lines) {
        admin_print_items(items, o->verb->columns, o->n_items == 0);
        o->n_items += items[1] != ']';
    }
    next_page(o, json);
    if (o->next || o->is_over)
        return;
    if (o->words.json && !is_lines)
        printf("%s]\n", o->n_items ? "" : "[");
    else if (!is_lines && !o->n_items)
        cli_say("nothing to list");
    end(o, 0);
}

static void write_join(struct order *o, const char *join)
{
    FILE *to = stdout;
    int fd = -1;

    if (o->words.json && !o->out) {
        printf("{\"join\": \"%s.%s\"}\n", join,
               o->token); /* neither has a character that JSON escapes */
        cli_say("a secret: whoever has it may join with it");
        end(o, 0);
        return;
    }
    if (o->out) {
        fd = open(o->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        to = fd >= 0 ? fdopen(fd, "w") : NULL;
    }
    if (!to) {
        end(o, cannot_write(o, "system", "cannot be made; the token is lost: revoke it"));
        return;
    }
    fprintf(to, "%s.%s\n", join, o->token);
    if ((o->out ? fclose(to) : fflush(to)) != 0) {
        end(o, cannot_write(o, "system", "could not be written; the token is lost: revoke it"));
        return;
    }
    if (o->words.json) {
        fputs("{\"written\": ", stdout);
        cli_json_text(stdout, o->out);
        puts("}");
    }
    cli_say("a secret: whoever has it may join with it");
    end(o, 0);
}

static void take_join(struct order *o, const char *json)
{
    const char *stop, *told = admin_member(json, "signer_is_told", &stop);
    char *join = admin_text_member(json, "join"), *id = admin_text_member(json, "id");

    if (told && strncmp(told, "false", 5) == 0)
        cli_say(
            "the signer has to be told too, on its own machine and account, before it is used:\n"
            "  warren-den-signer allow %s %s --folder SIGNER-FOLDER --expires 24h",
            id ? id : "ID", o->public_key);
    if (join)
        write_join(o, join);
    else
        end(o, 1);
    free(join);
    free(id);
}

static void take_text(struct order *o, const char *json)
{
    char *text = admin_text_member(json, o->verb->columns);

    if (text && !isatty(STDOUT_FILENO))
        fputs(text, stdout);
    for (char *line = text, *next; text && isatty(STDOUT_FILENO) && line && *line; line = next) {
        next = strchr(line, '\n');
        cli_put_safe(stdout, line, next ? (size_t)(next - line) : strlen(line));
        putchar('\n');
        next = next ? next + 1 : NULL;
    }
    free(text);
    end(o, 0);
}

static bool is_true(const char *json, const char *member)
{
    const char *stop, *value = admin_member(json, member, &stop);

    return value && strncmp(value, "true", 4) == 0;
}

static void take_verify(struct order *o, const char *json)
{
    const char *stop, *bad = admin_member(json, "bad", &stop),
                      *all = admin_member(json, "is_all", &stop);
    unsigned long long last = 0, bad_no = bad ? strtoull(bad, NULL, 10) : 0;
    const char *at = admin_member(json, "last", &stop);
    char *head = admin_text_member(json, "head");
    char after[24];

    last = at ? strtoull(at, NULL, 10) : 0;
    bool is_bad_point = is_true(json, "checkpoint_is_bad");

    if (o->words.json && (bad_no || is_bad_point))
        printf("{\"entries\": %llu, \"bad\": %llu, \"checkpoint_is_bad\": %s}\n", last, bad_no,
               is_bad_point ? "true" : "false");
    if (is_bad_point) {
        fprintf(
            stderr,
            "warren: admin: the checkpoint of the audit after entry %llu, up to which entries are "
            "sealed in files, is changed\n",
            bad_no);
        end(o, 1);
    } else if (bad_no) {
        fprintf(stderr,
                "warren: admin: entry %llu of the audit is changed, missing or out of order\n",
                bad_no);
        end(o, 1);
    } else if (all && strncmp(all, "true", 4) == 0) {
        if (o->words.json)
            printf("{\"entries\": %llu, \"head\": \"%s\"}\n", last, head ? head : "");
        else
            printf("%llu entries, whole and in order; head %s\n", last, head ? head : "");
        end(o, 0);
    } else {
        snprintf(after, sizeof(after), "%llu", last);
        free(o->next);
        o->next = strdup(after);
        o->call = NULL;
        ask(o);
    }
    free(head);
}

static void print_errors(const char *errors)
{
    const char *end;

    for (const char *line = errors; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        fputs("warren: admin: ", stderr);
        cli_put_safe(stderr, line, (size_t)(end - line));
        fputc('\n', stderr);
    }
}

static int number_of(const char *json, const char *member)
{
    const char *stop, *value = admin_member(json, member, &stop);

    return value ? (int)strtol(value, NULL, 10) : 0;
}

static void take_policy(struct order *o, const char *json)
{
    char *errors = admin_text_member(json, "errors");
    bool is_good = is_true(json, "is_good");

    if (o->words.json)
        printf("%s\n", json);
    else if (!is_good && errors)
        print_errors(errors);
    if (!is_good && !o->words.json)
        fprintf(stderr, "warren: admin: refused; policy %d stays in force\n",
                number_of(json, "number"));
    else if (!o->words.json && is_true(json, "is_loaded"))
        printf("policy %d is in force: %d rules, its %d tests passed\n", number_of(json, "number"),
               number_of(json, "rules"), number_of(json, "tests"));
    else if (!o->words.json)
        printf("good: %d rules, its %d tests passed; policy %d stays in force\n",
               number_of(json, "rules"), number_of(json, "tests"), number_of(json, "number"));
    free(errors);
    end(o, is_good ? 0 : 1);
}

static void take_answer(struct order *o, const char *json)
{
    switch (o->verb->answer) {
    case LOAD:
    case TRIAL:
        take_policy(o, json);
        return;
    case LIST:
    case LINES:
        take_list(o, json);
        return;
    case JOIN:
        take_join(o, json);
        return;
    case VERIFY:
        take_verify(o, json);
        return;
    default:
        break;
    }
    if (o->words.json) {
        printf("%s\n", json);
        end(o, 0);
    } else if (o->verb->answer == TEXT) {
        take_text(o, json);
    } else {
        admin_print_object(json);
        end(o, 0);
    }
}

static void on_result(struct order *o, const struct peer_event *event)
{
    struct peer_error error;
    char *json, *one;
    const char *stop;

    if (event->error.name[0] != '\0') {
        fail(o, &event->error, event->message);
        return;
    }
    json = peer_json_from_msgpack(event->message->values.args, event->message->values.args_size,
                                  &error);
    if (!json) {
        fail(o, &error, NULL);
        return;
    }
    stop = json[0] == '[' && json[1] != ']' ? rpc_json_end(json + 1) : json;
    one = strndup(json + 1, stop > json ? (size_t)(stop - json - 1) : 0);
    if (one)
        take_answer(o, one);
    free(one);
    free(json);
}

/* It cannot say what a link needs to be made, and may do what is asked here all the same. */
static bool is_den_listening(const struct order *o, const struct peer_event *event)
{
    return event->type == PEER_EVENT_OFFLINE && strcmp(event->error.name, "busy") == 0 &&
           peer_is_online(o->peer);
}

static void on_event(struct order *o, const struct peer_event *event)
{
    if (rpc_on_connection(o->peer, event)) {
        unsigned long long without_den = cli_ready_without_den(event, o->began);
        if (event->type == PEER_EVENT_OFFLINE)
            o->last = event->error;
        if (without_den && !(o->words.timeout_s > 0) && without_den < o->until)
            o->until = without_den;
        if (event->type == PEER_EVENT_OFFLINE && cli_is_for_people(&event->error))
            fail(o, &event->error, NULL);
    }
    if ((event->type == PEER_EVENT_JOINED || is_den_listening(o, event)) && !o->call)
        ask(o);
    else if (event->type == PEER_EVENT_RESULT)
        on_result(o, event);
    else if (event->type == PEER_EVENT_FAILED)
        fail(o, &event->error, NULL);
}

static void run(struct order *o)
{
    struct peer_event event;

    o->began = cli_now();
    o->until =
        o->began + (unsigned long long)((o->words.timeout_s > 0 ? o->words.timeout_s : 60) * 1000);
    while (!o->is_over) {
        unsigned long long now = cli_now();
        if (!o->call && now >= o->until) {
            fail(o, &o->last, NULL);
            return;
        }
        cli_wait(o->peer, -1, o->call ? -1 : (int)(o->until - now));
        if (cli_stopped()) {
            end(o, 128 + cli_stopped());
            return;
        }
        while (!o->is_over && cli_next_event(o->peer, &event))
            on_event(o, &event);
    }
}

int cli_admin(struct cli *cli, int argc, char **argv)
{
    struct order o = { .cli = cli,
                       .words = { .verb = "admin" },
                       .last = { "timeout", "the network was not reached in time",
                                 "try again, or give more time with --timeout" } };
    int used = 0, status;

    if (argc > 1 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)) {
        if (cli_speaks_json())
            print_verbs_json(stdout);
        else
            print_verbs(stdout);
        return 0;
    }
    o.verb = find_verb(argc - 1, argv + 1, &used);
    if (!o.verb)
        return misuse("there is no verb", argc > 1 ? argv[1] : "");
    status = take_words(&o, argc - 1 - used, argv + 1 + used);
    if (status == 0 && (o.verb->answer == LOAD || o.verb->answer == TRIAL))
        status = take_file(&o);
    if (status != 0) {
        free(o.text);
        return status;
    }
    if (o.out && access(o.out, F_OK) == 0)
        return cannot_write(&o, "already_exists", "it exists; nothing was overwritten");
    if (o.verb->answer == JOIN)
        peer_token_new(o.token, o.public_key);
    o.peer = rpc_open(cli, &o.words, NULL, &status);
    if (!o.peer) {
        free(o.text);
        return status;
    }
    run(&o);
    peer_free(o.peer);
    free(o.next);
    free(o.text);
    explicit_bzero(o.token, sizeof(o.token));
    return o.status;
}
