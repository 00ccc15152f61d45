/* SPDX-License-Identifier: Apache-2.0 */
/* The link over networks that are not kind. */
#include "tests/unit/link/pair.h"

static const struct {
    const char *name;
    struct pair_wire wire;
    uint64_t size;
} wires[] = {
    { "kind", { .delay_ns = 5 * MS_NS }, 8 << 20 },
    { "no delay to speak of", { .delay_ns = 1000 }, 8 << 20 },
    { "1 % lost", { .delay_ns = 20 * MS_NS, .loss_pct = 1 }, 4 << 20 },
    { "10 % lost", { .delay_ns = 20 * MS_NS, .loss_pct = 10 }, 1 << 20 },
    { "out of order", { .delay_ns = 10 * MS_NS, .late_pct = 5 }, 4 << 20 },
    { "twice", { .delay_ns = 10 * MS_NS, .twice_pct = 30 }, 2 << 20 },
    { "all of it",
      { .delay_ns = 15 * MS_NS, .loss_pct = 3, .late_pct = 3, .twice_pct = 3 },
      1 << 20 },
    { "20 Mbit/s", { .delay_ns = 20 * MS_NS, .bytes_per_s = 2500000 }, 4 << 20 },
    { "1300 bytes", { .delay_ns = 5 * MS_NS, .mtu = 1300 }, 2 << 20 },
    { "1300 bytes, and nobody knows",
      { .delay_ns = 5 * MS_NS, .mtu = 1300, .said = 1452 },
      1 << 17 },
    { "a path that takes 3 at once", { .delay_ns = 5 * MS_NS, .takes = 3 }, 2 << 20 },
    { "far away", { .delay_ns = 300 * MS_NS }, 2 << 20 },
};

TEST(a_transfer_survives_every_wire)
{
    for (size_t i = 0; i < N_ELEMENTS(wires); i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = wires[i].wire, .seed = (unsigned)i });
        struct link_stream *stream;
        uint64_t place = 0, started;

        if (!CHECK(pair_up(pair)))
            continue;
        started = pair->now;
        stream = pair_open(&pair->caller, "file", "a name");
        while (stream && pair->callee.n_ends == 0 && pair->now < started + 600 * S_NS) {
            pair_write_pattern(pair, stream, &place, wires[i].size);
            if (!pair_step(pair, pair->now + S_NS))
                break;
        }
        if (!CHECK_U64(pair->callee.n_bytes, wires[i].size) || !CHECK(!pair->callee.is_garbled))
            check_failed(__FILE__, __LINE__, "wire: %s", wires[i].name);
    }
}

TEST(packets_are_as_large_as_the_path_says)
{
    static const struct {
        size_t mtu, wanted;
    } cases[] = { { 0, 1452 }, { 1300, 1300 }, { 1200, 1200 } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = MS_NS, .mtu = cases[i].mtu } });
        struct link_stream *stream;
        uint64_t place = 0;

        if (!CHECK(pair_up(pair)))
            continue;
        stream = pair_open(&pair->caller, "file", "");
        pair_write_pattern(pair, stream, &place, 1 << 19);
        CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->callee.n_ends == 1));
        CHECK_U64(pair->largest, cases[i].wanted);
        CHECK_U64(link_datagram_max(pair->caller.link) + 34, cases[i].wanted);
    }
}

/* Whatever is under way then is lost, and sent again. */
TEST(the_path_may_say_another_size_at_any_time)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    uint8_t bytes[1400] = { 0 };
    struct err err = { 0 };
    struct link_stream *stream;
    uint64_t place = 0;

    CHECK(pair_up(pair));
    stream = pair_open(&pair->caller, "file", "");
    for (unsigned i = 0; pair->callee.n_ends == 0 && i < 3000; i++) {
        pair->wire.mtu = i / 100 % 2 ? 1252 : 0;
        pair_write_pattern(pair, stream, &place, 4 << 20);
        PAIR_UNTIL(pair, MS_NS, false);
    }
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->callee.n_ends == 1));
    CHECK_U64(pair->callee.n_bytes, 4 << 20);
    CHECK(!pair->callee.is_garbled);

    pair->wire.mtu = 0;
    for (size_t i = 0; i < 4; i++)
        CHECK_OK(link_datagram_send(pair->caller.link, pair->now, VIEW_ARR(bytes), &err), err);
    pair->wire.mtu = 1252; /* those that wait for the next packet do not stop the others */
    CHECK_ERR(link_datagram_send(pair->caller.link, pair->now, VIEW_ARR(bytes), &err), err,
              ERR_TOO_LARGE);
    CHECK(PAIR_UNTIL(pair, S_NS,
                     link_datagram_send(pair->caller.link, pair->now, VIEW_LIT("small"), &err) &&
                         view_eq_text(buf_view(&pair->callee.datagram), "small")));
}

TEST(a_silent_link_is_kept_alive_and_a_dead_one_given_up)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    uint64_t cut_at;

    CHECK(pair_up(pair));
    PAIR_UNTIL(pair, 300 * S_NS, pair->caller.n_down || pair->callee.n_down);
    CHECK_U64(pair->caller.n_down + pair->callee.n_down, 0);

    pair->wire.loss_pct = 100;
    cut_at = pair->now;
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_down && pair->callee.n_down));
    CHECK(pair->now - cut_at <= 30 * S_NS);
    CHECK_U64(pair->caller.err.code, ERR_TIMEOUT);
    CHECK_STR(pair->caller.err.text, "nothing came from the other side for 25 s");
    CHECK(!pair->caller.by_remote);
}

/* A path that changes again and again makes it probe at once each time: what it did not wait for is no silence. */
TEST(who_hurries_waits_as_long)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    struct link_stream *stream;
    uint64_t place = 0, cut_at;

    CHECK(pair_up(pair));
    stream = pair_open(&pair->caller, "file", "");
    pair->wire.loss_pct = 100;
    pair_write_pattern(pair, stream, &place, 10000);
    cut_at = pair->now;
    while (pair->now < cut_at + 20 * S_NS) {
        link_hurry(pair->caller.link, pair->now);
        PAIR_UNTIL(pair, S_NS / 4, false);
    }
    CHECK_U64(pair->caller.n_down + pair->callee.n_down, 0);
    pair->wire.loss_pct = 0;
    cut_at = pair->now;
    while (pair->callee.n_ends == 0 && pair->now < cut_at + 10 * S_NS) {
        link_hurry(pair->caller.link, pair->now);
        PAIR_UNTIL(pair, S_NS / 4, pair->callee.n_ends == 1);
    }
    CHECK_U64(pair->callee.n_ends, 1);

    pair->wire.loss_pct = 100;
    cut_at = pair->now;
    link_stream_write(pair_open(&pair->caller, "file", ""), pair->now, VIEW_LIT("x"), true);
    while (!pair->caller.n_down && pair->now < cut_at + 60 * S_NS) {
        link_hurry(pair->caller.link, pair->now);
        PAIR_UNTIL(pair, S_NS / 4, false);
    }
    CHECK(pair->now - cut_at >= 24 * S_NS && pair->now - cut_at <= 27 * S_NS);
    CHECK_STR(pair->caller.err.text, "nothing came from the other side for 25 s");
}

TEST(a_caller_without_an_answer_gives_up)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS, .loss_pct = 100 } });

    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_failed));
    CHECK_U64(pair->caller.err.code, ERR_TIMEOUT);
    CHECK_U64(pair->callee.n_failed,
              0); /* it never saw a packet: its owner decides how long it waits */
}

TEST(garbage_before_and_after_the_handshake_is_ignored)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    uint8_t junk[1400];
    struct view views[] = { VIEW_ARR(junk), { junk, 0 }, { junk, 1 }, { junk, 21 } };

    for (unsigned i = 0; i < 200; i++) {
        for (size_t j = 0; j < sizeof(junk); j++)
            junk[j] = (uint8_t)(i * 7 + j * i);
        junk[0] = (uint8_t)i;
        link_input(pair->callee.link, pair->now, views, N_ELEMENTS(views));
        link_input(pair->caller.link, pair->now, views, N_ELEMENTS(views));
    }
    CHECK(pair_up(pair));
    for (unsigned i = 0; i < 200; i++) {
        junk[0] = (uint8_t)i;
        link_input(pair->callee.link, pair->now, views, N_ELEMENTS(views));
        link_input(pair->caller.link, pair->now, views, N_ELEMENTS(views));
    }
    PAIR_UNTIL(pair, S_NS, false);
    CHECK(link_is_up(pair->caller.link) && link_is_up(pair->callee.link));
}
