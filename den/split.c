/* SPDX-License-Identifier: Apache-2.0 */
#include "den/split.h"

#include "base/file.h"
#include "base/text.h"
#include "den/adopt.h"
#include "den/folder.h"
#include "den/home.h"
#include "vault/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 30, MAX_CONFIG = 256 * 1024 };

/* The book last: with it the new folder is whole. */
static const char *const memory[] = { "signer.orders", "signer.numbers", "signer.book" };
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
    uid_t uid; /* the signer's */
    gid_t gid;
    uid_t den_uid; /* whose den's folder is */
    gid_t den_gid;
};

static void splitting_deinit(struct splitting *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

static bool find_user(struct splitting *s, struct err *err)
{
    const struct passwd *pw;

    s->uid = geteuid();
    s->gid = getegid();
    if (!s->order->user)
        return true;
    pw = getpwnam(s->order->user);
    if (!pw)
        return err_set(err, ERR_INVALID_ARGUMENT, "--user: there is no user \"%.64s\"",
                       s->order->user);
    s->uid = pw->pw_uid;
    s->gid = pw->pw_gid;
    return true;
}

static bool find_den(struct splitting *s, struct err *err)
{
    struct stat st;

    if (stat(s->order->config->state, &st) != 0)
        return err_errno(err, "%s", s->order->config->state);
    s->den_uid = st.st_uid;
    s->den_gid = st.st_gid;
    return true;
}

/* Root acts as den's own user in den's folder: its checks hold, and what is made there is den's. */
static bool act_as(uid_t uid, gid_t gid, struct err *err)
{
    if (getuid() != 0)
        return true;
    return (seteuid(0) == 0 && setegid(gid) == 0 && seteuid(uid) == 0) ||
           err_errno(err, "becoming user %u", (unsigned)uid);
}

static bool as_den(const struct splitting *s, struct err *err)
{
    return act_as(s->den_uid, s->den_gid, err);
}

static bool as_oneself(struct err *err)
{
    return act_as(getuid(), getgid(), err);
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

static bool make_dir(const struct splitting *s, struct err *err)
{
    const char *dir = s->order->dir;

    if (vault_book_exists(dir))
        return err_set(err, ERR_ALREADY_EXISTS, "%s has a signer's book; nothing was overwritten",
                       dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, "%s", dir);
    if (chmod(dir, 0700) != 0 || chown(dir, s->uid, s->gid) != 0)
        return err_errno(err, "%s", dir);
    return true;
}

static bool copy(const struct splitting *s, const char *name, struct err *err)
{
    _free_ char *from = file_path(s->order->config->state, name),
                *to = file_path(s->order->dir, name);
    _buf_wipe_ bytes = { 0 };

    return as_den(s, err) && file_read(from, MAX_FILE, &bytes, err) && as_oneself(err) &&
           file_write(to, buf_view(&bytes), 0600, err) &&
           (chown(to, s->uid, s->gid) == 0 || err_errno(err, "%s", to));
}

struct keys {
    const struct splitting *s;
    struct err *err;
};

static bool copy_key(void *user, const char *path)
{
    const struct keys *k = user;

    return copy(k->s, strrchr(path, '/') + 1, k->err);
}

static bool copy_all(const struct splitting *s, struct err *err)
{
    _free_ char *manifests = file_path(s->order->config->state, VAULT_MANIFESTS);
    struct keys k = { s, err };

    for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
        if (!vault_each_file(s->order->config->state, kinds[i].kind, kinds[i].ending, copy_key, &k))
            return false;
    if (file_exists(manifests) && !copy(s, VAULT_MANIFESTS, err))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(memory); i++)
        if (!copy(s, memory[i], err))
            return false;
    return true;
}

static bool remove_one(void *user, const char *path)
{
    struct err *err = user;

    return unlink(path) == 0 || errno == ENOENT || err_errno(err, "%s", path);
}

static bool remove_old(const struct splitting *s, struct err *err)
{
    const char *dir = s->order->config->state;
    _free_ char *manifests = file_path(dir, VAULT_MANIFESTS);

    for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
        if (!kinds[i].stays &&
            !vault_each_file(dir, kinds[i].kind, kinds[i].ending, remove_one, err))
            return false;
    for (size_t i = 0; i < N_ELEMENTS(memory); i++) {
        _free_ char *path = file_path(dir, memory[i]);
        if (!remove_one(err, path))
            return false;
    }
    return remove_one(err, manifests);
}

/* A line that is there is replaced, also one that only shows the default. */
static bool configure(const struct split_order *order, struct err *err)
{
    _buf_ text = { 0 }, out = { 0 };
    struct view rest;
    struct stat st;
    bool is_said = false;

    if (stat(order->config_path, &st) != 0)
        return err_errno(err, "%s", order->config_path);
    if (!file_read(order->config_path, MAX_CONFIG, &text, err))
        return false;
    for (rest = buf_view(&text); rest.len;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        struct view line = view_sub(rest, 0, end ? (size_t)(end - rest.data) + 1 : rest.len);
        bool is_it =
            view_starts(line, VIEW_LIT("#signer =")) || view_starts(line, VIEW_LIT("signer ="));
        if (is_it && !is_said)
            buf_printf(&out, "signer = %s\n", order->socket);
        else if (!is_it)
            buf_put(&out, line);
        is_said |= is_it;
        rest = view_sub(rest, line.len, rest.len);
    }
    if (!is_said)
        buf_printf(&out, "%ssigner = %s\n", out.len && out.data[out.len - 1] != '\n' ? "\n" : "",
                   order->socket);
    return file_write(order->config_path, buf_view(&out), st.st_mode & 0777, err) &&
           (chown(order->config_path, st.st_uid, st.st_gid) == 0 ||
            err_errno(err, "%s", order->config_path));
}

bool split_signer(const struct split_order *order, struct err *err)
{
    _cleanup_(splitting_deinit) struct splitting s = { .order = order, .lock_fd = -1 };

    if (order->config->signer && *order->config->signer)
        return err_set(err, ERR_ALREADY_EXISTS, "%s says signer = %s: that is done already",
                       order->config_path, order->config->signer);
    if (!find_user(&s, err) || !find_den(&s, err) || !as_den(&s, err) ||
        !config_check_secrets(order->config, err))
        return false;
    if (!folder_lock(order->config, &s.lock_fd, err))
        return err->code == ERR_BUSY ? err_wrap(err, "stop warren-den first") : false;
    if (!make_book(order, err) || !as_oneself(err) || !make_dir(&s, err))
        return false;
    if (!copy_all(&s, err))
        return false;
    return configure(order, err) && remove_old(&s, err);
}
