/* SPDX-License-Identifier: Apache-2.0 */
/* Two joined peers in one process, on the public header alone: `two_peers SCENARIO CALLER-STATE CALLEE-STATE`. The caller
 * may ask for chat and file, the callee may open echo in return. Exit status 0 when everything was as it should be. */
#include "peer.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    char sas[8];
    bool is_plain;              /* its streams are read elsewhere */
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

    if (side->is_deaf || side->is_plain)
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
        if (flow && !side->is_plain)
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
    case PEER_EVENT_SAS:
        snprintf(side->sas, sizeof(side->sas), "%s", event->code);
        break;
    case PEER_EVENT_ONLINE:
    case PEER_EVENT_OFFLINE:
    case PEER_EVENT_RINGING:
    case PEER_EVENT_PATH:
    case PEER_EVENT_FINDING:
    case PEER_EVENT_EXAMINED:
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

/* ---- descriptors ---- */

/* Sends back what comes, and the end. */
static void *echo(void *user)
{
    int fd = *(int *)user;
    uint8_t bytes[20000];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0, put; at < n; at += put) {
            put = write(fd, bytes + at, (size_t)(n - at));
            if (put <= 0)
                return NULL;
        }
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

static void *write_bulk(void *user)
{
    int fd = *(int *)user;
    static uint8_t bytes[BULK];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_at(i);
    for (size_t at = 0; at < sizeof(bytes);) {
        ssize_t n = write(fd, bytes + at, sizeof(bytes) - at);
        EXPECT(n > 0);
        at += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

/* Reads all that comes from a descriptor while events are handled; how much. */
static size_t read_all(int fd)
{
    struct pollfd fds[] = { { fd, POLLIN, 0 },
                            { peer_fd(a.peer), POLLIN, 0 },
                            { peer_fd(b.peer), POLLIN, 0 } };
    uint8_t bytes[65536];
    size_t total = 0;
    ssize_t n = 1;

    while (n > 0) {
        if (poll(fds, 3, PATIENCE_MS) <= 0) {
            fprintf(stderr, "waited for a descriptor\n");
            exit(1);
        }
        turn(0);
        if (!(fds[0].revents & (POLLIN | POLLHUP)))
            continue;
        n = read(fd, bytes, sizeof(bytes));
        for (ssize_t i = 0; i < n; i++)
            EXPECT(bytes[i] == byte_at(total + (size_t)i));
        total += n > 0 ? (size_t)n : 0;
    }
    return total;
}

/* Both ends are descriptors, which code that knows nothing of libpeer reads and writes. */
static void sockets(void)
{
    struct flow *flow = open_one(&a, "chat", NULL, 0);
    struct peer_stream_facts facts = { .size = sizeof(facts) };
    struct peer_error error;
    pthread_t threads[2];
    int ours, theirs;
    bool is_end;

    EXPECT(peer_stream_fd(flow->stream, &error) == -1 && strcmp(error.name, "closed") == 0);
    flow = &a.flows[a.n_flows++];
    *flow = (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error) };
    a.is_plain = b.is_plain = true;
    ours = peer_stream_fd(flow->stream, &error);
    EXPECT(ours >= 0);
    EXPECT(peer_stream_fd(flow->stream, &error) == -1 &&
           strcmp(error.name, "invalid_argument") == 0);
    EXPECT(peer_stream_write(flow->stream, "x", 1) == 0);
    EXPECT(peer_stream_read(flow->stream, &is_end, 1, &is_end) == 0 && !is_end);
    pthread_create(&threads[0], NULL, write_bulk, &ours);
    UNTIL(b.n_flows == 2);
    theirs = peer_stream_fd(b.flows[1].stream, &error);
    EXPECT(theirs >= 0);
    pthread_create(&threads[1], NULL, echo, &theirs);
    EXPECT(read_all(ours) == BULK);
    if (!flow->is_closed) /* else the handle is gone */
        EXPECT(peer_stream_facts(flow->stream, &facts) && facts.written == BULK &&
               facts.read == BULK);
    UNTIL(flow->is_closed && b.flows[1].is_closed);
    EXPECT(flow->error[0] == '\0' && b.flows[1].error[0] == '\0');
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    close(ours);
    close(theirs);
}

/* A descriptor that is closed ends the stream, also when the other side never says anything. */
static void closed_sockets(void)
{
    struct flow *flow = &a.flows[a.n_flows++];
    struct peer_error error;
    struct flow *there;
    int fd;

    a.is_plain = b.is_plain = true;
    *flow = (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error) };
    fd = peer_stream_fd(flow->stream, &error);
    EXPECT(fd >= 0 && write(fd, "hello", 5) == 5);
    UNTIL(b.n_flows == 1);
    close(fd);
    there = &b.flows[0];
    UNTIL(there->is_closed);
    UNTIL(flow->is_closed);

    /* And the other way round: the other side's reset ends it. */
    flow = &a.flows[a.n_flows++];
    *flow = (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error) };
    fd = peer_stream_fd(flow->stream, &error);
    UNTIL(b.n_flows == 2);
    peer_stream_reset(b.flows[1].stream, 9);
    UNTIL(flow->is_closed);
    EXPECT(strcmp(flow->error, "closed") == 0);
    EXPECT(read_all(fd) == 0);
    close(fd);
}

/* ---- messages and marks ---- */

static const size_t sizes[] = { 0, 1, 1000, PEER_MAX_MESSAGE, 5, 200000, 200000, 3 };
enum { N_SIZES = sizeof(sizes) / sizeof(*sizes) };

/* One that does not fit, and one that ends early. */
static void torn_messages(struct flow *flow, const uint8_t *bytes)
{
    struct peer_stream *theirs = b.flows[0].stream;
    struct peer_error error;
    bool is_end = false;
    uint8_t got[11];
    size_t size = 0;

    EXPECT(peer_stream_write_message(flow->stream, bytes, 11, &error));
    do
        turn(100);
    while (!peer_stream_read_message(theirs, got, 10, &size, &is_end, &error) &&
           error.name[0] == '\0');
    EXPECT(strcmp(error.name, "too_large") == 0 && size == 11);
    EXPECT(peer_stream_read_message(theirs, got, 11, &size, &is_end, &error));
    EXPECT(peer_stream_write(flow->stream, "\0\0\0\5four", 8) == 8);
    peer_stream_finish(flow->stream);
    do
        turn(100);
    while (!peer_stream_read_message(theirs, got, 10, &size, &is_end, &error) &&
           error.name[0] == '\0' && !is_end);
    EXPECT(strcmp(error.name, "bad_wire") == 0);
}

static void messages(void)
{
    static uint8_t bytes[PEER_MAX_MESSAGE + 1], got[PEER_MAX_MESSAGE];
    struct flow *flow = &a.flows[a.n_flows++];
    size_t n_sent = 0, n_got = 0, size = 0;
    struct peer_error error;
    bool is_end = false;

    a.is_plain = b.is_plain = true;
    *flow = (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error) };
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_at(i);
    EXPECT(!peer_stream_write_message(flow->stream, bytes, sizeof(bytes), &error) &&
           strcmp(error.name, "too_large") == 0);
    UNTIL(b.n_flows == 1);
    while (n_got < N_SIZES) {
        while (n_sent < N_SIZES &&
               peer_stream_write_message(flow->stream, bytes, sizes[n_sent], &error))
            n_sent++;
        EXPECT(n_sent == N_SIZES || strcmp(error.name, "limit") == 0);
        turn(100);
        while (
            peer_stream_read_message(b.flows[0].stream, got, sizeof(got), &size, &is_end, &error)) {
            EXPECT(n_got < N_SIZES && size == sizes[n_got] && memcmp(got, bytes, size) == 0);
            n_got++;
        }
        EXPECT(error.name[0] == '\0' && !is_end);
    }
    torn_messages(flow, bytes);
}

/* Both ask at once, or one of them: the same string at both ends, another one in another link. */
static void short_string(void)
{
    char before[8];
    struct peer_error error;

    EXPECT(peer_link_sas(a.link, &error));
    UNTIL(a.sas[0] && b.sas[0]);
    EXPECT(strlen(a.sas) == 4 && strcmp(a.sas, b.sas) == 0);
    EXPECT(peer_link_sas(a.link, &error)); /* nothing comes of it */
    memcpy(before, a.sas, sizeof(before));
    hang_up();
    dial();
    a.sas[0] = b.sas[0] = '\0';
    EXPECT(peer_link_sas(a.link, &error) && peer_link_sas(b.link, &error));
    UNTIL(a.sas[0] && b.sas[0]);
    EXPECT(strcmp(a.sas, b.sas) == 0 && strcmp(a.sas, before) != 0);
}

static void marks(void)
{
    static uint8_t bytes[100000];
    struct flow *flow = &a.flows[a.n_flows++];
    struct peer_error error;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_at(i);
    *flow = (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error) };
    EXPECT(!peer_stream_set_marks(flow->stream, 0, 0, &error) &&
           strcmp(error.name, "invalid_argument") == 0);
    EXPECT(!peer_stream_set_marks(flow->stream, PEER_MAX_MARK + 1, 1, &error));
    EXPECT(!peer_stream_set_marks(flow->stream, 4096, 4096, &error));
    EXPECT(peer_stream_set_marks(flow->stream, 4096, 1000, &error));
    peer_stream_set_urgency(flow->stream, 0);
    EXPECT(peer_stream_write(flow->stream, bytes, sizeof(bytes)) <= 4096);
    EXPECT(!peer_stream_write_message(flow->stream, bytes, 4093, &error) &&
           strcmp(error.name, "too_large") == 0);
    peer_stream_reset(flow->stream, 0);
    UNTIL(flow->is_closed);
    flow = &a.flows[a.n_flows++];
    *flow =
        (struct flow){ .stream = peer_stream_open(a.link, "chat", NULL, &error), .wanted = BULK };
    EXPECT(peer_stream_set_marks(flow->stream, 4096, 1000, &error));
    write_on(flow); /* and on as WRITABLE comes */
    UNTIL(flow->is_closed);
    EXPECT(flow->read == BULK);
}

static const char *const only_chat[] = { "chat", NULL };
static const struct {
    const char *name;
    void (*run)(void);
    const char *const *accepts;
} scenarios[] = {
    { "bulk", bulk, NULL },
    { "many", many, NULL },
    { "deaf", deaf, NULL },
    { "reset", reset, NULL },
    { "datagrams", datagrams, NULL },
    { "capabilities", capabilities, only_chat },
    { "again", again, NULL },
    { "farewell", farewell, NULL },
    { "sockets", sockets, NULL },
    { "closed_sockets", closed_sockets, NULL },
    { "short_string", short_string, NULL },
    { "messages", messages, NULL },
    { "marks", marks, NULL },
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
