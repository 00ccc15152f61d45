/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_timer.h"

#include "base/clock.h"

struct rpc_ws_timer {
    struct rpc_ws_timers *timers; /* NULL: the edge is gone */
    struct list node;
    uint64_t at;
    void (*on_timer)(void *user);
    void *user;
};

void rpc_ws_timers_init(struct rpc_ws_timers *timers, void (*arm)(void *user, uint64_t at),
                        void *user)
{
    list_init(&timers->all);
    timers->armed_at = NEVER_MS;
    timers->arm = arm;
    timers->user = user;
}

void rpc_ws_timers_deinit(struct rpc_ws_timers *timers)
{
    struct rpc_ws_timer *timer;

    LIST_EACH(timer, &timers->all, node) {
        list_remove(&timer->node);
        timer->timers = NULL;
    }
}

static struct rpc_ws_timer *earliest(const struct rpc_ws_timers *timers)
{
    struct rpc_ws_timer *timer, *first = NULL;

    LIST_EACH(timer, &timers->all, node)
        if (timer->at != NEVER_MS && (!first || timer->at < first->at))
            first = timer;
    return first;
}

/* One at a time, the earliest first: a callback may free, set or make any of them. */
void rpc_ws_timers_fire(struct rpc_ws_timers *timers)
{
    uint64_t now = clock_mono_ms();
    struct rpc_ws_timer *timer;

    timers->armed_at = NEVER_MS;
    while ((timer = earliest(timers)) && timer->at <= now) {
        timer->at = NEVER_MS;
        timer->on_timer(timer->user);
    }
    if (!timer || timer->at >= timers->armed_at)
        return;
    timers->armed_at = timer->at;
    timers->arm(timers->user, timer->at);
}

struct rpc_ws_timer *rpc_ws_timer_new(struct rpc_ws *ws, void (*on_timer)(void *user), void *user)
{
    struct rpc_ws_timer *timer = mem_new(struct rpc_ws_timer);

    timer->timers = rpc_ws_timers_of(ws);
    timer->at = NEVER_MS;
    timer->on_timer = on_timer;
    timer->user = user;
    list_append(&timer->timers->all, &timer->node);
    return timer;
}

/* A deadline that moves to later, as most do, costs nothing: it is looked at when the loop
 * calls. */
void rpc_ws_timer_set(struct rpc_ws_timer *timer, uint64_t at)
{
    timer->at = at;
    if (!timer->timers || at >= timer->timers->armed_at) /* NEVER_MS too */
        return;
    timer->timers->armed_at = at;
    timer->timers->arm(timer->timers->user, at);
}

void rpc_ws_timer_free(struct rpc_ws_timer *timer)
{
    if (!timer)
        return;
    list_remove(&timer->node);
    free(timer);
}
