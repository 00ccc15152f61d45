/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a host takes TCP connections at a port, how soon, and what the kernel knows of the path there. Nothing is said to it. */
#pragma once

#include "peer/loop.h"

struct knock_result {
    bool is_open;
    char local[64], remote[64]; /* addresses with ports; "": not known */
    uint64_t rtt_us;
    unsigned mtu;  /* of the path, bytes; 0: not known */
    char why[128]; /* when it is not open */
};

struct knock;
typedef void knock_on_result(void *user, const struct knock_result *result);
/* Calls once, within `ms`; then, or by knock_free(), it is gone. */
struct knock *knock_new(struct loop *loop, const char *host, uint16_t port, uint64_t ms,
                        knock_on_result *on_result, void *user);
void knock_free(struct knock *knock); /* NULL is fine; not after it has called */

/* This machine's addresses that are up, loopback and link-local ones aside: "192.0.2.1 on eth0, ..."; "" when there are none. */
enum { KNOCK_ADDRESSES = 200 };
void knock_addresses(int family, char to[KNOCK_ADDRESSES]);
