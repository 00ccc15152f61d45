/* SPDX-License-Identifier: Apache-2.0 */
/* What den has revoked: a chain of statements, each with the hash of the one before, so that nobody
 * can leave one out. Peers and routers hold it whole, on disk too. No I/O. */
#pragma once

#include "rpc/trust.h"

struct rpc_revoked;

struct rpc_revoked *rpc_revoked_new(void);
void rpc_revoked_free(struct rpc_revoked *revoked);
OWN_FREEP(rpc_revoked, struct rpc_revoked)

uint64_t rpc_revoked_no(const struct rpc_revoked *revoked); /* of the newest; 0: none */
struct view
rpc_revoked_head(const struct rpc_revoked *revoked); /* 32 bytes: H of the newest, or zeros */

enum rpc_revoked_step {
    RPC_REVOKED_TAKEN, /* it is the next one */
    RPC_REVOKED_KNOWN, /* its number is not above the newest */
    RPC_REVOKED_GAP,   /* others come before it: ask for them */
};
/* Verifies (den-sign key in force at `now`, netid) and takes it. TAKEN: *ret_revocation borrows from
 * `bytes`. BAD_STATEMENT too when den signed two different ones of the newest number, or one that
 * does not follow from ours: with it *ret_is_fork is true, and both are the proof. */
struct rpc_revoked_news {
    enum rpc_revoked_step step;
    bool is_fork;
    struct rpc_revocation revocation;
};
bool rpc_revoked_add(struct rpc_revoked *revoked, const struct rpc_trust *trust, struct view bytes,
                     struct view sig, uint64_t now, struct rpc_revoked_news *ret_news,
                     struct err *err);

bool rpc_revoked_has(const struct rpc_revoked *revoked, enum rpc_revoked_kind kind,
                     struct view subject);
/* Admissions of `id` with a lower number are revoked; 0: none is. */
uint64_t rpc_revoked_min_adm_no(const struct rpc_revoked *revoked, struct view id);
/* Whether the heartbeat that `trust` holds knows of revocations that are not here. */
bool rpc_revoked_is_behind(const struct rpc_revoked *revoked, const struct rpc_trust *trust);

/* ---- on disk -------------------------------------------------------------------------------- */

/* The file begins with what rpc_revoked_put_head() makes; then a record for each that was TAKEN, in
 * order, so that a new one is appended. */
void rpc_revoked_put_head(struct buf *to);
void rpc_revoked_put_record(struct buf *to, struct view bytes, struct view sig);
/* Its records, one after the other: for whoever needs the statements themselves. False: no more, or the
 * rest is not a whole one. */
bool rpc_revoked_skip_head(struct view *file);
bool rpc_revoked_take_record(struct view *rest, struct view *ret_bytes, struct view *ret_sig);
/* Verifies all of it again: by the head that the heartbeat in `trust` names, or each signature by the
 * keys of the kept manifests. *ret_len: how much of the file is whole; less than all after a crash
 * while it grew. BAD_CONFIG: it is not such a file, or not of this network. */
bool rpc_revoked_load(struct view bytes, const struct rpc_trust *trust,
                      struct rpc_revoked **ret_revoked, size_t *ret_len, struct err *err);
