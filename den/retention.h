/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the audit that are older than `audit_keep` of den.conf go from the store into files of the folder "audit" beside
 * it: lines as `audit export` prints them, which `audit check` verifies. What happens to the files then is the operator's. */
#pragma once

#include "den/store.h"

struct retention;

struct retention *retention_new(const char *state_dir);
void retention_free(struct retention *retention); /* NULL is fine */
/* Looks once an hour, and on at once while there is more; `keep` 0: for ever. `upto`: no entry behind that number goes, for
 * somebody still wants it. What fails is logged, and tried again. */
void retention_tick(struct retention *retention, struct store *store, uint64_t keep, uint64_t upto);
void retention_soon(struct retention *retention); /* look at the next tick: `keep` may be another */
/* One look, at most `most` entries, as it is at `now`. *ret_n: how many went. */
bool retention_run(const char *state_dir, struct store *store, uint64_t keep, uint64_t upto,
                   uint64_t most, uint64_t now, uint64_t *ret_n, struct err *err);
