/* SPDX-License-Identifier: Apache-2.0 */
/* When to try a lost connection again, and at which host: growing, jittered pauses: 0.5 s, 1.5 s,
 * 4.5 s, 6 s, each times 0.5 to 1.5, so that all are back in ten seconds and never in one wave.
 * (Doubled they overlap too much: of 32 peers 30 came back within one second of a crash.) */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    RPC_RETRY_PAUSE_MS = 500,
    RPC_RETRY_MAX_PAUSE_MS =
        6000, /* nine seconds with its jitter, then one to join: all are back */
    RPC_RETRY_MAX_ASKED_MS = 60000, /* a router that asks for more is not believed */
    RPC_RETRY_STEADY_MS = 5000,     /* a session that lasted this long starts the pauses anew */
};

struct rpc_retry {
    size_t n_hosts, host; /* the one to try next */
    unsigned n_failures;
    uint64_t up_at; /* 0: not yet in this connection */
};

void rpc_retry_up(struct rpc_retry *retry, uint64_t now); /* the session is established */
/* The connection is gone, or never came to be: how long to wait, in ms, before retry->host is
 * tried. `asked`: what the router asked for, drawn for each client, and no failure; 0: nothing. */
uint64_t rpc_retry_lost(struct rpc_retry *retry, uint64_t now, uint64_t asked);
