/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers modulo L = 2^252 + 27742317777372353535851937790883648493, the order of Ed25519's base point; of what is public
 * alone, as field.h. */
#pragma once

#include "base/field.h"

#ifdef FIELD_IS_HERE

enum { SCALAR_SIZE = 32, SCALAR_HASH = 64, SCALAR_WORDS = 4, SCALAR_BITS = 256 };

struct scalar {
    uint64_t word[SCALAR_WORDS]; /* the lowest first */
};

struct scalar scalar_read(const uint8_t from[SCALAR_SIZE]); /* little-endian, as it stands there */
bool scalar_is_reduced(const struct scalar *s);             /* below L */
struct scalar scalar_reduce(const uint8_t hash[SCALAR_HASH]);
/* As the sum of digits times powers of two, each 0 or odd and below 2^(width - 1) either way, with `width` - 1 zeros at least
 * after each that is not: "non-adjacent form". */
void scalar_write_digits(const struct scalar *s, unsigned width, int8_t to[SCALAR_BITS]);

#endif
