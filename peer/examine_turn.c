/* SPDX-License-Identifier: Apache-2.0 */
/* Each TURN server of the network is asked for an allocation, with a credential that den makes for this. */
#include "peer/examine.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

enum { CALL_MS = 5000, ALLOCATE_MS = 6000 };

static void tell_none(const struct examine *examine, const char *why)
{
    struct finding f;

    finding_begin(&f, PEER_NOTE, "turn", "%s", why);
    finding_tell(&f, examine->core->hub, NULL);
}

/* A server of a family that this machine does not have is nothing that could be mended there. */
static bool has_family(const struct examine_turn *turn)
{
    char addresses[KNOCK_ADDRESSES];
    uint8_t any[16];

    if (inet_pton(AF_INET, turn->host, any) == 1)
        knock_addresses(AF_INET, addresses);
    else if (inet_pton(AF_INET6, turn->host, any) == 1)
        knock_addresses(AF_INET6, addresses);
    else
        return true;
    return addresses[0] != '\0';
}

static void tell_one(struct examine_turn *turn, bool is_good)
{
    uint64_t us = (clock_mono_ns() - turn->began_at) / 1000;
    struct finding f;

    if (is_good) {
        finding_begin(&f, PEER_GOOD, "turn", "%s: an allocation in %" PRIu64 " ms", turn->name,
                      us / 1000);
        finding_ms(&f, "allocate_ms", us);
    } else if (!has_family(turn)) {
        finding_begin(&f, PEER_NOTE, "turn", "%s: this machine has no address of that kind",
                      turn->name);
    } else {
        finding_begin(&f, PEER_BAD, "turn", "%s: no allocation", turn->name);
        finding_remedy(&f, "from here it cannot be reached, it does not run, or it has another "
                           "secret than den: ask the "
                           "operator (warren-den check)");
    }
    finding_fact(&f, "server", "%s", turn->name);
    finding_tell(&f, turn->examine->core->hub, NULL);
    ice_agent_free(STEAL(turn->agent));
    examine_turn_page(turn->examine->core);
}

static void on_candidate(void *user, const char *line)
{
    struct examine_turn *turn = user;

    if (turn->agent && strstr(line, " typ relay"))
        tell_one(turn, true);
}

static void on_gathered(void *user)
{
    struct examine_turn *turn = user;

    if (turn->agent)
        tell_one(turn, false);
}

/* An agent each, so that each says how it went; one after the other, because a server counts what one machine holds. */
static void try_server(struct examine *examine, const struct ice_turn *all, size_t i)
{
    static const struct ice_events events = { .on_candidate = on_candidate,
                                              .on_gathered = on_gathered };
    struct examine_turn *turn = &examine->turns[examine->n_turns];
    struct ice_turn one = *all;
    struct ice_description ours = { 0 };
    struct err ignored;
    const struct ice_config config = {
        .context = loop_context(examine->core->loop),
        .is_controlling = true,
        .allow_loopback = examine->core->allow_loopback,
        .turn = &one,
        .events = &events,
        .user = turn,
    };

    one.servers[0] = all->servers[i];
    one.n_servers = 1;
    turn->examine = examine;
    turn->began_at = clock_mono_ns();
    snprintf(turn->host, sizeof(turn->host), "%s", one.servers[0].host);
    snprintf(turn->name, sizeof(turn->name),
             strchr(one.servers[0].host, ':') ? "[%.40s]:%u over %s" : "%.40s:%u over %s",
             one.servers[0].host, one.servers[0].port, one.servers[0].is_tcp ? "TCP" : "UDP");
    if (ice_agent_new(&config, &turn->agent, &ignored) && ice_agent_gather(turn->agent, &ignored)) {
        ice_agent_describe(turn->agent, &ours); /* from now on it tells */
        ice_description_deinit(&ours);
    }
    ice_turn_wipe(&one);
    examine->n_turns += turn->agent != NULL;
}

static bool read_turn(struct view value, struct ice_turn *to)
{
    struct rpc_turn_server server;
    struct rpc_turn turn;
    struct err ignored;

    if (rpc_value_kind(value) == RPC_NIL || !rpc_turn_read(value, &turn, &ignored))
        return false;
    snprintf(to->username, sizeof(to->username), "%.*s", VIEW_FMT(turn.username));
    snprintf(to->password, sizeof(to->password), "%.*s", VIEW_FMT(turn.password));
    for (size_t i = 0; i < turn.n_uris && to->n_servers < ICE_MAX_TURN; i++) {
        struct ice_turn_server *at = &to->servers[to->n_servers];
        if (!rpc_turn_uri_read(turn.uris[i], &server, &ignored))
            continue;
        snprintf(at->host, sizeof(at->host), "%.*s", VIEW_FMT(server.host));
        at->port = server.port;
        at->is_tcp = server.transport == RPC_TURN_TCP;
        to->n_servers++;
    }
    return to->n_servers > 0;
}

static void on_turn(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct examine *examine = core->examine;
    struct ice_turn turn = { 0 };
    struct rpc_fields f;

    if (!examine || outcome->what == RPC_PROGRESS)
        return;
    examine->turn_call = 0;
    if (outcome->what == RPC_FAILED) {
        tell_none(examine,
                  outcome->err.code == ERR_LIMIT
                      ? "den gives credentials for this only now and then: try again in a minute"
                      : outcome->err.text);
    } else {
        rpc_fields_open(&f, rpc_payload_args(outcome->payload));
        if (!read_turn(rpc_fields_value(&f, "TURN"), &turn))
            tell_none(examine, "the network has no TURN server: where no direct path works, the "
                               "router's relay is used");
        examine->servers = turn;
        for (size_t i = 0; i < turn.n_servers; i++) {
            if (!turn.servers[i].is_tcp)
                nat_take_second(core, turn.servers[i].host, turn.servers[i].port);
        }
        ice_turn_wipe(&turn);
    }
    examine_turn_page(core);
}

void examine_turn_begin(struct examine *examine)
{
    static const uint8_t none[] = { 0x90 };
    struct core *core = examine->core;

    if (!core->client || !core->is_up)
        return;
    examine->turn_call = rpc_client_call(core->client, clock_mono_ms(), "den.session.turn",
                                         VIEW_ARR(none), CALL_MS, false, on_turn, core);
    core_flush_soon(core);
}

bool examine_turn_done(struct examine *examine)
{
    bool is_over = examine->turn_call == 0;

    while (is_over && examine->n_tried < examine->servers.n_servers &&
           (examine->n_turns == 0 || !examine->turns[examine->n_turns - 1].agent))
        try_server(examine, &examine->servers, examine->n_tried++);
    if (examine->n_tried == examine->servers.n_servers) {
        ice_turn_wipe(&examine->servers);
        examine->n_tried = 0;
    }
    for (size_t i = 0; i < examine->n_turns; i++) {
        struct examine_turn *turn = &examine->turns[i];
        if (turn->agent && clock_mono_ns() - turn->began_at > ALLOCATE_MS * UINT64_C(1000000))
            tell_one(turn, false);
        is_over &= turn->agent == NULL;
    }
    return is_over && examine->servers.n_servers == 0;
}

void examine_turn_end(struct examine *examine)
{
    for (size_t i = 0; i < examine->n_turns; i++)
        ice_agent_free(STEAL(examine->turns[i].agent));
    ice_turn_wipe(&examine->servers);
}
