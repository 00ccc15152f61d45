/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.turn: which TURN servers there are, for everybody; and, signed, for one of the two ends of a session that was granted and
 * goes on, a credential for them. Whoever has one relays at the operator's expense: each that is given outside of a grant's own
 * messages stands in the audit. */
#include "den/open.h"
#include "den/turn.h"

#include "base/clock.h"

enum { MAX_BODY = 64 };

static bool tell_servers(struct den_core *core, const struct rpc_inv *inv, struct err *err)
{
    struct store_identity who;
    uint8_t key[RATE_KEY];
    _buf_ answer = { 0 };

    if (!request_caller(core, inv, &who, err))
        return false;
    if (!core_take(core, RATE_TURN, core_caller(inv, key)))
        return err_set(err, ERR_LIMIT, "too often: wait a minute");
    rpc_put_array(&answer, 1);
    turn_put_servers(core->c.turn, &answer);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

/* Rings or is up: there is a grant. */
static bool find_granted(struct den_core *core, struct view body, const char *id,
                         struct store_session *ret_session, struct err *err)
{
    struct view sid = { 0 };

    if (!rpc_map_bin(body, "sid", &sid) || sid.len != RPC_SID)
        return err_set(err, ERR_BAD_WIRE, "body: sid: missing, or not %d bytes", RPC_SID);
    if (!close_find_session(core, sid, id, ret_session, err))
        return false;
    return store_is_open_state(ret_session->state) ||
           err_set(err, ERR_NOT_FOUND, "the session is over");
}

static bool record(struct den_core *core, const struct store_session *session, const char *by,
                   struct view source, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    char sid[RECORD_HEX], until[CLOCK_TEXT];
    const struct audit_pair pairs[] = {
        SESSION_PAIRS(session, sid, by, source),
        AUDIT_TEXT("until", clock_text(core_wall(core) + TURN_CREDENTIAL_MS, until)),
    };

    return store_begin(store, err) &&
           audit_append(store, core_wall(core), "session.turn", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(store, err);
}

static bool give_credential(struct den_core *core, const struct rpc_inv *inv,
                            struct rpc_fields *args, struct err *err)
{
    struct store_session session;
    struct request request;
    _buf_wipe_ answer = { 0 };

    if (!request_open(core, inv, args, "den.session.turn", MAX_BODY, RATE_TURN, &request, err) ||
        !find_granted(core, request.body, request.who.id, &session, err))
        return false;
    if (core->c.turn && !record(core, &session, request.who.id, inv->invocation->source, err))
        return false;
    rpc_put_array(&answer, 1);
    turn_put(core->c.turn, VIEW_ARR(session.sid), request.who.id, core_wall(core), &answer);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

bool turn_asked(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    if (rpc_fields_more(args))
        return give_credential(core, inv, args, err) || err_wrap(err, "turn");
    return rpc_fields_end(args, err) && tell_servers(core, inv, err);
}
