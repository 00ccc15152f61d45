/* SPDX-License-Identifier: Apache-2.0 */
#include "router/handshake.h"
#include "router/router.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct handshake {
    struct conn *conn;
    struct rpc_netsign netsign; /* what both ends signed */
    uint8_t instance[16];
    struct call *asking;           /* den.identity.admit is under way */
    uint8_t enrol_hash[HASH_SIZE]; /* of the enrolment that den was asked about */
    bool has_enrol;
    bool is_decided;
    enum role role;
    char id[TEXT_ID];
    struct buf admission, signature; /* as the peer gets it; empty for den */
};

void handshake_free(struct handshake *handshake)
{
    if (!handshake)
        return;
    if (handshake->asking)
        dealer_forget(handshake->asking);
    buf_free(&handshake->admission);
    buf_free(&handshake->signature);
    free(handshake);
}
OWN_FREEP(handshake, struct handshake)

bool handshake_is_decided(const struct conn *conn)
{
    return conn->state == CONN_ADMITTING && conn->handshake->is_decided;
}

/* ---- HELLO, CHALLENGE ------------------------------------------------------------------------ */

static bool offers_netsign(struct view authmethods)
{
    struct rpc_fields f;

    if (authmethods.len == 0)
        return false;
    rpc_fields_open(&f, authmethods);
    while (rpc_fields_more(&f)) {
        if (view_eq_text(rpc_fields_text(&f, "method", RPC_MAX_URI), "netsign"))
            return true;
    }
    return false;
}

static bool read_fixed(struct view extra, const char *key, uint8_t *to, size_t size,
                       struct err *err)
{
    struct view bytes;

    if (!rpc_map_bin(extra, key, &bytes) || bytes.len != size)
        return err_set(err, ERR_BAD_WIRE, "HELLO: authextra: %s: not binary of %zu bytes", key,
                       size);
    memcpy(to, bytes.data, size);
    return true;
}

static bool read_extra(struct handshake *h, struct view extra, struct err *err)
{
    struct view binding;

    if (!read_fixed(extra, "pubkey", h->netsign.client_pk, KEY_SIZE, err))
        return false;
    if (!read_fixed(extra, "nonce", h->netsign.nonce_client, RPC_NONCE32, err))
        return false;
    if (!read_fixed(extra, "instance", h->instance, sizeof(h->instance), err))
        return false;
    if (!rpc_map_text(extra, "binding", &binding) || !view_eq_text(binding, RPC_BINDING_EXPORTER))
        return err_set(err, ERR_BAD_WIRE, "HELLO: authextra: binding: this router takes %s alone",
                       RPC_BINDING_EXPORTER);
    return true;
}

static void fill_netsign(const struct conn *conn, struct rpc_netsign *n, struct view hello)
{
    const struct router *router = conn->router;

    snprintf(n->network, sizeof(n->network), "%s", rpc_trust_network(router->trust));
    memcpy(n->netid, rpc_trust_netid(router->trust).data, HASH_SIZE);
    snprintf(n->binding, sizeof(n->binding), "%s", RPC_BINDING_EXPORTER);
    memcpy(n->binding_data, conn->exporter, sizeof(n->binding_data));
    random_bytes(n->nonce_router, sizeof(n->nonce_router));
    memcpy(n->router_pk, key_public(router->key), KEY_SIZE);
    hash_sha256(hello, n->hello_hash);
    n->has_heartbeat = rpc_trust_heartbeat(router->trust) != NULL;
    if (n->has_heartbeat)
        hash_sha256(rpc_trust_heartbeat_bytes(router->trust), n->heartbeat_hash);
}

static void put_signed(struct buf *to, struct view bytes, struct view sig)
{
    rpc_put_array(to, 2);
    rpc_put_bin(to, bytes);
    rpc_put_bin(to, sig);
}

/* CHALLENGE.extra: who we are, what the root says about it, and the newest heartbeat. */
static bool put_challenge(const struct conn *conn, const struct rpc_netsign *n,
                          struct view hello_extra, struct buf *to, struct err *err)
{
    const struct rpc_trust *trust = conn->router->trust;
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };
    struct view pin = { 0 };
    uint8_t sig[SIG_SIZE];
    uint64_t known = 0;

    rpc_map_u64(hello_extra, "manifest", &known);
    rpc_map_bin(hello_extra, "pin", &pin);
    if (!rpc_trust_put_challenge(trust, known, pin, &roots, &manifests, err))
        return false;
    rpc_netsign_sign(n, true, conn->router->key, sig);
    rpc_put_map(to, n->has_heartbeat ? 6 : 5);
    rpc_put_str(to, "pubkey");
    rpc_put_bin(to, VIEW_ARR(n->router_pk));
    rpc_put_str(to, "nonce");
    rpc_put_bin(to, VIEW_ARR(n->nonce_router));
    rpc_put_str(to, "signature");
    rpc_put_bin(to, VIEW_ARR(sig));
    rpc_put_str(to, "roots");
    rpc_put_raw(to, buf_view(&roots));
    rpc_put_str(to, "manifests");
    rpc_put_raw(to, buf_view(&manifests));
    if (n->has_heartbeat) {
        rpc_put_str(to, "heartbeat");
        put_signed(to, rpc_trust_heartbeat_bytes(trust), rpc_trust_heartbeat_sig(trust));
    }
    return true;
}

bool handshake_hello(struct conn *conn, const struct conn_input *in, struct err *err)
{
    _cleanup_(handshake_freep) struct handshake *h = mem_new(struct handshake);
    const struct rpc_hello *hello = &in->msg->hello;
    _buf_ extra = { 0 };

    if (!view_eq_text(hello->realm, rpc_trust_network(conn->router->trust)))
        return err_set(err, ERR_NO_SUCH_REALM, "HELLO: realm: this router serves %s, not %.*s",
                       rpc_trust_network(conn->router->trust), VIEW_FMT(hello->realm));
    if (!offers_netsign(hello->authmethods))
        return err_set(err, ERR_NOT_AUTHORIZED,
                       "HELLO: authmethods: this router takes netsign alone");
    if (!read_extra(h, hello->authextra, err))
        return false;
    h->conn = conn;
    fill_netsign(conn, &h->netsign, in->frame);
    if (!put_challenge(conn, &h->netsign, hello->authextra, &extra, err))
        return err_wrap(err, "HELLO");
    conn_send(conn, &(struct rpc_msg){ .type = RPC_CHALLENGE,
                                       .challenge = { VIEW_LIT("netsign"), buf_view(&extra) } });
    conn->handshake = STEAL(h);
    return true;
}

/* ---- AUTHENTICATE ---------------------------------------------------------------------------- */

/* [X, sig] or, with `ret_third`, [X, sig, third or nil]. */
static bool read_signed(const char *what, struct view array, struct view *ret_bytes,
                        struct view *ret_sig, struct view *ret_third, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    *ret_bytes = rpc_fields_bin(&f, "statement", RPC_MAX_STATEMENT);
    *ret_sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (ret_third)
        *ret_third = rpc_fields_bin_or_nil(&f, "token signature", SIG_SIZE);
    return rpc_fields_end(&f, err) || err_wrap(err, "%s", what);
}

/* Admissions are believed without den for as long as den was heard of lately. */
static bool check_not_stale(const struct router *router, struct err *err)
{
    const struct rpc_heartbeat *heartbeat = rpc_trust_heartbeat(router->trust);
    uint64_t age = rpc_trust_heartbeat_age(router->trust, router->now.mono);

    if (age == UINT64_MAX) /* it is from disk: what the wall clock says since */
        age = router->now.wall > heartbeat->time ? router->now.wall - heartbeat->time : 0;
    if (age > router->config->admission_stale)
        return err_set(err, ERR_DEN_AWAY, "den was last heard of %" PRIu64 " s ago",
                       age / SECOND_MS);
    return true;
}

static bool read_role(struct view text, enum role *ret_role)
{
    if (view_eq_text(text, "peer"))
        *ret_role = ROLE_PEER;
    else if (view_eq_text(text, "admin"))
        *ret_role = ROLE_ADMIN;
    else
        return false;
    return true;
}

static bool check_admission(const struct handshake *h, const struct rpc_admission *a,
                            struct err *err)
{
    if (!view_eq(a->netid, VIEW_ARR(h->netsign.netid)))
        return err_set(err, ERR_BAD_STATEMENT, "netid: of another network");
    if (!view_eq(a->client_pk, VIEW_ARR(h->netsign.client_pk)))
        return err_set(err, ERR_WRONG_KEY,
                       "client_pk: of another key than the one that was proved");
    if (a->not_after <= router_network_time(h->conn->router))
        return err_set(err, ERR_EXPIRED, "not_after: has passed");
    if (h->has_enrol && !view_eq(a->enrol_hash, VIEW_ARR(h->enrol_hash)))
        return err_set(err, ERR_BAD_STATEMENT, "H(enrol): not that of the enrolment that was sent");
    if (!text_is_id(a->id))
        return err_set(err, ERR_BAD_STATEMENT, "id: not 6 to 9 digits");
    return true;
}

static bool take_admission(struct handshake *h, struct view bytes, struct view sig, struct err *err)
{
    const struct router *router = h->conn->router;
    struct rpc_admission a;

    if (!rpc_trust_open(router->trust, RPC_W_ADMISSION, bytes, sig, router_network_time(router), &a,
                        err))
        return err_wrap(err, "admission");
    if (!check_admission(h, &a, err))
        return err_wrap(err, "admission");
    if (!read_role(a.role, &h->role))
        return err_set(err, ERR_BAD_STATEMENT, "admission: role: neither peer nor admin");
    snprintf(h->id, sizeof(h->id), "%.*s", VIEW_FMT(a.id));
    h->admission = buf_dup(bytes);
    h->signature = buf_dup(sig);
    h->is_decided = true;
    return true;
}

static void on_admitted(void *user, const struct dealer_answer *answer)
{
    struct handshake *h = user;
    struct conn *conn = h->conn;
    struct view bytes, sig;
    struct err err = { 0 };

    h->asking = NULL;
    if (answer->is_error) {
        rpc_error_read(answer->uri, answer->payload, &err);
        conn_abort_with(conn, answer->uri, answer->payload, err.text);
        return;
    }
    if (!read_signed("den.identity.admit", rpc_payload_args(answer->payload), &bytes, &sig, NULL,
                     &err) ||
        !take_admission(h, bytes, sig, &err) || !conn_step(conn, EV_ADMITTED, NULL, &err))
        conn_abort(conn, &err);
}

/* Checked here already, so that nobody can make den verify what is not even signed. */
static bool check_enrol(struct handshake *h, struct view bytes, struct view sig, struct err *err)
{
    struct rpc_enrol e;

    if (!rpc_statement_open(RPC_W_ENROL, VIEW_ARR(h->netsign.client_pk), bytes, sig, &e, err))
        return err_wrap(err, "enrolment");
    if (!view_eq(e.netid, VIEW_ARR(h->netsign.netid)) ||
        !view_eq(e.client_pk, VIEW_ARR(h->netsign.client_pk)))
        return err_set(err, ERR_BAD_STATEMENT, "enrolment: of another network or key");
    hash_sha256(bytes, h->enrol_hash);
    h->has_enrol = true;
    return true;
}

static bool ask_den(struct handshake *h, struct view enrol, struct err *err)
{
    struct view bytes, sig, token_sig;
    _buf_ args = { 0 };

    if (!read_signed("AUTHENTICATE: enrol", enrol, &bytes, &sig, &token_sig, err))
        return false;
    if (!check_enrol(h, bytes, sig, err))
        return false;
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, bytes);
    rpc_put_bin(&args, sig);
    if (token_sig.len)
        rpc_put_bin(&args, token_sig);
    else
        rpc_put_nil(&args);
    h->asking = dealer_ask(h->conn->router, "den.identity.admit", rpc_args(buf_view(&args)),
                           h->conn->address, on_admitted, h);
    if (!h->asking)
        return err_set(err, ERR_DEN_AWAY, "den is not connected: no enrolment now");
    return true;
}

static bool is_den(const struct handshake *h)
{
    const struct router *router = h->conn->router;
    struct err ignored;

    return rpc_trust_check_key(router->trust, RPC_KEY_DEN_LOGIN, VIEW_ARR(h->netsign.client_pk),
                               router_network_time(router), &ignored);
}

bool handshake_authenticate(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_authenticate *proof = &in->msg->authenticate;
    struct handshake *h = conn->handshake;
    struct view value, bytes, sig;

    if (!rpc_netsign_verify(&h->netsign, false, proof->signature, err))
        return err_wrap(err, "AUTHENTICATE");
    if (is_den(h)) {
        h->role = ROLE_DEN;
        memcpy(h->id, "den", sizeof("den"));
        h->is_decided = true;
        return true;
    }
    if (!h->netsign.has_heartbeat)
        return err_set(err, ERR_DEN_AWAY, "den has not been heard of yet");
    if (rpc_map_get(proof->extra, "admission", &value))
        return read_signed("AUTHENTICATE: admission", value, &bytes, &sig, NULL, err) &&
               check_not_stale(conn->router, err) && take_admission(h, bytes, sig, err);
    if (rpc_map_get(proof->extra, "enrol", &value))
        return ask_den(h, value, err);
    return err_set(err, ERR_BAD_WIRE, "AUTHENTICATE: extra: neither admission nor enrol");
}

/* ---- WELCOME --------------------------------------------------------------------------------- */

/* One key, one session: the newest stays. Two processes with one key are a clone, or a copied
 * state folder. */
static void replace(const struct handshake *h, struct conn *before)
{
    if (memcmp(before->instance, h->instance, sizeof(h->instance)) != 0)
        log_event(LOG_WARN, "clone", "id=%s address=%s other_address=%s", h->id, h->conn->address,
                  before->address);
    conn_goodbye(before, "network.close.replaced",
                 "this ID connected again; the newest connection stays");
}

static uint64_t draw_session(void)
{
    uint64_t n;

    do {
        random_bytes(&n, sizeof(n));
        n &= RPC_MAX_ID - 1;
    } while (n == 0);
    return n;
}

static void establish(struct conn *conn, const struct handshake *h)
{
    struct router *router = conn->router;
    struct conn *before = router_find(router, view_text(h->id));

    if (before)
        replace(h, before);
    conn->realm = router->home;
    conn->session = draw_session();
    snprintf(conn->id, sizeof(conn->id), "%s", h->id);
    conn->role = h->role;
    memcpy(conn->pk, h->netsign.client_pk, sizeof(conn->pk));
    memcpy(conn->instance, h->instance, sizeof(conn->instance));
    snprintf(conn->authrole, sizeof(conn->authrole), "%s", role_name(h->role));
    map_set(conn->realm->by_session, map_u64(&conn->session), conn);
    map_set(router->by_id, conn_id(conn), conn);
    if (conn->role == ROLE_DEN) {
        names_set(router->names, VIEW_LIT("den"), conn);
        if (conn->quota.limit[QUOTA_CALLS] < 65536)
            conn->quota.limit[QUOTA_CALLS] = 65536; /* it offers sessions to everybody */
    }
    deadline_clear(&router->deadlines, &conn->silence);
    router->outside.trusted(conn->wire);
}

bool handshake_welcome(struct conn *conn, _unused_ const struct conn_input *in,
                       _unused_ struct err *err)
{
    struct handshake *h = conn->handshake;
    struct rpc_welcome welcome = {
        .realm = view_text(rpc_trust_network(conn->router->trust)),
        .authmethod = VIEW_LIT("netsign"),
        .authprovider = VIEW_LIT("den"),
        .agent = VIEW_LIT("warren-router"),
    };
    _buf_ extra = { 0 };

    assert(h); /* the table: EV_ADMITTED comes while admitting */
    establish(conn, h);
    welcome.session = conn->session;
    welcome.authid = conn_id(conn);
    welcome.authrole = view_text(conn->authrole);
    rpc_put_map(&extra, h->admission.len ? 1 : 0);
    if (h->admission.len) {
        rpc_put_str(&extra, "admission");
        put_signed(&extra, buf_view(&h->admission), buf_view(&h->signature));
    }
    welcome.authextra = buf_view(&extra);
    log_event(LOG_INFO, "joined", "id=%s role=%s address=%s session=%" PRIu64, conn->id,
              conn->authrole, conn->address, conn->session);
    conn_send(conn, &(struct rpc_msg){ .type = RPC_WELCOME, .welcome = welcome });
    handshake_free(STEAL(conn->handshake));
    return true;
}
