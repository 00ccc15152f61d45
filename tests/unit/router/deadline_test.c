/* SPDX-License-Identifier: Apache-2.0 */
#include "router/deadline.h"
#include "base/mem.h"
#include "tests/check.h"

enum { N = 500 };

struct alarm {
    struct deadline deadline;
    bool is_over;
};
static uint64_t last_at;
static unsigned n_passed;

static void on_passed(struct deadline *deadline)
{
    struct alarm *alarm = CONTAINER(deadline, struct alarm, deadline);

    CHECK(deadline->at >= last_at); /* in order */
    CHECK(!alarm->is_over);
    alarm->is_over = true;
    last_at = deadline->at;
    n_passed++;
}

TEST(deadlines_pass_in_order_and_once)
{
    static struct alarm alarms[N];
    struct deadlines all = { 0 };
    uint32_t seed = 7;

    for (size_t i = 0; i < N; i++) {
        alarms[i].deadline.on_passed = on_passed;
        seed = seed * 1664525 + 1013904223;
        deadline_set(&all, &alarms[i].deadline, 1 + (seed >> 8) % 1000);
    }
    for (size_t i = 0; i < N; i += 3) /* some move, some are cleared */
        deadline_set(&all, &alarms[i].deadline, 1 + (i * 37) % 1000);
    for (size_t i = 1; i < N; i += 3)
        deadline_clear(&all, &alarms[i].deadline);
    for (uint64_t now = 0; deadlines_next(&all) != NEVER_MS; now++) {
        deadlines_run(&all, now);
        for (size_t i = 0; i < N; i++)
            CHECK(alarms[i].is_over == (i % 3 != 1 && alarms[i].deadline.at <= now));
        if (!CHECK(now <= 1000))
            break;
    }
    CHECK_U64(n_passed, N - (N + 1) / 3);
    deadline_clear(&all, &alarms[0].deadline); /* harmless */
    deadlines_deinit(&all);
}
