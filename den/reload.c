/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration and policy, taken anew: what is wrong with a file is said, and the old one stays. */
#include "den/running.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "den/config_kept.h"

#include <stdio.h>
#include <string.h>

/* What may be changed while den runs. */
void den_put_settings(const struct den_config *c, struct den_core_config *core)
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
    snprintf(core->relay, sizeof(core->relay), "%s", c->relay ? c->relay : "");
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

/* A line for each error, where there are several. */
static void log_errors(const char *event, struct view all, const char *kept)
{
    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        struct view one = view_sub(all, 0, end ? (size_t)(end - all.data) : all.len);
        log_event(LOG_ERROR, event, "cause=%s kept=%s", log_quote(one), kept);
        all = view_sub(all, one.len + 1, all.len);
    }
}

/* In the audit before the log says it. `errors`: those of the file, line by line. */
static void refuse_policy(struct den *den, struct view errors, const struct err *why)
{
    den_core_note_refused(den->core, "policy.refused", den->config->policy, why);
    log_errors("policy.error", errors, "old");
    log_event(LOG_ERROR, "policy.refused", "code=%s cause=%s kept=old", err_code_name(why->code),
              log_quote_text(why->text));
}

static void load_policy(struct den *den)
{
    _buf_ text = { 0 }, all = { 0 };
    struct err err = { 0 };
    struct policy *policy;

    if (!policy_read(den->config->policy, &policy, &text, &all, &err) ||
        !den_core_set_policy(den->core, policy, buf_view(&text), den->config->policy, &err))
        refuse_policy(den, buf_view(&all), &err);
}

static void refuse_config(struct den *den, struct view errors, const struct err *why)
{
    den_core_note_refused(den->core, "config.refused", den->path, why);
    log_errors("config.refused", errors.len ? errors : view_text(why->text), "old");
}

/* The last good one decides on: a network does not stand still for a file. */
static bool start_with_kept(struct den *den, struct view errors, const struct err *why,
                            struct err *err)
{
    const char *path = den->config->policy, *slash = strrchr(path, '/');
    bool is_kept;

    if (!den_core_keep_policy(den->core, slash ? slash + 1 : path, &is_kept, err))
        return err_wrap(err, "the policy's file cannot be taken, and of those before");
    if (is_kept) {
        refuse_policy(den, errors, why);
        return true;
    }
    log_errors("policy.error", errors, "none");
    *err = *why;
    return false;
}

bool den_start_policy(struct den *den, struct err *err)
{
    _buf_ text = { 0 }, all = { 0 };
    struct err why = { 0 };
    struct policy *policy;

    return policy_read(den->config->policy, &policy, &text, &all, &why)
               ? den_core_set_policy(den->core, policy, buf_view(&text), den->config->policy, err)
               : start_with_kept(den, buf_view(&all), &why, err);
}

bool den_note_config(struct den *den, struct err *err)
{
    const struct deed deed = deed_of_file(den->path, clock_wall_ms());

    return config_kept_note(den->home->store, den->config, &deed, err);
}

static const struct turn *renew_turn(struct den *den, struct turn *turn)
{
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
        reopen(den, &den->http, den_open_http);
    if (has_word(taken, "metrics"))
        reopen(den, &den->figures, den_open_figures);
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
    struct turn *turn = NULL;
    struct err err = { 0 };

    if (!config_reload(den->path, den->config, &turn, &taken, &left, &all, &err)) {
        refuse_config(den, buf_view(&all), &err);
        return;
    }
    den_core_defaults(&settings);
    den_put_settings(den->config, &settings);
    settings.turn = renew_turn(den, turn);
    den_core_adjust(den->core, &settings);
    turn_free(den->turn_before);
    den->turn_before = NULL;
    den_set_up_log(den->config);
    take_places(den, &taken);
    if (!den_note_config(den, &err))
        log_event(LOG_ERROR, "audit.failed", "cause=%s", log_quote_text(err.text));
    log_event(LOG_INFO, "config.loaded", "changed=%s needs_restart=%s",
              log_quote_text(taken.len ? buf_cstr(&taken) : "none"),
              log_quote_text(left.len ? buf_cstr(&left) : "none"));
    if (left.len)
        log_event(LOG_WARN, "config.needs_restart", "keys=%s remedy=%s",
                  log_quote_text(buf_cstr(&left)),
                  log_quote_text("restart warren-den: until then they are as they were"));
}

void den_on_reload(void *user, int signal_number)
{
    struct den *den = user;

    (void)signal_number;
    if (den->is_leaving)
        return;
    notify_reloading();
    reload_config(den);
    load_policy(den);
    notify_say("READY=1\nSTATUS=online");
    rpc_uplink_flush(den->uplink);
    den_arm(den);
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
