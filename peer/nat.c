/* SPDX-License-Identifier: Apache-2.0 */
/* What NAT this machine is behind, by the network's own STUN servers: looked for when a connection to the router has come up, and
 * again when a server is known that can tell more. */
#include "peer/examine.h"
#include "peer/explain.h"

#include <arpa/inet.h>
#include <stdio.h>

bool nat_is_looking(const struct core *core)
{
    return core->nat.probe[0] || core->nat.probe[1] || core->stun.lookup || core->nat.lookup;
}

static void take(struct core *core, size_t family, const struct ice_nat *found)
{
    core->nat.probe[family] = NULL;
    core->nat.is[family] = *found;
    core->nat.has[family] = true;
    core->nat.found_at = clock_mono_ms();
    if (nat_is_looking(core))
        return;
    report_send_all(core);
    examine_turn_page(core);
}

static void on_nat4(void *user, const struct ice_nat *found)
{
    take(user, 0, found);
}

static void on_nat6(void *user, const struct ice_nat *found)
{
    take(user, 1, found);
}

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

static void look_with(struct core *core, const char *server)
{
    size_t family = is_v6(server);
    const struct ice_nat_question question = {
        .server = server,
        .port = core->stun.port,
        .other_port = core->stun.other_port,
        .second = core->nat.second[0] && is_v6(core->nat.second) == is_v6(server) ? core->nat.second
                                                                                  : NULL,
        .second_port = core->nat.second_port,
        .measures = core->nat.measures,
    };

    if (core->nat.probe[family])
        return;
    core->nat.probe[family] =
        ice_nat_probe_new(loop_context(core->loop), &question, family ? on_nat6 : on_nat4, core);
    if (!core->nat.probe[family])
        core->nat.has[family] = false; /* nothing leads out there any more */
}

/* The join string may have addresses of both families, so that nobody has to be asked for them. */
static void find_other(struct core *core)
{
    const struct rpc_join *join = &core->join;
    const char *other = NULL;
    bool is_router = false;
    uint8_t any[16];

    for (size_t i = 0; i < join->n_hosts; i++) {
        const char *host = join->hosts[i].host;
        is_router |= strcmp(host, core->stun.host) == 0;
        if (!other && is_v6(host) != is_v6(core->stun.host) &&
            inet_pton(is_v6(host) ? AF_INET6 : AF_INET, host, any) == 1)
            other = host;
    }
    if (is_router && other)
        nat_take_other(core, other);
}

void nat_take_other(struct core *core, const char *address)
{
    snprintf(core->nat.other, sizeof(core->nat.other), "%s", address);
}

/* The router is asked where it says that it answers; and at an address of the other family that it has, whichever of the two the connection
 * to it goes over. */
void nat_look(struct core *core)
{
    if (core->stun.host[0] == '\0' || core->is_closing)
        return;
    if (core->nat.other[0] == '\0' || is_v6(core->nat.other) == is_v6(core->stun.host))
        find_other(core);
    look_with(core, core->stun.host);
    if (core->nat.other[0] && is_v6(core->nat.other) != is_v6(core->stun.host))
        look_with(core, core->nat.other);
}

/* What is under way does not know what is known now. */
static void look_again(struct core *core)
{
    for (size_t i = 0; i < 2; i++) {
        ice_nat_probe_free(core->nat.probe[i]);
        core->nat.probe[i] = NULL;
    }
    nat_look(core);
}

void nat_measure(struct core *core)
{
    core->nat.measures = true;
    look_again(core);
}

static void on_second(void *user, const char *address)
{
    struct core *core = user;

    core->nat.lookup = NULL;
    snprintf(core->nat.second, sizeof(core->nat.second), "%s", address ? address : "");
    look_again(core);
}

void nat_take_second(struct core *core, const char *host, uint16_t port)
{
    uint8_t any[16];

    if (core->nat.second[0] || core->nat.lookup || core->is_closing)
        return;
    core->nat.second_port = port;
    if (inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1)
        on_second(core, host);
    else
        core->nat.lookup = ice_lookup_new(loop_context(core->loop), host, on_second, core);
}

void nat_forget(struct core *core)
{
    ice_lookup_cancel(core->nat.lookup);
    core->nat.lookup = NULL;
    for (size_t i = 0; i < 2; i++) {
        ice_nat_probe_free(core->nat.probe[i]);
        core->nat.probe[i] = NULL;
    }
}
