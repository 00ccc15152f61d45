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

/* Time and what goes back and forth, for those that live by it. */
static uint64_t now;

static uint64_t now_of(void *user)
{
    (void)user;
    return now;
}

struct echo { /* answers questions, when it is there */
    struct path_carrier base;
    struct path *path;
    bool is_there;
    unsigned n_packets;
};

static size_t echo_send(struct path_carrier *carrier, const struct view *packets, size_t n)
{
    struct echo *echo = CONTAINER(carrier, struct echo, base);

    for (size_t i = 0; i < n; i++) {
        bool is_size = packets[i].len >= 1200 && packets[i].data[0] == 3;
        uint8_t answer[9];
        if (packets[i].len != sizeof(answer) && !is_size) {
            echo->n_packets++;
            continue;
        }
        memcpy(answer, packets[i].data, sizeof(answer));
        answer[0] = 2;
        if (echo->is_there)
            path_carrier_received(echo->path, carrier, &VIEW_ARR(answer), 1);
    }
    return n;
}

static const struct path_carrier_ops echo_ops = { PATH_DIRECT, echo_send, fake_facts, NULL };

static void pass(struct path *path, uint64_t ms)
{
    for (uint64_t until = now + ms * 1000000; now < until; now += 1000000) {
        if (path_deadline(path) <= now)
            path_tick(path);
    }
}

static const struct path_events events = { on_packets, on_usable, on_changed, on_lost, NULL, NULL };

/* Its carriers go while their owner is half taken apart. */
TEST(who_has_ended_it_is_told_nothing)
{
    struct seen seen = { 0 }, before;
    _cleanup_(path_freep) struct path *path = path_new(&events, true, &seen);
    struct fake relay = { { &relay_ops }, 0, 9 }, direct = { { &direct_ops }, 0, 9 };
    struct view packet = { 0 };

    path_carrier_up(path, &relay.base);
    path_carrier_up(path, &direct.base);
    CHECK(seen.n_usable + seen.n_changed > 0);
    before = seen;
    path_end(path);
    path_carrier_received(path, &direct.base, &packet, 1);
    path_carrier_down(path, &direct.base); /* or another took over */
    path_carrier_down(path, &relay.base);  /* or none were left */
    CHECK(memcmp(&seen, &before, sizeof(seen)) == 0);
    path_end(NULL);
}

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

    path_carrier_up(path, &turn.base); /* another way than before */
    CHECK_U64(seen.n_usable, 2);
    CHECK_U64(seen.n_changed, 4);
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

static const struct path_events timed = {
    on_packets, on_usable, on_changed, on_lost, NULL, now_of
};

TEST(one_of_the_same_kind_takes_the_place_when_it_has_answered)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&timed, true, &seen);
    struct echo before = { { &echo_ops }, path, true, 0 },
                after = { { &echo_ops }, path, false, 0 };
    uint8_t bytes[20] = { 0x40 };
    struct view packet = VIEW_ARR(bytes);

    now = 1000000000;
    path_carrier_up(path, &before.base);
    path_set_linked(path);
    path_carrier_up(path, &after.base); /* the other end does not have it yet */
    CHECK(path_is_alive(path, &before.base) && !path_is_alive(path, &after.base));
    pass(path, 2000);
    path_send(path, &packet, 1);
    CHECK_U64(before.n_packets, 1);
    CHECK_U64(after.n_packets, 0);
    CHECK_U64(seen.n_changed, 0);

    after.is_there = true;
    pass(path, 500);
    CHECK(path_is_alive(path, &after.base));
    CHECK_U64(seen.n_changed, 1);
    path_send(path, &packet, 1);
    CHECK_U64(after.n_packets, 1);
    path_carrier_down(path, &before.base);
    CHECK_U64(seen.n_changed, 1);
}

TEST(a_switch_of_the_other_end_brings_back_the_one_that_lives)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&timed, true, &seen);
    struct echo first = { { &echo_ops }, path, true, 0 }, third = first,
                relay = { { &relay_ops }, path, true, 0 };
    uint8_t bytes[20] = { 0x40 };
    struct view packet = VIEW_ARR(bytes);

    now = 1000000000;
    path_carrier_up(path, &first.base);
    path_set_linked(path);
    path_carrier_up(path, &relay.base);
    path_switched(path, 7, PATH_RELAY);
    CHECK(!path_is_alive(path, &first.base));
    path_carrier_up(path, &third.base);
    pass(path, 100);
    CHECK(path_is_alive(path, &third.base));
    path_switched(path, 8, PATH_DIRECT);
    CHECK(!path_is_alive(path, &first.base));
    path_send(path, &packet, 1);
    CHECK_U64(third.n_packets, 1);
    CHECK_U64(path_dead_for(path, PATH_RELAY), 0);
    path_carrier_down(path, &third.base);
    pass(path, 100);
    CHECK(path_dead_for(path, PATH_DIRECT) >= 100 * 1000000);
}

TEST(silence_is_counted_while_an_answer_is_due)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&timed, true, &seen);
    struct fake direct = { { &direct_ops }, 0, 9 };
    uint8_t bytes[20] = { 0x40 };
    struct view packet = VIEW_ARR(bytes);

    now = 1000000000;
    path_carrier_up(path, &direct.base);
    pass(path, 5000);
    CHECK_U64(path_silent_for(path), 0);
    path_set_pressure(path, &(struct path_pressure){ .is_waiting = true });
    pass(path, 700);
    CHECK_U64(path_silent_for(path), 700 * 1000000);
    path_carrier_received(path, &direct.base, &packet, 1);
    CHECK_U64(path_silent_for(path), 0);
}

TEST(whether_another_one_lives)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&events, true, &seen);
    struct fake first = { { &relay_ops }, 0, 9 }, relay = { { &relay_ops }, 0, 9 },
                direct = { { &direct_ops }, 0, 9 };

    path_carrier_up(path, &first.base);
    CHECK(!path_has_other(path, &first.base) && path_has_other(path, &relay.base));
    path_carrier_up(path, &relay.base); /* second of its kind: it has to answer first */
    CHECK(!path_has_other(path, &first.base));
    path_carrier_up(path, &direct.base);
    CHECK(path_has_other(path, &first.base));
}

/* Two of each kind: the calls that a link begins over and the relay, and whatever takes the place of another one. */
TEST(all_that_a_session_has_at_once_are_taken)
{
    struct seen seen = { 0 };
    _cleanup_(path_freep) struct path *path = path_new(&timed, true, &seen);
    struct echo like = { { NULL }, path, true, 0 }, all[6];
    static const struct path_carrier_ops turn_echo = { PATH_TURN, echo_send, fake_facts, NULL },
                                         relay_echo = { PATH_RELAY, echo_send, fake_facts, NULL };
    static const struct path_carrier_ops *const ops[6] = { &relay_echo, &relay_echo, &turn_echo,
                                                           &turn_echo,  &echo_ops,   &echo_ops };
    struct view packet = VIEW_LIT("0123456789");

    now = 1000000000;
    path_set_linked(path);
    for (size_t i = 0; i < N_ELEMENTS(all); i++) {
        all[i] = like;
        all[i].base.ops = ops[i];
        path_carrier_up(path, &all[i].base);
    }
    pass(path, 2000);
    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        CHECK(path_is_alive(path, &all[i].base));
    path_carrier_down(path, &all[4].base);
    path_send(path, &packet, 1);
    CHECK_U64(all[5].n_packets, 1);
}

TEST(kinds_have_names)
{
    CHECK_STR(path_kind_name(PATH_DIRECT), "direct");
    CHECK_STR(path_kind_name(PATH_TURN), "turn");
    CHECK_STR(path_kind_name(PATH_RELAY), "relay");
}
