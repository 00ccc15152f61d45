/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/token.h"

bool rpc_map_open(struct view map, struct view *ret_cursor, uint32_t *ret_n)
{
    struct rpc_token token;

    if (!rpc_token_read(map, &token) || token.kind != RPC_MAP)
        return false;
    *ret_cursor = view_sub(map, token.head, map.len);
    *ret_n = (uint32_t)token.n;
    return true;
}

bool rpc_map_next(struct view *cursor, uint32_t *n_left, struct view *ret_key,
                  struct view *ret_value)
{
    struct view head, value;
    struct rpc_token key;

    if (*n_left == 0 || !rpc_token_read(*cursor, &key) || key.kind != RPC_TEXT ||
        !rpc_take(cursor, key.head, &head) || !rpc_take(cursor, (size_t)key.n, ret_key))
        return false;
    if (!rpc_take(cursor, rpc_value_len(*cursor), &value) || value.len == 0)
        return false;
    *ret_value = value;
    --*n_left;
    return true;
}

bool rpc_map_get(struct view map, const char *key, struct view *ret_value)
{
    struct view cursor, name, value;
    uint32_t n;

    if (!rpc_map_open(map, &cursor, &n))
        return false;
    while (rpc_map_next(&cursor, &n, &name, &value)) {
        if (!view_eq_text(name, key))
            continue;
        if (rpc_value_kind(value) == RPC_NIL)
            return false;
        *ret_value = value;
        return true;
    }
    return false;
}

bool rpc_map_text(struct view map, const char *key, struct view *ret_text)
{
    struct view value;

    return rpc_map_get(map, key, &value) && rpc_value_text(value, ret_text);
}

bool rpc_map_bin(struct view map, const char *key, struct view *ret_bytes)
{
    struct view value;

    return rpc_map_get(map, key, &value) && rpc_value_bin(value, ret_bytes);
}

bool rpc_map_u64(struct view map, const char *key, uint64_t *ret_n)
{
    struct view value;

    return rpc_map_get(map, key, &value) && rpc_value_u64(value, ret_n);
}

bool rpc_map_bool(struct view map, const char *key)
{
    struct view value;
    bool is = false;

    return rpc_map_get(map, key, &value) && rpc_value_bool(value, &is) && is;
}

bool rpc_map_has_duplicates(struct view map)
{
    _uninitialized_ struct view keys[RPC_MAX_MAP_KEYS];
    struct view cursor, value;
    uint32_t n;
    size_t n_keys = 0;

    if (!rpc_map_open(map, &cursor, &n) || n < 2)
        return false;
    if (n > RPC_MAX_MAP_KEYS)
        return true;
    for (; rpc_map_next(&cursor, &n, &keys[n_keys], &value); n_keys++) {
        for (size_t i = 0; i < n_keys; i++) {
            if (view_eq(keys[i], keys[n_keys]))
                return true;
        }
    }
    return false;
}
