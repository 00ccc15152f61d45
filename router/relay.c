/* SPDX-License-Identifier: Apache-2.0 */
#include "router/relay.h"
#include "router/relay_open.h"
#include "router/relay_quota.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { MAX_REMOVED = 65536, MAX_ACCOUNTS = 65536, LAST_WORDS_MS = 500 };

struct relay_session {
    uint8_t sid[RPC_SID], pk[2][KEY_SIZE];
    char id[2][TEXT_ID];
    struct relay_socket *side[2];
    struct relay_account *account;
    bool is_removed; /* den took the grant back: soon over */
};

struct relay_socket {
    struct list node;
    struct relay *relay;
    void *wire;
    char *address;
    uint8_t nonce[RPC_NONCE32], exporter[HASH_SIZE];
    bool has_exporter, is_closing;
    enum source_fault fault;
    struct relay_session *session; /* NULL: its opening did not come yet, or it is closing */
    unsigned side;
    struct relay_account *peer;
    uint64_t adm_no;
    struct deadline unpaired, end;
    struct buf held[RELAY_MAX_HELD];
    size_t n_held;
};

struct relay {
    struct router *router;
    struct relay_outside outside;
    struct list sockets;
    struct map *sessions; /* by sid: those with a socket */
    struct map *removed;  /* by sid: grants that ended here, of the router's life before too */
    struct relay_accounts session_accounts, peer_accounts;
    uint64_t started_at; /* network time */
};

struct relay *relay_new(struct router *router, const struct relay_outside *outside)
{
    struct relay *relay = mem_new(struct relay);

    relay->router = router;
    relay->outside = *outside;
    relay->sessions = map_new();
    relay->removed = map_new();
    relay->started_at = router_network_time(router);
    list_init(&relay->sockets);
    relay_accounts_init(&relay->session_accounts, NEVER_MS, MAX_ACCOUNTS);
    relay_accounts_init(&relay->peer_accounts, DAY_MS, MAX_ACCOUNTS);
    router->relay = relay;
    return relay;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    assert(list_is_empty(&relay->sockets));
    relay->router->relay = NULL;
    relay_accounts_deinit(&relay->session_accounts);
    relay_accounts_deinit(&relay->peer_accounts);
    map_free(relay->sessions);
    map_free(relay->removed);
    free(relay);
}

static struct relay_socket *other_of(const struct relay_socket *socket)
{
    return socket->session ? socket->session->side[!socket->side] : NULL;
}

static void set_unpaired(struct relay_socket *socket)
{
    struct router *router = socket->relay->router;

    deadline_set(&router->deadlines, &socket->unpaired,
                 router->now.mono + router->config->relay_unpaired_timeout);
}

/* ---- the end of a socket --------------------------------------------------------------------- */

static void drop_held(struct relay_socket *socket)
{
    for (size_t i = 0; i < socket->n_held; i++)
        buf_free(&socket->held[i]);
    socket->n_held = 0;
}

static void session_free(struct relay *relay, struct relay_session *session)
{
    map_remove(relay->sessions, VIEW_ARR(session->sid));
    relay_account_leave(&relay->session_accounts, session->account);
    free(session);
}

/* Its place is free for another one. */
static void leave(struct relay_socket *socket)
{
    struct relay_session *session = STEAL(socket->session);
    struct relay *relay = socket->relay;

    deadline_clear(&relay->router->deadlines, &socket->unpaired);
    deadline_clear(&relay->router->deadlines, &socket->end);
    drop_held(socket);
    if (!session)
        return;
    relay_account_leave(&relay->peer_accounts, socket->peer);
    session->side[socket->side] = NULL;
    if (session->side[!socket->side]) {
        relay->outside.tell(session->side[!socket->side]->wire, "waiting");
        set_unpaired(session->side[!socket->side]);
    } else {
        session_free(relay, session);
    }
}

static void shut(struct relay_socket *socket, enum relay_code code, const char *reason)
{
    if (socket->is_closing)
        return;
    log_event(LOG_INFO, "relay_closed", "id=%s address=%s code=%d why=%s",
              socket->session ? socket->session->id[socket->side] : "", socket->address, code,
              log_quote_text(reason));
    socket->is_closing = true;
    leave(socket);
    socket->relay->outside.close(socket->wire, code, reason);
}

static void shut_both(struct relay_session *session, enum relay_code code, const char *reason)
{
    struct relay_socket *sides[] = { session->side[0], session->side[1] };

    for (size_t i = 0; i < N_ELEMENTS(sides); i++) {
        if (sides[i])
            shut(sides[i], code, reason);
    }
}

enum source_fault relay_closed(struct relay_socket *socket, struct moment now)
{
    enum source_fault fault;

    socket->relay->router->now = now;
    if (!socket->session && !socket->is_closing)
        socket->fault = SOURCE_SILENCE;
    fault = socket->fault;
    leave(socket);
    list_remove(&socket->node);
    free(socket->address);
    free(socket);
    return fault;
}

static void on_unpaired(struct deadline *deadline)
{
    struct relay_socket *socket = CONTAINER(deadline, struct relay_socket, unpaired);

    if (socket->session) {
        metrics_limit(&socket->relay->router->metrics, LIMIT_RELAY_UNPAIRED);
        shut(socket, RELAY_UNPAIRED, "the other end did not come");
    } else {
        metrics_limit(&socket->relay->router->metrics, LIMIT_HANDSHAKE_TIME);
        socket->fault = SOURCE_SILENCE;
        shut(socket, RELAY_UNPAIRED, "no opening came");
    }
}

static void on_end(struct deadline *deadline)
{
    struct relay_socket *socket = CONTAINER(deadline, struct relay_socket, end);

    shut(socket, RELAY_ENDED,
         socket->session && socket->session->is_removed
             ? "the session was ended"
             : "the grant's time, or the admission's, is over");
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Whose nonce it is: an end names the router in what it signs. */
static void greet(struct relay_socket *socket)
{
    uint8_t greeting[RPC_NONCE32 + KEY_SIZE];

    memcpy(greeting, socket->nonce, RPC_NONCE32);
    memcpy(greeting + RPC_NONCE32, key_public(socket->relay->router->key), KEY_SIZE);
    socket->relay->outside.send(socket->wire, VIEW_ARR(greeting));
}

struct relay_socket *relay_opened(struct relay *relay, struct moment now, void *wire,
                                  const char *address, const uint8_t *exporter)
{
    struct relay_socket *socket = mem_new(struct relay_socket);
    struct router *router = relay->router;

    router->now = now;
    socket->relay = relay;
    socket->wire = wire;
    socket->address = mem_text(address);
    socket->has_exporter = exporter != NULL;
    if (exporter)
        memcpy(socket->exporter, exporter, sizeof(socket->exporter));
    random_bytes(socket->nonce, sizeof(socket->nonce));
    socket->unpaired.on_passed = on_unpaired;
    socket->end.on_passed = on_end;
    list_append(&relay->sockets, &socket->node);
    metrics_count(&router->metrics, METRIC_RELAY_SOCKETS);
    if (!router->config->relay || router->is_draining) {
        shut(socket, RELAY_GOING_AWAY,
             router->is_draining ? "the router is stopping" : "nothing is relayed here");
        return socket;
    }
    deadline_set(&router->deadlines, &socket->unpaired,
                 now.mono + router->config->handshake_timeout);
    greet(socket);
    return socket;
}

bool relay_is_open(const struct relay_socket *socket)
{
    return socket->session != NULL;
}

static void refuse(struct relay_socket *socket, enum relay_code code, const struct err *why)
{
    metrics_count(&socket->relay->router->metrics, METRIC_RELAY_REFUSED);
    socket->fault = code == RELAY_BAD_PROOF     ? SOURCE_AUTHENTICATION
                    : code == RELAY_BAD_MESSAGE ? SOURCE_PROTOCOL
                                                : SOURCE_NO_FAULT;
    shut(socket, code, why->text);
}

static struct relay_session *session_new(struct relay *relay, const struct rpc_grant *g)
{
    struct relay_session *session = mem_new(struct relay_session);

    memcpy(session->sid, g->sid.data, sizeof(session->sid));
    memcpy(session->pk[RELAY_CALLER], g->a_pk.data, KEY_SIZE);
    memcpy(session->pk[RELAY_CALLEE], g->b_pk.data, KEY_SIZE);
    snprintf(session->id[RELAY_CALLER], TEXT_ID, "%.*s", VIEW_FMT(g->a_id));
    snprintf(session->id[RELAY_CALLEE], TEXT_ID, "%.*s", VIEW_FMT(g->b_id));
    session->account = relay_account_use(&relay->session_accounts, g->sid, relay->router->now.mono);
    map_set(relay->sessions, g->sid, session);
    return session;
}

/* Both quotas, before a place is taken. */
static bool has_quota(struct relay_socket *socket, const struct relay_opening *opening,
                      enum relay_code *ret_code, struct err *err)
{
    struct relay *relay = socket->relay;
    struct router *router = relay->router;
    const struct router_config *config = router->config;

    if (!map_get(relay->sessions, opening->grant.sid) &&
        map_count(relay->sessions) >= config->max_relay_sessions) {
        metrics_limit(&router->metrics, LIMIT_RELAY_SESSIONS);
        *ret_code = RELAY_SESSIONS;
        return err_set(err, ERR_LIMIT, "%" PRIu64 " sessions use the relay already",
                       config->max_relay_sessions);
    }
    if (relay_account_is_over(&relay->peer_accounts, socket->peer, config->max_relay_peer_bytes,
                              router->now.mono)) {
        metrics_limit(&router->metrics, LIMIT_RELAY_PEER_BYTES);
        *ret_code = RELAY_PEER_BYTES;
        return err_set(err, ERR_LIMIT, "what this peer may send in 24 hours is used up");
    }
    return true;
}

static void flush_held(struct relay_socket *from, struct relay_socket *to)
{
    for (size_t i = 0; i < from->n_held; i++)
        from->relay->outside.send(to->wire, buf_view(&from->held[i]));
    drop_held(from);
}

static void pair(struct relay_socket *socket, struct relay_socket *other)
{
    struct relay *relay = socket->relay;

    deadline_clear(&relay->router->deadlines, &socket->unpaired);
    deadline_clear(&relay->router->deadlines, &other->unpaired);
    relay->outside.tell(socket->wire, "paired");
    relay->outside.tell(other->wire, "paired");
    flush_held(socket, other);
    flush_held(other, socket);
}

static void set_end(struct relay_socket *socket, const struct relay_opening *opening)
{
    struct router *router = socket->relay->router;
    uint64_t at = opening->admission.not_after, now = router_network_time(router);

    if (opening->grant.live_until)
        at = min_u64(at, opening->grant.live_until);
    deadline_set(&router->deadlines, &socket->end,
                 router->now.mono + min_u64(at - now, 365 * DAY_MS));
}

/* The newest of a side counts. */
static void take_place(struct relay_socket *socket, const struct relay_opening *opening)
{
    struct relay *relay = socket->relay;
    struct relay_session *session = map_get(relay->sessions, opening->grant.sid);
    struct relay_socket *before;

    if (!session)
        session = session_new(relay, &opening->grant);
    before = session->side[opening->side];
    socket->session = session;
    socket->side = opening->side;
    socket->adm_no = opening->admission.adm_no;
    if (before) { /* its place is ours already: the other end hears of one change */
        before->session = NULL;
        relay_account_leave(&relay->peer_accounts, before->peer);
        shut(before, RELAY_REPLACED, "a newer connection of this end came");
    }
    session->side[socket->side] = socket;
    set_end(socket, opening);
    relay->outside.proved(socket->wire);
    log_event(LOG_INFO, "relay_opened", "id=%s other=%s address=%s", session->id[socket->side],
              session->id[!socket->side], socket->address);
    if (session->side[!socket->side]) {
        pair(socket, session->side[!socket->side]);
    } else {
        relay->outside.tell(socket->wire, "waiting");
        set_unpaired(socket);
    }
}

static void open_socket(struct relay_socket *socket, struct view message)
{
    struct relay *relay = socket->relay;
    struct relay_greeting greeting = { .address = socket->address,
                                       .exporter = socket->has_exporter ? socket->exporter : NULL,
                                       .started_at = relay->started_at,
                                       .removed = relay->removed };
    struct relay_opening opening;
    enum relay_code code;
    struct err err = { 0 };

    memcpy(greeting.nonce, socket->nonce, sizeof(greeting.nonce));
    if (!relay_open(relay->router, &greeting, message, &opening, &code, &err)) {
        refuse(socket, code, &err);
        return;
    }
    socket->peer =
        relay_account_use(&relay->peer_accounts, opening.admission.id, relay->router->now.mono);
    if (has_quota(socket, &opening, &code, &err)) {
        take_place(socket, &opening);
        return;
    }
    relay_account_leave(&relay->peer_accounts, socket->peer);
    refuse(socket, code, &err);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void over_session_bytes(struct relay_socket *socket)
{
    metrics_limit(&socket->relay->router->metrics, LIMIT_RELAY_SESSION_BYTES);
    shut_both(socket->session, RELAY_SESSION_BYTES, "what this session may send is used up");
}

static void over_peer_bytes(struct relay_socket *socket)
{
    metrics_limit(&socket->relay->router->metrics, LIMIT_RELAY_PEER_BYTES);
    shut(socket, RELAY_PEER_BYTES, "what this peer may send in 24 hours is used up");
}

static void drop(struct relay_socket *socket, enum metric metric, enum metric_limit limit)
{
    struct metrics *metrics = &socket->relay->router->metrics;

    metrics_count(metrics, metric);
    if (limit != LIMIT_N)
        metrics_limit(metrics, limit);
}

static bool may_send(struct relay_socket *socket, size_t len)
{
    const struct router *router = socket->relay->router;
    const struct relay_limits limits = {
        .session_bytes = router->config->max_relay_session_bytes,
        .session_rate = router->config->max_relay_session_rate,
        .peer_bytes = router->config->max_relay_peer_bytes,
        .peer_rate = router->config->max_relay_peer_rate,
    };

    switch (relay_charge(&limits, socket->session->account, socket->peer, len, router->now.mono)) {
    case RELAY_MAY:
        return true;
    case RELAY_OVER_SESSION_BYTES:
        over_session_bytes(socket);
        return false;
    case RELAY_OVER_PEER_BYTES:
        over_peer_bytes(socket);
        return false;
    case RELAY_OVER_SESSION_RATE:
        drop(socket, METRIC_RELAY_DROPPED_SESSION, LIMIT_RELAY_SESSION_RATE);
        return false;
    case RELAY_OVER_PEER_RATE:
        drop(socket, METRIC_RELAY_DROPPED_PEER, LIMIT_RELAY_PEER_RATE);
        return false;
    }
    abort();
}

static void hold(struct relay_socket *socket, struct view datagram)
{
    if (socket->n_held == RELAY_MAX_HELD)
        drop(socket, METRIC_RELAY_DROPPED_ALONE, LIMIT_N);
    else
        socket->held[socket->n_held++] = buf_dup(datagram);
}

static void forward(struct relay_socket *socket, struct view datagram)
{
    struct relay *relay = socket->relay;
    struct relay_socket *to = other_of(socket);

    if (!may_send(socket, datagram.len))
        return;
    if (!to) {
        hold(socket, datagram);
        return;
    }
    if (relay->outside.queued(to->wire) + datagram.len > relay->router->config->max_relay_queue) {
        drop(socket, METRIC_RELAY_DROPPED_QUEUE, LIMIT_RELAY_QUEUE);
        return;
    }
    metrics_count(&relay->router->metrics, METRIC_RELAY_DATAGRAMS);
    metrics_add(&relay->router->metrics, METRIC_RELAY_BYTES, datagram.len);
    relay->outside.send(to->wire, datagram);
}

void relay_input(struct relay_socket *socket, struct moment now, bool is_text, struct view message)
{
    struct err err = { 0 };

    socket->relay->router->now = now;
    if (socket->is_closing)
        return;
    if (is_text || message.len == 0) {
        err_set(&err, ERR_BAD_WIRE, is_text ? "a text message" : "an empty datagram");
        refuse(socket, RELAY_BAD_MESSAGE, &err);
    } else if (!socket->session) {
        open_socket(socket, message);
    } else if (message.len > RELAY_MAX_DATAGRAM) {
        err_set(&err, ERR_TOO_LARGE, "a datagram of %zu bytes", message.len);
        refuse(socket, RELAY_TOO_LARGE, &err);
    } else {
        forward(socket, message);
    }
}

/* ---- what the router hears ------------------------------------------------------------------- */

/* Those that ended are remembered by their numbers alone, as many as may be; nothing is lost with
 * one that is forgotten but what it would have refused after a restart. */
static void remember(struct relay *relay, struct view sid)
{
    size_t cursor = 0;
    struct view oldest;
    void *value;

    if (map_count(relay->removed) >= MAX_REMOVED &&
        map_next(relay->removed, &cursor, &oldest, &value))
        map_remove(relay->removed, oldest);
    map_set(relay->removed, sid, relay);
}

/* Who hangs up says so to den and, over the relay, to the other end; den's word must not overtake the other one. Nobody opens it any
 * more. */
void relay_grant_removed(struct relay *relay, struct view sid)
{
    struct relay_session *session;

    if (!relay)
        return;
    remember(relay, sid);
    session = map_get(relay->sessions, sid);
    if (!session || session->is_removed)
        return;
    session->is_removed = true;
    for (int side = 0; side < 2; side++) {
        struct relay_socket *socket = session->side[side];
        uint64_t at = relay->router->now.mono + LAST_WORDS_MS;
        if (socket && (socket->end.place == 0 || socket->end.at > at))
            deadline_set(&relay->router->deadlines, &socket->end, at);
    }
}

static bool is_revoked(const struct relay_socket *socket)
{
    const struct rpc_revoked *revoked = socket->relay->router->revoked;
    const struct relay_session *session = socket->session;

    return rpc_revoked_has(revoked, RPC_REVOKED_IDENTITY, VIEW_ARR(session->pk[0])) ||
           rpc_revoked_has(revoked, RPC_REVOKED_IDENTITY, VIEW_ARR(session->pk[1])) ||
           socket->adm_no < rpc_revoked_min_adm_no(revoked, view_text(session->id[socket->side]));
}

void relay_look_at_revocations(struct relay *relay)
{
    struct relay_socket *socket;

    if (!relay)
        return;
    LIST_EACH(socket, &relay->sockets, node) {
        if (socket->session && is_revoked(socket))
            shut(socket, RELAY_REVOKED, "an end of the session was revoked");
    }
}

void relay_shut_down(struct relay *relay, const char *reason)
{
    struct relay_socket *socket;

    if (!relay)
        return;
    LIST_EACH(socket, &relay->sockets, node)
        shut(socket, RELAY_GOING_AWAY, reason);
}

size_t relay_n_sockets(const struct relay *relay)
{
    size_t n = 0;

    for (const struct list *node = relay ? relay->sockets.next : NULL;
         node && node != &relay->sockets; node = node->next)
        n++;
    return n;
}

size_t relay_n_sessions(const struct relay *relay)
{
    return relay ? map_count(relay->sessions) : 0;
}
