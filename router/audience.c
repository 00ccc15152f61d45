/* SPDX-License-Identifier: Apache-2.0 */
#include "router/audience.h"

static bool read_list(struct view array, const char *name, bool is_ids, struct audience_list *list,
                      struct err *err)
{
    struct rpc_fields f;

    list->n = 0;
    list->is_given = array.len != 0;
    if (!list->is_given)
        return true;
    rpc_fields_open(&f, array);
    for (; rpc_fields_more(&f); list->n++) {
        if (list->n == AUDIENCE_MAX)
            return err_set(err, ERR_LIMIT, "%s: more than %d", name, AUDIENCE_MAX);
        if (is_ids)
            list->id[list->n] = rpc_fields_id(&f, name);
        else
            list->text[list->n] = rpc_fields_text(&f, name, RPC_MAX_URI);
    }
    return rpc_fields_end(&f, err);
}

bool audience_read(const struct conn *publisher, const struct rpc_publish *ask,
                   struct audience *audience, struct err *err)
{
    audience->publisher = publisher;
    audience->includes_publisher = ask->include_me;
    audience->is_all = !ask->eligible.len && !ask->eligible_authid.len &&
                       !ask->eligible_authrole.len && !ask->exclude.len &&
                       !ask->exclude_authid.len && !ask->exclude_authrole.len;
    if (audience->is_all)
        return true;
    return read_list(ask->eligible, "eligible", true, &audience->eligible, err) &&
           read_list(ask->eligible_authid, "eligible_authid", false, &audience->eligible_authid,
                     err) &&
           read_list(ask->eligible_authrole, "eligible_authrole", false,
                     &audience->eligible_authrole, err) &&
           read_list(ask->exclude, "exclude", true, &audience->exclude, err) &&
           read_list(ask->exclude_authid, "exclude_authid", false, &audience->exclude_authid,
                     err) &&
           read_list(ask->exclude_authrole, "exclude_authrole", false, &audience->exclude_authrole,
                     err);
}

static bool has_text(const struct audience_list *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++) {
        if (view_eq_text(list->text[i], text))
            return true;
    }
    return false;
}

static bool has_id(const struct audience_list *list, uint64_t id)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->id[i] == id)
            return true;
    }
    return false;
}

static bool is_eligible(const struct audience *audience, const struct conn *conn)
{
    return (!audience->eligible.is_given || has_id(&audience->eligible, conn->session)) &&
           (!audience->eligible_authid.is_given ||
            has_text(&audience->eligible_authid, conn->id)) &&
           (!audience->eligible_authrole.is_given ||
            has_text(&audience->eligible_authrole, conn->authrole));
}

static bool is_excluded(const struct audience *audience, const struct conn *conn)
{
    return (audience->exclude.is_given && has_id(&audience->exclude, conn->session)) ||
           (audience->exclude_authid.is_given && has_text(&audience->exclude_authid, conn->id)) ||
           (audience->exclude_authrole.is_given &&
            has_text(&audience->exclude_authrole, conn->authrole));
}

bool audience_has(const struct audience *audience, const struct conn *conn)
{
    if (conn == audience->publisher && !audience->includes_publisher)
        return false;
    return audience->is_all || (is_eligible(audience, conn) && !is_excluded(audience, conn));
}
