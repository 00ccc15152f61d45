/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of a session, from the application's wish to the point where both ends are known. */
#include "peer/session.h"

#include "peer/known.h"

#include <stdio.h>

enum {
    OPEN_MS = 90000,
    LOOKUP_MS = 10000,
    TELL_MS = 10000,
    MAX_TRIES = 2,
    MAX_BEACONS = 128 /* one each second while den may take its time */
};

/* `caps` NULL: those of the dial before. */
static void ask_den(struct session *session, const struct rpc_items *caps);

static void read_caps(struct rpc_items *caps, const char *const *texts)
{
    for (size_t i = 0; texts && texts[i] && caps->n < RPC_MAX_ITEMS; i++)
        caps->item[caps->n++] = view_text(texts[i]);
}

/* The dial: what we want, under our identity key, over the TLS key and the ICE description in use. */
void dial_sign(struct session *session, const struct rpc_items *caps)
{
    struct core *core = session->core;
    uint8_t ice_hash[HASH_SIZE];

    hash_sha256(buf_view(&session->our_ice), ice_hash);
    const struct rpc_dial dial = {
        .netid = rpc_trust_netid(core->trust),
        .sid = VIEW_ARR(session->sid),
        .a_id = view_text(core->id),
        .a_pk = key_public_view(core->key),
        .b_id = view_text(session->remote_id),
        .caps = *caps,
        .a_spki = VIEW_ARR(session->cert->spki),
        .a_ice = VIEW_ARR(ice_hash),
        .beacon = rpc_trust_heartbeat(core->trust)->beacon,
    };
    struct buf bytes = { 0 };
    rpc_statement_sign(RPC_W_DIAL, &dial, core->key, &bytes, session->dial_sig);
    buf_free(&session->dial);
    session->dial = bytes;
}

static void on_ringing(struct session *session)
{
    struct hub_event *event;

    if (session->has_rung) /* the router can say it as often as it likes */
        return;
    session->has_rung = true;
    loop_timer_in(session->timer, OPEN_MS); /* whatever else is said meanwhile */
    event = hub_event_new(PEER_EVENT_RINGING);
    event->event.link = peer_link_ref(session->handle);
    hub_put(session->core->hub, event);
}

/* What den answered: [G, sig, C, sig, ice, TURN, rekeys], each in its place. */
static bool read_answer(struct session *session, struct rpc_payload payload, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view grant = rpc_fields_bin(&f, "grant", RPC_MAX_STATEMENT);
    struct view grant_sig = rpc_fields_fixed(&f, "grant's signature", SIG_SIZE);
    struct view accept = rpc_fields_bin(&f, "accept", RPC_MAX_STATEMENT);
    struct view accept_sig = rpc_fields_fixed(&f, "accept's signature", SIG_SIZE);
    struct view ice = rpc_fields_bin(&f, "ice", ICE_MAX_OFFER);
    struct view turn = rpc_fields_more(&f) ? rpc_fields_value(&f, "TURN") : VIEW(NULL, 0);
    struct view rekeys = rpc_fields_more(&f) ? rpc_fields_array(&f, "rekeys") : VIEW(NULL, 0);
    uint64_t ends_at = rpc_fields_more(&f) ? rpc_fields_u64(&f, "end") : 0;
    struct view permit = rpc_fields_more(&f) ? rpc_fields_value(&f, "permit") : VIEW(NULL, 0);
    struct view first = rpc_fields_more(&f) ? rpc_fields_array(&f, "packets") : VIEW(NULL, 0);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return err_wrap(err, "den's answer");
    session->allowed_until = ends_at;
    session->grant = buf_dup(grant);
    session->accept = buf_dup(accept);
    session->their_ice = buf_dup(ice);
    session->rekeys = buf_dup(view_sub(rekeys, 0, SESSION_MAX_REKEYS));
    memcpy(session->grant_sig, grant_sig.data, SIG_SIZE);
    memcpy(session->accept_sig, accept_sig.data, SIG_SIZE);
    turned_take(session, turn);
    first_take(session, first);
    if (permit.len)
        permits_take(session, permit);
    return true;
}

static bool check_answer(struct session *session, struct err *err)
{
    struct core *core = session->core;
    const struct check_self self = { core->trust, core->id, key_public_view(core->key),
                                     core_now(core), buf_view(&session->beacons) };
    struct rpc_dial dial;
    struct rpc_accept accept;

    if (!rpc_statement_read(RPC_W_DIAL, buf_view(&session->dial), &dial, err) ||
        !check_grant_answer(&self, buf_view(&session->dial), &dial, buf_view(&session->grant),
                            VIEW_ARR(session->grant_sig), &session->g, err))
        return false;
    if (!check_accept(&session->g, buf_view(&session->grant), buf_view(&session->accept),
                      VIEW_ARR(session->accept_sig), buf_view(&session->their_ice), &accept, err))
        return false;
    session->caps = accept.caps;
    memcpy(session->remote_pk, accept.b_pk.data, KEY_SIZE);
    memcpy(session->remote_spki, accept.b_spki.data, HASH_SIZE);
    if (session->name[0] != '\0' && memcmp(session->named_pk, session->remote_pk, KEY_SIZE) != 0)
        return err_set(err, ERR_WRONG_KEY,
                       "%s came with another key than the one that den signed "
                       "for the name %s",
                       session->remote_id, session->name);
    return revoked_check_key(core, session->remote_id, VIEW_ARR(session->remote_pk), err) &&
           changed_check(core, session->remote_id, session->remote_pk, buf_view(&session->rekeys),
                         err);
}

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* else it sees by itself that no link comes */
}

/* Whoever accepted waits for a link, and den cannot say that there will be none. Where there was no offer there is no grant either, and
 * nobody is told. */
static void tell_callee(const struct session *session, const struct err *why)
{
    struct core *core = session->core;
    _free_ char *procedure = mem_format("peer.%s.ice.update", session->remote_id);
    _buf_ args = { 0 };

    if (why->code != ERR_DEN_AWAY || !session->has_rung || !core->is_up)
        return;
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_array(&args, 0);
    rpc_put_map(&args, 1);
    rpc_put_str(&args, "over");
    rpc_put_str(&args, err_code_name(why->code));
    rpc_client_call(core->client, clock_mono_ms(), procedure, buf_view(&args), TELL_MS, false,
                    on_told, NULL);
}

static bool is_worth_another_try(const struct session *session, const struct err *err)
{
    /* Our beacon was overtaken while we signed; sign with the newest one. */
    return err->code == ERR_STALE && session->n_tries < MAX_TRIES;
}

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    struct session *session = user;
    struct err err = outcome->err;

    if (outcome->what == RPC_PROGRESS) {
        on_ringing(session);
        return;
    }
    session->call = 0;
    session->is_known_to_den = outcome->what == RPC_RESULTED;
    if (outcome->what == RPC_FAILED && is_worth_another_try(session, &err)) {
        ask_den(session, NULL);
        return;
    }
    if (outcome->what == RPC_FAILED)
        tell_callee(session, &err);
    if (outcome->what == RPC_FAILED || !read_answer(session, outcome->payload, &err) ||
        !check_answer(session, &err) || !session_connect(session, &err))
        session_close(session, LINK_CLOSE_NORMAL, "refused", &err);
}

static void note_beacon(struct session *session)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(session->core->trust);
    struct view known = buf_view(&session->beacons);

    if (!heart || known.len >= MAX_BEACONS * RPC_BEACON)
        return;
    if (known.len == 0 ||
        !view_eq(view_sub(known, known.len - RPC_BEACON, RPC_BEACON), heart->beacon))
        buf_put(&session->beacons, heart->beacon);
}

void dial_note_beacon(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (session->is_caller && session->state == SESSION_OPENING)
            note_beacon(session);
    }
}

static void ask_den(struct session *session, const struct rpc_items *caps)
{
    struct rpc_dial before = { 0 };
    _buf_ args = { 0 }, again = { 0 };
    struct err err;

    session->n_tries++;
    if (!caps) { /* the same wish under a new number and beacon */
        again = buf_dup(buf_view(&session->dial));
        rpc_statement_read(RPC_W_DIAL, buf_view(&again), &before, &err);
        caps = &before.caps;
    }
    random_bytes(session->sid, sizeof(session->sid));
    dial_sign(session, caps);
    buf_clear(&session->beacons);
    note_beacon(session);
    first_begin(session);
    rpc_put_array(&args, 5);
    rpc_put_bin(&args, buf_view(&session->dial));
    rpc_put_bin(&args, VIEW_ARR(session->dial_sig));
    rpc_put_bin(&args, buf_view(&session->our_ice));
    if (session->name[0] != '\0')
        rpc_put_text(&args, view_text(session->name));
    else
        rpc_put_nil(&args);
    first_put(session, &args);
    session->is_known_to_den = true;
    session->call = rpc_client_call(session->core->client, clock_mono_ms(), "den.session.open",
                                    buf_view(&args), OPEN_MS, true, on_outcome, session);
    core_flush_soon(session->core);
}

static bool start(struct session *session, struct err *err)
{
    struct core *core = session->core;

    if (!core_is_ready(core, err))
        return false;
    if (!rpc_trust_heartbeat(core->trust))
        return err_set(err, ERR_DEN_AWAY, "no heartbeat of den has come");
    if (session_count(core, false) > SESSION_MAX)
        return err_set(err, ERR_LIMIT, "%d sessions at once are the most", SESSION_MAX);
    if (!loop_has_descriptors())
        return err_set(err, ERR_LIMIT, "this process is short of descriptors");
    return session_gather(session, err);
}

/* ---- by name: whom it means, den says; its word is checked before anything is dialled ---- */

static bool take_name(struct session *session, struct rpc_payload payload, struct err *err)
{
    struct core *core = session->core;
    struct rpc_fields f;
    struct rpc_name n;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view bytes = rpc_fields_bin(&f, "name", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "name's signature", SIG_SIZE);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err) || !name_check(core, bytes, sig, session->name, &n, err))
        return err_wrap(err, "the name %s", session->name);
    if (view_eq_text(n.id, core->id))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is a name of this machine", session->name);
    snprintf(session->remote_id, sizeof(session->remote_id), "%.*s", VIEW_FMT(n.id));
    memcpy(session->named_pk, n.client_pk.data, KEY_SIZE);
    known_name(core, session->name, session->remote_id);
    return true;
}

static void on_named(void *user, const struct rpc_outcome *outcome)
{
    struct session *session = user;
    struct rpc_items asked = { 0 };
    struct err err = outcome->err;
    struct view rest = buf_view(&session->asked);

    if (outcome->what == RPC_PROGRESS)
        return;
    session->call = 0;
    if (outcome->what == RPC_FAILED || !take_name(session, outcome->payload, &err)) {
        session_over(session, &err);
        return;
    }
    while (rest.len && asked.n < RPC_MAX_ITEMS) {
        size_t len = strnlen((const char *)rest.data, rest.len);
        asked.item[asked.n++] = view_sub(rest, 0, len);
        rest = view_sub(rest, len + 1, rest.len);
    }
    ask_den(session, &asked);
}

static void look_up(struct session *session, const char *const *caps)
{
    _buf_ args = { 0 };

    for (size_t i = 0; caps && caps[i]; i++)
        buf_put(&session->asked, VIEW(caps[i], strlen(caps[i]) + 1));
    rpc_put_array(&args, 1);
    rpc_put_text(&args, view_text(session->name));
    session->call = rpc_client_call(session->core->client, clock_mono_ms(), "den.directory.lookup",
                                    buf_view(&args), LOOKUP_MS, false, on_named, session);
    core_flush_soon(session->core);
}

void dial_start(struct core *core, struct peer_link *handle, const char *id,
                const char *const *caps, enum peer_path policy)
{
    struct rpc_items asked = { 0 };
    struct err err = { 0 };

    if (!core->cert) { /* a session holds one */
        struct hub_event *event = hub_event_new(PEER_EVENT_LINK_DOWN);
        err_set(&err, ERR_NOT_JOINED, "this machine has no certificate yet: wait for JOINED");
        event->event.link = peer_link_ref(handle);
        hub_error(&err, &event->event.error);
        hub_put(core->hub, event);
        return;
    }

    struct session *session = session_new(core, true);
    if (policy != PEER_PATH_DEFAULT)
        session->policy = policy;
    session->handle = peer_link_ref(handle);
    handle->session = session;
    bool is_id = text_is_id(view_text(id));
    if (is_id)
        snprintf(session->remote_id, sizeof(session->remote_id), "%s", id);
    else
        snprintf(session->name, sizeof(session->name), "%s", id);
    session_set_state(session, SESSION_OPENING, NEVER_MS);
    read_caps(&asked, caps);
    if (is_id && !core->is_up && permits_find(core, session->remote_id, true)) {
        if (!lan_dial(session, &asked, &err))
            session_over(session, &err);
    } else if (!start(session, &err))
        session_over(session, &err);
    else if (is_id)
        ask_den(session, &asked);
    else
        look_up(session, caps);
}
