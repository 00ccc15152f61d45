/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the standard alphabet (RFC 4648, section 4), in its one canonical form: padded,
 * nothing between the characters, left-over bits zero. */
#pragma once

#include "base/buf.h"

void base64_put(struct buf *to, struct view bytes); /* appends the text */
/* What `len` bytes come to as text. */
static inline size_t base64_text_len(size_t len)
{
    return (len + 2) / 3 * 4;
}
/* Writes at most text.len / 4 * 3 bytes to `to`, which may be where the text is. False when the
 * text is not the canonical form of anything; `to` is then not meaningful. */
bool base64_read(struct view text, uint8_t *to, size_t *ret_len);
