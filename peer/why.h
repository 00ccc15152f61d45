/* SPDX-License-Identifier: Apache-2.0 */
/* Why a session's path is what it is, and not a better one, from what both ends know. No I/O. */
#pragma once

#include "ice/nat.h"
#include "peer/include/peer.h"
#include "peer/link/path.h"

struct why_end {
    struct ice_nat nat[2]; /* IPv4, IPv6 */
    bool has[2];
    bool has_proxy, has_turn /* a relayed candidate */;
    bool is_narrow;        /* a direct path answers it, and does not take packets of QUIC's */
    enum peer_path policy; /* DEFAULT: it did not say */
};

struct why {
    const char *code;   /* stable; at most 24 bytes */
    char text[160];     /* ASCII */
    const char *remedy; /* ""; nothing would make it better */
};

/* `is_searching`: ICE has not given up yet; what is certain is said all the same. */
void why_path(enum path_kind kind, const struct why_end *ours, const struct why_end *theirs,
              bool is_searching, struct why *ret_why);
const char *why_policy_name(enum peer_path policy); /* "auto", "direct", "relay", "turn" */
bool why_policy_read(struct view text, enum peer_path *ret_policy);
