/* SPDX-License-Identifier: Apache-2.0 */
/* The procedures below `network.`, which the router serves itself. */
#pragma once

#include "router/conn.h"

/* Whether the router serves this one itself. In the realms of other applications `network.` is
 * theirs. */
bool network_is_ours(const struct conn *conn, struct view procedure);
/* policy.c said that the caller may. Appends the result's args array. NO_SUCH_PROCEDURE. */
bool network_serve(struct conn *caller, const struct rpc_call *call, struct buf *ret_args,
                   struct err *err);
/* Events network.peer.on_join and on_leave, for den and admins. */
void network_say_joined(struct conn *conn);
void network_say_left(struct conn *conn);
/* Event network.peer.on_clone, for den, admins and the ID itself: somebody else came with its key. */
void network_say_clone(struct conn *conn, const char *other_address);
/* den.heartbeat passes through here before anybody else sees it: verified, remembered, stored. */
bool network_take_heartbeat(struct router *router, struct rpc_payload payload, struct err *err);
