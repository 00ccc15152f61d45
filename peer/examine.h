/* SPDX-License-Identifier: Apache-2.0 */
/* What peer_examine() looks at: this machine and its way into the network. examine.c has the order, examine_door.c whether
 * the router is reached, examine_router.c what is asked of the router and den, examine_turn.c the TURN servers. */
#pragma once

#include "peer/carrier_relay.h"
#include "peer/core.h"
#include "peer/finding.h"
#include "peer/knock.h"
#include "peer/proxy_knock.h"
#include "peer/turn_knock.h"

enum examine_state { EXAMINE_NONE, EXAMINE_UNDER_WAY, EXAMINE_OVER };
enum { EXAMINE_DOORS = 12 };

struct examine {
    struct core *core;
    struct loop_timer *timer;
    uint64_t began_at; /* clock_mono_ms() */
    bool is_inside;    /* the router was there, and what needs it was begun */

    struct examine_host { /* of the join string */
        struct examine *examine;
        struct ice_lookup *lookup; /* of its addresses */
        bool is_late;              /* it had none in time */
        bool is_proxied;
        struct proxy_knock *knock; /* NULL: it is over, or there is no proxy */
        struct proxy_knock_result way;
    } hosts[RPC_JOIN_HOSTS];
    struct examine_door { /* an address of one, without a proxy */
        struct examine *examine;
        size_t host;
        bool is_v6;
        char ip[64], address[64]; /* that with its port */
        struct knock *knock;      /* NULL: it is over */
        struct knock_result result;
    } doors[EXAMINE_DOORS];
    size_t n_doors;
    uint64_t doors_began_at; /* clock_mono_ms() */
    enum examine_state nat, turn, relay, doors_state;

    uint64_t turn_call; /* 0: none */
    struct examine_turn {
        struct examine *examine;
        struct turn_knock *knock; /* NULL: it is over */
        struct turn_knock_result result;
        char host[ICE_TURN_HOST];
        char name[64]; /* "192.0.2.1:3478 over UDP" */
    } turns[ICE_MAX_TURN];
    size_t n_turns, n_turns_told; /* in den's order */
    struct path *path;
    struct carrier_relay *carrier;
    bool relay_greeted, relay_told;
    struct err relay_why;
    uint64_t relay_began_at, relay_ns;
};

void examine_start(struct core *core);     /* none is under way */
void examine_end(struct core *core);       /* what is under way, without a word */
void examine_turn_page(struct core *core); /* something may have become known; NULL is fine */

/* ---- beside.c: whom it is for, the application or another program of the owner ---- */
void beside_begin(struct core *core);
void beside_end(struct core *core);
void beside_tell(const struct core *core, const struct finding *f);
void beside_examined(struct core *core);
void beside_owner_asks(struct core *core);

/* ---- examine_door.c ---- */
void examine_doors_begin(struct examine *examine);
bool examine_doors_done(struct examine *examine);       /* tells, once */
bool examine_doors_open(const struct examine *examine); /* one of the ways that we go leads there */
bool examine_doors_answer(const struct examine *examine, bool is_v6); /* an address of that kind */
const char *
examine_doors_other(const struct examine *examine); /* NULL; a server for nat_take_other() */
void examine_doors_end(struct examine *examine);

/* ---- examine_router.c ---- */
void examine_router(struct examine *examine); /* connected to it; tells */
void examine_offline(struct examine *examine);
void examine_relay_begin(struct examine *examine);
bool examine_relay_done(struct examine *examine); /* tells, once */
void examine_relay_end(struct examine *examine);

/* ---- examine_turn.c ---- */
void examine_turn_begin(struct examine *examine);
bool examine_turn_done(const struct examine *examine);
void examine_turn_end(struct examine *examine);

/* ---- examine_nat.c ---- */
void examine_nat(const struct examine *examine); /* tells what nat.c found */
