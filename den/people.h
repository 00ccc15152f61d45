/* SPDX-License-Identifier: Apache-2.0 */
/* What operators decide about machines: who is let in, who has to go, who is called what. All of it is
 * audited, and works while den runs: den looks at every admission. */
#pragma once

#include "den/deed.h"
#include "den/store.h"
#include "rpc/rpc.h"

/* "waits", "approved", "denied"; "committed", "provisional", "ephemeral", "revoked", "removed", "gone", "over". */
const char *people_answer_word(enum store_answer answer);
const char *people_state_word(const struct store_identity *who, uint64_t now);

/* A machine that waits, by its code ("7k3f-9qzt-m2xa", or its first 4 characters and more) or by the
 * fingerprint of its key. NOT_FOUND; INVALID_ARGUMENT when several fit. */
bool people_find_waiting(struct store *store, const char *typed, struct store_waiting *ret_w,
                         struct err *err);
/* `role`, `groups`: NULL keeps what its token says; STALE when that is no more what *w, as it was found, says. It has its
 * ID when it next asks. *w becomes what is recorded. */
bool people_approve(struct store *store, struct store_waiting *w, const char *role,
                    const char *groups, const struct deed *deed, struct err *err);
bool people_deny(struct store *store, struct store_waiting *w, const struct deed *deed,
                 struct err *err);
/* A provisional ID is kept from now on. */
bool people_commit(struct store *store, struct store_identity *who, const struct deed *deed,
                   struct err *err);

/* By its ID, spaces allowed. NOT_FOUND. */
bool people_find(struct store *store, const char *typed, struct store_identity *ret_who,
                 struct err *err);
/* Begins a transaction and reads the row of who->id once more, into *who: another process may have changed it since
 * it was read, and what is written back is written whole. NOT_FOUND when it is gone. The caller's
 * `_transaction_` ends it, whatever comes back. */
bool people_begin(struct store *store, struct store_identity *who, struct err *err);
/* Inside a transaction: the router drops who came in with an admission below that number. */
bool people_end_admissions(struct store *open, const char *id, uint64_t below, uint64_t now,
                           struct err *err);
/* Inside a transaction: this key, which the ID had until now, is worth nothing any more. */
bool people_end_key(struct store *open, const char *id, struct view pk, uint64_t now,
                    struct err *err);
/* It is admitted no more, until it is re-enrolled. Its ID stays its own. */
bool people_remove(struct store *store, struct store_identity *who, const struct deed *deed,
                   struct err *err);
bool people_set_groups(struct store *store, struct store_identity *who, const char *groups,
                       const struct deed *deed, struct err *err);

/* user@domain for an ID. ALREADY_EXISTS while another has it. */
bool people_assign_name(struct store *store, const char *name, const struct store_identity *who,
                        const struct deed *deed, struct err *err);
/* Takes any name away; it lies idle from then on. */
bool people_free_name(struct store *store, const char *name, const struct deed *deed,
                      struct err *err);
