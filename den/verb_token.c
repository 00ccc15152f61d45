/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den token add|list|revoke, and peer re-enrol: join strings that hold a token. */
#include "base/clock.h"
#include "base/conf.h"
#include "base/file.h"
#include "den/admin_put.h"
#include "den/args.h"
#include "den/folder.h"
#include "den/people.h"
#include "den/record.h"
#include "den/restored.h"
#include "den/token.h"
#include "den/verb.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <stdio.h>

static bool make(const char *config_path, const struct den_config *config,
                 struct token_order *order, struct buf *ret_join, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _cleanup_(store_freep) struct store *store = NULL;

    if (!verb_enter(config_path, config, err) || !config_check_secrets(config, err) ||
        !folder_load_trust(config, &trust, err) || !folder_open_store(config, &store, err) ||
        !restored_check_settled(store, err))
        return false;
    order->trust = trust;
    order->router = config->join_host;
    if (!token_new(store, order, ret_join, err))
        return false;
    buf_put_text(ret_join, "\n");
    return true;
}

/* To `out`, which must not be there yet, or to standard output. */
static int print_join(const char *config_path, const char *out, struct token_order *order)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _buf_wipe_ join = { 0 };
    struct err err;

    if (!verb_load_config(config_path, &config))
        return VERB_FAILED;
    if (out && file_exists(out)) {
        err_set(&err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", out);
        return verb_fail(&err);
    }
    if (!make(config_path, &config, order, &join, &err) ||
        (out && !verb_create(out, buf_view(&join), 0600, &err)))
        return verb_fail(&err);
    if (!out)
        fwrite(join.data, 1, join.len, stdout);
    return VERB_DONE;
}

int verb_token_add(int argc, char **argv)
{
    struct token_words words = { 0 };
    const char *config = NULL, *out = NULL;
    const struct args_option options[] = {
        { "config", &config, true },
        { "uses", &words.uses, false },
        { "expires", &words.expires, false },
        { "role", &words.role, false },
        { "groups", &words.groups, false },
        { "label", &words.label, false },
        { "ephemeral", &words.ephemeral, false },
        { "device-life", &words.device_life, false },
        { "needs-approval", NULL, false, &words.needs_approval },
        { "out", &out, false },
    };
    struct token_order order = { .deed = deed_here(clock_wall_ms()) };
    struct err err;
    int status;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err) ||
        !token_read_words(&words, &order, &err))
        return verb_misuse(&err);
    status = print_join(config, out, &order);
    if (status == VERB_DONE)
        fprintf(stderr, "%s%sa secret: whoever has it may join as %s (uses: %s, expires: %s)\n",
                out ? out : "", out ? ": " : "", order.role, words.uses ? words.uses : "1",
                words.expires ? words.expires : TOKEN_EXPIRES);
    return status;
}

/* The signer takes no new key for an ID on den's word: the order goes into its own folder. */
static bool order_signer(const char *config_path, const char *id, struct view pk, uint64_t life,
                         const char *expires)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _buf_ hex = { 0 };
    struct err err;

    if (!verb_load_config(config_path, &config))
        return false;
    if (config.signer && *config.signer) {
        text_put_hex(&hex, pk);
        fprintf(stderr,
                "The signer has to be told too, on its own account, before it is used:\n"
                "  warren-den-signer allow %s %s --folder SIGNER-FOLDER --expires %s\n",
                id, buf_cstr(&hex), expires);
        return true;
    }
    if (vault_order_add(config.state, id, pk, clock_wall_ms() + life, &err))
        return true;
    verb_fail(&err);
    return false;
}

int verb_peer_re_enrol(int argc, char **argv)
{
    static const char *const alone_names[] = { "ID" };
    const char *config = NULL, *expires = "24h", *life = NULL, *out = NULL, *id = NULL;
    const struct args_option options[] = {
        { "config", &config, true },
        { "expires", &expires, false },
        { "device-life", &life, false },
        { "out", &out, false },
    };
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_identity who;
    struct token_order order = { .deed = deed_here(clock_wall_ms()) };
    uint8_t token_pk[KEY_SIZE];
    struct err err;
    int status;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &id, 1, &err) ||
        !token_read_duration("expires", expires, false, &order.life_ms, &err))
        return verb_misuse(&err);
    if (!verb_open_store(config, &store))
        return VERB_FAILED;
    if (!people_find(store, id, &who, &err) || !token_read_known(&who, life, &order, &err))
        return verb_fail(&err);
    order.ret_pk = token_pk;
    status = print_join(config, out, &order);
    if (status == VERB_DONE)
        status = verb_end_orders(config, store, NULL, order.deed.at);
    if (status == VERB_DONE &&
        !order_signer(config, who.id, VIEW_ARR(token_pk), order.life_ms, expires))
        status = VERB_FAILED;
    if (status == VERB_DONE)
        fprintf(
            stderr,
            "%s%sa secret: the next machine that joins with it, with a new state folder, becomes "
            "%s (expires: %s). Every peer that knows %s will be asked about its new key.\n",
            out ? out : "", out ? ": " : "", who.id, expires, who.id);
    return status;
}

struct ending {
    const struct den_config *config;
    uint64_t at;
    size_t n;
    bool ok;
    struct err err;
};

static bool end_order(void *user, const struct store_token *token)
{
    struct ending *e = user;
    char hex[RECORD_HEX];

    if (token->revoked_at != e->at || token->for_id[0] == '\0')
        return true;
    e->n++;
    if (e->config->signer && *e->config->signer)
        fprintf(stderr,
                "The signer has to be told too, on its own account:\n"
                "  warren-den-signer disallow %s --folder SIGNER-FOLDER\n",
                record_hex(VIEW_ARR(token->pk), hex));
    else
        e->ok = vault_order_end(e->config->state, VIEW_ARR(token->pk), &e->err);
    return e->ok;
}

int verb_end_orders(const char *config_path, struct store *store, const char *id, uint64_t at)
{
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct ending e = { .config = &config, .at = at, .ok = true };
    struct err err;

    if (!verb_load_config(config_path, &config))
        return VERB_FAILED;
    if (!store_token_each(store, end_order, &e, &err))
        return verb_fail(&err);
    if (id && e.n)
        printf("join strings of peer re-enrol for %s that are no good any more: %zu\n", id, e.n);
    return e.ok ? VERB_DONE : verb_fail(&e.err);
}

/* ---- list, revoke -------------------------------------------------------------------------------- */

static void put_duration(struct buf *to, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = { { DAY_MS, "d" }, { HOUR_MS, "h" }, { MINUTE_MS, "m" }, { SECOND_MS, "s" } };

    for (size_t i = 0; i < N_ELEMENTS(units); i++) {
        if (ms % units[i].ms == 0) {
            buf_printf(to, "%" PRIu64 "%s", ms / units[i].ms, units[i].unit);
            return;
        }
    }
    buf_printf(to, "%" PRIu64 "ms", ms);
}

static void put_devices(struct buf *to, const struct store_token *t)
{
    if (t->for_id[0] != '\0')
        buf_printf(to, "becomes %s", t->for_id);
    else if (!t->vanish_after && !t->device_life)
        buf_put_text(to, "for ever");
    if (t->vanish_after) {
        buf_put_text(to, "gone after ");
        put_duration(to, t->vanish_after);
        buf_put_text(to, " offline");
    }
    if (t->device_life) {
        buf_put_text(to, t->vanish_after || t->for_id[0] != '\0' ? ", " : "");
        put_duration(to, t->device_life);
        buf_put_text(to, " from its joining");
    }
}

struct listing {
    struct buf text;
    bool is_json;
    uint64_t now;
    size_t n;
};

static void put_json(struct listing *l, const struct store_token *t)
{
    _buf_ map = { 0 };

    admin_put_token(t, l->now, &map);
    verb_put_json(buf_view(&map), l->n == 0, &l->text);
}

static void put_text(struct listing *l, const struct store_token *t)
{
    char pk[RECORD_HEX], until[CLOCK_TEXT];
    _buf_ uses = { 0 }, devices = { 0 };

    if (t->uses)
        buf_printf(&uses, "%" PRIu64 " of %" PRIu64, t->n_used, t->uses);
    else
        buf_printf(&uses, "%" PRIu64 " of any", t->n_used);
    put_devices(&devices, t);
    buf_printf(&l->text, "%.16s  %-7s  %-20s  %-12s  %-5s  %-28s  %s%s%s\n",
               record_hex(VIEW_ARR(t->pk), pk), token_state(t, l->now),
               t->expires_at ? clock_text(t->expires_at, until) : "never", buf_cstr(&uses), t->role,
               buf_cstr(&devices), *t->groups ? t->groups : "-",
               t->needs_approval ? " (waits)" : "", "");
    if (*t->label)
        buf_printf(&l->text, "                  %s\n", t->label);
}

static bool put_token(void *user, const struct store_token *t)
{
    struct listing *l = user;

    if (l->is_json)
        put_json(l, t);
    else
        put_text(l, t);
    l->n++;
    return true;
}

int verb_token_list(int argc, char **argv)
{
    struct listing l = { .now = clock_wall_ms() };
    const char *config = NULL;
    const struct args_option options[] = {
        { "config", &config, true },
        { "json", NULL, false, &l.is_json },
    };
    _cleanup_(store_freep) struct store *store = NULL;
    struct err err;
    bool ok;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    if (!verb_read_store(config, &store))
        return VERB_FAILED;
    ok = store_token_each(store, put_token, &l, &err);
    if (ok && l.is_json)
        printf("[%s]\n", buf_cstr(&l.text));
    else if (ok && l.n)
        printf("%-16s  %-7s  %-20s  %-12s  %-5s  %-28s  %s\n%s", "TOKEN", "STATE", "TOKEN EXPIRES",
               "USED", "ROLE", "ITS DEVICES LIVE", "GROUPS", buf_cstr(&l.text));
    else if (ok)
        printf("no token was made\n");
    buf_free(&l.text);
    return ok ? VERB_DONE : verb_fail(&err);
}

int verb_token_revoke(int argc, char **argv)
{
    static const char *const alone_names[] = { "TOKEN" };
    const char *digits = NULL, *config = NULL;
    const struct args_option options[] = { { "config", &config, true } };
    _cleanup_(store_freep) struct store *store = NULL;
    const struct deed deed = deed_here(clock_wall_ms());
    struct store_token token;
    char at[CLOCK_TEXT];
    uint64_t before;
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &digits, 1, &err))
        return verb_misuse(&err);
    if (!verb_open_to_change(config, &store))
        return VERB_FAILED;
    if (!token_by_name(store, digits, &token, &err) ||
        !token_revoke(store, &token, &deed, &before, &err))
        return verb_fail(&err);
    if (before)
        printf("was revoked before, at %s; nothing was changed\n", clock_text(before, at));
    else
        printf("revoked; %" PRIu64 " joined with it and stay\n", token.n_used);
    return before ? VERB_DONE : verb_end_orders(config, store, NULL, deed.at);
}
