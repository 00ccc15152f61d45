/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/link/pair.h"

static struct pair *pair_ready(struct pair_options options)
{
    struct pair *pair;

    options.wire.delay_ns = 5 * MS_NS;
    pair = pair_new(&options);
    CHECK(pair_up(pair));
    return pair;
}

TEST(capability_and_argument_arrive)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    char longest[LINK_MAX_ARG + 1] = "";

    pair_open(&pair->caller, "chat", "hello");
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == 1));
    CHECK_VIEW(buf_view(&pair->callee.cap), VIEW_LIT("chat"));
    CHECK_VIEW(buf_view(&pair->callee.arg), VIEW_LIT("hello"));

    memset(longest, 'x', LINK_MAX_ARG);
    pair_open(&pair->callee, "call:app", longest);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_opened == 1));
    CHECK_U64(pair->caller.arg.len, LINK_MAX_ARG);
}

TEST(each_direction_ends_by_itself)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream = pair_open(&pair->caller, "chat", "");
    uint64_t place = 0;

    pair_write_pattern(pair, stream, &place, 1000);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_ends == 1));
    CHECK_U64(pair->callee.n_closed, 0);
    CHECK_U64(link_stream_write(stream, pair->now, VIEW_LIT("late"), false),
              0); /* its end was given */

    place = 0;
    pair_write_pattern(pair, pair->callee.last, &place, 5000);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_ends == 1));
    CHECK_U64(pair->caller.n_bytes, 5000);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_closed == 1 && pair->callee.n_closed == 1));
    CHECK(!pair->caller.is_garbled && !pair->callee.is_garbled);
}

TEST(an_empty_stream_is_one)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ .callee = { 0 } });
    struct link_stream *stream = pair_open(&pair->caller, "c", "");

    pair->callee.echoes = true;
    CHECK_U64(link_stream_write(stream, pair->now, (struct view){ 0 }, true), 0);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_closed == 1 && pair->callee.n_closed == 1));
    CHECK_U64(pair->caller.n_ends, 1);
    CHECK_U64(pair->callee.n_ends, 1);
}

TEST(many_streams_at_once_in_both_directions)
{
    enum { N = 100, SIZE = 20000 };
    _cleanup_(pair_freep) struct pair *pair =
        pair_ready((struct pair_options){ .wire = { .loss_pct = 2, .late_pct = 2 } });
    struct pair_end *ends[] = { &pair->caller, &pair->callee };

    for (size_t i = 0; i < N; i++)
        for (size_t side = 0; side < 2; side++) {
            struct link_stream *stream = pair_open(ends[side], "file", "");
            uint64_t place = 0;

            pair_write_pattern(pair, stream, &place, SIZE);
            CHECK_U64(place, SIZE);
        }
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_ends == N && pair->callee.n_ends == N));
    CHECK_U64(pair->caller.n_bytes, N * SIZE);
    CHECK_U64(pair->callee.n_bytes, N * SIZE);
    CHECK(!pair->caller.is_garbled && !pair->callee.is_garbled);
}

static uint64_t lost(const struct pair *pair)
{
    struct link_facts facts;

    link_facts(pair->caller.link, &facts);
    return facts.packets_lost;
}

TEST(what_is_lost_is_counted)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream = pair_open(&pair->caller, "file", "");
    uint64_t place = 0, of_streams;
    struct err err = { 0 };

    pair_write_pattern(pair, stream, &place, 300000);
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->callee.n_ends == 1));
    CHECK_U64(lost(pair), 0);

    pair->wire.loss_pct = 5;
    stream = pair_open(&pair->caller, "file", "");
    place = 0;
    pair_write_pattern(pair, stream, &place, 300000);
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->callee.n_ends == 2));
    of_streams = lost(pair);
    CHECK(of_streams > 0);
    pair_write_pattern(pair, pair->callee.last, &(uint64_t){ 0 }, 1000);
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_closed == 1)); /* what it lost counts still */
    CHECK(lost(pair) >= of_streams);

    of_streams = lost(pair);
    for (int i = 0; i < 200; i++)
        CHECK_OK(link_datagram_send(pair->caller.link, pair->now, VIEW_LIT("datagram"), &err), err);
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, lost(pair) > of_streams));
}

TEST(streams_are_limited_and_the_limit_moves_on)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *first = pair_open(&pair->caller, "c", ""), *stream;
    struct err err = { 0 };

    pair->callee.echoes = true;
    for (size_t i = 1; i < LINK_MAX_STREAMS; i++)
        pair_open(&pair->caller, "c", "");
    CHECK_ERR(link_stream_open(pair->caller.link, pair->now, VIEW_LIT("c"), (struct view){ 0 },
                               &stream, &err),
              err, ERR_LIMIT);
    link_stream_write(first, pair->now, VIEW_LIT(""), true);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_closed == 1 && pair->callee.n_closed == 1));
    PAIR_UNTIL(pair, S_NS, false);
    CHECK_OK(link_stream_open(pair->caller.link, pair->now, VIEW_LIT("c"), (struct view){ 0 },
                              &stream, &err),
             err);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == LINK_MAX_STREAMS + 1));
}

TEST(streams_come_and_go_without_end)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });

    pair->callee.echoes = true;
    for (unsigned i = 0; i < 1000; i++) {
        struct link_stream *stream = pair_open(&pair->caller, "c", "");

        if (!stream)
            return;
        link_stream_write(stream, pair->now, VIEW((uint8_t[]){ pattern_byte(0) }, 1), true);
        if (!CHECK(PAIR_UNTIL(pair, S_NS,
                              pair->caller.n_closed == i + 1 && pair->callee.n_closed == i + 1)))
            return;
    }
    CHECK(list_is_empty(&pair->caller.link->streams) || pair->caller.link->gone);
}

/* An owner whose application is slow to hear of streams that came and went must not be made to hold more and more. */
TEST(a_stream_that_is_gone_makes_room_once_the_owner_says_so)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream;
    struct err err = { 0 };
    unsigned n = 0;

    pair->callee.keeps_credit = true;
    for (; n < 2 * LINK_MAX_STREAMS; n++) {
        if (!link_stream_open(pair->caller.link, pair->now, VIEW_LIT("chat"), VIEW_LIT(""), &stream,
                              &err))
            break;
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_opened == n + 1));
        link_stream_reset(stream, pair->now, 0);
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_closed == n + 1));
        PAIR_UNTIL(pair, S_NS / 10, false);
    }
    CHECK_U64(n, LINK_MAX_STREAMS);
    CHECK_U64(err.code, ERR_LIMIT);

    link_give_stream(pair->callee.link, pair->now);
    PAIR_UNTIL(pair, S_NS / 2, false);
    CHECK_OK(link_stream_open(pair->caller.link, pair->now, VIEW_LIT("chat"), VIEW_LIT(""), &stream,
                              &err),
             err);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_opened == n + 1));
    /* The owner's word alone is not enough: these are not gone. */
    for (unsigned i = 0; i < 2 * LINK_MAX_STREAMS; i++)
        link_give_stream(pair->callee.link, pair->now);
    PAIR_UNTIL(pair, S_NS / 2, false);
    for (unsigned i = 1; i < LINK_MAX_STREAMS; i++)
        pair_open(&pair->caller, "chat", "");
    CHECK_ERR(link_stream_open(pair->caller.link, pair->now, VIEW_LIT("chat"), VIEW_LIT(""),
                               &stream, &err),
              err, ERR_LIMIT);
}

TEST(a_reader_that_stops_stops_its_writer_alone)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *slow = pair_open(&pair->caller, "slow", ""), *other;
    uint64_t place = 0, slow_place = 0, before;
    unsigned n_writable;

    pair->callee.is_not_reading = true;
    for (unsigned i = 0; i < 3000; i++) {
        pair_write_pattern(pair, slow, &slow_place, 64 << 20);
        pair_step(pair, pair->now + 10 * MS_NS);
    }
    /* The other side's first window, and what waits here. */
    CHECK(slow_place >= LINK_MAX_UNACKED && slow_place <= (1 << 20) + LINK_MAX_UNACKED + 4096);
    CHECK(pair->callee.last->in.len <= 1 << 20);
    before = slow_place;

    pair->callee.is_not_reading = false;
    other = pair_open(&pair->caller, "other", "");
    pair_write_pattern(pair, other, &place, 100000);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_ends == 1));
    CHECK_U64(pair->callee.n_bytes, 100000);

    /* The reader wakes up: the writer is told, and all of it arrives. */
    n_writable = pair->caller.n_writable;
    read_again(&pair->callee);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_writable == n_writable + 1));
    for (unsigned i = 0; i < 100000 && pair->callee.n_ends < 2; i++) {
        pair_write_pattern(pair, slow, &slow_place, before + (4 << 20));
        pair_step(pair, pair->now + 10 * MS_NS);
    }
    CHECK_U64(pair->callee.n_bytes, 100000 + before + (4 << 20));
    CHECK(!pair->callee.is_garbled);
}

TEST(a_reset_ends_both_directions_and_says_its_code)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream = pair_open(&pair->caller, "chat", "");
    uint64_t place = 0;

    pair_write_pattern(pair, stream, &place, 3 << 20);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == 1));
    link_stream_reset(stream, pair->now, 0x77);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_closed == 1 && pair->caller.n_closed == 1));
    CHECK_U64(pair->callee.n_resets, 1);
    CHECK_U64(pair->callee.reset_code, 0x77);
    CHECK_U64(pair->caller.n_resets, 0);
    CHECK(link_is_up(pair->caller.link) && link_is_up(pair->callee.link));

    stream = pair_open(&pair->caller, "chat", "");
    place = 0;
    pair_write_pattern(pair, stream, &place, 3 << 20);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == 2));
    link_stream_reset(pair->callee.last, pair->now, 0x78);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_closed == 2 && pair->caller.n_closed == 2));
    CHECK_U64(pair->caller.n_resets, 1);
    CHECK_U64(pair->caller.reset_code, 0x78);
}

TEST(a_reader_that_had_its_say_can_still_refuse_the_rest)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream = pair_open(&pair->caller, "chat", "");
    uint64_t place = 0;

    pair->callee.is_not_reading = true;
    pair_write_pattern(pair, stream, &place, 8 << 20);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == 1));
    link_stream_write(pair->callee.last, pair->now, (struct view){ 0 }, true);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_ends == 1));
    link_stream_reset(pair->callee.last, pair->now,
                      5); /* STOP_SENDING alone: its own direction has ended */
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_closed == 1 && pair->callee.n_closed == 1));
    CHECK_U64(pair->caller.n_resets, 1);
    CHECK_U64(pair->caller.reset_code, 5);
}

TEST(resets_do_not_eat_the_connections_credit)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream;
    uint64_t place;

    pair->callee.is_not_reading = true;
    for (unsigned i = 0; i < 60;
         i++) { /* 60 MiB in all, unread: over twice the connection's window */
        place = 0;
        stream = pair_open(&pair->caller, "chat", "");
        pair_write_pattern(pair, stream, &place, 1 << 20);
        PAIR_UNTIL(pair, S_NS / 4, false);
        link_stream_reset(stream, pair->now, 1);
        if (!CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_closed == i + 1)))
            return;
    }
    pair->callee.is_not_reading = false;
    stream = pair_open(&pair->caller, "chat", "");
    place = 0;
    pair_write_pattern(pair, stream, &place, 1000000);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_ends == 1));
}

TEST(a_capability_outside_the_session_is_refused_on_both_sides)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_ready((struct pair_options){ .callee = { .no_cap = "file" } });
    struct link_stream *stream = NULL;
    struct err err = { 0 };
    uint64_t place = 0;

    stream = pair_open(&pair->caller, "file", "/etc/passwd");
    pair_write_pattern(pair, stream, &place, 100000);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_closed == 1));
    CHECK_U64(pair->caller.n_resets, 1);
    CHECK_U64(pair->caller.reset_code, LINK_CLOSE_CAPABILITY);
    CHECK_U64(pair->callee.n_opened, 0);
    CHECK_U64(pair->callee.n_closed, 0);
    CHECK(list_is_empty(&pair->callee.link->streams));

    CHECK_ERR(link_stream_open(pair->callee.link, pair->now, VIEW_LIT("file"), (struct view){ 0 },
                               &stream, &err),
              err, ERR_CAPABILITY);
    CHECK_STR(err.text, "this session does not include \"file\"");
    CHECK(link_is_up(pair->caller.link) && link_is_up(pair->callee.link));
}

TEST(bad_arguments_of_open_are_refused)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    char big[LINK_MAX_ARG + 2] = "";
    const struct {
        struct view cap, arg;
    } cases[] = {
        { VIEW_LIT(""), VIEW_LIT("") },
        { VIEW_LIT("a b"), VIEW_LIT("") },
        { VIEW_LIT("a\n"), VIEW_LIT("") },
        { VIEW(big, LINK_MAX_CAP + 1), VIEW_LIT("") },
        { VIEW_LIT("a"), VIEW(big, LINK_MAX_ARG + 1) },
    };
    struct link_stream *stream;
    struct err err;

    memset(big, 'x', sizeof(big));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK_ERR(link_stream_open(pair->caller.link, pair->now, cases[i].cap, cases[i].arg,
                                   &stream, &err),
                  err, ERR_INVALID_ARGUMENT);
}

/* Speaks below the header: what a lying peer could send. */
static void check_bad_header(struct view bytes, bool is_end, const char *why)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link *link = pair->caller.link;
    struct link_stream *stream = stream_new(link, -1);

    CHECK(ngtcp2_conn_open_bidi_stream(link->conn, &stream->id, stream) == 0);
    list_append(&link->streams, &stream->in_streams);
    stream->is_announced = true;
    link_stream_write(stream, pair->now, bytes, is_end);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_down && pair->callee.n_down));
    CHECK_STR(pair->callee.err.text, why);
    CHECK_U64(pair->callee.err.code, ERR_BAD_WIRE);
    CHECK_U64(pair->caller.code, LINK_CLOSE_PROTOCOL);
    CHECK(pair->caller.by_remote);
    CHECK_U64(pair->callee.n_opened, 0);
}

TEST(a_bad_stream_header_breaks_the_protocol)
{
    static const uint8_t long_cap[] = { 65 }, no_cap[] = { 0, 0, 0 }, bad_char[] = { 1, ' ', 0, 0 },
                         long_arg[] = { 1, 'c', 4, 1 }, cut[] = { 4, 'c', 'h' };

    check_bad_header(VIEW_ARR(no_cap), false, "stream header: capability not 1 to 64 bytes");
    check_bad_header(VIEW_ARR(long_cap), false, "stream header: capability not 1 to 64 bytes");
    check_bad_header(VIEW_ARR(bad_char), false, "stream header: capability not printable ASCII");
    check_bad_header(VIEW_ARR(long_arg), false, "stream header: argument over 1024 bytes");
    check_bad_header(VIEW_ARR(cut), true, "stream header: the stream ends in it");
    check_bad_header(VIEW_LIT(""), true, "stream header: the stream ends in it");
}

TEST(datagrams_arrive_or_do_not)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    uint8_t bytes[2000] = { 1, 2, 3 };
    struct err err = { 0 };
    size_t max;

    PAIR_UNTIL(pair, 3 * S_NS, false); /* until the path is measured */
    max = link_datagram_max(pair->caller.link);
    CHECK(max >= 1160 && max < LINK_MAX_PACKET);
    CHECK_OK(link_datagram_send(pair->caller.link, pair->now, VIEW(bytes, max), &err), err);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_datagrams == 1));
    CHECK_VIEW(buf_view(&pair->callee.datagram), VIEW(bytes, max));
    CHECK_OK(link_datagram_send(pair->callee.link, pair->now, VIEW(bytes, 0), &err), err);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_datagrams == 1));
    CHECK_ERR(link_datagram_send(pair->caller.link, pair->now, VIEW(bytes, max + 1), &err), err,
              ERR_TOO_LARGE);

    /* More than the congestion window lets out: the queue is full, loses its oldest, and drains. */
    for (unsigned i = 0; i < 2000; i++) {
        memcpy(bytes, &i, sizeof(i));
        CHECK_OK(link_datagram_send(pair->caller.link, pair->now, VIEW(bytes, 1000), &err), err);
    }
    CHECK_U64(pair->caller.link->datagrams_out.n, LINK_MAX_DATAGRAMS);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.link->datagrams_out.n == 0));
    CHECK(PAIR_UNTIL(pair, S_NS, view_eq(buf_view(&pair->callee.datagram), VIEW(bytes, 1000))));
    CHECK(pair->callee.n_datagrams > 100 && pair->callee.n_datagrams < 2000);
    datagram_received(pair->callee.link, VIEW(bytes, LINK_MAX_PACKET + 1));
    CHECK_U64(pair->callee.link->datagrams_in.n, 0);
}

TEST(datagrams_pass_a_stream_that_is_full)
{
    _cleanup_(pair_freep) struct pair *pair = pair_ready((struct pair_options){ 0 });
    struct link_stream *stream = pair_open(&pair->caller, "chat", "");
    struct err err = { 0 };
    uint64_t place = 0;

    pair->callee.is_not_reading = true;
    pair_write_pattern(pair, stream, &place, 8 << 20);
    CHECK_OK(link_datagram_send(pair->caller.link, pair->now, VIEW_LIT("ping"), &err), err);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_datagrams == 1));
}

static void write_some(struct pair *pair, struct link_stream **streams, uint64_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pair_write_pattern(pair, streams[i], &places[i], 1 << 20);
}

/* How much all others brought over until a stream of that urgency had its 100 000 bytes over. */
static uint64_t others_meanwhile(unsigned urgency)
{
    enum { N = 30, SIZE = 100000 };
    _cleanup_(pair_freep) struct pair *pair =
        pair_ready((struct pair_options){ .wire = { .bytes_per_s = 50000000 / 8 } });
    struct link_stream *streams[N], *one;
    uint64_t places[N] = { 0 }, place = 0, before;

    for (size_t i = 0; i < N; i++)
        streams[i] = pair_open(&pair->caller, "bulk", "");
    write_some(pair, streams, places, N);
    CHECK(PAIR_UNTIL(pair, 10 * S_NS, pair->callee.n_bytes > 1 << 20));
    one = pair_open(&pair->caller, "input", "");
    link_stream_set_urgency(one, urgency);
    before = pair->callee.n_bytes;
    pair_write_pattern(pair, one, &place, SIZE);
    CHECK_U64(place, SIZE);
    CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->callee.n_ends == 1));
    CHECK(!pair->callee.is_garbled);
    return pair->callee.n_bytes - before - SIZE;
}

TEST(an_urgent_stream_goes_before_the_others)
{
    uint64_t urgent = others_meanwhile(0), alike = others_meanwhile(LINK_URGENCY);

    CHECK(urgent < 1 << 20);
    CHECK(alike > 2 * urgent);
}

TEST(what_is_least_urgent_waits_for_all_others_and_arrives)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_ready((struct pair_options){ .wire = { .bytes_per_s = 50000000 / 8 } });
    struct link_stream *bulk = pair_open(&pair->caller, "bulk", ""),
                       *last = pair_open(&pair->caller, "last", "");
    uint64_t places[2] = { 0 };

    link_stream_set_urgency(last, 99); /* as 7 */
    pair_write_pattern(pair, bulk, &places[0], 1 << 19);
    pair_write_pattern(pair, last, &places[1], 1000);
    CHECK(PAIR_UNTIL(pair, 10 * S_NS, pair->callee.n_ends == 1));
    CHECK(pair->callee.n_bytes >= 1 << 19);
    CHECK(PAIR_UNTIL(pair, 10 * S_NS, pair->callee.n_ends == 2));
    CHECK_U64(pair->callee.n_bytes, (1 << 19) + 1000);
    CHECK(!pair->callee.is_garbled);
}
