/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/batch.h"

enum { SEPARATOR = 0x1e };

void rpc_batch_put(enum rpc_batch kind, struct view message, struct buf *to)
{
    if (kind == RPC_BATCH_LENGTHS)
        buf_put_u32(to, (uint32_t)message.len); /* a message is far below 4 GiB */
    buf_put(to, message);
    if (kind == RPC_BATCH_SEPARATORS)
        buf_put_u8(to, SEPARATOR);
}

/* Takes one. Returns what is wrong, or NULL. */
static const char *take_one(enum rpc_batch kind, struct view *batch, struct view *ret_message)
{
    const uint8_t *end;
    uint32_t len;

    switch (kind) {
    case RPC_BATCH_NONE:
        view_take(batch, batch->len, ret_message);
        break;
    case RPC_BATCH_LENGTHS:
        if (!view_take_u32(batch, &len) || !view_take(batch, len, ret_message))
            return "cut short";
        break;
    case RPC_BATCH_SEPARATORS:
        end = batch->len ? memchr(batch->data, SEPARATOR, batch->len) : NULL;
        if (!end)
            return "no separator at the end";
        view_take(batch, (size_t)(end - batch->data), ret_message);
        *batch = view_sub(*batch, 1, batch->len);
        break;
    }
    return ret_message->len ? NULL : "an empty message";
}

bool rpc_batch_check(enum rpc_batch kind, struct view batch, struct err *err)
{
    struct view rest = batch, message = { 0 };
    const char *why;
    size_t at, n = 0;

    if (batch.len == 0)
        return err_set(err, ERR_BAD_WIRE, "batch: empty");
    while (rest.len) {
        at = batch.len - rest.len;
        why = take_one(kind, &rest, &message);
        if (!why && ++n > RPC_BATCH_MAX)
            why = "too many messages";
        if (why)
            return err_set(err, ERR_BAD_WIRE, "batch: byte %zu: %s", at, why);
    }
    return true;
}

bool rpc_batch_next(enum rpc_batch kind, struct view *batch, struct view *ret_message)
{
    struct view message = { 0 };

    if (batch->len == 0 || take_one(kind, batch, &message))
        return false;
    *ret_message = message;
    return true;
}
