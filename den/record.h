/* SPDX-License-Identifier: Apache-2.0 */
/* What every record of den needs: a transaction that rolls back by itself, and bytes as text
 * for the audit. */
#pragma once

#include "base/text.h"
#include "den/audit.h"
#include "den/store.h"

static inline void record_rollbackp(struct store **store)
{
    store_rollback(*store);
}
/* `_transaction_ struct store *open = store;` leaves no transaction open behind the scope. */
#define _transaction_ _cleanup_(record_rollbackp)

#define RECORD_HEX (2 * 32 + 1)
/* At most 32 bytes as lower-case hex into `to`; returns it. */
static inline const char *record_hex(struct view bytes, char to[RECORD_HEX])
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, view_sub(bytes, 0, 32));
    if (hex.len)
        memcpy(to, hex.data, hex.len);
    to[hex.len] = '\0';
    return to;
}

/* Five pairs about a session: `sid` is a char[RECORD_HEX] of the caller's, `x` a const struct store_session *. */
#define SESSION_PAIRS(x, sid, by_, source_)                                                        \
    AUDIT_TEXT("sid", record_hex(VIEW_ARR((x)->sid), sid)), AUDIT_TEXT("from", (x)->a_id),         \
        AUDIT_TEXT("to", (x)->b_id), AUDIT_TEXT("by", by_),                                        \
    {                                                                                              \
        "source", source_                                                                          \
    }
