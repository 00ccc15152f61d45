/* SPDX-License-Identifier: Apache-2.0 */
/* The edge on libwebsockets 4.1, and what its connections need of it. Holes of that library that are closed here and in
 * ws_server.c: every plain HTTP answer closes the connection, no Upgrade but "websocket" passes, CONNECT is refused
 * (CVE-2025-11677 and its relatives), accepting stops at our own limits (at EMFILE it would spin). */
#include "rpc/ws_edge.h"

#include "base/clock.h"
#include "rpc/loop.h"
#include "rpc/ws_accept.h"
#include "rpc/ws_life.h"

#include <signal.h>

enum {
    MAX_HTTP_HEADER = 2048,
    SERVICE_BUFFER = 16 * 1024, /* one for all: a TLS record at a time */
};

/* libpeer runs on GLib's loop and does not link libuv: there these stay undefined and are not
 * called. */
#pragma weak rpc_turn_new
#pragma weak rpc_turn_free
#pragma weak rpc_turn_again
#pragma weak rpc_loop_at_end

const lws_retry_bo_t rpc_ws_liveness = { 0 };

void rpc_ws_edge_wake(struct rpc_ws *ws)
{
    if (ws->is_woken || ws->is_closing)
        return;
    ws->is_woken = true;
    lws_cancel_service(ws->context);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

struct ssl_st *rpc_ws_wire_ssl(const struct rpc_ws_conn *conn)
{
    return conn->wsi ? lws_get_ssl(conn->wsi) : NULL;
}

bool rpc_ws_is_resumed(const struct rpc_ws_conn *conn)
{
    SSL *ssl = rpc_ws_wire_ssl(conn);

    return ssl && SSL_session_reused(ssl);
}

bool rpc_ws_exporter(const struct rpc_ws_conn *conn, uint8_t ret_exporter[32])
{
    SSL *ssl = rpc_ws_wire_ssl(conn);

    return ssl && rpc_ws_tls_exporter(ssl, ret_exporter);
}

bool rpc_ws_certificate(const struct rpc_ws_conn *conn, uint8_t ret_hash[32])
{
    SSL *ssl = conn->wsi ? lws_get_ssl(conn->wsi) : NULL;

    return ssl && rpc_ws_tls_certificate(ssl, ret_hash);
}

/* ---- what connections need of the wire ------------------------------------------------------- */

/* Raw: libwebsockets would make a write, and so a TLS record, of every frame. */
bool rpc_ws_wire_write(struct rpc_ws_conn *conn, size_t from, size_t len)
{
    return lws_write(conn->wsi, conn->out.bytes.data + from, len, LWS_WRITE_RAW) >= (int)len;
}

bool rpc_ws_wire_is_stuck(struct rpc_ws_conn *conn)
{
    return lws_partial_buffered(conn->wsi);
}

void rpc_ws_wire_ask(struct rpc_ws_conn *conn)
{
    lws_callback_on_writable(conn->wsi);
}

void rpc_ws_wire_limit(struct rpc_ws_conn *conn, int secs)
{
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, secs ? secs : LWS_TO_KILL_ASYNC);
    rpc_ws_edge_wake(conn->ws);
}

bool rpc_ws_wire_has_more(struct rpc_ws_conn *conn)
{
    SSL *ssl = conn->wsi && conn->is_open ? lws_get_ssl(conn->wsi) : NULL;

    return ssl && rpc_ws_tls_has_more(ssl);
}

size_t rpc_ws_wire_peek(struct rpc_ws_conn *conn, uint8_t *to, size_t len, bool *ret_is_over)
{
    SSL *ssl = rpc_ws_wire_ssl(conn);

    *ret_is_over = !ssl;
    return ssl ? rpc_ws_tls_peek(ssl, to, len, ret_is_over) : 0;
}

bool rpc_ws_wire_take(struct rpc_ws_conn *conn, uint8_t *to, size_t len)
{
    return rpc_ws_tls_take(rpc_ws_wire_ssl(conn), to, len);
}

size_t rpc_ws_wire_unread(struct rpc_ws_conn *conn)
{
    SSL *ssl = rpc_ws_wire_ssl(conn);
    int n = ssl ? SSL_pending(ssl) : 0;

    return n > 0 ? (size_t)n : 0;
}

/* libwebsockets says it of all connections together: true is right oftener than need be. */
bool rpc_ws_wire_is_ahead(struct rpc_ws_conn *conn)
{
    return lws_service_adjust_timeout(conn->ws->context, 1, 0) == 0;
}

void rpc_ws_wire_read(struct rpc_ws_conn *conn)
{
    struct lws_pollfd readable = { lws_get_socket_fd(conn->wsi), POLLIN, POLLIN };

    lws_service_fd(conn->ws->context, &readable);
}

/* Not when it is about to close: it would do that at once, before what we have to write. */
void rpc_ws_wire_pong(struct rpc_ws_conn *conn)
{
    struct lws_pollfd writable = { lws_get_socket_fd(conn->wsi), POLLOUT, POLLOUT };

    if (lws_get_close_length(conn->wsi) <= 0)
        lws_service_fd(conn->ws->context, &writable);
}

/* libpeer's loop has no turns, and one connection that is idle most of the time. */
static void read_ahead(struct rpc_ws_conn *conn)
{
    SSL *ssl = lws_get_ssl(conn->wsi);

    if (!conn->hub->has_turns || !ssl)
        return;
    rpc_ws_tls_read_ahead(ssl,
                          &(struct rpc_ws_ahead){ rpc_ws_conn_may_read, rpc_ws_conn_came, conn });
    rpc_ws_conn_came(conn, 0); /* what came behind the handshake */
}

void rpc_ws_wire_forget(struct rpc_ws_conn *conn)
{
    SSL *ssl = lws_get_ssl(conn->wsi);

    if (ssl && conn->is_open && conn->hub->has_turns)
        rpc_ws_tls_read_ahead(ssl, NULL);
    lws_set_opaque_user_data(conn->wsi, NULL);
}

struct rpc_ws_conn *rpc_ws_edge_conn_new(struct rpc_ws *ws, const struct rpc_ws_events *events,
                                         void *user)
{
    struct rpc_ws_conn *conn = rpc_ws_conn_new(&ws->hub, events, user);

    conn->ws = ws;
    return conn;
}

static bool receive(struct rpc_ws_conn *conn, struct view piece)
{
    if (conn->hub->reading != conn)
        conn->reader.is_lost = true; /* nobody looked at it before */
    conn->came_as_text = !lws_frame_is_binary(conn->wsi);
    if (!conn->protocol->is_any && !conn->protocol->has_words &&
        conn->came_as_text != conn->protocol->is_json)
        return rpc_ws_conn_refuse_kind(conn);
    return rpc_ws_conn_receive(conn, piece, lws_remaining_packet_payload(conn->wsi),
                               lws_is_final_fragment(conn->wsi));
}

/* libwebsockets answers with what it got, when we let it: half a code is cut off, and one that RFC
 * 6455, 7.4.2 gives to nobody becomes 1002, as it does itself with the other bad ones. */
static bool peer_closes(struct rpc_ws_conn *conn, uint8_t *payload, size_t len)
{
    enum { FIRST_OF_NOBODY = 5000, PROTOCOL_ERROR = 1002 };

    if (conn->is_closing) /* it answers ours */
        return false;
    rpc_ws_conn_peer_closes(conn, VIEW(payload, len));
    if (len >= 2 && (payload[0] << 8 | payload[1]) >= FIRST_OF_NOBODY) {
        payload[0] = PROTOCOL_ERROR >> 8;
        payload[1] = PROTOCOL_ERROR & 0xff;
    }
    return len != 1;
}

int rpc_ws_edge_on_open(struct rpc_ws_conn *conn, enum lws_callback_reasons reason, void *in,
                        size_t len)
{
    switch ((int)reason) {
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return receive(conn, VIEW(in, len)) ? 0 : -1;
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        rpc_ws_conn_answered(conn, VIEW(in, len));
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return rpc_ws_conn_writable(conn) ? 0 : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return peer_closes(conn, in, len) ? 0 : -1;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
        rpc_ws_conn_lost(conn);
        return 0;
    default:
        return 0;
    }
}

int rpc_ws_edge_established(struct rpc_ws_conn *conn)
{
    read_ahead(conn);
    rpc_ws_conn_opened(conn);
    return 0;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void on_timer(lws_sorted_usec_list_t *sul)
{
    rpc_ws_timers_fire(&CONTAINER(sul, struct rpc_ws, timer)->timers);
}

static void arm_timer(void *user, uint64_t at)
{
    struct rpc_ws *ws = user;
    uint64_t now = clock_mono_ms(), wait = at > now ? at - now : 0;

    lws_sul_schedule(ws->context, 0, &ws->timer, on_timer,
                     (lws_usec_t)(min_u64(wait, DAY_MS) * 1000 + 1));
    rpc_ws_edge_wake(ws);
}

struct rpc_ws_timers *rpc_ws_timers_of(struct rpc_ws *ws)
{
    return &ws->timers;
}

/* ---- the edge itself ------------------------------------------------------------------------- */

static bool make_context(struct rpc_ws *ws, void *native, struct err *err)
{
    struct lws_context_creation_info info = { 0 };
    struct sigaction pipe_before;
    void *loops[] = { native };

    info.options = (ws->kind == RPC_WS_UV ? LWS_SERVER_OPTION_LIBUV : LWS_SERVER_OPTION_GLIB) |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.foreign_loops = loops;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.alpn = "http/1.1";
    info.server_string = "warren";
    info.max_http_header_data = MAX_HTTP_HEADER;
    info.pt_serv_buf_size = ws->kind == RPC_WS_UV ? SERVICE_BUFFER : 0;
    info.timeout_secs = RPC_WS_HANDSHAKE_SECS;
    info.retry_and_idle_policy = &rpc_ws_liveness;
    info.gid = -1;
    info.uid = -1;
    info.user = ws;
    /* On libuv the last callbacks come after rpc_ws_free(): libwebsockets frees `ws` at its very
     * end. */
    info.external_baggage_free_on_destroy = ws;
    lws_set_log_level(0, NULL);
    sigaction(SIGPIPE, NULL,
              &pipe_before); /* lws_create_context() ignores it: that is the program's decision */
    ws->context = lws_create_context(&info);
    sigaction(SIGPIPE, &pipe_before, NULL);
    if (!ws->context)
        return err_set(
            err, ERR_SYSTEM,
            "libwebsockets cannot start: is the package libwebsockets-evlib-%s installed?",
            ws->kind == RPC_WS_UV ? "uv" : "glib");
    return true;
}

static void on_tick(void *user)
{
    struct rpc_ws *ws = user;

    rpc_ws_hub_tick(&ws->hub);
    for (size_t i = 0; i < ws->n_accepts; i++)
        rpc_ws_accept_resume(ws->accepts[i]);
    rpc_ws_timer_set(ws->tick, clock_mono_ms() + RPC_WS_TICK_MS);
}

static void on_turn(void *user)
{
    struct rpc_ws *ws = user;

    if (rpc_ws_hub_read(&ws->hub))
        rpc_turn_again(ws->turn);
    rpc_ws_hub_flush(&ws->hub);
}

bool rpc_ws_new(enum rpc_ws_loop kind, void *native, struct rpc_ws **ret_ws, struct err *err)
{
    struct rpc_ws *ws = mem_new(struct rpc_ws);

    ws->kind = kind;
    ws->native = native;
    list_init(&ws->hub.opening);
    list_init(&ws->hub.conns);
    list_init(&ws->hub.dirty);
    list_init(&ws->hub.unread);
    rpc_ws_timers_init(&ws->timers, arm_timer, ws);
    if (!make_context(ws, native, err)) {
        free(ws);
        return err_wrap(err, "the WebSocket edge");
    }
    ws->tick = rpc_ws_timer_new(ws, on_tick, ws);
    ws->opening = rpc_ws_timer_new(ws, rpc_ws_server_opening, ws);
    on_tick(ws);
    ws->hub.has_turns = kind == RPC_WS_UV;
    if (kind == RPC_WS_UV)
        ws->turn = rpc_turn_new(native, on_turn, ws);
    if (!rpc_ws_client_start(ws, err)) {
        rpc_ws_free(ws);
        return err_wrap(err, "the WebSocket edge");
    }
    *ret_ws = ws;
    return true;
}

size_t rpc_ws_n_closing(struct rpc_ws *ws)
{
    struct rpc_ws_conn *conn;
    size_t n = 0;

    LIST_EACH(conn, &ws->hub.conns, node)
        n += conn->is_closing && conn->is_open && conn->wsi;
    return n;
}

static void end_conns(struct rpc_ws *ws)
{
    struct rpc_ws_conn *conn;
    struct err why;

    err_set(&why, ERR_CLOSED, "shutting down");
    LIST_EACH(conn, &ws->hub.conns, node)
        if (conn->is_open && conn->wsi)
            rpc_ws_conn_flush(conn); /* what fits: a GOODBYE */
    while (!list_is_empty(&ws->hub.conns))
        rpc_ws_conn_end(LIST_ITEM(ws->hub.conns.next, struct rpc_ws_conn, node), &why);
}

/* On libuv libwebsockets closes its handles first, and wants to be told again when that is done. */
static void finish(void *context)
{
    lws_context_destroy(context);
}

void rpc_ws_free(struct rpc_ws *ws)
{
    struct lws_context *context;
    SSL_CTX *client_ssl;

    if (!ws)
        return;
    ws->is_closing = true;
    rpc_ws_server_stop(ws);
    end_conns(ws);
    rpc_ws_timer_free(ws->tick);
    rpc_ws_timer_free(ws->opening);
    rpc_ws_timers_deinit(&ws->timers);
    lws_sul_cancel(&ws->timer);
    rpc_ws_spares_free(&ws->hub.spares);
    buf_free(&ws->hub.record);
    rpc_ws_tickets_free(&ws->hub.tickets);
    rpc_ws_names_free(ws->names);
    client_ssl = ws->client_ssl;
    context = ws->context;
    if (ws->kind == RPC_WS_UV) {
        rpc_turn_free(ws->turn);
        rpc_loop_at_end(ws->native, finish, context);
    }
    lws_context_destroy(context); /* on GLib `ws` is gone after it */
    rpc_ws_tls_free(client_ssl);
}
