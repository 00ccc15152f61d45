/* SPDX-License-Identifier: Apache-2.0 */
/* The sub-protocols of one listener: which one a client gets, and how its messages stand on the
 * wire. */
#include "tests/unit/rpc/edge.h"

#include "base/key.h"

#include <signal.h>
#include <stdio.h>

static const char *const served[] = { "wamp.2.msgpack", "wamp.2.json", "wamp.2.msgpack.batched",
                                      "wamp.2.json.batched", NULL };

struct end {
    struct rpc_ws_conn *conn;
    unsigned n_opened, n_messages, n_closed;
    bool echoes;
    unsigned closes_after; /* so many messages; 0: never */
    struct buf got;        /* messages with a line feed behind each */
    char protocol[64];
    struct err why;
};

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct end *end = user;

    end->conn = conn;
    end->n_opened++;
    snprintf(end->protocol, sizeof(end->protocol), "%s", rpc_ws_protocol(conn)->name);
}

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct end *end = user;

    end->n_messages++;
    buf_put(&end->got, message);
    buf_put_u8(&end->got, '\n');
    if (end->echoes)
        rpc_ws_send(conn, message);
    if (end->n_messages == end->closes_after)
        rpc_ws_close(conn, 1000, "enough");
}

static void on_closed(void *user, _unused_ struct rpc_ws_conn *conn, const struct err *why)
{
    struct end *end = user;

    end->n_closed++;
    end->why = *why;
}

static const struct rpc_ws_events events = { on_opened, on_message, on_closed };

struct road {
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct edge_cert cert;
    struct end server, client;
};

static void road_init(struct road *road)
{
    struct rpc_ws_listener listener = {
        .host = "127.0.0.1",
        .protocols = served,
        .max_connections = 100,
        .max_message_before = 1 << 20,
        .max_message = 1 << 20,
        .max_queue = 4 << 20,
    };
    struct view chain;
    struct err err;

    *road = (struct road){ 0 };
    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(key_init(&err), err);
    edge_cert_make(&road->cert, "router");
    chain = buf_view(&road->cert.der);
    listener.tls = (struct rpc_ws_tls){ &chain, 1, buf_view(&road->cert.key) };
    CHECK_OK(rpc_loop_new(&road->loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(road->loop), &road->ws, &err), err);
    CHECK_OK(rpc_ws_listen(road->ws, &listener, &events, &road->server, &err), err);
}

static void road_deinit(struct road *road)
{
    rpc_ws_free(road->ws);
    rpc_loop_free(road->loop);
    edge_cert_free(&road->cert);
    buf_free(&road->server.got);
    buf_free(&road->client.got);
}
#define _road_ _cleanup_(road_deinit) struct road

static bool both_open(void *user)
{
    const struct road *road = user;

    return (road->server.n_opened && road->client.n_opened) || road->client.n_closed;
}

static void road_open(struct road *road, const char *protocol)
{
    struct rpc_ws_dial dial = {
        .host = "127.0.0.1",
        .port = rpc_ws_port(road->ws),
        .protocol = protocol,
        .max_message = 1 << 20,
    };
    struct rpc_ws_conn *conn;
    struct err err;

    CHECK_OK(rpc_ws_connect(road->ws, &dial, &events, &road->client, &conn, &err), err);
    CHECK(edge_until(road->loop, both_open, road));
}

/* What a client gets that is not ours: the upgrade's answer and all that follows. */
static struct buf talk(struct road *road, const char *offered, struct view frames)
{
    _free_ char *request =
        mem_format("GET / HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Sec-WebSocket-Protocol: %s\r\n\r\n",
                   offered);
    struct edge_raw *raw = edge_raw_start(rpc_ws_port(road->ws), view_text(request), frames, 0);
    struct buf got = { 0 };

    CHECK(edge_until(road->loop, edge_raw_is_done, raw));
    edge_raw_take(raw, &got);
    return got;
}

static bool has(const struct buf *buf, struct view what)
{
    return buf->len && memmem(buf->data, buf->len, what.data, what.len);
}

/* Frames of a client, masked with zeros: a close of code 1000, and one of either kind. */
#define CLOSE      "\x88\x82\0\0\0\0\x03\xe8"
#define TEXT(n, s) "\x81" n "\0\0\0\0" s
#define BIN(n, s)  "\x82" n "\0\0\0\0" s

TEST(a_client_s_order_decides)
{
    static const struct {
        const char *offered, *wanted;
    } cases[] = {
        { "wamp.2.json", "wamp.2.json" },
        { "wamp.2.json, wamp.2.msgpack", "wamp.2.json" },
        { "wamp.2.msgpack, wamp.2.json", "wamp.2.msgpack" },
        { "wamp.2.cbor, wamp.2.json.batched, wamp.2.msgpack", "wamp.2.json.batched" },
        { "wamp.2.cbor.batched,wamp.2.flatbuffers,wamp.2.msgpack.batched",
          "wamp.2.msgpack.batched" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        road_init(&road);
        _buf_ got = talk(&road, cases[i].offered, VIEW_LIT(CLOSE));
        _free_ char *line = mem_format("Protocol: %s\r\n", cases[i].wanted);
        CHECK_STR(road.server.protocol, cases[i].wanted);
        for (size_t k = 0; k + 1 < got.len; k++) /* the header's name in lower case */
            if (got.data[k] == 'p' &&
                view_starts(VIEW(got.data + k, got.len - k), VIEW_LIT("protocol:")))
                got.data[k] = 'P';
        if (!CHECK(has(&got, view_text(line))))
            check_failed(__FILE__, __LINE__, "%s: %s", cases[i].offered, buf_cstr(&got));
    }
}

TEST(what_is_not_served_is_refused)
{
    static const char *const cases[] = { "wamp.2.cbor", "http", "wamp.2.jso", "wamp.2.json.batch" };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        road_init(&road);
        _buf_ got = talk(&road, cases[i], VIEW_LIT(CLOSE));
        CHECK(!has(&got, VIEW_LIT(" 101 ")));
        CHECK_U64(road.server.n_opened, 0);
    }
}

TEST(messages_have_the_opcode_and_the_framing_of_their_sub_protocol)
{
    static const struct {
        const char *protocol;
        struct view sent, wanted;
    } cases[] = {
        { "wamp.2.msgpack", VIEW_LIT(BIN("\x82", "hi")), VIEW_LIT("\x82\x02hi") },
        { "wamp.2.json", VIEW_LIT(TEXT("\x82", "hi")), VIEW_LIT("\x81\x02hi") },
        /* two come and two go in one message */
        { "wamp.2.msgpack.batched", VIEW_LIT(BIN("\x8b", "\0\0\0\x02hi\0\0\0\x01!")),
          VIEW_LIT("\x82\x0b\0\0\0\x02hi\0\0\0\x01!") },
        { "wamp.2.json.batched", VIEW_LIT(TEXT("\x85", "hi\x1e!\x1e")),
          VIEW_LIT("\x81\x05hi\x1e!\x1e") },
        /* also when it comes in pieces */
        { "wamp.2.json.batched",
          VIEW_LIT("\x01\x81\0\0\0\0h"
                   "\x00\x82\0\0\0\0i\x1e"
                   "\x80\x82\0\0\0\0!\x1e"),
          VIEW_LIT("\x81\x05hi\x1e!\x1e") },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        _buf_ frames = { 0 };
        road_init(&road);
        road.server.echoes = true;
        buf_put(&frames, cases[i].sent);
        buf_put(&frames, VIEW_LIT(CLOSE));
        _buf_ got = talk(&road, cases[i].protocol, buf_view(&frames));
        if (!CHECK(has(&got, cases[i].wanted)))
            check_failed(__FILE__, __LINE__, "%s, row %zu", cases[i].protocol, i);
        CHECK_VIEW(buf_view(&road.server.got),
                   rpc_ws_protocol_named(cases[i].protocol).batch == RPC_BATCH_NONE
                       ? VIEW_LIT("hi\n")
                       : VIEW_LIT("hi\n!\n"));
    }
}

TEST(wrong_kinds_and_malformed_batches_are_closed_with_their_code)
{
    static const struct {
        const char *protocol;
        struct view sent, wanted;
    } cases[] = {
        { "wamp.2.msgpack", VIEW_LIT(TEXT("\x82", "hi")),
          VIEW_LIT("\x03\xeb"
                   "a text message") },
        { "wamp.2.msgpack.batched", VIEW_LIT(TEXT("\x82", "hi")),
          VIEW_LIT("\x03\xeb"
                   "a text message") },
        { "wamp.2.json", VIEW_LIT(BIN("\x82", "hi")),
          VIEW_LIT("\x03\xeb"
                   "a binary message") },
        { "wamp.2.json.batched", VIEW_LIT(BIN("\x82", "hi")),
          VIEW_LIT("\x03\xeb"
                   "a binary message") },
        { "wamp.2.json.batched", VIEW_LIT(TEXT("\x85", "hi\x1e!!")),
          VIEW_LIT("\x03\xef"
                   "batch: byte 3: no separator at the end") },
        { "wamp.2.msgpack.batched", VIEW_LIT(BIN("\x8b", "\0\0\0\x02hi\0\0\0\x02!")),
          VIEW_LIT("\x03\xef"
                   "batch: byte 6: cut short") },
        { "wamp.2.msgpack.batched", VIEW_LIT(BIN("\x80", "")),
          VIEW_LIT("\x03\xef"
                   "batch: empty") },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        road_init(&road);
        _buf_ got = talk(&road, cases[i].protocol, cases[i].sent);
        if (!CHECK(has(&got, cases[i].wanted)))
            check_failed(__FILE__, __LINE__, "%s, row %zu", cases[i].protocol, i);
        CHECK_U64(road.server.n_messages, 0); /* not even those before the fault */
        CHECK_U64(road.server.n_closed, 1);
    }
}

TEST(text_that_is_not_utf8_is_closed)
{
    _road_ road;

    road_init(&road);
    _buf_ got = talk(&road, "wamp.2.json", VIEW_LIT(TEXT("\x82", "h\xff")));
    CHECK_U64(road.server.n_messages, 0);
    CHECK_U64(road.server.n_closed, 1);
    CHECK(has(&got, VIEW_LIT(" 101 ")));
}

static bool has_all(void *user)
{
    const struct road *road = user;

    return road->client.n_messages >= 3000 || road->client.n_closed;
}

/* Our own client over each of them: thousands, of every size, in order. */
TEST(every_sub_protocol_carries_thousands_in_order)
{
    for (size_t i = 0; served[i]; i++) {
        _road_ road;
        _buf_ wanted = { 0 };
        road_init(&road);
        road.server.echoes = true;
        road_open(&road, served[i]);
        CHECK_STR(road.server.protocol, served[i]);
        CHECK_STR(road.client.protocol, served[i]);
        if (!road.client.conn)
            return;
        for (unsigned n = 0; n < 3000; n++) {
            size_t from = wanted.len, size = n % 500 == 499 ? 100000 : n % 300;
            buf_printf(&wanted, "[%u,\"", n);
            memset(buf_grow(&wanted, size + 1), 'x', size + 1);
            buf_put_text(&wanted, "\"]");
            rpc_ws_send(road.client.conn, view_sub(buf_view(&wanted), from, wanted.len));
            buf_put_u8(&wanted, '\n');
        }
        CHECK(edge_until(road.loop, has_all, &road));
        CHECK(view_eq(buf_view(&road.server.got), buf_view(&wanted)));
        CHECK(view_eq(buf_view(&road.client.got), buf_view(&wanted)));
        CHECK_U64(rpc_ws_queued(road.client.conn), 0);
    }
}

static bool both_closed(void *user)
{
    const struct road *road = user;

    return road->client.n_closed && road->server.n_closed;
}

/* Whoever closes in the middle of a batch hears nothing more of it; what it said still leaves. */
TEST(a_close_ends_the_batch)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road.server.closes_after = 2;
    road_open(&road, "wamp.2.json.batched");
    for (int i = 0; i < 5; i++)
        rpc_ws_send(road.client.conn, VIEW_LIT("x"));
    CHECK(edge_until(road.loop, both_closed, &road));
    CHECK_U64(road.server.n_messages, 2);
    CHECK_VIEW(buf_view(&road.client.got), VIEW_LIT("x\nx\n"));
    CHECK_STR(road.client.why.text, "the other side closed: 1000 enough");
}
