/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer checks in a session's signed statements before it believes them. No I/O: statements, keys, time and what is
 * known are handed in. Every check that fails says which statement, what in it, and why. */
#pragma once

#include "rpc/rpc.h"

struct check_self { /* who we are, and what is certain */
    const struct rpc_trust *trust;
    const char *id;
    struct view pk;
    uint64_t now;        /* network time */
    struct view beacons; /* a caller's: those that came since its dial, RPC_BEACON bytes each */
};

/* A list of capabilities in a statement: at most RPC_MAX_ITEMS, each 1 to 64 of a-z 0-9 - . _ : without repetition. */
bool check_caps(const struct rpc_items *caps, struct err *err);
bool check_is_cap(struct view cap);
bool check_has_cap(const struct rpc_items *caps, struct view cap);

/* The callee's checks of a grant: den's signature, this network, for us and our key, one of the last two beacons, not
 * over. BAD_SIGNATURE, BAD_STATEMENT, WRONG_KEY, STALE, EXPIRED, CAPABILITY. */
bool check_grant(const struct check_self *self, struct view bytes, struct view sig,
                 struct rpc_grant *ret_grant, struct err *err);
/* The caller's: the same with the ends changed, and it answers our dial `dial` and no other. The answer may take as long as a
 * person does: a beacon that came since the dial is as good as the last two. */
bool check_grant_answer(const struct check_self *self, struct view dial_bytes,
                        const struct rpc_dial *dial, struct view bytes, struct view sig,
                        struct rpc_grant *ret_grant, struct err *err);
/* The callee's checks of the dial that came with a checked grant, and of the ICE description beside it. */
bool check_dial(const struct rpc_grant *grant, struct view bytes, struct view sig, struct view ice,
                struct rpc_dial *ret_dial, struct err *err);
/* The caller's checks of the accept. */
bool check_accept(const struct rpc_grant *grant, struct view grant_bytes, struct view bytes,
                  struct view sig, struct view ice, struct rpc_accept *ret_accept, struct err *err);
/* The den-sign key in force that signed it; empty when none did. */
struct view check_signer(const struct rpc_trust *trust, uint64_t now, struct view bytes,
                         struct view sig);
