/* SPDX-License-Identifier: Apache-2.0 */
/* The candidate that a home router gives (portmap.h). libnice knows nothing of it: it is told to the other side, whose packets then come
 * to the host candidate's own port. */
#include "ice/agent.h"

#include "ice/portmap.h"

enum {
    PRIORITY = 100 << 24 | 65535 << 8 | 255
}; /* RFC 8445, 5.1.2.1: as server-reflexive ones have */

static void on_mapped(void *user, const char *address, uint16_t port)
{
    struct ice_agent *agent = user;
    struct candidate c = {
        .kind = ICE_SRFLX, .priority = PRIORITY, .port = port, .base_port = agent->portmap_port
    };
    struct err ignored = { 0 };
    _buf_ line = { 0 };

    snprintf(c.foundation, sizeof(c.foundation), "portmap");
    snprintf(c.address, sizeof(c.address), "%s", address);
    snprintf(c.base_address, sizeof(c.base_address), "%s", agent->portmap_local);
    candidate_write(&c, &line);
    if (agent->is_closed || agent->n_lines == AGENT_MAX_LOCAL ||
        !ice_candidate_check(buf_view(&line), false, &ignored))
        return;
    agent->lines[agent->n_lines++] = view_dup_text(buf_view(&line));
    agent_wake(agent);
}

/* For the host candidate that the first hop is reached from. */
void agent_portmap_begin(struct ice_agent *agent)
{
    GSList *all = nice_agent_get_local_candidates(agent->nice, agent->stream, AGENT_COMPONENT);

    for (GSList *at = all; at && !agent->portmap; at = at->next) {
        const NiceCandidate *host = at->data;

        if (host->type != NICE_CANDIDATE_TYPE_HOST || nice_address_ip_version(&host->addr) != 4)
            continue;
        nice_address_to_string(&host->addr, agent->portmap_local);
        agent->portmap_port = (uint16_t)nice_address_get_port(&host->addr);
        agent->portmap = ice_portmap_new(agent->context, agent->portmap_local, agent->portmap_port,
                                         on_mapped, agent);
    }
    g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
}
