/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after what is below the sessions: paths that died in silence, another network, a machine that slept. */
#include "peer/network.h"
#include "peer/session.h"

enum {
    BUSY_MS = 1000, /* between two looks, while there are sessions */
    IDLE_MS = 5000,
    SLEPT_MS = 3000, /* so late, this program or the machine stood still */
};

struct watch {
    struct loop_timer *timer;
    struct network *network;
    uint64_t due_at;
};

static void arm(struct core *core)
{
    uint64_t pause = list_is_empty(&core->sessions) ? IDLE_MS : BUSY_MS;

    core->watch->due_at = clock_mono_ms() + pause;
    loop_timer_in(core->watch->timer, pause);
}

/* Addresses may be other ones, NATs may have forgotten us, connections may be dead without knowing it. */
static void on_moved(void *user)
{
    struct core *core = user;
    struct session *session;

    if (core->uplink)
        rpc_uplink_moved(core->uplink);
    spare_renew(core);
    LIST_EACH(session, &core->sessions, node) {
        if (session->state == SESSION_CLOSING)
            continue;
        relayed_moved(session);
        restart_wish(session);
        turned_wish(session);
    }
    core_flush_soon(core);
}

void watch_session(struct core *core)
{
    if (core->watch)
        arm(core);
}

static void on_timer(void *user)
{
    struct core *core = user;
    struct session *session;

    if (clock_mono_ms() > core->watch->due_at + SLEPT_MS)
        on_moved(core);
    LIST_EACH(session, &core->sessions, node) {
        if (session->state != SESSION_UP)
            continue;
        relayed_look(session);
        first_look(session);
        restart_soon(session);
        turned_soon(session);
    }
    arm(core);
}

void watch_begin(struct core *core)
{
    core->watch = mem_new(struct watch);
    core->watch->timer = loop_timer_new(core->loop, on_timer, core);
    core->watch->network = network_new(core->loop, on_moved, core);
    arm(core);
}

void watch_end(struct core *core)
{
    struct watch *watch = STEAL(core->watch);

    if (!watch)
        return;
    network_free(watch->network);
    loop_timer_free(watch->timer);
    free(watch);
}
