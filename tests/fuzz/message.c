/* SPDX-License-Identifier: Apache-2.0 */
/* The walker and the message reader. What they take must survive being written and read again. */
#include "rpc/error.h"
#include "rpc/token.h"
#include "tests/fuzz/fuzz.h"

/* Whatever the walker passed is as long as the reader thinks. */
static void check_walk(struct view frame)
{
    struct err err;
    size_t len;

    if (!rpc_walk(frame, &len, &err))
        return;
    if (len == 0 || len > frame.len || rpc_value_len(frame) != len)
        abort();
    rpc_map_has_duplicates(frame);
}

static void check_payload(struct rpc_payload payload)
{
    struct view args = rpc_payload_args(payload), kwargs = rpc_payload_kwargs(payload);
    struct err what;

    if (rpc_value_kind(args) != RPC_ARRAY || (kwargs.len && rpc_value_kind(kwargs) != RPC_MAP))
        abort();
    rpc_error_read(VIEW_LIT("den.error.stale"), payload, &what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view frame = VIEW(data, size);
    _buf_ once = { 0 };
    _buf_ twice = { 0 };
    struct rpc_msg msg, back;
    struct err err;

    check_walk(frame);
    if (!rpc_msg_read(frame, &msg, &err))
        return 0;
    if (msg.type == RPC_CALL)
        check_payload(msg.call.payload);
    rpc_msg_write(&msg, &once);
    if (once.len > RPC_MAX_MESSAGE) /* roles added to a message at the limit */
        return 0;
    if (!rpc_msg_read(buf_view(&once), &back, &err) || back.type != msg.type)
        abort();
    rpc_msg_write(&back, &twice);
    if (!view_eq(buf_view(&once), buf_view(&twice)))
        abort();
    return 0;
}
