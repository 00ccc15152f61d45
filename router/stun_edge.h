/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of the router's STUN server. */
#pragma once

#include "router/router.h"
#include "rpc/rpc.h"

struct stun_edge;
/* On config->stun, or the address of config->listen with the same port; NULL when there is to be none. What was
 * only taken for granted, and cannot be had, is said in the log and done without. */
bool stun_edge_new(struct rpc_loop *loop, struct router *router, uint16_t listen_port,
                   struct stun_edge **ret_edge, struct err *err);
void stun_edge_free(struct stun_edge *edge);
OWN_FREEP(stun_edge, struct stun_edge)
void stun_edge_reload(struct stun_edge *edge); /* limits, from the configuration */
