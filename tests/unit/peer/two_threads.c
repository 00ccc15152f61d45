/* SPDX-License-Identifier: Apache-2.0 */
/* Two joined peers, each with an application's thread of its own that writes little and often, while links end under it: what an
 * application's thread does in the library's place is done beside the library's thread. `two_threads SCENARIO CALLER-STATE
 * CALLEE-STATE`, on the public header alone; the caller may ask for chat. Exit status 0 when everything was as it should be. */
#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, STREAMS = 4, MOST = 600, ENOUGH = 20000, AHEAD = 16384 };

struct flow {
    struct peer_stream *stream; /* NULL: gone */
    size_t written, read;
};

struct side {
    const char *name;
    struct peer *peer;
    struct peer_link *link; /* NULL: none */
    struct flow flows[STREAMS];
    size_t n_flows, n_read, n_links, n_datagrams;
    const char *argument; /* what the caller gives its streams */
    bool is_joined, is_up, echoes;
    struct peer_error error; /* of the last LINK_DOWN */
};

static const char *const caps[] = { "chat", NULL };
static atomic_int n_failed;
static atomic_bool is_over;
static int n_at_start; /* descriptors that are handed on */
static void (*signals_at_start[NSIG])(int);

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
    for (size_t i = 0; i < side->n_flows; i++)
        if (side->flows[i].stream == stream)
            return &side->flows[i];
    return NULL;
}

/* The next bytes of the stream's series. */
static bool write_some(struct flow *flow, size_t n)
{
    uint8_t bytes[MOST];
    size_t took;

    if (!flow->stream)
        return false;
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(flow->written + i);
    took = peer_stream_write(flow->stream, bytes, n);
    flow->written += took;
    return took == n;
}

static void read_all(struct side *side, struct flow *flow)
{
    uint8_t bytes[MOST];
    bool is_end = false;
    size_t n;

    while ((n = peer_stream_read(flow->stream, bytes, sizeof(bytes), &is_end)) > 0) {
        for (size_t i = 0; i < n; i++)
            EXPECT(bytes[i] == byte_at(flow->read + i));
        if (n_failed > 5)
            exit(1);
        flow->read += n;
        side->n_read += n;
        if (side->echoes)
            write_some(flow, n);
    }
    if (is_end && side->echoes)
        peer_stream_finish(flow->stream);
}

/* What the caller asked for by the streams' argument happens to it in the middle of its writing. */
static void turn_on_it(struct side *side, const struct flow *flow)
{
    if (!side->echoes || side->n_read <= ENOUGH || !side->link)
        return;
    if (strcmp(side->argument, "close") == 0)
        peer_link_close(side->link, "enough");
    if (strcmp(side->argument, "reset") == 0 && flow->stream)
        peer_stream_reset(flow->stream, 7);
}

static void on_stream_event(struct side *side, const struct peer_event *event)
{
    struct flow *flow = find(side, event->stream);

    if (event->type == PEER_EVENT_STREAM) {
        EXPECT(side->n_flows < STREAMS);
        flow = &side->flows[side->n_flows++];
        *flow = (struct flow){ .stream = event->stream };
        side->argument = strcmp(event->argument, "close") == 0   ? "close"
                         : strcmp(event->argument, "reset") == 0 ? "reset"
                                                                 : "";
    }
    if (!flow)
        return;
    read_all(side, flow);
    if (event->type == PEER_EVENT_STREAM_CLOSED)
        flow->stream = NULL;
    turn_on_it(side, flow);
}

static void on_event(struct side *side, const struct peer_event *event)
{
    if (event->stream)
        on_stream_event(side, event);
    if (event->type == PEER_EVENT_DATAGRAM) {
        EXPECT(event->size == 8 && memcmp(event->data, "datagram", 8) == 0);
        side->n_datagrams++;
        if (side->echoes)
            peer_datagram_send(side->link, event->data, event->size, NULL);
    }
    if (event->type == PEER_EVENT_JOINED)
        side->is_joined = true;
    if (event->type == PEER_EVENT_INCOMING)
        EXPECT(peer_link_accept(event->link, NULL, NULL));
    if (event->type == PEER_EVENT_LINK_UP) {
        side->link = event->link;
        side->is_up = true;
        side->n_links++;
        side->n_flows = side->n_read = 0;
    }
    if (event->type == PEER_EVENT_LINK_DOWN) {
        side->link = NULL;
        side->is_up = false;
        side->n_flows = 0;
        side->error = event->error;
    }
    if (event->type == PEER_EVENT_FAILED) {
        fprintf(stderr, "%s: %s: %s\n", side->name, event->error.name, event->error.text);
        exit(1);
    }
}

static bool turn(struct side *side, int ms)
{
    struct pollfd fd = { peer_fd(side->peer), POLLIN, 0 };
    struct peer_event event;

    if (poll(&fd, 1, ms) <= 0)
        return false;
    while (peer_next_event(side->peer, &event))
        on_event(side, &event);
    return true;
}

#define UNTIL(side, cond)                                                                          \
    do {                                                                                           \
        while (!(cond)) {                                                                          \
            if (!turn(side, PATIENCE_MS)) {                                                        \
                fprintf(stderr, "line %d: waited for: %s\n", __LINE__, #cond);                     \
                exit(1);                                                                           \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void *serve(void *user)
{
    struct side *side = user;

    while (!is_over)
        turn(side, 100);
    return NULL;
}

/* ---- the scenarios: the caller's thread ---- */

static void dial(struct side *side, const char *id, const char *argument)
{
    struct peer_error error = { 0 };

    EXPECT(peer_dial(side->peer, id, caps, &error));
    side->error = (struct peer_error){ 0 };
    UNTIL(side, side->is_up || side->error.name[0]);
    if (side->error.name[0]) {
        fprintf(stderr, "dial: %s: %s\n", side->error.name, side->error.text);
        exit(1);
    }
    for (; side->n_flows < STREAMS; side->n_flows++) {
        side->flows[side->n_flows] =
            (struct flow){ .stream = peer_stream_open(side->link, "chat", argument, &error) };
        EXPECT(side->flows[side->n_flows].stream);
    }
}

static bool is_all_back(const struct side *side)
{
    for (size_t i = 0; i < side->n_flows; i++)
        if (side->flows[i].stream && side->flows[i].read < side->flows[i].written)
            return false;
    return true;
}

/* Without a pause: `n` pieces of 1 to MOST bytes, to each stream in turn, until the link is gone. */
static void write_often(struct side *side, size_t n)
{
    for (size_t i = 0; i < n && side->is_up; i++) {
        if (side->flows[i % STREAMS].written < side->flows[i % STREAMS].read + AHEAD)
            write_some(&side->flows[i % STREAMS], 1 + i * 31 % MOST);
        if (side->link && i % 8 == 0)
            peer_datagram_send(side->link, "datagram", 8, NULL);
        turn(side, i % 64 ? 0 : 1);
    }
}

static void small(struct side *side, const char *id)
{
    dial(side, id, "");
    write_often(side, 20000);
    UNTIL(side, is_all_back(side));
    for (size_t i = 0; i < STREAMS; i++)
        EXPECT(side->flows[i].read > ENOUGH);
    EXPECT(side->n_datagrams > 100);
    peer_link_close(side->link, "done");
    UNTIL(side, !side->is_up);
}

/* The link is closed, by either end, or its streams are reset, while both write. */
static void ends(struct side *side, const char *id)
{
    for (int round = 0; round < 6; round++) {
        dial(side, id, round % 3 == 0 ? "close" : round % 3 == 1 ? "reset" : "");
        write_often(side, 2000);
        if (side->link && round % 3)
            peer_link_close(side->link, "enough");
        write_often(side, 100000);
        EXPECT(!side->is_up);
    }
}

/* Where an application goes without closing anything. */
static void leaves(struct side *side, const char *id)
{
    dial(side, id, "");
    write_often(side, 2000);
    EXPECT(side->is_up && write_some(&side->flows[0], MOST));
}

static int try_forked(struct side *side)
{
    struct peer_error error = { 0 };
    struct peer_event event;
    char bytes[MOST] = "of the child";
    bool is_end;

    if (!peer_next_event(side->peer, &event) || event.type != PEER_EVENT_FAILED)
        return 1;
    if (peer_stream_write(side->flows[0].stream, bytes, sizeof(bytes)) != 0 ||
        peer_stream_write_message(side->flows[1].stream, bytes, 12, &error))
        return 2;
    if (peer_stream_open(side->link, "chat", NULL, &error) || strcmp(error.name, "closed") != 0 ||
        peer_datagram_send(side->link, bytes, 12, &error) || strcmp(error.name, "closed") != 0 ||
        peer_link_sas(side->link, &error) || peer_stream_fd(side->flows[0].stream, &error) >= 0)
        return 3;
    peer_stream_read(side->flows[0].stream, bytes, sizeof(bytes), &is_end);
    peer_stream_finish(side->flows[0].stream);
    peer_stream_reset(side->flows[1].stream, 1);
    peer_link_close(side->link, "of the child");
    peer_free(side->peer);
    return 0;
}

/* Of all signals, what becomes of them in this process: NULL for the default. */
static void read_signals(void (*ret_handlers[NSIG])(int))
{
    struct sigaction action;

    for (int i = 1; i < NSIG; i++)
        ret_handlers[i] = sigaction(i, NULL, &action) == 0 ? action.sa_handler : NULL;
}

/* What a program that is started by this one would have of the library's. */
static int n_inherited(void)
{
    int n = 0;

    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

static void forks(struct side *side, const char *id)
{
    void (*signals[NSIG])(int) = { NULL };
    int status;

    dial(side, id, "");
    EXPECT(n_inherited() == n_at_start);
    read_signals(signals);
    EXPECT(memcmp(signals, signals_at_start, sizeof(signals)) == 0);
    for (int i = 0; i < 10; i++) {
        write_often(side, 500);
        pid_t child = fork();
        if (child == 0)
            _exit(try_forked(side));
        write_often(side, 500);
        EXPECT(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
               WEXITSTATUS(status) == 0);
    }
    UNTIL(side, is_all_back(side));
    EXPECT(side->is_up && side->flows[0].read > ENOUGH);
}

static const struct {
    const char *name;
    void (*run)(struct side *side, const char *id);
} scenarios[] = { { "small", small }, { "ends", ends }, { "leaves", leaves }, { "forks", forks } };

static void start(struct side *side, const char *state)
{
    const struct peer_config config = {
        .size = sizeof(config), .state_dir = state, .capabilities = caps, .allow_loopback = true
    };
    struct peer_error error;

    side->peer = peer_new(&config, &error);
    if (!side->peer) {
        fprintf(stderr, "%s: %s: %s\n", state, error.name, error.text);
        exit(1);
    }
    UNTIL(side, side->is_joined);
}

int main(int argc, char **argv)
{
    static struct side a = { .name = "caller" },
                       b = { .name = "callee", .echoes = true, .argument = "" };
    struct peer_identity callee;
    pthread_t thread;

    for (size_t i = 0; argc == 4 && i < sizeof(scenarios) / sizeof(*scenarios); i++) {
        if (strcmp(argv[1], scenarios[i].name) != 0)
            continue;
        n_at_start = n_inherited();
        read_signals(signals_at_start);
        start(&a, argv[2]);
        start(&b, argv[3]);
        EXPECT(peer_identity(b.peer, &callee));
        EXPECT(pthread_create(&thread, NULL, serve, &b) == 0);
        scenarios[i].run(&a, callee.id);
        peer_free(a.peer);
        is_over = true;
        pthread_join(thread, NULL);
        peer_free(b.peer);
        return n_failed ? 1 : 0;
    }
    fprintf(stderr, "usage: two_threads SCENARIO CALLER-STATE CALLEE-STATE\n");
    return 2;
}
