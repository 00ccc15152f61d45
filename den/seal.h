/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint from which the audit goes on in the store, once what came before was sealed into files: number and head of the
 * newest sealed entry. An entry of the audit says the same (AUDIT_SEALED), so whoever changes the checkpoint is found out. */
#pragma once

#include "den/audit.h"
#include "den/policy_kept.h"

#define AUDIT_SEALED "audit.sealed"

struct seal_point {
    uint64_t no; /* of the newest sealed entry; 0: none is sealed */
    uint64_t by; /* the entry that says so */
    uint8_t head[HASH_SIZE];
};
/* *ret_is_whole false: what is kept and what the entry says are not the same, and it is not the entry that was changed. */
bool seal_point_read(struct store *store, struct seal_point *ret, bool *ret_is_whole,
                     struct err *err);
/* What an AUDIT_SEALED entry says. False: it is none, or not whole. */
bool seal_entry_read(const struct store_audit *entry, struct seal_point *ret);

/* What is old enough to go: the entries before the first that is of `before` or later, at most `most`. */
struct seal_part {
    uint64_t from, to, n;    /* n 0: nothing */
    uint64_t at;             /* the latest time of them */
    struct past *past;       /* which groups they put machines into */
    uint8_t head[HASH_SIZE]; /* of `to` */
    struct buf lines;        /* as `audit export` prints them */
};
void seal_part_deinit(struct seal_part *part);
/* `upto`: nothing behind that number. SYSTEM: the chain is not whole there; nobody seals that. */
bool seal_find(struct store *store, uint64_t before, uint64_t upto, uint64_t most,
               struct seal_part *ret, struct err *err);
/* The part is in the file named so: it goes from the store, in one transaction with the entry that says it. */
bool seal_away(struct store *store, const struct seal_part *part, const char *file, uint64_t keep,
               uint64_t now, struct err *err);
/* From when on the store tells who was in which groups; 0: from its beginning, nothing is sealed. */
bool seal_since(struct store *store, uint64_t *ret_since, struct err *err);
/* Of the oldest entry in the store; UINT64_MAX: there is none. */
bool seal_oldest(struct store *store, uint64_t *ret_at, struct err *err);
/* Whether the newest AUDIT_SEALED entry is about these lines, and the name of the file that it says. */
bool seal_is_last(struct store *store, struct view lines, bool *ret_is, struct buf *ret_name,
                  struct err *err);
