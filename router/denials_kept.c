/* SPDX-License-Identifier: Apache-2.0 */
#include "router/acts.h"
#include "router/denials_in.h"

#include <stdio.h>

const char *const denials_verbs[] = {
    "call", "register", "publish",       "subscribe",
    "join", "kick",     "remove_callee", "remove_subscriber",
};
enum { N_VERBS = sizeof(denials_verbs) / sizeof(*denials_verbs) };

void denials_put_record(struct buf *to, const struct denial *d, bool is_told, uint64_t n,
                        uint64_t first_at)
{
    const struct acts_record record = {
        .is_told = is_told,
        .id = view_text(d->who->id),
        .role = view_text(role_name(d->who->role)),
        .verb = view_text(denials_verbs[d->verb]),
        .text = buf_view(&d->uri),
        .address = view_text(d->address),
        .n = n,
        .first_at = first_at,
        .last_at = d->last_at,
    };

    acts_put(to, &record);
}

/* Those that den was not told of, or did not take yet. */
static void put_untold(const struct denials *all, struct buf *to)
{
    size_t cursor = 0;
    void *item;

    while (map_next(all->by_key, &cursor, NULL, &item)) {
        const struct denial *d = item;
        if (denials_is_act(d->verb) && d->n + d->n_telling)
            denials_put_record(to, d, false, d->n + d->n_telling,
                               d->n_telling ? d->telling_since : d->first_at);
    }
}

/* A file that has grown, or of which den took all, is written anew. */
void denials_write(struct denials *all, bool is_all)
{
    const struct router_outside *outside = &all->router->outside;
    struct err err = { 0 };
    _buf_ whole = { 0 };

    is_all |= all->is_torn || all->n_kept + all->unkept.len > DENIALS_MAX_KEPT;
    if (is_all)
        put_untold(all, &whole);
    struct view records = buf_view(is_all ? &whole : &all->unkept);
    bool is_kept = records.len <= DENIALS_MAX_KEPT
                       ? outside->keep_acts(outside->user, records, is_all, &err)
                       : err_set(&err, ERR_LIMIT, "den was not told of more than are kept");
    if (is_kept)
        all->n_kept = (is_all ? 0 : all->n_kept) + records.len;
    else
        log_event(LOG_ERROR, "acts_unkept", "why=%s", log_quote_text(err.text));
    all->is_torn = !is_kept;
    buf_free(&all->unkept);
}

void denials_keep(struct denials *all)
{
    if (all->router->outside.keep_acts && all->unkept.len)
        denials_write(all, false);
    buf_free(&all->unkept);
}

static bool read_role(struct view text, enum role *ret_role)
{
    for (enum role role = ROLE_PEER; role <= ROLE_APPLICATION; role++) {
        if (view_eq_text(text, role_name(role))) {
            *ret_role = role;
            return true;
        }
    }
    return false;
}

static bool read_act(struct view text, enum policy_verb *ret_verb)
{
    for (size_t verb = DENIALS_KICK; verb < N_VERBS; verb++) {
        if (view_eq_text(text, denials_verbs[verb])) {
            *ret_verb = (enum policy_verb)verb;
            return true;
        }
    }
    return false;
}

static void take_record(struct denials *all, const struct acts_record *r)
{
    enum policy_verb verb;
    enum role role;
    struct denial *d;

    if (r->id.len >= CONN_ID || !read_role(r->role, &role) || !read_act(r->verb, &verb))
        return;
    struct who *who = denials_who(all, role, r->id, (struct view){ 0 });
    d = denials_find(all, who, verb, r->text);
    if (!d) {
        denials_forget_if_new(all, who);
        return;
    }
    if (r->is_told) {
        d->n -= min_u64(d->n, r->n);
        d->first_at = r->last_at;
        return;
    }
    d->verdict = POLICY_ALLOWED;
    d->first_at = d->n ? d->first_at : r->first_at;
    d->last_at = r->last_at;
    d->n += r->n;
    snprintf(d->address, sizeof(d->address), "%.*s", VIEW_FMT(r->address));
}

void denials_load(struct denials *all, struct view acts)
{
    struct acts_record record;
    struct view rest = acts;

    while (acts_take(&rest, &record))
        take_record(all, &record);
    all->n_kept = acts.len;
    if (rest.len)
        log_event(LOG_WARN, "acts_damaged", "bytes=%zu of=%zu", rest.len, acts.len);
    all->is_torn = rest.len > 0;
    if (map_count(all->by_key))
        denials_arm(all, all->router->now.mono + DENIALS_SOON_MS);
    if (all->is_torn && all->router->outside.keep_acts)
        denials_write(all, true);
}

bool denials_has_untold(const struct denials *all)
{
    size_t cursor = 0;
    void *item;

    while (map_next(all->by_key, &cursor, NULL, &item)) {
        const struct denial *d = item;
        if (denials_is_act(d->verb) && d->n)
            return true;
    }
    return false;
}
