/* SPDX-License-Identifier: Apache-2.0 */
/* The join string's reader. What it takes is written and read as the same again. */
#include "rpc/join.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _buf_ once = { 0 };
    _buf_ twice = { 0 };
    struct rpc_join join, back;
    struct err err;

    if (!rpc_join_read(VIEW(data, size), &join, &err))
        return 0;
    rpc_join_write(&join, &once);
    if (!rpc_join_read(buf_view(&once), &back, &err))
        abort();
    rpc_join_write(&back, &twice);
    if (!view_eq(buf_view(&once), buf_view(&twice)))
        abort();
    return 0;
}
