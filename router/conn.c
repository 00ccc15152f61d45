/* SPDX-License-Identifier: Apache-2.0 */
#include "router/clone.h"
#include "router/conn.h"
#include "router/denials.h"
#include "router/frailty.h"
#include "router/handshake.h"
#include "router/meta.h"
#include "router/network.h"
#include "router/router.h"
#include "router/testament.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FLOOD = 10, /* times the rate of requests: the end of patience */
    LOG_BURST = 50,
};

typedef bool conn_action(struct conn *conn, const struct conn_input *in, struct err *err);

struct farewell {
    const char *reason, *message;
    uint64_t retry_after; /* ms; 0: not said */
};
static void say_goodbye(struct conn *conn, const struct farewell *farewell);
static conn_action route, answer_goodbye, leave_quietly, give_up, ignore;

/* Every move that a connection can make. A pair without a row is the client's protocol error. */
struct move {
    conn_action *act;
    enum conn_state next;
};
static const struct move moves[CONN_STATES][CONN_EVENTS] = {
    [CONN_GREETING] = {
        [EV_HELLO]        = { handshake_hello, CONN_PROVING },
        [EV_ABORT]        = { leave_quietly, CONN_CLOSING },
        [EV_SILENCE]      = { give_up, CONN_CLOSING },
    },
    [CONN_PROVING] = {
        [EV_AUTHENTICATE] = { handshake_authenticate, CONN_ADMITTING },
        [EV_ADMITTED]     = { handshake_welcome, CONN_ESTABLISHED }, /* nothing to prove */
        [EV_ABORT]        = { leave_quietly, CONN_CLOSING },
        [EV_SILENCE]      = { give_up, CONN_CLOSING },
    },
    [CONN_ADMITTING] = {
        [EV_ADMITTED]     = { handshake_welcome, CONN_ESTABLISHED },
        [EV_ABORT]        = { leave_quietly, CONN_CLOSING },
        [EV_SILENCE]      = { give_up, CONN_CLOSING },
    },
    [CONN_ESTABLISHED] = {
        [EV_REQUEST]      = { route, CONN_ESTABLISHED },
        [EV_GOODBYE]      = { answer_goodbye, CONN_CLOSING },
        [EV_ABORT]        = { leave_quietly, CONN_CLOSING },
    },
    [CONN_CLOSING] = {
        [EV_HELLO]        = { ignore, CONN_CLOSING },
        [EV_AUTHENTICATE] = { ignore, CONN_CLOSING },
        [EV_ADMITTED]     = { ignore, CONN_CLOSING },
        [EV_REQUEST]      = { ignore, CONN_CLOSING },
        [EV_GOODBYE]      = { ignore, CONN_CLOSING },
        [EV_ABORT]        = { ignore, CONN_CLOSING },
        [EV_SILENCE]      = { ignore, CONN_CLOSING },
    },
};

/* What a message is to the table above. `is_numbered`: its request ID has to be higher than the
 * one before. (A CALL may be the next part of one: the dealer looks itself.) */
struct route {
    conn_action *act;
    enum conn_event event;
    bool is_numbered;
    bool is_free; /* an answer: others decide how many there are */
};
static const struct route routes[] = {
    [RPC_HELLO] = { NULL, EV_HELLO, false },
    [RPC_AUTHENTICATE] = { NULL, EV_AUTHENTICATE, false },
    [RPC_ABORT] = { NULL, EV_ABORT, false },
    [RPC_GOODBYE] = { NULL, EV_GOODBYE, false },
    [RPC_CALL] = { dealer_call, EV_REQUEST, false, true }, /* counts itself */
    [RPC_CANCEL] = { dealer_cancel, EV_REQUEST, false },
    [RPC_REGISTER] = { procs_register, EV_REQUEST, true },
    [RPC_UNREGISTER] = { procs_unregister, EV_REQUEST, true },
    [RPC_YIELD] = { dealer_yield, EV_REQUEST, false, true },
    [RPC_ERROR] = { dealer_error, EV_REQUEST, false, true },
    [RPC_PUBLISH] = { broker_publish, EV_REQUEST, true },
    [RPC_SUBSCRIBE] = { broker_subscribe, EV_REQUEST, true },
    [RPC_UNSUBSCRIBE] = { broker_unsubscribe, EV_REQUEST, true },
};

static const struct route *route_of(enum rpc_type type)
{
    const struct route *found = (size_t)type < N_ELEMENTS(routes) ? &routes[type] : NULL;

    return found && (found->act || found->event != EV_HELLO || type == RPC_HELLO) ? found : NULL;
}

const char *conn_state_name(enum conn_state state)
{
    static const char *const names[] = { "greeting", "proving", "admitting", "established",
                                         "closing" };

    return names[state];
}

static void on_silence(struct deadline *deadline)
{
    struct conn *conn = CONTAINER(deadline, struct conn, silence);
    struct err err = { 0 };

    if (!conn_step(conn, EV_SILENCE, NULL, &err))
        conn_abort(conn, &err);
}

struct conn *conn_new(struct router *router, void *wire, const char *address,
                      const uint8_t *exporter)
{
    const struct router_config *config = router->config;
    struct conn *conn = mem_new(struct conn);

    conn->router = router;
    conn->number = ++router->last_conn;
    conn->wire = wire;
    snprintf(conn->address, sizeof(conn->address), "%s", address);
    conn->has_exporter = exporter != NULL;
    if (exporter)
        memcpy(conn->exporter, exporter, sizeof(conn->exporter));
    conn->quota.limit[QUOTA_REGISTRATIONS] = config->max_registrations;
    conn->quota.limit[QUOTA_SUBSCRIPTIONS] = config->max_subscriptions;
    conn->quota.limit[QUOTA_CALLS] = config->max_pending_calls;
    list_init(&conn->waiting);
    list_init(&conn->of_backlog);
    list_init(&conn->registrations);
    list_init(&conn->subscriptions);
    list_init(&conn->asked);
    list_init(&conn->serving);
    list_init(&conn->testaments);
    list_init(&conn->doubters);
    list_append(&router->conns, &conn->of_router);
    conn->silence.on_passed = on_silence;
    deadline_set(&router->deadlines, &conn->silence, router->now.mono + config->handshake_timeout);
    return conn;
}

/* Takes back everything that others see of this session. */
static void release(struct conn *conn)
{
    struct router *router = conn->router;

    deadline_clear(&router->deadlines, &conn->silence);
    vigil_end(conn);
    handshake_free(STEAL(conn->handshake));
    if (!conn->session)
        return;
    backlog_drop(conn);
    broker_leave(conn); /* first: it hears nothing of what follows */
    dealer_leave(conn);
    if (map_remove(conn->realm->by_session, map_u64(&conn->session))) {
        if (conn->role == ROLE_GUEST)
            router->n_guests--;
        network_say_left(conn);
        if (!conn->is_hushed)
            meta_on_leave(conn);
    }
    if (conn->is_hushed)
        testament_drop(conn);
    else
        testament_read_out(conn);
    if (*conn->id && map_get(router->by_id, conn_id(conn)) == conn) {
        map_remove(router->by_id, conn_id(conn));
        names_drop(router->names, VIEW_LIT("den"), conn);
    }
    clone_is_gone(conn);
}

static void log_left_out(struct conn *conn)
{
    if (conn->n_unlogged)
        log_event(LOG_INFO, "left_out", "id=%s address=%s lines=%" PRIu64, conn->id, conn->address,
                  conn->n_unlogged);
    conn->n_unlogged = 0;
}

void conn_free(struct conn *conn)
{
    log_left_out(conn);
    release(conn);
    list_remove(&conn->of_router);
    free(conn);
}

/* The only assignment to `state`. */
static void enter(struct conn *conn, enum conn_state next)
{
    conn->state = next;
}

static bool refuse_event(const struct conn *conn, const struct conn_input *in, struct err *err)
{
    return err_set(err, ERR_BAD_WIRE, "%s while %s",
                   in && in->msg ? rpc_type_name(in->msg->type) : "an event",
                   conn_state_name(conn->state));
}

bool conn_step(struct conn *conn, enum conn_event event, const struct conn_input *in,
               struct err *err)
{
    const struct move *move = &moves[conn->state][event];

    if (!move->act)
        return refuse_event(conn, in, err);
    if (!move->act(conn, in, err))
        return false;
    if (conn->state != CONN_CLOSING) /* the action may have ended it */
        enter(conn, move->next);
    return true;
}

static void check_size(struct conn *conn, struct view frame, struct err *err)
{
    bool is_known = conn->state == CONN_ESTABLISHED && conn->role != ROLE_GUEST;
    const struct router_config *config = conn->router->config;
    uint64_t most = is_known ? config->max_message : config->max_message_before;

    if (frame.len > most)
        err_set(err, ERR_TOO_LARGE, "message: %zu bytes, %" PRIu64 " are allowed", frame.len, most);
    if (err->code)
        metrics_limit(&conn->router->metrics, is_known ? LIMIT_MESSAGE : LIMIT_MESSAGE_BEFORE);
}

static unsigned read_features(struct view roles)
{
    static const struct {
        const char *role, *name;
        unsigned feature;
    } features[] = {
        { "callee", "call_canceling", CONN_CAN_CANCEL },
        { "callee", "call_cancelling", CONN_CAN_CANCEL }, /* the specification has both */
        { "callee", "progressive_call_invocations", CONN_TAKES_CHUNKS },
        { "caller", "progressive_call_invocations", CONN_SENDS_CHUNKS },
        { "callee", "registration_revocation", CONN_HEARS_UNREGISTERED },
        { "subscriber", "subscription_revocation", CONN_HEARS_UNSUBSCRIBED },
        { "caller", "payload_passthru_mode", CONN_PACKS_CALLS },
        { "callee", "payload_passthru_mode", CONN_PACKS_RESULTS },
        { "publisher", "payload_passthru_mode", CONN_PACKS_EVENTS },
        { "subscriber", "payload_passthru_mode", CONN_UNPACKS_EVENTS },
    };
    unsigned found = 0;

    for (size_t i = 0; i < N_ELEMENTS(features); i++) {
        if (rpc_roles_have(roles, features[i].role, features[i].name))
            found |= features[i].feature;
    }
    return found | (frailty_is_in(roles) ? CONN_IS_FRAIL : 0);
}

static bool check_number(struct conn *conn, enum rpc_type type, uint64_t request, struct err *err)
{
    if (request <= conn->last_request)
        return err_set(err, ERR_BAD_WIRE, "%s: request: %" PRIu64 " after %" PRIu64,
                       rpc_type_name(type), request, conn->last_request);
    conn->last_request = request;
    return true;
}

/* WAMP asks for an answer to a request with an unusable URI. In our own realm it is a violation. */
static bool answer_misnamed(struct conn *conn, struct view frame, struct err *err)
{
    struct rpc_msg msg;
    struct err why = *err;

    rpc_msg_read_misnamed(frame, &msg);
    if (conn->state == CONN_GREETING && msg.type == RPC_HELLO)
        return false; /* ABORT says it */
    if (conn->state != CONN_ESTABLISHED || !realm_is_standard(conn->realm) ||
        msg.type == RPC_HELLO) {
        err->code = ERR_BAD_WIRE;
        return false;
    }
    if (!check_number(conn, msg.type, msg.ids.request, err))
        return false;
    if (msg.type == RPC_CALL)
        metrics_count(&conn->router->metrics, METRIC_CALLS);
    if (conn_may_request(conn, err)) /* it counts as any other */
        *err = why;
    if (conn->state != CONN_CLOSING && (msg.type != RPC_PUBLISH || msg.publish.acknowledge))
        conn_refuse(conn, msg.type, msg.ids.request, err);
    return true;
}

static bool read_input(struct conn *conn, struct view frame, struct rpc_msg *msg, struct err *err)
{
    check_size(conn, frame, err);
    return !err->code && rpc_msg_read(frame, msg, err);
}

void conn_input(struct conn *conn, struct view frame)
{
    const struct route *found;
    _uninitialized_ struct err err;
    struct rpc_msg msg;
    struct conn_input in = { &msg, frame };

    conn->router->over = LIMIT_N;
    err.code = 0;
    if (conn->state == CONN_CLOSING)
        return;
    if (!read_input(conn, frame, &msg, &err)) {
        if (err.code != ERR_INVALID_URI || !answer_misnamed(conn, frame, &err))
            conn_abort(conn, &err);
        return;
    }
    metrics_flow(conn->router->metrics.in, msg.type, frame.len);
    if (msg.type == RPC_HELLO)
        conn->features = read_features(msg.hello.roles);
    found = route_of(msg.type);
    if (!found)
        err_set(&err, ERR_BAD_WIRE, "%s is not for a router", rpc_type_name(msg.type));
    if (!found || !conn_step(conn, found->event, &in, &err)) {
        conn_abort(conn, &err);
        return;
    }
    if (handshake_is_decided(conn) && !conn_step(conn, EV_ADMITTED, NULL, &err))
        conn_abort(conn, &err);
}

/* ---- actions --------------------------------------------------------------------------------- */

static bool route(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct route *found = route_of(in->msg->type);
    uint64_t request = in->msg->ids.request; /* all numbered messages start with it */
    struct err why;

    if (found->is_numbered && !check_number(conn, in->msg->type, request, err))
        return false;
    if (found->is_free || conn_may_request(conn, &why))
        return found->act(conn, in, err);
    if (conn->state == CONN_CLOSING)
        return true;
    if (in->msg->type == RPC_CANCEL) /* no answer is foreseen, and it makes less work */
        return found->act(conn, in, err);
    if (in->msg->type != RPC_PUBLISH || in->msg->publish.acknowledge)
        conn_refuse(conn, in->msg->type, request, &why);
    return true;
}

static bool answer_goodbye(struct conn *conn, _unused_ const struct conn_input *in,
                           _unused_ struct err *err)
{
    metrics_count(&conn->router->metrics, METRIC_SESSIONS_LEFT);
    say_goodbye(conn, &(struct farewell){ "wamp.close.goodbye_and_out", "", 0 });
    return true;
}

static void part(struct conn *conn, const char *why)
{
    release(conn);
    enter(conn, CONN_CLOSING);
    conn->router->outside.close(conn->wire, why);
}

static bool leave_quietly(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    struct rpc_abort abort = in->msg->abort;

    log_event(LOG_INFO, "aborted", "address=%s reason=%s message=%s", conn->address,
              log_quote(abort.reason), log_quote(abort.message));
    metrics_count(&conn->router->metrics,
                  conn->state == CONN_ESTABLISHED ? METRIC_SESSIONS_LEFT : METRIC_HANDSHAKES_GONE);
    part(conn, "aborted");
    return true;
}

static bool give_up(struct conn *conn, _unused_ const struct conn_input *in, struct err *err)
{
    if (conn->state != CONN_ADMITTING) /* there it is den who lets it wait */
        conn->fault = SOURCE_SILENCE;
    metrics_limit(&conn->router->metrics, LIMIT_HANDSHAKE_TIME);
    return err_set(err, ERR_TIMEOUT, "no proof in time: still %s", conn_state_name(conn->state));
}

static bool ignore(_unused_ struct conn *conn, _unused_ const struct conn_input *in,
                   _unused_ struct err *err)
{
    return true;
}

/* ---- speaking -------------------------------------------------------------------------------- */

void conn_send(struct conn *conn, const struct rpc_msg *msg)
{
    struct buf *scratch = &conn->router->scratch;

    if (conn->state == CONN_CLOSING)
        return;
    if (conn->waiting_bytes)
        backlog_catch_up(conn);
    buf_clear(scratch);
    rpc_msg_write(msg, scratch);
    metrics_flow(conn->router->metrics.out, msg->type, scratch->len);
    conn->router->outside.send(conn->wire, buf_view(scratch));
}

bool conn_is_slow(const struct conn *conn)
{
    return conn->router->outside.queued(conn->wire) + conn->waiting_bytes >
           conn->router->config->max_queue / 2;
}

void conn_over(struct conn *conn, enum metric_limit limit)
{
    metrics_limit(&conn->router->metrics, limit);
    conn->router->over = limit;
}

static uint64_t max_rate(const struct conn *conn)
{
    const struct router_config *config = conn->router->config;

    return conn->role == ROLE_GUEST ? config->guest_request_rate : config->max_request_rate;
}

/* den serves everybody. Who goes on and on although it is refused is sent away. */
bool conn_may_request(struct conn *conn, struct err *err)
{
    uint64_t now = conn->router->now.mono, most = max_rate(conn);

    if (now - conn->second_at >= SECOND_MS) {
        conn->second_at = now;
        conn->n_second = 0;
    }
    conn->n_second++;
    if (!most || conn->n_second <= most || conn->role == ROLE_DEN)
        return true;
    conn_over(conn, LIMIT_REQUEST_RATE);
    err_set(err, ERR_LIMIT, "more than %" PRIu64 " requests in a second", most);
    if (conn->n_second > FLOOD * most)
        conn_abort(conn, err);
    return false;
}

bool conn_may_log(struct conn *conn)
{
    uint64_t now = conn->router->now.mono;

    if (conn->log_at < now)
        conn->log_at = now;
    if (conn->log_at >= now + LOG_BURST * SECOND_MS) {
        conn->n_unlogged++;
        return false;
    }
    log_left_out(conn);
    conn->log_at += SECOND_MS;
    return true;
}

void conn_charge(struct conn *conn, uint64_t n)
{
    uint64_t most = max_rate(conn);

    if (conn->n_second < most) /* no flood: it asked once */
        conn->n_second += min_u64(n, most - conn->n_second);
}

void conn_hurry(struct conn *conn, uint64_t ms)
{
    uint64_t whole = conn->router->config->handshake_timeout;

    if (conn->silence.place)
        deadline_set(&conn->router->deadlines, &conn->silence,
                     conn->router->now.mono + whole - min_u64(ms, whole));
}

/* Where WAMP has a word of its own for what the request met. */
static const struct {
    enum rpc_type type;
    enum err_code code;
    const char *uri;
} own_words[] = {
    { RPC_CALL, ERR_BUSY, "wamp.error.unavailable" },
};

/* A limit has a URI of its own; its code is the same as that of others. */
static void put_error_uri(const struct router *router, enum rpc_type type, enum err_code code,
                          struct buf *to)
{
    if (code == ERR_LIMIT && router->over != LIMIT_N) {
        buf_put_text(to, metrics_limit_told(router->over));
        return;
    }
    for (size_t i = 0; i < N_ELEMENTS(own_words); i++) {
        if (own_words[i].type == type && own_words[i].code == code) {
            buf_put_text(to, own_words[i].uri);
            return;
        }
    }
    rpc_error_uri("network", code, to);
}

void conn_refuse_as(struct conn *conn, enum rpc_type type, uint64_t request, const char *uri,
                    const struct err *why)
{
    _buf_ payload = { 0 };

    rpc_error_put_payload(why, &payload);
    if (type == RPC_CALL)
        metrics_call_failed(&conn->router->metrics, view_text(uri));
    conn_send(conn, &(struct rpc_msg){
                        .type = RPC_ERROR,
                        .error = { type, request, view_text(uri), { buf_view(&payload), 2 } } });
}

void conn_refuse(struct conn *conn, enum rpc_type type, uint64_t request, const struct err *why)
{
    _buf_ uri = { 0 };

    put_error_uri(conn->router, type, why->code, &uri);
    conn_refuse_as(conn, type, request, buf_cstr(&uri), why);
}

/* What an abort says about where the connection came from. What time or den decided is nobody's fault there: behind one
 * address may be many machines, and one that was removed or revoked must not shut the others out. Who has not proved a key
 * may be trying passwords. */
static enum source_fault fault_of(const struct conn *conn, struct view reason,
                                  struct rpc_payload payload)
{
    struct err what = { 0 };

    rpc_error_read(reason, payload, &what);
    switch ((int)what.code) {
    case ERR_BAD_WIRE:
    case ERR_TOO_LARGE:
    case ERR_INVALID_URI:
        return SOURCE_PROTOCOL;
    case ERR_LIMIT:
        return conn->state == CONN_ESTABLISHED ? SOURCE_PROTOCOL : SOURCE_NO_FAULT;
    case ERR_BAD_SIGNATURE:
    case ERR_BAD_STATEMENT:
    case ERR_BAD_CERTIFICATE:
    case ERR_BAD_TOKEN:
    case ERR_WRONG_KEY:
    case ERR_UNLISTED_KEY:
    case ERR_REPLAYED:
        return SOURCE_AUTHENTICATION;
    case ERR_REVOKED:
    case ERR_NOT_AUTHORIZED:
        return handshake_has_proved_key(conn) ? conn->fault : SOURCE_AUTHENTICATION;
    default:
        return conn->fault;
    }
}

void conn_abort_with(struct conn *conn, struct view reason, struct rpc_payload payload,
                     const char *why)
{
    bool was_known = conn->state == CONN_ESTABLISHED;

    if (conn->state == CONN_CLOSING)
        return;
    conn->fault = fault_of(conn, reason, payload);
    metrics_count(&conn->router->metrics, was_known ? METRIC_SESSIONS_ABORTED
                                          : view_eq_text(reason, "wamp.error.timeout")
                                              ? METRIC_HANDSHAKES_LATE
                                              : METRIC_HANDSHAKES_REFUSED);
    log_event(LOG_WARN, was_known ? "closed" : "refused",
              "id=%s address=%s state=%s reason=%s why=%s", was_known ? conn->id : "-",
              conn->address, conn_state_name(conn->state), log_quote(reason), log_quote_text(why));
    conn_send(conn,
              &(struct rpc_msg){ .type = RPC_ABORT, .abort = { reason, view_text(why), payload } });
    part(conn, "refused");
}

void conn_abort(struct conn *conn, const struct err *why)
{
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };

    if (conn->handshake)
        denials_note_join(conn, why->code);
    put_error_uri(conn->router, RPC_ABORT, why->code, &uri);
    rpc_error_put_payload(why, &payload);
    conn_abort_with(conn, buf_view(&uri), (struct rpc_payload){ buf_view(&payload), 2 }, why->text);
}

static void say_goodbye(struct conn *conn, const struct farewell *farewell)
{
    struct rpc_abort goodbye = { .reason = view_text(farewell->reason),
                                 .message = view_text(farewell->message),
                                 .retry_after = farewell->retry_after };

    if (conn->state == CONN_CLOSING)
        return;
    if (*conn->id)
        log_event(LOG_INFO, "left", "id=%s role=%s address=%s session=%" PRIu64 " reason=%s",
                  conn->id, conn->authrole, conn->address, conn->session, farewell->reason);
    conn_send(conn, &(struct rpc_msg){ .type = RPC_GOODBYE, .goodbye = goodbye });
    part(conn, "goodbye");
}

void conn_goodbye(struct conn *conn, const char *reason, const char *message)
{
    if (conn->state == CONN_ESTABLISHED)
        metrics_count(&conn->router->metrics, METRIC_SESSIONS_DISMISSED);
    say_goodbye(conn, &(struct farewell){ reason, message, 0 });
}

/* A second is what a router needs to start; the rest spreads those who come back. */
static uint64_t draw_retry(void)
{
    return 1000 + random_below(6000);
}

static void refuse_for_now(struct conn *conn, const struct farewell *farewell)
{
    struct rpc_abort abort = { .reason = view_text(farewell->reason),
                               .message = view_text(farewell->message),
                               .retry_after = farewell->retry_after };

    metrics_count(&conn->router->metrics, METRIC_HANDSHAKES_REFUSED);
    conn_send(conn, &(struct rpc_msg){ .type = RPC_ABORT, .abort = abort });
    part(conn, "the router is stopping");
}

void conn_shut_down(struct conn *conn)
{
    const struct farewell farewell = { "wamp.close.system_shutdown", "the router is stopping",
                                       draw_retry() };

    if (conn->state == CONN_ESTABLISHED) {
        metrics_count(&conn->router->metrics, METRIC_SESSIONS_DISMISSED);
        say_goodbye(conn, &farewell);
    } else if (conn->state != CONN_CLOSING) {
        refuse_for_now(conn, &farewell);
    }
}

bool conn_may_pack(const struct conn *conn, unsigned feature, const struct rpc_ppt *ppt,
                   struct err *err)
{
    return rpc_ppt_is_empty(ppt) || (conn->features & feature) ||
           err_set(err, ERR_BAD_WIRE, "ppt_scheme: payload_passthru_mode was not announced");
}

static bool decide(struct conn *conn, enum policy_verb verb, struct view uri, bool is_tree,
                   struct err *err)
{
    struct policy_ask ask = {
        .verb = verb,
        .role = conn->role,
        .id = conn_id(conn),
        .uri = uri,
        .is_standard = realm_is_standard(conn->realm),
        .is_open = realm_is_open(conn->realm, uri),
        .may_meta = realm_may_meta(conn->realm, view_text(conn->authrole)),
        .grants = conn->router->grants,
        .now = router_network_time(conn->router),
        .is_tree = is_tree,
    };
    enum policy_verdict verdict = policy_decide(&ask);

    if (verdict == POLICY_ALLOWED)
        return true;
    policy_refuse(verdict, &ask, err);
    metrics_count(&conn->router->metrics, METRIC_DENIED);
    denials_note(conn, verb, uri, verdict);
    if (conn_may_log(conn))
        log_event(LOG_INFO, verb == POLICY_CALL ? "call_denied" : "denied",
                  "id=%s role=%s uri=%s why=%s", conn->id, conn->authrole, log_quote(uri),
                  log_quote_text(err->text));
    return false;
}

bool conn_may(struct conn *conn, enum policy_verb verb, struct view uri, struct err *err)
{
    return decide(conn, verb, uri, false, err);
}

bool conn_may_match(struct conn *conn, enum policy_verb verb, enum match_kind kind,
                    struct view pattern, struct err *err)
{
    return decide(conn, verb, match_fixed(kind, pattern), kind != MATCH_EXACT, err);
}
