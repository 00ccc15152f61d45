/* SPDX-License-Identifier: Apache-2.0 */
/* The carriers "direct" and "turn": an ICE agent below a path. Signalling (description, later candidates)
 * goes to the agent itself, carrier_ice_agent(); packets and states go to the path. One thread,
 * that of the agent's context. */
#pragma once

#include "ice/ice.h"
#include "peer/link/path.h"

struct carrier_ice;

struct carrier_ice_events {                             /* each may be NULL */
    void (*on_candidate)(void *user, const char *line); /* as in ice.h */
    void (*on_gathered)(void *user);
    void (*on_state)(void *user, enum ice_state state); /* after the path was told */
};

struct carrier_ice_config {
    void *context; /* GMainContext */
    bool is_controlling, allow_loopback;
    const struct ice_turn *turn; /* as in ice.h; NULL: the carrier is the direct one */
    const char *stun;            /* likewise */
    uint16_t stun_port;
    bool maps_ports;
    struct ice_agent *ready; /* one that has gathered: taken; NULL: one is made */
    const struct carrier_ice_events *events;
    void *user;
};

bool carrier_ice_new(struct path *path, const struct carrier_ice_config *config,
                     struct carrier_ice **ret_carrier, struct err *err);
/* Takes it off the path first, so free it before the path; never inside an event of either. NULL
 * is fine. */
void carrier_ice_free(struct carrier_ice *carrier);
OWN_FREEP(carrier_ice, struct carrier_ice)
struct ice_agent *carrier_ice_agent(struct carrier_ice *carrier); /* owned by the carrier */
/* It has a pair, and the path has no reason to think that it is dead. */
bool carrier_ice_is_alive(const struct carrier_ice *carrier);
