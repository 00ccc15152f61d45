/* SPDX-License-Identifier: Apache-2.0 */
/* The link's packets, to the carriers. */
#include "peer/link/path_inside.h"

/* Packets of the link's, the largest of them, went over it. */
static void note_sent(struct path *path, const struct path_carrier *carrier,
                      const struct view *packets, size_t n)
{
    struct slot *slot = path_slot(path, carrier);
    size_t largest = 0;

    if (!slot || !path_has_mtu(slot))
        return;
    for (size_t i = 0; i < n; i++)
        largest = packets[i].len > largest ? packets[i].len : largest;
    plpmtu_sent(&slot->mtu, path_now(path), largest);
}

/* The second way for what goes twice. */
static struct path_carrier *other(const struct path *path)
{
    const struct slot *found = NULL;

    for (size_t i = 0; i < path->n_slots; i++) {
        const struct slot *slot = &path->slots[i];
        if (slot->carrier != path->current &&
            (!found || (found->is_dead && !slot->is_dead) ||
             (found->is_dead == slot->is_dead && slot->last_in > found->last_in)))
            found = slot;
    }
    return found ? found->carrier : NULL;
}

static bool goes_twice(const struct path *path)
{
    return path->pressure.is_probing || path_now(path) < path->twice_until;
}

bool path_is_straight(const struct path *path)
{
    return path->current && path_kind_of(path->current) == PATH_DIRECT && !goes_twice(path);
}

size_t path_send(struct path *path, const struct view *packets, size_t n)
{
    struct path_carrier *second = goes_twice(path) ? other(path) : NULL;
    size_t went, went_second;

    if (!path->current)
        return 0;
    went = path->current->ops->send(path->current, packets, n);
    note_sent(path, path->current, packets, went);
    if (!second)
        return went;
    went_second = second->ops->send(second, packets, n);
    return went > went_second ? went : went_second;
}

static size_t packet_of(const struct path *path, const struct path_carrier *carrier)
{
    const struct slot *slot = path_slot_seen(path, carrier);

    return slot && !path_has_mtu(slot) ? PLPMTU_MAX : slot ? slot->mtu.size : PLPMTU_BASE;
}

size_t path_packet(const struct path *path)
{
    const struct path_carrier *second = goes_twice(path) ? other(path) : NULL;
    size_t size = packet_of(path, path->current), size2 = second ? packet_of(path, second) : size;

    return size < size2 ? size : size2;
}

bool path_facts(const struct path *path, struct path_facts *ret)
{
    if (!path->current || !path->current->ops->facts(path->current, ret))
        return false;
    ret->kind = path_kind_of(path->current);
    return true;
}

void path_set_pressure(struct path *path, const struct path_pressure *pressure)
{
    struct slot *slot = path_slot(path, path->current);

    if (pressure->is_waiting && !path->pressure.is_waiting)
        path->waiting_since = path_now(path);
    if (pressure->is_probing && !path->pressure.is_probing && slot && path_has_mtu(slot))
        plpmtu_doubt(&slot->mtu, path_now(path));
    path->pressure = *pressure;
}
