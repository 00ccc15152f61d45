/* SPDX-License-Identifier: Apache-2.0 */
/* The edge's timers, kept by one timer of its loop. Inside rpc/ only. */
#pragma once

#include "base/list.h"
#include "rpc/ws.h"

struct rpc_ws_timers {
    struct list all;
    uint64_t armed_at; /* when the loop calls, at the latest; NEVER_MS: not at all */
    void (*arm)(void *user, uint64_t at);
    void *user;
};
void rpc_ws_timers_init(struct rpc_ws_timers *timers, void (*arm)(void *user, uint64_t at),
                        void *user);
void rpc_ws_timers_deinit(struct rpc_ws_timers *timers); /* those left are never called again */
void rpc_ws_timers_fire(struct rpc_ws_timers *timers);   /* the loop calls */
struct rpc_ws_timers *rpc_ws_timers_of(struct rpc_ws *ws);
