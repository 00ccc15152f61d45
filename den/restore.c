/* SPDX-License-Identifier: Apache-2.0 */
#include "den/acting.h"
#include "den/backup.h"

#include "base/archive.h"
#include "base/dir.h"
#include "base/file.h"
#include "den/audit.h"
#include "den/record.h"
#include "den/restored.h"
#include "den/store.h"
#include "vault/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, KEPT = 5 };

/* Without these den does not start. */
static const char *const keys[KEPT] = { "login.key", "sign.key", "intermediate.key",
                                        "intermediate.pem", "trust" };

struct restoring {
    const struct restore_order *order;
    struct archive_reader *archive;
    char *dir, *work; /* where it is put together */
    int fd, lock_fd;
    bool is_work_made, has_store;
    struct buf text;
};

static void restoring_deinit(struct restoring *r)
{
    archive_reader_free(r->archive);
    if (r->fd >= 0)
        close(r->fd);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    if (r->is_work_made)
        dir_remove_flat(r->work);
    free(r->dir);
    free(r->work);
    buf_free(&r->text);
}

/* ---- out of the archive ------------------------------------------------------------------------- */

static bool write_piece(int fd, struct view bytes)
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

static bool fill(struct restoring *r, int fd, const char *path, struct err *err)
{
    _buf_wipe_ piece = { 0 };

    for (;;) {
        buf_clear(&piece);
        if (!archive_take(r->archive, PIECE, &piece, err))
            return false;
        if (!piece.len)
            return true;
        if (!write_piece(fd, buf_view(&piece)))
            return err_errno(err, "%s", path);
    }
}

static bool extract(struct restoring *r, const struct archive_member *member, struct err *err)
{
    _free_ char *path = file_path(r->work, member->name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok;

    if (fd < 0)
        return err_errno(err, "%s", path);
    ok = fill(r, fd, path, err);
    if (ok && (fchmod(fd, member->mode) != 0 || fsync(fd) != 0))
        ok = err_errno(err, "%s", path);
    close(fd);
    r->has_store |= strcmp(member->name, "den.db") == 0;
    return ok;
}

static bool extract_all(struct restoring *r, struct err *err)
{
    struct archive_member member;
    bool is_end = false;

    for (;;) {
        if (!archive_next(r->archive, &member, &is_end, err))
            return false;
        if (is_end)
            return r->has_store ||
                   err_set(err, ERR_BAD_CONFIG, "no backup of warren-den: den.db is not in it");
        if (!extract(r, &member, err))
            return false;
    }
}

static bool open_archive(struct restoring *r, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };
    _buf_wipe_ passphrase = { 0 };

    if (!acting_begin(&as, &self, err))
        return false;
    r->fd = open(r->order->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (r->fd < 0)
        return err_errno(err, "%s", r->order->from);
    if (!archive_open(r->fd, &r->archive, err))
        return false;
    if (!archive_is_sealed(r->archive))
        return true;
    return r->order->ask(r->order->user, &passphrase, err) &&
           archive_unseal(r->archive, buf_view(&passphrase), err);
}

/* ---- the store ---------------------------------------------------------------------------------- */

/* For the audit, as soon as den goes on: what came from where, and what stood in its place. */
static bool mark(const struct restoring *r, struct store *open_store, struct err *err)
{
    _transaction_ struct store *open = open_store;
    _free_ char *path = file_path(r->dir, "den.db");
    enum store_found found = STORE_NONE;
    struct store_anchor replaced;

    if (r->order->replaces && !store_anchor_at(path, &found, &replaced, err))
        return false;
    const struct restored what = { .file = r->order->from,
                                   .deed = &r->order->deed,
                                   .replaced = found == STORE_FOUND ? &replaced : NULL };
    return store_begin(open, err) && restored_note(open, &what, err) && store_commit(open, err);
}

static bool check_audit(struct store *store, uint64_t *ret_n, uint64_t *ret_newest, struct err *err)
{
    uint64_t bad;

    if (!audit_verify(store, ret_newest, &bad, ret_n, err))
        return false;
    return !bad ||
           err_set(err, ERR_BAD_CONFIG, "audit: entry %llu is changed, missing or out of order",
                   (unsigned long long)bad);
}

/* Whole in itself, and marked as what it is. */
static bool prepare_store(struct restoring *r, struct err *err)
{
    _free_ char *path = file_path(r->work, "den.db");
    _cleanup_(store_freep) struct store *store = NULL;
    uint64_t n, newest;

    if (!store_open(path, &store, err) || !store_check(store, err) ||
        !check_audit(store, &n, &newest, err) || !store_log(store, err) || !mark(r, store, err))
        return false;
    buf_printf(&r->text, "den.db is whole: %llu audit entries, up to number %llu\n",
               (unsigned long long)n, (unsigned long long)newest);
    return true;
}

/* ---- into place --------------------------------------------------------------------------------- */

static bool sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        err_errno(err, "%s", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool check_free(const char *path, struct err *err)
{
    _free_ char *other = NULL;

    if (!dir_find_other(path, NULL, 0, &other, err))
        return false;
    if (!other)
        return true;
    err_set(err, ERR_ALREADY_EXISTS, "%s is not empty: it holds %s; nothing was overwritten", path,
            other);
    return err_advise(err, "give the name of a new folder; or --replace the store in this one");
}

/* The one that was there is kept under another name, with its log. */
static bool set_aside(struct restoring *r, struct err *err)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    unsigned long long now = r->order->deed.at;

    for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
        _free_ char *from = mem_format("%s/den.db%s", r->dir, parts[i]);
        _free_ char *to = mem_format("%s/den.db.replaced-%llu%s", r->dir, now, parts[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return err_errno(err, "%s", from);
        if (i == 0 && file_exists(to))
            buf_printf(&r->text, "the store that was there is kept: %s\n", to);
    }
    return true;
}

static bool move_in(struct restoring *r, const char *name, struct err *err)
{
    _free_ char *from = file_path(r->work, name), *to = file_path(r->dir, name);

    if (strcmp(name, "den.db") != 0 && file_exists(to)) {
        buf_printf(&r->text, "  %-20s stays as it is in the folder\n", name);
        return true;
    }
    buf_printf(&r->text, "  %-20s restored\n", name);
    return rename(from, to) == 0 || err_errno(err, "%s", to);
}

static bool merge(struct restoring *r, struct err *err)
{
    DIR *dir = opendir(r->work);
    struct dirent *entry;
    bool ok = dir != NULL || err_errno(err, "%s", r->work);

    ok = ok && set_aside(r, err);
    while (ok && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = move_in(r, entry->d_name, err);
    }
    if (dir)
        closedir(dir);
    return ok && sync_dir(r->dir, err);
}

static bool reveal(struct restoring *r, struct err *err)
{
    const char *slash = strrchr(r->dir, '/');
    _free_ char *parent =
        slash ? mem_format("%.*s", slash == r->dir ? 1 : (int)(slash - r->dir), r->dir)
              : mem_text(".");

    if (r->order->replaces)
        return merge(r, err);
    rmdir(r->dir); /* if it is there, it is empty */
    if (!sync_dir(r->work, err))
        return false;
    if (rename(r->work, r->dir) != 0)
        return err_errno(err, "%s", r->dir);
    r->is_work_made = false;
    return sync_dir(parent, err);
}

struct telling {
    struct restoring *r;
    bool has_intermediate;
};

/* A folder that is whole may yet be without its keys. */
static bool tell_token(void *user, const char *path)
{
    struct telling *t = user;
    const char *name = strrchr(path, '/') + 1;
    _buf_ uri = { 0 };

    if (!token_file_say(path, &uri))
        return true;
    buf_printf(&t->r->text, "  %-20s the key is in a token: %s\n", name, buf_cstr(&uri));
    t->has_intermediate |= strncmp(name, "intermediate", 12) == 0;
    return true;
}

static void tell_tokens(struct restoring *r)
{
    struct telling t = { .r = r };

    vault_each_file(r->dir, "root", "key", tell_token, &t);
    vault_each_file(r->dir, "intermediate", "key", tell_token, &t);
    if (t.has_intermediate)
        buf_put_text(
            &r->text,
            "no backup has a key that is in a token: den needs that token, its PIN and its "
            "module here, or a rollover to another key\n");
}

static bool stop_at(_unused_ void *user, _unused_ const char *path)
{
    return false;
}

/* Or what a rollover put in its place: sign.4.key for sign.key. */
static bool has_one(const struct restoring *r, const char *name)
{
    _free_ char *path = file_path(r->dir, name);
    const char *dot = strchr(name, '.');

    if (!dot)
        return file_exists(path);
    _free_ char *kind = mem_format("%.*s", (int)(dot - name), name);
    return !vault_each_file(r->dir, kind, dot + 1, stop_at, NULL);
}

static void tell_missing(struct restoring *r)
{
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        if (!has_one(r, keys[i]))
            buf_printf(&r->text,
                       "  %-20s is missing: den does not start without it, or what a rollover put "
                       "in its place\n",
                       keys[i]);
}

/* It is never in a backup, as it would be an older one. */
static void tell_list(struct restoring *r)
{
    _free_ char *path = file_path(r->dir, "crl.der");

    if (!file_exists(path))
        buf_printf(&r->text,
                   "  %-20s is missing: if den asks for it, take that of a machine that "
                   "was online last\n",
                   "crl.der");
}

static bool check_dens(const char *dir, struct err *err)
{
    _free_ char *db = file_path(dir, "den.db");
    _free_ char *conf = file_path(dir, "den.conf");

    if (file_exists(db) || file_exists(conf))
        return true;
    err_set(err, ERR_NOT_FOUND, "%s is not den's folder: there is neither den.db nor den.conf",
            dir);
    return err_advise(err, "give the folder of a den; or a new one, without --replace");
}

/* Root replaces what is in a folder as the user whose it is; a new one is root's own. */
static bool enter(struct restoring *r, struct acting *as, struct err *err)
{
    struct owner den;

    return check_dens(r->dir, err) && owner_of_dir(r->dir, &den, err) &&
           acting_begin(as, &den, err) && file_check_private_dir(r->dir, err);
}

static bool prepare(struct restoring *r, struct acting *as, struct err *err)
{
    size_t len = strlen(r->order->dir);

    while (len > 1 && r->order->dir[len - 1] == '/')
        len--;
    r->dir = mem_format("%.*s", (int)len, r->order->dir);
    r->work = r->order->replaces ? mem_format("%s/restore.new-%ld", r->dir, (long)getpid())
                                 : mem_format("%s.restore-%ld", r->dir, (long)getpid());
    if (!r->order->replaces)
        return check_free(r->dir, err);
    _free_ char *lock = file_path(r->dir, "den.lock");
    if (!enter(r, as, err))
        return false;
    return file_lock(lock, &r->lock_fd, err) || err_wrap(err, "stop warren-den first");
}

bool restore_make(const struct restore_order *order, struct buf *ret_text, struct err *err)
{
    _acting_ struct acting as = { 0 };
    _cleanup_(restoring_deinit) struct restoring r = { .order = order, .fd = -1, .lock_fd = -1 };

    if (!prepare(&r, &as, err))
        return err_wrap(err, "restore");
    if (!open_archive(&r, err))
        return err_wrap(err, "%s", order->from);
    r.is_work_made = mkdir(r.work, 0700) == 0;
    if (!r.is_work_made)
        return err_errno(err, "%s", r.work);
    if (!extract_all(&r, err) || !prepare_store(&r, err))
        return err_wrap(err, "%s", order->from);
    if (!reveal(&r, err))
        return err_wrap(err, "restore");
    tell_tokens(&r);
    tell_missing(&r);
    tell_list(&r);
    *ret_text = r.text;
    r.text = (struct buf){ 0 };
    return true;
}
