/* SPDX-License-Identifier: Apache-2.0 */
#include "router/relay_open.h"
#include "router/revocations.h"

struct signed_parts {
    struct view grant, grant_sig, relay, relay_sig, admission, admission_sig;
};

static bool read_parts(struct view message, struct signed_parts *ret, struct err *err)
{
    struct rpc_fields f;
    size_t len;

    if (!rpc_walk(message, &len, err))
        return false;
    if (len != message.len)
        return err_set(err, ERR_BAD_WIRE, "bytes after its end");
    rpc_fields_open(&f, message);
    ret->grant = rpc_fields_bin(&f, "grant", RPC_MAX_STATEMENT);
    ret->grant_sig = rpc_fields_fixed(&f, "grant's signature", SIG_SIZE);
    ret->relay = rpc_fields_bin(&f, "relay", RPC_MAX_STATEMENT);
    ret->relay_sig = rpc_fields_fixed(&f, "relay's signature", SIG_SIZE);
    ret->admission = rpc_fields_bin(&f, "admission", RPC_MAX_STATEMENT);
    ret->admission_sig = rpc_fields_fixed(&f, "admission's signature", SIG_SIZE);
    return rpc_fields_end(&f, err);
}

/* Installed here; or by the router's life before this one, and not removed since. */
static bool is_installed(const struct router *router, const struct relay_greeting *greeting,
                         const struct rpc_grant *g, struct view bytes)
{
    if (grants_holds(router->grants, g->sid, bytes))
        return true;
    return g->issued_at < greeting->started_at && !map_get(greeting->removed, g->sid);
}

static bool check_grant(const struct router *router, const struct relay_greeting *greeting,
                        const struct signed_parts *parts, struct rpc_grant *ret_grant,
                        enum relay_code *ret_code, struct err *err)
{
    uint64_t now = router_network_time(router);

    *ret_code = RELAY_NO_GRANT;
    if (!rpc_trust_open(router->trust, RPC_W_GRANT, parts->grant, parts->grant_sig, now, ret_grant,
                        err))
        return err_wrap(err, "grant");
    if (!view_eq(ret_grant->netid, rpc_trust_netid(router->trust)))
        return err_set(err, ERR_BAD_STATEMENT, "grant: netid: of another network");
    if (!is_installed(router, greeting, ret_grant, parts->grant))
        return err_set(err, ERR_NOT_FOUND, "grant: no such session is open");
    *ret_code = RELAY_ENDED;
    if (ret_grant->live_until != 0 && ret_grant->live_until <= now)
        return err_set(err, ERR_EXPIRED, "grant: live_until: has passed");
    return true;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

static bool is_of_a_proxy(const struct router *router, struct view certificate)
{
    for (size_t i = 0; i < router->n_proxy_certificates; i++) {
        if (view_eq(certificate, VIEW(router->proxy_certificates[i], HASH_SIZE)))
            return true;
    }
    return false;
}

/* To this connection, as netsign is. */
static bool is_bound(const struct router *router, const struct relay_greeting *greeting,
                     const struct rpc_relay *y)
{
    static const uint8_t zeros[HASH_SIZE];

    if (greeting->exporter)
        return view_eq_text(y->binding, RPC_BINDING_EXPORTER) &&
               view_eq(y->binding_data, VIEW(greeting->exporter, HASH_SIZE));
    if (router->n_proxy_certificates)
        return view_eq_text(y->binding, RPC_BINDING_CERTIFICATE) &&
               is_of_a_proxy(router, y->binding_data);
    return view_eq_text(y->binding, RPC_BINDING_NONE) && is_loopback(greeting->address) &&
           view_eq(y->binding_data, VIEW_ARR(zeros));
}

/* It is read before it is verified, to see whose key it has to be by: one of the two in the grant. */
static bool check_relay(const struct router *router, const struct relay_greeting *greeting,
                        const struct signed_parts *parts, struct relay_opening *opening,
                        struct err *err)
{
    const struct rpc_grant *g = &opening->grant;
    uint8_t grant_hash[HASH_SIZE];
    struct rpc_relay y;
    struct view pk;

    if (!rpc_statement_read(RPC_W_RELAY, parts->relay, &y, err))
        return err_wrap(err, "relay");
    pk = y.side == RPC_SIDE_CALLER ? g->a_pk : g->b_pk;
    if (!rpc_statement_open(RPC_W_RELAY, pk, parts->relay, parts->relay_sig, &y, err))
        return err_wrap(err, "relay");
    hash_sha256(parts->grant, grant_hash);
    if (!view_eq(y.netid, g->netid) || !view_eq(y.sid, g->sid) ||
        !view_eq(y.grant_hash, VIEW_ARR(grant_hash)))
        return err_set(err, ERR_BAD_STATEMENT, "relay: of another session");
    if (!view_eq(y.pk, pk))
        return err_set(err, ERR_WRONG_KEY, "relay: pk: not that of its side");
    if (!view_eq(y.router_pk, VIEW(key_public(router->key), KEY_SIZE)))
        return err_set(err, ERR_WRONG_KEY, "relay: router_pk: of another router");
    if (!view_eq(y.nonce, VIEW_ARR(greeting->nonce)))
        return err_set(err, ERR_REPLAYED, "relay: nonce: not the one of this connection");
    if (!is_bound(router, greeting, &y))
        return err_set(err, ERR_WRONG_BINDING, "relay: binding: to another connection");
    opening->side = y.side == RPC_SIDE_CALLER ? RELAY_CALLER : RELAY_CALLEE;
    return true;
}

static bool check_admission(const struct router *router, const struct signed_parts *parts,
                            struct relay_opening *opening, struct err *err)
{
    bool is_caller = opening->side == RELAY_CALLER;
    struct view id = is_caller ? opening->grant.a_id : opening->grant.b_id,
                pk = is_caller ? opening->grant.a_pk : opening->grant.b_pk;
    struct rpc_admission *a = &opening->admission;
    uint64_t now = router_network_time(router);

    if (!rpc_trust_open(router->trust, RPC_W_ADMISSION, parts->admission, parts->admission_sig, now,
                        a, err))
        return err_wrap(err, "admission");
    if (!view_eq(a->netid, opening->grant.netid) || !view_eq(a->id, id) ||
        !view_eq(a->client_pk, pk))
        return err_set(err, ERR_BAD_STATEMENT, "admission: not that of this end");
    if (a->not_after <= now)
        return err_set(err, ERR_EXPIRED, "admission: not_after: has passed");
    return true;
}

static bool check_not_revoked(const struct router *router, const struct relay_opening *opening,
                              struct err *err)
{
    bool is_caller = opening->side == RELAY_CALLER;
    const struct rpc_grant *g = &opening->grant;

    if (rpc_revoked_has(router->revoked, RPC_REVOKED_IDENTITY, is_caller ? g->b_pk : g->a_pk))
        return err_set(err, ERR_REVOKED, "the other end's identity key was revoked");
    return revocations_check(router, is_caller ? g->a_pk : g->b_pk, &opening->admission, err);
}

bool relay_open(const struct router *router, const struct relay_greeting *greeting,
                struct view message, struct relay_opening *ret_opening, enum relay_code *ret_code,
                struct err *err)
{
    struct relay_opening opening = { 0 };
    struct signed_parts parts;

    *ret_code = RELAY_BAD_MESSAGE;
    if (!read_parts(message, &parts, err))
        return err_wrap(err, "opening");
    if (!check_grant(router, greeting, &parts, &opening.grant, ret_code, err))
        return false;
    *ret_code = RELAY_BAD_PROOF;
    if (!check_relay(router, greeting, &parts, &opening, err) ||
        !check_admission(router, &parts, &opening, err))
        return false;
    *ret_code = RELAY_REVOKED;
    if (!check_not_revoked(router, &opening, err))
        return false;
    *ret_opening = opening;
    return true;
}
