/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a connection is an end of a session: what it has to say before it may use the relay. No
 * I/O. */
#pragma once

#include "router/relay.h"

struct relay_greeting { /* what the relay knows of the connection */
    uint8_t nonce[RPC_NONCE32];
    const char *address;
    const uint8_t *exporter; /* NULL: TLS does not end here */
    uint64_t started_at; /* network time: grants from before were installed at the router before */
    const struct map *removed; /* sids of those that ended since */
};

struct relay_opening { /* borrows from the message */
    struct rpc_grant grant;
    struct rpc_admission admission;
    enum { RELAY_CALLER = RPC_SIDE_CALLER, RELAY_CALLEE = RPC_SIDE_CALLEE } side;
};

/* *ret_code and *err say why not. */
bool relay_open(const struct router *router, const struct relay_greeting *greeting,
                struct view message, struct relay_opening *ret_opening, enum relay_code *ret_code,
                struct err *err);
