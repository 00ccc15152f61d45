/* SPDX-License-Identifier: Apache-2.0 */
/* What the router refused by itself is in the audit, and nobody fills it with that. */
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static const char *said_verb = "call";

static void put_one(struct world *w, const char *id, const char *uri, uint64_t n, struct buf *to)
{
    rpc_put_array(to, 9);
    rpc_put_str(to, id);
    rpc_put_str(to, *id ? "peer" : "guest");
    rpc_put_str(to, said_verb);
    rpc_put_str(to, uri);
    rpc_put_str(to, "forbidden");
    rpc_put_u64(to, n);
    rpc_put_u64(to, w->wall - 60000);
    rpc_put_u64(to, w->wall);
    rpc_put_str(to, "192.0.2.7");
}

static uint64_t tell(struct world *w, const char *role, const char *id, uint32_t n, const char *uri)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_array(&args, n);
    for (uint32_t i = 0; i < n; i++)
        put_one(w, id, uri, 3, &args);
    return world_handle(w, "den.refusal.note", role, role[0] == 'r' ? "" : "456000", &args);
}

TEST(a_refusal_of_the_router_is_in_the_audit)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    uint64_t inv = tell(w, "router", "456000", 1, "den.token.list");

    CHECK(world_answer(w, inv) && world_answer(w, inv)->what == WORLD_YIELDED);
    CHECK_U64(world_audited(w, "what=router.refused", "uri=den.token.list"), 1);
    CHECK_U64(world_audited(w, "router.refused", "times=3"), 1);
    tell(w, "router", "", 1, "den.token.list");
    CHECK_U64(world_audited(w, "what=router.refused", "role=guest"), 1);
}

TEST(whom_an_administrator_cut_off_is_in_the_audit)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    said_verb = "kick";
    tell(w, "router", "456000", 1, "123456 too loud today");
    said_verb = "call";
    CHECK_U64(world_audited(w, "what=peer.kicked", "id=123456\n"), 1);
    CHECK_U64(world_audited(w, "what=peer.kicked", "reason=too loud today\n"), 1);
    CHECK_U64(world_audited(w, "by=456000\n", "source=192.0.2.7\n"), 1);
    CHECK_U64(world_audited(w, "state_before=connected\n", "state=disconnected\n"), 1);
    CHECK_U64(world_audited(w, "what=router.refused", NULL), 0);
}

TEST(what_a_router_makes_up_does_not_fill_the_audit)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    said_verb = "kick";
    for (int i = 0; i < 10; i++)
        tell(w, "router", "999999", 64, "123456 made up");
    said_verb = "call";
    CHECK_U64(world_audited(w, "what=peer.kicked", NULL), 200);
    CHECK_U64(world_audited(w, "what=peer.kicked", "told_by=router"), 200);
}

TEST(what_an_administrator_took_away_is_in_the_audit)
{
    static const char *const verbs[][2] = { { "remove_callee", "what=registration.removed" },
                                            { "remove_subscriber", "what=subscription.removed" } };

    for (size_t i = 0; i < N_ELEMENTS(verbs); i++) {
        _cleanup_(world_freep) struct world *w = world_new(POLICY);
        said_verb = verbs[i][0];
        tell(w, "router", "456000", 1, "123456 peer.123456.app.go app.error.late");
        said_verb = "call";
        CHECK_U64(world_audited(w, verbs[i][1], "\nid=123456\n"), 1);
        CHECK_U64(world_audited(w, verbs[i][1], "\nuri=peer.123456.app.go"), 1);
        CHECK_U64(world_audited(w, verbs[i][1], "\nreason=app.error.late\n"), 1);
        CHECK_U64(world_audited(w, "\nby=456000\n", "\nsource=192.0.2.7\n"), 1);
        CHECK_U64(world_audited(w, "what=router.refused", NULL), 0);
    }
}

TEST(nobody_but_the_router_may_say_it)
{
    static const char *const roles[] = { "guest", "peer", "admin", "script", "den", "" };

    for (size_t i = 0; i < N_ELEMENTS(roles); i++) {
        _cleanup_(world_freep) struct world *w = world_new(POLICY);
        world_check_refused(w, tell(w, roles[i], "456000", 1, "den.token.list"),
                            ERR_NOT_AUTHORIZED);
        CHECK_U64(world_audited(w, "what=router.refused", NULL), 0);
    }
}

TEST(one_does_not_fill_the_audit_nor_keep_others_out)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (int i = 0; i < 60; i++) {
        tell(w, "router", "456000", 64, "den.token.list");
        world_pass(w, 60000);
    }
    tell(w, "router", "456001", 1, "den.peer.list");
    size_t n = world_audited(w, "what=router.refused", "id=456000");
    CHECK(n >= 200 && n <= 200 + 360 + 10); /* 200, and six a minute */
    CHECK_U64(world_audited(w, "what=router.refused", "id=456001"), 1);
    CHECK(world_audited(w, "what=router.refused", "left_out_before=") > 0);
}

TEST(what_is_malformed_is_refused_whole)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct buf args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_array(&args, 2);
    put_one(w, "456000", "den.token.list", 1, &args);
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, 7);
    world_check_refused(w, world_handle(w, "den.refusal.note", "router", "", &args),
                        ERR_INVALID_ARGUMENT);
    world_check_refused(w, tell(w, "router", "456000", 65, "den.token.list"), ERR_INVALID_ARGUMENT);
    CHECK_U64(world_audited(w, "what=router.refused", NULL), 0);
}

TEST(what_could_not_be_written_is_not_acknowledged)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    uint64_t inv;

    world_disk_is_full = true;
    inv = tell(w, "router", "456000", 1, "den.token.list");
    world_disk_is_full = false;
    CHECK(world_answer(w, inv) && world_answer(w, inv)->what == WORLD_REFUSED);
    CHECK_U64(world_audited(w, "what=router.refused", NULL), 0);
}
