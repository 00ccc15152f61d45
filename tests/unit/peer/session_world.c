/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/peer/session_world.h"

static void add_heart(struct world *w, uint8_t number)
{
    uint8_t beacon[RPC_BEACON], head[HASH_SIZE], zero[HASH_SIZE] = { 0 }, sig[SIG_SIZE];
    enum rpc_heart heart;
    _buf_ bytes = { 0 };
    struct err err;

    memset(beacon, number, sizeof(beacon));
    memset(head, number, sizeof(head));
    const struct rpc_heartbeat h = {
        .netid = VIEW_ARR(w->root.hash),
        .hb_no = number,
        .time = WORLD_NOW,
        .next_in = 30000,
        .bound = 600000,
        .beacon = VIEW_ARR(beacon),
        .crl_no = 1,
        .crl_hash = VIEW_ARR(zero),
        .rev_head = VIEW_ARR(zero),
        .manifest_no = 1,
        .policy_no = 1,
        .audit_no = number,
        .audit_head = VIEW_ARR(head),
    };
    rpc_statement_sign(RPC_W_HEARTBEAT, &h, w->den, &bytes, sig);
    if (!CHECK(rpc_trust_add_heartbeat(w->trust, buf_view(&bytes), VIEW_ARR(sig), 1000, WORLD_NOW,
                                       &heart, &err)))
        check_failed(__FILE__, __LINE__, "%s", err.text);
}

static void make_trust(struct world *w)
{
    struct err err;

    fake_root_init(&w->root, 1);
    fake_manifest_make(&w->m1,
                       &(struct fake_says){ 1, &w->root, NULL, { &w->root }, { &w->root } });
    w->trust = rpc_trust_new("corp.example", w->root.hash, fake_judge);
    CHECK(rpc_trust_add_root(w->trust, buf_view(&w->root.der), &err));
    CHECK(fake_add(w->trust, &w->m1, &err));
    for (uint8_t i = 1; i <= 3; i++)
        add_heart(w, i);
}

void world_init(struct world *w)
{
    static const struct rpc_items caps = { { VIEW_LIT("chat"), VIEW_LIT("file") }, 2 };
    static const struct rpc_items one = { { VIEW_LIT("chat") }, 1 };
    struct err err;

    *w = (struct world){ .ice_a = VIEW_LIT("ice of a"), .ice_b = VIEW_LIT("ice of b") };
    CHECK(key_init(&err));
    w->den = fake_key(RPC_KEY_DEN_SIGN);
    w->a = key_new();
    w->b = key_new();
    w->stranger = key_new();
    make_trust(w);
    memset(w->sid, 7, sizeof(w->sid));
    memset(w->beacon, 3, sizeof(w->beacon));
    memset(w->spki_a, 0xa, sizeof(w->spki_a));
    memset(w->spki_b, 0xb, sizeof(w->spki_b));
    memset(w->other, 0xff, sizeof(w->other));
    hash_sha256(w->ice_a, w->ice_a_hash);
    hash_sha256(w->ice_b, w->ice_b_hash);
    w->d =
        (struct rpc_dial){ VIEW_ARR(w->root.hash), VIEW_ARR(w->sid),        VIEW_LIT(WORLD_A),
                           key_public_view(w->a),  VIEW_LIT(WORLD_B),       caps,
                           VIEW_ARR(w->spki_a),    VIEW_ARR(w->ice_a_hash), VIEW_ARR(w->beacon) };
    w->g = (struct rpc_grant){ .netid = w->d.netid,
                               .sid = w->d.sid,
                               .a_id = w->d.a_id,
                               .a_pk = w->d.a_pk,
                               .b_id = w->d.b_id,
                               .b_pk = key_public_view(w->b),
                               .dial_hash = VIEW_ARR(w->dial_hash),
                               .caps = caps,
                               .caps_back = one,
                               .consent = 1,
                               .issued_at = WORLD_NOW - 10,
                               .live_until = WORLD_NOW + 1000,
                               .beacon = VIEW_ARR(w->beacon),
                               .crl_no = 1,
                               .policy_no = 1 };
    w->c = (struct rpc_accept){ w->d.netid,
                                w->d.sid,
                                VIEW_ARR(w->grant_hash),
                                w->d.b_id,
                                key_public_view(w->b),
                                one,
                                VIEW_ARR(w->spki_b),
                                VIEW_ARR(w->ice_b_hash) };
    w->signs_d = w->a;
    w->signs_g = w->den;
    w->signs_c = w->b;
}

void world_deinit(struct world *w)
{
    buf_free(&w->dial);
    buf_free(&w->grant);
    buf_free(&w->accept);
    key_free(w->den);
    key_free(w->a);
    key_free(w->b);
    key_free(w->stranger);
    rpc_trust_free(w->trust);
    fake_root_deinit(&w->root);
    fake_manifest_deinit(&w->m1);
}

void world_sign_dial(struct world *w)
{
    rpc_statement_sign(RPC_W_DIAL, &w->d, w->signs_d, &w->dial, w->dial_sig);
    hash_sha256(buf_view(&w->dial), w->dial_hash);
}

void world_sign_grant(struct world *w)
{
    rpc_statement_sign(RPC_W_GRANT, &w->g, w->signs_g, &w->grant, w->grant_sig);
    hash_sha256(buf_view(&w->grant), w->grant_hash);
}

void world_sign_accept(struct world *w)
{
    rpc_statement_sign(RPC_W_ACCEPT, &w->c, w->signs_c, &w->accept, w->accept_sig);
}

struct check_self world_self(const struct world *w, bool is_caller)
{
    return (struct check_self){ .trust = w->trust,
                                .id = is_caller ? WORLD_A : WORLD_B,
                                .pk = key_public_view(is_caller ? w->a : w->b),
                                .now = WORLD_NOW };
}
