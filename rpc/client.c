/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/client_state.h"

enum { EPOCH_SHIFT = RPC_CLIENT_EPOCH_SHIFT };
enum { FRAME_HEAD = 4, MAX_KEPT = 4096 };
#define UNSENT ((uint64_t)1 << (EPOCH_SHIFT - 1))

/* ---- what leaves ----------------------------------------------------------------------------- */

void rpc_client_send_frame(struct rpc_client *c, struct view frame)
{
    buf_put_u32(&c->out, (uint32_t)frame.len);
    buf_put(&c->out, frame);
}

/* Written in its place: its length comes before it, once it is known. */
void rpc_client_send(struct rpc_client *c, const struct rpc_msg *msg)
{
    size_t at = c->out.len, len;
    uint8_t *head;

    buf_put_u32(&c->out, 0);
    rpc_msg_write(msg, &c->out);
    len = c->out.len - at - FRAME_HEAD;
    head = c->out.data + at;
    for (size_t i = 0; i < FRAME_HEAD; i++)
        head[i] = (uint8_t)(len >> (8 * (FRAME_HEAD - 1 - i)));
}

/* All of it is out: a busy client keeps the buffer, an idle one holds none of any size. */
static void output_done(struct rpc_client *c)
{
    c->out_from = 0;
    buf_clear(&c->out);
    if (c->out.cap > MAX_KEPT)
        buf_free(&c->out);
}

bool rpc_client_output_view(struct rpc_client *c, struct view *ret_frame)
{
    struct view rest = view_sub(buf_view(&c->out), c->out_from, SIZE_MAX);
    uint32_t len;

    if (!view_take_u32(&rest, &len) || !view_take(&rest, len, ret_frame)) {
        output_done(c);
        return false;
    }
    c->out_from += FRAME_HEAD + len;
    return true;
}

bool rpc_client_output(struct rpc_client *c, struct buf *ret_frame)
{
    struct view frame;

    if (!rpc_client_output_view(c, &frame))
        return false;
    buf_clear(ret_frame);
    buf_put(ret_frame, frame);
    return true;
}

size_t rpc_client_queued(const struct rpc_client *c)
{
    return c->out.len - c->out_from;
}

uint64_t rpc_client_next_request(struct rpc_client *c)
{
    return ++c->last_request;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct rpc_client *c, struct rpc_client_call *call)
{
    map_remove(c->calls, map_u64(&call->number));
    list_remove(&call->node);
    free(call);
}

/* The call is over before its callback comes, which may make or forget others. */
static void call_end(struct rpc_client *c, struct rpc_client_call *call,
                     const struct rpc_outcome *outcome)
{
    rpc_on_outcome *on_outcome = call->on_outcome;
    void *user = call->user;

    call_free(c, call);
    on_outcome(user, outcome);
}

static void call_fail(struct rpc_client *c, struct rpc_client_call *call, const struct err *why)
{
    struct rpc_outcome outcome = { .what = RPC_FAILED, .err = *why };

    call_end(c, call, &outcome);
}

bool rpc_outcome_is_cut(const struct rpc_outcome *outcome)
{
    return outcome->what == RPC_FAILED && !outcome->uri.len && outcome->err.code != ERR_TIMEOUT;
}

static void fail_list(struct rpc_client *c, struct list *calls, const struct err *why)
{
    struct rpc_client_call *call;
    struct list ending; /* callbacks may make new calls: those stay */

    list_init(&ending);
    LIST_EACH(call, calls, node) {
        list_remove(&call->node);
        list_append(&ending, &call->node);
    }
    while (!list_is_empty(&ending)) {
        call = LIST_ITEM(ending.next, struct rpc_client_call, node);
        list_remove(&call->node);
        call_fail(c, call, why);
    }
}

static struct rpc_client_call *find_call(struct rpc_client *c, uint64_t request)
{
    uint64_t number = (c->epoch << EPOCH_SHIFT) + request;

    return map_get(c->calls, map_u64(&number));
}

uint64_t rpc_client_await(struct rpc_client *c, uint64_t now, const struct rpc_client_call *like)
{
    struct rpc_client_call *call = mem_dup(like, sizeof(*like));
    bool is_up = rpc_client_is_up(c);
    uint64_t request = is_up ? rpc_client_next_request(c) : UNSENT + ++c->n_unsent;

    call->number = (c->epoch << EPOCH_SHIFT) + request;
    call->timeout = like->timeout ? like->timeout : 1;
    call->deadline = is_up ? now + call->timeout : 0;
    map_set(c->calls, map_u64(&call->number), call);
    list_init(&call->node);
    list_append(is_up ? &c->waiting : &c->unsent, &call->node);
    c->next_call_deadline = min_u64(c->next_call_deadline, call->deadline);
    return call->number;
}

static uint64_t request_of(const struct rpc_client *c, uint64_t number)
{
    return number - (c->epoch << EPOCH_SHIFT);
}

uint64_t rpc_client_ask(struct rpc_client *c, uint64_t now, const struct rpc_client_ask *ask)
{
    const struct rpc_client_call like = { .timeout = ask->timeout,
                                          .wants_progress = ask->wants_progress,
                                          .on_outcome = ask->on_outcome,
                                          .user = ask->user };
    struct rpc_msg msg = { .type = RPC_CALL };
    uint64_t number = rpc_client_await(c, now, &like);

    if (!rpc_client_is_up(c))
        return number;
    msg.call.request = request_of(c, number);
    msg.call.timeout = ask->timeout ? ask->timeout : 1;
    msg.call.receive_progress = ask->wants_progress;
    msg.call.procedure = view_text(ask->procedure);
    msg.call.payload = ask->payload;
    rpc_client_send(c, &msg);
    return number;
}

uint64_t rpc_client_call(struct rpc_client *c, uint64_t now, const char *procedure,
                         struct view args, uint64_t timeout, bool wants_progress,
                         rpc_on_outcome *on_outcome, void *user)
{
    const struct rpc_client_ask ask = { .procedure = procedure,
                                        .payload = rpc_args(args),
                                        .timeout = timeout,
                                        .wants_progress = wants_progress,
                                        .on_outcome = on_outcome,
                                        .user = user };

    return rpc_client_ask(c, now, &ask);
}

void rpc_client_forget(struct rpc_client *c, uint64_t number)
{
    struct rpc_client_call *call = map_get(c->calls, map_u64(&number));

    if (call)
        call_free(c, call);
}

static bool on_result(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_call *call = find_call(c, msg->result.request);
    struct rpc_outcome outcome = { .what = RPC_RESULTED, .payload = msg->result.payload };

    (void)err;
    if (!call || call->is_publish) /* late, or forgotten */
        return true;
    if (!msg->result.progress) {
        call_end(c, call, &outcome);
    } else if (call->wants_progress) {
        outcome.what = RPC_PROGRESS;
        call->deadline = c->now + call->timeout; /* the time between results is what counts */
        call->on_outcome(call->user, &outcome);
    }
    return true;
}

static bool on_error(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_call *call;
    struct rpc_outcome outcome = { .what = RPC_FAILED };

    (void)err;
    if (msg->error.request_type != RPC_CALL && msg->error.request_type != RPC_PUBLISH) {
        rpc_client_serve_error(c, &msg->error);
        return true;
    }
    call = find_call(c, msg->error.request);
    if (!call || call->is_publish != (msg->error.request_type == RPC_PUBLISH))
        return true;
    rpc_error_read(msg->error.uri, msg->error.payload, &outcome.err);
    outcome.payload = msg->error.payload;
    outcome.uri = msg->error.uri;
    call_end(c, call, &outcome);
    return true;
}

static bool on_published(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_call *call = find_call(c, msg->ids.request);
    struct rpc_outcome outcome = { .what = RPC_RESULTED, .publication = msg->ids.second };

    (void)err;
    if (call && call->is_publish)
        call_end(c, call, &outcome);
    return true;
}

static void cancel(struct rpc_client *c, const struct rpc_client_call *call, const char *mode)
{
    struct rpc_msg msg = { .type = RPC_CANCEL };

    if (!rpc_client_is_up(c) || call->is_publish)
        return;
    msg.cancel.request = request_of(c, call->number);
    msg.cancel.mode = view_text(mode);
    rpc_client_send(c, &msg);
}

void rpc_client_cancel(struct rpc_client *c, uint64_t number, const char *mode)
{
    const struct rpc_client_call *call = map_get(c->calls, map_u64(&number));

    if (call && call->deadline) /* those that were never sent fail by themselves */
        cancel(c, call, mode);
}

static void time_out_calls(struct rpc_client *c)
{
    struct rpc_client_call *call;
    struct list late;
    uint64_t next = NEVER_MS;
    struct err why;

    if (c->now < c->next_call_deadline)
        return;
    list_init(&late);
    LIST_EACH(call, &c->waiting, node) {
        if (call->deadline > c->now) {
            next = min_u64(next, call->deadline);
            continue;
        }
        list_remove(&call->node);
        list_append(&late, &call->node);
        cancel(c, call, "killnowait"); /* nobody waits for it any more */
    }
    c->next_call_deadline = next;
    err_set(&why, ERR_NETWORK_FAILURE, "not connected to the router");
    fail_list(c, &c->unsent, &why);
    err_set(&why, ERR_TIMEOUT, "no answer came in time");
    fail_list(c, &late, &why);
}

/* ---- the session ----------------------------------------------------------------------------- */

/* The session's one end. What waits in `out` still goes. */
static void end(struct rpc_client *c, const struct err *why)
{
    c->state = RPC_CLIENT_OVER;
    c->deadline = NEVER_MS;
    c->why = *why;
    rpc_client_serve_down(c);
    fail_list(c, &c->waiting, why);
    if (c->is_told)
        return;
    c->is_told = true;
    if (c->config.on_down)
        c->config.on_down(c->config.user, why);
}

static void abort_with(struct rpc_client *c, const struct err *why)
{
    struct rpc_msg msg = { .type = RPC_ABORT };
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };

    rpc_error_uri("peer", why->code, &uri);
    rpc_error_put_payload(why, &payload);
    msg.abort.reason = buf_view(&uri);
    msg.abort.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    rpc_client_send(c, &msg);
    end(c, why);
}

static void send_goodbye(struct rpc_client *c, const char *reason)
{
    struct rpc_msg msg = { .type = RPC_GOODBYE };

    msg.goodbye.reason = view_text(reason);
    rpc_client_send(c, &msg);
}

static bool on_abort(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct err why;

    (void)err;
    rpc_error_read(msg->abort.reason, msg->abort.payload, &why);
    c->retry_after = msg->abort.retry_after;
    err_wrap(&why, "the router refused");
    end(c, &why);
    return true;
}

static bool on_goodbye(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct err why;

    (void)err;
    c->retry_after = msg->goodbye.retry_after;
    if (c->state != RPC_CLIENT_LEAVING)
        send_goodbye(c, "wamp.close.goodbye_and_out");
    err_set(&why, ERR_CLOSED,
            c->state == RPC_CLIENT_LEAVING ? "goodbye said" : "the router said goodbye: %.*s",
            VIEW_FMT(msg->goodbye.reason));
    end(c, &why);
    return true;
}

void rpc_client_goodbye(struct rpc_client *c, uint64_t now)
{
    struct err why;

    if (rpc_client_is_up(c)) {
        send_goodbye(c, "wamp.close.normal");
        c->state = RPC_CLIENT_LEAVING;
        c->deadline = now + RPC_CLIENT_LEAVE_MS;
    } else if (c->state == RPC_CLIENT_HAILING || c->state == RPC_CLIENT_PROVING) {
        err_set(&why, ERR_CANCELED, "joining was canceled");
        abort_with(c, &why);
    }
}

/* What may come in which state. Anything else breaks the protocol. */
static rpc_client_act *const acts[RPC_CLIENT_STATES][RPC_YIELD + 1] = {
    [RPC_CLIENT_HAILING] = {
        [RPC_CHALLENGE] = rpc_client_on_challenge,
        [RPC_ABORT] = on_abort,
    },
    [RPC_CLIENT_PROVING] = {
        [RPC_WELCOME] = rpc_client_on_welcome,
        [RPC_ABORT] = on_abort,
    },
    [RPC_CLIENT_UP] = {
        [RPC_ABORT] = on_abort,
        [RPC_GOODBYE] = on_goodbye,
        [RPC_RESULT] = on_result,
        [RPC_ERROR] = on_error,
        [RPC_INVOCATION] = rpc_client_on_invocation,
        [RPC_EVENT] = rpc_client_on_event,
        [RPC_REGISTERED] = rpc_client_on_registered,
        [RPC_SUBSCRIBED] = rpc_client_on_subscribed,
        [RPC_INTERRUPT] = rpc_client_on_interrupt,
        [RPC_UNREGISTERED] = rpc_client_on_revoked,
        [RPC_UNSUBSCRIBED] = rpc_client_on_revoked,
        [RPC_PUBLISHED] = on_published,
    },
    [RPC_CLIENT_LEAVING] = {
        [RPC_GOODBYE] = on_goodbye,
        [RPC_ABORT] = on_abort,
    },
};
static const char *const state_names[RPC_CLIENT_STATES] = {
    "away", "waiting for CHALLENGE", "waiting for WELCOME", "established", "leaving", "over",
};

static bool step(struct rpc_client *c, struct view frame, struct err *err)
{
    struct rpc_msg msg;
    rpc_client_act *act;

    if (!rpc_msg_read(frame, &msg, err))
        return false;
    act = acts[c->state][msg.type];
    if (act)
        return act(c, &msg, err) || err_wrap(err, "%s", rpc_type_name(msg.type));
    return c->state == RPC_CLIENT_LEAVING ||
           err_set(err, ERR_BAD_WIRE, "%s while %s", rpc_type_name(msg.type),
                   state_names[c->state]);
}

void rpc_client_input(struct rpc_client *c, uint64_t now, struct view frame)
{
    struct err err = { 0 };

    c->now = now;
    if (c->state == RPC_CLIENT_AWAY || c->state == RPC_CLIENT_OVER)
        return;
    if (!step(c, frame, &err))
        abort_with(c, &err);
}

void rpc_client_opened_bound(struct rpc_client *c, uint64_t now, const struct rpc_binding *binding)
{
    c->now = now;
    c->epoch++;
    c->last_request = 0;
    c->is_told = false;
    c->retry_after = 0;
    buf_free(&c->out);
    c->out_from = 0;
    c->state = RPC_CLIENT_HAILING;
    c->deadline = now + RPC_CLIENT_PROVE_MS;
    rpc_client_hail(c, binding);
}

void rpc_client_opened(struct rpc_client *c, uint64_t now, const uint8_t exporter[32])
{
    struct rpc_binding binding = { .name = RPC_BINDING_EXPORTER };

    memcpy(binding.data, exporter, sizeof(binding.data));
    rpc_client_opened_bound(c, now, &binding);
}

void rpc_client_closed(struct rpc_client *c, uint64_t now, const struct err *why)
{
    c->now = now;
    if (c->state != RPC_CLIENT_AWAY && c->state != RPC_CLIENT_OVER)
        end(c, why);
    c->state = RPC_CLIENT_AWAY;
    c->deadline = NEVER_MS;
    buf_free(&c->out);
    c->out_from = 0;
}

uint64_t rpc_client_deadline(const struct rpc_client *c)
{
    return min_u64(c->deadline, min_u64(c->next_call_deadline, rpc_client_serve_deadline(c)));
}

static void time_out_state(struct rpc_client *c)
{
    struct err why;

    err_set(&why, ERR_TIMEOUT, "the router did not answer while %s", state_names[c->state]);
    abort_with(c, &why);
}

void rpc_client_tick(struct rpc_client *c, uint64_t now)
{
    c->now = now;
    if (now >= c->deadline) { /* that was the end of all else; what it made due comes next time */
        time_out_state(c);
        return;
    }
    time_out_calls(c);
    rpc_client_serve_tick(c);
}

bool rpc_client_wants_close(const struct rpc_client *c)
{
    return c->state == RPC_CLIENT_OVER;
}

bool rpc_client_is_up(const struct rpc_client *c)
{
    return c->state == RPC_CLIENT_UP;
}

const struct err *rpc_client_why(const struct rpc_client *c)
{
    return &c->why;
}

uint64_t rpc_client_take_retry_after(struct rpc_client *c)
{
    uint64_t asked = c->retry_after;

    c->retry_after = 0;
    return asked;
}

const char *rpc_client_id(const struct rpc_client *c)
{
    return c->id;
}

const char *rpc_client_role(const struct rpc_client *c)
{
    return c->role;
}

uint64_t rpc_client_session(const struct rpc_client *c)
{
    return c->session;
}

struct rpc_client *rpc_client_new(const struct rpc_client_config *config)
{
    struct rpc_client *c = mem_new(struct rpc_client);

    c->config = *config;
    c->agent = mem_text(config->agent);
    c->config.agent = c->agent;
    if (!c->config.wall)
        c->config.wall = clock_wall_ms;
    c->deadline = c->next_call_deadline = NEVER_MS;
    c->calls = map_new();
    c->regs_by_id = map_new();
    c->invs = map_new();
    list_init(&c->waiting);
    list_init(&c->unsent);
    list_init(&c->regs);
    list_init(&c->subs);
    return c;
}

static void free_calls(struct rpc_client *c, struct list *calls)
{
    struct rpc_client_call *call;

    LIST_EACH(call, calls, node)
        call_free(c, call);
}

void rpc_client_free(struct rpc_client *c)
{
    if (!c)
        return;
    free_calls(c, &c->waiting);
    free_calls(c, &c->unsent);
    rpc_client_serve_free(c);
    map_free(c->calls);
    map_free(c->regs_by_id);
    map_free(c->invs);
    buf_free(&c->out);
    free(c->agent);
    free(c);
}
