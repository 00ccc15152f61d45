/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that knows libwebsockets 4.1. Holes of that library that are closed here: every
 * plain HTTP answer closes the connection, no Upgrade but "websocket" passes, CONNECT is refused
 * (CVE-2025-11677 and its relatives), accepting stops at our own limits (at EMFILE it would
 * spin). */
#include "rpc/ws.h"

#include "base/clock.h"
#include "rpc/loop.h"
#include "rpc/ws_accept.h"
#include "rpc/ws_address.h"
#include "rpc/ws_bind.h"
#include "rpc/ws_conn.h"
#include "rpc/ws_life.h"
#include "rpc/ws_timer.h"
#include "rpc/ws_tls.h"
#include "rpc/ws_verdict.h"

#include <assert.h>
#include <libwebsockets.h>
#include <signal.h>
#include <unistd.h>

enum {
    HANDSHAKE_SECS = 10,
    RX_SERVER = 1024,
    RX_CLIENT = 4096, /* what one idle connection's read buffer costs */
    TX_LIMIT = 2 * 1024 * 1024,
    MAX_HTTP_HEADER = 2048,
    SERVICE_BUFFER = 16 * 1024, /* one for all: a TLS record at a time */
    MAX_CLIENT_QUEUE = 16 * 1024 * 1024,
    MAX_PROTOCOLS = 8,
};

/* libpeer runs on GLib's loop and does not link libuv: there these stay undefined and are not
 * called. */
#pragma weak rpc_turn_new
#pragma weak rpc_turn_free
#pragma weak rpc_turn_again
#pragma weak rpc_loop_at_end

struct rpc_ws {
    struct rpc_ws_hub hub;
    struct lws_context *context;
    enum rpc_ws_loop kind;
    void *native;
    bool is_closing, is_woken;
    struct rpc_turn *turn; /* on libuv: what was queued leaves at the end of the turn */
    struct rpc_ws_timers timers;
    struct rpc_ws_timer *tick, *opening;
    lws_sorted_usec_list_t timer; /* theirs */

    struct lws_vhost *server;
    struct lws_protocols server_protocols[2 + MAX_PROTOCOLS]; /* HTTP first, an empty one last */
    struct rpc_ws_protocol protocols[MAX_PROTOCOLS];
    char protocol_names[MAX_PROTOCOLS][64];
    struct rpc_ws_listener listener; /* limits; its texts and TLS are not kept */
    struct rpc_ws_events events;
    void *user;
    uint32_t n_accepted;
    struct rpc_ws_accept *accepts[RPC_WS_MAX_SOCKETS]; /* on libuv, instead of libwebsockets' own */
    size_t n_accepts;
    SSL_CTX *server_ssl;            /* the vhost's; borrowed */
    const struct rpc_ws_pair *pair; /* while the vhost is being made */

    struct lws_vhost *client;
    struct lws_protocols client_protocols[2];
    SSL_CTX *client_ssl;
};

struct rpc_ws_dialing {
    struct rpc_ws_conn *conn;
    char *host, *server_name;
    struct rpc_ws_protocol protocol;
    char *protocol_name;
    uint16_t port;
    lws_sorted_usec_list_t start;
    bool is_starting; /* inside lws_client_connect_via_info() */
};

/* libwebsockets looks at its timers only when one of its sockets had an event: give it one. */
static void wake(struct rpc_ws *ws)
{
    if (ws->is_woken || ws->is_closing)
        return;
    ws->is_woken = true;
    lws_cancel_service(ws->context);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static int load_server_tls(struct rpc_ws *ws, SSL_CTX *ssl)
{
    struct err err;

    ws->server_ssl = ssl;
    return rpc_ws_tls_profile(ssl) && rpc_ws_tickets_serve(ssl) &&
                   rpc_ws_pair_use(ws->pair, ssl, &err)
               ? 0
               : -1;
}

bool rpc_ws_set_tls(struct rpc_ws *ws, const struct rpc_ws_tls *tls, struct err *err)
{
    _cleanup_(rpc_ws_pair_freep) struct rpc_ws_pair *pair = NULL;

    assert(ws->server_ssl);
    if (!rpc_ws_pair_read(tls, &pair, err) || !rpc_ws_pair_use(pair, ws->server_ssl, err))
        return false;
    rpc_ws_tickets_forget(ws->server_ssl); /* they stand for the certificate before */
    return true;
}

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
    wake(conn->ws);
}

bool rpc_ws_wire_has_more(struct rpc_ws_conn *conn)
{
    SSL *ssl = conn->wsi && conn->is_open ? lws_get_ssl(conn->wsi) : NULL;

    return ssl && rpc_ws_tls_has_more(ssl);
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
    rpc_ws_tls_read_ahead(ssl, rpc_ws_conn_came, conn);
    rpc_ws_conn_came(conn, 0); /* what came behind the handshake */
}

void rpc_ws_wire_forget(struct rpc_ws_conn *conn)
{
    SSL *ssl = lws_get_ssl(conn->wsi);

    if (ssl && conn->is_open && conn->hub->has_turns)
        rpc_ws_tls_read_ahead(ssl, NULL, NULL);
    lws_set_opaque_user_data(conn->wsi, NULL);
}

static struct rpc_ws_conn *conn_new(struct rpc_ws *ws, const struct rpc_ws_events *events,
                                    void *user)
{
    struct rpc_ws_conn *conn = rpc_ws_conn_new(&ws->hub, events, user);

    conn->ws = ws;
    return conn;
}

static bool receive(struct rpc_ws_conn *conn, struct view piece)
{
    conn->came_as_text = !lws_frame_is_binary(conn->wsi);
    if (!conn->protocol->is_any && conn->came_as_text != conn->protocol->is_json)
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

/* What both sides have in common once a connection is open. */
static int on_open_conn(struct rpc_ws_conn *conn, enum lws_callback_reasons reason, void *in,
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

/* ---- the server ------------------------------------------------------------------------------ */

/* Accepted sockets count from the first byte on, or a flood of handshakes would be invisible. */
static int filter_socket(struct rpc_ws *ws, int fd)
{
    const struct rpc_ws_gate *gate = &ws->listener.gate;
    struct sockaddr_storage from;
    uint8_t key[16];

    if (ws->is_closing || !rpc_ws_address_of(fd, &from, key))
        return 1;
    if (ws->n_accepted >= ws->listener.max_connections) {
        if (gate->is_full)
            gate->is_full(gate->user);
        return 1;
    }
    return !ws->listener.is_forwarded && gate->may_connect && !gate->may_connect(gate->user, key);
}

static void on_socket(void *user, int fd)
{
    struct rpc_ws *ws = user;

    if (filter_socket(ws, fd)) {
        close(fd);
        return;
    }
    lws_adopt_socket_vhost(ws->server, fd); /* which closes it when it fails */
    wake(ws);
}

static void on_no_files(void *user)
{
    const struct rpc_ws_gate *gate = &((struct rpc_ws *)user)->listener.gate;

    if (gate->is_full)
        gate->is_full(gate->user);
}

/* TLS and the upgrade have one time limit together, which libwebsockets does not have. */
static void on_opening(void *user)
{
    struct rpc_ws *ws = user;

    rpc_ws_timer_set(ws->opening, rpc_ws_hub_open_by(&ws->hub, clock_mono_ms()));
}

static void expect_open(struct rpc_ws *ws, struct rpc_ws_conn *conn)
{
    conn->accepted_at = clock_mono_ms();
    if (list_is_empty(&ws->hub.opening))
        rpc_ws_timer_set(ws->opening, conn->accepted_at + ws->hub.connect_timeout);
    list_append(&ws->hub.opening, &conn->opening);
}

static void give_place(struct rpc_ws_conn *conn, const uint8_t key[16])
{
    if (conn->has_place)
        return;
    conn->has_place = true;
    conn->place = conn->gate->connected ? conn->gate->connected(conn->gate->user, key) : NULL;
}

static int on_accepted(struct rpc_ws *ws, struct lws *wsi)
{
    const struct rpc_ws_gate *gate = &ws->listener.gate;
    struct rpc_ws_conn *conn;
    struct sockaddr_storage from;
    uint8_t key[16];

    if (!rpc_ws_address_of(lws_get_socket_fd(wsi), &from, key))
        return -1;
    conn = conn_new(ws, &ws->events, ws->user);
    conn->wsi = wsi;
    conn->in.max = ws->listener.max_message_before;
    conn->in.max_fragments = ws->listener.max_fragments;
    conn->max_queue = ws->listener.max_queue;
    conn->gate = gate;
    if (!ws->listener.is_forwarded)
        give_place(conn, key);
    rpc_ws_address_text(&from, conn->address_text);
    lws_set_opaque_user_data(wsi, conn);
    expect_open(ws, conn);
    return 0;
}

/* `in` may point to freed memory here (CVE-2025-11677): it is not looked at. */
static int confirm_upgrade(struct lws *wsi)
{
    char upgrade[16];

    /* RFC 6455, 4.1: by GET and no other method */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0 ||
        lws_hdr_copy(wsi, upgrade, sizeof(upgrade), WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    return strcasecmp(upgrade, "websocket") == 0 ? 0 : -1;
}

static int answer_http(struct lws *wsi, const char *status)
{
    uint8_t bytes[LWS_PRE + 256];
    char *answer = (char *)bytes + LWS_PRE;
    int len = snprintf(answer, sizeof(bytes) - LWS_PRE,
                       "HTTP/1.1 %s\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Content-Length: 0\r\nConnection: close\r\n\r\n",
                       status);

    lws_write(wsi, bytes + LWS_PRE, (size_t)len, LWS_WRITE_HTTP_HEADERS);
    return -1; /* a kept-alive connection reads freed headers in this version: always close */
}

/* The page that a browser runs; programs of other kinds send none. */
static bool may_upgrade(struct rpc_ws *ws, struct lws *wsi)
{
    const struct rpc_ws_gate *gate = &ws->listener.gate;
    int len = lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN);
    char origin[512];

    if (len <= 0 || !gate->may_upgrade)
        return true;
    return lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) == len &&
           gate->may_upgrade(gate->user, VIEW(origin, (size_t)len));
}

/* Behind a proxy that says so all come from its address: whoever it says counts instead. What a
 * client wrote into that header itself stands before what the proxy added. */
static bool take_forwarded(struct rpc_ws *ws, struct lws *wsi)
{
    struct rpc_ws_conn *conn = lws_get_opaque_user_data(wsi);
    const struct rpc_ws_gate *gate = &ws->listener.gate;
    struct sockaddr_storage from;
    char text[256], *last;
    uint8_t key[16];

    if (!conn || !ws->listener.is_forwarded ||
        lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_X_FORWARDED_FOR) <= 0)
        return true;
    last = strrchr(text, ',');
    if (!rpc_ws_address_read(last ? last + 1 : text, &from) || !rpc_ws_address_key(&from, key))
        return true;
    rpc_ws_address_text(&from, conn->address_text);
    if (gate->may_connect && !gate->may_connect(gate->user, key))
        return false;
    give_place(conn, key);
    return true;
}

/* Protocol 0 is the HTTP handler and the default when a client names none. */
static int filter_protocol(struct rpc_ws *ws, struct lws *wsi)
{
    const struct lws_protocols *protocol = lws_get_protocol(wsi);
    char version[8];

    if (!protocol || protocol->id == 0 || lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) <= 0)
        return answer_http(wsi, "400 No Known Sub-Protocol");
    if (lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_VERSION) != 2 ||
        strcmp(version, "13") != 0) /* of drafts before RFC 6455 libwebsockets takes some */
        return answer_http(wsi, "426 Upgrade Required");
    if (!take_forwarded(ws, wsi))
        return answer_http(wsi, "429 Too Many Connections");
    return may_upgrade(ws, wsi) ? 0 : answer_http(wsi, "403 Origin Not Allowed");
}

static int on_established(struct rpc_ws_conn *conn)
{
    read_ahead(conn);
    rpc_ws_conn_opened(conn);
    return 0;
}

static int on_server_socket(struct rpc_ws *ws, struct lws *wsi, enum lws_callback_reasons reason,
                            void *in)
{
    switch ((int)reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return filter_socket(ws, (int)(intptr_t)in);
    case LWS_CALLBACK_WSI_CREATE:
        ws->n_accepted++;
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return on_accepted(ws, wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return filter_protocol(ws, wsi);
    case LWS_CALLBACK_HTTP:
        return answer_http(wsi, "426 Upgrade Required");
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT would make a raw connection without any time limit */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct rpc_ws *ws = lws_context_user(lws_get_context(wsi));
    struct rpc_ws_conn *conn;

    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return load_server_tls(ws, user);
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        ws->is_woken = false;
        return 0;
    }
    if (reason == LWS_CALLBACK_PROTOCOL_INIT || reason == LWS_CALLBACK_PROTOCOL_DESTROY)
        return 0; /* these come with half a connection */
    conn = ws->is_closing ? NULL : lws_get_opaque_user_data(wsi);
    if (reason == LWS_CALLBACK_WSI_DESTROY) {
        if (ws->n_accepted > 0)
            ws->n_accepted--;
        if (conn) /* it never opened */
            rpc_ws_conn_end(conn, NULL);
        return 0;
    }
    if (conn && reason == LWS_CALLBACK_ESTABLISHED) {
        conn->protocol = lws_get_protocol(wsi)->user;
        return on_established(conn);
    }
    if (conn && conn->is_open)
        return on_open_conn(conn, reason, in, len);
    return on_server_socket(ws, wsi, reason, in);
}

/* libwebsockets goes through the client's list, and takes the first that stands in ours. */
static void add_protocol(struct rpc_ws *ws, size_t i, const char *name)
{
    assert(i < MAX_PROTOCOLS);
    snprintf(ws->protocol_names[i], sizeof(ws->protocol_names[i]), "%s", name);
    ws->protocols[i] = rpc_ws_protocol_named(ws->protocol_names[i]);
    ws->server_protocols[1 + i] = (struct lws_protocols){
        .name = ws->protocols[i].name,
        .callback = on_server,
        .id = (unsigned)i + 1,
        .rx_buffer_size = RX_SERVER,
        .tx_packet_size = TX_LIMIT,
        .user = &ws->protocols[i],
    };
}

static void set_up_server(struct rpc_ws *ws, const struct rpc_ws_listener *listener)
{
    const char *const one[] = { listener->protocol, NULL };
    const char *const *names = listener->protocols ? listener->protocols : one;

    ws->listener = *listener;
    ws->listener.host = ws->listener.protocol = NULL;
    ws->listener.protocols = NULL;
    ws->listener.sockets = NULL;
    ws->listener.tls = (struct rpc_ws_tls){ 0 };
    ws->hub.connect_timeout =
        listener->connect_timeout ? listener->connect_timeout : HANDSHAKE_SECS * SECOND_MS;
    ws->hub.max_trusted = listener->max_message;
    ws->hub.max_control = listener->max_control * RPC_WS_TICK_MS / 1000;
    ws->hub.stall_ticks = listener->stall_timeout / RPC_WS_TICK_MS;
    ws->server_protocols[0] = (struct lws_protocols){ .name = "http", .callback = on_server };
    for (size_t i = 0; names[i]; i++)
        add_protocol(ws, i, names[i]);
}

/* libwebsockets' own pings are off: it would sort a list of all connections whenever one of them
 * is heard. rpc_ws_hub_tick() looks after them. */
static const lws_retry_bo_t liveness = { 0 };

static bool accept_on(struct rpc_ws *ws, const int *sockets, size_t n, struct err *err)
{
    static const struct rpc_ws_accept_events events = { on_socket, on_no_files };

    assert(ws->kind == RPC_WS_UV && n <= RPC_WS_MAX_SOCKETS);
    for (size_t i = 0; i < n; i++) {
        if (!rpc_ws_accept_new(ws->native, sockets[i], &events, ws, &ws->accepts[i], err))
            return false;
        ws->n_accepts++;
    }
    return true;
}

/* A socket of our own, where the loop is libuv's: its backlog keeps those who come all at once, and
 * a few at a time are taken from it. */
static bool accept_at(struct rpc_ws *ws, const char *host, uint16_t port, struct err *err)
{
    int fd;

    if (!rpc_ws_bind(host, port, &fd, err))
        return false;
    if (accept_on(ws, &fd, 1, err))
        return true;
    close(fd);
    return false;
}

static void stop_accepting(struct rpc_ws *ws)
{
    while (ws->n_accepts)
        rpc_ws_accept_free(ws->accepts[--ws->n_accepts]);
}

bool rpc_ws_listen(struct rpc_ws *ws, const struct rpc_ws_listener *listener,
                   const struct rpc_ws_events *events, void *user, struct err *err)
{
    _cleanup_(rpc_ws_pair_freep) struct rpc_ws_pair *pair = NULL;
    struct lws_context_creation_info info = { 0 };
    bool is_ours = listener->n_sockets || ws->kind == RPC_WS_UV;

    assert(!ws->server);
    if (listener->tls.n_chain && !rpc_ws_pair_read(&listener->tls, &pair, err))
        return err_wrap(err, "listening");
    set_up_server(ws, listener);
    ws->events = *events;
    ws->user = user;
    info.options =
        LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | (pair ? LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX : 0) |
        LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
        (listener->host && !strchr(listener->host, ':') ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0);
    info.vhost_name = "server";
    info.iface = listener->host;
    info.port = is_ours ? CONTEXT_PORT_NO_LISTEN_SERVER : listener->port;
    info.protocols = ws->server_protocols;
    info.alpn = "http/1.1";
    info.timeout_secs = listener->connect_timeout
                            ? (unsigned)((listener->connect_timeout + 999) / 1000)
                            : HANDSHAKE_SECS;
    info.provided_client_ssl_ctx = ws->client_ssl;
    info.retry_and_idle_policy = &liveness;
    ws->pair = pair;
    ws->server = lws_create_vhost(ws->context, &info);
    ws->pair = NULL;
    if (ws->server && listener->n_sockets)
        return accept_on(ws, listener->sockets, listener->n_sockets, err);
    if (ws->server)
        return !is_ours || accept_at(ws, listener->host, listener->port, err);
    return rpc_ws_bind_failed(listener->host, listener->port, err);
}

uint16_t rpc_ws_port(const struct rpc_ws *ws)
{
    if (ws->n_accepts)
        return rpc_ws_accept_port(ws->accepts[0]);
    return ws->server ? (uint16_t)lws_get_vhost_listen_port(ws->server) : 0;
}

/* ---- the client ------------------------------------------------------------------------------ */

static void dial_failed(struct rpc_ws_conn *conn, const void *in, size_t len)
{
    struct view text = in ? VIEW(in, strnlen(in, len)) : VIEW_LIT("no route, or no such host");
    struct err why;

    err_set(&why, ERR_NETWORK_FAILURE, "connecting to %s port %u: %.*s", conn->dial->host,
            conn->dial->port, VIEW_FMT(text));
    rpc_ws_conn_end(conn, &why);
}

static void dial_start(struct rpc_ws_conn *conn)
{
    struct lws_client_connect_info info = { 0 };
    struct rpc_ws_dialing *dial = conn->dial;

    info.context = conn->ws->context;
    info.vhost = conn->ws->client;
    info.address = dial->host;
    info.port = dial->port;
    info.host = dial->server_name;
    info.path = "/";
    info.protocol = dial->protocol.name;
    info.local_protocol_name = conn->ws->client_protocols[0].name;
    info.alpn = "http/1.1";
    /* on_verify() is the judge of certificates and names. */
    info.ssl_connection =
        LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
    info.retry_and_idle_policy = &liveness;
    info.opaque_user_data = conn;
    info.pwsi = &conn->wsi;
    dial->is_starting = true;
    if (!lws_client_connect_via_info(&info))
        conn->wsi = NULL;
    dial->is_starting = false;
}

static void on_dial_time(lws_sorted_usec_list_t *sul)
{
    struct rpc_ws_conn *conn = CONTAINER(sul, struct rpc_ws_dialing, start)->conn;

    if (!conn->is_closing)
        dial_start(conn);
    if (!conn->wsi)
        dial_failed(conn, NULL, 0);
}

static struct rpc_ws_dialing *dial_new(const struct rpc_ws_dial *from, struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = mem_new(struct rpc_ws_dialing);

    dial->conn = conn;
    dial->host = mem_text(from->host);
    dial->server_name = mem_text(from->server_name ? from->server_name : from->host);
    dial->protocol_name = mem_text(from->protocol);
    dial->protocol = rpc_ws_protocol_named(dial->protocol_name);
    dial->port = from->port;
    return dial;
}

void rpc_ws_dialing_free(struct rpc_ws_dialing *dial)
{
    if (!dial)
        return;
    lws_sul_cancel(&dial->start);
    free(dial->host);
    free(dial->server_name);
    free(dial->protocol_name);
    free(dial);
}

bool rpc_ws_connect(struct rpc_ws *ws, const struct rpc_ws_dial *dial,
                    const struct rpc_ws_events *events, void *user, struct rpc_ws_conn **ret_conn,
                    struct err *err)
{
    struct rpc_ws_conn *conn;

    if (ws->is_closing)
        return err_set(err, ERR_CLOSED, "connecting: shutting down");
    conn = conn_new(ws, events, user);
    conn->dial = dial_new(dial, conn);
    conn->judge = dial->judge;
    if (!dial->is_fresh)
        conn->ticket =
            mem_format("%s %u %s", dial->host, (unsigned)dial->port, conn->dial->server_name);
    conn->protocol = &conn->dial->protocol;
    conn->in.max = dial->max_message;
    conn->max_queue = MAX_CLIENT_QUEUE;
    lws_sul_schedule(ws->context, 0, &conn->dial->start, on_dial_time, 1);
    wake(ws);
    *ret_conn = conn;
    return true;
}

/* Without this libwebsockets takes a server that names no sub-protocol for one that speaks ours. */
static int filter_server(struct rpc_ws_conn *conn)
{
    struct err why;

    if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_PROTOCOL) > 0)
        return 0;
    err_set(&why, ERR_BAD_WIRE, "connecting to %s port %u: no %s is spoken there", conn->dial->host,
            conn->dial->port, conn->dial->protocol.name);
    rpc_ws_conn_set_why(conn, &why);
    return -1;
}

static int on_connected(struct rpc_ws_conn *conn)
{
    struct sockaddr_storage from;
    uint8_t key[16];

    if (rpc_ws_address_of(lws_get_socket_fd(conn->wsi), &from, key))
        rpc_ws_address_text(&from, conn->address_text);
    return on_established(conn);
}

static int on_client(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct rpc_ws *ws = lws_context_user(lws_get_context(wsi));
    struct rpc_ws_conn *conn = NULL;

    (void)user;
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED)
        ws->is_woken = false;
    else if (reason != LWS_CALLBACK_PROTOCOL_INIT && reason != LWS_CALLBACK_PROTOCOL_DESTROY)
        conn = lws_get_opaque_user_data(wsi);
    if (!conn || conn->dial->is_starting) /* what fails while starting is told by its result */
        return 0;
    if (conn->is_open)
        return on_open_conn(conn, reason, in, len);
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        return filter_server(conn);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        return conn->is_closing ? -1 : on_connected(conn);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        dial_failed(conn, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        rpc_ws_conn_lost(conn);
        return 0;
    default:
        return 0;
    }
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
    wake(ws);
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
    info.timeout_secs = HANDSHAKE_SECS;
    info.retry_and_idle_policy = &liveness;
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

static bool make_client(struct rpc_ws *ws, struct err *err)
{
    struct lws_context_creation_info info = { 0 };

    if (!rpc_ws_tls_client(rpc_ws_verdict, &ws->hub, &ws->client_ssl, err))
        return false;
    rpc_ws_verdict_resume(&ws->hub, ws->client_ssl);
    ws->client_protocols[0] = (struct lws_protocols){
        .name = "client",
        .callback = on_client,
        .rx_buffer_size = RX_CLIENT,
        .tx_packet_size = TX_LIMIT,
    };
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.vhost_name = "client";
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = ws->client_protocols;
    info.provided_client_ssl_ctx = ws->client_ssl;
    info.timeout_secs = info.connect_timeout_secs = HANDSHAKE_SECS;
    info.retry_and_idle_policy = &liveness;
    ws->client = lws_create_vhost(ws->context, &info);
    if (!ws->client)
        return err_set(err, ERR_SYSTEM, "libwebsockets cannot make a client");
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
    ws->opening = rpc_ws_timer_new(ws, on_opening, ws);
    on_tick(ws);
    ws->hub.has_turns = kind == RPC_WS_UV;
    if (kind == RPC_WS_UV)
        ws->turn = rpc_turn_new(native, on_turn, ws);
    if (!make_client(ws, err)) {
        rpc_ws_free(ws);
        return err_wrap(err, "the WebSocket edge");
    }
    *ret_ws = ws;
    return true;
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
    stop_accepting(ws);
    end_conns(ws);
    rpc_ws_timer_free(ws->tick);
    rpc_ws_timer_free(ws->opening);
    rpc_ws_timers_deinit(&ws->timers);
    lws_sul_cancel(&ws->timer);
    rpc_ws_spares_free(&ws->hub.spares);
    rpc_ws_tickets_free(&ws->hub.tickets);
    client_ssl = ws->client_ssl;
    context = ws->context;
    if (ws->kind == RPC_WS_UV) {
        rpc_turn_free(ws->turn);
        rpc_loop_at_end(ws->native, finish, context);
    }
    lws_context_destroy(context); /* on GLib `ws` is gone after it */
    rpc_ws_tls_free(client_ssl);
}
