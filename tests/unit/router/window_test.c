/* SPDX-License-Identifier: Apache-2.0 */
#include "router/window.h"
#include "base/map.h"
#include "tests/check.h"

TEST(so_many_fit_in_any_span)
{
    struct windows *w = windows_new(3, 1000, 10);
    struct view key = VIEW_LIT("a");

    CHECK(!windows_is_full(w, key, 0));
    windows_add(w, key, 0);
    windows_add(w, key, 900);
    CHECK(!windows_is_full(w, key, 950));
    windows_add(w, key, 950);
    CHECK(windows_is_full(w, key, 999));
    CHECK(!windows_is_full(w, VIEW_LIT("b"), 999));
    CHECK(!windows_is_full(w, key, 1000)); /* the first is a span ago */
    windows_add(w, key, 1000);
    CHECK(windows_is_full(w, key, 1899)); /* no border that a burst could sit on */
    CHECK(!windows_is_full(w, key, 1900));
    windows_free(w);
}

TEST(keys_come_and_go)
{
    struct windows *w = windows_new(1, 1000, 10);
    uint64_t n;

    for (n = 0; n < 100; n++)
        windows_add(w, map_u64(&n), n);
    CHECK_U64(windows_count(w), 10);
    n = 99;
    CHECK(windows_is_full(w, map_u64(&n), 100));
    n = 5;
    CHECK(!windows_is_full(w, map_u64(&n), 100)); /* quiet for longest */
    windows_add(w, map_u64(&n), 5000);
    CHECK_U64(windows_count(w), 1); /* the others are of the past */
    windows_free(w);
}

TEST(no_limit_holds_nothing)
{
    struct windows *w = windows_new(0, 1000, 10);

    for (size_t i = 0; i < 100; i++)
        windows_add(w, VIEW_LIT("a"), 1);
    CHECK(!windows_is_full(w, VIEW_LIT("a"), 1));
    CHECK_U64(windows_count(w), 0);
    windows_set_limit(w, 1);
    windows_add(w, VIEW_LIT("a"), 1);
    CHECK(windows_is_full(w, VIEW_LIT("a"), 1));
    windows_free(w);
}
