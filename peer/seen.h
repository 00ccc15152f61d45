/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions were offered before. A grant is good while its beacon is one of the last two: its number is remembered as long,
 * and a minute at least. Each caller has a share of the table, so that none of them can fill it for the others, and what is full
 * refuses rather than forgets. No I/O. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "rpc/rpc.h"

enum { SEEN_MAX = 4096, SEEN_SHARE = 128, SEEN_MS = 60000 };

struct seen {
    struct {
        uint8_t sid[RPC_SID], beacon[RPC_BEACON];
        char caller[TEXT_ID]; /* "": the place is free */
        uint64_t until;
    } item[SEEN_MAX];
};

/* Remembers the number of a grant that was verified. REPLAYED when it is known, BUSY when there is no room, in the table or in the
 * caller's share. `trust` knows the beacons; `now`: of a clock that never goes back. */
bool seen_take(struct seen *seen, const struct rpc_grant *grant, const struct rpc_trust *trust,
               uint64_t now, struct err *err);
