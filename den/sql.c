/* SPDX-License-Identifier: Apache-2.0 */
#include "den/sql.h"

#include "base/log.h"

#include <stdio.h>

static const char *const sql_texts[] = {
#define X(name, text) text,
    SQLS(X)
#undef X
};

/* After that nobody knows what is on the disk: the kernel drops what it could not write, and says so
 * once. */
static void note_sickness(struct store *store)
{
    int code = sqlite3_extended_errcode(store->db);

    if ((code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC) || store_sickness(store))
        return;
    err_set(
        &store->sick, ERR_SYSTEM,
        "%s: the disk did not keep what was written (fsync failed); nothing is signed any more: "
        "see to the disk, then restart warren-den",
        store->path);
    log_event(LOG_ERROR, "store.sick", "cause=%s", log_quote_text(store->sick.text));
}

bool sql_err(struct store *store, struct err *err)
{
    note_sickness(store);
    if (sqlite3_extended_errcode(store->db) == SQLITE_FULL)
        store->is_full = true;
    switch (sqlite3_extended_errcode(store->db)) {
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_UNIQUE:
        return err_set(err, ERR_ALREADY_EXISTS, "%s: %s", store->path, sqlite3_errmsg(store->db));
    case SQLITE_BUSY:
    case SQLITE_BUSY_SNAPSHOT:
    case SQLITE_BUSY_RECOVERY:
    case SQLITE_BUSY_TIMEOUT:
        return err_set(err, ERR_BUSY, "%s: another process holds it", store->path);
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_TRIGGER:
    case SQLITE_CONSTRAINT_NOTNULL:
    case SQLITE_CONSTRAINT_FOREIGNKEY:
    case SQLITE_CONSTRAINT_DATATYPE:
    case SQLITE_MISUSE:
        return err_set(err, ERR_INTERNAL, "%s: %s", store->path, sqlite3_errmsg(store->db));
    default:
        return err_set(err, ERR_SYSTEM, "%s: %s", store->path, sqlite3_errmsg(store->db));
    }
}

void row_reset(struct row *row)
{
    if (row->statement) {
        sqlite3_reset(row->statement);
        sqlite3_clear_bindings(row->statement);
    }
    row->statement = NULL;
}

struct view row_view(struct row *row)
{
    const void *bytes = sqlite3_column_blob(row->statement, row->column);
    int len = sqlite3_column_bytes(row->statement, row->column++);

    return VIEW(bytes, (size_t)len);
}

void row_bytes(struct row *row, uint8_t *to, size_t size)
{
    struct view bytes = row_view(row);

    if (bytes.len == size)
        memcpy(to, bytes.data, size);
    else
        row->is_damaged = true;
}

void row_text(struct row *row, char *to, size_t size)
{
    struct view text = row_view(row);

    if (text.len < size && (!text.len || !memchr(text.data, '\0', text.len)))
        snprintf(to, size, "%.*s", VIEW_FMT(text));
    else
        row->is_damaged = true;
}

uint64_t row_number(struct row *row)
{
    sqlite3_int64 n = sqlite3_column_int64(row->statement, row->column++);

    row->is_damaged |= n < 0;
    return (uint64_t)n;
}

bool row_is_set(struct row *row)
{
    return sqlite3_column_type(row->statement, row->column++) != SQLITE_NULL;
}

bool row_end(struct store *store, const struct row *row, struct err *err)
{
    return !row->is_damaged ||
           err_set(err, ERR_SYSTEM, "%s: damaged: a value of the wrong size", store->path);
}

static bool bind_arg(sqlite3_stmt *statement, int at, const struct arg *arg)
{
    const char *bytes = arg->bytes.len ? (const char *)arg->bytes.data : "";
    sqlite3_uint64 len = arg->bytes.len;

    switch (arg->type) {
    case ARG_NUMBER: /* above 2^63 it turns negative, which the schema refuses */
        return sqlite3_bind_int64(statement, at, (sqlite3_int64)arg->n) == SQLITE_OK;
    case ARG_TEXT:
        return sqlite3_bind_text64(statement, at, bytes, len, SQLITE_STATIC, SQLITE_UTF8) ==
               SQLITE_OK;
    case ARG_BLOB:
        return sqlite3_bind_blob64(statement, at, bytes, len, SQLITE_STATIC) == SQLITE_OK;
    }
    abort();
}

bool sql_next(struct store *store, struct row *row, bool *ret_is_row, struct err *err)
{
    int rc = sqlite3_step(row->statement);

    row->column = 0;
    *ret_is_row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE || sql_err(store, err);
}

bool sql_start(struct store *store, enum sql which, const struct arg *args, size_t n_args,
               struct row *row, struct err *err)
{
    sqlite3_stmt **statement = &store->statements[which];

    if (!*statement && sqlite3_prepare_v3(store->db, sql_texts[which], -1,
                                          SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return sql_err(store, err);
    row->statement = *statement;
    for (size_t i = 0; i < n_args; i++) {
        if (!bind_arg(*statement, (int)i + 1, &args[i]))
            return sql_err(store, err);
    }
    return true;
}

bool sql_ask(struct store *store, enum sql which, const struct arg *args, size_t n_args,
             struct row *row, enum store_found *ret, struct err *err)
{
    bool is_row;

    if (store->looks_by_turns)
        store_look(store);
    if (!sql_start(store, which, args, n_args, row, err) || !sql_next(store, row, &is_row, err))
        return false;
    *ret = is_row ? STORE_FOUND : STORE_NONE;
    return true;
}

bool sql_run(struct store *store, enum sql which, struct err *err)
{
    _row_ row = { 0 };
    bool is_row;

    return sql_start(store, which, NO_ARGS, &row, err) && sql_next(store, &row, &is_row, err);
}

bool sql_change(struct store *store, enum sql which, const struct arg *args, size_t n_args,
                int *ret_n, struct err *err)
{
    _row_ row = { 0 };
    bool is_row;

    if (store->is_looking || sqlite3_get_autocommit(store->db))
        return err_set(err, ERR_INTERNAL, "%s: a change outside of a transaction", store->path);
    if (!sql_start(store, which, args, n_args, &row, err) || !sql_next(store, &row, &is_row, err))
        return false;
    *ret_n = sqlite3_changes(store->db);
    return true;
}

bool sql_change_one(struct store *store, enum sql which, const struct arg *args, size_t n_args,
                    const char *what, struct err *err)
{
    int n = 0;

    if (!sql_change(store, which, args, n_args, &n, err))
        return false;
    return n == 1 || err_set(err, ERR_NOT_FOUND, "%s: no such %s", store->path, what);
}
