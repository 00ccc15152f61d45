/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/retry.h"

#include "base/clock.h"
#include "base/key.h"

void rpc_retry_up(struct rpc_retry *retry, uint64_t now)
{
    if (!retry->up_at)
        retry->up_at = now;
    retry->was_up = true;
}

static uint64_t draw(uint32_t from, uint32_t to)
{
    return from + random_below(to - from + 1);
}

static uint64_t draw_pause(unsigned n_failures)
{
    if (n_failures == 0)
        return draw(RPC_RETRY_LEAST_MS, RPC_RETRY_FIRST_MS);
    if (n_failures == 1)
        return draw(RPC_RETRY_LEAST_MS, RPC_RETRY_ROUND_MS);
    return draw(RPC_RETRY_ROUND_MS - RPC_RETRY_JITTER_MS, RPC_RETRY_ROUND_MS + RPC_RETRY_JITTER_MS);
}

bool rpc_retry_pass(struct rpc_retry *retry)
{
    if (++retry->n_passed >= retry->n_hosts)
        return false;
    retry->host = (retry->host + 1) % retry->n_hosts;
    return true;
}

uint64_t rpc_retry_lost(struct rpc_retry *retry, uint64_t now, uint64_t asked)
{
    retry->n_passed = 0;
    if (retry->up_at && now - retry->up_at >= RPC_RETRY_STEADY_MS)
        retry->n_failures = 0;
    else if (!retry->up_at)
        retry->host = (retry->host + 1) % retry->n_hosts;
    retry->up_at = 0;
    if (asked) { /* who comes too early all the same is one of many */
        retry->n_failures = retry->n_failures ? retry->n_failures : 1;
        return min_u64(asked, RPC_RETRY_MAX_ASKED_MS);
    }
    retry->n_failures++;
    if (!retry->was_up && ++retry->n_tried < retry->n_hosts)
        return 0;
    return draw_pause(retry->n_failures - 1);
}

uint64_t rpc_retry_patience(enum err_code why)
{
    bool is_for_people = why == ERR_CLONE || why == ERR_REVOKED || why == ERR_CLOCK_SKEW;

    return is_for_people ? draw(RPC_RETRY_PATIENCE_MS, RPC_RETRY_PATIENCE_MS + RPC_RETRY_ROUND_MS)
                         : 0;
}
