/* SPDX-License-Identifier: Apache-2.0 */
#include "den/open.h"

#include <stdio.h>

static bool has(const struct rpc_items *all, struct view cap)
{
    for (size_t i = 0; i < all->n; i++)
        if (view_eq(cap, all->item[i]))
            return true;
    return false;
}

static bool is_subset(const struct rpc_items *some, const struct rpc_items *all)
{
    for (size_t i = 0; i < some->n; i++)
        if (!has(all, some->item[i]))
            return false;
    return true;
}

/* In the dial's order; there is room for all of the dial's. */
static void join_accepted(const struct rpc_items *asked, const struct rpc_items *accepted,
                          char to[256])
{
    size_t len = 0;

    for (size_t i = 0; i < asked->n && len < 255; i++)
        if (has(accepted, asked->item[i]))
            len += (size_t)snprintf(to + len, 256 - len, "%s%.*s", len ? "," : "",
                                    VIEW_FMT(asked->item[i]));
}

bool accept_check(struct open *open, struct err *err)
{
    struct den_core *core = open->core;
    struct rpc_accept c;

    if (!rpc_statement_read(RPC_W_ACCEPT, buf_view(&open->accept), &c, err))
        return false;
    if (!view_eq_secret(c.netid, rpc_trust_netid(core->c.trust)) ||
        !view_eq_secret(c.sid, open->d.sid))
        return err_set(err, ERR_BAD_STATEMENT, "for another network or session");
    if (open->live_until && open->live_until <= core_wall(core))
        return err_set(err, ERR_EXPIRED, "the time that it was allowed for is over");
    if (!view_eq_text(c.b_id, open->b.id) || !view_eq_secret(c.b_pk, VIEW_ARR(open->b.pk)))
        return err_set(err, ERR_BAD_STATEMENT, "of another ID or key");
    if (c.caps.n == 0 || !is_subset(&c.caps, &open->d.caps))
        return err_set(err, ERR_BAD_STATEMENT, "capabilities that were not granted");
    join_accepted(&open->d.caps, &c.caps, open->caps_accepted);
    return open_check_hash(buf_view(&open->grant), c.grant_hash, "grant", err) &&
           open_check_hash(buf_view(&open->accept_ice), c.b_ice, "ICE description", err) &&
           open_check_spki(core, c.b_spki, open->b.id, err);
}
