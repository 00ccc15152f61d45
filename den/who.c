/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller is called here, and its groups, for whoever is asked: signed, for a router could make anybody an administrator's
 * namesake. */
#include "den/open.h"

#include "base/log.h"

static bool put_name(void *user, const struct store_name *n)
{
    struct buf *names = user;

    if (n->released_at || names->len + STORE_NAME >= RPC_MAX_WHO)
        return true;
    if (names->len)
        buf_put_text(names, ",");
    buf_put_text(names, n->name);
    return true;
}

static bool sign(const struct open *open, const struct buf *names, struct buf *ret_bytes,
                 uint8_t ret_sig[SIG_SIZE])
{
    const struct rpc_who who = {
        .netid = rpc_trust_netid(open->core->c.trust),
        .sid = open->d.sid,
        .a_id = view_text(open->a.id),
        .names = buf_view(names),
        .groups = view_text(open->a.groups),
    };
    struct err err = { 0 };

    if (signer_sign(open->core->c.signer, RPC_W_WHO, &who, ret_bytes, ret_sig, &err))
        return true;
    log_event(LOG_ERROR, "who.not_signed", "sid=%s cause=%s", open->sid, log_quote_text(err.text));
    return false;
}

void who_put(const struct open *open, struct buf *to)
{
    _buf_ names = { 0 }, bytes = { 0 };
    uint8_t sig[SIG_SIZE];
    struct err unread; /* the question goes without them */

    if (!store_name_each(open->core->c.store, open->a.id, put_name, &names, &unread))
        buf_clear(&names);
    if ((names.len || *open->a.groups) && sign(open, &names, &bytes, sig)) {
        rpc_put_array(to, 2);
        rpc_put_bin(to, buf_view(&bytes));
        rpc_put_bin(to, VIEW(sig, sizeof(sig)));
    } else {
        rpc_put_nil(to);
    }
}
