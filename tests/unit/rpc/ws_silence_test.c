/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a connection in one edge; the ticks that pass are made by the test. */
#include "rpc/ws_conn.h"
#include "tests/unit/rpc/edge.h"

#include "base/key.h"

struct ends {
    struct rpc_ws_conn *conn[2];
    size_t n_opened, n_closed;
    struct err why;
};

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct ends *ends = user;

    ends->conn[ends->n_opened++ % 2] = conn;
}

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    (void)user;
    (void)conn;
    (void)message;
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct ends *ends = user;

    (void)conn;
    ends->n_closed++;
    ends->why = *why;
}

static bool are_open(void *user)
{
    return ((const struct ends *)user)->n_opened == 2;
}

static bool are_closed(void *user)
{
    return ((const struct ends *)user)->n_closed == 2;
}

static bool are_heard(void *user)
{
    const struct ends *ends = user;
    uint64_t now = ends->conn[0]->hub->n_ticks;

    return ends->conn[0]->heard_at == now && ends->conn[1]->heard_at == now;
}

static const struct rpc_ws_events events = { on_opened, on_message, on_closed };

static void open_both(struct rpc_ws *ws, const struct edge_cert *cert, struct ends *ends)
{
    struct view chain = buf_view(&cert->der);
    struct rpc_ws_listener listener = { .host = "127.0.0.1",
                                        .tls = { &chain, 1, buf_view(&cert->key) },
                                        .protocol = "test.1",
                                        .max_connections = 2,
                                        .max_message_before = 1024,
                                        .max_message = 1024,
                                        .max_queue = 65536 };
    struct rpc_ws_dial dial = { .host = "127.0.0.1", .protocol = "test.1", .max_message = 1024 };
    struct rpc_ws_conn *conn;
    struct err err;

    CHECK_OK(rpc_ws_listen(ws, &listener, &events, ends, &err), err);
    dial.port = rpc_ws_port(ws);
    CHECK_OK(rpc_ws_connect(ws, &dial, &events, ends, &conn, &err), err);
}

static void play(bool answers)
{
    struct ends ends = { 0 };
    struct edge_cert cert;
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct err err;

    CHECK_OK(key_init(&err), err);
    edge_cert_make(&cert, "router");
    CHECK_OK(rpc_loop_new(&loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(loop), &ws, &err), err);
    open_both(ws, &cert, &ends);
    if (CHECK(edge_until(loop, are_open, &ends))) {
        struct rpc_ws_hub *hub = ends.conn[0]->hub;
        for (uint64_t until = hub->n_ticks + (answers ? 6 : 9); hub->n_ticks < until;)
            rpc_ws_hub_tick(hub);
        CHECK(edge_until(loop, answers ? are_heard : are_closed, &ends));
        CHECK_U64(ends.n_closed, answers ? 0 : 2);
        CHECK_STR(ends.why.text, answers ? "" : "the other side is silent");
    }
    rpc_ws_free(ws);
    rpc_loop_free(loop);
    edge_cert_free(&cert);
}

TEST(who_is_silent_is_pinged_and_answers)
{
    const bool answers = true;

    play(answers);
}

TEST(who_stays_silent_is_cut)
{
    const bool answers = false;

    play(answers);
}
