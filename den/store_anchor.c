/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: the newest audit entry that was committed, in a file beside the database. It is not
 * synced: a machine that fails may forget the newest ones, which shows nothing worse than an anchor
 * that lies behind. It never falls, so that whoever writes to an older state does not hide it. */
#include "base/file.h"
#include "base/text.h"
#include "den/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two lines, "NUMBER HEAD CHECK\n" each, of one length: they are written in turn, so that one that was cut in two
 * leaves the one before. The check is the beginning of the hash of what stands before it. */
enum {
    NUMBER_LEN = 20,
    CHECK_SIZE = 4,
    CHECKED_LEN = NUMBER_LEN + 1 + 2 * HASH_SIZE,
    ANCHOR_LEN = CHECKED_LEN + 1 + 2 * CHECK_SIZE + 1,
};

static char *anchor_path(const struct store *s)
{
    size_t len = strlen(s->path);
    bool is_db = len > 3 && strcmp(s->path + len - 3, ".db") == 0;

    return mem_format("%.*s.anchor", (int)(is_db ? len - 3 : len), s->path);
}

static bool fail(const struct store *s, struct err *err)
{
    _free_ char *path = anchor_path(s);

    return err_errno(err, "%s", path);
}

/* Whoever administrates as root leaves it to the owner of the database. */
static void give_to_owner(const struct store *s, int fd)
{
    struct stat st;

    if (geteuid() == 0 && stat(s->path, &st) == 0)
        (void)!fchown(fd, st.st_uid, st.st_gid);
}

static bool open_anchor(struct store *s, bool may_make, struct err *err)
{
    _free_ char *path = anchor_path(s);
    int flags = O_CLOEXEC | O_NOFOLLOW | (may_make ? O_RDWR | O_CREAT : O_RDONLY);

    if (s->anchor_fd >= 0 && (s->is_anchor_writable || !may_make))
        return true;
    if (s->anchor_fd >= 0)
        close(s->anchor_fd);
    s->anchor_fd = open(path, flags, 0600);
    s->is_anchor_writable = may_make;
    if (s->anchor_fd >= 0 && may_make)
        give_to_owner(s, s->anchor_fd);
    if (s->anchor_fd >= 0)
        return true;
    int number = errno;
    err_errno(err, "%s", path);
    errno = number;
    return false;
}

static void put_line(const struct store_anchor *a, struct buf *to)
{
    uint8_t hash[HASH_SIZE];

    buf_printf(to, "%020" PRIu64 " ", a->no);
    text_put_hex(to, VIEW_ARR(a->head));
    hash_sha256(buf_view(to), hash);
    buf_put_u8(to, ' ');
    text_put_hex(to, VIEW(hash, CHECK_SIZE));
    buf_put_u8(to, '\n');
}

static bool read_line(struct view line, struct store_anchor *ret_a)
{
    struct store_anchor a;
    _buf_ wanted = { 0 };

    if (line.len != ANCHOR_LEN || !text_read_u64(view_sub(line, 0, NUMBER_LEN), &a.no) ||
        !text_read_hex(view_sub(line, NUMBER_LEN + 1, 2 * HASH_SIZE), a.head, sizeof(a.head)))
        return false;
    put_line(&a, &wanted);
    if (!view_eq(buf_view(&wanted), line))
        return false;
    *ret_a = a;
    return true;
}

/* Damaged is none: the heartbeat is kept elsewhere, and tells as much. */
static bool read_anchor(struct store *s, enum store_found *ret, struct store_anchor *ret_a,
                        struct err *err)
{
    uint8_t bytes[2 * ANCHOR_LEN];
    ssize_t n = pread(s->anchor_fd, bytes, sizeof(bytes), 0);
    struct store_anchor a;

    if (n < 0)
        return fail(s, err);
    *ret = STORE_NONE;
    for (size_t at = 0; at + ANCHOR_LEN <= (size_t)n; at += ANCHOR_LEN) {
        if (!read_line(VIEW(bytes + at, ANCHOR_LEN), &a) ||
            (*ret == STORE_FOUND && a.no < ret_a->no))
            continue;
        *ret_a = a;
        *ret = STORE_FOUND;
    }
    return true;
}

bool store_anchor(struct store *s, enum store_found *ret, struct store_anchor *ret_a,
                  struct err *err)
{
    if (open_anchor(s, false, err))
        return read_anchor(s, ret, ret_a, err);
    *ret = STORE_NONE;
    return errno == ENOENT;
}

bool store_anchor_at(const char *path, enum store_found *ret, struct store_anchor *ret_a,
                     struct err *err)
{
    _free_ char *own = mem_text(path);
    struct store s = { .path = own, .anchor_fd = -1 };
    bool ok = store_anchor(&s, ret, ret_a, err);

    if (s.anchor_fd >= 0)
        close(s.anchor_fd);
    return ok;
}

bool sql_keep_anchor(struct store *s, struct err *err)
{
    struct store_anchor before;
    enum store_found found;
    _buf_ text = { 0 };

    if (!s->has_pending)
        return true;
    if (!open_anchor(s, true, err) || !read_anchor(s, &found, &before, err))
        return false;
    if (found == STORE_NONE || before.no < s->pending.no) {
        put_line(&s->pending, &text);
        if (!file_write_at(s->anchor_fd, buf_view(&text), s->pending.no % 2 * ANCHOR_LEN))
            return fail(s, err);
    }
    s->has_pending = false;
    return true;
}
