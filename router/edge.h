/* SPDX-License-Identifier: Apache-2.0 */
/* Binds the core to the WebSocket edge, the disk and the clock. No logic. */
#pragma once

#include "router/config.h"
#include "rpc/rpc.h"

struct edge;

/* Loads the folder, listens, and logs `event=listening address=... port=...`. `config` is
 * borrowed. */
bool edge_new(struct rpc_loop *loop, struct router_config *config, struct view passphrase,
              struct edge **ret_edge, struct err *err);
void edge_free(struct edge *edge);
OWN_FREEP(edge, struct edge)
/* SIGHUP: everything as it is on disk now. `other` was read anew and is exchanged with edge's, but for
 * what only a start looks at. False, and nothing has changed: logs why. */
bool edge_reload(struct edge *edge, struct router_config *other);
void edge_count_failed_reload(struct edge *edge); /* of a file that could not even be read */
void edge_drain(struct edge *edge);               /* SIGTERM: router_drain() */
bool edge_is_drained(const struct edge *edge);    /* then edge_is_empty(), or a little patience */
bool edge_is_empty(const struct edge *edge);
