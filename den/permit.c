/* SPDX-License-Identifier: Apache-2.0 */
/* Permits: what lets the two ends of a session find each other again on their own network without router and den, where the rule that
 * allowed the session says so (`offline`). One goes with each such session, and lapses by itself: nobody can take it back. */
#include "den/open.h"

#include "base/log.h"

enum { PERMIT_PAIRS = 7 };

static bool record(struct open *open, const struct rpc_permit *p, struct err *err)
{
    _transaction_ struct store *store = open->core->c.store;
    char id[RECORD_HEX], until[CLOCK_TEXT];
    const struct audit_pair pairs[PERMIT_PAIRS] = {
        AUDIT_TEXT("sid", open->sid),   AUDIT_TEXT("permit", record_hex(p->permit_id, id)),
        AUDIT_TEXT("from", open->a.id), AUDIT_TEXT("to", open->b.id),
        AUDIT_TEXT("can", open->caps),  AUDIT_TEXT("until", clock_text(p->not_after, until)),
        AUDIT_TEXT("rule", open->rule),
    };

    return store_begin(store, err) &&
           audit_append(store, p->issued_at, "session.permit", pairs, PERMIT_PAIRS, err) &&
           store_commit(store, err);
}

void permit_make(struct open *open)
{
    struct den_core *core = open->core;
    uint8_t id[RPC_PERMIT_ID];
    struct rpc_grant g;
    struct err err = { 0 };

    if (open->offline == 0 || !rpc_statement_read(RPC_W_GRANT, buf_view(&open->grant), &g, &err))
        return;
    random_bytes(id, sizeof(id));
    const struct rpc_permit p = {
        .netid = g.netid,
        .permit_id = VIEW_ARR(id),
        .a_id = g.a_id,
        .a_pk = g.a_pk,
        .b_id = g.b_id,
        .b_pk = g.b_pk,
        .caps = g.caps,
        .caps_back = g.caps_back,
        .issued_at = core_wall(core),
        .not_after = core_wall(core) + open->offline,
        .max_hb_age = open->offline,
    };
    if (!record(open, &p, &err) ||
        !signer_sign(core->c.signer, RPC_W_PERMIT, &p, &open->permit, open->permit_sig, &err)) {
        log_event(LOG_ERROR, "permit.failed", "sid=%s cause=%s", open->sid,
                  log_quote_text(err.text));
        buf_free(&open->permit);
        open->offline = 0; /* the session goes on without it */
    }
}

void permit_put(const struct open *open, struct buf *to)
{
    if (open->permit.len == 0) {
        rpc_put_nil(to);
        return;
    }
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&open->permit));
    rpc_put_bin(to, VIEW_ARR(open->permit_sig));
}
