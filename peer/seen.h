/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions were offered before. Grants are good for two beacons, about a minute; a number is remembered longer than any
 * of its grants could be fresh, and a full table refuses rather than forgets. No I/O. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rpc/rpc.h"

enum { SEEN_MAX = 1024, SEEN_MS = 300000 };

struct seen {
    struct {
        uint8_t sid[RPC_SID];
        uint64_t until;
    } item[SEEN_MAX];
};

/* Remembers `sid` (RPC_SID bytes). REPLAYED when it is known, BUSY when there is no room. `now`: of a clock that never goes back. */
bool seen_take(struct seen *seen, struct view sid, uint64_t now, struct err *err);
