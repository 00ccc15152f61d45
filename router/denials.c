/* SPDX-License-Identifier: Apache-2.0 */
#include "router/denials_in.h"
#include "router/dealer.h"
#include "router/router.h"

#include <stdio.h>

static void on_due(struct deadline *deadline);

struct denials *denials_new(struct router *router)
{
    struct denials *all = mem_new(struct denials);

    all->router = router;
    all->by_key = map_new();
    all->by_who = map_new();
    all->due.on_passed = on_due;
    return all;
}

static void denial_free(struct denials *all, struct denial *d)
{
    struct who *who = d->who;
    bool was_act = denials_is_act(d->verb);

    all->n_acts -= was_act;
    who->n_acts -= was_act;
    map_remove(all->by_key, buf_view(&d->key));
    list_remove(&d->of_who);
    buf_free(&d->key);
    buf_free(&d->uri);
    free(d);
    if (--who->n)
        return;
    map_remove(all->by_who, buf_view(&who->key));
    buf_free(&who->key);
    free(who);
}

void denials_free(struct denials *all)
{
    size_t cursor = 0;
    void *d;

    if (!all)
        return;
    if (all->asking)
        dealer_forget(all->asking);
    deadline_clear(&all->router->deadlines, &all->due);
    while (map_next(all->by_key, &cursor, NULL, &d))
        denial_free(all, d);
    map_free(all->by_key);
    map_free(all->by_who);
    buf_free(&all->unkept);
    free(all);
}

size_t denials_count(const struct denials *all)
{
    return map_count(all->by_key);
}

/* ---- counting ------------------------------------------------------------------------------------ */

struct who *denials_who(struct denials *all, enum role role, struct view id, struct view near)
{
    _buf_ key = { 0 };
    struct who *who;

    buf_printf(&key, "%d ", (int)role);
    buf_put(&key, role == ROLE_GUEST ? near : id);
    who = map_get(all->by_who, buf_view(&key));
    if (who)
        return who;
    who = mem_new(struct who);
    list_init(&who->denials);
    who->key = buf_dup(buf_view(&key));
    who->role = role;
    if (role != ROLE_GUEST)
        snprintf(who->id, sizeof(who->id), "%.*s", VIEW_FMT(id));
    map_set(all->by_who, buf_view(&who->key), who);
    return who;
}

void denials_forget_if_new(struct denials *all, struct who *who)
{
    if (who->n)
        return;
    map_remove(all->by_who, buf_view(&who->key));
    buf_free(&who->key);
    free(who);
}

static struct denial *add(struct denials *all, struct who *who, enum policy_verb verb,
                          struct view uri, struct view key)
{
    struct denial *d = mem_new(struct denial);

    d->who = who;
    d->verb = verb;
    d->uri = buf_dup(uri);
    d->key = buf_dup(key);
    list_append(&who->denials, &d->of_who);
    who->n++;
    who->n_acts += denials_is_act(verb);
    all->n_acts += denials_is_act(verb);
    map_set(all->by_key, buf_view(&d->key), d);
    return d;
}

/* Acts have room of their own: nobody hides one behind refusals. */
static bool is_full(const struct denials *all, const struct who *who, enum policy_verb verb)
{
    if (denials_is_act(verb))
        return who->n_acts >= DENIALS_ACTS;
    return who->n - who->n_acts >= DENIALS_PER_ID ||
           map_count(all->by_key) - all->n_acts >= DENIALS_MAX;
}

static struct denial *find(struct denials *all, struct who *who, enum policy_verb verb,
                           struct view uri)
{
    _buf_ key = { 0 };
    struct denial *d;

    buf_printf(&key, "%d %zu ", (int)verb, who->key.len);
    buf_put(&key, buf_view(&who->key));
    buf_put(&key, uri);
    d = map_get(all->by_key, buf_view(&key));
    if (d || (uri.len && is_full(all, who, verb)))
        return d;
    return add(all, who, verb, uri, buf_view(&key));
}

/* What is full counts by caller alone, then; of acts, by what was done too. There are never more callers than twice DENIALS_MAX: where there are, the rest
 * is not counted. */
struct denial *denials_find(struct denials *all, struct who *who, enum policy_verb verb,
                            struct view uri)
{
    struct denial *d = find(all, who, verb, uri);

    if (!d && denials_is_act(verb))
        return find(all, who, verb, VIEW_LIT(""));
    if (!d && map_count(all->by_key) - all->n_acts < 2 * DENIALS_MAX)
        d = find(all, who, POLICY_CALL, VIEW_LIT(""));
    return d;
}

void denials_arm(struct denials *all, uint64_t at)
{
    if (!all->due.place || all->due.at > at)
        deadline_set(&all->router->deadlines, &all->due, at);
}

static void count(struct conn *conn, enum policy_verb verb, struct view uri,
                  enum policy_verdict verdict)
{
    struct denials *all = conn->router->denials;
    uint64_t mono = conn->router->now.mono;
    struct who *who = denials_who(all, conn->role, conn_id(conn),
                                  conn->has_near ? VIEW_ARR(conn->near) : (struct view){ 0 });
    struct denial *d = denials_find(all, who, verb, uri);

    if (!d) {
        denials_forget_if_new(all, who);
        return;
    }
    d->verdict = verdict;
    d->last_at = router_network_time(conn->router);
    d->first_at = d->n ? d->first_at : d->last_at;
    d->n++;
    snprintf(d->address, sizeof(d->address), "%s", conn->address);
    if (denials_is_act(verb))
        denials_put_record(&all->unkept, d, false, 1, d->last_at);
    denials_arm(all, d->told_at ? d->told_at + DENIALS_EVERY_MS : mono + DENIALS_SOON_MS);
}

void denials_note(struct conn *conn, enum policy_verb verb, struct view uri,
                  enum policy_verdict verdict)
{
    if (conn->realm == conn->router->home)
        count(conn, verb, uri, verdict);
}

void denials_note_join(struct conn *conn, enum err_code code)
{
    bool is_telling = code == ERR_WRONG_KEY || code == ERR_BAD_SIGNATURE;

    if (is_telling && conn->realm == conn->router->home && conn->role == ROLE_GUEST)
        count(conn, (enum policy_verb)DENIALS_JOIN, view_text(err_code_name(code)),
              POLICY_FORBIDDEN);
}

void denials_note_nobody(struct conn *by, struct view procedure)
{
    denials_note(by, POLICY_CALL, procedure, (enum policy_verdict)DENIALS_NOT_FOUND);
}

/* Whole characters, as many as den takes. */
static void put_bounded(struct buf *to, struct view text)
{
    for (size_t at = 0, n; at < text.len && to->len < DENIALS_MAX_WHY; at += n) {
        n = text_utf8_sequence(text.data + at, text.len - at);
        if (n == 0)
            break;
        buf_put(to, view_sub(text, at, n));
    }
}

static void count_act(struct conn *by, int verb, struct view text)
{
    if (by->realm == by->router->home)
        count(by, (enum policy_verb)verb, text, POLICY_ALLOWED);
}

void denials_note_kick(struct conn *by, const char *whom, struct view why)
{
    _buf_ text = { 0 };

    buf_printf(&text, "%s ", whom);
    put_bounded(&text, why);
    count_act(by, DENIALS_KICK, buf_view(&text));
}

void denials_note_removal(struct conn *by, bool is_callee, const char *whom, struct view uri,
                          struct view why)
{
    _buf_ text = { 0 };

    buf_printf(&text, "%s ", whom);
    put_bounded(&text, uri);
    buf_put_text(&text, " ");
    put_bounded(&text, why);
    count_act(by, is_callee ? DENIALS_REMOVE_CALLEE : DENIALS_REMOVE_SUBSCRIBER, buf_view(&text));
}

/* ---- telling ------------------------------------------------------------------------------------- */

static void put(const struct denial *d, struct buf *to)
{
    static const char *const verdicts[] = {
        "allowed", "forbidden", "no_grant", "no_capability", "not_found",
    };

    rpc_put_array(to, 9);
    rpc_put_str(to, d->who->id);
    rpc_put_str(to, role_name(d->who->role));
    rpc_put_str(to, d->uri.len || denials_is_act(d->verb) ? denials_verbs[d->verb] : "");
    rpc_put_text(to, buf_view(&d->uri));
    rpc_put_str(to, verdicts[d->verdict]);
    rpc_put_u64(to, d->n_telling);
    rpc_put_u64(to, d->first_at);
    rpc_put_u64(to, d->last_at);
    rpc_put_str(to, d->address);
}

/* What den was told is done with, or is still to be told. */
static void settle(struct denials *all, bool was_told)
{
    size_t cursor = 0;
    void *item;

    while (map_next(all->by_key, &cursor, NULL, &item)) {
        struct denial *d = item;
        if (!d->n_telling)
            continue;
        if (was_told && denials_is_act(d->verb))
            denials_put_record(&all->unkept, d, true, d->n_telling, d->telling_since);
        d->told_at = was_told ? all->router->now.mono : d->told_at;
        d->n += was_told ? 0 : d->n_telling;
        d->first_at = was_told ? d->first_at : d->telling_since;
        d->n_telling = 0;
    }
    if (all->unkept.len && all->router->outside.keep_acts)
        denials_write(all, !denials_has_untold(all));
    buf_free(&all->unkept);
}

static void on_told(void *user, const struct dealer_answer *answer)
{
    struct denials *all = user;

    all->asking = NULL;
    settle(all, !answer->is_error);
    denials_arm(all,
                all->router->now.mono + (answer->is_error ? DENIALS_AGAIN_MS : DENIALS_SOON_MS));
}

static uint64_t due_of(const struct denial *d)
{
    return d->told_at ? d->told_at + DENIALS_EVERY_MS : 0;
}

/* Those that are due; who was told of and is quiet since is forgotten. The next time, unless there are more. */
static uint64_t collect(struct denials *all, bool is_last, struct buf *ret_items, uint32_t *ret_n)
{
    uint64_t now = all->router->now.mono, next = NEVER_MS;
    size_t cursor = 0;
    void *item;

    while (map_next(all->by_key, &cursor, NULL, &item)) {
        struct denial *d = item;
        uint64_t at = due_of(d);
        bool is_due = at <= now || (is_last && d->n);
        if (is_due && !d->n) {
            denial_free(all, d);
        } else if (is_due && *ret_n < DENIALS_AT_ONCE) {
            d->n_telling = d->n;
            d->telling_since = d->first_at;
            d->n = 0;
            put(d, ret_items);
            ++*ret_n;
        } else {
            next = min_u64(next, is_due ? now + DENIALS_SOON_MS : at);
        }
    }
    return next;
}

static void tell(struct denials *all, bool is_last)
{
    struct router *router = all->router;
    _buf_ items = { 0 }, args = { 0 };
    uint64_t next;
    uint32_t n = 0;

    if (all->asking)
        return;
    if (!dealer_serves(router->home->dealer, VIEW_LIT("den.refusal.note"))) {
        if (map_count(all->by_key))
            denials_arm(all, router->now.mono + DENIALS_AGAIN_MS);
        return;
    }
    next = collect(all, is_last, &items, &n);
    if (n) {
        rpc_put_array(&args, 1);
        rpc_put_array(&args, n);
        buf_put(&args, buf_view(&items));
        all->asking =
            dealer_ask(router, "den.refusal.note", rpc_args(buf_view(&args)), "", on_told, all);
    }
    if (n && !all->asking)
        settle(all, false);
    if (next != NEVER_MS && !all->asking)
        denials_arm(all, next);
}

static void on_due(struct deadline *deadline)
{
    tell(CONTAINER(deadline, struct denials, due), false);
}

void denials_flush(struct denials *all)
{
    tell(all, true);
}
