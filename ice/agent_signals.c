/* SPDX-License-Identifier: Apache-2.0 */
/* What libnice tells an agent. Handlers note and wake, see agent.h. */
#include "ice/agent.h"

enum ice_kind agent_kind(const NiceCandidate *candidate)
{
    switch (candidate->type) {
    case NICE_CANDIDATE_TYPE_HOST:
        return ICE_HOST;
    case NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE:
        return ICE_SRFLX;
    case NICE_CANDIDATE_TYPE_PEER_REFLEXIVE:
        return ICE_PRFLX;
    case NICE_CANDIDATE_TYPE_RELAYED:
        return ICE_RELAY;
    }
    return ICE_PRFLX;
}

void agent_address(const NiceAddress *address, char to[64])
{
    char text[NICE_ADDRESS_STRING_LEN] = "";
    bool is_v6 = nice_address_ip_version(address) == 6;

    nice_address_to_string(address, text);
    snprintf(to, 64, is_v6 ? "[%s]:%u" : "%s:%u", text, nice_address_get_port(address));
}

static char *line_of(const NiceCandidate *from)
{
    struct candidate c = { .kind = agent_kind(from), .priority = from->priority };
    char text[NICE_ADDRESS_STRING_LEN] = "";
    _buf_ line = { 0 };

    nice_address_to_string(&from->addr, text);
    snprintf(c.address, sizeof(c.address), "%s", text);
    c.port = (uint16_t)nice_address_get_port(&from->addr);
    snprintf(c.foundation, sizeof(c.foundation), "%s", from->foundation);
    if (c.kind != ICE_HOST) {
        nice_address_to_string(&from->base_addr, text);
        snprintf(c.base_address, sizeof(c.base_address), "%s", text);
        c.base_port = (uint16_t)nice_address_get_port(&from->base_addr);
    }
    candidate_write(&c, &line);
    return view_dup_text(buf_view(&line));
}

static bool knows_line(const struct ice_agent *agent, const char *line)
{
    for (size_t i = 0; i < agent->n_lines; i++)
        if (strcmp(agent->lines[i], line) == 0)
            return true;
    return false;
}

static void note_candidate(struct ice_agent *agent, const NiceCandidate *candidate)
{
    _free_ char *line = line_of(candidate);
    struct err ignored = { 0 };

    /* What the other side would refuse is not offered: link-local addresses, peer-reflexive
     * ones. */
    if (agent_kind(candidate) == ICE_PRFLX || knows_line(agent, line) ||
        (agent->turn && agent->config.is_controlling && agent_kind(candidate) != ICE_RELAY) ||
        agent->n_lines == AGENT_MAX_LOCAL ||
        !ice_candidate_check(view_text(line), agent->config.allow_loopback, &ignored))
        return;
    agent->lines[agent->n_lines++] = STEAL(line);
}

void agent_read_lines(struct ice_agent *agent)
{
    GSList *all = nice_agent_get_local_candidates(agent->nice, agent->stream, AGENT_COMPONENT);

    for (GSList *at = all; at; at = at->next)
        note_candidate(agent, at->data);
    g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
}

static void on_new_candidate(NiceAgent *nice, NiceCandidate *candidate, gpointer user)
{
    struct ice_agent *agent = user;

    (void)nice;
    note_candidate(agent, candidate);
    agent_wake(agent);
}

static void on_gathering_done(NiceAgent *nice, guint stream, gpointer user)
{
    struct ice_agent *agent = user;

    (void)nice;
    (void)stream;
    if (agent->turn) {
        agent_turn_gathered(agent->turn);
        return;
    }
    agent->is_gathered = true;
    if (agent->state == ICE_GATHERING)
        agent->state = ICE_CONNECTING;
    agent_wake(agent);
}

/* CONNECTED has a selected pair and carries; READY only adds that no better pair is being tried. */
static void on_component_state(NiceAgent *nice, guint stream, guint component, guint state,
                               gpointer user)
{
    struct ice_agent *agent = user;

    (void)nice;
    (void)stream;
    (void)component;
    switch ((NiceComponentState)state) {
    case NICE_COMPONENT_STATE_CONNECTED:
    case NICE_COMPONENT_STATE_READY:
        agent->state = ICE_READY;
        break;
    case NICE_COMPONENT_STATE_FAILED:
        agent->state = ICE_FAILED;
        break;
    case NICE_COMPONENT_STATE_CONNECTING:
        agent->state = ICE_CONNECTING;
        break;
    case NICE_COMPONENT_STATE_DISCONNECTED:
    case NICE_COMPONENT_STATE_GATHERING:
    case NICE_COMPONENT_STATE_LAST:
        return;
    }
    agent_wake(agent);
}

static void on_selected_pair(NiceAgent *nice, guint stream, guint component, NiceCandidate *local,
                             NiceCandidate *remote, gpointer user)
{
    struct ice_agent *agent = user;

    (void)nice, (void)stream, (void)component, (void)local, (void)remote;
    agent->is_pair_new = true;
    agent_wake(agent);
}

void agent_connect_signals(struct ice_agent *agent)
{
    g_signal_connect(agent->nice, "new-candidate-full", G_CALLBACK(on_new_candidate), agent);
    g_signal_connect(agent->nice, "candidate-gathering-done", G_CALLBACK(on_gathering_done), agent);
    g_signal_connect(agent->nice, "new-selected-pair-full", G_CALLBACK(on_selected_pair), agent);
    g_signal_connect(agent->nice, "component-state-changed", G_CALLBACK(on_component_state), agent);
}
