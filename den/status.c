/* SPDX-License-Identifier: Apache-2.0 */
/* How den is, for people who look and programs that watch. */
#include "den/core_in.h"

#include "base/text.h"
#include "den/admin.h"
#include "den/lifetime.h"
#include "den/token.h"

#include <inttypes.h>
#include <stdio.h>

struct texts {
    struct buf items;
    uint32_t n;
};

static void add_text(struct texts *t, const char *text)
{
    rpc_put_str(&t->items, text);
    t->n++;
}

static void end_list(struct buf *items, uint32_t n, struct admin_object *to, const char *key)
{
    _buf_ list = { 0 };

    rpc_put_array(&list, n);
    buf_put(&list, buf_view(items));
    admin_value(to, key, buf_view(&list));
    buf_free(items);
}

static void end_object(struct admin_object *o, struct admin_object *to, const char *key)
{
    _buf_ map = { 0 };

    admin_end(o, &map);
    admin_value(to, key, buf_view(&map));
}

static bool count_session(void *user, const struct store_session *x)
{
    uint64_t *n = user;

    n[strcmp(x->state, "accepted") == 0]++;
    return true;
}

struct count {
    uint64_t now, n;
};

static bool count_token(void *user, const struct store_token *t)
{
    struct count *count = user;

    count->n += strcmp(token_state(t, count->now), "usable") == 0;
    return true;
}

static bool count_waiting(void *user, const struct store_waiting *w)
{
    uint64_t *n = user;

    *n += w->answer == STORE_WAITS;
    return true;
}

/* When the newest one was made; 0: never. */
static bool read_backup(struct store *store, uint64_t *ret_at, struct err *err)
{
    enum store_found found = STORE_NONE;
    _buf_ text = { 0 };

    *ret_at = 0;
    if (!store_blob_get(store, "backup_at", &found, &text, err))
        return false;
    if (found == STORE_FOUND)
        text_read_u64(buf_view(&text), ret_at);
    return true;
}

bool status_count(struct den_core *core, struct status_counts *ret, struct err *err)
{
    struct store *store = core->c.store;
    struct count tokens = { .now = core_wall(core) };
    struct store_progress progress;
    uint64_t sessions[2] = { 0 }, day = tokens.now - min_u64(tokens.now, DAY_MS);

    *ret = (struct status_counts){ 0 };
    if (!store_identity_progress(store, rpc_trust_manifest_no(core->c.trust), day, tokens.now,
                                 &progress, err) ||
        !store_session_each_open(store, count_session, sessions, err) ||
        !store_token_each(store, count_token, &tokens, err) ||
        !store_waiting_each(store, count_waiting, &ret->n_waiting, err) ||
        !read_backup(store, &ret->backup_at, err) ||
        !audit_head(store, &ret->audit_no, ret->audit_head, err))
        return false;
    ret->n_peers = progress.n;
    ret->n_ringing = sessions[0];
    ret->n_sessions = sessions[1];
    ret->n_tokens = tokens.n;
    return true;
}

static void put_counts(struct den_core *core, struct admin_object *to, struct texts *warnings)
{
    struct admin_object peers = { 0 }, sessions = { 0 }, audit = { 0 };
    struct status_counts n;
    struct err err = { 0 };

    if (!status_count(core, &n, &err)) {
        add_text(warnings, err.text);
        return;
    }
    admin_number(&peers, "known", n.n_peers);
    admin_number(&peers, "waiting", n.n_waiting);
    end_object(&peers, to, "peers");
    admin_number(&sessions, "ringing", n.n_ringing);
    admin_number(&sessions, "live", n.n_sessions);
    end_object(&sessions, to, "sessions");
    admin_number(to, "tokens", n.n_tokens);
    admin_number(&audit, "number", n.audit_no);
    admin_hex(&audit, "head", VIEW_ARR(n.audit_head));
    admin_number(&audit, "refusals_left_out", core->n_unaudited);
    end_object(&audit, to, "audit");
    admin_time(to, "backup_at", n.backup_at);
    if (n.n_waiting)
        add_text(warnings, "machines wait for approval: warren-den waiting list");
    if (!n.backup_at)
        add_text(warnings, "no backup was made: warren-den backup");
}

struct ages {
    struct buf items;
    uint32_t n;
    struct texts *warnings;
};

static void put_age(void *user, const struct lifetime *l)
{
    struct ages *ages = user;
    struct admin_object o = { 0 };
    char text[320], until[CLOCK_TEXT];

    admin_text(&o, "kind", l->kind);
    admin_text(&o, "subject", l->subject);
    admin_time(&o, "not_after", l->not_after);
    admin_number(&o, "percent", l->percent);
    admin_end(&o, &ages->items);
    ages->n++;
    if (!lifetime_mark(l->percent))
        return;
    snprintf(text, sizeof(text), "%u %% of the life of the %s \"%s\" are over; it ends %s: %s",
             l->percent, l->kind, l->subject, clock_text(l->not_after, until),
             "warren-den rollover stage");
    add_text(ages->warnings, text);
}

static void put_health(struct den_core *core, struct texts *warnings)
{
    _buf_ text = { 0 };
    struct view rest, line;

    den_core_warnings(core, &text);
    rest = buf_view(&text);
    while (rest.len) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        line = view_sub(rest, 0, end ? (size_t)(end - rest.data) : rest.len);
        rest = view_sub(rest, line.len + 1, rest.len);
        rpc_put_text(&warnings->items, line);
        warnings->n++;
    }
}

static void put_manifest(struct den_core *core, struct admin_object *to)
{
    const struct rpc_manifest *m = rpc_trust_manifest(core->c.trust);
    struct admin_object o = { 0 };

    admin_number(&o, "number", m->manifest_no);
    admin_time(&o, "not_after", m->not_after);
    end_object(&o, to, "manifest");
}

void status_put(struct den_core *core, struct admin_object *to)
{
    struct texts warnings = { 0 };
    struct ages ages = { .warnings = &warnings };
    struct admin_object policy = { 0 }, since_start = { 0 };

    admin_text(to, "network", rpc_trust_network(core->c.trust));
    admin_time(to, "at", core_wall(core));
    admin_text(to, "state",
               core->is_up     ? "online"
               : core->has_met ? "the router is away"
                               : "the router was not met yet");
    put_health(core, &warnings);
    put_manifest(core, to);
    lifetime_each(core, put_age, &ages);
    end_list(&ages.items, ages.n, to, "authorities");
    admin_number(&policy, "number", core->policy_no);
    admin_number(&policy, "rules", core->policy ? policy_count(core->policy) : 0);
    end_object(&policy, to, "policy");
    put_counts(core, to, &warnings);
    admin_number(to, "revocations", core->rev_no);
    admin_number(&since_start, "refused", core->n_refused);
    admin_number(&since_start, "refused_by_router", core->n_denied);
    admin_number(&since_start, "administrative", core->n_admin_acts);
    admin_number(&since_start, "certificates", core->n_issued);
    admin_number(&since_start, "sessions", core->n_granted);
    admin_number(&since_start, "sessions_refused", core->n_not_granted);
    end_object(&since_start, to, "since_start");
    if (core->c.place && core->c.place->put_facts)
        core->c.place->put_facts(core->c.place->user, to);
    end_list(&warnings.items, warnings.n, to, "warnings");
}
