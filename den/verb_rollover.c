/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den rollover ...` */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "den/args.h"
#include "den/inventory.h"
#include "den/passphrase.h"
#include "den/rollover.h"
#include "den/verb.h"

#include <inttypes.h>
#include <stdio.h>

struct words { /* as typed */
    const char *config, *what, *reason, *fd, *new_fd, *keys_fd;
};

static bool read_fd(const char *name, const char *text, int *ret_fd, struct err *err)
{
    uint64_t n;

    *ret_fd = PASSPHRASE_PROMPT;
    if (!text)
        return true;
    if (!text_read_u64(view_text(text), &n) || n > 65535)
        return err_set(err, ERR_INVALID_ARGUMENT, "--%s: expected the number of an open file",
                       name);
    *ret_fd = (int)n;
    return true;
}

static bool read_what(const struct words *words, struct rollover_order *order, struct err *err)
{
    order->has_what = words->what != NULL;
    if (words->what && !change_what_find(words->what, &order->what))
        return err_set(
            err, ERR_INVALID_ARGUMENT,
            "--what: expected intermediate, root, den-sign or den-login, found \"%.64s\"",
            words->what);
    return true;
}

static bool read_reason(const struct words *words, struct rollover_order *order, struct err *err)
{
    uint8_t reason;

    if (!words->reason)
        return true;
    if (!inventory_reason_read("--reason", words->reason, &reason, err))
        return false;
    order->reason = inventory_reason_name(reason);
    return true;
}

static bool read_words(const struct words *words, struct rollover_order *order, struct err *err)
{
    if (order->request_path && order->response_path)
        return err_set(err, ERR_INVALID_ARGUMENT, "--request and --response are two steps");
    return read_what(words, order, err) && read_reason(words, order, err) &&
           read_fd("root-passphrase-fd", words->fd, &order->passphrase_fd, err) &&
           read_fd("new-root-passphrase-fd", words->new_fd, &order->new_passphrase_fd, err);
}

/* `alone`: the router that is meant, or NULL for the steps that are about none. */
static int run_about(enum change_step step, const char *alone, int argc, char **argv)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct rollover_order order = { .config = &config, .step = step, .now = clock_wall_ms() };
    struct words words = { 0 };
    const struct args_option options[] = {
        { "config", &words.config, true },
        { "what", &words.what, false },
        { "reason", &words.reason, false },
        { "root-key", &order.root_key, false },
        { "root-passphrase-fd", &words.fd, false },
        { "new-root-key", &order.new_root_key, false },
        { "new-root-passphrase-fd", &words.new_fd, false },
        { "request", &order.request_path, false },
        { "response", &order.response_path, false },
        { "passphrase-fd", &words.keys_fd, false },
        { "pin-fd", &order.pin_fd, false },
        { "signer-folder", &order.signer_dir, false },
        { "anyway", NULL, false, &order.is_anyway },
    };
    _buf_ text = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), &alone, &order.router, alone ? 1 : 0,
                   &err) ||
        !read_words(&words, &order, &err))
        return verb_misuse(&err);
    if (!verb_load_config(words.config, &config))
        return VERB_FAILED;
    log_open("warren-den", LOG_WARN);
    order.config_path = words.config;
    order.keys_fd = words.keys_fd;
    if (!rollover_run(&order, &text, &err))
        return verb_fail(&err);
    printf("%s", buf_cstr(&text));
    return VERB_DONE;
}

static int run_step(enum change_step step, int argc, char **argv)
{
    return run_about(step, NULL, argc, argv);
}

int verb_router_remove(int argc, char **argv)
{
    return run_about(CHANGE_REMOVE_ROUTER, "KEY", argc, argv);
}

int verb_rollover_stage(int argc, char **argv)
{
    return run_step(CHANGE_STAGE, argc, argv);
}

int verb_rollover_switch(int argc, char **argv)
{
    return run_step(CHANGE_SWITCH, argc, argv);
}

int verb_rollover_retire(int argc, char **argv)
{
    return run_step(CHANGE_RETIRE, argc, argv);
}

int verb_rollover_back(int argc, char **argv)
{
    return run_step(CHANGE_BACK, argc, argv);
}

int verb_rollover_replace(int argc, char **argv)
{
    return run_step(CHANGE_REPLACE, argc, argv);
}

int verb_rollover_renew(int argc, char **argv)
{
    return run_step(CHANGE_RENEW, argc, argv);
}

int verb_rollover_status(int argc, char **argv)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct rollover_status_order order = { .config = &config, .now = clock_wall_ms() };
    const struct args_option options[] = {
        { "config", &order.config_path, true },
        { "json", NULL, false, &order.is_json },
        { "unheard", NULL, false, &order.lists_unheard },
    };
    _buf_ text = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!verb_load_config(order.config_path, &config))
        return VERB_FAILED;
    if (!rollover_status(&order, &text, &err))
        return verb_fail(&err);
    printf("%s", buf_cstr(&text));
    return VERB_DONE;
}
