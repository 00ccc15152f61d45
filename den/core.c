/* SPDX-License-Identifier: Apache-2.0 */
#include "den/admin.h"
#include "den/admin_asked.h"
#include "den/lifetime.h"

#include "base/log.h"
#include "base/text.h"
#include "den/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { LEFT_OUT_EVERY = 60000 /* ms */ };

/* Who may call: bits. The router's own table says the same; den does not rely on it. */
enum { BY_ROUTER = 1, BY_GUEST = 2, BY_PEER = 4, BY_OTHERS = 8, BY_ALL = 15, BY_ADMIN = 16 };

static const struct {
    const char *role;
    unsigned bit;
} roles[] = {
    { "router", BY_ROUTER },
    { "guest", BY_GUEST },
    { "peer", BY_PEER },
    { "admin", BY_PEER | BY_ADMIN },
};

static const struct procedure {
    const char *name;
    unsigned by;
    core_handler *handle;
    enum parked_need need; /* of the signer */
} procedures[] = {
    { "den.identity.admit", BY_ROUTER | BY_GUEST | BY_PEER, identity_admit, PARKED_NEEDS },
    { "den.identity.refresh", BY_PEER, identity_refresh, PARKED_NEEDS },
    { "den.identity.rekey", BY_PEER, rekey_replace, PARKED_NEEDS },
    { "den.identity.keys", BY_PEER, rekey_count },
    { "den.identity.unsigned", BY_PEER, rekey_unsigned },
    { "den.name.claim", BY_PEER, name_claim, PARKED_NEEDS },
    { "den.name.release", BY_PEER, name_release, PARKED_NEEDS },
    { "den.name.transfer", BY_PEER, name_transfer, PARKED_NEEDS },
    { "den.name.list", BY_PEER, name_list },
    { "den.directory.lookup", BY_PEER, name_lookup, PARKED_NEEDS },
    { "den.ca.chain", BY_ALL, issue_chain },
    { "den.ca.sign", BY_PEER, asked_sign, PARKED_AT_ONCE },
    { "den.ca.crl", BY_ALL, issue_crl },
    { "den.session.open", BY_PEER, grant_open, PARKED_AT_ONCE },
    { "den.session.close", BY_PEER, close_session, PARKED_WANTS },
    { "den.session.path", BY_PEER, path_told },
    { "den.session.mine", BY_PEER, mine_told, PARKED_NEEDS },
    { "den.session.turn", BY_PEER, turn_asked },
    { "den.ca.revocations", BY_ALL, revoke_list },
    { "den.ca.revoke", BY_PEER, revoke_asked },
    { "den.ca.acknowledge", BY_PEER, roll_acknowledge },
    { "den.time", BY_ALL, time_now, PARKED_NEEDS },
    { "den.refusal.note", BY_ROUTER, denied_note },
};

void den_core_defaults(struct den_core_config *c)
{
    c->id_digits = 6;
    c->provisional_life = 30 * DAY_MS;
    c->names_per_id = 8;
    c->name_quarantine = 90 * DAY_MS;
    c->leaf_life = 24 * HOUR_MS;
    c->router_life = 30 * DAY_MS;
    c->admission_life = 7 * DAY_MS;
    c->beat_every = 30 * SECOND_MS;
    c->bound = 10 * MINUTE_MS;
    c->crl_life = 24 * HOUR_MS;
    c->ocsp_life = HOUR_MS;
    c->offer_timeout = 60 * SECOND_MS;
    c->max_sessions_per_pair = 32;
    c->max_sessions_per_id = 256;
    c->lost_after = 5 * MINUTE_MS;
    rate_defaults(c->rates);
}

bool den_core_new(const struct den_core_config *config, struct den_core **ret_core, struct err *err)
{
    _cleanup_(den_core_freep) struct den_core *core = mem_new(struct den_core);

    core->c = *config;
    core->fresh = fresh_new();
    for (size_t i = 0; i < N_RATES; i++)
        core->rates[i] = buckets_new(&config->rates[i]);
    core->tick_at = core->beat_at = core->renew_at = NEVER_MS;
    list_init(&core->asked);
    list_init(&core->opens);
    list_init(&core->proofs);
    list_init(&core->parked);
    list_init(&core->ungrants);
    list_init(&core->askings);
    core->passing_at = core->meet_at = NEVER_MS;
    core->lives = lives_new(core);
    list_init(&core->untold);
    list_init(&core->untold_askings);
    core->together = together_new();
    core->issue = issue_new();
    core->revoked = revoked_new();
    core->making = crl_making_new();
    core->beating = heart_beating_new();
    core->ocsp = ocsp_new();
    if (!store_number_get(config->store, "policy_no", &core->policy_no, err) ||
        !store_number_get(config->store, "epoch", &core->epoch, err))
        return false;
    if (!rpc_trust_check_key(config->trust, RPC_KEY_DEN_SIGN, signer_sign_pk(config->signer),
                             core_wall(core), err))
        return err_wrap(err, "sign.key");
    if (!rollback_look(core, err))
        return false;
    *ret_core = STEAL(core);
    return true;
}

void den_core_adjust(struct den_core *core, const struct den_core_config *next)
{
    core->c.id_digits = next->id_digits;
    core->c.enrolment = next->enrolment;
    core->c.provisional_life = next->provisional_life;
    core->c.names_per_id = next->names_per_id;
    core->c.name_quarantine = next->name_quarantine;
    core->c.router_life = next->router_life;
    core->c.admission_life = next->admission_life;
    core->c.bound = next->bound;
    core->c.beat_every = next->beat_every;
    core->c.ocsp_life = next->ocsp_life;
    core->c.offer_timeout = next->offer_timeout;
    core->c.max_sessions_per_pair = next->max_sessions_per_pair;
    core->c.max_sessions_per_id = next->max_sessions_per_id;
    core->c.lost_after = next->lost_after;
    core->c.leaf_life = next->leaf_life;
    core->c.crl_life = next->crl_life;
    for (size_t i = 0; i < N_RATES; i++)
        buckets_set_rule(core->rates[i], &next->rates[i]);
    core->c.turn = next->turn;
    memcpy(core->c.relay, next->relay, sizeof(core->c.relay));
}

void den_core_free(struct den_core *core)
{
    if (!core)
        return;
    assert(core->n_looking == 0); /* the port's work is finished before */
    parked_drop_all(core);
    asked_drop_all(core);
    rollback_down(core);
    open_drop_all(core);
    together_free(core->together);
    ungrant_drop_all(core);
    passing_drop_all(core);
    fresh_free(core->fresh);
    policy_free(core->policy);
    lives_free(core->lives);
    untold_free_all(core);
    issue_free(core->issue);
    revoked_free(core->revoked);
    crl_making_free(core->making);
    heart_beating_free(core->beating);
    ocsp_free(core->ocsp);
    for (size_t i = 0; i < N_RATES; i++)
        buckets_free(core->rates[i]);
    crl_deinit(core);
    free(core);
}

struct view core_sign_pk(const struct den_core *core)
{
    return signer_sign_pk(core->c.signer);
}

/* ---- invocations --------------------------------------------------------------------------- */

const char *den_core_procedure(size_t i)
{
    const struct admin_row *row;

    if (i < N_ELEMENTS(procedures))
        return procedures[i].name;
    row = admin_row(i - N_ELEMENTS(procedures));
    return row ? row->procedure : NULL;
}

static const struct procedure *find_procedure(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(procedures); i++)
        if (strcmp(procedures[i].name, name) == 0)
            return &procedures[i];
    return NULL;
}

static unsigned role_bit(struct view role)
{
    for (size_t i = 0; i < N_ELEMENTS(roles); i++)
        if (view_eq_text(role, roles[i].role))
            return roles[i].bit;
    return BY_OTHERS;
}

void core_yield(struct den_core *core, uint64_t inv, struct view args)
{
    core->c.port->yield(core->c.port->user, inv, false, args);
}

void core_refuse(struct den_core *core, uint64_t inv, const struct err *why)
{
    struct err told = *why;

    if (why->code == ERR_BAD_WIRE) /* it is about what was asked, not about the wire */
        told.code = ERR_INVALID_ARGUMENT;
    if (why->code == ERR_SYSTEM || why->code == ERR_INTERNAL) {
        log_event(LOG_ERROR, "failed", "code=%s cause=%s", err_code_name(why->code),
                  log_quote_text(why->text));
        err_set(&told, why->code, "den could not do it; its log says why");
    }
    core->c.port->refuse(core->c.port->user, inv, &told);
}

bool core_take(struct den_core *core, enum rate rate, struct view key)
{
    return buckets_take(core->rates[rate], core_mono(core), key);
}

bool core_has(const struct den_core *core, enum rate rate, struct view key)
{
    return buckets_has(core->rates[rate], core_mono(core), key);
}

void core_give(struct den_core *core, enum rate rate, struct view key)
{
    buckets_give(core->rates[rate], core_mono(core), key);
}

bool core_may_miss(const struct den_core *core, struct view id, struct view source, struct err *err)
{
    uint8_t key[RATE_KEY];

    if (!core_has(core, RATE_MISS, id))
        return err_set(err, ERR_LIMIT, "too many that reached nobody: wait a minute");
    return core_has(core, RATE_MISS_NEAR, rate_source(source, key)) ||
           err_set(err, ERR_LIMIT, "too many from your network that reached nobody: wait a minute");
}

void core_missed(struct den_core *core, struct view id, struct view source)
{
    uint8_t key[RATE_KEY];

    core_take(core, RATE_MISS, id);
    core_take(core, RATE_MISS_NEAR, rate_source(source, key));
}

struct view core_caller(const struct rpc_inv *inv, uint8_t to[RATE_KEY])
{
    struct view id = inv->invocation->caller_authid;

    return text_is_id(id) ? id : rate_source(inv->invocation->source, to);
}

void core_audit_refusal(struct den_core *core, struct view caller, const char *what,
                        const struct audit_pair *pairs, size_t n_pairs)
{
    _transaction_ struct store *open = core->c.store;
    struct audit_pair all[16];
    struct err err = { 0 };
    char missing[24];

    if (!core_take(core, RATE_AUDIT, caller) || !core_take(core, RATE_AUDIT_ALL, VIEW_LIT("all"))) {
        core->n_unaudited++;
        return;
    }
    n_pairs = n_pairs < N_ELEMENTS(all) - 1 ? n_pairs : N_ELEMENTS(all) - 1;
    memcpy(all, pairs, n_pairs * sizeof(*pairs));
    if (core->n_unaudited) {
        snprintf(missing, sizeof(missing), "%" PRIu64, core->n_unaudited);
        all[n_pairs++] = (struct audit_pair)AUDIT_TEXT("left_out_before", missing);
    }
    if (!store_begin(open, &err) ||
        !audit_append(open, core_wall(core), what, all, n_pairs, &err) ||
        !store_commit(open, &err)) {
        log_event(LOG_ERROR, "audit.failed", "cause=%s", log_quote_text(err.text));
        core->n_unaudited++;
        return;
    }
    core->n_unaudited = 0;
}

void core_audit_left_out(struct den_core *core)
{
    _free_ char *requests = mem_format("%" PRIu64, core->n_unaudited),
                *at_router = mem_format("%" PRIu64, core->n_undenied);
    _transaction_ struct store *open = core->c.store;
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("requests", requests),
        AUDIT_TEXT("at_router", at_router),
        AUDIT_TEXT("why", "den was stopped"),
    };
    struct err err = { 0 };

    if (!core->n_unaudited && !core->n_undenied)
        return;
    if (!store_begin(open, &err) ||
        !audit_append(open, core_wall(core), "refusals.left_out", pairs, N_ELEMENTS(pairs), &err) ||
        !store_commit(open, &err)) {
        log_event(LOG_ERROR, "audit.failed", "cause=%s", log_quote_text(err.text));
        return;
    }
    core->n_unaudited = core->n_undenied = 0;
}

/* Whoever asks much and wrongly does not write den's log: what was left out of it is counted. */
static void log_refusal(struct den_core *core, struct view caller, const char *procedure,
                        struct view id, struct view source, const struct err *why)
{
    uint64_t n_left_out;

    if (!core_take(core, RATE_LOG, caller))
        return;
    n_left_out = buckets_missed(core->rates[RATE_LOG], caller);
    log_event(LOG_WARN, "refused",
              "procedure=%s id=%s source=%s code=%s cause=%s left_out_before=%" PRIu64, procedure,
              log_quote(id), log_quote(source), err_code_name(why->code), log_quote_text(why->text),
              n_left_out);
}

/* Those who fell silent meanwhile: nothing else would say it. */
static void log_left_out(struct den_core *core)
{
    uint64_t n;

    if (core_mono(core) < core->left_out_at)
        return;
    core->left_out_at = core_mono(core) + LEFT_OUT_EVERY;
    n = buckets_missed_by_all(core->rates[RATE_LOG]);
    if (n)
        log_event(LOG_WARN, "refused.left_out", "n=%" PRIu64, n);
}

void core_refuse_inv(struct den_core *core, const char *procedure, const struct rpc_inv *inv,
                     const struct err *why)
{
    const struct rpc_invocation *call = inv->invocation;
    struct view id = view_sub(call->caller_authid, 0, STORE_ID),
                source = view_sub(call->source, 0, 64);
    uint8_t key[RATE_KEY];
    struct view caller = core_caller(inv, key);

    if (why->code == ERR_PENDING) { /* it asks again and again; the audit has when it came */
        core_refuse(core, inv->number, why);
        return;
    }
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("procedure", procedure),
        { "id", id },
        { "source", source },
        AUDIT_TEXT("code", err_code_name(why->code)),
        AUDIT_TEXT("cause", why->text),
    };
    core->n_refused++;
    core_audit_refusal(core, caller, "request.refused", pairs, N_ELEMENTS(pairs));
    log_refusal(core, caller, procedure, id, source, why);
    core_refuse(core, inv->number, why);
}

void core_go(struct den_core *core, const char *procedure, const struct rpc_inv *inv)
{
    const struct procedure *p = find_procedure(procedure);
    struct rpc_fields args;
    struct err err = { 0 };

    rpc_fields_open(&args, rpc_payload_args(inv->invocation->payload));
    if (!(p ? p->handle(core, inv, &args, &err) : admin_asked(core, procedure, inv, &args, &err)))
        core_refuse_inv(core, procedure, inv, &err);
}

static bool may_call(const char *procedure, const struct procedure *p, const struct rpc_inv *inv,
                     struct err *err)
{
    if (!p && !admin_find(procedure))
        return err_set(err, ERR_NO_SUCH_PROCEDURE, "%s", procedure);
    return (role_bit(inv->invocation->caller_authrole) & (p ? p->by : BY_ADMIN)) ||
           err_set(err, ERR_NOT_AUTHORIZED, "this role may not call %s", procedure);
}

void den_core_handle(struct den_core *core, const char *procedure, const struct rpc_inv *inv)
{
    const struct procedure *p = find_procedure(procedure);
    enum parked_turn turn = PARKED_REFUSED;
    struct err err = { 0 };

    if (may_call(procedure, p, inv, &err))
        turn = parked_take(core, p ? p->need : PARKED_WANTS, p ? p->name : procedure, inv, &err);
    if (turn == PARKED_GO)
        core_go(core, procedure, inv);
    else if (turn == PARKED_REFUSED)
        core_refuse_inv(core, procedure, inv, &err);
}

/* What else den does for a caller is done before it returns. */
void den_core_interrupt(struct den_core *core, uint64_t inv)
{
    parked_interrupt(core, inv);
    open_interrupt(core, inv);
}

/* ---- time and the router ------------------------------------------------------------------- */

bool den_core_start(struct den_core *core, struct err *err)
{
    if (!core->policy)
        return err_set(err, ERR_INTERNAL, "no policy");
    return live_start(core, err) && crl_start(core, err) && revoke_start(core, err);
}

void den_core_up(struct den_core *core)
{
    if (core->has_met)
        core_go_on(core);
    else
        rollback_meet(core);
}

void core_go_on(struct den_core *core)
{
    core->is_up = core->is_untold_due = true;
    judge_all(core);
    core->is_renewing = false;
    core->renew_at = core_mono(core);
    revoke_up(core); /* a heartbeat follows its answer */
    ungrant_again(core);
    passing_up(core);
    renew_tick(core);
}

void den_core_down(struct den_core *core)
{
    core->is_up = false;
    rollback_down(core);
    core->renew_at = core->passing_at = NEVER_MS;
    parked_drop_all(core);
    asked_down(core);
    open_down(core);
    live_down(core);
}

void den_core_trust_moved(struct den_core *core)
{
    heart_extra(core);
}

uint64_t den_core_deadline(const struct den_core *core)
{
    uint64_t passing_at =
        core->fatal.code == ERR_NONE ? min_u64(core->passing_at, core->age_at) : NEVER_MS;

    return min_u64(
        min_u64(min_u64(heart_deadline(core), live_deadline(core)),
                min_u64(judge_deadline(core), untold_deadline(core))),
        min_u64(min_u64(core->renew_at, core->meet_at),
                min_u64(passing_at, min_u64(issue_deadline(core), min_u64(together_deadline(core),
                                                                          proof_deadline(core))))));
}

bool core_may_ask(struct den_core *core)
{
    struct err unused;
    enum signer_mood mood = signer_mood(core->c.signer, &unused);

    core->look_waits |= mood == SIGNER_ASKED;
    return mood == SIGNER_ANSWERS;
}

/* What the signer has answered, and what was waiting for it to answer at all. */
static void take_answers(struct den_core *core)
{
    issue_tick(core);
    parked_tick(core);
    if (!core->look_waits)
        return;
    core->look_waits = false;
    if (core_may_ask(core))
        den_core_look(core);
}

void den_core_tick(struct den_core *core)
{
    proof_tick(core);
    together_tick(core);
    take_answers(core);
    rollback_tick(core);
    heart_tick(core);
    renew_tick(core);
    passing_tick(core);
    live_tick(core);
    lifetime_tick(core);
    judge_tick(core);
    untold_tick(core);
    log_left_out(core);
}

void den_core_signer(struct den_core *core)
{
    take_answers(core);
    heart_signer(core);
}

bool den_core_is_at_work(const struct den_core *core)
{
    return core->has_met && core->fatal.code == ERR_NONE;
}

const struct err *den_core_fatal(const struct den_core *core)
{
    return core->fatal.code == ERR_NONE ? NULL : &core->fatal;
}
