/* SPDX-License-Identifier: Apache-2.0 */
#include "den/verb.h"

#include "base/log.h"
#include "den/args.h"
#include "den/audit.h"
#include "den/keys.h"

#include <stdio.h>

struct words {
    const char *config, *fd, *new_fd;
    bool removes;
};

static int change(const struct words *w)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _buf_wipe_ old = { 0 };
    _buf_wipe_ next = { 0 };
    struct err err = { 0 };
    size_t n, n_elsewhere;

    if (!verb_load_config(w->config, &config))
        return VERB_FAILED;
    if (!verb_enter(w->config, &config, &err) || !config_check_folder(config.state, &err) ||
        !keys_ask(config.state, w->fd, &old, &err) ||
        (!w->removes && !keys_ask_new(w->new_fd, &next, &err)) ||
        !keys_change_passphrase(config.state, buf_view(&old), buf_view(&next), &n, &n_elsewhere,
                                &err))
        return verb_fail(&err);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("state_before", old.len ? "under a passphrase" : "plain"),
        AUDIT_TEXT("state", w->removes ? "plain" : "under a passphrase"),
    };
    if (!verb_note(&config, "keys.passphrase", pairs, N_ELEMENTS(pairs), &err))
        return verb_fail(&err);
    printf("%zu keys in %s are %s\n", n, config.state,
           w->removes ? "plain files now" : "kept under the new passphrase");
    if (n_elsewhere)
        printf("%zu in a token: its PIN is changed with pkcs11-tool --change-pin\n", n_elsewhere);
    return VERB_DONE;
}

int verb_passphrase(int argc, char **argv)
{
    struct words w = { 0 };
    const struct args_option options[] = {
        { "config", &w.config, true },
        { "passphrase-fd", &w.fd, false },
        { "new-passphrase-fd", &w.new_fd, false },
        { "remove", NULL, false, &w.removes },
    };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (w.removes && w.new_fd) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--remove and --new-passphrase-fd: one of the two");
        return verb_misuse(&err);
    }
    log_open("warren-den", LOG_WARN);
    return change(&w);
}
