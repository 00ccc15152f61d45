/* SPDX-License-Identifier: Apache-2.0 */
#include "den/backup.h"

#include "base/archive.h"
#include "base/clock.h"
#include "base/file.h"
#include "den/acting.h"
#include "den/folder.h"
#include "vault/token.h"
#include "vault/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 16 * 1024 * 1024, PIECE = 64 * 1024 };

struct making {
    const struct backup_order *order;
    struct archive_writer *archive;
    struct backup_report *report;
    char *temporary, *copy; /* of the backup, of the store */
    int fd;
    bool has_policy;
};

static void making_deinit(struct making *m)
{
    archive_writer_free(m->archive);
    if (m->fd >= 0)
        close(m->fd);
    if (m->temporary)
        unlink(m->temporary);
    if (m->copy)
        unlink(m->copy);
    free(m->temporary);
    free(m->copy);
}

/* ---- what is in it ------------------------------------------------------------------------------ */

static bool ends(const char *name, const char *with)
{
    size_t len = strlen(name), end = strlen(with);

    return len > end && strcmp(name + len - end, with) == 0;
}

static bool starts(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

enum kind { PUBLIC, PRIVATE, NEVER };

/* The store goes in by itself. Never: what tells that a store is an older one has to stay with the machine, join strings
 * are for one machine each, and what is half-written is nobody's. Whatever is not known to be public is private. */
static enum kind kind_of(const char *name)
{
    static const char *const public_ends[] = { ".pem", ".csr", ".conf", ".answer" };
    static const char *const public_names[] = { "trust", VAULT_MANIFESTS, "policy.yaml" };

    if (name[0] == '.' || starts(name, "den.db") || ends(name, ".anchor") || ends(name, ".lock") ||
        ends(name, ".join") || starts(name, "signer.") || starts(name, "crl.") ||
        strstr(name, ".new-") || strlen(name) >= ARCHIVE_NAME)
        return NEVER;
    for (size_t i = 0; i < N_ELEMENTS(public_ends); i++)
        if (ends(name, public_ends[i]))
            return PUBLIC;
    for (size_t i = 0; i < N_ELEMENTS(public_names); i++)
        if (strcmp(name, public_names[i]) == 0)
            return PUBLIC;
    return PRIVATE;
}

static void note(struct making *m, const char *name, const char *what)
{
    buf_printf(&m->report->text, "  %-20s %s\n", name, what);
}

static bool add_file(struct making *m, const char *path, const char *name, struct err *err)
{
    _buf_wipe_ bytes = { 0 };
    struct stat st;

    if (stat(path, &st) != 0)
        return err_errno(err, "%s", path);
    if (!file_read(path, MAX_FILE, &bytes, err))
        return false;
    note(m, name,
         ends(name, ".key") && token_file_is(buf_view(&bytes))
             ? "in: the key itself is in a token, and in no backup"
             : "in");
    return archive_put(m->archive, name, (unsigned)st.st_mode & 0777, buf_view(&bytes), err);
}

/* A file that only says in which token a key is. */
static bool is_elsewhere(const char *path)
{
    struct err unused;
    bool is = false;

    return token_file_look(path, &is, &unused) && is;
}

static bool add_entry(struct making *m, const char *name, struct err *err)
{
    _free_ char *path = file_path(m->order->config->state, name);
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT || err_errno(err, "%s", path);
    if (S_ISSOCK(st.st_mode)) /* of a den that runs */
        return true;
    if (!S_ISREG(st.st_mode)) {
        note(m, name, "left out: no plain file; back it up apart");
        return true;
    }
    switch (kind_of(name)) {
    case NEVER:
        return true;
    case PRIVATE:
        if (!m->order->passphrase.len && !is_elsewhere(path)) {
            note(m, name, "left out: private, and this backup is not under a passphrase");
            return true;
        }
        break;
    case PUBLIC:
        break;
    }
    m->has_policy |= strcmp(name, "policy.yaml") == 0;
    return strcmp(name, "den.conf") == 0 || add_file(m, path, name, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Root reads there what that user can read, and leaves nothing there that is not that user's. */
static bool as_folders(const struct making *m, struct acting *as, struct err *err)
{
    struct owner den;

    return owner_of_dir(m->order->config->state, &den, err) && acting_begin(as, &den, err);
}

/* The configuration may lie elsewhere than the state. */
static bool add_folder(struct making *m, struct err *err)
{
    const char *state = m->order->config->state;
    _acting_ struct acting as = { 0 };

    if (!as_folders(m, &as, err))
        return false;
    DIR *dir = opendir(state);
    char **names = NULL;
    struct dirent *entry;
    size_t n = 0;
    bool ok = dir != NULL || err_errno(err, "%s", state);

    while (dir && (entry = readdir(dir))) {
        names = mem_resize(names, n + 1, sizeof(*names));
        names[n++] = mem_text(entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (names)
        qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        ok = ok && (strcmp(names[i], ".") == 0 || strcmp(names[i], "..") == 0 ||
                    add_entry(m, names[i], err));
        free(names[i]);
    }
    free(names);
    return ok && add_file(m, m->order->config_path, "den.conf", err) &&
           (m->has_policy || add_file(m, m->order->config->policy, "policy.yaml", err));
}

/* ---- the store ---------------------------------------------------------------------------------- */

static bool stream(struct making *m, int fd, uint64_t len, struct err *err)
{
    _buf_ piece = { 0 };

    for (uint64_t done = 0; done < len;) {
        size_t want = len - done < PIECE ? (size_t)(len - done) : PIECE;
        buf_clear(&piece);
        ssize_t n = read(fd, buf_grow(&piece, want), want);
        if (n <= 0)
            return n == 0 ? err_set(err, ERR_SYSTEM, "%s: it shrank", m->copy)
                          : err_errno(err, "%s", m->copy);
        piece.len = (size_t)n;
        done += (uint64_t)n;
        if (!archive_more(m->archive, buf_view(&piece), err))
            return false;
    }
    return true;
}

static bool add_store(struct making *m, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as_den = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    _acting_ struct acting as_self = { 0 };
    struct stat st;
    bool ok;

    m->copy = mem_format("%s.db-%ld", m->order->to, (long)getpid());
    if (!as_folders(m, &as_den, err) || !folder_open_store(m->order->config, &store, err) ||
        !acting_begin(&as_self, &self, err) ||
        !store_copy(store, m->copy, m->order->on_progress, m->order->user, err))
        return false;
    int fd = open(m->copy, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            close(fd);
        return err_errno(err, "%s", m->copy);
    }
    ok = archive_begin(m->archive, "den.db", 0600, (uint64_t)st.st_size, err) &&
         stream(m, fd, (uint64_t)st.st_size, err);
    close(fd);
    note(m, "den.db", "in");
    return ok;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static bool sync_folder(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    _free_ char *dir =
        slash ? mem_format("%.*s", slash == path ? 1 : (int)(slash - path), path) : mem_text(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        err_errno(err, "%s", dir);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool finish(struct making *m, struct err *err)
{
    struct stat st;

    if (!archive_end(m->archive, err))
        return err_wrap(err, "%s", m->temporary);
    if (fsync(m->fd) != 0 || fstat(m->fd, &st) != 0)
        return err_errno(err, "%s", m->temporary);
    if (link(m->temporary, m->order->to) != 0)
        return errno == EEXIST ? err_set(err, ERR_ALREADY_EXISTS,
                                         "%s exists; nothing was overwritten", m->order->to)
                               : err_errno(err, "%s", m->order->to);
    m->report->n_bytes = (uint64_t)st.st_size;
    return sync_folder(m->order->to, err);
}

bool backup_make(const struct backup_order *order, struct backup_report *ret_report,
                 struct err *err)
{
    struct backup_report report = { 0 };
    _cleanup_(making_deinit) struct making m = { .order = order, .report = &report, .fd = -1 };
    bool ok;

    if (file_exists(order->to))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", order->to);
    m.temporary = mem_format("%s.new-%ld", order->to, (long)getpid());
    m.fd = open(m.temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (m.fd < 0)
        return err_errno(err, "%s", m.temporary);
    ok = archive_create(m.fd, order->passphrase, &m.archive, err) && add_folder(&m, err) &&
         add_store(&m, err) && finish(&m, err);
    if (ok)
        *ret_report = report;
    else
        buf_free(&report.text);
    return ok;
}
