/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a member: over bad paths, over connections that break at every message, with den away,
 * and with one key on two machines. */
#include "tests/sim/sim.h"

#include <stdio.h>

TEST(members_enrol_over_slow_and_lossy_paths)
{
    SIM_SEEDS(seed, 2)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *peers[8];

        sim_router(sim);
        CHECK(sim_until(sim, is_bound, sim_den(sim), 5 * SEC));
        for (size_t i = 0; i < N_ELEMENTS(peers); i++) {
            char name[16];
            snprintf(name, sizeof(name), "peer-%zu", i);
            peers[i] = sim_peer(sim, name);
            sim_path(peers[i], (struct sim_path){ .delay_ms = (uint32_t)sim_draw(sim, 400),
                                                  .jitter_ms = (uint32_t)sim_draw(sim, 200),
                                                  .loss_pct = (uint32_t)sim_draw(sim, 10) });
        }
        for (size_t i = 0; i < N_ELEMENTS(peers); i++) {
            CHECK(sim_until(sim, is_bound, peers[i], MIN));
            for (size_t k = 0; k < i; k++)
                CHECK(strcmp(sim_id(peers[i]), sim_id(peers[k])) != 0);
        }
    }
}

/* HELLO, CHALLENGE, AUTHENTICATE, WELCOME, and what follows. */
TEST(a_connection_that_breaks_at_any_message_leaves_nothing_behind)
{
    SIM_SEEDS(seed, 2)
    {
        for (unsigned at = 1; at <= 8; at++) {
            _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
            struct sim_node *den, *alice;
            char id[32];

            sim_router(sim);
            den = sim_den(sim);
            sim_path(den, (struct sim_path){ .delay_ms = 20 });
            sim_reset_after(den, at);
            sim_pass(sim, 20 * SEC);
            CHECK(sim_until(sim, is_bound, den, SEC));
            alice = sim_peer(sim, "alice");
            sim_path(alice, (struct sim_path){ .delay_ms = 30, .jitter_ms = 20 });
            sim_reset_after(alice, at);
            sim_pass(sim, 10 * SEC);
            CHECK(sim_until(sim, is_bound, alice, 10 * SEC));
            if (at <= 4) /* the rest is of the session's own */
                CHECK_U64(sim_stats(alice)->n_dials, 2);
            snprintf(id, sizeof(id), "%s", sim_id(alice));
            sim_kill(alice); /* once more, with the admission */
            sim_reset_after(alice, at);
            sim_restart(alice);
            CHECK(sim_until(sim, is_bound, alice, 20 * SEC));
            CHECK_STR(sim_id(alice), id);
        }
    }
}

/* The router waits for den, den for nobody. */
TEST(an_enrolment_is_answered_although_its_asker_broke_off)
{
    SIM_SEEDS(seed, 2)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *den, *alice;

        sim_router(sim);
        den = sim_den(sim);
        CHECK(sim_until(sim, is_bound, den, 5 * SEC));
        sim_path(den, (struct sim_path){ .delay_ms = 2000 });
        alice = sim_peer(sim, "alice");
        for (int i = 0; i < 3; i++) { /* in the middle of the question */
            sim_pass(sim, 1500);
            sim_kill(alice);
            sim_restart(alice);
        }
        CHECK(sim_until(sim, is_bound, alice, MIN));
    }
}

TEST(members_come_back_while_den_is_away_and_strangers_wait)
{
    SIM_SEEDS(seed, 2)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *den, *alice, *bob;
        const struct sim_call *asked;

        sim_router(sim);
        den = sim_den(sim);
        CHECK(sim_until(sim, is_bound, den, 5 * SEC));
        alice = sim_peer(sim, "alice");
        CHECK(sim_until(sim, is_bound, alice, 5 * SEC));
        bob = sim_peer(sim, "bob"); /* its token is known, and its first message is on its way */
        sim_kill(den);
        sim_kill(alice);
        sim_restart(alice);
        CHECK(sim_until(sim, is_bound, alice, 5 * SEC));
        sim_pass(sim, 10 * MIN);
        CHECK(is_bound(alice));
        CHECK(is_unbound(bob));
        CHECK(sim_stats(bob)->why.code == ERR_DEN_AWAY);
        CHECK(sim_stats(bob)->n_dials < 10 * 60 / 3); /* patiently */
        sim_restart(den);
        CHECK(sim_until(sim, is_bound, den, 5 * SEC));
        CHECK(sim_until(sim, is_bound, bob, 10 * SEC));
        asked = sim_ask(alice, "den.ca.chain", 5 * SEC);
        sim_pass(sim, 5 * SEC);
        CHECK(asked->is_good);
    }
}

/* Whoever is there stays, and is not bothered; the other one is told why, and waits. */
TEST(a_copy_of_a_living_machine_is_kept_out_until_it_leaves)
{
    SIM_SEEDS(seed, 3)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *alice, *copy;

        sim_router(sim);
        CHECK(sim_until(sim, is_bound, sim_den(sim), 5 * SEC));
        alice = sim_peer(sim, "alice");
        CHECK(sim_until(sim, is_bound, alice, 5 * SEC));
        copy = sim_clone(sim, "copy", alice);
        sim_pass(sim, 10 * MIN);
        CHECK(is_bound(alice) && sim_stats(alice)->n_downs == 0);
        CHECK(is_unbound(copy) && sim_stats(copy)->n_ups == 0);
        CHECK(sim_stats(copy)->why.code == ERR_CLONE);
        CHECK(sim_stats(copy)->n_dials <= 11); /* one a minute */
        sim_crash(alice);
        CHECK(sim_until(sim, is_bound, copy, 2 * MIN));
        sim_restart(alice); /* now it is the second */
        sim_pass(sim, MIN);
        CHECK(is_bound(copy) && is_unbound(alice));
        CHECK(sim_stats(alice)->why.code == ERR_CLONE);
    }
}

/* A process that was killed leaves a connection that is closed, or half open: neither is a second one. */
TEST(a_machine_that_comes_back_is_no_copy_of_itself)
{
    SIM_SEEDS(seed, 8)
    {
        _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
        struct sim_node *alice;

        sim_router(sim);
        CHECK(sim_until(sim, is_bound, sim_den(sim), 5 * SEC));
        alice = sim_peer(sim, "alice");
        CHECK(sim_until(sim, is_bound, alice, 5 * SEC));
        for (int i = 0; i < 20; i++) {
            bool is_half_open = sim_draw(sim, 2) == 0;
            sim_pass(sim, sim_draw(sim, 40 * SEC));
            if (is_half_open)
                sim_crash(alice);
            else
                sim_kill(alice);
            sim_pass(sim, sim_draw(sim, SEC));
            sim_restart(alice);
            CHECK(sim_until(sim, is_bound, alice, is_half_open ? 7 * SEC : SEC));
            CHECK(sim_stats(alice)->why.code != ERR_CLONE);
        }
    }
}

/* A seed is worth nothing when it does not give the same run again. */
static uint64_t one_run(uint64_t seed)
{
    _cleanup_(sim_freep) struct sim *sim = sim_new(seed);
    struct sim_node *alice;
    uint64_t sum;

    sim_router(sim);
    sim_den(sim);
    sim_pass(sim, 5 * SEC);
    alice = sim_peer(sim, "alice");
    sim_path(alice, (struct sim_path){ .delay_ms = 40, .jitter_ms = 30, .loss_pct = 20 });
    sim_pass(sim, MIN);
    sum = sim_stats(alice)->up_at * 31 + sim_draw(sim, 1u << 30);
    for (const char *c = sim_id(alice); *c; c++)
        sum = sum * 31 + (uint8_t)*c;
    return sum;
}

TEST(one_seed_gives_one_run)
{
    CHECK_U64(one_run(7), one_run(7));
    CHECK(one_run(7) != one_run(8));
}
