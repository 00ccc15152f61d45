/* SPDX-License-Identifier: Apache-2.0 */
#include "den/admin_asked.h"

#include "den/admin.h"
#include "den/record.h"

static bool close_session_for(void *user, struct view sid, const struct deed *deed,
                              struct view reason, struct err *err)
{
    return close_by_admin(user, sid, deed, reason, err);
}

static void put_status(void *user, struct admin_object *to)
{
    status_put(user, to);
}

static bool load_policy(void *user, struct view body, const struct deed *deed,
                        struct admin_object *to, struct err *err)
{
    return policy_load_asked(user, body, deed, to, err);
}

static bool act(struct den_core *core, const struct admin_row *row, const struct deed *deed,
                bool is_local, struct view body, struct buf *to, struct err *err)
{
    const struct admin_den den = { close_session_for, put_status, load_policy, core };
    const struct admin a = {
        .store = core->c.store,
        .trust = core->c.trust,
        .place = core->c.place,
        .den = &den,
        .is_local = is_local,
        .deed = *deed,
        .body = body,
    };

    if (row->kind == ADMIN_CHANGES)
        core->n_admin_acts++;
    return admin_run(row, &a, to, err);
}

bool admin_asked(struct den_core *core, const char *procedure, const struct rpc_inv *inv,
                 struct rpc_fields *args, struct err *err)
{
    const struct admin_row *row = admin_find(procedure);
    struct request request;
    _buf_wipe_ value = { 0 };
    _buf_wipe_ answer = { 0 };

    size_t max_body = row->max_body ? row->max_body : ADMIN_MAX_BODY;

    if (!request_open(core, inv, args, procedure, max_body, N_RATES, &request, err))
        return err_wrap(err, "administration");
    if (strcmp(request.who.role, "admin") != 0)
        return err_set(err, ERR_NOT_AUTHORIZED, "%s is no administrator", request.who.id);
    const struct deed deed = deed_of_id(request.who.id, inv->invocation->source, core_wall(core));
    if (!act(core, row, &deed, false, request.body, &value, err))
        return false;
    rpc_put_array(&answer, 1);
    buf_put(&answer, buf_view(&value));
    core_yield(core, inv->number,
               buf_view(&answer)); /* before its session ends, if it removed itself */
    if (row->kind == ADMIN_CHANGES)
        den_core_look(core);
    return true;
}

/* A refusal of an account of this machine stands in the audit too. */
static void audit_local(struct den_core *core, const char *procedure, const struct deed *deed,
                        const struct err *why)
{
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("procedure", procedure),
        DEED_PAIRS(deed),
        AUDIT_TEXT("code", err_code_name(why->code)),
        AUDIT_TEXT("cause", why->text),
    };

    core_audit_refusal(core, view_text(deed->by), "request.refused", pairs, N_ELEMENTS(pairs));
}

bool den_core_admin(struct den_core *core, const char *procedure, unsigned long uid,
                    struct view body, struct buf *ret_value, struct err *err)
{
    const struct admin_row *row = admin_find(procedure);
    const struct deed deed = deed_of_uid(uid, core_wall(core));
    size_t len;

    if (!row)
        return err_set(err, ERR_NO_SUCH_PROCEDURE, "den has no administrative procedure \"%.64s\"",
                       procedure);
    if (!rpc_walk(body, &len, err) || len != body.len || rpc_value_kind(body) != RPC_MAP ||
        rpc_map_has_duplicates(body))
        return err_set(err, ERR_INVALID_ARGUMENT, "body: expected one map");
    if (!act(core, row, &deed, true, body, ret_value, err)) {
        audit_local(core, procedure, &deed, err);
        return false;
    }
    if (row->kind == ADMIN_CHANGES)
        den_core_look(core);
    return true;
}
