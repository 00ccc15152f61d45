/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/path.h"
#include "tests/check.h"

struct fake {
    struct path_carrier base;
    size_t n_sent, takes;
};

static size_t fake_send(struct path_carrier *carrier, const struct view *packets, size_t n)
{
    struct fake *fake = CONTAINER(carrier, struct fake, base);
    size_t went = n < fake->takes ? n : fake->takes;

    (void)packets;
    fake->n_sent += went;
    return went;
}

static bool fake_facts(const struct path_carrier *carrier, struct path_facts *ret)
{
    *ret = (struct path_facts){ .kind = carrier->ops->kind };
    return true;
}

static const struct path_carrier_ops direct_ops = { PATH_DIRECT, fake_send, fake_facts, NULL };
static const struct path_carrier_ops turn_ops = { PATH_TURN, fake_send, fake_facts, NULL };
static const struct path_carrier_ops relay_ops = { PATH_RELAY, fake_send, fake_facts, NULL };

struct seen {
    unsigned n_packets, n_usable, n_changed, n_lost;
};

static void on_packets(void *user, const struct view *packets, size_t n)
{
    (void)packets;
    ((struct seen *)user)->n_packets += (unsigned)n;
}

static void on_usable(void *user)
{
    ((struct seen *)user)->n_usable++;
}

static void on_changed(void *user)
{
    ((struct seen *)user)->n_changed++;
}

static void on_lost(void *user)
{
    ((struct seen *)user)->n_lost++;
}

static const struct path_events events = { on_packets, on_usable, on_changed, on_lost, NULL, NULL };

TEST(the_best_carrier_carries)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&events, true, &seen);
    struct fake relay = { { &relay_ops }, 0, 9 }, turn = { { &turn_ops }, 0, 9 },
                direct = { { &direct_ops }, 0, 9 };
    struct view packets[3] = { 0 };
    struct path_facts facts;

    CHECK(!path_is_usable(path));
    CHECK_U64(path_send(path, packets, 3), 0);
    CHECK(!path_facts(path, &facts));

    path_carrier_up(path, &relay.base);
    CHECK_U64(seen.n_usable, 1);
    CHECK_U64(path_send(path, packets, 3), 3);
    path_carrier_up(path, &direct.base);
    path_carrier_up(path, &direct.base); /* twice is once */
    path_carrier_up(path, &turn.base);
    CHECK_U64(seen.n_changed, 1);
    CHECK_U64(path_send(path, packets, 2), 2);
    CHECK_U64(direct.n_sent, 2);
    CHECK(path_facts(path, &facts) && facts.kind == PATH_DIRECT);

    path_carrier_down(path, &direct.base);
    CHECK_U64(seen.n_changed, 2);
    CHECK(path_facts(path, &facts) && facts.kind == PATH_TURN);
    path_carrier_down(path, &turn.base);
    path_carrier_down(path, &turn.base);
    path_carrier_down(path, &relay.base);
    CHECK_U64(seen.n_changed, 3);
    CHECK_U64(seen.n_lost, 1);
    CHECK(!path_is_usable(path));
}

TEST(packets_are_taken_from_carriers_that_are_up_alone_and_never_followed)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&events, true, &seen);
    struct fake relay = { { &relay_ops }, 0, 9 }, direct = { { &direct_ops }, 0, 1 };
    struct view packets[3] = { 0 };

    path_carrier_up(path, &direct.base);
    path_carrier_received(path, &relay.base, packets, 3);
    CHECK_U64(seen.n_packets, 0);
    path_carrier_up(path, &relay.base);
    path_carrier_received(path, &relay.base, packets, 3);
    CHECK_U64(seen.n_packets, 3);
    CHECK_U64(path_send(path, packets, 3), 1);
    CHECK_U64(direct.n_sent, 1);

    path_carrier_writable(path, &relay.base); /* not the one that carries */
    CHECK_U64(seen.n_usable, 1);
    path_carrier_writable(path, &direct.base);
    CHECK_U64(seen.n_usable, 2);
}

TEST(kinds_have_names)
{
    CHECK_STR(path_kind_name(PATH_DIRECT), "direct");
    CHECK_STR(path_kind_name(PATH_TURN), "turn");
    CHECK_STR(path_kind_name(PATH_RELAY), "relay");
}
