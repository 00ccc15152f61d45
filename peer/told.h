/* SPDX-License-Identifier: Apache-2.0 */
/* den and this machine agree on which sessions live, also after one of them was away. */
#pragma once

#include "peer/session.h"

/* The body of a den.session.close: sent now, or when den takes it. */
void told_over(struct core *core, struct view body);
void told_up(struct core *core); /* another connection to the router */
void told_free(struct core *core);

/* STEP_SESSIONS */
bool told_is_needed(const struct core *core);
void told_send(struct core *core);
