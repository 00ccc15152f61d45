/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that nobody closes, and how many one may have. */
#include "base/clock.h"
#include "den/people.h"
#include "den/signer.h"
#include "tests/unit/den/scene.h"

#include <stdio.h>

static bool accept_call(struct scene *s, struct world_call *call)
{
    struct offer offer;
    struct accept accept;

    if (!call || !scene_read_offer(s->w, call, &offer))
        return false;
    accept_begin(&accept, s->w, &offer, s->bob);
    scene_accept(call, &accept);
    return true;
}

/* A session between alice and bob. */
static bool connect_two(struct scene *s, uint8_t sid_to[RPC_SID])
{
    DIAL(dial, s->w, s->alice, s->bob->id);
    uint64_t inv;

    memcpy(sid_to, dial.sid, RPC_SID);
    return accept_call(s, scene_ring(s->w, &dial, s->bob, &inv));
}

/* Time goes by, and the router answers den's questions: who of the two is online. */
static void pass(struct scene *s, uint64_t ms, bool is_alice_online, bool is_bob_online)
{
    for (uint64_t at = 0; at < ms; at += 10 * SECOND_MS) {
        struct world_call *call;
        world_pass(s->w, 10 * SECOND_MS);
        while ((call = world_pending(s->w, "network.peer.get"))) {
            bool is_alice =
                memmem(call->args.data, call->args.len, s->alice->id, strlen(s->alice->id)) != NULL;
            world_say_online(call, is_alice ? is_alice_online : is_bob_online);
        }
    }
}

static bool is_removed(struct world *w, const uint8_t sid[RPC_SID])
{
    struct world_call *call = world_pending(w, "network.grant.remove");
    struct rpc_fields f;
    struct buf none = { 0 };

    if (!call)
        return false;
    rpc_fields_open(&f, buf_view(&call->args));
    bool is = view_eq(rpc_fields_fixed(&f, "sid", RPC_SID), VIEW(sid, RPC_SID));
    world_result(call, &none);
    return is;
}

TEST(a_session_whose_ends_both_vanished_ends)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(connect_two(&s, sid)))
        return;
    pass(&s, 4 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    pass(&s, 2 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK_U64(world_audited(s.w, "session.closed", "reason=lost"), 1);
    CHECK(is_removed(s.w, sid));
    size_t n_calls = s.w->n_calls;
    world_pass(s.w, 5 * MINUTE_MS);
    CHECK_U64(s.w->n_calls, n_calls); /* nobody is asked about any more */
}

TEST(one_end_keeps_a_session)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(connect_two(&s, sid)))
        return;
    pass(&s, 20 * MINUTE_MS, true, false);
    pass(&s, 4 * MINUTE_MS, false, false);
    pass(&s, MINUTE_MS, false, true); /* back in time */
    pass(&s, 4 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK(!world_pending(s.w, "network.grant.remove"));
}

TEST(while_the_router_is_away_nobody_counts_as_offline)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(connect_two(&s, sid)))
        return;
    pass(&s, 4 * MINUTE_MS, false, false);
    den_core_down(s.w->core);
    pass(&s, HOUR_MS, false, false);
    den_core_up(s.w->core);
    pass(&s, 4 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    pass(&s, 2 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
}

TEST(a_restart_ends_what_rang_and_keeps_the_rest)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    uint64_t inv;
    struct err err;

    if (!CHECK(connect_two(&s, sid)))
        return;
    DIAL(ringing, s.w, s.alice, s.bob->id);
    CHECK(scene_ring(s.w, &ringing, s.bob, &inv) != NULL);
    CHECK_OK(world_restart(s.w, &err), err);
    CHECK_STR(scene_state_of(s.w, ringing.sid), "failed");
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK(is_removed(s.w, ringing.sid));
    CHECK(!world_pending(s.w, "network.grant.remove"));
    CHECK_U64(world_audited(s.w, "session.failed", "reason=den restarted"), 1);
    pass(&s, 6 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
}

TEST(an_end_that_the_store_did_not_take_is_told_again)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    world_disk_is_full = true;
    world_fail(call, ERR_DECLINED);
    world_disk_is_full = false;
    CHECK_STR(scene_state_of(s.w, dial.sid), "offered");
    pass(&s, MINUTE_MS, true, true);
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
}

/* ---- found again ---------------------------------------------------------------------------- */

static uint64_t ask_mine(const struct scene *s, const struct world_peer *by, struct view sids)
{
    _buf_ body = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sids");
    rpc_put_bin(&body, sids);
    return world_request(s->w, by, "den.session.mine", buf_view(&body));
}

static uint64_t closed_at(struct world *w, const uint8_t sid[RPC_SID])
{
    struct store_session session = { 0 };
    enum store_found found;
    struct err err;

    if (!store_session_find(w->store, VIEW(sid, RPC_SID), &found, &session, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return session.closed_at;
}

static void close_one(struct world *w, const struct world_peer *by, const uint8_t sid[RPC_SID])
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, VIEW(sid, RPC_SID));
    world_put_request(w, &args, by->key, by->id, "den.session.close", buf_view(&body));
    world_handle(w, "den.session.close", "peer", by->id, &args);
}

static size_t n_ends_signed(const struct world *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_events; i++) {
        struct rpc_fields f;
        if (strcmp(w->events[i].topic, "den.session.on_state") != 0)
            continue;
        rpc_fields_open(&f, buf_view(&w->events[i].args));
        rpc_fields_fixed(&f, "sid", RPC_SID);
        rpc_fields_text(&f, "state", 32);
        rpc_fields_text(&f, "reason", 256);
        n += rpc_fields_more(&f);
    }
    return n;
}

TEST(what_was_lost_is_found_by_an_end_that_has_it)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    const struct world_answer *answer;

    if (!CHECK(connect_two(&s, sid)))
        return;
    pass(&s, 6 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK(closed_at(s.w, sid) != 0);
    ask_mine(&s, s.carol, VIEW_ARR(sid)); /* it is not hers */
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK_U64(n_ends_signed(s.w), 0);
    answer = world_answer(s.w, ask_mine(&s, s.bob, VIEW_ARR(sid)));
    CHECK(answer && answer->what == WORLD_YIELDED);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    CHECK_U64(closed_at(s.w, sid), 0);
    CHECK_U64(world_audited(s.w, "session.found", s.bob->id), 1);
    ask_mine(&s, s.alice, VIEW_ARR(sid));
    CHECK_U64(world_audited(s.w, "session.found", NULL), 1);
    pass(&s, 6 * MINUTE_MS, false, false); /* it counts as any other */
    CHECK_STR(scene_state_of(s.w, sid), "closed");
}

static bool set_life(struct scene *s, const struct world_peer *peer, uint64_t expires_at)
{
    struct store_identity who;
    struct err err;

    if (!people_find(s->w->store, peer->id, &who, &err))
        return false;
    who.expires_at = expires_at;
    return store_begin(s->w->store, &err) && store_identity_set(s->w->store, &who, &err) &&
           store_commit(s->w->store, &err);
}

TEST(what_was_found_ends_when_its_time_is_over)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    struct err err;

    CHECK(set_life(&s, s.alice, s.w->wall + 20 * MINUTE_MS));
    if (!CHECK(connect_two(&s, sid)))
        return;
    pass(&s, 6 * MINUTE_MS, false, false);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK_OK(world_restart(s.w, &err), err); /* which forgets when something ends next */
    ask_mine(&s, s.bob, VIEW_ARR(sid));
    pass(&s, 13 * MINUTE_MS, true, true);
    CHECK_STR(scene_state_of(s.w, sid), "accepted");
    pass(&s, MINUTE_MS, true, true);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    CHECK_U64(world_audited(s.w, "session.closed", "the time that it was allowed for is over"), 1);
}

TEST(what_was_ended_is_told_again_to_an_end_that_has_it)
{
    SCENE(s);
    uint8_t sids[3 * RPC_SID] = { 0 }; /* the last is of no session */

    if (!CHECK(connect_two(&s, sids)) || !CHECK(connect_two(&s, sids + RPC_SID)))
        return;
    close_one(s.w, s.alice, sids);
    CHECK_U64(n_ends_signed(s.w), 0);
    ask_mine(&s, s.bob, VIEW_ARR(sids));
    CHECK_U64(n_ends_signed(s.w), 1);
    CHECK_STR(scene_state_of(s.w, sids), "closed");
    CHECK_STR(scene_state_of(s.w, sids + RPC_SID), "accepted");
}

/* ---- how the signer is asked for them --------------------------------------------------------- */

static size_t asked[16], n_asked; /* how many ends each question to the signer had */

void __real_signer_sign_soon(struct signer *signer, struct signer_statement *items, size_t n,
                             signer_on_signed *done, void *user);
void __wrap_signer_sign_soon(struct signer *signer, struct signer_statement *items, size_t n,
                             signer_on_signed *done, void *user);
void __wrap_signer_sign_soon(struct signer *signer, struct signer_statement *items, size_t n,
                             signer_on_signed *done, void *user)
{
    if (items[0].word == RPC_W_END && n_asked < N_ELEMENTS(asked))
        asked[n_asked++] = n;
    __real_signer_sign_soon(signer, items, n, done, user);
}

static enum signer_mood mood = SIGNER_ANSWERS;

enum signer_mood __real_signer_mood(struct signer *signer, struct err *ret_why);
enum signer_mood __wrap_signer_mood(struct signer *signer, struct err *ret_why);
enum signer_mood __wrap_signer_mood(struct signer *signer, struct err *ret_why)
{
    if (mood == SIGNER_ANSWERS)
        return __real_signer_mood(signer, ret_why);
    err_set(ret_why, ERR_BUSY, "as the test wants it");
    return mood;
}

bool __real_signer_is_away(const struct signer *signer, struct err *ret_why);
bool __wrap_signer_is_away(const struct signer *signer, struct err *ret_why);
bool __wrap_signer_is_away(const struct signer *signer, struct err *ret_why)
{
    return mood == SIGNER_AWAY || __real_signer_is_away(signer, ret_why);
}

TEST(many_ends_are_signed_by_few_questions)
{
    SCENE(s);
    uint8_t sids[130 * RPC_SID];

    if (!CHECK(connect_two(&s, sids)))
        return;
    close_one(s.w, s.alice, sids);
    for (size_t i = 1; i < 130; i++)
        memcpy(sids + i * RPC_SID, sids, RPC_SID);
    n_asked = 0;
    ask_mine(&s, s.bob, VIEW_ARR(sids));
    CHECK_U64(n_ends_signed(s.w), 130);
    CHECK_U64(n_asked, 3);
    CHECK_U64(asked[0] + asked[1], 128);
    CHECK_U64(asked[2], 2);
}

TEST(no_more_than_four_questions_are_under_way)
{
    SCENE(s);
    uint8_t sids[240 * RPC_SID];
    uint64_t inv;

    if (!CHECK(connect_two(&s, sids)))
        return;
    close_one(s.w, s.alice, sids);
    for (size_t i = 1; i < 240; i++)
        memcpy(sids + i * RPC_SID, sids, RPC_SID);
    mood = SIGNER_ASKED;
    inv = ask_mine(&s, s.bob, VIEW_ARR(sids));
    ask_mine(&s, s.alice, VIEW(sids, 40 * RPC_SID));
    CHECK(!world_answer(s.w, inv));
    mood = SIGNER_ANSWERS;
    s.w->is_turn_long = true;
    n_asked = 0;
    den_core_tick(s.w->core); /* both, in one turn */
    CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_YIELDED);
    CHECK_U64(n_asked, 4);
    CHECK_U64(n_ends_signed(s.w), 0);
}

TEST(who_asks_while_the_signer_is_away_is_to_ask_again)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    const struct world_answer *answer;
    uint64_t inv;

    if (!CHECK(connect_two(&s, sid)))
        return;
    close_one(s.w, s.alice, sid);
    mood = SIGNER_AWAY;
    world_check_refused(s.w, ask_mine(&s, s.bob, VIEW_ARR(sid)), ERR_BUSY);
    mood = SIGNER_ASKED;
    inv = ask_mine(&s, s.bob, VIEW_ARR(sid));
    world_pass(s.w, SECOND_MS);
    CHECK(!world_answer(s.w, inv));
    CHECK_U64(n_ends_signed(s.w), 0);
    mood = SIGNER_ANSWERS;
    world_pass(s.w, 10);
    answer = world_answer(s.w, inv);
    CHECK(answer && answer->what == WORLD_YIELDED);
    CHECK_U64(n_ends_signed(s.w), 1);
}

TEST(an_end_is_signed_when_the_signer_is_back)
{
    SCENE(s);
    uint8_t sid[RPC_SID];

    if (!CHECK(connect_two(&s, sid)))
        return;
    mood = SIGNER_AWAY;
    CHECK(world_set_policy(s.w,
                           "tests: [{from: any, to: any, can: chat, expect: deny}]\nrules: []\n",
                           &(struct err){ 0 }));
    world_pass(s.w, SECOND_MS);
    CHECK_STR(scene_state_of(s.w, sid), "closed");
    size_t n_events = s.w->n_events;
    CHECK(world_last_event(s.w, "den.session.on_state") != NULL); /* for what is not up yet */
    CHECK_U64(n_ends_signed(s.w), 0);
    den_core_look(s.w->core);
    CHECK_U64(s.w->n_events, n_events);
    mood = SIGNER_ANSWERS;
    den_core_look(s.w->core);
    world_pass(s.w, 10);
    CHECK_U64(n_ends_signed(s.w), 1);
    n_events = s.w->n_events;
    den_core_look(s.w->core);
    CHECK_U64(s.w->n_events, n_events);
}

TEST(who_asks_about_too_much_is_refused)
{
    SCENE(s);
    static uint8_t sids[257 * RPC_SID];
    static const char why[] = "sessions: body: sids: missing, or not 16 bytes each, at most 256 "
                              "of them";

    scene_check_refused(s.w, ask_mine(&s, s.bob, VIEW(sids, RPC_SID - 1)), ERR_INVALID_ARGUMENT,
                        why);
    scene_check_refused(s.w, ask_mine(&s, s.bob, VIEW_ARR(sids)), ERR_INVALID_ARGUMENT, why);
}

/* ---- how many ------------------------------------------------------------------------------ */

static uint64_t dial_online(struct scene *s)
{
    DIAL(dial, s->w, s->alice, s->bob->id);
    uint64_t inv = scene_dial(s->w, &dial);

    scene_say_online(s->w, true);
    return inv;
}

static void check_limit(uint64_t per_pair, uint64_t per_id, size_t most, const char *why)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    struct err err;

    s.w->config.max_sessions_per_pair = per_pair;
    s.w->config.max_sessions_per_id = per_id;
    CHECK_OK(world_restart(s.w, &err), err);
    for (size_t i = 0; i < most; i++)
        CHECK(connect_two(&s, sid));
    scene_check_refused(s.w, dial_online(&s), ERR_LIMIT, why);
    CHECK(!world_pending(s.w, "network.grant.install"));
    CHECK_OK(world_restart(s.w, &err), err); /* the count outlives den */
    scene_check_refused(s.w, dial_online(&s), ERR_LIMIT, why);
    close_one(s.w, s.bob, sid);
    CHECK(connect_two(&s, sid));
    scene_check_refused(s.w, dial_online(&s), ERR_LIMIT, why);
}

TEST(two_peers_have_so_many_sessions_at_once)
{
    check_limit(3, 100, 3, "too many sessions between the two: close some");
}

TEST(one_peer_has_so_many_sessions_at_once)
{
    check_limit(100, 2, 2, "one of the two has too many sessions: close some");
}

TEST(the_limits_unless_configured)
{
    struct den_core_config c = { 0 };

    den_core_defaults(&c);
    CHECK_U64(c.max_sessions_per_pair, 32);
    CHECK_U64(c.max_sessions_per_id, 256);
    CHECK_U64(c.lost_after, 5 * MINUTE_MS);
}

/* Who may not reach bob learns nothing of how many sessions bob has. */
TEST(a_limit_is_no_answer_about_others)
{
    SCENE(s);
    uint8_t sid[RPC_SID];
    struct err err;

    s.w->config.max_sessions_per_id = 1;
    CHECK_OK(world_restart(s.w, &err), err);
    CHECK(connect_two(&s, sid));
    DIAL(dial, s.w, s.carol, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);
    scene_say_online(s.w, true);
    scene_check_refused(s.w, inv, ERR_NOT_REACHABLE, "this ID cannot be reached by you");
}
