/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents with a direct pair on loopback, for tests of what carries its packets. */
#pragma once

#include "ice/ice.h"
#include "tests/check.h"
#include "tests/unit/ice/turn.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_MS = 60000, MAX_PACKETS = 512 };

struct side {
    struct ice_agent *agent;
    enum ice_state state;
    size_t sizes[MAX_PACKETS], n, n_wrong;
};

static inline void on_state(void *user, enum ice_state state)
{
    ((struct side *)user)->state = state;
}

/* A packet is its own size, again and again. */
static inline void on_packets(void *user, const struct view *packets, size_t n)
{
    struct side *side = user;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < packets[i].len; j++)
            side->n_wrong += packets[i].data[j] != (uint8_t)packets[i].len;
        if (side->n < MAX_PACKETS)
            side->sizes[side->n++] = packets[i].len;
    }
}

static inline bool start(GMainContext *context, struct side *side, bool is_controlling,
                         struct err *err)
{
    static const struct ice_events events = { .on_state = on_state, .on_packets = on_packets };
    struct ice_config config = {
        .context = context,
        .is_controlling = is_controlling,
        .allow_loopback = true,
        .events = &events,
        .user = side,
    };

    return ice_agent_new(&config, &side->agent, err) && ice_agent_gather(side->agent, err);
}

/* Loopback alone, so that it is known which pair is found. */
static inline bool tell(struct side *from, struct side *to, struct err *err)
{
    _cleanup_(ice_description_deinit) struct ice_description d = { 0 };
    size_t n = 0;

    ice_agent_describe(from->agent, &d);
    for (size_t i = 0; i < d.n_candidates; i++) {
        if (strstr(d.candidates[i], " 127.0.0.1 "))
            d.candidates[n++] = d.candidates[i];
        else
            free(d.candidates[i]);
    }
    d.n_candidates = n;
    return ice_agent_set_remote(to->agent, &d, err);
}

struct two {
    GMainContext *context;
    struct side a, b;
};

static inline void begin(struct two *two)
{
    struct err err = { 0 };

    two->context = g_main_context_new();
    CHECK_OK(start(two->context, &two->a, true, &err) && start(two->context, &two->b, false, &err),
             err);
    CHECK_OK(tell(&two->a, &two->b, &err) && tell(&two->b, &two->a, &err), err);
    CHECK(TURN_UNTIL(two->context, PATIENCE_MS,
                     two->a.state == ICE_READY && two->b.state == ICE_READY));
}

static inline void end(struct two *two)
{
    ice_agent_free(two->a.agent);
    ice_agent_free(two->b.agent);
    CHECK(TURN_UNTIL(two->context, PATIENCE_MS, ice_n_closing() == 0));
    g_main_context_unref(two->context);
}

static inline uint16_t port_of(const char *address)
{
    return (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

static inline unsigned n_bound(uint16_t port) /* UDP sockets of this machine, IPv4 */
{
    FILE *file = fopen("/proc/self/net/udp", "r");
    unsigned found, n = 0;
    char line[256];

    CHECK(file);
    while (fgets(line, sizeof(line), file))
        n += sscanf(line, " %*u: %*8x:%x", &found) == 1 && found == port;
    fclose(file);
    return n;
}

static inline void send_sizes(struct side *from, const size_t *sizes, size_t n)
{
    static uint8_t bytes[MAX_PACKETS][2048];
    struct view packets[MAX_PACKETS];
    size_t sent = 0;

    for (size_t i = 0; i < n; i++) {
        memset(bytes[i], (uint8_t)sizes[i], sizes[i]);
        packets[i] = VIEW(bytes[i], sizes[i]);
    }
    while (sent < n && from->state == ICE_READY)
        sent += ice_agent_send(from->agent, packets + sent, n - sent);
}

static inline void check_arrives(struct two *two, const size_t *sizes, size_t n)
{
    two->b.n = 0;
    send_sizes(&two->a, sizes, n);
    CHECK(TURN_UNTIL(two->context, PATIENCE_MS, two->b.n == n));
    for (size_t i = 0; i < n; i++)
        CHECK_U64(two->b.sizes[i], sizes[i]);
    CHECK_U64(two->b.n_wrong, 0);
}
