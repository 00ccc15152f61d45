/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/seen.h"
#include "tests/unit/peer/session_world.h"

#include <stdio.h>

/* Has seen the beacons 1, 2 and 3. */
static struct rpc_grant grant(uint32_t number, const char *caller, uint8_t beacon)
{
    static uint8_t sid[RPC_SID], bytes[RPC_BEACON];

    memcpy(sid, &number, sizeof(number));
    memset(bytes, beacon, sizeof(bytes));
    return (struct rpc_grant){ .sid = VIEW_ARR(sid),
                               .a_id = view_text(caller),
                               .beacon = VIEW_ARR(bytes) };
}

static bool take(struct seen *seen, const struct world *w, const struct rpc_grant *g, uint64_t now,
                 struct err *err)
{
    return seen_take(seen, g, w->trust, now, err);
}

TEST(a_session_is_offered_once)
{
    static struct seen seen;
    struct rpc_grant one, two;
    struct err err;
    WORLD(w);

    one = grant(1, WORLD_A, 1);
    CHECK_OK(take(&seen, &w, &one, 1000, &err), err);
    two = grant(2, WORLD_A, 1);
    CHECK_OK(take(&seen, &w, &two, 1000, &err), err);
    one = grant(1, WORLD_A, 1);
    CHECK_ERR(take(&seen, &w, &one, 1000, &err), err, ERR_REPLAYED);
    CHECK_STR(err.text, "this session was offered before");
    CHECK_ERR(take(&seen, &w, &one, 1000 + SEEN_MS - 1, &err), err, ERR_REPLAYED);
    CHECK_OK(take(&seen, &w, &one, 1000 + SEEN_MS, &err), err); /* its beacon is gone */
}

TEST(a_number_is_remembered_while_its_beacon_is_fresh)
{
    static struct seen seen;
    struct err err;
    WORLD(w);

    struct rpc_grant one = grant(1, WORLD_A, 3);
    CHECK_OK(take(&seen, &w, &one, 1000, &err), err);
    CHECK_ERR(take(&seen, &w, &one, 1000 + 100 * SEEN_MS, &err), err, ERR_REPLAYED);
}

TEST(a_caller_fills_its_share_alone)
{
    static struct seen seen;
    struct rpc_grant g;
    struct err err;
    WORLD(w);

    for (uint32_t i = 0; i < SEEN_SHARE; i++) {
        g = grant(i, WORLD_A, 1);
        CHECK(take(&seen, &w, &g, 1000 + i, &err));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        g = grant(SEEN_SHARE + i, WORLD_A, 1);
        CHECK_ERR(take(&seen, &w, &g, 1000 + SEEN_SHARE, &err), err, ERR_BUSY);
    }
    CHECK_STR(err.text, "too many offers in a short time from this caller");
    g = grant(SEEN_MAX, WORLD_B, 1);
    CHECK_OK(take(&seen, &w, &g, 1000 + SEEN_SHARE, &err), err);
    g = grant(SEEN_SHARE, WORLD_A, 1); /* its eldest is forgotten by then, and no other */
    CHECK_OK(take(&seen, &w, &g, 1000 + SEEN_MS, &err), err);
    g = grant(1, WORLD_A, 1);
    CHECK_ERR(take(&seen, &w, &g, 1000 + SEEN_MS, &err), err, ERR_REPLAYED);
}

TEST(a_full_table_refuses_and_forgets_nothing)
{
    static struct seen seen;
    struct rpc_grant g;
    struct err err;
    char caller[TEXT_ID];
    WORLD(w);

    for (uint32_t i = 0; i < SEEN_MAX; i++) {
        snprintf(caller, sizeof(caller), "%u", 100000 + i / SEEN_SHARE);
        g = grant(i, caller, 1);
        CHECK(take(&seen, &w, &g, 1000, &err));
    }
    g = grant(SEEN_MAX, WORLD_A, 1);
    CHECK_ERR(take(&seen, &w, &g, 3000, &err), err, ERR_BUSY);
    CHECK_STR(err.text, "too many offers in a short time");
    g = grant(0, "100000", 1);
    CHECK_ERR(take(&seen, &w, &g, 3000, &err), err, ERR_REPLAYED);
    g = grant(SEEN_MAX, WORLD_A, 1);
    CHECK_OK(take(&seen, &w, &g, 1000 + SEEN_MS, &err), err);
}
