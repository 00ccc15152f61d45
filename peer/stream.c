/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: the library thread moves bytes between the link's streams and the rings that the application reads and writes. A ring that
 * is full stops the side that fills it: the link's credit, or the application's write. */
#include "peer/errand.h"

enum { MOST_HERE = 8192 }; /* bytes: with more, two threads at work are quicker than one */

static struct flow *flow_new(struct session *session, struct link_stream *stream,
                             struct peer_stream *handle)
{
    struct flow *flow = mem_new(struct flow);

    flow->session = session;
    flow->stream = stream;
    flow->handle = peer_stream_ref(handle);
    handle->flow = flow;
    link_stream_set_user(stream, flow);
    list_append(&session->flows, &flow->node);
    return flow;
}

static void mark_over(struct peer_stream *handle)
{
    hub_lock(handle->hub);
    handle->is_over = handle->has_ended = true;
    hub_unlock(handle->hub);
}

static void flow_free(struct flow *flow)
{
    list_remove(&flow->node);
    mark_over(flow->handle);
    flow->handle->flow = NULL;
    plug_turn(flow->handle->plug);
    peer_stream_unref(flow->handle);
    free(flow);
}

/* The link is over: what had arrived stays readable until the application has heard of it. */
void flow_free_all(struct session *session)
{
    struct flow *flow;

    LIST_EACH(flow, &session->flows, node) {
        if (session->link && session->state == SESSION_UP)
            flow_pump(flow);
        flow_free(flow);
    }
}

static struct hub_event *stream_event(enum peer_event_type type, struct peer_stream *handle)
{
    struct hub_event *event = hub_event_new(type);

    event->event.link = peer_link_ref(handle->link);
    event->event.stream = peer_stream_ref(handle);
    return event;
}

static void tell_closed(struct peer_stream *handle, const struct err *why)
{
    struct hub_event *event = stream_event(PEER_EVENT_STREAM_CLOSED, handle);

    hub_error(why, &event->event.error);
    hub_put(handle->hub, event);
}

/* One piece from the link into `in`. False when nothing came, or nothing fits. */
static bool pull_piece(struct flow *flow)
{
    struct peer_stream *handle = flow->handle;
    bool is_end = false;
    size_t room, n;

    hub_lock(handle->hub);
    uint8_t *to = ring_room(&handle->in, &room);
    bool is_done = handle->has_ended || room == 0;
    hub_unlock(handle->hub);
    if (is_done)
        return false;
    n = link_stream_read(flow->stream, clock_mono_ns(), to, room, &is_end);
    hub_lock(handle->hub);
    ring_filled(&handle->in, n);
    handle->has_ended = is_end;
    hub_unlock(handle->hub);
    return n > 0 || is_end;
}

/* From the link into `in`, until that is full or nothing is left. */
static void pull(struct flow *flow)
{
    struct peer_stream *handle = flow->handle;
    bool got_any = false, tells;

    while (pull_piece(flow))
        got_any = true;
    hub_lock(handle->hub);
    handle->is_starved = !handle->has_ended && ring_left(&handle->in) == 0;
    tells = got_any && !handle->is_readable_queued && !handle->is_socket;
    handle->is_readable_queued |= tells;
    hub_unlock(handle->hub);
    if (tells)
        hub_put(handle->hub, stream_event(PEER_EVENT_READABLE, handle));
}

/* One piece from `out` into the link. */
static bool push_piece(struct flow *flow)
{
    struct peer_stream *handle = flow->handle;
    struct view front;
    bool ends;
    size_t n;

    hub_lock(handle->hub);
    front = ring_front(&handle->out);
    ends = handle->wants_end && front.len == handle->out.len && !flow->end_told;
    hub_unlock(handle->hub);
    if (front.len == 0 && !ends)
        return false;
    n = link_stream_write(flow->stream, clock_mono_ns(), front, ends);
    flow->end_told = ends && n == front.len;
    hub_lock(handle->hub);
    ring_drop(&handle->out, n);
    hub_unlock(handle->hub);
    return n > 0;
}

/* From `out` into the link, until that takes no more. */
static void push(struct flow *flow)
{
    struct peer_stream *handle = flow->handle;
    bool tells;

    while (!flow->end_told && push_piece(flow))
        ;
    hub_lock(handle->hub);
    tells = handle->wants_room && !handle->is_writable_queued && handle->out.len <= handle->low;
    handle->is_writable_queued |= tells;
    handle->wants_room &= !tells;
    hub_unlock(handle->hub);
    if (tells)
        hub_put(handle->hub, stream_event(PEER_EVENT_WRITABLE, handle));
}

void flow_pump(struct flow *flow)
{
    pull(flow);
    push(flow);
    plug_turn(flow->handle->plug);
}

static void push_here(struct flow *flow)
{
    struct peer_stream *handle = flow->handle;

    hub_lock(handle->hub);
    handle->is_pump_queued = false; /* what is written from now on is for another round */
    hub_unlock(handle->hub);
    push(flow);
    if (!session_settle(flow->session))
        errand_send(errand_new(handle->link->peer, handle->link, handle), errand_pump);
}

static bool is_little(struct peer_stream *handle)
{
    hub_lock(handle->hub);
    bool is_little = handle->out.len <= MOST_HERE;
    hub_unlock(handle->hub);
    return is_little;
}

bool flow_push_here(struct peer_stream *handle)
{
    struct core *core = handle->link->peer->core;
    bool may;

    if (!is_little(handle) || !loop_try_enter(core->loop))
        return false;
    may = handle->flow && session_takes_here(handle->flow->session);
    if (may)
        push_here(handle->flow);
    loop_leave(core->loop);
    return may;
}

void flow_opened(struct session *session, const struct link_event *event)
{
    struct peer_stream *handle = peer_stream_new(session->handle);
    struct hub_event *told = stream_event(PEER_EVENT_STREAM, handle);
    struct flow *flow = flow_new(session, event->stream, handle);

    handle->is_theirs = true;
    link_stream_keep_credit(event->stream);
    told->capability = view_dup_text(event->cap);
    told->argument = view_dup_text(event->arg);
    hub_put(session->core->hub, told);
    peer_stream_unref(handle); /* the flow has it, and the event */
    pull(flow);
}

void flow_event(struct session *session, const struct link_event *event)
{
    struct flow *flow = link_stream_user(event->stream);
    struct err why = { 0 };

    (void)session;
    if (!flow)
        return;
    if (event->type == LINK_STREAM_READABLE || event->type == LINK_STREAM_CLOSED)
        pull(flow);
    if (event->type == LINK_STREAM_WRITABLE)
        push(flow);
    plug_turn(flow->handle->plug);
    if (event->type == LINK_STREAM_RESET) {
        err_set(&why, event->code == LINK_CLOSE_CAPABILITY ? ERR_CAPABILITY : ERR_CLOSED,
                "the other side reset the stream, code %llu", (unsigned long long)event->code);
        link_stream_set_user(flow->stream, NULL);
        link_stream_reset(flow->stream, clock_mono_ns(), event->code);
    }
    if (event->type == LINK_STREAM_RESET || event->type == LINK_STREAM_CLOSED) {
        tell_closed(flow->handle, &why);
        flow_free(flow);
    }
}

void flow_open(struct peer_stream *handle, const char *cap, const char *arg)
{
    struct session *session = handle->link->session;
    struct link_stream *stream;
    struct err err = { 0 };

    if (!session || session->state != SESSION_UP)
        return; /* LINK_DOWN is under way, and the stream goes with the link */
    if (!link_stream_open(session->link, clock_mono_ns(), view_text(cap), view_text(arg), &stream,
                          &err)) {
        mark_over(handle);
        tell_closed(handle, &err);
        return;
    }
    flow_pump(flow_new(session, stream, handle));
    session_pump(session);
}

void flow_reset(struct flow *flow, uint64_t code)
{
    struct session *session = flow->session;
    struct err none = { 0 };

    link_stream_set_user(flow->stream, NULL);
    link_stream_reset(flow->stream, clock_mono_ns(), code);
    tell_closed(flow->handle, &none);
    flow_free(flow);
    session_pump(session);
}
