/* SPDX-License-Identifier: Apache-2.0 */
/* A member: the real client and uplink, with credentials as libpeer has them. */
#include "tests/sim/node.h"

#include <stdio.h>

/* The admission once there is one, else an enrolment with the token. */
static bool credentials(void *user, struct buf *ret_extra, struct err *err)
{
    struct sim_node *node = user;
    uint8_t nonce[RPC_NONCE16], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    (void)err;
    rpc_put_map(ret_extra, 1);
    if (node->admission.len) {
        rpc_put_str(ret_extra, "admission");
        rpc_put_array(ret_extra, 2);
        rpc_put_bin(ret_extra, buf_view(&node->admission));
        rpc_put_bin(ret_extra, buf_view(&node->admission_sig));
        return true;
    }
    random_bytes(nonce, sizeof(nonce));
    const struct rpc_enrol enrol = {
        .netid = rpc_trust_netid(node->trust),
        .network = VIEW_LIT(SIM_NETWORK),
        .client_pk = key_public_view(node->key),
        .beacon = rpc_trust_heartbeat(node->trust)->beacon,
        .nonce = VIEW_ARR(nonce),
        .token_pk = key_public_view(node->token),
        .host = VIEW_LIT("a-host"),
    };
    rpc_put_str(ret_extra, "enrol");
    rpc_put_array(ret_extra, 3);
    rpc_statement_sign(RPC_W_ENROL, &enrol, node->key, &bytes, sig);
    rpc_put_bin(ret_extra, buf_view(&bytes));
    rpc_put_bin(ret_extra, VIEW_ARR(sig));
    buf_clear(&bytes);
    rpc_statement_sign(RPC_W_ENROL, &enrol, node->token, &bytes, sig);
    rpc_put_bin(ret_extra, VIEW_ARR(sig));
    return true;
}

static bool admitted(void *user, struct view admission, struct view sig,
                     const struct rpc_admission *a, struct err *err)
{
    struct sim_node *node = user;

    if (node->id[0] && !view_eq_text(a->id, node->id))
        return err_set(err, ERR_BAD_STATEMENT, "another ID than ours");
    snprintf(node->id, sizeof(node->id), "%.*s", VIEW_FMT(a->id));
    buf_clear(&node->admission);
    buf_put(&node->admission, admission);
    buf_clear(&node->admission_sig);
    buf_put(&node->admission_sig, sig);
    return true;
}

static void on_up(void *user)
{
    struct sim_node *node = user;

    node->stats.n_ups++;
    node->stats.up_at = clock_mono_ms();
}

static void on_down(void *user, const struct err *why)
{
    struct sim_node *node = user;

    (void)why;
    node->stats.n_downs++;
}

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    struct sim_node *node = user;

    (void)pause_ms;
    node->stats.why = *why;
}

static void on_trust(void *user)
{
    struct sim_node *node = user;

    buf_clear(&node->disk);
    rpc_trust_save(node->trust, &node->disk);
}

static bool load_trust(struct sim_node *node, struct err *err)
{
    uint8_t pin[HASH_SIZE];

    if (node->disk.len)
        return rpc_trust_load(buf_view(&node->disk), sim_judge, &node->trust, err);
    hash_sha256(den_world_root(node->sim->world), pin);
    node->trust = rpc_trust_new(SIM_NETWORK, pin, sim_judge);
    return true;
}

bool peer_node_start(struct sim_node *node)
{
    const struct rpc_join_host host = { .host = "router", .port = 7443 };
    struct rpc_uplink_config config = { .ws = net_start(node->host),
                                        .hosts = &host,
                                        .n_hosts = 1,
                                        .server_name = "router." SIM_NETWORK };
    struct err err = { 0 };

    if (!load_trust(node, &err)) {
        check_failed(__FILE__, __LINE__, "%s: %s", node->name, err.text);
        return false;
    }
    config.on_retry = on_retry;
    config.client = (struct rpc_client_config){
        .agent = "sim",
        .key = node->key,
        .trust = node->trust,
        .credentials = credentials,
        .admitted = admitted,
        .on_up = on_up,
        .on_down = on_down,
        .on_trust = on_trust,
        .user = node,
    };
    random_bytes(config.client.instance, sizeof(config.client.instance));
    if (!rpc_uplink_new(&config, &node->uplink, &err)) {
        check_failed(__FILE__, __LINE__, "%s: %s", node->name, err.text);
        return false;
    }
    return true;
}

void peer_node_stop(struct sim_node *node)
{
    rpc_uplink_free(STEAL(node->uplink));
    rpc_trust_free(STEAL(node->trust));
}
