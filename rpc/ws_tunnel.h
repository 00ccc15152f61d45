/* SPDX-License-Identifier: Apache-2.0 */
/* A connection through a proxy. A thread of its own looks the proxy's name up, connects and asks, so that nobody waits
 * for that; then it carries bytes between the proxy and a local socket, which is what libwebsockets connects
 * to: it takes no socket that is connected already. Nobody but this process can use that one. */
#pragma once

#include "rpc/proxy.h"

struct rpc_ws_tunnel;

enum { RPC_WS_TUNNEL_NAME = 64 };

/* `done` is called once, from the other thread, unless the tunnel is dropped before; it must only wake
 * somebody. SYSTEM: no thread, or no descriptor. */
bool rpc_ws_tunnel_new(const struct rpc_proxy *proxy, const char *host, uint16_t port,
                       void (*done)(void *user), void *user, struct rpc_ws_tunnel **ret_tunnel,
                       struct err *err);
enum rpc_ws_tunnel_state { RPC_WS_TUNNEL_PENDING, RPC_WS_TUNNEL_THROUGH, RPC_WS_TUNNEL_FAILED };
/* THROUGH: where to connect, within five seconds, as libwebsockets writes a local socket: "+@name". */
enum rpc_ws_tunnel_state rpc_ws_tunnel_look(struct rpc_ws_tunnel *tunnel,
                                            char ret_name[RPC_WS_TUNNEL_NAME], struct err *err);
void rpc_ws_tunnel_leave(struct rpc_ws_tunnel *tunnel); /* it lives as long as the connection */
void rpc_ws_tunnel_drop(struct rpc_ws_tunnel *tunnel);  /* nobody will connect. NULL is fine */
