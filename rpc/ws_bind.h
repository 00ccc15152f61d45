/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: our own, and why libwebsockets' cannot be had, which it does not tell. */
#pragma once

#include "base/err.h"

#include <stdint.h>

/* A TCP socket that listens at a numeric address; the caller closes it. `host` NULL: all addresses
 * of IPv6 and IPv4, or of IPv4 where that is all there is. `port` 0: a free one. The error says
 * what the system said: SYSTEM, or BAD_CONFIG for what is no address. */
bool rpc_ws_bind(const char *host, uint16_t port, int *ret_fd, struct err *err);

/* Tries to bind it again, for the reason's text; `host` NULL: all addresses. Always false. */
bool rpc_ws_bind_failed(const char *host, uint16_t port, struct err *err);
