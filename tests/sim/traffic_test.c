/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and events under way while connections break, hosts die, and somebody is slow: each call
 * has exactly one last answer (sim_free() counts them), order is kept, nothing comes twice, and in
 * the end the router holds nothing. */
#include "tests/sim/sim.h"

#include <stdio.h>

struct trio {
    struct sim *sim;
    struct sim_node *router, *den, *alice, *bob;
};

static struct trio trio_new(uint64_t seed)
{
    struct trio t = { .sim = sim_new(seed) };

    t.router = sim_router(t.sim);
    t.den = sim_den(t.sim);
    CHECK(sim_until(t.sim, is_bound, t.den, 5 * SEC));
    t.alice = sim_peer(t.sim, "alice");
    t.bob = sim_peer(t.sim, "bob");
    CHECK(sim_until(t.sim, is_bound, t.alice, 5 * SEC));
    CHECK(sim_until(t.sim, is_bound, t.bob, 5 * SEC));
    sim_grant(t.sim, t.alice, t.bob);
    sim_pass(t.sim, SEC);
    return t;
}

static void trio_end(struct trio *t)
{
    sim_free(t->sim);
}
#define TRIO(name, seed) _cleanup_(trio_end) struct trio name = trio_new(seed)

TEST(calls_are_answered_in_peace)
{
    SIM_SEEDS(seed, 2)
    {
        TRIO(t, seed);
        const struct sim_call *calls[40];

        sim_path(t.bob, (struct sim_path){ .delay_ms = 60, .jitter_ms = 50, .loss_pct = 10 });
        sim_serve(t.bob, 0);
        sim_pass(t.sim, 5 * SEC);
        for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
            calls[i] = sim_call(t.alice, t.bob, 30 * SEC, i % 2);
            sim_pass(t.sim, sim_draw(t.sim, 50));
        }
        sim_pass(t.sim, 40 * SEC);
        for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
            CHECK_U64(calls[i]->n_last, 1);
            CHECK(calls[i]->is_good || calls[i]->code == ERR_BUSY); /* bob's own word */
        }
        CHECK_U64(sim_n_served(t.bob), N_ELEMENTS(calls));
    }
}

/* The caller's, the callee's or the router's end, at any moment of the call. */
TEST(a_call_under_way_ends_when_an_end_of_it_does)
{
    SIM_SEEDS(seed, 10)
    {
        TRIO(t, seed);
        const struct sim_call *call;
        uint64_t at;

        sim_serve(t.bob, 3000);
        sim_path(t.bob, (struct sim_path){ .delay_ms = 50 });
        sim_path(t.alice, (struct sim_path){ .delay_ms = 50 });
        sim_pass(t.sim, SEC);
        call = sim_call(t.alice, t.bob, 10 * SEC, true);
        at = sim_now(t.sim);
        sim_pass(t.sim, sim_draw(t.sim, 400));
        switch (seed % 5) {
        case 0:
            sim_reset(t.alice);
            break;
        case 1:
            sim_reset(t.bob);
            break;
        case 2:
            sim_kill(t.bob);
            break;
        case 3:
            sim_kill(t.router);
            break;
        default:
            sim_crash(t.router);
        }
        sim_pass(t.sim, 60 * SEC);
        CHECK_U64(call->n_last, 1);
        CHECK(call->done_at <= at + 20 * SEC); /* progress may have begun its time anew */
    }
}

TEST(events_come_in_order_and_once_over_drops)
{
    SIM_SEEDS(seed, 2)
    {
        TRIO(t, seed);
        unsigned n_resets = 0;

        sim_path(t.alice, (struct sim_path){ .delay_ms = 80, .jitter_ms = 70, .loss_pct = 5 });
        sim_listen(t.alice);
        sim_listen(t.bob);
        sim_pass(t.sim, 5 * SEC);
        for (unsigned i = 0; i < 300; i++) {
            sim_tell(t.sim, 20);
            sim_pass(t.sim, sim_draw(t.sim, 400));
            if (!sim_draw(t.sim, 50)) {
                sim_reset(t.alice);
                n_resets++;
            }
        }
        sim_pass(t.sim, 20 * SEC);
        CHECK_U64(sim_n_heard(t.bob), 300); /* his connection held */
        CHECK(sim_n_heard(t.alice) <= 300);
        CHECK(sim_n_heard(t.alice) + 25 * n_resets >= 300); /* each costs what five seconds bring */
    }
}

/* Who cannot keep up loses events, and nobody else does. His calls still go through. */
TEST(a_slow_consumer_loses_events_alone)
{
    SIM_SEEDS(seed, 1)
    {
        TRIO(t, seed);
        const struct sim_call *refused, *asked;

        sim_serve(t.bob, 0);
        sim_listen(t.alice);
        sim_listen(t.bob);
        sim_pass(t.sim, SEC);
        sim_path(t.bob, (struct sim_path){ .delay_ms = 20, .bytes_per_s = 20000 });
        for (unsigned i = 0; i < 800; i++) { /* five megabytes */
            sim_tell(t.sim, 6 * 1024);
            sim_pass(t.sim, 10);
        }
        refused = sim_call(t.alice, t.bob, 30 * SEC, false); /* it would wait for minutes */
        asked = sim_ask(t.alice, "network.ping", 5 * SEC);
        sim_pass(t.sim, SEC);
        CHECK(asked->is_good);
        CHECK(refused->n_last == 1 && refused->code == ERR_BUSY);
        CHECK_U64(sim_n_heard(t.alice), 800);
        CHECK(is_bound(t.bob));
        sim_path(t.bob, (struct sim_path){ .delay_ms = 20 });
        sim_pass(t.sim, 10 * MIN);
        CHECK(is_bound(t.bob));
        CHECK(sim_n_heard(t.bob) > 300 && sim_n_heard(t.bob) < 800);
        refused = sim_call(t.alice, t.bob, 30 * SEC, false);
        sim_pass(t.sim, 10 * SEC);
        CHECK(refused->is_good || refused->code == ERR_BUSY);
    }
}

/* ---- anything at all ------------------------------------------------------------------------- */

enum { MEMBERS = 5 };

static void strike(struct trio *t, struct sim_node *const *peers, struct sim_node **down)
{
    struct sim_node *victim = peers[sim_draw(t->sim, MEMBERS)];

    if (*down) { /* one at a time, and for a while */
        sim_mend(*down);
        if (!sim_is_running(*down))
            sim_restart(*down);
        *down = NULL;
        return;
    }
    switch (sim_draw(t->sim, 7)) {
    case 0:
        sim_reset(victim);
        return;
    case 1:
        sim_cut(*down = victim);
        return;
    case 2:
        sim_kill(*down = victim);
        return;
    case 3:
        sim_crash(*down = victim);
        return;
    case 4:
        sim_kill(*down = t->router);
        return;
    case 5:
        sim_crash(*down = t->router);
        return;
    default:
        sim_kill(*down = t->den);
    }
}

static struct sim_node *any_bound(struct sim *sim, struct sim_node *const *peers)
{
    struct sim_node *node = peers[sim_draw(sim, MEMBERS)];

    return is_bound(node) ? node : NULL;
}

static void storm(uint64_t seed, uint64_t n_steps)
{
    TRIO(t, seed);
    struct sim_node *peers[MEMBERS] = { t.alice, t.bob }, *down = NULL, *from, *to;
    unsigned n_calls = 0, n_strikes = 0, n_served = 0;

    for (size_t i = 2; i < MEMBERS; i++) {
        peers[i] = sim_peer(t.sim, "more");
        CHECK(sim_until(t.sim, is_bound, peers[i], 20 * SEC));
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        sim_path(peers[i], (struct sim_path){ .delay_ms = (uint32_t)sim_draw(t.sim, 150),
                                              .jitter_ms = (uint32_t)sim_draw(t.sim, 80),
                                              .loss_pct = (uint32_t)sim_draw(t.sim, 6) });
        sim_serve(peers[i], (uint32_t)sim_draw(t.sim, 2000));
        sim_listen(peers[i]);
        for (size_t k = 0; k < i; k++) {
            if (peers[k] != t.alice || peers[i] != t.bob)
                sim_grant(t.sim, peers[k], peers[i]);
        }
    }
    for (uint64_t i = 0; i < n_steps; i++) {
        sim_pass(t.sim, sim_draw(t.sim, 300));
        if (!sim_draw(t.sim, 40)) {
            strike(&t, peers, &down);
            n_strikes++;
        }
        if (is_bound(t.den) && !sim_draw(t.sim, 3))
            sim_tell(t.sim, sim_draw(t.sim, 3000));
        from = any_bound(t.sim, peers);
        to = peers[sim_draw(t.sim, MEMBERS)];
        if (from && from != to) {
            sim_call(from, to, 1 + sim_draw(t.sim, 20 * SEC), sim_draw(t.sim, 2));
            n_calls++;
        }
    }
    if (down)
        strike(&t, peers, &down);
    sim_pass(t.sim, 2 * MIN);
    for (size_t i = 0; i < MEMBERS; i++) {
        CHECK(is_bound(peers[i]));
        n_served += sim_n_served(peers[i]);
    }
    printf("# seed %llu: %u calls, %u served, %u strikes, %llu s\n", (unsigned long long)seed,
           n_calls, n_served, n_strikes, (unsigned long long)(sim_now(t.sim) / 1000 - 1000));
    CHECK(n_served > n_calls / 8);
}

TEST(whatever_happens_every_call_ends_once_and_all_come_back)
{
    SIM_SEEDS(seed, 3)
    {
        storm(seed, sim_steps(1500));
    }
}
