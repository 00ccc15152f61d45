/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that a dial may go to. Where the one that it tries is silent, the others are asked whether they take a connection, and
 * it goes on at the first that does (RFC 8305). Inside rpc/ only. */
#pragma once

#include "rpc/ws_names.h"

enum { RPC_WS_MAX_WAYS = 16, RPC_WS_NO_WAY = RPC_WS_MAX_WAYS };

struct rpc_ws_ways {
    struct rpc_ws_way {
        size_t host; /* whose it is, as it was added */
        uint16_t port;
        char address[RPC_WS_NUMERIC];
        int fd;      /* the question whether it is there; -1: none */
        bool is_bad; /* it was tried, or asked, in vain */
    } way[RPC_WS_MAX_WAYS];
    size_t n, at; /* the one that is tried, or RPC_WS_NO_WAY */
    bool has_asked;
};

/* All addresses of a host, `first` before the others if it is one of them. */
void rpc_ws_ways_add(struct rpc_ws_ways *ways, size_t host, uint16_t port,
                     const struct rpc_ws_addresses *all, const char *first);
/* Tries the first of that host. False: there is none. */
bool rpc_ws_ways_begin(struct rpc_ws_ways *ways, size_t host);
/* The one that is tried does not work: another one of the same host. False: there is none. */
bool rpc_ws_ways_next(struct rpc_ws_ways *ways);
void rpc_ws_ways_ask(struct rpc_ws_ways *ways); /* all but the one that is tried */
enum rpc_ws_ways_answer { RPC_WS_WAYS_SILENT, RPC_WS_WAYS_ANSWERED, RPC_WS_WAYS_NONE };
/* ANSWERED: it is the one to be tried, and no others are asked any more. NONE: nobody is left to be asked. */
enum rpc_ws_ways_answer rpc_ws_ways_look(struct rpc_ws_ways *ways);
void rpc_ws_ways_end(struct rpc_ws_ways *ways);
