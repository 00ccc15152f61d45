/* SPDX-License-Identifier: Apache-2.0 */
#include "router/network.h"
#include "router/certificate.h"
#include "router/router.h"

#include <inttypes.h>

enum { MAX_SIGNERS = RPC_MAX_ROOTS };

static void put_pair_u64(struct buf *to, const char *key, uint64_t n)
{
    rpc_put_str(to, key);
    rpc_put_u64(to, n);
}

typedef bool serve_action(struct conn *caller, struct rpc_fields *args, struct buf *to,
                          struct err *err);

static bool info(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    const struct router *router = caller->router;

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_map(to, 4);
    rpc_put_str(to, "network");
    rpc_put_str(to, rpc_trust_network(router->trust));
    put_pair_u64(to, "time", router_network_time(router));
    rpc_put_str(to, "den");
    rpc_put_bool(to, names_find(router->names, VIEW_LIT("den")) != NULL);
    rpc_put_str(to, "limits");
    rpc_put_map(to, 3);
    put_pair_u64(to, "message", router->config->max_message);
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

static bool resolve(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    struct view service = rpc_fields_text(args, "service", RPC_MAX_URI);
    const struct conn *holder;

    if (!rpc_fields_end(args, err))
        return false;
    holder = names_find(caller->router->names, service);
    if (!holder)
        return err_set(err, ERR_NOT_REACHABLE, "%.*s: no such service is connected",
                       VIEW_FMT(service));
    rpc_put_array(to, 1);
    rpc_put_u64(to, holder->session);
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
    if (!grants_remove(caller->router->grants, sid))
        return err_set(err, ERR_NOT_FOUND, "no grant of that session is installed");
    log_event(LOG_INFO, "grant_removed", "n=%zu", grants_count(caller->router->grants));
    rpc_put_array(to, 0);
    return true;
}

static bool peer_get(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    struct view id = rpc_fields_text(args, "id", TEXT_ID);

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(to, 1);
    rpc_put_map(to, 1);
    rpc_put_str(to, "online");
    rpc_put_bool(to, text_is_id(id) && router_find(caller->router, id) != NULL);
    return true;
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

/* [M, sig, ...] */
static bool take_manifest(struct rpc_trust *trust, struct view array, struct err *err)
{
    struct view sigs[MAX_SIGNERS], bytes;
    struct rpc_fields f;
    size_t n = 0;

    rpc_fields_open(&f, array);
    bytes = rpc_fields_bin(&f, "manifest", RPC_MAX_STATEMENT);
    while (n < MAX_SIGNERS && rpc_fields_more(&f))
        sigs[n++] = rpc_fields_bin(&f, "signature", 256);
    return rpc_fields_end(&f, err) && rpc_trust_add_manifest(trust, bytes, sigs, n, err);
}

/* New ones move the trust set forward, whatever becomes of the certificate: they are signed by the
 * root. */
static bool take_manifests(struct router *router, struct view array, struct err *err)
{
    uint64_t before = rpc_trust_manifest(router->trust)->manifest_no;
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    while (rpc_fields_more(&f)) {
        struct view one = rpc_fields_array(&f, "manifest");
        if (one.len && !take_manifest(router->trust, one, err))
            return err_wrap(err, "manifests");
    }
    if (!rpc_fields_end(&f, err))
        return err_wrap(err, "manifests");
    if (rpc_trust_manifest(router->trust)->manifest_no == before)
        return true;
    log_event(LOG_INFO, "manifest", "number=%" PRIu64,
              rpc_trust_manifest(router->trust)->manifest_no);
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
                manifests = rpc_fields_array(args, "manifests");
    struct router *router = caller->router;
    struct view chain[PKI_MAX_CHAIN];
    struct certificate_question question = { router->trust, router->tls_spki,
                                             router_network_time(router) };
    uint64_t not_after;
    char at[CLOCK_TEXT];
    size_t n;

    if (!rpc_fields_end(args, err))
        return false;
    if (!take_manifests(router, manifests, err) || !read_chain(certificates, chain, &n, err))
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
    { "network.grant.install", grant_install },
    { "network.grant.remove", grant_remove },
    { "network.peer.get", peer_get },
    { "network.router.status", router_status },
    { "network.router.certificate", router_certificate },
};

bool network_serve(struct conn *caller, const struct rpc_call *call, struct buf *ret_args,
                   struct err *err)
{
    struct rpc_fields args;

    for (size_t i = 0; i < N_ELEMENTS(services); i++) {
        if (!view_eq_text(call->procedure, services[i].procedure))
            continue;
        rpc_fields_open(&args, rpc_payload_args(call->payload));
        return services[i].act(caller, &args, ret_args, err) ||
               err_wrap(err, "%s", services[i].procedure);
    }
    return err_set(err, ERR_NO_SUCH_PROCEDURE, "the router does not serve %.*s",
                   VIEW_FMT(call->procedure));
}
