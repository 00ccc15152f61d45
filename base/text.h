/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text and back: hexadecimal, Crockford's base32, numbers, IDs. */
#pragma once

#include "base/buf.h"

void text_put_hex(struct buf *to, struct view bytes); /* lower case */
/* Exactly `size` bytes from 2 * size hexadecimal digits of either case; false otherwise. */
bool text_read_hex(struct view text, uint8_t *to, size_t size);

/* Crockford's base32, lower case, most significant bit first, zero bits at the end. */
void text_put_base32(struct buf *to, struct view bytes);
/* Exactly `size` bytes. False where a character is not of the alphabet, the length differs, or the bits
 * left over are not zero; *ret_bad_at is then the offending character's offset. */
bool text_read_base32(struct view text, uint8_t *to, size_t size, size_t *ret_bad_at);

bool text_read_u64(struct view text,
                   uint64_t *ret_n);      /* decimal digits alone, no sign, no overflow */
bool text_is_utf8(struct view text);      /* RFC 3629, no surrogates */
bool text_is_printable(struct view text); /* ASCII, 0x20 to 0x7e */
/* Length of the well-formed UTF-8 sequence at the front of `len` bytes (at least one), 0 when there is none. */
size_t text_utf8_sequence(const uint8_t *s, size_t len);

/* "456000" as "456 000": threes from the right. */
#define TEXT_ID 24
const char *text_id(const char *id, char to[TEXT_ID]);
bool text_is_id(struct view text); /* 6 to 9 digits */
/* Removes spaces from what a person typed and checks it; *ret_id gets digits alone. */
bool text_read_id(const char *typed, char ret_id[TEXT_ID]);
/* RFC 1123 host name in lower-case LDH labels, at least two labels, total <= 200, last label not
 * all digits: what a network's name must be. */
bool text_is_network(struct view text);
