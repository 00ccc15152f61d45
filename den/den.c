/* SPDX-License-Identifier: Apache-2.0 */
/* The edge: a loop, the uplink to the router, signals, and the core between them. */
#include "den/den.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "den/admin.h"
#include "den/core.h"
#include "den/home.h"
#include "den/journal.h"
#include "den/local.h"
#include "den/metrics.h"
#include "den/retention.h"
#include "den/turn.h"
#include "den/web.h"
#include "vault/vault.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { STATS_EVERY = 5000 /* ms */ };
enum { LOOK_EVERY = 250 /* ms */, SIGN_TOGETHER = 20 /* ms */, HTTP_CONNS = 64 };
enum { LEAVE_FOR = 1000 /* ms: how long a GOODBYE may take */, MAX_PROCEDURES = 128 };

struct den {
    const char *path; /* of den.conf */
    struct den_config *config;
    bool accepts_rollback;
    struct home *home;
    struct rpc_loop *loop;
    struct rpc_timer *timer;
    struct rpc_ws *ws;
    struct rpc_http *http;   /* NULL: not configured */
    struct journal *journal; /* NULL: the audit is not copied */
    struct retention *retention;
    struct rpc_timer *watchdog;
    uint64_t watchdog_for;           /* ms: how often systemd wants to hear of us; 0: never */
    struct rpc_http *figures;        /* NULL: not configured */
    struct rpc_timer *look;          /* for revocations of other processes */
    struct rpc_readable *answers;    /* of the signer; NULL: it is not there */
    int answers_fd;                  /* the link's own may be closed at any time */
    uint64_t answers_of;             /* the generation of the signer */
    struct rpc_uplink *uplink;       /* NULL: not yet, or no longer */
    struct turn *turn, *turn_before; /* the core's; that which it is about to let go of */
    struct rpc_turn *loop_turn;
    struct den_core *core;
    struct den_port port;
    struct admin_place place;
    uint64_t n_connected, connected_at; /* as the router said; when it is asked again */
    struct local *local;                /* NULL: its socket could not be made */
    struct served {
        struct den *den;
        const char *procedure;
    } served[MAX_PROCEDURES];
    bool is_leaving;
    struct err over; /* code ERR_NONE: it may go on */
};

/* ---- the core's port ----------------------------------------------------------------------- */

static uint64_t port_mono(void *user)
{
    (void)user;
    return clock_mono_ms();
}

static uint64_t port_wall(void *user)
{
    (void)user;
    return clock_wall_ms();
}

static struct rpc_client *client_of(struct den *den)
{
    return rpc_uplink_client(den->uplink);
}

static void port_yield(void *user, uint64_t inv, bool is_progress, struct view args)
{
    rpc_client_yield(client_of(user), inv, is_progress, args);
}

static void port_refuse(void *user, uint64_t inv, const struct err *why)
{
    rpc_client_refuse(client_of(user), inv, "den", why);
}

static uint64_t port_call(void *user, const char *procedure, struct view args, uint64_t timeout,
                          bool wants_progress, rpc_on_outcome *on_outcome, void *outcome_user)
{
    return rpc_client_call(client_of(user), clock_mono_ms(), procedure, args, timeout,
                           wants_progress, on_outcome, outcome_user);
}

static void port_forget(void *user, uint64_t call)
{
    struct den *den = user;

    if (den->uplink)
        rpc_client_forget(client_of(den), call);
}

static void port_publish(void *user, const char *topic, const struct rpc_publish_options *options,
                         struct view args)
{
    rpc_client_publish(client_of(user), clock_mono_ms(), topic, options, args);
}

static bool port_save_trust(void *user, struct view bytes, struct err *err)
{
    struct den *den = user;

    return home_save_trust(den->home, bytes, err);
}

static bool port_keep_list(void *user, struct view der, struct err *err)
{
    struct den *den = user;

    return home_keep_list(den->home, der, err);
}

static bool port_keep_crl(void *user, const struct signer_anchor *anchor, struct err *err)
{
    struct den *den = user;

    return home_keep_crl(den->home, anchor, err);
}

struct task {
    struct den *den;
    void (*work)(void *user), (*done)(void *user);
    void *user;
};

static void do_task(void *user)
{
    const struct task *task = user;

    task->work(task->user);
}

static void on_task_done(void *user);

static void port_work(void *user, void (*work)(void *), void (*done)(void *), void *work_user)
{
    struct den *den = user;
    struct task *task = mem_new(struct task);

    *task = (struct task){ .den = den, .work = work, .done = done, .user = work_user };
    rpc_loop_work(den->loop, do_task, on_task_done, task);
}

static struct den_authority authority_of(const struct home *home)
{
    return (struct den_authority){ home->keys.intermediates, home->keys.n_intermediates,
                                   buf_view(&home->router_csr) };
}

static bool port_take_keys(void *user, const struct rpc_trust *trust,
                           struct den_authority *ret_authority, struct err *err)
{
    struct den *den = user;

    if (!home_take_keys(den->home, trust, err))
        return false;
    *ret_authority = authority_of(den->home);
    return true;
}

static void port_router_has(void *user, uint64_t manifest_no)
{
    struct den *den = user;

    home_router_has(den->home, manifest_no);
}

static bool connect_router(struct den *den, struct err *err);
static void put_settings(const struct den_config *c, struct den_core_config *core);
static void register_procedures(struct den *den);
static void ask_stats(struct den *den);

/* ---- time ---------------------------------------------------------------------------------- */

static void unwatch_signer(struct den *den)
{
    if (!den->answers)
        return;
    rpc_readable_free(den->answers);
    close(den->answers_fd);
    den->answers = NULL;
}

static void on_answers(void *user);

/* It may have been reached anew at any question. */
static void watch_signer(struct den *den)
{
    uint64_t generation = signer_link_generation(den->home->link);
    int fd = signer_link_fd(den->home->link);
    struct err err = { 0 };

    if (den->answers && (fd < 0 || generation != den->answers_of))
        unwatch_signer(den);
    if (den->answers || fd < 0)
        return;
    den->answers_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    den->answers_of = generation;
    if (den->answers_fd >= 0 && rpc_readable_new(rpc_loop_native(den->loop), den->answers_fd,
                                                 on_answers, den, &den->answers, &err))
        return;
    log_event(LOG_ERROR, "signer.not_watched", "cause=%s", log_quote_text(err.text));
    if (den->answers_fd >= 0)
        close(den->answers_fd);
}

/* After everything that may have moved the core's deadline, or shown that den must not go on. */
static void arm(struct den *den)
{
    if (den->is_leaving)
        return;
    watch_signer(den);
    if (den_core_fatal(den->core))
        rpc_loop_stop(den->loop);
    rpc_timer_set(den->timer, den_core_deadline(den->core));
}

static void on_task_done(void *user)
{
    _free_ struct task *task = user;

    task->done(task->user);
    if (task->den->uplink)
        rpc_uplink_flush(task->den->uplink);
    arm(task->den);
}

static void on_timer(void *user)
{
    struct den *den = user;

    if (den->is_leaving) {
        rpc_loop_stop(den->loop);
        return;
    }
    den_core_tick(den->core);
    rpc_uplink_flush(den->uplink);
    arm(den);
}

static void on_answers(void *user)
{
    struct den *den = user;

    den_core_signer(den->core);
    signer_link_look(den->home->link); /* or it is the end */
    if (den->uplink)
        rpc_uplink_flush(den->uplink);
    arm(den);
    if (den->is_leaving)
        unwatch_signer(den);
}

static void look_at_signer(struct den *den)
{
    struct err err = { 0 };

    if (signer_link_is_over(den->home->link, &den->over))
        rpc_loop_stop(den->loop);
    else if (signer_link_look(den->home->link) && !signer_greet(den->home->signer, &err))
        log_event(LOG_ERROR, "signer.unusable", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
}

/* The router knows den's new login key: from now on den comes with it. */
static void login_anew(struct den *den)
{
    struct err err = { 0 };

    if (den->is_leaving || !home_has_new_login(den->home))
        return;
    log_event(LOG_INFO, "login.key", "used=new");
    rpc_uplink_free(den->uplink);
    den->uplink = NULL;
    den_core_down(den->core);
    if (connect_router(den, &err)) {
        register_procedures(den);
        return;
    }
    log_event(LOG_ERROR, "login.failed", "cause=%s", log_quote_text(err.text));
    rpc_loop_stop(den->loop);
}

/* `warren-den revoke` writes to the store; what is there reaches the list within a second. */
static void on_look(void *user)
{
    struct den *den = user;
    bool is_all;

    if (den->is_leaving)
        return;
    look_at_signer(den);
    den_core_signer(den->core); /* whoever asked one that was lost */
    local_tick(den->local);
    is_all = den_core_look(den->core);
    login_anew(den);
    ask_stats(den);
    journal_copy(den->journal, den->home->store);
    if (den_core_is_at_work(den->core))
        retention_tick(den->retention, den->home->store, den->config->audit_keep,
                       journal_copied(den->journal));
    rpc_uplink_flush(den->uplink);
    rpc_timer_set(den->look, clock_mono_ms() + (is_all ? LOOK_EVERY : 1));
    arm(den);
}

/* ---- plain HTTP ---------------------------------------------------------------------------- */

static void give(struct den *den, bool is_post, struct view path, struct view body,
                 struct rpc_http_page *to)
{
    struct web_page page = { 0 };

    web_serve(den->core, is_post, path, body, view_text(to->address), &page);
    to->status = page.status;
    to->type = page.type;
    to->body = page.body;
    arm(den);
}

static void on_get(void *user, struct view path, struct rpc_http_page *page)
{
    give(user, false, path, VIEW(NULL, 0), page);
}

static void on_post(void *user, struct view path, struct view body, struct rpc_http_page *page)
{
    give(user, true, path, body, page);
}

static bool open_http(struct den *den, struct err *err)
{
    _free_ char *host = NULL;
    struct rpc_http_listener listener = {
        .serve = on_get,
        .post = on_post,
        .max_body = PKI_MAX_OCSP,
        .max_conns = HTTP_CONNS,
        .user = den,
    };

    if (!den->config->http || !*den->config->http)
        return true;
    if (!conf_split_address(view_text(den->config->http), 0, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "http: expected ADDRESS:PORT");
    listener.host = host;
    if (!rpc_http_new(den->loop, &listener, &den->http, err))
        return err_wrap(err, "http");
    log_event(LOG_INFO, "http", "listening=%s port=%u", log_quote_text(den->config->http),
              rpc_http_port(den->http));
    return true;
}

static void on_figures(void *user, struct view path, struct rpc_http_page *to)
{
    struct den *den = user;
    struct web_page page = { 0 };

    metrics_serve(den->core, path, &page);
    to->status = page.status;
    to->type = page.type;
    to->body = page.body;
    arm(den);
}

static bool open_figures(struct den *den, struct err *err)
{
    _free_ char *host = NULL;
    struct rpc_http_listener listener = { .serve = on_figures, .user = den };

    if (!den->config->metrics || !*den->config->metrics)
        return true;
    if (!conf_split_address(view_text(den->config->metrics), 0, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "metrics: expected ADDRESS:PORT");
    listener.host = host;
    if (!rpc_http_new(den->loop, &listener, &den->figures, err))
        return err_wrap(err, "metrics");
    log_event(LOG_INFO, "metrics", "listening=%s port=%u", log_quote_text(den->config->metrics),
              rpc_http_port(den->figures));
    return true;
}

/* ---- the router ---------------------------------------------------------------------------- */

/* Whatever happened in it, what is due now is not slept over. */
static void on_turn(void *user)
{
    struct den *den = user;

    store_look_end(den->home->store);
    arm(den);
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    struct served *served = user;

    store_look(served->den->home->store); /* many come in one turn */
    den_core_handle(served->den->core, served->procedure, inv);
    arm(served->den);
}

static void on_interrupt(void *user, uint64_t inv)
{
    struct den *den = user;

    den_core_interrupt(den->core, inv);
    arm(den);
}

static void on_up(void *user)
{
    struct den *den = user;

    den_core_up(den->core);
    notify_say("STATUS=online");
    log_event(LOG_INFO, "online", "network=%s router=%s session=%" PRIu64, den->config->network,
              den->config->router, rpc_client_session(client_of(den)));
    arm(den);
}

static void on_down(void *user, const struct err *why)
{
    struct den *den = user;

    den_core_down(den->core);
    if (den->is_leaving) {
        rpc_loop_stop(den->loop);
        return;
    }
    log_event(LOG_WARN, "offline", "code=%s cause=%s", err_code_name(why->code),
              log_quote_text(why->text));
    arm(den);
}

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    (void)user;
    log_event(LOG_WARN, "router.retry", "in_ms=%" PRIu64 " code=%s cause=%s", pause_ms,
              err_code_name(why->code), log_quote_text(why->text));
}

/* Manifests or the heartbeat that the router kept: numbers of ours go on from there when the
 * session is up. */
static void on_trust(void *user)
{
    struct den *den = user;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    rpc_trust_save(den->home->trust, &bytes);
    if (!home_save_trust(den->home, buf_view(&bytes), &err))
        log_event(LOG_ERROR, "trust.not_saved", "cause=%s", log_quote_text(err.text));
}

static void on_refused(void *user, const char *uri, const struct err *why)
{
    (void)user;
    log_event(LOG_WARN, "registration.refused", "uri=%s code=%s cause=%s", uri,
              err_code_name(why->code), log_quote_text(why->text));
}

static bool judge_router(void *user, const char *host, const struct view *chain, size_t n,
                         struct err *err)
{
    struct den *den = user;
    _cleanup_(pki_trust_freep) struct pki_trust *set = NULL;
    _free_ char *name = mem_format("router.%s", den->config->network);
    const struct pki_question question = {
        .name = name,
        .network = den->config->network,
        .role = PKI_SERVER,
        .now = clock_wall_ms(),
    };
    struct err not_public = { 0 };

    if (!home_trust_set(den->home, &set, err))
        return false;
    if (pki_judge(set, chain, n, &question, NULL, err) ||
        (pki_is_public_name(host) && pki_judge_public(host, chain, n, question.now, &not_public)))
        return true;
    /* It may be of an intermediate that is out, or over: a new one is what den brings. Who it is, netsign proves, by the
     * key that the manifest lists and over this very connection; nothing is signed before. */
    log_event(LOG_WARN, "router.certificate.bad", "cause=%s", log_quote_text(err->text));
    return true;
}

static bool connect_router(struct den *den, struct err *err)
{
    _free_ char *name = mem_format("router.%s", den->config->network);
    _free_ char *host = NULL;
    struct rpc_join_host to = { 0 };
    struct rpc_uplink_config config = {
        .ws = den->ws, .hosts = &to, .n_hosts = 1, .server_name = name
    };

    config.judge = judge_router;
    config.on_retry = on_retry;
    config.client = (struct rpc_client_config){
        .agent = "warren-den/0.1.0",
        .key = home_login(den->home),
        .trust = den->home->trust,
        .is_den = true,
        .on_up = on_up,
        .on_down = on_down,
        .on_trust = on_trust,
        .on_refused = on_refused,
        .on_interrupt = on_interrupt,
        .user = den,
    };
    if (!conf_split_address(view_text(den->config->router), RPC_DEFAULT_PORT, &host, &to.port))
        return err_set(err, ERR_BAD_CONFIG, "router: not HOST:PORT");
    snprintf(to.host, sizeof(to.host), "%s", host);
    random_bytes(config.client.instance, sizeof(config.client.instance));
    return rpc_uplink_new(&config, &den->uplink, err);
}

static void on_clone(void *user, const struct rpc_event *event)
{
    struct den *den = user;

    den_core_on_clone(den->core, event->payload);
    arm(den);
}

static void register_procedures(struct den *den)
{
    const char *name;

    rpc_client_subscribe(client_of(den), clock_mono_ms(), "network.peer.on_clone", false, on_clone,
                         den);

    for (size_t i = 0; i < MAX_PROCEDURES && (name = den_core_procedure(i)); i++) {
        den->served[i] = (struct served){ den, name };
        rpc_client_register(client_of(den), clock_mono_ms(), name, on_inv, &den->served[i]);
    }
}

/* ---- signals ------------------------------------------------------------------------------- */

/* A line for each error, where there are several. */
static void log_policy_errors(struct view all)
{
    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        struct view one = view_sub(all, 0, end ? (size_t)(end - all.data) : all.len);
        log_event(LOG_ERROR, "policy.error", "cause=%s", log_quote(one));
        all = view_sub(all, one.len + 1, all.len);
    }
}

static bool load_policy(struct den *den, struct err *err)
{
    _buf_ text = { 0 }, all = { 0 };
    struct policy *policy;

    if (policy_read(den->config->policy, &policy, &text, &all, err))
        return den_core_set_policy(den->core, policy, buf_view(&text), err);
    log_policy_errors(buf_view(&all));
    return false;
}

static void log_bad_config(struct view all)
{
    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        size_t len = end ? (size_t)(end - all.data) : all.len;
        log_event(LOG_ERROR, "config.refused", "cause=%s kept=old",
                  log_quote(view_sub(all, 0, len)));
        all = view_sub(all, len + 1, all.len);
    }
}

/* Read anew each time: a secret may have changed, though its file's name did not. Those that cannot be read leave what was. */
static const struct turn *renew_turn(struct den *den)
{
    struct turn *turn = NULL;
    struct err err = { 0 };

    if (!config_open_turn(den->path, den->config, &turn, &err)) {
        log_event(LOG_ERROR, "turn.refused", "cause=%s kept=old", log_quote_text(err.text));
        return den->turn;
    }
    den->turn_before = den->turn;
    den->turn = turn;
    if (turn || den->turn_before)
        log_event(LOG_INFO, "turn", "servers=%zu secrets=%zu", turn_n_servers(turn),
                  turn_n_secrets(turn));
    return den->turn;
}

static bool has_word(const struct buf *words, const char *word)
{
    struct view rest = buf_view(words);

    while (rest.len) {
        const uint8_t *end = memchr(rest.data, ' ', rest.len);
        struct view one = view_sub(rest, 0, end ? (size_t)(end - rest.data) : rest.len);
        if (view_eq_text(one, word))
            return true;
        rest = view_sub(rest, one.len + 1, rest.len);
    }
    return false;
}

/* The old one is closed first: both may want one address. */
static void reopen(struct den *den, struct rpc_http **listener,
                   bool (*open)(struct den *den, struct err *err))
{
    struct err err = { 0 };

    rpc_http_free(*listener);
    *listener = NULL;
    if (!open(den, &err))
        log_event(LOG_ERROR, "listener.failed", "cause=%s remedy=%s", log_quote_text(err.text),
                  log_quote_text("correct the address in den.conf, then reload: nothing is served "
                                 "there now"));
}

/* What of the outside goes by a changed key. */
static void take_places(struct den *den, const struct buf *taken)
{
    den->place.join_host = den->config->join_host;
    if (has_word(taken, "http"))
        reopen(den, &den->http, open_http);
    if (has_word(taken, "metrics"))
        reopen(den, &den->figures, open_figures);
    if (has_word(taken, "audit_copy")) {
        journal_free(den->journal);
        den->journal = journal_new(den->config->audit_copy);
    }
    retention_soon(den->retention);
}

static void reload_config(struct den *den)
{
    struct den_core_config settings = { 0 };
    _buf_ taken = { 0 }, left = { 0 }, all = { 0 };
    struct err err = { 0 };

    if (!config_reload(den->path, den->config, &taken, &left, &all, &err)) {
        if (!all.len)
            buf_put_text(&all, err.text);
        log_bad_config(buf_view(&all));
        return;
    }
    den_core_defaults(&settings);
    put_settings(den->config, &settings);
    settings.turn = renew_turn(den);
    den_core_adjust(den->core, &settings);
    turn_free(den->turn_before);
    den->turn_before = NULL;
    den_set_up_log(den->config);
    take_places(den, &taken);
    log_event(LOG_INFO, "config.loaded", "changed=%s needs_restart=%s",
              log_quote_text(taken.len ? buf_cstr(&taken) : "none"),
              log_quote_text(left.len ? buf_cstr(&left) : "none"));
    if (left.len)
        log_event(LOG_WARN, "config.needs_restart", "keys=%s remedy=%s",
                  log_quote_text(buf_cstr(&left)),
                  log_quote_text("restart warren-den: until then they are as they were"));
}

static void on_reload(void *user, int signal_number)
{
    struct den *den = user;
    struct err err = { 0 };

    (void)signal_number;
    if (den->is_leaving)
        return;
    notify_reloading();
    reload_config(den);
    if (!load_policy(den, &err))
        log_event(LOG_ERROR, "policy.refused", "code=%s cause=%s kept=old", err_code_name(err.code),
                  log_quote_text(err.text));
    notify_say("READY=1\nSTATUS=online");
    rpc_uplink_flush(den->uplink);
    arm(den);
}

void den_set_up_log(const struct den_config *config)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        { "debug", LOG_DEBUG }, { "info", LOG_INFO }, { "warn", LOG_WARN }, { "error", LOG_ERROR }
    };
    enum log_format format;

    for (size_t i = 0; i < N_ELEMENTS(levels); i++) {
        if (strcmp(config->log_level, levels[i].name) == 0)
            log_open("warren-den", levels[i].level);
    }
    if (log_read_format(config->log_format, &format))
        log_set_format(format);
}

/* Comes from the loop: it turns. */
static void on_watchdog(void *user)
{
    struct den *den = user;

    notify_say("WATCHDOG=1");
    rpc_timer_set(den->watchdog, clock_mono_ms() + den->watchdog_for / 2);
}

static void start_watchdog(struct den *den)
{
    den->watchdog_for = notify_watchdog();
    den->watchdog = rpc_timer_new(den->loop, on_watchdog, den);
    if (den->watchdog_for)
        on_watchdog(den);
}

static void on_stop(void *user, int signal_number)
{
    struct den *den = user;

    notify_say("STOPPING=1");
    log_event(LOG_INFO, "stopping", "signal=%d", signal_number);
    if (den->is_leaving || !rpc_client_is_up(client_of(den))) {
        rpc_loop_stop(den->loop);
        return;
    }
    den->is_leaving = true; /* until the router answered, or did not in time */
    rpc_client_goodbye(client_of(den), clock_mono_ms());
    rpc_uplink_flush(den->uplink);
    rpc_timer_set(den->timer, clock_mono_ms() + LEAVE_FOR);
}

/* ---- accounts of this machine -------------------------------------------------------------- */

static bool serve_local(void *user, const char *procedure, unsigned long uid, struct view body,
                        struct buf *ret_value, struct err *err)
{
    struct den *den = user;
    bool ok = den_core_admin(den->core, procedure, uid, body, ret_value, err);

    if (den->uplink)
        rpc_uplink_flush(den->uplink);
    arm(den);
    return ok;
}

/* Everything but the socket works without it. */
static void open_local(struct den *den)
{
    struct err err = { 0 };

    if (!local_open(den->loop, den->config->state, serve_local, den, &den->local, &err))
        log_event(LOG_ERROR, "socket.failed", "cause=%s", log_quote_text(err.text));
}

static bool order_key(void *user, const char *id, struct view token_pk, uint64_t until,
                      struct err *err)
{
    struct den *den = user;

    return vault_order_add(den->config->state, id, token_pk, until, err);
}

static bool read_policy_file(void *user, struct buf *ret_text, struct err *err)
{
    struct den *den = user;

    return policy_read_text(den->config->policy, ret_text, err);
}

static bool keep_policy(void *user, struct view text, struct err *err)
{
    struct den *den = user;
    struct stat st;
    unsigned mode = stat(den->config->policy, &st) == 0 ? st.st_mode & 0755 : 0600;

    if (file_write(den->config->policy, text, mode, err))
        return true;
    err_wrap(err, "policy");
    return err_advise(err, "put the policy where den may write (policy in den.conf), or change the "
                           "file on den's machine, then `systemctl reload warren-den`");
}

static void on_stats(void *user, const struct rpc_outcome *outcome)
{
    struct den *den = user;
    struct rpc_fields fields;
    struct err err;

    if (outcome->what != RPC_RESULTED)
        return;
    rpc_fields_open(&fields, rpc_payload_args(outcome->payload));
    struct view map = rpc_fields_map(&fields, "stats");
    if (rpc_fields_end(&fields, &err) && rpc_map_u64(map, "peers", &den->n_connected) &&
        den->n_connected)
        den->n_connected--; /* den itself */
}

/* So that the status is there at once when somebody asks. */
static void ask_stats(struct den *den)
{
    static const uint8_t none[] = { 0x90 };

    if (!den->uplink || !rpc_client_is_up(client_of(den)) || clock_mono_ms() < den->connected_at)
        return;
    den->connected_at = clock_mono_ms() + STATS_EVERY;
    rpc_client_call(client_of(den), clock_mono_ms(), "network.stats", VIEW_ARR(none), STATS_EVERY,
                    false, on_stats, den);
}

static void put_facts(void *user, struct admin_object *to)
{
    struct den *den = user;
    struct statvfs disk;

    admin_text(to, "router", den->config->router);
    admin_number(to, "connected", den->n_connected);
    admin_text(to, "signer",
               den->config->signer && *den->config->signer ? den->config->signer : "own process");
    admin_bool(to, "signer_is_there", signer_link_is_there(den->home->link));
    if (statvfs(den->config->state, &disk) == 0) {
        admin_number(to, "disk_free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize);
        admin_number(to, "disk_bytes", (uint64_t)disk.f_blocks * disk.f_frsize);
    }
}

/* ---- from start to end --------------------------------------------------------------------- */

/* What may be changed while den runs. */
static void put_settings(const struct den_config *c, struct den_core_config *core)
{
    core->id_digits = (unsigned)c->id_digits;
    core->enrolment = strcmp(c->enrolment, "open") == 0       ? DEN_OPEN
                      : strcmp(c->enrolment, "approval") == 0 ? DEN_BY_APPROVAL
                                                              : DEN_BY_TOKEN;
    core->provisional_life = c->provisional_life;
    core->names_per_id = c->names_per_id;
    core->name_quarantine = c->name_quarantine;
    core->router_life = c->router_life;
    core->admission_life = c->admission_life;
    core->beat_every = c->heartbeat_interval;
    core->bound = c->heartbeat_bound;
    core->ocsp_life = c->ocsp_life;
    core->offer_timeout = c->offer_timeout;
    core->max_sessions_per_pair = c->sessions_per_pair;
    core->max_sessions_per_id = c->sessions_per_id;
    core->lost_after = c->lost_after;
    core->leaf_life = c->leaf_life;
    core->crl_life = c->crl_life;
    core->rates[RATE_ENROL].burst = c->enrol_burst;
    core->rates[RATE_ENROL].every = c->enrol_every;
    core->rates[RATE_CSR].burst = c->csr_burst;
    core->rates[RATE_CSR].every = c->csr_every;
    core->rates[RATE_OCSP].burst = c->ocsp_burst;
    core->rates[RATE_DIAL].burst = c->dial_burst;
    core->rates[RATE_DIAL].every = c->dial_every;
    rate_per_minute(c->misses_per_network, &core->rates[RATE_MISS_NEAR]);
}

static bool make_core(struct den *den, struct err *err)
{
    const struct den_config *c = den->config;
    struct den_core_config core = { 0 };

    den->port = (struct den_port){
        .mono = port_mono,
        .wall = port_wall,
        .yield = port_yield,
        .refuse = port_refuse,
        .call = port_call,
        .forget = port_forget,
        .publish = port_publish,
        .save_trust = port_save_trust,
        .keep_crl = port_keep_crl,
        .keep_list = port_keep_list,
        .take_keys = port_take_keys,
        .router_has = port_router_has,
        .work = port_work,
        .user = den,
    };
    den_core_defaults(&core);
    core.port = &den->port;
    put_settings(c, &core);
    den->place = (struct admin_place){
        .join_host = c->join_host,
        .order_key = c->signer && *c->signer ? NULL : order_key,
        .read_policy = read_policy_file,
        .keep_policy = keep_policy,
        .put_facts = put_facts,
        .user = den,
    };
    core.place = &den->place;
    core.trust = den->home->trust;
    core.store = den->home->store;
    core.signer = den->home->signer;
    core.intermediates = den->home->keys.intermediates;
    core.n_intermediates = den->home->keys.n_intermediates;
    core.router_csr = buf_view(&den->home->router_csr);
    core.crl_floor = den->home->crl_floor;
    core.crl_kept = buf_view(&den->home->crl_kept);
    core.accepts_rollback = den->accepts_rollback;
    core.accepted_by = deed_here(clock_wall_ms());
    core.accepts_no_list = c->accepts_no_list;
    core.sign_together = SIGN_TOGETHER;
    core.turn = den->turn;
    return den_core_new(&core, &den->core, err);
}

static bool start(struct den *den, struct err *err)
{
    if (!home_open(den->config, &den->home, err) ||
        !config_open_turn(den->path, den->config, &den->turn, err) || !make_core(den, err) ||
        !load_policy(den, err) || !rpc_loop_new(&den->loop, err))
        return false;
    den->timer = rpc_timer_new(den->loop, on_timer, den);
    if (!rpc_ws_new(RPC_WS_UV, rpc_loop_native(den->loop), &den->ws, err) ||
        !den_core_start(den->core, err) || !open_http(den, err) || !open_figures(den, err) ||
        !connect_router(den, err))
        return false;
    den->loop_turn = rpc_turn_new(rpc_loop_native(den->loop), on_turn, den);
    den->look = rpc_timer_new(den->loop, on_look, den);
    rpc_timer_set(den->look, clock_mono_ms() + LOOK_EVERY);
    register_procedures(den);
    open_local(den);
    start_watchdog(den);
    den->journal = journal_new(den->config->audit_copy);
    den->retention = retention_new(den->config->state);
    rpc_loop_on_signal(den->loop, SIGHUP, on_reload, den);
    rpc_loop_on_signal(den->loop, SIGTERM, on_stop, den);
    rpc_loop_on_signal(den->loop, SIGINT, on_stop, den);
    notify_say("READY=1\nSTATUS=waiting for the router");
    log_event(LOG_INFO, "started", "network=%s manifest=%" PRIu64 " state=%s", den->config->network,
              rpc_trust_manifest(den->home->trust)->manifest_no,
              log_quote_text(den->config->state));
    arm(den);
    return true;
}

/* The uplink goes first, its last callbacks still find the core; the loop last, all else lives
 * on it. */
static void deinit(struct den *den)
{
    den->is_leaving = true;
    rpc_uplink_free(den->uplink);
    den->uplink = NULL;
    if (den->core)
        den_core_down(den->core); /* what is under way in other threads is for nobody */
    if (den->loop)
        rpc_loop_finish_works(den->loop);
    unwatch_signer(den);
    local_free(den->local);
    journal_free(den->journal);
    retention_free(den->retention);
    rpc_http_free(den->figures);
    rpc_http_free(den->http);
    den_core_free(den->core);
    turn_free(den->turn);
    rpc_ws_free(den->ws);
    rpc_turn_free(den->loop_turn);
    if (den->look)
        rpc_timer_free(den->look);
    if (den->watchdog)
        rpc_timer_free(den->watchdog);
    if (den->timer)
        rpc_timer_free(den->timer);
    rpc_loop_free(den->loop);
    home_free(den->home);
}

bool den_run(const char *path, struct den_config *config, bool accepts_rollback, struct err *err)
{
    _cleanup_(deinit) struct den den = { .path = path,
                                         .config = config,
                                         .accepts_rollback = accepts_rollback };

    file_forbid_dumps();
    if (!start(&den, err))
        return false;
    rpc_loop_run(den.loop);
    if (den_core_fatal(den.core))
        den.over = *den_core_fatal(den.core);
    *err = den.over;
    return den.over.code == ERR_NONE;
}
