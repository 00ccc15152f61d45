/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include "base/log.h"
#include "tests/sim/node.h"

#include <stdio.h>
#include <stdlib.h>

enum { END_MS = 180000 }; /* longer than any call, handshake or silence */

/* ---- seeds ----------------------------------------------------------------------------------- */

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && text_read_u64(view_text(text), &n) && n ? n : otherwise;
}

uint64_t sim_seed_first(void)
{
    return from_env("WARREN_SEED", 1);
}

uint64_t sim_seed_last(uint64_t n)
{
    return from_env("WARREN_SEED", from_env("WARREN_SEEDS", n));
}

uint64_t sim_steps(uint64_t otherwise)
{
    return from_env("WARREN_STEPS", otherwise);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct sim_node *node_new(struct sim *sim, const char *name)
{
    struct sim_node *node = mem_new(struct sim_node);

    node->sim = sim;
    node->host = net_host_new(sim->net);
    snprintf(node->name, sizeof(node->name), "%s", name);
    list_init(&node->callers);
    CHECK(sim->n_nodes < SIM_NODES);
    sim->nodes[sim->n_nodes++] = node;
    return node;
}

static void start(struct sim_node *node)
{
    node->n_starts++;
    switch (node->kind) {
    case SIM_ROUTER:
        router_node_start(node);
        return;
    case SIM_DEN:
        den_node_start(node);
        return;
    case SIM_PEER:
        if (peer_node_start(node))
            talk_start(node);
    }
}

static void drop(struct sim_node *node)
{
    switch (node->kind) {
    case SIM_ROUTER:
        router_node_stop(node);
        return;
    case SIM_DEN:
        den_node_stop(node);
        return;
    case SIM_PEER:
        peer_node_stop(node);
    }
}

static void node_free(struct sim_node *node)
{
    struct sim_heard *heard;

    net_stop(node->host, true);
    drop(node);
    LIST_EACH(heard, &node->callers, node)
        free(heard);
    key_free(node->key);
    key_free(node->token);
    buf_free(&node->disk);
    buf_free(&node->admission);
    buf_free(&node->admission_sig);
    free(node);
}

struct rpc_client *node_client(struct sim_node *node)
{
    return rpc_uplink_client(node->uplink);
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = mem_new(struct sim);

    sim->seed = seed;
    sim->net = net_new(seed);
    log_open("sim", from_env("WARREN_LOG", 0) ? LOG_DEBUG : LOG_ERROR);
    sim->world = den_world_new();
    return sim;
}

struct sim_node *sim_router(struct sim *sim)
{
    struct sim_node *node = node_new(sim, "router");

    CHECK(sim->n_nodes == 1); /* whom all dial is the first host */
    buf_put(&node->disk, den_world_saved_trust(sim->world));
    node->kind = SIM_ROUTER;
    sim->router = node;
    start(node);
    return node;
}

struct sim_node *sim_den(struct sim *sim)
{
    struct sim_node *node = node_new(sim, "den");

    node->kind = SIM_DEN;
    sim->den = node;
    start(node);
    return node;
}

static struct sim_node *peer_new(struct sim *sim, const char *name, const uint8_t seed[SEED_SIZE])
{
    struct sim_node *node = node_new(sim, name);

    node->kind = SIM_PEER;
    memcpy(node->seed, seed, SEED_SIZE);
    node->key = key_from_seed(seed);
    return node;
}

struct sim_node *sim_peer(struct sim *sim, const char *name)
{
    uint8_t seed[SEED_SIZE];
    struct sim_node *node;

    random_bytes(seed, sizeof(seed));
    node = peer_new(sim, name, seed);
    node->token = den_world_token(sim->world);
    start(node);
    return node;
}

struct sim_node *sim_clone(struct sim *sim, const char *name, const struct sim_node *of)
{
    struct sim_node *node = peer_new(sim, name, of->seed);

    buf_put(&node->admission, buf_view(&of->admission));
    buf_put(&node->admission_sig, buf_view(&of->admission_sig));
    buf_put(&node->disk, buf_view(&of->disk));
    start(node);
    return node;
}

const char *sim_id(const struct sim_node *node)
{
    return node->id;
}

const struct sim_stats *sim_stats(const struct sim_node *node)
{
    struct sim_node *of = node->sim->nodes[0];

    for (size_t i = 0; i < node->sim->n_nodes; i++) {
        if (node->sim->nodes[i] == node)
            of = node->sim->nodes[i];
    }
    of->stats.n_dials = node->host->n_dials;
    of->stats.dialed_at = node->host->dialed_at;
    return &of->stats;
}

bool sim_is_running(const struct sim_node *node)
{
    return node->host->is_running;
}

bool is_bound(struct sim_node *node)
{
    return node->uplink && rpc_client_is_up(node_client(node));
}

bool is_unbound(struct sim_node *node)
{
    return !is_bound(node);
}

/* ---- time and weather ------------------------------------------------------------------------ */

uint64_t sim_draw(struct sim *sim, uint64_t below)
{
    return net_draw(sim->net, below);
}

uint64_t sim_now(const struct sim *sim)
{
    return net_now(sim->net);
}

void sim_pass(struct sim *sim, uint64_t ms)
{
    uint64_t until = net_now(sim->net) + ms;

    while (net_step(sim->net, until))
        ;
}

bool sim_until(struct sim *sim, bool (*is)(struct sim_node *node), struct sim_node *node,
               uint64_t ms)
{
    uint64_t until = net_now(sim->net) + ms;

    while (!is(node)) {
        if (!net_step(sim->net, until))
            return is(node);
    }
    return true;
}

void sim_path(struct sim_node *node, struct sim_path path)
{
    node->host->path = path;
}

void sim_cut(struct sim_node *node)
{
    node->host->is_cut = true;
}

void sim_mend(struct sim_node *node)
{
    if (!node->host->is_cut)
        return;
    node->host->is_cut = false;
    net_mended(node->host);
}

void sim_reset(struct sim_node *node)
{
    net_reset(node->host);
}

void sim_reset_after(struct sim_node *node, unsigned n_messages)
{
    node->host->reset_after = n_messages;
}

static void stop(struct sim_node *node, bool is_crash)
{
    net_stop(node->host, is_crash); /* first: so that it has no last word */
    drop(node);
}

void sim_crash(struct sim_node *node)
{
    stop(node, true);
}

void sim_kill(struct sim_node *node)
{
    stop(node, false);
}

void sim_restart(struct sim_node *node)
{
    start(node);
}

void sim_leave(struct sim_node *node)
{
    if (!node->uplink)
        return;
    node->has_left = true;
    drop(node); /* its system closes the connection after what is queued */
}

/* ---- the end --------------------------------------------------------------------------------- */

static void leave_all(struct sim *sim)
{
    for (size_t i = 0; i < sim->n_nodes; i++) {
        struct sim_node *node = sim->nodes[i];
        sim_mend(node);
        node->host->path = (struct sim_path){ .delay_ms = 5 };
        node->host->reset_after = 0;
    }
    if (!sim->router->router)
        sim_restart(sim->router);
    for (unsigned i = 0; i < END_MS / 1000 && !talk_is_done(sim); i++)
        sim_pass(sim, SEC);
    talk_check(sim);
    for (size_t i = 0; i < sim->n_nodes; i++)
        sim_leave(sim->nodes[i]);
    sim_pass(sim, END_MS);
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    if (sim->router) {
        leave_all(sim);
        router_node_check_empty(sim->router);
    }
    if (check_n_failed())
        printf("# that was seed %llu: WARREN_SEED=%llu runs it again\n",
               (unsigned long long)sim->seed, (unsigned long long)sim->seed);
    for (size_t i = sim->n_nodes; i-- > 0;)
        node_free(sim->nodes[i]);
    for (size_t i = 0; i < sim->n_calls; i++)
        free(sim->calls[i]);
    free(sim->calls);
    den_world_free(sim->world);
    net_free(sim->net);
    free(sim);
}
