/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/examine.h"

#include "peer/errand.h"

#include <sys/socket.h>
#include <sys/statvfs.h>

enum {
    WAIT_MS = 10000,   /* for the router */
    LONGER_MS = 25000, /* where one of its doors is open, and nothing else went wrong */
    ALL_MS = 60000,    /* every part has its own end before */
    LOOK_MS = 50,
    LEAST_SPACE = 1 << 20,
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

/* ---- the order ---- */

static void drop(struct examine *examine)
{
    examine_doors_end(examine);
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
    examine_router(examine);
    examine_turn_begin(examine);
    examine_relay_begin(examine);
}

/* When the TURN servers are known: one of them may tell more of the NAT. */
static void look_at_nat(struct examine *examine)
{
    struct core *core = examine->core;
    const char *other = examine_doors_other(examine);

    if (examine->nat == EXAMINE_NONE && examine->turn_call == 0) {
        examine->nat = EXAMINE_UNDER_WAY;
        if (other)
            nat_take_other(core, other);
        nat_measure(core);
    }
    if (examine->nat == EXAMINE_UNDER_WAY && !nat_is_looking(core)) {
        examine->nat = EXAMINE_OVER;
        examine_nat(examine);
    }
}

/* Whoever tries the hosts one after the other may not have come to the one that answers. */
static bool is_offline(const struct examine *examine, uint64_t passed)
{
    enum err_code why = examine->core->offline.code;
    bool may_come = examine_doors_open(examine) && (why == ERR_NONE || why == ERR_NETWORK_FAILURE);

    return !examine->core->is_up && passed > (may_come ? LONGER_MS : WAIT_MS);
}

/* True: it is over. */
static bool go_on(struct examine *examine)
{
    uint64_t passed = clock_mono_ms() - examine->began_at;
    bool is_over = examine_doors_done(examine);

    if (!is_over)
        return false; /* their lines come first */
    if (!examine->is_inside && (is_ready(examine) || (examine->core->is_up && passed > WAIT_MS)))
        go_inside(examine);
    if (!examine->is_inside && is_offline(examine, passed)) {
        examine_offline(examine);
        return true;
    }
    if (!examine->is_inside)
        return passed > ALL_MS;
    look_at_nat(examine);
    is_over &= examine_turn_done(examine);
    is_over &= examine_relay_done(examine);
    return (is_over && examine->nat == EXAMINE_OVER) || passed > ALL_MS;
}

static void look(struct examine *examine)
{
    if (go_on(examine))
        finish(examine);
    else
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
    examine_doors_begin(examine);
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
