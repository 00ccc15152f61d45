/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/den/scene.h"

#include <stdio.h>

static uint8_t wrong[HASH_SIZE] = { 1 };

/* ---- closing ------------------------------------------------------------------------------- */

static uint64_t send_report(struct world *w, const struct world_peer *by, struct view sid,
                            const char *reason, uint64_t sent, uint64_t received)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, sent || received ? 5 : 2);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, sid);
    rpc_put_str(&body, "reason");
    rpc_put_str(&body, reason);
    if (sent || received) {
        rpc_put_str(&body, "path");
        rpc_put_str(&body, "direct");
        rpc_put_str(&body, "sent");
        rpc_put_u64(&body, sent);
        rpc_put_str(&body, "received");
        rpc_put_u64(&body, received);
    }
    world_put_request(w, &args, by->key, by->id, "den.session.close", buf_view(&body));
    return world_handle(w, "den.session.close", "peer", by->id, &args);
}

static uint64_t send_close(struct world *w, const struct world_peer *by, struct view sid,
                           const char *reason)
{
    return send_report(w, by, sid, reason, 0, 0);
}

static void check_told(const struct scene *s, const char *reason)
{
    const struct world_event *event = world_last_event(s->w, "den.session.on_state");
    char ends[64];
    struct rpc_fields f;

    snprintf(ends, sizeof(ends), "%s,%s", s->alice->id, s->bob->id);
    if (!CHECK(event))
        return;
    CHECK_STR(event->eligible, ends);
    CHECK(!event->is_retained);
    rpc_fields_open(&f, buf_view(&event->args));
    CHECK_U64(rpc_fields_fixed(&f, "sid", RPC_SID).len, RPC_SID);
    CHECK_VIEW(rpc_fields_text(&f, "state", 16), VIEW_LIT("closed"));
    CHECK_VIEW(rpc_fields_text(&f, "reason", 100), view_text(reason));
}

TEST(either_end_closes_a_session_and_nobody_else)
{
    SCENE(s);
    const struct world_peer *const closers[] = { s.alice, s.bob };

    for (size_t i = 0; i < N_ELEMENTS(closers); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        uint64_t inv;
        struct offer offer;
        struct accept accept;
        struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
        if (!call || !scene_read_offer(s.w, call, &offer))
            return;
        accept_begin(&accept, s.w, &offer, s.bob);
        scene_accept(call, &accept);
        scene_check_refused(s.w, send_close(s.w, s.carol, VIEW_ARR(dial.sid), "mine"),
                            ERR_NOT_FOUND, "close: no such session of yours");
        CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
        inv = send_close(s.w, closers[i], VIEW_ARR(dial.sid), "done");
        CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_YIELDED);
        CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
        check_told(&s, "done");
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
        size_t n_events = s.w->n_events;
        inv = send_close(s.w, closers[i], VIEW_ARR(dial.sid), "again"); /* harmless */
        CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_YIELDED);
        CHECK_U64(s.w->n_events, n_events);
    }
    scene_check_refused(s.w, send_close(s.w, s.alice, VIEW(wrong, RPC_SID), "x"), ERR_NOT_FOUND,
                        "close: no such session of yours");
    scene_check_refused(s.w, send_close(s.w, s.alice, VIEW(wrong, 3), "x"), ERR_INVALID_ARGUMENT,
                        "close: body: sid: missing, or not 16 bytes");
}

static uint64_t send_path(struct world *w, const struct world_peer *by, struct view sid,
                          const char *path)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, 4);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, sid);
    rpc_put_str(&body, "path");
    rpc_put_str(&body, path);
    rpc_put_str(&body, "code");
    rpc_put_str(&body, "policy_here");
    rpc_put_str(&body, "why");
    rpc_put_str(&body, "it is wanted");
    world_put_request(w, &args, by->key, by->id, "den.session.path", buf_view(&body));
    return world_handle(w, "den.session.path", "peer", by->id, &args);
}

static bool is_taken(struct world *w, uint64_t inv)
{
    return world_answer(w, inv) && world_answer(w, inv)->what == WORLD_YIELDED;
}

static void check_path(struct world *w, struct view sid, const char *path)
{
    struct store_session session;
    enum store_found found;
    struct err err;

    CHECK_OK(store_session_find(w->store, sid, &found, &session, &err), err);
    CHECK_STR(session.path, path);
}

TEST(the_word_of_a_path_may_come_a_little_after_the_other_ends_close)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct offer offer;
    struct accept accept;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    struct view sid = VIEW_ARR(dial.sid);

    if (!call || !scene_read_offer(s.w, call, &offer))
        return;
    scene_check_refused(s.w, send_path(s.w, s.alice, sid, "relay"), ERR_NOT_FOUND,
                        "path: the session is not up");
    accept_begin(&accept, s.w, &offer, s.bob);
    scene_accept(call, &accept);
    CHECK(is_taken(s.w, send_path(s.w, s.alice, sid, "relay (policy_here) a:443")));
    check_path(s.w, sid, "relay (policy_here) a:443");
    CHECK(is_taken(s.w, send_close(s.w, s.alice, sid, "done")));
    CHECK(is_taken(s.w, send_path(s.w, s.bob, sid, "relay (policy_there) b:443")));
    check_path(s.w, sid, "relay (policy_here) a:443"); /* as whoever closed it said */
    scene_check_refused(s.w, send_path(s.w, s.carol, sid, "direct"), ERR_NOT_FOUND,
                        "path: no such session of yours");
    world_pass(s.w, 61000);
    scene_check_refused(s.w, send_path(s.w, s.bob, sid, "relay"), ERR_NOT_FOUND,
                        "path: the session is not up");
}

static void check_report(struct world *w, struct view sid, const char *path, uint64_t a_sent,
                         uint64_t b_sent)
{
    struct store_session session;
    enum store_found found;
    struct err err;

    CHECK_OK(store_session_find(w->store, sid, &found, &session, &err), err);
    CHECK_STR(session.path, path);
    CHECK_U64(session.a_sent, a_sent);
    CHECK_U64(session.b_sent, b_sent);
    CHECK_STR(session.reason, "policy does not allow it any more");
}

TEST(what_a_session_came_to_that_den_ended_its_ends_tell)
{
    SCENE(s);
    for (unsigned late = 0; late < 2; late++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        struct view sid = VIEW_ARR(dial.sid);
        uint64_t inv;
        struct offer offer;
        struct accept accept;
        struct err err;
        struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

        if (!call || !scene_read_offer(s.w, call, &offer))
            return;
        accept_begin(&accept, s.w, &offer, s.bob);
        scene_accept(call, &accept);
        CHECK_OK(
            world_set_policy(s.w, "rules: [{from: any, to: any, can: any, consent: deny}]\n", &err),
            err);
        world_pass(s.w, late ? 61000 : 1000);
        check_report(s.w, sid, "", 0, 0);
        scene_check_refused(s.w, send_report(s.w, s.carol, sid, "x", 1, 2), ERR_NOT_FOUND,
                            "close: no such session of yours");
        CHECK(is_taken(s.w, send_report(s.w, s.bob, sid, "x", 7, 9)));
        CHECK(is_taken(s.w, send_report(s.w, s.alice, sid, "x", 100, 200))); /* it is told */
        check_report(s.w, sid, late ? "" : "direct", late ? 0 : 9, late ? 0 : 7);
        CHECK_U64(world_audited(s.w, "what=session.reported", "sent_by_caller=9"), 1);
        CHECK_U64(world_audited(s.w, "what=session.reported", NULL), 1);
        CHECK_OK(
            world_set_policy(s.w, "rules: [{from: any, to: any, can: any, consent: none}]\n", &err),
            err);
    }
}

TEST(a_grant_that_the_router_could_not_be_told_to_forget_is_not_forgotten_here)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    struct buf none = { 0 };

    if (!call)
        return;
    world_fail(call, ERR_NETWORK_FAILURE); /* the router is gone, and the offer with it */
    den_core_down(s.w->core);
    world_fail(world_pending(s.w, "network.grant.remove"), ERR_NETWORK_FAILURE);
    CHECK(!world_pending(s.w, "network.grant.remove"));
    den_core_up(s.w->core);
    struct world_call *again = world_pending(s.w, "network.grant.remove");
    if (!CHECK(again))
        return;
    world_result(again, &none);
    den_core_up(s.w->core);
    CHECK(!world_pending(s.w, "network.grant.remove"));
}

TEST(a_caller_that_does_not_wait_any_more_ends_its_dial)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    den_core_interrupt(s.w->core, inv + 1000); /* nobody's */
    CHECK(!call->is_forgotten);
    den_core_interrupt(s.w->core, inv);
    CHECK(call->is_forgotten);
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    check_told(&s, "canceled"); /* whose question disappears */
    size_t n_events = s.w->n_events;
    den_core_interrupt(s.w->core, inv);
    CHECK_U64(s.w->n_events, n_events);
}

TEST(closing_what_still_rings_answers_its_caller)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    send_close(s.w, s.alice, VIEW_ARR(dial.sid), "changed my mind");
    scene_check_refused(s.w, inv, ERR_CANCELED, "closed before it was answered");
    CHECK(call->is_forgotten);
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    check_told(&s, "canceled");
}

TEST(that_den_was_stopped_or_lost_the_router_is_not_said_of_the_callee)
{
    SCENE(s);
    struct store_session session;
    enum store_found found;
    struct err err;

    for (size_t i = 0; i < 2; i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        uint64_t inv;
        struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
        if (!call)
            return;
        if (i == 1)
            den_core_leave(s.w->core);
        world_cut(call);
        CHECK_OK(store_session_find(s.w->store, VIEW_ARR(dial.sid), &found, &session, &err), err);
        CHECK_STR(session.reason, "closed");
        CHECK_U64(world_audited(s.w, "what=session.failed",
                                i ? "cause=den was stopped" : "cause=the router went away"),
                  1);
        CHECK_U64(world_audited(s.w, "what=session.failed", "not_reachable"), 0);
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
    }
}
