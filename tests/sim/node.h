/* SPDX-License-Identifier: Apache-2.0 */
/* Inside tests/sim/: what nodes are made of. */
#pragma once

#include "base/text.h"
#include "tests/sim/net.h"

enum { SIM_NODES = 512, SIM_GRANTS = 64, SIM_CALLS = 100000 };

struct sim_heard { /* the last number of somebody's */
    struct list node;
    char who[TEXT_ID];
    uint64_t last;
};

struct sim_node {
    struct sim *sim;
    struct net_host *host;
    enum { SIM_ROUTER, SIM_DEN, SIM_PEER } kind;
    char name[32];
    bool has_left;

    /* router */
    struct router *router;
    struct rpc_ws_timer *deadline;
    struct buf disk; /* what outlives a crash: the trust */

    /* den, peer */
    struct rpc_uplink *uplink;
    struct key *key; /* a clone has one of its own, of the same seed */
    uint8_t seed[SEED_SIZE];
    struct rpc_trust *trust; /* a peer's */
    struct key *token;
    char id[TEXT_ID];
    struct buf admission, admission_sig;
    struct sim_stats stats;
    unsigned n_starts;
    bool serves, listens;
    uint32_t lazy_ms;
    struct list callers; /* struct sim_heard: by the number of their last call */
    uint64_t last_heard; /* of den's events */
    unsigned n_served, n_heard;
    uint64_t n_calls; /* numbers them */
};

struct sim_made { /* a call */
    struct sim_call call;
    struct sim_node *by;
    unsigned start; /* of by->n_starts */
};

struct sim {
    uint64_t seed;
    struct net *net;
    struct world *world;
    struct sim_node *router, *den, *nodes[SIM_NODES];
    size_t n_nodes;
    struct sim_made **calls;
    size_t n_calls;
    struct {
        struct sim_node *from, *to;
    } grants[SIM_GRANTS];
    size_t n_grants;
    uint64_t n_told;
};

struct rpc_client *node_client(struct sim_node *node);
/* talk.c: what a process has to do anew when it starts, and den with each new router. */
void talk_start(struct sim_node *node);
void talk_granted(struct sim *sim);
void talk_check(const struct sim *sim); /* every call had one last answer */
bool talk_is_done(const struct sim *sim);

/* The router's core and den's cannot be seen from one file, nor by one linker: each has a word of
 * its own for policy. These are the doors to the two. */
bool router_node_start(struct sim_node *node);
void router_node_stop(struct sim_node *node);
void router_node_check_empty(const struct sim_node *node);

struct world *den_world_new(void); /* founds the network; den does not run */
void den_world_free(struct world *w);
struct rpc_trust *
den_world_trust(const struct world *w); /* while den runs; borrowed, as all these */
struct view den_world_saved_trust(const struct world *w);
struct view den_world_root(const struct world *w); /* DER */
const struct key *den_world_sign_key(const struct world *w);
const struct key *den_world_router_key(const struct world *w);
struct key *den_world_token(struct world *w); /* for one enrolment; the caller frees it */
rpc_manifest_judge sim_judge;
bool den_node_start(struct sim_node *node);
void den_node_stop(struct sim_node *node);
bool peer_node_start(struct sim_node *node);
void peer_node_stop(struct sim_node *node);
