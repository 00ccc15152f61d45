/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of life: a connection on which nothing was heard for 30 s is pinged, and is taken for dead
 * 15 s after that. Time is counted in ticks, so that thousands of idle connections cost one timer. */
#pragma once

#include <stdint.h>

enum {
    RPC_WS_TICK_MS = 5000,
    RPC_WS_LIFE_PING_TICKS = 6, /* 30 s, then 15 s for the answer */
    RPC_WS_LIFE_DEAD_TICKS = 9,
};

enum rpc_ws_life { RPC_WS_LIFE_FINE, RPC_WS_LIFE_ASK, RPC_WS_LIFE_DEAD };

/* In the tick `now`, of a connection that was last heard in the tick `heard_at`. */
static inline enum rpc_ws_life rpc_ws_life_look(uint64_t now, uint64_t heard_at)
{
    uint64_t silent = now - heard_at;

    if (silent >= RPC_WS_LIFE_DEAD_TICKS)
        return RPC_WS_LIFE_DEAD;
    return silent == RPC_WS_LIFE_PING_TICKS ? RPC_WS_LIFE_ASK : RPC_WS_LIFE_FINE;
}
