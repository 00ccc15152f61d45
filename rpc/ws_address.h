/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of sockets: as a key to count by, and as text. IPv6 counts by /64: a host has all of
 * one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define RPC_WS_ADDRESS_TEXT 46

/* The counted form of a socket's address: IPv4 as ::ffff:a.b.c.d, of IPv6 the first 64 bits. False
 * for families other than IP. */
bool rpc_ws_address_key(const struct sockaddr_storage *from, uint8_t ret_key[16]);
/* Of the other side of a socket, and its key. */
bool rpc_ws_address_of(int fd, struct sockaddr_storage *ret_from, uint8_t ret_key[16]);
/* "192.0.2.1", "2001:db8::1"; mapped IPv4 as IPv4. */
void rpc_ws_address_text(const struct sockaddr_storage *from, char ret_text[RPC_WS_ADDRESS_TEXT]);
/* An address as text, with white space around it or not; false: it is none. */
bool rpc_ws_address_read(const char *text, struct sockaddr_storage *ret_address);
