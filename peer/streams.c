/* SPDX-License-Identifier: Apache-2.0 */
/* What else a stream can do: urgency, marks, messages, facts, and being a descriptor. */
#include "peer/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_HEAD = 4 };

void peer_stream_set_urgency(struct peer_stream *stream, unsigned urgency)
{
    struct errand *errand = errand_new(stream->link->peer, stream->link, stream);

    errand->code = urgency;
    errand_send(errand, errand_urge);
}

bool peer_stream_set_marks(struct peer_stream *stream, size_t high, size_t low,
                           struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (high < 1 || high > STREAM_RING || low >= high) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "marks: the high one is 1 to %d, the low one less than it", STREAM_RING);
        errand_put_error(&err, ret_error);
        return false;
    }
    hub_lock(stream->hub);
    stream->high = high;
    stream->low = low;
    hub_unlock(stream->hub);
    return true;
}

bool peer_stream_facts(const struct peer_stream *stream, struct peer_stream_facts *ret_facts)
{
    struct peer_stream_facts facts = { .size = ret_facts->size };

    if (ret_facts->size < sizeof(ret_facts->size))
        return false;
    hub_lock(stream->hub);
    facts.written = stream->n_written;
    facts.read = stream->n_read;
    facts.waiting_out = stream->out.len;
    facts.waiting_in = stream->in.len;
    hub_unlock(stream->hub);
    memcpy(ret_facts, &facts, facts.size < sizeof(facts) ? facts.size : sizeof(facts));
    return true;
}

/* ---- messages ---- */

/* Under the lock. */
static bool put_message(struct peer_stream *stream, struct view bytes, struct err *err)
{
    uint8_t head[MESSAGE_HEAD] = { (uint8_t)(bytes.len >> 24), (uint8_t)(bytes.len >> 16),
                                   (uint8_t)(bytes.len >> 8), (uint8_t)bytes.len };
    size_t size = MESSAGE_HEAD + bytes.len;

    if (!hub_is_ours(stream->hub, err))
        return false;
    if (stream->is_over || stream->wants_end || stream->is_socket)
        return err_set(err, ERR_CLOSED, "nothing can be written to this stream any more");
    if (bytes.len > PEER_MAX_MESSAGE || size > stream->high)
        return err_set(err, ERR_TOO_LARGE, "%zu bytes; a message has at most %zu here", bytes.len,
                       stream->high > MESSAGE_HEAD ? stream->high - MESSAGE_HEAD : 0);
    if (stream->out.len + size > stream->high) {
        stream->wants_room = true;
        return err_set(err, ERR_LIMIT, "%zu bytes wait already", stream->out.len);
    }
    ring_put(&stream->out, VIEW_ARR(head));
    ring_put(&stream->out, bytes);
    stream->n_written += size;
    return true;
}

bool peer_stream_write_message(struct peer_stream *stream, const void *bytes, size_t size,
                               struct peer_error *ret_error)
{
    struct err err = { 0 };
    bool needs_pump, ok;

    hub_lock(stream->hub);
    ok = put_message(stream, VIEW(bytes, size), &err);
    needs_pump = ok && !stream->is_pump_queued;
    stream->is_pump_queued |= needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump && !flow_push_here(stream))
        errand_send(errand_new(stream->link->peer, stream->link, stream), errand_pump);
    if (!ok)
        errand_put_error(&err, ret_error);
    return ok;
}

/* The size of the next message; false: not even that is there. */
static bool next_size(struct peer_stream *stream, size_t *ret_size)
{
    uint8_t head[MESSAGE_HEAD];

    if (ring_peek(&stream->in, head, sizeof(head)) < sizeof(head))
        return false;
    *ret_size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    return true;
}

/* Under the lock. */
static bool take_message(struct peer_stream *stream, void *to, size_t size, size_t *ret_size,
                         bool *ret_end, struct err *err)
{
    bool has_size;

    if (stream->is_socket)
        return false;
    has_size = next_size(stream, ret_size);
    if (has_size && (*ret_size > PEER_MAX_MESSAGE || *ret_size > size))
        return err_set(err, ERR_TOO_LARGE, "the next message has %zu bytes", *ret_size);
    if (!has_size || stream->in.len - MESSAGE_HEAD < *ret_size) {
        *ret_end = stream->has_ended && stream->in.len == 0;
        if (stream->has_ended && !*ret_end)
            err_set(err, ERR_BAD_WIRE, "the stream ended within a message");
        return false;
    }
    ring_drop(&stream->in, MESSAGE_HEAD);
    ring_get(&stream->in, to, *ret_size);
    stream->n_read += MESSAGE_HEAD + *ret_size;
    return true;
}

bool peer_stream_read_message(struct peer_stream *stream, void *to, size_t size, size_t *ret_size,
                              bool *ret_end, struct peer_error *ret_error)
{
    struct err err = { 0 };
    bool needs_pump, ok;

    *ret_end = false;
    *ret_size = 0;
    hub_lock(stream->hub);
    ok = take_message(stream, to, size, ret_size, ret_end, &err);
    /* One that is not whole waits for what the thread has: however little room there is. */
    needs_pump = stream->is_starved && !stream->is_pump_queued &&
                 (!ok || ring_left(&stream->in) >= STREAM_RING / 2);
    stream->is_pump_queued |= needs_pump;
    stream->is_starved &= !needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump)
        errand_send(errand_new(stream->link->peer, stream->link, stream), errand_pump);
    if (ret_error)
        hub_error(&err, ret_error);
    return ok;
}

/* ---- a descriptor ---- */

static bool may_plug(struct peer_stream *stream, struct err *err)
{
    bool is_over, is_socket;

    hub_lock(stream->hub);
    is_over = stream->is_over || stream->wants_end;
    is_socket = stream->is_socket;
    stream->is_socket |= !is_over;
    hub_unlock(stream->hub);
    if (is_socket)
        return err_set(err, ERR_INVALID_ARGUMENT, "this stream has a descriptor already");
    return !is_over || err_set(err, ERR_CLOSED, "the stream is over");
}

int peer_stream_fd(struct peer_stream *stream, struct peer_error *ret_error)
{
    struct err err = { 0 };
    struct errand *errand;
    int pair[2];

    if (!hub_is_ours(stream->hub, &err)) {
        errand_put_error(&err, ret_error);
        return -1;
    }
    if (!loop_has_descriptors() || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        err_set(&err, ERR_LIMIT, "too few descriptors are left");
        errand_put_error(&err, ret_error);
        return -1;
    }
    if (!may_plug(stream, &err)) {
        errand_put_error(&err, ret_error);
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    errand = errand_new(stream->link->peer, stream->link, stream);
    errand->fd = pair[1];
    errand_send(errand, errand_plug);
    return pair[0];
}
