/* SPDX-License-Identifier: Apache-2.0 */
#include "den/keys.h"

#include "base/ask.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "vault/token.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>

static const char whose[] = "den's keys";

static bool is_ours(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".key") == 0 && strncmp(name, "root", 4) != 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

typedef bool each_key(void *user, const char *path, struct err *err);

static bool walk(const char *dir, each_key *each, void *user, struct err *err)
{
    _cleanup_(close_dir) DIR *open = NULL;
    const struct dirent *entry;

    if (!file_check_private_dir(dir, err))
        return false;
    open = opendir(dir);
    if (!open)
        return err_errno(err, "%s", dir);
    while ((entry = readdir(open))) {
        _free_ char *path = is_ours(entry->d_name) ? file_path(dir, entry->d_name) : NULL;
        if (path && !each(user, path, err))
            return false;
    }
    return true;
}

/* den destroys what a rollover left unlisted while others look at the folder. */
static bool is_gone(const char *path)
{
    return !file_exists(path);
}

static bool look(void *user, const char *path, struct err *err)
{
    bool *are = user, is = false;

    if (!secret_is_sealed(path, &is, err))
        return is_gone(path);
    *are |= is;
    return true;
}

bool keys_are_sealed(const char *dir, bool *ret_are, struct err *err)
{
    bool are = false;

    if (!walk(dir, look, &are, err))
        return false;
    *ret_are = are;
    return true;
}

static bool look_elsewhere(void *user, const char *path, struct err *err)
{
    bool *are = user, is = false;

    if (!token_file_look(path, &is, err))
        return false;
    *are |= is;
    return true;
}

bool keys_are_in_token(const char *dir, bool *ret_are, struct err *err)
{
    bool are = false;

    if (!walk(dir, look_elsewhere, &are, err))
        return false;
    *ret_are = are;
    return true;
}

struct change {
    struct view old, next;
    size_t n, n_elsewhere;
};

static bool change(void *user, const char *path, struct err *err)
{
    struct change *c = user;
    bool is_elsewhere;

    if (!token_file_look(path, &is_elsewhere, err))
        return false;
    if (is_elsewhere) {
        c->n_elsewhere++;
        return true;
    }
    if (!secret_change(path, c->old, c->next, err))
        return is_gone(path);
    c->n++;
    return true;
}

bool keys_change_passphrase(const char *dir, struct view old, struct view next, size_t *ret_n,
                            size_t *ret_n_elsewhere, struct err *err)
{
    struct change c = { .old = old, .next = next };

    if (!walk(dir, change, &c, err))
        return false;
    *ret_n = c.n;
    *ret_n_elsewhere = c.n_elsewhere;
    return true;
}

/* ---- asking ------------------------------------------------------------------------------------ */

static bool read_fd(const char *option, const char *text, int *ret_fd, struct err *err)
{
    uint64_t n = 0;

    *ret_fd = ASK_NOWHERE;
    if (!text)
        return true;
    if (!text_read_u64(view_text(text), &n) || n > INT_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: expected the number of an open file",
                       option);
    *ret_fd = (int)n;
    return true;
}

bool keys_ask(const char *dir, const char *fd, struct buf *ret_passphrase, struct err *err)
{
    struct ask ask = { .what = whose,
                       .option = "--passphrase-fd",
                       .credential = "warren-den.passphrase" };
    bool are_sealed = false;

    if (!read_fd(ask.option, fd, &ask.fd, err) || !keys_are_sealed(dir, &are_sealed, err))
        return false;
    return !are_sealed || ask_passphrase(&ask, ret_passphrase, err);
}

bool keys_ask_pin_of(const char *what, const char *option, const char *fd, struct buf *ret_pin,
                     struct err *err)
{
    struct ask ask = {
        .what = what, .option = option, .credential = "warren-den.pin", .is_pin = true
    };

    return read_fd(option, fd, &ask.fd, err) && ask_passphrase(&ask, ret_pin, err);
}

bool keys_ask_pin(const char *dir, const char *fd, struct buf *ret_pin, struct err *err)
{
    bool are = false;

    if (!keys_are_in_token(dir, &are, err))
        return false;
    return !are || keys_ask_pin_of("the intermediate's token", "--pin-fd", fd, ret_pin, err);
}

bool keys_ask_new(const char *fd, struct buf *ret_passphrase, struct err *err)
{
    struct ask ask = { .what = whose, .option = "--new-passphrase-fd", .is_new = true };

    return read_fd(ask.option, fd, &ask.fd, err) && ask_passphrase(&ask, ret_passphrase, err);
}
