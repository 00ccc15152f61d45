/* SPDX-License-Identifier: Apache-2.0 */
#include "den/verb.h"
#include "base/file.h"
#include "den/acting.h"
#include "den/args.h"

#include "base/clock.h"
#include "den/deed.h"
#include "den/folder.h"
#include "den/record.h"
#include "den/restored.h"

#include "rpc/rpc.h"

#include <stdio.h>

enum { VERB_MAX_ITEM = 64 * 1024, VERB_MAX_PAIRS = 8 };

static bool speaks_json;

void verb_speak_json(void)
{
    speaks_json = true;
}

static void put_error(const struct err *err, const char *remedy)
{
    _buf_ json = { 0 };

    if (!speaks_json)
        return;
    buf_printf(&json, "{\"error\": {\"code\": \"%s\", \"cause\": ", err_code_name(err->code));
    audit_put_json_text(&json, view_text(err->text));
    buf_put_text(&json, ", \"remedy\": ");
    audit_put_json_text(&json, view_text(remedy));
    printf("%s}}\n", buf_cstr(&json));
}

int verb_fail(const struct err *err)
{
    put_error(err, err_remedy(err));
    fprintf(stderr, "warren-den: %s\n  %s\n", err->text, err_remedy(err));
    return VERB_FAILED;
}

int verb_misuse(const struct err *err)
{
    put_error(err, "`warren-den help` shows how it is used");
    fprintf(stderr, "warren-den: %s\n  `warren-den help` shows how it is used\n", err->text);
    return VERB_MISUSED;
}

bool verb_load_config(const char *path, struct den_config *config)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };
    _buf_ all = { 0 };
    struct err err;

    if (acting_begin(&as, &self, &err) && config_read(path, config, &all, &err))
        return true;
    if (all.len)
        fprintf(stderr, "%s", buf_cstr(&all));
    verb_fail(&err);
    return false;
}

bool verb_enter(const char *path, const struct den_config *config, struct err *err)
{
    struct acting as = { 0 };
    struct owner den;

    return owner_of_dir(config->state, &den, err) && owner_check_guide(path, &den, err) &&
           acting_begin(&as, &den, err);
}

bool verb_create(const char *path, struct view bytes, unsigned mode, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &self, err) && file_create(path, bytes, mode, err);
}

static bool open_store(const char *path,
                       bool (*open)(const struct den_config *config, struct store **ret_store,
                                    struct err *err),
                       struct store **ret_store)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct err err;

    if (!verb_load_config(path, &config))
        return false;
    if (verb_enter(path, &config, &err) && config_check_secrets(&config, &err) &&
        open(&config, ret_store, &err))
        return true;
    verb_fail(&err);
    return false;
}

bool verb_open_store(const char *path, struct store **ret_store)
{
    return open_store(path, folder_open_store, ret_store);
}

bool verb_read_store(const char *path, struct store **ret_store)
{
    return open_store(path, folder_read_store, ret_store);
}

bool verb_open_to_change(const char *path, struct store **ret_store)
{
    struct err err;

    if (!verb_open_store(path, ret_store))
        return false;
    if (restored_check_settled(*ret_store, &err))
        return true;
    store_free(*ret_store);
    *ret_store = NULL;
    verb_fail(&err);
    return false;
}

int verb_open(int argc, char **argv, const char *const *names, const char **words, size_t n,
              struct store **ret_store)
{
    const char *config = NULL;
    const struct args_option options[] = { { "config", &config, true } };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), names, words, n, &err))
        return verb_misuse(&err);
    return verb_open_to_change(config, ret_store) ? VERB_DONE : VERB_FAILED;
}

void verb_put_json(struct view map, bool is_first, struct buf *to)
{
    struct err err;

    if (!is_first)
        buf_put_text(to, ", ");
    if (!rpc_json_from_msgpack(map, VERB_MAX_ITEM, to, &err))
        abort(); /* all of it is ours */
}

bool verb_note(const struct den_config *config, const char *what, const struct audit_pair *pairs,
               size_t n, struct err *err)
{
    _acting_ struct acting as = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    struct owner owner;
    const struct deed deed = deed_here(clock_wall_ms());
    const struct audit_pair by[] = { DEED_PAIRS(&deed) };
    struct audit_pair all[VERB_MAX_PAIRS + N_ELEMENTS(by)];

    if (n > VERB_MAX_PAIRS)
        abort(); /* they are ours */
    memcpy(all, pairs, n * sizeof(*pairs));
    memcpy(all + n, by, sizeof(by));
    if (!owner_of_dir(config->state, &owner, err) || !acting_begin(&as, &owner, err) ||
        !folder_open_store(config, &store, err))
        return err_wrap(err, "it was done, and is not in the audit");
    _transaction_ struct store *open = store;
    return (store_begin(open, err) &&
            audit_append(open, deed.at, what, all, n + N_ELEMENTS(by), err) &&
            store_commit(open, err)) ||
           err_wrap(err, "it was done, and is not in the audit");
}
