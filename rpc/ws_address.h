/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each address has. IPv6 counts by /64: a host has all of one. */
#pragma once

#include "base/map.h"

#include <sys/socket.h>

struct rpc_ws_address {
    uint8_t key[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the first 64 bits */
    uint32_t n;
};
#define RPC_WS_ADDRESS_TEXT 46

/* The counted form of a socket's address; false for families other than IP. */
bool rpc_ws_address_key(const struct sockaddr_storage *from, uint8_t ret_key[16]);
/* "192.0.2.1", "2001:db8::1"; mapped IPv4 as IPv4. */
void rpc_ws_address_text(const struct sockaddr_storage *from, char ret_text[RPC_WS_ADDRESS_TEXT]);
uint32_t rpc_ws_address_count(const struct map *addresses, const uint8_t key[16]);
/* One more; give it back with release. */
struct rpc_ws_address *rpc_ws_address_take(struct map *addresses, const uint8_t key[16]);
void rpc_ws_address_release(struct map *addresses,
                            struct rpc_ws_address *address); /* NULL is fine */
