/* SPDX-License-Identifier: Apache-2.0 */
/* Each peer is a witness of den's audit: the newest heartbeat, which is kept, has its number and head. */
#include "peer/errand.h"

#include "base/text.h"

#include <stdio.h>

static bool load(const char *state_dir, struct peer_witness *ret_witness, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _cleanup_(state_freep) struct state *state = NULL;
    const struct rpc_heartbeat *h;
    _buf_ bytes = { 0 }, hex = { 0 };
    _free_ char *dir = NULL;

    if (!key_init(err) || !state_default_dir(state_dir, &dir, err) || !state_look(dir, &state, err))
        return false;
    if (!state_read(state, STATE_TRUST, &bytes, err) ||
        !rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &trust, err))
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_JOINED, "this machine has not joined a network")
                   : false;
    h = rpc_trust_heartbeat(trust);
    if (!h)
        return err_set(err, ERR_NOT_FOUND, "this machine has heard no heartbeat yet");
    text_put_hex(&hex, h->audit_head);
    *ret_witness = (struct peer_witness){ .number = h->audit_no, .at = h->time };
    snprintf(ret_witness->head, sizeof(ret_witness->head), "%.*s", VIEW_FMT(buf_view(&hex)));
    return true;
}

bool peer_witness_load(const char *state_dir, struct peer_witness *ret_witness,
                       struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (load(state_dir, ret_witness, &err))
        return true;
    errand_put_error(&err, ret_error);
    return false;
}
