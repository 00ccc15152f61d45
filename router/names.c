/* SPDX-License-Identifier: Apache-2.0 */
#include "router/names.h"
#include "base/map.h"

struct names {
    struct map *holders;
};

struct names *names_new(void)
{
    struct names *names = mem_new(struct names);

    names->holders = map_new();
    return names;
}

void names_free(struct names *names)
{
    if (!names)
        return;
    map_free(names->holders);
    free(names);
}

void names_set(struct names *names, struct view service, struct conn *holder)
{
    map_set(names->holders, service, holder);
}

void names_drop(struct names *names, struct view service, const struct conn *holder)
{
    if (map_get(names->holders, service) == holder)
        map_remove(names->holders, service);
}

struct conn *names_find(const struct names *names, struct view service)
{
    return map_get(names->holders, service);
}

struct view names_of(const struct names *names, const struct conn *holder)
{
    struct view service;
    size_t cursor = 0;
    void *one;

    while (map_next(names->holders, &cursor, &service, &one)) {
        if (one == holder)
            return service;
    }
    return (struct view){ 0 };
}
