/* SPDX-License-Identifier: Apache-2.0 */
#include "router/call.h"
#include "router/frailty.h"
#include "router/meta.h"
#include "router/network.h"
#include "router/router.h"

#include <inttypes.h>

struct dealer *dealer_new(const struct realm *realm)
{
    struct dealer *dealer = mem_new(struct dealer);

    dealer->procs = procs_new(realm);
    dealer->calls = map_new();
    dealer->asked = map_new();
    return dealer;
}

void dealer_free(struct dealer *dealer)
{
    if (!dealer)
        return;
    procs_free(dealer->procs);
    map_free(dealer->calls);
    map_free(dealer->asked);
    free(dealer);
}

struct procs *dealer_procs(const struct dealer *dealer)
{
    return dealer->procs;
}

size_t dealer_n_registrations(const struct dealer *dealer)
{
    return procs_n_regs(dealer->procs);
}

size_t dealer_n_calls(const struct dealer *dealer)
{
    return map_count(dealer->calls);
}

bool dealer_serves(const struct dealer *dealer, struct view procedure)
{
    return procs_best(dealer->procs, procedure) != NULL;
}

static const char *source_of(const struct conn *conn)
{
    return conn->role == ROLE_GUEST && !realm_is_standard(conn->realm) ? conn->address : "";
}

/* ---- who takes it ---------------------------------------------------------------------------- */

struct search {
    const struct call *call; /* NULL: a new one */
    bool is_open;
    bool is_packed;
    struct rpc_payload payload;
    bool was_slow, was_unable, was_mute;
    const char *keyword; /* that somebody's library cannot take */
};

static bool would_harm(struct search *search, const struct conn *callee)
{
    if (!(callee->features & CONN_IS_FRAIL))
        return false;
    if (!search->keyword)
        search->keyword = frailty_find(RPC_INVOCATION, search->payload);
    return search->keyword != NULL;
}

static bool was_tried(const struct call *call, uint64_t session)
{
    struct view rest = buf_view(&call->tried);
    uint64_t one;

    while (view_take_u64(&rest, &one)) {
        if (one == session)
            return true;
    }
    return false;
}

static bool can_take(void *user, const struct reg *reg)
{
    struct search *search = user;
    const unsigned needed = (search->is_open ? CONN_CAN_CANCEL | CONN_TAKES_CHUNKS : 0) |
                            (search->is_packed ? CONN_PACKS_RESULTS : 0);

    if (search->call && was_tried(search->call, reg->owner->session))
        return false;
    if ((reg->owner->features & needed) != needed) {
        search->was_unable = true;
        return false;
    }
    if (!vigil_is_well(reg->owner)) {
        search->was_mute = true;
        return false;
    }
    if (conn_is_slow(reg->owner)) {
        search->was_slow = true;
        return false;
    }
    return !would_harm(search, reg->owner);
}

static bool say_nobody(const struct conn *conn, struct view procedure, bool is_mute,
                       struct err *err)
{
    const struct conn *den = names_find(conn->router->names, VIEW_LIT("den"));

    if (is_mute)
        return err_set(err, ERR_DEN_AWAY, DEN_SILENT);
    if (realm_is_standard(conn->realm) || !rpc_uri_is_below(VIEW_LIT("den"), procedure))
        return err_set(err, ERR_NO_SUCH_PROCEDURE, "nobody serves %.*s", VIEW_FMT(procedure));
    if (!den)
        return err_set(err, ERR_DEN_AWAY, "%.*s: den is not connected", VIEW_FMT(procedure));
    if (!den->has_beaten) /* what it serves it says before its first heartbeat */
        return err_set(err, ERR_DEN_AWAY, "%.*s: den is connected and does not serve it yet",
                       VIEW_FMT(procedure));
    return err_set(err, ERR_NO_SUCH_PROCEDURE, "nobody serves %.*s", VIEW_FMT(procedure));
}

/* NULL, and the caller is told. */
static struct reg *find_callee(struct conn *conn, const struct rpc_call *ask)
{
    struct proc *proc = procs_best(conn->realm->dealer->procs, ask->procedure);
    struct search search = { .is_open = ask->progress,
                             .is_packed = !rpc_ppt_is_empty(&ask->ppt),
                             .payload = ask->payload };
    struct reg *reg = proc ? procs_pick(proc, can_take, &search) : NULL;
    struct err why;

    if (reg)
        return reg;
    if (!proc || search.was_mute) {
        say_nobody(conn, ask->procedure, search.was_mute, &why);
    } else if (search.was_slow) {
        metrics_limit(&conn->router->metrics, LIMIT_SLOW_CALLEE);
        err_set(&why, ERR_BUSY, "%.*s: its server does not keep up", VIEW_FMT(ask->procedure));
    } else if (search.keyword) {
        metrics_count(&conn->router->metrics, METRIC_WITHHELD_INVOCATIONS);
        frailty_refuse(search.keyword, "callee", &why);
    } else {
        err_set(&why, ERR_INVALID_ARGUMENT, "%.*s: its server takes no %s",
                VIEW_FMT(ask->procedure),
                search.is_packed ? "packed payloads" : "progressive calls");
        conn_refuse_as(conn, RPC_CALL, ask->request, "wamp.error.feature_not_supported", &why);
        return NULL;
    }
    conn_refuse(conn, RPC_CALL, ask->request, &why);
    return NULL;
}

/* ---- calling --------------------------------------------------------------------------------- */

static void serve_here(struct conn *conn, const struct rpc_call *ask)
{
    struct err why = { 0 };
    _buf_ args = { 0 };

    if (!network_serve(conn, ask, &args, &why)) {
        conn_refuse(conn, RPC_CALL, ask->request, &why);
        return;
    }
    conn_send(conn,
              &(struct rpc_msg){ .type = RPC_RESULT,
                                 .result = { ask->request, false, rpc_args(buf_view(&args)) } });
}

/* Callees that read and never answer would have it all kept here. */
static bool may_keep(const struct conn *caller, size_t n)
{
    return caller->n_kept + n <= caller->router->config->max_queue;
}

static void keep_frame(struct call *call, const struct reg *reg, const struct conn_input *in)
{
    if (in->msg->call.progress) {
        struct rpc_msg head = *in->msg;
        head.call.payload = (struct rpc_payload){ 0 };
        rpc_msg_write(&head, &call->frame);
    } else if (reg->proc->invoke != PROCS_SINGLE && may_keep(call->caller, in->frame.len)) {
        buf_put(&call->frame, in->frame);
        call->n_kept = in->frame.len;
        call->caller->n_kept += call->n_kept;
    }
}

/* What its callee's registration makes of what the caller asks for. */
static void agree(struct call *call, const struct reg *reg, const struct rpc_call *ask)
{
    call->discloses =
        realm_discloses(call->caller->realm, ask->disclose_me || reg->discloses_caller);
    call->timeout = reg->forwards_timeout ? 0 : ask->timeout;
    call_wait(call);
}

static void start(struct conn *conn, const struct conn_input *in, const struct reg *reg,
                  struct charge charge)
{
    const struct rpc_call *ask = &in->msg->call;
    struct call *call = call_new(conn->router, reg);

    call_join_caller(call, conn, ask->request);
    call->charge = charge;
    call->wants_progress = ask->receive_progress;
    call->is_open = call->is_in_parts = ask->progress;
    call->is_packed = !rpc_ppt_is_empty(&ask->ppt);
    keep_frame(call, reg, in);
    agree(call, reg, ask);
    call_invoke(call, ask, source_of(conn));
}

static void call_new_one(struct conn *conn, const struct conn_input *in)
{
    const struct rpc_call *ask = &in->msg->call;
    struct charge charge = { 0 };
    _uninitialized_ struct err why;
    struct reg *reg = find_callee(conn, ask);

    if (!reg)
        return;
    if (!quota_take(&conn->quota, QUOTA_CALLS, &charge)) {
        conn_over(conn, LIMIT_PENDING_CALLS);
        err_set(&why, ERR_LIMIT, "%" PRIu64 " calls wait for an answer",
                conn->quota.limit[QUOTA_CALLS]);
        conn_refuse(conn, RPC_CALL, ask->request, &why);
        return;
    }
    start(conn, in, reg, charge);
}

static struct call *find_asked(const struct conn *conn, uint64_t request)
{
    struct call_key key = { conn->session, request };

    return map_get(conn->realm->dealer->asked, VIEW(&key, sizeof(key)));
}

/* A callee whose library a further part would end is asked no more. */
static bool can_pass(struct call *call, const struct rpc_call *ask)
{
    const char *keyword =
        call->callee->features & CONN_IS_FRAIL ? frailty_find(RPC_INVOCATION, ask->payload) : NULL;
    struct err why;

    if (!keyword)
        return true;
    metrics_count(&call->router->metrics, METRIC_WITHHELD_INVOCATIONS);
    call_interrupt(call, "killnowait", "wamp.error.invalid_argument");
    frailty_refuse(keyword, "callee", &why);
    call_fail(call, why.code, why.text);
    return false;
}

/* More of a call: goes where its beginning went, under the options of its beginning. */
static void pass_chunk(struct call *call, const struct rpc_call *ask)
{
    struct rpc_msg head;
    struct err err;

    if (conn_is_slow(call->callee)) {
        metrics_limit(&call->router->metrics, LIMIT_SLOW_CALLEE);
        call_interrupt(call, "killnowait", "wamp.error.unavailable");
        call_fail(call, ERR_BUSY, "its server does not keep up");
        return;
    }
    if (!can_pass(call, ask))
        return;
    if (!rpc_msg_read(buf_view(&call->frame), &head, &err))
        abort(); /* we wrote it */
    head.call.payload = ask->payload;
    call->is_open = ask->progress;
    call->is_continued = true;
    if (!call->is_killed)
        call_wait(call);
    call_invoke(call, &head.call, source_of(call->caller));
}

/* A part counts as a request; one too many ends its call. */
static bool may_go_on(struct conn *conn, struct call *call)
{
    struct err why;

    if (conn_may_request(conn, &why))
        return true;
    if (conn->state == CONN_CLOSING || !call) /* with the session, its calls are gone */
        return false;
    call_interrupt(call, "killnowait", metrics_limit_told(LIMIT_REQUEST_RATE));
    call_fail_over(call, LIMIT_REQUEST_RATE, &why);
    return false;
}

/* More of a call that came before. What comes after its end was on its way, and is dropped. */
static bool call_more(struct conn *conn, const struct rpc_call *ask, struct err *err)
{
    struct call *call = find_asked(conn, ask->request);

    if (call ? !call->is_open : ask->request > conn->last_open_call)
        return err_set(err, ERR_BAD_WIRE, "CALL: request: %" PRIu64 " after %" PRIu64, ask->request,
                       conn->last_request);
    if (may_go_on(conn, call) && call)
        pass_chunk(call, ask);
    return true;
}

bool dealer_call(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_call *ask = &in->msg->call;
    _uninitialized_ struct err why;

    if (ask->request <= conn->last_request)
        return call_more(conn, ask, err);
    conn->last_request = ask->request;
    metrics_count(&conn->router->metrics, METRIC_CALLS);
    if (!conn_may_request(conn, &why)) {
        conn_refuse(conn, RPC_CALL, ask->request, &why);
        return true;
    }
    if (ask->progress && !(conn->features & CONN_SENDS_CHUNKS))
        return err_set(err, ERR_BAD_WIRE,
                       "CALL: options: progress: progressive_call_invocations was not announced");
    if (!conn_may_pack(conn, CONN_PACKS_CALLS, &ask->ppt, err))
        return err_wrap(err, "CALL: options");
    if (ask->progress)
        conn->last_open_call = ask->request;
    if (conn->router->is_draining && list_is_empty(&conn->serving)) {
        err_set(&why, ERR_BUSY, "the router is stopping");
        conn_refuse(conn, RPC_CALL, ask->request, &why);
    } else if (ask->disclose_me && conn->realm->config->disclosure == REALM_NEVER) {
        err_set(&why, ERR_INVALID_ARGUMENT, "disclose_me: this realm names nobody");
        conn_refuse_as(conn, RPC_CALL, ask->request, "wamp.error.option_disallowed.disclose_me",
                       &why);
    } else if (!conn_may(conn, POLICY_CALL, ask->procedure, &why)) {
        conn_refuse(conn, RPC_CALL, ask->request, &why);
    } else if (rpc_uri_is_below(VIEW_LIT("wamp"), ask->procedure)) {
        meta_serve(conn, ask);
    } else if (network_is_ours(conn, ask->procedure)) {
        serve_here(conn, ask);
    } else {
        call_new_one(conn, in);
    }
    return true;
}

/* skip: the caller is answered, the callee works on for nothing. kill: the callee is told, and has
 * the last word. killnowait: both at once; that is what no mode means. */
bool dealer_cancel(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_cancel *ask = &in->msg->cancel;
    struct call *call = find_asked(conn, ask->request);
    bool can_cancel = call && (call->callee->features & CONN_CAN_CANCEL);

    if (!call) { /* its answer is under way, unless it never was */
        if (ask->request > conn->last_request)
            return err_set(err, ERR_BAD_WIRE, "CANCEL: request: %" PRIu64 " never was",
                           ask->request);
        return true;
    }
    if (can_cancel && view_eq_text(ask->mode, "kill")) {
        if (!call->is_killed)
            call_interrupt(call, "kill", "wamp.error.canceled");
        call->is_killed = true;
        return true;
    }
    if (!view_eq_text(ask->mode, "skip"))
        call_interrupt(call, "killnowait", "wamp.error.canceled");
    call_fail(call, ERR_CANCELED, "its caller canceled it");
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The call that `conn` answers. *ret_call is NULL when it was over before (the caller left, or
 * time passed): then the answer is dropped. A number that we never gave out is a protocol error. */
static bool find_answered(struct conn *conn, uint64_t invocation, struct call **ret_call,
                          struct err *err)
{
    struct call_key key = { conn->session, invocation };

    if (invocation > conn->last_invocation)
        return err_set(err, ERR_BAD_WIRE, "answer to invocation %" PRIu64 ", which never was",
                       invocation);
    *ret_call = map_get(conn->realm->dealer->calls, VIEW(&key, sizeof(key)));
    return true;
}

/* A caller that cannot unpack the answer is told so. */
static bool can_unpack(struct call *call, const struct rpc_ppt *ppt)
{
    _buf_ payload = { 0 };
    struct err why;

    if (rpc_ppt_is_empty(ppt) || !call->caller || (call->caller->features & CONN_PACKS_CALLS))
        return true;
    call_interrupt(call, "killnowait", "wamp.error.feature_not_supported");
    err_set(&why, ERR_INVALID_ARGUMENT,
            "its server packs payloads, and the caller said that it cannot");
    rpc_error_put_payload(&why, &payload);
    call_finish(call, &(struct dealer_answer){ true,
                                               VIEW_LIT("wamp.error.feature_not_supported"),
                                               { buf_view(&payload), 2 } });
    return false;
}

/* A caller whose library the result would end is told so in its place, and it is the last word. */
static bool can_bear(struct call *call, const struct rpc_result *yield)
{
    const struct conn *caller = call->caller;
    const char *keyword;
    struct err why;

    if (!caller || !(caller->features & CONN_IS_FRAIL) ||
        (yield->progress && (!call->wants_progress || call->is_killed)))
        return true;
    keyword = frailty_find_in_result(yield->payload, yield->progress);
    if (!keyword)
        return true;
    metrics_count(&call->router->metrics, METRIC_WITHHELD_RESULTS);
    if (yield->progress)
        call_interrupt(call, "killnowait", "wamp.error.invalid_argument");
    frailty_refuse(keyword, "caller", &why);
    call_fail(call, why.code, why.text);
    return false;
}

/* A callee's error, without its keywords when the caller's library would end at one. */
static struct rpc_payload bearable(const struct call *call, struct rpc_payload payload)
{
    if (!call->caller || !(call->caller->features & CONN_IS_FRAIL) ||
        !frailty_find(RPC_ERROR, payload))
        return payload;
    metrics_count(&call->router->metrics, METRIC_WITHHELD_ERRORS);
    return rpc_args(rpc_payload_args(payload));
}

/* A frail library takes progress apart without looking whether args and kwargs are there. */
static void send_progress(const struct call *call, const struct rpc_result *yield)
{
    struct rpc_result result = { call->request, true, yield->payload, yield->ppt };
    _buf_ whole = { 0 };

    if ((call->caller->features & CONN_IS_FRAIL) && result.payload.n < 2) {
        if (result.payload.n)
            buf_put(&whole, result.payload.bytes);
        else
            rpc_put_array(&whole, 0);
        rpc_put_map(&whole, 0);
        result.payload = (struct rpc_payload){ buf_view(&whole), 2 };
    }
    conn_send(call->caller, &(struct rpc_msg){ .type = RPC_RESULT, .result = result });
}

/* A part that is lost would be lost in silence: a caller that lets too many of them lie is told so instead. */
static void pass_progress(struct call *call, const struct rpc_result *yield)
{
    struct err why;

    if (conn_is_slow(call->caller)) {
        metrics_limit(&call->router->metrics, LIMIT_SLOW_CALLER);
        call_interrupt(call, "killnowait", metrics_limit_told(LIMIT_SLOW_CALLER));
        err_set(&why, ERR_LIMIT, "the results come faster than this session takes them");
        call_fail_over(call, LIMIT_SLOW_CALLER, &why);
        return;
    }
    call->asked_at = call->router->now.mono;
    call_wait(call);
    send_progress(call, yield);
}

bool dealer_yield(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_result *yield = &in->msg->yield;
    struct call *call = NULL;

    if (!find_answered(conn, yield->request, &call, err))
        return err_wrap(err, "YIELD");
    if (!conn_may_pack(conn, CONN_PACKS_RESULTS, &yield->ppt, err))
        return err_wrap(err, "YIELD: options");
    if (!call || !can_unpack(call, &yield->ppt) || !can_bear(call, yield))
        return true;
    if (!yield->progress) {
        call_finish(call, &(struct dealer_answer){ .payload = yield->payload, .ppt = yield->ppt });
        return true;
    }
    call->is_answering = true;
    if (call->caller && call->wants_progress && !call->is_killed)
        pass_progress(call, yield);
    else if (!call->caller)
        call_wait(call);
    return true;
}

/* Another callee of the same procedure, who was not asked yet; *ret_again: the CALL, for it. */
static struct reg *find_another(struct call *call, struct rpc_msg *ret_again)
{
    struct proc *proc = procs_by_id(call->callee->realm->dealer->procs, call->registration);
    struct search search = { .call = call, .is_packed = call->is_packed };
    struct err err;

    buf_put_u64(&call->tried, call->callee->session);
    if (!proc || !call->frame.len || call->is_in_parts || call->is_answering || call->is_killed)
        return NULL;
    if (!rpc_msg_read(buf_view(&call->frame), ret_again, &err))
        abort(); /* it was read before */
    search.payload = ret_again->call.payload;
    return procs_pick(proc, can_take, &search);
}

/* The callee would not take it. */
static void reroute(struct call *call, const struct rpc_error *error)
{
    struct rpc_msg again;
    struct reg *reg = find_another(call, &again);

    if (!reg) {
        call_finish(call, &(struct dealer_answer){ true, VIEW_LIT("wamp.error.no_available_callee"),
                                                   bearable(call, error->payload), error->ppt });
        return;
    }
    call_leave_callee(call);
    call_join_callee(call, reg);
    agree(call, reg, &again.call);
    call_invoke(call, &again.call, source_of(call->caller));
}

bool dealer_error(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_error *error = &in->msg->error;
    struct call *call = NULL;

    if (error->request_type != RPC_INVOCATION)
        return err_set(err, ERR_BAD_WIRE, "ERROR: request type: not that of an INVOCATION");
    if (!find_answered(conn, error->request, &call, err))
        return err_wrap(err, "ERROR");
    if (!conn_may_pack(conn, CONN_PACKS_RESULTS, &error->ppt, err))
        return err_wrap(err, "ERROR: details");
    if (call && !can_unpack(call, &error->ppt))
        return true;
    if (call && call->is_continued && conn->is_answered_for) /* it has the parts before */
        call_interrupt(call, "killnowait", "wamp.error.invalid_argument");
    if (call && call->caller && view_eq_text(error->uri, "wamp.error.unavailable"))
        reroute(call, error);
    else if (call)
        call_finish(call, &(struct dealer_answer){ true, error->uri, bearable(call, error->payload),
                                                   error->ppt });
    return true;
}

bool dealer_is_awaited(const struct conn *conn)
{
    const struct call *call;

    LIST_EACH(call, &conn->serving, of_callee) {
        if (!call->is_answering)
            return true;
    }
    return false;
}

void dealer_abandon(struct conn *conn, bool also_answering, enum err_code code, const char *cause)
{
    struct call *call;

    LIST_EACH(call, &conn->serving, of_callee) {
        if (call->is_answering && !also_answering)
            continue;
        call_interrupt(call, "killnowait", "wamp.error.timeout");
        call_fail(call, code, cause);
    }
}

void dealer_give_up(struct conn *conn, const char *cause)
{
    struct call *call;

    LIST_EACH(call, &conn->asked, of_caller) {
        call_interrupt(call, "killnowait", "wamp.error.canceled");
        call_fail(call, ERR_CANCELED, cause);
    }
}

void dealer_leave(struct conn *conn)
{
    struct call *call;

    procs_leave(conn);
    LIST_EACH(call, &conn->asked, of_caller) {
        if (call->callee != conn)
            call_interrupt(call, "killnowait", "wamp.error.canceled");
        call_count_end(call, VIEW_LIT("wamp.error.canceled"));
        call_free(call);
    }
    LIST_EACH(call, &conn->serving, of_callee) { /* who is told ends no other call of this list */
        if (conn->role == ROLE_DEN)
            call_fail(call, ERR_DEN_AWAY, "den left before it answered");
        else
            call_fail(call, ERR_CANCELED, "its server left");
    }
}

/* ---- the router's own ------------------------------------------------------------------------ */

struct call *dealer_ask(struct router *router, const char *procedure, struct rpc_payload payload,
                        const char *source, dealer_on_answer *on_answer, void *user)
{
    struct rpc_call ask = { .procedure = view_text(procedure), .payload = payload };
    struct proc *proc = procs_best(router->home->dealer->procs, ask.procedure);
    struct search search = { 0 };
    struct reg *reg = proc ? procs_pick(proc, can_take, &search) : NULL;
    struct call *call;

    if (!reg)
        return NULL;
    call = call_new(router, reg);
    call->on_answer = on_answer;
    call->user = user;
    call_wait(call);
    call_invoke(call, &ask, source);
    return call;
}

void dealer_forget(struct call *call)
{
    call_free(call);
}
