/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings of how much of an authority's life is over. */
#include "den/lifetime.h"
#include "tests/unit/den/world.h"

static void take_intermediate(void *user, const struct lifetime *l)
{
    if (strcmp(l->kind, "intermediate") == 0)
        *(struct lifetime *)user = *l;
}

static struct lifetime intermediate(struct world *w)
{
    struct lifetime l = { 0 };

    lifetime_each(w->core, take_intermediate, &l);
    return l;
}

TEST(marks_are_passed_one_after_the_other)
{
    static const struct {
        unsigned percent, mark;
    } cases[] = { { 0, 0 },   { 49, 0 },  { 50, 50 }, { 79, 50 },  { 80, 80 },
                  { 94, 80 }, { 95, 95 }, { 99, 95 }, { 100, 100 } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK_U64(lifetime_mark(cases[i].percent), cases[i].mark);
}

TEST(each_mark_is_logged_once_also_while_the_router_is_away)
{
    static const struct {
        unsigned percent, n_lines;
        const char *says;
    } cases[] = { { 49, 0, NULL },          { 51, 1, "percent=51" }, { 79, 1, "percent=51" },
                  { 81, 2, "percent=81" },  { 94, 2, "percent=81" }, { 96, 3, "percent=96" },
                  { 101, 4, "percent=100" } };
    _cleanup_(world_freep) struct world *w =
        world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");
    struct lifetime l = intermediate(w);

    den_core_down(w->core);
    CHECK(den_core_deadline(w->core) <= w->mono + MINUTE_MS);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        w->wall = l.not_before + (l.not_after - l.not_before) / 100 * cases[i].percent + SECOND_MS;
        world_pass(w, 61 * SECOND_MS);
        CHECK_U64(intermediate(w).percent, cases[i].percent > 100 ? 100 : cases[i].percent);
        CHECK_U64(world_logged("authority.ageing", cases[i].says), cases[i].n_lines);
    }
}
