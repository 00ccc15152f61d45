/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.open: checked, is the callee online, decided, granted, installed at the router,
 * offered to the callee, accepted. The answers for an unknown, an offline and a forbidden
 * callee are one, after the same work. */
#include "den/open.h"

#include "base/log.h"
#include "base/text.h"
#include "den/turn.h"

#include <stdio.h>

static void call(struct open *open, const char *procedure, struct view args, uint64_t timeout,
                 bool wants_progress, rpc_on_outcome *on_outcome)
{
    const struct den_port *port = open->core->c.port;

    open->call = port->call(port->user, procedure, args, timeout, wants_progress, on_outcome, open);
}

/* One text for all three reasons; the true one stands in den's log and audit. */
static bool not_reachable(struct err *err)
{
    return err_set(err, ERR_NOT_REACHABLE, "this ID cannot be reached by you");
}

static void refuse_unreachable(struct open *open, const char *reason)
{
    struct err why = { 0 };
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("from", open->a.id),     { "to", open->d.b_id },
        AUDIT_TEXT("can", open->caps),      AUDIT_TEXT("rule", open->rule),
        AUDIT_TEXT("reason", reason),       AUDIT_TEXT("sid", open->sid),
        AUDIT_TEXT("source", open->source),
    };

    open->core->n_refused++;
    open->core->n_not_granted++;
    core_audit_refusal(open->core, view_text(open->a.id), "session.refused", pairs,
                       N_ELEMENTS(pairs));
    log_event(LOG_WARN, "session.refused", "from=%s to=%.*s can=%s rule=%s reason=%s", open->a.id,
              VIEW_FMT(open->d.b_id), log_quote_text(open->caps), log_quote_text(open->rule),
              reason);
    core_missed(open->core, view_text(open->a.id), view_text(open->source));
    not_reachable(&why);
    core_refuse(open->core, open->inv, &why);
    open_free(open);
}

/* ---- step 5: the callee's answer ----------------------------------------------------------- */

/* By policy, by the one who was called, or whichever comes first. */
static void bound(struct open *open, uint64_t duration)
{
    uint64_t until = duration ? core_wall(open->core) + duration : 0;

    open->ends_at = !until             ? open->live_until
                    : open->live_until ? min_u64(until, open->live_until)
                                       : until;
}

/* What `who`, one of the two ends, needs of a TURN server. It has a grant. */
static void put_turn(struct open *open, const struct store_identity *who, struct buf *to)
{
    struct den_core *core = open->core;

    turn_put(core->c.turn, open->d.sid, who->id, core_wall(core), to);
}

/* How the key of `who` became what it is, for whoever knows an older one. */
static void put_rekeys(struct open *open, const struct store_identity *who, struct buf *to)
{
    struct err err;

    if (!rekey_put(open->core, who, to, &err)) { /* the other side will ask its person */
        log_event(LOG_ERROR, "failed", "cause=%s", log_quote_text(err.text));
        buf_clear(to);
    }
    if (!to->len)
        rpc_put_array(to, 0);
}

/* The two ends alone know what is in them; here counts how much. */
static void take_packets(struct rpc_fields *f, struct buf *to)
{
    struct view packets = rpc_fields_more(f) ? rpc_fields_array(f, "packets") : VIEW(NULL, 0);

    if (packets.len > CORE_MAX_FIRST)
        rpc_fields_fail(f, "packets", "too long");
    else
        *to = buf_dup(packets);
}

static void put_packets(const struct buf *packets, struct buf *to)
{
    if (packets->len)
        rpc_put_raw(to, buf_view(packets));
    else
        rpc_put_array(to, 0);
}

static void answer_session(struct open *open)
{
    _buf_wipe_ args = { 0 };
    _buf_ rekeys = { 0 };

    put_rekeys(open, &open->b, &rekeys);
    rpc_put_array(&args, 10);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    rpc_put_bin(&args, buf_view(&open->accept));
    rpc_put_bin(&args, VIEW_ARR(open->accept_sig));
    rpc_put_bin(&args, buf_view(&open->accept_ice));
    put_turn(open, &open->a, &args);
    rpc_put_raw(&args, buf_view(&rekeys));
    rpc_put_u64(&args, open->ends_at);
    permit_put(open, &args);
    put_packets(&open->accept_first, &args);
    core_yield(open->core, open->inv, buf_view(&args));
}

void grant_accepted(struct open *open)
{
    live_moved(open->core, open->d.sid, "accepted");
    live_narrow(open->core, open->d.sid, open->caps_accepted);
    if (open->ends_at != open->rule_until) /* that one judge.c sees to, and names the rule */
        live_bound(open->core, open->d.sid, open->ends_at);
    log_event(LOG_INFO, "session.accepted", "sid=%s from=%s to=%s", open->sid, open->a.id,
              open->b.id);
    answer_session(open);
    open_free(open);
}

static void refuse_accept(struct open *open, const struct err *err)
{
    struct err why = *err;

    err_wrap(&why, "accept");
    open_fail(open, "failed", &why);
}

static void on_accept_proved(struct open *open, bool is_right, const struct err *why)
{
    struct err err = *why;

    if (is_right && accept_check(open, &err))
        together_accept(open);
    else
        refuse_accept(open, &err);
}

static void take_accept(struct open *open, struct rpc_payload payload)
{
    struct err err = { 0 };
    struct rpc_fields fields;

    rpc_fields_open(&fields, rpc_payload_args(payload));
    struct view bytes = rpc_fields_bin(&fields, "accept", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&fields, "signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(&fields, "ice", CORE_MAX_ICE), consent = { 0 };
    if (rpc_fields_more(&fields))
        consent = rpc_fields_text(&fields, "consent", 8);
    uint64_t duration = rpc_fields_more(&fields) ? rpc_fields_u64(&fields, "duration") : 0;
    if (duration > CORE_MAX_ACCEPTED_DAYS * DAY_MS)
        rpc_fields_fail(&fields, "duration", "longer than 400 days");
    take_packets(&fields, &open->accept_first);
    rpc_fields_skip_rest(&fields);
    if (!rpc_fields_end(&fields, &err)) {
        refuse_accept(open, &err);
        return;
    }
    bound(open, duration);
    open->accept = buf_dup(bytes);
    memcpy(open->accept_sig, sig.data, SIG_SIZE);
    open->accept_ice = buf_dup(ice);
    snprintf(open->consent, sizeof(open->consent), "%.*s", VIEW_FMT(consent));
    proof_ask(open, RPC_W_ACCEPT, on_accept_proved);
}

static void ring(struct open *open)
{
    _buf_ args = { 0 };

    if (open->is_ringing || !open->wants_progress)
        return;
    open->is_ringing = true; /* once, and in our own words */
    rpc_put_array(&args, 1);
    rpc_put_str(&args, "ringing");
    open->core->c.port->yield(open->core->c.port->user, open->inv, true, buf_view(&args));
}

/* A person may have written it, for another one: its first 100 bytes, whole characters, no control characters. */
static void trim_reason(struct err *why)
{
    size_t len = strnlen(why->text, sizeof(why->text)), at = 0, n;

    while (at < len && at < CORE_MAX_REASON &&
           (n = text_utf8_sequence((const uint8_t *)why->text + at, len - at)) > 0 &&
           at + n <= CORE_MAX_REASON)
        at += n;
    why->text[at] = '\0';
    for (char *c = why->text; *c; c++)
        if ((uint8_t)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

/* What the callee, or the router in its place, said instead of an accept. */
static void take_refusal(struct open *open, const struct err *said)
{
    struct err why = { 0 };

    switch (said->code) {
    case ERR_DECLINED:
    case ERR_BUSY:
        why = *said;
        trim_reason(&why);
        open_fail(open, "declined", &why);
        return;
    case ERR_TIMEOUT:
        err_set(&why, ERR_TIMEOUT, "the other side did not answer");
        break;
    case ERR_STALE:
    case ERR_BAD_STATEMENT:
    case ERR_BAD_SIGNATURE:
    case ERR_UNLISTED_KEY:
    case ERR_IDENTITY_CHANGED:
    case ERR_REVOKED:
    case ERR_LIMIT:
        why = *said;
        err_wrap(&why, "the other side refused");
        break;
    default: /* not there (any more), or nothing that a caller could act on */
        log_event(LOG_INFO, "session.unanswered", "sid=%s code=%s cause=%s", open->sid,
                  err_code_name(said->code), log_quote_text(said->text));
        not_reachable(&why);
    }
    open_fail(open, "failed", &why);
}

/* Nobody answered no: den has nobody to ask any more. */
static void fail_cut(struct open *open)
{
    struct err why = { 0 };

    open_cut(open->core, &why);
    open_fail(open, "failed", &why);
}

static void on_offered(void *user, const struct rpc_outcome *outcome)
{
    struct open *open = user;

    switch (outcome->what) {
    case RPC_PROGRESS:
        ring(open);
        return;
    case RPC_RESULTED:
        open->call = 0;
        take_accept(open, outcome->payload);
        return;
    case RPC_FAILED:
        open->call = 0;
        if (rpc_outcome_is_cut(outcome))
            fail_cut(open);
        else
            take_refusal(open, &outcome->err);
        return;
    }
}

/* ---- step 4: installed, so offer ----------------------------------------------------------- */

static void on_installed(void *user, const struct rpc_outcome *outcome)
{
    struct open *open = user;
    char procedure[64];
    _buf_wipe_ args = { 0 };
    _buf_ rekeys = { 0 };

    if (outcome->what == RPC_PROGRESS)
        return;
    open->call = 0;
    if (rpc_outcome_is_cut(outcome)) {
        fail_cut(open);
        return;
    }
    if (outcome->what == RPC_FAILED) {
        struct err why = outcome->err;
        err_wrap(&why, "the router did not take the grant");
        open_fail(open, "failed", &why);
        return;
    }
    snprintf(procedure, sizeof(procedure), "peer.%s.session.offer", open->b.id);
    put_rekeys(open, &open->a, &rekeys);
    permit_make(open);
    rpc_put_array(&args, 10);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    rpc_put_bin(&args, buf_view(&open->dial));
    rpc_put_bin(&args, VIEW_ARR(open->dial_sig));
    rpc_put_bin(&args, buf_view(&open->ice));
    rpc_put_raw(&args, buf_view(&rekeys));
    put_turn(open, &open->b, &args);
    permit_put(open, &args);
    put_packets(&open->first, &args);
    who_put(open, &args);
    call(open, procedure, buf_view(&args), open->core->c.offer_timeout, true, on_offered);
}

/* ---- step 3: decided for it, so mint and install ------------------------------------------- */

/* A machine that has its time has no session beyond it. */
static uint64_t live_until(const struct open *open, const struct policy_decision *decision)
{
    uint64_t until = decision->live_until ? decision->live_until : NEVER_MS;

    until = min_u64(until, enrolment_over_at(&open->a));
    until = min_u64(until, enrolment_over_at(&open->b));
    return until == NEVER_MS ? 0 : until;
}

static void write_grant(struct open *open, const struct policy_decision *decision)
{
    struct den_core *core = open->core;
    uint8_t dial_hash[HASH_SIZE];
    struct err ignored;
    struct rpc_grant g = {
        .netid = rpc_trust_netid(core->c.trust),
        .sid = open->d.sid,
        .a_id = view_text(open->a.id),
        .a_pk = VIEW_ARR(open->a.pk),
        .b_id = view_text(open->b.id),
        .b_pk = VIEW_ARR(open->b.pk),
        .dial_hash = VIEW_ARR(dial_hash),
        .caps = open->d.caps,
        .consent = decision->must_ask,
        .issued_at = core_wall(core),
        .live_until = open->live_until = live_until(open, decision),
        .beacon = fresh_beacon(core->fresh),
        .crl_no = core->crl_is.number,
        .policy_no = core->policy_no,
    };

    pki_hash(buf_view(&open->dial), dial_hash);
    grant_read_relays(core->c.relay, &g.relay,
                      &ignored); /* they were looked at when they were read */
    for (; g.caps_back.n < decision->n_caps_back && g.caps_back.n < RPC_MAX_ITEMS; g.caps_back.n++)
        g.caps_back.item[g.caps_back.n] = decision->caps_back[g.caps_back.n];
    rpc_statement_write(RPC_W_GRANT, &g, &open->grant);
}

/* As the grant has them. */
static void join_caps_back(struct open *open, const struct policy_decision *decision)
{
    _buf_ joined = { 0 };

    for (size_t i = 0; i < decision->n_caps_back; i++) {
        buf_put_text(&joined, i ? "," : "");
        buf_put(&joined, decision->caps_back[i]);
    }
    snprintf(open->caps_back, sizeof(open->caps_back), "%.*s", VIEW_FMT(buf_view(&joined)));
}

/* It is signed when it is recorded, and not before. */
static void grant(struct open *open, const struct policy_decision *decision)
{
    open->must_ask = decision->must_ask;
    join_caps_back(open, decision);
    open->rule_until = decision->live_until;
    open->offline = decision->offline;
    write_grant(open, decision);
    together_grant(open);
}

void grant_recorded(struct open *open)
{
    open->is_granted = true;
    open->core->n_granted++;
    log_event(LOG_INFO, "session.granted", "sid=%s from=%s to=%s can=%s consent=%s rule=%s",
              open->sid, open->a.id, open->b.id, log_quote_text(open->caps),
              open->must_ask ? "ask" : "none", log_quote_text(open->rule));
}

void grant_minted(struct open *open, const uint8_t sig[SIG_SIZE])
{
    _buf_ args = { 0 };

    memcpy(open->grant_sig, sig, SIG_SIZE);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    call(open, "network.grant.install", buf_view(&args), CORE_CALL_TIMEOUT, false, on_installed);
}

/* ---- step 2: is it online; all three questions are asked whatever the first ones say ------- */

bool open_is_online(const struct rpc_outcome *outcome)
{
    struct rpc_fields fields;
    struct err err;

    if (outcome->what != RPC_RESULTED)
        return false;
    rpc_fields_open(&fields, rpc_payload_args(outcome->payload));
    struct view map = rpc_fields_map(&fields, "peer");
    return rpc_fields_end(&fields, &err) && rpc_map_bool(map, "online");
}

/* Who dialled may have been removed, or have other groups or another key, since its dial came. */
static bool read_caller(struct open *open, struct err *err)
{
    struct den_core *core = open->core;
    enum store_found found = STORE_NONE;
    char id[STORE_ID];

    memcpy(id, open->a.id, sizeof(id));
    if (!store_identity_by_id(core->c.store, view_text(id), &found, &open->a, err))
        return false;
    memcpy(open->a.id, id, sizeof(id));
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_AUTHORIZED, "dial: there is no %s any more", id);
    if (!view_eq_secret(open->d.a_pk, VIEW_ARR(open->a.pk)))
        return err_set(err, ERR_BAD_STATEMENT, "dial: %s has another key by now", id);
    return enrolment_is_alive(&open->a, core_wall(core), err) || err_wrap(err, "dial");
}

static bool read_ends(struct open *open, enum store_found *ret_callee, struct err *err)
{
    return read_caller(open, err) &&
           store_identity_by_id(open->core->c.store, open->d.b_id, ret_callee, &open->b, err);
}

static void decide(struct open *open, struct policy_decision *ret_decision)
{
    const struct policy_dial dial = {
        .from = policy_party(open->a.id, open->a.groups),
        .to = { .id = open->d.b_id, .groups = view_text(open->b.groups) },
        .caps = open->d.caps.item,
        .n_caps = open->d.caps.n,
        .at = core_wall(open->core),
    };

    policy_decide(open->core->policy, &dial, ret_decision);
    snprintf(open->rule, sizeof(open->rule), "%s", ret_decision->rule);
    open->judged = live_round(open->core);
}

static void on_looked(void *user, const struct rpc_outcome *outcome)
{
    struct open *open = user;
    struct den_core *core = open->core;
    struct policy_decision decision;
    enum store_found found = STORE_NONE;
    struct err err = { 0 };
    bool is_read;

    if (outcome->what == RPC_PROGRESS)
        return;
    open->call = 0;
    if (rpc_outcome_is_cut(outcome)) {
        fail_cut(open);
        return;
    }
    is_read = read_ends(open, &found, &err);
    decide(open, &decision);
    if (!is_read)
        open_fail(open, "failed", &err);
    else if (found == STORE_NONE || !enrolment_is_alive(&open->b, core_wall(core), &err))
        refuse_unreachable(open, found == STORE_NONE ? "unknown" : err_code_name(err.code));
    else if (decision.verdict == POLICY_DENIED)
        refuse_unreachable(open, "denied");
    else if (!open_is_online(outcome))
        refuse_unreachable(open, "offline");
    else if (!live_has_room(core, open->a.id, open->b.id, &err))
        open_fail(open, "failed", &err);
    else
        grant(open, &decision);
}

/* ---- step 1: the dial itself --------------------------------------------------------------- */

static void look_for_callee(struct open *open)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_text(&args, open->d.b_id);
    call(open, "network.peer.get", buf_view(&args), CORE_CALL_TIMEOUT, false, on_looked);
}

static void refuse_dial(struct open *open, const struct err *err)
{
    const struct rpc_invocation invocation = { .caller_authid = view_text(open->caller),
                                               .source = view_text(open->source) };
    const struct rpc_inv inv = { .number = open->inv, .invocation = &invocation };
    struct err why = *err;

    err_wrap(&why, "dial");
    core_refuse_inv(open->core, "den.session.open", &inv, &why);
    open_free(open);
}

static void on_dial_proved(struct open *open, bool is_right, const struct err *why)
{
    struct err err = *why;

    if (is_right && dial_check(open, &err))
        look_for_callee(open);
    else
        refuse_dial(open, &err);
}

bool grant_open(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    struct view bytes = rpc_fields_bin(args, "dial", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(args, "ice", CORE_MAX_ICE);
    struct view name = rpc_fields_text_or_nil(args, "name", RPC_MAX_NAME);
    _buf_ first = { 0 };

    take_packets(args, &first);
    if (!rpc_fields_end(args, err))
        return err_wrap(err, "dial");
    if (name.len && !rpc_name_is_valid(name))
        return err_set(err, ERR_INVALID_ARGUMENT, "dial: name: not a name");
    _cleanup_(open_freep) struct open *open = open_new(core, inv);
    snprintf(open->name, sizeof(open->name), "%.*s", VIEW_FMT(name));
    if (!dial_take(open, inv, bytes, sig, ice, err))
        return err_wrap(err, "dial");
    open->first = buf_dup(buf_view(&first));
    proof_ask(STEAL(open), RPC_W_DIAL, on_dial_proved);
    return true;
}
