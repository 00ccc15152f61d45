/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/edge.h"
#include "tests/unit/rpc/fake_router.h"

#include "base/clock.h"

#include <signal.h>
#include <string.h>

/* A listening edge with a scripted router behind it, and uplinks to it, on one loop. */
struct road {
    struct rpc_loop *loop;
    struct rpc_ws *server, *ws;
    struct edge_cert cert;
    uint16_t port;
    struct fake_router router;
    struct rpc_ws_conn *conn; /* the newest */
    struct key *key;
    struct rpc_trust *trust;
    struct rpc_uplink *uplink;
    unsigned n_accepted, n_up, n_down, n_retries, n_judged;
    bool refuses_certificate;
    uint64_t pauses[16];
    struct err why; /* of the last retry */
    unsigned n_results, n_failures;
};

/* ---- the router's side ----------------------------------------------------------------------- */

static void send_to_client(void *user, struct view frame)
{
    struct road *road = user;

    if (road->conn)
        rpc_ws_send(road->conn, frame);
}

static void server_opened(void *user, struct rpc_ws_conn *conn)
{
    struct road *road = user;
    uint8_t exporter[32];

    road->conn = conn;
    road->n_accepted++;
    CHECK(rpc_ws_exporter(conn, exporter));
    fake_router_opened(&road->router, exporter);
}

static void server_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    (void)conn;
    fake_router_input(&((struct road *)user)->router, message);
}

static void server_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct road *road = user;

    (void)why;
    if (road->conn == conn)
        road->conn = NULL;
}

static const struct rpc_ws_events server_events = { server_opened, server_message, server_closed };

static void road_listen(struct road *road)
{
    struct view chain = buf_view(&road->cert.der);
    struct rpc_ws_listener listener = {
        .host = "127.0.0.1",
        .port = road->port,
        .tls = { &chain, 1, buf_view(&road->cert.key) },
        .protocol = "wamp.2.msgpack",
        .max_connections = 10,
        .max_message_before = 1 << 20,
        .max_message = 1 << 20,
        .max_queue = 1 << 20,
    };
    struct err err;

    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(road->loop), &road->server, &err), err);
    CHECK_OK(rpc_ws_listen(road->server, &listener, &server_events, road, &err), err);
    road->port = rpc_ws_port(road->server);
}

/* ---- the client's side ----------------------------------------------------------------------- */

static void on_up(void *user)
{
    ((struct road *)user)->n_up++;
}

static void on_down(void *user, const struct err *why)
{
    (void)why;
    ((struct road *)user)->n_down++;
}

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    struct road *road = user;

    road->why = *why;
    if (road->n_retries < N_ELEMENTS(road->pauses))
        road->pauses[road->n_retries] = pause_ms;
    road->n_retries++;
}

static bool judge(void *user, const char *host, const struct view *chain, size_t n, struct err *err)
{
    CHECK_STR(host, "127.0.0.1");
    struct road *road = user;

    road->n_judged++;
    CHECK_U64(n, 1);
    CHECK_VIEW(chain[0], buf_view(&road->cert.der));
    return !road->refuses_certificate || err_set(err, ERR_BAD_CERTIFICATE, "it has expired");
}

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    struct road *road = user;

    road->n_results += outcome->what == RPC_RESULTED;
    road->n_failures += outcome->what == RPC_FAILED;
}

static void road_init(struct road *road)
{
    struct err err;

    *road = (struct road){ 0 };
    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(key_init(&err), err);
    fake_router_init(&road->router);
    road->router.send = send_to_client;
    road->router.user = road;
    edge_cert_make(&road->cert, "router");
    road->key = key_new();
    road->trust = fake_router_trust(&road->router);
    CHECK_OK(rpc_loop_new(&road->loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(road->loop), &road->ws, &err), err);
}

static void road_uplink(struct road *road, uint16_t first_port)
{
    struct rpc_join_host hosts[] = { { "127.0.0.1", first_port ? first_port : road->port },
                                     { "127.0.0.1", road->port } };
    struct rpc_uplink_config config = {
        .ws = road->ws,
        .hosts = hosts,
        .n_hosts = first_port ? 2 : 1,
        .server_name = "router.corp.example",
        .judge = judge,
        .on_retry = on_retry,
        .client = { .agent = "test/1",
                    .key = road->key,
                    .trust = road->trust,
                    .on_up = on_up,
                    .on_down = on_down,
                    .wall = fake_wall,
                    .user = road },
    };
    struct err err;

    CHECK_OK(rpc_uplink_new(&config, &road->uplink, &err), err);
}

static void road_deinit(struct road *road)
{
    rpc_uplink_free(road->uplink);
    rpc_ws_free(road->ws);
    rpc_ws_free(road->server);
    rpc_loop_free(road->loop);
    rpc_trust_free(road->trust);
    key_free(road->key);
    edge_cert_free(&road->cert);
    fake_router_deinit(&road->router);
}
#define _road_ _cleanup_(road_deinit) struct road

static bool is_up(void *user)
{
    return rpc_client_is_up(rpc_uplink_client(((struct road *)user)->uplink));
}

static bool is_down(void *user)
{
    return !is_up(user);
}

static bool has_retried(void *user)
{
    return ((const struct road *)user)->n_retries > 0;
}

static bool has_retried_twice(void *user)
{
    return ((const struct road *)user)->n_retries > 1;
}

static bool has_outcome(void *user)
{
    return ((const struct road *)user)->n_results + ((const struct road *)user)->n_failures > 0;
}

static bool is_gone(void *user)
{
    return ((const struct road *)user)->conn == NULL;
}

/* ---- */

TEST(an_uplink_joins_and_calls)
{
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road_uplink(&road, 0);
    CHECK(edge_until(road.loop, is_up, &road));
    CHECK(road.router.has_proved);
    CHECK_U64(road.n_judged, 1);
    rpc_client_call(rpc_uplink_client(road.uplink), clock_mono_ms(), "a.echo", VIEW_LIT(""), 5000,
                    false, on_outcome, &road);
    rpc_uplink_flush(road.uplink);
    CHECK(edge_until(road.loop, has_outcome, &road));
    CHECK_U64(road.n_results, 1);
}

TEST(the_deadline_of_a_call_is_kept_by_the_loop)
{
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road_uplink(&road, 0);
    CHECK(edge_until(road.loop, is_up, &road));
    rpc_client_call(rpc_uplink_client(road.uplink), clock_mono_ms(), "a.silent", VIEW_LIT(""), 20,
                    false, on_outcome, &road);
    rpc_uplink_flush(road.uplink);
    CHECK(edge_until(road.loop, has_outcome, &road));
    CHECK_U64(road.n_failures, 1);
}

TEST(a_call_before_there_is_a_session_fails_by_itself)
{
    _road_ road;

    road_init(&road);
    road.port = 1;
    road_uplink(&road, 0);
    rpc_client_call(rpc_uplink_client(road.uplink), clock_mono_ms(), "a.echo", VIEW_LIT(""), 5000,
                    false, on_outcome, &road);
    rpc_uplink_flush(road.uplink);
    CHECK(edge_until(road.loop, has_outcome, &road));
    CHECK_U64(road.n_failures, 1);
}

TEST(an_uplink_comes_back_when_the_router_does)
{
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road_uplink(&road, 0);
    CHECK(edge_until(road.loop, is_up, &road));
    rpc_ws_free(STEAL(road.server));
    CHECK(edge_until(road.loop, is_down, &road));
    CHECK_U64(road.n_down, 1);
    CHECK(edge_until(road.loop, has_retried_twice, &road)); /* nobody listens */
    CHECK_U64(road.why.code, ERR_NETWORK_FAILURE);
    road_listen(&road);
    CHECK(edge_until(road.loop, is_up, &road));
    CHECK_U64(road.n_up, 2);
}

TEST(pauses_are_told)
{
    _road_ road;

    road_init(&road);
    road.port = 1;
    road_uplink(&road, 0);
    CHECK(edge_until(road.loop, has_retried_twice, &road));
    CHECK(road.pauses[0] >= 50 && road.pauses[0] <= 500);
    CHECK(road.pauses[1] >= 50 && road.pauses[1] <= 6000);
    CHECK(strncmp(road.why.text, "connecting to 127.0.0.1 port 1: ", 32) == 0);
}

TEST(the_next_host_is_tried_when_one_is_dead)
{
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road_uplink(&road, 1);
    CHECK(edge_until(road.loop, is_up, &road));
    CHECK_U64(road.n_retries, 1);
}

TEST(a_refused_router_is_told_with_its_reason)
{
    static const struct {
        enum fake_lie lie;
        bool bad_certificate;
        enum err_code code;
        const char *text;
    } cases[] = {
        { LIE_NONE, true, ERR_BAD_CERTIFICATE, "it has expired" },
        { LIE_SIGNER, false, ERR_BAD_SIGNATURE,
          "CHALLENGE: netsign: the router's proof does not verify: another key, or somebody in "
          "between" },
        { LIE_NO_HEARTBEAT, false, ERR_DEN_AWAY,
          "CHALLENGE: the network's authority (den) was not there yet" },
        { LIE_ABORT, false, ERR_NO_SUCH_REALM,
          "the router refused: the router does not serve this network" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        road_init(&road);
        road_listen(&road);
        road.router.lie = cases[i].lie;
        road.refuses_certificate = cases[i].bad_certificate;
        road_uplink(&road, 0);
        CHECK(edge_until(road.loop, has_retried, &road));
        CHECK_U64(road.why.code, cases[i].code);
        CHECK_STR(road.why.text, cases[i].text);
        CHECK_U64(road.n_up, 0);
        CHECK_U64(road.n_down, cases[i].bad_certificate ? 0 : 1);
    }
}

TEST(an_uplink_that_goes_says_goodbye)
{
    _road_ road;
    bool has_said = false;

    road_init(&road);
    road_listen(&road);
    road_uplink(&road, 0);
    CHECK(edge_until(road.loop, is_up, &road));
    rpc_uplink_free(STEAL(road.uplink));
    CHECK(edge_until(road.loop, is_gone, &road));
    for (size_t i = 0; i < road.router.n_seen; i++)
        has_said = has_said || road.router.seen[i].type == RPC_GOODBYE;
    CHECK(has_said);
}
