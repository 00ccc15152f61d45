/* SPDX-License-Identifier: Apache-2.0 */
/* The procedures below `network.`, which the router serves itself. */
#pragma once

#include "router/conn.h"

/* policy.c said that the caller may. Appends the result's args array. NO_SUCH_PROCEDURE. */
bool network_serve(struct conn *caller, const struct rpc_call *call, struct buf *ret_args,
                   struct err *err);
/* den.heartbeat passes through here before anybody else sees it: verified, remembered, stored. */
bool network_take_heartbeat(struct router *router, struct rpc_payload payload, struct err *err);
