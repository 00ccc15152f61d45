/* SPDX-License-Identifier: Apache-2.0 */
/* Losing the router, the path or the power, and finding back. */
#include "tests/sim/sim.h"

#include <stdio.h>

/* ---- one peer -------------------------------------------------------------------------------- */

struct small {
    struct sim *sim;
    struct sim_node *router, *den, *alice;
};

static struct small small_new(uint64_t seed)
{
    struct small s = { .sim = sim_new(seed) };

    s.router = sim_router(s.sim);
    s.den = sim_den(s.sim);
    CHECK(sim_until(s.sim, is_bound, s.den, 5 * SEC));
    s.alice = sim_peer(s.sim, "alice");
    sim_path(s.alice, (struct sim_path){ .delay_ms = 40, .jitter_ms = 10, .loss_pct = 2 });
    CHECK(sim_until(s.sim, is_bound, s.alice, 20 * SEC));
    return s;
}

static void small_end(struct small *s)
{
    sim_free(s->sim);
}
#define SMALL(name, seed) _cleanup_(small_end) struct small name = small_new(seed)

TEST(peer_finds_its_way_back_after_a_router_crash)
{
    SIM_SEEDS(seed, 2)
    {
        SMALL(s, seed);
        sim_crash(s.router);
        CHECK(sim_until(s.sim, is_unbound, s.alice, 50 * SEC)); /* silence is noticed after 45 s */
        sim_restart(s.router);
        CHECK(
            sim_until(s.sim, is_bound, s.alice, 20 * SEC)); /* a dial that nobody answered: 10 s */
        CHECK(sim_until(s.sim, is_bound, s.den, 20 * SEC));
    }
}

TEST(peer_knows_at_once_that_the_router_was_killed)
{
    SIM_SEEDS(seed, 2)
    {
        SMALL(s, seed);
        sim_kill(s.router);
        CHECK(sim_until(s.sim, is_unbound, s.alice, 10 * SEC)); /* loss is all that delays it */
        sim_restart(s.router);
        CHECK(sim_until(s.sim, is_bound, s.alice, 10 * SEC));
    }
}

TEST(router_takes_a_silent_peer_for_gone)
{
    SIM_SEEDS(seed, 2)
    {
        SMALL(s, seed);
        const struct sim_call *before = sim_ask(s.alice, "network.ping", 5 * SEC);
        sim_pass(s.sim, 5 * SEC);
        CHECK(before->is_good);
        CHECK(sim_is_known(s.sim, s.alice));
        sim_crash(s.alice);
        sim_pass(s.sim, 25 * SEC);
        CHECK(sim_is_known(s.sim, s.alice)); /* too early to say */
        sim_pass(s.sim, 30 * SEC);
        CHECK(!sim_is_known(s.sim, s.alice));
    }
}

TEST(idle_connections_live_as_long_as_their_path)
{
    SIM_SEEDS(seed, 1)
    {
        SMALL(s, seed);
        sim_pass(s.sim, 60 * MIN);
        CHECK_U64(sim_stats(s.alice)->n_downs, 0);
        CHECK_U64(sim_stats(s.alice)->n_dials, 1);
        CHECK_U64(sim_stats(s.den)->n_downs, 0);
    }
}

/* Shorter than anybody's patience: nobody notices. Longer: both ends give up, and begin anew. */
TEST(a_path_that_is_cut_for_a_while)
{
    SIM_SEEDS(seed, 2)
    {
        SMALL(s, seed);
        sim_cut(s.alice);
        sim_pass(s.sim, 20 * SEC);
        sim_mend(s.alice);
        sim_pass(s.sim, MIN);
        CHECK_U64(sim_stats(s.alice)->n_downs, 0);
        sim_cut(s.alice);
        sim_pass(s.sim, MIN);
        CHECK(is_unbound(s.alice));
        CHECK(!sim_is_known(s.sim, s.alice));
        sim_mend(s.alice);
        CHECK(sim_until(s.sim, is_bound, s.alice, 20 * SEC));
        CHECK(sim_is_known(s.sim, s.alice));
    }
}

TEST(a_crashed_peer_takes_its_own_place_again)
{
    SIM_SEEDS(seed, 2)
    {
        SMALL(s, seed);
        sim_crash(s.alice);
        sim_pass(s.sim, sim_draw(s.sim, 40 * SEC)); /* the router may still hold the old one */
        sim_restart(s.alice);
        CHECK(sim_until(s.sim, is_bound, s.alice, 20 * SEC));
        sim_pass(s.sim, MIN);
        CHECK(is_bound(s.alice) && sim_is_known(s.sim, s.alice));
        CHECK_U64(sim_stats(s.alice)->n_downs, 0);
    }
}

/* ---- a crowd --------------------------------------------------------------------------------- */

enum { CROWD = 150, SLOT_MS = 500, MAX_SLOTS = 40 };

static void check_no_wave(struct sim_node *const *peers, uint64_t from)
{
    unsigned slots[MAX_SLOTS] = { 0 }, most = 0, used = 0;

    for (size_t i = 0; i < CROWD; i++) {
        uint64_t slot = (sim_stats(peers[i])->up_at - from) / SLOT_MS;
        if (!CHECK(sim_stats(peers[i])->up_at >= from && slot < MAX_SLOTS))
            return;
        slots[slot]++;
    }
    for (size_t i = 0; i < MAX_SLOTS; i++) {
        most = slots[i] > most ? slots[i] : most;
        used = slots[i] ? (unsigned)i + 1 : used;
    }
    printf("# back within %u ms, at most %u of %d in %d ms\n", used * SLOT_MS, most, CROWD,
           SLOT_MS);
    CHECK(used * SLOT_MS <= 10 * SEC);
    CHECK(most <= CROWD / 4);
}

TEST(a_crowd_comes_back_in_ten_seconds_and_not_in_one_wave)
{
    SIM_SEEDS(seed, 1)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *router = sim_router(sim), *peers[CROWD];
        uint64_t from;

        CHECK(sim_until(sim, is_bound, sim_den(sim), 5 * SEC));
        for (size_t i = 0; i < CROWD; i++) {
            char name[16];
            snprintf(name, sizeof(name), "peer-%zu", i);
            peers[i] = sim_peer(sim, name);
            sim_path(peers[i], (struct sim_path){ .delay_ms = 10 + (uint32_t)sim_draw(sim, 60) });
        }
        sim_pass(sim, 20 * SEC);
        for (size_t i = 0; i < CROWD; i++)
            CHECK(is_bound(peers[i]));
        sim_kill(router);
        sim_pass(sim, 20 * SEC); /* all have been told, and have failed some times */
        from = sim_now(sim);
        sim_restart(router);
        sim_pass(sim, 15 * SEC);
        check_no_wave(peers, from);
    }
}
