/* SPDX-License-Identifier: Apache-2.0 */
#include "router/quota.h"

#include <stddef.h>

bool quota_take(struct quota *quota, enum quota_kind kind, struct charge *ret_charge)
{
    if (quota->used[kind] >= quota->limit[kind])
        return false;
    quota->used[kind]++;
    *ret_charge = (struct charge){ quota, kind };
    return true;
}

void charge_release(struct charge *charge)
{
    if (!charge->quota)
        return;
    charge->quota->used[charge->kind]--;
    charge->quota = NULL;
}
