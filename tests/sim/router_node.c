/* SPDX-License-Identifier: Apache-2.0 */
/* The router's core on the simulated edge: router/edge.c without JSON, a disk or signals. */
#include "router/router.h"
#include "tests/sim/node.h"

static struct router_config config;

struct wire {
    struct sim_node *node;
    struct rpc_ws_conn *ws;
    struct conn *conn;
};

static struct moment now(void)
{
    return (struct moment){ .mono = clock_mono_ms(), .wall = clock_wall_ms() };
}

static void arm(struct sim_node *node)
{
    rpc_ws_timer_set(node->deadline, router_deadline(node->router));
}

static void out_send(void *wire, struct view message)
{
    rpc_ws_send(((struct wire *)wire)->ws, message);
}

static void out_send_event(void *wire, struct parcel *parcel)
{
    out_send(wire, buf_view(&parcel->frame));
}

static size_t out_queued(void *wire)
{
    return rpc_ws_queued(((struct wire *)wire)->ws);
}

static void out_close(void *wire, const char *reason)
{
    rpc_ws_close(((struct wire *)wire)->ws, 1000, reason);
}

static void out_trusted(void *wire)
{
    (void)wire;
}

static void out_ask(void *wire, uint64_t nonce)
{
    rpc_ws_ask(((struct wire *)wire)->ws, nonce);
}

static bool out_save(void *user, struct view bytes, struct err *err)
{
    struct sim_node *node = user;

    (void)err;
    buf_clear(&node->disk);
    buf_put(&node->disk, bytes);
    return true;
}

static bool out_install(void *user, const struct view *chain, size_t n, struct err *err)
{
    (void)user;
    (void)chain;
    (void)n;
    (void)err;
    return true;
}

static void on_opened(void *user, struct rpc_ws_conn *ws)
{
    struct wire *wire = mem_new(struct wire);
    uint8_t exporter[32];

    rpc_ws_exporter(ws, exporter);
    *wire = (struct wire){ .node = user, .ws = ws };
    rpc_ws_set_user(ws, wire);
    wire->conn = router_opened(wire->node->router, now(), wire, "192.0.2.1", exporter);
    arm(wire->node);
}

static void on_message(void *user, struct rpc_ws_conn *ws, struct view message)
{
    struct wire *wire = user;

    (void)ws;
    router_input(wire->conn, now(), message);
    arm(wire->node);
}

static void on_answered(void *user, struct rpc_ws_conn *ws, uint64_t number)
{
    struct wire *wire = user;

    (void)ws;
    router_answered(wire->conn, now(), number);
    arm(wire->node);
}

static void on_closed(void *user, struct rpc_ws_conn *ws, const struct err *why)
{
    struct wire *wire = user;
    struct sim_node *node = wire->node;

    (void)ws;
    router_closed(wire->conn, now(), why->text);
    free(wire);
    arm(node);
}

static void on_deadline(void *user)
{
    struct sim_node *node = user;

    router_tick(node->router, now());
    arm(node);
}

bool router_node_start(struct sim_node *node)
{
    static const struct rpc_ws_events events = { on_opened, on_message, on_closed, on_answered };
    struct router_setup setup = {
        .config = &config,
        .key = den_world_router_key(node->sim->world),
        .certificate_not_after = NEVER_MS,
        .outside = { .send = out_send,
                     .send_event = out_send_event,
                     .queued = out_queued,
                     .close = out_close,
                     .trusted = out_trusted,
                     .ask = out_ask,
                     .save_trust = out_save,
                     .install_chain = out_install,
                     .user = node },
    };
    struct err err = { 0 };
    struct rpc_ws *ws = net_start(node->host);

    if (!config.host &&
        !router_config_parse("sim", VIEW_LIT("host = localhost:7443\n"), &config, NULL, &err))
        abort();
    if (!rpc_trust_load(buf_view(&node->disk), sim_judge, &setup.trust, &err)) {
        check_failed(__FILE__, __LINE__, "router: %s", err.text);
        return false;
    }
    node->router = router_new(&setup, now());
    node->deadline = rpc_ws_timer_new(ws, on_deadline, node);
    net_listen(ws, (size_t)config.max_queue, &events, node);
    return true;
}

/* Its process is gone, and every wire with it (net_stop() came before): nobody hears a last word. */
void router_node_stop(struct sim_node *node)
{
    struct wire **wires = NULL;
    struct conn *conn;
    size_t n = 0;

    if (!node->router)
        return;
    LIST_EACH(conn, &node->router->conns, of_router) {
        wires = mem_resize(wires, n + 1, sizeof(struct wire *));
        wires[n++] = conn->wire;
    }
    router_free(STEAL(node->router));
    while (n)
        free(wires[--n]);
    free(wires);
    rpc_ws_timer_free(STEAL(node->deadline));
}

void router_node_check_empty(const struct sim_node *node)
{
    const struct router *router = node->router;
    const struct realm *home = router->home;

    CHECK(list_is_empty(&router->conns));
    CHECK_U64(map_count(router->by_id), 0);
    CHECK_U64(map_count(home->by_session), 0);
    CHECK_U64(dealer_n_calls(home->dealer), 0);
    CHECK_U64(dealer_n_registrations(home->dealer), 0);
    CHECK_U64(broker_n_subscriptions(home->broker), 0);
}

struct router *sim_router_core(struct sim *sim)
{
    return sim->router->router;
}

bool sim_is_known(struct sim *sim, const struct sim_node *node)
{
    return router_find(sim->router->router, view_text(node->id)) != NULL;
}
