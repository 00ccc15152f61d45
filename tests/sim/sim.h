/* SPDX-License-Identifier: Apache-2.0 */
/* A whole network in one process, on a simulated, seeded network and clock: the router's core, den's
 * core with its store, and peers that are the real client and the real uplink. What stands below
 * them (rpc/ws.h, the clock, randomness) is simulated: connections with delay, loss, stalls and
 * bounds; hosts that crash, are killed and come back. Minutes pass in milliseconds, and one seed
 * gives one run. */
#pragma once

#include "rpc/rpc.h"
#include "rpc/ws.h"
#include "tests/check.h"

#define SIM_NETWORK "corp.example"
#define SEC         SECOND_MS
#define MIN         MINUTE_MS

struct sim;
struct sim_node;
struct router;

/* What lies between a node and whom it connects to. The default: 5 ms, no loss, no bound. */
struct sim_path {
    uint32_t delay_ms;    /* one way */
    uint32_t jitter_ms;   /* at most so much more; a connection's own order is kept */
    uint32_t loss_pct;    /* of messages: each stalls its direction for a retransmission or more */
    uint32_t bytes_per_s; /* 0: no bound */
};

/* WARREN_SEED, or else each from 1 to WARREN_SEEDS, or else to `n`: SIM_SEEDS(seed, 2) { ... } */
#define SIM_SEEDS(seed, n)                                                                         \
    for (uint64_t seed = sim_seed_first(), last_ = sim_seed_last(n); seed <= last_; seed++)
uint64_t sim_seed_first(void);
uint64_t sim_seed_last(uint64_t n);
uint64_t sim_steps(uint64_t otherwise); /* WARREN_STEPS */

/* One at a time. It says which seed it was when a check in it fails. */
struct sim *sim_new(uint64_t seed);
/* Everybody leaves; then the router must hold nothing any more, and every call that was made must
 * have had exactly one last answer. */
void sim_free(struct sim *sim);
OWN_FREEP(sim, struct sim)
uint64_t sim_draw(struct sim *sim, uint64_t below);
uint64_t sim_now(const struct sim *sim);
void sim_pass(struct sim *sim, uint64_t ms);
/* False when it is not so in that time. */
bool sim_until(struct sim *sim, bool (*is)(struct sim_node *node), struct sim_node *node,
               uint64_t ms);

struct sim_node *sim_router(struct sim *sim);
struct sim_node *sim_den(struct sim *sim);
/* A member that has yet to enrol; it has a token that den knows. */
struct sim_node *sim_peer(struct sim *sim, const char *name);
/* The same key and admission on another machine. */
struct sim_node *sim_clone(struct sim *sim, const char *name, const struct sim_node *of);
const char *sim_id(const struct sim_node *node); /* "" before it was welcome */
struct router *sim_router_core(struct sim *sim);

bool sim_is_known(struct sim *sim, const struct sim_node *node); /* the router has its session */
bool sim_is_running(const struct sim_node *node);
bool is_bound(struct sim_node *node);   /* its session is established */
bool is_unbound(struct sim_node *node); /* it knows that it has none */

void sim_path(struct sim_node *node, struct sim_path path);
void sim_cut(struct sim_node *node);  /* nothing passes any more, and nobody is told */
void sim_mend(struct sim_node *node); /* what was retransmitted meanwhile arrives */
/* The connection is reset: both ends learn it when it gets there. */
void sim_reset(struct sim_node *node);
/* Resets the node's next connection after so many of its messages, counting both directions. */
void sim_reset_after(struct sim_node *node, unsigned n_messages);

void sim_crash(struct sim_node *node); /* power is gone: nobody is told */
void sim_kill(struct sim_node *node);  /* the process dies: its system says so */
void sim_restart(struct sim_node *node);
void sim_leave(struct sim_node *node); /* in good order, for good */

/* ---- what nodes do ------------------------------------------------------------------------- */

struct sim_call { /* what became of a call */
    unsigned n_progress, n_last;
    bool is_good;
    enum err_code code;
    uint64_t done_at;
};
/* Serves peer.<id>.echo.say: answers each call once, after up to `lazy_ms`; a call with progress
 * gets some before. Every number must come at most once, and from one caller in order. */
void sim_serve(struct sim_node *node, uint32_t lazy_ms);
/* Lets `from` call what `to` serves; den signs it, and again whenever it meets a new router. */
void sim_grant(struct sim *sim, struct sim_node *from, struct sim_node *to);
/* Calls the other's echo with the next number. Lives as long as the simulation. */
const struct sim_call *sim_call(struct sim_node *from, struct sim_node *to, uint64_t timeout,
                                bool wants_progress);
/* Calls any procedure without arguments. */
const struct sim_call *sim_ask(struct sim_node *from, const char *procedure, uint64_t timeout);
unsigned sim_n_served(const struct sim_node *node); /* calls that came */

/* den tells everybody number after number, as events of `size` bytes; whoever listens must hear
 * them in order, and none twice. */
void sim_listen(struct sim_node *node);
void sim_tell(struct sim *sim, size_t size);
unsigned sim_n_heard(const struct sim_node *node);
unsigned sim_n_told(const struct sim *sim);

struct sim_stats {
    unsigned n_dials, n_ups, n_downs;
    uint64_t dialed_at, up_at; /* the last time */
    struct err why;            /* of the last retry */
};
const struct sim_stats *sim_stats(const struct sim_node *node);
