/* SPDX-License-Identifier: Apache-2.0 */
#include "base/archive.h"
#include "base/file.h"
#include "base/key.h"
#include "tests/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LONG = 300000 };

static struct err err;

static char *path_of(const char *name)
{
    return file_path(check_dir(), name);
}

static struct buf make(struct view passphrase)
{
    _free_ char *path = path_of("archive");
    _cleanup_(archive_writer_freep) struct archive_writer *w = NULL;
    struct buf bytes = { 0 };
    _buf_ piece = { 0 };
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool ok;

    memset(buf_grow(&piece, LONG), 'x', LONG);
    ok = fd >= 0 && archive_create(fd, passphrase, &w, &err) &&
         archive_put(w, "small", 0640, VIEW_LIT("hello"), &err) &&
         archive_begin(w, "long", 0600, LONG, &err) &&
         archive_more(w, view_sub(buf_view(&piece), 0, 1000), &err) &&
         archive_more(w, view_sub(buf_view(&piece), 1000, LONG), &err) &&
         archive_put(w, "empty", 0600, VIEW(NULL, 0), &err) && archive_end(w, &err) &&
         file_read(path, 1 << 20, &bytes, &err);
    if (!ok)
        check_failed(__FILE__, __LINE__, "%s", err.text);
    close(fd);
    return bytes;
}

/* How many members were whole before it ended or failed; -1: not even opened. */
static int read_all(const struct buf *bytes, struct view passphrase, bool *ret_is_whole)
{
    _free_ char *path = path_of("read");
    _cleanup_(archive_reader_freep) struct archive_reader *r = NULL;
    struct archive_member m;
    bool is_end = false;
    int n = 0, fd;

    *ret_is_whole = false;
    if (!file_write(path, buf_view(bytes), 0600, &err))
        return -1;
    fd = open(path, O_RDONLY);
    if (!archive_open(fd, &r, &err) ||
        (archive_is_sealed(r) && !archive_unseal(r, passphrase, &err)))
        n = -1;
    while (n >= 0) {
        _buf_ to = { 0 };
        size_t before;
        if (!archive_next(r, &m, &is_end, &err) || is_end)
            break;
        do {
            before = to.len;
        } while (archive_take(r, 70000, &to, &err) && to.len > before);
        if (to.len != m.len)
            break;
        n++;
    }
    *ret_is_whole = is_end && n == 3;
    close(fd);
    return n;
}

TEST(what_was_put_in_comes_out)
{
    const struct view passphrases[] = { VIEW(NULL, 0), VIEW_LIT("a long word") };

    for (size_t i = 0; i < N_ELEMENTS(passphrases); i++) {
        _buf_ bytes = make(passphrases[i]);
        bool is_whole;
        CHECK_U64((unsigned)read_all(&bytes, passphrases[i], &is_whole), 3);
        CHECK(is_whole);
    }
}

TEST(a_sealed_one_shows_nothing_and_needs_its_passphrase)
{
    _buf_ bytes = make(VIEW_LIT("a long word"));
    bool is_whole;

    CHECK(!memmem(bytes.data, bytes.len, "hello", 5));
    CHECK(!memmem(bytes.data, bytes.len, "small", 5));
    CHECK(read_all(&bytes, VIEW_LIT("a long worf"), &is_whole) == -1);
    CHECK(err.code == ERR_BAD_PASSPHRASE);
    CHECK(read_all(&bytes, VIEW_LIT(""), &is_whole) == -1);
}

/* Wherever it is cut or changed; the sealed one at fewer places, for each costs a key. */
TEST(what_was_cut_short_or_changed_is_noticed)
{
    const struct view passphrases[] = { VIEW(NULL, 0), VIEW_LIT("w") };

    for (size_t i = 0; i < N_ELEMENTS(passphrases); i++) {
        _buf_ bytes = make(passphrases[i]);
        size_t len = bytes.len, n = i ? 6 : 60;
        for (size_t k = 0; k < n; k++) {
            bool is_whole;
            bytes.len = k * len / n;
            read_all(&bytes, passphrases[i], &is_whole);
            CHECK(!is_whole);
            bytes.len = len;
            size_t at = k < 3 ? len - 1 - k : random_below((uint32_t)len);
            bytes.data[at] ^= 1;
            read_all(&bytes, passphrases[i], &is_whole);
            if (is_whole)
                check_failed(__FILE__, __LINE__, "byte %zu of %zu was changed", at, len);
            bytes.data[at] ^= 1;
        }
        buf_put_text(&bytes, "x");
        bool is_whole;
        read_all(&bytes, passphrases[i], &is_whole);
        CHECK(!is_whole);
    }
}

TEST(names_that_lead_elsewhere_are_refused)
{
    _free_ char *path = path_of("evil");
    const char *names[] = { "../x", "a/b", ".hidden" };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _cleanup_(archive_writer_freep) struct archive_writer *w = NULL;
        _buf_ bytes = { 0 };
        bool is_whole;
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK(archive_create(fd, VIEW(NULL, 0), &w, &err) &&
              archive_put(w, names[i], 0600, VIEW_LIT("x"), &err) && archive_end(w, &err) &&
              file_read(path, 1 << 20, &bytes, &err));
        close(fd);
        CHECK(read_all(&bytes, VIEW(NULL, 0), &is_whole) == 0);
        CHECK(err.code == ERR_BAD_CONFIG);
    }
}
