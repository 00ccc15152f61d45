/* SPDX-License-Identifier: Apache-2.0 */
/* What rollback.c and replay.c share. */
#pragma once

#include "den/core_in.h"

enum { MEET_AGAIN = 2000 /* ms */ };

struct replay { /* revocations that the store does not know any more, in order */
    struct store_revocation *item;
    size_t n;
};

/* replay.c: asks the router for every revocation; rollback_replayed() follows when they are here, and
 * are what the newest heartbeat names. */
void replay_fetch(struct den_core *core);
void rollback_replayed(struct den_core *core, const struct replay *replay);
