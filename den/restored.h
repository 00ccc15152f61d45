/* SPDX-License-Identifier: Apache-2.0 */
/* The note that `warren-den restore` leaves in the store: the audit entry that den writes when it goes on. It is not written
 * at once, because den may have given the number that it would have to another entry, after the backup was made. */
#pragma once

#include "den/deed.h"

struct restored {
    const char *file;
    const struct deed *deed;
    const struct store_anchor
        *replaced; /* the newest entry of the store that was there; NULL: none */
};
/* In the transaction of the store that begins a backup, so that the copy has it: whether den ran. And in den's first one: a
 * copy that has more of it has that, too. */
bool restored_note_backup(struct store *store, bool has_den, struct err *err);
/* All inside a transaction of the store that was restored. */
bool restored_note(struct store *store, const struct restored *what, struct err *err);
/* *ret_at: when, as text; empty: there is no note. buf_free() */
bool restored_find(struct store *store, struct buf *ret_at, struct err *err);
/* Of a backup that was made beside a den at work: this went on after it, if only until it crashed. */
bool restored_had_den(struct store *store, bool *ret_had, struct err *err);
/* For whoever changes the store beside den: STALE while den has not gone on with a store that was restored, or that is older than
 * the anchor beside it. What was made then would not hold. */
bool restored_check_settled(struct store *store, struct err *err);
/* Into the audit with it. */
bool restored_settle(struct store *store, uint64_t now, struct err *err);
