/* SPDX-License-Identifier: Apache-2.0 */
/* What a session makes the router hold is charged to it; the charge lives in the thing held, and
 * ends with it. A quota must outlive its charges. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum quota_kind { QUOTA_REGISTRATIONS, QUOTA_SUBSCRIPTIONS, QUOTA_CALLS, QUOTA_KINDS };

struct quota {
    uint64_t limit[QUOTA_KINDS], used[QUOTA_KINDS];
};

struct charge {
    struct quota *quota; /* NULL: nothing is charged */
    enum quota_kind kind;
};

/* False: over the limit */
bool quota_take(struct quota *quota, enum quota_kind kind, struct charge *ret_charge);
void charge_release(struct charge *charge); /* harmless on one that is released */
