/* SPDX-License-Identifier: Apache-2.0 */
#include "router/policy.h"
#include "base/text.h"

enum {
    GUEST = 1 << ROLE_GUEST,
    PEER = 1 << ROLE_PEER,
    ADMIN = 1 << ROLE_ADMIN,
    SCRIPT = 1 << ROLE_SCRIPT,
    DEN = 1 << ROLE_DEN
};
enum {
    PEERS = PEER | ADMIN,
    ALL = GUEST | PEERS | SCRIPT | DEN,
    META = ALL, /* of those the realm named */
    OPENED = PEERS | SCRIPT,
};
enum {
    CALL = 1 << POLICY_CALL,
    REGISTER = 1 << POLICY_REGISTER,
    PUBLISH = 1 << POLICY_PUBLISH,
    SUBSCRIBE = 1 << POLICY_SUBSCRIBE
};

/* The first row decides whose verb fits and whose name the URI is or stands below. peer.<id> is not
 * in here: its rows are by_other, for what follows the ID. */
struct row {
    const char *name;
    unsigned verbs, roles;
};
static const struct row rows[] = {
    { "network.info", CALL, ALL },
    { "network.whoami", CALL, ALL },
    { "network.ping", CALL, ALL },
    { "network.resolve", CALL, ALL },
    { "network.grant.install", CALL, DEN },
    { "network.grant.remove", CALL, DEN },
    { "network.revocations.install", CALL, DEN },
    { "network.revocations.list", CALL, DEN },
    { "network.router.certificate", CALL, DEN },
    { "network.router.status", CALL, DEN },
    { "network.reverse", CALL, ALL },
    { "network.stats", CALL, DEN | ADMIN },
    { "network.peer.get", CALL, DEN | ADMIN },
    { "network.peer.list", CALL, DEN | ADMIN },
    { "network.peer.kick", CALL, DEN | ADMIN },
    { "network.grant.list", CALL, DEN | ADMIN },
    { "network.peer.on_clone", SUBSCRIBE, PEERS | DEN },
    { "network.peer", SUBSCRIBE, DEN | ADMIN },
    { "wamp", CALL | SUBSCRIBE, META },

    { "den.identity.admit", CALL, GUEST | PEER | ADMIN },
    { "den.identity.refresh", CALL, PEERS },
    { "den.identity.rekey", CALL, PEERS },
    { "den.identity.keys", CALL, PEERS },
    { "den.identity.unsigned", CALL, PEERS },
    { "den.directory", CALL, PEERS },
    { "den.name.all", CALL, ADMIN },
    { "den.name.assign", CALL, ADMIN },
    { "den.name.free", CALL, ADMIN },
    { "den.name", CALL, PEERS },
    { "den.ca.chain", CALL, ALL },
    { "den.ca.crl", CALL, ALL },
    { "den.ca.revocations", CALL, ALL },
    { "den.time", CALL, ALL },
    { "den.refusal", CALL, 0 }, /* the router's own */
    { "den.ca.sign", CALL, PEERS },
    { "den.ca.acknowledge", CALL, PEERS },
    { "den.ca.revoke", CALL, PEERS },
    { "den.session.list", CALL, ADMIN },
    { "den.session.end", CALL, ADMIN },
    { "den.session", CALL, PEERS },
    { "den.peer", CALL, ADMIN },
    { "den.waiting", CALL, ADMIN },
    { "den.rollover", CALL, ADMIN },
    { "den.status", CALL, ADMIN },
    { "den.policy", CALL, ADMIN },
    { "den.audit", CALL, ADMIN },
    { "den.token", CALL, ADMIN },
    { "den.cert", CALL, ADMIN },
    { "den.router", CALL, ADMIN },
    { "den.heartbeat", SUBSCRIBE, ALL },
    { "den.ca.on_revoke", SUBSCRIBE, ALL },
    { "den.ca.on_manifest", SUBSCRIBE, ALL },
    { "den.session.on_state", SUBSCRIBE, PEERS },
    { "den", REGISTER | PUBLISH | SUBSCRIBE, DEN },
};

/* Below peer.<id>, for everybody but <id> itself. */
struct peer_row {
    unsigned verbs;
    const char *name; /* what follows the ID; "": anything */
    unsigned roles;
    enum { BY_ROLE, BY_GRANT, BY_CAP } by;
};
static const struct peer_row by_other[] = {
    { CALL, "session.offer", DEN, BY_ROLE },
    { CALL, "session.packets", PEERS, BY_GRANT },
    { CALL, "session", 0, BY_ROLE },
    { CALL, "ice.update", PEERS, BY_GRANT },
    { CALL, "ice", 0, BY_ROLE },
    { CALL, "", PEERS, BY_CAP }, /* call:<first component> */
};

const char *role_name(enum role role)
{
    static const char *const names[] = { "guest", "peer", "admin", "script", "den", "application" };

    return names[role];
}

bool role_read(struct view text, enum role *ret_role)
{
    for (enum role role = ROLE_GUEST; role <= ROLE_SCRIPT; role++) {
        if (view_eq_text(text, role_name(role))) {
            *ret_role = role;
            return true;
        }
    }
    return false;
}

/* "peer.<id>.<rest>" apart, where <id> is an ID and <rest> is not empty, unless all that is below
 * is asked for. */
static bool read_owner(struct view uri, bool is_tree, struct view *ret_id, struct view *ret_rest)
{
    struct view after = view_sub(uri, 5, uri.len);
    const uint8_t *dot = after.len ? memchr(after.data, '.', after.len) : NULL;
    size_t len = dot ? (size_t)(dot - after.data) : is_tree ? after.len : 0;

    if (!view_starts(uri, VIEW_LIT("peer.")) || !text_is_id(view_sub(after, 0, len)))
        return false;
    *ret_id = view_sub(after, 0, len);
    *ret_rest = view_sub(after, len + 1, after.len);
    return is_tree || ret_rest->len > 0;
}

static enum policy_verdict by_grant(const struct policy_ask *ask, struct view owner,
                                    struct view cap)
{
    switch (grants_ask(ask->grants, ask->id, owner, cap, ask->now)) {
    case GRANTS_ALLOWED:
        return POLICY_ALLOWED;
    case GRANTS_WITHOUT_CAP:
        return POLICY_NO_CAPABILITY;
    case GRANTS_NONE:
        return POLICY_NO_GRANT;
    }
    return POLICY_FORBIDDEN;
}

static enum policy_verdict by_cap(const struct policy_ask *ask, struct view owner, struct view rest)
{
    const uint8_t *dot = memchr(rest.data, '.', rest.len);
    _buf_ cap = { 0 };

    if (!dot) /* peer.<id>.<app> alone is no method */
        return POLICY_FORBIDDEN;
    buf_put_text(&cap, "call:");
    buf_put(&cap, VIEW(rest.data, (size_t)(dot - rest.data)));
    return by_grant(ask, owner, buf_view(&cap));
}

static enum policy_verdict decide_peer(const struct policy_ask *ask, struct view owner,
                                       struct view rest)
{
    unsigned verb = 1u << ask->verb, role = 1u << ask->role;

    if ((role & PEERS) && view_eq(owner, ask->id)) /* its own: everything but calling itself */
        return ask->verb == POLICY_CALL ? POLICY_FORBIDDEN : POLICY_ALLOWED;
    for (size_t i = 0; i < N_ELEMENTS(by_other); i++) {
        const struct peer_row *row = &by_other[i];
        if (!(row->verbs & verb) || (*row->name && !rpc_uri_is_below(view_text(row->name), rest)))
            continue;
        if (!(row->roles & role))
            return POLICY_FORBIDDEN;
        if (row->by == BY_ROLE)
            return POLICY_ALLOWED;
        return row->by == BY_GRANT ? by_grant(ask, owner, (struct view){ 0 })
                                   : by_cap(ask, owner, rest);
    }
    return POLICY_FORBIDDEN;
}

/* The one part of the meta API that is about the session itself. */
static bool policy_is_testament(struct view uri)
{
    return view_eq_text(uri, "wamp.session.add_testament") ||
           view_eq_text(uri, "wamp.session.flush_testaments");
}

/* A realm of another application is that application's, but for what is below `wamp.`: that is the
 * router's own. */
static enum policy_verdict decide_standard(const struct policy_ask *ask)
{
    if (!rpc_uri_is_below(VIEW_LIT("wamp"), ask->uri))
        return POLICY_ALLOWED;
    return ask->verb == POLICY_CALL || ask->verb == POLICY_SUBSCRIBE ? POLICY_ALLOWED
                                                                     : POLICY_FORBIDDEN;
}

/* Whether a row below what is asked for is closed to the one who asks for all of it. */
static bool has_closed_row(const struct policy_ask *ask)
{
    unsigned verb = 1u << ask->verb, role = 1u << ask->role;

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if ((rows[i].verbs & verb) && !(rows[i].roles & role) &&
            rpc_uri_is_below(ask->uri, view_text(rows[i].name)))
            return true;
    }
    return false;
}

enum policy_verdict policy_decide(const struct policy_ask *ask)
{
    unsigned verb = 1u << ask->verb, role = 1u << ask->role;
    struct view owner, rest;

    if (!ask->may_meta && rpc_uri_is_below(VIEW_LIT("wamp"), ask->uri) &&
        !policy_is_testament(ask->uri))
        return POLICY_FORBIDDEN;
    if (ask->is_standard)
        return decide_standard(ask);
    if (read_owner(ask->uri, ask->is_tree, &owner, &rest))
        return decide_peer(ask, owner, rest);
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if ((rows[i].verbs & verb) && rpc_uri_is_below(view_text(rows[i].name), ask->uri))
            return (rows[i].roles & role) && !(ask->is_tree && has_closed_row(ask))
                       ? POLICY_ALLOWED
                       : POLICY_FORBIDDEN;
    }
    return ask->is_open && (role & OPENED) ? POLICY_ALLOWED : POLICY_FORBIDDEN;
}

bool policy_refuse(enum policy_verdict verdict, const struct policy_ask *ask, struct err *err)
{
    static const char *const verbs[] = { "call", "register", "publish to", "subscribe to" };

    switch (verdict) {
    case POLICY_NO_GRANT:
        return err_set(err, ERR_NOT_AUTHORIZED, "no grant of den lets %.*s call %.*s",
                       VIEW_FMT(ask->id), VIEW_FMT(ask->uri));
    case POLICY_NO_CAPABILITY:
        return err_set(err, ERR_CAPABILITY, "the grant does not let %.*s call %.*s",
                       VIEW_FMT(ask->id), VIEW_FMT(ask->uri));
    case POLICY_FORBIDDEN:
    case POLICY_ALLOWED:
        break;
    }
    return err_set(err, ERR_NOT_AUTHORIZED, "%s may not %s %.*s", role_name(ask->role),
                   verbs[ask->verb], VIEW_FMT(ask->uri));
}
