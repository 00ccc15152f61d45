/* SPDX-License-Identifier: Apache-2.0 */
/* A client that comes again resumes its TLS session: without another look at certificates, with
 * keys of its own. */
#include "rpc/ws_conn.h"
#include "tests/unit/rpc/edge.h"

#include "base/key.h"

#include <openssl/ssl.h>

struct end {
    struct rpc_ws_conn *conn; /* NULL once it is closed */
    unsigned n_opened, n_closed;
    uint8_t exporter[32];
    bool is_resumed;
    struct err why;
};

static struct scene {
    struct rpc_loop *loop;
    struct rpc_ws *ws, *dialer;
    struct edge_cert cert;
    struct rpc_ws_dial dial;
    struct end server, client;
    unsigned n_judged;
    bool is_bad; /* says the judge */
} scene;

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct end *end = user;

    end->conn = conn;
    end->n_opened++;
    end->is_resumed = rpc_ws_is_resumed(conn);
    CHECK(rpc_ws_exporter(conn, end->exporter));
}

static void on_message(_unused_ void *user, _unused_ struct rpc_ws_conn *conn,
                       _unused_ struct view message)
{
}

static void on_closed(void *user, _unused_ struct rpc_ws_conn *conn, const struct err *why)
{
    struct end *end = user;

    end->conn = NULL;
    end->n_closed++;
    end->why = *why;
}

static bool judge(_unused_ void *user, const struct view *chain, size_t n, struct err *err)
{
    scene.n_judged++;
    CHECK(n == 1 && view_eq(chain[0], buf_view(&scene.cert.der)));
    return !scene.is_bad || err_set(err, ERR_REVOKED, "not that one any more");
}

static const struct rpc_ws_events events = { on_opened, on_message, on_closed };

static struct rpc_ws_tls tls_of(const struct edge_cert *cert, struct view *chain)
{
    *chain = buf_view(&cert->der);
    return (struct rpc_ws_tls){ chain, 1, buf_view(&cert->key) };
}

static void scene_open(void)
{
    struct rpc_ws_listener listener = { .host = "127.0.0.1",
                                        .protocol = "test.1",
                                        .max_connections = 9,
                                        .max_message_before = 1024,
                                        .max_message = 1024,
                                        .max_queue = 65536 };
    struct view chain;
    struct err err;

    scene = (struct scene){ 0 };
    CHECK_OK(key_init(&err), err);
    edge_cert_make(&scene.cert, "router");
    listener.tls = tls_of(&scene.cert, &chain);
    CHECK_OK(rpc_loop_new(&scene.loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(scene.loop), &scene.ws, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(scene.loop), &scene.dialer, &err), err);
    CHECK_OK(rpc_ws_listen(scene.ws, &listener, &events, &scene.server, &err), err);
    scene.dial = (struct rpc_ws_dial){ .host = "127.0.0.1",
                                       .port = rpc_ws_port(scene.ws),
                                       .server_name = "router.one.example",
                                       .protocol = "test.1",
                                       .max_message = 1024,
                                       .judge = judge };
}

static void scene_close(void)
{
    rpc_ws_free(scene.ws);
    rpc_ws_free(scene.dialer);
    rpc_loop_free(scene.loop);
    edge_cert_free(&scene.cert);
}

static bool is_settled(_unused_ void *user)
{
    return scene.client.n_closed || (scene.client.conn && scene.server.conn);
}

static bool is_over(_unused_ void *user)
{
    return !scene.client.conn && !scene.server.conn;
}

/* One connection, open or refused. */
static void come(void)
{
    struct rpc_ws_conn *conn;
    struct err err;

    scene.client = scene.server = (struct end){ 0 };
    scene.n_judged = 0;
    CHECK_OK(rpc_ws_connect(scene.dialer, &scene.dial, &events, &scene.client, &conn, &err), err);
    CHECK(edge_until(scene.loop, is_settled, NULL));
}

static void go(void)
{
    if (scene.client.conn)
        rpc_ws_close(scene.client.conn, 1000, "done");
    CHECK(edge_until(scene.loop, is_over, NULL));
}

static bool came_resumed(void)
{
    CHECK(scene.client.n_opened == 1);
    CHECK(scene.client.is_resumed == scene.server.is_resumed);
    CHECK_VIEW(VIEW_ARR(scene.client.exporter), VIEW_ARR(scene.server.exporter));
    return scene.client.is_resumed;
}

TEST(who_comes_again_resumes_with_another_exporter)
{
    uint8_t before[32];

    scene_open();
    come();
    CHECK(!came_resumed());
    for (int i = 0; i < 3; i++) {
        memcpy(before, scene.client.exporter, sizeof(before));
        go();
        come();
        CHECK(came_resumed());
        CHECK(memcmp(before, scene.client.exporter, sizeof(before)) != 0);
        CHECK_U64(scene.n_judged, 1); /* the chain that it stands on, again */
    }
    go();
    scene_close();
}

TEST(nothing_is_sent_before_the_handshake_is_through)
{
    const struct rpc_ws_tickets *tickets;

    scene_open();
    come();
    tickets = &scene.client.conn->hub->tickets;
    if (CHECK(tickets->n == 1))
        CHECK_U64(SSL_SESSION_get_max_early_data(tickets->held[0].session), 0);
    go();
    scene_close();
}

TEST(a_ticket_is_worth_what_its_certificate_is_worth_today)
{
    scene_open();
    come();
    go();
    scene.is_bad = true;
    come();
    CHECK_U64(scene.client.n_opened, 0);
    CHECK_STR(scene.client.why.text, "not that one any more");
    CHECK_U64(scene.n_judged, 2); /* the ticket's, and the one that was shown then */
    scene.is_bad = false;
    come();
    CHECK(!came_resumed());
    go();
    scene_close();
}

TEST(another_certificate_ends_all_tickets)
{
    struct view chain;
    struct err err;

    scene_open();
    come();
    go();
    struct rpc_ws_tls tls = tls_of(&scene.cert, &chain);
    CHECK_OK(rpc_ws_set_tls(scene.ws, &tls, &err), err);
    come();
    CHECK(!came_resumed());
    go();
    come();
    CHECK(came_resumed());
    go();
    scene_close();
}

/* One ticket is used after its key was turned `n` times. */
static bool resumes_after(int n)
{
    bool is_resumed;

    scene_open();
    come();
    for (int i = 0; i < n; i++)
        rpc_ws_tickets_turn(SSL_get_SSL_CTX(rpc_ws_wire_ssl(scene.server.conn)));
    go();
    come();
    is_resumed = came_resumed();
    go();
    scene_close();
    return is_resumed;
}

TEST(keys_of_tickets_change)
{
    CHECK(resumes_after(1));
    CHECK(!resumes_after(2));
}

TEST(tickets_are_for_one_server_and_for_those_who_want_them)
{
    scene_open();
    come();
    go();
    scene.dial.server_name = "router.two.example";
    come();
    CHECK(!came_resumed());
    go();
    scene.dial.is_fresh = true;
    come();
    CHECK(!came_resumed());
    go();
    scene.dial.is_fresh = false;
    come();
    CHECK(came_resumed());
    go();
    scene_close();
}
