/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/seen.h"
#include "tests/check.h"

static struct view number(uint32_t n)
{
    static uint8_t sid[RPC_SID];

    memcpy(sid, &n, sizeof(n));
    return VIEW_ARR(sid);
}

TEST(a_session_is_offered_once)
{
    static struct seen seen;
    struct err err;

    CHECK_OK(seen_take(&seen, number(1), 1000, &err), err);
    CHECK_OK(seen_take(&seen, number(2), 1000, &err), err);
    CHECK_ERR(seen_take(&seen, number(1), 1000, &err), err, ERR_REPLAYED);
    CHECK_ERR(seen_take(&seen, number(1), 1000 + SEEN_MS - 1, &err), err, ERR_REPLAYED);
    CHECK_STR(err.text, "this session was offered before");
    CHECK_OK(seen_take(&seen, number(1), 1000 + SEEN_MS, &err),
             err); /* its grant is stale long since */
}

TEST(a_full_table_refuses_and_forgets_nothing)
{
    static struct seen seen;
    struct err err;

    for (uint32_t i = 0; i < SEEN_MAX; i++)
        CHECK(seen_take(&seen, number(i), 1000 + i, &err));
    CHECK_ERR(seen_take(&seen, number(SEEN_MAX), 3000, &err), err, ERR_BUSY);
    CHECK_ERR(seen_take(&seen, number(0), 3000, &err), err, ERR_REPLAYED);
    CHECK_OK(seen_take(&seen, number(SEEN_MAX), 1000 + SEEN_MS, &err),
             err); /* in the place of the eldest */
    CHECK_ERR(seen_take(&seen, number(1), 1000 + SEEN_MS, &err), err, ERR_REPLAYED);
}
