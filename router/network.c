/* SPDX-License-Identifier: Apache-2.0 */
#include "router/network.h"
#include "router/certificate.h"
#include "router/denials.h"
#include "router/relay.h"
#include "router/revocations.h"
#include "router/router.h"

#include <inttypes.h>

enum { MAX_PAGE = 1000 };

static void put_pair_u64(struct buf *to, const char *key, uint64_t n)
{
    rpc_put_str(to, key);
    rpc_put_u64(to, n);
}

typedef bool serve_action(struct conn *caller, struct rpc_fields *args, struct buf *to,
                          struct err *err);

/* Where peers ask for their own address: on the host that they know, unless the operator says another one. */
static void put_stun(struct buf *to, const struct router *router)
{
    const struct router_config *config = router->config;
    const char *where = config->stun_host ? config->stun_host : config->host;
    bool has_other = router->stun_other_port && !config->stun_host;
    _free_ char *host = NULL;
    uint16_t port;

    conf_split_address(view_text(where), 443, &host, &port);
    bool is_v6 = strchr(host, ':') != NULL;
    _free_ char *first =
        mem_format(is_v6 ? "[%s]:%u" : "%s:%u", host, config->stun_host ? port : router->stun_port);
    _free_ char *second =
        mem_format(is_v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)router->stun_other_port);

    rpc_put_str(to, "stun");
    rpc_put_array(to, has_other ? 2 : 1);
    rpc_put_str(to, first);
    if (has_other)
        rpc_put_str(to, second);
}

static bool info(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    const struct router *router = caller->router;

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_map(to, 4u + router->config->relay + (router->stun_port != 0));
    rpc_put_str(to, "network");
    rpc_put_str(to, rpc_trust_network(router->trust));
    put_pair_u64(to, "time", router_network_time(router));
    rpc_put_str(to, "den");
    rpc_put_bool(to, names_find(router->names, VIEW_LIT("den")) != NULL);
    if (router->config->relay) {
        rpc_put_str(to, "relay");
        rpc_put_array(to, 1);
        rpc_put_str(to, router->config->host);
    }
    if (router->stun_port)
        put_stun(to, router);
    rpc_put_str(to, "limits");
    rpc_put_map(to, 3);
    put_pair_u64(to, "message",
                 caller->role == ROLE_GUEST ? router->config->max_message_before
                                            : router->config->max_message);
    put_pair_u64(to, "pending", caller->quota.limit[QUOTA_CALLS]);
    put_pair_u64(to, "registrations", caller->quota.limit[QUOTA_REGISTRATIONS]);
    return true;
}

static bool whoami(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_map(to, 3);
    put_pair_u64(to, "session", caller->session);
    rpc_put_str(to, "id");
    rpc_put_str(to, caller->id);
    rpc_put_str(to, "role");
    rpc_put_str(to, caller->authrole);
    return true;
}

static bool ping(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_u64(to, router_network_time(caller->router));
    return true;
}

/* Who has a session, and where, is told to den and admins; to others about themselves. */
static bool may_see(const struct conn *caller, const struct conn *conn)
{
    return conn && (caller->role == ROLE_DEN || caller->role == ROLE_ADMIN || conn == caller);
}

/* Whom a name stands for: a service, or an ID. */
static const struct conn *find_holder(const struct conn *caller, struct view name)
{
    const struct conn *holder = names_find(caller->router->names, name);

    if (holder || !text_is_id(name))
        return holder;
    holder = router_find(caller->router, name);
    return may_see(caller, holder) ? holder : NULL;
}

static bool resolve(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    struct view service = rpc_fields_text(args, "service", RPC_MAX_URI);
    const struct conn *holder;
    bool is_den;

    if (!rpc_fields_end(args, err))
        return false;
    is_den = view_eq(service, VIEW_LIT("den")); /* known to all, and often asked for */
    if (!is_den && !lookups_may(caller, err))
        return false;
    holder = find_holder(caller, service);
    if (!holder) {
        if (!is_den)
            lookups_failed(caller);
        return err_set(err, ERR_NOT_REACHABLE, "no such service is connected");
    }
    rpc_put_array(to, 1);
    rpc_put_u64(to, holder->session);
    return true;
}

/* The other way round: which service, or whose, a session is, and its role. */
static bool reverse(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    uint64_t session = rpc_fields_id(args, "session");
    const struct conn *conn;
    struct view service;

    if (!rpc_fields_end(args, err) || !lookups_may(caller, err))
        return false;
    conn = map_get(caller->realm->by_session, map_u64(&session));
    service = conn ? names_of(caller->router->names, conn) : (struct view){ 0 };
    if (service.len == 0 && !may_see(caller, conn)) {
        lookups_failed(caller);
        return err_set(err, ERR_NOT_REACHABLE, "no such service is connected");
    }
    rpc_put_array(to, 2);
    rpc_put_text(to, service.len ? service : conn_id(conn));
    rpc_put_str(to, conn->authrole);
    return true;
}

static bool grant_install(struct conn *caller, struct rpc_fields *args, struct buf *to,
                          struct err *err)
{
    struct view bytes = rpc_fields_bin(args, "grant", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    struct rpc_grant grant;

    if (!rpc_fields_end(args, err))
        return false;
    if (!grants_install(caller->router->grants, bytes, sig, router_network_time(caller->router),
                        &grant, err)) {
        if (err->code == ERR_LIMIT)
            conn_over(caller, LIMIT_GRANTS);
        log_event(LOG_WARN, "grant_refused", "why=%s", log_quote_text(err->text));
        return false;
    }
    log_event(LOG_INFO, "grant_installed", "a=%.*s b=%.*s n=%zu", VIEW_FMT(grant.a_id),
              VIEW_FMT(grant.b_id), grants_count(caller->router->grants));
    rpc_put_array(to, 0);
    return true;
}

static bool grant_remove(struct conn *caller, struct rpc_fields *args, struct buf *to,
                         struct err *err)
{
    struct view sid = rpc_fields_fixed(args, "sid", RPC_SID);

    if (!rpc_fields_end(args, err))
        return false;
    relay_grant_removed(caller->router->relay, sid);
    if (!grants_remove(caller->router->grants, sid))
        return err_set(err, ERR_NOT_FOUND, "no grant of that session is installed");
    log_event(LOG_INFO, "grant_removed", "n=%zu", grants_count(caller->router->grants));
    rpc_put_array(to, 0);
    return true;
}

/* ---- who is here ----------------------------------------------------------------------------- */

static bool is_established(const struct conn *conn)
{
    return conn->state == CONN_ESTABLISHED;
}

static void put_peer(struct buf *to, const struct conn *conn)
{
    rpc_put_map(to, 7);
    rpc_put_str(to, "online");
    rpc_put_bool(to, true);
    rpc_put_str(to, "id");
    rpc_put_str(to, conn->id);
    rpc_put_str(to, "role");
    rpc_put_str(to, conn->authrole);
    rpc_put_str(to, "method");
    rpc_put_str(to, realm_method_name(conn->method));
    rpc_put_str(to, "address");
    rpc_put_str(to, conn->address);
    put_pair_u64(to, "session", conn->session);
    put_pair_u64(to, "since", conn->joined_at);
}

static void put_absent(struct buf *to)
{
    rpc_put_map(to, 1);
    rpc_put_str(to, "online");
    rpc_put_bool(to, false);
}

static bool peer_get(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    struct view id = rpc_fields_text(args, "id", TEXT_ID);
    const struct conn *conn;

    if (!rpc_fields_end(args, err) || !lookups_may(caller, err))
        return false;
    conn = text_is_id(id) ? router_find(caller->router, id) : NULL;
    rpc_put_array(to, 1);
    if (conn) {
        put_peer(to, conn);
    } else {
        lookups_failed(caller);
        put_absent(to);
    }
    return true;
}

/* A cursor is the number of the last one that was told: connections are listed in the order in
 * which they came. */
static bool read_page(struct rpc_fields *args, uint64_t *ret_after, uint64_t *ret_limit,
                      struct err *err)
{
    uint64_t limit;

    *ret_after = rpc_fields_more(args) ? rpc_fields_u64(args, "cursor") : 0;
    limit = rpc_fields_more(args) ? rpc_fields_u64(args, "limit") : MAX_PAGE;
    if (!rpc_fields_end(args, err))
        return false;
    if (limit < 1 || limit > MAX_PAGE)
        return err_set(err, ERR_INVALID_ARGUMENT, "limit: expected 1 to %d", MAX_PAGE);
    *ret_limit = limit;
    return true;
}

static bool peer_list(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    const struct router *router = caller->router;
    uint64_t after = 0, limit = 0, last = 0;
    const struct conn *conn;
    _buf_ peers = { 0 };
    uint32_t n = 0;

    if (!read_page(args, &after, &limit, err))
        return false;
    LIST_EACH(conn, &router->conns, of_router) {
        if (conn->number <= after || !is_established(conn) || conn->realm != router->home)
            continue;
        if (n == limit)
            break;
        put_peer(&peers, conn);
        last = conn->number;
        n++;
    }
    rpc_put_array(to, 2);
    rpc_put_array(to, n);
    rpc_put_raw(to, buf_view(&peers));
    if (n == limit)
        rpc_put_u64(to, last);
    else
        rpc_put_nil(to); /* that was all */
    return true;
}

/* Whom an argument means: an ID, or the address of a session, as network.resolve has it. NULL, and
 * *err says why, when nobody is there. */
static struct conn *read_target(struct conn *caller, struct rpc_fields *args, struct err *err)
{
    bool is_id = !rpc_fields_more(args) || rpc_value_kind(args->rest) == RPC_TEXT;
    struct view id = is_id ? rpc_fields_text(args, "id", CONN_ID) : (struct view){ 0 };
    uint64_t session = is_id ? 0 : rpc_fields_id(args, "session");
    struct conn *conn;

    if (!is_id)
        conn = map_get(caller->realm->by_session, map_u64(&session));
    else
        conn = text_is_id(id) ? router_find(caller->router, id) : NULL;
    if (!conn && is_id)
        err_set(err, ERR_NOT_FOUND, "%.*s: not connected", VIEW_FMT(id));
    else if (!conn)
        err_set(err, ERR_NOT_FOUND, "%" PRIu64 ": no such session", session);
    return conn;
}

static bool peer_kick(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    struct err absent = { 0 };
    struct conn *conn = read_target(caller, args, &absent);
    struct view why = rpc_fields_text_or_nil(args, "reason", 200);

    if (!rpc_fields_end(args, err))
        return false;
    if (!conn) {
        denials_note_nobody(caller, VIEW_LIT("network.peer.kick"));
        *err = absent;
        return false;
    }
    if (conn == caller)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: that is the caller", conn->id);
    _free_ char *message = view_dup_text(why);
    _free_ char *session = mem_format("%" PRIu64, conn->session);
    denials_note_kick(caller, conn->id[0] ? conn->id : session, why);
    denials_keep(caller->router->denials);
    log_event(LOG_WARN, "kicked", "id=%s session=%" PRIu64 " by=%s reason=%s", conn->id,
              conn->session, caller->id, log_quote(why));
    conn_goodbye(conn, "network.close.kicked", message);
    rpc_put_array(to, 0);
    return true;
}

static bool grant_list(struct conn *caller, struct rpc_fields *args, struct buf *to,
                       struct err *err)
{
    uint64_t after = 0, limit = 0, next = 0;
    _buf_ grants = { 0 };
    uint32_t n;

    if (!read_page(args, &after, &limit, err))
        return false;
    n = grants_put_page(caller->router->grants, after, limit, &grants, &next);
    rpc_put_array(to, 2);
    rpc_put_array(to, n);
    rpc_put_raw(to, buf_view(&grants));
    if (next)
        rpc_put_u64(to, next);
    else
        rpc_put_nil(to);
    return true;
}

static bool stats(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    const struct router *router = caller->router;
    uint64_t n_conns = 0, n_sessions = 0, n_dropped = 0;
    const struct conn *conn;

    if (!rpc_fields_end(args, err))
        return false;
    LIST_EACH(conn, &router->conns, of_router) {
        n_conns++;
        n_sessions += is_established(conn);
        n_dropped += conn->n_events_dropped;
    }
    rpc_put_array(to, 1);
    rpc_put_map(to, 8);
    put_pair_u64(to, "connections", n_conns);
    put_pair_u64(to, "sessions", n_sessions);
    put_pair_u64(to, "peers", map_count(router->by_id));
    put_pair_u64(to, "registrations", dealer_n_registrations(router->home->dealer));
    put_pair_u64(to, "calls", dealer_n_calls(router->home->dealer));
    put_pair_u64(to, "subscriptions", broker_n_subscriptions(router->home->broker));
    put_pair_u64(to, "grants", grants_count(router->grants));
    put_pair_u64(to, "events_dropped", n_dropped);
    return true;
}

/* ---- presence -------------------------------------------------------------------------------- */

static bool is_present(const struct conn *conn)
{
    return conn->realm == conn->router->home && conn->method == REALM_NETSIGN &&
           conn->role != ROLE_DEN;
}

void network_say_joined(struct conn *conn)
{
    _buf_ args = { 0 };

    if (!is_present(conn))
        return;
    rpc_put_array(&args, 1);
    put_peer(&args, conn);
    broker_announce(conn->realm->broker, "network.peer.on_join", buf_view(&args));
}

void network_say_left(struct conn *conn)
{
    _buf_ args = { 0 };

    if (!is_present(conn))
        return;
    rpc_put_array(&args, 2);
    rpc_put_str(&args, conn->id);
    rpc_put_u64(&args, conn->session);
    broker_announce(conn->realm->broker, "network.peer.on_leave", buf_view(&args));
}

void network_say_clone(struct conn *conn, const char *other_address)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 4);
    rpc_put_str(&args, conn->id);
    rpc_put_str(&args, conn->address);
    rpc_put_str(&args, other_address);
    rpc_put_u64(&args, router_network_time(conn->router));
    broker_announce_about(conn->realm->broker, "network.peer.on_clone", buf_view(&args), conn->id);
}

/* ---- the router's certificate ---------------------------------------------------------------- */

static bool router_status(struct conn *caller, struct rpc_fields *args, struct buf *to,
                          struct err *err)
{
    const struct router *router = caller->router;

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_map(to, 4);
    rpc_put_str(to, "pk");
    rpc_put_bin(to, key_public_view(router->key));
    rpc_put_str(to, "spki");
    rpc_put_bin(to, VIEW_ARR(router->tls_spki));
    put_pair_u64(to, "not_after", router->certificate_not_after);
    put_pair_u64(to, "manifest", rpc_trust_manifest(router->trust)->manifest_no);
    return true;
}

/* New ones move the trust set forward, whatever becomes of the certificate: they are signed by the
 * root. */
static bool take_manifests(struct router *router, struct view roots, struct view manifests,
                           struct err *err)
{
    uint64_t before = rpc_trust_manifest_no(router->trust);
    struct rpc_fields list;
    _buf_ none = { 0 };

    rpc_fields_open(&list, manifests);
    if (!rpc_fields_more(&list))
        return true;

    rpc_put_array(&none, 0);
    if (!rpc_trust_take_challenge(router->trust, roots.len ? roots : buf_view(&none), manifests,
                                  router->now.wall, err))
        return err_wrap(err, "manifests");
    if (rpc_trust_manifest_no(router->trust) == before)
        return true;
    log_event(LOG_INFO, "manifest", "number=%" PRIu64, rpc_trust_manifest_no(router->trust));
    return router_save_trust(router, err);
}

static bool read_chain(struct view array, struct view *chain, size_t *ret_n, struct err *err)
{
    struct rpc_fields f;
    size_t n = 0;

    rpc_fields_open(&f, array);
    while (n < PKI_MAX_CHAIN && rpc_fields_more(&f))
        chain[n++] = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT);
    *ret_n = n;
    return rpc_fields_end(&f, err) || err_wrap(err, "chain");
}

static bool router_certificate(struct conn *caller, struct rpc_fields *args, struct buf *to,
                               struct err *err)
{
    struct view certificates = rpc_fields_array(args, "chain"),
                manifests = rpc_fields_array(args, "manifests"), roots = { 0 };
    struct router *router = caller->router;
    struct view chain[PKI_MAX_CHAIN];
    struct certificate_question question = { router->trust, router->tls_spki,
                                             router_network_time(router) };
    uint64_t not_after;
    char at[CLOCK_TEXT];
    size_t n;

    if (rpc_fields_more(args)) /* of manifests that bring new ones */
        roots = rpc_fields_array(args, "roots");
    if (!rpc_fields_end(args, err))
        return false;
    if (!take_manifests(router, roots, manifests, err) || !read_chain(certificates, chain, &n, err))
        return false;
    if (!certificate_judge(&question, chain, n, &not_after, err))
        return false;
    if (!router->outside.install_chain(router->outside.user, chain, n, err))
        return false;
    router->certificate_not_after = not_after;
    log_event(LOG_INFO, "certificate", "not_after=%s", clock_text(not_after, at));
    rpc_put_array(to, 0);
    return true;
}

/* ---- the heartbeat --------------------------------------------------------------------------- */

bool network_take_heartbeat(struct router *router, struct rpc_payload payload, struct err *err)
{
    struct rpc_fields f;
    struct view bytes, sig;
    enum rpc_heart heart;

    rpc_fields_open(&f, rpc_payload_args(payload));
    bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
    sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, err))
        return err_wrap(err, "den.heartbeat");
    if (!rpc_trust_add_heartbeat(router->trust, bytes, sig, router->now.mono, router->now.wall,
                                 &heart, err))
        return err_wrap(err, "den.heartbeat");
    if (heart == RPC_HEART_OLDER)
        return err_set(err, ERR_STALE, "den.heartbeat: older than the one that is known");
    if (heart == RPC_HEART_SAME && !router->is_trust_unsaved)
        return true;
    return router_save_trust(router, err) || err_wrap(err, "den.heartbeat");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct service {
    const char *procedure;
    serve_action *act;
} services[] = {
    { "network.info", info },
    { "network.whoami", whoami },
    { "network.ping", ping },
    { "network.resolve", resolve },
    { "network.reverse", reverse },
    { "network.stats", stats },
    { "network.peer.list", peer_list },
    { "network.peer.kick", peer_kick },
    { "network.grant.list", grant_list },
    { "network.grant.install", grant_install },
    { "network.grant.remove", grant_remove },
    { "network.revocations.install", revocations_install },
    { "network.revocations.list", revocations_list },
    { "network.peer.get", peer_get },
    { "network.router.status", router_status },
    { "network.router.certificate", router_certificate },
};

bool network_is_ours(const struct conn *conn, struct view procedure)
{
    return !realm_is_standard(conn->realm) && rpc_uri_is_below(VIEW_LIT("network"), procedure);
}

bool network_serve(struct conn *caller, const struct rpc_call *call, struct buf *ret_args,
                   struct err *err)
{
    struct rpc_fields args;

    for (size_t i = 0; i < N_ELEMENTS(services); i++) {
        if (!view_eq_text(call->procedure, services[i].procedure))
            continue;
        rpc_fields_open(&args, rpc_payload_args(call->payload));
        if (services[i].act(caller, &args, ret_args, err))
            return true;
        if (err->code == ERR_BAD_WIRE) /* of the arguments: the message itself was sound */
            err->code = ERR_INVALID_ARGUMENT;
        return err_wrap(err, "%s", services[i].procedure);
    }
    return err_set(err, ERR_NO_SUCH_PROCEDURE, "the router does not serve %.*s",
                   VIEW_FMT(call->procedure));
}
