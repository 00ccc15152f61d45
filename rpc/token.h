/* SPDX-License-Identifier: Apache-2.0 */
/* One msgpack head: what walking and reading share. Inside rpc/ only. */
#pragma once

#include "rpc/value.h"

enum { RPC_TOKEN_EXT = RPC_MAP + 1, RPC_TOKEN_RESERVED };

enum { RPC_MAX_MAP_KEYS = 64 }; /* of a map whose keys are looked at */

struct rpc_token {
    unsigned kind;    /* enum rpc_kind, or one of the two above */
    size_t head;      /* bytes of the head, the whole value for scalars */
    uint64_t n;       /* length of text and bin, count of array and map, bits of a scalar */
    bool is_negative; /* an integer below zero */
    bool is_double;   /* a float of 64 bits */
};
/* What JavaScript's `undefined` comes to in wampy (msgpackr): an ext value of type 0, here with
 * a head of three bytes. It reads as nil, and passes rpc_walk() in a message's options alone. */
static inline bool rpc_token_is_undefined(struct view bytes)
{
    return bytes.len >= 3 && bytes.data[0] == 0xd4 && bytes.data[1] == 0 && bytes.data[2] == 0;
}
/* Heads of more than one byte, and those of 0xc0 to 0xdf. */
bool rpc_token_read_long(struct view bytes, struct rpc_token *ret_token);

/* Heads that hold their number in themselves. */
static inline struct rpc_token rpc_token_fix(uint8_t head)
{
    if (head < 0x80)
        return (struct rpc_token){ .kind = RPC_INT, .head = 1, .n = head };
    if (head < 0x90)
        return (struct rpc_token){ .kind = RPC_MAP, .head = 1, .n = head & 15 };
    if (head < 0xa0)
        return (struct rpc_token){ .kind = RPC_ARRAY, .head = 1, .n = head & 15 };
    if (head < 0xc0)
        return (struct rpc_token){ .kind = RPC_TEXT, .head = 1, .n = head & 31 };
    return (struct rpc_token){ .kind = RPC_INT, .head = 1, .is_negative = true };
}

/* False when the bytes end inside the head. In line: it is what reading a message mostly does. */
static inline bool rpc_token_read(struct view bytes, struct rpc_token *ret_token)
{
    if (bytes.len == 0)
        return false;
    if (bytes.data[0] >= 0xc0 && bytes.data[0] <= 0xdf)
        return rpc_token_read_long(bytes, ret_token);
    *ret_token = rpc_token_fix(bytes.data[0]);
    return true;
}

/* view_take(), in line for the same reason. */
static inline bool rpc_take(struct view *view, size_t len, struct view *ret_bytes)
{
    if (view->len < len)
        return false;
    *ret_bytes = VIEW(view->data, len);
    *view = VIEW(view->data + len, view->len - len);
    return true;
}

size_t rpc_value_len_nested(struct view bytes);

/* Length of the value at the front of walked bytes; 0 when there is none. */
static inline size_t rpc_value_len(struct view bytes)
{
    struct rpc_token token;

    if (!rpc_token_read(bytes, &token))
        return 0;
    if (token.kind == RPC_ARRAY || token.kind == RPC_MAP)
        return rpc_value_len_nested(bytes);
    if (token.kind != RPC_TEXT && token.kind != RPC_BIN)
        return token.head;
    return token.n <= bytes.len - token.head ? token.head + (size_t)token.n : 0;
}
