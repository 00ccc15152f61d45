/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den waiting, approve, deny, peer and name. */
#include "base/clock.h"
#include "den/admin_put.h"
#include "den/args.h"
#include "den/people.h"
#include "den/record.h"
#include "den/token.h"
#include "den/verb.h"

#include <inttypes.h>
#include <stdio.h>

struct listing {
    struct buf text;
    bool is_json;
    size_t n;
};

/* `--config FILE [--json]` and a list from the store. */
static int run_list(int argc, char **argv,
                    bool (*fill)(struct store *store, struct listing *l, struct err *err),
                    const char *head, const char *none)
{
    struct listing l = { 0 };
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
    ok = fill(store, &l, &err);
    if (ok && l.is_json)
        printf("[%s]\n", buf_cstr(&l.text));
    else if (ok)
        printf("%s%s", l.n ? head : none, buf_cstr(&l.text));
    buf_free(&l.text);
    return ok ? VERB_DONE : verb_fail(&err);
}

static const char *fingerprint(const uint8_t pk[KEY_SIZE], char to[RECORD_HEX])
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(VIEW(pk, KEY_SIZE), hash);
    return record_hex(VIEW_ARR(hash), to);
}

/* ---- waiting ------------------------------------------------------------------------------------- */

static bool put_waiting(void *user, const struct store_waiting *w)
{
    struct listing *l = user;
    char print[RECORD_HEX], first[CLOCK_TEXT], last[CLOCK_TEXT];

    fingerprint(w->pk, print);
    if (l->is_json) {
        _buf_ map = { 0 };
        admin_put_waiting(w, &map);
        verb_put_json(buf_view(&map), l->n == 0, &l->text);
    } else {
        buf_printf(&l->text,
                   "%s  %-8s  %-5s  %-20s  %-20s  %s from %s\n                fingerprint %s\n",
                   w->code, people_answer_word(w->answer), w->role, clock_text(w->first_at, first),
                   clock_text(w->last_at, last), *w->host ? w->host : "-", w->source, print);
    }
    l->n++;
    return true;
}

static bool fill_waiting(struct store *store, struct listing *l, struct err *err)
{
    return store_waiting_each(store, put_waiting, l, err);
}

int verb_waiting_list(int argc, char **argv)
{
    return run_list(
        argc, argv, fill_waiting,
        "CODE            STATE     ROLE   FIRST ASKED           LAST ASKED            HOST\n",
        "no machine waits\n");
}

/* An ID, with or without spaces, is no code: codes have hyphens or letters in their first nine. */
static bool is_id(const char *typed)
{
    char id[TEXT_ID];

    return text_read_id(typed, id);
}

static int approve_id(struct store *store, const char *typed)
{
    struct store_identity who;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;

    if (!people_find(store, typed, &who, &err) || !people_commit(store, &who, &deed, &err))
        return verb_fail(&err);
    printf("%s is kept\n", who.id);
    return VERB_DONE;
}

int verb_approve(int argc, char **argv)
{
    static const char *const alone_names[] = { "CODE" };
    const char *config = NULL, *role = NULL, *groups = NULL, *typed = NULL;
    const struct args_option options[] = {
        { "config", &config, true },
        { "role", &role, false },
        { "groups", &groups, false },
    };
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_waiting w;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &typed, 1, &err))
        return verb_misuse(&err);
    if (!verb_open_to_change(config, &store))
        return VERB_FAILED;
    if (is_id(typed) && !role && !groups)
        return approve_id(store, typed);
    if (!people_find_waiting(store, typed, &w, &err) ||
        !people_approve(store, &w, role, groups, &deed, &err))
        return verb_fail(&err);
    printf("%s (%s from %s) may join as %s; it does when it next asks, within half a minute\n",
           w.code, *w.host ? w.host : "-", w.source, w.role);
    return VERB_DONE;
}

int verb_deny(int argc, char **argv)
{
    static const char *const names[] = { "CODE" };
    const char *typed = NULL;
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_waiting w;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;
    int status = verb_open(argc, argv, names, &typed, 1, &store);

    if (status != VERB_DONE)
        return status;
    if (!people_find_waiting(store, typed, &w, &err) || !people_deny(store, &w, &deed, &err))
        return verb_fail(&err);
    printf("%s is turned away\n", w.code);
    return VERB_DONE;
}

/* ---- peer ---------------------------------------------------------------------------------------- */

static bool put_peer(void *user, const struct store_identity *who)
{
    struct listing *l = user;
    uint64_t now = clock_wall_ms();
    char print[RECORD_HEX], created[CLOCK_TEXT], seen[CLOCK_TEXT], until[CLOCK_TEXT];

    fingerprint(who->pk, print);
    if (l->is_json) {
        _buf_ map = { 0 };
        admin_put_peer(who, now, &map);
        verb_put_json(buf_view(&map), l->n == 0, &l->text);
    } else {
        buf_printf(&l->text, "%-9s  %-11s  %-5s  %-20s  %-20s  %-20s  %-16s  %.16s  %s\n", who->id,
                   people_state_word(who, now), who->role, clock_text(who->created_at, created),
                   who->seen_at ? clock_text(who->seen_at, seen) : "-",
                   who->expires_at ? clock_text(who->expires_at, until) : "-",
                   *who->groups ? who->groups : "-", print, *who->host ? who->host : "-");
    }
    l->n++;
    return true;
}

static bool fill_peers(struct store *store, struct listing *l, struct err *err)
{
    return store_identity_each(store, false, put_peer, l, err);
}

int verb_peer_list(int argc, char **argv)
{
    return run_list(argc, argv, fill_peers,
                    "ID         STATE        ROLE   JOINED                ADMITTED              "
                    "ENDS                  GROUPS            FINGERPRINT       HOST\n",
                    "nobody has joined\n");
}

static int open_peer(int argc, char **argv, const char *const *alone_names, const char **alone,
                     size_t n_alone, const char **ret_config, struct store **ret_store,
                     struct store_identity *ret_who)
{
    const struct args_option options[] = { { "config", ret_config, true } };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, alone, n_alone, &err))
        return verb_misuse(&err);
    if (!verb_open_to_change(*ret_config, ret_store))
        return VERB_FAILED;
    return people_find(*ret_store, alone[0], ret_who, &err) ? VERB_DONE : verb_fail(&err);
}

int verb_peer_groups(int argc, char **argv)
{
    static const char *const alone_names[] = { "ID", "GROUPS" };
    const char *alone[2] = { 0 }, *config = NULL;
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_identity who;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;
    int status = open_peer(argc, argv, alone_names, alone, 2, &config, &store, &who);

    if (status != VERB_DONE)
        return status;
    if (!people_set_groups(store, &who, alone[1], &deed, &err))
        return verb_fail(&err);
    printf("%s: groups %s\n", who.id, *who.groups ? who.groups : "none");
    return VERB_DONE;
}

int verb_peer_remove(int argc, char **argv)
{
    static const char *const alone_names[] = { "ID" };
    const char *alone[1] = { 0 }, *config = NULL;
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_identity who;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;
    int status = open_peer(argc, argv, alone_names, alone, 1, &config, &store, &who);

    if (status != VERB_DONE)
        return status;
    if (!people_remove(store, &who, &deed, &err))
        return verb_fail(&err);
    printf("%s is admitted no more; its session and its links end\n", who.id);
    return verb_end_orders(config, store, who.id, deed.at);
}

/* ---- name ---------------------------------------------------------------------------------------- */

static bool put_name(void *user, const struct store_name *name)
{
    struct listing *l = user;
    char claimed[CLOCK_TEXT], released[CLOCK_TEXT];

    if (l->is_json) {
        _buf_ map = { 0 };
        admin_put_name(name, &map);
        verb_put_json(buf_view(&map), l->n == 0, &l->text);
    } else {
        buf_printf(&l->text, "%-32s  %-9s  %-8s  %-6" PRIu64 "  %-20s  %s\n", name->name, name->id,
                   name->is_assigned ? "assigned" : "claimed", name->name_no,
                   clock_text(name->claimed_at, claimed),
                   name->released_at ? clock_text(name->released_at, released) : "-");
    }
    l->n++;
    return true;
}

static bool fill_names(struct store *store, struct listing *l, struct err *err)
{
    return store_name_each(store, NULL, put_name, l, err);
}

int verb_name_list(int argc, char **argv)
{
    return run_list(argc, argv, fill_names,
                    "NAME                              ID         HOW       NUMBER  SINCE"
                    "                 RELEASED\n",
                    "no name is taken\n");
}

int verb_name_assign(int argc, char **argv)
{
    static const char *const alone_names[] = { "NAME", "ID" };
    const char *alone[2] = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_identity who;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;
    int status = verb_open(argc, argv, alone_names, alone, 2, &store);

    if (status != VERB_DONE)
        return status;
    if (!people_find(store, alone[1], &who, &err) ||
        !people_assign_name(store, alone[0], &who, &deed, &err))
        return verb_fail(&err);
    printf("%s is %s\n", alone[0], who.id);
    return VERB_DONE;
}

int verb_name_free(int argc, char **argv)
{
    static const char *const alone_names[] = { "NAME" };
    const char *name = NULL;
    _cleanup_(store_freep) struct store *store = NULL;
    const struct deed deed = deed_here(clock_wall_ms());
    struct err err;
    int status = verb_open(argc, argv, alone_names, &name, 1, &store);

    if (status != VERB_DONE)
        return status;
    if (!people_free_name(store, name, &deed, &err))
        return verb_fail(&err);
    printf("%s is nobody's\n", name);
    return VERB_DONE;
}
