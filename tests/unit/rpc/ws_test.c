/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/edge.h"

#include "base/clock.h"
#include "base/key.h"
#include "rpc/ws_conn.h"
#include "rpc/ws_frame.h"

#include <glib.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>

#define PROTOCOL "wamp.2.msgpack"

/* What happened at one end of one connection. */
struct end {
    struct rpc_ws_conn *conn; /* NULL once it is closed */
    unsigned n_opened, n_messages, n_closed;
    size_t n_bytes;
    uint8_t exporter[32];
    char address[64];
    struct err why;
    bool echoes, trusts;
};

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct end *end = user;

    end->conn = conn;
    end->n_opened++;
    CHECK(rpc_ws_exporter(conn, end->exporter));
    snprintf(end->address, sizeof(end->address), "%s", rpc_ws_address(conn));
    if (end->trusts)
        rpc_ws_set_trusted(conn);
}

/* Messages are numbered in their first four bytes, so that order shows. */
static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct end *end = user;
    struct view rest = message;
    uint32_t number = 0;

    view_take_u32(&rest, &number);
    CHECK_U64(number, end->n_messages);
    end->n_messages++;
    end->n_bytes += message.len;
    if (end->echoes)
        rpc_ws_send(conn, message);
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct end *end = user;

    if (end->conn == conn)
        end->conn = NULL;
    end->n_closed++;
    end->why = *why;
}

static const struct rpc_ws_events events = { on_opened, on_message, on_closed };

struct road {
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct edge_cert cert;
    struct end server, client;
    struct rpc_ws_listener listener;
    struct rpc_ws_dial dial;
    struct err judged; /* what the judge says, when code is set */
    unsigned n_judged;
    struct buf leaf;
};

static struct road *the_road; /* of the test that runs: for judge() */

static bool judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    (void)user;
    the_road->n_judged++;
    CHECK_U64(n, 1);
    buf_clear(&the_road->leaf);
    buf_put(&the_road->leaf, chain[0]);
    if (!the_road->judged.code)
        return true;
    *err = the_road->judged;
    return false;
}

static void road_init(struct road *road)
{
    struct err err;

    *road = (struct road){ 0 };
    the_road = road;
    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(key_init(&err), err);
    edge_cert_make(&road->cert, "router");
    CHECK_OK(rpc_loop_new(&road->loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(road->loop), &road->ws, &err), err);
    road->listener = (struct rpc_ws_listener){
        .host = "127.0.0.1",
        .protocol = PROTOCOL,
        .max_connections = 100,
        .max_message_before = 1 << 20,
        .max_message = 1 << 20,
        .max_queue = 4 << 20,
    };
    road->dial = (struct rpc_ws_dial){
        .host = "127.0.0.1",
        .server_name = "router.demo.warren",
        .protocol = PROTOCOL,
        .max_message = 1 << 20,
        .judge = judge,
    };
}

static void road_listen(struct road *road)
{
    struct view chain = buf_view(&road->cert.der);
    struct err err;

    road->listener.tls = (struct rpc_ws_tls){ &chain, 1, buf_view(&road->cert.key) };
    CHECK_OK(rpc_ws_listen(road->ws, &road->listener, &events, &road->server, &err), err);
    road->dial.port = rpc_ws_port(road->ws);
    CHECK(road->dial.port != 0);
}

static struct rpc_ws_conn *road_dial(struct road *road, struct end *end)
{
    struct rpc_ws_conn *conn = NULL;
    struct err err;

    if (!rpc_ws_connect(road->ws, &road->dial, &events, end, &conn, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return conn;
}

static void road_deinit(struct road *road)
{
    rpc_ws_free(road->ws);
    rpc_loop_free(road->loop);
    edge_cert_free(&road->cert);
    buf_free(&road->leaf);
}
#define _road_ _cleanup_(road_deinit) struct road

static bool both_open(void *user)
{
    const struct road *road = user;

    return road->server.n_opened && road->client.n_opened;
}

static bool both_closed(void *user)
{
    const struct road *road = user;

    return road->server.n_closed && road->client.n_closed;
}

static bool is_open(void *user)
{
    return ((const struct end *)user)->n_opened > 0;
}

static bool is_closed(void *user)
{
    return ((const struct end *)user)->n_closed > 0;
}

static bool is_settled(void *user)
{
    return is_open(user) || is_closed(user);
}

static void road_open(struct road *road)
{
    road_listen(road);
    road_dial(road, &road->client);
    CHECK(edge_until(road->loop, both_open, road));
}

static void send_numbered(struct rpc_ws_conn *conn, uint32_t number, size_t size)
{
    _buf_ message = { 0 };

    buf_put_u32(&message, number);
    memset(buf_grow(&message, size - 4), (int)(number & 0xff), size - 4);
    rpc_ws_send(conn, buf_view(&message));
}

/* ---- frames ---------------------------------------------------------------------------------- */

TEST(frames_have_the_shortest_header)
{
    static const struct {
        size_t len;
        size_t header;
    } cases[] = {
        { 0, 2 }, { 125, 2 }, { 126, 4 }, { 65535, 4 }, { 65536, 10 },
    };
    static const uint8_t mask[] = { 1, 2, 3, 4 };
    static uint8_t bytes[65536];

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ plain = { 0 };
        _buf_ masked = { 0 };
        rpc_ws_frame_put(&plain, false, VIEW(bytes, cases[i].len), NULL);
        rpc_ws_frame_put(&masked, false, VIEW(bytes, cases[i].len), mask);
        CHECK_U64(plain.len, cases[i].header + cases[i].len);
        CHECK_U64(masked.len, cases[i].header + 4 + cases[i].len);
        CHECK_U64(rpc_ws_frame_run(buf_view(&plain), 1), plain.len);
        CHECK_U64(rpc_ws_frame_run(buf_view(&masked), 1), masked.len);
    }
}

TEST(masked_frames_are_those_of_rfc_6455)
{
    static const uint8_t mask[] = { 0x37, 0xfa, 0x21, 0x3d };
    static const uint8_t wanted[] = { 0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                      0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    _buf_ out = { 0 };

    rpc_ws_frame_put(&out, false, VIEW_LIT("Hello"), mask); /* 5.7's example, but binary */
    CHECK_VIEW(buf_view(&out), VIEW_ARR(wanted));
}

TEST(runs_end_where_a_frame_ends)
{
    _buf_ out = { 0 };
    static uint8_t bytes[300];

    for (int i = 0; i < 3; i++)
        rpc_ws_frame_put(&out, false, VIEW_ARR(bytes), NULL);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 1), 304);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 304), 304);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 305), 608);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 10000), 912);
}

/* ---- both ends ------------------------------------------------------------------------------- */

TEST(both_ends_open_and_see_the_same_exporter)
{
    _road_ road;

    road_init(&road);
    road_open(&road);
    CHECK_VIEW(VIEW_ARR(road.client.exporter), VIEW_ARR(road.server.exporter));
    CHECK_STR(road.server.address, "127.0.0.1");
    CHECK_STR(road.client.address, "127.0.0.1");
    CHECK_U64(road.n_judged, 1);
    CHECK_VIEW(buf_view(&road.leaf), buf_view(&road.cert.der));
}

static bool has_5000(void *user)
{
    const struct road *road = user;

    return road->client.n_messages >= 5000 || road->client.n_closed;
}

TEST(thousands_of_messages_keep_their_order)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 5000; i++)
        send_numbered(road.client.conn, i, 4 + i % 300);
    CHECK(edge_until(road.loop, has_5000, &road));
    CHECK_U64(road.client.n_messages, 5000);
    CHECK_U64(road.client.n_bytes, road.server.n_bytes);
    CHECK_U64(rpc_ws_queued(road.client.conn), 0);
}

/* Records that were read ahead do not make the socket readable again; a ping is no message. */
TEST(a_record_each_and_pings_between_are_read_to_the_end)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 5000; i++) {
        if (i % 3 == 0) /* a ping in a record of its own */
            buf_put(&road.client.conn->out.bytes, VIEW_LIT("\x89\x80\1\2\3\4"));
        CHECK(rpc_ws_conn_flush(road.client.conn));
        send_numbered(road.client.conn, i, 4 + i % 300);
        CHECK(rpc_ws_conn_flush(road.client.conn));
    }
    CHECK(edge_until(road.loop, has_5000, &road) && road.client.n_messages == 5000);
}

static bool has_3(void *user)
{
    return ((const struct road *)user)->client.n_messages >= 3 ||
           ((const struct road *)user)->client.n_closed;
}

TEST(a_whole_mebibyte_comes_back)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 3; i++)
        send_numbered(road.client.conn, i, 1 << 20);
    CHECK(edge_until(road.loop, has_3, &road));
    CHECK_U64(road.client.n_bytes, 3 << 20);
}

TEST(a_close_tells_the_other_side_code_and_reason)
{
    _road_ road;

    road_init(&road);
    road_open(&road);
    send_numbered(road.server.conn, 0, 100);
    rpc_ws_close(road.server.conn, 1008, "enough");
    send_numbered(road.server.conn, 1, 100); /* into the void */
    CHECK(edge_until(road.loop, both_closed, &road));
    CHECK_U64(road.client.n_messages, 1); /* what was queued before the close still came */
    CHECK_STR(road.client.why.text, "the other side closed: 1008 enough");
    CHECK_STR(road.server.why.text, "closed here: enough");
    CHECK_U64(road.server.why.code, ERR_CLOSED);
}

TEST(messages_over_the_limit_are_refused_until_trusted)
{
    static const struct {
        bool is_trusted;
        size_t size;
        const char *why;
    } cases[] = {
        { false, 1024, NULL },
        { false, 1025, "a message over the limit" },
        { false, 300000, "a message over the limit" },
        { true, 1025, NULL },
        { true, 2049, "a message over the limit" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        char wanted[80];
        road_init(&road);
        road.listener.max_message_before = 1024;
        road.listener.max_message = 2048;
        road.server.trusts = cases[i].is_trusted;
        road_open(&road);
        send_numbered(road.client.conn, 0, cases[i].size);
        rpc_ws_close(road.client.conn, 1000, "end");
        CHECK(edge_until(road.loop, both_closed, &road));
        CHECK_U64(road.server.n_messages, cases[i].why ? 0 : 1);
        snprintf(wanted, sizeof(wanted), "closed here: %s", cases[i].why ? cases[i].why : "");
        CHECK_STR(road.server.why.text, cases[i].why ? wanted : "the other side closed: 1000 end");
    }
}

TEST(a_reader_that_is_too_slow_is_dropped)
{
    _road_ road;

    road_init(&road);
    road.listener.max_queue = 1000;
    road_open(&road);
    for (uint32_t i = 0; i < 3; i++)
        send_numbered(road.server.conn, i, 400);
    CHECK(edge_until(road.loop, both_closed, &road));
    CHECK_U64(road.server.why.code, ERR_LIMIT);
    CHECK_STR(road.server.why.text, "too slow: more than 1000 bytes would wait to be sent");
    CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
}

TEST(a_refused_certificate_says_why)
{
    _road_ road;

    road_init(&road);
    err_set(&road.judged, ERR_BAD_CERTIFICATE, "the leaf is for another host");
    road_listen(&road);
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(road.client.why.code, ERR_BAD_CERTIFICATE);
    CHECK_STR(road.client.why.text, "the leaf is for another host");
    CHECK_U64(road.client.n_opened + road.server.n_opened, 0);
}

TEST(another_sub_protocol_is_refused)
{
    static const char *const others[] = { "wamp.2.json", "http", "client" };

    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        _road_ road;
        road_init(&road);
        road.dial.protocol = others[i];
        road_listen(&road);
        road_dial(&road, &road.client);
        CHECK(edge_until(road.loop, is_closed, &road.client));
        CHECK_U64(road.client.n_opened + road.server.n_opened + road.server.n_closed, 0);
        CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
    }
}

TEST(nobody_listening_is_a_network_failure)
{
    _road_ road;

    road_init(&road);
    road.dial.port = 1;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
    CHECK(strncmp(road.client.why.text, "connecting to 127.0.0.1 port 1: ", 32) == 0);
}

TEST(a_dial_can_be_canceled)
{
    _road_ road;
    struct rpc_ws_conn *conn;

    road_init(&road);
    road_listen(&road);
    conn = road_dial(&road, &road.client);
    rpc_ws_close(conn, 1000, "never mind");
    CHECK_U64(road.client.n_closed, 0); /* it comes from the loop */
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_STR(road.client.why.text, "closed here: never mind");
    CHECK_U64(road.client.n_opened, 0);
}

/* A gate that lets two in, and counts. */
struct gate {
    unsigned n_asked, n_connected, n_gone, n_gone_open, n_full;
};

static bool two_may(void *user, _unused_ const uint8_t key[16])
{
    struct gate *gate = user;

    gate->n_asked++;
    return gate->n_connected - gate->n_gone < 2;
}

static void *gate_connected(void *user, const uint8_t key[16])
{
    static const uint8_t loopback[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
    struct gate *gate = user;

    CHECK(memcmp(key, loopback, sizeof(loopback)) == 0);
    gate->n_connected++;
    return gate;
}

static void gate_gone(void *user, void *place, bool was_open)
{
    struct gate *gate = user;

    CHECK(place == user);
    gate->n_gone++;
    gate->n_gone_open += was_open;
}

static void gate_full(void *user)
{
    ((struct gate *)user)->n_full++;
}

static void check_accept_limit(uint32_t max_connections, struct gate *gate)
{
    _road_ road;
    struct end clients[4] = { 0 };

    road_init(&road);
    road.listener.max_connections = max_connections;
    road.listener.gate = (struct rpc_ws_gate){
        .is_full = gate_full, .connected = gate_connected, .gone = gate_gone, .user = gate
    };
    if (max_connections > 2)
        road.listener.gate.may_connect = two_may;
    road_listen(&road);
    for (size_t i = 0; i < 3; i++) {
        road_dial(&road, &clients[i]);
        CHECK(edge_until(road.loop, is_settled, &clients[i]));
        CHECK_U64(clients[i].n_opened, i < 2);
    }
    rpc_ws_close(clients[0].conn, 1000, "making room");
    CHECK(edge_until(road.loop, is_closed, &clients[0]));
    for (size_t i = 0; i < 100 && !clients[3].n_opened;
         i++) { /* the server may see the end a turn later */
        clients[3] = (struct end){ 0 };
        road_dial(&road, &clients[3]);
        CHECK(edge_until(road.loop, is_settled, &clients[3]));
    }
    CHECK_U64(clients[3].n_opened, 1);
    rpc_ws_free(STEAL(road.ws)); /* before `clients` goes */
}

TEST(connections_over_the_limit_are_not_accepted)
{
    struct gate gate = { 0 };

    check_accept_limit(2, &gate);
    CHECK(gate.n_full >= 1);
    CHECK_U64(gate.n_connected, 3);
    CHECK_U64(gate.n_gone, 3);
    CHECK_U64(gate.n_gone_open, 3);
}

TEST(connections_that_the_gate_refuses_are_not_accepted)
{
    struct gate gate = { 0 };

    check_accept_limit(100, &gate);
    CHECK_U64(gate.n_full, 0);
    CHECK(gate.n_asked > gate.n_connected);
    CHECK_U64(gate.n_gone, gate.n_connected);
}

TEST(a_new_certificate_serves_new_connections)
{
    _road_ road;
    struct edge_cert other;
    struct end second = { 0 };
    struct view chain;
    struct err err;

    road_init(&road);
    road_open(&road);
    edge_cert_make(&other, "router");
    chain = buf_view(&other.der);
    CHECK_OK(rpc_ws_set_tls(road.ws, &(struct rpc_ws_tls){ &chain, 1, buf_view(&other.key) }, &err),
             err);
    road_dial(&road, &second);
    CHECK(edge_until(road.loop, is_open, &second));
    CHECK_VIEW(buf_view(&road.leaf), buf_view(&other.der));
    CHECK_ERR(
        rpc_ws_set_tls(road.ws, &(struct rpc_ws_tls){ &chain, 1, buf_view(&road.cert.key) }, &err),
        err, ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "TLS: the key is not the certificate's");
    edge_cert_free(&other);
    rpc_ws_free(STEAL(road.ws));
}

/* ---- clients that are not ours --------------------------------------------------------------- */

#define UPGRADE(to, more)                                                                          \
    "GET / HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: " to "\r\n"                      \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" more "\r\n"
#define JOIN      UPGRADE("websocket", "Sec-WebSocket-Protocol: " PROTOCOL "\r\n")
#define CLOSED(c) "\x88" c

static bool no_page_may(_unused_ void *user, struct view origin)
{
    CHECK_VIEW(origin, VIEW_LIT("https://a.example"));
    return false;
}

TEST(strange_requests_are_answered_and_closed)
{
    static const struct {
        const char *name;
        struct view request;
        const char *wanted;
    } cases[] = {
        { "plain HTTP", VIEW_LIT("GET / HTTP/1.1\r\nHost: r\r\n\r\n"), "HTTP/1.1 426 " },
        { "HTTP, kept alive, then an unknown upgrade",
          VIEW_LIT(
              "GET / HTTP/1.1\r\nHost: r\r\nConnection: keep-alive\r\n\r\n" UPGRADE("foo", "")),
          "HTTP/1.1 426 " },
        { "HTTP/2 in the clear", VIEW_LIT(UPGRADE("h2c", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n")),
          "" },
        { "an unknown upgrade", VIEW_LIT(UPGRADE("foo", "")), "HTTP/1.0 403 " },
        { "CONNECT", VIEW_LIT("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nbytes"), "" },
        { "no sub-protocol", VIEW_LIT(UPGRADE("websocket", "")), "HTTP/1.1 400 " },
        { "the handler's own name",
          VIEW_LIT(UPGRADE("websocket", "Sec-WebSocket-Protocol: http\r\n")), "HTTP/1.1 400 " },
        { "from a web page that may not",
          VIEW_LIT(UPGRADE("websocket", "Sec-WebSocket-Protocol: " PROTOCOL
                                        "\r\nOrigin: https://a.example\r\n")),
          "HTTP/1.1 403 " },
        { "no HTTP at all", VIEW_LIT("\x16\x03\x01 what is this\r\n\r\n"), "HTTP/1.0 403 " },
        { "POST with a body",
          VIEW_LIT("POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n\r\nabcd"),
          "HTTP/1.1 426 " },
    };
    _road_ road;

    road_init(&road);
    road.listener.gate.may_upgrade = no_page_may;
    road_listen(&road);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct edge_raw *raw = edge_raw_start(road.dial.port, cases[i].request, VIEW_LIT(""), 0);
        _buf_ got = { 0 };
        if (!CHECK(edge_until(road.loop, edge_raw_is_done, raw)))
            check_failed(__FILE__, __LINE__, "%s: still open", cases[i].name);
        edge_raw_take(raw, &got);
        if (!check_view(__FILE__, __LINE__, view_sub(buf_view(&got), 0, strlen(cases[i].wanted)),
                        view_text(cases[i].wanted)) ||
            (!*cases[i].wanted && got.len))
            check_failed(__FILE__, __LINE__, "%s: %s", cases[i].name, buf_cstr(&got));
    }
    CHECK_U64(road.server.n_opened + road.server.n_closed, 0);
}

TEST(frames_that_may_not_be_are_closed_with_their_code)
{
    static const struct {
        const char *name;
        struct view request;
        struct view wanted;
    } cases[] = {
        { "text", VIEW_LIT(JOIN "\x81\x82\0\0\0\0hi"),
          VIEW_LIT("\x03\xeb"
                   "a text message") },
        { "a header that announces too much",
          VIEW_LIT(JOIN "\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0"
                        "0123456789"),
          VIEW_LIT("\x03\xf1"
                   "a message over the limit") },
        { "a length beyond all sense",
          VIEW_LIT(JOIN "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"
                        "0123456789"),
          VIEW_LIT("\x03\xf1"
                   "a message over the limit") },
    };
    _road_ road;

    road_init(&road);
    road_listen(&road);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct edge_raw *raw = edge_raw_start(road.dial.port, cases[i].request, VIEW_LIT(""), 0);
        _buf_ got = { 0 };
        if (!CHECK(edge_until(road.loop, edge_raw_is_done, raw)))
            check_failed(__FILE__, __LINE__, "%s: still open", cases[i].name);
        edge_raw_take(raw, &got);
        CHECK(view_starts(buf_view(&got), VIEW_LIT("HTTP/1.1 101 ")));
        CHECK(memmem(got.data, got.len, cases[i].wanted.data, cases[i].wanted.len) != NULL);
        CHECK_U64(road.server.n_messages, 0);
    }
}

TEST(a_message_in_too_many_pieces_is_refused)
{
    _road_ road;
    _buf_ frames = { 0 };
    _buf_ got = { 0 };
    struct edge_raw *raw;

    road_init(&road);
    road_listen(&road);
    buf_put(&frames, VIEW_LIT("\x02\x80\0\0\0\0"));
    for (int i = 0; i < 2000; i++)
        buf_put(&frames, VIEW_LIT("\x00\x80\0\0\0\0"));
    raw = edge_raw_start(road.dial.port, VIEW_LIT(JOIN), buf_view(&frames), 0);
    CHECK(edge_until(road.loop, edge_raw_is_done, raw));
    edge_raw_take(raw, &got);
    if (!CHECK(memmem(got.data, got.len,
                      "\x03\xf0"
                      "a message in too many fragments",
                      33)))
        check_failed(__FILE__, __LINE__, "%s; %s", buf_cstr(&got), road.server.why.text);
}

TEST(only_tls_1_3_is_spoken)
{
    _road_ road;
    _buf_ got = { 0 };
    struct edge_raw *raw;

    road_init(&road);
    road_listen(&road);
    raw = edge_raw_start(road.dial.port, VIEW_LIT("GET / HTTP/1.1\r\n\r\n"), VIEW_LIT(""),
                         TLS1_2_VERSION);
    CHECK(edge_until(road.loop, edge_raw_is_done, raw));
    edge_raw_take(raw, &got);
    CHECK_VIEW(buf_view(&got), VIEW_LIT("no TLS"));
}

/* ---- listening ------------------------------------------------------------------------------- */

TEST(a_port_in_use_is_an_error)
{
    _road_ road;
    struct rpc_ws *second;
    struct view chain;
    struct err err;

    road_init(&road);
    road_listen(&road);
    chain = buf_view(&road.cert.der);
    road.listener.tls = (struct rpc_ws_tls){ &chain, 1, buf_view(&road.cert.key) };
    road.listener.port = road.dial.port;
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(road.loop), &second, &err), err);
    CHECK_ERR(rpc_ws_listen(second, &road.listener, &events, NULL, &err), err, ERR_SYSTEM);
    CHECK(strstr(err.text, "Address already in use") != NULL);
    rpc_ws_free(second);
}

TEST(a_key_of_another_certificate_is_refused)
{
    _road_ road;
    struct edge_cert other;
    struct view chain;
    struct err err;

    road_init(&road);
    edge_cert_make(&other, "router");
    chain = buf_view(&road.cert.der);
    road.listener.tls = (struct rpc_ws_tls){ &chain, 1, buf_view(&other.key) };
    CHECK_ERR(rpc_ws_listen(road.ws, &road.listener, &events, NULL, &err), err,
              ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "listening: TLS: the key is not the certificate's");
    edge_cert_free(&other);
}

/* ---- timers, loops --------------------------------------------------------------------------- */

struct ticks {
    struct rpc_ws_timer *timer;
    unsigned n;
    uint64_t at[3];
};

static void on_tick(void *user)
{
    struct ticks *ticks = user;

    ticks->at[ticks->n++] = clock_mono_ms();
    if (ticks->n < 3)
        rpc_ws_timer_set(ticks->timer, clock_mono_ms() + 20);
}

static bool ticked_thrice(void *user)
{
    return ((const struct ticks *)user)->n == 3;
}

TEST(timers_are_never_early_and_can_be_moved)
{
    _road_ road;
    struct ticks ticks = { 0 }, never = { 0 };
    uint64_t start = clock_mono_ms();

    road_init(&road);
    ticks.timer = rpc_ws_timer_new(road.ws, on_tick, &ticks);
    never.timer = rpc_ws_timer_new(road.ws, on_tick, &never);
    rpc_ws_timer_set(never.timer, start + 5);
    rpc_ws_timer_set(never.timer, NEVER_MS);
    rpc_ws_timer_set(ticks.timer, start + 10000);
    rpc_ws_timer_set(ticks.timer, start + 10);
    rpc_ws_timer_set(ticks.timer, start + 30); /* later again */
    CHECK(edge_until(road.loop, ticked_thrice, &ticks));
    CHECK(ticks.at[0] >= start + 30 && ticks.at[1] >= ticks.at[0] + 20 &&
          ticks.at[2] >= ticks.at[1] + 20);
    CHECK_U64(never.n, 0);
    rpc_ws_timer_free(ticks.timer);
    rpc_ws_timer_free(never.timer);
}

TEST(the_signal_dispositions_are_left_alone)
{
    static const int signals[] = { SIGPIPE, SIGINT, SIGTERM, SIGSEGV, SIGHUP };
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct sigaction before[N_ELEMENTS(signals)], now;
    struct err err;

    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++)
        sigaction(signals[i], NULL, &before[i]);
    CHECK_OK(rpc_loop_new(&loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(loop), &ws, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
        sigaction(signals[i], NULL, &now);
        CHECK(now.sa_handler == before[i].sa_handler);
    }
    rpc_ws_free(ws);
    rpc_loop_free(loop);
    signal(SIGPIPE, SIG_IGN);
}

/* libpeer: a context of its own, on a thread of its own, beside a server that runs on libuv. */
struct glib_side {
    GMainContext *context;
    GMainLoop *loop;
    struct rpc_ws *ws;
    struct rpc_ws_dial dial;
    struct end client;
    uint32_t n_sent;
    gint is_done;
    GThread *thread;
};

static gboolean glib_look(void *user)
{
    struct glib_side *side = user;

    for (; side->client.conn && side->n_sent < 100; side->n_sent++)
        send_numbered(side->client.conn, side->n_sent, 5000);
    if (side->client.n_messages >= 100 || side->client.n_closed)
        g_main_loop_quit(side->loop);
    return G_SOURCE_CONTINUE;
}

static void *glib_run(void *user)
{
    struct glib_side *side = user;
    struct rpc_ws_conn *conn;
    GSource *source = g_timeout_source_new(5);
    struct err err;

    side->context = g_main_context_new();
    g_main_context_push_thread_default(side->context);
    side->loop = g_main_loop_new(side->context, FALSE);
    if (!rpc_ws_new(RPC_WS_GLIB, side->loop, &side->ws, &err) ||
        !rpc_ws_connect(side->ws, &side->dial, &events, &side->client, &conn, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    g_source_set_callback(source, glib_look, side, NULL);
    g_source_attach(source, side->context);
    g_main_loop_run(side->loop);
    rpc_ws_free(side->ws);
    for (int i = 0; i < 5; i++)
        g_main_context_iteration(side->context, FALSE);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_loop_unref(side->loop);
    g_main_context_pop_thread_default(side->context);
    g_main_context_unref(side->context);
    g_atomic_int_set(&side->is_done, 1);
    return NULL;
}

static bool glib_is_done(void *user)
{
    return g_atomic_int_get(&((struct glib_side *)user)->is_done) && the_road->server.n_closed;
}

TEST(a_client_on_glib_in_its_own_thread_talks_to_a_server_on_libuv)
{
    _road_ road;
    struct glib_side side = { 0 };

    road_init(&road);
    road.server.echoes = true;
    road_listen(&road);
    side.dial = road.dial;
    side.dial.judge = NULL;
    side.thread = g_thread_new("peer", glib_run, &side);
    CHECK(edge_until(road.loop, glib_is_done, &side));
    g_thread_join(side.thread);
    CHECK_U64(side.client.n_messages, 100);
    CHECK_U64(side.client.n_bytes, 500000);
    CHECK_U64(side.client.n_closed, 1); /* rpc_ws_free() said so */
    CHECK_STR(side.client.why.text, "shutting down");
}
