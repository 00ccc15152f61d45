/* SPDX-License-Identifier: Apache-2.0 */
#include "router/dealer.h"
#include "router/network.h"
#include "router/router.h"

#include <inttypes.h>

/* A procedure, and who serves it. */
struct reg {
    struct list of_owner;
    uint64_t id;
    struct conn *owner;
    struct buf uri;
    struct charge charge;
};

/* A call that waits for an answer. */
struct call {
    struct list of_caller, of_callee;
    struct router *router;
    struct conn *caller; /* NULL: the router itself */
    struct conn *callee;
    uint64_t request;    /* the caller's number */
    uint64_t invocation; /* ours, for the callee */
    uint64_t patience;   /* ms until the next answer */
    bool wants_progress;
    struct deadline deadline;
    struct charge charge;
    dealer_on_answer *on_answer;
    void *user;
};

struct dealer {
    struct map *by_uri, *by_id; /* struct reg */
    struct map *calls;          /* by callee's session and invocation */
    uint64_t last_registration;
};

struct call_key {
    uint64_t session, invocation;
};

struct dealer *dealer_new(_unused_ struct router *router)
{
    struct dealer *dealer = mem_new(struct dealer);

    dealer->by_uri = map_new();
    dealer->by_id = map_new();
    dealer->calls = map_new();
    return dealer;
}

void dealer_free(struct dealer *dealer)
{
    if (!dealer)
        return;
    map_free(dealer->by_uri);
    map_free(dealer->by_id);
    map_free(dealer->calls);
    free(dealer);
}

size_t dealer_n_registrations(const struct dealer *dealer)
{
    return map_count(dealer->by_id);
}

size_t dealer_n_calls(const struct dealer *dealer)
{
    return map_count(dealer->calls);
}

bool dealer_serves(const struct dealer *dealer, struct view procedure)
{
    return map_get(dealer->by_uri, procedure) != NULL;
}

/* ---- procedures ------------------------------------------------------------------------------ */

static void reg_free(struct reg *reg)
{
    struct dealer *dealer = reg->owner->realm->dealer;

    map_remove(dealer->by_uri, buf_view(&reg->uri));
    map_remove(dealer->by_id, map_u64(&reg->id));
    list_remove(&reg->of_owner);
    charge_release(&reg->charge);
    buf_free(&reg->uri);
    free(reg);
}

static bool check_register(const struct conn *conn, const struct rpc_register *ask, struct err *err)
{
    if (!conn_may(conn, POLICY_REGISTER, ask->uri, err))
        return false;
    if (ask->match.len && !view_eq_text(ask->match, "exact"))
        return err_set(err, ERR_INVALID_ARGUMENT, "match: only \"exact\" is served");
    if (ask->invoke.len && !view_eq_text(ask->invoke, "single"))
        return err_set(err, ERR_INVALID_ARGUMENT, "invoke: only \"single\" is served");
    if (dealer_serves(conn->realm->dealer, ask->uri))
        return err_set(err, ERR_ALREADY_EXISTS, "%.*s is registered already", VIEW_FMT(ask->uri));
    return true;
}

bool dealer_register(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_register *ask = &in->msg->reg;
    struct dealer *dealer = conn->realm->dealer;
    struct charge charge = { 0 };
    struct err why = { 0 };
    struct reg *reg;

    if (check_register(conn, ask, &why) && !quota_take(&conn->quota, QUOTA_REGISTRATIONS, &charge))
        err_set(&why, ERR_LIMIT, "%" PRIu64 " registrations",
                conn->quota.limit[QUOTA_REGISTRATIONS]);
    if (why.code) {
        conn_refuse(conn, RPC_REGISTER, ask->request, &why);
        return true;
    }
    reg = mem_new(struct reg);
    reg->id = ++dealer->last_registration;
    reg->owner = conn;
    reg->uri = buf_dup(ask->uri);
    reg->charge = charge;
    list_append(&conn->registrations, &reg->of_owner);
    map_set(dealer->by_uri, ask->uri, reg);
    map_set(dealer->by_id, map_u64(&reg->id), reg);
    log_event(LOG_INFO, "registered", "id=%s uri=%s", conn->id, log_quote(ask->uri));
    conn_send(conn, &(struct rpc_msg){ .type = RPC_REGISTERED, .ids = { ask->request, reg->id } });
    return true;
}

bool dealer_unregister(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_ids *ask = &in->msg->ids;
    struct reg *reg = map_get(conn->realm->dealer->by_id, map_u64(&ask->second));
    struct err why;

    if (!reg || reg->owner != conn) {
        err_set(&why, ERR_NO_SUCH_REGISTRATION, "%" PRIu64 " is no registration of this session",
                ask->second);
        conn_refuse(conn, RPC_UNREGISTER, ask->request, &why);
        return true;
    }
    log_event(LOG_INFO, "unregistered", "id=%s uri=%s", conn->id, log_quote(buf_view(&reg->uri)));
    reg_free(reg);
    conn_send(conn, &(struct rpc_msg){ .type = RPC_UNREGISTERED, .ids = { ask->request, 0 } });
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_free(struct call *call)
{
    struct call_key key = { call->callee->session, call->invocation };

    map_remove(call->callee->realm->dealer->calls, VIEW(&key, sizeof(key)));
    list_remove(&call->of_caller);
    list_remove(&call->of_callee);
    deadline_clear(&call->router->deadlines, &call->deadline);
    charge_release(&call->charge);
    free(call);
}

/* The last word on a call: it is freed before the answer goes out. */
static void finish(struct call *call, const struct dealer_answer *answer)
{
    dealer_on_answer *on_answer = call->on_answer;
    struct conn *caller = call->caller;
    uint64_t request = call->request;
    void *user = call->user;
    struct rpc_msg msg = { .type = RPC_RESULT, .result = { request, false, answer->payload } };

    call_free(call);
    if (on_answer) {
        on_answer(user, answer);
        return;
    }
    if (answer->is_error)
        msg = (struct rpc_msg){ .type = RPC_ERROR,
                                .error = { RPC_CALL, request, answer->uri, answer->payload } };
    conn_send(caller, &msg);
}

static void fail(struct call *call, enum err_code code, const char *cause)
{
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };
    struct err why;

    err_set(&why, code, "%s", cause);
    rpc_error_uri("network", code, &uri);
    rpc_error_put_payload(&why, &payload);
    finish(call, &(struct dealer_answer){ true, buf_view(&uri), { buf_view(&payload), 2 } });
}

static void on_late(struct deadline *deadline)
{
    fail(CONTAINER(deadline, struct call, deadline), ERR_TIMEOUT, "no answer in time");
}

static struct call *call_new(struct router *router, struct conn *caller, struct conn *callee)
{
    struct call *call = mem_new(struct call);
    struct call_key key;

    call->router = router;
    call->caller = caller;
    call->callee = callee;
    call->invocation = ++callee->last_invocation;
    call->deadline.on_passed = on_late;
    list_init(&call->of_caller);
    if (caller)
        list_append(&caller->asked, &call->of_caller);
    list_append(&callee->serving, &call->of_callee);
    key = (struct call_key){ callee->session, call->invocation };
    map_set(callee->realm->dealer->calls, VIEW(&key, sizeof(key)), call);
    return call;
}

static void wait_for(struct call *call)
{
    deadline_set(&call->router->deadlines, &call->deadline,
                 call->router->now.mono + call->patience);
}

/* Every word of the details is ours: nothing of what the caller wrote gets in here. */
static void invoke(struct call *call, const struct reg *reg, const char *source,
                   struct rpc_payload payload)
{
    const struct conn *caller = call->caller;
    struct rpc_invocation invocation = {
        .request = call->invocation,
        .registration = reg->id,
        .caller = caller ? caller->session : 0,
        .receive_progress = call->wants_progress,
        .caller_authid = caller ? conn_id(caller) : (struct view){ 0 },
        .caller_authrole = view_text(caller ? caller->authrole : "router"),
        .source = view_text(source),
        .payload = payload,
    };

    conn_send(call->callee, &(struct rpc_msg){ .type = RPC_INVOCATION, .invocation = invocation });
}

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

static bool say_nobody(const struct conn *conn, struct view procedure, struct err *err)
{
    if (!realm_is_standard(conn->realm) && rpc_uri_is_below(VIEW_LIT("den"), procedure) &&
        !names_find(conn->router->names, VIEW_LIT("den")))
        return err_set(err, ERR_DEN_AWAY, "%.*s: den is not connected", VIEW_FMT(procedure));
    return err_set(err, ERR_NO_SUCH_PROCEDURE, "nobody serves %.*s", VIEW_FMT(procedure));
}

static bool check_call(struct conn *conn, const struct reg *reg, struct view procedure,
                       struct charge *ret_charge, struct err *err)
{
    if (!reg)
        return say_nobody(conn, procedure, err);
    if (conn_is_slow(reg->owner))
        return err_set(err, ERR_BUSY, "%.*s: its server does not keep up", VIEW_FMT(procedure));
    if (!quota_take(&conn->quota, QUOTA_CALLS, ret_charge))
        return err_set(err, ERR_LIMIT, "%" PRIu64 " calls wait for an answer",
                       conn->quota.limit[QUOTA_CALLS]);
    return true;
}

static void start(struct conn *conn, const struct rpc_call *ask, const struct reg *reg,
                  struct charge charge)
{
    struct router *router = conn->router;
    struct call *call = call_new(router, conn, reg->owner);

    call->request = ask->request;
    call->charge = charge;
    call->wants_progress = ask->receive_progress;
    call->patience = router->config->call_timeout;
    if (ask->timeout)
        call->patience = min_u64(call->patience, ask->timeout);
    wait_for(call);
    invoke(call, reg, conn->role == ROLE_GUEST ? conn->address : "", ask->payload);
}

bool dealer_call(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_call *ask = &in->msg->call;
    struct charge charge = { 0 };
    struct err why = { 0 };
    struct reg *reg;

    if (!conn_may(conn, POLICY_CALL, ask->procedure, &why)) {
        conn_refuse(conn, RPC_CALL, ask->request, &why);
        return true;
    }
    if (network_is_ours(conn, ask->procedure)) {
        serve_here(conn, ask);
        return true;
    }
    reg = map_get(conn->realm->dealer->by_uri, ask->procedure);
    if (check_call(conn, reg, ask->procedure, &charge, &why))
        start(conn, ask, reg, charge);
    else
        conn_refuse(conn, RPC_CALL, ask->request, &why);
    return true;
}

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

bool dealer_yield(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_result *yield = &in->msg->yield;
    struct call *call = NULL;

    if (!find_answered(conn, yield->request, &call, err))
        return err_wrap(err, "YIELD");
    if (!call)
        return true;
    if (!yield->progress) {
        finish(call, &(struct dealer_answer){ .payload = yield->payload });
        return true;
    }
    wait_for(call);
    if (call->caller && call->wants_progress && !conn_is_slow(call->caller))
        conn_send(call->caller,
                  &(struct rpc_msg){ .type = RPC_RESULT,
                                     .result = { call->request, true, yield->payload } });
    return true;
}

bool dealer_error(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_error *error = &in->msg->error;
    struct call *call = NULL;

    if (error->request_type != RPC_INVOCATION)
        return err_set(err, ERR_BAD_WIRE, "ERROR: request type: not that of an INVOCATION");
    if (!find_answered(conn, error->request, &call, err))
        return err_wrap(err, "ERROR");
    if (call)
        finish(call, &(struct dealer_answer){ true, error->uri, error->payload });
    return true;
}

void dealer_leave(struct conn *conn)
{
    struct reg *reg;
    struct call *call;

    LIST_EACH(reg, &conn->registrations, of_owner)
        reg_free(reg);
    LIST_EACH(call, &conn->asked, of_caller)
        call_free(call);
    LIST_EACH(call, &conn->serving, of_callee) /* who is told ends no other call of this list */
        fail(call, ERR_CANCELED, "its server left");
}

struct call *dealer_ask(struct router *router, const char *procedure, struct rpc_payload payload,
                        const char *source, dealer_on_answer *on_answer, void *user)
{
    const struct reg *reg = map_get(router->home->dealer->by_uri, view_text(procedure));
    struct call *call;

    if (!reg || conn_is_slow(reg->owner))
        return NULL;
    call = call_new(router, NULL, reg->owner);
    call->on_answer = on_answer;
    call->user = user;
    call->patience = router->config->call_timeout;
    wait_for(call);
    invoke(call, reg, source, payload);
    return call;
}

void dealer_forget(struct call *call)
{
    call_free(call);
}
