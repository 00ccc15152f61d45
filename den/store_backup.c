/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: a copy of the store as it is now, while others go on writing to it. */
#include "den/sql.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_AT_ONCE = 4096 };

static bool exec(struct store *s, const char *sql, struct err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || sql_err(s, err);
}

/* The source is read inside of one transaction: whoever writes meanwhile does not make it begin anew. */
static bool copy_all(struct store *s, sqlite3 *to, store_on_progress *on_progress, void *user,
                     struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", s->db, "main");
    int rc;

    if (!backup)
        return err_set(err, ERR_SYSTEM, "copying %s: %s", s->path, sqlite3_errmsg(to));
    do {
        rc = sqlite3_backup_step(backup, PAGES_AT_ONCE);
        if (on_progress && (rc == SQLITE_OK || rc == SQLITE_DONE))
            on_progress(
                user,
                (uint64_t)(sqlite3_backup_pagecount(backup) - sqlite3_backup_remaining(backup)),
                (uint64_t)sqlite3_backup_pagecount(backup));
    } while (rc == SQLITE_OK);
    sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ||
           err_set(err, ERR_SYSTEM, "copying %s: %s", s->path, sqlite3_errstr(rc));
}

/* One file: no log beside it. */
static bool copy_to(struct store *s, const char *path, store_on_progress *on_progress, void *user,
                    struct err *err)
{
    sqlite3 *to = NULL;
    bool ok;

    ok = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
             SQLITE_OK ||
         err_set(err, ERR_SYSTEM, "%s: %s", path, to ? sqlite3_errmsg(to) : "out of memory");
    ok = ok && copy_all(s, to, on_progress, user, err);
    ok = ok && (sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK ||
                err_set(err, ERR_SYSTEM, "%s: %s", path, sqlite3_errmsg(to)));
    sqlite3_close(to);
    return ok;
}

bool store_copy(struct store *s, const char *path, store_on_progress *on_progress, void *user,
                struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return err_errno(err, "%s", path);
    close(fd);
    if (!exec(s, "BEGIN; SELECT count(*) FROM sqlite_master", err))
        return false;
    ok = copy_to(s, path, on_progress, user, err);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    if (!ok)
        unlink(path);
    return ok;
}

bool store_check(struct store *s, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool ok =
        sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW;

    if (!ok) {
        sql_err(s, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        ok = text && strcmp(text, "ok") == 0;
        if (!ok)
            err_set(err, ERR_SYSTEM, "%s: damaged: %.120s", s->path, text ? text : "");
    }
    sqlite3_finalize(statement);
    return ok;
}

/* A restored file is opened with a log again; in the backup it had none. */
bool store_log(struct store *s, struct err *err)
{
    return exec(s, "PRAGMA journal_mode = WAL", err);
}
