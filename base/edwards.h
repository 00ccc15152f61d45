/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519's curve (RFC 8032, 5.1), for verifying by a table of a public key's multiples: a signature under a key that comes
 * again and again then costs a third of what libsodium needs, which knows no keys. Nothing secret belongs in here. */
#pragma once

#include "base/field.h"

enum { EDWARDS_SIZE = 32, EDWARDS_HASH = 64 };

/* Of the points P, 2^64 P, 2^128 P, 2^192 P the odd multiples, some 4 KB. */
struct edwards_table;

/* NULL where there is no such point (RFC 8032, 5.1.3), or no arithmetic for it on this machine. Whoever has a share of it
 * releases that; the last one frees it. NULL is fine. */
struct edwards_table *edwards_table_new(const uint8_t point[EDWARDS_SIZE]);
const struct edwards_table *edwards_table_share(struct edwards_table *table);
void edwards_table_release(const struct edwards_table *table);

/* Whether s B - k A, encoded, is `r`, and no point of small order: B the base point, A the table's, k the hash modulo the
 * base point's order. False for an s that is not below that order. The key itself is the caller's to judge. */
bool edwards_verify(const struct edwards_table *of_key, const uint8_t r[EDWARDS_SIZE],
                    const uint8_t s[EDWARDS_SIZE], const uint8_t hash[EDWARDS_HASH]);
