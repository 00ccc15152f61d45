/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the home router for a port of its own (NAT-PMP, RFC 6886), so that even a NAT with a mapping for each destination lets a
 * direct path in. The first hop alone is asked, over two messages of 2 and 12 bytes; where it does not answer nothing is lost.
 *
 * UPnP is not asked, though libnice could (by gupnp-igd; with miniupnpd in the laboratory a port was there after 222 ms, for three
 * threads and 4 MB an agent). Anybody on the LAN may answer its multicast, and is believed so far as to be sent HTTP requests to
 * wherever he says and to have his XML parsed, in the process that has the identity key. What it would add to NAT-PMP: 5 of the 100
 * pairs of kinds of network could have a direct path instead of TURN (a symmetric NAT and another one that filters by port), where
 * that router speaks UPnP alone. */
#pragma once

#include "base/buf.h"

#include <stddef.h>

struct ice_portmap;
/* `address`: "203.0.113.7", the outer one. Once, and again when the router's answer changes. */
typedef void ice_on_portmap(void *user, const char *address, uint16_t port);
/* NULL: there is no first hop on IPv4, or `local` (an IP address of this machine) does not lead to it. */
struct ice_portmap *ice_portmap_new(void *context, const char *local, uint16_t port,
                                    ice_on_portmap *on_mapped, void *user);
void ice_portmap_free(struct ice_portmap *portmap); /* gives the port back; NULL is fine */

/* ---- no I/O ---- */

enum { PORTMAP_PORT = 5351, PORTMAP_ASK = 12, PORTMAP_LIFE_S = 7200 };

struct portmap_answer {
    bool is_address; /* else of a mapping */
    uint8_t address[4];
    uint16_t inner, outer;
    uint32_t life_s;
};
bool portmap_read(struct view datagram,
                  struct portmap_answer *ret); /* false: no good answer of NAT-PMP */
void portmap_write(uint16_t inner, uint16_t outer, uint32_t life_s, uint8_t to[PORTMAP_ASK]);
/* The gateway of the default route, of the text of /proc/net/route; false: there is none. */
bool portmap_gateway(struct view text, uint8_t ret_address[4]);
/* Private and carrier-grade addresses are of no use to anybody outside. */
bool portmap_is_outer(const uint8_t address[4]);
