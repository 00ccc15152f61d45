/* SPDX-License-Identifier: Apache-2.0 */
/* Each TURN server of the network is asked for an allocation. den gives credentials to the ends of sessions alone, so without one: what
 * works says that it wants one. */
#include "peer/examine.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

enum { CALL_MS = 5000, KNOCK_MS = 6000 };

static void tell_none(const struct examine *examine, const char *why)
{
    struct finding f;

    finding_begin(&f, PEER_NOTE, "turn", "%s", why);
    beside_tell(examine->core, &f);
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

static void tell_bad(struct finding *f, const struct examine_turn *turn, const char *why)
{
    if (!has_family(turn)) {
        finding_begin(f, PEER_NOTE, "turn", "%s: this machine has no address of that kind",
                      turn->name);
        return;
    }
    finding_begin(f, PEER_BAD, "turn", "%s: %s", turn->name, why);
    finding_remedy(f, "from here it cannot be reached, or it does not run: let UDP and TCP to that "
                      "port out, or ask the operator");
}

static void tell_one(const struct examine_turn *turn)
{
    const struct turn_knock_result *result = &turn->result;
    struct finding f;

    if (result->wants_credential) {
        finding_begin(&f, PEER_GOOD, "turn", "%s: answers in %" PRIu64 " ms", turn->name,
                      (result->rtt_us + 500) / 1000);
        finding_ms(&f, "rtt_ms", result->rtt_us);
    } else if (result->is_open) {
        finding_begin(&f, PEER_BAD, "turn", "%s: it relays for anybody, without a credential",
                      turn->name);
        finding_remedy(&f, "tell the operator: coturn needs use-auth-secret, as in the "
                           "turnserver.conf that comes with warren-den");
    } else {
        tell_bad(&f, turn, result->why);
    }
    finding_fact(&f, "server", "%s", turn->name);
    beside_tell(turn->examine->core, &f);
}

static void on_knocked(void *user, const struct turn_knock_result *result)
{
    struct examine_turn *turn = user;
    struct examine *examine = turn->examine;

    turn->knock = NULL;
    turn->result = *result;
    while (examine->n_turns_told < examine->n_turns && !examine->turns[examine->n_turns_told].knock)
        tell_one(&examine->turns[examine->n_turns_told++]);
    examine_turn_page(examine->core);
}

static void try_server(struct examine *examine, const struct ice_turn_server *server)
{
    struct examine_turn *turn = &examine->turns[examine->n_turns++];

    turn->examine = examine;
    memcpy(turn->host, server->host, sizeof(turn->host));
    snprintf(turn->name, sizeof(turn->name),
             strchr(server->host, ':') ? "[%.40s]:%u over %s" : "%.40s:%u over %s", server->host,
             server->port, server->is_tcp ? "TCP" : "UDP");
    turn->knock = turn_knock_new(examine->core->loop, server, KNOCK_MS, on_knocked, turn);
}

static size_t read_servers(struct view value, struct ice_turn_server to[ICE_MAX_TURN])
{
    struct rpc_turn_server server;
    struct rpc_turn turn;
    struct err ignored;
    size_t n = 0;

    if (rpc_value_kind(value) == RPC_NIL || !rpc_turn_read_servers(value, &turn, &ignored))
        return 0;
    for (size_t i = 0; i < turn.n_uris && n < ICE_MAX_TURN; i++) {
        if (!rpc_turn_uri_read(turn.uris[i], &server, &ignored))
            continue;
        snprintf(to[n].host, sizeof(to[n].host), "%.*s", VIEW_FMT(server.host));
        to[n].port = server.port;
        to[n++].is_tcp = server.transport == RPC_TURN_TCP;
    }
    return n;
}

static void try_all(struct examine *examine, struct view value)
{
    struct ice_turn_server servers[ICE_MAX_TURN];
    size_t n = read_servers(value, servers);

    if (n == 0)
        tell_none(examine, "the network has no TURN server: where no direct path works, the "
                           "router's relay is used");
    for (size_t i = 0; i < n; i++) {
        if (!servers[i].is_tcp)
            nat_take_second(examine->core, servers[i].host, servers[i].port);
        try_server(examine, &servers[i]);
    }
}

static void on_turn(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct examine *examine = core->examine;
    struct rpc_fields f;

    if (!examine || outcome->what == RPC_PROGRESS)
        return;
    examine->turn_call = 0;
    if (outcome->what == RPC_FAILED) {
        tell_none(examine, outcome->err.code == ERR_LIMIT
                               ? "den tells the servers only now and then: try again in a minute"
                               : outcome->err.text);
    } else {
        rpc_fields_open(&f, rpc_payload_args(outcome->payload));
        try_all(examine, rpc_fields_value(&f, "TURN"));
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

bool examine_turn_done(const struct examine *examine)
{
    bool is_over = examine->turn_call == 0;

    for (size_t i = 0; i < examine->n_turns; i++)
        is_over &= examine->turns[i].knock == NULL;
    return is_over;
}

void examine_turn_end(struct examine *examine)
{
    for (size_t i = 0; i < examine->n_turns; i++)
        turn_knock_free(STEAL(examine->turns[i].knock));
}
