/* SPDX-License-Identifier: Apache-2.0 */
#include "router/quota.h"
#include "tests/check.h"

TEST(charges_are_taken_and_given_back_once)
{
    struct quota quota = { .limit = { [QUOTA_CALLS] = 2 } };
    struct charge a = { 0 }, b = { 0 }, c = { 0 };

    CHECK(quota_take(&quota, QUOTA_CALLS, &a));
    CHECK(quota_take(&quota, QUOTA_CALLS, &b));
    CHECK(!quota_take(&quota, QUOTA_CALLS, &c));
    CHECK(!quota_take(&quota, QUOTA_SUBSCRIPTIONS, &c)); /* each kind has its own limit */
    charge_release(&c);                                  /* nothing was charged */
    CHECK_U64(quota.used[QUOTA_CALLS], 2);
    charge_release(&a);
    charge_release(&a);
    CHECK_U64(quota.used[QUOTA_CALLS], 1);
    CHECK(quota_take(&quota, QUOTA_CALLS, &c));
}
