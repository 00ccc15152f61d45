/* SPDX-License-Identifier: Apache-2.0 */
/* Binds the core to the WebSocket edge, the disk and the clock. No logic. */
#pragma once

#include "router/config.h"
#include "rpc/rpc.h"

struct edge;

/* Loads the folder, listens, and logs `event=listening address=... port=...`. `config` is
 * borrowed. */
bool edge_new(struct rpc_loop *loop, const struct router_config *config, struct edge **ret_edge,
              struct err *err);
void edge_free(struct edge *edge);
OWN_FREEP(edge, struct edge)
void edge_reload(struct edge *edge); /* SIGHUP: trust and certificate, as they are on disk now */
void edge_drain(struct edge *edge);  /* SIGTERM: router_drain() */
bool edge_is_drained(const struct edge *edge); /* then edge_is_empty(), or a little patience */
bool edge_is_empty(const struct edge *edge);
