/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts on sockets that we or somebody else (systemd) made listen. libwebsockets takes no listening
 * socket that it did not make, and accepts as many at once as there are. On libuv alone. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct rpc_ws_accept;
struct rpc_ws_accept_events {
    /* Not blocking, without Nagle's delay, closed by exec(); it is the callee's. */
    void (*accepted)(void *user, int fd);
    void (*no_files)(
        void *user); /* descriptors are exhausted: nobody is accepted until _resume() */
};

/* `fd` is taken over, and closed by _free(); on failure (BAD_CONFIG: it is no listening TCP socket)
 * it stays the caller's. */
bool rpc_ws_accept_new(void *native, int fd, const struct rpc_ws_accept_events *events, void *user,
                       struct rpc_ws_accept **ret_accept, struct err *err);
void rpc_ws_accept_free(struct rpc_ws_accept *accept);
void rpc_ws_accept_resume(struct rpc_ws_accept *accept); /* after no_files() */
uint16_t rpc_ws_accept_port(const struct rpc_ws_accept *accept);
