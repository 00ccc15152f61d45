/* SPDX-License-Identifier: Apache-2.0 */
/* den at work: one thread, one loop, a member of its own router under the name `den`. */
#pragma once

#include "den/config.h"

/* Runs until SIGTERM or SIGINT (true), or until it must not go on: UNLISTED_KEY, EXPOSED,
 * WRONG_KEY and the like at the start, STALE when its store was taken back to an older state.
 * SIGHUP reads den.conf, whose path is `path`, and the policy again; a bad one is refused, with file and line in the log, and the
 * old one stays; what needs a restart is named. */
bool den_run(const char *path, struct den_config *config, bool accepts_rollback, struct err *err);
/* Level and format of the log, as the configuration says. */
void den_set_up_log(const struct den_config *config);
