/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

bool file_read_fd(int fd, size_t max, struct buf *ret_bytes, struct err *err)
{
    _cleanup_(buf_wipe) struct buf bytes = { 0 };
    size_t room = 4096;

    for (;;) {
        size_t before = bytes.len;
        ssize_t n = read(fd, buf_grow(&bytes, room), room);
        if (n < 0 && errno == EINTR) {
            bytes.len = before;
            continue;
        }
        if (n < 0)
            return err_errno(err, "reading");
        bytes.len = before + (size_t)n;
        if (bytes.len > max)
            return err_set(err, ERR_TOO_LARGE, "over %zu bytes", max);
        if (n == 0)
            break;
    }
    *ret_bytes = bytes;
    bytes = (struct buf){ 0 };
    return true;
}

bool file_check_owner(const char *path, const struct stat *st, struct err *err)
{
    return st->st_uid == geteuid() || st->st_uid == 0 ||
           err_set(err, ERR_EXPOSED,
                   "%s: it belongs to user %u, neither this one nor root; chown it", path,
                   (unsigned)st->st_uid);
}

/* What somebody hands to a program that he starts: standard input, and `<(...)` of a shell. */
static bool names_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdin") == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
           strncmp(path, "/proc/self/fd/", 14) == 0;
}

/* A pipe that nobody writes to, or a device that never ends, would hold whoever reads it for ever. */
static bool check_kind(const char *path, int fd, const struct stat *st, struct err *err)
{
    const char *kind = S_ISDIR(st->st_mode)    ? "a folder"
                       : S_ISFIFO(st->st_mode) ? "a named pipe"
                       : S_ISSOCK(st->st_mode) ? "a socket"
                                               : "a device";

    if (S_ISREG(st->st_mode))
        return true;
    if (!names_descriptor(path) || S_ISDIR(st->st_mode))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s, not a file", path, kind);
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0 || err_errno(err, "%s", path);
}

static bool read_checked(const char *path, size_t max, bool is_secret, struct buf *ret,
                         struct err *err)
{
    _cleanup_(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_errno(err, "%s", path);
    if (!check_kind(path, fd, &st, err) || (is_secret && !file_check_owner(path, &st, err)))
        return false;
    if (is_secret && (st.st_mode & 077) != 0)
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others at it; chmod 0600 it", path,
                       (unsigned)(st.st_mode & 07777));
    if (!file_read_fd(fd, max, ret, err))
        return err_wrap(err, "%s", path);
    return true;
}

bool file_read(const char *path, size_t max, struct buf *ret_bytes, struct err *err)
{
    return read_checked(path, max, false, ret_bytes, err);
}

bool file_read_secret(const char *path, size_t max, struct buf *ret_bytes, struct err *err)
{
    return read_checked(path, max, true, ret_bytes, err);
}

static bool write_all(int fd, struct view bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = VIEW(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

bool file_write_at(int fd, struct view bytes, uint64_t at)
{
    while (bytes.len) {
        ssize_t n = pwrite(fd, bytes.data, bytes.len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        bytes = VIEW(bytes.data + n, bytes.len - (size_t)n);
        at += (uint64_t)n;
    }
    return true;
}

static bool sync_parent(const char *path, struct err *err)
{
    _free_ char *dir = mem_text(path);
    char *slash = strrchr(dir, '/');
    _cleanup_(fd_close) int fd = -1;

    if (slash == dir)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return err_errno(err, "%s: syncing its folder", path);
    return true;
}

static bool put_file(const char *path, struct view bytes, unsigned mode, bool may_replace,
                     struct err *err)
{
    _free_ char *temporary = mem_format("%s.new-%ld", path, (long)getpid());
    _cleanup_(fd_close) int fd = -1;
    bool ok;

    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "%s", temporary);
    ok = write_all(fd, bytes) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    if (ok)
        ok = may_replace ? rename(temporary, path) == 0 : link(temporary, path) == 0;
    if (!ok && errno == EEXIST)
        err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", path);
    else if (!ok)
        err_errno(err, "%s", path);
    if (!ok || !may_replace)
        unlink(temporary);
    return ok && sync_parent(path, err);
}

bool file_write(const char *path, struct view bytes, unsigned mode, struct err *err)
{
    return put_file(path, bytes, mode, true, err);
}

bool file_write_soon(const char *path, struct view bytes, unsigned mode, struct err *err)
{
    _free_ char *temporary = mem_format("%s.new-%ld", path, (long)getpid());
    _cleanup_(fd_close) int fd = -1;

    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "%s", temporary);
    if (write_all(fd, bytes) && fchmod(fd, mode) == 0 && rename(temporary, path) == 0)
        return true;
    err_errno(err, "%s", path);
    unlink(temporary);
    return false;
}

bool file_append(const char *path, struct view bytes, struct err *err)
{
    _cleanup_(fd_close) int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_errno(err, "%s", path);
    if (write_all(fd, bytes) && fdatasync(fd) == 0)
        return true;
    err_errno(err, "%s", path);
    if (ftruncate(fd, st.st_size) != 0)
        err_wrap(err, "and it could not be cut again");
    return false;
}

bool file_create(const char *path, struct view bytes, unsigned mode, struct err *err)
{
    return put_file(path, bytes, mode, false, err);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_check_private_dir(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: no such folder", path);
    if (stat(path, &st) != 0)
        return err_errno(err, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: not a folder", path);
    if (!file_check_owner(path, &st, err))
        return false;
    if ((st.st_mode & 077) != 0)
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others in; chmod 0700 it", path,
                       (unsigned)(st.st_mode & 07777));
    return true;
}

bool file_private_dir(const char *path, struct err *err)
{
    _free_ char *partial = mem_text(path);

    for (char *at = partial + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(partial, 0700) != 0 && errno != EEXIST)
            return err_errno(err, "%s", partial);
        *at = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(err, "%s", path);
    return file_check_private_dir(path, err);
}

char *file_path(const char *dir, const char *name)
{
    return mem_format("%s/%s", dir, name);
}

bool file_lock(const char *path, int *ret_fd, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_held = errno == EWOULDBLOCK;
        if (!is_held)
            err_errno(err, "%s", path);
        close(fd);
        return is_held ? err_set(err, ERR_BUSY, "%s: another process uses this folder", path)
                       : false;
    }
    *ret_fd = fd;
    return true;
}

void file_hold_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* is the lowest */
    }
}

void file_forbid_dumps(void)
{
    struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
