/* SPDX-License-Identifier: Apache-2.0 */
/* den.time: the time, signed over a nonce of whoever asks. A heartbeat tells the time too, but one
 * that a router holds back tells an old one. */
#include "den/core_in.h"

bool time_now(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
              struct err *err)
{
    struct rpc_time t = {
        .netid = rpc_trust_netid(core->c.trust),
        .nonce = rpc_fields_fixed(args, "nonce", RPC_NONCE16),
        .time = core_wall(core),
    };
    uint8_t sig[SIG_SIZE], key[RATE_KEY];
    _buf_ bytes = { 0 };
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err))
        return false;
    if (!core_take(core, RATE_TIME, core_caller(inv, key)))
        return err_set(err, ERR_LIMIT, "too often: wait some seconds");
    if (!signer_sign(core->c.signer, RPC_W_TIME, &t, &bytes, sig, err))
        return false;
    rpc_put_array(&answer, 2);
    rpc_put_bin(&answer, buf_view(&bytes));
    rpc_put_bin(&answer, VIEW_ARR(sig));
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
