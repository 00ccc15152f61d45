/* SPDX-License-Identifier: Apache-2.0 */
#include "den/split.h"

#include "base/file.h"
#include "base/text.h"
#include "den/acting.h"
#include "den/adopt.h"
#include "den/folder.h"
#include "den/home.h"
#include "vault/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 30, MAX_CONFIG = 256 * 1024 };

/* The book last: with it the new folder is whole. */
static const char *const memory[] = { VAULT_MANIFESTS, "signer.orders", "signer.numbers",
                                      "signer.book" };
/* Also those that rollovers made: sign.7.key. */
static const struct {
    const char *kind, *ending;
    bool stays; /* in den's folder, too */
} kinds[] = { { "sign", "key", false },
              { "intermediate", "key", false },
              { "intermediate", "pem", true } };

struct splitting {
    const struct split_order *order;
    int lock_fd;
    struct owner signer, den; /* whose the folders are, or will be */
    char *dir;                /* the signer's, from the root of the file system */
    size_t n_left;            /* files in den's folder that are the signer's */
};

static void splitting_deinit(struct splitting *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->dir);
}

static bool find_user(struct splitting *s, struct err *err)
{
    const struct passwd *pw;

    s->signer = owner_self();
    if (!s->order->user)
        return true;
    pw = getpwnam(s->order->user);
    if (!pw)
        return err_set(err, ERR_INVALID_ARGUMENT, "--user: there is no user \"%.64s\"",
                       s->order->user);
    s->signer = (struct owner){ pw->pw_uid, pw->pw_gid };
    return true;
}

static bool make_book(const struct split_order *order, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _buf_ csr = { 0 };
    bool is_new;

    return folder_load_trust(order->config, &trust, err) &&
           folder_open_store(order->config, &store, err) &&
           home_read_router_csr(order->config->state, &csr, err) &&
           adopt_book(order->config->state, store, trust, buf_view(&csr), order->now, &is_new, err);
}

/* ---- the two folders ------------------------------------------------------------------------------ */

static bool read_as(const struct owner *owner, const char *dir, const char *name,
                    struct buf *ret_bytes, struct err *err)
{
    _free_ char *path = file_path(dir, name);
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, owner, err) && file_read(path, MAX_FILE, ret_bytes, err);
}

/* Left by one that was killed: den went on with its own book since, which begins with what that one copied. */
static bool check_book(const struct splitting *s, struct err *err)
{
    _buf_wipe_ ours = { 0 }, theirs = { 0 };

    if (!read_as(&s->den, s->order->config->state, "signer.book", &ours, err) ||
        !read_as(&s->signer, s->dir, "signer.book", &theirs, err))
        return false;
    return view_starts(buf_view(&ours), buf_view(&theirs)) ||
           err_set(err, ERR_ALREADY_EXISTS,
                   "%s has a signer's book, and not a copy of this one; nothing was overwritten",
                   s->dir);
}

static bool has_book(const struct splitting *s, bool *ret_has, struct err *err)
{
    _acting_ struct acting as = { 0 };

    if (!acting_begin(&as, &s->signer, err))
        return false;
    *ret_has = vault_book_exists(s->dir);
    return true;
}

/* Not through a link: what it is given is the signer's from then on. */
static bool make_dir(struct splitting *s, struct err *err)
{
    const char *dir = s->order->dir;
    bool ok = false, has = false;
    int fd;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, "%s", dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        ok = fchmod(fd, 0700) == 0 && fchown(fd, s->signer.uid, s->signer.gid) == 0;
        close(fd);
    }
    s->dir = ok ? realpath(dir, NULL) : NULL;
    if (!s->dir)
        return err_errno(err, "%s", dir);
    return has_book(s, &has, err) && (!has || check_book(s, err));
}

static bool copy(struct splitting *s, const char *name, struct err *err)
{
    _free_ char *to = file_path(s->dir, name);
    _acting_ struct acting as = { 0 };
    _buf_wipe_ bytes = { 0 };

    return read_as(&s->den, s->order->config->state, name, &bytes, err) &&
           acting_begin(&as, &s->signer, err) && file_write(to, buf_view(&bytes), 0600, err);
}

/* ---- from one to the other ------------------------------------------------------------------------- */

typedef bool with_file(struct splitting *s, const char *name, struct err *err);

struct each {
    struct splitting *s;
    with_file *do_it;
    struct err *err;
};

static bool do_one(void *user, const char *path)
{
    const struct each *e = user;

    return e->do_it(e->s, strrchr(path, '/') + 1, e->err);
}

/* What there is in den's folder of what is the signer's, the book last; without what stays, or all of it. */
static bool each_file(struct splitting *s, bool with_shared, with_file *do_it, struct err *err)
{
    const char *dir = s->order->config->state;
    struct each e = { s, do_it, err };

    for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
        if ((with_shared || !kinds[i].stays) &&
            !vault_each_file(dir, kinds[i].kind, kinds[i].ending, do_one, &e))
            return false;
    for (size_t i = 0; i < N_ELEMENTS(memory); i++) {
        _free_ char *path = file_path(dir, memory[i]);
        if (file_exists(path) && !do_one(&e, path))
            return false;
    }
    return true;
}

/* The signer has gone on with its own since, but for the keys: those are the same. */
static bool check_there(struct splitting *s, const char *name, struct err *err)
{
    size_t len = strlen(name);
    bool is_key = len > 4 && strcmp(name + len - 4, ".key") == 0;
    _buf_wipe_ ours = { 0 }, theirs = { 0 };
    struct err why = { 0 };

    if (!read_as(&s->signer, s->dir, name, &theirs, &why))
        return err_set(err, ERR_NOT_FOUND,
                       "%s is still in den's folder, and the signer's does not have it (%.80s): "
                       "nothing was removed",
                       name, why.text);
    if (!is_key)
        return true;
    return read_as(&s->den, s->order->config->state, name, &ours, err) &&
           (view_eq(buf_view(&ours), buf_view(&theirs)) ||
            err_set(err, ERR_ALREADY_EXISTS,
                    "%s is in den's folder and in the signer's, and they differ: nothing was "
                    "removed",
                    name));
}

static bool remove_one(struct splitting *s, const char *name, struct err *err)
{
    _free_ char *path = file_path(s->order->config->state, name);

    return unlink(path) == 0 || errno == ENOENT || err_errno(err, "%s", path);
}

static bool count_one(struct splitting *s, _unused_ const char *name, _unused_ struct err *err)
{
    s->n_left++;
    return true;
}

/* ---- den.conf -------------------------------------------------------------------------------------- */

struct line {
    const char *key, *value;
    bool is_said;
};

static bool is_about(struct view line, const char *key)
{
    if (view_starts(line, VIEW_LIT("#")))
        line = view_sub(line, 1, line.len);
    if (!view_starts(line, view_text(key)))
        return false;
    line = view_sub(line, strlen(key), line.len);
    return view_starts(line, VIEW_LIT(" =")) || view_starts(line, VIEW_LIT("="));
}

/* A line that is there is replaced, also one that only shows the default. */
static void put_line(struct line *lines, size_t n, struct view line, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_about(line, lines[i].key))
            continue;
        if (!lines[i].is_said)
            buf_printf(out, "%s = %s\n", lines[i].key, lines[i].value);
        lines[i].is_said = true;
        return;
    }
    buf_put(out, line);
}

static bool configure(const struct splitting *s, struct err *err)
{
    const struct split_order *order = s->order;
    struct owner owner = owner_for_file(order->config_path, &s->den);
    struct line lines[] = { { "signer", order->socket, false },
                            { "signer_folder", s->dir, false } };
    _acting_ struct acting as = { 0 };
    _buf_ text = { 0 }, out = { 0 };
    struct view rest;
    struct stat st;

    if (stat(order->config_path, &st) != 0)
        return err_errno(err, "%s", order->config_path);
    if (!acting_begin(&as, &owner, err) || !file_read(order->config_path, MAX_CONFIG, &text, err))
        return false;
    for (rest = buf_view(&text); rest.len;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        struct view line = view_sub(rest, 0, end ? (size_t)(end - rest.data) + 1 : rest.len);
        put_line(lines, N_ELEMENTS(lines), line, &out);
        rest = view_sub(rest, line.len, rest.len);
    }
    if (out.len && out.data[out.len - 1] != '\n')
        buf_put_text(&out, "\n");
    for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
        if (!lines[i].is_said)
            buf_printf(&out, "%s = %s\n", lines[i].key, lines[i].value);
    }
    return file_write(order->config_path, buf_view(&out), st.st_mode & 0777, err);
}

/* ---- all of it ------------------------------------------------------------------------------------- */

/* den.conf points there, and what den is not to read any more is still here. */
static bool finish(struct splitting *s, struct err *err)
{
    const struct split_order *order = s->order;

    s->dir = realpath(order->dir, NULL);
    if (!s->dir)
        return err_errno(err, "%s", order->dir);
    return owner_of_dir(s->dir, &s->signer, err) && each_file(s, false, check_there, err) &&
           each_file(s, false, remove_one, err);
}

static bool go_on(struct splitting *s, struct err *err)
{
    if (!each_file(s, false, count_one, err))
        return false;
    return s->n_left ? finish(s, err)
                     : err_set(err, ERR_ALREADY_EXISTS, "%s says signer = %s: that is done already",
                               s->order->config_path, s->order->config->signer);
}

static bool move(struct splitting *s, struct err *err)
{
    const struct owner self = owner_self();

    if (!make_book(s->order, err))
        return false;
    _acting_ struct acting as = { 0 };
    return acting_begin(&as, &self, err) && make_dir(s, err) && each_file(s, true, copy, err) &&
           configure(s, err);
}

bool split_signer(const struct split_order *order, struct err *err)
{
    _cleanup_(splitting_deinit) struct splitting s = { .order = order, .lock_fd = -1 };
    const struct den_config *config = order->config;
    bool is_said = config->signer && *config->signer;
    _acting_ struct acting as = { 0 };

    if (!find_user(&s, err) || !owner_of_dir(config->state, &s.den, err) ||
        !owner_check_guide(order->config_path, &s.den, err) || !acting_begin(&as, &s.den, err) ||
        !config_check_secrets(config, err))
        return false;
    if (is_said)
        return go_on(&s, err);
    if (!folder_lock(config, &s.lock_fd, err))
        return err->code == ERR_BUSY ? err_wrap(err, "stop warren-den first") : false;
    return move(&s, err) && each_file(&s, false, remove_one, err);
}
