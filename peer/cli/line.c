/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- words ---------------------------------------------------------------------------------------- */

int line_usage(const struct line *line, const char *fmt, ...)
{
    char remedy[512], *cause;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&cause, fmt, args) < 0)
        abort();
    va_end(args);
    snprintf(remedy, sizeof(remedy), "usage: warren %s", line->usage);
    cli_misuse(remedy, "%s: invalid_argument: %s", line->verb, cause);
    free(cause);
    return 2;
}

int line_words(struct line *line, int argc, char **argv)
{
    static const struct option options[] = {
        { "accept", no_argument, NULL, 'a' },
        { "loopback", no_argument, NULL, 'l' },
        { "json", no_argument, NULL, 'J' },
        { "passphrase-fd", required_argument, NULL, 'p' },
        { "path", required_argument, NULL, 'P' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    char remedy[512];
    int c;

    optind = 1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            line->cli->accept = true;
            break;
        case 'l':
            line->cli->loopback = true;
            break;
        case 'J':
            line->cli->json = true;
            break;
        case 'p':
            line->cli->passphrase_fd = optarg;
            break;
        case 'P':
            if (!cli_read_path(optarg, &line->cli->path))
                return 2;
            break;
        case 'h':
            return -1;
        default:
            snprintf(remedy, sizeof(remedy), "usage: warren %s", line->usage);
            return cli_bad_option(argv, c, line->verb, remedy);
        }
    }
    if (line->cli->accept && !line->takes_calls)
        return line_usage(line, "--accept is for who takes calls");
    for (; optind < argc; optind++) {
        if (line->n == LINE_MAX_WORDS)
            return line_usage(line, "more than %d words", LINE_MAX_WORDS);
        line->word[line->n++] = argv[optind];
    }
    return 0;
}

bool line_port(const char *text, bool takes_none, unsigned *ret_port)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end != '\0' || port > 65535 ||
        (port == 0 && !takes_none))
        return false;
    *ret_port = (unsigned)port;
    return true;
}

static int bad_whom(const char *verb, const char *why)
{
    return cli_misuse("give its ID or its name", "%s: invalid_argument: %s", verb, why);
}

int cli_whom(const struct cli *cli, const char *verb, const char *word, char ret_whom[CLI_WHOM])
{
    struct peer_identity own;
    struct peer_error error;
    bool is_id = strspn(word, "0123456789 ") == strlen(word);
    size_t n = 0;

    if (strlen(word) >= CLI_WHOM)
        return bad_whom(verb, "too long for an ID or a name");
    for (const char *at = word; *at != '\0'; at++) {
        if (*at != ' ' || !is_id)
            ret_whom[n++] = *at;
    }
    ret_whom[n] = '\0';
    /* A name without a domain begins with a letter. */
    if ((is_id && (n < 6 || n > 9)) ||
        (!is_id && isdigit((unsigned char)*word) && !strchr(word, '@')))
        return bad_whom(verb, "an ID has 6 to 9 digits, such as \"456 000\"");
    if (!peer_identity_load(cli->state_dir, &own, &error))
        return cli_fail(cli, verb, &error);
    return strcmp(own.id, ret_whom) == 0 ? bad_whom(verb, "this is this machine's own ID") : 0;
}

/* ---- getting there ---------------------------------------------------------------------------------- */

void line_end(struct line *line, int status)
{
    line->is_over = true;
    line->status = status;
}

bool line_open(struct line *line)
{
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = line->cli->state_dir,
                                  .capabilities = line->takes_calls ? line->caps : NULL,
                                  .allow_loopback = line->cli->loopback,
                                  .path = line->cli->path };

    line->ready.dials = !line->takes_calls;
    signal(SIGPIPE, SIG_IGN); /* who reads what comes may have left: that ends one pump alone */
    line->peer = cli_open(line->cli, line->verb, &config);
    line->status = line->peer ? 0 : 1;
    if (line->peer)
        cli_catch_signals(); /* the prompt had its own way with them */
    return line->peer != NULL;
}

void line_dial(struct line *line)
{
    const struct peer_dial_options options = { .size = sizeof(options), .path = line->cli->path };
    struct peer_error error;
    char id[24];

    if (line->link)
        return;
    line->link = peer_dial_with(line->peer, line->whom, line->caps, &options, &error);
    if (!line->link)
        line_end(line, cli_fail(line->cli, line->verb, &error));
    else if (strspn(line->whom, "0123456789") == strlen(line->whom))
        cli_say("dialling %s", cli_show_id(line->whom, id));
    else
        cli_say("dialling %s", line->whom);
}

static void say_up(const struct line *line, struct peer_link *link)
{
    struct peer_link_facts facts;
    char id[24];

    if (peer_link_facts(link, &facts))
        cli_say("linked with %s: %s, verified as %s, path %s", cli_show_id(facts.remote_id, id),
                facts.tls_version, facts.verified_name, facts.path_kind);
    (void)line;
}

/* Not in the middle of a screen that another program draws, as it does over nc. */
static void say_path(const struct line *line, struct peer_link *link)
{
    struct peer_link_facts facts;
    char id[24];

    if (strcmp(line->verb, "nc") != 0 && peer_link_facts(link, &facts))
        cli_say("path %s with %s: %s <-> %s", facts.path_kind, cli_show_id(facts.remote_id, id),
                facts.path_local, facts.path_remote);
}

static void on_ready(struct line *line)
{
    struct peer_identity identity;
    char id[24];

    cli_ready_joined(&line->ready);
    if (peer_identity(line->peer, &identity))
        cli_say("this machine is %s in %s", cli_show_id(identity.id, id), identity.network);
    if (line->takes_calls)
        cli_say("waiting for calls");
    else
        line_dial(line);
}

/* Who dials for one thing is told rather than kept waiting; who serves waits. */
static void on_offline(struct line *line, const struct peer_event *event)
{
    if (!cli_ready_offline(&line->ready, line->peer, event, line->is_up))
        line_end(line, cli_fail(line->cli, line->verb, &event->error));
}

int line_left(const struct line *line)
{
    return cli_ready_left(&line->ready);
}

void line_check(struct line *line)
{
    if (!line->is_over && line_left(line) == 0)
        line_end(line, cli_ready_over(line->cli, line->verb, &line->ready));
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static void answer(struct line *line, struct peer_link *link, const struct cli_answer *answer)
{
    line->is_asking = false;
    line->link = NULL;
    cli_answer_call(line->cli, line->verb, link, answer);
}

static void on_incoming(struct line *line, const struct peer_event *event)
{
    if (line->is_asking) {
        peer_link_decline(event->link, "busy");
        return;
    }
    cli_show_call(event);
    if (line->cli->accept) {
        answer(line, event->link, &(struct cli_answer){ .yes = true });
    } else if (line->input_ended) {
        cli_say("nobody is here to ask; run with --accept to take calls without asking");
        answer(line, event->link, &(struct cli_answer){ .reason = "declined" });
    } else {
        line->link = event->link;
        line->is_asking = true;
        line->n_in = 0;
        cli_ask_call();
    }
}

int line_question(const struct line *line)
{
    return line->is_asking && !line->input_ended ? STDIN_FILENO : -1;
}

void line_answer(struct line *line)
{
    ssize_t n = read(STDIN_FILENO, line->in + line->n_in, sizeof(line->in) - line->n_in);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        line->input_ended = true;
    else
        line->n_in += (size_t)n;
    if (line->input_ended || line->n_in == sizeof(line->in) || memchr(line->in, '\n', line->n_in)) {
        const struct cli_answer said = cli_read_answer(line->in, line->n_in);
        answer(line, line->link, &said);
    }
}

/* ---- events ------------------------------------------------------------------------------------------- */

static void on_down(struct line *line, const struct peer_event *event)
{
    bool is_ours = event->link == line->link;

    if (is_ours && line->is_asking)
        fputc('\n', stderr); /* the question is not answered any more */
    if (event->error.name[0] != '\0')
        cli_fail(line->cli, line->verb, &event->error);
    else
        cli_say("the link is closed");
    if (!is_ours)
        return;
    line->link = NULL;
    line->is_asking = line->is_up = false;
    if (!line->takes_calls)
        line_end(line, event->error.name[0] != '\0');
}

void line_event(struct line *line, const struct peer_event *event)
{
    char id[24];

    switch (event->type) {
    case PEER_EVENT_JOINED:
        on_ready(line);
        break;
    case PEER_EVENT_ONLINE:
        cli_ready_online(&line->ready);
        break;
    case PEER_EVENT_OFFLINE:
        on_offline(line, event);
        break;
    case PEER_EVENT_FAILED:
        line_end(line, cli_fail(line->cli, line->verb, &event->error));
        break;
    case PEER_EVENT_REFUSED:
        cli_say("a call of %s was refused", cli_show_id(event->remote_id, id));
        cli_fail(line->cli, line->verb, &event->error);
        break;
    case PEER_EVENT_INCOMING:
        on_incoming(line, event);
        break;
    case PEER_EVENT_RINGING:
        cli_say("ringing");
        break;
    case PEER_EVENT_LINK_UP:
        line->is_up |= event->link == line->link;
        say_up(line, event->link);
        break;
    case PEER_EVENT_PATH:
        say_path(line, event->link);
        break;
    case PEER_EVENT_LINK_DOWN:
        on_down(line, event);
        break;
    case PEER_EVENT_WAITING:
        cli_say("this machine waits for approval; its code is %s", event->code);
        break;
    case PEER_EVENT_ALARM:
    case PEER_EVENT_CLONED:
    case PEER_EVENT_CLOCK:
    case PEER_EVENT_NAME_MOVED:
        cli_say("%s: %s\nwhat to do: %s", event->error.name, event->error.text,
                event->error.remedy);
        break;
    default:
        break;
    }
}
