/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, at random, against a model of them: opened from both ends, written to, ended, reset, their readers stopped and let go again,
 * datagrams between, over wires good and bad. The caller's are echoed; the callee's go one way. What was written is what is read, byte by
 * byte; what was ended comes back whole and ends once; and when all is over nothing is left. Seeded: a failure names its seed. */
#include "tests/unit/link/pair.h"

#include <stdlib.h>

enum { N_SEEDS = 12, N_STEPS = 400, MAX_OPEN = 90, MOST = 300 * 1024 };

struct model_stream {
    struct pair_end *by;
    int64_t id;
    uint64_t written;
    bool has_end, is_reset;
};

struct model {
    struct pair *pair;
    uint64_t seed;
    struct model_stream streams[N_STEPS];
    size_t n;
};

static unsigned dice(struct model *m, unsigned sides)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->seed >> 33) % sides;
}

static struct link_stream *handle_of(const struct model_stream *s)
{
    struct link_stream *stream;

    LIST_EACH(stream, &s->by->link->streams, in_streams) {
        if (stream->id == s->id)
            return stream;
    }
    return NULL; /* it is over */
}

static size_t n_open(const struct model *m, const struct pair_end *by)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++)
        n += m->streams[i].by == by && handle_of(&m->streams[i]) != NULL;
    return n;
}

static void open_one(struct model *m)
{
    struct pair_end *by = dice(m, 3) ? &m->pair->caller : &m->pair->callee;

    if (m->n == N_STEPS || n_open(m, by) >= MAX_OPEN)
        return;
    m->streams[m->n++] = (struct model_stream){
        .by = by,
        .id = (int64_t)link_stream_id(pair_open(by, "chat", "")),
    };
}

static void write_some(struct model *m, struct model_stream *s, bool is_end)
{
    struct link_stream *stream = handle_of(s);
    size_t n = dice(m, dice(m, 4) ? 3000 : 70000), took;
    uint8_t *bytes;

    if (!stream || s->has_end || s->is_reset || s->written + n > MOST)
        return;
    bytes = mem_resize(NULL, n, 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern_byte(s->written + i);
    took = link_stream_write(stream, m->pair->now, VIEW(bytes, n), is_end);
    free(bytes);
    s->written += took;
    s->has_end = is_end && took == n;
}

/* Not before the other end has seen it: ngtcp2 0.12 answers a RESET_STREAM that overtakes the stream's first bytes with nothing, and its opener
 * keeps the stream until the link ends. */
static void reset(struct model *m, struct model_stream *s)
{
    struct link_stream *stream = handle_of(s);

    if (!stream || s->is_reset || stream->out_acked == 0)
        return;
    link_stream_reset(stream, m->pair->now, dice(m, 1000));
    s->is_reset = true;
}

static void stop_or_go(struct pair_end *end)
{
    end->is_not_reading = !end->is_not_reading;
    if (!end->is_not_reading)
        read_again(end);
}

static void one_step(struct model *m)
{
    struct pair *pair = m->pair;
    struct model_stream *s = m->n ? &m->streams[dice(m, (unsigned)m->n)] : NULL;
    uint64_t until = pair->now + dice(m, 20) * MS_NS;
    uint8_t datagram[1000] = { 0 };
    struct err err;

    switch (s ? dice(m, 12) : 0) {
    case 0:
    case 1:
        open_one(m);
        break;
    case 2:
        write_some(m, s, true);
        break;
    case 3:
        if (dice(m, 4) == 0)
            reset(m, s);
        break;
    case 4:
        stop_or_go(dice(m, 2) ? &pair->caller : &pair->callee);
        break;
    case 5:
        link_datagram_send(pair->caller.link, pair->now, VIEW(datagram, dice(m, 1000)), &err);
        break;
    case 6:
        if (handle_of(s))
            link_stream_set_urgency(handle_of(s), dice(m, 9));
        break;
    default:
        write_some(m, s, false);
    }
    while (pair->now < until && pair_step(pair, until))
        ;
}

/* All is ended, and read. */
static void wind_up(struct model *m)
{
    struct pair *pair = m->pair;

    for (size_t i = 0; i < m->n; i++) {
        struct model_stream *s = &m->streams[i];
        CHECK(PAIR_UNTIL(pair, 60 * S_NS, !handle_of(s) || handle_of(s)->out_acked > 0));
        if (s->by == &pair->callee)
            reset(m, s); /* nobody ends the other direction of it */
    }
    pair->caller.is_not_reading = pair->callee.is_not_reading = false;
    read_again(&pair->caller);
    read_again(&pair->callee);
    for (size_t i = 0; i < m->n; i++) {
        struct model_stream *s = &m->streams[i];
        while (!s->has_end && !s->is_reset && handle_of(s)) {
            s->has_end = link_stream_write(handle_of(s), pair->now, (struct view){ 0 }, true) == 0;
        }
    }
}

static bool all_are_gone(const struct pair *pair)
{
    return list_is_empty(&pair->caller.link->streams) && list_is_empty(&pair->callee.link->streams);
}

static void check_against(struct model *m, unsigned seed)
{
    struct pair *pair = m->pair;
    uint64_t whole = 0, most = 0, n_ends = 0;
    bool ok;

    for (size_t i = 0; i < m->n; i++) {
        const struct model_stream *s = &m->streams[i];
        most += s->written; /* the caller reads its echoes, and what the callee says */
        if (s->by != &pair->caller)
            continue;
        whole += s->is_reset ? 0 : s->written;
        n_ends += !s->is_reset;
    }
    ok = CHECK(!pair->caller.is_garbled && !pair->callee.is_garbled);
    ok = CHECK(pair->caller.n_bytes >= whole && pair->caller.n_bytes <= most) && ok;
    ok = CHECK(pair->caller.n_ends >= n_ends && pair->caller.n_ends <= m->n) && ok;
    ok = CHECK(all_are_gone(pair)) && ok;
    ok = CHECK(pair->caller.n_closed >= n_ends) && ok;
    ok = CHECK_U64(pair->caller.link->n_unacked, pair->caller.link->control->out.len) && ok;
    ok = CHECK_U64(pair->callee.link->n_unacked, pair->callee.link->control->out.len) && ok;
    ok = CHECK(link_is_up(pair->caller.link) && link_is_up(pair->callee.link)) && ok;
    if (!ok)
        check_failed(__FILE__, __LINE__,
                     "seed %u: %zu streams; %llu bytes came back, of %llu to %llu", seed, m->n,
                     (unsigned long long)pair->caller.n_bytes, (unsigned long long)whole,
                     (unsigned long long)most);
}

static void run(struct pair_wire wire, unsigned seed)
{
    struct pair_options options = { .wire = wire, .seed = seed };
    _cleanup_(pair_freep) struct pair *pair = NULL;
    struct model *m = mem_new(struct model);

    options.wire.delay_ns = 5 * MS_NS;
    pair = m->pair = pair_new(&options);
    m->seed = seed;
    CHECK(pair_up(pair));
    pair->callee.echoes = true;
    for (unsigned i = 0; i < N_STEPS; i++)
        one_step(m);
    wind_up(m);
    CHECK(PAIR_UNTIL(pair, 120 * S_NS, all_are_gone(pair)));
    check_against(m, seed);
    free(m);
}

TEST(random_streams_over_a_good_wire)
{
    for (unsigned seed = 1; seed <= N_SEEDS; seed++)
        run((struct pair_wire){ 0 }, seed);
}

TEST(random_streams_over_a_bad_wire)
{
    for (unsigned seed = 101; seed <= 100 + N_SEEDS; seed++)
        run((struct pair_wire){ .loss_pct = 5, .twice_pct = 5, .late_pct = 10 }, seed);
}

TEST(random_streams_over_a_wire_that_takes_little)
{
    for (unsigned seed = 201; seed <= 200 + N_SEEDS; seed++)
        run((struct pair_wire){ .takes = 3, .mtu = 1300 }, seed);
}
