/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/ws_road.h"

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

const struct rpc_ws_events road_events = { on_opened, on_message, on_closed };

struct road *the_road;

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

void road_init(struct road *road)
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

void road_listen(struct road *road)
{
    struct view chain = buf_view(&road->cert.der);
    struct err err;

    road->listener.tls = (struct rpc_ws_tls){ &chain, 1, buf_view(&road->cert.key) };
    CHECK_OK(rpc_ws_listen(road->ws, &road->listener, &road_events, &road->server, &err), err);
    road->dial.port = rpc_ws_port(road->ws);
    CHECK(road->dial.port != 0);
}

struct rpc_ws_conn *road_dial(struct road *road, struct end *end)
{
    struct rpc_ws_conn *conn = NULL;
    struct err err;

    if (!rpc_ws_connect(road->ws, &road->dial, &road_events, end, &conn, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return conn;
}

void road_deinit(struct road *road)
{
    rpc_ws_free(road->ws);
    rpc_loop_free(road->loop);
    edge_cert_free(&road->cert);
    buf_free(&road->leaf);
}

bool both_open(void *user)
{
    const struct road *road = user;

    return road->server.n_opened && road->client.n_opened;
}

bool both_closed(void *user)
{
    const struct road *road = user;

    return road->server.n_closed && road->client.n_closed;
}

bool is_open(void *user)
{
    return ((const struct end *)user)->n_opened > 0;
}

bool is_closed(void *user)
{
    return ((const struct end *)user)->n_closed > 0;
}

bool is_settled(void *user)
{
    return is_open(user) || is_closed(user);
}

void road_open(struct road *road)
{
    road_listen(road);
    road_dial(road, &road->client);
    CHECK(edge_until(road->loop, both_open, road));
}

void send_numbered(struct rpc_ws_conn *conn, uint32_t number, size_t size)
{
    _buf_ message = { 0 };

    buf_put_u32(&message, number);
    memset(buf_grow(&message, size - 4), (int)(number & 0xff), size - 4);
    rpc_ws_send(conn, buf_view(&message));
}
