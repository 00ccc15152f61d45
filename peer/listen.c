/* SPDX-License-Identifier: Apache-2.0 */
/* The callee's side of a session: what den offers in a caller's name is checked statement by statement, then the application
 * is asked. An offer that does not hold is answered with the reason, and the application never hears of it. */
#include "peer/session.h"

#include "peer/consent.h"
#include "peer/known.h"

#include <stdio.h>

enum { VERIFY_MS = 5000 };

/* ---- checking an offer -------------------------------------------------------------------------------- */

static bool read_offer(struct session *session, struct rpc_payload payload, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view grant = rpc_fields_bin(&f, "grant", RPC_MAX_STATEMENT);
    struct view grant_sig = rpc_fields_fixed(&f, "grant's signature", SIG_SIZE);
    struct view dial = rpc_fields_bin(&f, "dial", RPC_MAX_STATEMENT);
    struct view dial_sig = rpc_fields_fixed(&f, "dial's signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(&f, "ice", ICE_MAX_OFFER);
    struct view rekeys = rpc_fields_more(&f) ? rpc_fields_array(&f, "rekeys") : VIEW(NULL, 0);
    struct view turn = rpc_fields_more(&f) ? rpc_fields_value(&f, "TURN") : VIEW(NULL, 0);
    struct view permit = rpc_fields_more(&f) ? rpc_fields_value(&f, "permit") : VIEW(NULL, 0);
    struct view first = rpc_fields_more(&f) ? rpc_fields_array(&f, "packets") : VIEW(NULL, 0);
    struct view who = rpc_fields_more(&f) ? rpc_fields_value(&f, "who") : VIEW(NULL, 0);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return err_wrap(err, "offer");
    turned_take(session, turn);
    first_take(session, first);
    if (permit.len)
        permits_take(session, permit);
    session->who = buf_dup(view_sub(who, 0, SESSION_MAX_WHO));
    session->rekeys = buf_dup(view_sub(rekeys, 0, SESSION_MAX_REKEYS));
    session->grant = buf_dup(grant);
    session->dial = buf_dup(dial);
    session->their_ice = buf_dup(ice);
    memcpy(session->grant_sig, grant_sig.data, SIG_SIZE);
    memcpy(session->dial_sig, dial_sig.data, SIG_SIZE);
    return true;
}

static bool serves_any(const struct core *core, const struct rpc_items *caps, struct err *err)
{
    for (size_t i = 0; i < caps->n; i++) {
        if (check_has_cap(&core->serves, caps->item[i]))
            return true;
    }
    return err_set(err, ERR_DECLINED, "none of the capabilities is served here");
}

/* What den says of the caller, if it says anything. */
static bool check_who(struct session *session, struct err *err)
{
    struct core *core = session->core;
    struct view value = buf_view(&session->who);
    struct rpc_fields f;
    struct rpc_who who;

    if (value.len == 0 || rpc_value_kind(value) == RPC_NIL)
        return true;
    rpc_fields_open(&f, value);
    struct view bytes = rpc_fields_bin(&f, "who", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "who's signature", SIG_SIZE);
    if (!rpc_fields_end(&f, err) ||
        !rpc_trust_open(core->trust, RPC_W_WHO, bytes, sig, core_now(core), &who, err))
        return err_wrap(err, "who calls");
    if (!view_eq(who.sid, session->g.sid) || !view_eq_text(who.a_id, session->remote_id))
        return err_set(err, ERR_BAD_STATEMENT, "who calls: of another session");
    snprintf(session->names, sizeof(session->names), "%.*s", VIEW_FMT(who.names));
    snprintf(session->groups, sizeof(session->groups), "%.*s", VIEW_FMT(who.groups));
    buf_free(&session->who);
    return true;
}

static bool check_offer(struct session *session, struct err *err)
{
    struct core *core = session->core;
    const struct check_self self = {
        core->trust, core->id, key_public_view(core->key), core_now(core), { 0 }
    };
    struct rpc_dial dial;

    if (!check_grant(&self, buf_view(&session->grant), VIEW_ARR(session->grant_sig), &session->g,
                     err) ||
        !check_dial(&session->g, buf_view(&session->dial), VIEW_ARR(session->dial_sig),
                    buf_view(&session->their_ice), &dial, err))
        return false;
    snprintf(session->remote_id, sizeof(session->remote_id), "%.*s", VIEW_FMT(dial.a_id));
    memcpy(session->remote_pk, dial.a_pk.data, KEY_SIZE);
    memcpy(session->remote_spki, dial.a_spki.data, HASH_SIZE);
    return check_who(session, err) &&
           revoked_check_key(core, session->remote_id, VIEW_ARR(session->remote_pk), err) &&
           changed_check(core, session->remote_id, session->remote_pk, buf_view(&session->rekeys),
                         err);
}

/* What the alarm says, with our file's name, is for the person here. */
static bool is_ready(const struct core *core, struct err *err)
{
    if (core->alarm.code != ERR_NONE)
        return err_set(err, ERR_BUSY, "this machine makes no new links: den contradicted itself");
    return core_is_ready(core, err);
}

static bool needs_newer_list(const struct session *session)
{
    const struct core *core = session->core;

    return session->g.crl_no > (core->has_crl ? core->crl_no : 0);
}

/* What holds of policy and the owner's floor; false: it is refused. */
static bool check_consent(struct session *session, struct err *err)
{
    struct consent own;
    enum peer_consent consent;

    if (!consent_read(session->core->state, &own, err))
        return false;
    consent = consent_for(&own, session->g.consent != 0);
    session->must_ask = consent == PEER_CONSENT_ASK;
    return consent != PEER_CONSENT_DENY ||
           err_set(err, ERR_DECLINED, "this machine takes no calls");
}

static void ask_application(struct session *session)
{
    struct core *core = session->core;
    struct hub_event *event = hub_event_new(PEER_EVENT_INCOMING);
    size_t n = 0;

    session->handle = peer_link_new(core->peer, core->hub);
    session->handle->session = session;
    session_set_state(session, SESSION_ASKING, SESSION_ANSWER_MS);
    for (size_t i = 0; i < session->g.caps.n; i++) {
        if (check_has_cap(&core->serves, session->g.caps.item[i]))
            event->caps[n++] = view_dup_text(session->g.caps.item[i]);
    }
    snprintf(event->remote_id, sizeof(event->remote_id), "%.15s", session->remote_id);
    event->who_names = mem_text(session->names);
    event->who_groups = mem_text(session->groups);
    event->event.link = peer_link_ref(session->handle);
    event->event.must_ask = session->must_ask;
    hub_put(core->hub, event);

    if (session->lan)
        return;
    _buf_ ringing = { 0 };
    rpc_put_array(&ringing, 1);
    rpc_put_str(&ringing, "ringing");
    rpc_client_yield(core->client, session->inv, true, buf_view(&ringing));
    core_flush_soon(core);
}

/* Nobody alone can take all that this machine has for callers. */
static bool has_share(const struct session *session, struct err *err)
{
    size_t n, n_unanswered;

    n = session_count_with(session->core, session->remote_id, &n_unanswered);
    if (n > SESSION_MAX_WITH || n_unanswered > SESSION_MAX_UNANSWERED_WITH)
        return err_set(err, ERR_BUSY, "too many sessions with %s", session->remote_id);
    return true;
}

/* Last, and of what was verified alone: a number is spent by this. */
static bool take_sid(struct session *session, struct err *err)
{
    return seen_take(&session->core->seen, &session->g, session->core->trust, clock_mono_ms(), err);
}

static enum {
    OFFER_GOOD,
    OFFER_WAITS,
    OFFER_BAD
} judge_offer(struct session *session, struct err *err)
{
    if (!check_offer(session, err)) /* an unknown beacon may be one that has not reached us yet */
        return err->code == ERR_STALE && session->state != SESSION_VERIFYING ? OFFER_WAITS
                                                                             : OFFER_BAD;
    if (needs_newer_list(session))
        return OFFER_WAITS;
    if (!is_ready(session->core, err) || !serves_any(session->core, &session->g.caps, err) ||
        !has_share(session, err) || !take_sid(session, err))
        return OFFER_BAD;
    return OFFER_GOOD;
}

void listen_continue(struct session *session)
{
    struct err err = { 0 };

    switch (judge_offer(session, &err)) {
    case OFFER_GOOD:
        if (!check_consent(session, &err)) {
            session_over(session, &err);
            break;
        }
        session->is_known_to_den = true;
        ask_application(session);
        break;
    case OFFER_WAITS:
        if (session->state != SESSION_VERIFYING)
            session_set_state(session, SESSION_VERIFYING, VERIFY_MS);
        break;
    case OFFER_BAD:
        session_over(session, &err);
        break;
    }
}

void listen_on_lan(struct session *session)
{
    struct err err = { 0 };

    if (!serves_any(session->core, &session->g.caps, &err) || !has_share(session, &err) ||
        !take_sid(session, &err) ||
        !revoked_check_key(session->core, session->remote_id, VIEW_ARR(session->remote_pk), &err) ||
        !check_consent(session, &err))
        session_over(session, &err);
    else
        ask_application(session);
}

void listen_settle(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (session->state == SESSION_VERIFYING)
            listen_continue(session);
    }
}

/* ---- what the router brings ------------------------------------------------------------------------------ */

static bool may_offer(struct core *core, const struct rpc_inv *inv, struct err *err)
{
    if (!view_eq_text(inv->invocation->caller_authrole, "den"))
        return err_set(err, ERR_NOT_AUTHORIZED, "only den offers sessions");
    if (!core->takes_calls)
        return err_set(err, ERR_DECLINED, "this machine takes no calls");
    return is_ready(core, err) && listen_has_room(core, err);
}

bool listen_has_room(struct core *core, struct err *err)
{
    if (!core->takes_calls)
        return err_set(err, ERR_DECLINED, "this machine takes no calls");
    if (session_count(core, false) >= SESSION_MAX ||
        session_count(core, true) >= SESSION_MAX_UNANSWERED || hub_is_behind(core->hub))
        return err_set(err, ERR_BUSY, "too many calls at once");
    if (!loop_has_descriptors())
        return err_set(err, ERR_BUSY, "this machine is short of descriptors");
    return true;
}

/* One that we dialled, or that is being looked at; those that are over, seen_take() knows. */
static bool check_unused(struct core *core, struct view sid, struct err *err)
{
    return !session_find(core, sid) ||
           err_set(err, ERR_REPLAYED, "this session was offered before");
}

static void on_offer(void *user, const struct rpc_inv *inv)
{
    struct core *core = user;
    struct err err = { 0 };

    if (!may_offer(core, inv, &err)) {
        rpc_client_refuse(core->client, inv->number, "peer", &err);
        return;
    }

    struct session *session = session_new(core, false);
    struct rpc_grant g;
    session_set_state(session, SESSION_OPENING, NEVER_MS);
    session->inv = inv->number;
    if (!read_offer(session, inv->invocation->payload, &err) ||
        !rpc_statement_read(RPC_W_GRANT, buf_view(&session->grant), &g, &err) ||
        !check_unused(core, g.sid, &err)) {
        session_over(session, &err);
        return;
    }
    memcpy(session->sid, g.sid.data, RPC_SID);
    listen_continue(session);
    if (session->state == SESSION_VERIFYING)
        core_settle(core);
}

/* An offer is answered once. */
static uint64_t take_inv(struct session *session)
{
    uint64_t inv = session->inv;

    session->inv = 0;
    return inv;
}

/* What the other side is told of a refusal. The names of our files and the state of our disk are not its business. */
static void set_told(const struct err *why, struct err *ret_told)
{
    static const struct {
        enum err_code code, told;
        const char *text;
    } rows[] = {
        { ERR_NONE, ERR_DECLINED, "declined" },
        { ERR_IDENTITY_CHANGED, ERR_IDENTITY_CHANGED,
          "the caller came with another identity key than the one that is known here" },
        { ERR_BAD_CONFIG, ERR_BUSY, "this machine cannot check who calls" },
        { ERR_EXPOSED, ERR_BUSY, "this machine cannot check who calls" },
        { ERR_SYSTEM, ERR_BUSY, "this machine cannot check who calls" },
    };

    *ret_told = *why;
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (rows[i].code == why->code)
            err_set(ret_told, rows[i].told, "%s", rows[i].text);
    }
}

/* The person at this end learns of what is wrong here, or with somebody who is known here. */
static void tell_application(const struct session *session, const struct err *why)
{
    struct hub_event *event;

    if (session->handle || (why->code != ERR_IDENTITY_CHANGED && why->code != ERR_BAD_CONFIG &&
                            why->code != ERR_EXPOSED && why->code != ERR_SYSTEM))
        return;
    event = hub_event_new(PEER_EVENT_REFUSED);
    snprintf(event->remote_id, sizeof(event->remote_id), "%.15s", session->remote_id);
    event->event.remote_id = event->remote_id;
    hub_error(why, &event->event.error);
    hub_put(session->core->hub, event);
}

void listen_refuse(struct session *session, const struct err *why)
{
    struct err told;

    if (session->lan && !session->is_caller) {
        tell_application(session, why);
        set_told(why, &told);
        lan_refuse(session, &told);
        return;
    }
    if (session->inv == 0 || !session->core->client)
        return;
    tell_application(session, why);
    set_told(why, &told);
    rpc_client_refuse(session->core->client, take_inv(session), "peer", &told);
    core_flush_soon(session->core);
}

/* Nobody waits for what is said to it: it rings no longer. */
static void stop_ringing(struct session *session, const struct err *why)
{
    if (session->is_caller || session->lan || session->inv == 0 ||
        (session->state != SESSION_VERIFYING && session->state != SESSION_ASKING))
        return;
    session->inv = 0;
    session_close(session, LINK_CLOSE_NORMAL, "canceled", why);
}

void listen_on_interrupt(struct core *core, uint64_t inv)
{
    struct session *session;
    struct err why;

    err_set(&why, ERR_CANCELED, "the other side gave up, or den went away");
    LIST_EACH(session, &core->sessions, node) {
        if (session->inv == inv)
            stop_ringing(session, &why);
    }
}

void listen_on_down(struct core *core, const struct err *why)
{
    struct session *session;
    struct err lost;

    err_set(&lost, ERR_NETWORK_FAILURE, "the connection to the router was lost: %s", why->text);
    LIST_EACH(session, &core->sessions, node)
        stop_ringing(session, &lost);
}

static void take_candidates(struct session *session, struct view list, struct view more)
{
    struct view path = { 0 };
    uint64_t number;
    struct rpc_fields f;

    if (rpc_map_u64(more, "restart", &number)) {
        restart_update(session, list, more);
        return;
    }
    if (rpc_map_text(more, "over", &path)) {
        session_is_over_there(session, path);
        return;
    }
    if (rpc_map_text(more, "path", &path)) { /* of another path than the direct one */
        if (view_eq_text(path, "turn"))
            turned_update(session, list, more);
        return;
    }
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f))
        session_add_candidate(session, rpc_fields_text(&f, "candidate", ICE_MAX_LINE));
    if (rpc_map_bool(more, "end"))
        session_end_candidates(session);
}

static void on_update(void *user, const struct rpc_inv *inv)
{
    struct core *core = user;
    struct session *session;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, rpc_payload_args(inv->invocation->payload));
    struct view sid = rpc_fields_fixed(&f, "sid", RPC_SID),
                list = rpc_fields_array(&f, "candidates");
    struct view more = rpc_fields_more(&f) ? rpc_fields_map(&f, "more") : VIEW(NULL, 0);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) ||
        !(session = session_with(core, sid, inv->invocation->caller_authid, &err))) {
        rpc_client_refuse(core->client, inv->number, "peer", &err);
        return;
    }
    take_candidates(session, list, more);
    rpc_client_yield(core->client, inv->number, false, VIEW(NULL, 0));
}

void listen_register(struct core *core)
{
    _free_ char *offer = mem_format("peer.%s.session.offer", core->id);
    _free_ char *update = mem_format("peer.%s.ice.update", core->id);
    _free_ char *packets = mem_format("peer.%s.session.packets", core->id);

    rpc_client_register(core->client, clock_mono_ms(), offer, on_offer, core);
    rpc_client_register(core->client, clock_mono_ms(), update, on_update, core);
    rpc_client_register(core->client, clock_mono_ms(), packets, first_on_packets, core);
}

/* ---- the answer ------------------------------------------------------------------------------------------ */

/* Of what was granted: what the application names, or all that is served here. */
static void choose_caps(const struct session *session, const char *const *caps,
                        struct rpc_items *ret_caps)
{
    ret_caps->n = 0;
    for (size_t i = 0; i < session->g.caps.n; i++) {
        struct view cap = session->g.caps.item[i];
        bool is_named = !caps;
        for (size_t k = 0; caps && caps[k]; k++)
            is_named |= view_eq_text(cap, caps[k]);
        if (is_named && check_has_cap(&session->core->serves, cap))
            ret_caps->item[ret_caps->n++] = cap;
    }
}

static void sign_accept(struct session *session)
{
    struct core *core = session->core;
    uint8_t ice_hash[HASH_SIZE], grant_hash[HASH_SIZE];

    hash_sha256(buf_view(&session->our_ice), ice_hash);
    hash_sha256(buf_view(&session->grant), grant_hash);
    const struct rpc_accept accept = {
        .netid = session->g.netid,
        .sid = session->g.sid,
        .grant_hash = VIEW_ARR(grant_hash),
        .b_id = session->g.b_id,
        .b_pk = session->g.b_pk,
        .caps = session->caps,
        .b_spki = VIEW_ARR(session->cert->spki),
        .b_ice = VIEW_ARR(ice_hash),
    };
    rpc_statement_sign(RPC_W_ACCEPT, &accept, core->key, &session->accept, session->accept_sig);
}

/* For how long, of what the application and the owner say the shorter; 0: neither does. */
static bool choose_duration(const struct session *session, uint64_t wanted, uint64_t *ret_ms,
                            struct err *err)
{
    struct consent own;

    if (!consent_read(session->core->state, &own, err))
        return false;
    *ret_ms = own.longest_ms && (wanted == 0 || own.longest_ms < wanted) ? own.longest_ms : wanted;
    return true;
}

/* What the owner wants may have changed while it rang: what holds is what is wanted when it is accepted. */
static bool check_consent_again(struct session *session, struct err *err)
{
    bool was_asked = session->must_ask;

    if (!check_consent(session, err))
        return false;
    return was_asked || !session->must_ask ||
           err_set(err, ERR_DECLINED,
                   "this machine wants to be asked since it began to ring: call again");
}

static bool accept_offer(struct session *session, const char *const *caps, uint64_t wanted_ms,
                         struct err *err)
{
    struct core *core = session->core;
    uint64_t duration_ms = 0;
    _buf_ args = { 0 };

    if (!check_consent_again(session, err))
        return false;
    choose_caps(session, caps, &session->caps);
    if (!loop_has_descriptors())
        return err_set(err, ERR_BUSY, "this machine is short of descriptors");
    if (!choose_duration(session, wanted_ms, &duration_ms, err) || !session_gather(session, err))
        return false;
    if (duration_ms)
        session->allowed_until = core_now(core) + duration_ms;
    sign_accept(session);
    if (session->lan) {
        lan_answer(session);
        return session_connect(session, err);
    }
    if (!first_answer(session, err))
        return false;
    rpc_put_array(&args, 6);
    rpc_put_bin(&args, buf_view(&session->accept));
    rpc_put_bin(&args, VIEW_ARR(session->accept_sig));
    rpc_put_bin(&args, buf_view(&session->our_ice));
    rpc_put_str(&args, consent_word(session->must_ask ? PEER_CONSENT_ASK : PEER_CONSENT_NONE));
    rpc_put_u64(&args, duration_ms);
    first_put(session, &args);
    if (!core->client)
        return err_set(err, ERR_NETWORK_FAILURE, "not connected to the router");
    rpc_client_yield(core->client, take_inv(session), false, buf_view(&args));
    core_flush_soon(core);
    return session_connect(session, err);
}

void listen_answer(struct session *session, bool accept, const char *const *caps,
                   uint64_t duration_ms, const char *reason)
{
    struct err err = { 0 };

    if (session->state != SESSION_ASKING)
        return; /* too late: LINK_DOWN is under way */
    if (!accept) {
        bool is_busy = reason && strcmp(reason, "busy") == 0;
        err_set(&err, is_busy ? ERR_BUSY : ERR_DECLINED, "%s",
                reason && *reason ? reason : "declined");
        listen_refuse(session, &err);
        err = (struct err){ 0 };
        session_over(session, &err);
    } else if (!accept_offer(session, caps, duration_ms, &err)) {
        session_close(session, LINK_CLOSE_NORMAL, "failed", &err);
    }
}
