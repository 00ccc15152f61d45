/* SPDX-License-Identifier: Apache-2.0 */
/* What a link leaves to others at a bottleneck, and what it gets where it is alone. */
#include "tests/unit/link/pair.h"

enum { RATE = 50 * 1000 * 1000 / 8 };
static const struct pair_wire narrow = { .delay_ns = 25 * MS_NS, .bytes_per_s = RATE };
static const struct tls_profile cubic = { .alpn = "warren-link/1",
                                          .has_chain = true,
                                          .is_cubic = true };

struct flow {
    struct pair *pair;
    struct link_stream *stream;
    uint64_t place, before;
};

static void flow_start(struct flow *flow, const struct pair_wire *wire,
                       const struct tls_profile *profile, struct pair *beside)
{
    const struct pair_options options = { .wire = *wire,
                                          .caller.profile = profile,
                                          .callee.profile = profile };

    *flow = (struct flow){ .pair = pair_new(&options) };
    CHECK(pair_up(flow->pair));
    flow->pair->beside = beside;
    flow->stream = pair_open(&flow->pair->caller, "file", "");
}

static void flow_go(struct flow *flow, uint64_t until)
{
    while (flow->pair->now < until) {
        pair_write_pattern(flow->pair, flow->stream, &flow->place, UINT64_C(1) << 40);
        if (!pair_step(flow->pair, until))
            return;
    }
}

static double flow_rate(struct flow *flow, double seconds) /* Mbit/s since it was asked last */
{
    double rate = (double)(flow->pair->callee.n_bytes - flow->before) * 8 / 1e6 / seconds;

    flow->before = flow->pair->callee.n_bytes;
    return rate;
}

static void go_together(struct flow *a, struct flow *b, uint64_t from, unsigned seconds)
{
    for (uint64_t t = from; t < from + seconds * S_NS; t += MS_NS / 10) {
        flow_go(a, t);
        flow_go(b, t);
    }
}

TEST(a_link_alone_fills_a_bottleneck)
{
    struct flow ours;

    flow_start(&ours, &narrow, NULL, NULL);
    flow_go(&ours, ours.pair->now + 5 * S_NS);
    flow_rate(&ours, 5);
    flow_go(&ours, ours.pair->now + 6 * S_NS);
    CHECK(flow_rate(&ours, 6) > 40);
    CHECK(!ours.pair->callee.is_garbled);
    pair_free(ours.pair);
}

/* As BBR by itself never leaves it: it would have a twentieth. */
TEST(who_is_beside_it_gets_a_share)
{
    struct flow ours, theirs;
    double mine, others;
    uint64_t from;

    flow_start(&ours, &narrow, NULL, NULL);
    flow_start(&theirs, &narrow, &cubic, ours.pair);
    from = theirs.pair->now > ours.pair->now ? theirs.pair->now : ours.pair->now;
    go_together(&ours, &theirs, from, 5);
    flow_rate(&ours, 5);
    flow_rate(&theirs, 5);
    go_together(&ours, &theirs, from + 5 * S_NS, 10);
    mine = flow_rate(&ours, 10);
    others = flow_rate(&theirs, 10);
    if (!CHECK(mine > 10 && others > 15 && mine + others > 40))
        check_failed(__FILE__, __LINE__, "ours %.1f Mbit/s, the other %.1f", mine, others);
    pair_free(ours.pair);
    pair_free(theirs.pair);
}

/* One in a hundred is lost, and nothing queues: no reason to send less. */
TEST(a_loss_without_a_queue_is_no_congestion)
{
    static const struct pair_wire lossy = { .delay_ns = 25 * MS_NS, .loss_pct = 1 };
    struct flow ours;

    flow_start(&ours, &lossy, NULL, NULL);
    flow_go(&ours, ours.pair->now + S_NS);
    flow_rate(&ours, 1);
    flow_go(&ours, ours.pair->now + S_NS);
    CHECK(flow_rate(&ours, 1) > 100);
    pair_free(ours.pair);
}

/* Messages that each wait for the one before: none is held back for its pace. */
TEST(an_exchange_of_small_messages_takes_a_round_trip_each)
{
    enum { TIMES = 500, SIZE = 64 };
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 50000 } });
    uint8_t bytes[SIZE];
    struct link_stream *stream;
    uint64_t from;

    CHECK(pair_up(pair));
    pair->callee.echoes = true;
    PAIR_UNTIL(pair, S_NS, false);
    stream = pair_open(&pair->caller, "echo", "");
    from = pair->now;
    for (uint64_t place = 0; place < TIMES * SIZE;) {
        for (size_t i = 0; i < SIZE; i++)
            bytes[i] = pattern_byte(place + i);
        place += link_stream_write(stream, pair->now, VIEW_ARR(bytes), false);
        if (!CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_bytes >= place)))
            return;
    }
    CHECK(pair->now - from < TIMES * 101000);
    CHECK(!pair->caller.is_garbled);
}
