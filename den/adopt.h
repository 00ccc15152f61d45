/* SPDX-License-Identifier: Apache-2.0 */
/* The signer's book for a network that was there before signers had books. */
#pragma once

#include "den/store.h"
#include "rpc/rpc.h"

/* Makes the book in `dir`, with every ID, revocation and number of the store, if there is none yet. Only its owner's
 * word stands behind it, so nobody does this for a book that was lost: that is restored. */
bool adopt_book(const char *dir, struct store *store, const struct rpc_trust *trust,
                struct view router_csr, uint64_t now, bool *ret_is_new, struct err *err);
