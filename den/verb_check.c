/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den check-config: everything that would keep den from starting, at once, without writing anything. */
#include "base/clock.h"
#include "base/file.h"
#include "den/args.h"
#include "den/folder.h"
#include "den/policy.h"
#include "den/verb.h"

#include <stdio.h>

static unsigned say(const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

static unsigned check_policy(const struct den_config *config)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _buf_ text = { 0 }, all = { 0 };
    struct err err;

    if (policy_read(config->policy, &policy, &text, &all, &err))
        return 0;
    if (!all.len)
        return say(&err);
    fprintf(stderr, "%s", buf_cstr(&all));
    return 1;
}

static unsigned check_turn(const char *path, const struct den_config *config)
{
    _buf_ all = { 0 };

    if (config_check_turn(path, config, &all))
        return 0;
    fprintf(stderr, "%s", buf_cstr(&all));
    return 1;
}

static unsigned check_folder(const struct den_config *config)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _free_ char *db = file_path(config->state, "den.db");
    unsigned n_bad = 0;
    struct err err;

    if (!config_check_secrets(config, &err))
        n_bad += say(&err);
    if (config->network && !folder_load_trust(config, &trust, &err))
        n_bad += say(&err);
    if (!file_exists(db)) {
        err_set(&err, ERR_NOT_FOUND, "%s: there is none: `warren-den init` makes it", db);
        n_bad += say(&err);
    }
    return n_bad;
}

int verb_check_config(int argc, char **argv)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    const char *path = NULL;
    const struct args_option options[] = { { "config", &path, true } };
    _buf_ all = { 0 };
    unsigned n_bad = 0;
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!config_read(path, &config, &all, &err)) {
        fprintf(stderr, "%s", all.len ? buf_cstr(&all) : err.text);
        fprintf(stderr, "%s", all.len ? "" : "\n");
        n_bad++;
    }
    if (config.state && !verb_enter(path, &config, &err)) {
        say(&err);
        return VERB_FAILED;
    }
    if (config.policy)
        n_bad += check_policy(&config);
    n_bad += check_turn(path, &config);
    if (config.state)
        n_bad += check_folder(&config);
    if (n_bad)
        return VERB_FAILED;
    printf("%s: good\n", path);
    return VERB_DONE;
}
