/* SPDX-License-Identifier: Apache-2.0 */
/* JSON's strings (RFC 8259, section 7). Inside rpc/ only. */
#pragma once

#include "base/buf.h"

/* Whether one of eight bytes is a quote, a backslash or a control character. */
static inline bool rpc_json_is_special(uint64_t eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';

    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
            ((eight - ones * ' ') & ~eight)) &
           tops;
}

/* The string behind the opening quote of `*text`, taken off it together with the closing one: what
 * stands between them, found to be UTF-8 and without control characters. Returns what is wrong, or
 * NULL; `*text` then begins where. */
const char *rpc_json_take_text(struct view *text, struct view *ret_raw, bool *ret_is_escaped);
/* Resolves the escapes of such a string; at most raw.len bytes. Returns what is wrong, or NULL. */
const char *rpc_json_unescape(struct view raw, uint8_t *to, size_t *ret_len);
