/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets an ID, for how long, and who waits for it. */
#include "base/clock.h"
#include "den/people.h"
#include "den/token.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: group:staff, to: any, can: [chat]}]\n"

static struct key *add_token(struct world *w, struct store_token t)
{
    struct key *token = key_new();
    struct err err;

    memcpy(t.pk, key_public(token), KEY_SIZE);
    snprintf(t.role, sizeof(t.role), "peer");
    t.created_at = w->wall;
    CHECK(store_begin(w->store, &err) && store_token_add(w->store, &t, &err) &&
          store_commit(w->store, &err));
    return token;
}

static struct store_identity find(struct world *w, const struct world_peer *peer)
{
    struct store_identity who = { 0 };
    enum store_found found = STORE_NONE;
    struct err err;

    CHECK(store_identity_by_id(w->store, view_text(peer->id), &found, &who, &err));
    CHECK(found == STORE_FOUND);
    return who;
}

static void enrol_by(struct world *w, enum den_enrolment enrolment)
{
    struct err err = { 0 };

    w->config.enrolment = enrolment;
    CHECK_OK(world_restart(w, &err), err);
}

TEST(a_reusable_token_is_never_spent_and_gives_its_groups)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token =
        add_token(w, (struct store_token){ .uses = 0, .groups = "staff,night" });

    for (int i = 0; i < 5; i++) {
        _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
        world_take_id(w, world_admit(w, peer, token), peer);
        CHECK_STR(find(w, peer).groups, "staff,night");
    }
}

TEST(a_revoked_token_lets_nobody_in_and_who_joined_stays)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token = add_token(w, (struct store_token){ .uses = 0 });
    _cleanup_(world_peer_freep) struct world_peer *first = world_stranger_new(w),
                                                  *second = world_stranger_new(w);
    struct store_token t = { 0 };
    struct err err;

    world_take_id(w, world_admit(w, first, token), first);
    memcpy(t.pk, key_public(token), KEY_SIZE);
    CHECK_OK(token_revoke(w->store, &t, &(struct deed){ .by = "uid 0", .at = w->wall }, &err), err);
    world_check_refused(w, world_admit(w, second, token), ERR_BAD_TOKEN);
    world_take_id(w, world_admit(w, first, NULL), first);
    CHECK_U64(world_audited(w, "token.revoked", NULL), 1);
}

TEST(the_life_of_a_device_is_not_that_of_its_token)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token =
        add_token(w, (struct store_token){ .uses = 1,
                                           .uses_left = 1,
                                           .expires_at = w->wall + HOUR_MS,
                                           .device_life = 2 * DAY_MS });
    _cleanup_(key_freep) struct key *next = add_token(w, (struct store_token){ .uses = 0 });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    char id[STORE_ID];

    snprintf(id, sizeof(id), "%s", world_take_id(w, world_admit(w, peer, token), peer));
    world_jump(w, DAY_MS);
    world_take_id(w, world_admit(w, peer, NULL), peer); /* the token is long over */
    world_jump(w, DAY_MS + MINUTE_MS);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_EXPIRED);
    world_check_refused(w, world_sign(w, peer), ERR_EXPIRED);
    CHECK_STR(world_take_id(w, world_admit(w, peer, next), peer), id);
    CHECK_U64(find(w, peer).expires_at, 0);
}

TEST(an_ephemeral_device_vanishes_after_it_disconnected_and_not_before)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token =
        add_token(w, (struct store_token){ .uses = 0, .vanish_after = HOUR_MS });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct world_call *call;
    struct buf answer;
    char id[STORE_ID];

    snprintf(id, sizeof(id), "%s", world_take_id(w, world_admit(w, peer, token), peer));
    CHECK_U64(strlen(id), 9);
    for (int i = 0; i < 24; i++) { /* it is there for hours */
        world_jump(w, 10 * MINUTE_MS);
        while ((call = world_pending(w, "network.peer.get"))) {
            answer = (struct buf){ 0 };
            rpc_put_array(&answer, 1);
            rpc_put_map(&answer, 1);
            rpc_put_str(&answer, "online");
            rpc_put_bool(&answer, true);
            world_result(call, &answer);
        }
        CHECK(find(w, peer).ended == STORE_LIVES);
    }
    uint64_t left_at = w->wall, gone_at = 0;
    for (int i = 0; i < 12 && !gone_at; i++) {
        world_jump(w, 10 * MINUTE_MS);
        while ((call = world_pending(w, "network.peer.get"))) {
            answer = (struct buf){ 0 };
            rpc_put_array(&answer, 1);
            rpc_put_map(&answer, 1);
            rpc_put_str(&answer, "online");
            rpc_put_bool(&answer, false);
            world_result(call, &answer);
        }
        if (find(w, peer).ended == STORE_VANISHED)
            gone_at = w->wall;
    }
    CHECK(gone_at >= left_at + HOUR_MS && gone_at <= left_at + 90 * MINUTE_MS);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_EXPIRED);
    CHECK_STR(world_take_id(w, world_admit(w, peer, token), peer), id); /* its own, nobody else's */
}

/* In a network where somebody has to say yes: the code of that machine. */
static void approval_code(struct world *w, const struct world_peer *peer, char ret_code[RPC_CODE])
{
    enrol_by(w, DEN_BY_APPROVAL);
    rpc_identity_code(rpc_trust_netid(w->trust), key_public_view(peer->key), ret_code);
}

TEST(who_waits_for_approval_is_let_in_when_somebody_says_so)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct store_waiting row;
    struct err err = { 0 };
    char code[RPC_CODE];

    approval_code(w, peer, code);
    for (int i = 0; i < 5; i++) { /* it asks again and again, and through restarts */
        uint64_t inv = world_admit(w, peer, NULL);
        world_check_refused(w, inv, ERR_PENDING);
        CHECK(strstr(world_answer(w, inv)->err.text, code) != NULL);
        world_jump(w, 15000);
        CHECK_OK(world_restart(w, &err), err);
    }
    CHECK_U64(world_audited(w, "identity.waits", code), 1);
    CHECK_U64(world_audited(w, "request.refused", NULL), 0);
    CHECK_OK(people_find_waiting(w->store, code, &row, &err), err);
    CHECK_STR(row.host, "a-host");
    CHECK_OK(people_approve(w->store, &row, NULL, "staff",
                            &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    world_take_id(w, world_admit(w, peer, NULL), peer);
    CHECK_STR(find(w, peer).groups, "staff");
    CHECK(!people_find_waiting(w->store, code, &row, &err) && err.code == ERR_NOT_FOUND);
}

TEST(who_is_turned_away_is_told_so)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct store_waiting row;
    struct err err = { 0 };
    char code[RPC_CODE];

    approval_code(w, peer, code);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_PENDING);
    CHECK_OK(people_find_waiting(w->store, code, &row, &err), err);
    CHECK_OK(people_deny(w->store, &row, &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_NOT_AUTHORIZED);
}

TEST(a_token_is_the_approval_unless_it_was_made_without)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *good = add_token(w, (struct store_token){ .uses = 0 });
    _cleanup_(key_freep) struct key *weak =
        add_token(w, (struct store_token){ .uses = 0, .needs_approval = true });
    _cleanup_(world_peer_freep) struct world_peer *a = world_stranger_new(w),
                                                  *b = world_stranger_new(w);

    enrol_by(w, DEN_BY_APPROVAL);
    world_take_id(w, world_admit(w, a, good), a);
    world_check_refused(w, world_admit(w, b, weak), ERR_PENDING);
}

TEST(a_token_made_without_the_approval_waits_in_every_network)
{
    static const enum den_enrolment kinds[] = { DEN_BY_TOKEN, DEN_BY_APPROVAL, DEN_OPEN };

    for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
        _cleanup_(world_freep) struct world *w = world_new(POLICY);
        _cleanup_(key_freep) struct key *weak =
            add_token(w, (struct store_token){ .uses = 0, .needs_approval = true });
        _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
        struct store_waiting row;
        struct err err = { 0 };
        char code[RPC_CODE];

        enrol_by(w, kinds[i]);
        rpc_identity_code(rpc_trust_netid(w->trust), key_public_view(peer->key), code);
        world_check_refused(w, world_admit(w, peer, weak), ERR_PENDING);
        CHECK_OK(people_find_waiting(w->store, code, &row, &err), err);
        CHECK_OK(people_approve(w->store, &row, NULL, NULL,
                                &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
                 err);
        world_take_id(w, world_admit(w, peer, weak), peer);
        CHECK(find(w, peer).kind == STORE_COMMITTED);
    }
}

TEST(the_queue_is_bounded_for_each_source)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t n = 0;

    enrol_by(w, DEN_BY_APPROVAL);
    CHECK(world_unlimited(w));
    for (int i = 0; i < 80; i++) {
        _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
        const struct world_answer *a = world_answer(w, world_admit(w, peer, NULL));
        n += a->err.code == ERR_PENDING;
    }
    CHECK_U64(n, 64);
    w->source = "198.51.100.9:1234";
    _cleanup_(world_peer_freep) struct world_peer *other = world_stranger_new(w);
    world_check_refused(w, world_admit(w, other, NULL), ERR_PENDING);
}

static struct world_call *answer_online(struct world *w, bool is_online)
{
    struct world_call *call, *last = NULL;

    while ((call = world_pending(w, "network.peer.get"))) {
        struct buf answer = { 0 };
        rpc_put_array(&answer, 1);
        rpc_put_map(&answer, 1);
        rpc_put_str(&answer, "online");
        rpc_put_bool(&answer, is_online);
        world_result(call, &answer);
        last = call;
    }
    return last;
}

TEST(a_provisional_id_is_kept_by_coming_back_on_a_later_day)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *faithful = world_stranger_new(w),
                                                  *passing = world_stranger_new(w),
                                                  *approved = world_stranger_new(w);
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };

    enrol_by(w, DEN_OPEN);
    w->config.provisional_life = 30 * DAY_MS;
    world_take_id(w, world_admit(w, faithful, NULL), faithful);
    world_take_id(w, world_admit(w, passing, NULL), passing);
    world_take_id(w, world_admit(w, approved, NULL), approved);
    CHECK(find(w, faithful).kind == STORE_PROVISIONAL);
    world_take_id(w, world_admit(w, faithful, NULL), faithful); /* the same day says nothing */
    CHECK(find(w, faithful).kind == STORE_PROVISIONAL);
    who = find(w, approved);
    CHECK_OK(people_commit(w->store, &who, &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    world_jump(w, DAY_MS);
    world_take_id(w, world_admit(w, faithful, NULL), faithful);
    CHECK(find(w, faithful).kind == STORE_COMMITTED);
    for (int i = 0; i < 40; i++) {
        world_jump(w, DAY_MS);
        answer_online(w, false);
    }
    CHECK_OK(store_identity_by_id(w->store, view_text(passing->id), &found, &who, &err), err);
    CHECK(found == STORE_NONE);
    CHECK(find(w, faithful).ended == STORE_LIVES);
    CHECK(find(w, approved).kind == STORE_COMMITTED);
    CHECK_U64(world_audited(w, "identity.given_up", passing->id), 1);
}

TEST(half_of_the_ids_are_the_most)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = add_token(w, (struct store_token){ .uses = 0 });
    struct store_identity i = { .adm_no = 1, .role = "peer" };
    struct err err = { 0 };

    CHECK_OK(store_begin(w->store, &err), err);
    for (uint32_t n = 0; n < 450000; n++) {
        snprintf(i.id, sizeof(i.id), "%u", 100000 + 2 * n);
        memcpy(i.pk, &n, sizeof(n));
        CHECK_OK(store_identity_add(w->store, &i, &err), err);
    }
    CHECK_OK(store_commit(w->store, &err), err);
    world_check_refused(w, world_admit(w, peer, token), ERR_LIMIT);
    w->config.id_digits = 7;
    CHECK_OK(world_restart(w, &err), err);
    CHECK_U64(strlen(world_take_id(w, world_admit(w, peer, token), peer)), 7);
}

TEST(who_was_removed_stays_out_and_keeps_the_id)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(key_freep) struct key *token = add_token(w, (struct store_token){ .uses = 0 });
    struct store_identity who = find(w, peer);
    struct err err;

    CHECK_OK(people_remove(w->store, &who, &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_NOT_AUTHORIZED);
    world_check_refused(w, world_admit(w, peer, token), ERR_NOT_AUTHORIZED);
    world_check_refused(w, world_sign(w, peer), ERR_NOT_AUTHORIZED);
}

/* A store that was restored from a backup has forgotten who joined since; the signer has not. */
TEST(a_key_that_the_signer_knows_gets_the_id_that_it_had)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w),
                                                  *other = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = add_token(w, (struct store_token){ .uses = 0 });
    enum vault_claim claim;
    char has[STORE_ID];
    struct err err;

    CHECK_OK(signer_claim(w->signer, "456000", key_public_view(peer->key), &claim, has, &err), err);
    CHECK_U64(claim, VAULT_CLAIMED);
    CHECK_STR(world_take_id(w, world_admit(w, peer, token), peer), "456000");
    CHECK(strcmp(world_take_id(w, world_admit(w, other, token), other), "456000") != 0);
    CHECK_OK(signer_claim(w->signer, "456000", key_public_view(other->key), &claim, has, &err),
             err);
    CHECK_U64(claim, VAULT_ID_TAKEN);
}
