/* SPDX-License-Identifier: Apache-2.0 */
/* den.session.open and .close. A dial walks: checked, is the callee online, decided, granted, installed at the router,
 * offered to the callee, accepted. The answers for an unknown, an offline and a forbidden callee are one, after the same work. */
#include "den/core_in.h"

#include "base/log.h"
#include "base/text.h"
#include "den/record.h"

#include <stdio.h>

struct open {
    struct list node; /* in core->opens */
    struct den_core *core;
    uint64_t inv, call; /* the dial's number; the call that is under way, 0: none */
    bool wants_progress, is_ringing, is_granted;
    struct store_identity a, b;
    struct buf dial, ice, grant;
    uint8_t dial_sig[SIG_SIZE], grant_sig[SIG_SIZE];
    struct rpc_dial d; /* borrows from `dial` */
    char rule[sizeof(((struct policy_decision *)NULL)->rule)];
    char sid[RECORD_HEX], caps[256];
};

static void open_free(struct open *open)
{
    if (!open)
        return;
    list_remove(&open->node);
    open->core->n_opens--;
    if (open->call)
        open->core->c.port->forget(open->core->c.port->user, open->call);
    buf_free(&open->dial);
    buf_free(&open->ice);
    buf_free(&open->grant);
    free(open);
}

void grant_deinit(struct den_core *core)
{
    while (!list_is_empty(&core->opens))
        open_free(LIST_ITEM(core->opens.next, struct open, node));
}

static void call(struct open *open, const char *procedure, struct view args, uint64_t timeout, bool wants_progress,
                 rpc_on_outcome *on_outcome)
{
    const struct den_port *port = open->core->c.port;

    open->call = port->call(port->user, procedure, args, timeout, wants_progress, on_outcome, open);
}

/* Calls of which only a failure is worth a line. */
static void on_removed(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    if (outcome->what == RPC_FAILED)
        log_event(LOG_WARN, "grant.not_removed", "code=%s cause=%s", err_code_name(outcome->err.code),
                  log_quote_text(outcome->err.text));
}

static void remove_grant(struct den_core *core, struct view sid)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_bin(&args, sid);
    core->c.port->call(core->c.port->user, "network.grant.remove", buf_view(&args), CORE_CALL_TIMEOUT, false, on_removed,
                       NULL);
}

static void tell_ends(struct den_core *core, struct view sid, const char *a_id, const char *b_id, struct view reason)
{
    const char *const ends[] = { a_id, b_id };
    const struct rpc_publish_options options = { .eligible_authid = ends, .n_eligible = N_ELEMENTS(ends) };
    _buf_ args = { 0 };

    rpc_put_array(&args, 3);
    rpc_put_bin(&args, sid);
    rpc_put_str(&args, "closed");
    rpc_put_text(&args, reason);
    core->c.port->publish(core->c.port->user, "den.session.on_state", &options, buf_view(&args));
}

/* A session's new state, with its audit entry, durable. */
static bool record_state(struct den_core *core, struct view sid, const char *state, const char *reason,
                         const struct audit_pair *pairs, size_t n_pairs, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    uint64_t now = core_wall(core);
    char what[32];

    snprintf(what, sizeof(what), "session.%s", state);
    return store_begin(store, err) && store_session_set_state(store, sid, state, reason, now, err) &&
           audit_append(store, now, what, pairs, n_pairs, err) && store_commit(store, err);
}

/* ---- the end of a dial that did not come through ------------------------------------------------------ */

static void record_failure(struct open *open, const char *state, const struct err *why)
{
    struct err err = { 0 };
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", open->sid), AUDIT_TEXT("from", open->a.id), AUDIT_TEXT("to", open->b.id),
        AUDIT_TEXT("code", err_code_name(why->code)), AUDIT_TEXT("cause", why->text),
    };

    if (!record_state(open->core, open->d.sid, state, err_code_name(why->code), pairs, N_ELEMENTS(pairs), &err))
        log_event(LOG_ERROR, "audit.failed", "sid=%s cause=%s", open->sid, log_quote_text(err.text));
}

/* After the grant was minted: undone at the router, recorded, said to the callee when it may still be asking somebody. */
static void fail(struct open *open, const char *state, const struct err *why)
{
    log_event(LOG_INFO, "session.failed", "sid=%s from=%s to=%s state=%s code=%s cause=%s", open->sid, open->a.id,
              open->b.id, state, err_code_name(why->code), log_quote_text(why->text));
    if (open->is_granted) {
        record_failure(open, state, why);
        remove_grant(open->core, open->d.sid);
        if (why->code == ERR_TIMEOUT || why->code == ERR_CANCELED)
            tell_ends(open->core, open->d.sid, open->a.id, open->b.id, view_text(err_code_name(why->code)));
    }
    core_refuse(open->core, open->inv, why);
    open_free(open);
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
        AUDIT_TEXT("from", open->a.id), { "to", open->d.b_id }, AUDIT_TEXT("can", open->caps),
        AUDIT_TEXT("rule", open->rule), AUDIT_TEXT("reason", reason), AUDIT_TEXT("sid", open->sid),
    };

    log_event(LOG_WARN, "session.refused", "from=%s to=%.*s can=%s rule=%s reason=%s", open->a.id,
              VIEW_FMT(open->d.b_id), log_quote_text(open->caps), log_quote_text(open->rule), reason);
    core_audit_refusal(open->core, "session.refused", pairs, N_ELEMENTS(pairs));
    buckets_take(open->core->miss_rate, core_mono(open->core), view_text(open->a.id));
    not_reachable(&why);
    core_refuse(open->core, open->inv, &why);
    open_free(open);
}

/* ---- step 5: the callee's answer ----------------------------------------------------------------------- */

static bool is_subset(const struct rpc_items *some, const struct rpc_items *all)
{
    for (size_t i = 0; i < some->n; i++) {
        bool is_there = false;
        for (size_t j = 0; j < all->n && !is_there; j++)
            is_there = view_eq(some->item[i], all->item[j]);
        if (!is_there)
            return false;
    }
    return true;
}

/* The key must be that of a certificate that was issued to `id`, is in time and not revoked. */
static bool check_spki(struct den_core *core, struct view spki, const char *id, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;
    uint64_t now = core_wall(core);

    if (!store_certificate_by_spki(core->c.store, spki, &found, &c, err))
        return false;
    if (found == STORE_NONE || !c.der.len || strcmp(c.id, id) != 0)
        return err_set(err, ERR_WRONG_KEY, "its TLS key is not one that was certified for %s", id);
    if (c.is_revoked)
        return err_set(err, ERR_REVOKED, "the certificate of its TLS key was revoked");
    if (now < c.not_before || now >= c.not_after)
        return err_set(err, ERR_EXPIRED, "the certificate of its TLS key is out of time: get a new one");
    return true;
}

static bool check_hash(struct view bytes, struct view hash, const char *what, struct err *err)
{
    uint8_t own[HASH_SIZE];

    hash_sha256(bytes, own);
    return view_eq_secret(VIEW_ARR(own), hash) || err_set(err, ERR_BAD_STATEMENT, "%s: not the one that was signed", what);
}

static bool check_accept(struct open *open, struct view bytes, struct view sig, struct view ice, struct err *err)
{
    struct den_core *core = open->core;
    struct rpc_accept c;

    if (!rpc_statement_open(RPC_W_ACCEPT, VIEW_ARR(open->b.pk), bytes, sig, &c, err))
        return false;
    if (!view_eq_secret(c.netid, rpc_trust_netid(core->c.trust)) || !view_eq_secret(c.sid, open->d.sid))
        return err_set(err, ERR_BAD_STATEMENT, "for another network or session");
    if (!view_eq_text(c.b_id, open->b.id) || !view_eq_secret(c.b_pk, VIEW_ARR(open->b.pk)))
        return err_set(err, ERR_BAD_STATEMENT, "of another ID or key");
    if (c.caps.n == 0 || !is_subset(&c.caps, &open->d.caps))
        return err_set(err, ERR_BAD_STATEMENT, "capabilities that were not granted");
    return check_hash(buf_view(&open->grant), c.grant_hash, "grant", err) &&
           check_hash(ice, c.b_ice, "ICE description", err) && check_spki(core, c.b_spki, open->b.id, err);
}

static bool record_accept(struct open *open, struct err *err)
{
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", open->sid), AUDIT_TEXT("from", open->a.id), AUDIT_TEXT("to", open->b.id),
    };

    return record_state(open->core, open->d.sid, "accepted", "", pairs, N_ELEMENTS(pairs), err);
}

static void answer_session(struct open *open, struct view accept, struct view accept_sig, struct view ice)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 6);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    rpc_put_bin(&args, accept);
    rpc_put_bin(&args, accept_sig);
    rpc_put_bin(&args, ice);
    rpc_put_nil(&args); /* TURN: none yet */
    core_yield(open->core, open->inv, buf_view(&args));
}

static void take_accept(struct open *open, struct rpc_payload payload)
{
    struct err err = { 0 };
    struct rpc_fields fields;

    rpc_fields_open(&fields, rpc_payload_args(payload));
    struct view bytes = rpc_fields_bin(&fields, "accept", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&fields, "signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(&fields, "ice", CORE_MAX_ICE);
    if (!rpc_fields_end(&fields, &err) || !check_accept(open, bytes, sig, ice, &err)) {
        err_wrap(&err, "accept");
        fail(open, "failed", &err);
        return;
    }
    if (!record_accept(open, &err)) {
        fail(open, "failed", &err);
        return;
    }
    log_event(LOG_INFO, "session.accepted", "sid=%s from=%s to=%s", open->sid, open->a.id, open->b.id);
    answer_session(open, bytes, sig, ice);
    open_free(open);
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

/* What the callee, or the router in its place, said instead of an accept. */
static void take_refusal(struct open *open, const struct err *said)
{
    struct err why = { 0 };

    switch (said->code) {
    case ERR_DECLINED:
    case ERR_BUSY:
        fail(open, "declined", said);
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
        log_event(LOG_INFO, "session.unanswered", "sid=%s code=%s cause=%s", open->sid, err_code_name(said->code),
                  log_quote_text(said->text));
        not_reachable(&why);
    }
    fail(open, "failed", &why);
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
        take_refusal(open, &outcome->err);
        return;
    }
}

/* ---- step 4: installed, so offer --------------------------------------------------------------------------- */

static void on_installed(void *user, const struct rpc_outcome *outcome)
{
    struct open *open = user;
    char procedure[64];
    _buf_ args = { 0 };

    if (outcome->what == RPC_PROGRESS)
        return;
    open->call = 0;
    if (outcome->what == RPC_FAILED) {
        struct err why = outcome->err;
        err_wrap(&why, "the router did not take the grant");
        fail(open, "failed", &why);
        return;
    }
    snprintf(procedure, sizeof(procedure), "peer.%s.session.offer", open->b.id);
    rpc_put_array(&args, 5);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    rpc_put_bin(&args, buf_view(&open->dial));
    rpc_put_bin(&args, VIEW_ARR(open->dial_sig));
    rpc_put_bin(&args, buf_view(&open->ice));
    call(open, procedure, buf_view(&args), open->core->c.offer_timeout, true, on_offered);
}

/* ---- step 3: decided for it, so mint and install -------------------------------------------------------------- */

static void mint(struct open *open, const struct policy_decision *decision)
{
    struct den_core *core = open->core;
    uint8_t dial_hash[HASH_SIZE];
    struct rpc_grant g = {
        .netid = rpc_trust_netid(core->c.trust), .sid = open->d.sid, .a_id = view_text(open->a.id),
        .a_pk = VIEW_ARR(open->a.pk), .b_id = view_text(open->b.id), .b_pk = VIEW_ARR(open->b.pk),
        .dial_hash = VIEW_ARR(dial_hash), .caps = open->d.caps, .consent = decision->must_ask, .issued_at = core_wall(core),
        .live_until = 0, .beacon = fresh_beacon(core->fresh), .crl_no = core->crl_no, .policy_no = core->policy_no,
    };

    hash_sha256(buf_view(&open->dial), dial_hash);
    for (; g.caps_back.n < decision->n_caps_back && g.caps_back.n < RPC_MAX_ITEMS; g.caps_back.n++)
        g.caps_back.item[g.caps_back.n] = decision->caps_back[g.caps_back.n];
    rpc_statement_sign(RPC_W_GRANT, &g, core->c.sign, &open->grant, open->grant_sig);
}

static bool record_grant(struct open *open, const struct policy_decision *decision, struct err *err)
{
    _transaction_ struct store *store = open->core->c.store;
    struct store_session session = { .state = "offered", .opened_at = core_wall(open->core) };
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("from", open->a.id), AUDIT_TEXT("to", open->b.id), AUDIT_TEXT("can", open->caps),
        AUDIT_TEXT("consent", decision->must_ask ? "ask" : "none"), AUDIT_TEXT("rule", open->rule),
        AUDIT_TEXT("sid", open->sid),
    };

    memcpy(session.sid, open->d.sid.data, sizeof(session.sid));
    memcpy(session.a_id, open->a.id, sizeof(session.a_id));
    memcpy(session.b_id, open->b.id, sizeof(session.b_id));
    memcpy(session.caps, open->caps, sizeof(session.caps));
    return store_begin(store, err) && store_session_add(store, &session, err) &&
           audit_append(store, session.opened_at, "session.granted", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(store, err);
}

static void grant(struct open *open, const struct policy_decision *decision)
{
    struct err err = { 0 };
    _buf_ args = { 0 };

    if (!record_grant(open, decision, &err)) {
        err_wrap(&err, "recording a session");
        fail(open, "failed", &err);
        return;
    }
    open->is_granted = true;
    log_event(LOG_INFO, "session.granted", "sid=%s from=%s to=%s can=%s consent=%s rule=%s", open->sid, open->a.id,
              open->b.id, log_quote_text(open->caps), decision->must_ask ? "ask" : "none", log_quote_text(open->rule));
    mint(open, decision);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&open->grant));
    rpc_put_bin(&args, VIEW_ARR(open->grant_sig));
    call(open, "network.grant.install", buf_view(&args), CORE_CALL_TIMEOUT, false, on_installed);
}

/* ---- step 2: is it online; all three questions are asked whatever the first ones say ------------------------------ */

static bool is_online(const struct rpc_outcome *outcome)
{
    struct rpc_fields fields;
    struct err err;

    if (outcome->what != RPC_RESULTED)
        return false;
    rpc_fields_open(&fields, rpc_payload_args(outcome->payload));
    struct view map = rpc_fields_map(&fields, "peer");
    return rpc_fields_end(&fields, &err) && rpc_map_bool(map, "online");
}

static void on_looked(void *user, const struct rpc_outcome *outcome)
{
    struct open *open = user;
    struct den_core *core = open->core;
    struct policy_decision decision;
    enum store_found found = STORE_NONE;
    struct err err = { 0 };

    if (outcome->what == RPC_PROGRESS)
        return;
    open->call = 0;
    policy_decide(core->policy, view_text(open->a.id), open->d.b_id, open->d.caps.item, open->d.caps.n, &decision);
    snprintf(open->rule, sizeof(open->rule), "%s", decision.rule);
    if (!store_identity_by_id(core->c.store, open->d.b_id, &found, &open->b, &err))
        fail(open, "failed", &err);
    else if (found == STORE_NONE || open->b.is_revoked)
        refuse_unreachable(open, found == STORE_NONE ? "unknown" : "revoked");
    else if (decision.verdict == POLICY_DENIED)
        refuse_unreachable(open, "denied");
    else if (!is_online(outcome))
        refuse_unreachable(open, "offline");
    else
        grant(open, &decision);
}

/* ---- step 1: the dial itself ------------------------------------------------------------------------------------- */

static bool check_caps(const struct rpc_items *caps, char to[256], struct err *err)
{
    size_t len = 0;

    if (caps->n == 0 || caps->n > POLICY_MAX_CAPS)
        return err_set(err, ERR_INVALID_ARGUMENT, "capabilities: ask for 1 to %d", POLICY_MAX_CAPS);
    for (size_t i = 0; i < caps->n; i++) {
        if (!policy_cap_is_valid(caps->item[i]))
            return err_set(err, ERR_INVALID_ARGUMENT, "capabilities: number %zu is not a capability's name", i + 1);
        if (len + caps->item[i].len + 2 > 256)
            return err_set(err, ERR_TOO_LARGE, "capabilities: over 254 bytes together");
        if (len)
            to[len++] = ',';
        memcpy(to + len, caps->item[i].data, caps->item[i].len);
        len += caps->item[i].len;
    }
    to[len] = '\0';
    return true;
}

/* The stamp, then the signature by the recorded key; nothing of the dial is believed before. */
static bool check_signer(struct open *open, const struct rpc_inv *inv, struct view bytes, struct view sig, struct err *err)
{
    struct rpc_dial d;

    if (!request_caller(open->core, inv, &open->a, err) || !rpc_statement_read(RPC_W_DIAL, bytes, &d, err))
        return false;
    if (!view_eq_text(d.a_id, open->a.id))
        return err_set(err, ERR_NOT_AUTHORIZED, "of another ID than the caller's, %s", open->a.id);
    if (!rpc_statement_open(RPC_W_DIAL, VIEW_ARR(open->a.pk), bytes, sig, &d, err))
        return false;
    open->dial = buf_dup(bytes);
    memcpy(open->dial_sig, sig.data, SIG_SIZE);
    return rpc_statement_read(RPC_W_DIAL, buf_view(&open->dial), &open->d, err);
}

static bool is_sid_new(struct den_core *core, struct view sid, struct err *err)
{
    struct store_session session;
    enum store_found found = STORE_NONE;

    if (!store_session_find(core->c.store, sid, &found, &session, err))
        return false;
    return found == STORE_NONE || err_set(err, ERR_REPLAYED, "its session number was used before");
}

static bool check_dial(struct open *open, struct view ice, struct err *err)
{
    struct den_core *core = open->core;
    const struct rpc_dial *d = &open->d;

    if (!view_eq_secret(d->netid, rpc_trust_netid(core->c.trust)) || !view_eq_secret(d->a_pk, VIEW_ARR(open->a.pk)))
        return err_set(err, ERR_BAD_STATEMENT, "for another network, or by another key than it names");
    /* Marked as used only when all the rest is right too; another signer cannot use up this one's numbers. */
    if (!fresh_check(fresh_look(core->fresh, d->beacon, d->a_pk, d->sid), err) || !is_sid_new(core, d->sid, err))
        return false;
    if (view_eq(d->a_id, d->b_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "this is your own ID");
    if (!check_caps(&d->caps, open->caps, err) || !check_hash(ice, d->a_ice, "ICE description", err) ||
        !check_spki(core, d->a_spki, open->a.id, err))
        return false;
    return fresh_check(fresh_take(core->fresh, d->beacon, d->a_pk, d->sid), err);
}

static bool check_room(struct den_core *core, const char *id, struct err *err)
{
    size_t n_own = 0;
    struct open *other;

    LIST_EACH (other, &core->opens, node)
        n_own += strcmp(other->a.id, id) == 0;
    if (core->n_opens > CORE_MAX_OPENS || n_own > CORE_MAX_OPENS_PER_ID) /* this one is among them */
        return err_set(err, ERR_LIMIT, "too many dials at once: wait for the others");
    if (!buckets_has(core->miss_rate, core_mono(core), view_text(id)))
        return err_set(err, ERR_LIMIT, "too many dials that reached nobody: wait a minute");
    return true;
}

static struct open *open_new(struct den_core *core, const struct rpc_inv *inv)
{
    struct open *open = mem_new(struct open);

    open->core = core;
    open->inv = inv->number;
    open->wants_progress = inv->invocation->receive_progress;
    list_append(&core->opens, &open->node);
    core->n_opens++;
    return open;
}

static void open_freep(struct open **open)
{
    open_free(*open);
}

static void look_for_callee(struct open *open)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_text(&args, open->d.b_id);
    call(open, "network.peer.get", buf_view(&args), CORE_CALL_TIMEOUT, false, on_looked);
}

bool grant_open(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args, struct err *err)
{
    struct view bytes = rpc_fields_bin(args, "dial", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(args, "ice", CORE_MAX_ICE);
    struct view name = rpc_fields_text_or_nil(args, "name", 64);

    if (!rpc_fields_end(args, err))
        return err_wrap(err, "dial");
    if (name.len)
        return err_set(err, ERR_INVALID_ARGUMENT, "dial: names are not served here: dial the ID");
    _cleanup_(open_freep) struct open *open = open_new(core, inv);
    if (!check_signer(open, inv, bytes, sig, err) || !check_room(core, open->a.id, err) || !check_dial(open, ice, err))
        return err_wrap(err, "dial");
    snprintf(open->sid, sizeof(open->sid), "%s", record_hex(open->d.sid, (char[RECORD_HEX]){ 0 }));
    open->ice = buf_dup(ice);
    look_for_callee(STEAL(open));
    return true;
}

/* ---- den.session.close ----------------------------------------------------------------------------------------------- */

static struct open *find_open(struct den_core *core, struct view sid)
{
    struct open *open;

    LIST_EACH (open, &core->opens, node)
        if (open->is_granted && view_eq(open->d.sid, sid))
            return open;
    return NULL;
}

static bool read_close(struct view body, struct view *ret_sid, struct view *ret_reason, struct err *err)
{
    struct view reason = { 0 };

    if (!rpc_map_bin(body, "sid", ret_sid) || ret_sid->len != RPC_SID)
        return err_set(err, ERR_BAD_WIRE, "body: sid: missing, or not %d bytes", RPC_SID);
    if (rpc_map_text(body, "reason", &reason) && reason.len > CORE_MAX_REASON)
        return err_set(err, ERR_TOO_LARGE, "body: reason: over %d bytes", CORE_MAX_REASON);
    *ret_reason = reason;
    return true;
}

/* One answer for a session that is not there and for one of others. */
static bool find_session(struct den_core *core, struct view sid, const char *id, struct store_session *ret_session,
                         struct err *err)
{
    enum store_found found = STORE_NONE;

    if (!store_session_find(core->c.store, sid, &found, ret_session, err))
        return false;
    if (found == STORE_NONE || (strcmp(ret_session->a_id, id) != 0 && strcmp(ret_session->b_id, id) != 0))
        return err_set(err, ERR_NOT_FOUND, "no such session of yours");
    return true;
}

static bool close_session(struct den_core *core, const struct store_session *session, const char *by, struct view reason,
                          struct err *err)
{
    _free_ char *text = view_dup_text(reason);
    char sid[RECORD_HEX];
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", record_hex(VIEW_ARR(session->sid), sid)), AUDIT_TEXT("from", session->a_id),
        AUDIT_TEXT("to", session->b_id), AUDIT_TEXT("by", by), { "reason", reason },
    };

    if (!record_state(core, VIEW_ARR(session->sid), "closed", text, pairs, N_ELEMENTS(pairs), err))
        return false;
    log_event(LOG_INFO, "session.closed", "sid=%s by=%s reason=%s", sid, by, log_quote(reason));
    remove_grant(core, VIEW_ARR(session->sid));
    tell_ends(core, VIEW_ARR(session->sid), session->a_id, session->b_id, reason);
    return true;
}

static void answer_closed(struct den_core *core, uint64_t inv)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 0);
    core_yield(core, inv, buf_view(&args));
}

bool grant_close(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args, struct err *err)
{
    struct request request;
    struct store_session session;
    struct view sid, reason;
    struct open *open;
    struct err canceled = { 0 };

    if (!request_open(core, inv, args, "den.session.close", 256, NULL, &request, err) ||
        !read_close(request.body, &sid, &reason, err) || !find_session(core, sid, request.who.id, &session, err))
        return err_wrap(err, "close");
    open = find_open(core, sid);
    if (open) { /* still ringing: its caller gets an answer too */
        err_set(&canceled, ERR_CANCELED, "closed before it was answered");
        fail(open, "closed", &canceled);
    } else if (strcmp(session.state, "offered") == 0 || strcmp(session.state, "accepted") == 0) {
        if (!close_session(core, &session, request.who.id, reason, err))
            return err_wrap(err, "close");
    }
    answer_closed(core, inv->number);
    return true;
}
