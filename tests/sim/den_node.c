/* SPDX-License-Identifier: Apache-2.0 */
/* den's core and store on the simulated edge: den/den.c without files and signals. */
#include "tests/sim/node.h"
#include "tests/unit/den/world.h"

struct served {
    struct sim_node *node;
    const char *procedure;
};
static struct served served[64]; /* one den at a time */

static struct sim_node *of(void *user)
{
    return user;
}

static uint64_t port_mono(void *user)
{
    (void)user;
    return clock_mono_ms();
}

static uint64_t port_wall(void *user)
{
    (void)user;
    return clock_wall_ms();
}

static void port_yield(void *user, uint64_t inv, bool is_progress, struct view args)
{
    rpc_client_yield(node_client(of(user)), inv, is_progress, args);
}

static void port_refuse(void *user, uint64_t inv, const struct err *why)
{
    rpc_client_refuse(node_client(of(user)), inv, "den", why);
}

static uint64_t port_call(void *user, const char *procedure, struct view args, uint64_t timeout,
                          bool wants_progress, rpc_on_outcome *on_outcome, void *outcome_user)
{
    return rpc_client_call(node_client(of(user)), clock_mono_ms(), procedure, args, timeout,
                           wants_progress, on_outcome, outcome_user);
}

static void port_forget(void *user, uint64_t call)
{
    if (of(user)->uplink)
        rpc_client_forget(node_client(of(user)), call);
}

static void port_publish(void *user, const char *topic, const struct rpc_publish_options *options,
                         struct view args)
{
    rpc_client_publish(node_client(of(user)), clock_mono_ms(), topic, options, args);
}

static bool port_save(void *user, struct view bytes, struct err *err)
{
    struct world *w = of(user)->sim->world;

    (void)err;
    buf_clear(&w->saved_trust);
    buf_put(&w->saved_trust, bytes);
    return true;
}

static bool port_keep_crl(void *user, const struct signer_anchor *anchor, _unused_ struct err *err)
{
    struct sim_node *node = user;

    node->sim->world->config.crl_floor = *anchor;
    return true;
}

static void arm(struct sim_node *node)
{
    struct den_core *core = node->sim->world->core;

    if (den_core_fatal(core))
        check_failed(__FILE__, __LINE__, "den must not go on: %s", den_core_fatal(core)->text);
    rpc_ws_timer_set(node->deadline, den_core_deadline(core));
}

static void on_deadline(void *user)
{
    struct sim_node *node = user;

    den_core_tick(node->sim->world->core);
    rpc_uplink_flush(node->uplink);
    arm(node);
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    const struct served *what = user;

    den_core_handle(what->node->sim->world->core, what->procedure, inv);
    arm(what->node);
}

static void on_up(void *user)
{
    struct sim_node *node = user;

    node->stats.n_ups++;
    node->stats.up_at = clock_mono_ms();
    den_core_up(node->sim->world->core);
    talk_granted(node->sim);
    arm(node);
}

static void on_down(void *user, const struct err *why)
{
    struct sim_node *node = user;

    (void)why;
    node->stats.n_downs++;
    den_core_down(node->sim->world->core);
    arm(node);
}

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    (void)pause_ms;
    of(user)->stats.why = *why;
}

static void on_trust(void *user)
{
    _buf_ bytes = { 0 };
    struct err err;

    rpc_trust_save(of(user)->sim->world->trust, &bytes);
    port_save(user, buf_view(&bytes), &err);
}

static bool connect_router(struct sim_node *node, struct rpc_ws *ws, struct err *err)
{
    struct world *w = node->sim->world;
    const struct rpc_join_host host = { .host = "router", .port = 7443 };
    struct rpc_uplink_config config = {
        .ws = ws, .hosts = &host, .n_hosts = 1, .server_name = "router." WORLD_NETWORK
    };

    config.on_retry = on_retry;
    config.client = (struct rpc_client_config){
        .agent = "sim",
        .key = w->login,
        .trust = w->trust,
        .is_den = true,
        .on_up = on_up,
        .on_down = on_down,
        .on_trust = on_trust,
        .user = node,
    };
    random_bytes(config.client.instance, sizeof(config.client.instance));
    return rpc_uplink_new(&config, &node->uplink, err);
}

bool den_node_start(struct sim_node *node)
{
    struct world *w = node->sim->world;
    struct rpc_ws *ws = net_start(node->host);
    struct err err = { 0 };
    const char *name;

    w->port = (struct den_port){
        .mono = port_mono,
        .wall = port_wall,
        .yield = port_yield,
        .refuse = port_refuse,
        .call = port_call,
        .forget = port_forget,
        .publish = port_publish,
        .save_trust = port_save,
        .keep_crl = port_keep_crl,
        .user = node,
    };
    if (!world_open(w, &err)) {
        check_failed(__FILE__, __LINE__, "den: %s", err.text);
        return false;
    }
    node->deadline = rpc_ws_timer_new(ws, on_deadline, node);
    if (!connect_router(node, ws, &err)) {
        check_failed(__FILE__, __LINE__, "den: %s", err.text);
        return false;
    }
    for (size_t i = 0; i < N_ELEMENTS(served) && (name = den_core_procedure(i)); i++) {
        served[i] = (struct served){ node, name };
        rpc_client_register(node_client(node), clock_mono_ms(), name, on_inv, &served[i]);
    }
    arm(node);
    return true;
}

void den_node_stop(struct sim_node *node)
{
    struct world *w = node->sim->world;

    if (!node->uplink)
        return;
    rpc_uplink_free(STEAL(node->uplink));
    rpc_ws_timer_free(STEAL(node->deadline));
    world_close(w);
}

/* ---- the network ----------------------------------------------------------------------------- */

bool sim_judge(struct view root_der, struct view bytes, struct view sig, struct err *err)
{
    return pki_verify_by_cert(root_der, bytes, sig, err);
}

struct world *den_world_new(void)
{
    struct world *w = world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");

    if (!w)
        abort();
    for (size_t i = 0; i < N_RATES; i++) /* one address for all of them */
        w->config.rates[i].burst = 0;
    world_close(w);
    return w;
}

void den_world_free(struct world *w)
{
    world_free(w);
}

struct rpc_trust *den_world_trust(const struct world *w)
{
    return w->trust;
}

struct view den_world_saved_trust(const struct world *w)
{
    return buf_view(&w->saved_trust);
}

struct view den_world_root(const struct world *w)
{
    return pki_cert_der(pki_ca_cert(w->root));
}

const struct key *den_world_sign_key(const struct world *w)
{
    return w->sign;
}

const struct key *den_world_router_key(const struct world *w)
{
    return w->router;
}

struct key *den_world_token(struct world *w)
{
    return world_token(w, "peer", 1, 0);
}
