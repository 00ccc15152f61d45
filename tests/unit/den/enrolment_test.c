/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets an ID, for how long, and who waits for it. */
#include "base/clock.h"
#include "den/people.h"
#include "den/revocation.h"
#include "den/token.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: group:staff, to: any, can: [chat]}]\n"

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
        world_add_token(w, (struct store_token){ .uses = 0, .groups = "staff,night" });

    for (int i = 0; i < 5; i++) {
        _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
        world_take_id(w, world_admit(w, peer, token), peer);
        CHECK_STR(find(w, peer).groups, "staff,night");
    }
}

TEST(a_revoked_token_lets_nobody_in_and_who_joined_stays)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token = world_add_token(w, (struct store_token){ .uses = 0 });
    _cleanup_(world_peer_freep) struct world_peer *first = world_stranger_new(w),
                                                  *second = world_stranger_new(w);
    struct store_token t = { 0 };
    const struct deed deed = { .by = "uid 0", .at = w->wall };
    uint64_t before;
    struct err err;

    world_take_id(w, world_admit(w, first, token), first);
    memcpy(t.pk, key_public(token), KEY_SIZE);
    CHECK_OK(token_revoke(w->store, &t, &deed, &before, &err), err);
    CHECK_U64(before, 0);
    world_check_refused(w, world_admit(w, second, token), ERR_BAD_TOKEN);
    world_take_id(w, world_admit(w, first, NULL), first);
    CHECK_OK(token_revoke(w->store, &t, &(struct deed){ .by = "uid 1", .at = w->wall + 5 }, &before,
                          &err),
             err);
    CHECK_U64(before, w->wall);                            /* once is enough */
    CHECK_U64(world_audited(w, "token.revoked", NULL), 2); /* who asked again stands there too */
}

TEST(the_life_of_a_device_is_not_that_of_its_token)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token =
        world_add_token(w, (struct store_token){ .uses = 1,
                                                 .uses_left = 1,
                                                 .expires_at = w->wall + HOUR_MS,
                                                 .device_life = 2 * DAY_MS });
    _cleanup_(key_freep) struct key *next = world_add_token(w, (struct store_token){ .uses = 0 });
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
        world_add_token(w, (struct store_token){ .uses = 0, .vanish_after = HOUR_MS });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    char id[STORE_ID];

    snprintf(id, sizeof(id), "%s", world_take_id(w, world_admit(w, peer, token), peer));
    CHECK_U64(strlen(id), 9);
    for (int i = 0; i < 24; i++) { /* it is there for hours */
        world_jump(w, 10 * MINUTE_MS);
        world_answer_online(w, true);
        CHECK(find(w, peer).ended == STORE_LIVES);
    }
    uint64_t left_at = w->wall, gone_at = 0;
    for (int i = 0; i < 12 && !gone_at; i++) {
        world_jump(w, 10 * MINUTE_MS);
        world_answer_online(w, false);
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
    _cleanup_(key_freep) struct key *good = world_add_token(w, (struct store_token){ .uses = 0 });
    _cleanup_(key_freep) struct key *weak =
        world_add_token(w, (struct store_token){ .uses = 0, .needs_approval = true });
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
            world_add_token(w, (struct store_token){ .uses = 0, .needs_approval = true });
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
        world_answer_online(w, false);
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
    _cleanup_(key_freep) struct key *token = world_add_token(w, (struct store_token){ .uses = 0 });
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
    _cleanup_(key_freep) struct key *token = world_add_token(w, (struct store_token){ .uses = 0 });
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
    _cleanup_(key_freep) struct key *token = world_add_token(w, (struct store_token){ .uses = 0 });
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

/* ---- tokens for a new key ---------------------------------------------------------------------- */

static void revoke_id(struct world *w, const char *id)
{
    const struct revocation_words words = { .id = id };
    struct store_revocation r;
    bool is_new;
    struct err err;

    CHECK_OK(revocation_resolve(w->store, &words, w->wall, &r, &err) &&
                 revocation_put_down(w->store, &r, &(struct deed){ .by = "uid 0", .at = w->wall },
                                     &is_new, &err),
             err);
}

static void remove_peer(struct world *w, const struct world_peer *peer)
{
    struct store_identity who = find(w, peer);
    struct err err;

    CHECK_OK(people_remove(w->store, &who, &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
}

struct ended {
    const char *id;
    uint64_t at;
    size_t n;
};

static bool count_ended(void *user, const struct store_token *token)
{
    struct ended *ended = user;

    ended->n += token->revoked_at == ended->at && strcmp(token->for_id, ended->id) == 0;
    return true;
}

static void check_ended_tokens(struct world *w, const char *id, size_t wanted)
{
    struct ended ended = { id, w->wall, 0 };
    struct err err = { 0 };

    CHECK_OK(store_token_each(w->store, count_ended, &ended, &err), err);
    CHECK_U64(ended.n, wanted);
}

TEST(a_revocation_ends_the_tokens_for_a_new_key)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *other = world_peer_new(w),
                                                  *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *before = world_token_for(w, peer->id),
                                    *others = world_token_for(w, other->id);

    revoke_id(w, peer->id);
    check_ended_tokens(w, peer->id, 1);
    CHECK_U64(world_audited(w, "token.revoked", peer->id), 1);
    world_check_refused(w, world_admit(w, next, before), ERR_BAD_TOKEN);
    CHECK(find(w, peer).is_revoked);
    _cleanup_(key_freep) struct key *between = world_token_for(w, peer->id);
    revoke_id(w, peer->id); /* again: not new */
    world_check_refused(w, world_admit(w, next, between), ERR_BAD_TOKEN);
    _cleanup_(key_freep) struct key *behind = world_token_for(w, peer->id);
    CHECK_STR(world_take_id(w, world_admit(w, next, behind), next), peer->id);
    CHECK(!find(w, next).is_revoked);
    _cleanup_(world_peer_freep) struct world_peer *third = world_stranger_new(w);
    CHECK_STR(world_take_id(w, world_admit(w, third, others), third), other->id);
}

TEST(a_removal_ends_the_tokens_for_a_new_key)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *before = world_token_for(w, peer->id);
    struct store_identity who;
    struct err err;

    remove_peer(w, peer);
    check_ended_tokens(w, peer->id, 1);
    CHECK_U64(world_audited(w, "token.revoked", peer->id), 1);
    world_check_refused(w, world_admit(w, next, before), ERR_BAD_TOKEN);
    _cleanup_(key_freep) struct key *behind = world_token_for(w, peer->id);
    who = find(w, peer); /* other groups are no removal */
    CHECK_OK(people_set_groups(w->store, &who, "staff",
                               &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    CHECK_STR(world_take_id(w, world_admit(w, next, behind), next), peer->id);
}

static void re_enrol(struct world *w, const char *id, const struct key *token)
{
    const struct token_order order = { .role = "peer",
                                       .uses = 1,
                                       .life_ms = HOUR_MS,
                                       .deed = { .by = "uid 0", .at = w->wall },
                                       .for_id = id,
                                       .pk = key_public(token),
                                       .router = "router.example:443",
                                       .trust = w->trust };
    _buf_ join = { 0 };
    struct err err;

    CHECK_OK(token_new(w->store, &order, &join, &err), err);
}

/* Limited to so long by the token that it joined with. */
static void join_for(struct world *w, struct world_peer *peer, uint64_t device_life)
{
    _cleanup_(key_freep) struct key *token = world_add_token(
        w, (struct store_token){ .uses = 1, .uses_left = 1, .device_life = device_life });

    world_take_id(w, world_admit(w, peer, token), peer);
}

/* As `warren-den peer re-enrol` does, the life in its words. */
static bool order_key(struct world *w, const struct world_peer *peer, const char *life,
                      const struct key *token, struct err *err)
{
    const struct store_identity who = find(w, peer);
    struct token_order order = { .life_ms = 2 * DAY_MS,
                                 .deed = { .by = "uid 0", .at = w->wall },
                                 .pk = key_public(token),
                                 .router = "router.example:443",
                                 .trust = w->trust };
    _buf_ join = { 0 };

    return token_read_known(&who, life, &order, err) && token_new(w->store, &order, &join, err);
}

TEST(a_new_key_makes_no_limited_device_an_unending_one)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *first = world_stranger_new(w),
                                                  *second = world_stranger_new(w),
                                                  *third = world_stranger_new(w);
    _cleanup_(key_freep) struct key *keeps = key_new(), *longer = key_new();
    struct err err = { 0 };
    uint64_t ends_at;

    join_for(w, first, 20 * DAY_MS);
    ends_at = find(w, first).expires_at;
    world_jump(w, HOUR_MS);
    CHECK_OK(order_key(w, first, NULL, keeps, &err), err);
    CHECK_STR(world_take_id(w, world_admit(w, second, keeps), second), first->id);
    CHECK_U64(find(w, second).expires_at, ends_at);
    CHECK_OK(order_key(w, first, "90d", longer, &err), err);
    CHECK_STR(world_take_id(w, world_admit(w, third, longer), third), first->id);
    CHECK_U64(find(w, third).expires_at, w->wall + 90 * DAY_MS);
}

TEST(who_gives_an_id_a_new_key_whose_time_is_over_says_for_how_long)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w),
                                                  *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *early = key_new(), *late = key_new();
    struct err err = { 0 };

    join_for(w, peer, DAY_MS);
    CHECK_OK(order_key(w, peer, NULL, early, &err), err);
    world_jump(w, DAY_MS + HOUR_MS);
    world_check_refused(w, world_admit(w, next, early), ERR_BAD_TOKEN);
    CHECK_ERR(order_key(w, peer, NULL, late, &err), err, ERR_INVALID_ARGUMENT);
    CHECK_OK(order_key(w, peer, "1d", late, &err), err);
    CHECK_STR(world_take_id(w, world_admit(w, next, late), next), peer->id);
    CHECK_U64(find(w, next).expires_at, w->wall + DAY_MS);
}

TEST(a_new_token_for_a_new_key_ends_the_one_before)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *first = key_new(), *second = key_new();

    re_enrol(w, peer->id, first);
    re_enrol(w, peer->id, second);
    CHECK_U64(world_audited(w, "token.revoked", peer->id), 1);
    world_check_refused(w, world_admit(w, next, first), ERR_BAD_TOKEN);
    CHECK_STR(world_take_id(w, world_admit(w, next, second), next), peer->id);
}

/* ---- what a token gives, and the queue ----------------------------------------------------------- */

static void approve(struct world *w, const char *code)
{
    struct store_waiting row;
    struct err err = { 0 };

    CHECK_OK(people_find_waiting(w->store, code, &row, &err) &&
                 people_approve(w->store, &row, NULL, NULL,
                                &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
}

TEST(who_waits_with_another_token_gets_what_that_one_gives)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *high = world_add_token(
        w, (struct store_token){ .uses = 0, .needs_approval = true, .role = "admin" });
    _cleanup_(key_freep) struct key *low = world_add_token(
        w, (struct store_token){ .uses = 0, .needs_approval = true, .groups = "low" });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    char code[RPC_CODE];

    approval_code(w, peer, code);
    world_check_refused(w, world_admit(w, peer, high), ERR_PENDING);
    world_check_refused(w, world_admit(w, peer, low), ERR_PENDING);
    approve(w, code);
    world_take_id(w, world_admit(w, peer, low), peer);
    CHECK_STR(find(w, peer).role, "peer");
    CHECK_STR(find(w, peer).groups, "low");
}

TEST(an_approval_is_of_the_token_that_it_was_given_for)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *low = world_add_token(
        w, (struct store_token){ .uses = 0, .needs_approval = true, .groups = "low" });
    _cleanup_(key_freep) struct key *high = world_add_token(
        w, (struct store_token){ .uses = 0, .needs_approval = true, .role = "admin" });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    char code[RPC_CODE];

    approval_code(w, peer, code);
    world_check_refused(w, world_admit(w, peer, low), ERR_PENDING);
    approve(w, code);
    world_check_refused(w, world_admit(w, peer, high), ERR_PENDING);
}

TEST(nobody_waits_with_a_token_that_was_revoked)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *token = world_add_token(
        w, (struct store_token){ .uses = 0, .needs_approval = true, .role = "admin" });
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w),
                                                  *denied = world_stranger_new(w);
    struct store_token row;
    struct store_waiting w_row;
    enum store_found found;
    struct err err = { 0 };
    char code[RPC_CODE], denied_code[RPC_CODE];
    uint64_t before;

    approval_code(w, peer, code);
    approval_code(w, denied, denied_code);
    world_check_refused(w, world_admit(w, peer, token), ERR_PENDING);
    world_check_refused(w, world_admit(w, denied, token), ERR_PENDING);
    CHECK_OK(
        people_find_waiting(w->store, denied_code, &w_row, &err) &&
            people_deny(w->store, &w_row, &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
        err);
    CHECK_OK(store_token_find(w->store, key_public_view(token), &found, &row, &err) &&
                 token_revoke(w->store, &row, &(struct deed){ .by = "uid 0", .at = w->wall },
                              &before, &err),
             err);
    CHECK(!people_find_waiting(w->store, code, &w_row, &err) && err.code == ERR_NOT_FOUND);
    world_check_refused(w, world_admit(w, peer, token), ERR_BAD_TOKEN);
    world_check_refused(w, world_admit(w, denied, NULL), ERR_NOT_AUTHORIZED); /* stays so */
}
