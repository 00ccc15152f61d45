/* SPDX-License-Identifier: Apache-2.0 */
/* Why an address cannot be listened on: libwebsockets does not tell. */
#pragma once

#include "base/err.h"

#include <stdint.h>

/* Tries to bind it again, for the reason's text; `host` NULL: all addresses. Always false. */
bool rpc_ws_bind_failed(const char *host, uint16_t port, struct err *err);
