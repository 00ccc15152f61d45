/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/file.h"
#include "base/seal.h"

enum { SEAL_ROOM = 256, MAX_SECRET = 64 * 1024 };

/* Of UTF-8: bytes that continue a character are not counted. */
static size_t count_characters(struct view text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += (text.data[i] & 0xc0) != 0x80;
    return n;
}

bool secret_check_new(struct view passphrase, const char *whose, struct err *err)
{
    size_t n = count_characters(passphrase);

    return n >= SECRET_PASSPHRASE_MIN ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "the new passphrase for %s has %zu character%s, and needs at least %d: take "
                   "four random words, "
                   "for example",
                   whose, n, n == 1 ? "" : "s", SECRET_PASSPHRASE_MIN);
}

static bool open_sealed(const char *path, struct view sealed, struct view passphrase,
                        struct buf *ret_bytes, struct err *err)
{
    if (passphrase.len == 0)
        return err_set(err, ERR_LOCKED, "%s is kept under a passphrase", path);
    return seal_open(sealed, passphrase, ret_bytes, err) || err_wrap(err, "%s", path);
}

bool secret_read(const char *path, size_t max, struct view passphrase, struct buf *ret_bytes,
                 struct err *err)
{
    _buf_wipe_ bytes = { 0 };

    if (!file_read_secret(path, max + SEAL_ROOM, &bytes, err))
        return false;
    if (seal_is(buf_view(&bytes)))
        return open_sealed(path, buf_view(&bytes), passphrase, ret_bytes, err);
    if (bytes.len > max)
        return err_set(err, ERR_TOO_LARGE, "%s: more than %zu bytes", path, max);
    *ret_bytes = bytes;
    bytes = (struct buf){ 0 };
    return true;
}

typedef bool write_file(const char *path, struct view bytes, unsigned mode, struct err *err);

static bool put(write_file *write, const char *path, struct view bytes, struct view passphrase,
                struct err *err)
{
    _buf_ sealed = { 0 };

    if (passphrase.len == 0)
        return write(path, bytes, 0600, err);
    return seal_put(bytes, passphrase, &sealed, err) && write(path, buf_view(&sealed), 0600, err);
}

bool secret_write(const char *path, struct view bytes, struct view passphrase, struct err *err)
{
    return put(file_write, path, bytes, passphrase, err);
}

bool secret_create(const char *path, struct view bytes, struct view passphrase, struct err *err)
{
    return put(file_create, path, bytes, passphrase, err);
}

bool secret_is_sealed(const char *path, bool *ret_is, struct err *err)
{
    _buf_wipe_ bytes = { 0 };

    if (!file_read_secret(path, MAX_SECRET, &bytes, err))
        return false;
    *ret_is = seal_is(buf_view(&bytes));
    return true;
}

/* Whether it is what it shall become. */
static bool is_done(const char *path, bool is_sealed, struct view next)
{
    _buf_wipe_ bytes = { 0 };
    struct err ignored;

    if (!is_sealed || next.len == 0)
        return is_sealed == (next.len != 0);
    return secret_read(path, MAX_SECRET, next, &bytes, &ignored);
}

/* Sealing takes a while: who destroyed the file meanwhile does not find it again. */
static bool rewrite(const char *path, struct view bytes, unsigned mode, struct err *err)
{
    return file_exists(path) ? file_write(path, bytes, mode, err)
                             : err_set(err, ERR_NOT_FOUND, "%s: it was removed meanwhile", path);
}

bool secret_change(const char *path, struct view old, struct view next, struct err *err)
{
    _buf_wipe_ bytes = { 0 };
    struct err why;
    bool is_sealed;

    if (!secret_is_sealed(path, &is_sealed, err))
        return false;
    if (secret_read(path, MAX_SECRET, old, &bytes, &why))
        return (!is_sealed && next.len == 0) || put(rewrite, path, buf_view(&bytes), next, err);
    if (is_done(path, is_sealed, next))
        return true;
    *err = why;
    return false;
}
