/* SPDX-License-Identifier: Apache-2.0 */
/* The policies that were in force, as the store keeps them: the newest POLICY_KEPT, and of these so many as fit into
 * POLICY_KEPT_BYTES; the two newest always. And who was in which groups, as the audit tells. */
#pragma once

#include "den/deed.h"
#include "den/store.h"

enum { POLICY_KEPT = 200, POLICY_KEPT_BYTES = 32 * 1024 * 1024 };

/* Inside a transaction, with the number `policy_no` raised to `no` in it. */
bool policy_kept_add(struct store *store, uint64_t no, uint64_t at, struct view text,
                     struct err *err);
/* Inside a transaction: the store went back to an older state, and whatever was in force between the number that it has and
 * `no` is lost with the newer one; the policy that it has goes on as number `no`. `lost_at`: the newest time that it knows. */
bool policy_kept_go_on(struct store *store, uint64_t no, uint64_t lost_at, uint64_t now,
                       struct err *err);
/* 0 when there is none. */
bool policy_kept_range(struct store *store, uint64_t *ret_first, uint64_t *ret_last,
                       struct err *err);
/* An empty text stands for some that were lost. */
bool policy_kept_find(struct store *store, uint64_t no, enum store_found *ret, uint64_t *ret_at,
                      struct buf *ret_text, struct err *err);
/* The one that was in force at `at`; NOT_FOUND when it is not kept any more, or none was. */
bool policy_kept_at(struct store *store, uint64_t at, uint64_t *ret_no, struct err *err);

/* Whether the audit says of number `no` that it came at `at` and was this text; nothing to compare where its entry is sealed
 * in a file, or a rollback gave the number. SYSTEM: somebody changed what is kept. */
bool policy_kept_check(struct store *store, uint64_t no, uint64_t at, struct view text,
                       struct err *err);

/* ---- an order ------------------------------------------------------------------------------- */

/* Who has the policy's file say what: noted before the file is replaced, so that whichever of both is the last that was done,
 * the audit names whoever ordered it. In a transaction each. */
bool policy_order_note(struct store *store, struct view text, const struct deed *deed,
                       struct err *err);
/* POLICY_ORDERED: *deed is now whose order it was; its time stays. */
enum policy_ordered { POLICY_NO_ORDER, POLICY_OTHER_ORDERED, POLICY_ORDERED };
bool policy_order_find(struct store *store, struct view text, enum policy_ordered *ret,
                       struct deed *deed, struct err *err);
/* It was carried out, or came to nothing. */
bool policy_order_end(struct store *store, struct err *err);

/* ---- groups, then --------------------------------------------------------------------------- */

struct past; /* of all identities, after the entries that it was shown */
struct past *past_new(void);
void past_free(struct past *past);
OWN_FREEP(past, struct past)
void past_see(struct past *past, const struct store_audit *entry);
/* NULL: the entries do not tell. */
const char *past_groups(const struct past *past, const char *id);
/* What they were when the audit was sealed up to there: then come the entries that stayed. */
bool past_load(struct past *past, struct store *store, struct err *err);
bool past_save(const struct past *past, struct store *open, struct err *err);
