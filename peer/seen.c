/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/seen.h"

#include <stdio.h>

/* Frees the places of those whose grants could not be used any more. */
static void forget_stale(struct seen *seen, const struct rpc_trust *trust, uint64_t now)
{
    for (size_t i = 0; i < SEEN_MAX; i++) {
        if (seen->item[i].until <= now &&
            !rpc_trust_knows_beacon(trust, VIEW_ARR(seen->item[i].beacon)))
            seen->item[i].caller[0] = '\0';
    }
}

bool seen_take(struct seen *seen, const struct rpc_grant *grant, const struct rpc_trust *trust,
               uint64_t now, struct err *err)
{
    size_t room = SEEN_MAX, n_same = 0;

    forget_stale(seen, trust, now);
    for (size_t i = 0; i < SEEN_MAX; i++) {
        if (seen->item[i].caller[0] == '\0')
            room = i;
        else if (view_eq(VIEW_ARR(seen->item[i].sid), grant->sid))
            return err_set(err, ERR_REPLAYED, "this session was offered before");
        else
            n_same += view_eq_text(grant->a_id, seen->item[i].caller);
    }
    if (n_same >= SEEN_SHARE || room == SEEN_MAX)
        return err_set(err, ERR_BUSY, "too many offers in a short time%s",
                       n_same >= SEEN_SHARE ? " from this caller" : "");
    memcpy(seen->item[room].sid, grant->sid.data, RPC_SID);
    memcpy(seen->item[room].beacon, grant->beacon.data, RPC_BEACON);
    snprintf(seen->item[room].caller, TEXT_ID, "%.*s", VIEW_FMT(grant->a_id));
    seen->item[room].until = now + SEEN_MS;
    return true;
}
