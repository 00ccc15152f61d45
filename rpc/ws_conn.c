/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_conn.h"
#include "base/clock.h"
#include "rpc/ws_life.h"

#include "base/text.h"

#include <assert.h>

enum {
    TLS_RECORD = 16 * 1024,
    FIRST_EARLY = 2048,
    MAX_READS = 256,       /* TLS records, and reads of the socket, of one connection in one turn */
    MAX_RECORDS = 2048,    /* more than one read of the socket brings */
    READS_AT_ONCE = 2,     /* of the socket, for one look at what came */
    MAX_BATCH = 16 * 1024, /* a message may be longer: it is a batch of its own */
    CLOSE_SECS = 5,
    LINGER_SECS = 1, /* a close frame must not be overtaken by the reset of the socket */
    AROUND = 64,     /* a frame's header, and that of a TLS record of its own */
    CLOSE_BAD_KIND = 1003,
    CLOSE_NONE = 1005,
    CLOSE_BAD_DATA = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
};

struct rpc_ws_conn *rpc_ws_conn_new(struct rpc_ws_hub *hub, const struct rpc_ws_events *events,
                                    void *user)
{
    static const struct rpc_ws_protocol none = { .name = "" };
    struct rpc_ws_conn *conn = mem_new(struct rpc_ws_conn);

    conn->hub = hub;
    conn->protocol = &none;
    conn->events = *events;
    conn->user = user;
    list_init(&conn->opening);
    list_init(&conn->dirty);
    list_init(&conn->unread);
    if (hub->has_turns)
        conn->out.spares = &hub->spares;
    list_append(&hub->conns, &conn->node);
    return conn;
}

static void conn_free(struct rpc_ws_conn *conn)
{
    rpc_ws_dialing_free(conn->dial);
    free(conn->ticket);
    list_remove(&conn->node);
    list_remove(&conn->opening);
    list_remove(&conn->dirty);
    list_remove(&conn->unread);
    if (conn->hub->reading == conn)
        conn->hub->reading = NULL;
    if (conn->gate && conn->gate->gone && conn->has_place)
        conn->gate->gone(conn->gate->user, conn->place, conn->is_open);
    rpc_ws_in_clear(&conn->in);
    buf_free(&conn->out.bytes);
    buf_free(&conn->batch);
    free(conn->why);
    free(conn);
}

void rpc_ws_conn_set_why(struct rpc_ws_conn *conn, const struct err *why)
{
    if (!conn->why)
        conn->why = mem_dup(why, sizeof(*why));
}

void rpc_ws_conn_end(struct rpc_ws_conn *conn, const struct err *why)
{
    if (conn->wsi)
        rpc_ws_wire_forget(conn);
    conn->wsi = NULL;
    list_remove(&conn->dirty);
    if (conn->is_open || conn->dial)
        conn->events.closed(conn->user, conn, conn->why ? conn->why : why);
    conn_free(conn);
}

void rpc_ws_conn_lost(struct rpc_ws_conn *conn)
{
    struct err why;

    err_set(&why, ERR_NETWORK_FAILURE, "the connection was lost");
    rpc_ws_conn_end(conn, &why);
}

void rpc_ws_conn_opened(struct rpc_ws_conn *conn)
{
    conn->is_open = true;
    list_remove(&conn->opening);
    rpc_ws_conn_heard(conn);
    conn->events.opened(conn->user, conn);
}

/* Soon, without asking the other side; closed() comes from the loop. */
static void conn_kill(struct rpc_ws_conn *conn)
{
    conn->is_closing = true;
    list_remove(&conn->dirty);
    rpc_ws_wire_limit(conn, 0);
}

static void cut(struct rpc_ws_conn *conn, enum rpc_ws_end end, const struct err *why)
{
    if (!conn->end)
        conn->end = end;
    rpc_ws_conn_set_why(conn, why);
    conn_kill(conn);
}

uint64_t rpc_ws_hub_open_by(struct rpc_ws_hub *hub, uint64_t now)
{
    struct rpc_ws_conn *conn;

    LIST_EACH(conn, &hub->opening, opening) {
        if (conn->accepted_at + hub->connect_timeout > now)
            return conn->accepted_at + hub->connect_timeout;
        list_remove(&conn->opening);
        rpc_ws_wire_limit(conn, 0);
    }
    return NEVER_MS;
}

uint64_t rpc_ws_age(const struct rpc_ws_conn *conn)
{
    return clock_mono_ms() - conn->accepted_at;
}

const struct rpc_ws_protocol *rpc_ws_protocol(const struct rpc_ws_conn *conn)
{
    return conn->protocol;
}

void *rpc_ws_place(const struct rpc_ws_conn *conn)
{
    return conn->place;
}

enum rpc_ws_end rpc_ws_end_of(const struct rpc_ws_conn *conn)
{
    return conn->end;
}

void rpc_ws_set_user(struct rpc_ws_conn *conn, void *user)
{
    conn->user = user;
}

void *rpc_ws_user(const struct rpc_ws_conn *conn)
{
    return conn->user;
}

void rpc_ws_set_events(struct rpc_ws_conn *conn, const struct rpc_ws_events *events, void *user)
{
    conn->events = *events;
    conn->user = user;
}

bool rpc_ws_had_no_route(const struct rpc_ws_conn *conn)
{
    return conn->had_no_route;
}

uint16_t rpc_ws_close_code(const struct rpc_ws_conn *conn)
{
    return conn->close_code;
}

void rpc_ws_set_share(struct rpc_ws_conn *conn, unsigned n_reads)
{
    conn->share = n_reads;
}

void rpc_ws_set_trusted(struct rpc_ws_conn *conn)
{
    if (!conn->dial)
        conn->in.max = conn->hub->max_trusted;
}

const char *rpc_ws_address(const struct rpc_ws_conn *conn)
{
    return conn->address_text;
}

/* ---- sending --------------------------------------------------------------------------------- */

size_t rpc_ws_queued(const struct rpc_ws_conn *conn)
{
    return rpc_ws_out_waiting(&conn->out) + conn->batch.len;
}

static const uint8_t *mask_for(struct rpc_ws_conn *conn)
{
    return conn->dial ? rpc_ws_mask(&conn->hub->masks) : NULL;
}

static void put_message(struct rpc_ws_conn *conn, struct view message)
{
    rpc_ws_out_put(&conn->out, conn->protocol->is_json || conn->sends_text, message,
                   mask_for(conn));
}

/* What waits to become one message becomes it. */
static void end_batch(struct rpc_ws_conn *conn)
{
    if (conn->batch.len)
        put_message(conn, buf_view(&conn->batch));
    buf_free(&conn->batch); /* an idle connection holds no buffer */
}

static void put_in_batch(struct rpc_ws_conn *conn, struct view message)
{
    if (conn->batch.len + message.len > MAX_BATCH)
        end_batch(conn);
    rpc_batch_put(conn->protocol->batch, message, &conn->batch);
}

static void want_write(struct rpc_ws_conn *conn)
{
    if (conn->has_asked_to_write)
        return;
    conn->has_asked_to_write = true;
    rpc_ws_wire_ask(conn);
}

/* Whole frames until the socket is full: the wire puts its own control frames between two
 * writes. */
bool rpc_ws_conn_flush(struct rpc_ws_conn *conn)
{
    list_remove(&conn->dirty);
    end_batch(conn);
    while (rpc_ws_out_has_more(&conn->out) && !rpc_ws_wire_is_stuck(conn)) {
        size_t len = rpc_ws_out_next(&conn->out).len;
        if (!rpc_ws_wire_write(conn, conn->out.from, len))
            return false;
        rpc_ws_out_taken(&conn->out, len, rpc_ws_wire_is_stuck(conn));
    }
    if (rpc_ws_out_waiting(&conn->out))
        want_write(conn);
    return true;
}

/* libwebsockets answers a ping when it can write, and what we write at the turn's end would come
 * before. Where messages and pongs are looked at in their order, it gets the word first. False:
 * the connection is gone. */
static bool answers_pings(struct rpc_ws_hub *hub, struct rpc_ws_conn *conn)
{
    bool is_there;

    if (!conn->protocol->is_any || conn->is_closing)
        return true;
    hub->reading = conn;
    rpc_ws_wire_pong(conn);
    is_there = hub->reading == conn;
    hub->reading = NULL;
    return is_there;
}

void rpc_ws_hub_flush(struct rpc_ws_hub *hub)
{
    struct rpc_ws_conn *conn;

    hub->n_turns++;
    LIST_EACH(conn, &hub->dirty, dirty) {
        if (answers_pings(hub, conn) && !rpc_ws_conn_flush(conn))
            conn_kill(conn);
    }
}

bool rpc_ws_conn_writable(struct rpc_ws_conn *conn)
{
    conn->has_asked_to_write = false;
    if (!rpc_ws_wire_is_stuck(conn))
        conn->out.handed = 0;
    return rpc_ws_conn_flush(conn);
}

static void mark_dirty(struct rpc_ws_conn *conn)
{
    if (!conn->hub->has_turns)
        want_write(conn);
    else if (list_is_empty(&conn->dirty) && !conn->has_asked_to_write)
        list_append(&conn->hub->dirty, &conn->dirty);
}

/* The other side begins while the turn goes on, on another core: soon after its start, then each time with twice as
 * much, and a full TLS record gains nothing by waiting. */
static bool is_early(struct rpc_ws_conn *conn)
{
    const struct rpc_ws_hub *hub = conn->hub;

    if (conn->early_turn != hub->n_turns || !conn->early) {
        conn->early_turn = hub->n_turns;
        conn->early = hub->has_turns ? FIRST_EARLY : TLS_RECORD;
    }
    return rpc_ws_queued(conn) >= conn->early;
}

static void flush_early(struct rpc_ws_conn *conn)
{
    conn->early = min_u64(2 * conn->early, TLS_RECORD);
    if (!list_is_empty(&conn->dirty) && !rpc_ws_conn_flush(conn))
        conn_kill(conn);
}

void rpc_ws_send(struct rpc_ws_conn *conn, struct view message)
{
    struct err why;

    if (!conn->wsi || !conn->is_open || conn->is_closing)
        return;
    if (rpc_ws_queued(conn) + message.len > conn->max_queue) {
        err_set(&why, ERR_LIMIT, "too slow: more than %zu bytes would wait to be sent",
                conn->max_queue);
        cut(conn, RPC_WS_END_QUEUE, &why);
        return;
    }
    conn->n_put += message.len;
    if (conn->protocol->batch == RPC_BATCH_NONE)
        put_message(conn, message);
    else
        put_in_batch(conn, message);
    mark_dirty(conn);
    if (is_early(conn))
        flush_early(conn);
}

void rpc_ws_send_text(struct rpc_ws_conn *conn, struct view text)
{
    assert(conn->protocol->has_words);
    conn->sends_text = true;
    rpc_ws_send(conn, text);
    conn->sends_text = false;
}

bool rpc_ws_is_text(const struct rpc_ws_conn *conn)
{
    return conn->came_as_text;
}

void rpc_ws_echo(struct rpc_ws_conn *conn, struct view message)
{
    conn->sends_text = conn->came_as_text;
    rpc_ws_send(conn, message);
}

/* Our own close frame behind what is queued: libwebsockets on libuv cuts the connection without
 * sending its one. The other side answers and closes; it has `secs` for that. */
static void say_close(struct rpc_ws_conn *conn, uint16_t code, const char *reason, int secs)
{
    conn->is_closing = true;
    end_batch(conn);
    rpc_ws_frame_put_close(&conn->out.bytes, code, reason, mask_for(conn));
    rpc_ws_wire_limit(conn, secs);
    mark_dirty(conn);
}

void rpc_ws_close(struct rpc_ws_conn *conn, uint16_t code, const char *reason)
{
    struct err why;

    if (conn->is_closing)
        return;
    err_set(&why, ERR_CLOSED, "closed here: %s", reason);
    rpc_ws_conn_set_why(conn, &why);
    if (conn->wsi && conn->is_open)
        say_close(conn, code, reason, CLOSE_SECS);
    else if (conn->wsi)
        conn_kill(conn);
    else /* a dial that has not begun: it will look */
        conn->is_closing = true;
    if (!conn->wsi && conn->dial)
        rpc_ws_dialing_look(conn);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Told, and then gone: nothing more is taken from it. */
static void dismiss(struct rpc_ws_conn *conn, enum rpc_ws_end end, uint16_t code,
                    const char *reason)
{
    struct err why;

    if (!conn->end)
        conn->end = end;
    err_set(&why,
            code == CLOSE_TOO_BIG  ? ERR_TOO_LARGE
            : code == CLOSE_POLICY ? ERR_LIMIT
                                   : ERR_BAD_WIRE,
            "closed here: %s", reason);
    rpc_ws_conn_set_why(conn, &why);
    say_close(conn, code, reason, LINGER_SECS);
    rpc_ws_in_clear(&conn->in);
}

/* Pings, empty fragments and whatever TLS has beside data: libwebsockets tells nobody of them. */
static void check_control(struct rpc_ws_conn *conn)
{
    size_t most = conn->hub->max_control;

    if (conn->is_open && !conn->is_closing && conn->gate && most &&
        conn->n_came > conn->n_used + most)
        dismiss(conn, RPC_WS_END_CONTROL, CLOSE_POLICY, "too many control frames");
}

static void want_read(struct rpc_ws_conn *conn)
{
    if (list_is_empty(&conn->unread))
        list_append(&conn->hub->unread, &conn->unread);
}

void rpc_ws_conn_came(void *user, size_t n)
{
    struct rpc_ws_conn *conn = user;

    rpc_ws_conn_heard(conn);
    conn->n_came += n;
    if (n)
        check_control(conn);
    if (conn->hub->reading != conn)
        want_read(conn);
}

bool rpc_ws_conn_may_read(void *user)
{
    struct rpc_ws_conn *conn = user;
    struct rpc_ws_hub *hub = conn->hub;

    if (hub->reading == conn && hub->n_reads && hub->n_at_once) {
        hub->n_reads--;
        hub->n_at_once--;
        return true;
    }
    want_read(conn); /* at the turn's end, all of it */
    return false;
}

/* ---- signs of life --------------------------------------------------------------------------- */

void rpc_ws_conn_heard(struct rpc_ws_conn *conn)
{
    conn->heard_at = conn->hub->n_ticks;
}

static void ping(struct rpc_ws_conn *conn, struct view payload)
{
    rpc_ws_frame_put_ping(&conn->out.bytes, payload, mask_for(conn));
    mark_dirty(conn);
}

void rpc_ws_ask(struct rpc_ws_conn *conn, uint64_t number)
{
    _buf_ payload = { 0 };

    if (!conn->is_open || conn->is_closing)
        return;
    buf_put_u64(&payload, number);
    ping(conn, buf_view(&payload));
}

void rpc_ws_conn_answered(struct rpc_ws_conn *conn, struct view payload)
{
    uint64_t number;

    rpc_ws_conn_heard(conn);
    if (view_take_u64(&payload, &number) && !payload.len && !conn->is_closing &&
        conn->events.answered)
        conn->events.answered(conn->user, conn, number);
}

static void cut_silent(struct rpc_ws_conn *conn)
{
    struct err why;

    err_set(&why, ERR_NETWORK_FAILURE, "the other side is silent");
    cut(conn, RPC_WS_END_SILENT, &why);
}

/* What waits now has to be gone before long, however much comes behind it. */
static bool is_stuck(struct rpc_ws_conn *conn, uint64_t now)
{
    uint64_t n_waiting = rpc_ws_queued(conn), n_gone;

    n_gone = conn->n_put > n_waiting ? conn->n_put - n_waiting : 0;
    if (n_waiting == 0) {
        conn->mark = 0;
    } else if (!conn->mark || n_gone >= conn->mark) {
        conn->mark = conn->n_put;
        conn->mark_at = now;
    }
    return conn->mark && now - conn->mark_at >= conn->hub->stall_ticks - 1;
}

/* A tick is lost at either end: what is asked for is the longest that it can come to. */
static void look_for_stalls(struct rpc_ws_conn *conn, uint64_t now)
{
    struct err why;

    conn->n_came = conn->n_used = 0;
    if (!conn->gate || conn->hub->stall_ticks < 2)
        return;
    if (conn->in.held.len && now - conn->began_at >= conn->hub->stall_ticks) {
        dismiss(conn, RPC_WS_END_STALLED, CLOSE_POLICY, "a message that does not come to its end");
    } else if (is_stuck(conn, now)) {
        err_set(&why, ERR_LIMIT, "too slow: what was sent to it waits for too long");
        cut(conn, RPC_WS_END_READER, &why);
    }
}

void rpc_ws_hub_tick(struct rpc_ws_hub *hub)
{
    struct rpc_ws_conn *conn;

    hub->n_ticks++;
    LIST_EACH(conn, &hub->conns, node) {
        enum rpc_ws_life life = rpc_ws_life_look(hub->n_ticks, conn->heard_at);
        if (!conn->is_open || conn->is_closing || !conn->wsi)
            continue;
        if (life == RPC_WS_LIFE_DEAD)
            cut_silent(conn);
        else if (life == RPC_WS_LIFE_ASK)
            ping(conn,
                 VIEW_LIT("?")); /* an answer without a byte is not told where TLS ends before us */
        if (!conn->is_closing)
            look_for_stalls(conn, hub->n_ticks);
    }
}

static bool refuse(struct rpc_ws_conn *conn, enum rpc_ws_end end, uint16_t code, const char *reason)
{
    dismiss(conn, end, code, reason);
    return rpc_ws_conn_flush(conn);
}

bool rpc_ws_conn_refuse_kind(struct rpc_ws_conn *conn)
{
    return conn->is_closing ||
           refuse(conn, RPC_WS_END_KIND, CLOSE_BAD_KIND,
                  conn->protocol->is_json ? "a binary message" : "a text message");
}

/* A batch is looked at whole before any of it is told. */
static bool tell(struct rpc_ws_conn *conn, struct view whole)
{
    enum rpc_batch kind = conn->protocol->batch;
    struct view message = whole;
    struct err why;

    if (kind == RPC_BATCH_NONE) {
        conn->events.message(conn->user, conn, whole);
        return true;
    }
    if (!rpc_batch_check(kind, whole, &why))
        return refuse(conn, RPC_WS_END_BATCH, CLOSE_BAD_DATA, why.text);
    while (!conn->is_closing && rpc_batch_next(kind, &whole, &message))
        conn->events.message(conn->user, conn, message);
    return true;
}

/* libwebsockets looks for the end of a character in the last piece alone: not in an empty one. */
static bool ends_well(const struct rpc_ws_conn *conn, struct view last, struct view whole)
{
    return !conn->came_as_text || last.len || text_is_utf8(whole);
}

bool rpc_ws_conn_receive(struct rpc_ws_conn *conn, struct view piece, size_t left, bool is_final)
{
    struct view whole;
    bool is_alive = true;

    rpc_ws_conn_heard(conn);
    if (conn->is_closing)
        return true;
    conn->n_used += piece.len + AROUND;
    if (!conn->in.held.len)
        conn->began_at = conn->hub->n_ticks;
    switch (rpc_ws_in_take(&conn->in, piece, left, is_final, &whole)) {
    case RPC_WS_PIECE:
        break;
    case RPC_WS_WHOLE:
        is_alive = ends_well(conn, piece, whole) ? tell(conn, whole)
                                                 : refuse(conn, RPC_WS_END_KIND, CLOSE_BAD_DATA,
                                                          "text ends within a character");
        rpc_ws_in_clear(&conn->in);
        break;
    case RPC_WS_TOO_LARGE:
        return refuse(conn, RPC_WS_END_MESSAGE, CLOSE_TOO_BIG, "a message over the limit");
    case RPC_WS_TOO_MANY:
        return refuse(conn, RPC_WS_END_FRAGMENTS, CLOSE_POLICY, "a message in too many fragments");
    }
    return is_alive;
}

void rpc_ws_conn_peer_closes(struct rpc_ws_conn *conn, struct view payload)
{
    uint16_t code = CLOSE_NONE;
    struct err why;

    view_take_u16(&payload, &code);
    conn->close_code = code;
    err_set(&why, ERR_CLOSED, "the other side closed: %u %.*s", code, VIEW_FMT(payload));
    rpc_ws_conn_set_why(conn, &why);
    conn->is_closing = true; /* RFC 6455, 5.5.1: nothing may follow the answer */
}

/* ---- reading ahead --------------------------------------------------------------------------- */

/* Whole binary messages, past libwebsockets. */
static void take_run(struct rpc_ws_conn *conn, size_t len)
{
    struct rpc_ws_hub *hub = conn->hub;
    struct view message;
    size_t at = 0;

    if (!rpc_ws_wire_take(conn, hub->record.data, len)) {
        conn_kill(conn);
        return;
    }
    while (hub->reading && rpc_ws_reader_take(hub->record.data, len, &at, &message)) {
        conn->came_as_text = false;
        if (!rpc_ws_conn_receive(conn, message, 0, true) && hub->reading)
            conn_kill(conn);
    }
}

/* All else, a record at a time: fragments, text, control frames, what is wrong, the end. */
static void pass_on(struct rpc_ws_conn *conn, struct view record)
{
    struct rpc_ws_hub *hub = conn->hub; /* `conn` may be gone after the read */

    rpc_ws_reader_pass(&conn->reader, record);
    rpc_ws_wire_read(conn);
    if (hub->reading && conn->is_open && rpc_ws_wire_unread(conn))
        conn->reader.is_lost = true; /* it did not take what we saw */
}

/* False: there is no more. */
static bool read_record(struct rpc_ws_conn *conn)
{
    uint8_t *to = conn->hub->record.data;
    bool is_over;
    size_t len, run;

    conn->hub->n_at_once = READS_AT_ONCE;
    if (conn->protocol->is_json) {
        rpc_ws_wire_read(conn);
        return true;
    }
    if (!conn->was_read && rpc_ws_wire_is_ahead(conn))
        conn->reader.is_lost = true; /* what came with the handshake is to be told first */
    conn->was_read = true;
    len = rpc_ws_wire_peek(conn, to, TLS_RECORD, &is_over);
    run = rpc_ws_reader_run(&conn->reader, VIEW(to, len), !conn->dial);
    if (run)
        take_run(conn, run);
    else if (len)
        pass_on(conn, VIEW(to, len));
    else if (is_over)
        rpc_ws_wire_read(conn); /* it sees that itself */
    return len > 0;
}

/* The socket is not readable any more for what TLS has read ahead: nobody else would come for it, and were it left
 * there, libwebsockets would take it unseen when the socket has more. Who used up its share of this turn reads no more
 * of the socket, and stays in the list. */
static bool read_out(struct rpc_ws_hub *hub, struct rpc_ws_conn *conn)
{
    hub->reading = conn;
    hub->n_reads = conn->share ? conn->share : MAX_READS;
    for (unsigned i = 0; i < MAX_RECORDS && hub->reading; i++) {
        if (!read_record(conn) || !hub->reading || !rpc_ws_wire_has_more(conn))
            return false;
        if (hub->n_reads)
            hub->n_reads--;
    }
    return hub->reading != NULL;
}

bool rpc_ws_hub_read(struct rpc_ws_hub *hub)
{
    struct rpc_ws_conn *conn;
    struct list now;

    if (!hub->record.data)
        buf_grow(&hub->record, TLS_RECORD);
    list_init(&now);
    while (!list_is_empty(&hub->unread)) {
        struct list *first = hub->unread.next;
        list_remove(first);
        list_append(&now, first);
    }
    while (!list_is_empty(&now)) {
        conn = LIST_ITEM(now.next, struct rpc_ws_conn, unread);
        list_remove(&conn->unread);
        if (read_out(hub, conn))
            rpc_ws_conn_came(conn, 0);
    }
    hub->reading = NULL;
    return !list_is_empty(&hub->unread);
}
