/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/errand.h"

#include <unistd.h>

enum { MAX_CAPS = 16, MAX_UPLINK = 2 * 1024 * 1024, DRAIN_MS = 5 };

bool errand_check_caps(const char *const *caps, struct err *err)
{
    struct rpc_items items = { 0 };

    for (; caps && caps[items.n]; items.n++) {
        if (items.n == MAX_CAPS)
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d capabilities", MAX_CAPS);
        items.item[items.n] = view_text(caps[items.n]);
    }
    if (!check_caps(&items, err)) {
        err->code = ERR_INVALID_ARGUMENT;
        return err_wrap(err, "capabilities (a-z 0-9 - . _ : are allowed, at most 64)");
    }
    return true;
}

void errand_put_error(const struct err *err, struct peer_error *ret_error)
{
    if (ret_error)
        hub_error(err, ret_error);
}

bool errand_check_path(enum peer_path path, struct err *err)
{
    switch (path) {
    case PEER_PATH_DEFAULT:
    case PEER_PATH_AUTO:
    case PEER_PATH_DIRECT:
    case PEER_PATH_RELAY:
    case PEER_PATH_TURN:
        return true;
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "path: no such policy");
}

struct errand *errand_new(struct peer *peer, struct peer_link *link, struct peer_stream *stream)
{
    struct errand *errand = mem_new(struct errand);

    errand->peer = peer;
    errand->fd = -1;
    list_init(&errand->node);
    errand->link = link ? peer_link_ref(link) : NULL;
    errand->stream = stream ? peer_stream_ref(stream) : NULL;
    return errand;
}

void errand_copy_caps(struct errand *errand, const char *const *caps)
{
    for (size_t i = 0; caps && caps[i] && i + 1 < HUB_CAPS; i++)
        errand->caps[i] = mem_text(caps[i]);
}

static void errand_free(struct errand *errand)
{
    if (errand->n_charged)
        hub_discharge(&errand->peer->hub, errand->n_charged);
    talk_unref(errand->talk);
    peer_stream_unref(errand->stream);
    peer_link_unref(errand->link);
    for (size_t i = 0; i < HUB_CAPS; i++)
        free(errand->caps[i]);
    if (errand->fd >= 0)
        close(errand->fd);
    free(errand->text);
    free(errand->argument);
    buf_free(&errand->data);
    free(errand);
}

/* The connection closes itself when too much waits in it, and what it takes up is charged to nobody. */
static bool is_congested(const struct core *core)
{
    return core->uplink && rpc_uplink_queued(core->uplink) > MAX_UPLINK;
}

static void run_and_free(void *user)
{
    struct errand *errand = user;
    struct core *core = errand->peer->core;

    if (errand->talk && !core->is_closing &&
        (is_congested(core) || !list_is_empty(&core->backlog))) { /* in order */
        list_append(&core->backlog, &errand->node);
        loop_timer_in(core->backlog_timer, DRAIN_MS);
        return;
    }
    if (!core->is_closing)
        errand->run(errand);
    errand_free(errand);
}

void errand_drain(void *user)
{
    struct core *core = user;
    struct errand *errand;

    core_flush(core);
    while (!list_is_empty(&core->backlog) && !is_congested(core)) {
        errand = LIST_ITEM(core->backlog.next, struct errand, node);
        list_remove(&errand->node);
        errand->run(errand);
        errand_free(errand);
    }
    if (!list_is_empty(&core->backlog))
        loop_timer_in(core->backlog_timer, DRAIN_MS);
}

void errand_drop_backlog(struct core *core)
{
    struct errand *errand;

    LIST_EACH(errand, &core->backlog, node) {
        list_remove(&errand->node);
        errand_free(errand);
    }
}

void errand_send(struct errand *errand_taken, void (*run)(struct errand *errand))
{
    if (errand_taken->peer->hub.is_forked) { /* nobody would run it */
        errand_free(errand_taken);
        return;
    }
    errand_taken->run = run;
    loop_invoke(errand_taken->peer->loop, run_and_free, errand_taken);
}

bool errand_send_up(struct peer_link *link, void (*run)(struct errand *errand),
                    struct peer_error *ret_error)
{
    struct err err = { 0 };
    bool is_up;

    hub_lock(link->hub);
    is_up = link->is_up;
    hub_unlock(link->hub);
    if (hub_is_ours(link->hub, &err) && !is_up)
        err_set(&err, ERR_CLOSED, "the link is not up");
    if (err.code != ERR_NONE) {
        errand_put_error(&err, ret_error);
        return false;
    }
    errand_send(errand_new(link->peer, link, NULL), run);
    return true;
}

static const char *const *caps_of(const struct errand *errand)
{
    return (const char *const *)errand->caps;
}

void errand_dial(struct errand *errand)
{
    dial_start(errand->peer->core, errand->link, errand->text, caps_of(errand), errand->policy);
}

void errand_accept(struct errand *errand)
{
    if (errand->link->session)
        listen_answer(errand->link->session, true, errand->has_caps ? caps_of(errand) : NULL,
                      errand->duration_ms, NULL);
}

void errand_decline(struct errand *errand)
{
    if (errand->link->session)
        listen_answer(errand->link->session, false, NULL, 0, errand->text);
}

void errand_close(struct errand *errand)
{
    struct err none = { 0 };

    if (errand->link->session)
        session_close(errand->link->session, LINK_CLOSE_NORMAL, errand->text, &none);
}

void errand_open(struct errand *errand)
{
    flow_open(errand->stream, errand->text, errand->argument);
}

void errand_pump(struct errand *errand)
{
    struct flow *flow = errand->stream->flow;

    hub_lock(&errand->peer->hub);
    errand->stream->is_pump_queued = false;
    hub_unlock(&errand->peer->hub);
    if (!flow)
        return;
    flow_pump(flow);
    session_pump(flow->session);
}

void errand_reset(struct errand *errand)
{
    if (errand->stream->flow)
        flow_reset(errand->stream->flow, errand->code);
}

void errand_plug(struct errand *errand)
{
    struct flow *flow = errand->stream->flow;

    plug_new(errand->stream, errand->fd);
    errand->fd = -1;
    if (flow) {
        flow_pump(flow); /* what has come already */
        session_pump(flow->session);
    }
}

void errand_sas(struct errand *errand)
{
    if (errand->link->session)
        compare_start(errand->link->session);
}

void errand_urge(struct errand *errand)
{
    if (errand->stream->flow)
        link_stream_set_urgency(errand->stream->flow->stream, (unsigned)errand->code);
}

void errand_give_stream(struct errand *errand)
{
    struct session *session = errand->link->session;

    if (!session || session->state != SESSION_UP)
        return;
    link_give_stream(session->link, clock_mono_ns());
    session_pump(session);
}
