/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must be whole, private and still there after a crash. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* The whole file, at most `max` bytes (TOO_LARGE). NOT_FOUND when there is none, INVALID_ARGUMENT when it is none: a pipe, a device or a
 * folder is not read, and keeps nobody. /dev/stdin and /dev/fd/N are read whatever they are. */
bool file_read(const char *path, size_t max, struct buf *ret_bytes, struct err *err);
/* The same for a secret: refused (EXPOSED) when group or others may read or write it, or
 * when it belongs to somebody else than this user and root. */
bool file_read_secret(const char *path, size_t max, struct buf *ret_bytes, struct err *err);
/* Replaces the file whole or not at all: temporary file, fsync, rename, fsync of the folder. */
bool file_write(const char *path, struct view bytes, unsigned mode, struct err *err);
/* The same without waiting for the disk: for what can be had again. A machine that fails may leave an older one. */
bool file_write_soon(const char *path, struct view bytes, unsigned mode, struct err *err);
/* Adds to the end of a file that is there, and syncs it. On failure its length is what it was, unless
 * the machine fails too. */
bool file_append(const char *path, struct view bytes, struct err *err);
/* All of it from there on, over what stands there; nothing is synced. False: errno says why, and a part of it may be there. */
bool file_write_at(int fd, struct view bytes, uint64_t at);
/* file_write(), but ALREADY_EXISTS when the file is there. */
bool file_create(const char *path, struct view bytes, unsigned mode, struct err *err);
/* Whoever owns a file can change its mode: what is secret, or decides something, belongs to this
 * user or to root. EXPOSED. */
struct stat;
bool file_check_owner(const char *path, const struct stat *st, struct err *err);
bool file_exists(const char *path);
/* Makes the folder (and its parents) with mode 0700, or checks that nobody else owns it or may enter
 * it: EXPOSED. */
bool file_private_dir(const char *path, struct err *err);
/* Only checks. NOT_FOUND when there is none. */
bool file_check_private_dir(const char *path, struct err *err);
/* "DIR/NAME"; the caller frees it. */
char *file_path(const char *dir, const char *name);
/* Takes the folder's lock file for the life of the descriptor; BUSY when another process has it. */
bool file_lock(const char *path, int *ret_fd, struct err *err);
/* Everything from `fd` to its end, at most `max` bytes. */
bool file_read_fd(int fd, size_t max, struct buf *ret_bytes, struct err *err);
/* Whoever starts a program may have closed its standard streams; what it opens next would take their
 * numbers, and what it prints would go there. They are opened so that using them fails. */
void file_hold_standard(void);
/* No core dumps, no ptrace by others of the same user: for programs that hold secrets. */
void file_forbid_dumps(void);
