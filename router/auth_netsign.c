/* SPDX-License-Identifier: Apache-2.0 */
/* netsign: both ends sign what they know of the connection, then an admission is shown or fetched
 * from den. */
#include "router/clone.h"
#include "router/handshake_state.h"
#include "router/revocations.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- HELLO, CHALLENGE ------------------------------------------------------------------------ */

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

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

/* Behind a proxy that ends TLS there is no exporter: the certificate that the client saw is bound
 * instead (RFC 5929), which has to be one that the operator listed. HELLO may say which. */
static bool bind_certificate(struct handshake *h, struct view extra, struct err *err)
{
    const struct router *router = h->conn->router;
    struct view said;
    _buf_ hex = { 0 };

    if (router->n_proxy_certificates == 0)
        return err_set(err, ERR_WRONG_BINDING,
                       "HELLO: authextra: binding: the router has no proxy_certificates");
    if (!rpc_map_get(extra, "certificate", &said)) {
        memcpy(h->netsign.binding_data, router->proxy_certificates[0], HASH_SIZE);
        return true;
    }
    if (!read_fixed(extra, "certificate", h->netsign.binding_data, HASH_SIZE, err))
        return false;
    for (size_t i = 0; i < router->n_proxy_certificates; i++) {
        if (memcmp(router->proxy_certificates[i], h->netsign.binding_data, HASH_SIZE) == 0)
            return true;
    }
    text_put_hex(&hex, VIEW_ARR(h->netsign.binding_data));
    return err_set(err, ERR_BAD_CERTIFICATE,
                   "HELLO: authextra: certificate: the router's proxy_certificates do not list %s",
                   buf_cstr(&hex));
}

static bool bind(struct handshake *h, struct view extra, struct err *err)
{
    const struct conn *conn = h->conn;
    struct view binding = { 0 };

    rpc_map_text(extra, "binding", &binding);
    if (conn->has_exporter && view_eq_text(binding, RPC_BINDING_EXPORTER))
        memcpy(h->netsign.binding_data, conn->exporter, HASH_SIZE);
    else if (!conn->has_exporter && view_eq_text(binding, RPC_BINDING_CERTIFICATE))
        return bind_certificate(h, extra, err);
    else if (conn->has_exporter || !view_eq_text(binding, RPC_BINDING_NONE) ||
             !is_loopback(conn->address) || conn->router->n_proxy_certificates)
        return err_set(err, ERR_WRONG_BINDING, "HELLO: authextra: binding: %s",
                       conn->has_exporter ? "TLS ends at the router, which takes tls-exporter alone"
                       : conn->router->n_proxy_certificates
                           ? "TLS ends before the router, which takes tls-server-end-point alone"
                           : "TLS ends before the router, which has no proxy_certificates");
    return true;
}

static bool read_extra(struct handshake *h, struct view extra, struct err *err)
{
    struct view binding = { 0 };

    if (!read_fixed(extra, "pubkey", h->netsign.client_pk, KEY_SIZE, err))
        return false;
    if (!read_fixed(extra, "nonce", h->netsign.nonce_client, RPC_NONCE32, err))
        return false;
    if (!read_fixed(extra, "instance", h->instance, sizeof(h->instance), err))
        return false;
    if (!bind(h, extra, err))
        return false;
    rpc_map_text(extra, "binding", &binding);
    snprintf(h->netsign.binding, sizeof(h->netsign.binding), "%.*s", VIEW_FMT(binding));
    return true;
}

static void fill_netsign(const struct conn *conn, struct rpc_netsign *n, struct view hello)
{
    const struct router *router = conn->router;

    snprintf(n->network, sizeof(n->network), "%s", rpc_trust_network(router->trust));
    memcpy(n->netid, rpc_trust_netid(router->trust).data, HASH_SIZE);
    random_bytes(n->nonce_router, sizeof(n->nonce_router));
    memcpy(n->router_pk, key_public(router->key), KEY_SIZE);
    hash_sha256(hello, n->hello_hash);
    n->has_heartbeat = rpc_trust_heartbeat(router->trust) != NULL;
    if (n->has_heartbeat)
        hash_sha256(rpc_trust_heartbeat_bytes(router->trust), n->heartbeat_hash);
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
        handshake_put_signed(to, rpc_trust_heartbeat_bytes(trust), rpc_trust_heartbeat_sig(trust));
    }
    return true;
}

bool netsign_hello(struct handshake *h, const struct conn_input *in, struct err *err)
{
    const struct rpc_hello *hello = &in->msg->hello;
    struct conn *conn = h->conn;
    _buf_ extra = { 0 };

    if (conn->is_json) /* what is signed is binary, and HELLO as it was sent */
        return handshake_refuse(
            conn, "wamp.error.no_matching_auth_method",
            "HELLO: authmethods: netsign needs the sub-protocol wamp.2.msgpack");
    if (!read_extra(h, hello->authextra, err))
        return false;
    /* cryptosign signs bytes that the other side chose: such a key proves nothing here */
    if (realms_has_key(conn->router->realms_config, VIEW_ARR(h->netsign.client_pk)))
        return err_set(err, ERR_WRONG_KEY, "HELLO: authextra: pubkey: a key of cryptosign");
    fill_netsign(conn, &h->netsign, in->frame);
    if (!put_challenge(conn, &h->netsign, hello->authextra, &extra, err))
        return err_wrap(err, "HELLO");
    handshake_challenge(h, buf_view(&extra));
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

/* A heartbeat told of revocations that den has not handed over yet: it does so when it connects. */
static bool check_not_behind(const struct router *router, struct err *err)
{
    return !rpc_revoked_is_behind(router->revoked, router->trust) ||
           err_set(err, ERR_DEN_AWAY, "den has not told yet what it revoked since number %" PRIu64,
                   rpc_revoked_no(router->revoked));
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

/* Who slept while den's signing key was replaced has what the key before signed, and enrols anew when it is told. */
static bool open_admission(const struct router *router, struct view bytes, struct view sig,
                           struct rpc_admission *ret_a, struct err *err)
{
    if (rpc_trust_open(router->trust, RPC_W_ADMISSION, bytes, sig, router_network_time(router),
                       ret_a, err))
        return true;
    if (err->code == ERR_BAD_SIGNATURE && rpc_trust_is_by_a_den(router->trust, bytes, sig))
        err_set(err, ERR_EXPIRED, "the key of den's that signed it was replaced since");
    if (err->code == ERR_EXPIRED)
        err_advise(err, "enrol anew with the same key, as libpeer does by itself");
    return false;
}

static bool take_admission(struct handshake *h, struct view bytes, struct view sig, struct err *err)
{
    const struct router *router = h->conn->router;
    struct rpc_admission a;

    if (!open_admission(router, bytes, sig, &a, err))
        return err_wrap(err, "admission");
    if (!check_admission(h, &a, err))
        return err_wrap(err, "admission");
    if (!role_read(a.role, &h->role) || (h->role != ROLE_PEER && h->role != ROLE_ADMIN))
        return err_set(err, ERR_BAD_STATEMENT, "admission: role: neither peer nor admin");
    if (!revocations_check(router, VIEW_ARR(h->netsign.client_pk), &a, err))
        return err_wrap(err, "admission");
    h->adm_no = a.adm_no;
    snprintf(h->authid, sizeof(h->authid), "%.*s", VIEW_FMT(a.id));
    h->admission = buf_dup(bytes);
    h->signature = buf_dup(sig);
    h->is_decided = !clone_asks(h);
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
        !take_admission(h, bytes, sig, &err) ||
        (h->is_decided && !conn_step(conn, EV_ADMITTED, NULL, &err)))
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

/* An admission that the key had before, for a den that does not know it: den alone judges it. */
static bool put_before(struct view extra, struct buf *args, struct err *err)
{
    struct view value, bytes, sig;

    if (!rpc_map_get(extra, "before", &value))
        return true;
    if (!read_signed("AUTHENTICATE: before", value, &bytes, &sig, NULL, err))
        return false;
    rpc_put_bin(args, bytes);
    rpc_put_bin(args, sig);
    return true;
}

static bool ask_den(struct handshake *h, struct view enrol, struct view extra, struct err *err)
{
    struct view bytes, sig, token_sig, before;
    _buf_ args = { 0 };

    if (!read_signed("AUTHENTICATE: enrol", enrol, &bytes, &sig, &token_sig, err))
        return false;
    if (!check_enrol(h, bytes, sig, err))
        return false;
    rpc_put_array(&args, rpc_map_get(extra, "before", &before) ? 5 : 3);
    rpc_put_bin(&args, bytes);
    rpc_put_bin(&args, sig);
    if (token_sig.len)
        rpc_put_bin(&args, token_sig);
    else
        rpc_put_nil(&args);
    if (!put_before(extra, &args, err))
        return false;
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

/* Only den shows neither. */
static bool refuse_stranger(const struct handshake *h, struct err *err)
{
    return err_set(err, ERR_UNLISTED_KEY,
                   "AUTHENTICATE: extra: neither admission nor enrol, and manifest %" PRIu64
                   " lists this key as none of den's",
                   rpc_trust_manifest_no(h->conn->router->trust));
}

bool netsign_authenticate(struct handshake *h, const struct conn_input *in, struct err *err)
{
    const struct rpc_authenticate *proof = &in->msg->authenticate;
    struct view value, bytes, sig;

    if (!rpc_netsign_verify(&h->netsign, false, proof->signature, err))
        return err_wrap(err, "AUTHENTICATE");
    h->is_proved = true;
    if (is_den(h)) {
        h->role = ROLE_DEN;
        memcpy(h->authid, "den", sizeof("den"));
        h->is_decided = !clone_asks(h);
        return true;
    }
    if (!h->netsign.has_heartbeat)
        return err_set(err, ERR_DEN_AWAY, "den has not been heard of yet");
    if (rpc_map_get(proof->extra, "admission", &value))
        return read_signed("AUTHENTICATE: admission", value, &bytes, &sig, NULL, err) &&
               check_not_stale(h->conn->router, err) && check_not_behind(h->conn->router, err) &&
               take_admission(h, bytes, sig, err);
    if (rpc_map_get(proof->extra, "enrol", &value))
        return ask_den(h, value, proof->extra, err);
    return refuse_stranger(h, err);
}
