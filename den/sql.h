/* SPDX-License-Identifier: Apache-2.0 */
/* The store's way with SQLite: every statement is a row of one table, prepared when it is first used; a row that comes back is
 * read column by column. Inside the store alone. */
#pragma once

#include "den/store.h"

#include <sqlite3.h>

#define IDENTITY                                                                                   \
    "id, pk, role, adm_no, created_at, revoked_at, kind, ended, groups, host, expires_at,"         \
    " vanish_after, seen_at, rekey_no"
#define TOKEN                                                                                      \
    "pk, role, groups, label, uses, uses_left, n_used, created_at, expires_at, is_approved,"       \
    " device_life, vanish_after, for_id, \"by\", revoked_at"
#define WAITING "pk, code, host, source, network, token_pk, first_at, last_at, answer, role, groups"
#define NAME    "name, skeleton, id, name_no, is_assigned, claimed_at, released_at"
#define REKEY   "id, rekey_no, old_pk, new_pk, statement, sig, new_sig"
#define SESSION                                                                                    \
    "sid, a_id, b_id, caps, state, reason, opened_at, closed_at, path, a_sent, b_sent, ends_at,"   \
    " caps_back, caps_accepted"
#define CERTIFICATE                                                                                \
    "no, serial, der, id, spki, reserved_at, not_before, not_after, revoked_at, reason"
#define CERTIFICATE_SET_REVOKED                                                                    \
    "UPDATE certificate SET revoked_at = ?, reason = ?, revoked_by = ? WHERE revoked_by IS NULL"
#define SQLS(X)                                                                                    \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(LOOK, "BEGIN DEFERRED")                                                                      \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(IDENTITY_BY_KEY, "SELECT " IDENTITY " FROM identity WHERE pk = ?")                           \
    X(IDENTITY_BY_ID, "SELECT " IDENTITY " FROM identity WHERE id = ?")                            \
    X(IDENTITY_ADD,                                                                                \
      "INSERT INTO identity (id, pk, role, adm_no, created_at, kind, groups, host,"                \
      " expires_at, vanish_after, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")              \
    X(IDENTITY_SET, "UPDATE identity SET role = ?, kind = ?, ended = ?, groups = ?, host = ?,"     \
                    " expires_at = ?, vanish_after = ?, seen_at = ? WHERE id = ?")                 \
    X(IDENTITY_SET_KEY, "UPDATE identity SET pk = ?, rekey_no = ? WHERE id = ?")                   \
    X(IDENTITY_UNREVOKE, "UPDATE identity SET revoked_at = NULL WHERE id = ?")                     \
    X(IDENTITY_DROP, "DELETE FROM identity WHERE id = ?")                                          \
    X(IDENTITY_EACH, "SELECT " IDENTITY " FROM identity ORDER BY length(id), id")                  \
    X(IDENTITY_AFTER, "SELECT " IDENTITY " FROM identity WHERE id > ? ORDER BY id")                \
    X(IDENTITY_EACH_PASSING, "SELECT " IDENTITY " FROM identity WHERE kind <> 'committed'"         \
                             " AND ended = '' AND revoked_at IS NULL ORDER BY kind, seen_at")      \
    X(IDENTITY_SET_ADM_NO, "UPDATE identity SET adm_no = ? WHERE id = ?")                          \
    X(IDENTITY_REVOKE, "UPDATE identity SET revoked_at = coalesce(revoked_at, ?)"                  \
                       " WHERE id = ? AND pk = ?")                                                 \
    X(IDENTITY_COUNT, "SELECT count(*) FROM identity")                                             \
    X(IDENTITY_COUNT_OF, "SELECT n FROM identity_count WHERE digits = ?")                          \
    X(TOKEN_ADD, "INSERT INTO token (" TOKEN ")"                                                   \
                 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                          \
    X(TOKEN_FIND, "SELECT " TOKEN " FROM token WHERE pk = ?")                                      \
    X(TOKEN_EACH, "SELECT " TOKEN " FROM token ORDER BY created_at DESC, pk")                      \
    X(TOKEN_BEFORE, "SELECT " TOKEN " FROM token WHERE (created_at, pk) < (?, ?)"                  \
                    " ORDER BY created_at DESC, pk DESC")                                          \
    X(TOKEN_REVOKE, "UPDATE token SET revoked_at = iif(revoked_at, revoked_at, ?) WHERE pk = ?")   \
    X(TOKEN_OPEN_FOR, "SELECT " TOKEN " FROM token WHERE for_id = ? AND revoked_at = 0"            \
                      " AND (uses = 0 OR uses_left > 0) LIMIT 1")                                  \
    X(TOKEN_WAS_USED, "SELECT at FROM token_use WHERE token_pk = ? AND identity_pk = ?")           \
    X(TOKEN_COUNT_DOWN, "UPDATE token SET uses_left = max(uses_left - 1, 0), n_used = n_used + 1"  \
                        " WHERE pk = ? AND (uses = 0 OR uses_left > 0) AND revoked_at = 0")        \
    X(TOKEN_NOTE_USE, "INSERT INTO token_use (token_pk, identity_pk, at) VALUES (?, ?, ?)")        \
    X(WAITING_FIND, "SELECT " WAITING " FROM waiting WHERE pk = ?")                                \
    X(WAITING_EACH, "SELECT " WAITING " FROM waiting ORDER BY first_at, pk")                       \
    X(WAITING_AFTER, "SELECT " WAITING " FROM waiting WHERE (first_at, pk) > (?, ?)"               \
                     " ORDER BY first_at, pk")                                                     \
    X(WAITING_PUT, "INSERT OR REPLACE INTO waiting (" WAITING ")"                                  \
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                    \
    X(WAITING_DROP, "DELETE FROM waiting WHERE pk = ?")                                            \
    X(WAITING_DROP_OLD, "DELETE FROM waiting WHERE last_at < ?")                                   \
    X(WAITING_DROP_TOKEN, "DELETE FROM waiting WHERE token_pk = ? AND answer <> 'denied'")         \
    X(WAITING_COUNT, "SELECT count(*) FROM waiting")                                               \
    X(WAITING_COUNT_NETWORK, "SELECT count(*) FROM waiting WHERE network = ?")                     \
    X(NAME_FIND, "SELECT " NAME " FROM name WHERE name = ?")                                       \
    X(NAME_BY_SKELETON, "SELECT " NAME " FROM name WHERE skeleton = ?")                            \
    X(NAME_ADD, "INSERT INTO name (" NAME ") VALUES (?, ?, ?, ?, ?, ?, ?)")                        \
    X(NAME_SET, "UPDATE name SET id = ?, name_no = ?, is_assigned = ?, claimed_at = ?,"            \
                " released_at = ? WHERE name = ?")                                                 \
    X(NAME_COUNT, "SELECT count(*) FROM name WHERE id = ? AND is_assigned = 0"                     \
                  " AND (released_at = 0 OR released_at >= ?)")                                    \
    X(NAME_EACH, "SELECT " NAME " FROM name ORDER BY name")                                        \
    X(NAME_AFTER, "SELECT " NAME " FROM name WHERE name > ? ORDER BY name")                        \
    X(NAME_EACH_OF, "SELECT " NAME " FROM name WHERE id = ? ORDER BY name")                        \
    X(REKEY_ADD, "INSERT INTO rekey (" REKEY ") VALUES (?, ?, ?, ?, ?, ?, ?)")                     \
    X(REKEY_SIGN, "UPDATE rekey SET new_sig = ? WHERE id = ? AND rekey_no = ?")                    \
    X(REKEY_BY_OLD, "SELECT " REKEY " FROM rekey WHERE old_pk = ?")                                \
    X(REKEY_FIND, "SELECT " REKEY " FROM rekey WHERE id = ? AND rekey_no = ?")                     \
    X(REKEY_BY_DEN, "SELECT " REKEY " FROM rekey ORDER BY id, rekey_no LIMIT 1 OFFSET ?")          \
    X(REKEY_RESIGN, "UPDATE rekey SET sig = ? WHERE id = ? AND rekey_no = ?")                      \
    X(IDENTITY_ACKNOWLEDGE, "UPDATE identity SET manifest_no = max(manifest_no, ?),"               \
                            " manifest_at = ? WHERE id = ?")                                       \
    X(IDENTITY_BEHIND,                                                                             \
      "SELECT count(*), coalesce(sum(manifest_no >= ?1), 0),"                                      \
      " coalesce(sum(manifest_no < ?1 AND max(seen_at, manifest_at) >= ?2), 0),"                   \
      " coalesce(min(CASE WHEN manifest_no < ?1 THEN max(seen_at, manifest_at, created_at) END),"  \
      " 0) FROM identity WHERE revoked_at IS NULL AND ended = ''"                                  \
      " AND (expires_at = 0 OR expires_at > ?3)")                                                  \
    X(IDENTITY_EACH_BEHIND,                                                                        \
      "SELECT id, host, manifest_no, max(seen_at, manifest_at, created_at) FROM identity"          \
      " WHERE revoked_at IS NULL AND ended = '' AND (expires_at = 0 OR expires_at > ?2)"           \
      " AND manifest_no < ?1 ORDER BY 4 DESC")                                                     \
    X(REVOCATION_RESIGN, "UPDATE revocation SET sig = ? WHERE no = ? AND statement IS NOT NULL")   \
    X(SERIAL_RESERVE,                                                                              \
      "INSERT INTO certificate (serial, id, spki, reserved_at) VALUES (?, ?, ?, ?)")               \
    X(CERTIFICATE_PUT, "UPDATE certificate SET der = ?, not_before = ?, not_after = ?"             \
                       " WHERE serial = ? AND der IS NULL AND revoked_at IS NULL")                 \
    X(CERTIFICATE_BY_SPKI,                                                                         \
      "SELECT " CERTIFICATE " FROM certificate WHERE spki = ? ORDER BY no DESC LIMIT 1")           \
    X(CERTIFICATE_BY_SERIAL, "SELECT " CERTIFICATE " FROM certificate WHERE serial = ?")           \
    X(CERTIFICATE_EACH, "SELECT " CERTIFICATE " FROM certificate ORDER BY no")                     \
    X(CERTIFICATE_EACH_OF, "SELECT " CERTIFICATE " FROM certificate WHERE id = ? ORDER BY no")     \
    X(CERTIFICATE_AFTER, "SELECT " CERTIFICATE " FROM certificate WHERE no > ? ORDER BY no")       \
    X(CERTIFICATE_AFTER_OF,                                                                        \
      "SELECT " CERTIFICATE " FROM certificate WHERE no > ? AND id = ? ORDER BY no")               \
    X(CERTIFICATE_REVOKE, CERTIFICATE_SET_REVOKED " AND serial = ?")                               \
    X(CERTIFICATE_REVOKE_KEY, CERTIFICATE_SET_REVOKED " AND spki = ?")                             \
    X(CERTIFICATE_REVOKE_ID,                                                                       \
      CERTIFICATE_SET_REVOKED " AND id = ? AND (der IS NULL OR not_after >= ?)")                   \
    X(KEY_IS_REVOKED, "SELECT EXISTS (SELECT 1 FROM revocation WHERE kind = 2 AND subject = ?)"    \
                      " OR EXISTS (SELECT 1 FROM certificate WHERE spki = ?"                       \
                      " AND revoked_at IS NOT NULL)")                                              \
    X(REVOCATION_LAST, "SELECT no FROM revocation ORDER BY no DESC LIMIT 1")                       \
    X(REVOCATION_FIND, "SELECT no FROM revocation WHERE kind = ? AND id = ? AND subject = ?")      \
    X(REVOCATION_ADD, "INSERT INTO revocation (no, kind, id, subject, reason, at)"                 \
                      " VALUES (?, ?, ?, ?, ?, ?)")                                                \
    X(ADMISSION_IS_REVOKED, "SELECT EXISTS (SELECT 1 FROM revocation WHERE kind = 3"               \
                            " AND subject = ?) OR EXISTS (SELECT 1 FROM revocation"                \
                            " WHERE kind = 4 AND id = ? AND subject > ?)")                         \
    X(REVOCATION_SIGN, "UPDATE revocation SET statement = ?, sig = ?"                              \
                       " WHERE no = ? AND statement IS NULL")                                      \
    X(REVOCATION_EACH, "SELECT no, kind, id, subject, reason, at, statement, sig FROM revocation"  \
                       " WHERE no >= ? ORDER BY no")                                               \
    X(REVOKED_EACH, "SELECT serial, revoked_at, reason, not_after, revoked_by FROM certificate"    \
                    " WHERE revoked_by > ? AND not_after >= ? ORDER BY revoked_by")                \
    X(CERTIFICATE_LOST,                                                                            \
      "INSERT INTO certificate (serial, id, spki, reserved_at, not_after, revoked_at, reason,"     \
      " revoked_by) VALUES (?, ?, zeroblob(32), ?, ?, ?, ?, ?)")                                   \
    X(CERTIFICATE_UNMARK, "UPDATE certificate SET revoked_at = NULL, reason = 0,"                  \
                          " revoked_by = NULL WHERE revoked_by = ?")                               \
    X(REVOCATION_TAKE_BACK, "DELETE FROM revocation WHERE no = ? AND statement IS NULL")           \
    X(ADM_NOS_RAISE, "UPDATE identity SET adm_no = ? + adm_no % 4294967296")                       \
    X(NAME_NOS_RAISE, "UPDATE name SET name_no = ? + name_no % 4294967296")                        \
    X(TOKENS_END, "UPDATE token SET revoked_at = ? WHERE revoked_at = 0")                          \
    X(GUARD_GET, "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?")              \
    X(SESSION_ADD,                                                                                 \
      "INSERT INTO session (sid, a_id, b_id, caps, state, reason, opened_at, closed_at,"           \
      " caps_back) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")                                            \
    X(SESSION_FIND, "SELECT " SESSION " FROM session WHERE sid = ?")                               \
    X(SESSION_EACH_OPEN,                                                                           \
      "SELECT " SESSION " FROM session WHERE state IN ('offered', 'accepted') ORDER BY opened_at") \
    X(SESSION_BEFORE, "SELECT " SESSION ", rowid"                                                  \
                      " FROM session WHERE rowid < ? ORDER BY rowid DESC")                         \
    X(SESSION_SET_STATE, "UPDATE session SET state = ?, reason = ?, closed_at = ? WHERE sid = ?")  \
    X(SESSION_REPORT,                                                                              \
      "UPDATE session SET path = ?, a_sent = ?, b_sent = ?, ends_at = ?, caps_accepted = ?"        \
      " WHERE sid = ?")                                                                            \
    X(SEALED_GROUPS_SET, "INSERT OR REPLACE INTO sealed_groups (id, groups) VALUES (?, ?)")        \
    X(SEALED_GROUPS_EACH, "SELECT id, groups FROM sealed_groups")                                  \
    X(SESSION_MOVE, "UPDATE session SET state = ?, reason = ?, closed_at = 0 WHERE sid = ?")       \
    X(NUMBER_GET, "SELECT n FROM number WHERE name = ?")                                           \
    X(NUMBER_RAISE, "INSERT INTO number (name, n) VALUES (?, ?)"                                   \
                    " ON CONFLICT (name) DO UPDATE SET n = excluded.n WHERE excluded.n >= n")      \
    X(BLOB_DROP, "DELETE FROM blob WHERE name = ?")                                                \
    X(BLOB_GET, "SELECT bytes FROM blob WHERE name = ?")                                           \
    X(BLOB_SET, "INSERT INTO blob (name, bytes) VALUES (?, ?)"                                     \
                " ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes")                        \
    X(AUDIT_LAST, "SELECT no, at, bytes, head FROM audit ORDER BY no DESC LIMIT 1")                \
    X(AUDIT_ADD, "INSERT INTO audit (no, at, bytes, head) VALUES (?, ?, ?, ?)")                    \
    X(AUDIT_DROP, "DELETE FROM audit WHERE no <= ?")                                               \
    X(AUDIT_EACH, "SELECT no, at, bytes, head FROM audit WHERE no >= ? ORDER BY no")

enum sql {
#define X(name, text) SQL_##name,
    SQLS(X)
#undef X
        N_SQLS
};

struct store {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[N_SQLS];
    struct err sick;             /* code ERR_NONE: it is not */
    struct store_anchor pending; /* the newest audit entry, until it stands in the anchor */
    bool has_pending, is_pending_committed;
    bool is_looking; /* store_look(): a transaction that reads alone */
    bool looks_by_turns;
    bool is_unsettled; /* its log may not be on the disk: store_settle.c */
    bool is_full;      /* there was no room for the last change */
    int anchor_fd;     /* -1: not open */
    bool is_anchor_writable;
};

/* store_certificate.c: marks the certificates that come under revocation `no`. */
bool sql_mark_revoked(struct store *s, const struct store_revocation *r, uint64_t no,
                      struct err *err);
/* store_anchor.c: writes what is pending, if it is newer than what stands there. */
bool sql_keep_anchor(struct store *s, struct err *err);

/* ---- store_settle.c: in the transaction of whoever writes first */
bool sql_settle(struct store *s, struct err *err);
/* Before a store is opened; and whether SQLite found its log as somebody left it who did not close it. */
void sql_hear_of_recovery(void);
bool sql_has_recovered(void);

enum arg_type { ARG_NUMBER, ARG_TEXT, ARG_BLOB };
struct arg {
    enum arg_type type;
    uint64_t n;
    struct view bytes;
};
#define NUMBER(x)                                                                                  \
    {                                                                                              \
        ARG_NUMBER, (x),                                                                           \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
#define TEXT(x)                                                                                    \
    {                                                                                              \
        ARG_TEXT, 0, view_text(x)                                                                  \
    }
#define TEXT_OF(x)                                                                                 \
    {                                                                                              \
        ARG_TEXT, 0, (x)                                                                           \
    }
#define BLOB(x)                                                                                    \
    {                                                                                              \
        ARG_BLOB, 0, (x)                                                                           \
    }
#define ARGS(...)                                                                                  \
    (const struct arg[]){ __VA_ARGS__ }, N_ELEMENTS(((const struct arg[]){ __VA_ARGS__ }))
#define NO_ARGS NULL, 0

/* A row being read, column by column; one that is not of the promised shape sticks as damaged. */
struct row {
    sqlite3_stmt *statement; /* NULL: there is no row */
    int column;
    bool is_damaged;
};

#define _row_ _cleanup_(row_reset) struct row

bool sql_err(struct store *store, struct err *err);
void row_reset(struct row *row);
struct view row_view(struct row *row);
void row_bytes(struct row *row, uint8_t *to, size_t size);
void row_text(struct row *row, char *to, size_t size);
uint64_t row_number(struct row *row);
bool row_is_set(struct row *row);
bool row_end(struct store *store, const struct row *row, struct err *err);
bool sql_next(struct store *store, struct row *row, bool *ret_is_row, struct err *err);
bool sql_start(struct store *store, enum sql which, const struct arg *args, size_t n_args,
               struct row *row, struct err *err);
/* The one row that answers; row->statement is NULL when there is none. */
bool sql_ask(struct store *store, enum sql which, const struct arg *args, size_t n_args,
             struct row *row, enum store_found *ret, struct err *err);
bool sql_run(struct store *store, enum sql which, struct err *err);
/* Changes something; *ret_n is how many rows. Our own bug outside a transaction. */
bool sql_change(struct store *store, enum sql which, const struct arg *args, size_t n_args,
                int *ret_n, struct err *err);
/* The same, where exactly one row must change. */
bool sql_change_one(struct store *store, enum sql which, const struct arg *args, size_t n_args,
                    const char *what, struct err *err);
