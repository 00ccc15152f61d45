/* SPDX-License-Identifier: Apache-2.0 */
/* A socket on its way to a host: the name is looked up, then the socket connects. Nothing waits. */
#pragma once

#include "ice/nat_core.h"
#include "peer/loop.h"

struct connecting_result {
    int fd;                   /* connected, non-blocking and the caller's; -1: `why` says it */
    union nat_address remote; /* all 0: the name has no address */
    uint64_t began_at;        /* clock_mono_ns() as it set out */
    char why[128];
};

struct connecting;
typedef void connecting_on_result(void *user, const struct connecting_result *result);
/* `type`: SOCK_STREAM or SOCK_DGRAM. Calls once, within `ms` and never from inside this; then, or by connecting_free(), it is gone. */
struct connecting *connecting_new(struct loop *loop, int type, const char *host, uint16_t port,
                                  uint64_t ms, connecting_on_result *on_result, void *user);
void connecting_free(struct connecting *connecting); /* NULL is fine; not after it has called */
