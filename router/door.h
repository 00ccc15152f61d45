/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's door: /metrics, /healthz and /readyz over plain HTTP, on an address of its own. */
#pragma once

#include "router/router.h"

struct door;

/* `where`: as the option `metrics` has it. `router` is borrowed, and from now on its
 * loop_time is kept. Logs `event=listening_metrics`. */
bool door_new(struct rpc_loop *loop, const char *where, struct router *router,
              struct door **ret_door, struct err *err);
void door_free(struct door *door);
OWN_FREEP(door, struct door)
