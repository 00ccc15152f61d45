/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: what they hold for sending and for reading, their credit, their events. PROTOCOL.md,
 * section 3. */
#include "peer/link/inside.h"

enum { CREDIT_AT_ONCE = 128 << 10 }; /* a quarter of what ngtcp2 waits for before it says so */

struct link_stream *stream_new(struct link *link, int64_t id)
{
    struct link_stream *stream = mem_new(struct link_stream);

    stream->link = link;
    stream->id = id;
    list_init(&stream->in_streams);
    list_init(&stream->in_sending);
    stream->urgency = id == 0 ? 0 : LINK_URGENCY; /* the control stream is */
    list_init(&stream->in_ready);
    return stream;
}

static bool is_remote(const struct link_stream *stream)
{
    return (stream->id & 1) == (stream->link->config.is_caller ? 1 : 0); /* RFC 9000, 2.1 */
}

/* Gives the other side credit for `n` bytes that nobody holds any more. */
static void give_credit(struct link_stream *stream, size_t n)
{
    struct link *link = stream->link;

    if (n == 0 || link->state == LINK_OVER)
        return;
    if (!stream->is_quic_closed)
        ngtcp2_conn_extend_max_stream_offset(link->conn, stream->id, n);
    ngtcp2_conn_extend_max_offset(link->conn, n);
    link->needs_flush = true;
}

static void discard_input(struct link_stream *stream)
{
    give_credit(stream, stream->in.len);
    chunks_free(&stream->in);
}

/* As many as are gone here and given by the owner, whichever comes last. */
static void give_streams(struct link *link)
{
    while (link->n_kept_given < link->n_kept_gone && link->n_kept_given < link->n_kept_done) {
        link->n_kept_given++;
        ngtcp2_conn_extend_max_streams_bidi(link->conn, 1);
        link->needs_flush = true;
    }
}

/* The other side may open another one only when this one's memory is gone, not already when QUIC
 * is done with it. */
static void give_stream_of(struct link_stream *stream)
{
    if (stream->link->state == LINK_OVER || !is_remote(stream))
        return;
    if (!stream->is_credit_kept) {
        ngtcp2_conn_extend_max_streams_bidi(stream->link->conn, 1);
        stream->link->needs_flush = true;
        return;
    }
    stream->link->n_kept_gone++;
    give_streams(stream->link);
}

void stream_free(struct link_stream *stream)
{
    if (!stream)
        return;
    discard_input(stream);
    give_stream_of(stream);
    if (stream->link->conn && !stream->is_quic_closed)
        ngtcp2_conn_set_stream_user_data(stream->link->conn, stream->id, NULL);
    list_remove(&stream->in_streams);
    list_remove(&stream->in_sending);
    list_remove(&stream->in_ready);
    stream->link->n_unacked -= stream->out.len;
    chunks_free(&stream->out);
    buf_free(&stream->header);
    free(stream);
}

static void raise_event(struct link_stream *stream, unsigned event)
{
    stream->events |= event;
    if (list_is_empty(&stream->in_ready))
        list_append(&stream->link->ready, &stream->in_ready);
}

/* Both directions done, in QUIC and for our reader: the handle may go. One that the application
 * never saw goes at once. */
static void settle(struct link_stream *stream)
{
    if (!stream->is_quic_closed || !stream->is_in_done)
        return;
    if (stream->is_announced)
        raise_event(stream, STREAM_EV_CLOSED);
    else
        stream_free(stream);
}

/* ---- sending ---- */

static void want_sending(struct link_stream *stream)
{
    bool has_more =
        stream->out_sent < stream->out_written || (stream->is_end_wanted && !stream->is_end_sent);

    if (has_more && !stream->is_blocked && !stream->is_out_dead &&
        list_is_empty(&stream->in_sending))
        list_append(&stream->link->sending[stream->urgency], &stream->in_sending);
}

void stream_put(struct link_stream *stream, struct view bytes)
{
    chunks_put(&stream->out, bytes);
    stream->link->n_unacked += bytes.len;
    stream->out_written += bytes.len;
    want_sending(stream);
    stream->link->needs_flush = true;
}

void stream_unblocked(struct link_stream *stream)
{
    stream->is_blocked = false;
    want_sending(stream);
}

/* How much more it may hold. What is under way is held besides, as long as that is not too much of the whole link. */
static size_t room_of(const struct link_stream *stream)
{
    size_t held = stream->link->n_unacked < LINK_MOST_UNACKED
                      ? (size_t)(stream->out_written - stream->out_sent)
                      : stream->out.len;

    return held < LINK_MAX_UNACKED ? LINK_MAX_UNACKED - held : 0;
}

void stream_look_for_room(struct link_stream *stream)
{
    if (!stream->wants_room || room_of(stream) < LINK_ROOM_AGAIN)
        return;
    stream->wants_room = false;
    raise_event(stream, STREAM_EV_WRITABLE);
}

void stream_acked(struct link_stream *stream, uint64_t until)
{
    size_t before = stream->out.len;

    if (until <= stream->out_acked)
        return;
    chunks_drop(&stream->out, (size_t)(until - stream->out_acked));
    stream->link->n_unacked -= before - stream->out.len;
    stream->out_acked = until;
    stream_look_for_room(stream);
}

size_t link_stream_write(struct link_stream *stream, uint64_t now_ns, struct view bytes,
                         bool is_end)
{
    struct link *link = stream->link;
    size_t room, n;

    if (link->state == LINK_OVER || stream->is_out_dead || stream->is_end_wanted)
        return 0;
    room = room_of(stream);
    n = bytes.len < room ? bytes.len : room;
    link->now = now_ns + link->ahead;
    stream_put(stream, view_sub(bytes, 0, n));
    stream->wants_room = n < bytes.len;
    if (is_end && n == bytes.len) {
        stream->is_end_wanted = true;
        want_sending(stream);
    }
    packets_flush(link);
    return n;
}

/* ---- receiving ---- */

static void shut(struct link_stream *stream, uint64_t code)
{
    if (!stream->is_quic_closed && stream->link->state != LINK_OVER)
        ngtcp2_conn_shutdown_stream(stream->link->conn, stream->id, code);
    stream->is_out_dead = stream->is_in_done = true;
    stream->is_blocked = stream->wants_room = false;
    list_remove(&stream->in_sending);
    discard_input(stream);
    stream->link->needs_flush = true;
}

static void announce(struct link_stream *stream, struct view cap, struct view arg)
{
    buf_put(&stream->header, cap);
    buf_put(&stream->header, arg);
    stream->cap = view_sub(buf_view(&stream->header), 0, cap.len);
    stream->arg = view_sub(buf_view(&stream->header), cap.len, arg.len);
    stream->is_announced = true;
    raise_event(stream, STREAM_EV_OPENED);
}

static void header_failed(struct link_stream *stream, struct err *err)
{
    link_note_failure(stream->link, LINK_CLOSE_PROTOCOL, err);
}

/* A stream that the other side opened shows itself once its header is complete and its
 * capability allowed. */
void stream_look_at_header(struct link_stream *stream)
{
    struct link *link = stream->link;
    uint8_t bytes[HEADER_MAX];
    struct view cap, arg;
    size_t len = chunks_peek(&stream->in, bytes, sizeof(bytes)), used = 0;
    struct err err = { 0 };

    switch (header_read(VIEW(bytes, len), &cap, &arg, &used, &err)) {
    case HEADER_MORE:
        if (stream->has_end) {
            err_set(&err, ERR_BAD_WIRE, "stream header: the stream ends in it");
            header_failed(stream, &err);
        }
        return;
    case HEADER_BAD:
        header_failed(stream, &err);
        return;
    case HEADER_DONE:
        break;
    }
    if (!link->config.may_open(link->config.user, false, cap)) {
        shut(stream, LINK_CLOSE_CAPABILITY);
        return;
    }
    announce(stream, cap, arg);
    chunks_drop(&stream->in, used);
    give_credit(stream, used);
    if (stream->in.len || stream->has_end)
        raise_event(stream, STREAM_EV_READABLE);
}

void stream_received(struct link_stream *stream, struct view bytes, bool is_end)
{
    if (stream->is_in_done) {
        give_credit(stream, bytes.len);
        return;
    }
    chunks_put(&stream->in, bytes);
    stream->has_end = stream->has_end || is_end;
    if (stream->is_announced)
        raise_event(stream, STREAM_EV_READABLE);
    else if (stream->link->state == LINK_OPEN)
        stream_look_at_header(stream);
}

/* Credit is worth a packet of its own when there is much; less goes along with what is sent next. Otherwise each small message would be acknowledged apart
 * from its answer. */
static void credit_read(struct link_stream *stream, size_t n)
{
    struct link *link = stream->link;
    bool needed_flush = link->needs_flush;

    give_credit(stream, n);
    link->n_credit += n;
    if (link->n_credit < CREDIT_AT_ONCE)
        link->needs_flush = needed_flush;
    else
        link->n_credit = 0;
}

size_t link_stream_read(struct link_stream *stream, uint64_t now_ns, void *to, size_t size,
                        bool *ret_end)
{
    struct link *link = stream->link;
    size_t n = chunks_peek(&stream->in, to, size);

    chunks_drop(&stream->in, n);
    *ret_end = stream->in.len == 0 && stream->has_end;
    credit_read(stream, n);
    if (*ret_end && !stream->is_in_done) {
        stream->is_in_done = true;
        settle(stream);
    }
    if (link->state != LINK_OVER && link->needs_flush) {
        link->now = now_ns + link->ahead;
        packets_flush(link);
    }
    return n;
}

void link_stream_keep_credit(struct link_stream *stream)
{
    stream->is_credit_kept = true;
}

void link_give_stream(struct link *link, uint64_t now_ns)
{
    if (link->state == LINK_OVER)
        return;
    link->now = now_ns + link->ahead;
    link->n_kept_done++;
    give_streams(link);
    packets_flush(link);
}

/* ---- the end ---- */

/* A reset by the other side ends both directions. */
void stream_was_reset(struct link_stream *stream, uint64_t code)
{
    bool is_news = !stream->is_out_dead;

    shut(stream, code);
    if (!is_news || !stream->is_announced)
        return;
    stream->reset_code = code;
    stream->events &= ~(unsigned)(STREAM_EV_READABLE | STREAM_EV_WRITABLE);
    raise_event(stream, STREAM_EV_RESET);
}

/* ngtcp2 answers STOP_SENDING by itself and tells nobody: it shows here, as a stream that closes
 * with our bytes unsent. */
void stream_was_closed(struct link_stream *stream, uint64_t code)
{
    bool was_stopped = !stream->is_end_sent || stream->out.len > 0;

    stream->is_quic_closed = true;
    list_remove(&stream->in_sending);
    if (was_stopped)
        stream_was_reset(stream, code);
    settle(stream);
}

void link_stream_reset(struct link_stream *stream, uint64_t now_ns, uint64_t code)
{
    struct link *link = stream->link;

    if (link->state == LINK_OVER)
        return;
    code = code < LINK_MAX_CODE ? code : LINK_MAX_CODE; /* ngtcp2 aborts on more */
    link->now = now_ns + link->ahead;
    stream->events &= ~(unsigned)(STREAM_EV_READABLE | STREAM_EV_WRITABLE);
    shut(stream, code);
    settle(stream);
    packets_flush(link);
}

/* ---- the door ---- */

bool link_stream_open(struct link *link, uint64_t now_ns, struct view cap, struct view arg,
                      struct link_stream **ret_stream, struct err *err)
{
    struct link_stream *stream;
    _buf_ header = { 0 };
    int rc;

    if (link->state != LINK_OPEN)
        return err_set(err, ERR_CLOSED, "the link is not up");
    if (!header_cap_is_ok(cap) || arg.len > LINK_MAX_ARG)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "capability not 1 to 64 printable characters, or argument over 1024");
    if (!link->config.may_open(link->config.user, true, cap))
        return err_set(err, ERR_CAPABILITY, "this session does not include \"%.*s\"",
                       VIEW_FMT(cap));
    stream = stream_new(link, -1);
    rc = ngtcp2_conn_open_bidi_stream(link->conn, &stream->id, stream);
    if (rc != 0) {
        stream->is_quic_closed = true;
        stream->id = link->config.is_caller ? 0 : 1; /* ours, so that freeing gives no credit */
        stream_free(stream);
        return err_set(err, ERR_LIMIT, "the other side takes no more streams now: %s",
                       ngtcp2_strerror(rc));
    }
    link->now = now_ns + link->ahead;
    stream->is_announced = true;
    list_append(&link->streams, &stream->in_streams);
    header_write(&header, cap, arg);
    stream_put(stream, buf_view(&header));
    *ret_stream = stream;
    packets_flush(link);
    return true;
}

void link_stream_set_urgency(struct link_stream *stream, unsigned urgency)
{
    stream->urgency = urgency < LINK_URGENCIES ? urgency : LINK_URGENCIES - 1;
    list_remove(&stream->in_sending);
    want_sending(stream);
}

uint64_t link_stream_id(const struct link_stream *stream)
{
    return (uint64_t)stream->id;
}

void link_stream_set_user(struct link_stream *stream, void *user)
{
    stream->user = user;
}

void *link_stream_user(const struct link_stream *stream)
{
    return stream->user;
}

/* ---- events ---- */

static const struct {
    unsigned bit;
    enum link_event_type type;
} told_in_order[] = {
    { STREAM_EV_OPENED, LINK_STREAM_OPENED },     { STREAM_EV_READABLE, LINK_STREAM_READABLE },
    { STREAM_EV_WRITABLE, LINK_STREAM_WRITABLE }, { STREAM_EV_RESET, LINK_STREAM_RESET },
    { STREAM_EV_CLOSED, LINK_STREAM_CLOSED },
};

/* Takes the first event that waits off the stream; false when it is void by now (already read). */
static bool take_event(struct link_stream *stream, struct link_event *ret)
{
    size_t i = 0;

    while (!(stream->events & told_in_order[i].bit))
        i++;
    stream->events &= ~told_in_order[i].bit;
    if (told_in_order[i].type == LINK_STREAM_READABLE &&
        (stream->is_in_done || (stream->in.len == 0 && !stream->has_end)))
        return false;
    *ret = (struct link_event){
        .type = told_in_order[i].type,
        .stream = stream,
        .cap = stream->cap,
        .arg = stream->arg,
        .code = stream->reset_code,
    };
    return true;
}

bool stream_next_event(struct link *link, struct link_event *ret)
{
    while (!list_is_empty(&link->ready)) {
        struct link_stream *stream = LIST_ITEM(link->ready.next, struct link_stream, in_ready);
        bool is_told;

        list_remove(&stream->in_ready);
        is_told = stream->events && take_event(stream, ret);
        if (stream->events)
            list_append(&link->ready, &stream->in_ready);
        if (!is_told)
            continue;
        if (ret->type == LINK_STREAM_CLOSED)
            link->gone = stream;
        return true;
    }
    return false;
}
