/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a machine's own networks: multicast as mDNS has it, and a port of its own for what follows. The only place that knows of
 * interfaces and groups. */
#pragma once

#include "base/buf.h"
#include "ice/nat_core.h"

enum { LAN_MAX_DATAGRAM = 4096, LAN_FAMILIES = 2 };

struct lan_sockets {
    int group
        [LAN_FAMILIES]; /* port 5353 of IPv4 and IPv6, in the group on every interface; -1: none */
    int door[LAN_FAMILIES]; /* a port of our own */
};

/* False: there is no door. Interfaces that come later are joined by lan_sockets_join(). */
bool lan_sockets_open(struct lan_sockets *sockets);
void lan_sockets_close(struct lan_sockets *sockets);
void lan_sockets_join(struct lan_sockets *sockets);
void lan_sockets_ask(struct lan_sockets *sockets,
                     struct view message); /* to the group, out of the doors */
/* One datagram; 0: there is none, or it is too large. */
size_t lan_socket_read(int fd, uint8_t to[LAN_MAX_DATAGRAM], union nat_address *ret_from);
void lan_socket_write(int fd, const union nat_address *to, struct view message);
uint16_t lan_socket_port(int fd);
