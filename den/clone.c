/* SPDX-License-Identifier: Apache-2.0 */
/* The router noticed one identity key in two processes: that is for the audit, with both addresses. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <stdio.h>

enum { MAX_ADDRESS = 64 };

struct noticed {
    char id[STORE_ID], address[MAX_ADDRESS], other[MAX_ADDRESS];
};

static void copy(struct view text, char *to, size_t size)
{
    snprintf(to, size, "%.*s", VIEW_FMT(text));
}

static bool read_noticed(struct rpc_payload payload, struct noticed *ret, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view id = rpc_fields_text(&f, "id", sizeof(ret->id) - 1);
    struct view address = rpc_fields_text(&f, "address", sizeof(ret->address) - 1);
    struct view other = rpc_fields_text(&f, "other address", sizeof(ret->other) - 1);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return err_wrap(err, "network.peer.on_clone");
    copy(id, ret->id, sizeof(ret->id));
    copy(address, ret->address, sizeof(ret->address));
    copy(other, ret->other, sizeof(ret->other));
    return true;
}

static bool audit(struct den_core *core, const struct noticed *n, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", n->id),
        AUDIT_TEXT("address", n->address),
        AUDIT_TEXT("other_address", n->other),
    };

    return store_begin(open, err) &&
           audit_append(open, core_wall(core), "identity.cloned", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

void den_core_on_clone(struct den_core *core, struct rpc_payload payload)
{
    struct noticed n;
    struct err err = { 0 };

    if (!read_noticed(payload, &n, &err)) {
        log_event(LOG_WARN, "clone.unread", "cause=%s", log_quote_text(err.text));
        return;
    }
    if (!core_take(core, RATE_CLONE, view_text(n.id)))
        return;
    if (!audit(core, &n, &err))
        log_event(LOG_ERROR, "clone.not_audited", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
    log_event(LOG_WARN, "clone", "id=%s address=%s other_address=%s", log_quote_text(n.id),
              log_quote_text(n.address), log_quote_text(n.other));
}
