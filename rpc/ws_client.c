/* SPDX-License-Identifier: Apache-2.0 */
/* The edge's client: dials. */
#include "rpc/ws_edge.h"

#include "base/clock.h"
#include "rpc/ws_tunnel.h"
#include "rpc/ws_verdict.h"

enum {
    RX_CLIENT = 4096, /* what one idle connection's read buffer costs */
    MAX_CLIENT_QUEUE = 16 * 1024 * 1024,
    SILENT_MS = 250, /* RFC 8305, 8 */
    LEAST_LOOK_MS = 10,
    ASKED_MS = 5000,
    TLS_SILENT_MS = 2000,
};

struct rpc_ws_dialing {
    struct rpc_ws_conn *conn;
    struct {
        char *host;
        uint16_t port;
        bool is_known; /* its addresses, if it has any, are among the ways */
    } places[1 + RPC_WS_MAX_OTHERS];
    size_t n_places;
    const char *host; /* of the place where it goes */
    uint16_t port;
    void (*moved)(void *user, size_t which);
    struct rpc_ws_ways ways;
    struct rpc_ws_timer *silence; /* when the others are asked, or looked at */
    uint64_t begun_at, asked_at;  /* clock_mono_ms() */
    uint64_t connected_at;        /* when TCP was first seen to be; 0: not yet */
    struct err *failed;           /* there, while others are still asked */
    struct err *first_why;        /* at an address of the host before the one that is tried */
    char *server_name;
    struct rpc_ws_protocol protocol;
    char *protocol_name;
    lws_sorted_usec_list_t start;
    struct rpc_ws_tunnel *tunnel;   /* NULL: none, or through */
    char local[RPC_WS_TUNNEL_NAME]; /* the socket that leads through a proxy; "": none */
    bool is_due;                    /* `start` is set: setting it again would put it off */
    bool is_starting;               /* inside lws_client_connect_via_info() */
};

static void on_dial_time(lws_sorted_usec_list_t *sul);

void rpc_ws_set_proxy(struct rpc_ws *ws, const struct rpc_proxy *proxy)
{
    ws->proxy = *proxy;
}

/* ---- one address or another ------------------------------------------------------------------ */

static struct rpc_ws_good *find_good(struct rpc_ws *ws, const char *host, uint16_t port)
{
    for (size_t i = 0; i < RPC_WS_REMEMBERED; i++) {
        if (ws->good[i].port == port && strcmp(ws->good[i].host, host) == 0)
            return &ws->good[i];
    }
    return NULL;
}

static void remember(struct rpc_ws *ws, const struct rpc_ws_dialing *dial)
{
    struct rpc_ws_good *good = find_good(ws, dial->host, dial->port);

    if (dial->ways.at == RPC_WS_NO_WAY || strlen(dial->host) >= sizeof(good->host))
        return;
    if (!good)
        good = &ws->good[ws->next_good++ % RPC_WS_REMEMBERED];
    good->port = dial->port;
    snprintf(good->host, sizeof(good->host), "%s", dial->host);
    memcpy(good->address, dial->ways.way[dial->ways.at].address, sizeof(good->address));
}

/* False: its name is still being looked up. What was known of it before serves once that takes long. */
static bool add_ways(struct rpc_ws *ws, struct rpc_ws_dialing *dial, size_t place)
{
    const char *host = dial->places[place].host;
    uint16_t port = dial->places[place].port;
    const struct rpc_ws_good *good = find_good(ws, host, port);
    struct rpc_ws_addresses found;

    if (dial->places[place].is_known)
        return true;
    switch (rpc_ws_names_find(ws->names, host, dial->begun_at, &found)) {
    case RPC_WS_NAMES_AWAITED:
        return false;
    case RPC_WS_NAMES_KEPT:
        if (clock_mono_ms() < dial->begun_at + SILENT_MS)
            return false;
        break;
    case RPC_WS_NAMES_KNOWN:
    case RPC_WS_NAMES_NONE:
        break;
    }
    dial->places[place].is_known = true;
    rpc_ws_ways_add(&dial->ways, place, port, &found, good ? good->address : "");
    return true;
}

/* Those whose names are still being looked up come later: look_at_names(). */
static void ask_others(struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = conn->dial;
    size_t before = dial->ways.n;

    for (size_t i = 0; i < dial->n_places; i++) {
        if (dial->places[i].host != dial->host &&
            !rpc_proxy_is_for(&conn->ws->proxy, dial->places[i].host))
            add_ways(conn->ws, dial, i);
    }
    if (!dial->ways.has_asked || dial->ways.n > before)
        dial->asked_at = clock_mono_ms();
    rpc_ws_ways_ask(&dial->ways);
}

/* Nothing more is heard of what libwebsockets does with it. */
static void forget_wire(struct rpc_ws_conn *conn)
{
    if (!conn->wsi)
        return;
    rpc_ws_wire_forget(conn);
    conn->wsi = NULL;
    conn->dial->connected_at = 0;
}

static void name_ticket(struct rpc_ws_conn *conn)
{
    const struct rpc_ws_dialing *dial = conn->dial;

    free(conn->ticket);
    conn->ticket = mem_format("%s %u %s", dial->host, (unsigned)dial->port, dial->server_name);
}

static void go_elsewhere(struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = conn->dial;
    size_t place = dial->ways.way[dial->ways.at].host;

    if (conn->wsi)
        rpc_ws_wire_limit(conn, 0);
    forget_wire(conn);
    free(STEAL(dial->failed));
    dial->ways.has_asked = false; /* it may be silent too */
    if (dial->places[place].host != dial->host) {
        dial->host = dial->places[place].host;
        dial->port = dial->places[place].port;
        if (conn->ticket)
            name_ticket(conn);
        if (dial->moved)
            dial->moved(conn->user, place ? place - 1 : RPC_WS_THE_HOST);
    }
    rpc_ws_dialing_look(conn);
}

static bool is_connected(const struct rpc_ws_conn *conn)
{
    struct sockaddr_storage to;
    socklen_t len = sizeof(to);
    int fd = conn->wsi ? lws_get_socket_fd(conn->wsi) : -1;

    return fd >= 0 && getpeername(fd, (struct sockaddr *)&to, &len) == 0;
}

static bool is_heard(const struct rpc_ws_conn *conn)
{
    const SSL *ssl = rpc_ws_wire_ssl(conn);

    return ssl && SSL_get_rbio(ssl) && BIO_number_read(SSL_get_rbio(ssl)) > 0;
}

/* Whether nobody else need be asked, or not yet: TCP is there, and so is TLS or it still has time. A machine that hangs, and
 * whatever stands before one, takes connections as well. */
static bool is_answered(struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = conn->dial;
    uint64_t now = clock_mono_ms();

    if (conn->is_open || conn->is_closing)
        return true;
    if (!is_connected(conn))
        return false;
    if (is_heard(conn))
        return true;
    if (!dial->connected_at)
        dial->connected_at = now;
    if (now >= dial->connected_at + TLS_SILENT_MS)
        return false;
    dial->ways.has_asked = false;
    rpc_ws_timer_set(dial->silence, dial->connected_at + TLS_SILENT_MS);
    return true;
}

/* Soon at first, and never much later than the answer came. */
static void look_again(struct rpc_ws_conn *conn)
{
    uint64_t now = clock_mono_ms(), passed = now - conn->dial->asked_at;

    if (conn->dial->failed && passed > ASKED_MS)
        rpc_ws_conn_end(conn, conn->dial->failed);
    else
        rpc_ws_timer_set(conn->dial->silence,
                         now + (passed / 4 > LEAST_LOOK_MS ? passed / 4 : LEAST_LOOK_MS));
}

static void on_silence(void *user)
{
    struct rpc_ws_conn *conn = user;
    struct rpc_ws_dialing *dial = conn->dial;

    if (is_answered(conn)) {
        rpc_ws_ways_end(&dial->ways);
        return;
    }
    if (dial->ways.at == RPC_WS_NO_WAY && !dial->places[0].is_known &&
        add_ways(conn->ws, dial, 0)) {
        rpc_ws_dialing_look(conn);
        return;
    }
    if (!dial->ways.has_asked)
        ask_others(conn);
    switch (rpc_ws_ways_look(&dial->ways)) {
    case RPC_WS_WAYS_SILENT:
        look_again(conn);
        break;
    case RPC_WS_WAYS_ANSWERED:
        go_elsewhere(conn);
        break;
    case RPC_WS_WAYS_NONE:
        if (dial->failed)
            rpc_ws_conn_end(conn, dial->failed);
        break;
    }
}

/* Whether one of those that are being asked may still answer, or has: then it goes on there. */
static bool awaits_others(struct rpc_ws_conn *conn, const struct err *why)
{
    struct rpc_ws_dialing *dial = conn->dial;

    if (!dial->ways.has_asked || clock_mono_ms() - dial->asked_at > ASKED_MS)
        return false;
    switch (rpc_ws_ways_look(&dial->ways)) {
    case RPC_WS_WAYS_ANSWERED:
        go_elsewhere(conn);
        return true;
    case RPC_WS_WAYS_SILENT:
        forget_wire(conn);
        dial->failed = mem_dup(why, sizeof(*why));
        return true;
    case RPC_WS_WAYS_NONE:
        break;
    }
    return false;
}

/* A connection that failed: it goes on at another address of the host, or of others where this one was silent at first. */
static bool goes_on(struct rpc_ws_conn *conn, const struct err *why)
{
    struct rpc_ws_dialing *dial = conn->dial;

    if (conn->is_closing || conn->why)
        return false;
    if (dial->ways.at == RPC_WS_NO_WAY)
        return awaits_others(conn, why);
    if (!conn->wsi)
        return false;
    if (dial->ways.has_asked || !rpc_ws_ways_next(&dial->ways))
        return awaits_others(conn, why);
    if (!dial->first_why)
        dial->first_why = mem_dup(why, sizeof(*why));
    forget_wire(conn);
    rpc_ws_dialing_look(conn);
    return true;
}

static void dial_failed(struct rpc_ws_conn *conn, const void *in, size_t len)
{
    struct view text = in ? VIEW(in, strnlen(in, len)) : VIEW_LIT("no route, or no such host");
    const struct rpc_ws_dialing *dial = conn->dial;
    struct err why;

    err_set(&why, ERR_NETWORK_FAILURE, "connecting to %s port %u: %.*s", dial->host, dial->port,
            VIEW_FMT(text));
    if (goes_on(conn, &why))
        return;
    if (!in && dial->first_why) /* that says more */
        why = *dial->first_why;
    conn->had_no_route = !in && !dial->local[0] && !dial->first_why;
    rpc_ws_conn_end(conn, &why);
}

static void connect_to(struct rpc_ws_conn *conn, const char *address)
{
    struct lws_client_connect_info info = { 0 };
    struct rpc_ws_dialing *dial = conn->dial;

    info.context = conn->ws->context;
    info.vhost = conn->ws->client;
    info.address = address;
    info.port = dial->port;
    info.host = dial->server_name;
    info.path = "/";
    info.protocol = dial->protocol.name;
    info.local_protocol_name = conn->ws->client_protocols[0].name;
    info.alpn = "http/1.1";
    /* on_verify() is the judge of certificates and names. */
    info.ssl_connection =
        LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
    info.retry_and_idle_policy = &rpc_ws_liveness;
    info.opaque_user_data = conn;
    info.pwsi = &conn->wsi;
    dial->is_starting = true;
    if (!lws_client_connect_via_info(&info))
        conn->wsi = NULL;
    dial->is_starting = false;
}

/* False: its name is being looked up. */
static bool dial_start(struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = conn->dial;
    struct rpc_ws_ways *ways = &dial->ways;

    if (dial->local[0]) {
        connect_to(conn, dial->local);
        return true;
    }
    if (ways->at == RPC_WS_NO_WAY) {
        bool is_known = add_ways(conn->ws, dial, 0);
        if (!is_known && !ways->has_asked)
            rpc_ws_timer_set(dial->silence, dial->begun_at + SILENT_MS);
        if (!is_known || !rpc_ws_ways_begin(ways, 0))
            return is_known;
        ways->has_asked = false; /* the others too are, in their time */
    }
    do
        connect_to(conn, ways->way[ways->at].address);
    while (!conn->wsi && rpc_ws_ways_next(ways));
    if (conn->wsi && !ways->has_asked && (ways->n > 1 || dial->n_places > 1))
        rpc_ws_timer_set(dial->silence, clock_mono_ms() + SILENT_MS);
    return true;
}

/* ---- through a proxy ------------------------------------------------------------------------- */

static void end_tunnel(struct rpc_ws_dialing *dial)
{
    if (!dial->tunnel)
        return;
    rpc_ws_tunnel_drop(STEAL(dial->tunnel));
    dial->conn->ws->n_tunnels--;
}

/* From another thread. */
static void wake(void *user)
{
    lws_cancel_service(user);
}

static bool begin_tunnel(struct rpc_ws_conn *conn, struct err *err)
{
    struct rpc_ws_dialing *dial = conn->dial;

    if (!rpc_ws_tunnel_new(&conn->ws->proxy, dial->host, dial->port, wake, conn->ws->context,
                           &dial->tunnel, err))
        return false;
    conn->ws->n_tunnels++;
    return true;
}

/* Whether the dial can go on, with a socket or without; false with an empty err: not yet. */
static bool is_through(struct rpc_ws_conn *conn, struct err *err)
{
    struct rpc_ws_dialing *dial = conn->dial;

    if (dial->local[0] || !rpc_proxy_is_for(&conn->ws->proxy, dial->host))
        return true;
    if (!dial->tunnel)
        return begin_tunnel(conn, err) && false;
    switch (rpc_ws_tunnel_look(dial->tunnel, dial->local, err)) {
    case RPC_WS_TUNNEL_PENDING:
        return false;
    case RPC_WS_TUNNEL_THROUGH:
        rpc_ws_tunnel_leave(STEAL(dial->tunnel));
        conn->ws->n_tunnels--;
        return true;
    case RPC_WS_TUNNEL_FAILED:
        end_tunnel(dial);
        return false;
    }
    abort();
}

void rpc_ws_dialing_look(struct rpc_ws_conn *conn)
{
    if (conn->dial->is_due)
        return;
    conn->dial->is_due = true;
    lws_sul_schedule(conn->ws->context, 0, &conn->dial->start, on_dial_time, 1);
    rpc_ws_edge_wake(conn->ws);
}

/* One of the names that were looked up may be theirs. */
static void look_at_names(struct rpc_ws *ws)
{
    struct rpc_ws_conn *conn;

    LIST_EACH(conn, &ws->hub.conns, node) {
        if (!conn->dial || conn->is_open || conn->is_closing)
            continue;
        if (conn->dial->ways.at == RPC_WS_NO_WAY)
            rpc_ws_dialing_look(conn);
        if (!conn->dial->ways.has_asked || is_connected(conn))
            continue;
        ask_others(conn);
        rpc_ws_timer_set(conn->dial->silence, clock_mono_ms() + LEAST_LOOK_MS);
    }
}

/* One of the tunnels has something to say. */
static void look_at_tunnels(struct rpc_ws *ws)
{
    char name[RPC_WS_TUNNEL_NAME];
    struct rpc_ws_conn *conn;
    struct err err;

    LIST_EACH(conn, &ws->hub.conns, node) {
        if (conn->dial && conn->dial->tunnel &&
            rpc_ws_tunnel_look(conn->dial->tunnel, name, &err) != RPC_WS_TUNNEL_PENDING)
            rpc_ws_dialing_look(conn);
    }
}

static void on_dial_time(lws_sorted_usec_list_t *sul)
{
    struct rpc_ws_conn *conn = CONTAINER(sul, struct rpc_ws_dialing, start)->conn;
    struct err err = { 0 };

    conn->dial->is_due = false;
    if (conn->wsi || (conn->dial->failed && !conn->is_closing))
        return;
    if (!conn->is_closing && !is_through(conn, &err) && err.code == ERR_NONE)
        return;
    if (!conn->is_closing && err.code == ERR_NONE && !dial_start(conn))
        return;
    if (!conn->wsi)
        dial_failed(conn, err.code ? err.text : NULL, sizeof(err.text));
}

static void add_place(struct rpc_ws_dialing *dial, const char *host, uint16_t port)
{
    if (dial->n_places == N_ELEMENTS(dial->places))
        return;
    dial->places[dial->n_places].host = mem_text(host);
    dial->places[dial->n_places++].port = port;
}

static struct rpc_ws_dialing *dial_new(const struct rpc_ws_dial *from, struct rpc_ws_conn *conn)
{
    struct rpc_ws_dialing *dial = mem_new(struct rpc_ws_dialing);

    dial->conn = conn;
    dial->begun_at = clock_mono_ms();
    dial->ways.at = RPC_WS_NO_WAY;
    add_place(dial, from->host, from->port);
    for (size_t i = 0; i < from->n_others; i++)
        add_place(dial, from->others[i].host, from->others[i].port);
    dial->host = dial->places[0].host;
    dial->moved = from->moved;
    dial->silence = rpc_ws_timer_new(conn->ws, on_silence, conn);
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
    end_tunnel(dial);
    rpc_ws_ways_end(&dial->ways);
    rpc_ws_timer_free(dial->silence);
    free(dial->failed);
    free(dial->first_why);
    for (size_t i = 0; i < dial->n_places; i++)
        free(dial->places[i].host);
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
    conn = rpc_ws_edge_conn_new(ws, events, user);
    conn->dial = dial_new(dial, conn);
    conn->judge = dial->judge;
    if (!dial->is_fresh)
        name_ticket(conn);
    conn->protocol = &conn->dial->protocol;
    conn->in.max = dial->max_message;
    conn->max_queue = MAX_CLIENT_QUEUE;
    rpc_ws_dialing_look(conn);
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
    remember(conn->ws, conn->dial);
    return rpc_ws_edge_established(conn);
}

static int on_client(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct rpc_ws *ws = lws_context_user(lws_get_context(wsi));
    struct rpc_ws_conn *conn = NULL;

    (void)user;
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        ws->is_woken = false;
        if (ws->n_tunnels && !ws->is_closing)
            look_at_tunnels(ws);
        if (!ws->is_closing && rpc_ws_names_has_news(ws->names))
            look_at_names(ws);
    } else if (reason != LWS_CALLBACK_PROTOCOL_INIT && reason != LWS_CALLBACK_PROTOCOL_DESTROY)
        conn = lws_get_opaque_user_data(wsi);
    if (!conn || conn->dial->is_starting) /* what fails while starting is told by its result */
        return 0;
    if (conn->is_open)
        return rpc_ws_edge_on_open(conn, reason, in, len);
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        return filter_server(conn);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        return conn->is_closing ? -1 : on_connected(conn);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        dial_failed(conn, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: /* the only word of one that ends between TLS and its upgrade */
        rpc_ws_conn_lost(conn);
        return 0;
    default:
        return 0;
    }
}

bool rpc_ws_client_start(struct rpc_ws *ws, struct err *err)
{
    struct lws_context_creation_info info = { 0 };

    ws->names = rpc_ws_names_new(wake, ws->context);
    if (!rpc_ws_tls_client(rpc_ws_verdict, &ws->hub, &ws->client_ssl, err))
        return false;
    rpc_ws_verdict_resume(&ws->hub, ws->client_ssl);
    ws->client_protocols[0] = (struct lws_protocols){
        .name = "client",
        .callback = on_client,
        .rx_buffer_size = RX_CLIENT,
        .tx_packet_size = RPC_WS_TX_LIMIT,
    };
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.http_proxy_address = ""; /* else it reads the environment by itself, for all hosts */
    info.vhost_name = "client";
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = ws->client_protocols;
    info.provided_client_ssl_ctx = ws->client_ssl;
    info.timeout_secs = info.connect_timeout_secs = RPC_WS_HANDSHAKE_SECS;
    info.retry_and_idle_policy = &rpc_ws_liveness;
    ws->client = lws_create_vhost(ws->context, &info);
    if (!ws->client)
        return err_set(err, ERR_SYSTEM, "libwebsockets cannot make a client");
    return true;
}
