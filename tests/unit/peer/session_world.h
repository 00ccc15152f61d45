/* SPDX-License-Identifier: Apache-2.0 */
/* A network with den's key, two peers, and the three statements of a session between them, which tests bend before they are signed. */
#pragma once

#include "peer/check.h"
#include "tests/check.h"
#include "tests/unit/rpc/fakenet.h"

#define WORLD_A   "111222"
#define WORLD_B   "333444"
#define WORLD_NOW (FAKE_ISSUED + 60000)

struct world {
    struct fake_root root;
    struct fake_manifest m1;
    struct rpc_trust *trust; /* has seen beacons 1, 2 and 3 */
    struct key *den, *a, *b, *stranger;
    uint8_t sid[RPC_SID], beacon[RPC_BEACON], spki_a[HASH_SIZE], spki_b[HASH_SIZE];
    uint8_t ice_a_hash[HASH_SIZE], ice_b_hash[HASH_SIZE], dial_hash[HASH_SIZE],
        grant_hash[HASH_SIZE], other[HASH_SIZE];
    struct view ice_a, ice_b;

    struct rpc_dial d;
    struct rpc_grant g;
    struct rpc_accept c;
    const struct key *signs_d, *signs_g, *signs_c;
    struct buf dial, grant, accept;
    uint8_t dial_sig[SIG_SIZE], grant_sig[SIG_SIZE], accept_sig[SIG_SIZE];
};

void world_init(struct world *w);
void world_deinit(struct world *w);
#define WORLD(w)                                                                                   \
    _cleanup_(world_deinit) struct world w;                                                        \
    world_init(&w)

/* In this order; each fills in the hashes of what came before, unless they were bent. */
void world_sign_dial(struct world *w);
void world_sign_grant(struct world *w);
void world_sign_accept(struct world *w);
struct check_self world_self(const struct world *w, bool is_caller);
