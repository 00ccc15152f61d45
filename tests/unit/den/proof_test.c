/* SPDX-License-Identifier: Apache-2.0 */
/* Dials and accepts whose signatures are looked at in another thread: here that thread runs when the test says so. */
#include "tests/unit/den/scene.h"

enum { MAX_WORKS = 16 };

static struct {
    void (*work)(void *user), (*done)(void *user);
    void *user;
} works[MAX_WORKS];
static size_t n_works;

static void hold(_unused_ void *user, void (*work)(void *), void (*done)(void *), void *work_user)
{
    if (n_works == MAX_WORKS)
        abort();
    works[n_works].work = work;
    works[n_works].done = done;
    works[n_works++].user = work_user;
}

static void run_works(struct world *w)
{
    size_t n = n_works;

    for (size_t i = 0; i < n; i++)
        works[i].work(works[i].user);
    n_works = 0;
    for (size_t i = 0; i < n; i++)
        works[i].done(works[i].user);
    world_pass(w, 1);
}

#define THREADS(s)                                                                                 \
    SCENE(s);                                                                                      \
    n_works = 0;                                                                                   \
    s.w->port.work = hold

/* Up to the accept, whose signature nobody has looked at yet. */
static bool accept_by(struct scene *s, const struct dial *dial, const struct world_peer *by,
                      uint64_t *ret_inv)
{
    struct world_call *call;
    struct accept accept;
    struct offer offer;

    *ret_inv = scene_dial(s->w, dial);
    run_works(s->w);
    scene_say_online(s->w, true);
    scene_say_installed(s->w);
    call = scene_offer_to(s->w, s->bob);
    if (!CHECK(call) || !scene_read_offer(s->w, call, &offer))
        return false;
    accept_begin(&accept, s->w, &offer, s->bob);
    accept.key = by->key;
    scene_accept(call, &accept);
    return CHECK_U64(n_works, 1);
}

TEST(a_session_opens_when_both_signatures_were_looked_at)
{
    THREADS(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;

    scene_dial(s.w, &dial);
    CHECK_U64(n_works, 1);
    CHECK(!world_pending(s.w, "network.peer.get"));
    run_works(s.w);
    CHECK(world_pending(s.w, "network.peer.get"));
    DIAL(second, s.w, s.alice, s.bob->id);
    scene_say_online(s.w, false);
    if (!accept_by(&s, &second, s.bob, &inv))
        return;
    CHECK_STR(scene_state_of(s.w, second.sid), "offered");
    run_works(s.w);
    CHECK_STR(scene_state_of(s.w, second.sid), "accepted");
    const struct world_answer *answer = world_answer(s.w, inv);
    CHECK(answer && answer->what == WORLD_YIELDED);
}

TEST(of_several_in_one_look_each_is_judged)
{
    THREADS(s);
    DIAL(good, s.w, s.alice, s.bob->id);
    DIAL(bad, s.w, s.bob, s.alice->id);
    uint64_t inv;

    bad.key = s.carol->key;
    s.w->is_turn_long = true;
    scene_dial(s.w, &good);
    inv = scene_dial(s.w, &bad);
    CHECK_U64(n_works, 0);
    world_pass(s.w, 1);
    CHECK_U64(n_works, 1);
    s.w->is_turn_long = false;
    run_works(s.w);
    CHECK(world_pending(s.w, "network.peer.get"));
    scene_check_refused(s.w, inv, ERR_BAD_SIGNATURE, "dial: dial: the signature does not verify");
    CHECK_U64(world_audited(s.w, "request.refused", s.bob->id), 1);
}

TEST(an_accept_by_another_key_fails_the_session)
{
    THREADS(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;

    if (!accept_by(&s, &dial, s.carol, &inv))
        return;
    run_works(s.w);
    scene_check_refused(s.w, inv, ERR_BAD_SIGNATURE,
                        "accept: accept: the signature does not verify");
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
    CHECK(world_pending(s.w, "network.grant.remove"));
}

TEST(who_does_not_wait_any_more_is_dropped_when_the_thread_is_done)
{
    THREADS(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    DIAL(second, s.w, s.alice, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);

    den_core_interrupt(s.w->core, inv);
    scene_check_refused(s.w, inv, ERR_CANCELED, "its caller does not wait for the answer any more");
    run_works(s.w);
    CHECK(!world_pending(s.w, "network.peer.get"));
    if (!accept_by(&s, &second, s.bob, &inv))
        return;
    den_core_interrupt(s.w->core, inv);
    run_works(s.w);
    CHECK_STR(scene_state_of(s.w, second.sid), "closed");
    CHECK_U64(world_audited(s.w, "session.accepted", NULL), 0);
}

TEST(a_router_that_goes_away_meanwhile_ends_them)
{
    THREADS(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    DIAL(second, s.w, s.bob, s.alice->id);
    uint64_t inv;

    if (!accept_by(&s, &dial, s.bob, &inv))
        return;
    scene_dial(s.w, &second);
    CHECK_U64(n_works, 2);
    den_core_down(s.w->core);
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
    run_works(s.w);
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
    CHECK(!world_pending(s.w, "network.peer.get"));
}
