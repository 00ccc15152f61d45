/* SPDX-License-Identifier: Apache-2.0 */
/* A stream as a descriptor: the application has one end of a pair of sockets, the library's thread the other one, and moves bytes
 * between it and the stream's rings. */
#include "peer/errand.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct plug {
    struct list node;
    struct peer_stream *handle; /* held */
    int fd;
    struct loop_watch *watch;
    bool in_ended;  /* the application sends no more */
    bool out_ended; /* it was told that no more comes */
    bool is_gone;   /* it closed its end */
    bool is_turning, turns_again;
};

static void plug_free(struct plug *plug)
{
    list_remove(&plug->node);
    loop_watch_free(plug->watch);
    close(plug->fd);
    plug->handle->plug = NULL;
    peer_stream_unref(plug->handle);
    free(plug);
}

void plug_free_all(struct core *core)
{
    struct plug *plug;

    LIST_EACH(plug, &core->plugs, node)
        plug_free(plug);
}

/* What the application wrote, into `out`. True when something came. */
static bool take(struct plug *plug)
{
    struct peer_stream *handle = plug->handle;
    size_t room;
    ssize_t n;

    hub_lock(handle->hub);
    uint8_t *to = ring_room(&handle->out, &room);
    hub_unlock(handle->hub);
    if (room == 0)
        return false;
    n = recv(plug->fd, to, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    plug->in_ended = n <= 0;
    hub_lock(handle->hub);
    ring_filled(&handle->out, n > 0 ? (size_t)n : 0);
    handle->n_written += n > 0 ? (size_t)n : 0;
    handle->wants_end |= plug->in_ended;
    hub_unlock(handle->hub);
    return true;
}

/* What came, from `in` to the application. */
static bool give(struct plug *plug)
{
    struct peer_stream *handle = plug->handle;
    struct view front;
    ssize_t n;

    hub_lock(handle->hub);
    front = ring_front(&handle->in);
    hub_unlock(handle->hub);
    if (front.len == 0)
        return false;
    n = send(plug->fd, front.data, front.len, MSG_NOSIGNAL);
    if (n < 0) {
        plug->is_gone = errno != EAGAIN && errno != EINTR;
        return false;
    }
    hub_lock(handle->hub);
    ring_drop(&handle->in, (size_t)n);
    handle->n_read += (size_t)n;
    hub_unlock(handle->hub);
    return true;
}

static void look(struct plug *plug, bool *ret_has_room, bool *ret_has_bytes, bool *ret_is_end)
{
    struct peer_stream *handle = plug->handle;

    hub_lock(handle->hub);
    *ret_has_room = ring_left(&handle->out) > 0;
    *ret_has_bytes = handle->in.len > 0;
    *ret_is_end = handle->has_ended;
    hub_unlock(handle->hub);
}

/* It ended its direction; whether it closed the descriptor as well. */
static bool has_left(const struct plug *plug)
{
    struct pollfd fd = { plug->fd, 0, 0 };

    return plug->in_ended && !plug->out_ended && poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP);
}

/* One round between the socket and the rings, and between these and the link. */
static void move(struct plug *plug)
{
    struct peer_stream *handle = plug->handle;
    bool moves = true;

    while (moves && !plug->is_gone) {
        moves = handle->flow && !plug->in_ended && take(plug);
        moves = give(plug) || moves;
        if (handle->flow && moves)
            flow_pump(handle->flow);
    }
}

/* Its end closed with bytes of ours unread, or to be read: the other side need not send more. */
static void leave(struct plug *plug)
{
    struct flow *flow = plug->handle->flow;

    plug->handle->plug = NULL; /* flow_reset() comes back to it otherwise */
    if (flow)
        flow_reset(flow, 0);
    plug_free(plug);
}

static void settle(struct plug *plug)
{
    bool has_room, has_bytes, is_end;

    look(plug, &has_room, &has_bytes, &is_end);
    if (is_end && !has_bytes && !plug->out_ended) {
        plug->out_ended = true;
        shutdown(plug->fd, SHUT_WR);
    }
    if (plug->is_gone)
        leave(plug);
    else if (!plug->handle->flow && !has_bytes)
        plug_free(plug);
    else
        loop_watch_set(plug->watch,
                       (plug->handle->flow && !plug->in_ended && has_room ? LOOP_READ : 0) |
                           (has_bytes ? LOOP_WRITE : 0) |
                           (plug->in_ended && !plug->out_ended ? LOOP_GONE : 0));
}

/* flow_pump() comes back here: then there is one more round, and no second one inside the first. */
void plug_turn(struct plug *plug)
{
    if (!plug)
        return;
    plug->turns_again = true;
    if (plug->is_turning)
        return;
    plug->is_turning = true;
    while (plug->turns_again && !plug->is_gone) {
        plug->turns_again = false;
        move(plug);
    }
    plug->is_turning = false;
    settle(plug);
}

static void on_ready(void *user)
{
    struct plug *plug = user;
    struct peer_stream *handle = peer_stream_ref(plug->handle);

    plug->is_gone |= has_left(plug);
    plug_turn(plug);
    if (handle->flow)
        session_pump(handle->flow->session);
    peer_stream_unref(handle);
}

void plug_new(struct peer_stream *handle, int fd_taken)
{
    struct core *core = handle->link->peer->core;
    struct plug *plug = mem_new(struct plug);

    plug->handle = peer_stream_ref(handle);
    plug->fd = fd_taken;
    plug->watch = loop_watch_new(core->loop, fd_taken, on_ready, plug);
    handle->plug = plug;
    list_append(&core->plugs, &plug->node);
    plug_turn(plug);
}
