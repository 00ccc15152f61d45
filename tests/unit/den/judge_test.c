/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that go on when what decided about them changes. */
#include "base/clock.h"
#include "den/deed.h"
#include "den/people.h"
#include "tests/unit/den/scene.h"

#include <stdio.h>

static struct err err;

/* %1 and %2 are alice's and bob's ID. */
static char *fill(const struct scene *s, const char *policy)
{
    _buf_ text = { 0 };

    for (const char *at = policy; *at; at++) {
        if (*at == '%')
            buf_put_text(&text, *++at == '1' ? s->alice->id : s->bob->id);
        else
            buf_put_u8(&text, (uint8_t)*at);
    }
    return mem_text(buf_cstr(&text));
}

/* A session between alice and bob, which policy allows. */
static bool begin(struct scene *s, const char *policy, uint8_t sid[RPC_SID])
{
    _free_ char *text = fill(s, policy);
    struct offer offer;
    struct accept accept;
    uint64_t inv;

    if (!world_set_policy(s->w, text, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return false;
    }
    DIAL(dial, s->w, s->alice, s->bob->id);
    memcpy(sid, dial.sid, RPC_SID);
    struct world_call *call = scene_ring(s->w, &dial, s->bob, &inv);
    if (!call || !scene_read_offer(s->w, call, &offer)) {
        check_failed(__FILE__, __LINE__, "nobody was called");
        return false;
    }
    accept_begin(&accept, s->w, &offer, s->bob);
    scene_accept(call, &accept);
    return strcmp(scene_state_of(s->w, sid), "accepted") == 0;
}

static bool set_policy(struct scene *s, const char *policy)
{
    _free_ char *text = fill(s, policy);

    return world_set_policy(s->w, text, &err);
}

static bool set_groups(struct scene *s, const struct world_peer *peer, const char *groups)
{
    const struct deed deed = deed_here(s->w->wall);
    struct store_identity who;

    return people_find(s->w->store, peer->id, &who, &err) &&
           people_set_groups(s->w->store, &who, groups, &deed, &err);
}

static bool is_removed(struct scene *s, const uint8_t sid[RPC_SID])
{
    struct world_call *call = world_pending(s->w, "network.grant.remove");
    struct rpc_fields f;

    if (!call)
        return false;
    rpc_fields_open(&f, buf_view(&call->args));
    return view_eq(rpc_fields_fixed(&f, "sid", RPC_SID), VIEW(sid, RPC_SID));
}

/* The event that both ends get: with den's signature under this session, and the reason. */
static void check_told(struct scene *s, const uint8_t sid[RPC_SID], const char *reason)
{
    const struct world_event *event = world_last_event(s->w, "den.session.on_state");
    struct rpc_fields f;
    struct rpc_end e;

    if (!CHECK(event != NULL))
        return;
    rpc_fields_open(&f, buf_view(&event->args));
    CHECK_VIEW(rpc_fields_fixed(&f, "sid", RPC_SID), VIEW(sid, RPC_SID));
    CHECK_VIEW(rpc_fields_text(&f, "state", 32), VIEW_LIT("closed"));
    CHECK_VIEW(rpc_fields_text(&f, "reason", 100), view_text(reason));
    struct view bytes = rpc_fields_bin(&f, "end", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    CHECK(rpc_fields_end(&f, &err));
    CHECK_OK(rpc_statement_open(RPC_W_END, key_public_view(s->w->sign), bytes, sig, &e, &err), err);
    CHECK_VIEW(e.sid, VIEW(sid, RPC_SID));
    CHECK_VIEW(e.a_id, view_text(s->alice->id));
    CHECK_VIEW(e.b_id, view_text(s->bob->id));
    CHECK_VIEW(e.reason, view_text(reason));
}

static void check_ended(struct scene *s, const uint8_t sid[RPC_SID], const char *reason,
                        const char *rule)
{
    _free_ char *why = mem_format("reason=%s", reason), *by = mem_format("rule=%s", rule);

    CHECK_STR(scene_state_of(s->w, sid), "closed");
    CHECK_U64(world_audited(s->w, "session.closed", why), 1);
    CHECK_U64(world_audited(s->w, "session.closed", by), 1);
    CHECK(is_removed(s, sid));
    check_told(s, sid, reason);
}

TEST(a_tightened_policy_ends_what_it_forbids_and_nothing_else)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(begin(&s, "rules: [{from: %1, to: %2, can: [chat, file]}]\n", sid)))
        return;
    CHECK_OK(set_policy(&s, "rules: [{from: %1, to: %2, can: [chat]}]\n"), err);
    world_pass(s.w, 2 * MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK_OK(set_policy(&s, "rules:\n - {from: %1, to: %2, can: [chat], consent: deny}\n"), err);
    world_pass(s.w, 10);
    check_ended(&s, sid, "policy does not allow it any more", "policy.yaml:2");
}

/* The called side may take less than was asked for: no more than that goes on, and is recorded and judged. */
TEST(what_was_not_accepted_is_not_judged)
{
    SCENE(s);
    struct offer offer;
    struct accept accept;
    struct store_session session;
    enum store_found found;
    uint64_t inv;

    CHECK_OK(set_policy(&s, "rules: [{from: %1, to: %2, can: [chat, file, 'tunnel:1']}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    dial.d.caps =
        (struct rpc_items){ { VIEW_LIT("file"), VIEW_LIT("chat"), VIEW_LIT("tunnel:1") }, 3 };
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept.c.caps = (struct rpc_items){ { VIEW_LIT("tunnel:1"), VIEW_LIT("chat") }, 2 };
    scene_accept(call, &accept);
    CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
    CHECK_U64(world_audited(s.w, "what=session.accepted\n",
                            "can=chat,tunnel:1\nasked=file,chat,tunnel:1\n"),
              1);
    CHECK_OK(store_session_find(s.w->store, VIEW_ARR(dial.sid), &found, &session, &err), err);
    CHECK_STR(session.caps, "file,chat,tunnel:1");
    CHECK_STR(session.caps_accepted, "chat,tunnel:1");
    CHECK_STR(store_session_caps(&session), "chat,tunnel:1");
    CHECK_OK(set_policy(&s, "rules: [{from: %1, to: %2, can: [chat, 'tunnel:1']}]\n"), err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
    CHECK_OK(world_restart(s.w, &err), err); /* it is known beyond den's end too */
    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: [chat, 'tunnel:1']}]\n"), err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
    CHECK_OK(set_policy(&s, "rules:\n - {from: %1, to: %2, can: [file, chat]}\n"), err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
}

TEST(what_may_be_opened_back_is_judged_too)
{
    SCENE(s);
    uint8_t sid[RPC_SID], other[RPC_SID];

    if (!CHECK(
            begin(&s, "rules: [{from: %1, to: %2, can: chat, back: ['tunnel:1', file]}]\n", sid)))
        return;
    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: any, "
                            "back: [file, x, 'tunnel:1']}]\n"),
             err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK_OK(set_policy(&s, "rules:\n - {from: %1, to: %2, can: chat, back: file}\n"), err);
    world_pass(s.w, 10);
    check_ended(&s, sid, "policy does not allow it any more", "policy.yaml:2");
    if (!CHECK(begin(&s, "rules: [{from: %1, to: %2, can: chat, back: file}]\n", other)))
        return;
    CHECK_OK(world_restart(s.w, &err), err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, other), "accepted");
    CHECK_OK(set_policy(&s, "rules: [{from: %1, to: %2, can: chat}]\n"), err);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, other), "closed"); /* it is known beyond den's end too */
}

TEST(a_group_that_is_taken_away_ends_what_it_allowed)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    CHECK_OK(set_groups(&s, s.alice, "staff,night"), err);
    den_core_look(s.w->core);
    if (!CHECK(begin(&s, "rules: [{from: group:staff, to: any, can: [chat]}]\n", sid)))
        return;
    CHECK_OK(set_groups(&s, s.alice, "staff"), err);
    den_core_look(s.w->core);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK_OK(set_groups(&s, s.alice, "night"), err);
    den_core_look(s.w->core);
    world_pass(s.w, 10);
    check_ended(&s, sid, "policy does not allow it any more", "default");
}

TEST(a_machine_that_is_removed_has_no_sessions)
{
    struct store_identity who;
    SCENE(s);
    const struct deed deed = deed_here(s.w->wall);
    uint8_t sid[RPC_SID];

    if (!CHECK(begin(&s, "rules: [{from: any, to: any, can: [chat]}]\n", sid)))
        return;
    CHECK_OK(people_find(s.w->store, s.bob->id, &who, &err) &&
                 people_remove(s.w->store, &who, &deed, &err),
             err);
    den_core_look(s.w->core);
    world_pass(s.w, 10);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK_U64(world_audited(s.w, "session.closed",
                            "reason=one of the two machines is not part of the network any more"),
              1);
}

TEST(time_ends_sessions_too)
{
    SCENE(s);
    uint8_t sid[RPC_SID], other[RPC_SID];
    char from[CLOCK_TEXT], until[CLOCK_TEXT];

    if (!CHECK(begin(&s, "rules: [{from: any, to: any, can: [chat], longest: 5m}]\n", sid)))
        return;
    world_pass(s.w, 5 * MINUTE_MS - 100);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    world_pass(s.w, MINUTE_MS + 200);
    check_ended(&s, sid, "the longest time that policy allows is over", "policy.yaml:1");
    clock_text(s.w->wall + 3 * MINUTE_MS, from);
    clock_text(s.w->wall + 93 * MINUTE_MS, until);
    _free_ char *policy = mem_format(
        "rules:\n"
        " - {from: any, to: any, can: any, consent: deny, when: {hours: %.5s-%.5s, zone: UTC}}\n"
        " - {from: any, to: any, can: [chat]}\n",
        from + 11, until + 11);
    if (!CHECK(begin(&s, policy, other)))
        return;
    world_pass(s.w, MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, other), "accepted");
    world_pass(s.w, 3 * MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, other), "closed");
    CHECK_U64(world_audited(s.w, "session.closed", "rule=policy.yaml:2"), 1);
}

TEST(what_rings_ends_for_both)
{
    SCENE(s);
    uint64_t inv;

    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: [chat]}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    CHECK(scene_ring(s.w, &dial, s.bob, &inv) != NULL);
    CHECK_OK(set_policy(&s, "rules: []\n"), err);
    world_pass(s.w, 10);
    scene_check_refused(s.w, inv, ERR_CANCELED, "policy does not allow it any more");
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
    CHECK(is_removed(&s, dial.sid));
    check_told(&s, dial.sid, "policy does not allow it any more");
}

TEST(what_is_forbidden_while_the_router_is_away_ends_when_it_is_back)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(begin(&s, "rules: [{from: any, to: any, can: [chat]}]\n", sid)))
        return;
    den_core_down(s.w->core);
    CHECK_OK(set_policy(&s, "rules: []\n"), err);
    world_pass(s.w, MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, sid), "accepted"); /* its ends would not hear of it */
    den_core_up(s.w->core);
    world_pass(s.w, 10);
    check_ended(&s, sid, "policy does not allow it any more", "default");
}

/* ---- what changes while den asks the router ------------------------------------------------------- */

TEST(groups_of_the_caller_count_as_they_are_when_policy_is_asked)
{
    SCENE(s);

    CHECK_OK(set_groups(&s, s.alice, "staff"), err);
    den_core_look(s.w->core);
    CHECK_OK(set_policy(&s, "rules: [{from: group:staff, to: any, can: [chat]}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);
    CHECK_OK(set_groups(&s, s.alice, ""), err);
    den_core_look(s.w->core);
    scene_say_online(s.w, true);
    scene_check_refused(s.w, inv, ERR_NOT_REACHABLE, "this ID cannot be reached by you");
    CHECK_STR(scene_state_of(s.w, dial.sid), "");
}

TEST(a_caller_that_is_removed_while_it_dials_gets_nothing)
{
    struct store_identity who;
    SCENE(s);
    const struct deed deed = deed_here(s.w->wall);

    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: [chat]}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);
    CHECK_OK(people_find(s.w->store, s.alice->id, &who, &err) &&
                 people_remove(s.w->store, &who, &deed, &err),
             err);
    den_core_look(s.w->core);
    scene_say_online(s.w, true);
    scene_check_refused_why(s.w, inv, ERR_NOT_AUTHORIZED, "dial: ");
    CHECK_STR(scene_state_of(s.w, dial.sid), "");
}

TEST(what_changes_before_a_decision_is_recorded_counts)
{
    SCENE(s);

    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: [chat]}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);
    s.w->is_turn_long = true; /* decided, not recorded */
    scene_say_online(s.w, true);
    CHECK_STR(scene_state_of(s.w, dial.sid), "");
    CHECK_OK(set_policy(&s, "rules: []\n"), err);
    world_pass(s.w, 10);
    scene_check_refused(s.w, inv, ERR_CANCELED, "policy does not allow it any more");
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
}

TEST(who_accepts_when_the_time_is_over_is_refused)
{
    SCENE(s);
    struct offer offer;
    struct accept accept;
    uint64_t inv;

    CHECK_OK(set_policy(&s, "rules: [{from: any, to: any, can: [chat], longest: 20s}]\n"), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    world_pass(s.w, 20 * SECOND_MS);
    CHECK_STR(scene_state_of(s.w, dial.sid), "offered");
    scene_accept(call, &accept);
    scene_check_refused(s.w, inv, ERR_EXPIRED, "accept: the time that it was allowed for is over");
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
}

/* ---- machines that have their time ------------------------------------------------------------------ */

static bool set_life(struct scene *s, const struct world_peer *peer, uint64_t expires_at)
{
    struct store_identity who;

    if (!people_find(s->w->store, peer->id, &who, &err))
        return false;
    who.expires_at = expires_at;
    return store_begin(s->w->store, &err) && store_identity_set(s->w->store, &who, &err) &&
           store_commit(s->w->store, &err);
}

TEST(a_session_ends_with_the_time_of_its_machines)
{
    SCENE(s);
    uint8_t sid[RPC_SID], other[RPC_SID];

    CHECK_OK(set_life(&s, s.alice, s.w->wall + 5 * MINUTE_MS), err);
    if (!CHECK(begin(&s, "rules: [{from: any, to: any, can: [chat]}]\n", sid)))
        return;
    world_pass(s.w, 5 * MINUTE_MS - 100);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    world_pass(s.w, 200);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK(is_removed(&s, sid));
    check_told(&s, sid, "the time that it was allowed for is over");
    CHECK_OK(set_life(&s, s.alice, 0), err);
    if (!CHECK(begin(&s, "rules: [{from: any, to: any, can: [chat], longest: 8h}]\n", other)))
        return;
    CHECK_OK(set_life(&s, s.bob, s.w->wall + 5 * MINUTE_MS), err); /* joined anew meanwhile */
    world_pass(s.w, 2 * MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, other), "accepted");
    world_pass(s.w, 3 * MINUTE_MS);
    CHECK_STR(scene_state_of(s.w, other), "closed");
}
