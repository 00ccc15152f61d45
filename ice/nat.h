/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between this machine and the Internet, on UDP: how a NAT maps and how it filters (RFC 4787), found out by RFC 5780's
 * questions to STUN servers. A server with one address and two ports tells ports apart; whether a NAT goes by addresses, only
 * one with two addresses can tell (or a second server, for the mapping). nat_edge.c has the sockets. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum ice_udp { ICE_UDP_UNKNOWN, ICE_UDP_OPEN, ICE_UDP_BLOCKED };

enum ice_mapping {
    ICE_MAPPING_UNKNOWN,
    ICE_MAPPING_NONE,     /* no NAT: the address is this machine's own */
    ICE_MAPPING_ENDPOINT, /* one for all destinations */
    ICE_MAPPING_ADDRESS,  /* another for each address */
    ICE_MAPPING_PORT,     /* another for each address and port */
};

enum ice_filtering {
    ICE_FILTERING_UNKNOWN,
    ICE_FILTERING_NONE,     /* anybody's packets come in */
    ICE_FILTERING_ADDRESS,  /* of addresses that were sent to */
    ICE_FILTERING_PORT,     /* of addresses with ports that were sent to */
    ICE_FILTERING_NOT_PORT, /* not by port; by address or not at all, no server could tell */
};

struct ice_nat {
    enum ice_udp udp;
    enum ice_mapping mapping;
    enum ice_filtering filtering;
    char local[64], mapped[64]; /* "192.0.2.1:40000"; "": not known */
    uint64_t rtt_us;            /* to the first server that answered */
    size_t
        packet; /* the largest that reached it, in bytes of UDP's payload; 0: nobody asked, or it does not say */
};

/* "full cone NAT", "port-restricted NAT", "symmetric NAT", "UDP is blocked", "no NAT", ... */
const char *ice_nat_name(const struct ice_nat *nat);
/* One word each, for programs. */
const char *ice_udp_name(enum ice_udp udp);
const char *ice_mapping_name(enum ice_mapping mapping);
const char *ice_filtering_name(enum ice_filtering filtering);
/* Back; false: it is no such word. */
bool ice_nat_read(struct view udp, struct view mapping, struct view filtering,
                  struct ice_nat *ret_nat);
/* Whether two such machines can make a direct path by hole punching (RFC 5128). */
enum ice_punch { ICE_PUNCH_UNKNOWN, ICE_PUNCH_WORKS, ICE_PUNCH_FAILS };
enum ice_punch ice_nat_punch(const struct ice_nat *a, const struct ice_nat *b);

struct ice_nat_question {
    const char *server; /* an IP address, with */
    uint16_t port;
    uint16_t other_port; /* from which it answers too; 0: none */
    const char *second;  /* another server of the same family; NULL or "": none */
    uint16_t second_port;
    bool measures; /* how large a packet reaches the server, too */
};

/* ---- the sockets ---- */

struct ice_nat_probe;
typedef void ice_on_nat(void *user, const struct ice_nat *nat);
/* Calls once from `context` (GMainContext), after two seconds at most; then, or by _free(), it is gone. NULL: the question names no
 * address, none of that family leads out of here, or no socket could be had. */
struct ice_nat_probe *ice_nat_probe_new(void *context, const struct ice_nat_question *question,
                                        ice_on_nat *on_nat, void *user);
void ice_nat_probe_free(struct ice_nat_probe *probe); /* NULL is fine; not after it has called */
