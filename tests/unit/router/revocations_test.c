/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

static const char install[] = "network.revocations.install";

/* Hands over the list's items, `n` of them; what the answer came to. */
static const char *hand_over(struct wire *den, struct view items, uint32_t n)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_array(&args, n);
    rpc_put_raw(&args, items);
    return try_call(den, install, buf_view(&args));
}

static const char *revoke(struct world *w, struct wire *den, enum rpc_revoked_kind kind,
                          const char *id, struct view subject)
{
    _buf_ item = { 0 };

    world_revoke(w, kind, id, subject, &item);
    return hand_over(den, buf_view(&item), 1);
}

/* Joins again with what it had; what the answer came to. */
static const char *rejoin(struct world *w, const struct key *key, const char *id)
{
    struct wire *wire = wire_new(w, "192.0.2.9");
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    _buf_ extra = { 0 };

    world_admission(w, key, id, "peer", w->now.wall + DAY_MS, &bytes, sig);
    put_admission_extra(&extra, "admission", buf_view(&bytes), VIEW_ARR(sig));
    wire_hello(wire, key);
    if (!CHECK(wire_challenge(wire)))
        return "no challenge";
    wire_authenticate(wire, key, buf_view(&extra));
    const char *answer = answer_to(wire);
    CHECK_U64(wire->conn->fault, SOURCE_NO_FAULT); /* others are behind that address */
    return answer;
}

TEST(a_revoked_key_goes_and_stays_out)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *bob = join_peer(w, "123456"),
                *alice = join_with(w, key, "456000", "peer");

    CHECK_STR(revoke(w, den, RPC_REVOKED_IDENTITY, "456000", key_public_view(key)), "RESULT");
    CHECK_STR(answer_to(alice), "GOODBYE network.error.revoked");
    CHECK(alice->is_closed);
    wire_drop(alice);
    CHECK_STR(try_call(bob, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_STR(rejoin(w, key, "456000"), "ABORT network.error.revoked");
    world_restart(w);
    den = join_den(w);
    CHECK_STR(rejoin(w, key, "456000"), "ABORT network.error.revoked");
    (void)den;
}

TEST(revoked_admissions_are_those_below_a_number)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *alice = join_with(w, key, "456000", "peer");

    /* its own has number 1 */
    CHECK_STR(revoke(w, den, RPC_REVOKED_ADMISSIONS, "456000", VIEW_LIT("\0\0\0\0\0\0\0\1")),
              "RESULT");
    CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_STR(revoke(w, den, RPC_REVOKED_ADMISSIONS, "456001", VIEW_LIT("\0\0\0\0\0\0\0\5")),
              "RESULT");
    CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_STR(revoke(w, den, RPC_REVOKED_ADMISSIONS, "456000", VIEW_LIT("\0\0\0\0\0\0\0\2")),
              "RESULT");
    CHECK_STR(answer_to(alice), "GOODBYE network.error.revoked");
    wire_drop(alice);
    CHECK_STR(rejoin(w, key, "456000"), "ABORT network.error.revoked");
}

TEST(many_are_handed_over_at_once_and_one_that_is_missing_shows)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    uint8_t subject[HASH_SIZE] = { 0 };
    _buf_ early = { 0 };
    _buf_ late = { 0 };

    CHECK_STR(hand_over(den, VIEW_LIT(""), 0), "RESULT");
    for (uint8_t i = 0; i < 6; i++) {
        subject[0] = i;
        world_revoke(w, RPC_REVOKED_TLS_KEY, "456000", VIEW_ARR(subject), i < 3 ? &early : &late);
    }
    CHECK_STR(hand_over(den, buf_view(&late), 3), "network.error.stale");
    CHECK_U64(rpc_revoked_no(w->router->revoked), 0);
    CHECK_STR(hand_over(den, buf_view(&early), 3), "RESULT");
    CHECK_STR(hand_over(den, buf_view(&early), 3), "RESULT");
    CHECK_STR(hand_over(den, buf_view(&late), 3), "RESULT");
    CHECK_U64(rpc_revoked_no(w->router->revoked), 6);
    world_restart(w);
    CHECK_U64(rpc_revoked_no(w->router->revoked), 6);
}

TEST(a_full_disk_loses_none)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    uint8_t subject[HASH_SIZE] = { 0 };

    w->fails_to_save = true;
    CHECK_STR(revoke(w, den, RPC_REVOKED_TLS_KEY, "456000", VIEW_ARR(subject)), "RESULT");
    w->fails_to_save = false;
    subject[0] = 1;
    CHECK_STR(revoke(w, den, RPC_REVOKED_TLS_KEY, "456000", VIEW_ARR(subject)), "RESULT");
    world_restart(w);
    CHECK_U64(rpc_revoked_no(w->router->revoked), 2);
}

TEST(nobody_but_den_hands_any_over)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *mallory = key_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    _buf_ item = { 0 };
    struct key *real = w->den_sign;

    world_revoke(w, RPC_REVOKED_ADMISSIONS, "123456", VIEW_LIT("\0\0\0\0\0\0\0\2"), &item);
    CHECK_STR(hand_over(alice, buf_view(&item), 1), "wamp.error.not_authorized");
    CHECK_U64(rpc_revoked_no(w->router->revoked), 0);
    buf_clear(&item);
    w->den_sign = mallory;
    w->rev_no = 0;
    memset(w->rev_head, 0, sizeof(w->rev_head));
    world_revoke(w, RPC_REVOKED_ADMISSIONS, "123456", VIEW_LIT("\0\0\0\0\0\0\0\2"), &item);
    w->den_sign = real;
    CHECK_STR(hand_over(den, buf_view(&item), 1), "network.error.bad_signature");
    CHECK_U64(rpc_revoked_no(w->router->revoked), 0);
}

/* A router that was brought back from a copy: its heartbeat tells of more than it has. */
TEST(nobody_comes_in_while_revocations_are_missing)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w);
    _buf_ item = { 0 };

    world_revoke(w, RPC_REVOKED_ADMISSIONS, "123456", VIEW_LIT("\0\0\0\0\0\0\0\2"), &item);
    den_beat(den);
    wire_skip(den);
    CHECK_STR(rejoin(w, key, "456000"), "ABORT network.error.den_away");
    CHECK_STR(hand_over(den, buf_view(&item), 1), "RESULT");
    CHECK_STR(rejoin(w, key, "456000"), "WELCOME");
}
