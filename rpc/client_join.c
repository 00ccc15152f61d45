/* SPDX-License-Identifier: Apache-2.0 */
/* netsign, the client's side (PROTOCOL.md, "netsign"): nothing is signed before the router has
 * proved to be the one that the network's manifest lists. */
#include "rpc/client_state.h"

#include <stdio.h>

static void put_extra(const struct rpc_client *c, struct buf *to)
{
    uint64_t known = rpc_trust_manifest_no(c->config.trust);
    bool is_certificate = strcmp(c->proof.binding, RPC_BINDING_CERTIFICATE) == 0;

    rpc_put_map(to, (known ? 5U : 6U) + (is_certificate ? 1U : 0U));
    rpc_put_str(to, "pubkey");
    rpc_put_bin(to, VIEW_ARR(c->proof.client_pk));
    rpc_put_str(to, "nonce");
    rpc_put_bin(to, VIEW_ARR(c->proof.nonce_client));
    rpc_put_str(to, "binding");
    rpc_put_str(to, c->proof.binding);
    if (is_certificate) {
        rpc_put_str(to, "certificate");
        rpc_put_bin(to, VIEW_ARR(c->proof.binding_data));
    }
    rpc_put_str(to, "instance");
    rpc_put_bin(to, VIEW_ARR(c->config.instance));
    rpc_put_str(to, "manifest");
    rpc_put_u64(to, known);
    if (known)
        return;
    rpc_put_str(to, "pin");
    rpc_put_bin(to, rpc_trust_pin(c->config.trust));
}

/* What both ends will have signed; the router's part comes with its CHALLENGE. */
static void start_proof(struct rpc_client *c, const struct rpc_binding *binding)
{
    struct rpc_netsign *proof = &c->proof;

    *proof = (struct rpc_netsign){ 0 };
    snprintf(proof->network, sizeof(proof->network), "%s", rpc_trust_network(c->config.trust));
    snprintf(proof->binding, sizeof(proof->binding), "%s", binding->name);
    memcpy(proof->binding_data, binding->data, sizeof(proof->binding_data));
    memcpy(proof->client_pk, key_public(c->config.key), KEY_SIZE);
    random_bytes(proof->nonce_client, sizeof(proof->nonce_client));
}

void rpc_client_hail(struct rpc_client *c, const struct rpc_binding *binding)
{
    struct rpc_msg msg = { .type = RPC_HELLO };
    _buf_ methods = { 0 };
    _buf_ extra = { 0 };
    _buf_ frame = { 0 };

    start_proof(c, binding);
    rpc_put_array(&methods, 1);
    rpc_put_str(&methods, "netsign");
    put_extra(c, &extra);
    msg.hello.realm = view_text(c->proof.network);
    msg.hello.agent = view_text(c->agent);
    msg.hello.authmethods = buf_view(&methods);
    msg.hello.authextra = buf_view(&extra);
    rpc_msg_write(&msg, &frame);
    hash_sha256(buf_view(&frame), c->proof.hello_hash);
    rpc_client_send_frame(c, buf_view(&frame));
}

/* ---- CHALLENGE ------------------------------------------------------------------------------- */

struct challenge {
    uint8_t pubkey[KEY_SIZE], nonce[RPC_NONCE32], signature[SIG_SIZE];
    struct view roots, manifests, heartbeat;
};

static bool take_bin(struct view map, const char *key, uint8_t *to, size_t size, struct err *err)
{
    struct view bytes = { 0 };

    if (!rpc_map_bin(map, key, &bytes) || bytes.len != size || !bytes.data)
        return err_set(err, ERR_BAD_WIRE, "extra: %s: not %zu bytes", key, size);
    memcpy(to, bytes.data, size);
    return true;
}

static bool read_challenge(const struct rpc_challenge *msg, struct challenge *ret, struct err *err)
{
    struct challenge ch = { 0 };

    if (!view_eq_text(msg->method, "netsign"))
        return err_set(err, ERR_BAD_WIRE, "the router asks for %.*s, we prove by netsign alone",
                       VIEW_FMT(msg->method));
    if (!take_bin(msg->extra, "pubkey", ch.pubkey, sizeof(ch.pubkey), err) ||
        !take_bin(msg->extra, "nonce", ch.nonce, sizeof(ch.nonce), err) ||
        !take_bin(msg->extra, "signature", ch.signature, sizeof(ch.signature), err))
        return false;
    if (!rpc_map_get(msg->extra, "roots", &ch.roots) ||
        !rpc_map_get(msg->extra, "manifests", &ch.manifests))
        return err_set(err, ERR_BAD_WIRE, "extra: roots or manifests are missing");
    rpc_map_get(msg->extra, "heartbeat", &ch.heartbeat);
    *ret = ch;
    return true;
}

static uint64_t trust_now(const struct rpc_client *c)
{
    return rpc_trust_now(c->config.trust, c->now, c->config.wall());
}

/* den may know newer ones than a router that was away: it brings them once it is in. Nobody else goes by less than
 * it knows. */
static bool take_manifests(struct rpc_client *c, const struct challenge *ch, struct err *err)
{
    return rpc_trust_take_challenge(c->config.trust, ch->roots, ch->manifests, c->config.wall(),
                                    err) ||
           (c->config.is_den && err->code == ERR_STALE && rpc_trust_is_ready(c->config.trust));
}

/* STATEMENTS: a root hashes to the pin, manifests verify in order, the newest lists the router's
 * key, and that key signed both nonces, our HELLO and the channel as *we* see it. */
static bool check_router(struct rpc_client *c, const struct challenge *ch, struct err *err)
{
    struct rpc_trust *trust = c->config.trust;
    struct rpc_netsign *proof = &c->proof;

    if (!take_manifests(c, ch, err) ||
        !rpc_trust_check_key(trust, RPC_KEY_ROUTER, VIEW_ARR(ch->pubkey), trust_now(c), err))
        return false;
    memcpy(proof->netid, rpc_trust_netid(trust).data, sizeof(proof->netid));
    memcpy(proof->router_pk, ch->pubkey, sizeof(proof->router_pk));
    memcpy(proof->nonce_router, ch->nonce, sizeof(proof->nonce_router));
    return rpc_netsign_verify(proof, true, VIEW_ARR(ch->signature), err);
}

static bool read_pair(struct view array, struct view *ret_bytes, struct view *ret_sig,
                      struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    *ret_bytes = rpc_fields_bin(&f, "statement", RPC_MAX_STATEMENT);
    *ret_sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    return rpc_fields_end(&f, err);
}

/* den's own login comes before its first heartbeat, and may know a newer one than the router. */
static bool check_heartbeat(struct rpc_client *c, const struct challenge *ch, struct err *err)
{
    struct view bytes, sig;
    enum rpc_heart heart;

    if (!ch->heartbeat.len) {
        return c->config.is_den ||
               err_set(err, ERR_DEN_AWAY, "the network's authority (den) was not there yet");
    }
    if (!read_pair(ch->heartbeat, &bytes, &sig, err))
        return err_wrap(err, "heartbeat");
    if (!rpc_trust_add_heartbeat(c->config.trust, bytes, sig, c->now, c->config.wall(), &heart,
                                 err)) {
        if (heart == RPC_HEART_FORKED && c->config.on_fork)
            c->config.on_fork(c->config.user, bytes, sig, err);
        /* den's own key may have changed since: then this one is of nobody, and den brings another */
        if (!c->config.is_den || err->code != ERR_BAD_SIGNATURE)
            return err_wrap(err, "heartbeat");
    }
    if (heart == RPC_HEART_OLDER && !c->config.is_den)
        return err_set(err, ERR_STALE, "heartbeat: older than one that was seen before");
    hash_sha256(bytes, c->proof.heartbeat_hash);
    c->proof.has_heartbeat = true;
    return true;
}

/* A young key is not in force yet by a clock that is behind, and a manifest is over by one that is ahead: that is what has to
 * be said. */
static void blame_clock(const struct rpc_client *c, const struct challenge *ch, struct err *err)
{
    struct rpc_trust_shown shown = { .roots = ch->roots, .manifests = ch->manifests };
    struct err ignored;

    if (ch->heartbeat.len && read_pair(ch->heartbeat, &shown.heartbeat, &shown.sig, &ignored))
        rpc_trust_blames_clock(c->config.trust, &shown, c->config.wall(), err);
}

static bool authenticate(struct rpc_client *c, struct err *err)
{
    struct rpc_msg msg = { .type = RPC_AUTHENTICATE };
    uint8_t sig[SIG_SIZE];
    _buf_ extra = { 0 };

    if (c->config.credentials && !c->config.credentials(c->config.user, &extra, err))
        return err_wrap(err, "credentials");
    if (!extra.len)
        rpc_put_map(&extra, 0);
    rpc_netsign_sign(&c->proof, false, c->config.key, sig);
    msg.authenticate.signature = VIEW_ARR(sig);
    msg.authenticate.extra = buf_view(&extra);
    rpc_client_send(c, &msg);
    return true;
}

bool rpc_client_on_challenge(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct challenge ch = { 0 };

    if (!read_challenge(&msg->challenge, &ch, err))
        return false;
    if (!check_router(c, &ch, err) || !check_heartbeat(c, &ch, err)) {
        blame_clock(c, &ch, err);
        return false;
    }
    if (c->config.on_trust)
        c->config.on_trust(c->config.user);
    if (!authenticate(c, err))
        return false;
    c->state = RPC_CLIENT_PROVING;
    c->deadline = c->now + RPC_CLIENT_ADMIT_MS;
    return true;
}

/* ---- WELCOME --------------------------------------------------------------------------------- */

static bool match_admission(const struct rpc_client *c, const struct rpc_welcome *w,
                            const struct rpc_admission *a, struct err *err)
{
    if (!view_eq(a->netid, rpc_trust_netid(c->config.trust)) ||
        !view_eq_text(a->network, c->proof.network))
        return err_set(err, ERR_BAD_STATEMENT, "another network's");
    if (!view_eq(a->client_pk, VIEW_ARR(c->proof.client_pk)))
        return err_set(err, ERR_WRONG_KEY, "for another key than ours");
    if (!view_eq(a->id, w->authid))
        return err_set(err, ERR_BAD_STATEMENT, "for %.*s, but the router calls us %.*s",
                       VIEW_FMT(a->id), VIEW_FMT(w->authid));
    if (!view_eq(a->role, w->authrole))
        return err_set(err, ERR_BAD_STATEMENT, "for role %.*s, but the router says %.*s",
                       VIEW_FMT(a->role), VIEW_FMT(w->authrole));
    if (a->not_after <= trust_now(c))
        return err_set(err, ERR_EXPIRED, "it has expired");
    return true;
}

/* den says who we are, and we check it: the router's word is not enough. */
static bool check_admission(struct rpc_client *c, const struct rpc_welcome *w, struct err *err)
{
    struct view pair, bytes, sig;
    struct rpc_admission a;

    if (!rpc_map_get(w->authextra, "admission", &pair) || !read_pair(pair, &bytes, &sig, err))
        return err_set(err, ERR_BAD_WIRE, "no admission in authextra");
    if (!rpc_trust_open(c->config.trust, RPC_W_ADMISSION, bytes, sig, trust_now(c), &a, err) ||
        !match_admission(c, w, &a, err))
        return err_wrap(err, "admission");
    return !c->config.admitted || c->config.admitted(c->config.user, bytes, sig, &a, err);
}

static bool check_welcome(struct rpc_client *c, const struct rpc_welcome *w, struct err *err)
{
    if (w->authmethod.len && !view_eq_text(w->authmethod, "netsign"))
        return err_set(err, ERR_BAD_WIRE, "authenticated by %.*s", VIEW_FMT(w->authmethod));
    if (w->realm.len && !view_eq_text(w->realm, c->proof.network))
        return err_set(err, ERR_BAD_WIRE, "realm %.*s", VIEW_FMT(w->realm));
    if (!w->authid.len || w->authid.len >= sizeof(c->id) || w->authrole.len >= sizeof(c->role))
        return err_set(err, ERR_BAD_WIRE, "authid or authrole of an unusable length");
    if (!c->config.is_den)
        return check_admission(c, w, err);
    return view_eq_text(w->authrole, "den") ||
           err_set(err, ERR_BAD_WIRE, "the router does not know us as den");
}

bool rpc_client_on_welcome(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    const struct rpc_welcome *w = &msg->welcome;

    if (!check_welcome(c, w, err))
        return false;
    snprintf(c->id, sizeof(c->id), "%.*s", VIEW_FMT(w->authid));
    snprintf(c->role, sizeof(c->role), "%.*s", VIEW_FMT(w->authrole));
    c->session = w->session;
    c->state = RPC_CLIENT_UP;
    c->deadline = NEVER_MS;
    rpc_client_serve_up(c);
    if (c->config.on_up)
        c->config.on_up(c->config.user);
    return true;
}
