/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/retry.h"

#include "base/clock.h"
#include "base/key.h"

void rpc_retry_up(struct rpc_retry *retry, uint64_t now)
{
    if (!retry->up_at)
        retry->up_at = now;
}

uint64_t rpc_retry_lost(struct rpc_retry *retry, uint64_t now, uint64_t asked)
{
    uint64_t pause = RPC_RETRY_PAUSE_MS;

    if (retry->up_at && now - retry->up_at >= RPC_RETRY_STEADY_MS)
        retry->n_failures = 0;
    else if (!retry->up_at)
        retry->host = (retry->host + 1) % retry->n_hosts;
    retry->up_at = 0;
    if (asked) { /* who comes too early all the same is one of many: the longer pause spreads them */
        retry->n_failures = retry->n_failures ? retry->n_failures : 1;
        return min_u64(asked, RPC_RETRY_MAX_ASKED_MS);
    }
    for (unsigned i = 0; i < retry->n_failures && pause < RPC_RETRY_MAX_PAUSE_MS; i++)
        pause *= 3;
    retry->n_failures++;
    pause = min_u64(pause, RPC_RETRY_MAX_PAUSE_MS);
    return pause / 2 + random_below((uint32_t)pause + 1);
}
