/* SPDX-License-Identifier: Apache-2.0 */
/* One file that brings den back: `warren-den backup` and `warren-den restore`. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "den/config.h"
#include "den/deed.h"

struct backup_report {
    struct buf text; /* a line a file: what is in it, what was left out and why. buf_free() */
    uint64_t n_bytes;
};
typedef void backup_on_progress(void *user, uint64_t n_done, uint64_t n_all);

struct backup_order {
    const struct den_config *config;
    const char *config_path, *to;
    struct view passphrase;          /* empty: in the open, and no private key is in it */
    backup_on_progress *on_progress; /* may be NULL */
    void *user;
    uint64_t now;
};
/* Beside a den that runs. The store as one state of it, the configuration, what the root signed, and
 * when sealed the private keys. ALREADY_EXISTS. */
bool backup_make(const struct backup_order *order, struct backup_report *ret_report,
                 struct err *err);

struct restore_order {
    const char *from, *dir;
    bool replaces; /* the store of a folder that is there; else `dir` is new */
    bool (*ask)(void *user, struct buf *ret_passphrase, struct err *err); /* for a sealed one */
    void *user;
    struct deed deed;
};
/* All of it or nothing. Notes in the store that it is from a backup: den does not go on from it before
 * it has compared it with what the router has seen. */
bool restore_make(const struct restore_order *order, struct buf *ret_text, struct err *err);
