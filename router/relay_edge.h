/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's connections of the WebSocket edge. No logic. */
#pragma once

#include "router/relay.h"
#include "rpc/rpc.h"

extern const struct relay_outside relay_edge_outside;

struct relay_edge {
    struct relay *relay;
    struct moment (*now)(void *user);
    void (*arm)(void *user); /* deadlines have changed */
    void *user;
    size_t n_open;
};
/* Takes the connection over from whoever listens. `exporter` NULL: without TLS. */
void relay_edge_opened(struct relay_edge *edge, struct rpc_ws_conn *ws, const uint8_t *exporter);
