/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.mine: the sessions that live at one of their ends, which was away. It hears again, with den's signature, of each that was ended
 * meanwhile. One that den gave up because both its ends were away is found again: policy is asked about it as about any that lives. */
#include "den/open.h"

#include "base/log.h"

enum { MAX_MINE = 256, MAX_BODY = 32 + MAX_MINE * RPC_SID };

static bool read_sids(struct view body, struct view *ret_sids, struct err *err)
{
    return (rpc_map_bin(body, "sids", ret_sids) && ret_sids->len % RPC_SID == 0 &&
            ret_sids->len <= MAX_MINE * RPC_SID) ||
           err_set(err, ERR_BAD_WIRE,
                   "body: sids: missing, or not %d bytes each, at most %d of them", RPC_SID,
                   MAX_MINE);
}

static bool is_lost(const struct store_session *session)
{
    return strcmp(session->state, "closed") == 0 && strcmp(session->reason, live_lost) == 0;
}

static bool is_in_time(const struct den_core *core, const struct store_session *session)
{
    return !session->ends_at || session->ends_at > core_wall(core);
}

/* It is judged before anything else happens to it. */
static bool find_again(struct den_core *core, struct store_session *session, const char *by,
                       struct view source, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    uint64_t now = core_wall(core);
    char sid[RECORD_HEX];
    const struct audit_pair pairs[] = { SESSION_PAIRS(session, sid, by, source) };

    if (!store_begin(store, err) ||
        !store_session_set_state(store, VIEW_ARR(session->sid), "accepted", "", now, err) ||
        !audit_append(store, now, "session.found", pairs, N_ELEMENTS(pairs), err) ||
        !store_commit(store, err))
        return false;
    memcpy(session->state, "accepted", sizeof("accepted"));
    session->closed_at = 0;
    live_add(core, session, live_round(core) - 1);
    log_event(LOG_INFO, "session.found", "sid=%s by=%s", sid, by);
    return true;
}

static bool take_one(struct den_core *core, struct view sid, const struct request *request,
                     struct view source, struct err *err)
{
    enum store_found found = STORE_NONE;
    struct store_session session;
    const char *who = request->who.id;

    if (!store_session_find(core->c.store, sid, &found, &session, err))
        return false;
    if (found == STORE_NONE || (strcmp(session.a_id, who) != 0 && strcmp(session.b_id, who) != 0) ||
        store_is_open_state(session.state))
        return true;
    if (is_lost(&session) && is_in_time(core, &session))
        return find_again(core, &session, who, source, err);
    untold_keep(core, sid, session.a_id, session.b_id, view_text(session.reason));
    return true;
}

bool mine_told(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
               struct err *err)
{
    struct request request;
    struct view sids = { 0 };
    _buf_ answer = { 0 };

    if (!request_open(core, inv, args, "den.session.mine", MAX_BODY, RATE_PATH, &request, err) ||
        !read_sids(request.body, &sids, err))
        return err_wrap(err, "sessions");
    for (size_t at = 0; at < sids.len; at += RPC_SID)
        if (!take_one(core, view_sub(sids, at, RPC_SID), &request, inv->invocation->source, err))
            return err_wrap(err, "sessions");
    rpc_put_array(&answer, 0);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
