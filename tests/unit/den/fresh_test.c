/* SPDX-License-Identifier: Apache-2.0 */
#include "den/fresh.h"
#include "den/rate.h"
#include "tests/check.h"

static const uint8_t one[RPC_BEACON] = { 1 }, two[RPC_BEACON] = { 2 }, three[RPC_BEACON] = { 3 };

TEST(nothing_is_fresh_before_the_first_beacon)
{
    _cleanup_(fresh_freep) struct fresh *f = fresh_new();
    static const uint8_t zeros[RPC_BEACON];

    CHECK(fresh_take(f, VIEW_ARR(zeros), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_STALE);
}

TEST(two_beacons_are_taken_and_what_was_used_is_remembered_as_long)
{
    _cleanup_(fresh_freep) struct fresh *f = fresh_new();

    fresh_turn(f, one);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_NEW);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_USED);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("other"), VIEW_LIT("n")) == FRESH_NEW);
    CHECK(fresh_take(f, VIEW_ARR(two), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_STALE);
    fresh_turn(f, two);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_USED);
    CHECK(fresh_take(f, VIEW_ARR(two), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_NEW);
    fresh_turn(f, three);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_STALE);
    CHECK(fresh_take(f, VIEW_ARR(two), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_USED);
    CHECK_VIEW(fresh_beacon(f), VIEW_ARR(three));
}

TEST(looking_uses_nothing_up)
{
    _cleanup_(fresh_freep) struct fresh *f = fresh_new();

    fresh_turn(f, one);
    CHECK(fresh_look(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_NEW);
    CHECK(fresh_look(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("n")) == FRESH_NEW);
}

TEST(one_key_has_a_share_of_a_beacon_and_keeps_nobody_out)
{
    _cleanup_(fresh_freep) struct fresh *f = fresh_new();
    uint32_t n_taken = 0;

    fresh_turn(f, one);
    for (uint32_t i = 0; i < FRESH_MAX_USED + 10; i++)
        n_taken += fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW(&i, sizeof(i))) == FRESH_NEW;
    CHECK_U64(n_taken, FRESH_MAX_PER_KEY);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("more")) == FRESH_FULL);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("other"), VIEW_LIT("more")) == FRESH_NEW);
    fresh_turn(f, two);
    CHECK(fresh_take(f, VIEW_ARR(two), VIEW_LIT("pk"), VIEW_LIT("more")) == FRESH_NEW);
}

TEST(one_beacon_remembers_so_many_and_refuses_more)
{
    _cleanup_(fresh_freep) struct fresh *f = fresh_new();
    uint32_t n_taken = 0;

    fresh_turn(f, one);
    for (uint32_t i = 0; i < FRESH_MAX_USED; i++) {
        uint32_t pk = i / FRESH_MAX_PER_KEY;
        n_taken +=
            fresh_take(f, VIEW_ARR(one), VIEW(&pk, sizeof(pk)), VIEW(&i, sizeof(i))) == FRESH_NEW;
    }
    CHECK_U64(n_taken, FRESH_MAX_USED);
    CHECK(fresh_take(f, VIEW_ARR(one), VIEW_LIT("pk"), VIEW_LIT("more")) == FRESH_FULL);
    fresh_turn(f, two);
    CHECK(fresh_take(f, VIEW_ARR(two), VIEW_LIT("pk"), VIEW_LIT("more")) == FRESH_NEW);
}

TEST(a_bucket_gives_its_burst_and_then_one_by_one)
{
    const struct bucket_rule rule = { .burst = 3, .every = 100, .max_keys = 2 };
    _cleanup_(buckets_freep) struct buckets *b = buckets_new(&rule);

    for (size_t i = 0; i < 3; i++)
        CHECK(buckets_take(b, 1000, VIEW_LIT("a")));
    CHECK(!buckets_has(b, 1000, VIEW_LIT("a")));
    CHECK(!buckets_take(b, 1000, VIEW_LIT("a")));
    CHECK(!buckets_take(b, 1099, VIEW_LIT("a")));
    CHECK(buckets_take(b, 1100, VIEW_LIT("a")));
    CHECK(!buckets_take(b, 1100, VIEW_LIT("a")));
    CHECK(buckets_take(b, 1100, VIEW_LIT("b")));
    CHECK(!buckets_take(b, 1100, VIEW_LIT("c"))); /* no room for a third key */
    CHECK(buckets_take(b, 1200, VIEW_LIT("c")));  /* b is full again, and forgotten */
}

TEST(a_bucket_takes_back_what_was_not_used)
{
    const struct bucket_rule rule = { .burst = 2, .every = 100, .max_keys = 2 };
    _cleanup_(buckets_freep) struct buckets *b = buckets_new(&rule);

    for (size_t i = 0; i < 10; i++) {
        CHECK(buckets_take(b, 1000, VIEW_LIT("a")));
        buckets_give(b, 1000, VIEW_LIT("a"));
    }
    buckets_give(b, 1000, VIEW_LIT("a")); /* no more than it had */
    buckets_give(b, 1000, VIEW_LIT("b"));
    CHECK(buckets_take(b, 1000, VIEW_LIT("a")) && buckets_take(b, 1000, VIEW_LIT("a")));
    CHECK(!buckets_take(b, 1000, VIEW_LIT("a")));
}

TEST(a_bucket_without_a_burst_limits_nothing)
{
    const struct bucket_rule rule = { 0 };
    _cleanup_(buckets_freep) struct buckets *b = buckets_new(&rule);
    size_t n_taken = 0;

    for (size_t i = 0; i < 1000; i++)
        n_taken += buckets_take(b, 1, VIEW_LIT("a"));
    CHECK_U64(n_taken, 1000);
}

TEST(a_bucket_counts_what_it_did_not_give)
{
    const struct bucket_rule rule = { .burst = 1, .every = 100, .max_keys = 1 };
    _cleanup_(buckets_freep) struct buckets *b = buckets_new(&rule);

    for (size_t i = 0; i < 4; i++)
        buckets_take(b, 1000, VIEW_LIT("a"));
    CHECK_U64(buckets_missed(b, VIEW_LIT("a")), 3);
    CHECK_U64(buckets_missed(b, VIEW_LIT("a")), 0);
    CHECK(!buckets_take(b, 1000, VIEW_LIT("a")));
    CHECK(!buckets_take(b, 1000, VIEW_LIT("b"))); /* no room */
    CHECK(buckets_take(b, 1200, VIEW_LIT("b")));  /* a is forgotten, not what it missed */
    CHECK_U64(buckets_missed_by_all(b), 2);
    CHECK_U64(buckets_missed_by_all(b), 0);
}

TEST(neighbours_are_one_source)
{
    static const struct {
        const char *one, *other;
        bool are_one;
    } cases[] = {
        { "192.0.2.7", "192.0.2.200", true },
        { "192.0.2.7", "192.0.3.7", false },
        { "192.0.2.7:443", "192.0.2.9:7", true },
        { "2001:db8:1::7", "2001:db8:1:ffff::9", true },
        { "2001:db8:1::7", "2001:db8:2::7", false },
        { "[2001:db8:1::7]:443", "2001:db8:1::9", true },
        { "::ffff:192.0.2.7", "192.0.2.9", true },
        { "::ffff:192.0.2.7", "::ffff:198.51.100.7", false },
        { "32.1.13.184", "2001:db8::1", false },
        { "", "not an address", true },
        { "", "192.0.2.7", false },
        { "0000000000000000000000000000000000000000000000000000:1", "", true },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint8_t one_to[RATE_KEY], other_to[RATE_KEY];
        struct view a = rate_source(view_text(cases[i].one), one_to),
                    b = rate_source(view_text(cases[i].other), other_to);
        if (view_eq(a, b) != cases[i].are_one)
            check_failed(__FILE__, __LINE__, "%s and %s", cases[i].one, cases[i].other);
    }
}
