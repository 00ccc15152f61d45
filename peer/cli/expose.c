/* SPDX-License-Identifier: Apache-2.0 */
/* `warren expose`: the other end of `warren tunnel` and `warren nc`. Only what is named here can be reached, by whom policy lets. */
#include "line.h"
#include "tunnel.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_TARGETS = LINE_MAX_WORDS };

struct target {
    char cap[65], text[300];
    struct addrinfo *at;
};
struct expose {
    struct carry carry; /* first: what it hands back is this */
    struct target target[MAX_TARGETS];
    const char *caps[MAX_TARGETS + 1];
    int n;
};

static int take_target(struct expose *e, char *word)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct line *line = &e->carry.line;
    struct target *target = &e->target[e->n];
    char *host, *port;
    int failed;

    snprintf(target->text, sizeof(target->text), "%s", word);
    if (!tunnel_split(word, &host, &port) ||
        !tunnel_capability(host, port, target->cap, sizeof(target->cap)))
        return line_usage(line,
                          "\"%s\": expected a PORT, or HOST:PORT with an IPv6 HOST in brackets",
                          target->text);
    failed = getaddrinfo(*host ? host : "localhost", port, &hints, &target->at);
    if (failed) {
        cli_say("warren: expose: %s: %s", target->text, gai_strerror(failed));
        return 1;
    }
    e->caps[e->n++] = target->cap;
    return 0;
}

/* A connection under way; one that is refused at once is tried at the next address. -1: none takes it. */
static int connect_to(const struct addrinfo *at)
{
    for (; at; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS)
            return fd;
        close(fd);
    }
    return -1;
}

static void on_stream(struct expose *e, const struct peer_event *event)
{
    const struct target *target = NULL;
    struct peer_link_facts facts;
    char id[24];
    int fd;

    for (int i = 0; i < e->n; i++) {
        if (strcmp(e->target[i].cap, event->capability) == 0)
            target = &e->target[i];
    }
    if (!target || carry_is_full(&e->carry)) {
        peer_stream_reset(event->stream, 1);
        return;
    }
    fd = connect_to(target->at);
    if (fd < 0) {
        cli_say("%s: %s", target->text, strerror(errno));
        peer_stream_reset(event->stream, 1);
        return;
    }
    if (peer_link_facts(event->link, &facts))
        cli_say("%s: a connection of %s", target->text, cli_show_id(facts.remote_id, id));
    carry_add(&e->carry, pump_new(event->link, event->stream, fd, fd, true));
}

static void on_event(struct carry *carry, const struct peer_event *event)
{
    if (event->type == PEER_EVENT_STREAM)
        on_stream((struct expose *)carry, event);
}

static int expose(struct expose *e, int argc, char **argv)
{
    struct line *line = &e->carry.line;
    int status = line_words(line, argc, argv);

    if (status == 0 && line->n == 0)
        status = line_usage(line, "expected what may be reached: 22, or 192.0.2.7:3389");
    for (int i = 0; status == 0 && i < line->n; i++)
        status = take_target(e, line->word[i]);
    if (status != 0)
        return status;
    return line_open(line) ? carry_run(&e->carry) : line->status;
}

int cli_expose(struct cli *cli, int argc, char **argv)
{
    struct expose *e = calloc(1, sizeof(*e));
    int status;

    if (!e)
        abort();
    e->carry.line =
        (struct line){ .cli = cli,
                       .verb = "expose",
                       .usage = "expose [HOST:]PORT... [--accept] [--path WHICH] [--loopback]",
                       .caps = e->caps,
                       .takes_calls = true };
    e->carry.on_event = on_event;
    status = expose(e, argc, argv);
    for (int i = 0; i < e->n; i++)
        freeaddrinfo(e->target[i].at);
    free(e);
    return status;
}
