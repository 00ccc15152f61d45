/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulation is made of, below its nodes: time, events, hosts and connections. */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "tests/sim/sim.h"

struct net;
struct net_host;

/* A host is where a node lives. Whoever runs there is `node`; net calls nothing but rpc_ws_events. */
struct net_host {
    struct net *net;
    struct list of_net, timers;
    struct sim_path path;
    bool is_on, is_running, is_cut;
    uint64_t n_ticks;
    struct rpc_ws *ws;             /* of the process that runs there; NULL: none */
    unsigned n_dials, reset_after; /* reset_after: 0: not */
    uint64_t dialed_at;
};

struct net *net_new(uint64_t seed);
void net_free(struct net *net);
uint64_t net_now(const struct net *net);
uint64_t net_draw(struct net *net, uint64_t below);
/* The next thing that is due by `until` happens; false: there is none, and it is `until` now. */
bool net_step(struct net *net, uint64_t until);
/* `run` at that time, once. */
void net_at(struct net *net, uint64_t at, void (*run)(void *user), void *user);

struct net_host *net_host_new(struct net *net);
struct rpc_ws *net_start(struct net_host *host);     /* a process starts */
void net_stop(struct net_host *host, bool is_crash); /* it is gone at once; no callback comes */
void net_listen(struct rpc_ws *ws, size_t max_queue, const struct rpc_ws_events *events,
                void *user);           /* the one listener of the network */
void net_reset(struct net_host *host); /* its client connections */
void net_mended(struct net_host *host);
