/* SPDX-License-Identifier: Apache-2.0 */
/* What the router's own table refused, for the audit: den never saw those calls. The router counts them by who and what; and tells whom an
 * administrator cut off there, or took a registration or subscription from. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_DENIALS = 64, MAX_WORD = 64, MAX_URI = 255 };

struct denial {
    struct view id, role, verb, uri, why, address;
    uint64_t n, first_at, last_at;
};

static void read_denial(struct rpc_fields *all, struct denial *ret)
{
    struct view one = rpc_fields_array(all, "refusal");
    struct rpc_fields f;
    struct err why = { 0 };

    rpc_fields_open(&f, one);
    ret->id = rpc_fields_text(&f, "id", MAX_WORD);
    ret->role = rpc_fields_text(&f, "role", MAX_WORD);
    ret->verb = rpc_fields_text(&f, "verb", MAX_WORD);
    ret->uri = rpc_fields_text(&f, "uri", MAX_URI);
    ret->why = rpc_fields_text(&f, "why", MAX_WORD);
    ret->n = rpc_fields_u64(&f, "count");
    ret->first_at = rpc_fields_u64(&f, "first");
    ret->last_at = rpc_fields_u64(&f, "last");
    ret->address = rpc_fields_text(&f, "address", MAX_WORD);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &why))
        rpc_fields_fail(all, "refusal", why.text);
}

static bool is_administrator(struct den_core *core, struct view id)
{
    enum store_found found = STORE_NONE;
    struct store_identity who;
    struct err unread;

    return store_identity_by_id(core->c.store, id, &found, &who, &unread) && found == STORE_FOUND &&
           strcmp(who.role, "admin") == 0;
}

/* Of guests there is an address alone. */
static bool may_write(struct den_core *core, const struct denial *d)
{
    uint8_t key[RATE_KEY];
    struct view who = d->id.len ? view_sub(d->id, 0, STORE_ID) : rate_source(d->address, key);

    if (core_take(core, RATE_DENIED, who) && core_take(core, RATE_DENIED_ALL, VIEW_LIT("all")))
        return true;
    core->n_undenied += d->n;
    return false;
}

/* What an administrator did at the router. */
static const struct act {
    const char *verb, *what, *before, *after;
    bool has_uri;
} acts[] = {
    { "kick", "peer.kicked", "connected", "disconnected", false },
    { "remove_callee", "registration.removed", "registered", "removed", true },
    { "remove_subscriber", "subscription.removed", "subscribed", "removed", true },
};

static const struct act *act_of(const struct denial *d)
{
    for (size_t i = 0; i < N_ELEMENTS(acts); i++) {
        if (view_eq_text(d->verb, acts[i].verb))
            return &acts[i];
    }
    return NULL;
}

/* It is the router's word alone: what a router says of somebody else than an administrator has no more room than what it refused, and
 * nobody fills the disk with it. */
static bool may_write_act(struct den_core *core, const struct denial *d)
{
    if (!is_administrator(core, d->id))
        return may_write(core, d);
    if (core_take(core, RATE_ACTS, VIEW_LIT("all")))
        return true;
    core->n_undenied += d->n;
    return false;
}

/* What stands before the next space, or all; *text goes on behind it. */
static struct view take_word(struct view *text)
{
    const uint8_t *space = text->len ? memchr(text->data, ' ', text->len) : NULL;
    struct view word = view_sub(*text, 0, space ? (size_t)(space - text->data) : text->len);

    *text = view_sub(*text, word.len + 1, text->len);
    return word;
}

/* The URI is whom, of what, and why. */
static bool write_act(struct den_core *core, struct audit_run *run, const struct denial *d,
                      struct err *err)
{
    _free_ char *n = mem_format("%" PRIu64, d->n);
    const struct act *act = act_of(d);
    struct view rest = d->uri, whom = take_word(&rest),
                uri = act->has_uri ? take_word(&rest) : (struct view){ 0 };
    char last[CLOCK_TEXT];
    const struct audit_pair pairs[] = {
        { "id", whom },
        AUDIT_TEXT("state_before", act->before),
        AUDIT_TEXT("state", act->after),
        { "reason", d->uri.len ? rest : VIEW_LIT("more than are told one by one") },
        AUDIT_TEXT("told_by", "router"),
        { "by", d->id },
        { "source", d->address },
        AUDIT_TEXT("times", n),
        AUDIT_TEXT("last_at", clock_text(d->last_at, last)),
        { "uri", uri },
    };

    return audit_run_append(run, core_wall(core), act->what, pairs,
                            N_ELEMENTS(pairs) - !act->has_uri, err);
}

static bool write_one(struct den_core *core, struct audit_run *run, const struct denial *d,
                      struct err *err)
{
    _free_ char *n = mem_format("%" PRIu64, d->n);
    _free_ char *left_out = mem_format("%" PRIu64, core->n_undenied);
    char first[CLOCK_TEXT], last[CLOCK_TEXT];
    struct audit_pair pairs[10] = {
        { "id", d->id },
        { "role", d->role },
        { "verb", d->verb },
        { "uri", d->uri },
        { "why", d->why },
        { "source", d->address },
        AUDIT_TEXT("times", n),
        AUDIT_TEXT("first_at", clock_text(d->first_at, first)),
        AUDIT_TEXT("last_at", clock_text(d->last_at, last)),
    };
    size_t n_pairs = 9;

    if (core->n_undenied)
        pairs[n_pairs++] = (struct audit_pair)AUDIT_TEXT("left_out_before", left_out);
    return audit_run_append(run, core_wall(core), "router.refused", pairs, n_pairs, err);
}

static bool write_all(struct den_core *core, const struct denial *list, size_t n, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    uint64_t left_out = core->n_undenied;
    struct audit_run run;

    if (!store_begin(open, err) || !audit_run_start(open, &run, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool is_act = act_of(&list[i]) != NULL;
        if (!(is_act ? may_write_act : may_write)(core, &list[i]))
            continue;
        if (!(is_act ? write_act : write_one)(core, &run, &list[i], err))
            return false;
        core->n_undenied = is_act ? core->n_undenied : 0;
    }
    if (audit_run_end(&run, err) && store_commit(open, err))
        return true;
    core->n_undenied = left_out; /* the router tells it again */
    return false;
}

/* [[id, role, verb, uri, why, count, first, last, address], ...] -> []. rpc/PROCEDURES.md */
bool denied_note(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    struct denial list[MAX_DENIALS] = { 0 };
    struct rpc_fields all;
    size_t n = 0;
    _buf_ none = { 0 };

    rpc_fields_open(&all, rpc_fields_array(args, "refusals"));
    while (n < MAX_DENIALS && rpc_fields_more(&all))
        read_denial(&all, &list[n++]);
    if (!rpc_fields_end(&all, err) || !rpc_fields_end(args, err) || !write_all(core, list, n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        *(act_of(&list[i]) ? &core->n_admin_acts : &core->n_denied) += list[i].n;
    rpc_put_array(&none, 0);
    core_yield(core, inv->number, buf_view(&none));
    return true;
}
