/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations as statements: their order, who gets them, and what a restart leaves. */
#include "den/inventory.h"
#include "base/clock.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static const char install[] = "network.revocations.install";

/* As `warren-den revoke` does it, in another process. */
static void put_down(struct world *w, enum store_revoke kind, const char *id, uint8_t fill)
{
    struct store_revocation r = { .kind = kind, .reason = 1, .at = w->wall };
    _cleanup_(store_freep) struct store *store = NULL;
    bool is_new;
    struct err err = { 0 };

    CHECK_OK(store_open(w->store_path, &store, &err), err);
    snprintf(r.id, sizeof(r.id), "%s", id);
    r.subject_len = kind == STORE_REVOKE_ADMISSIONS ? 8 : 32;
    memset(r.subject, fill, r.subject_len);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_revocation_add(store, &r, &r.no, &is_new, &err), err);
    CHECK_OK(store_commit(store, &err), err);
}

static void look(struct world *w)
{
    while (!den_core_look(w->core))
        ;
}

/* Takes a list of [V, sig] as a peer does. */
static unsigned take(const struct world *w, struct rpc_revoked *revoked, struct view list)
{
    struct rpc_revoked_news news;
    struct rpc_fields all;
    struct err err = { 0 };
    unsigned n = 0;

    rpc_fields_open(&all, list);
    while (rpc_fields_more(&all)) {
        struct rpc_fields one;
        rpc_fields_open(&one, rpc_fields_array(&all, "revocation"));
        struct view bytes = rpc_fields_bin(&one, "statement", RPC_MAX_STATEMENT);
        struct view sig = rpc_fields_fixed(&one, "signature", SIG_SIZE);
        n += CHECK(rpc_revoked_add(revoked, w->trust, bytes, sig, w->wall, &news, &err)) &&
             news.step == RPC_REVOKED_TAKEN;
    }
    return n;
}

/* Asks for those from `from` on, as many as come at once. */
static unsigned fetch(struct world *w, struct rpc_revoked *revoked, uint64_t from, bool *ret_more)
{
    const struct world_answer *answer;
    struct buf args = { 0 };
    struct rpc_fields f;

    rpc_put_array(&args, 1);
    rpc_put_u64(&args, from);
    *ret_more = false;
    answer = world_answer(w, world_handle(w, "den.ca.revocations", "guest", "g1", &args));
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return 0;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view list = rpc_fields_array(&f, "revocations");
    CHECK(rpc_value_bool(rpc_fields_value(&f, "is_more"), ret_more));
    return take(w, revoked, list);
}

/* The router's answer to the oldest hand-over: what was in it, taken as the router does. */
static unsigned answer_router(struct world *w, struct rpc_revoked *router)
{
    struct world_call *call = world_pending(w, install);
    struct buf result = { 0 };
    struct rpc_fields f;
    unsigned n;

    if (!CHECK(call))
        return 0;
    rpc_fields_open(&f, buf_view(&call->args));
    n = take(w, router, rpc_fields_array(&f, "revocations"));
    rpc_put_array(&result, 1);
    rpc_put_u64(&result, rpc_revoked_no(router));
    world_result(call, &result);
    return n;
}

TEST(a_revocation_is_signed_handed_over_published_and_in_the_heartbeat)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *router = rpc_revoked_new();
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *peer = rpc_revoked_new();
    bool is_more;

    CHECK(!world_pending(w, install)); /* nothing was ever revoked */
    put_down(w, STORE_REVOKE_TLS_KEY, "456000", 7);
    look(w);
    CHECK_U64(answer_router(w, router), 1);
    CHECK(world_last_event(w, "den.ca.on_revoke"));
    CHECK_U64(world_heartbeat(w).rev_no, 1);
    CHECK_VIEW(world_heartbeat(w).rev_head, rpc_revoked_head(router));
    put_down(w, STORE_REVOKE_ADMISSIONS, "456001", 0);
    look(w);
    CHECK_U64(answer_router(w, router), 1);
    CHECK_U64(world_heartbeat(w).rev_no, 2);
    CHECK_U64(fetch(w, peer, 1, &is_more), 2);
    CHECK(!is_more);
    CHECK_VIEW(rpc_revoked_head(peer), world_heartbeat(w).rev_head);
    CHECK_U64(fetch(w, peer, 3, &is_more), 0);
}

TEST(the_chain_goes_on_after_a_restart_and_a_router_gets_what_it_lacks)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *router = rpc_revoked_new();
    struct err err = { 0 };
    size_t n;

    for (uint8_t i = 0; i < 3; i++)
        put_down(w, STORE_REVOKE_TLS_KEY, "456000", i);
    world_close(w);
    put_down(w, STORE_REVOKE_TLS_KEY, "456000", 3); /* while den was away */
    CHECK_OK(world_restart(w, &err), err);
    n = w->n_events;
    CHECK_U64(answer_router(w, router), 0); /* asked what it has: nothing */
    CHECK_U64(w->n_events, n);              /* nobody is told to be behind before it has all */
    CHECK_U64(answer_router(w, router), 4);
    CHECK_U64(world_heartbeat(w).rev_no, 4);
    CHECK_VIEW(world_heartbeat(w).rev_head, rpc_revoked_head(router));
    CHECK_OK(world_restart(w, &err), err);
    CHECK_U64(answer_router(w, router), 0);
    CHECK(!world_pending(w, install));
    CHECK_U64(world_heartbeat(w).rev_no, 4);
}

TEST(a_full_disk_signs_nothing_and_nothing_is_lost)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *router = rpc_revoked_new();

    put_down(w, STORE_REVOKE_TLS_KEY, "456000", 1);
    world_disk_is_full = true;
    den_core_look(w->core);
    world_disk_is_full = false;
    CHECK(!world_pending(w, install));
    CHECK_U64(world_heartbeat(w).rev_no, 0);
    look(w);
    CHECK_U64(answer_router(w, router), 1);
    CHECK_U64(world_heartbeat(w).rev_no, 1);
}

TEST(many_are_fetched_in_pages)
{
    enum { MANY = 5000 };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *peer = rpc_revoked_new();
    uint8_t subject[32] = { 0 };
    struct err err = { 0 };
    unsigned n_pages = 0, n = 0;
    bool is_more = true;

    CHECK_OK(store_begin(w->store, &err), err);
    for (uint32_t i = 0; i < MANY; i++) {
        struct store_revocation r = { .kind = STORE_REVOKE_TLS_KEY, .id = "456000", .at = w->wall };
        bool is_new;
        memcpy(subject, &i, sizeof(i));
        memcpy(r.subject, subject, sizeof(subject));
        r.subject_len = sizeof(subject);
        CHECK_OK(store_revocation_add(w->store, &r, &r.no, &is_new, &err), err);
    }
    CHECK_OK(store_commit(w->store, &err), err);
    look(w);
    while (is_more && n_pages++ < 100)
        n += fetch(w, peer, n + 1, &is_more);
    CHECK_U64(n, MANY);
    CHECK(n_pages > 1);
    CHECK_VIEW(rpc_revoked_head(peer), world_heartbeat(w).rev_head);
}

TEST(what_the_router_did_not_take_is_tried_again)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *router = rpc_revoked_new();

    put_down(w, STORE_REVOKE_TLS_KEY, "456000", 1);
    look(w);
    if (!CHECK(world_pending(w, install)))
        return;
    world_fail(world_pending(w, install), ERR_TIMEOUT);
    CHECK(!world_pending(w, install));
    world_pass(w, 31 * SECOND_MS);
    CHECK_U64(answer_router(w, router), 0); /* what has it? */
    CHECK_U64(answer_router(w, router), 1);
    world_pass(w, 31 * SECOND_MS);
    CHECK(!world_pending(w, install));
}

TEST(reasons_are_read_in_our_spelling_and_in_the_standards)
{
    static const struct {
        const char *word;
        int reason; /* -1: none */
    } cases[] = {
        { "unspecified", 0 },
        { "key-compromise", 1 },
        { "keyCompromise", 1 },
        { "cACompromise", 2 },
        { "affiliationChanged", 3 },
        { "superseded", 4 },
        { "cessationOfOperation", 5 },
        { "cessation-of-operation", 5 },
        { "privilegeWithdrawn", 9 },
        { "aACompromise", 10 },
        { "certificateHold", -1 },
        { "removeFromCRL", -1 },
        { "", -1 },
        { "key", -1 },
        { "keyCompromised", -1 },
        { "1", -1 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err err = { 0 };
        uint8_t reason = 99;
        bool is = inventory_reason_read("--reason", cases[i].word, &reason, &err);
        CHECK(is == (cases[i].reason >= 0));
        CHECK(is ? reason == cases[i].reason : err.code == ERR_INVALID_ARGUMENT);
    }
}
