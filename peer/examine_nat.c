/* SPDX-License-Identifier: Apache-2.0 */
/* What nat.c found, in words. */
#include "peer/examine.h"

#include <inttypes.h>
#include <stdio.h>

static void advise_udp(const struct core *core, struct finding *f)
{
    char remedy[256];

    snprintf(remedy, sizeof(remedy),
             "let UDP out (all ports, or at least port %u of %s and those of the TURN servers): "
             "until then "
             "links go over TURN on TCP or the router's relay",
             core->stun.port, core->stun.host);
    finding_remedy(f, remedy);
}

/* A unique-local address (RFC 4193) leads to the Internet in few networks. */
static bool is_local_alone(const struct ice_nat *nat)
{
    return strncmp(nat->local, "[f", 2) == 0;
}

/* Nothing of that family comes back, while the other one works: then it is not about UDP. */
static bool is_dead(const struct examine *examine, bool is_v6)
{
    return !examine_doors_answer(examine, is_v6) && examine_doors_answer(examine, !is_v6);
}

static void put_blocked(const struct examine *examine, const struct ice_nat *nat, bool is_v6,
                        const char *family, struct finding *f)
{
    if (is_dead(examine, is_v6) && is_local_alone(nat)) {
        finding_begin(f, PEER_NOTE, "udp",
                      "%s: this machine has no address that is good for more "
                      "than its own network",
                      family);
    } else if (is_dead(examine, is_v6)) {
        finding_begin(f, PEER_BAD, "udp",
                      "%s: this machine has an address and a route, but nothing comes back, over "
                      "TCP neither",
                      family);
        finding_remedy(f, "mend it in this network, or at the router's address of that kind, or "
                          "switch it off: whoever tries it waits in vain");
    } else {
        finding_begin(f, PEER_BAD, "udp",
                      "%s: UDP is blocked: the network's STUN server does not answer, though the "
                      "router can be reached",
                      family);
        advise_udp(examine->core, f);
    }
}

static void tell_udp(const struct examine *examine, bool is_v6, const char *family)
{
    const struct ice_nat *nat = &examine->core->nat.is[is_v6];
    struct finding f;

    if (nat->udp == ICE_UDP_BLOCKED) {
        put_blocked(examine, nat, is_v6, family, &f);
    } else {
        char soon[32] =
            ""; /* "": after a question that was lost; which one it answers is not known */

        if (nat->rtt_us)
            snprintf(soon, sizeof(soon), " in %" PRIu64 " ms", nat->rtt_us / 1000);
        finding_begin(&f, PEER_GOOD, "udp", "%s: UDP works: the STUN server answers%s, and sees %s",
                      family, soon, nat->mapped);
        if (nat->rtt_us)
            finding_ms(&f, "rtt_ms", nat->rtt_us);
        finding_fact(&f, "mapped", "%s", nat->mapped);
    }
    finding_fact(&f, "family", "%s", family);
    finding_fact(&f, "udp", "%s", ice_udp_name(nat->udp));
    beside_tell(examine->core, &f);
}

static void tell_nat(const struct core *core, const struct ice_nat *nat, const char *family)
{
    bool is_hard = nat->mapping == ICE_MAPPING_PORT || nat->mapping == ICE_MAPPING_ADDRESS;
    struct finding f;

    if (nat->udp != ICE_UDP_OPEN)
        return;
    finding_begin(&f, is_hard ? PEER_BAD : PEER_GOOD, "nat", "%s: %s", family, ice_nat_name(nat));
    if (is_hard)
        finding_remedy(&f, "let the NAT keep one mapping for all destinations (RFC 4787), switch "
                           "on its PCP or NAT-PMP, or use IPv6: "
                           "with many others only TURN or the relay works");
    finding_fact(&f, "family", "%s", family);
    finding_fact(&f, "name", "%s", ice_nat_name(nat));
    finding_fact(&f, "mapping", "%s", ice_mapping_name(nat->mapping));
    finding_fact(&f, "filtering", "%s", ice_filtering_name(nat->filtering));
    finding_fact(&f, "local", "%s", nat->local);
    finding_fact(&f, "mapped", "%s", nat->mapped);
    beside_tell(core, &f);
}

static void tell_size(const struct core *core, const struct ice_nat *nat, bool is_v6,
                      const char *family)
{
    enum { QUIC = 1200 }; /* RFC 9000, 14 */
    size_t headers = is_v6 ? 48 : 28;
    struct finding f;

    if (nat->packet == 0)
        return;
    finding_begin(&f, nat->packet < QUIC ? PEER_BAD : PEER_GOOD, "mtu",
                  nat->packet < QUIC
                      ? "%s: packets of %zu bytes of UDP reach the router, larger ones do "
                        "not; QUIC needs 1200"
                      : "%s: packets of %zu bytes of UDP reach the router",
                  family, nat->packet);
    if (nat->packet < QUIC)
        finding_remedy(
            &f,
            "let tunnels (VPN) and the interface in between have an MTU of 1280 at least: until "
            "then links go over the router's relay");
    finding_fact(&f, "family", "%s", family);
    finding_fact(&f, "packet", "%zu", nat->packet);
    finding_fact(&f, "mtu", "%zu", nat->packet + headers);
    beside_tell(core, &f);
}

void examine_nat(const struct examine *examine)
{
    const struct core *core = examine->core;
    static const char *const families[] = { "IPv4", "IPv6" };
    struct finding f;

    for (size_t i = 0; i < 2; i++) {
        if (!core->nat.has[i])
            continue;
        tell_udp(examine, i == 1, families[i]);
        tell_nat(core, &core->nat.is[i], families[i]);
        tell_size(core, &core->nat.is[i], i == 1, families[i]);
    }
    if (core->nat.has[0] || core->nat.has[1])
        return;
    finding_begin(&f, PEER_NOTE, "udp",
                  core->stun.host[0]
                      ? "the network's STUN server has no address that leads there from here"
                      : "the network has no STUN server, so nothing is known of UDP and NAT");
    beside_tell(core, &f);
}
