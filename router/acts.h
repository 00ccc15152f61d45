/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators did at the router and den was not told yet, as records of a file: one for each act, and one for what den took. What was
 * not told when the router was killed is told by the next. No I/O here. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct acts_record {
    bool is_told; /* den took `n` of them; otherwise they were done */
    struct view id, role, verb, text, address;
    uint64_t n, first_at, last_at; /* network time */
};

void acts_put(struct buf *to, const struct acts_record *record);
/* The first of *rest, which goes on behind it; its views are of *rest. False: there is none, or it is damaged or was cut short. */
bool acts_take(struct view *rest, struct acts_record *ret_record);
