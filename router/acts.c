/* SPDX-License-Identifier: Apache-2.0 */
#include "router/acts.h"

#include "rpc/rpc.h"

enum { MAX_WORD = 64, MAX_TEXT = 1024 };

void acts_put(struct buf *to, const struct acts_record *record)
{
    rpc_put_array(to, 9);
    rpc_put_u64(to, record->is_told);
    rpc_put_text(to, record->id);
    rpc_put_text(to, record->role);
    rpc_put_text(to, record->verb);
    rpc_put_text(to, record->text);
    rpc_put_text(to, record->address);
    rpc_put_u64(to, record->n);
    rpc_put_u64(to, record->first_at);
    rpc_put_u64(to, record->last_at);
}

bool acts_take(struct view *rest, struct acts_record *ret_record)
{
    struct acts_record r = { 0 };
    struct rpc_fields f;
    struct err unused = { 0 };
    size_t len;

    if (!rest->len || !rpc_walk(*rest, &len, &unused))
        return false;
    rpc_fields_open(&f, view_sub(*rest, 0, len));
    r.is_told = rpc_fields_u64(&f, "told") != 0;
    r.id = rpc_fields_text(&f, "id", MAX_WORD);
    r.role = rpc_fields_text(&f, "role", MAX_WORD);
    r.verb = rpc_fields_text(&f, "verb", MAX_WORD);
    r.text = rpc_fields_text(&f, "text", MAX_TEXT);
    r.address = rpc_fields_text(&f, "address", MAX_WORD);
    r.n = rpc_fields_u64(&f, "n");
    r.first_at = rpc_fields_u64(&f, "first");
    r.last_at = rpc_fields_u64(&f, "last");
    if (!rpc_fields_end(&f, &unused))
        return false;
    *rest = view_sub(*rest, len, rest->len);
    *ret_record = r;
    return true;
}
