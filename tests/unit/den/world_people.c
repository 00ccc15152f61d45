/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in the world: tokens, enrolments, requests. */
#include "tests/unit/den/world.h"

#include <stdio.h>

struct view world_beacon(const struct world *w)
{
    return rpc_trust_heartbeat(w->trust)->beacon;
}

struct key *world_token(struct world *w, const char *role, uint64_t uses, uint64_t expires_at)
{
    struct store_token t = { .uses = uses, .uses_left = uses, .expires_at = expires_at };

    snprintf(t.role, sizeof(t.role), "%s", role);
    return world_add_token(w, t);
}

struct key *world_token_for(struct world *w, const char *id)
{
    struct store_token t = { .uses = 1, .uses_left = 1 };

    snprintf(t.for_id, sizeof(t.for_id), "%s", id);
    return world_add_token(w, t);
}

struct key *world_add_token(struct world *w, struct store_token t)
{
    struct key *token = key_new();
    struct err err;

    memcpy(t.pk, key_public(token), KEY_SIZE);
    if (!*t.role)
        snprintf(t.role, sizeof(t.role), "peer");
    t.created_at = w->wall;
    if (!store_begin(w->store, &err) || !store_token_add(w->store, &t, &err) ||
        !store_commit(w->store, &err))
        check_failed(__FILE__, __LINE__, "token: %s", err.text);
    return token;
}

void world_put_signed(struct buf *args, enum rpc_word word, const void *statement,
                      const struct key *key)
{
    _buf_ bytes = { 0 };
    uint8_t sig[SIG_SIZE];

    rpc_statement_sign(word, statement, key, &bytes, sig);
    rpc_put_bin(args, buf_view(&bytes));
    rpc_put_bin(args, VIEW_ARR(sig));
}

struct rpc_enrol world_enrol(const struct world *w, const struct world_peer *peer,
                             const struct key *token, uint8_t nonce_to[RPC_NONCE16])
{
    random_bytes(nonce_to, RPC_NONCE16);
    return (struct rpc_enrol){
        .netid = rpc_trust_netid(w->trust),
        .network = VIEW_LIT(WORLD_NETWORK),
        .client_pk = key_public_view(peer->key),
        .beacon = world_beacon(w),
        .nonce = VIEW(nonce_to, RPC_NONCE16),
        .token_pk = token ? key_public_view(token) : VIEW(NULL, 0),
        .host = VIEW_LIT("a-host"),
    };
}

void world_put_enrol(struct buf *args, const struct rpc_enrol *e, const struct key *key,
                     const struct key *token)
{
    _buf_ bytes = { 0 };
    uint8_t sig[SIG_SIZE];

    rpc_put_array(args, 3);
    world_put_signed(args, RPC_W_ENROL, e, key);
    if (!token) {
        rpc_put_nil(args);
        return;
    }
    rpc_statement_sign(RPC_W_ENROL, e, token, &bytes, sig);
    rpc_put_bin(args, VIEW_ARR(sig));
}

struct world_peer *world_stranger_new(struct world *w)
{
    _cleanup_(world_peer_freep) struct world_peer *p = mem_new(struct world_peer);
    struct err err;

    (void)w;
    p->key = key_new();
    buf_put_text(&p->ice, "an ICE description");
    if (!pki_key_new(PKI_P256, &p->tls, &err) || !pki_csr_new(p->tls, &p->csr, &err) ||
        !pki_key_spki_hash(p->tls, p->spki, &err))
        check_failed(__FILE__, __LINE__, "peer: %s", err.text);
    return STEAL(p);
}

const char *world_take_id(struct world *w, uint64_t inv, struct world_peer *peer)
{
    const struct world_answer *answer = world_answer(w, inv);
    struct rpc_admission a = { 0 };
    struct rpc_fields f;
    struct err err = { 0 };

    if (!answer || answer->what != WORLD_YIELDED) {
        check_failed(__FILE__, __LINE__, "not admitted: %s",
                     answer ? answer->err.text : "no answer");
        return "";
    }
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view bytes = rpc_fields_bin(&f, "A", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    if (!rpc_statement_open(RPC_W_ADMISSION, key_public_view(w->sign), bytes, sig, &a, &err))
        check_failed(__FILE__, __LINE__, "admission: %s", err.text);
    snprintf(peer->id, sizeof(peer->id), "%.*s", VIEW_FMT(a.id));
    return peer->id;
}

uint64_t world_admit(struct world *w, const struct world_peer *peer, const struct key *token)
{
    uint8_t nonce[RPC_NONCE16];
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    struct buf args = { 0 };

    world_put_enrol(&args, &e, peer->key, token);
    return world_handle(w, "den.identity.admit", "router", "", &args);
}

uint64_t world_request(struct world *w, const struct world_peer *peer, const char *procedure,
                       struct view body)
{
    struct buf args = { 0 };

    world_put_request(w, &args, peer->key, peer->id, procedure, body);
    return world_handle(w, procedure, "peer", peer->id, &args);
}

uint64_t world_rekey(struct world *w, const struct world_peer *peer, const struct world_peer *next,
                     uint64_t no)
{
    const struct rpc_rekey k = { .netid = rpc_trust_netid(w->trust),
                                 .id = view_text(peer->id),
                                 .old_pk = key_public_view(peer->key),
                                 .new_pk = key_public_view(next->key),
                                 .rekey_no = no,
                                 .at = w->wall };
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    struct buf args = { 0 };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REKEY, &k, peer->key, &bytes, sig);
    key_sign(next->key, buf_view(&bytes), new_sig);
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_put_bin(&args, VIEW_ARR(new_sig));
    return world_handle(w, "den.identity.rekey", "peer", peer->id, &args);
}

void world_check_refused(const struct world *w, uint64_t inv, enum err_code code)
{
    const struct world_answer *a = world_answer(w, inv);

    if (!a || a->what != WORLD_REFUSED || a->err.code != code)
        check_failed(__FILE__, __LINE__, "wanted %s, got %s: %s", err_code_name(code),
                     !a                         ? "no answer"
                     : a->what == WORLD_REFUSED ? err_code_name(a->err.code)
                                                : "a result",
                     a ? a->err.text : "");
}

struct world_peer *world_peer_new(struct world *w)
{
    _cleanup_(world_peer_freep) struct world_peer *p = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);

    world_take_id(w, world_admit(w, p, token), p);
    uint64_t inv = world_sign(w, p);
    if (!world_answer(w, inv) || world_answer(w, inv)->what != WORLD_YIELDED)
        check_failed(__FILE__, __LINE__, "no certificate: %s", world_answer(w, inv)->err.text);
    return STEAL(p);
}

void world_peer_free(struct world_peer *p)
{
    if (!p)
        return;
    key_free(p->key);
    pki_key_free(p->tls);
    buf_free(&p->csr);
    buf_free(&p->ice);
    free(p);
}

void world_put_request(const struct world *w, struct buf *args, const struct key *key,
                       const char *id, const char *procedure, struct view body)
{
    const struct rpc_request context = {
        .netid = rpc_trust_netid(w->trust),
        .den_pk = key_public_view(w->sign),
        .id = view_text(id),
        .beacon = world_beacon(w),
    };

    rpc_request_put(args, key, &context, procedure, body);
}

uint64_t world_sign(struct world *w, const struct world_peer *peer)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, buf_view(&peer->csr));
    world_put_request(w, &args, peer->key, peer->id, "den.ca.sign", buf_view(&body));
    return world_handle(w, "den.ca.sign", "peer", peer->id, &args);
}
