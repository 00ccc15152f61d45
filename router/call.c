/* SPDX-License-Identifier: Apache-2.0 */
#include "router/call.h"
#include "router/meta.h"
#include "router/router.h"

void call_leave_callee(struct call *call)
{
    struct call_key key = { call->callee->session, call->invocation };

    map_remove(call->callee->realm->dealer->calls, VIEW(&key, sizeof(key)));
    list_remove(&call->of_callee);
}

void call_join_callee(struct call *call, const struct reg *reg)
{
    struct conn *callee = reg->owner;
    struct call_key key;

    call->callee = callee;
    vigil_begin(callee);
    call->registration = reg->proc->id;
    call->tells_which = reg->proc->kind != MATCH_EXACT;
    call->tells_timeout = reg->forwards_timeout;
    call->invocation = ++callee->last_invocation;
    list_append(&callee->serving, &call->of_callee);
    key = (struct call_key){ callee->session, call->invocation };
    map_set(callee->realm->dealer->calls, VIEW(&key, sizeof(key)), call);
}

void call_join_caller(struct call *call, struct conn *caller, uint64_t request)
{
    struct call_key key = { caller->session, request };

    call->caller = caller;
    call->request = request;
    list_append(&caller->asked, &call->of_caller);
    map_set(caller->realm->dealer->asked, VIEW(&key, sizeof(key)), call);
}

static void leave_caller(struct call *call)
{
    struct call_key key;

    if (!call->caller)
        return;
    key = (struct call_key){ call->caller->session, call->request };
    map_remove(call->caller->realm->dealer->asked, VIEW(&key, sizeof(key)));
    list_remove(&call->of_caller);
    call->caller->n_kept -= call->n_kept;
}

void call_free(struct call *call)
{
    call_leave_callee(call);
    leave_caller(call);
    deadline_clear(&call->router->deadlines, &call->deadline);
    charge_release(&call->charge);
    buf_free(&call->frame);
    buf_free(&call->tried);
    free(call);
}

void call_count_end(const struct call *call, struct view error_uri)
{
    struct metrics *metrics = &call->router->metrics;

    if (!call->caller) /* the router's own: it was not counted */
        return;
    metrics_took(&metrics->call_time, call->router->now.fine - call->began_at);
    if (error_uri.len)
        metrics_call_failed(metrics, error_uri);
}

void call_finish(struct call *call, const struct dealer_answer *answer)
{
    dealer_on_answer *on_answer = call->on_answer;
    struct conn *caller = call->caller;
    uint64_t request = call->request;
    void *user = call->user;
    struct rpc_msg msg = { .type = RPC_RESULT,
                           .result = { request, false, answer->payload, answer->ppt } };

    call_count_end(call, answer->is_error ? answer->uri : (struct view){ 0 });
    call_free(call);
    if (on_answer) {
        on_answer(user, answer);
        return;
    }
    if (answer->is_error)
        msg = (struct rpc_msg){ .type = RPC_ERROR,
                                .error = { RPC_CALL, request, answer->uri, answer->payload,
                                           answer->ppt } };
    vigil_answered(caller);
    conn_send(caller, &msg);
}

void call_fail(struct call *call, enum err_code code, const char *cause)
{
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };
    struct err why;

    err_set(&why, code, "%s", cause);
    if (code == ERR_BUSY)
        buf_put_text(&uri, "wamp.error.unavailable");
    else
        rpc_error_uri("network", code, &uri);
    rpc_error_put_payload(&why, &payload);
    call_finish(call, &(struct dealer_answer){ true, buf_view(&uri), { buf_view(&payload), 2 } });
}

void call_fail_over(struct call *call, enum metric_limit limit, const struct err *why)
{
    _buf_ payload = { 0 };

    rpc_error_put_payload(why, &payload);
    call_finish(call, &(struct dealer_answer){
                          true, view_text(metrics_limit_told(limit)), { buf_view(&payload), 2 } });
}

void call_interrupt(const struct call *call, const char *mode, const char *reason)
{
    struct rpc_interrupt message = { call->invocation, view_text(mode), view_text(reason) };

    if (call->callee->features & CONN_CAN_CANCEL)
        conn_send(call->callee, &(struct rpc_msg){ .type = RPC_INTERRUPT, .interrupt = message });
}

static void on_late(struct deadline *deadline)
{
    struct call *call = CONTAINER(deadline, struct call, deadline);

    metrics_limit(&call->router->metrics, LIMIT_CALL_TIME);
    call_interrupt(call, "killnowait", "wamp.error.timeout");
    call_fail(call, ERR_TIMEOUT, "no answer in time");
}

void call_wait(struct call *call)
{
    uint64_t until = call->router->now.mono + call->router->config->call_timeout;

    if (call->timeout)
        until = min_u64(until, call->asked_at + call->timeout);
    deadline_set(&call->router->deadlines, &call->deadline, until);
}

struct call *call_new(struct router *router, const struct reg *reg)
{
    struct call *call = mem_new(struct call);

    call->router = router;
    call->began_at = router->now.fine;
    call->asked_at = router->now.mono;
    call->deadline.on_passed = on_late;
    list_init(&call->of_caller);
    call_join_callee(call, reg);
    return call;
}

void call_invoke(const struct call *call, const struct rpc_call *ask, const char *source)
{
    const struct conn *caller = call->caller;
    bool is_named = caller && call->discloses;
    bool is_told = caller && call->callee->role == ROLE_DEN; /* its audit says from where */
    struct rpc_invocation invocation = {
        .request = call->invocation,
        .registration = call->registration,
        .caller = is_named ? caller->session : 0,
        .receive_progress = call->wants_progress,
        .caller_authid = is_named ? conn_id(caller) : (struct view){ 0 },
        .caller_authrole = view_text(!caller    ? "router"
                                     : is_named ? caller->authrole
                                                : ""),
        .procedure = call->tells_which ? ask->procedure : (struct view){ 0 },
        .source = view_text(is_told ? caller->address : source),
        .payload = ask->payload,
        .progress = call->is_open,
        .timeout = call->tells_timeout ? ask->timeout : 0,
        .ppt = ask->ppt,
    };

    conn_send(call->callee, &(struct rpc_msg){ .type = RPC_INVOCATION, .invocation = invocation });
}
