/* SPDX-License-Identifier: Apache-2.0 */
/* The doors of the network: each host of the join string, each of its addresses, tried by itself and all at once; and the proxy, where one
 * leads to a host. */
#include "peer/examine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

enum {
    KNOCK_MS = 3000,
    ALL_MS = 7000, /* names that are not answered count as none then */
    LEAST_MTU = 1280,
};

static const char *proxy_kind(const struct core *core)
{
    return core->proxy.kind == RPC_PROXY_HTTP ? "HTTP CONNECT" : "SOCKS5";
}

/* "router.example:443", "[2001:db8::1]:443" */
static const char *host_text(const struct rpc_join_host *host, char to[100])
{
    snprintf(to, 100, strchr(host->host, ':') ? "[%.80s]:%u" : "%.80s:%u", host->host,
             (unsigned)host->port);
    return to;
}

static const struct rpc_join_host *host_of(const struct examine *examine, size_t i)
{
    return &examine->core->join.hosts[i];
}

/* ---- knocking ---- */

static void on_door(void *user, const struct knock_result *result)
{
    struct examine_door *door = user;

    door->knock = NULL;
    door->result = *result;
    examine_turn_page(door->examine->core);
}

static void try_address(struct examine *examine, size_t i, const char *address)
{
    uint16_t port = host_of(examine, i)->port;
    struct examine_door *door;

    if (examine->n_doors == EXAMINE_DOORS)
        return;
    door = &examine->doors[examine->n_doors++];
    door->examine = examine;
    door->host = i;
    door->is_v6 = strchr(address, ':') != NULL;
    snprintf(door->ip, sizeof(door->ip), "%s", address);
    snprintf(door->address, sizeof(door->address), door->is_v6 ? "[%.50s]:%u" : "%.50s:%u", address,
             (unsigned)port);
    door->knock = knock_new(examine->core->loop, address, port, KNOCK_MS, on_door, door);
}

static void on_addresses(void *user, const char *const *addresses, size_t n)
{
    struct examine_host *host = user;

    host->lookup = NULL;
    for (size_t k = 0; k < n; k++)
        try_address(host->examine, (size_t)(host - host->examine->hosts), addresses[k]);
    examine_turn_page(host->examine->core);
}

static void on_proxy(void *user, const struct proxy_knock_result *result)
{
    struct examine_host *host = user;

    host->knock = NULL;
    host->way = *result;
    examine_turn_page(host->examine->core);
}

static void try_host(struct examine *examine, size_t i)
{
    const struct rpc_join_host *to = host_of(examine, i);
    struct examine_host *host = &examine->hosts[i];
    struct core *core = examine->core;
    uint8_t any[16];

    host->examine = examine;
    host->is_proxied =
        core->proxy.kind != RPC_PROXY_NONE && rpc_proxy_is_for(&core->proxy, to->host);
    if (host->is_proxied)
        host->knock = proxy_knock_new(core->loop, &core->proxy, to, on_proxy, host);
    if (inet_pton(AF_INET, to->host, any) == 1 || inet_pton(AF_INET6, to->host, any) == 1)
        try_address(examine, i, to->host);
    else
        host->lookup = ice_lookup_all_new(loop_context(core->loop), to->host, on_addresses, host);
}

void examine_doors_begin(struct examine *examine)
{
    examine->doors_state = EXAMINE_UNDER_WAY;
    examine->doors_began_at = clock_mono_ms();
    for (size_t i = 0; i < examine->core->join.n_hosts; i++)
        try_host(examine, i);
}

void examine_doors_end(struct examine *examine)
{
    for (size_t i = 0; i < RPC_JOIN_HOSTS; i++) {
        ice_lookup_cancel(STEAL(examine->hosts[i].lookup));
        proxy_knock_free(STEAL(examine->hosts[i].knock));
    }
    for (size_t i = 0; i < examine->n_doors; i++)
        knock_free(STEAL(examine->doors[i].knock));
}

/* ---- what came of it ---- */

static bool is_open(const struct examine *examine, size_t host)
{
    for (size_t i = 0; i < examine->n_doors; i++) {
        if (examine->doors[i].host == host && examine->doors[i].result.is_open)
            return true;
    }
    return false;
}

static bool is_through(const struct examine *examine, size_t host)
{
    return examine->hosts[host].is_proxied ? examine->hosts[host].way.way == PROXY_WAY_THROUGH
                                           : is_open(examine, host);
}

bool examine_doors_open(const struct examine *examine)
{
    bool any = false;

    for (size_t i = 0; i < examine->core->join.n_hosts; i++)
        any |= is_through(examine, i);
    return any;
}

bool examine_doors_answer(const struct examine *examine, bool is_v6)
{
    for (size_t i = 0; i < examine->n_doors; i++) {
        if (examine->doors[i].is_v6 == is_v6 && examine->doors[i].result.is_open)
            return true;
    }
    return false;
}

/* Where STUN is asked on one of these addresses, it is on the others of the same router too. */
const char *examine_doors_other(const struct examine *examine)
{
    const char *stun = examine->core->stun.host, *other = NULL;
    bool is_router = false;

    for (size_t i = 0; i < examine->n_doors; i++) {
        const struct examine_door *door = &examine->doors[i];
        is_router |= strcmp(door->ip, stun) == 0;
        if (door->is_v6 != (strchr(stun, ':') != NULL) && (!other || door->result.is_open))
            other = door->ip;
    }
    return is_router ? other : NULL;
}

/* ---- telling: through a proxy ---- */

static void tell_through(const struct core *core, const char *to, bool is_direct, struct finding *f)
{
    finding_begin(f, PEER_GOOD, "proxy",
                  is_direct ? "%s through %.80s:%u leads to %s, which answers without it too"
                            : "%s through %.80s:%u leads to %s, and nothing else does from here",
                  proxy_kind(core), core->proxy.host, core->proxy.port, to);
}

static const char *remedy_of(enum proxy_way way, bool is_direct)
{
    if (is_direct)
        return "take it away (https_proxy, all_proxy), or name the router in no_proxy: it answers "
               "without the proxy";
    if (way == PROXY_WAY_BEYOND)
        return "ask the operator whether the router runs, and whether this is its name and port: "
               "the proxy itself does what it was asked for";
    return "look at its address, port and kind (https_proxy, all_proxy), and whether it lets "
           "CONNECT to the router's port through";
}

/* One that leads to another host of the network is good enough. */
static void tell_not_through(const struct examine *examine, size_t i, const char *to,
                             struct finding *f)
{
    const struct core *core = examine->core;
    const struct proxy_knock_result *result = &examine->hosts[i].way;
    enum peer_verdict verdict = examine_doors_open(examine) ? PEER_NOTE : PEER_BAD;

    if (result->way == PROXY_WAY_BEYOND)
        finding_begin(f, verdict, "proxy",
                      "%s through %.80s:%u works, but the proxy cannot reach %s: %s",
                      proxy_kind(core), core->proxy.host, core->proxy.port, to, result->why);
    else
        finding_begin(f, verdict, "proxy", "%s through %.80s:%u leads nowhere: %s",
                      proxy_kind(core), core->proxy.host, core->proxy.port, result->why);
    if (verdict == PEER_BAD)
        finding_remedy(f, remedy_of(result->way, is_open(examine, i)));
}

/* The same of each host: it is about the proxy, and was said. */
static bool was_said(const struct examine *examine, size_t i)
{
    const struct proxy_knock_result *this = &examine->hosts[i].way;

    for (size_t k = 0; k < i && this->way == PROXY_WAY_NONE; k++) {
        if (examine->hosts[k].is_proxied && examine->hosts[k].way.way == PROXY_WAY_NONE &&
            strcmp(examine->hosts[k].way.why, this->why) == 0)
            return true;
    }
    return false;
}

static void tell_proxied(const struct examine *examine, size_t i)
{
    const struct core *core = examine->core;
    const struct proxy_knock_result *result = &examine->hosts[i].way;
    struct finding f;
    char to[100];

    if (was_said(examine, i))
        return;
    host_text(host_of(examine, i), to);
    if (result->way == PROXY_WAY_THROUGH)
        tell_through(core, to, is_open(examine, i), &f);
    else
        tell_not_through(examine, i, to, &f);
    finding_fact(&f, "kind", "%s", proxy_kind(core));
    finding_fact(&f, "only", "%s", is_open(examine, i) ? "no" : "yes");
    finding_fact(&f, "works", "%s", result->way == PROXY_WAY_NONE ? "no" : "yes");
    finding_fact(&f, "router", "%s", to);
    if (result->way == PROXY_WAY_THROUGH)
        finding_ms(&f, "rtt_ms", result->rtt_us);
    beside_tell(core, &f);
}

/* ---- telling: without one ---- */

static bool has_family(bool is_v6)
{
    char addresses[KNOCK_ADDRESSES];

    knock_addresses(is_v6 ? AF_INET6 : AF_INET, addresses);
    return addresses[0] != '\0';
}

static void put_open(const struct examine_door *door, struct finding *f)
{
    const struct knock_result *result = &door->result;
    bool is_small = result->mtu && result->mtu < LEAST_MTU;

    finding_begin(f, is_small ? PEER_BAD : PEER_GOOD, "tcp", "%s answers in %llu ms; path MTU %u",
                  door->address, (unsigned long long)(result->rtt_us + 500) / 1000, result->mtu);
    if (is_small)
        finding_remedy(f, "a link needs 1280 bytes: raise the MTU of the tunnel or interface in "
                          "between");
    finding_ms(f, "rtt_ms", result->rtt_us);
    finding_fact(f, "mtu", "%u", result->mtu);
    finding_fact(f, "local", "%s", result->local);
}

static const char *remedy_of_shut(const struct examine_door *door)
{
    if (strcmp(door->result.why, strerror(ECONNREFUSED)) == 0)
        return "ask the operator whether the router runs, and whether this is its address and port";
    if (examine_doors_open(door->examine))
        return "let TCP there out, or ask the operator whether the router is there at all: whoever "
               "connects may wait for it";
    return "let TCP to that port out, name another address of the router, or set https_proxy if "
           "there is a proxy";
}

static void put_shut(const struct examine_door *door, struct finding *f)
{

    if (!has_family(door->is_v6)) {
        finding_begin(f, PEER_NOTE, "tcp", "%s: this machine has no %s address", door->address,
                      door->is_v6 ? "IPv6" : "IPv4");
        return;
    }
    finding_begin(f, PEER_BAD, "tcp",
                  examine_doors_open(door->examine) ? "%s: %s; other addresses of the router answer"
                                                    : "%s: %s",
                  door->address, door->result.why);
    finding_remedy(f, remedy_of_shut(door));
}

static void tell_door(const struct examine_door *door)
{
    struct finding f;
    char to[100];

    if (door->result.is_open)
        put_open(door, &f);
    else
        put_shut(door, &f);
    finding_fact(&f, "router", "%s", host_text(host_of(door->examine, door->host), to));
    finding_fact(&f, "address", "%s", door->address);
    beside_tell(door->examine->core, &f);
}

static void tell_nameless(const struct examine *examine, size_t i)
{
    struct finding f;
    char to[100];

    host_text(host_of(examine, i), to);
    finding_begin(&f, PEER_BAD, "tcp",
                  examine->hosts[i].is_late ? "%s: its name has no address in time"
                                            : "%s: its name has no address",
                  to);
    finding_remedy(&f, "look at the router's name in the join string, and whether this machine's "
                       "DNS answers");
    finding_fact(&f, "router", "%s", to);
    beside_tell(examine->core, &f);
}

static void tell_host(const struct examine *examine, size_t i)
{
    bool has_any = false;

    if (examine->hosts[i].is_proxied) {
        tell_proxied(examine, i);
        return;
    }
    for (size_t k = 0; k < examine->n_doors; k++) {
        if (examine->doors[k].host != i)
            continue;
        has_any = true;
        tell_door(&examine->doors[k]);
    }
    if (!has_any)
        tell_nameless(examine, i);
}

static bool is_pending(struct examine *examine)
{
    bool is_late = clock_mono_ms() - examine->doors_began_at >= ALL_MS, is_pending = false;

    for (size_t i = 0; i < examine->core->join.n_hosts; i++) {
        struct examine_host *host = &examine->hosts[i];
        if (host->lookup && is_late) {
            ice_lookup_cancel(STEAL(host->lookup));
            host->is_late = true;
        }
        is_pending |= host->lookup || host->knock;
    }
    for (size_t i = 0; i < examine->n_doors; i++)
        is_pending |= examine->doors[i].knock != NULL;
    return is_pending;
}

bool examine_doors_done(struct examine *examine)
{
    if (examine->doors_state == EXAMINE_UNDER_WAY && !is_pending(examine)) {
        examine->doors_state = EXAMINE_OVER;
        for (size_t i = 0; i < examine->core->join.n_hosts; i++)
            tell_host(examine, i);
    }
    return examine->doors_state == EXAMINE_OVER;
}
