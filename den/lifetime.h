/* SPDX-License-Identifier: Apache-2.0 */
/* How much of their lives the certificates of roots and intermediates have behind them: said at 50, 80 and 95 percent. */
#pragma once

#include "den/core_in.h"

struct lifetime {
    const char *kind; /* "root", "intermediate" */
    char subject[128];
    uint64_t not_before, not_after;
    unsigned percent; /* that is over, 100 at most */
};
/* Of 100 percent: 0, 50, 80, 95 or 100, the newest mark that was passed. */
unsigned lifetime_mark(unsigned percent);
/* Those that the newest manifest lists. */
void lifetime_each(struct den_core *core, void (*each)(void *user, const struct lifetime *l),
                   void *user);
/* Logs each mark when it is passed, once a process; now and then. */
void lifetime_tick(struct den_core *core);
