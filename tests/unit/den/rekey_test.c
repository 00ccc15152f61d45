/* SPDX-License-Identifier: Apache-2.0 */
/* New keys for known IDs. */
#include "base/clock.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any}]\n"

struct change {
    struct rpc_rekey k;
    const struct key *old_key, *new_key;
};

static struct change change(const struct world *w, const struct world_peer *peer,
                            const struct key *next, uint64_t no)
{
    return (struct change){ { .netid = rpc_trust_netid(w->trust),
                              .id = view_text(peer->id),
                              .old_pk = key_public_view(peer->key),
                              .new_pk = key_public_view(next),
                              .rekey_no = no,
                              .at = w->wall },
                            peer->key,
                            next };
}

static uint64_t send(struct world *w, const char *id, const struct change *c)
{
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    struct buf args = { 0 };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REKEY, &c->k, c->old_key, &bytes, sig);
    key_sign(c->new_key, buf_view(&bytes), new_sig);
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_put_bin(&args, VIEW_ARR(new_sig));
    return world_handle(w, "den.identity.rekey", "peer", id, &args);
}

TEST(the_old_key_names_the_new_one_and_is_worth_nothing_then)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    struct change c = change(w, peer, next->key, 1);
    char id[STORE_ID];
    struct err err = { 0 };

    snprintf(id, sizeof(id), "%s", peer->id);
    CHECK_STR(world_take_id(w, send(w, id, &c), next), id);
    CHECK_STR(world_take_id(w, send(w, id, &c), next), id); /* the answer was lost */
    world_check_refused(w, world_admit(w, peer, NULL), ERR_REVOKED);
    CHECK_OK(world_restart(w, &err), err);
    CHECK_STR(world_take_id(w, world_admit(w, next, NULL), next), id);
    CHECK_U64(world_audited(w, "identity.rekeyed", id), 1);
}

TEST(changes_that_do_not_hold_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *other = world_peer_new(w);
    _cleanup_(key_freep) struct key *next = key_new();
    struct change c;

    CHECK(world_unlimited(w));
    c = change(w, peer, next, 2);
    world_check_refused(w, send(w, peer->id, &c), ERR_BAD_STATEMENT);
    c = change(w, peer, next, 1);
    c.old_key = other->key;
    world_check_refused(w, send(w, peer->id, &c), ERR_BAD_SIGNATURE);
    c = change(w, peer, next, 1);
    c.new_key = other->key;
    world_check_refused(w, send(w, peer->id, &c), ERR_BAD_SIGNATURE);
    c = change(w, peer, other->key, 1); /* a key that has an ID */
    world_check_refused(w, send(w, peer->id, &c), ERR_WRONG_KEY);
    c = change(w, peer, next, 1); /* in another's name */
    world_check_refused(w, send(w, other->id, &c), ERR_NOT_AUTHORIZED);
    c = change(w, peer, next, 1);
    c.k.at -= HOUR_MS;
    world_check_refused(w, send(w, peer->id, &c), ERR_EXPIRED);
    c = change(w, peer, next, 1);
    c.k.by = VIEW_LIT("somebody");
    world_check_refused(w, send(w, peer->id, &c), ERR_WRONG_KEY);
    world_take_id(w, world_admit(w, peer, NULL), peer);
}

TEST(a_key_that_was_replaced_never_comes_back)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *other = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    struct change c;

    CHECK(world_unlimited(w));
    c = change(w, peer, next->key, 1);
    world_take_id(w, send(w, peer->id, &c), next);
    c = change(w, next, peer->key, 2);
    world_check_refused(w, send(w, next->id, &c), ERR_WRONG_KEY);
    c = change(w, other, peer->key, 1);
    world_check_refused(w, send(w, other->id, &c), ERR_WRONG_KEY);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);
    world_check_refused(w, world_admit(w, peer, token), ERR_REVOKED);
}

TEST(an_administrator_gives_an_id_a_new_key_that_it_confirms)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token_for(w, peer->id);
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };
    struct buf args = { 0 };
    uint8_t new_sig[SIG_SIZE];

    CHECK_STR(world_take_id(w, world_admit(w, next, token), next), peer->id);
    world_check_refused(w, world_admit(w, peer, NULL), ERR_REVOKED);

    uint64_t inv = world_handle(w, "den.identity.unsigned", "peer", next->id, &args);
    struct rpc_fields f;
    rpc_fields_open(&f, buf_view(&world_answer(w, inv)->bytes));
    struct view bytes = rpc_fields_bin(&f, "K", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    struct rpc_rekey k;
    CHECK_OK(rpc_statement_open(RPC_W_REKEY, key_public_view(w->sign), bytes, sig, &k, &err), err);
    CHECK_VIEW(k.new_pk, key_public_view(next->key));
    CHECK(k.by.len != 0);
    key_sign(next->key, bytes, new_sig);
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, bytes);
    rpc_put_bin(&args, sig);
    rpc_put_bin(&args, VIEW_ARR(new_sig));
    world_take_id(w, world_handle(w, "den.identity.rekey", "peer", next->id, &args), next);
    inv = world_handle(w, "den.identity.unsigned", "peer", next->id, &args);
    CHECK_U64(world_answer(w, inv)->bytes.len, 1); /* none is left */
    CHECK_OK(store_identity_by_id(w->store, view_text(next->id), &found, &who, &err), err);
    CHECK_U64(who.rekey_no, 1);
    CHECK_U64(world_audited(w, "identity.re_enrolled", next->id), 1);
}

/* ---- what becomes of the key before ------------------------------------------------------------ */

struct newest {
    struct store_revocation r;
    size_t n;
};

static bool take_newest(void *user, const struct store_revocation *r)
{
    struct newest *newest = user;

    newest->r = *r;
    newest->n++;
    return true;
}

static void check_ended(struct world *w, const char *id, struct view old_pk)
{
    struct newest newest = { 0 };
    struct err err = { 0 };

    CHECK_OK(store_revocation_each(w->store, 1, take_newest, &newest, &err), err);
    CHECK_U64(newest.n, 1);
    CHECK_U64(newest.r.kind, STORE_REVOKE_IDENTITY);
    CHECK_U64(newest.r.reason, RPC_SUPERSEDED);
    CHECK_STR(newest.r.id, id);
    CHECK_VIEW(VIEW(newest.r.subject, newest.r.subject_len), old_pk);
}

static bool is_marked(const struct world *w, const struct world_peer *peer)
{
    bool is_revoked = false;
    struct err err = { 0 };

    return CHECK(store_key_is_revoked(w->store, VIEW_ARR(peer->spki), &is_revoked, &err)) &&
           is_revoked;
}

/* The ID goes on under the next key at once, whenever the revocation is read: it names the key alone. */
TEST(the_key_before_is_revoked_and_nothing_else_of_the_id)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    struct change c = change(w, peer, next->key, 1);
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };

    world_take_id(w, send(w, peer->id, &c), next);
    check_ended(w, next->id, key_public_view(peer->key));
    CHECK(!is_marked(w, peer)); /* the machine keeps its certificate */
    CHECK_OK(store_identity_by_id(w->store, view_text(next->id), &found, &who, &err), err);
    CHECK(!who.is_revoked);
}

/* Somebody else may have what the machine had. */
TEST(certificates_of_the_key_before_end_where_an_administrator_gave_the_next)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(world_peer_freep) struct world_peer *next = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token_for(w, peer->id);

    world_take_id(w, world_admit(w, next, token), next);
    check_ended(w, peer->id, key_public_view(peer->key));
    CHECK(is_marked(w, peer));
    CHECK_STR(world_take_id(w, world_admit(w, next, NULL), next), peer->id);
}

/* ---- a store that was restored from a backup ------------------------------------------------------ */

/* As if the store of the day before were back: the signer alone knows of that change. */
static void move_book(struct world *w, const struct change *c)
{
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    struct err err = { 0 };

    rpc_statement_sign(RPC_W_REKEY, &c->k, c->old_key, &bytes, sig);
    key_sign(c->new_key, buf_view(&bytes), new_sig);
    CHECK_OK(signer_move(w->signer, buf_view(&bytes), VIEW_ARR(sig), VIEW_ARR(new_sig), &err), err);
}

static void check_key(struct world *w, const struct world_peer *peer, uint64_t rekey_no)
{
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };

    CHECK_OK(store_identity_by_id(w->store, view_text(peer->id), &found, &who, &err), err);
    CHECK_VIEW(VIEW_ARR(who.pk), key_public_view(peer->key));
    CHECK_U64(who.rekey_no, rekey_no);
}

/* The signer knows two keys more than the store. */
struct restored {
    struct world *w;
    struct world_peer *peer, *second, *third, *next;
    struct key *token;
};

static void restored_fill(struct restored *r)
{
    struct change c;

    r->w = world_new(POLICY);
    r->peer = world_peer_new(r->w);
    r->second = world_stranger_new(r->w);
    r->third = world_stranger_new(r->w);
    r->next = world_stranger_new(r->w);
    memcpy(r->second->id, r->peer->id, sizeof(r->second->id));
    c = change(r->w, r->peer, r->second->key, 1);
    move_book(r->w, &c);
    c = change(r->w, r->second, r->third->key, 2);
    move_book(r->w, &c);
    r->token = world_token_for(r->w, r->peer->id);
}

static void restored_deinit(struct restored *r)
{
    world_peer_free(r->peer);
    world_peer_free(r->second);
    world_peer_free(r->third);
    world_peer_free(r->next);
    key_free(r->token);
    world_free(r->w);
}

TEST(an_administrator_goes_on_from_the_key_that_the_signer_knows)
{
    _cleanup_(restored_deinit) struct restored r = { 0 };
    struct err err = { 0 };

    restored_fill(&r);
    CHECK_STR(world_take_id(r.w, world_admit(r.w, r.next, r.token), r.next), r.peer->id);
    check_key(r.w, r.next, 3);
    CHECK_U64(world_audited(r.w, "identity.key_of_signer", r.peer->id), 1);
    world_check_refused(r.w, world_admit(r.w, r.third, NULL), ERR_REVOKED);
    CHECK_OK(world_restart(r.w, &err), err);
    CHECK_STR(world_take_id(r.w, world_admit(r.w, r.next, NULL), r.next), r.peer->id);
}

TEST(the_signer_went_on_and_den_could_not_record_it)
{
    _cleanup_(restored_deinit) struct restored r = { 0 };
    uint64_t inv;

    restored_fill(&r);
    world_disk_is_full = true;
    inv = world_admit(r.w, r.next, r.token);
    world_disk_is_full = false;
    CHECK(world_answer(r.w, inv) && world_answer(r.w, inv)->what == WORLD_REFUSED);
    check_key(r.w, r.peer, 0);
    CHECK_STR(world_take_id(r.w, world_admit(r.w, r.next, r.token), r.next), r.peer->id);
    check_key(r.w, r.next, 3);
}
