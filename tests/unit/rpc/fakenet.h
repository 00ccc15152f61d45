/* SPDX-License-Identifier: Apache-2.0 */
/* A network without X.509: a "root" is some bytes that end in an Ed25519 key, which the judge takes
 * it to be. */
#pragma once

#include "rpc/rpc.h"

struct fake_root {
    struct key *key;
    struct buf der;
    uint8_t hash[HASH_SIZE];
};
void fake_root_init(struct fake_root *root, uint8_t n);
void fake_root_deinit(struct fake_root *root);
#define _fake_root_ _cleanup_(fake_root_deinit) struct fake_root
rpc_manifest_judge fake_judge;

/* A manifest made by hand: bytes and signatures. */
struct fake_manifest {
    struct buf bytes;
    uint8_t sig[9][SIG_SIZE];
    struct view sigs[9];
    size_t n_sigs;
};
void fake_manifest_deinit(struct fake_manifest *m);
#define _fake_manifest_ _cleanup_(fake_manifest_deinit) struct fake_manifest

enum { FAKE_ISSUED = 1000000 };
#define FAKE_NOT_AFTER (FAKE_ISSUED + 300 * DAY_MS)
/* What fake_manifest_make() is told; keys are those of key_from_seed(all `role`), in force from
 * FAKE_ISSUED to FAKE_NOT_AFTER. */
struct fake_says {
    uint64_t number;
    const struct fake_root *genesis;
    const struct fake_manifest *previous; /* NULL: none */
    const struct fake_root *roots[8], *signers[9];
    uint64_t not_after;              /* 0: FAKE_NOT_AFTER */
    const char *network;             /* NULL: corp.example */
    const uint8_t *intermediates[4]; /* hashes, the one in use first */
};
void fake_manifest_make(struct fake_manifest *m, const struct fake_says *says);
struct key *fake_key(enum rpc_key_role role);
bool fake_add(struct rpc_trust *trust, const struct fake_manifest *m, struct err *err);
/* The values of a CHALLENGE. */
void fake_put_roots(struct buf *to, const struct fake_root *const *roots, size_t n);
void fake_put_manifests(struct buf *to, const struct fake_manifest *const *manifests, size_t n);
