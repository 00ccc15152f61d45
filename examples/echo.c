/* SPDX-License-Identifier: Apache-2.0 */
/* An echo between two machines, with poll(2).
 *
 *     echo STATE-DIR            takes calls and sends back what comes
 *     echo STATE-DIR ID         calls ID, sends standard input, prints what comes back
 *
 * Both machines have joined a network: `warren --state STATE-DIR join`. Its policy lets one reach the other for `echo`.
 * Compile: cc echo.c $(pkg-config --cflags --libs libpeer) */
#include <peer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const capabilities[] = { "echo", NULL };
static struct peer *peer;
static struct peer_link *link_to; /* the caller's */
static struct peer_stream *out;   /* likewise */
static char typed[4096];          /* read, and not yet taken by the stream */
static size_t n_typed;
static int has_input_ended;

static void die(const char *what, const struct peer_error *error)
{
    fprintf(stderr, "%s: %s\n%s\n", what, error->text, error->remedy);
    exit(1);
}

/* What waits to be sent back, with its place: a stream takes no more than there is room for. */
struct echo {
    char bytes[4096];
    size_t at, n;
    bool has_ended;
};

/* Until nothing comes or nothing goes. What cannot go stays, and what stays unread stops the other side. */
static void echo(struct peer_stream *stream, struct echo *e)
{
    for (;;) {
        e->at += peer_stream_write(stream, e->bytes + e->at, e->n - e->at);
        if (e->at < e->n)
            return; /* WRITABLE follows */
        e->at = 0;
        e->n = peer_stream_read(stream, e->bytes, sizeof(e->bytes), &e->has_ended);
        if (e->n == 0)
            break; /* READABLE follows */
    }
    if (e->has_ended)
        peer_stream_finish(stream);
}

static void print(struct peer_stream *stream)
{
    char bytes[4096];
    bool has_ended;
    size_t n;

    while ((n = peer_stream_read(stream, bytes, sizeof(bytes), &has_ended)) > 0)
        fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

static void send_typed(void)
{
    size_t n = out ? peer_stream_write(out, typed, n_typed) : 0;

    memmove(typed, typed + n, n_typed - n);
    n_typed -= n;
    if (out && has_input_ended && n_typed == 0)
        peer_stream_finish(out);
}

/* Whether to go on. */
static bool handle(const struct peer_event *event, const char *whom)
{
    struct peer_link_facts facts;
    struct peer_error error;

    switch (event->type) {
    case PEER_EVENT_JOINED: /* ID and certificate are there */
        fprintf(stderr, "ready\n");
        if (whom && !link_to && !(link_to = peer_dial(peer, whom, capabilities, &error)))
            die("dial", &error);
        return true;
    case PEER_EVENT_FAILED:
        die("peer", &event->error);
        return false;
    case PEER_EVENT_INCOMING: /* remote_id is proved; a real program may ask a person first */
        fprintf(stderr, "%s calls\n", event->remote_id);
        peer_link_accept(event->link, NULL, NULL);
        return true;
    case PEER_EVENT_LINK_UP:
        if (peer_link_facts(event->link, &facts))
            fprintf(stderr, "linked with %s, %s\n", facts.verified_name, facts.path_kind);
        if (whom && !(out = peer_stream_open(event->link, "echo", NULL, &error)))
            die("stream", &error);
        return true;
    case PEER_EVENT_LINK_DOWN:
        if (event->error.name[0])
            fprintf(stderr, "link: %s\n", event->error.text);
        return whom == NULL; /* who takes calls waits for the next */
    case PEER_EVENT_STREAM:
        peer_stream_set_user(event->stream, calloc(1, sizeof(struct echo)));
        __attribute__((fallthrough));
    case PEER_EVENT_READABLE:
    case PEER_EVENT_WRITABLE:
        if (whom)
            print(event->stream);
        else if (peer_stream_user(event->stream))
            echo(event->stream, peer_stream_user(event->stream));
        return true;
    case PEER_EVENT_STREAM_CLOSED:
        free(peer_stream_user(event->stream));
        if (whom)
            print(event->stream); /* the last of it */
        if (event->stream == out)
            peer_link_close(event->link, "done");
        out = whom ? NULL : out;
        return true;
    default:
        return true;
    }
}

int main(int argc, char **argv)
{
    const char *whom = argc > 2 ? argv[2] : NULL;
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = argc > 1 ? argv[1] : NULL,
                                  .capabilities = capabilities,
                                  .allow_loopback = true };
    struct peer_error error;
    struct peer_event event;
    bool goes_on = true;

    peer = peer_new(&config, &error);
    if (!peer)
        die("peer", &error);
    while (goes_on) {
        bool reads = out && !has_input_ended && n_typed < sizeof(typed);
        struct pollfd fds[] = { { peer_fd(peer), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };

        poll(fds, reads ? 2 : 1, -1);
        while (goes_on && peer_next_event(peer, &event))
            goes_on = handle(&event, whom);
        if (reads && fds[1].revents) {
            ssize_t n = read(STDIN_FILENO, typed + n_typed, sizeof(typed) - n_typed);
            has_input_ended = n <= 0;
            n_typed += n > 0 ? (size_t)n : 0;
        }
        send_typed();
    }
    peer_free(peer);
    return event.error.name[0] ? 1 : 0;
}
