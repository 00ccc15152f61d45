/* SPDX-License-Identifier: Apache-2.0 */
#include "base/archive.h"

#include "base/seal_stream.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char magic[] = "warren archive 1\n";

enum { MAGIC = sizeof(magic) - 1, HASH = crypto_hash_sha256_BYTES };

/* ---- writing ------------------------------------------------------------------------------------ */

struct archive_writer {
    int fd;
    struct seal_stream *seal; /* NULL: in the open */
    struct buf plain;         /* not written yet: less than a piece */
    crypto_hash_sha256_state hash;
    uint64_t left; /* of the member */
};

void archive_writer_free(struct archive_writer *w)
{
    if (!w)
        return;
    seal_stream_free(w->seal);
    buf_wipe(&w->plain);
    free(w);
}

static bool write_out(int fd, struct view bytes, struct err *err)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "writing");
        bytes = VIEW(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

static bool flush(struct archive_writer *w, bool is_last, struct err *err)
{
    struct view rest = buf_view(&w->plain);
    _buf_ out = { 0 };

    while (rest.len >= SEAL_PIECE) {
        if (w->seal)
            seal_stream_put(w->seal, view_sub(rest, 0, SEAL_PIECE), false, &out);
        else
            buf_put(&out, view_sub(rest, 0, SEAL_PIECE));
        rest = view_sub(rest, SEAL_PIECE, rest.len);
    }
    if (is_last && w->seal)
        seal_stream_put(w->seal, rest, true, &out);
    else if (is_last)
        buf_put(&out, rest);
    memmove(w->plain.data, rest.data, rest.len);
    w->plain.len = is_last ? 0 : rest.len;
    return write_out(w->fd, buf_view(&out), err);
}

static bool put(struct archive_writer *w, struct view bytes, struct err *err)
{
    crypto_hash_sha256_update(&w->hash, bytes.data, bytes.len);
    buf_put(&w->plain, bytes);
    return w->plain.len < SEAL_PIECE || flush(w, false, err);
}

bool archive_create(int fd, struct view passphrase, struct archive_writer **ret_writer,
                    struct err *err)
{
    _cleanup_(archive_writer_freep) struct archive_writer *w = mem_new(struct archive_writer);
    _buf_ head = { 0 };

    w->fd = fd;
    crypto_hash_sha256_init(&w->hash);
    if (passphrase.len && (!seal_stream_new(passphrase, &w->seal, &head, err) ||
                           !write_out(fd, buf_view(&head), err)))
        return false;
    if (!put(w, VIEW(magic, MAGIC), err))
        return false;
    *ret_writer = STEAL(w);
    return true;
}

bool archive_begin(struct archive_writer *w, const char *name, unsigned mode, uint64_t len,
                   struct err *err)
{
    size_t name_len = strlen(name);
    _buf_ head = { 0 };

    if (w->left || !name_len || name_len >= ARCHIVE_NAME)
        return err_set(err, ERR_INTERNAL, "archive: %s", name);
    buf_put_u8(&head, (uint8_t)(name_len >> 8));
    buf_put_u8(&head, (uint8_t)name_len);
    buf_put_text(&head, name);
    buf_put_u32(&head, mode);
    buf_put_u64(&head, len);
    w->left = len;
    return put(w, buf_view(&head), err);
}

bool archive_more(struct archive_writer *w, struct view bytes, struct err *err)
{
    if (bytes.len > w->left)
        return err_set(err, ERR_SYSTEM, "it grew while it was read");
    w->left -= bytes.len;
    return put(w, bytes, err);
}

bool archive_put(struct archive_writer *w, const char *name, unsigned mode, struct view bytes,
                 struct err *err)
{
    return archive_begin(w, name, mode, bytes.len, err) && archive_more(w, bytes, err);
}

bool archive_end(struct archive_writer *w, struct err *err)
{
    static const uint8_t none[2];
    uint8_t hash[HASH];

    if (w->left)
        return err_set(err, ERR_SYSTEM, "it shrank while it was read");
    if (!put(w, VIEW_ARR(none), err))
        return false;
    crypto_hash_sha256_final(&w->hash, hash);
    buf_put(&w->plain, VIEW_ARR(hash));
    return flush(w, true, err);
}

/* ---- reading ------------------------------------------------------------------------------------ */

struct archive_reader {
    int fd;
    struct buf head;          /* of a sealed one */
    struct seal_stream *seal; /* NULL: in the open, or not unsealed yet */
    bool is_sealed, is_at_end;
    struct buf plain;
    size_t used; /* of plain */
    crypto_hash_sha256_state hash;
    uint64_t left; /* of the member */
};

void archive_reader_free(struct archive_reader *r)
{
    if (!r)
        return;
    seal_stream_free(r->seal);
    buf_free(&r->head);
    buf_wipe(&r->plain);
    free(r);
}

static bool read_in(int fd, size_t len, struct buf *to, struct err *err)
{
    size_t before = to->len;

    while (to->len - before < len) {
        size_t room = len - (to->len - before);
        ssize_t n = read(fd, buf_grow(to, room), room);
        to->len -= n < 0 ? room : room - (size_t)n;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "reading");
        if (n == 0)
            return true;
    }
    return true;
}

static bool read_piece(struct archive_reader *r, struct err *err)
{
    _buf_ sealed = { 0 };

    if (!r->seal) {
        size_t before = r->plain.len;
        if (!read_in(r->fd, SEAL_PIECE, &r->plain, err))
            return false;
        r->is_at_end = r->plain.len == before;
        return true;
    }
    return read_in(r->fd, seal_stream_piece_len(), &sealed, err) &&
           seal_stream_take(r->seal, buf_view(&sealed), &r->plain, &r->is_at_end, err);
}

/* Up to `len` plain bytes, fewer at the end. */
static bool fill(struct archive_reader *r, size_t len, struct err *err)
{
    if (r->used) {
        memmove(r->plain.data, r->plain.data + r->used, r->plain.len - r->used);
        r->plain.len -= r->used;
        r->used = 0;
    }
    while (r->plain.len < len && !r->is_at_end)
        if (!read_piece(r, err))
            return false;
    return true;
}

static bool take(struct archive_reader *r, size_t len, struct view *ret, struct err *err)
{
    if (!fill(r, len, err))
        return false;
    if (r->plain.len < len)
        return err_set(err, ERR_BAD_CONFIG, "the archive was cut short");
    *ret = VIEW(r->plain.data, len);
    r->used = len;
    crypto_hash_sha256_update(&r->hash, ret->data, len);
    return true;
}

bool archive_open(int fd, struct archive_reader **ret_reader, struct err *err)
{
    _cleanup_(archive_reader_freep) struct archive_reader *r = mem_new(struct archive_reader);
    struct view start;

    r->fd = fd;
    crypto_hash_sha256_init(&r->hash);
    if (!read_in(fd, seal_stream_head_len(), &r->head, err))
        return false;
    r->is_sealed = seal_stream_is(buf_view(&r->head));
    if (!r->is_sealed) {
        buf_put(&r->plain, buf_view(&r->head));
        if (!view_starts(buf_view(&r->plain), VIEW(magic, MAGIC)))
            return err_set(err, ERR_BAD_CONFIG, "not an archive of ours");
        if (!take(r, MAGIC, &start, err))
            return false;
    }
    *ret_reader = STEAL(r);
    return true;
}

bool archive_is_sealed(const struct archive_reader *r)
{
    return r->is_sealed;
}

bool archive_unseal(struct archive_reader *r, struct view passphrase, struct err *err)
{
    struct view start;

    if (!seal_stream_open(buf_view(&r->head), passphrase, &r->seal, err) ||
        !take(r, MAGIC, &start, err))
        return false;
    return view_eq(start, VIEW(magic, MAGIC)) ||
           err_set(err, ERR_BAD_CONFIG, "not an archive of ours");
}

static bool is_safe_name(const char *name, size_t len)
{
    return strlen(name) == len && name[0] != '.' && !strchr(name, '/');
}

static bool check_end(struct archive_reader *r, struct err *err)
{
    crypto_hash_sha256_state state = r->hash;
    uint8_t hash[HASH];
    struct view kept;

    crypto_hash_sha256_final(&state, hash);
    if (!take(r, HASH, &kept, err))
        return false;
    if (!view_eq(kept, VIEW_ARR(hash)))
        return err_set(err, ERR_BAD_CONFIG, "the archive was changed");
    if (!fill(r, 1, err))
        return false;
    return !r->plain.len || err_set(err, ERR_BAD_CONFIG, "the archive goes on behind its end");
}

static bool pass_over(struct archive_reader *r, struct err *err)
{
    struct view ignored;

    while (r->left) {
        size_t n = r->left < SEAL_PIECE ? (size_t)r->left : SEAL_PIECE;
        if (!take(r, n, &ignored, err))
            return false;
        r->left -= n;
    }
    return true;
}

bool archive_next(struct archive_reader *r, struct archive_member *ret_member, bool *ret_is_end,
                  struct err *err)
{
    struct archive_member m = { 0 };
    struct view bytes;
    size_t name_len;
    uint32_t mode;

    if (r->is_sealed && !r->seal)
        return err_set(err, ERR_INTERNAL, "archive: sealed");
    if (!pass_over(r, err) || !take(r, 2, &bytes, err))
        return false;
    name_len = (size_t)bytes.data[0] << 8 | bytes.data[1];
    if (name_len == 0 && !check_end(r, err))
        return false;
    *ret_is_end = name_len == 0;
    if (*ret_is_end)
        return true;
    if (name_len >= sizeof(m.name) || !take(r, name_len, &bytes, err))
        return err_set(err, ERR_BAD_CONFIG, "the archive was changed: a name of %zu bytes",
                       name_len);
    memcpy(m.name, bytes.data, name_len);
    if (!is_safe_name(m.name, name_len))
        return err_set(err, ERR_BAD_CONFIG, "the archive was changed: no name of ours in it");
    if (!take(r, 12, &bytes, err))
        return false;
    view_take_u32(&bytes, &mode);
    view_take_u64(&bytes, &m.len);
    m.mode = mode & 0777;
    r->left = m.len;
    *ret_member = m;
    return true;
}

bool archive_take(struct archive_reader *r, size_t max, struct buf *to, struct err *err)
{
    size_t n = max < SEAL_PIECE ? max : SEAL_PIECE;
    struct view bytes;

    n = r->left < n ? (size_t)r->left : n;
    if (!n)
        return true;
    if (!take(r, n, &bytes, err))
        return false;
    r->left -= n;
    buf_put(to, bytes);
    return true;
}
