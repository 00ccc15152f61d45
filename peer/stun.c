/* SPDX-License-Identifier: Apache-2.0 */
/* Where this peer asks for the address that its NAT gives it: the router says it, once a connection. Without an answer
 * there are host candidates alone. */
#include "peer/core.h"

#include "base/conf.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { INFO_MS = 10000, MAX_SERVERS = 8 };

static void on_address(void *user, const char *address)
{
    struct core *core = user;

    core->stun.lookup = NULL;
    snprintf(core->stun.host, sizeof(core->stun.host), "%s", address ? address : "");
    nat_look(core);
    spare_renew(core);
}

void stun_forget(struct core *core)
{
    ice_lookup_cancel(core->stun.lookup);
    core->stun.lookup = NULL;
    core->stun.host[0] = 0;
}

static bool is_address(const char *text)
{
    uint8_t any[16];

    return inet_pton(AF_INET, text, any) == 1 || inet_pton(AF_INET6, text, any) == 1;
}

/* Another port of the same server. */
static uint16_t read_other(struct view where, const char *host)
{
    _free_ char *other = NULL;
    uint16_t port;

    if (where.len == 0 || where.len > 260 || !conf_split_address(where, 0, &other, &port))
        return 0;
    return strcmp(other, host) == 0 ? port : 0;
}

/* The first of the list; the second is to find out what kind of NAT there is. */
static void take(struct core *core, struct view where, struct view other)
{
    _free_ char *host = NULL;
    uint16_t port;

    if (core->is_closing /* answers still come */ || where.len > 260 ||
        !conf_split_address(where, 0, &host, &port))
        return;
    stun_forget(core);
    core->stun.port = port;
    core->stun.other_port = read_other(other, host);
    if (is_address(host))
        on_address(core, host);
    else
        core->stun.lookup = ice_lookup_new(loop_context(core->loop), host, on_address, core);
}

static void on_info(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct view info, list, where, other = { 0 };
    struct rpc_fields f;
    struct err ignored;

    if (outcome->what != RPC_RESULTED)
        return;
    rpc_fields_open(&f, rpc_payload_args(outcome->payload));
    info = rpc_fields_value(&f, "info");
    if (f.has_failed || !rpc_map_get(info, "stun", &list))
        return;
    rpc_fields_open(&f, list);
    where = rpc_fields_text(&f, "stun", 260);
    if (rpc_fields_more(&f))
        other = rpc_fields_text(&f, "stun", 260);
    rpc_fields_skip_rest(&f);
    if (rpc_fields_end(&f, &ignored))
        take(core, where, other);
}

void stun_ask(struct core *core)
{
    static const uint8_t none[] = { 0x90 };

    rpc_client_call(core->client, clock_mono_ms(), "network.info", VIEW_ARR(none), INFO_MS, false,
                    on_info, core);
}
