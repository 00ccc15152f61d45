/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/retry.h"
#include "tests/check.h"

enum { N_PEERS = 4000, BIN_MS = 250, MAX_BINS = 100 };

/* When a peer that lost the router at 0 is there again, with a router that is away until `until`. */
static uint64_t back_at(uint64_t until, uint64_t asked)
{
    struct rpc_retry retry = { .n_hosts = 1 };
    uint64_t at;

    rpc_retry_up(&retry, 1);
    for (at = rpc_retry_lost(&retry, 1 + RPC_RETRY_STEADY_MS, asked); at < until;)
        at += rpc_retry_lost(&retry, at, 0);
    return at - until;
}

struct waves {
    unsigned n[MAX_BINS], highest, last;
};

static struct waves crash(uint64_t until)
{
    struct waves waves = { 0 };

    for (int i = 0; i < N_PEERS; i++) {
        uint64_t bin = back_at(until, 0) / BIN_MS;
        if (!CHECK(bin < MAX_BINS))
            continue;
        waves.n[bin]++;
        waves.highest = waves.n[bin] > waves.highest ? waves.n[bin] : waves.highest;
        waves.last = bin > waves.last ? (unsigned)bin : waves.last;
    }
    return waves;
}

TEST(who_lost_only_a_connection_is_back_at_once)
{
    for (int i = 0; i < 100; i++)
        CHECK(back_at(0, 0) <= RPC_RETRY_FIRST_MS);
}

/* The others may be of another kind of address than this machine has. */
TEST(who_was_not_connected_yet_tries_each_host_before_it_waits)
{
    struct rpc_retry retry = { .n_hosts = 3 };

    for (size_t i = 1; i <= 6; i++) {
        uint64_t pause = rpc_retry_lost(&retry, 1000 * i, 0);
        CHECK_U64(retry.host, i % 3);
        CHECK((pause == 0) == (i < 3));
    }
    rpc_retry_up(&retry, 10000);
    CHECK(rpc_retry_lost(&retry, 20000, 0) >= RPC_RETRY_LEAST_MS); /* with all the others */
    retry = (struct rpc_retry){ .n_hosts = 2 };
    CHECK(rpc_retry_lost(&retry, 1, 700) == 700); /* the router said so */
}

TEST(after_a_crash_all_are_back_soon_and_evenly)
{
    static const uint64_t away[] = { 500, 750, 1000, 2000, 4000, 6000, 7000, 20000, 60000 };

    for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
        struct waves waves = crash(away[i]);
        CHECK((waves.last + 1) * BIN_MS <= 7000);
        CHECK(waves.highest * (waves.last + 1) <= 2 * N_PEERS);
    }
}

/* A router that stops tells each when to come; some of those come before it is there again. */
TEST(who_comes_before_the_time_it_was_told_was_right_is_spread_too)
{
    for (int i = 0; i < 1000; i++) {
        uint64_t at = back_at(1500, 1000);
        CHECK(at <= 1000 + RPC_RETRY_ROUND_MS + RPC_RETRY_JITTER_MS);
    }
    CHECK_U64(back_at(1500, 2000), 500);
    CHECK_U64(back_at(0, 3 * RPC_RETRY_MAX_ASKED_MS), RPC_RETRY_MAX_ASKED_MS);
}

TEST(a_session_that_ends_at_once_is_a_failure)
{
    struct rpc_retry retry = { .n_hosts = 2 };

    rpc_retry_lost(&retry, 1, 0);
    CHECK_U64(retry.host, 1);
    rpc_retry_up(&retry, 10);
    rpc_retry_lost(&retry, 20, 0);
    CHECK_U64(retry.host, 1); /* it answered */
    CHECK_U64(retry.n_failures, 2);
    CHECK(rpc_retry_lost(&retry, 30, 0) >= RPC_RETRY_ROUND_MS - RPC_RETRY_JITTER_MS);
}

/* A host that this machine has no route to costs the others nothing. */
TEST(a_host_that_cannot_be_reached_from_here_is_passed_over)
{
    struct rpc_retry retry = { .n_hosts = 2 };

    rpc_retry_up(&retry, 1);
    for (unsigned i = 0; i < 3; i++) { /* the second is of no use */
        rpc_retry_lost(&retry, 10 + i, 0);
        if (retry.host == 1)
            CHECK(rpc_retry_pass(&retry));
        CHECK_U64(retry.host, 0);
    }
    CHECK(!rpc_retry_pass(&retry)); /* nor the other one: a cable is pulled */
    CHECK(rpc_retry_lost(&retry, 20, 0) >= RPC_RETRY_LEAST_MS);
    CHECK(rpc_retry_pass(&retry));
    retry = (struct rpc_retry){ .n_hosts = 1 };
    CHECK(!rpc_retry_pass(&retry));
}

/* One try a minute where somebody has to do something first. */
TEST(what_people_have_to_mend_is_tried_patiently)
{
    for (int i = 0; i < 100; i++) {
        CHECK(rpc_retry_patience(ERR_CLONE) >= RPC_RETRY_PATIENCE_MS);
        CHECK(rpc_retry_patience(ERR_CLOCK_SKEW) >= RPC_RETRY_PATIENCE_MS);
        CHECK(rpc_retry_patience(ERR_REVOKED) <= RPC_RETRY_PATIENCE_MS + RPC_RETRY_ROUND_MS);
    }
    CHECK_U64(rpc_retry_patience(ERR_NETWORK_FAILURE), 0);
    CHECK_U64(rpc_retry_patience(ERR_DEN_AWAY), 0);
}
