/* SPDX-License-Identifier: Apache-2.0 */
/* Two joined peers in one process, on the public header alone: `two_peers SCENARIO CALLER-STATE CALLEE-STATE`. The caller
 * may ask for chat and file, the callee may open echo in return. Exit status 0 when everything was as it should be. */
#include "peer.h"

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000, MAX_STREAMS = 64, BULK = 8 * 1024 * 1024, QUIET_MS = 1000 };

struct flow {
    struct peer_stream *stream;
    size_t written, read, wanted; /* wanted: to write, then finish */
    bool is_finished, has_ended, is_closed;
    char argument[32], error[32];
};

struct side {
    const char *name;
    struct peer *peer;
    struct peer_link *link;
    struct flow flows[MAX_STREAMS];
    size_t n_flows, n_closed, n_datagrams, n_links;
    bool is_joined, is_up, is_down, echoes, is_deaf;
    const char *const *accepts; /* NULL: all */
    struct peer_error error;    /* of the last LINK_DOWN */
};

static struct side a = { .name = "caller" }, b = { .name = "callee", .echoes = true };
static int n_failed;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            n_failed++;                                                                            \
            fprintf(stderr, "line %d: not true: %s\n", __LINE__, #cond);                           \
        }                                                                                          \
    } while (0)

static uint8_t byte_at(size_t at)
{
    return (uint8_t)((at * 2654435761u) >> 11);
}

static struct flow *find(struct side *side, const struct peer_stream *stream)
{
    for (size_t i = 0; i < side->n_flows; i++) {
        if (side->flows[i].stream == stream && !side->flows[i].is_closed)
            return &side->flows[i];
    }
    return NULL;
}

static void write_on(struct flow *flow)
{
    uint8_t bytes[8192];

    while (!flow->is_finished && flow->written < flow->wanted) {
        size_t n = flow->wanted - flow->written, took;
        n = n < sizeof(bytes) ? n : sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = byte_at(flow->written + i);
        took = peer_stream_write(flow->stream, bytes, n);
        flow->written += took;
        if (took < n)
            return;
    }
    if (!flow->is_finished)
        peer_stream_finish(flow->stream);
    flow->is_finished = true;
}

/* An echoing side sends back as many bytes as it read, from the same series. */
static void read_on(struct side *side, struct flow *flow)
{
    uint8_t bytes[8192];
    bool is_end = false;
    size_t n;

    if (side->is_deaf)
        return;
    while ((n = peer_stream_read(flow->stream, bytes, sizeof(bytes), &is_end)) > 0) {
        for (size_t i = 0; i < n; i++)
            EXPECT(bytes[i] == byte_at(flow->read + i));
        flow->read += n;
        if (n_failed > 5)
            exit(1);
    }
    flow->has_ended |= is_end;
    if (side->echoes && is_end) {
        flow->wanted = flow->read;
        write_on(flow);
    }
}

static void on_stream(struct side *side, const struct peer_event *event)
{
    struct flow *flow = &side->flows[side->n_flows++];

    *flow = (struct flow){ .stream = event->stream };
    snprintf(flow->argument, sizeof(flow->argument), "%s", event->argument);
    read_on(side, flow);
}

static void on_event(struct side *side, const struct peer_event *event)
{
    struct flow *flow = event->stream ? find(side, event->stream) : NULL;
    struct peer_error error;

    switch (event->type) {
    case PEER_EVENT_JOINED:
        side->is_joined = true;
        break;
    case PEER_EVENT_INCOMING:
        side->link = event->link;
        EXPECT(peer_link_accept(event->link, side->accepts, &error));
        EXPECT(!peer_link_accept(event->link, NULL, &error)); /* once */
        break;
    case PEER_EVENT_LINK_UP:
        side->is_up = true;
        side->n_links++;
        break;
    case PEER_EVENT_LINK_DOWN:
        side->is_up = false;
        side->is_down = true;
        side->link = NULL;
        side->error = event->error;
        break;
    case PEER_EVENT_STREAM:
        on_stream(side, event);
        break;
    case PEER_EVENT_READABLE:
        if (flow)
            read_on(side, flow);
        break;
    case PEER_EVENT_WRITABLE:
        if (flow)
            write_on(flow);
        break;
    case PEER_EVENT_STREAM_CLOSED:
        if (flow) {
            read_on(side, flow);
            flow->is_closed = true;
            snprintf(flow->error, sizeof(flow->error), "%s", event->error.name);
            side->n_closed++;
        }
        break;
    case PEER_EVENT_REFUSED:
    case PEER_EVENT_ALARM:
    case PEER_EVENT_WAITING:
    case PEER_EVENT_CLONED:
    case PEER_EVENT_CLOCK:
    case PEER_EVENT_NAME_MOVED:
    case PEER_EVENT_REKEYED:
    case PEER_EVENT_NAMES:
        EXPECT(false);
        break;
    case PEER_EVENT_DATAGRAM:
        EXPECT(event->size == 5 && memcmp(event->data, "dgram", 5) == 0);
        side->n_datagrams++;
        break;
    case PEER_EVENT_ONLINE:
    case PEER_EVENT_OFFLINE:
    case PEER_EVENT_RINGING:
    case PEER_EVENT_PATH:
    case PEER_EVENT_RESULT: /* nothing is called or served here */
    case PEER_EVENT_REGISTRATION:
    case PEER_EVENT_INVOCATION:
    case PEER_EVENT_INTERRUPTED:
    case PEER_EVENT_SUBSCRIPTION:
    case PEER_EVENT_MESSAGE:
    case PEER_EVENT_PUBLISHED:
        break;
    case PEER_EVENT_FAILED:
        fprintf(stderr, "%s: %s: %s\n", side->name, event->error.name, event->error.text);
        exit(1);
    }
}

/* Handles what came within `ms`; false when that was nothing. */
static bool turn(int ms)
{
    struct pollfd fds[] = { { peer_fd(a.peer), POLLIN, 0 }, { peer_fd(b.peer), POLLIN, 0 } };
    struct peer_event event;

    if (poll(fds, 2, ms) <= 0)
        return false;
    while (peer_next_event(a.peer, &event))
        on_event(&a, &event);
    while (peer_next_event(b.peer, &event))
        on_event(&b, &event);
    return true;
}

#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        while (!(cond)) {                                                                          \
            if (!turn(PATIENCE_MS)) {                                                              \
                fprintf(stderr, "line %d: waited for: %s\n", __LINE__, #cond);                     \
                exit(1);                                                                           \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* ---- the scenarios ---- */

static void dial(void)
{
    static const char *const caps[] = { "chat", "file", NULL };
    struct peer_identity callee;
    struct peer_error error;

    EXPECT(peer_identity(b.peer, &callee));
    a.is_down = b.is_down = false;
    a.link = peer_dial(a.peer, callee.id, caps, &error);
    EXPECT(a.link);
    UNTIL((a.is_up && b.is_up) || a.is_down);
    if (a.is_down)
        fprintf(stderr, "dial: %s: %s\n", a.error.name, a.error.text);
    EXPECT(a.is_up);
}

static void hang_up(void)
{
    if (a.link)
        peer_link_close(a.link, "done");
    UNTIL(a.is_down && b.is_down);
    EXPECT(a.error.name[0] == '\0' && b.error.name[0] == '\0');
}

static struct flow *open_one(struct side *side, const char *cap, const char *arg, size_t wanted)
{
    struct flow *flow = &side->flows[side->n_flows++];
    struct peer_error error;

    *flow =
        (struct flow){ .stream = peer_stream_open(side->link, cap, arg, &error), .wanted = wanted };
    EXPECT(flow->stream && peer_stream_link(flow->stream) == side->link);
    write_on(flow);
    return flow;
}

static void bulk(void)
{
    struct flow *flow = open_one(&a, "chat", "8 MiB", BULK);
    struct peer_link_facts facts;

    UNTIL(flow->is_closed && b.n_closed == 1);
    EXPECT(flow->written == BULK && flow->read == BULK && flow->has_ended);
    EXPECT(b.flows[0].read == BULK && strcmp(b.flows[0].argument, "8 MiB") == 0);
    EXPECT(flow->error[0] == '\0' && b.flows[0].error[0] == '\0');
    EXPECT(peer_link_facts(a.link, &facts));
    EXPECT(strcmp(facts.tls_version, "TLS1.3") == 0 && strcmp(facts.alpn, "warren-link/1") == 0);
    EXPECT(facts.grant_size && facts.dial_size && facts.accept_size);
}

static void many(void)
{
    char arg[16];

    for (size_t i = 0; i < 40; i++) {
        snprintf(arg, sizeof(arg), "%zu", i);
        open_one(&a, i % 2 ? "chat" : "file", arg, 1000 * i);
    }
    UNTIL(a.n_closed == 40 && b.n_closed == 40);
    for (size_t i = 0; i < 40; i++) {
        EXPECT(a.flows[i].read == 1000 * i && a.flows[i].has_ended);
        EXPECT(strtoul(b.flows[i].argument, NULL, 10) * 1000 == b.flows[i].read);
    }
}

/* A callee that does not read stops its caller, and loses nothing. */
static void deaf(void)
{
    struct flow *flow;

    b.is_deaf = true;
    flow = open_one(&a, "chat", NULL, 4 * BULK);
    while (turn(QUIET_MS))
        ;
    EXPECT(flow->written > 0 && flow->written < BULK);
    b.is_deaf = false;
    read_on(&b, &b.flows[0]);
    UNTIL(flow->is_closed && b.n_closed == 1);
    EXPECT(b.flows[0].read == 4 * BULK && flow->read == 4 * BULK);
}

static void reset(void)
{
    struct flow *flow = open_one(&a, "chat", NULL, 10);

    b.is_deaf = true;
    UNTIL(b.n_flows == 1);
    peer_stream_reset(flow->stream, 7);
    UNTIL(flow->is_closed && b.n_closed == 1);
    EXPECT(flow->error[0] == '\0' && strcmp(b.flows[0].error, "closed") == 0);
    b.is_deaf = false;
}

static void datagrams(void)
{
    static uint8_t large[65536];
    struct peer_error error;

    EXPECT(!peer_datagram_send(a.link, large, sizeof(large), &error));
    EXPECT(strcmp(error.name, "too_large") == 0);
    for (int i = 0; i < 1000 && (a.n_datagrams < 3 || b.n_datagrams < 3);
         i++) { /* some may get lost */
        EXPECT(peer_datagram_send(a.link, "dgram", 5, &error));
        EXPECT(peer_datagram_send(b.link, "dgram", 5, &error));
        turn(QUIET_MS);
    }
    EXPECT(a.n_datagrams >= 3 && b.n_datagrams >= 3);
}

static void capabilities(void)
{
    struct peer_error error;
    struct flow *flow;

    EXPECT(!peer_stream_open(a.link, "file", NULL, &error)); /* asked, granted, not accepted */
    EXPECT(strcmp(error.name, "capability") == 0);
    EXPECT(!peer_stream_open(b.link, "chat", NULL, &error)); /* the caller's, not the callee's */
    EXPECT(strcmp(error.name, "capability") == 0);
    flow = open_one(&a, "chat", NULL, 5);
    UNTIL(flow->is_closed);
    a.echoes = true;
    flow = open_one(&b, "echo", "back", 5);
    b.echoes = false;
    UNTIL(flow->is_closed);
    EXPECT(flow->read == 5);
}

static void again(void)
{
    for (int i = 0; i < 5; i++) {
        hang_up();
        dial();
    }
    EXPECT(a.n_links == 6 && b.n_links == 6);
}

/* What had arrived when the link ended can still be read. */
static void farewell(void)
{
    struct flow *flow = open_one(&a, "chat", NULL, 1000);

    b.is_deaf = true;
    UNTIL(b.n_flows == 1);
    while (turn(QUIET_MS))
        ;
    b.is_deaf = b.echoes = false;
    read_on(&b, &b.flows[0]);
    EXPECT(b.flows[0].read == 1000 && flow->is_finished);
}

static const char *const only_chat[] = { "chat", NULL };
static const struct {
    const char *name;
    void (*run)(void);
    const char *const *accepts;
} scenarios[] = {
    { "bulk", bulk, NULL },           { "many", many, NULL },
    { "deaf", deaf, NULL },           { "reset", reset, NULL },
    { "datagrams", datagrams, NULL }, { "capabilities", capabilities, only_chat },
    { "again", again, NULL },         { "farewell", farewell, NULL },
};

static struct peer *start(const char *state)
{
    static const char *const served[] = { "chat", "file", "echo", NULL };
    const struct peer_config config = {
        .size = sizeof(config), .state_dir = state, .capabilities = served, .allow_loopback = true
    };
    struct peer_error error;
    struct peer *peer = peer_new(&config, &error);

    if (!peer) {
        fprintf(stderr, "%s: %s: %s\n", state, error.name, error.text);
        exit(1);
    }
    return peer;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof(scenarios) / sizeof(*scenarios); i++) {
        if (strcmp(argv[1], scenarios[i].name) != 0)
            continue;
        a.peer = start(argv[2]);
        b.peer = start(argv[3]);
        b.accepts = scenarios[i].accepts;
        UNTIL(a.is_joined && b.is_joined);
        dial();
        scenarios[i].run();
        hang_up();
        peer_free(a.peer);
        peer_free(b.peer);
        return n_failed ? 1 : 0;
    }
    fprintf(stderr, "usage: two_peers SCENARIO CALLER-STATE CALLEE-STATE\n");
    return 2;
}
