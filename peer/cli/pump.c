/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between a stream and descriptors, both ways, each half ending by itself. What does not fit waits in one buffer a direction,
 * and who fills it is not read meanwhile: that is what slows the other side down. */
#include "line.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char *grown(char *bytes, size_t size)
{
    bytes = realloc(bytes, size);
    if (!bytes)
        abort();
    return bytes;
}

struct pump *pump_new(struct peer_link *link, struct peer_stream *stream, int in, int out,
                      bool owns)
{
    struct pump *pump = calloc(1, sizeof(*pump));
    int kind;
    socklen_t size = sizeof(kind);

    if (!pump)
        abort();
    pump->to_stream.size = pump->to_out.size = PUMP_SIZE;
    pump->to_stream.bytes = grown(NULL, PUMP_SIZE);
    pump->to_out.bytes = grown(NULL, PUMP_SIZE);
    pump->link = link;
    pump->stream = stream;
    pump->in = in;
    pump->out = out;
    pump->owns = owns;
    pump->is_socket = getsockopt(out, SOL_SOCKET, SO_TYPE, &kind, &size) == 0;
    peer_stream_set_user(stream, pump);
    return pump;
}

void pump_free(struct pump *pump)
{
    const struct linger now = { 1, 0 };

    if (pump->stream) {
        peer_stream_set_user(pump->stream, NULL);
        peer_stream_reset(pump->stream, 0);
    }
    if (pump->owns) {
        if (pump->is_socket && (pump->is_broken || pump->is_failed || pump->stream))
            setsockopt(pump->out, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(pump->in);
        if (pump->out != pump->in)
            close(pump->out);
    }
    free(pump->to_stream.bytes);
    free(pump->to_out.bytes);
    free(pump);
}

static size_t waiting(const struct pump_end *end)
{
    return end->n - end->at;
}

static void drop(struct pump_end *end, size_t n)
{
    end->at += n;
    if (end->at == end->n)
        end->at = end->n = 0;
}

/* Nobody reads what comes, or the descriptor is broken: the other side hears of it. */
static void fail(struct pump *pump)
{
    pump->is_failed = true;
    if (pump->stream) {
        peer_stream_set_user(pump->stream, NULL);
        peer_stream_reset(pump->stream, 0);
        pump->stream = NULL;
    }
}

/* A descriptor that others have too keeps its flags: what poll() said to be writable takes this much without waiting. */
static ssize_t put(const struct pump *pump, const char *bytes, size_t size)
{
    if (pump->is_socket)
        return send(pump->out, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(pump->out, bytes, size < PIPE_BUF ? size : PIPE_BUF);
}

static void take_in(struct pump *pump)
{
    struct pump_end *end = &pump->to_stream;
    ssize_t n = read(pump->in, end->bytes + end->n, end->size - end->n);

    if (n > 0) {
        end->n += (size_t)n;
        pump->n_sent += (size_t)n;
    } else if (n == 0) {
        end->has_ended = true;
    } else if (errno != EINTR && errno != EAGAIN) {
        fail(pump);
    }
}

static void give_out(struct pump *pump)
{
    struct pump_end *end = &pump->to_out;
    ssize_t n = put(pump, end->bytes + end->at, waiting(end));

    if (n > 0)
        drop(end, (size_t)n);
    else if (n < 0 && errno != EINTR && errno != EAGAIN)
        fail(pump);
}

static void from_stream(struct pump *pump)
{
    struct pump_end *end = &pump->to_out;
    size_t n;

    while (pump->stream && !end->has_ended && end->n < end->size) {
        n = peer_stream_read(pump->stream, end->bytes + end->n, end->size - end->n,
                             &end->has_ended);
        end->n += n;
        pump->n_received += n;
        if (n == 0)
            break;
    }
}

static void into_stream(struct pump *pump)
{
    struct pump_end *end = &pump->to_stream;

    if (!pump->stream)
        return;
    if (waiting(end))
        drop(end, peer_stream_write(pump->stream, end->bytes + end->at, waiting(end)));
    if (end->has_ended && !end->end_told && !waiting(end)) {
        peer_stream_finish(pump->stream);
        end->end_told = true;
    }
}

unsigned long pump_fds(const struct pump *pump, struct pollfd fds[2])
{
    bool reads =
        pump->stream && !pump->to_stream.has_ended && pump->to_stream.n < pump->to_stream.size;
    bool writes = waiting(&pump->to_out) > 0;
    unsigned long n = 0;

    if (pump->in == pump->out && (reads || writes)) {
        fds[n++] =
            (struct pollfd){ pump->in, (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0 };
        return n;
    }
    if (reads)
        fds[n++] = (struct pollfd){ pump->in, POLLIN, 0 };
    if (writes)
        fds[n++] = (struct pollfd){ pump->out, POLLOUT, 0 };
    return n;
}

/* The far side's end goes on as an end here, once all before it is out. A pipe's end is its being closed: it is ours to close only
 * when it is ours. */
static void end_out(struct pump *pump)
{
    if (!pump->to_out.has_ended || pump->is_broken || pump->to_out.end_told ||
        waiting(&pump->to_out))
        return;
    pump->to_out.end_told = true;
    if (pump->is_socket)
        shutdown(pump->out, SHUT_WR);
}

bool pump_turn(struct pump *pump, const struct pollfd *fds, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) {
        if ((fds[i].events & POLLIN) && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
            take_in(pump);
        if ((fds[i].events & POLLOUT) && (fds[i].revents & (POLLOUT | POLLHUP | POLLERR)))
            give_out(pump);
    }
    if (pump->is_failed)
        return false;
    into_stream(pump);
    from_stream(pump);
    end_out(pump);
    return pump->stream || waiting(&pump->to_out);
}

void pump_stream_over(struct pump *pump, bool is_broken)
{
    struct pump_end *end = &pump->to_out;

    for (from_stream(pump); pump->stream && end->n == end->size; from_stream(pump)) {
        end->size *= 2; /* the last of it: as much as the library holds for a stream */
        end->bytes = grown(end->bytes, end->size);
    }
    if (pump->stream)
        peer_stream_set_user(pump->stream, NULL);
    pump->stream = NULL;
    pump->is_broken |= is_broken;
    pump->to_out.has_ended = true;
}
