/* SPDX-License-Identifier: Apache-2.0 */
/* The transcoder, in both directions: whatever one takes is what the other takes, and comes back
 * as it was. */
#include "rpc/json.h"
#include "rpc/token.h"
#include "tests/fuzz/fuzz.h"

enum { ENOUGH = 16 * 1024 * 1024 };

/* A text leads to a value that the walker passes; from there on nothing changes any more. */
static void from_text(struct view text)
{
    _buf_ value = { 0 };
    _buf_ canonical = { 0 };
    _buf_ again = { 0 };
    struct err err;
    size_t len;

    if (!rpc_json_to_msgpack(text, ENOUGH, &value, &err))
        return;
    if (!rpc_walk(buf_view(&value), &len, &err) || len != value.len)
        abort();
    if (!rpc_json_from_msgpack(buf_view(&value), ENOUGH, &canonical, &err) ||
        !rpc_json_to_msgpack(buf_view(&canonical), ENOUGH, &again, &err) ||
        !view_eq(buf_view(&again), buf_view(&value)))
        abort();
}

/* What has JSON is what the walker passes as one value, but for NaN, infinity, and ext values that
 * it may let pass in options. */
static void from_value(struct view value)
{
    _buf_ text = { 0 };
    _buf_ canonical = { 0 };
    _buf_ again = { 0 };
    struct err err;
    size_t len;

    if (!rpc_json_from_msgpack(value, ENOUGH, &text, &err)) {
        if (rpc_walk(value, &len, &err) && len == value.len && !memchr(value.data, 0xcb, len) &&
            !memchr(value.data, 0xca, len) && !memchr(value.data, 0xd4, len))
            abort();
        return;
    }
    if (!rpc_walk(value, &len, &err) || len != value.len)
        abort();
    if (!rpc_json_to_msgpack(buf_view(&text), ENOUGH, &canonical, &err) ||
        !rpc_json_from_msgpack(buf_view(&canonical), ENOUGH, &again, &err) ||
        !view_eq(buf_view(&again), buf_view(&text)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    from_text(VIEW(data, size));
    from_value(VIEW(data, size));
    return 0;
}
