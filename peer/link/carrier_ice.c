/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/carrier_ice.h"

#include <stdio.h>

/* The two agents do not get ready in the same instant: the first packets of the quicker end are
 * kept until ours has verified the pair too. Without that a handshake starts a second late. */
enum { MAX_EARLY = 8, MAX_EARLY_SIZE = 1500 };

struct carrier_ice {
    struct path_carrier base;
    bool is_up;
    struct buf early[MAX_EARLY];
    size_t n_early;
    struct path *path;
    struct ice_agent *agent;
    struct carrier_ice_events events;
    void *user;
};

static size_t carrier_send(struct path_carrier *base, const struct view *packets, size_t n)
{
    return ice_agent_send(CONTAINER(base, struct carrier_ice, base)->agent, packets, n);
}

static bool carrier_facts(const struct path_carrier *base, struct path_facts *ret)
{
    const struct carrier_ice *carrier = (const struct carrier_ice *)(const void *)base;
    struct path_facts facts = { .kind = base->ops->kind };
    struct ice_path pair;

    if (!ice_agent_path(carrier->agent, &pair))
        return false;
    snprintf(facts.local, sizeof(facts.local), "%s", pair.local);
    snprintf(facts.remote, sizeof(facts.remote), "%s", pair.remote);
    snprintf(facts.local_type, sizeof(facts.local_type), "%s", ice_kind_name(pair.local_kind));
    snprintf(facts.remote_type, sizeof(facts.remote_type), "%s", ice_kind_name(pair.remote_kind));
    *ret = facts;
    return true;
}

static const struct path_carrier_ops carrier_ops = {
    .kind = PATH_DIRECT,
    .send = carrier_send,
    .facts = carrier_facts,
};

static const struct path_carrier_ops turn_ops = {
    .kind = PATH_TURN,
    .send = carrier_send,
    .facts = carrier_facts,
};

static void drop_early(struct carrier_ice *carrier)
{
    for (size_t i = 0; i < carrier->n_early; i++)
        buf_free(&carrier->early[i]);
    carrier->n_early = 0;
}

static void keep_early(struct carrier_ice *carrier, const struct view *packets, size_t n)
{
    for (size_t i = 0; i < n && carrier->n_early < MAX_EARLY; i++)
        if (packets[i].len <= MAX_EARLY_SIZE)
            carrier->early[carrier->n_early++] = buf_dup(packets[i]);
}

static void go_up(struct carrier_ice *carrier)
{
    struct view packets[MAX_EARLY];

    carrier->is_up = true;
    path_carrier_up(carrier->path, &carrier->base);
    for (size_t i = 0; i < carrier->n_early; i++)
        packets[i] = buf_view(&carrier->early[i]);
    if (carrier->n_early)
        path_carrier_received(carrier->path, &carrier->base, packets, carrier->n_early);
    drop_early(carrier);
}

static void go_down(struct carrier_ice *carrier)
{
    carrier->is_up = false;
    path_carrier_down(carrier->path, &carrier->base);
}

static void on_state(void *user, enum ice_state state)
{
    struct carrier_ice *carrier = user;

    if (state == ICE_READY)
        go_up(carrier);
    else if (state == ICE_FAILED)
        go_down(carrier);
    if (carrier->events.on_state)
        carrier->events.on_state(carrier->user, state);
}

static void on_candidate(void *user, const char *line)
{
    struct carrier_ice *carrier = user;

    if (carrier->events.on_candidate)
        carrier->events.on_candidate(carrier->user, line);
}

static void on_gathered(void *user)
{
    struct carrier_ice *carrier = user;

    if (carrier->events.on_gathered)
        carrier->events.on_gathered(carrier->user);
}

static void on_packets(void *user, const struct view *packets, size_t n)
{
    struct carrier_ice *carrier = user;

    if (carrier->is_up)
        path_carrier_received(carrier->path, &carrier->base, packets, n);
    else
        keep_early(carrier, packets, n);
}

static void on_writable(void *user)
{
    struct carrier_ice *carrier = user;

    path_carrier_writable(carrier->path, &carrier->base);
}

bool carrier_ice_new(struct path *path, const struct carrier_ice_config *config,
                     struct carrier_ice **ret_carrier, struct err *err)
{
    static const struct ice_events events = {
        .on_state = on_state,
        .on_candidate = on_candidate,
        .on_gathered = on_gathered,
        .on_packets = on_packets,
        .on_writable = on_writable,
    };
    _cleanup_(carrier_ice_freep) struct carrier_ice *carrier = mem_new(struct carrier_ice);
    struct ice_config ice = {
        .context = config->context,
        .is_controlling = config->is_controlling,
        .allow_loopback = config->allow_loopback,
        .stun = config->stun,
        .stun_port = config->stun_port,
        .maps_ports = config->maps_ports,
        .turn = config->turn,
        .events = &events,
        .user = carrier,
    };

    carrier->base.ops = config->turn ? &turn_ops : &carrier_ops;
    carrier->path = path;
    carrier->user = config->user;
    if (config->events)
        carrier->events = *config->events;
    if (config->ready) {
        carrier->agent = config->ready;
        ice_agent_take(carrier->agent, &ice);
    } else if (!ice_agent_new(&ice, &carrier->agent, err)) {
        return false;
    }
    *ret_carrier = STEAL(carrier);
    return true;
}

void carrier_ice_free(struct carrier_ice *carrier)
{
    if (!carrier)
        return;
    path_carrier_down(carrier->path, &carrier->base);
    drop_early(carrier);
    ice_agent_free(carrier->agent);
    free(carrier);
}

struct ice_agent *carrier_ice_agent(struct carrier_ice *carrier)
{
    return carrier->agent;
}

bool carrier_ice_is_alive(const struct carrier_ice *carrier)
{
    return carrier->is_up && path_is_alive(carrier->path, &carrier->base);
}
