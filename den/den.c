/* SPDX-License-Identifier: Apache-2.0 */
/* The edge: a loop, the uplink to the router, signals, and the core between them. */
#include "den/running.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { STATS_EVERY = 5000 /* ms */ };
enum { LOOK_EVERY = 250 /* ms */, SIGN_TOGETHER = 20 /* ms */ };
enum { LEAVE_FOR = 1000 /* ms: how long a GOODBYE may take */ };

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
void den_arm(struct den *den)
{
    if (den->is_leaving)
        return;
    watch_signer(den);
    if (den_core_is_at_work(
            den->core)) /* before, nobody else is held up: its first heartbeat may take its time */
        signer_link_turn(den->home->link);
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
    den_arm(task->den);
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
    den_arm(den);
}

static void on_answers(void *user)
{
    struct den *den = user;

    den_core_signer(den->core);
    signer_link_look(den->home->link); /* or it is the end */
    if (den->uplink)
        rpc_uplink_flush(den->uplink);
    den_arm(den);
    if (den->is_leaving)
        unwatch_signer(den);
}

static void look_at_signer(struct den *den)
{
    if (signer_link_is_over(den->home->link, &den->over)) {
        rpc_loop_stop(den->loop);
        return;
    }
    if (signer_link_look(den->home->link))
        signer_greet_soon(den->home->signer);
    signer_watch(den->home->signer);
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
    den->is_up = false;
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
    den_arm(den);
}

/* ---- the router ---------------------------------------------------------------------------- */

/* When den serves: the router may know that this store is behind, and what is to be taken back from it comes first. */
static void say_online(struct den *den)
{
    if (!den->is_up || den->has_said_online || !den_core_is_at_work(den->core))
        return;
    den->has_said_online = true;
    notify_say("STATUS=online");
    log_event(LOG_INFO, "online", "network=%s router=%s session=%" PRIu64, den->config->network,
              den->config->router, rpc_client_session(client_of(den)));
}

/* Whatever happened in it, what is due now is not slept over. */
static void on_turn(void *user)
{
    struct den *den = user;

    say_online(den);
    store_look_end(den->home->store);
    den_arm(den);
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    struct served *served = user;

    den_core_handle(served->den->core, served->procedure, inv);
    den_arm(served->den);
}

static void on_interrupt(void *user, uint64_t inv)
{
    struct den *den = user;

    den_core_interrupt(den->core, inv);
    den_arm(den);
}

static void on_up(void *user)
{
    struct den *den = user;

    den->is_up = true;
    den->has_said_online = false;
    den_core_up(den->core);
    say_online(den);
    den_arm(den);
}

static void on_down(void *user, const struct err *why)
{
    struct den *den = user;

    den->is_up = false;
    den_core_down(den->core);
    if (den->is_leaving) {
        rpc_loop_stop(den->loop);
        return;
    }
    log_event(LOG_WARN, "offline", "code=%s cause=%s", err_code_name(why->code),
              log_quote_text(why->text));
    den_arm(den);
}

/* From a backup that is older than the rollover of that key: no router lets it in any more. */
static const char login_remedy[] =
    "this folder is older than the network: put the newer login.N.key here; if it is gone, "
    "warren-den rollover replace --what den-login, then router add and warren-router accept "
    "(warren-den(8), RESTORING)";

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    (void)user;
    log_event(LOG_WARN, "router.retry", "in_ms=%" PRIu64 " code=%s cause=%s", pause_ms,
              err_code_name(why->code), log_quote_text(why->text));
    if (why->code == ERR_UNLISTED_KEY)
        log_event(LOG_ERROR, "login.unlisted", "cause=%s remedy=%s", log_quote_text(why->text),
                  log_quote_text(login_remedy));
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
    den_arm(den);
}

static void register_procedures(struct den *den)
{
    const char *name;

    rpc_client_subscribe(client_of(den), clock_mono_ms(), "network.peer.on_clone", false, on_clone,
                         den);

    for (size_t i = 0; i < DEN_MAX_PROCEDURES && (name = den_core_procedure(i)); i++) {
        den->served[i] = (struct served){ den, name };
        rpc_client_register(client_of(den), clock_mono_ms(), name, on_inv, &den->served[i]);
    }
}

/* ---- signals ------------------------------------------------------------------------------- */

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
    if (!den->is_leaving)
        den_core_leave(den->core);
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
    den_arm(den);
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

static bool end_order(void *user, struct view token_pk, struct err *err)
{
    struct den *den = user;

    return vault_order_end(den->config->state, token_pk, err);
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
    struct err why = { 0 };
    struct statvfs disk;

    admin_text(to, "router", den->config->router);
    admin_number(to, "connected", den->n_connected);
    admin_text(to, "signer",
               den->config->signer && *den->config->signer ? den->config->signer : "own process");
    admin_bool(to, "signer_is_there", signer_link_is_there(den->home->link));
    if (signer_is_away(den->home->signer, &why))
        admin_text(to, "signer_cause", why.text);
    if (statvfs(den->config->state, &disk) == 0) {
        admin_number(to, "disk_free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize);
        admin_number(to, "disk_bytes", (uint64_t)disk.f_blocks * disk.f_frsize);
    }
}

/* ---- from start to end --------------------------------------------------------------------- */

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
    den_put_settings(c, &core);
    den->place = (struct admin_place){
        .join_host = c->join_host,
        .order_key = c->signer && *c->signer ? NULL : order_key,
        .end_order = c->signer && *c->signer ? NULL : end_order,
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
        !den_start_policy(den, err) || !den_note_config(den, err) || !rpc_loop_new(&den->loop, err))
        return false;
    den->timer = rpc_timer_new(den->loop, on_timer, den);
    if (!rpc_ws_new(RPC_WS_UV, rpc_loop_native(den->loop), &den->ws, err) ||
        !den_core_start(den->core, err) || !den_open_http(den, err) ||
        !den_open_figures(den, err) || !connect_router(den, err))
        return false;
    den->loop_turn = rpc_turn_new(rpc_loop_native(den->loop), on_turn, den);
    den->look = rpc_timer_new(den->loop, on_look, den);
    rpc_timer_set(den->look, clock_mono_ms() + LOOK_EVERY);
    register_procedures(den);
    open_local(den);
    start_watchdog(den);
    den->journal = journal_new(den->config->audit_copy);
    den->retention = retention_new(den->config->state);
    rpc_loop_on_signal(den->loop, SIGHUP, den_on_reload, den);
    rpc_loop_on_signal(den->loop, SIGTERM, on_stop, den);
    rpc_loop_on_signal(den->loop, SIGINT, on_stop, den);
    notify_say("READY=1\nSTATUS=waiting for the router");
    log_event(LOG_INFO, "started", "network=%s manifest=%" PRIu64 " state=%s", den->config->network,
              rpc_trust_manifest(den->home->trust)->manifest_no,
              log_quote_text(den->config->state));
    den_arm(den);
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
    signal(SIGPIPE, SIG_IGN); /* a router that is gone is an error where den writes to it */
    if (!start(&den, err))
        return false;
    store_look_by_turns(den.home->store, true);
    rpc_loop_run(den.loop);
    store_look_by_turns(den.home->store, false);
    if (den_core_fatal(den.core))
        den.over = *den_core_fatal(den.core);
    *err = den.over;
    return den.over.code == ERR_NONE;
}
