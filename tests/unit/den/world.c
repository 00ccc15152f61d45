/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/den/world.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "den/audit.h"

#include <stdarg.h>
#include <stdio.h>

bool world_disk_is_full;
size_t world_n_commits;

bool __real_store_commit(struct store *s, struct err *err);
bool __wrap_store_commit(struct store *s, struct err *err);
bool __wrap_store_commit(struct store *s, struct err *err)
{
    if (world_disk_is_full)
        return err_set(err, ERR_SYSTEM, "database or disk is full");
    world_n_commits++;
    return __real_store_commit(s, err);
}

static void (*before_begin)(void *user);
static void *user_before_begin;

void world_before_begin(void (*once)(void *user), void *user)
{
    before_begin = once;
    user_before_begin = user;
}

bool __real_store_begin(struct store *s, struct err *err);
bool __wrap_store_begin(struct store *s, struct err *err);
bool __wrap_store_begin(struct store *s, struct err *err)
{
    void (*once)(void *user) = before_begin;

    before_begin = NULL; /* it has transactions of its own */
    if (once)
        once(user_before_begin);
    return __real_store_begin(s, err);
}

/* The log goes through here too: it is counted, and still written. */
static struct logged {
    char event[64], newest[1024];
    size_t n;
} logs[64];

void __real_log_event(enum log_level level, const char *event, const char *fmt, ...) _printf_(3, 4);
void __wrap_log_event(enum log_level level, const char *event, const char *fmt, ...) _printf_(3, 4);
void __wrap_log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    struct logged *l = logs;
    va_list args;

    while (l->n && strcmp(l->event, event) != 0 && l < logs + N_ELEMENTS(logs) - 1)
        l++;
    snprintf(l->event, sizeof(l->event), "%s", event);
    l->n++;
    va_start(args, fmt);
    vsnprintf(l->newest, sizeof(l->newest), fmt, args);
    va_end(args);
    __real_log_event(level, event, "%s", l->newest);
}

size_t world_logged(const char *event, const char *holds)
{
    for (size_t i = 0; i < N_ELEMENTS(logs); i++) {
        if (strcmp(logs[i].event, event) != 0)
            continue;
        if (holds && !strstr(logs[i].newest, holds))
            check_failed(__FILE__, __LINE__, "logged \"%s\", not \"%s\"", logs[i].newest, holds);
        return logs[i].n;
    }
    return 0;
}

/* ---- the port ------------------------------------------------------------------------------ */

static uint64_t get_mono(void *user)
{
    return ((struct world *)user)->mono;
}

static uint64_t get_wall(void *user)
{
    return ((struct world *)user)->wall;
}

static struct world_answer *add_answer(struct world *w, uint64_t inv)
{
    struct world_answer *a = &w->answers[w->n_answers++ % WORLD_MAX];

    buf_free(&a->bytes);
    *a = (struct world_answer){ .inv = inv };
    return a;
}

static void on_yield(void *user, uint64_t inv, bool is_progress, struct view args)
{
    struct world_answer *a = add_answer(user, inv);

    a->what = is_progress ? WORLD_PROGRESS : WORLD_YIELDED;
    buf_put(&a->bytes, args);
}

static void on_refuse(void *user, uint64_t inv, const struct err *why)
{
    struct world_answer *a = add_answer(user, inv);

    a->what = WORLD_REFUSED;
    a->err = *why;
    rpc_error_uri("den", why->code, &a->bytes);
    rpc_error_put_payload(why, &a->bytes);
}

static uint64_t on_call(void *user, const char *procedure, struct view args, uint64_t timeout,
                        bool wants_progress, rpc_on_outcome *on_outcome, void *outcome_user)
{
    struct world *w = user;
    struct world_call *c = &w->calls[w->n_calls++ % WORLD_MAX];

    (void)wants_progress;
    buf_free(&c->args);
    *c = (struct world_call){ .w = w,
                              .number = w->n_calls,
                              .timeout = timeout,
                              .on_outcome = on_outcome,
                              .user = outcome_user };
    snprintf(c->procedure, sizeof(c->procedure), "%s", procedure);
    buf_put(&c->args, args);
    return c->number;
}

static void on_forget(void *user, uint64_t call)
{
    struct world *w = user;

    for (size_t i = 0; i < WORLD_MAX; i++)
        if (w->calls[i].number == call)
            w->calls[i].is_forgotten = true;
}

static void on_publish(void *user, const char *topic, const struct rpc_publish_options *options,
                       struct view args)
{
    struct world *w = user;
    struct world_event *e = &w->events[w->n_events++ % WORLD_MAX];

    buf_free(&e->args);
    *e = (struct world_event){ .is_retained = options->retain };
    snprintf(e->topic, sizeof(e->topic), "%s", topic);
    for (size_t i = 0; i < options->n_eligible; i++) {
        size_t len = strlen(e->eligible);
        snprintf(e->eligible + len, sizeof(e->eligible) - len, "%s%s", i ? "," : "",
                 options->eligible_authid[i]);
    }
    buf_put(&e->args, args);
}

static bool on_save(void *user, struct view bytes, struct err *err)
{
    struct world *w = user;

    if (w->cannot_save)
        return err_set(err, ERR_SYSTEM, "disk full");
    buf_clear(&w->saved_trust);
    buf_put(&w->saved_trust, bytes);
    return true;
}

static bool on_keep_crl(void *user, const struct signer_anchor *anchor, struct err *err)
{
    struct world *w = user;

    if (w->cannot_save)
        return err_set(err, ERR_SYSTEM, "disk full");
    w->config.crl_floor = *anchor;
    return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

bool world_open(struct world *w, struct err *err)
{
    if (!w->trust && !rpc_trust_load(buf_view(&w->saved_trust), pki_verify_by_cert, &w->trust, err))
        return false;
    if (!store_open(w->store_path, &w->store, err))
        return false;
    w->config.trust = w->trust;
    w->config.store = w->store;
    return den_core_new(&w->config, &w->core, err) && world_set_policy(w, w->policy, err) &&
           den_core_start(w->core, err);
}

static bool start(struct world *w, struct err *err)
{
    if (!world_open(w, err))
        return false;
    den_core_up(w->core);
    return true;
}

struct world *world_new(const char *policy)
{
    return world_new_in(NULL, policy);
}

struct world *world_new_in(const char *keys_dir, const char *policy)
{
    static unsigned n;
    _cleanup_(world_freep) struct world *w = mem_new(struct world);
    struct err err = { 0 };

    w->wall = (uint64_t)WORLD_START_S * 1000;
    w->mono = 1000;
    w->source = "192.0.2.7";
    w->keys_dir = keys_dir;
    w->store_path = mem_format("%s/den-%u.db", check_dir(), n++);
    w->port = (struct den_port){
        .mono = get_mono,
        .wall = get_wall,
        .yield = on_yield,
        .refuse = on_refuse,
        .call = on_call,
        .forget = on_forget,
        .publish = on_publish,
        .save_trust = on_save,
        .keep_crl = on_keep_crl,
        .user = w,
    };
    den_core_defaults(&w->config);
    w->config.port = &w->port;
    if (!world_found(w, &err) || !store_create(w->store_path, &err)) {
        check_failed(__FILE__, __LINE__, "founding: %s", err.text);
        return NULL;
    }
    w->config.signer = w->signer;
    w->policy = mem_text(policy);
    if (!start(w, &err)) {
        check_failed(__FILE__, __LINE__, "starting: %s", err.text);
        return NULL;
    }
    return STEAL(w);
}

void world_close(struct world *w)
{
    den_core_free(STEAL(w->core));
    store_free(STEAL(w->store));
    rpc_trust_free(STEAL(w->trust));
    for (size_t i = 0; i < WORLD_MAX; i++)
        w->calls[i].is_done = true;
}

void world_free(struct world *w)
{
    if (!w)
        return;
    world_close(w);
    signer_free(w->signer);
    pki_ca_free(w->root);
    key_free(w->sign);
    key_free(w->login);
    key_free(w->router);
    buf_free(&w->saved_trust);
    buf_free(&w->router_csr);
    free(w->store_path);
    free(w->policy);
    for (size_t i = 0; i < WORLD_MAX; i++) {
        buf_free(&w->answers[i].bytes);
        buf_free(&w->calls[i].args);
        buf_free(&w->events[i].args);
    }
    free(w);
}

bool world_restart(struct world *w, struct err *err)
{
    world_close(w);
    return start(w, err);
}

bool world_unlimited(struct world *w)
{
    struct err err;

    for (size_t i = 0; i < N_RATES; i++)
        w->config.rates[i].burst = 0;
    return world_restart(w, &err);
}

bool world_set_policy(struct world *w, const char *text, struct err *err)
{
    struct policy *policy;

    if (!policy_parse("policy.yaml", view_text(text), &policy, NULL, err) ||
        !den_core_set_policy(w->core, policy, view_text(text), "policy.yaml", err))
        return false;
    if (text != w->policy) {
        free(w->policy);
        w->policy = mem_text(text);
    }
    return true;
}

/* Also what the signer, which is in this process, has answered meanwhile. */
static void finish(struct world *w)
{
    for (size_t n = 0; n < 8 && den_core_deadline(w->core) <= w->mono; n++)
        den_core_tick(w->core);
}

void world_jump(struct world *w, uint64_t ms)
{
    w->mono += ms;
    w->wall += ms;
    world_pass(w, 1);
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->mono + ms;

    while (w->mono < until) {
        uint64_t next = min_u64(den_core_deadline(w->core), until);
        next = next > w->mono ? next : w->mono + 1;
        w->wall += next - w->mono;
        w->mono = next;
        den_core_tick(w->core);
    }
    finish(w);
}

/* ---- what happened ------------------------------------------------------------------------- */

/* What is due at once is done at once. */
static void end_turn(struct world *w)
{
    if (!w->is_turn_long)
        finish(w);
}

uint64_t world_handle(struct world *w, const char *procedure, const char *role, const char *id,
                      struct buf *args)
{
    const struct rpc_invocation invocation = {
        .request = 1,
        .registration = 1,
        .caller = 7,
        .receive_progress = true,
        .caller_authid = view_text(id),
        .caller_authrole = view_text(role),
        .source = view_text(w->source),
        .payload = rpc_args(buf_view(args)),
    };
    const struct rpc_inv inv = { .number = ++w->n_invs, .invocation = &invocation };

    den_core_handle(w->core, procedure, &inv);
    end_turn(w);
    buf_free(args);
    return inv.number;
}

const struct world_answer *world_answer(const struct world *w, uint64_t inv)
{
    const struct world_answer *found = NULL;

    for (size_t i = 0; i < WORLD_MAX; i++) {
        if (w->answers[i].inv != inv || w->answers[i].what == WORLD_PROGRESS)
            continue;
        if (found)
            check_failed(__FILE__, __LINE__, "answered twice");
        found = &w->answers[i];
    }
    return found;
}

size_t world_n_progress(const struct world *w, uint64_t inv)
{
    size_t n = 0;

    for (size_t i = 0; i < WORLD_MAX; i++)
        n += w->answers[i].inv == inv && w->answers[i].what == WORLD_PROGRESS;
    return n;
}

struct world_call *world_pending(struct world *w, const char *procedure)
{
    struct world_call *oldest = NULL;

    for (size_t i = 0; i < WORLD_MAX; i++) {
        struct world_call *c = &w->calls[i];
        if (c->number && !c->is_done && !c->is_forgotten && strcmp(c->procedure, procedure) == 0 &&
            (!oldest || c->number < oldest->number))
            oldest = c;
    }
    return oldest;
}

void world_result(struct world_call *call, struct buf *args)
{
    const struct rpc_outcome outcome = { .what = RPC_RESULTED,
                                         .payload = rpc_args(buf_view(args)) };

    call->is_done = true;
    call->on_outcome(call->user, &outcome);
    end_turn(call->w);
    buf_free(args);
}

void world_progress(struct world_call *call)
{
    const struct rpc_outcome outcome = { .what = RPC_PROGRESS };

    call->on_outcome(call->user, &outcome);
}

static void fail(struct world_call *call, enum err_code code, const char *uri)
{
    struct rpc_outcome outcome = { .what = RPC_FAILED, .uri = view_text(uri) };

    err_set(&outcome.err, code, "as the test wants it");
    call->is_done = true;
    call->on_outcome(call->user, &outcome);
    end_turn(call->w);
}

void world_fail(struct world_call *call, enum err_code code)
{
    fail(call, code, "as.the.test.wants.it");
}

void world_cut(struct world_call *call)
{
    fail(call, ERR_CLOSED, "");
}

const struct world_event *world_last_event(const struct world *w, const char *topic)
{
    for (size_t i = w->n_events; i > 0 && i + WORLD_MAX > w->n_events; i--)
        if (strcmp(w->events[(i - 1) % WORLD_MAX].topic, topic) == 0)
            return &w->events[(i - 1) % WORLD_MAX];
    return NULL;
}

uint64_t world_number(struct world *w, const char *name)
{
    struct err err;
    uint64_t n = 0;

    if (!store_number_get(w->store, name, &n, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return n;
}

struct search {
    const char *a, *b;
    size_t n;
};

static bool holds(struct view text, const char *part)
{
    return !part || memmem(text.data, text.len, part, strlen(part)) != NULL;
}

static bool count_entry(void *user, const struct store_audit *entry)
{
    struct search *search = user;

    search->n +=
        holds(buf_view(&entry->bytes), search->a) && holds(buf_view(&entry->bytes), search->b);
    return true;
}

void world_revoke_tls_key(struct world *w, const struct world_peer *peer)
{
    struct store_revocation r = {
        .kind = STORE_REVOKE_TLS_KEY, .subject_len = HASH_SIZE, .reason = 4, .at = w->wall
    };
    struct err err = { 0 };
    bool is_new;

    snprintf(r.id, sizeof(r.id), "%s", peer->id);
    CHECK_OK(pki_key_spki_hash(peer->tls, r.subject, &err), err);
    CHECK_OK(store_begin(w->store, &err) &&
                 store_revocation_add(w->store, &r, &r.no, &is_new, &err) &&
                 store_commit(w->store, &err),
             err);
    while (!den_core_look(w->core))
        ;
}

size_t world_audited(struct world *w, const char *a, const char *b)
{
    struct search search = { .a = a, .b = b };
    struct err err;

    if (!store_audit_each(w->store, 1, count_entry, &search, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return search.n;
}

struct rpc_heartbeat world_heartbeat(const struct world *w)
{
    const struct world_event *event = world_last_event(w, "den.heartbeat");
    struct rpc_heartbeat h = { 0 };
    struct rpc_fields f;
    struct err err = { 0 };

    if (!event) {
        check_failed(__FILE__, __LINE__, "no heartbeat was published");
        return h;
    }
    rpc_fields_open(&f, buf_view(&event->args));
    struct view bytes = rpc_fields_bin(&f, "H", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) ||
        !rpc_statement_open(RPC_W_HEARTBEAT, key_public_view(w->sign), bytes, sig, &h, &err))
        check_failed(__FILE__, __LINE__, "heartbeat: %s", err.text);
    return h;
}

void world_say_online(struct world_call *call, bool is)
{
    struct buf answer = { 0 };

    rpc_put_array(&answer, 1);
    rpc_put_map(&answer, 1);
    rpc_put_str(&answer, "online");
    rpc_put_bool(&answer, is);
    world_result(call, &answer);
}

void world_answer_online(struct world *w, bool is)
{
    struct world_call *call;

    while ((call = world_pending(w, "network.peer.get")))
        world_say_online(call, is);
}
