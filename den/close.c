/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.close: either end, at any time. */
#include "den/open.h"

#include "base/log.h"
#include "den/deed.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BODY = 512 };

static struct open *find_open(struct den_core *core, struct view sid)
{
    struct open *open;

    LIST_EACH(open, &core->opens, node)
        if (open->is_granted && view_eq(open->d.sid, sid))
            return open;
    return NULL;
}

/* What an end says of a session that it closes. */
struct said {
    struct view sid, reason, path;
    uint64_t sent, received; /* bytes, by and at the one that says it */
};

static bool read_path(struct view body, struct view *ret_path, struct err *err)
{
    struct view path = { 0 };

    if (rpc_map_text(body, "path", &path) &&
        path.len >= sizeof(((struct store_session *)NULL)->path))
        return err_set(err, ERR_TOO_LARGE, "body: path: over 63 bytes");
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] < 0x20 || path.data[i] > 0x7e)
            return err_set(err, ERR_BAD_WIRE, "body: path: not printable");
    *ret_path = path;
    return true;
}

static bool read_close(struct view body, struct said *ret_said, struct err *err)
{
    struct said said = { 0 };

    if (!rpc_map_bin(body, "sid", &said.sid) || said.sid.len != RPC_SID)
        return err_set(err, ERR_BAD_WIRE, "body: sid: missing, or not %d bytes", RPC_SID);
    if (rpc_map_text(body, "reason", &said.reason) && said.reason.len > CORE_MAX_REASON)
        return err_set(err, ERR_TOO_LARGE, "body: reason: over %d bytes", CORE_MAX_REASON);
    if ((rpc_map_u64(body, "sent", &said.sent) && said.sent > INT64_MAX) ||
        (rpc_map_u64(body, "received", &said.received) && said.received > INT64_MAX))
        return err_set(err, ERR_BAD_WIRE, "body: sent, received: out of range");
    if (!read_path(body, &said.path, err))
        return false;
    *ret_said = said;
    return true;
}

bool close_find_session(struct den_core *core, struct view sid, const char *id,
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

static bool is_end(const struct store_session *session, const char *by)
{
    return strcmp(by, session->a_id) == 0 || strcmp(by, session->b_id) == 0;
}

static bool close_now(struct den_core *core, const struct store_session *session, const char *by,
                      struct view source, struct view reason, struct err *err)
{
    _free_ char *text = view_dup_text(reason);
    char sid[RECORD_HEX], a_sent[24], b_sent[24];

    snprintf(a_sent, sizeof(a_sent), "%" PRIu64, session->a_sent);
    snprintf(b_sent, sizeof(b_sent), "%" PRIu64, session->b_sent);
    const struct audit_pair pairs[] = {
        SESSION_PAIRS(session, sid, by, source),
        AUDIT_TEXT("state_before", session->state),
        { "reason", reason },
        AUDIT_TEXT("path", session->path),
        AUDIT_TEXT("sent_by_caller", a_sent),
        AUDIT_TEXT("sent_by_called", b_sent),
    };
    bool is_reported = session->path[0] != '\0';

    if (!open_record_state(core, VIEW_ARR(session->sid), "closed", text,
                           is_reported ? session : NULL, pairs,
                           N_ELEMENTS(pairs) - (is_reported ? 0 : 3), err))
        return false;
    log_event(LOG_INFO, "session.closed", "sid=%s by=%s reason=%s", sid, by, log_quote(reason));
    open_remove_grant(core, VIEW_ARR(session->sid));
    if (is_end(session, by)) /* closes its link itself */
        open_tell(core, VIEW_ARR(session->sid), session->a_id, session->b_id, reason, NULL);
    else
        untold_keep(core, VIEW_ARR(session->sid), session->a_id, session->b_id, reason);
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
        if (is_end(session, by))
            open_fail(open, "closed", &canceled);
        else
            open_close(open, &canceled, reason);
        return true;
    }
    if (!store_is_open_state(session->state))
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

/* It was over before: nothing changes, and who asked for it stands in the audit all the same. */
static bool note_over(struct den_core *core, const struct store_session *session,
                      const struct deed *deed, struct view reason, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    char sid[RECORD_HEX];
    const struct audit_pair pairs[] = {
        SESSION_PAIRS(session, sid, deed->by, view_text(deed->source)),
        AUDIT_TEXT("state_before", session->state),
        AUDIT_TEXT("state", session->state),
        { "reason", reason },
    };

    return store_begin(open, err) &&
           audit_append(open, deed->at, "session.closed", pairs, N_ELEMENTS(pairs), err) &&
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
    if (!find_open(core, sid) && !store_is_open_state(session.state)) {
        if (!note_over(core, &session, deed, reason, err))
            return false;
        untold_keep(core, sid, session.a_id, session.b_id, reason); /* whatever they think */
        return true;
    }
    if (find_open(core, sid) && !note_cancel(core, sid, deed, reason, err))
        return false;
    return close_it(core, &session, deed->by, view_text(deed->source), reason, err);
}

static void take_report(struct store_session *session, const struct said *said, const char *by)
{
    bool is_caller = strcmp(session->a_id, by) == 0;

    snprintf(session->path, sizeof(session->path), "%.*s", VIEW_FMT(said->path));
    session->a_sent = is_caller ? said->sent : said->received;
    session->b_sent = is_caller ? said->received : said->sent;
}

/* Den or an administrator ended it: what it came to, its ends alone know. The first that tells is believed, as whoever closes one is. */
static bool lacks_report(const struct den_core *core, const struct store_session *session,
                         const struct said *said)
{
    return strcmp(session->state, "closed") == 0 && *session->caps_accepted && !session->a_sent &&
           !session->b_sent && (said->sent || said->received) &&
           core_wall(core) <= session->closed_at + CLOSE_LATE_MS;
}

static bool note_report(struct den_core *core, const struct store_session *session, const char *by,
                        struct view source, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    char sid[RECORD_HEX], a_sent[24], b_sent[24];

    snprintf(a_sent, sizeof(a_sent), "%" PRIu64, session->a_sent);
    snprintf(b_sent, sizeof(b_sent), "%" PRIu64, session->b_sent);
    const struct audit_pair pairs[] = {
        SESSION_PAIRS(session, sid, by, source),
        AUDIT_TEXT("path", session->path),
        AUDIT_TEXT("sent_by_caller", a_sent),
        AUDIT_TEXT("sent_by_called", b_sent),
    };

    return store_begin(open, err) && store_session_report(open, session, err) &&
           audit_append(open, core_wall(core), "session.reported", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

bool close_session(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                   struct err *err)
{
    struct store_session session;
    struct request request;
    struct said said = { 0 };

    if (!request_open(core, inv, args, "den.session.close", MAX_BODY, N_RATES, &request, err) ||
        !read_close(request.body, &said, err) ||
        !close_find_session(core, said.sid, request.who.id, &session, err))
        return err_wrap(err, "close");
    bool is_late = lacks_report(core, &session, &said);
    take_report(&session, &said, request.who.id);
    if (!(is_late ? note_report(core, &session, request.who.id, inv->invocation->source, err)
                  : close_it(core, &session, request.who.id, inv->invocation->source, said.reason,
                             err)))
        return err_wrap(err, "close");
    answer_closed(core, inv->number);
    return true;
}
