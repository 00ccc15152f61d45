/* SPDX-License-Identifier: Apache-2.0 */
/* What carriers take, each its own, and which one is used therefore. */
#include "peer/link/path.h"
#include "tests/check.h"

#define MS ((uint64_t)1000000)

static uint64_t now;

/* Answers whatever gets through. */
struct way {
    struct path_carrier base;
    struct path *path;
    size_t takes;
    unsigned n_packets, n_lost;
};

static size_t way_send(struct path_carrier *carrier, const struct view *packets, size_t n)
{
    struct way *way = CONTAINER(carrier, struct way, base);

    for (size_t i = 0; i < n; i++) {
        bool is_sign = packets[i].len == 9 || packets[i].data[0] == 3;
        uint8_t answer[9] = { 0 };
        way->n_packets += !is_sign && packets[i].len <= way->takes;
        way->n_lost += !is_sign && packets[i].len > way->takes;
        if (packets[i].len > way->takes)
            continue;
        memcpy(answer, packets[i].data, sizeof(answer));
        answer[0] = is_sign ? 2 : 0x40;
        path_carrier_received(way->path, carrier, &VIEW_ARR(answer), 1);
    }
    return n;
}

static bool way_facts(const struct path_carrier *carrier, struct path_facts *ret)
{
    *ret = (struct path_facts){ .kind = carrier->ops->kind };
    return true;
}

static const struct path_carrier_ops direct_ops = { PATH_DIRECT, way_send, way_facts, NULL },
                                     turn_ops = { PATH_TURN, way_send, way_facts, NULL },
                                     relay_ops = { PATH_RELAY, way_send, way_facts, NULL };

struct seen {
    unsigned n_changed;
};

static void on_packets(void *user, const struct view *packets, size_t n)
{
    (void)user, (void)packets, (void)n;
}

static void on_nothing(void *user)
{
    (void)user;
}

static void on_changed(void *user)
{
    ((struct seen *)user)->n_changed++;
}

static uint64_t now_of(void *user)
{
    (void)user;
    return now;
}

static const struct path_events events = { on_packets, on_nothing, on_changed,
                                           on_nothing, NULL,       now_of };

static struct path *begin(struct seen *seen)
{
    *seen = (struct seen){ 0 };
    now = 1000 * MS;
    return path_new(&events, true, seen);
}

static void pass(struct path *path, uint64_t ms)
{
    for (uint64_t until = now + ms * MS; now < until; now += MS) {
        if (path_deadline(path) <= now)
            path_tick(path);
    }
}

/* Packets as large as the path says, as a link under load sends them: an answer is late when one of them did not get through. */
static void load(struct path *path, struct way *ways, size_t n, uint64_t ms)
{
    static uint8_t bytes[1500] = { 0x40 };

    for (uint64_t i = 0; i < ms; i += 10) {
        unsigned lost = 0, lost_now = 0;
        for (size_t j = 0; j < n; j++)
            lost += ways[j].n_lost;
        path_send(path, &(struct view){ bytes, path_packet(path) }, 1);
        for (size_t j = 0; j < n; j++)
            lost_now += ways[j].n_lost;
        path_set_pressure(path, &(struct path_pressure){ .is_waiting = lost_now > lost,
                                                         .is_probing = lost_now > lost });
        pass(path, 10);
    }
}

static enum path_kind kind_in_use(const struct path *path)
{
    struct path_facts facts;

    return path_facts(path, &facts) ? facts.kind : PATH_KINDS;
}

TEST(the_relay_takes_all_and_the_others_what_they_are_found_to)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way relay = { { &relay_ops }, path, 9999, 0, 0 },
               direct = { { &direct_ops }, path, 1400, 0, 0 };

    path_carrier_up(path, &relay.base);
    CHECK_U64(path_packet(path), 1452);
    path_set_linked(path);
    pass(path, 100);
    path_carrier_up(path, &direct.base);
    pass(path, 1000);
    CHECK_U64(kind_in_use(path), PATH_DIRECT);
    CHECK_U64(path_packet(path), 1392);
    path_carrier_down(path, &direct.base);
    CHECK_U64(path_packet(path), 1452);
    path_carrier_up(path, &direct.base);
    pass(path, 1000);
    direct.takes = 9999;
    path_carrier_down(path, &direct.base);
    path_carrier_up(path, &direct.base);
    pass(path, 1000);
    CHECK_U64(path_packet(path), 1452);
}

TEST(one_that_comes_first_is_used_at_once_and_measured_when_the_link_is_up)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way direct = { { &direct_ops }, path, 1472, 0, 0 };

    path_carrier_up(path, &direct.base);
    pass(path, 1000);
    CHECK_U64(path_packet(path), 1200);
    path_set_linked(path);
    pass(path, 10);
    CHECK_U64(path_packet(path), 1452);
}

TEST(one_that_does_not_carry_quic_takes_nobodys_place)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way relay = { { &relay_ops }, path, 9999, 0, 0 },
               direct = { { &direct_ops }, path, 1100, 0, 0 };

    path_carrier_up(path, &relay.base);
    path_set_linked(path);
    path_carrier_up(path, &direct.base);
    pass(path, 60000);
    CHECK_U64(kind_in_use(path), PATH_RELAY);
    CHECK_U64(seen.n_changed, 0);
    CHECK(path_is_narrow(path, PATH_DIRECT) && !path_is_narrow(path, PATH_RELAY));
    direct.takes = 1472;
    pass(path, 300000);
    CHECK_U64(kind_in_use(path), PATH_DIRECT);
    CHECK_U64(path_packet(path), 1452);
    CHECK(!path_is_narrow(path, PATH_DIRECT));
}

/* It was used for the handshake, whose first packets went another way. */
TEST(one_that_does_not_carry_quic_is_left)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way relay = { { &relay_ops }, path, 9999, 0, 0 },
               direct = { { &direct_ops }, path, 1100, 0, 0 };

    path_carrier_up(path, &direct.base);
    path_set_linked(path);
    pass(path, 5000);
    CHECK_U64(kind_in_use(path), PATH_DIRECT); /* there is no other */
    path_carrier_up(path, &relay.base);
    CHECK_U64(kind_in_use(path), PATH_RELAY);
    pass(path, 60000);
    CHECK_U64(kind_in_use(path), PATH_RELAY);
    CHECK_U64(seen.n_changed, 1);
}

TEST(one_that_is_gone_is_not_narrow)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way relay = { { &relay_ops }, path, 9999, 0, 0 },
               direct = { { &direct_ops }, path, 1472, 0, 0 };

    path_carrier_up(path, &direct.base);
    path_set_linked(path);
    pass(path, 1000);
    direct.takes = 0;
    load(path, &direct, 1, 5000);
    CHECK(!path_is_narrow(path, PATH_DIRECT));
    path_set_pressure(path, &(struct path_pressure){ 0 });
    path_carrier_up(path, &relay.base);
    pass(path, 5000);
    CHECK_U64(kind_in_use(path), PATH_RELAY);
    CHECK(!path_is_narrow(path, PATH_DIRECT));
    direct.takes = 1000;
    pass(path, 20000);
    CHECK(path_is_narrow(path, PATH_DIRECT));
}

TEST(a_path_that_takes_less_than_before_is_noticed)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way ways[2] = { { { &relay_ops }, path, 9999, 0, 0 },
                           { { &direct_ops }, path, 1472, 0, 0 } };

    path_carrier_up(path, &ways[0].base);
    path_set_linked(path);
    path_carrier_up(path, &ways[1].base);
    load(path, ways, 2, 2000);
    CHECK_U64(path_packet(path), 1452);
    CHECK_U64(ways[1].n_lost, 0);

    ways[1].takes = 1252;
    load(path, ways, 2, 5000);
    CHECK_U64(kind_in_use(path), PATH_DIRECT);
    CHECK_U64(path_packet(path), 1252);
    ways[1].n_lost = 0;
    load(path, ways, 2, 20000);
    CHECK_U64(ways[1].n_lost, 0);

    ways[1].takes = 1000; /* less than QUIC needs */
    load(path, ways, 2, 5000);
    CHECK_U64(kind_in_use(path), PATH_RELAY);
    seen.n_changed = 0;
    load(path, ways, 2, 60000);
    CHECK_U64(seen.n_changed, 0);
    CHECK(path_is_narrow(path, PATH_DIRECT));
}

TEST(also_where_there_is_no_other)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way way = { { &turn_ops }, path, 1444, 0, 0 };

    path_carrier_up(path, &way.base);
    path_set_linked(path);
    load(path, &way, 1, 2000);
    CHECK_U64(path_packet(path), 1444);
    way.takes = 1300;
    load(path, &way, 1, 2000);
    CHECK_U64(path_packet(path), 1252);
}

/* The small ones arrive and are acknowledged, so that nothing is late; the large ones vanish. */
TEST(also_where_small_packets_hide_it)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way way = { { &direct_ops }, path, 1472, 0, 0 };
    static uint8_t bytes[1452] = { 0x40 };
    const struct view packets[2] = { VIEW(bytes, 100), VIEW_ARR(bytes) };

    path_carrier_up(path, &way.base);
    path_set_linked(path);
    pass(path, 100);
    CHECK_U64(path_packet(path), 1452);
    way.takes = 1300;
    for (unsigned i = 0; i < 500; i++) {
        path_send(path, packets, 2);
        pass(path, 10);
    }
    CHECK_U64(path_packet(path), 1252);
}

TEST(over_two_ways_goes_what_both_take)
{
    struct seen seen;
    _cleanup_(path_freep) struct path *path = begin(&seen);
    struct way relay = { { &relay_ops }, path, 9999, 0, 0 },
               direct = { { &direct_ops }, path, 1300, 0, 0 };

    path_carrier_up(path, &relay.base);
    path_set_linked(path);
    path_carrier_up(path, &direct.base);
    pass(path, 1000);
    path_switched(path, 9, PATH_RELAY);
    CHECK_U64(path_packet(path), 1452);
    path_set_pressure(path, &(struct path_pressure){ .is_waiting = true, .is_probing = true });
    CHECK(path_packet(path) < 1300);
}
