/* SPDX-License-Identifier: Apache-2.0 */
/* One msgpack head: what walking and reading share. Inside rpc/ only. */
#pragma once

#include "rpc/value.h"

enum { RPC_TOKEN_EXT = RPC_MAP + 1, RPC_TOKEN_RESERVED };

struct rpc_token {
    unsigned kind;    /* enum rpc_kind, or one of the two above */
    size_t head;      /* bytes of the head, the whole value for scalars */
    uint64_t n;       /* length of text and bin, count of array and map, bits of a scalar */
    bool is_negative; /* an integer below zero */
    bool is_double;   /* a float of 64 bits */
};
/* False when the bytes end inside the head. */
bool rpc_token_read(struct view bytes, struct rpc_token *ret_token);
/* Length of the value at the front of walked bytes; 0 when there is none. */
size_t rpc_value_len(struct view bytes);
