/* SPDX-License-Identifier: Apache-2.0 */
/* The door of the router's edge: asks sources.h about each connection, counts whom it turned away,
 * and writes a line about it now and then. */
#pragma once

#include "router/config.h"
#include "router/metrics.h"
#include "router/sources.h"
#include "rpc/rpc.h"

struct gate;
struct visit; /* a connection, from its first byte on: rpc_ws_place() */

/* Both are borrowed; the metrics may come later, before anybody connects. */
struct gate *gate_new(const struct router_config *config);
void gate_free(struct gate *gate); /* after every connection */
void gate_set_metrics(struct gate *gate, struct metrics *metrics);
void gate_reload(struct gate *gate, const struct router_config *config);
/* For a listener. `is_proxied`: all come from the address of a proxy, which tells nothing. */
struct rpc_ws_gate gate_for(struct gate *gate, bool is_proxied);

void gate_proved(struct visit *visit); /* NULL is fine, here and below */
void gate_blame(struct visit *visit, enum source_fault fault, const char *address);
/* The network of its address: IPv4 /24, IPv6 /48. False: it has no limits, or is not known. */
bool gate_near(const struct visit *visit, uint8_t ret_near[SOURCE_KEY]);
size_t gate_n_unproved(const struct gate *gate);
size_t gate_n_tracked(const struct gate *gate);
