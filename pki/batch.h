/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA signatures on P-256 that are verified together (SEC 1, 4.1.4): for many there is one inversion, and none in the
 * field. All that is in here is public. */
#pragma once

#include "pki/ossl.h"

struct pki_batch;
/* `spki`: the key that all are by, of which a table is made in some milliseconds; or empty: each is by a key of its own.
 * One thread at a time. */
struct pki_batch *pki_batch_new(struct view spki);
void pki_batch_free(struct pki_batch *batch);
OWN_FREEP(pki_batch, struct pki_batch)

/* `hash`: HASH_SIZE. `sig`: DER, strictly. `spki`: of P-256, where each has its own. False: it is no signature, or that is
 * no key, whatever it is over; then nothing was added. */
bool pki_batch_add(struct pki_batch *batch, struct view spki, struct view hash, struct view sig);
size_t pki_batch_count(const struct pki_batch *batch);
/* Whether each is right, in the order in which they were added; false for each doubt. None is left in it. Returns whether
 * all are. `ret_is`: may be NULL. */
bool pki_batch_verify(struct pki_batch *batch, bool *ret_is);
