/* SPDX-License-Identifier: Apache-2.0 */
/* `warren explain ID`: a link with that machine, and why its path is what it is. */
#include "findings.h"
#include "line.h"

#include <getopt.h>
#include <string.h>

enum { MAX_CAPS = 16, SETTLE_MS = 3000 };

struct explain {
    struct line line;
    struct findings findings;
    const char *caps[MAX_CAPS + 1];
    unsigned long long up_at; /* cli_now(); 0: not yet */
    bool is_asked, is_over;
};

/* What the line has to say of a dial that failed is a finding too. */
static void fail(struct explain *explain, const struct peer_error *error)
{
    if (!explain->is_over && !cli_goes_on())
        findings_put_error(&explain->findings, "session", error);
    explain->is_over = true;
}

static void on_event(struct explain *explain, const struct peer_event *event)
{
    struct line *line = &explain->line;

    if (event->link && event->link == line->link) {
        if (event->type == PEER_EVENT_LINK_UP)
            explain->up_at = cli_now();
        if (event->type == PEER_EVENT_FINDING)
            findings_put(&explain->findings, event->finding);
        if (event->type == PEER_EVENT_EXAMINED)
            explain->is_over = true;
        if (event->type == PEER_EVENT_LINK_DOWN) {
            fail(explain, &event->error);
            return;
        }
    }
    if (event->type == PEER_EVENT_FAILED) {
        fail(explain, &event->error);
        return;
    }
    line_event(line, event);
}

/* The link may come to a better path than its first one: it is looked at when it had the time. */
static void ask(struct explain *explain)
{
    struct peer_error error;

    explain->is_asked = true;
    cli_only_once();
    if (!peer_link_examine(explain->line.link, &error))
        fail(explain, &error);
}

static int wait_ms(const struct explain *explain)
{
    unsigned long long passed = explain->up_at ? cli_now() - explain->up_at : 0;

    if (!explain->up_at || explain->is_asked)
        return line_left(&explain->line);
    return passed < SETTLE_MS ? (int)(SETTLE_MS - passed) : 0;
}

static int run(struct explain *explain)
{
    struct line *line = &explain->line;
    struct peer_event event;

    while (!explain->is_over && !line->is_over && !cli_stopped()) {
        while (!explain->is_over && !line->is_over && cli_next_event(line->peer, &event))
            on_event(explain, &event);
        if (explain->is_over || line->is_over)
            break;
        if (explain->up_at && !explain->is_asked && wait_ms(explain) == 0) {
            ask(explain);
            continue;
        }
        cli_wait(line->peer, -1, wait_ms(explain));
        line_check(line);
    }
    if (line->is_over && !explain->is_over)
        return line->status ? line->status : 1;
    if (cli_stopped())
        return 1;
    return -1;
}

static const char usage[] =
    "usage: warren explain ID|NAME [--can CAPABILITY]... [--path WHICH] [--json]";

static int read_words(struct explain *explain, int argc, char **argv)
{
    static const struct option options[] = {
        { "state", required_argument, NULL, 's' },
        { "can", required_argument, NULL, 'c' },
        { "path", required_argument, NULL, 'P' },
        { "json", no_argument, NULL, 'J' },
        { "loopback", no_argument, NULL, 'l' },
        { "passphrase-fd", required_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct cli *cli = explain->line.cli;
    int c, n = 0;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (c) {
        case 's':
            cli->state_dir = optarg;
            break;
        case 'c':
            if (n == MAX_CAPS)
                return line_usage(&explain->line, "more than %d capabilities", MAX_CAPS);
            explain->caps[n++] = optarg;
            break;
        case 'P':
            if (!cli_read_path(optarg, &cli->path))
                return 2;
            break;
        case 'J':
            cli->json = true;
            break;
        case 'l':
            cli->loopback = true;
            break;
        case 'p':
            cli->passphrase_fd = optarg;
            break;
        case 'h':
            return -1;
        default:
            return cli_bad_option(argv, c, "explain", usage);
        }
    }
    if (n == 0)
        explain->caps[0] = "chat";
    if (optind + 1 != argc)
        return line_usage(&explain->line, "expected the ID or the name of one machine");
    return cli_whom(cli, "explain", argv[optind], explain->line.whom);
}

int cli_explain(struct cli *cli, int argc, char **argv)
{
    struct explain explain = {
        .line = { .cli = cli, .verb = "explain", .usage = usage + strlen("usage: warren ") }
    };
    struct line fresh;
    int status;

    explain.line.caps = explain.caps;
    status = read_words(&explain, argc, argv);
    if (status)
        return status;
    fresh = explain.line;
    if (!line_open(&explain.line))
        return explain.line.status;
    findings_begin(&explain.findings, cli->json);
    status = run(&explain);
    peer_free(explain.line.peer);
    if (cli_take_anew()) { /* here: the list is begun */
        explain.line = fresh;
        explain.up_at = 0;
        explain.is_over = false;
        status = line_open(&explain.line) ? run(&explain) : 1;
        peer_free(explain.line.peer);
    }
    if (status >= 0 && cli->json && explain.findings.n == 0)
        return status; /* cli_fail() wrote JSON of its own */
    return status >= 0 ? status : findings_end(&explain.findings);
}
