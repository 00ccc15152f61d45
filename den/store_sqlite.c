/* SPDX-License-Identifier: Apache-2.0 */
/* store.h on SQLite. */
#include "base/file.h"
#include "den/sql.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { BUSY_FOR_MS = 5000 };

/* From nothing to version 1, from there to version 2, and so on: a new store takes the same way as an
 * old one, so that both have the same shape. */
static const char *const schemas[] = {
#include "den/schema.sql.inc"
    ,
#include "den/schema_3.sql.inc"
    ,
#include "den/schema_4.sql.inc"
    ,
#include "den/schema_5.sql.inc"
    ,
#include "den/schema_6.sql.inc"
    ,
#include "den/schema_7.sql.inc"
    ,
#include "den/schema_8.sql.inc"
    ,
#include "den/schema_9.sql.inc"
    ,
#include "den/schema_10.sql.inc"
};
enum { SCHEMA_VERSION = N_ELEMENTS(schemas) };

/* ---- the file ----------------------------------------------------------------------------------- */

static bool exec(struct store *store, const char *sql, struct err *err)
{
    assert(store);
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK || sql_err(store, err);
}

static bool pragma(struct store *store, const char *sql, uint64_t *ret_n, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool ok;

    assert(store);
    ok = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
         sqlite3_step(statement) == SQLITE_ROW;

    if (ok)
        *ret_n = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        sql_err(store, err);
    sqlite3_finalize(statement);
    return ok;
}

/* Pages in the log: each is written to its place once in so many, the ones that change all the time too. */
enum { CHECKPOINT_AT = 4000, FRAME = 4096 + 24 /* bytes of one in the log */ };

/* SQLite's own would let a disk that does not keep what it was given go unnoticed: nobody looks at the
 * outcome. */
static void checkpoint(struct store *store)
{
    struct err ignored;

    if (sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
        SQLITE_OK)
        sql_err(store, &ignored);
}

/* The log takes from the disk what its pages need when they are written to their places. */
static bool is_scarce(const struct store *store, uint64_t n_pages)
{
    struct statvfs disk;

    return statvfs(store->path, &disk) == 0 &&
           n_pages * FRAME > (uint64_t)disk.f_bavail * disk.f_frsize / 2;
}

static int on_wal(void *user, _unused_ sqlite3 *db, _unused_ const char *name, int n_pages)
{
    struct store *store = user;

    if (n_pages >= CHECKPOINT_AT || is_scarce(store, (uint64_t)n_pages))
        checkpoint(store);
    return SQLITE_OK; /* the transaction is committed */
}

/* A log whose pages are all in their places begins anew, in the room that it has. */
static void make_room(struct store *store)
{
    store->is_full = false; /* unless the checkpoint says so too */
    checkpoint(store);
}

/* What each connection must ask for again: SQLite does not keep these in the file. The cache (32 MB) holds the inner
 * pages of the indexes of some millions of rows. */
static bool connect_db(const char *path, const char *uri /* NULL: to write to it */,
                       struct store **ret_store, struct err *err)
{
    int flags = uri ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE;
    _cleanup_(store_freep) struct store *store = mem_new(struct store);

    store->path = mem_text(path);
    store->anchor_fd = -1;
    sql_hear_of_recovery();
    if (sqlite3_open_v2(uri ? uri : path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return err_set(err, ERR_SYSTEM, "%s: %s", path,
                       store->db ? sqlite3_errmsg(store->db) : "out of memory");
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_FOR_MS);
    sqlite3_wal_hook(store->db, on_wal, store);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!exec(store,
              "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; "
              "PRAGMA cache_size = -32768",
              err))
        return false;
    *ret_store = STEAL(store);
    return true;
}

/* Another program's file has version 0: nobody ever migrates that. */
static bool read_version(struct store *store, uint64_t *ret_version, struct err *err)
{
    if (!pragma(store, "PRAGMA user_version", ret_version, err))
        return false;
    return *ret_version <= SCHEMA_VERSION ||
           err_set(err, ERR_BAD_CONFIG,
                   "%s: its schema is version %llu, this program reads versions 1 to %d: a newer "
                   "warren-den wrote it; run that one",
                   store->path, (unsigned long long)*ret_version, SCHEMA_VERSION);
}

/* Inside a transaction. The version is read here: another process may have been faster. */
static bool take_steps(struct store *store, struct err *err)
{
    uint64_t version;
    char text[48];

    if (!read_version(store, &version, err))
        return false;
    for (; version < SCHEMA_VERSION; version++) {
        if (!exec(store, schemas[version], err))
            return err_wrap(err, "schema %llu", (unsigned long long)version + 1);
    }
    snprintf(text, sizeof(text), "PRAGMA user_version = %d", SCHEMA_VERSION);
    return exec(store, text, err);
}

/* All the steps that it lacks, or none of them. */
static bool migrate(struct store *store, struct err *err)
{
    if (!exec(store, "BEGIN IMMEDIATE", err))
        return false;
    if ((!store->is_unsettled || sql_settle(store, err)) && take_steps(store, err) &&
        exec(store, "COMMIT", err))
        return true;
    store_rollback(store);
    return false;
}

static bool make(const char *path, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;

    return connect_db(path, NULL, &store, err) && exec(store, "PRAGMA journal_mode = WAL", err) &&
           migrate(store, err);
}

bool store_create(const char *path, struct err *err)
{
    /* SQLite gives its -wal and -shm files the mode of the file that it finds. */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", path);
    if (fd < 0)
        return err_errno(err, "%s", path);
    close(fd);
    if (make(path, err))
        return true;
    unlink(path);
    return false;
}

static bool check_file(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (stat(path, &st) != 0)
        return err_errno(err, "%s", path);
    if (!file_check_owner(path, &st, err))
        return false;
    if ((st.st_mode & 077) != 0)
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others at it; chmod 0600 it", path,
                       (unsigned)(st.st_mode & 07777));
    return true;
}

bool store_open(const char *path, struct store **ret_store, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;
    uint64_t version;

    if (!check_file(path, err) || !connect_db(path, NULL, &store, err) ||
        !read_version(store, &version, err))
        return false;
    if (version == 0)
        return err_set(err, ERR_BAD_CONFIG, "%s: not a store that warren-den made", path);
    store->is_unsettled = sql_has_recovered();
    if (version < SCHEMA_VERSION && !migrate(store, err))
        return err_wrap(err, "%s: migrating the store", path);
    *ret_store = STEAL(store);
    return true;
}

/* ---- to read alone ------------------------------------------------------------------------------ */

static bool may_write(const char *path)
{
    const char *slash = strrchr(path, '/');
    _free_ char *dir = slash ? mem_format("%.*s/", (int)(slash - path), path) : mem_text(".");

    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 &&
           faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) == 0;
}

static bool has_log(const char *path)
{
    _free_ char *log = mem_format("%s-wal", path);
    struct stat st;

    return stat(log, &st) == 0 && st.st_size > 0;
}

/* With nothing in its log nobody changes the file: it is read as it is, without a log and what SQLite shares beside it. */
static char *uri_of(const char *path, bool is_immutable)
{
    _buf_ uri = { 0 };

    buf_put_text(&uri, "file:");
    for (const char *at = path; *at; at++)
        if (strchr("%?#", *at))
            buf_printf(&uri, "%%%02X", (unsigned)(uint8_t)*at);
        else
            buf_put_u8(&uri, (uint8_t)*at);
    buf_put_text(&uri, is_immutable ? "?mode=ro&immutable=1" : "?mode=ro");
    return mem_text(buf_cstr(&uri));
}

/* Its log was not copied along, or has not come into the file. */
static bool is_not_whole(const char *path, const char *why, struct err *err)
{
    err_set(err, ERR_SYSTEM, "%s: cannot be written here, and is not whole: %s", path, why);
    return err_advise(
        err, "copy den.db with its -wal, or take one of a den that was stopped, into a "
             "folder that can be written; or put a backup back there (warren-den restore)");
}

/* The newest audit entry was noted beside it. */
static bool check_newest(struct store *store, struct err *err)
{
    struct store_audit last = { 0 };
    struct store_anchor anchor;
    enum store_found is_noted, is_there;

    if (!store_anchor(store, &is_noted, &anchor, err) ||
        !store_audit_last(store, &is_there, &last, err))
        return false;
    buf_free(&last.bytes);
    return is_noted == STORE_NONE || (is_there == STORE_FOUND && last.no >= anchor.no) ||
           is_not_whole(store->path, "newer entries of its audit were in a log that is not here",
                        err);
}

bool store_open_to_read(const char *path, struct store **ret_store, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;
    _free_ char *uri = uri_of(path, !has_log(path));
    uint64_t version;

    if (!check_file(path, err))
        return false;
    if (may_write(path))
        return store_open(path, ret_store, err);
    if (!connect_db(path, uri, &store, err) || !read_version(store, &version, err))
        return has_log(path)
                   ? is_not_whole(path, "what is in its log (-wal) cannot be read without writing",
                                  err)
                   : false;
    if (version == 0)
        return err_set(err, ERR_BAD_CONFIG, "%s: not a store that warren-den made", path);
    if (version < SCHEMA_VERSION) {
        err_set(
            err, ERR_BAD_CONFIG,
            "%s: its schema is version %llu, which this program brings to version %d first, and "
            "it cannot be written here",
            path, (unsigned long long)version, SCHEMA_VERSION);
        return err_advise(err, "copy it into a folder that can be written");
    }
    if (!check_newest(store, err))
        return false;
    *ret_store = STEAL(store);
    return true;
}

void store_free(struct store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < N_SQLS; i++)
        sqlite3_finalize(store->statements[i]);
    if (sqlite3_close(store->db) != SQLITE_OK)
        abort(); /* a statement outside of the table */
    if (store->anchor_fd >= 0)
        close(store->anchor_fd);
    free(store->path);
    free(store);
}

const struct err *store_sickness(const struct store *s)
{
    return s->sick.code == ERR_NONE ? NULL : &s->sick;
}

/* What was committed and could not be noted beside the store is noted before anything follows. */
static bool settle_anchor(struct store *store, struct err *err)
{
    if (!store->is_pending_committed)
        store->has_pending = false; /* rolled back */
    if (!sql_keep_anchor(store, err))
        return false;
    store->is_pending_committed = false;
    return true;
}

bool store_look(struct store *store)
{
    struct err ignored; /* then each is read by itself, and says why not */

    if (store->is_looking || !sqlite3_get_autocommit(store->db))
        return false;
    store->is_looking = sql_run(store, SQL_LOOK, &ignored);
    return store->is_looking;
}

void store_look_end(struct store *store)
{
    struct err ignored;

    if (store->is_looking && !sql_run(store, SQL_COMMIT, &ignored))
        store_rollback(store);
    store->is_looking = false;
}

void store_look_by_turns(struct store *store, bool does)
{
    store->looks_by_turns = does;
    if (!does)
        store_look_end(store);
}

bool store_begin(struct store *store, struct err *err)
{
    store_look_end(store);
    if (store_sickness(store)) {
        *err = store->sick;
        return false;
    }
    if (store->is_full)
        make_room(store);
    if (!settle_anchor(store, err) || !sql_run(store, SQL_BEGIN, err))
        return false;
    if (!store->is_unsettled || sql_settle(store, err))
        return true;
    store_rollback(store);
    return false;
}

bool store_commit(struct store *store, struct err *err)
{
    struct err later;

    if (!sql_run(store, SQL_COMMIT, err)) {
        store_rollback(store);
        return false;
    }
    store->is_pending_committed = store->has_pending;
    (void)settle_anchor(store, &later); /* else the next transaction says it */
    return true;
}

void store_rollback(struct store *store)
{
    struct err ignored;

    if (!sqlite3_get_autocommit(store->db))
        sql_run(store, SQL_ROLLBACK,
                &ignored); /* SQLite rolls back what is left when the file is next opened */
}

/* ---- sessions ----------------------------------------------------------------------------------- */

bool store_is_open_state(const char *state)
{
    return strcmp(state, "offered") == 0 || strcmp(state, "accepted") == 0;
}

bool store_session_add(struct store *s, const struct store_session *x, struct err *err)
{
    return sql_change_one(s, SQL_SESSION_ADD,
                          ARGS(BLOB(VIEW_ARR(x->sid)), TEXT(x->a_id), TEXT(x->b_id), TEXT(x->caps),
                               TEXT(x->state), TEXT(x->reason), NUMBER(x->opened_at),
                               NUMBER(x->closed_at), TEXT(x->caps_back)),
                          "session", err);
}

static void read_session(struct row *row, struct store_session *to)
{
    row_bytes(row, to->sid, sizeof(to->sid));
    row_text(row, to->a_id, sizeof(to->a_id));
    row_text(row, to->b_id, sizeof(to->b_id));
    row_text(row, to->caps, sizeof(to->caps));
    row_text(row, to->state, sizeof(to->state));
    row_text(row, to->reason, sizeof(to->reason));
    to->opened_at = row_number(row);
    to->closed_at = row_number(row);
    row_text(row, to->path, sizeof(to->path));
    to->a_sent = row_number(row);
    to->b_sent = row_number(row);
    to->ends_at = row_number(row);
    row_text(row, to->caps_back, sizeof(to->caps_back));
    row_text(row, to->caps_accepted, sizeof(to->caps_accepted));
}

bool store_session_find(struct store *s, struct view sid, enum store_found *ret,
                        struct store_session *ret_x, struct err *err)
{
    struct store_session x = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_SESSION_FIND, ARGS(BLOB(sid)), &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_session(&row, &x);
    if (!row_end(s, &row, err))
        return false;
    *ret_x = x;
    return true;
}

bool store_session_each_open(struct store *s,
                             bool (*each)(void *user, const struct store_session *x), void *user,
                             struct err *err)
{
    _row_ row = { 0 };
    bool is_row;

    if (!sql_start(s, SQL_SESSION_EACH_OPEN, NO_ARGS, &row, err))
        return false;
    for (;;) {
        struct store_session x = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_session(&row, &x);
        if (!row_end(s, &row, err))
            return false;
        if (!each(user, &x))
            return true;
    }
}

bool store_session_before(struct store *s, uint64_t no,
                          bool (*each)(void *user, uint64_t no, const struct store_session *x),
                          void *user, struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, SQL_SESSION_BEFORE, ARGS(NUMBER(no)), &row, err))
        return false;
    while (goes_on) {
        struct store_session x = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_session(&row, &x);
        no = row_number(&row);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, no, &x);
    }
    return true;
}

bool store_session_set_state(struct store *s, struct view sid, const char *state,
                             const char *reason, uint64_t at, struct err *err)
{
    if (store_is_open_state(state))
        return sql_change_one(s, SQL_SESSION_MOVE, ARGS(TEXT(state), TEXT(reason), BLOB(sid)),
                              "session", err);
    return sql_change_one(s, SQL_SESSION_SET_STATE,
                          ARGS(TEXT(state), TEXT(reason), NUMBER(at), BLOB(sid)), "session", err);
}

bool store_session_report(struct store *s, const struct store_session *x, struct err *err)
{
    return sql_change_one(s, SQL_SESSION_REPORT,
                          ARGS(TEXT(x->path), NUMBER(x->a_sent), NUMBER(x->b_sent),
                               NUMBER(x->ends_at), TEXT(x->caps_accepted), BLOB(VIEW_ARR(x->sid))),
                          "session", err);
}

/* ---- numbers and blobs -------------------------------------------------------------------------- */

bool store_number_get(struct store *s, const char *name, uint64_t *ret_n, struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };
    uint64_t n;

    if (!sql_ask(s, SQL_NUMBER_GET, ARGS(TEXT(name)), &row, &found, err))
        return false;
    n = found == STORE_FOUND ? row_number(&row) : 0;
    if (!row_end(s, &row, err))
        return false;
    *ret_n = n;
    return true;
}

bool store_number_raise(struct store *s, const char *name, uint64_t to, struct err *err)
{
    int n;

    if (!sql_change(s, SQL_NUMBER_RAISE, ARGS(TEXT(name), NUMBER(to)), &n, err))
        return false;
    return n == 1 || err_set(err, ERR_INTERNAL, "%s: number %s would fall to %llu", s->path, name,
                             (unsigned long long)to);
}

bool store_blob_get(struct store *s, const char *name, enum store_found *ret, struct buf *ret_bytes,
                    struct err *err)
{
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_BLOB_GET, ARGS(TEXT(name)), &row, ret, err))
        return false;
    if (*ret == STORE_FOUND)
        *ret_bytes = buf_dup(row_view(&row));
    return true;
}

bool store_blob_set(struct store *s, const char *name, struct view bytes, struct err *err)
{
    return sql_change_one(s, SQL_BLOB_SET, ARGS(TEXT(name), BLOB(bytes)), "blob", err);
}

bool store_blob_drop(struct store *s, const char *name, struct err *err)
{
    int n;

    return sql_change(s, SQL_BLOB_DROP, ARGS(TEXT(name)), &n, err);
}

/* ---- audit -------------------------------------------------------------------------------------- */

/* Any row becomes an entry: one of the wrong shape has no head that fits, and the chain shows it. */
static void read_audit(struct row *row, struct store_audit *a)
{
    a->no = row_number(row);
    a->at = row_number(row);
    a->bytes = buf_dup(row_view(row));
    row_bytes(row, a->head, sizeof(a->head));
}

bool store_audit_last(struct store *s, enum store_found *ret, struct store_audit *ret_a,
                      struct err *err)
{
    struct store_audit a = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_AUDIT_LAST, NO_ARGS, &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_audit(&row, &a);
    if (!row_end(s, &row, err)) {
        buf_free(&a.bytes);
        return false;
    }
    *ret_a = a;
    return true;
}

bool store_audit_add(struct store *s, const struct store_audit *a, struct err *err)
{
    if (!sql_change_one(
            s, SQL_AUDIT_ADD,
            ARGS(NUMBER(a->no), NUMBER(a->at), BLOB(buf_view(&a->bytes)), BLOB(VIEW_ARR(a->head))),
            "audit entry", err))
        return false;
    s->pending.no = a->no;
    memcpy(s->pending.head, a->head, HASH_SIZE);
    s->has_pending = true;
    s->is_pending_committed = false;
    return true;
}

bool store_audit_drop(struct store *s, uint64_t upto, struct err *err)
{
    int n;

    return sql_change(s, SQL_AUDIT_DROP, ARGS(NUMBER(upto)), &n, err);
}

bool store_audit_each(struct store *s, uint64_t from,
                      bool (*each)(void *user, const struct store_audit *a), void *user,
                      struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, SQL_AUDIT_EACH, ARGS(NUMBER(from)), &row, err))
        return false;
    while (goes_on) {
        struct store_audit a = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_audit(&row, &a);
        goes_on = each(user, &a);
        buf_free(&a.bytes);
    }
    return true;
}
