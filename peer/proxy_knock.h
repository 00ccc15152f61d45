/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a proxy leads to a host; and where it does not, whose fault that is. Nothing is said to the host. */
#pragma once

#include "peer/loop.h"
#include "rpc/rpc.h"

enum proxy_way {
    PROXY_WAY_THROUGH,
    PROXY_WAY_BEYOND, /* the proxy works, and cannot reach the host */
    PROXY_WAY_NONE,   /* it is not reached itself, refuses, or is no such proxy */
};

struct proxy_knock_result {
    enum proxy_way way;
    uint64_t rtt_us; /* until it was through */
    char why[128];   /* when it was not */
};

struct proxy_knock;
typedef void proxy_knock_on_result(void *user, const struct proxy_knock_result *result);
/* Calls once, within seconds and never from inside this; then, or by proxy_knock_free(), it is gone. `proxy` and `host` are
 * borrowed until then. */
struct proxy_knock *proxy_knock_new(struct loop *loop, const struct rpc_proxy *proxy,
                                    const struct rpc_join_host *host,
                                    proxy_knock_on_result *on_result, void *user);
void proxy_knock_free(struct proxy_knock *knock); /* NULL is fine; not after it has called */
