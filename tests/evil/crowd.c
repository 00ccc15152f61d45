/* SPDX-License-Identifier: Apache-2.0 */
/* One of many peers that talk to one another at once: crowd STATE. It takes every call. Lines of standard input are IDs, each dialled as often as it
 * comes, and "end". In each session both ends say who they believe to be talking, with a number of their own, and look whether what they hear
 * was meant for this session. "end" prints what it came to, as JSON. */
#include "peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 128, MAX_TALKS = 1024 };

static const char *const capabilities[] = { "chat", NULL };
static struct peer *peer;
static char own[16];
static unsigned n_up, n_right, n_foreign, n_failed, n_taken, n_dialled;

struct talk { /* of a stream */
    char sent[MAX_LINE], heard[MAX_LINE];
    size_t len;
    bool is_caller, is_done;
};

static void remote_of(const struct peer_link *link, char to[16])
{
    struct peer_link_facts facts = { 0 };

    to[0] = 0;
    if (peer_link_facts(link, &facts))
        snprintf(to, 16, "%s", facts.remote_id);
}

static void say_first(struct peer_link *link)
{
    struct talk *talk = calloc(1, sizeof(*talk));
    struct peer_stream *stream;
    struct peer_error error;
    char remote[16];

    remote_of(link, remote);
    talk->is_caller = true;
    snprintf(talk->sent, sizeof(talk->sent), "%s>%s %ld%u\n", own, remote, (long)getpid(), ++n_up);
    stream = peer_stream_open(link, "chat", "", &error);
    if (!stream) {
        n_failed++;
        free(talk);
        return;
    }
    peer_stream_set_user(stream, talk);
    peer_stream_write(stream, talk->sent, strlen(talk->sent));
}

/* The called end: what it hears must be of whom it is linked with, for itself. */
static void answer(struct peer_stream *stream, struct talk *talk)
{
    char wanted[40], remote[16];

    remote_of(peer_stream_link(stream), remote);
    snprintf(wanted, sizeof(wanted), "%s>%s ", remote, own);
    n_taken++;
    if (strncmp(talk->heard, wanted, strlen(wanted)) != 0) {
        n_foreign++;
        fprintf(stderr, "crowd: heard %s of %s\n", talk->heard, remote);
    }
    peer_stream_write(stream, talk->heard, talk->len); /* the same back */
}

static void look(struct peer_stream *stream, struct talk *talk)
{
    if (talk->is_done || talk->len == 0 || talk->heard[talk->len - 1] != '\n')
        return;
    talk->is_done = true;
    if (!talk->is_caller) {
        answer(stream, talk);
        return;
    }
    if (strcmp(talk->heard, talk->sent) == 0)
        n_right++;
    else
        n_foreign++; /* the link stays: all are to be there at once */
}

static void read_all(struct peer_stream *stream)
{
    struct talk *talk = peer_stream_user(stream);
    bool has_ended;
    size_t n;

    if (!talk) {
        talk = calloc(1, sizeof(*talk));
        peer_stream_set_user(stream, talk);
    }
    while (talk->len < MAX_LINE - 1 &&
           (n = peer_stream_read(stream, talk->heard + talk->len, MAX_LINE - 1 - talk->len,
                                 &has_ended)) > 0)
        talk->len += n;
    look(stream, talk);
}

static void on_event(const struct peer_event *event)
{
    struct peer_identity identity;
    struct peer_error error;

    switch ((int)event->type) {
    case PEER_EVENT_JOINED:
        if (peer_identity(peer, &identity))
            snprintf(own, sizeof(own), "%s", identity.id);
        printf("{\"said\": \"ready\", \"id\": \"%s\"}\n", own);
        break;
    case PEER_EVENT_INCOMING:
        peer_link_accept(event->link, NULL, &error);
        break;
    case PEER_EVENT_LINK_UP:
        if (peer_link_user(event->link) == &n_dialled)
            say_first(event->link);
        break;
    case PEER_EVENT_READABLE:
        read_all(event->stream);
        break;
    case PEER_EVENT_LINK_DOWN:
        if (event->error.name[0] && strcmp(event->error.name, "none") != 0 &&
            peer_link_user(event->link) == &n_dialled) {
            n_failed++;
            fprintf(stderr, "crowd: %s: %s\n", event->error.name, event->error.text);
        }
        break;
    default:
        break;
    }
}

static void obey(char *line)
{
    struct peer_error error;
    struct peer_link *link;

    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, "end") == 0) {
        printf("{\"said\": \"end\", \"dialled\": %u, \"right\": %u, \"foreign\": %u, \"failed\": "
               "%u, \"taken\": %u}\n",
               n_dialled, n_right, n_foreign, n_failed, n_taken);
        return;
    }
    n_dialled++;
    link = peer_dial(peer, line, capabilities, &error);
    if (link)
        peer_link_set_user(link, &n_dialled);
    else
        n_failed++;
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config),
                                  .capabilities = capabilities,
                                  .allow_loopback = true };
    struct peer_event event;
    struct peer_error error;
    char line[64];

    if (argc < 2) {
        fprintf(stderr, "usage: crowd STATE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    config.state_dir = argv[1];
    peer = peer_new(&config, &error);
    if (!peer) {
        fprintf(stderr, "crowd: %s\n", error.text);
        return 1;
    }
    for (;;) {
        struct pollfd fds[] = { { peer_fd(peer), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
        if (poll(fds, 2, -1) < 0)
            return 1;
        while (peer_next_event(peer, &event))
            on_event(&event);
        if (fds[1].revents && !fgets(line, sizeof(line), stdin))
            break;
        if (fds[1].revents)
            obey(line);
    }
    peer_free(peer);
    return 0;
}
