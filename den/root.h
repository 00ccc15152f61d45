/* SPDX-License-Identifier: Apache-2.0 */
/* What the root signs: an order says what is wanted and what it stands on, an answer brings the manifest and the
 * certificates that it lists. The root's key may be on another machine: then both travel as files. No I/O. */
#pragma once

#include "den/change.h"
#include "pki/pki.h"

#define ROOT_LIFE_MS         (20 * 365 * DAY_MS)
#define INTERMEDIATE_LIFE_MS (5 * 365 * DAY_MS)

enum { ROOT_MAX_FILE = 1024 * 1024, ROOT_MAX_SIGNERS = 1 + RPC_MAX_ROOTS };

struct root_order { /* owns what is in it: root_order_deinit() */
    enum change_step step;
    enum change_what what;
    char *network, *reason, *host; /* a word of RFC 5280, or ""; the router's host, or "" */
    uint64_t made_at;
    struct buf pk, login_pk, sign_pk; /* as in struct change; may be empty */
    struct buf csr;                   /* of the new intermediate's key; empty: none is wanted */
    struct rpc_trust *trust;          /* what it stands on; NULL: a network's first */
    struct buf text;                  /* the file, whose hash the answer names */
};
void root_order_deinit(struct root_order *order);
void root_order_write(struct root_order *order); /* makes `text` */
bool root_order_read(const char *path, struct view text, struct root_order *ret_order,
                     struct err *err); /* BAD_CONFIG with file and key */

struct root_answer { /* owned: root_answer_deinit() */
    uint8_t order_hash[HASH_SIZE];
    struct buf manifest, sigs[ROOT_MAX_SIGNERS];
    size_t n_sigs;
    struct buf root, intermediate; /* DER of what is new; empty: nothing is */
};
void root_answer_deinit(struct root_answer *answer);
void root_answer_write(const struct root_answer *answer, struct buf *to);
bool root_answer_read(const char *path, struct view text, struct root_answer *ret_answer,
                      struct err *err);

/* Who signs: `root` is listed by the newest manifest (WRONG_KEY); `fresh`, where a new root is wanted, its key and
 * certificate. */
struct root_signers {
    const struct pki_ca *root, *fresh;
};
bool root_sign(const struct root_order *order, const struct root_signers *by, uint64_t now,
               struct root_answer *ret_answer, struct err *err);
/* Verifies an answer against the order, and the trust (what den has now), which it moves on. BAD_SIGNATURE, WRONG_KEY,
 * STALE (the network has moved on since, or the answer was taken already), BAD_STATEMENT: it says something else than was
 * ordered. On failure nothing was changed. `trust`: of what is NULL a first one is made. */
bool root_accept(struct rpc_trust **trust, const struct root_order *order,
                 const struct root_answer *answer, uint64_t now, struct err *err);
/* What would be signed, in words: what comes, what goes, what is used from then on. */
void root_describe(const struct root_order *order, uint64_t now, struct buf *to);
