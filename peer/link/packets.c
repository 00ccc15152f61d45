/* SPDX-License-Identifier: Apache-2.0 */
/* The link's packets, in and out, and its timers: the only calls that make ngtcp2 read or write,
 * but for the last packet (close.c). */
#include "peer/link/inside.h"

enum { MAX_PIECES = 16 };

/* Nobody says that a path takes packets again: then this often. */
static const uint64_t retry_blocked = 5 * MS_NS;
static const uint64_t grain = MS_NS; /* of ngtcp2's timers */

/* ---- packets in ---- */

/* What callbacks noted comes before what ngtcp2 made of it. */
static void act_on(struct link *link, int rc)
{
    if (link->has_failure)
        close_by_us(link, link->failure_code, link->failure.text, &link->failure);
    else if (rc != 0)
        close_by_quic_error(link, rc);
}

void packets_input(struct link *link, struct view packet)
{
    ngtcp2_pkt_info info = { 0 };
    struct err err = { 0 };

    if (packet.len == 0)
        return;
    if (!link->conn && !quic_start_callee(link, packet, &err)) {
        if (err.code != ERR_NONE)
            close_quietly(link, &err);
        return;
    }
    link->facts.bytes_received += packet.len;
    link->facts.packets_received++;
    act_on(link, ngtcp2_conn_read_pkt(link->conn, &link->path, &info, packet.data, packet.len,
                                      link->now));
}

/* ---- packets out ---- */

size_t packets_size(const struct link *link)
{
    size_t size;

    if (link->state != LINK_OPEN)
        return LINK_MIN_PACKET; /* all paths take that, or none of QUIC */
    size = link->config.packet ? link->config.packet(link->config.user) : LINK_MAX_PACKET;
    return size < LINK_MIN_PACKET   ? LINK_MIN_PACKET
           : size < LINK_MAX_PACKET ? size
                                    : LINK_MAX_PACKET;
}

/* What probes (RFC 9002, 6.2.4) must get through also where the path takes less than before (RFC 9000, 14.4). */
static size_t size_without_datagrams(const struct link *link, size_t size)
{
    ngtcp2_conn_stat stat;

    ngtcp2_conn_get_conn_stat(link->conn, &stat);
    return stat.pto_count > 0 ? LINK_MIN_PACKET : size;
}

static bool send_made(struct link *link)
{
    struct link_out *out = link->out;
    size_t went;

    if (out->first == out->n)
        return true;
    went = link->config.send(link->config.user, out->packets + out->first, out->n - out->first);
    link->facts.packets_sent += went;
    for (size_t i = 0; i < went; i++)
        link->facts.bytes_sent += out->packets[out->first + i].len;
    out->first += went;
    link->is_blocked = out->first < out->n;
    link->blocked_until = link->now + retry_blocked;
    if (!link->is_blocked)
        out->first = out->n = 0;
    return !link->is_blocked;
}

static struct link_stream *next_sending(const struct link *link)
{
    if (ngtcp2_conn_get_max_data_left(link->conn) == 0 || !rate_has_room(link))
        return NULL;
    for (size_t i = 0; i < N_ELEMENTS(link->sending); i++) {
        if (!list_is_empty(&link->sending[i]))
            return LIST_ITEM(link->sending[i].next, struct link_stream, in_sending);
    }
    return NULL;
}

/* `stream` gave `len` bytes (and its end) to a packet: its turn is over. */
static void took(struct link_stream *stream, size_t len, bool is_end)
{
    list_remove(&stream->in_sending);
    stream->out_sent += len;
    stream->is_end_sent = stream->is_end_sent || is_end;
    if (stream->out_sent < stream->out_written || (stream->is_end_wanted && !stream->is_end_sent))
        list_append(&stream->link->sending[stream->urgency], &stream->in_sending);
    stream_look_for_room(stream);
}

/* Offers one stream's bytes to the packet under way; NULL: finishes the packet. What ngtcp2
 * returned. */
static ngtcp2_ssize offer(struct link *link, struct link_stream *stream, ngtcp2_pkt_info *info,
                          uint8_t *to, size_t size)
{
    struct view pieces[MAX_PIECES];
    ngtcp2_vec vectors[MAX_PIECES];
    size_t n = 0, offered = 0;
    ngtcp2_ssize taken = -1, rc;
    bool is_last;

    if (!stream)
        return ngtcp2_conn_writev_stream(link->conn, NULL, info, to, size, NULL,
                                         NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, link->now);
    n = chunks_pieces(&stream->out, (size_t)(stream->out_sent - stream->out_acked), pieces,
                      MAX_PIECES);
    for (size_t i = 0; i < n; i++) {
        vectors[i] = (ngtcp2_vec){ .base = unconst(pieces[i].data), .len = pieces[i].len };
        offered += pieces[i].len;
    }
    is_last = stream->is_end_wanted && stream->out_sent + offered == stream->out_written;
    rc = ngtcp2_conn_writev_stream(link->conn, NULL, info, to, size, &taken,
                                   NGTCP2_WRITE_STREAM_FLAG_MORE |
                                       (is_last ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0),
                                   stream->id, vectors, n, link->now);
    if (taken >= 0)
        took(stream, (size_t)taken, is_last && (size_t)taken == offered);
    return rc;
}

static ngtcp2_ssize write_streams(struct link *link, ngtcp2_pkt_info *info, uint8_t *to,
                                  size_t size)
{
    for (;;) {
        struct link_stream *stream = next_sending(link);
        ngtcp2_ssize rc = offer(link, stream, info, to, size);

        if (rc == NGTCP2_ERR_WRITE_MORE)
            continue;
        if (stream && rc == NGTCP2_ERR_STREAM_DATA_BLOCKED &&
            ngtcp2_conn_get_max_data_left(link->conn) == 0)
            return offer(link, NULL, info, to, size);
        if (stream && (rc == NGTCP2_ERR_STREAM_DATA_BLOCKED || rc == NGTCP2_ERR_STREAM_SHUT_WR ||
                       rc == NGTCP2_ERR_STREAM_NOT_FOUND)) {
            stream->is_blocked = rc == NGTCP2_ERR_STREAM_DATA_BLOCKED;
            list_remove(&stream->in_sending);
            continue;
        }
        return rc;
    }
}

/* Datagrams go first: they are small and in a hurry. A packet with one may have `size`. */
static ngtcp2_ssize write_packet(struct link *link, ngtcp2_pkt_info *info, uint8_t *to, size_t size,
                                 size_t size_of_streams)
{
    struct datagram *datagram = datagram_to_send(link, size);
    ngtcp2_vec vector;
    ngtcp2_ssize rc;
    int accepted = 0;

    if (!datagram)
        return write_streams(link, info, to, size_of_streams);
    vector = (ngtcp2_vec){ .base = datagram->data, .len = datagram->bytes.len };
    rc = ngtcp2_conn_writev_datagram(
        link->conn, NULL, info, to, size, &accepted, NGTCP2_WRITE_DATAGRAM_FLAG_NONE, 0, &vector,
        vector.len ? 1 : 0, link->now); /* it asserts on empty pieces */
    if (accepted)
        datagram_sent(link);
    return rc == 0 ? write_streams(link, info, to, size) : rc;
}

/* Fills the batch, up to what the pacer gives at once. How many packets there are, or ngtcp2's
 * error. */
static ngtcp2_ssize make_packets(struct link *link)
{
    struct link_out *out = link->out;
    size_t most = rate_burst(link), made = 0;
    size_t size = packets_size(link), without = size_without_datagrams(link, size);

    while (out->n < LINK_BATCH && made < most) {
        ngtcp2_pkt_info info = { 0 };
        ngtcp2_ssize len = write_packet(link, &info, out->bytes[out->n], size, without);

        if (len < 0)
            return len;
        if (len == 0)
            break;
        out->packets[out->n] = VIEW(out->bytes[out->n], (size_t)len);
        out->n++;
        made += (size_t)len;
    }
    rate_sent(link, made);
    return (ngtcp2_ssize)out->n;
}

void packets_flush(struct link *link)
{
    link->needs_flush = false;
    while (link->conn && link->state != LINK_OVER && send_made(link)) {
        ngtcp2_ssize n = make_packets(link);

        if (n < 0) {
            act_on(link, (int)n);
            return;
        }
        if (n == 0)
            return;
    }
}

/* ---- time ---- */

void packets_tick(struct link *link)
{
    if (!link->conn)
        return;
    if (ngtcp2_conn_get_expiry(link->conn) <= link->now) {
        link->ticked_at = link->now;
        act_on(link, ngtcp2_conn_handle_expiry(link->conn, link->now));
    }
    if (link->state != LINK_OVER && link->state != LINK_OPEN && link->up_by <= link->now) {
        struct err err = { 0 };

        err_set(&err, ERR_TIMEOUT, "the link was not up after %d s", LINK_UP_WITHIN_S);
        close_by_us(link, LINK_CLOSE_NORMAL, err.text, &err);
    }
}

/* ngtcp2's timers are looked at once in a millisecond (RFC 9002, 6.1.2): it would have an acknowledgement of its own for each message of an exchange that
 * takes 100 us. */
static uint64_t expiry(const struct link *link)
{
    uint64_t at = ngtcp2_conn_get_expiry(link->conn);

    return at < link->ticked_at + grain ? link->ticked_at + grain : at;
}

/* A blocked path cannot be helped by ngtcp2's pacing timer, which is then in the past: it is
 * asked again now and then. */
uint64_t packets_deadline(const struct link *link)
{
    uint64_t at;

    if (!link->conn)
        return UINT64_MAX;
    at = expiry(link);
    if (next_sending(link) && rate_paced_until(link) < at)
        at = rate_paced_until(link);
    if (link->is_blocked && at < link->blocked_until)
        at = link->blocked_until;
    if (link->state == LINK_SHAKING && link->up_by < at)
        at = link->up_by;
    return at;
}
