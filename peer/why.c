/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/why.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

static const char *const policies[] = {
    [PEER_PATH_DEFAULT] = "",    [PEER_PATH_AUTO] = "auto", [PEER_PATH_DIRECT] = "direct",
    [PEER_PATH_RELAY] = "relay", [PEER_PATH_TURN] = "turn",
};

const char *why_policy_name(enum peer_path policy)
{
    return policies[policy];
}

bool why_policy_read(struct view text, enum peer_path *ret_policy)
{
    for (size_t i = PEER_PATH_AUTO; i < N_ELEMENTS(policies); i++) {
        if (!view_eq_text(text, policies[i]))
            continue;
        *ret_policy = (enum peer_path)i;
        return true;
    }
    return false;
}

static bool forbids_direct(const struct why_end *end)
{
    return end->policy == PEER_PATH_RELAY || end->policy == PEER_PATH_TURN;
}

static bool is_blocked(const struct why_end *end)
{
    bool is_open = false, is_shut = false;

    for (size_t i = 0; i < 2; i++) {
        is_open |= end->has[i] && end->nat[i].udp == ICE_UDP_OPEN;
        is_shut |= end->has[i] && end->nat[i].udp == ICE_UDP_BLOCKED;
    }
    return is_shut && !is_open;
}

static bool works(const struct why_end *end, size_t family)
{
    return end->has[family] && end->nat[family].udp == ICE_UDP_OPEN;
}

static bool knows(const struct why_end *end)
{
    return end->has[0] || end->has[1];
}

static void say(struct why *why, const char *code, const char *text, const char *remedy)
{
    why->code = code;
    why->remedy = remedy;
    snprintf(why->text, sizeof(why->text), "%s", text);
}

/* Between two ends that both have UDP in that family. */
static void say_nats(const struct why_end *ours, const struct why_end *theirs, size_t family,
                     struct why *why)
{
    if (ice_nat_punch(&ours->nat[family], &theirs->nat[family]) == ICE_PUNCH_FAILS) {
        say(why, "nats", "",
            "IPv6 at both ends, a home router that gives ports (switch on its PCP or NAT-PMP), or "
            "a NAT that keeps one mapping for all "
            "destinations (RFC 4787)");
        snprintf(why->text, sizeof(why->text),
                 "the two NATs let no direct path through: %s here, %s there",
                 ice_nat_name(&ours->nat[family]), ice_nat_name(&theirs->nat[family]));
        return;
    }
    say(why, "no_answer", "", "look for a firewall at either end that drops UDP between them");
    snprintf(why->text, sizeof(why->text),
             "the NATs would allow a direct path (%s here, %s there), but no address answered",
             ice_nat_name(&ours->nat[family]), ice_nat_name(&theirs->nat[family]));
}

static void say_indirect(const struct why_end *ours, const struct why_end *theirs, struct why *why)
{
    static const char open_udp[] =
        "let UDP out there: to the router's STUN port, the TURN servers, and other machines";

    if (is_blocked(ours) && is_blocked(theirs))
        say(why, "udp_blocked_both", "UDP is blocked at both ends", open_udp);
    else if (is_blocked(ours))
        say(why, "udp_blocked_here", "UDP is blocked at this end", open_udp);
    else if (is_blocked(theirs))
        say(why, "udp_blocked_there", "UDP is blocked at the other end", open_udp);
    else if (ours->is_narrow || theirs->is_narrow)
        say(why, "narrow",
            "there is a direct path, but packets of 1200 bytes, which QUIC needs, vanish on it",
            "an MTU of 1280 bytes or more on all of the way: look at tunnels (VPN) and mobile "
            "networks at either end");
    else if (!knows(ours) || !knows(theirs))
        say(why, "unknown", "no direct path was found; nothing is known of the NAT of one end", "");
    else if (works(ours, 1) && works(theirs, 1))
        say_nats(ours, theirs, 1, why);
    else if (works(ours, 0) && works(theirs, 0))
        say_nats(ours, theirs, 0, why);
    else
        say(why, "no_common_family", "one end has IPv4 alone, the other IPv6 alone",
            "give one of them the other kind of address as well");
}

void why_path(enum path_kind kind, const struct why_end *ours, const struct why_end *theirs,
              bool is_searching, struct why *ret_why)
{
    struct why why = { .remedy = "" };

    if (kind == PATH_DIRECT)
        say(&why, "direct", "direct: there is no better one", "");
    else if (forbids_direct(ours))
        say(&why, "policy_here", "this end takes no direct path (--path)", "");
    else if (forbids_direct(theirs))
        say(&why, "policy_there", "the other end takes no direct path", "");
    else
        say_indirect(ours, theirs, &why);
    if (is_searching && (strcmp(why.code, "no_answer") == 0 || strcmp(why.code, "unknown") == 0))
        say(&why, "searching", "a direct path is still being looked for", "");
    *ret_why = why;
}
