/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: the log of a store whose last user ended without closing it.
 *
 * That one may have ended because the disk did not take what it wrote. The system says so once, and keeps the bytes in memory: SQLite
 * finds whole frames there, and goes on behind them, and a later sync has nothing to do with them (fsync(2)). A machine that fails
 * then has a hole in its log, and everything behind it is gone. So all of the log is written once more, and synced, before
 * anything follows.
 *
 * The main file needs nothing: a checkpoint whose sync failed does not count as done, and the next one writes all of its
 * pages again. */
#include "base/file.h"
#include "den/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static bool read_piece(int fd, uint64_t at, uint8_t *to, size_t *ret_n)
{
    *ret_n = 0;
    while (*ret_n < PIECE) {
        ssize_t n = pread(fd, to + *ret_n, PIECE - *ret_n, (off_t)(at + *ret_n));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        *ret_n += (size_t)n;
    }
    return true;
}

/* Whoever reads meanwhile finds the same bytes, before and after. */
static bool write_again(int fd, uint64_t *ret_len)
{
    _free_ uint8_t *piece = mem_array(uint8_t, PIECE);
    size_t n;

    *ret_len = 0;
    do {
        if (!read_piece(fd, *ret_len, piece, &n) || !file_write_at(fd, VIEW(piece, n), *ret_len))
            return false;
        *ret_len += n;
    } while (n == PIECE);
    return fdatasync(fd) == 0;
}

/* Its name too: SQLite syncs that with the first frame alone. */
static bool sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    _free_ char *dir = slash ? mem_format("%.*s/", (int)(slash - path), path) : mem_text(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int number = errno;

    if (fd >= 0)
        close(fd);
    errno = number;
    return ok;
}

/* A lock of SQLite's is never on this file: it may be opened and closed here. */
static bool write_log_again(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    uint64_t len = 0;
    bool ok;

    if (fd < 0 && errno == ENOENT)
        return true;
    ok = fd >= 0 && write_again(fd, &len) && (len == 0 || sync_folder_of(path));
    if (!ok) {
        err_errno(
            err,
            "%s: what was written to it before is not on the disk yet, and cannot be put there",
            path);
        err_advise(err, "see to the disk, then start warren-den again");
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

bool sql_settle(struct store *s, struct err *err)
{
    _free_ char *path = mem_format("%s-wal", s->path);

    if (!write_log_again(path, err))
        return false;
    s->is_unsettled = false;
    return true;
}

bool store_settle(struct store *s, struct err *err)
{
    s->is_unsettled = true;
    if (!store_begin(s, err))
        return false;
    store_rollback(s);
    return true;
}

/* ---- whether it was left so ----------------------------------------------------------------------- */

static _Thread_local bool has_recovered;

/* SQLite tells of a log that it read anew, since nobody had it open. */
static void on_message(_unused_ void *user, int code, _unused_ const char *text)
{
    if (code == SQLITE_NOTICE_RECOVER_WAL)
        has_recovered = true;
}

/* Before its first use in this process. */
static void listen_to_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_LOG, on_message, NULL);
}

void sql_hear_of_recovery(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    has_recovered = false;
    pthread_once(&once, listen_to_sqlite);
}

bool sql_has_recovered(void)
{
    return has_recovered;
}
