/* SPDX-License-Identifier: Apache-2.0 */
#include "den/restored.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

#define NOTE   "restored"
#define WHAT   "store.restored"
#define BESIDE "backup_beside_den"

struct head {
    char no[24], hash[2 * HASH_SIZE + 1];
};

static struct head head_text(uint64_t no, const uint8_t head[HASH_SIZE])
{
    _buf_ hex = { 0 };
    struct head h;

    text_put_hex(&hex, VIEW(head, HASH_SIZE));
    snprintf(h.no, sizeof(h.no), "%" PRIu64, no);
    snprintf(h.hash, sizeof(h.hash), "%s", buf_cstr(&hex));
    return h;
}

bool restored_note_backup(struct store *store, bool has_den, struct err *err)
{
    return store_blob_set(store, BESIDE, view_text(has_den ? "yes" : "no"), err);
}

bool restored_note(struct store *store, const struct restored *what, struct err *err)
{
    struct head own, replaced = { 0 };
    uint8_t head[HASH_SIZE];
    char at[CLOCK_TEXT];
    _buf_ note = { 0 }, beside = { 0 };
    enum store_found found;
    uint64_t no;

    if (!audit_head(store, &no, head, err) || !store_blob_get(store, BESIDE, &found, &beside, err))
        return false;
    own = head_text(no, head);
    if (what->replaced)
        replaced = head_text(what->replaced->no, what->replaced->head);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("restored_at", clock_text(what->deed->at, at)),
        AUDIT_TEXT("file", what->file),
        AUDIT_TEXT("backup_audit_no", own.no),
        AUDIT_TEXT("backup_audit_head", own.hash),
        { BESIDE, buf_view(&beside) },
        AUDIT_TEXT("replaced_audit_no", replaced.no),
        AUDIT_TEXT("replaced_audit_head", replaced.hash),
        DEED_PAIRS(what->deed),
    };
    audit_put(&note, WHAT, pairs, N_ELEMENTS(pairs));
    return store_blob_set(store, NOTE, buf_view(&note), err);
}

static bool read_note(struct store *store, struct buf *ret_note, struct err *err)
{
    enum store_found found;

    return store_blob_get(store, NOTE, &found, ret_note, err);
}

/* A note of an older version is the time alone. */
bool restored_find(struct store *store, struct buf *ret_at, struct err *err)
{
    _buf_ note = { 0 };

    if (!read_note(store, &note, err))
        return false;
    if (!audit_find(buf_view(&note), "restored_at", ret_at))
        buf_put(ret_at, buf_view(&note));
    return true;
}

bool restored_had_den(struct store *store, bool *ret_had, struct err *err)
{
    _buf_ note = { 0 }, beside = { 0 };

    if (!read_note(store, &note, err))
        return false;
    *ret_had =
        audit_find(buf_view(&note), BESIDE, &beside) && view_eq_text(buf_view(&beside), "yes");
    return true;
}

bool restored_settle(struct store *store, uint64_t now, struct err *err)
{
    _buf_ note = { 0 }, entry = { 0 };

    if (!read_note(store, &note, err))
        return false;
    if (!note.len)
        return true;
    if (!view_starts(buf_view(&note), VIEW_LIT("what=" WHAT "\n"))) {
        const struct audit_pair pair = { "restored_at", buf_view(&note) };
        audit_put(&entry, WHAT, &pair, 1);
    } else {
        buf_put(&entry, buf_view(&note));
    }
    return audit_append_bytes(store, now, buf_view(&entry), err) &&
           store_blob_set(store, NOTE, VIEW_LIT(""), err);
}

bool restored_check_settled(struct store *store, struct err *err)
{
    struct store_anchor anchor = { 0 };
    enum store_found is_there;
    bool is_known = true;
    _buf_ restored_at = { 0 };

    if (!restored_find(store, &restored_at, err) || !store_anchor(store, &is_there, &anchor, err) ||
        (is_there == STORE_FOUND &&
         !audit_knows(store, anchor.no, anchor.head, &is_known, NULL, err)))
        return false;
    if (!restored_at.len && is_known)
        return true;
    err_set(
        err, ERR_STALE,
        "den.db was put back to an older state, and den has not gone on with it yet: what is done "
        "now would not hold");
    return err_advise(err, "start den first, with --accept-rollback if it asks for that "
                           "(warren-den(8), RESTORING)");
}
