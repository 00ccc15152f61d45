/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/path.h"

enum { PATH_MAX_CARRIERS = 4 };

struct path {
    struct path_events events;
    void *user;
    struct path_carrier *carriers[PATH_MAX_CARRIERS]; /* those that are up */
    size_t n_carriers;
    struct path_carrier *current; /* the one that sends; NULL: none */
};

const char *path_kind_name(enum path_kind kind)
{
    switch (kind) {
    case PATH_DIRECT:
        return "direct";
    case PATH_TURN:
        return "turn";
    case PATH_RELAY:
        return "relay";
    }
    return "unknown";
}

struct path *path_new(const struct path_events *events, void *user)
{
    struct path *path = mem_new(struct path);

    path->events = *events;
    path->user = user;
    return path;
}

void path_free(struct path *path)
{
    free(path);
}

static struct path_carrier **find(struct path *path, const struct path_carrier *carrier)
{
    for (size_t i = 0; i < path->n_carriers; i++)
        if (path->carriers[i] == carrier)
            return &path->carriers[i];
    return NULL;
}

/* Kinds are listed from the best to the worst; of one kind the elder stays. */
static struct path_carrier *best(const struct path *path)
{
    struct path_carrier *found = NULL;

    for (size_t i = 0; i < path->n_carriers; i++)
        if (!found || path->carriers[i]->ops->kind < found->ops->kind)
            found = path->carriers[i];
    return found;
}

/* The only place that changes the current carrier, and tells. */
static void choose(struct path *path)
{
    struct path_carrier *before = path->current;

    path->current = best(path);
    if (path->current == before)
        return;
    if (!path->current)
        path->events.on_lost(path->user);
    else if (before)
        path->events.on_changed(path->user);
    else
        path->events.on_usable(path->user);
}

void path_carrier_up(struct path *path, struct path_carrier *carrier)
{
    if (find(path, carrier) || path->n_carriers == PATH_MAX_CARRIERS)
        return;
    path->carriers[path->n_carriers++] = carrier;
    choose(path);
}

void path_carrier_down(struct path *path, struct path_carrier *carrier)
{
    struct path_carrier **slot = find(path, carrier);

    if (!slot)
        return;
    *slot = path->carriers[--path->n_carriers];
    choose(path);
}

void path_carrier_writable(struct path *path, struct path_carrier *carrier)
{
    if (carrier == path->current)
        path->events.on_usable(path->user);
}

/* A packet on any carrier of the path is taken; which one carries ours does not follow it. */
void path_carrier_received(struct path *path, struct path_carrier *carrier,
                           const struct view *packets, size_t n)
{
    if (find(path, carrier))
        path->events.on_packets(path->user, packets, n);
}

bool path_is_usable(const struct path *path)
{
    return path->current != NULL;
}

size_t path_send(struct path *path, const struct view *packets, size_t n)
{
    return path->current ? path->current->ops->send(path->current, packets, n) : 0;
}

bool path_facts(const struct path *path, struct path_facts *ret)
{
    return path->current && path->current->ops->facts(path->current, ret);
}
