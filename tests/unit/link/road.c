/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/link/road.h"
#include "tests/unit/link/certs.h"

#include "base/clock.h"

#include <glib.h>
#include <stdio.h>

struct road {
    struct road_config config;
    struct path *path;
    struct carrier_ice *carrier;
    struct link *link;
    GSource *timer;
};

bool road_prepare(struct err *err)
{
    struct link_config ignored = { 0 };

    return certs_fill(&ignored, true, err);
}

uint64_t road_now(void)
{
    return clock_mono_ns();
}

void road_touch(struct road *road)
{
    struct link_event event;
    uint64_t at;

    if (!road->link)
        return;
    while (link_next_event(road->link, &event))
        road->config.on_event(road->config.user, road, &event);
    at = link_deadline(road->link);
    g_source_set_ready_time(road->timer, at == UINT64_MAX ? -1 : (gint64)(at / 1000 + 1));
}

static gboolean on_timer(GSource *source, GSourceFunc callback, gpointer user)
{
    struct road *road = *(struct road **)(source + 1);

    (void)callback;
    (void)user;
    link_tick(road->link, road_now());
    road_touch(road);
    return G_SOURCE_CONTINUE;
}

static bool on_judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    return certs_judge(((struct road *)user)->config.is_caller, chain, n, err);
}

static bool on_may_open(void *user, bool outgoing, struct view cap)
{
    (void)user;
    (void)outgoing;
    (void)cap;
    return true;
}

static size_t on_send(void *user, const struct view *packets, size_t n)
{
    return path_send(((struct road *)user)->path, packets, n);
}

static bool make_link(struct road *road, struct err *err)
{
    struct link_config config = {
        .judge = on_judge, .may_open = on_may_open, .send = on_send, .user = road
    };

    return certs_fill(&config, road->config.is_caller, err) &&
           link_new(&config, road_now(), &road->link, err);
}

static void on_usable(void *user)
{
    struct road *road = user;
    struct err err = { 0 };

    if (!road->link && !make_link(road, &err))
        fprintf(stderr, "road: %s\n", err.text);
    else
        link_resume(road->link, road_now());
    road_touch(road);
}

static void on_packets(void *user, const struct view *packets, size_t n)
{
    struct road *road = user;

    if (road->link)
        link_input(road->link, road_now(), packets, n);
    road_touch(road);
}

static void ignore(void *user)
{
    (void)user;
}

static GSource *timer_new(struct road *road)
{
    static GSourceFuncs functions = { .dispatch = on_timer };
    GSource *source = g_source_new(&functions, sizeof(GSource) + sizeof(struct road *));

    *(struct road **)(source + 1) = road;
    g_source_attach(source, road->config.context);
    return source;
}

bool road_new(const struct road_config *config, struct road **ret_road, struct err *err)
{
    static const struct path_events events = {
        .on_packets = on_packets,
        .on_usable = on_usable,
        .on_changed = ignore,
        .on_lost = ignore,
    };
    struct carrier_ice_config ice = {
        .context = config->context,
        .is_controlling = config->is_caller,
        .allow_loopback = true,
    };
    _cleanup_(road_freep) struct road *road = mem_new(struct road);

    road->config = *config;
    road->timer = timer_new(road);
    road->path = path_new(&events, true, road);
    if (!carrier_ice_new(road->path, &ice, &road->carrier, err) ||
        !ice_agent_gather(carrier_ice_agent(road->carrier), err))
        return false;
    *ret_road = STEAL(road);
    return true;
}

void road_free(struct road *road)
{
    if (!road)
        return;
    g_source_destroy(road->timer);
    g_source_unref(road->timer);
    link_free(road->link);
    carrier_ice_free(road->carrier);
    path_free(road->path);
    free(road);
}

void road_describe(struct road *road, struct buf *to)
{
    struct ice_description d = { 0 };

    ice_agent_describe(carrier_ice_agent(road->carrier), &d);
    ice_description_write(&d, to);
    ice_description_deinit(&d);
}

bool road_set_remote(struct road *road, struct view text, struct err *err)
{
    struct ice_description d = { 0 };
    bool ok = ice_description_read(text, &d, err) &&
              ice_agent_set_remote(carrier_ice_agent(road->carrier), &d, err);

    ice_description_deinit(&d);
    return ok;
}

struct link *road_link(struct road *road)
{
    return road->link;
}

struct path *road_path(struct road *road)
{
    return road->path;
}
