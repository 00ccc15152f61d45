/* SPDX-License-Identifier: Apache-2.0 */
/* Who may come in, and how: limits, certificates, clients that are not ours. */
#include "tests/unit/rpc/ws_road.h"

#include <openssl/ssl.h>

/* ---- the gate ------------------------------------------------------------------------------- */

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
    CHECK_ERR(rpc_ws_listen(second, &road.listener, &road_events, NULL, &err), err, ERR_SYSTEM);
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
    CHECK_ERR(rpc_ws_listen(road.ws, &road.listener, &road_events, NULL, &err), err,
              ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "listening: TLS: the key is not the certificate's");
    edge_cert_free(&other);
}
