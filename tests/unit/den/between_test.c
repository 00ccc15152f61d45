/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator writes, in a process of its own, after den has read a row and before den's transaction
 * begins: it stays. */
#include "base/clock.h"
#include "den/people.h"
#include "den/revocation.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any}]\n"

struct deeds {
    struct world *w;
    const struct world_peer *peer;
    size_t n; /* that were done */
};

static struct deed deed_of(const struct world *w)
{
    return (struct deed){ .by = "uid 0", .at = w->wall };
}

static void revoke(void *user)
{
    struct deeds *d = user;
    _cleanup_(store_freep) struct store *store = NULL;
    const struct revocation_words words = { .id = d->peer->id, .reason = "key-compromise" };
    const struct deed deed = deed_of(d->w);
    struct store_revocation r;
    bool is_new = false;
    struct err err = { 0 };

    CHECK_OK(store_open(d->w->store_path, &store, &err) &&
                 revocation_resolve(store, &words, d->w->wall, &r, &err) &&
                 revocation_put_down(store, &r, &deed, &is_new, &err),
             err);
    CHECK(is_new);
    d->n++;
}

static void decide(struct deeds *d, bool (*what)(struct store *store, struct store_identity *who,
                                                 const struct deed *deed, struct err *err))
{
    _cleanup_(store_freep) struct store *store = NULL;
    const struct deed deed = deed_of(d->w);
    struct store_identity who;
    struct err err = { 0 };

    CHECK_OK(store_open(d->w->store_path, &store, &err) &&
                 people_find(store, d->peer->id, &who, &err) && what(store, &who, &deed, &err),
             err);
    d->n++;
}

static void take_away(void *user)
{
    decide(user, people_remove);
}

static void keep(void *user)
{
    decide(user, people_commit);
}

static struct store_identity find(const struct world *w, const struct world_peer *peer)
{
    struct store_identity who = { 0 };
    enum store_found found = STORE_NONE;
    struct err err = { 0 };

    CHECK(store_identity_by_id(w->store, view_text(peer->id), &found, &who, &err));
    CHECK(found == STORE_FOUND);
    return who;
}

/* ---- revoked, and a new key ---------------------------------------------------------------------- */

TEST(whoever_was_revoked_gets_no_other_key)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    struct deeds d = { w, peer, 0 };
    struct store_identity who;

    world_before_begin(revoke, &d);
    world_check_refused(w, world_rekey(w, peer, next, 1), ERR_REVOKED);
    CHECK_U64(d.n, 1);
    who = find(w, peer);
    CHECK(who.is_revoked);
    CHECK_U64(who.rekey_no, 0);
    CHECK_VIEW(VIEW_ARR(who.pk), key_public_view(peer->key));
    world_check_refused(w, world_admit(w, peer, NULL), ERR_REVOKED);
}

TEST(no_new_key_takes_a_revocation_back)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(key_freep) struct key *next = key_new();
    struct deeds d = { w, peer, 0 };
    struct err err = { 0 };

    revoke(&d);
    CHECK_OK(store_begin(w->store, &err) &&
                 store_identity_set_key(w->store, peer->id, key_public_view(next), 1, &err) &&
                 store_commit(w->store, &err),
             err);
    CHECK(find(w, peer).is_revoked);
}

TEST(an_id_is_revoked_with_the_key_that_it_has_by_then)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(store_freep) struct store *store = NULL;
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    const struct revocation_words words = { .id = peer->id };
    const struct deed deed = deed_of(w);
    struct store_revocation r;
    bool is_new = false;
    struct err err = { 0 };

    CHECK_OK(store_open(w->store_path, &store, &err) &&
                 revocation_resolve(store, &words, w->wall, &r, &err),
             err);
    world_take_id(w, world_rekey(w, peer, next, 1), next); /* meanwhile */
    CHECK_OK(revocation_put_down(store, &r, &deed, &is_new, &err), err);
    CHECK(is_new); /* and not "before": that was the key before */
    CHECK_VIEW(VIEW(r.subject, r.subject_len), key_public_view(next->key));
    CHECK(find(w, next).is_revoked);
    world_check_refused(w, world_admit(w, next, NULL), ERR_REVOKED);
    CHECK_OK(revocation_put_down(store, &r, &deed, &is_new, &err), err);
    CHECK(!is_new);
}

/* ---- removed, kept ------------------------------------------------------------------------------- */

static uint64_t refresh(struct world *w, const struct world_peer *peer)
{
    _buf_ body = { 0 };

    rpc_put_map(&body, 0);
    return world_request(w, peer, "den.identity.refresh", buf_view(&body));
}

TEST(whoever_was_removed_gets_no_other_admission)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    struct deeds d = { w, peer, 0 };

    world_take_id(w, refresh(w, peer), peer);
    world_before_begin(take_away, &d);
    world_check_refused(w, refresh(w, peer), ERR_NOT_AUTHORIZED);
    CHECK_U64(d.n, 1);
    CHECK(find(w, peer).ended == STORE_REMOVED);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_NOT_AUTHORIZED);
}

TEST(other_groups_bring_nobody_back)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    struct store_identity who = find(w, peer);
    struct deeds d = { w, peer, 0 };
    const struct deed deed = deed_of(w);
    struct err err = { 0 };

    take_away(&d);
    CHECK_OK(people_set_groups(w->store, &who, "staff", &deed, &err), err);
    CHECK(find(w, peer).ended == STORE_REMOVED);
    CHECK_STR(find(w, peer).groups, "staff");
    who.ended = STORE_LIVES;
    who.groups[0] = '\0';
    CHECK_OK(people_remove(w->store, &who, &deed, &err), err);
    CHECK_STR(find(w, peer).groups, "staff");
}

TEST(an_id_is_kept_once)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct deeds d = { w, peer, 0 };
    const struct deed deed = deed_of(w);
    struct store_identity who;
    struct err err = { 0 };

    w->config.enrolment = DEN_OPEN;
    CHECK_OK(world_restart(w, &err), err);
    world_take_id(w, world_admit(w, peer, NULL), peer);
    who = find(w, peer);
    take_away(&d);
    CHECK(!people_commit(w->store, &who, &deed, &err) && err.code == ERR_INVALID_ARGUMENT);
    CHECK(find(w, peer).ended == STORE_REMOVED);
}

/* ---- approved ------------------------------------------------------------------------------------- */

/* What the operator saw is what is approved; what the machine asked meanwhile stays in its row. */
TEST(who_waits_is_let_in_for_what_the_operator_saw)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    const struct store_token t = { .groups = "guests", .needs_approval = true },
                             u = { .groups = "staff", .needs_approval = true };
    _cleanup_(key_freep) struct key *small = world_add_token(w, t), *large = world_add_token(w, u);
    const struct deed deed = deed_of(w);
    struct store_waiting seen, is;
    enum store_found found;
    char code[RPC_CODE];
    struct err err = { 0 };

    world_check_refused(w, world_admit(w, peer, small), ERR_PENDING);
    rpc_identity_code(rpc_trust_netid(w->trust), key_public_view(peer->key), code);
    CHECK_OK(people_find_waiting(w->store, code, &seen, &err), err);
    world_jump(w, 2 * MINUTE_MS);
    world_check_refused(w, world_admit(w, peer, small), ERR_PENDING);
    world_check_refused(w, world_admit(w, peer, large), ERR_PENDING);
    CHECK(!people_approve(w->store, &seen, NULL, NULL, &deed, &err) && err.code == ERR_STALE);
    CHECK_OK(people_find_waiting(w->store, code, &seen, &err), err);
    world_jump(w, 2 * MINUTE_MS);
    world_check_refused(w, world_admit(w, peer, large), ERR_PENDING); /* it still waits */
    CHECK_OK(people_approve(w->store, &seen, NULL, NULL, &deed, &err), err);
    CHECK(store_waiting_find(w->store, key_public_view(peer->key), &found, &is, &err) &&
          found == STORE_FOUND);
    CHECK_U64(is.last_at, w->wall);
    CHECK(is.answer == STORE_APPROVED && seen.answer == STORE_APPROVED);
    world_take_id(w, world_admit(w, peer, large), peer);
    CHECK_STR(find(w, peer).groups, "staff");
}

/* ---- while the router says whether it is there ------------------------------------------------------ */

static void join_for_a_while(struct world *w, struct world_peer *peer)
{
    _cleanup_(key_freep) struct key *token =
        world_add_token(w, (struct store_token){ .vanish_after = HOUR_MS });

    world_take_id(w, world_admit(w, peer, token), peer);
    CHECK(find(w, peer).kind == STORE_EPHEMERAL);
}

TEST(a_device_that_was_removed_is_not_seen_again_and_has_not_vanished)
{
    for (int is_online = 0; is_online < 2; is_online++) {
        _cleanup_(world_freep) struct world *w = world_new(POLICY);
        _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
        struct deeds d = { w, peer, 0 };

        join_for_a_while(w, peer);
        world_jump(w, 2 * HOUR_MS);
        CHECK(world_pending(w, "network.peer.get"));
        world_before_begin(take_away, &d);
        world_answer_online(w, is_online);
        CHECK_U64(d.n, 1);
        CHECK(find(w, peer).ended == STORE_REMOVED);
        CHECK_U64(world_audited(w, "identity.vanished", peer->id), 0);
    }
}

/* It was never used again: den asks whether it is there, before its ID is given up. */
static void join_once(struct world *w, struct world_peer *peer)
{
    struct err err = { 0 };

    w->config.enrolment = DEN_OPEN;
    w->config.provisional_life = DAY_MS;
    CHECK_OK(world_restart(w, &err), err);
    world_take_id(w, world_admit(w, peer, NULL), peer);
    world_jump(w, 3 * DAY_MS);
    CHECK(world_pending(w, "network.peer.get"));
}

TEST(an_id_that_was_kept_is_not_given_up)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct deeds d = { w, peer, 0 };
    size_t n_failed = world_logged("passing.failed", NULL);

    join_once(w, peer);
    world_before_begin(keep, &d);
    world_answer_online(w, false);
    CHECK_U64(d.n, 1);
    CHECK(find(w, peer).kind == STORE_COMMITTED);
    CHECK_U64(world_logged("passing.failed", NULL), n_failed);
}

/* Its ID would be free, and its key unknown: as good as new. */
TEST(an_id_that_was_revoked_is_not_given_up)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    struct deeds d = { w, peer, 0 };

    join_once(w, peer);
    world_before_begin(revoke, &d);
    world_answer_online(w, false);
    CHECK_U64(d.n, 1);
    CHECK(find(w, peer).is_revoked);
    world_jump(w, DAY_MS);
    CHECK(!world_pending(w, "network.peer.get")); /* nothing hangs on it */
    world_check_refused(w, world_admit(w, peer, NULL), ERR_REVOKED);
}
