/* SPDX-License-Identifier: Apache-2.0 */
/* ICE agents that have gathered before a session wants one: their candidates, the NAT's address among them, go with the first
 * words. There is one to dial with and one to be called, because libnice keeps the role that an agent gathered with; they are made
 * anew before a NAT forgets them. Who does not dial has none to dial with: most machines wait for calls, and each agent asks the
 * network's STUN server every time. */
#include "peer/session.h"

enum {
    KEEP_MS = 25000, /* some NATs forget what is silent for 30 s; RFC 4787 wants two minutes */
    LATE_MS = 5000,  /* later than that this machine slept */
    SOON_MS = 300,   /* after a session took one: its own start first */
    NEW_MS = 10 * 60 * 1000, /* a program that dials has done so by then, or once */
};

struct spare {
    struct core *core;
    struct loop_timer *timer;
    uint64_t dials_until; /* clock_mono_ms() */
    struct {
        struct ice_agent *agent; /* NULL: none now */
        uint64_t made_at;        /* clock_mono_ms() */
    } of[2];                     /* the one that does not control, the one that does */
};

static bool is_wanted(const struct spare *spare, bool is_controlling, uint64_t now)
{
    const struct core *core = spare->core;

    return core->is_up && !core->is_closing && core->stun.host[0] &&
           (is_controlling ? now < spare->dials_until : core->takes_calls) &&
           (core->policy == PEER_PATH_AUTO || core->policy == PEER_PATH_DIRECT);
}

static void drop(struct spare *spare)
{
    for (size_t i = 0; i < N_ELEMENTS(spare->of); i++)
        ice_agent_free(STEAL(spare->of[i].agent));
}

static void make(struct spare *spare, bool is_controlling, uint64_t now)
{
    struct core *core = spare->core;
    struct ice_agent **agent = &spare->of[is_controlling].agent;
    const struct ice_config config = {
        .context = loop_context(core->loop),
        .is_controlling = is_controlling,
        .allow_loopback = core->allow_loopback,
        .stun = core->stun.host,
        .stun_port = core->stun.port,
    };
    struct err ignored;

    spare->of[is_controlling].made_at = now;
    ice_agent_free(STEAL(*agent));
    if (!loop_has_descriptors() || !ice_agent_new(&config, agent, &ignored))
        return;
    if (!ice_agent_gather(*agent, &ignored))
        ice_agent_free(STEAL(*agent));
}

static void on_timer(void *user)
{
    struct spare *spare = user;
    uint64_t now = clock_mono_ms(), next = NEVER_MS;

    for (size_t i = 0; i < N_ELEMENTS(spare->of); i++) {
        if (!is_wanted(spare, i, now)) {
            ice_agent_free(STEAL(spare->of[i].agent));
            continue;
        }
        if (!spare->of[i].agent || now - spare->of[i].made_at >= KEEP_MS)
            make(spare, i, now);
        next = min_u64(next, spare->of[i].made_at + KEEP_MS - now);
    }
    loop_timer_in(spare->timer, next);
}

void spare_renew(struct core *core)
{
    if (!core->spare) {
        core->spare = mem_new(struct spare);
        core->spare->core = core;
        core->spare->dials_until = clock_mono_ms() + NEW_MS;
        core->spare->timer = loop_timer_new(core->loop, on_timer, core->spare);
    }
    drop(core->spare);
    on_timer(core->spare);
}

struct ice_agent *spare_take(struct core *core, bool is_controlling)
{
    struct spare *spare = core->spare;
    struct ice_agent *agent = spare ? spare->of[is_controlling].agent : NULL;
    uint64_t now = clock_mono_ms();

    if (!spare)
        return NULL;
    if (is_controlling)
        spare->dials_until = now + DAY_MS;
    loop_timer_in(spare->timer, SOON_MS);
    if (!agent || !ice_agent_is_gathered(agent) ||
        now - spare->of[is_controlling].made_at > KEEP_MS + LATE_MS)
        return NULL;
    return STEAL(spare->of[is_controlling].agent);
}

void spare_end(struct core *core)
{
    struct spare *spare = STEAL(core->spare);

    if (!spare)
        return;
    drop(spare);
    loop_timer_free(spare->timer);
    free(spare);
}
