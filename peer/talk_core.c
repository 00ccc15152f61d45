/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures and topics, on the library's thread: between errands, the client and the queue of events. */
#include "peer/errand.h"

#include <stdio.h>

/* The thread's reference begins and ends. */
static void adopt(struct core *core, struct talk *talk)
{
    list_append(&core->talks, &talk_ref(talk)->core_node);
}

static void let_go(struct core *core, struct talk *talk)
{
    if (list_is_empty(&talk->core_node))
        return;
    list_remove(&talk->core_node);
    if (talk->kind == TALK_INVOCATION)
        map_remove(core->invocations, map_u64(&talk->number));
    talk_unref(talk);
}

static struct hub_event *event_of(struct talk *talk, enum peer_event_type type)
{
    struct hub_event *event = hub_event_new(type);

    event->talk = talk_ref(talk);
    return event;
}

/* Into the event's own bytes: nothing of the frame is kept. */
static void put_values(struct hub_event *event, struct rpc_payload payload)
{
    struct peer_values *values = &event->message.values;
    struct view args = rpc_payload_args(payload), kwargs = rpc_payload_kwargs(payload);

    buf_put(&event->data, args);
    buf_put(&event->data, kwargs);
    values->args = event->data.data;
    values->args_size = args.len;
    values->kwargs = kwargs.len ? event->data.data + args.len : NULL;
    values->kwargs_size = kwargs.len;
}

/* ---- calls ---- */

/* An application's own error has its URI; what our codes cannot say, its arguments may. */
static void name_error(const struct rpc_outcome *outcome, struct peer_error *ret_error)
{
    hub_error(&outcome->err, ret_error);
    if (outcome->err.code != ERR_INTERNAL || view_eq_text(outcome->uri, "") ||
        rpc_error_is_own(outcome->uri))
        return;
    snprintf(ret_error->name, sizeof(ret_error->name), "application_error");
    snprintf(ret_error->remedy, sizeof(ret_error->remedy),
             "see what the error's URI and arguments say, or ask whoever serves the procedure");
}

/* What failed here, and not at the other side. */
static void name_loss(const struct talk *talk, const struct err *why, struct peer_error *ret_error)
{
    struct err err = *why;

    if (talk->was_sent && why->code != ERR_TIMEOUT)
        err_set(&err, ERR_NETWORK_FAILURE,
                "the connection to the router was lost before an answer came, and whether the "
                "call was carried out is not known: %s",
                why->text);
    hub_error(&err, ret_error);
}

static void put_failure(struct talk *talk, const struct rpc_outcome *outcome)
{
    struct hub_event *event = event_of(talk, PEER_EVENT_RESULT);

    if (outcome->uri.len == 0) {
        name_loss(talk, &outcome->err, &event->event.error);
    } else {
        name_error(outcome, &event->event.error);
        event->uri = view_dup_text(outcome->uri);
        if (hub_has_room_for_result(&talk->peer->hub, outcome->payload.bytes.len))
            put_values(event, outcome->payload);
    }
    hub_put(&talk->peer->hub, event);
}

static void put_result(struct talk *talk, const struct rpc_outcome *outcome)
{
    struct hub *hub = &talk->peer->hub;
    struct hub_event *event;
    struct err err;

    if (outcome->what == RPC_PROGRESS && !hub_has_room(hub, outcome->payload.bytes.len)) {
        talk->n_lost++;
        return;
    }
    event = event_of(talk, PEER_EVENT_RESULT);
    event->message.progress = outcome->what == RPC_PROGRESS;
    event->message.n_lost = talk->n_lost;
    talk->n_lost = 0;
    if (hub_has_room_for_result(hub, outcome->payload.bytes.len)) {
        put_values(event, outcome->payload);
    } else {
        err_set(&err, ERR_LIMIT,
                "the result came, and %zu bytes more than were fetched have no place",
                outcome->payload.bytes.len);
        hub_error(&err, &event->event.error);
    }
    hub_put(hub, event);
}

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    struct talk *talk = user;

    if (outcome->what == RPC_FAILED)
        put_failure(talk, outcome);
    else
        put_result(talk, outcome);
    if (outcome->what != RPC_PROGRESS)
        let_go(talk->peer->core, talk);
}

static struct rpc_payload payload_of(const struct errand *errand)
{
    return (struct rpc_payload){ buf_view(&errand->data), errand->n_values };
}

static const struct rpc_outcome *no_router(struct rpc_outcome *to)
{
    *to = (struct rpc_outcome){ .what = RPC_FAILED };
    err_set(&to->err, ERR_NETWORK_FAILURE,
            "there is no connection to the router, and none will be made");
    return to;
}

/* The body becomes [body, R, signature]. What was signed is good for a minute or so: it is signed when it leaves. */
static bool sign(struct core *core, struct errand *errand, struct rpc_outcome *ret_failed)
{
    _buf_ args = { 0 };

    *ret_failed = (struct rpc_outcome){ .what = RPC_FAILED };
    if (!rpc_client_is_up(core->client))
        return err_set(&ret_failed->err, ERR_NETWORK_FAILURE,
                       "not connected to the router: nothing was signed or sent");
    if (!identity_put_request(core, errand->talk->uri, buf_view(&errand->data), &args,
                              &ret_failed->err))
        return false;
    buf_free(&errand->data);
    errand->data = args;
    args = (struct buf){ 0 };
    errand->n_values = 1;
    return true;
}

void errand_talk_call(struct errand *errand)
{
    struct core *core = errand->peer->core;
    struct talk *talk = errand->talk;
    struct rpc_outcome none;

    if (!core->client) {
        put_failure(talk, no_router(&none));
        return;
    }
    if (talk->is_signed && !sign(core, errand, &none)) {
        put_failure(talk, &none);
        return;
    }
    const struct rpc_client_ask ask = {
        .procedure = talk->uri,
        .payload = payload_of(errand),
        .timeout = talk->timeout_ms,
        .wants_progress = talk->wants_progress,
        .on_outcome = on_outcome,
        .user = talk,
    };
    adopt(core, talk);
    talk->was_sent = rpc_client_is_up(core->client);
    talk->number = rpc_client_ask(core->client, clock_mono_ms(), &ask);
    core_flush_soon(core);
}

void errand_talk_cancel(struct errand *errand)
{
    struct core *core = errand->peer->core;

    if (!core->client || list_is_empty(&errand->talk->core_node))
        return;
    rpc_client_cancel(core->client, errand->talk->number, errand->text);
    core_flush_soon(core);
}

/* ---- registrations and invocations ---- */

/* Said once, though it is tried again and again. */
static void on_standing(void *user, const struct err *why)
{
    static const struct err stands;
    struct talk *talk = user;
    struct hub *hub = &talk->peer->hub;

    hub_lock(hub);
    bool is_news =
        !why || why->code != talk->standing.code || strcmp(why->text, talk->standing.text) != 0;
    hub_unlock(hub);
    if (is_news)
        hub_put_standing(hub, talk, why ? why : &stands);
}

static struct talk *invocation_new(struct talk *serving, const struct rpc_inv *inv)
{
    struct core *core = serving->peer->core;
    struct talk *talk = talk_new(TALK_INVOCATION, serving->peer);

    talk->number = inv->number;
    talk->user = serving->user;
    talk->wants_progress = inv->invocation->receive_progress;
    adopt(core, talk);
    map_set(core->invocations, map_u64(&talk->number), talk);
    talk_unref(talk);
    return talk;
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    const struct rpc_invocation *in = inv->invocation;
    struct talk *serving = user;
    struct core *core = serving->peer->core;
    struct hub_event *event;
    struct err err;

    if (map_count(core->invocations) >= TALK_MAX_INVOCATIONS ||
        !hub_has_room(core->hub, in->payload.bytes.len)) {
        err_set(&err, ERR_BUSY, "too many calls wait for an answer here");
        rpc_client_refuse(core->client, inv->number, "peer", &err);
        return;
    }
    event = event_of(invocation_new(serving, inv), PEER_EVENT_INVOCATION);
    event->serving = talk_ref(serving);
    event->message.progress = in->receive_progress;
    event->message.remote_session = in->caller;
    event->uri = in->procedure.len ? view_dup_text(in->procedure) : mem_text(serving->uri);
    event->id = view_dup_text(in->caller_authid);
    event->role = view_dup_text(in->caller_authrole);
    put_values(event, in->payload);
    hub_put(core->hub, event);
}

static void interrupt(struct core *core, struct talk *invocation, const struct err *why)
{
    struct hub_event *event = event_of(invocation, PEER_EVENT_INTERRUPTED);

    hub_error(why, &event->event.error);
    let_go(core, invocation);
    hub_put(core->hub, event);
}

void talk_on_interrupt(void *user, uint64_t inv)
{
    struct core *core = user;
    struct talk *talk = map_get(core->invocations, map_u64(&inv));
    struct err why;

    if (!talk)
        return;
    err_set(&why, ERR_CANCELED, "its caller does not wait for the answer any more");
    interrupt(core, talk, &why);
}

void talk_on_down(struct core *core, const struct err *why)
{
    struct err lost;
    struct talk *talk;

    err_set(&lost, ERR_NETWORK_FAILURE, "the connection to the router was lost: %s", why->text);
    LIST_EACH(talk, &core->talks, core_node) {
        if (talk->kind == TALK_INVOCATION)
            interrupt(core, talk, &lost);
    }
}

static bool is_unanswered(struct errand *errand)
{
    return errand->peer->core->client && !list_is_empty(&errand->talk->core_node);
}

void errand_talk_answer(struct errand *errand)
{
    struct core *core = errand->peer->core;

    if (!is_unanswered(errand))
        return;
    rpc_client_answer(core->client, errand->talk->number, false, payload_of(errand));
    let_go(core, errand->talk);
    core_flush_soon(core);
}

void errand_talk_part(struct errand *errand)
{
    struct core *core = errand->peer->core;

    if (!is_unanswered(errand))
        return;
    rpc_client_answer(core->client, errand->talk->number, true, payload_of(errand));
    core_flush_soon(core);
}

void errand_talk_refuse(struct errand *errand)
{
    struct core *core = errand->peer->core;

    if (!is_unanswered(errand))
        return;
    rpc_client_raise(core->client, errand->talk->number, errand->text, payload_of(errand));
    let_go(core, errand->talk);
    core_flush_soon(core);
}

/* ---- topics ---- */

static void on_event(void *user, const struct rpc_event *published)
{
    struct talk *talk = user;
    struct hub *hub = &talk->peer->hub;
    struct hub_event *event;

    if (!hub_has_room(hub, published->payload.bytes.len)) {
        talk->n_lost++;
        return;
    }
    event = event_of(talk, PEER_EVENT_MESSAGE);
    event->message.n_lost = talk->n_lost;
    talk->n_lost = 0;
    event->message.retained = published->retained;
    event->message.remote_session = published->publisher;
    event->uri = published->topic.len ? view_dup_text(published->topic) : mem_text(talk->uri);
    event->id = view_dup_text(published->publisher_authid);
    event->role = view_dup_text(published->publisher_authrole);
    put_values(event, published->payload);
    hub_put(hub, event);
}

void errand_talk_begin(struct errand *errand)
{
    struct core *core = errand->peer->core;
    struct talk *talk = errand->talk;
    bool is_registration = talk->kind == TALK_REGISTRATION;
    const struct rpc_reg_options options = {
        .uri = talk->uri,
        .match = talk->match,
        .invoke = talk->invoke,
        .get_retained = talk->get_retained,
        .on_inv = is_registration ? on_inv : NULL,
        .on_event = is_registration ? NULL : on_event,
        .on_state = on_standing,
        .user = talk,
    };
    struct rpc_outcome none;

    if (!core->client) {
        on_standing(talk, &no_router(&none)->err);
        return;
    }
    adopt(core, talk);
    talk->reg = rpc_client_take_up(core->client, &options);
    core_flush_soon(core);
}

void errand_talk_end(struct errand *errand)
{
    struct core *core = errand->peer->core;

    if (core->client && errand->talk->reg)
        rpc_client_give_up(core->client, errand->talk->reg);
    errand->talk->reg = NULL;
    let_go(core, errand->talk);
    core_flush_soon(core);
}

static void put_published(struct talk *talk, const struct rpc_outcome *outcome)
{
    struct hub_event *event = event_of(talk, PEER_EVENT_PUBLISHED);

    event->event.publication = outcome->publication;
    if (outcome->what == RPC_FAILED && outcome->uri.len)
        name_error(outcome, &event->event.error);
    else if (outcome->what == RPC_FAILED)
        hub_error(&outcome->err, &event->event.error);
    hub_put(&talk->peer->hub, event);
}

static void on_published(void *user, const struct rpc_outcome *outcome)
{
    struct talk *talk = user;

    put_published(talk, outcome);
    let_go(talk->peer->core, talk);
}

void errand_talk_publish(struct errand *errand)
{
    struct core *core = errand->peer->core;
    struct talk *talk = errand->talk;
    struct rpc_publish_options options = {
        .retain = talk->retain,
        .include_me = talk->include_me,
        .eligible_authid = (const char *const *)talk->eligible,
        .on_published = talk->acknowledge ? on_published : NULL,
        .user = talk,
    };
    struct rpc_outcome none;

    while (talk->eligible && talk->eligible[options.n_eligible])
        options.n_eligible++;
    if (talk->acknowledge)
        adopt(core, talk);
    if (core->client) {
        rpc_client_tell(core->client, clock_mono_ms(), talk->uri, &options, payload_of(errand));
        core_flush_soon(core);
    } else if (talk->acknowledge) {
        on_published(talk, no_router(&none));
    }
}

/* ---- the end ---- */

void talk_end_all(struct core *core)
{
    struct rpc_outcome none;
    struct talk *talk;

    no_router(&none);
    talk_on_down(core, &none.err);
    LIST_EACH(talk, &core->talks, core_node) {
        rpc_client_forget(core->client, talk->number); /* of a call; else harmless */
        talk->reg = NULL;
        if (talk->kind == TALK_CALL)
            put_failure(talk, &none);
        else if (talk->kind == TALK_PUBLICATION)
            put_published(talk, &none);
        else
            on_standing(talk, &none.err);
        let_go(core, talk);
    }
}
