/* SPDX-License-Identifier: Apache-2.0 */
/* A log that a killed process left is written to the disk again before anything follows it; and one does not fill a small disk
 * by itself. SQLite is a library of its own: what is wrapped here is what the store itself calls. */
#include "base/file.h"
#include "den/sql.h"
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err;
static dev_t log_dev;
static ino_t log_ino; /* that the calls are counted of */
static uint64_t n_written, n_unsynced, n_syncs;
static bool sync_fails;
static uint64_t room = UINT64_MAX; /* bytes on the disk; UINT64_MAX: as it is */

static bool is_log(int fd)
{
    struct stat st;

    return log_ino && fstat(fd, &st) == 0 && st.st_dev == log_dev && st.st_ino == log_ino;
}

static void note_write(int fd, ssize_t n, off_t at)
{
    if (n <= 0 || !is_log(fd))
        return;
    if ((uint64_t)at != n_unsynced)
        check_failed(__FILE__, __LINE__, "written at %lld", (long long)at);
    n_written += (uint64_t)n;
    n_unsynced += (uint64_t)n;
}

/* Either name, as the system's headers have it. */
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t n = __real_pwrite(fd, bytes, len, at);

    note_write(fd, n, at);
    return n;
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t n = __real_pwrite64(fd, bytes, len, at);

    note_write(fd, n, at);
    return n;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    if (!is_log(fd))
        return __real_fdatasync(fd);
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    n_syncs++;
    n_unsynced = 0;
    return __real_fdatasync(fd);
}

int __real_statvfs(const char *path, struct statvfs *ret);
int __wrap_statvfs(const char *path, struct statvfs *ret);
int __wrap_statvfs(const char *path, struct statvfs *ret)
{
    int rc = __real_statvfs(path, ret);

    if (room != UINT64_MAX)
        ret->f_bavail = room / ret->f_frsize;
    return rc;
}

int __real_statvfs64(const char *path, struct statvfs *ret);
int __wrap_statvfs64(const char *path, struct statvfs *ret);
int __wrap_statvfs64(const char *path, struct statvfs *ret)
{
    int rc = __real_statvfs64(path, ret);

    if (room != UINT64_MAX)
        ret->f_bavail = room / ret->f_frsize;
    return rc;
}

static char *new_store(void)
{
    static unsigned n;
    char *path = mem_format("%s/settle-%u.db", check_dir(), n++);

    if (!store_create(path, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return path;
}

static bool number_to(struct store *store, uint64_t to)
{
    return store_begin(store, &err) && store_number_raise(store, "x", to, &err) &&
           store_commit(store, &err);
}

/* By a process that is gone then, and has closed nothing. */
static void leave_log(const char *path, uint64_t n)
{
    struct store *store;
    pid_t pid = fork();
    int status = 1;

    if (pid == 0) {
        bool ok = store_open(path, &store, &err);
        for (uint64_t i = 1; ok && i <= n; i++)
            ok = number_to(store, i);
        _exit(!ok);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        check_failed(__FILE__, __LINE__, "the process before");
}

static uint64_t log_size(const char *path)
{
    _free_ char *log = mem_format("%s-wal", path);
    struct stat st;

    return stat(log, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void count(const char *path)
{
    _free_ char *log = mem_format("%s-wal", path);
    struct stat st;

    log_ino = 0;
    if (stat(log, &st) == 0) {
        log_dev = st.st_dev;
        log_ino = st.st_ino;
    }
    n_written = n_unsynced = n_syncs = 0;
    sync_fails = false;
}

TEST(a_log_that_was_left_is_written_again_before_anything_follows)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *store = NULL, *other = NULL;
    uint64_t size, x = 0;

    leave_log(path, 400); /* more than a piece */
    size = log_size(path);
    CHECK(size > 1 << 20);
    count(path);
    CHECK_OK(store_open(path, &store, &err), err);
    CHECK_U64(n_written, 0); /* whoever only reads changes nothing */
    CHECK_OK(store_begin(store, &err), err);
    CHECK_U64(n_written, size);
    CHECK_U64(n_syncs, 1);
    CHECK_U64(n_unsynced, 0);
    CHECK_OK(store_number_get(store, "x", &x, &err), err);
    CHECK_U64(x, 400);
    CHECK_OK(store_number_raise(store, "x", 401, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK(number_to(store, 402));
    CHECK_U64(n_written, size); /* once */
    CHECK_OK(store_open(path, &other, &err), err);
    CHECK(number_to(other, 403)); /* nobody left it */
    CHECK_U64(n_written, size);
}

TEST(nothing_begins_while_it_cannot_be_written)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *store = NULL;

    leave_log(path, 3);
    count(path);
    sync_fails = true;
    CHECK_OK(store_open(path, &store, &err), err);
    for (int i = 0; i < 2; i++) {
        CHECK_ERR(store_begin(store, &err), err, ERR_SYSTEM);
        CHECK(strstr(err.text, "-wal: what was written to it before is not on the disk yet"));
        n_unsynced = 0;
    }
    sync_fails = false;
    CHECK(number_to(store, 4));
}

TEST(den_settles_it_whoever_opened_it_first)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *reader = NULL, *store = NULL;
    uint64_t size, x;

    leave_log(path, 3);
    size = log_size(path);
    count(path);
    CHECK_OK(store_open(path, &reader, &err), err);
    CHECK_OK(store_number_get(reader, "x", &x, &err), err);
    CHECK_OK(store_open(path, &store, &err), err);
    CHECK_OK(store_settle(store, &err), err);
    CHECK_U64(n_written, size);
    CHECK(number_to(store, 4));
    CHECK_U64(n_written, size);
}

TEST(a_store_without_a_log_is_settled)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *store = NULL;

    CHECK_OK(store_open(path, &store, &err), err);
    CHECK_OK(store_settle(store, &err), err);
    CHECK(number_to(store, 1));
}

/* ---- room ------------------------------------------------------------------------------------------ */

TEST(on_a_small_disk_the_log_stays_small)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *store = NULL;

    CHECK_OK(store_open(path, &store, &err), err);
    for (uint64_t i = 1; i <= 200; i++)
        CHECK(number_to(store, i));
    CHECK(log_size(path) > 512 * 1024); /* where there is room it grows */
    store_free(store);
    store = NULL;
    room = 256 * 1024;
    CHECK_OK(store_open(path, &store, &err), err);
    for (uint64_t i = 201; i <= 400; i++)
        CHECK(number_to(store, i));
    CHECK(log_size(path) <= room / 2 + 64 * 1024);
    room = UINT64_MAX;
}

static bool put_large(struct store *store, uint64_t no)
{
    static const uint8_t bytes[20000];
    char name[24];

    snprintf(name, sizeof(name), "%llu", (unsigned long long)no);
    if (store_begin(store, &err) && store_blob_set(store, name, VIEW_ARR(bytes), &err) &&
        store_commit(store, &err))
        return true;
    store_rollback(store);
    return false;
}

/* Frames in the log, from its beginning. */
static int n_frames(struct store *store)
{
    int n = -1, n_done;

    sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &n, &n_done);
    return n;
}

TEST(a_log_begins_anew_after_a_full_disk)
{
    _free_ char *path = new_store();
    _cleanup_(store_freep) struct store *store = NULL;
    uint64_t n = 0;

    CHECK_OK(store_open(path, &store, &err), err);
    sqlite3_exec(store->db, "PRAGMA max_page_count = 300", NULL, NULL, NULL);
    while (n < 300 && put_large(store, n))
        n++;
    CHECK(n > 10 && n < 300);
    CHECK(strstr(err.text, "full"));
    sqlite3_exec(store->db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL);
    CHECK(put_large(store, n));
    CHECK(n_frames(store) < 20);
}
