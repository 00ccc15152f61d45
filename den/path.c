/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.path: over which path a session goes, and why over no better one, as one of its ends signs it. It is worth what that end's
 * word is worth: it stands in the audit under its ID, and decides nothing. */
#include "den/open.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MAX_BODY = 512,
    MAX_CODE = 24,
    MAX_WHY = 159,
};

struct said {
    struct view sid, path, code, why;
    uint64_t rtt_us;
};

static bool read_text(struct view body, const char *key, size_t most, struct view *ret,
                      struct err *err)
{
    struct view text = { 0 };

    if (!rpc_map_text(body, key, &text) || text.len > most)
        return err_set(err, ERR_BAD_WIRE, "body: %s: missing, or over %zu bytes", key, most);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return err_set(err, ERR_BAD_WIRE, "body: %s: not printable", key);
    *ret = text;
    return true;
}

static bool read_said(struct view body, struct said *ret_said, struct err *err)
{
    struct said said = { 0 };

    if (!rpc_map_bin(body, "sid", &said.sid) || said.sid.len != RPC_SID)
        return err_set(err, ERR_BAD_WIRE, "body: sid: missing, or not %d bytes", RPC_SID);
    if (!read_text(body, "path", sizeof(((struct store_session *)NULL)->path) - 1, &said.path,
                   err) ||
        !read_text(body, "code", MAX_CODE, &said.code, err) ||
        !read_text(body, "why", MAX_WHY, &said.why, err))
        return false;
    if (rpc_map_u64(body, "rtt_us", &said.rtt_us) && said.rtt_us > INT64_MAX)
        return err_set(err, ERR_BAD_WIRE, "body: rtt_us: out of range");
    *ret_said = said;
    return true;
}

static bool is_closed(const struct store_session *session)
{
    return strcmp(session->state, "closed") == 0;
}

/* It is up, or was until just now. */
static bool is_late(const struct den_core *core, const struct store_session *session)
{
    return is_closed(session) ? core_wall(core) > session->closed_at + CLOSE_LATE_MS
                              : strcmp(session->state, "accepted") != 0;
}

static bool record(struct den_core *core, const struct store_session *session,
                   const struct said *said, const char *by, struct view source, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    char sid[RECORD_HEX], rtt[24];

    snprintf(rtt, sizeof(rtt), "%" PRIu64, said->rtt_us);
    const struct audit_pair pairs[] = {
        SESSION_PAIRS(session, sid, by, source),
        { "path", said->path },
        { "code", said->code },
        { "why", said->why },
        AUDIT_TEXT("rtt_us", rtt),
    };

    return store_begin(store, err) &&
           (is_closed(session) || store_session_report(store, session, err)) &&
           audit_append(store, core_wall(core), "session.path", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(store, err);
}

bool path_told(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
               struct err *err)
{
    struct store_session session;
    struct request request;
    struct said said = { 0 };
    _buf_ answer = { 0 };

    if (!request_open(core, inv, args, "den.session.path", MAX_BODY, RATE_PATH, &request, err) ||
        !read_said(request.body, &said, err) ||
        !close_find_session(core, said.sid, request.who.id, &session, err))
        return err_wrap(err, "path");
    if (is_late(core, &session))
        return err_set(err, ERR_NOT_FOUND, "path: the session is not up");
    snprintf(session.path, sizeof(session.path), "%.*s", VIEW_FMT(said.path));
    if (!record(core, &session, &said, request.who.id, inv->invocation->source, err))
        return err_wrap(err, "path");
    rpc_put_array(&answer, 0);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
