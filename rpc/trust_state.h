/* SPDX-License-Identifier: Apache-2.0 */
/* What struct rpc_trust is made of. Inside rpc/ only: trust.c keeps manifests, trust_heart.c
 * heartbeats, trust_wire.c reads and writes a CHALLENGE, trust_disk.c the file. */
#pragma once

#include "rpc/trust.h"

enum { RPC_MAX_SIGNERS = 1 + RPC_MAX_ROOTS, RPC_MAX_MANIFEST_SIG = 256 };

struct rpc_trust_root {
    struct buf der;
    uint8_t hash[HASH_SIZE];
};

struct rpc_trust_signature {
    struct buf sig;
    /* Whose it is; zeros: not known, a predecessor's of a manifest that begins our chain. */
    uint8_t root[HASH_SIZE];
};

struct rpc_trust_manifest {
    struct buf bytes;
    uint64_t number;
    struct rpc_trust_signature signature[RPC_MAX_SIGNERS];
    size_t n_signatures;
};

struct rpc_trust {
    char network[201];
    uint8_t pin[HASH_SIZE]; /* the root that was pinned first: HELLO's */
    /* A root that signed manifest[0]: the pin until the oldest was dropped. */
    uint8_t anchor[HASH_SIZE];
    rpc_manifest_judge *judge;

    struct rpc_trust_root root[RPC_MAX_ROOTS];
    size_t n_roots;
    struct rpc_trust_manifest manifest[RPC_MAX_MANIFESTS]; /* numbers without a gap */
    size_t n_manifests;
    struct rpc_manifest newest; /* of the last; its views borrow from its bytes */

    struct buf heart_bytes;
    uint8_t heart_sig[SIG_SIZE];
    struct rpc_heartbeat heart; /* borrows from heart_bytes; hb_no 0: none yet */
    bool has_heart;             /* one came in this process */
    bool has_time;              /* it, or den.time, told the time: `time`, at time_mono */
    uint64_t time, time_mono;
    bool is_time_sure;   /* den.time did */
    uint64_t wall_ahead; /* then: the wall clock less network time, modulo 2^64 */
    struct beacon {
        uint8_t bytes[RPC_BEACON];
    } beacon[2]; /* the newest first */
    size_t n_beacons;
};

/* NULL when it is not known. */
const struct rpc_trust_root *rpc_trust_find_root(const struct rpc_trust *trust, struct view hash);
bool rpc_trust_has_item(const struct rpc_items *items, struct view hash);
/* Forgets those that no manifest lists or was signed by. */
void rpc_trust_prune_roots(struct rpc_trust *trust);
struct rpc_trust *rpc_trust_copy(const struct rpc_trust *trust);
/* Everything of `from` goes to `trust`, whose former content goes with `from`, which is freed. */
void rpc_trust_swap(struct rpc_trust *trust, struct rpc_trust *from);
/* Reads what was verified, and refuses another network's. */
bool rpc_trust_read(const struct rpc_trust *trust, enum rpc_word word, struct view bytes,
                    void *ret_statement, struct err *err);
/* The value of `roots`, and of `manifests` from number `from` on: as a CHALLENGE has them, and our
 * file. */
void rpc_trust_put_roots(const struct rpc_trust *trust, struct buf *to);
void rpc_trust_put_manifests(const struct rpc_trust *trust, uint64_t from, struct buf *to);
/* Adds all of them, one after the other; what failed may have added some. */
bool rpc_trust_add_roots(struct rpc_trust *trust, struct view roots, struct err *err);
bool rpc_trust_add_manifests(struct rpc_trust *trust, struct view manifests, uint64_t *ret_highest,
                             struct err *err);
/* A heartbeat from our own file: signed by a key that any kept manifest lists, whatever the time.
 * Tells no time. */
bool rpc_trust_restore_heartbeat(struct rpc_trust *trust, struct view bytes, struct view sig,
                                 struct err *err);
