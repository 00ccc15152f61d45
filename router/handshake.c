/* SPDX-License-Identifier: Apache-2.0 */
/* What all methods share: the realm, the choice of a method, WELCOME. */
#include "base/text.h"
#include "router/clone.h"
#include "router/handshake_state.h"
#include "router/meta.h"
#include "router/network.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void handshake_free(struct handshake *handshake)
{
    if (!handshake)
        return;
    clone_forget(handshake);
    if (handshake->asking)
        dealer_forget(handshake->asking);
    buf_free(&handshake->admission);
    buf_free(&handshake->signature);
    buf_free(&handshake->text);
    free(handshake);
}

bool handshake_is_decided(const struct conn *conn)
{
    return (conn->state == CONN_PROVING || conn->state == CONN_ADMITTING) && conn->handshake &&
           conn->handshake->is_decided;
}

bool handshake_has_proved_key(const struct conn *conn)
{
    return conn->handshake && conn->handshake->is_proved;
}

void handshake_put_signed(struct buf *to, struct view bytes, struct view sig)
{
    rpc_put_array(to, 2);
    rpc_put_bin(to, bytes);
    rpc_put_bin(to, sig);
}

bool handshake_refuse(struct conn *conn, const char *uri, const char *why)
{
    struct err err = { 0 };
    _buf_ payload = { 0 };

    err_set(&err, ERR_NOT_AUTHORIZED, "%s", why);
    rpc_error_put_payload(&err, &payload);
    conn_abort_with(conn, view_text(uri), (struct rpc_payload){ buf_view(&payload), 2 }, err.text);
    return true;
}

bool handshake_fail(struct conn *conn)
{
    return handshake_refuse(conn, "wamp.error.authentication_failed", "the proof was not accepted");
}

void handshake_challenge(struct handshake *h, struct view extra)
{
    struct rpc_challenge challenge = { view_text(realm_method_name(h->method)), extra };

    conn_send(h->conn, &(struct rpc_msg){ .type = RPC_CHALLENGE, .challenge = challenge });
}

void handshake_admit(struct handshake *h)
{
    const struct principal *principal = h->principal;

    snprintf(h->authid, sizeof(h->authid), "%s", principal->authid);
    handshake_take_role(h, principal->role);
    h->is_decided = true;
}

void handshake_take_role(struct handshake *h, const char *role)
{
    snprintf(h->authrole, sizeof(h->authrole), "%s", role);
    if (realm_is_standard(h->conn->realm) || !role_read(view_text(role), &h->role))
        h->role = ROLE_APPLICATION;
}

/* ---- the method ------------------------------------------------------------------------------ */

/* Nobody in particular. */
static bool anonymous_hello(struct handshake *h, _unused_ const struct conn_input *in,
                            _unused_ struct err *err)
{
    uint8_t name[8];
    _buf_ text = { 0 };

    random_bytes(name, sizeof(name));
    text_put_hex(&text, VIEW_ARR(name));
    snprintf(h->authid, sizeof(h->authid), "anonymous-%s", buf_cstr(&text));
    handshake_take_role(h, h->conn->realm->config->anonymous_role);
    h->is_decided = true;
    return true;
}

static const struct {
    handshake_action *hello, *authenticate;
} actions[REALM_METHODS] = {
    [REALM_NETSIGN] = { netsign_hello, netsign_authenticate },
    [REALM_CRYPTOSIGN] = { cryptosign_hello, cryptosign_authenticate },
    [REALM_WAMPCRA] = { wampcra_hello, wampcra_authenticate },
    [REALM_TICKET] = { ticket_hello, ticket_authenticate },
    [REALM_ANONYMOUS] = { anonymous_hello, NULL },
};

static struct realm *find_realm(struct router *router, struct view name)
{
    for (size_t i = 0; i < router->n_realms; i++) {
        if (view_eq_text(name, router->realms[i]->config->name))
            return router->realms[i];
    }
    return NULL;
}

static bool read_method(struct view name, enum realm_method *ret_method)
{
    for (size_t i = 0; i < REALM_METHODS; i++) {
        if (view_eq_text(name, realm_method_name((enum realm_method)i))) {
            *ret_method = (enum realm_method)i;
            return true;
        }
    }
    return false;
}

/* The first of the client's that the realm has. netsign stands alone: who offers it beside others
 * could be talked into one of those by somebody in between. */
static bool choose_method(const struct realm_config *realm, struct view offered,
                          enum realm_method *ret_method)
{
    enum realm_method method;
    bool is_found = false;
    struct rpc_fields f;
    size_t n = 0;

    *ret_method = REALM_ANONYMOUS;
    if (offered.len)
        rpc_fields_open(&f, offered);
    for (; offered.len && rpc_fields_more(&f); n++) {
        if (!read_method(rpc_fields_text(&f, "method", RPC_MAX_URI), &method) ||
            !realm->has_method[method] || is_found)
            continue;
        *ret_method = method;
        is_found = true;
    }
    if (n == 0) /* nothing said: nobody in particular */
        return realm->has_method[REALM_ANONYMOUS];
    return is_found && (*ret_method != REALM_NETSIGN || n == 1);
}

static bool refuse_methods(struct conn *conn, const struct realm_config *realm)
{
    _buf_ why = { 0 };
    const char *comma = "";

    buf_put_text(&why, "HELLO: authmethods: this realm takes ");
    for (size_t i = 0; i < REALM_METHODS; i++) {
        if (!realm->has_method[i])
            continue;
        buf_printf(&why, "%s%s%s", comma, realm_method_name((enum realm_method)i),
                   i == REALM_NETSIGN ? " (alone)" : "");
        comma = ", ";
    }
    return handshake_refuse(conn, "wamp.error.no_matching_auth_method", buf_cstr(&why));
}

/* Basic Profile, "Client: Role and Feature Announcement". Our own realm takes those too that announce none: what a session
 * may do goes by its identity. */
static bool has_role(struct view roles)
{
    static const char *const known[] = { "caller", "callee", "publisher", "subscriber" };
    struct view unused;

    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (rpc_map_get(roles, known[i], &unused))
            return true;
    return false;
}

bool handshake_hello(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_hello *hello = &in->msg->hello;
    struct handshake *h;
    struct realm *realm = find_realm(conn->router, hello->realm);
    enum realm_method method;

    if (conn->router->is_draining) {
        conn_shut_down(conn);
        return true;
    }
    if (!realm)
        return err_set(err, ERR_NO_SUCH_REALM, "HELLO: realm: this router does not serve %.*s",
                       VIEW_FMT(hello->realm));
    if (realm_is_standard(realm) && !has_role(hello->roles))
        return err_set(err, ERR_BAD_WIRE,
                       "HELLO: roles: none of caller, callee, publisher and subscriber");
    if (!choose_method(realm->config, hello->authmethods, &method))
        return refuse_methods(conn, realm->config);
    h = mem_new(struct handshake);
    h->conn = conn;
    list_init(&h->of_asked);
    h->method = method;
    h->session = router_draw_session(realm);
    conn->realm = realm;
    conn->handshake = h; /* whoever ends the connection frees it */
    return actions[method].hello(h, in, err);
}

bool handshake_authenticate(struct conn *conn, const struct conn_input *in, struct err *err)
{
    struct handshake *h = conn->handshake;

    return actions[h->method].authenticate(h, in, err);
}

/* ---- WELCOME --------------------------------------------------------------------------------- */

/* One key, one session. The same process came again, or the one before gave no sign of life: clone.h. */
static void replace(const struct handshake *h, struct conn *before)
{
    log_event(LOG_INFO, "replaced", "id=%s address=%s other_address=%s same_process=%s", h->authid,
              h->conn->address, before->address,
              memcmp(before->instance, h->instance, sizeof(h->instance)) == 0 ? "yes" : "no");
    conn_goodbye(before, "network.close.replaced",
                 "this ID connected again; the newest connection stays");
}

/* A peer, an admin or den: known to all by its ID, and there once. */
static void establish_identity(struct conn *conn, const struct handshake *h)
{
    struct router *router = conn->router;
    struct conn *before = router_find(router, view_text(h->authid));

    if (before)
        replace(h, before);
    memcpy(conn->pk, h->netsign.client_pk, sizeof(conn->pk));
    memcpy(conn->instance, h->instance, sizeof(conn->instance));
    conn->adm_no = h->adm_no;
    router_note_netkey(router, VIEW_ARR(conn->pk));
    map_set(router->by_id, view_text(h->authid), conn);
    if (h->role != ROLE_DEN)
        return;
    names_set(router->names, VIEW_LIT("den"), conn);
    if (conn->quota.limit[QUOTA_CALLS] < 65536)
        conn->quota.limit[QUOTA_CALLS] = 65536; /* it offers sessions to everybody */
}

static void limit_guest(struct conn *conn)
{
    const struct router_config *config = conn->router->config;

    conn->router->n_guests++;
    conn->quota.limit[QUOTA_CALLS] = config->guest_pending_calls;
    conn->quota.limit[QUOTA_REGISTRATIONS] = config->guest_registrations;
    conn->quota.limit[QUOTA_SUBSCRIPTIONS] = config->guest_subscriptions;
}

static void establish(struct conn *conn, const struct handshake *h)
{
    struct router *router = conn->router;

    if (h->method == REALM_NETSIGN)
        establish_identity(conn, h);
    conn->session = h->session;
    conn->method = h->method;
    conn->joined_at = router_network_time(router);
    conn->role = h->role;
    snprintf(conn->id, sizeof(conn->id), "%s", h->authid);
    snprintf(conn->authrole, sizeof(conn->authrole), "%s",
             *h->authrole ? h->authrole : role_name(h->role));
    map_set(conn->realm->by_session, map_u64(&conn->session), conn);
    deadline_clear(&router->deadlines, &conn->silence);
    if (h->role == ROLE_GUEST)
        limit_guest(conn);
    else
        router->outside.trusted(conn->wire);
    if (router->outside.established)
        router->outside.established(conn->wire);
}

/* Anybody is a guest: each gets little, and all of them together. */
static bool check_guests(struct conn *conn, struct err *err)
{
    const struct router *router = conn->router;

    if (conn->handshake->role != ROLE_GUEST || !router->config->max_guests ||
        router->n_guests < router->config->max_guests)
        return true;
    conn_over(conn, LIMIT_GUESTS);
    return err_set(err, ERR_LIMIT, "%" PRIu64 " guests are here already", router->n_guests);
}

bool handshake_welcome(struct conn *conn, _unused_ const struct conn_input *in, struct err *err)
{
    struct handshake *h = conn->handshake;
    struct rpc_welcome welcome = {
        .realm = view_text(conn->realm->config->name),
        .authmethod = view_text(realm_method_name(h->method)),
        .authprovider = view_text(h->method == REALM_NETSIGN ? "den" : "static"),
        .agent = VIEW_LIT("warren-router"),
    };
    _buf_ extra = { 0 };

    assert(h); /* the table: EV_ADMITTED comes while admitting */
    if (!check_guests(conn, err))
        return false;
    establish(conn, h);
    metrics_count(&conn->router->metrics, METRIC_HANDSHAKES_OK);
    welcome.session = conn->session;
    welcome.authid = conn_id(conn);
    welcome.authrole = view_text(conn->authrole);
    rpc_put_map(&extra, h->admission.len ? 1 : 0);
    if (h->admission.len) {
        rpc_put_str(&extra, "admission");
        handshake_put_signed(&extra, buf_view(&h->admission), buf_view(&h->signature));
    }
    welcome.authextra = buf_view(&extra);
    log_event(LOG_INFO, "joined", "id=%s role=%s address=%s session=%" PRIu64 " realm=%s method=%s",
              conn->id, conn->authrole, conn->address, conn->session, conn->realm->config->name,
              realm_method_name(conn->method));
    conn_send(conn, &(struct rpc_msg){ .type = RPC_WELCOME, .welcome = welcome });
    handshake_free(STEAL(conn->handshake));
    network_say_joined(conn);
    meta_on_join(conn);
    return true;
}
