/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, as the application sees them. */
#include "peer/errand.h"

bool peer_link_sas(struct peer_link *link, struct peer_error *ret_error)
{
    return errand_send_up(link, errand_sas, ret_error);
}

static bool may_open(const struct peer_link *link, const char *cap, const char *arg,
                     struct err *err)
{
    bool is_up, is_ours = false;

    hub_lock(link->hub);
    is_up = link->is_up;
    for (size_t i = 0; cap && link->outgoing[i]; i++)
        is_ours |= strcmp(link->outgoing[i], cap) == 0;
    hub_unlock(link->hub);
    if (!cap || (arg && strlen(arg) > 1024))
        return err_set(err, ERR_INVALID_ARGUMENT, "no capability, or an argument over 1024 bytes");
    if (!hub_is_ours(link->hub, err))
        return false;
    if (!is_up)
        return err_set(err, ERR_CLOSED, "the link is not up");
    if (!is_ours)
        return err_set(err, ERR_CAPABILITY, "this session does not let us open %s", cap);
    return true;
}

struct peer_stream *peer_stream_open(struct peer_link *link, const char *capability,
                                     const char *argument, struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (!may_open(link, capability, argument, &err)) {
        errand_put_error(&err, ret_error);
        return NULL;
    }

    struct peer_stream *stream = peer_stream_new(link);
    struct errand *errand = errand_new(link->peer, link, stream);
    list_append(&link->streams, &stream->node);
    errand->text = mem_text(capability);
    errand->argument = mem_text(argument ? argument : "");
    errand_send(errand, errand_open);
    return stream;
}

struct peer_link *peer_stream_link(const struct peer_stream *stream)
{
    return stream->link;
}

/* One errand at a time moves all that lies in the rings. */
static void pump_later(struct peer_stream *stream)
{
    errand_send(errand_new(stream->link->peer, stream->link, stream), errand_pump);
}

/* As much as the high mark allows. Under the lock. */
static size_t put(struct peer_stream *stream, const void *bytes, size_t size)
{
    size_t room = stream->out.len < stream->high ? stream->high - stream->out.len : 0;
    size_t n = ring_put(&stream->out, VIEW(bytes, size < room ? size : room));

    stream->n_written += n;
    return n;
}

size_t peer_stream_write(struct peer_stream *stream, const void *bytes, size_t size)
{
    bool needs_pump;
    size_t n = 0;

    hub_lock(stream->hub);
    if (!stream->is_over && !stream->wants_end && !stream->is_socket && !stream->hub->is_forked)
        n = put(stream, bytes, size);
    stream->wants_room |= n < size;
    needs_pump = n > 0 && !stream->is_pump_queued;
    stream->is_pump_queued |= needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump && !flow_push_here(stream))
        pump_later(stream);
    return n;
}

void peer_stream_finish(struct peer_stream *stream)
{
    hub_lock(stream->hub);
    stream->wants_end = true;
    bool needs_pump = !stream->is_pump_queued;
    stream->is_pump_queued = true;
    hub_unlock(stream->hub);
    if (needs_pump)
        pump_later(stream);
}

size_t peer_stream_read(struct peer_stream *stream, void *to, size_t size, bool *ret_end)
{
    bool needs_pump;
    size_t n;

    hub_lock(stream->hub);
    n = stream->is_socket ? 0 : ring_get(&stream->in, to, size);
    stream->n_read += n;
    *ret_end = n == 0 && !stream->is_socket && stream->has_ended && stream->in.len == 0;
    needs_pump =
        stream->is_starved && !stream->is_pump_queued && ring_left(&stream->in) >= STREAM_RING / 2;
    stream->is_pump_queued |= needs_pump;
    stream->is_starved &= !needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump)
        pump_later(stream);
    return n;
}

void peer_stream_reset(struct peer_stream *stream, uint64_t code)
{
    struct errand *errand = errand_new(stream->link->peer, stream->link, stream);

    hub_lock(stream->hub);
    stream->is_over = true;
    hub_unlock(stream->hub);
    errand->code = code;
    errand_send(errand, errand_reset);
}

void peer_stream_set_user(struct peer_stream *stream, void *user)
{
    stream->user = user;
}

void *peer_stream_user(const struct peer_stream *stream)
{
    return stream->user;
}
