/* SPDX-License-Identifier: Apache-2.0 */
/* What an authority signs all day, with one key: made and looked at for less than what OpenSSL's general way costs. And
 * the throwaway key, whose signatures are only ever looked at here. */
#pragma once

#include "pki/ossl.h"

/* ---- the authority's key ------------------------------------------------------------------------- */

struct pki_own;
/* Of a key that outlives it. Takes some milliseconds on P-256, for a table of multiples of the public point. */
struct pki_own *pki_own_new(const struct pki_key *key);
void pki_own_free(struct pki_own *own);
OWN_FREEP(pki_own, struct pki_own)
/* Appends a signature over `bytes`, DER, that was verified: a faulty one could tell the key. */
bool pki_own_sign(struct pki_own *own, struct view bytes, struct buf *ret_sig, struct err *err);
/* The same for many: they are verified together, which is cheaper, and none is to leave before. False: none is. */
bool pki_own_sign_soon(struct pki_own *own, struct view bytes, struct buf *ret_sig,
                       struct err *err);
bool pki_own_verify(struct pki_own *own, struct err *err);
/* Of what was hashed by the curve's digest before. The signature has `len` bytes, one of those that half of all have
 * anyway: 71 on P-256, 103 on P-384. */
bool pki_own_sign_hash(struct pki_own *own, struct view hash, size_t len, struct buf *ret_sig,
                       struct err *err);

/* ---- the throwaway key --------------------------------------------------------------------------- */

/* A P-256 key that was drawn for this process and is forgotten with it. All its signatures have one nonce, so whoever
 * saw two of them could compute it: none leaves the memory of this process, and nobody has its public half. */
struct pki_throwaway;
struct pki_throwaway *pki_throwaway_new(void);
void pki_throwaway_free(struct pki_throwaway *t);
OWN_FREEP(pki_throwaway, struct pki_throwaway)
bool pki_throwaway_sign(struct pki_throwaway *t, struct view bytes, struct buf *ret_sig,
                        struct err *err);
enum { PKI_P256_POINT = 65 };
/* The public point, uncompressed. */
void pki_throwaway_point(const struct pki_throwaway *t, uint8_t ret_point[PKI_P256_POINT]);
