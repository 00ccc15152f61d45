/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the home router for a port of its own (PCP, RFC 6887, or NAT-PMP, RFC 6886, which came before it on the same port), so that even
 * a NAT with a mapping for each destination lets a direct path in. The first hop alone is asked, over messages of 60, or of 2 and 12 bytes;
 * where it does not answer nothing is lost. Of PCP: MAP for UDP over IPv4, no options; no holes in an IPv6 firewall.
 *
 * UPnP is not asked, though libnice could (by gupnp-igd; with miniupnpd in the laboratory a port was there after 222 ms, for three
 * threads and 4 MB an agent). Anybody on the LAN may answer its multicast, and is believed so far as to be sent HTTP requests to
 * wherever he says and to have his XML parsed, in the process that has the identity key. What it would add: 5 of the 100
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

/* The same over a socket that is connected to the router; it is taken. `local`: the address of this end. */
struct ice_portmap *ice_portmap_over(void *context, int fd, const uint8_t local[4], uint16_t port,
                                     ice_on_portmap *on_mapped, void *user);

/* ---- no I/O: portmap_wire.c ---- */

enum {
    PORTMAP_PORT = 5351,
    PORTMAP_NONCE = 12,
    PORTMAP_MAX_ASK = 60,
    PORTMAP_MAX_ANSWER = 1100, /* RFC 6887, 7 */
    PORTMAP_LIFE_S = 7200,
};
enum portmap_version { PORTMAP_PMP = 0, PORTMAP_PCP = 2 }; /* the first byte of all messages */

struct portmap_question { /* for a UDP port */
    uint8_t nonce[PORTMAP_NONCE], local[4];
    uint16_t inner, outer;    /* outer: the one that we had; 0: whichever */
    uint8_t outer_address[4]; /* likewise, of PCP */
    uint32_t life_s;          /* 0: it is given back */
};
/* To one of NAT-PMP belongs another question, for the address: two zero bytes. The length. */
size_t portmap_write(enum portmap_version version, const struct portmap_question *q,
                     uint8_t to[PORTMAP_MAX_ASK]);

struct portmap_answer {
    enum portmap_version version;
    bool is_other;              /* the question was of another version than the router speaks */
    bool has_address, has_port; /* PCP gives both in one, NAT-PMP in two */
    uint8_t address[4], nonce[PORTMAP_NONCE]; /* nonce: of PCP */
    uint16_t inner, outer;
    uint32_t life_s;
};
/* False: no good answer, neither of PCP nor of NAT-PMP. */
bool portmap_read(struct view datagram, struct portmap_answer *ret);
/* The gateway of the default route, of the text of /proc/net/route; false: there is none. */
bool portmap_gateway(struct view text, uint8_t ret_address[4]);
/* Private and carrier-grade addresses are of no use to anybody outside. */
bool portmap_is_outer(const uint8_t address[4]);
