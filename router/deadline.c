/* SPDX-License-Identifier: Apache-2.0 */
#include "router/deadline.h"
#include "base/mem.h"

void deadlines_deinit(struct deadlines *all)
{
    free(STEAL(all->heap));
    all->n = all->cap = 0;
}

static void put(struct deadlines *all, size_t place, struct deadline *deadline)
{
    all->heap[place] = deadline;
    deadline->place = place;
}

static void rise(struct deadlines *all, struct deadline *deadline)
{
    size_t place = deadline->place;

    for (; place > 1 && all->heap[place / 2]->at > deadline->at; place /= 2)
        put(all, place, all->heap[place / 2]);
    put(all, place, deadline);
}

static void sink(struct deadlines *all, struct deadline *deadline)
{
    size_t place = deadline->place;

    for (size_t child = place * 2; child <= all->n; child = place * 2) {
        if (child < all->n && all->heap[child + 1]->at < all->heap[child]->at)
            child++;
        if (all->heap[child]->at >= deadline->at)
            break;
        put(all, place, all->heap[child]);
        place = child;
    }
    put(all, place, deadline);
}

void deadline_set(struct deadlines *all, struct deadline *deadline, uint64_t at)
{
    deadline->at = at;
    if (!deadline->place) {
        if (all->n + 1 >= all->cap) {
            all->cap = all->cap ? all->cap * 2 : 16;
            all->heap = mem_resize(all->heap, all->cap, sizeof(*all->heap));
        }
        put(all, ++all->n, deadline);
    }
    rise(all, deadline);
    sink(all, deadline);
}

void deadline_clear(struct deadlines *all, struct deadline *deadline)
{
    struct deadline *last;
    size_t place = deadline->place;

    if (!place)
        return;
    deadline->place = 0;
    last = all->heap[all->n--];
    if (last == deadline)
        return;
    put(all, place, last);
    rise(all, last);
    sink(all, last);
}

uint64_t deadlines_next(const struct deadlines *all)
{
    return all->n ? all->heap[1]->at : NEVER_MS;
}

void deadlines_run(struct deadlines *all, uint64_t now)
{
    while (all->n && all->heap[1]->at <= now) {
        struct deadline *first = all->heap[1];
        deadline_clear(all, first);
        first->on_passed(first);
    }
}
