/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den backup and restore. */
#include "base/ask.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "den/acting.h"
#include "den/args.h"
#include "den/backup.h"
#include "den/deed.h"
#include "den/folder.h"
#include "den/record.h"
#include "den/restored.h"
#include "den/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { LARGE = 16 * 1024 /* pages: worth a line about how far it is */ };

static bool read_fd(const char *text, int *ret_fd, struct err *err)
{
    uint64_t n;

    *ret_fd = ASK_NOWHERE;
    if (!text)
        return true;
    if (!text_read_u64(view_text(text), &n) || n > 65535)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--passphrase-fd: expected the number of an open file");
    *ret_fd = (int)n;
    return true;
}

static bool ask_for(int fd, bool is_new, struct buf *to, struct err *err)
{
    const struct ask ask = {
        .what = "the backup", .option = "--passphrase-fd", .fd = fd, .is_new = is_new
    };

    return ask_passphrase(&ask, to, err);
}

/* ---- backup ------------------------------------------------------------------------------------- */

static void on_progress(void *user, uint64_t n_done, uint64_t n_all)
{
    unsigned *shown = user, now;

    if (n_all < LARGE || !isatty(STDERR_FILENO))
        return;
    now = (unsigned)(100 * n_done / n_all);
    if (now != *shown)
        fprintf(stderr, "\rcopying den.db: %u %%%s", now, n_done == n_all ? "\n" : "");
    *shown = now;
}

static bool read_passphrase(bool is_sealed, int fd, struct buf *to, struct err *err)
{
    return !is_sealed || ask_for(fd, true, to, err);
}

/* As the user whose folder it is; the backup itself is the operator's. */
static bool enter(const struct den_config *config, const struct backup_order *order,
                  struct acting *as, struct err *err)
{
    struct owner den;

    return owner_of_dir(config->state, &den, err) &&
           owner_check_guide(order->config_path, &den, err) && acting_begin(as, &den, err);
}

/* A lock that cannot be looked at counts as taken. */
static bool is_den_running(const struct den_config *config)
{
    struct err err = { 0 };
    int fd = -1;
    bool is = !folder_lock(config, &fd, &err);

    if (fd >= 0)
        close(fd);
    return is;
}

/* In the audit before it is made, so that it has that itself. */
static bool note_begin(const struct den_config *config, const struct backup_order *order,
                       bool is_sealed, struct err *err)
{
    _acting_ struct acting as = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    const struct deed deed = deed_here(order->now);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("file", order->to),
        AUDIT_TEXT("private_keys", is_sealed ? "under a passphrase" : "none"),
        DEED_PAIRS(&deed),
    };

    if (file_exists(order->to)) /* nothing will be made */
        return true;
    if (!enter(config, order, &as, err) || !folder_open_store(config, &store, err))
        return false;
    _transaction_ struct store *open = store;
    return store_begin(open, err) &&
           audit_append(open, deed.at, "backup.begun", pairs, N_ELEMENTS(pairs), err) &&
           restored_note_backup(open, is_den_running(config), err) && store_commit(open, err);
}

/* Before anything is asked for. */
static bool check_folder(const struct den_config *config, const struct backup_order *order,
                         struct err *err)
{
    _acting_ struct acting as = { 0 };

    return enter(config, order, &as, err) && config_check_secrets(config, err);
}

/* For the status. */
static bool note_end(const struct den_config *config, const struct backup_order *order,
                     struct err *err)
{
    _acting_ struct acting as = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    char at[24];

    snprintf(at, sizeof(at), "%" PRIu64, order->now);
    if (!enter(config, order, &as, err) || !folder_open_store(config, &store, err))
        return false;
    _transaction_ struct store *open = store;
    return store_begin(open, err) && store_blob_set(open, "backup_at", view_text(at), err) &&
           store_commit(open, err);
}

int verb_backup(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct backup_order order = { .config = &config, .now = clock_wall_ms() };
    struct backup_report report = { 0 };
    const char *fd_text = NULL;
    bool is_sealed = false, is_plain = false, ok;
    unsigned shown = 0;
    const struct args_option options[] = { { "config", &order.config_path, true },
                                           { "encrypt", .flag = &is_sealed },
                                           { "plain", .flag = &is_plain },
                                           { "passphrase-fd", &fd_text, false } };
    _buf_wipe_ passphrase = { 0 };
    struct err err;
    int fd;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), names, &order.to, 1, &err) ||
        !read_fd(fd_text, &fd, &err))
        return verb_misuse(&err);
    is_sealed |= fd_text != NULL;
    if (is_sealed == is_plain) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "say which: --encrypt (under a passphrase, with the private keys) or --plain "
                "(without them)");
        return verb_misuse(&err);
    }
    if (!verb_load_config(order.config_path, &config))
        return VERB_FAILED;
    log_open("warren-den", LOG_WARN);
    order.on_progress = on_progress;
    order.user = &shown;
    ok = check_folder(&config, &order, &err) && read_passphrase(is_sealed, fd, &passphrase, &err);
    order.passphrase = buf_view(&passphrase);
    if (!ok || !note_begin(&config, &order, is_sealed, &err) ||
        !backup_make(&order, &report, &err) || !note_end(&config, &order, &err))
        return verb_fail(&err);
    printf("%s: %" PRIu64 " bytes, %s\n%s", order.to, report.n_bytes,
           is_sealed ? "under the passphrase: keep it apart from the file"
                     : "in the open: it holds names and addresses, and no private key",
           buf_cstr(&report.text));
    buf_free(&report.text);
    return VERB_DONE;
}

/* ---- restore ------------------------------------------------------------------------------------ */

static bool ask(void *user, struct buf *ret_passphrase, struct err *err)
{
    return ask_for(*(const int *)user, false, ret_passphrase, err);
}

int verb_restore(int argc, char **argv)
{
    static const char *const names[] = { "FILE", "DIR" };
    const char *words[2], *fd_text = NULL;
    bool replaces = false;
    const struct args_option options[] = { { "replace", .flag = &replaces },
                                           { "passphrase-fd", &fd_text, false } };
    _buf_ text = { 0 };
    struct err err;
    int fd;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), names, words, 2, &err) ||
        !read_fd(fd_text, &fd, &err))
        return verb_misuse(&err);
    log_open("warren-den", LOG_WARN);
    const struct restore_order order = {
        .from = words[0],
        .dir = words[1],
        .replaces = replaces,
        .ask = ask,
        .user = &fd,
        .deed = deed_here(clock_wall_ms()),
    };
    if (!restore_make(&order, &text, &err))
        return verb_fail(&err);
    printf("%s%s: restored. What den did after the backup is not in it: see RESTORING in "
           "warren-den(8) before it is started\n",
           buf_cstr(&text), words[1]);
    return VERB_DONE;
}
