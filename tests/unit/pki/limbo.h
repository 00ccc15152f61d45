/* SPDX-License-Identifier: Apache-2.0 */
/* The x509-limbo collection, one chain after the other, against pki_judge_general(). */
#pragma once

#include "pki/pki.h"

struct limbo_totals {
    unsigned n_bad, n_bad_taken, n_good, n_good_taken;
};
/* `why` is NULL for a chain that was accepted. */
typedef void limbo_tell(struct view id, bool is_good, const char *why);
/* Totals by enum pki_role, zeroed by the caller. */
bool limbo_run(const char *path, limbo_tell *tell, struct limbo_totals totals[2], struct err *err);
