/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.turn: a credential with which a machine tries the TURN servers. */
#include "den/core_in.h"
#include "den/turn.h"

bool turn_asked(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    uint8_t key[RATE_KEY];
    struct store_identity who;
    _buf_wipe_ answer = { 0 };

    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err))
        return false;
    if (!core_take(core, RATE_TURN, core_caller(inv, key)))
        return err_set(err, ERR_LIMIT, "too often: wait a minute");
    rpc_put_array(&answer, 1);
    turn_put_trial(core->c.turn, who.id, core_wall(core), &answer);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
