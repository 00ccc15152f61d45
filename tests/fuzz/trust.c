/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine knows of its network, as it lies in its folder. What is taken is kept as the same again. */
#include "rpc/trust.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static bool take_any(struct view root_der, struct view bytes, struct view sig, struct err *err)
{
    (void)root_der, (void)bytes, (void)sig, (void)err;
    return true; /* signatures would keep every changed one out */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL, *back = NULL;
    _buf_ once = { 0 };
    _buf_ twice = { 0 };
    struct err err;

    if (!rpc_trust_load(VIEW(data, size), take_any, &trust, &err))
        return 0;
    rpc_trust_save(trust, &once);
    if (!rpc_trust_load(buf_view(&once), take_any, &back, &err))
        abort();
    rpc_trust_save(back, &twice);
    if (!view_eq(buf_view(&once), buf_view(&twice)))
        abort();
    return 0;
}
