/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/plpmtu.h"
#include "tests/check.h"

#define MS ((uint64_t)1000000)

/* A way that takes packets of `takes` bytes, loses the first few, and answers after `delay`. */
struct way {
    struct plpmtu p;
    uint64_t now, delay, patience;
    size_t takes, loses, n_asked, bytes;
};

static void ask(struct way *way, size_t size)
{
    uint8_t bytes[PLPMTU_MAX];

    plpmtu_question(&way->p, size, bytes);
    CHECK_U64(bytes[0], PLPMTU_QUESTION);
    way->n_asked++;
    way->bytes += size;
    if (size > way->takes)
        return;
    if (way->loses) {
        way->loses--;
        return;
    }
    CHECK(plpmtu_answered(&way->p, way->now + way->delay, bytes + 1) ||
          way->p.phase == PLPMTU_COMPLETE);
}

static void pass(struct way *way, uint64_t ms)
{
    for (uint64_t until = way->now + ms * MS; way->now < until; way->now += MS) {
        size_t sizes[PLPMTU_RUNGS], n = plpmtu_tick(&way->p, way->now, way->patience, sizes);

        for (size_t i = 0; i < n; i++) {
            CHECK(i == 0 || sizes[i] < sizes[i - 1]);
            ask(way, sizes[i]);
        }
    }
}

static struct way way_new(size_t takes)
{
    struct way way = { .now = MS, .delay = 20 * MS, .patience = 250 * MS, .takes = takes };

    plpmtu_init(&way.p);
    plpmtu_start(&way.p, way.now);
    return way;
}

TEST(what_most_paths_take_is_found_with_two_questions)
{
    struct way way = way_new(1472);

    CHECK_U64(way.p.size, PLPMTU_BASE);
    pass(&way, 2000);
    CHECK_U64(way.p.size, PLPMTU_MAX);
    CHECK_U64(way.n_asked, 2);
    CHECK_U64(way.p.phase, PLPMTU_COMPLETE);
    CHECK_U64(plpmtu_deadline(&way.p), UINT64_MAX);
}

TEST(what_a_tunnel_takes_is_found)
{
    static const struct {
        size_t takes, found;
    } cases[] = {
        { 1472, 1452 }, { 1464, 1452 }, /* Ethernet, PPPoE */
        { 1444, 1444 },                 /* PPPoE, IPv6 */
        { 1392, 1392 }, { 1372, 1372 }, /* WireGuard */
        { 1252, 1252 }, { 1232, 1232 }, /* 1280 */
        { 1231, 1200 }, { 1200, 1200 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct way way = way_new(cases[i].takes);

        pass(&way, 2000);
        CHECK_U64(way.p.size, cases[i].found);
        CHECK_U64(way.p.phase, PLPMTU_COMPLETE);
        CHECK(way.p.is_proven);
        CHECK(way.bytes < 30000);
    }
}

TEST(a_question_that_is_lost_is_asked_again)
{
    struct way way = way_new(1472);

    way.loses = 2;
    pass(&way, 2000);
    CHECK_U64(way.p.size, PLPMTU_MAX);

    way = way_new(1392); /* 1200; then 1392 to 1232, of which two are lost */
    way.loses = 3;
    pass(&way, 2000);
    CHECK_U64(way.p.size, 1392);
}

TEST(where_less_than_the_base_gets_through_it_has_failed)
{
    struct way way = way_new(1199);
    size_t n;

    pass(&way, 2000);
    CHECK_U64(way.p.phase, PLPMTU_ERROR);
    CHECK(way.p.has_failed && !way.p.is_proven);
    CHECK_U64(way.p.size, PLPMTU_BASE);
    plpmtu_reset(&way.p);
    CHECK_U64(way.p.phase, PLPMTU_ERROR);

    n = way.n_asked; /* and rarely asked */
    pass(&way, 600000);
    CHECK(way.n_asked > n && way.n_asked < n + 9 * 27);
    way.takes = 1472;
    pass(&way, 301000);
    CHECK_U64(way.p.size, PLPMTU_MAX);
    CHECK(!way.p.has_failed);
}

TEST(what_fell_is_noticed_where_large_packets_go)
{
    struct way way = way_new(1472);

    pass(&way, 1000);
    way.takes = 1252;
    pass(&way, 60000);
    plpmtu_sent(&way.p, way.now, 300);
    pass(&way, 60000);
    CHECK_U64(way.p.size, PLPMTU_MAX); /* nobody needs to know */
    CHECK_U64(way.n_asked, 2);
    plpmtu_sent(&way.p, way.now, 1300);
    pass(&way, 5000);
    CHECK_U64(way.p.size, 1252);

    way.takes = 1100;
    plpmtu_sent(&way.p, way.now, 1252);
    pass(&way, 6000);
    CHECK_U64(way.p.phase, PLPMTU_ERROR);
}

TEST(what_fell_is_noticed_soon_where_packets_are_lost)
{
    struct way way = way_new(1472);

    pass(&way, 1000);
    way.takes = 1392;
    plpmtu_doubt(&way.p, way.now);
    pass(&way, 1100);
    CHECK_U64(way.p.size, 1392);
    plpmtu_doubt(&way.p, way.now); /* it was loss alone */
    way.loses = 2;
    pass(&way, 1000);
    CHECK_U64(way.p.size, 1392);
    CHECK_U64(way.p.phase, PLPMTU_COMPLETE);
}

TEST(what_rose_is_noticed_within_minutes)
{
    struct way way = way_new(1252);

    pass(&way, 1000);
    way.takes = 1472;
    for (unsigned i = 0; i < 605; i++) { /* also while what goes is confirmed all the time */
        plpmtu_sent(&way.p, way.now, 1252);
        pass(&way, 1000);
    }
    CHECK_U64(way.p.size, PLPMTU_MAX);
}

TEST(answers_to_nothing_say_nothing)
{
    struct way way = way_new(1472);
    uint8_t bytes[PLPMTU_MAX];
    size_t sizes[PLPMTU_RUNGS];

    CHECK_U64(plpmtu_tick(&way.p, way.now, way.patience, sizes), 2);
    plpmtu_question(&way.p, PLPMTU_MAX, bytes);
    bytes[8] = PLPMTU_RUNGS;
    CHECK(!plpmtu_answered(&way.p, way.now, bytes + 1));
    bytes[8] = 0;
    bytes[3] ^= 1;
    CHECK(!plpmtu_answered(&way.p, way.now, bytes + 1));
    bytes[3] ^= 1;
    CHECK_U64(way.p.size, PLPMTU_BASE);
    CHECK(plpmtu_answered(&way.p, way.now, bytes + 1));
    CHECK(!plpmtu_answered(&way.p, way.now, bytes + 1)); /* nothing is open any more */
}
