/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of this machine wants of calls, whatever the network's policy says: a floor that policy can raise and
 * not lower, unless the owner marked the machine as unattended; and for how long a call may last. Kept in the state folder as
 * a line: "ask", "none unattended", "ask longest 3600000" (ms). */
#pragma once

#include "peer/include/peer.h"
#include "peer/state.h"

struct consent {
    enum peer_consent floor;
    bool is_unattended;
    uint64_t longest_ms; /* 0: as long as policy allows */
};
/* NONE where nothing was ever said. BAD_CONFIG: it is not known what the owner wants. */
bool consent_read(const struct state *state, struct consent *ret_consent, struct err *err);
bool consent_write(const struct state *state, const struct consent *consent, struct err *err);
/* What holds for a call of which policy says that somebody is asked, or not. */
enum peer_consent consent_for(const struct consent *consent, bool policy_asks);
const char *consent_word(enum peer_consent consent);
