/* SPDX-License-Identifier: Apache-2.0 */
/* The batch splitter. What it takes is put together as the same bytes. */
#include "rpc/batch.h"
#include "tests/fuzz/fuzz.h"

static void split(enum rpc_batch kind, struct view batch)
{
    struct view rest = batch, message;
    _buf_ again = { 0 };
    struct err err;

    if (!rpc_batch_check(kind, batch, &err)) {
        while (rpc_batch_next(kind, &rest, &message)) /* unchecked, it must not run over either */
            rpc_batch_put(kind, message, &again);
        return;
    }
    while (rpc_batch_next(kind, &rest, &message)) {
        if (message.len == 0)
            abort();
        rpc_batch_put(kind, message, &again);
    }
    if (rest.len || !view_eq(buf_view(&again), batch))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split(RPC_BATCH_LENGTHS, VIEW(data, size));
    split(RPC_BATCH_SEPARATORS, VIEW(data, size));
    return 0;
}
