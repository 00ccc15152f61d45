/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/seen.h"

bool seen_take(struct seen *seen, struct view sid, uint64_t now, struct err *err)
{
    size_t room = SEEN_MAX;

    for (size_t i = 0; i < SEEN_MAX; i++) {
        if (seen->item[i].until <= now)
            room = i;
        else if (view_eq(VIEW_ARR(seen->item[i].sid), sid))
            return err_set(err, ERR_REPLAYED, "this session was offered before");
    }
    if (room == SEEN_MAX)
        return err_set(err, ERR_BUSY, "too many offers in a short time");
    memcpy(seen->item[room].sid, sid.data, RPC_SID);
    seen->item[room].until = now + SEEN_MS;
    return true;
}
