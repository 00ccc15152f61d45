/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller is called here, and its groups, for whoever is asked: signed, for a router could make anybody an administrator's
 * namesake. */
#include "den/open.h"

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

bool who_write(struct open *open)
{
    _buf_ names = { 0 };
    struct err unread; /* the question goes without them */

    if (!store_name_each(open->core->c.store, open->a.id, put_name, &names, &unread))
        buf_clear(&names);
    if (!names.len && !*open->a.groups)
        return false;
    const struct rpc_who who = {
        .netid = rpc_trust_netid(open->core->c.trust),
        .sid = open->d.sid,
        .a_id = view_text(open->a.id),
        .names = buf_view(&names),
        .groups = view_text(open->a.groups),
    };
    rpc_statement_write(RPC_W_WHO, &who, &open->who);
    return true;
}

void who_put(const struct open *open, struct buf *to)
{
    if (open->who.len == 0) {
        rpc_put_nil(to);
        return;
    }
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&open->who));
    rpc_put_bin(to, VIEW_ARR(open->who_sig));
}
