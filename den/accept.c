/* SPDX-License-Identifier: Apache-2.0 */
#include "den/open.h"

static bool is_subset(const struct rpc_items *some, const struct rpc_items *all)
{
    for (size_t i = 0; i < some->n; i++) {
        bool is_there = false;
        for (size_t j = 0; j < all->n && !is_there; j++)
            is_there = view_eq(some->item[i], all->item[j]);
        if (!is_there)
            return false;
    }
    return true;
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
    return open_check_hash(buf_view(&open->grant), c.grant_hash, "grant", err) &&
           open_check_hash(buf_view(&open->accept_ice), c.b_ice, "ICE description", err) &&
           open_check_spki(core, c.b_spki, open->b.id, err);
}
