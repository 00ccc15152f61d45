/* SPDX-License-Identifier: Apache-2.0 */
/* The edge's server: who may come in, and how an HTTP request becomes a connection. */
#include "rpc/ws_edge.h"

#include "base/clock.h"
#include "rpc/ws_accept.h"
#include "rpc/ws_bind.h"
#include "rpc/ws_life.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

enum { RX_SERVER = 1024 /* what one idle connection's read buffer costs */ };

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
    rpc_ws_edge_wake(ws);
}

static void on_no_files(void *user)
{
    const struct rpc_ws_gate *gate = &((struct rpc_ws *)user)->listener.gate;

    if (gate->is_full)
        gate->is_full(gate->user);
}

/* TLS and the upgrade have one time limit together, which libwebsockets does not have. */
void rpc_ws_server_opening(void *user)
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
    conn = rpc_ws_edge_conn_new(ws, &ws->events, ws->user);
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
        return rpc_ws_edge_established(conn);
    }
    if (conn && conn->is_open)
        return rpc_ws_edge_on_open(conn, reason, in, len);
    return on_server_socket(ws, wsi, reason, in);
}

/* libwebsockets goes through the client's list, and takes the first that stands in ours. */
static void add_protocol(struct rpc_ws *ws, size_t i, const char *name)
{
    assert(i < RPC_WS_MAX_PROTOCOLS);
    snprintf(ws->protocol_names[i], sizeof(ws->protocol_names[i]), "%s", name);
    ws->protocols[i] = rpc_ws_protocol_named(ws->protocol_names[i]);
    ws->server_protocols[1 + i] = (struct lws_protocols){
        .name = ws->protocols[i].name,
        .callback = on_server,
        .id = (unsigned)i + 1,
        .rx_buffer_size = RX_SERVER,
        .tx_packet_size = RPC_WS_TX_LIMIT,
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
        listener->connect_timeout ? listener->connect_timeout : RPC_WS_HANDSHAKE_SECS * SECOND_MS;
    ws->hub.max_trusted = listener->max_message;
    ws->hub.max_control = listener->max_control * RPC_WS_TICK_MS / 1000;
    ws->hub.stall_ticks = listener->stall_timeout / RPC_WS_TICK_MS;
    ws->server_protocols[0] = (struct lws_protocols){ .name = "http", .callback = on_server };
    for (size_t i = 0; names[i]; i++)
        add_protocol(ws, i, names[i]);
}

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

void rpc_ws_server_stop(struct rpc_ws *ws)
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
                            : RPC_WS_HANDSHAKE_SECS;
    info.provided_client_ssl_ctx = ws->client_ssl;
    info.retry_and_idle_policy = &rpc_ws_liveness;
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
