/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of hosts by name. Other threads ask the system, which may wait for a silent name server for a minute; the
 * loop never does. Inside rpc/ only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RPC_WS_MAX_ADDRESSES = 16, RPC_WS_NUMERIC = 64 };

struct rpc_ws_addresses { /* in the system's order */
    char text[RPC_WS_MAX_ADDRESSES][RPC_WS_NUMERIC];
    size_t n;
};

struct rpc_ws_names;

/* `wake` is called from other threads, whenever something may have become known; it must only wake somebody. */
struct rpc_ws_names *rpc_ws_names_new(void (*wake)(void *user), void *user);
void rpc_ws_names_free(struct rpc_ws_names *names); /* waits for nobody. NULL is fine */

enum rpc_ws_names_state {
    RPC_WS_NAMES_AWAITED, /* nothing is known yet */
    RPC_WS_NAMES_KEPT,    /* what was known before; a newer answer is awaited */
    RPC_WS_NAMES_KNOWN,   /* a literal address, or an answer not older than `since` */
    RPC_WS_NAMES_NONE,
};
/* Asks if there was no answer since then (clock_mono_ms()): once for all that want the same host. A name server that does not
 * answer takes nothing away of what is known. */
enum rpc_ws_names_state rpc_ws_names_find(struct rpc_ws_names *names, const char *host,
                                          uint64_t since, struct rpc_ws_addresses *ret_found);
bool rpc_ws_names_has_news(struct rpc_ws_names *names); /* since it was asked last */
