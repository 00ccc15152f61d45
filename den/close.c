/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.close: either end, at any time. */
#include "den/open.h"

#include "base/log.h"
#include "den/deed.h"

static struct open *find_open(struct den_core *core, struct view sid)
{
    struct open *open;

    LIST_EACH(open, &core->opens, node)
        if (open->is_granted && view_eq(open->d.sid, sid))
            return open;
    return NULL;
}

static bool read_close(struct view body, struct view *ret_sid, struct view *ret_reason,
                       struct err *err)
{
    struct view reason = { 0 };

    if (!rpc_map_bin(body, "sid", ret_sid) || ret_sid->len != RPC_SID)
        return err_set(err, ERR_BAD_WIRE, "body: sid: missing, or not %d bytes", RPC_SID);
    if (rpc_map_text(body, "reason", &reason) && reason.len > CORE_MAX_REASON)
        return err_set(err, ERR_TOO_LARGE, "body: reason: over %d bytes", CORE_MAX_REASON);
    *ret_reason = reason;
    return true;
}

/* One answer for a session that is not there and for one of others. */
static bool find_session(struct den_core *core, struct view sid, const char *id,
                         struct store_session *ret_session, struct err *err)
{
    enum store_found found = STORE_NONE;

    if (!store_session_find(core->c.store, sid, &found, ret_session, err))
        return false;
    if (found == STORE_NONE ||
        (strcmp(ret_session->a_id, id) != 0 && strcmp(ret_session->b_id, id) != 0))
        return err_set(err, ERR_NOT_FOUND, "no such session of yours");
    return true;
}

static bool close_now(struct den_core *core, const struct store_session *session, const char *by,
                      struct view source, struct view reason, struct err *err)
{
    _free_ char *text = view_dup_text(reason);
    char sid[RECORD_HEX];
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", record_hex(VIEW_ARR(session->sid), sid)),
        AUDIT_TEXT("from", session->a_id),
        AUDIT_TEXT("to", session->b_id),
        AUDIT_TEXT("state_before", session->state),
        AUDIT_TEXT("by", by),
        { "source", source },
        { "reason", reason },
    };

    if (!open_record_state(core, VIEW_ARR(session->sid), "closed", text, pairs, N_ELEMENTS(pairs),
                           err))
        return false;
    log_event(LOG_INFO, "session.closed", "sid=%s by=%s reason=%s", sid, by, log_quote(reason));
    open_remove_grant(core, VIEW_ARR(session->sid));
    if (strcmp(by, session->a_id) == 0 ||
        strcmp(by, session->b_id) == 0) /* closes its link itself */
        open_tell_ends(core, VIEW_ARR(session->sid), session->a_id, session->b_id, reason);
    else
        open_end_ends(core, VIEW_ARR(session->sid), session->a_id, session->b_id, reason);
    return true;
}

static void answer_closed(struct den_core *core, uint64_t inv)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 0);
    core_yield(core, inv, buf_view(&args));
}

/* Of an end, or of an administrator; what is over stays over. */
static bool close_it(struct den_core *core, const struct store_session *session, const char *by,
                     struct view source, struct view reason, struct err *err)
{
    struct open *open = find_open(core, VIEW_ARR(session->sid));
    struct err canceled = { 0 };

    if (open) { /* still ringing: its caller gets an answer too */
        err_set(&canceled, ERR_CANCELED, "closed before it was answered");
        open_fail(open, "closed", &canceled);
        return true;
    }
    if (strcmp(session->state, "offered") != 0 && strcmp(session->state, "accepted") != 0)
        return true;
    return close_now(core, session, by, source, reason, err);
}

/* That it was an administrator who ended what was still ringing. */
static bool note_cancel(struct den_core *core, struct view sid, const struct deed *deed,
                        struct view reason, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    char hex[RECORD_HEX];
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", record_hex(sid, hex)),
        AUDIT_TEXT("state_before", "offered"),
        { "reason", reason },
        DEED_PAIRS(deed),
    };

    return store_begin(open, err) &&
           audit_append(open, deed->at, "session.canceled", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

bool close_by_admin(struct den_core *core, struct view sid, const struct deed *deed,
                    struct view reason, struct err *err)
{
    enum store_found found = STORE_NONE;
    struct store_session session;

    if (!store_session_find(core->c.store, sid, &found, &session, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no such session");
    if (find_open(core, sid) && !note_cancel(core, sid, deed, reason, err))
        return false;
    return close_it(core, &session, deed->by, view_text(deed->source), reason, err);
}

bool close_session(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                   struct err *err)
{
    struct request request;
    struct store_session session;
    struct view sid = { 0 }, reason = { 0 };

    if (!request_open(core, inv, args, "den.session.close", 256, N_RATES, &request, err) ||
        !read_close(request.body, &sid, &reason, err) ||
        !find_session(core, sid, request.who.id, &session, err) ||
        !close_it(core, &session, request.who.id, inv->invocation->source, reason, err))
        return err_wrap(err, "close");
    answer_closed(core, inv->number);
    return true;
}
