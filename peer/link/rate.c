/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a link sends: its pace, and how much may be under way where others share a queue with it.
 *
 * Pace. ngtcp2 0.12 makes bursts of up to 64 KiB and lets each go a millisecond early, so that above 500 Mbit/s nothing is paced at all, and at 50 Mbit/s a
 * fifth of a short queue comes at once. Here a burst is what the rate gives in a millisecond, or two packets; one that is smaller is not paced:
 * no timer for a keystroke.
 *
 * Bound. BBR keeps two round trips' worth under way whatever it loses; a queue shorter than that is full of it for ever, and TCP beside it starves. So a
 * loss while packets stood in a queue is an answer here, as it is to CUBIC (RFC 9438): less may be under way, and more
 * again by its curve. A loss without a queue is no congestion: BBR goes on. */
#include "peer/link/inside.h"

#include <math.h>

static const uint64_t burst = MS_NS, most_credit = 8 * MS_NS; /* a timer that comes late */
static const uint64_t early = MS_NS; /* what ngtcp2 allows a packet that is paced */
static const uint64_t rtt_window = 10 * S_NS;
static const uint64_t least_queue = 5 * MS_NS, most_queue = 25 * MS_NS;
/* RFC 9438, 4.6 and 5: beta, C. Its beta is 0.7: who is paced meets fewer losses than TCP in bursts beside it, and would keep two thirds. */
static const double cut = 0.6, curve = 0.4;
enum { LEAST_PACKETS = 4, PACED_PACKETS = 2, LEAST_SAMPLES = 4 };

/* ---- pace ---- */

void rate_init(struct rate *rate)
{
    *rate = (struct rate){ .bound = UINT64_MAX };
}

/* Bytes a nanosecond: a window's worth in a round trip, and a quarter more (RFC 9002, 7.7). */
static double per_round(uint64_t window, const ngtcp2_conn_stat *stat)
{
    return 1.25 * (double)window / (double)(stat->smoothed_rtt ? stat->smoothed_rtt : 1);
}

static double quic_pace(const ngtcp2_conn_stat *stat)
{
    return stat->pacing_rate > 0 ? stat->pacing_rate : per_round(stat->cwnd, stat);
}

static double pace_of(const struct link *link, const ngtcp2_conn_stat *stat)
{
    double pace = quic_pace(stat), bounded;

    if (link->rate.bound == UINT64_MAX)
        return pace;
    bounded = per_round(link->rate.bound, stat);
    return bounded < pace ? bounded : pace;
}

static size_t burst_of(const struct link *link, const ngtcp2_conn_stat *stat)
{
    double bytes;

    if (link->profile->is_cubic)
        return stat->send_quantum;
    bytes = pace_of(link, stat) * (double)burst;
    if (bytes < PACED_PACKETS * (double)stat->max_tx_udp_payload_size)
        return PACED_PACKETS * stat->max_tx_udp_payload_size;
    return bytes < 1e9 ? (size_t)bytes : 1000000000;
}

size_t rate_burst(const struct link *link)
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    return burst_of(link, &stat);
}

void rate_sent(struct link *link, size_t n)
{
    struct rate *rate = &link->rate;
    ngtcp2_conn_stat stat;
    uint64_t from;

    if (link->profile->is_cubic) {
        ngtcp2_conn_update_pkt_tx_time(link->conn, link->now);
        return;
    }
    rate->n_unpaced += n;
    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    if (rate->n_unpaced < burst_of(link, &stat))
        return;
    from = link->now - most_credit;
    from = rate->paced_until > from ? rate->paced_until : from;
    rate->paced_until = from + (uint64_t)((double)rate->n_unpaced / pace_of(link, &stat));
    ngtcp2_conn_update_pkt_tx_time(link->conn,
                                   rate->paced_until + early -
                                       (uint64_t)((double)rate->n_unpaced / quic_pace(&stat)));
    rate->n_unpaced = 0;
}

uint64_t rate_paced_until(const struct link *link)
{
    return link->rate.paced_until > link->now ? link->rate.paced_until : UINT64_MAX;
}

/* ---- bound ---- */

/* The least round trip of the last ten to twenty seconds: what the path takes without a queue. */
static uint64_t least_rtt(struct rate *rate, uint64_t rtt, uint64_t now)
{
    if (now - rate->least_since >= rtt_window || rate->least_since == 0) {
        rate->least_before = rate->least_since ? rate->least : rtt;
        rate->least = rtt;
        rate->least_since = now;
    }
    rate->least = rtt < rate->least ? rtt : rate->least;
    return rate->least < rate->least_before ? rate->least : rate->least_before;
}

/* The least of a round trip, this one or the one before: a single late one is no queue. */
static uint64_t standing_rtt(struct rate *rate, const ngtcp2_conn_stat *stat, uint64_t now)
{
    if (now - rate->round_since >= stat->smoothed_rtt) {
        rate->round_before = rate->n_round >= LEAST_SAMPLES ? rate->round : 0;
        rate->round = stat->latest_rtt;
        rate->round_since = now;
        rate->n_round = 0;
    }
    rate->n_round++;
    rate->round = stat->latest_rtt < rate->round ? stat->latest_rtt : rate->round;
    return rate->n_round >= LEAST_SAMPLES && rate->round > rate->round_before ? rate->round
                                                                              : rate->round_before;
}

static bool is_queued(uint64_t rtt, uint64_t least)
{
    uint64_t limit = least / 8;

    limit = limit < least_queue ? least_queue : limit > most_queue ? most_queue : limit;
    return rtt > least + limit;
}

/* `flying` bytes were more than there is room for. */
static void cut_down(struct rate *rate, uint64_t flying, size_t packet, uint64_t now)
{
    uint64_t top = flying < rate->bound ? flying : rate->bound;

    rate->top = top < rate->top ? (uint64_t)((double)top * (1 + cut) / 2) : top;
    rate->bound = (uint64_t)((double)top * cut);
    if (rate->bound < LEAST_PACKETS * packet)
        rate->bound = LEAST_PACKETS * packet;
    rate->started = rate->bound;
    rate->cut_at = now;
}

/* RFC 9438, 4.2 and 4.3: where the curve is, or what Reno would have by now. */
static uint64_t on_curve(const struct rate *rate, size_t packet, uint64_t rtt, uint64_t now)
{
    double top = (double)rate->top / (double)packet, from = (double)rate->started / (double)packet;
    double t = (double)(now - rate->cut_at) / 1e9;
    double k = top > from ? cbrt((top - from) / curve) : 0;
    double cubic = curve * (t - k) * (t - k) * (t - k) + (top > from ? top : from);
    double reno = from + 3 * (1 - cut) / (1 + cut) * t * 1e9 / (double)(rtt ? rtt : 1);

    return (uint64_t)((cubic > reno ? cubic : reno) * (double)packet);
}

static void grow(struct rate *rate, const ngtcp2_conn_stat *stat, uint64_t acked, bool has_queue,
                 uint64_t now)
{
    uint64_t to = on_curve(rate, stat->max_tx_udp_payload_size, stat->smoothed_rtt, now);

    if (!has_queue)
        rate->bound += acked / 8; /* nobody else wants it */
    if (to > rate->bound)
        rate->bound = to;
    if (rate->bound > 2 * stat->cwnd)
        rate->bound = UINT64_MAX; /* it bounds nothing */
}

void rate_heard(struct link *link, uint64_t flying_before)
{
    struct rate *rate = &link->rate;
    ngtcp2_conn_stat stat;
    bool has_queue, has_lost;

    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    if (stat.latest_rtt == 0 || link->profile->is_cubic)
        return;
    has_queue = is_queued(standing_rtt(rate, &stat, link->now),
                          least_rtt(rate, stat.latest_rtt, link->now));
    has_lost = stat.congestion_recovery_start_ts != UINT64_MAX &&
               stat.congestion_recovery_start_ts != rate->recovery;
    rate->recovery = stat.congestion_recovery_start_ts;
    if (has_lost && has_queue)
        cut_down(rate, flying_before, stat.max_tx_udp_payload_size, link->now);
    else if (rate->bound != UINT64_MAX && stat.bytes_in_flight < flying_before)
        grow(rate, &stat, flying_before - stat.bytes_in_flight, has_queue, link->now);
}

bool rate_has_room(const struct link *link)
{
    ngtcp2_conn_stat stat;

    if (link->rate.bound == UINT64_MAX)
        return true;
    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    return stat.bytes_in_flight < link->rate.bound;
}

uint64_t rate_flying(const struct link *link)
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    return stat.bytes_in_flight;
}
