/* SPDX-License-Identifier: Apache-2.0 */
#include "router/router.h"
#include "router/clone.h"
#include "router/relay.h"
#include "router/denials.h"

enum { KEEP_IN_MS = 1000, KEEP_AGAIN_MS = 30 * 1000 }; /* netkeys, to disk */

void router_take_proxies(struct router *router)
{
    router->n_proxy_certificates = 0;
    if (router->config->proxy_certificates)
        router_config_hashes(router->config->proxy_certificates, router->proxy_certificates,
                             ROUTER_MAX_PROXIES, &router->n_proxy_certificates);
}

/* ---- keys of netsign ------------------------------------------------------------------------- */

static void save_netkeys(struct router *router)
{
    struct view records = buf_view(&router->unkept_netkeys);
    struct err err = { 0 };

    if (records.len == 0)
        return;
    if (!router->outside.keep_netkeys ||
        router->outside.keep_netkeys(router->outside.user, records, &err)) {
        buf_free(&router->unkept_netkeys);
        return;
    }
    log_event(LOG_ERROR, "netkeys_unsaved", "why=%s", log_quote_text(err.text));
    deadline_set(&router->deadlines, &router->netkeys_due, router->now.mono + KEEP_AGAIN_MS);
}

static void keep_netkeys(struct deadline *deadline)
{
    save_netkeys(CONTAINER(deadline, struct router, netkeys_due));
}

void router_note_netkey(struct router *router, struct view public_key)
{
    if (!netkeys_add(router->netkeys, public_key, &router->unkept_netkeys)) {
        if (!netkeys_has(router->netkeys, public_key))
            log_event(LOG_ERROR, "netkeys_full", "keys=%zu", netkeys_count(router->netkeys));
        return;
    }
    if (!router->netkeys_due.place)
        deadline_set(&router->deadlines, &router->netkeys_due, router->now.mono + KEEP_IN_MS);
}

/* ---- its life -------------------------------------------------------------------------------- */

struct router *router_new(const struct router_setup *setup, struct moment now)
{
    struct router *router = mem_new(struct router);
    _buf_ args = { 0 };

    router->config = setup->config;
    router->key = setup->key;
    router->trust = setup->trust;
    router->revoked = setup->revoked ? setup->revoked : rpc_revoked_new();
    router->netkeys = setup->netkeys ? setup->netkeys : netkeys_new(NETKEYS_MAX);
    router->netkeys_due.on_passed = keep_netkeys;
    memcpy(router->tls_spki, setup->tls_spki, sizeof(router->tls_spki));
    router->certificate_not_after = setup->certificate_not_after;
    router->outside = setup->outside;
    router->now = now;
    list_init(&router->conns);
    list_init(&router->retired);
    backlog_init(&router->backlog);
    router->by_id = map_new();
    router->names = names_new();
    router->over = LIMIT_N;
    router->lookups = lookups_new(router->config);
    router->denials = denials_new(router);
    denials_load(router->denials, setup->acts);
    router->grants = grants_new(router->trust);
    grants_set_max(router->grants, (size_t)router->config->max_grants);
    router->realms_config =
        setup->realms ? setup->realms : realms_new(rpc_trust_network(router->trust));
    for (size_t i = 0; i < router->realms_config->n; i++)
        router->realms[router->n_realms++] = realm_new(router, router->realms_config->item[i]);
    router->home = router->realms[0];
    router_take_proxies(router);
    if (rpc_trust_heartbeat(router->trust)) { /* from disk: whoever asks gets it, den or no den */
        rpc_put_array(&args, 2);
        rpc_put_bin(&args, rpc_trust_heartbeat_bytes(router->trust));
        rpc_put_bin(&args, rpc_trust_heartbeat_sig(router->trust));
        broker_retain(router->home->broker, "den.heartbeat", buf_view(&args));
    }
    return router;
}

void router_free(struct router *router)
{
    struct realm *retired;
    struct conn *conn;

    if (!router)
        return;
    LIST_EACH(conn, &router->conns, of_router)
        conn_free(conn);
    denials_free(router->denials);
    for (size_t i = 0; i < router->n_realms; i++)
        realm_free(router->realms[i]);
    LIST_EACH(retired, &router->retired, retired)
        realm_free(retired);
    save_netkeys(router);
    buf_free(&router->unkept_netkeys);
    netkeys_free(router->netkeys);
    realms_free(router->realms_config);
    grants_free(router->grants);
    names_free(router->names);
    lookups_free(router->lookups);
    map_free(router->by_id);
    deadlines_deinit(&router->deadlines);
    rpc_trust_free(router->trust);
    rpc_revoked_free(router->revoked);
    buf_free(&router->unkept);
    buf_free(&router->scratch);
    free(router);
}

struct conn *router_opened(struct router *router, struct moment now, void *wire,
                           const char *address, const uint8_t *exporter)
{
    struct conn *conn;

    router->now = now;
    conn = conn_new(router, wire, address, exporter);
    metrics_count(&router->metrics, METRIC_CONNECTIONS);
    return conn;
}

void router_input(struct conn *conn, struct moment now, struct view frame)
{
    conn->router->now = now;
    vigil_heard(conn);
    conn_input(conn, frame);
}

void router_answer_for(struct conn *conn, struct moment now, struct view frame)
{
    conn->router->now = now;
    conn->is_answered_for = true;
    conn_input(conn, frame);
    conn->is_answered_for = false;
}

void router_refuse(struct conn *conn, struct moment now, const struct err *why)
{
    conn->router->now = now;
    conn_abort(conn, why);
}

void router_answered(struct conn *conn, struct moment now, uint64_t nonce)
{
    conn->router->now = now;
    vigil_heard(conn);
    clone_answered(conn, nonce);
}

enum source_fault router_closed(struct conn *conn, struct moment now, const char *why)
{
    struct metrics *metrics = &conn->router->metrics;
    enum source_fault fault;

    conn->router->now = now;
    if (conn->state != CONN_CLOSING)
        metrics_count(metrics, conn->state == CONN_ESTABLISHED ? METRIC_SESSIONS_LOST
                                                               : METRIC_HANDSHAKES_GONE);
    if (conn->state == CONN_ESTABLISHED)
        log_event(LOG_INFO, "left", "id=%s role=%s address=%s reason=%s", conn->id, conn->authrole,
                  conn->address, log_quote_text(why));
    else if (conn->state != CONN_CLOSING)
        log_event(LOG_INFO, "gone", "address=%s state=%s why=%s", conn->address,
                  conn_state_name(conn->state), log_quote_text(why));
    if (conn->state < CONN_ADMITTING && !conn->fault)
        conn->fault = SOURCE_SILENCE;
    fault = conn->fault;
    conn_free(conn);
    return fault;
}

uint64_t router_deadline(const struct router *router)
{
    return router_is_behind(router) ? router->now.mono : deadlines_next(&router->deadlines);
}

bool router_is_behind(const struct router *router)
{
    return !backlog_is_empty(&router->backlog);
}

void router_tick(struct router *router, struct moment now)
{
    router->now = now;
    deadlines_run(&router->deadlines, now.mono);
    if (router_is_behind(router))
        backlog_work(router);
}

/* ---- stopping -------------------------------------------------------------------------------- */

enum { DRAIN_STEP_MS = 20 };

/* A session that waits for an answer, or owes one. */
static bool is_busy(const struct conn *conn)
{
    return !list_is_empty(&conn->asked) || !list_is_empty(&conn->serving);
}

static bool has_busy(const struct router *router)
{
    const struct conn *conn;

    LIST_EACH(conn, &router->conns, of_router) {
        if (is_busy(conn))
            return true;
    }
    return false;
}

bool router_is_drained(const struct router *router)
{
    const struct conn *conn;

    if (!router->is_draining)
        return false;
    LIST_EACH(conn, &router->conns, of_router) {
        if (conn->state != CONN_CLOSING)
            return false;
    }
    return true;
}

/* Who has not said HELLO yet is told when it does, or at the end. */
static void drain_step(struct deadline *deadline)
{
    struct router *router = CONTAINER(deadline, struct router, drain);
    bool is_late = router->now.mono >= router->drain_until, is_over = is_late || !has_busy(router);
    struct conn *conn;

    LIST_EACH(conn, &router->conns, of_router) {
        if (is_late)
            dealer_give_up(conn, "the router is stopping");
    }
    LIST_EACH(conn, &router->conns, of_router) {
        if (is_over || (!is_busy(conn) && conn->state != CONN_GREETING))
            conn_shut_down(conn);
    }
    if (!router_is_drained(router))
        deadline_set(&router->deadlines, &router->drain, router->now.mono + DRAIN_STEP_MS);
}

void router_drain(struct router *router, struct moment now)
{
    router->now = now;
    relay_shut_down(router->relay, "the router is stopping");
    router->drain_until = router->is_draining ? now.mono : now.mono + router->config->drain_timeout;
    router->is_draining = true;
    denials_flush(router->denials);
    router->drain.on_passed = drain_step;
    drain_step(&router->drain);
}

bool router_reload_trust(struct router *router, struct moment now, struct rpc_trust *trust,
                         struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *taken = trust;
    struct rpc_trust *before = router->trust;

    router->now = now;
    if (!view_eq(rpc_trust_netid(taken), rpc_trust_netid(before)))
        return err_set(err, ERR_BAD_PIN, "trust: of another network");
    if (rpc_trust_manifest(taken)->manifest_no <= rpc_trust_manifest(before)->manifest_no)
        return true;
    router->trust = STEAL(taken);
    grants_set_trust(router->grants, router->trust);
    rpc_trust_free(before);
    return true;
}

uint64_t router_draw_session(const struct realm *realm)
{
    uint64_t n;

    do {
        random_bytes(&n, sizeof(n));
        n &= RPC_MAX_ID - 1;
    } while (n == 0 || map_get(realm->by_session, map_u64(&n)));
    return n;
}

uint64_t router_network_time(const struct router *router)
{
    return rpc_trust_now(router->trust, router->now.mono, router->now.wall);
}

struct conn *router_find(const struct router *router, struct view id)
{
    return map_get(router->by_id, id);
}

bool router_save_trust(struct router *router, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(router->trust, &bytes);
    router->is_trust_unsaved =
        !router->outside.save_trust(router->outside.user, buf_view(&bytes), err);
    return !router->is_trust_unsaved;
}

void router_keep_revocations(struct router *router, struct view records)
{
    struct err err = { 0 };

    buf_put(&router->unkept, records);
    if (router->outside.keep_revocations(router->outside.user, buf_view(&router->unkept), &err))
        buf_free(&router->unkept);
    else
        log_event(LOG_ERROR, "revocations_unsaved", "why=%s", log_quote_text(err.text));
}
