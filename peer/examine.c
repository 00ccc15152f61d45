/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/examine.h"

#include "peer/errand.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

enum {
    WAIT_MS = 10000, /* for the router */
    ALL_MS = 60000,  /* every part has its own end before */
    KNOCK_MS = 3000,
    LOOK_MS = 50,
    LEAST_SPACE = 1 << 20,
    LEAST_MTU = 1280,
};

/* ---- what needs no network ---- */

static void look_at_state(const struct core *core)
{
    const char *dir = state_dir_of(core->state);
    struct statvfs disk;
    struct finding f;

    if (core->alarm.code != ERR_NONE) {
        finding_begin(&f, PEER_BAD, "state", "%s: den contradicted itself: %s", dir,
                      core->alarm.text);
        finding_remedy(&f,
                       "show both statements in the file `alarm` there to whoever answers for the "
                       "network; no link is made while it is there");
    } else if (statvfs(dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < LEAST_SPACE) {
        finding_begin(&f, PEER_BAD, "state", "%s: the disk is full", dir);
        finding_remedy(&f, "make room: without it no certificate can be renewed");
    } else {
        finding_begin(&f, PEER_GOOD, "state", "%s: readable by its owner alone", dir);
    }
    finding_fact(&f, "folder", "%.100s", dir);
    beside_tell(core, &f);
}

static void look_at_addresses(const struct core *core)
{
    char v4[KNOCK_ADDRESSES], v6[KNOCK_ADDRESSES];
    struct finding f;

    knock_addresses(AF_INET, v4);
    knock_addresses(AF_INET6, v6);
    if (v4[0] == '\0' && v6[0] == '\0') {
        finding_begin(&f, PEER_BAD, "addresses",
                      "this machine has no address but its own loopback");
        finding_remedy(&f, "connect it to a network");
    } else {
        finding_begin(&f, PEER_GOOD, "addresses", "IPv4: %.120s; IPv6: %.120s", v4[0] ? v4 : "none",
                      v6[0] ? v6 : "none");
    }
    finding_fact(&f, "ipv4", "%.100s", v4);
    finding_fact(&f, "ipv6", "%.100s", v6);
    beside_tell(core, &f);
}

/* ---- the door of the router, as it is without a proxy ---- */

static bool uses_proxy(const struct core *core)
{
    return core->proxy.kind != RPC_PROXY_NONE && core->join.n_hosts &&
           rpc_proxy_is_for(&core->proxy, core->join.hosts[0].host);
}

static const char *proxy_kind(const struct core *core)
{
    return core->proxy.kind == RPC_PROXY_HTTP ? "HTTP CONNECT" : "SOCKS5";
}

/* What the way through it came to: a proxy that speaks another protocol may be silent for longer than this waits. */
static void tell_proxy(const struct core *core, bool is_open, struct finding *f)
{
    static const char by_itself[] = "the proxy ";
    const char *why = strstr(core->offline.text, by_itself);

    if (core->is_up) {
        finding_begin(f, PEER_GOOD, "proxy",
                      is_open ? "%s through %.100s:%u, though the router answers without it too"
                              : "%s through %.100s:%u: nothing else leads to the router from here",
                      proxy_kind(core), core->proxy.host, core->proxy.port);
    } else {
        finding_begin(f, PEER_BAD, "proxy", "%s through %.100s:%u leads nowhere: %s",
                      proxy_kind(core), core->proxy.host, core->proxy.port,
                      why ? why : "no answer in time");
        finding_remedy(f, is_open
                              ? "take it away (https_proxy, all_proxy), or name the router in "
                                "no_proxy: it answers without the proxy"
                              : "look at its address, port and kind (https_proxy, all_proxy), and "
                                "whether it lets CONNECT to the router's port through");
    }
    finding_fact(f, "kind", "%s", proxy_kind(core));
    finding_fact(f, "only", "%s", is_open ? "no" : "yes");
}

static void tell_door(struct examine *examine)
{
    const struct core *core = examine->core;
    const struct knock_result *door = &examine->door;
    struct finding f;

    if (uses_proxy(core)) {
        tell_proxy(core, door->is_open, &f);
    } else if (door->is_open) {
        finding_begin(&f, door->mtu && door->mtu < LEAST_MTU ? PEER_BAD : PEER_GOOD, "tcp",
                      "%s answers in %llu ms; path MTU %u", door->remote,
                      (unsigned long long)(door->rtt_us + 500) / 1000, door->mtu);
        if (door->mtu && door->mtu < LEAST_MTU)
            finding_remedy(
                &f, "a link needs 1280 bytes: raise the MTU of the tunnel or interface in between");
        finding_ms(&f, "rtt_ms", door->rtt_us);
        finding_fact(&f, "mtu", "%u", door->mtu);
        finding_fact(&f, "local", "%s", door->local);
    } else {
        finding_begin(&f, PEER_BAD, "tcp", "%s: %s",
                      door->remote[0] ? door->remote : core->join.hosts[0].host, door->why);
        finding_remedy(&f, "let TCP to that port out, name another address of the router, or set "
                           "https_proxy if there is a proxy");
    }
    finding_fact(&f, "router", "%.90s:%u", core->join.hosts[0].host, core->join.hosts[0].port);
    beside_tell(core, &f);
}

static void on_door(void *user, const struct knock_result *result)
{
    struct examine *examine = user;

    examine->knock = NULL;
    examine->door = *result;
    examine->doors = EXAMINE_OVER;
    tell_door(examine);
    examine_turn_page(examine->core);
}

/* The first address of the join string; or the one that we are connected to, which works. */
static void knock(struct examine *examine)
{
    struct core *core = examine->core;
    const struct rpc_join_host *host = &core->join.hosts[0];

    if (core->is_up && core->uplink)
        host = rpc_uplink_host(core->uplink);
    examine->doors = EXAMINE_UNDER_WAY;
    examine->knock = knock_new(core->loop, host->host, host->port, KNOCK_MS, on_door, examine);
}

/* ---- the order ---- */

static void drop(struct examine *examine)
{
    knock_free(examine->knock);
    examine_turn_end(examine);
    examine_relay_end(examine);
    loop_timer_free(examine->timer);
    free(examine);
}

void examine_end(struct core *core)
{
    struct examine *examine = STEAL(core->examine);

    if (examine)
        drop(examine);
}

static void finish(struct examine *examine)
{
    struct core *core = examine->core;

    examine_end(core);
    beside_examined(core);
}

static bool is_ready(const struct examine *examine)
{
    struct err ignored;

    return core_is_ready(examine->core, &ignored);
}

static void go_inside(struct examine *examine)
{
    examine->is_inside = true;
    knock(examine);
    examine_router(examine);
    examine_turn_begin(examine);
    examine_relay_begin(examine);
}

/* When the TURN servers are known: one of them may tell more of the NAT. */
static void look_at_nat(struct examine *examine)
{
    struct core *core = examine->core;

    if (examine->nat == EXAMINE_NONE && examine->turn_call == 0) {
        examine->nat = EXAMINE_UNDER_WAY;
        nat_look(core);
    }
    if (examine->nat == EXAMINE_UNDER_WAY && !nat_is_looking(core)) {
        examine->nat = EXAMINE_OVER;
        examine_nat(core);
    }
}

static void look(struct examine *examine)
{
    uint64_t passed = clock_mono_ms() - examine->began_at;

    if (!examine->is_inside && (is_ready(examine) || (examine->core->is_up && passed > WAIT_MS))) {
        go_inside(examine);
    } else if (!examine->is_inside && passed > WAIT_MS) {
        if (examine->doors == EXAMINE_NONE) {
            knock(examine);
        } else if (examine->doors == EXAMINE_OVER) {
            examine_offline(examine);
            finish(examine);
            return;
        }
    }
    if (examine->is_inside) {
        look_at_nat(examine);
        bool is_over = examine_turn_done(examine);
        is_over &= examine_relay_done(examine);
        if (is_over && examine->nat == EXAMINE_OVER && examine->doors == EXAMINE_OVER) {
            finish(examine);
            return;
        }
    }
    if (passed > ALL_MS) {
        finish(examine);
        return;
    }
    loop_timer_in(examine->timer, LOOK_MS);
}

static void on_timer(void *user)
{
    look(user);
}

void examine_turn_page(struct core *core)
{
    if (core->examine)
        loop_timer_in(core->examine->timer, 0);
}

void examine_start(struct core *core)
{
    struct examine *examine;

    if (core->examine)
        return;
    examine = mem_new(struct examine);
    core->examine = examine;
    examine->core = core;
    examine->began_at = clock_mono_ms();
    examine->timer = loop_timer_new(core->loop, on_timer, examine);
    look_at_state(core);
    look_at_addresses(core);
    loop_timer_in(examine->timer, 0);
}

static void errand_examine(struct errand *errand)
{
    beside_owner_asks(errand->peer->core);
}

bool peer_examine(struct peer *peer, struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (!hub_is_ours(&peer->hub, &err)) {
        errand_put_error(&err, ret_error);
        return false;
    }
    errand_send(errand_new(peer, NULL, NULL), errand_examine);
    return true;
}
