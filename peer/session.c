/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/session.h"

#include "peer/known.h"

#include <stdio.h>

enum {
    CLOSE_CALL_MS = 10000,
    GRACE_MS = 1000,
    LOOK_MS = 600000,
    AFTER_EXPIRY_MS = 300000,
    REFRESH_MS = 200
};

static void on_timer(void *user);

struct session *session_new(struct core *core, bool is_caller)
{
    struct session *session = mem_new(struct session);

    session->core = core;
    session->is_caller = is_caller;
    session->cert = cert_ref(core->cert);
    list_init(&session->flows);
    session->timer = loop_timer_new(core->loop, on_timer, session);
    list_append(&core->sessions, &session->node);
    return session;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    list_remove(&session->node);
    if (session->call && session->core->client)
        rpc_client_forget(session->core->client, session->call);
    flow_free_all(session);
    link_free(session->link);
    carrier_ice_free(session->carrier);
    path_free(session->path);
    loop_timer_free(session->timer);
    loop_timer_free(session->link_timer);
    cert_unref(session->cert);
    for (size_t i = 0; i < ICE_MAX_LATER; i++) {
        free(session->theirs[i]);
        free(session->ours[i]);
    }
    buf_free(&session->grant);
    buf_free(&session->dial);
    buf_free(&session->accept);
    buf_free(&session->their_ice);
    buf_free(&session->our_ice);
    if (session->handle)
        session->handle->session = NULL;
    peer_link_unref(session->handle);
    free(session);
}

struct session *session_find(struct core *core, struct view sid)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (view_eq(VIEW_ARR(session->sid), sid))
            return session;
    }
    return NULL;
}

size_t session_count(const struct core *core, bool unanswered_only)
{
    const struct session *session;
    size_t n = 0;

    LIST_EACH(session, &core->sessions, node)
        n += !unanswered_only || session->state == SESSION_VERIFYING ||
             session->state == SESSION_ASKING;
    return n;
}

void session_set_state(struct session *session, enum session_state state, uint64_t for_ms)
{
    session->state = state;
    loop_timer_in(session->timer, for_ms);
}

/* ---- the end -------------------------------------------------------------------------------------- */

static void on_closed_at_den(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* the other end may have been first */
}

/* Tells den, so that the router forgets the grant and the other end hears of it even if no path leads there. */
static void close_at_den(struct session *session, const char *reason)
{
    struct core *core = session->core;
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    struct rpc_request context = { .netid = rpc_trust_netid(core->trust),
                                   .id = view_text(core->id) };
    _buf_ body = { 0 }, args = { 0 };

    if (!session->is_known_to_den || session->is_closed_by_den || !core->is_up || !heart ||
        !rpc_trust_den_sign(core->trust, core_now(core), &context.den_pk))
        return;
    session->is_closed_by_den = true;
    context.beacon = heart->beacon;
    rpc_put_map(&body, 2);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, VIEW_ARR(session->sid));
    rpc_put_str(&body, "reason");
    rpc_put_str(&body, reason);
    rpc_request_put(&args, core->key, &context, "den.session.close", buf_view(&body));
    rpc_client_call(core->client, clock_mono_ms(), "den.session.close", buf_view(&args),
                    CLOSE_CALL_MS, false, on_closed_at_den, NULL);
    core_flush_soon(core);
}

static void tell_down(struct session *session, const struct err *why)
{
    struct hub_event *event;

    if (!session->handle)
        return;
    event = hub_event_new(PEER_EVENT_LINK_DOWN);
    event->event.link = peer_link_ref(session->handle);
    hub_error(why, &event->event.error);
    hub_lock(session->core->hub);
    session->handle->is_up = false;
    hub_unlock(session->core->hub);
    hub_put(session->core->hub, event);
}

void session_over(struct session *session, const struct err *why)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (session->call && session->core->client)
        rpc_client_forget(session->core->client, session->call);
    session->call = 0;
    listen_refuse(session, why);
    session_refresh(session);
    flow_free_all(session);
    close_at_den(session, why->code == ERR_NONE ? "done" : err_code_name(why->code));
    tell_down(session, why);
    session_set_state(session, SESSION_CLOSING, session->link ? SESSION_CLOSING_MS : 0);
}

void session_close(struct session *session, uint64_t code, const char *reason,
                   const struct err *why)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (session->link)
        link_close(session->link, clock_mono_ns(), code, reason);
    session_over(session, why);
    session_pump(session);
}

void session_close_all(struct core *core)
{
    struct err gone = { 0 };
    struct session *session;

    LIST_EACH(session, &core->sessions, node)
        session_close(session, LINK_CLOSE_NORMAL, "leaving", &gone);
    core_flush(core); /* what den must hear, before the sessions go */
    LIST_EACH(session, &core->sessions, node)
        session_free(session);
}

static void on_up_timer(struct session *session)
{
    uint64_t now = core_now(session->core);
    struct err err = { 0 };

    if (session->is_closed_by_den) {
        err_set(&err, ERR_CLOSED, "den closed the session");
        session_close(session, LINK_CLOSE_ADMIN, "closed by den", &err);
    } else if (session->ends_at && now >= session->ends_at) {
        err_set(&err, ERR_EXPIRED,
                session->close_code == LINK_CLOSE_EXPIRED ? "the other side's certificate ran out"
                                                          : "the grant's time is over");
        session_close(session, session->close_code, err.text, &err);
    } else {
        session_refresh(session);
        loop_timer_in(session->timer,
                      session->ends_at ? min_u64(session->ends_at - now, LOOK_MS) : LOOK_MS);
    }
}

/* Den said that the session is closed, and no last word came over the path: the reason is the other end's code, if any. */
static void set_gave_up(const struct session *session, struct err *err)
{
    const char *reason = session->den_reason;
    enum err_code code = err_code_find(reason, strlen(reason));

    err_set(err, code == ERR_INTERNAL ? ERR_CANCELED : code, "the other side gave up: %s", reason);
}

static void on_timer(void *user)
{
    struct session *session = user;
    struct err err = { 0 };

    switch (session->state) {
    case SESSION_OPENING:
        break;
    case SESSION_VERIFYING:
        err_set(&err, ERR_STALE,
                "the offer is newer than the newest list or heartbeat that could be had");
        break;
    case SESSION_ASKING:
        err_set(&err, ERR_TIMEOUT, "nobody answered the call");
        break;
    case SESSION_CONNECTING:
        if (session->is_closed_by_den)
            set_gave_up(session, &err);
        else if (session->link && session->path && path_is_usable(session->path))
            err_set(&err, ERR_TIMEOUT, "a path was found, but the link did not come up");
        else
            err_set(&err, ERR_NO_PATH, "no path to %s was found in time", session->remote_id);
        break;
    case SESSION_UP:
        on_up_timer(session);
        return;
    case SESSION_CLOSING:
        session_free(session);
        return;
    }
    session_close(session, LINK_CLOSE_NORMAL, "timeout", &err);
}

void session_on_state(void *user, const struct rpc_event *event)
{
    struct core *core = user;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view sid = rpc_fields_fixed(&f, "sid", RPC_SID),
                state = rpc_fields_text(&f, "state", 32),
                reason = rpc_fields_text(&f, "reason", SESSION_REASON);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) || !view_eq_text(state, "closed"))
        return;

    struct session *session = session_find(core, sid);
    if (!session || session->state == SESSION_CLOSING)
        return;
    session->is_closed_by_den = true;
    if (session->state == SESSION_UP || session->state == SESSION_CONNECTING) {
        snprintf(session->den_reason, sizeof(session->den_reason), "%.*s", VIEW_FMT(reason));
        loop_timer_in(session->timer,
                      GRACE_MS); /* the other end's own last word may be under way */
        return;
    }
    err_set(&err, ERR_CANCELED, "the other side gave up");
    session_close(session, LINK_CLOSE_NORMAL, "canceled", &err);
}

/* ---- the link --------------------------------------------------------------------------------------- */

static bool judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct session *session = user;
    struct core *core = session->core;
    _free_ char *name = mem_format("%s.%s", session->remote_id, core->join.network);
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    const struct pki_question question = {
        .name = name,
        .network = core->join.network,
        .role = session->is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = core_now(core),
        .spki = session->remote_spki,
        .needs_crl = true,
    };

    if (core->has_crl ? core->crl_no < session->g.crl_no : session->g.crl_no > 0)
        return err_set(err, ERR_STALE, "the revocation list is older than the grant asks for");
    if (!pki_judge(core->anchors, chain, n, &question, &leaf, err))
        return err_wrap(err, "certificate of %s", session->remote_id);

    const struct pki_facts *facts = pki_cert_facts(leaf);
    uint64_t leaf_end = facts->not_after + AFTER_EXPIRY_MS;
    snprintf(session->leaf_subject, sizeof(session->leaf_subject), "%s", facts->subject);
    snprintf(session->leaf_issuer, sizeof(session->leaf_issuer), "%s", facts->issuer);
    session->ends_at = session->g.live_until;
    session->close_code = LINK_CLOSE_LIVE_UNTIL;
    if (session->ends_at == 0 || leaf_end < session->ends_at) {
        session->ends_at = leaf_end;
        session->close_code = LINK_CLOSE_EXPIRED;
    }
    return true;
}

bool session_may_open(const struct session *session, bool outgoing, struct view cap)
{
    return check_has_cap(outgoing == session->is_caller ? &session->caps : &session->g.caps_back,
                         cap);
}

static bool may_open(void *user, bool outgoing, struct view cap)
{
    return session_may_open(user, outgoing, cap);
}

static size_t send_packets(void *user, const struct view *packets, size_t n)
{
    struct session *session = user;

    return session->path ? path_send(session->path, packets, n) : 0;
}

static void on_link_timer(void *user)
{
    struct session *session = user;

    link_tick(session->link, clock_mono_ns());
    session_pump(session);
}

void session_put_heart(const struct core *core, struct buf *to)
{
    if (rpc_trust_heartbeat(core->trust))
        state_put_signed(to, rpc_trust_heartbeat_bytes(core->trust),
                         rpc_trust_heartbeat_sig(core->trust));
}

static bool make_link(struct session *session, struct err *err)
{
    const struct cert *cert = session->cert;
    struct view chain[PKI_MAX_CHAIN];
    _buf_ heart = { 0 };
    struct link_config config = {
        .is_caller = session->is_caller,
        .chain = chain,
        .n_chain = cert->n_chain,
        .key_der = buf_view(&cert->key_der),
        .judge = judge,
        .may_open = may_open,
        .send = send_packets,
        .user = session,
    };

    for (size_t i = 0; i < cert->n_chain; i++)
        chain[i] = buf_view(&cert->chain[i]);
    memcpy(config.sid, session->sid, sizeof(config.sid));
    memcpy(config.grant_hash, session->grant_hash, sizeof(config.grant_hash));
    session_put_heart(session->core, &heart);
    config.heart = buf_view(&heart);
    session->link_timer = loop_timer_new(session->core->loop, on_link_timer, session);
    return link_new(&config, clock_mono_ns(), &session->link, err);
}

void session_pump(struct session *session)
{
    struct link_event event;

    if (!session->link || session->is_pumping)
        return;
    session->is_pumping = true;
    while (link_next_event(session->link, &event))
        session_on_link_event(session, &event);
    session->is_pumping = false;
    if (session->state == SESSION_UP && clock_mono_ms() - session->refreshed_at >= REFRESH_MS)
        session_refresh(session);
    loop_timer_at(session->link_timer, link_deadline(session->link));
}

static void copy_caps(struct session *session)
{
    const struct rpc_items *caps = session->is_caller ? &session->caps : &session->g.caps_back;

    for (size_t i = 0; i < caps->n; i++)
        session->handle->outgoing[i] = view_dup_text(caps->item[i]);
}

static void on_up(struct session *session)
{
    struct core *core = session->core;
    struct hub_event *event = hub_event_new(PEER_EVENT_LINK_UP);
    uint64_t now = core_now(core);
    struct err err;

    /* A full disk costs the memory of this peer, not the link. */
    known_remember(core->state, session->remote_id, session->remote_pk, now, &err);
    session_set_state(session, SESSION_UP,
                      session->ends_at
                          ? min_u64(session->ends_at > now ? session->ends_at - now : 0, LOOK_MS)
                          : LOOK_MS);
    session_refresh(session);
    hub_lock(core->hub);
    copy_caps(session);
    session->handle->is_up = true;
    hub_unlock(core->hub);
    event->event.link = peer_link_ref(session->handle);
    hub_put(core->hub, event);
}

static void on_heart(struct session *session, struct view data)
{
    struct view bytes, sig;
    struct err err;

    /* One that den did not sign, or an older one, is passed over. */
    if (state_read_signed(data, &bytes, &sig))
        trust_take_heart(session->core, bytes, sig, &err);
}

static void on_datagram(struct session *session, struct view data)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_DATAGRAM);

    event->event.link = peer_link_ref(session->handle);
    event->data = buf_dup(data);
    event->event.data = event->data.data;
    event->event.size = event->data.len;
    hub_put(session->core->hub, event);
}

static void on_down(struct session *session, const struct link_event *event)
{
    struct err why = event->err;

    if (event->type == LINK_DOWN && event->code == LINK_CLOSE_NORMAL && event->by_remote)
        why = (struct err){ 0 }; /* the application over there closed it */
    else if (event->type == LINK_FAILED)
        err_wrap(&why, "link with %s", session->remote_id);
    session_over(session, &why);
}

void session_on_link_event(struct session *session, const struct link_event *event)
{
    if (session->state == SESSION_CLOSING)
        return;
    switch (event->type) {
    case LINK_UP:
        on_up(session);
        break;
    case LINK_HEART:
        on_heart(session, event->data);
        break;
    case LINK_REVOKE:
        break; /* den's revocations come with a later version; the list and the heartbeat stand for them */
    case LINK_STREAM_OPENED:
        flow_opened(session, event);
        break;
    case LINK_STREAM_READABLE:
    case LINK_STREAM_WRITABLE:
    case LINK_STREAM_RESET:
    case LINK_STREAM_CLOSED:
        flow_event(session, event);
        break;
    case LINK_DATAGRAM:
        on_datagram(session, event->data);
        break;
    case LINK_DOWN:
    case LINK_FAILED:
        on_down(session, event);
        break;
    }
}

void session_gossip(struct core *core)
{
    struct session *session;
    _buf_ heart = { 0 };

    session_put_heart(core, &heart);
    LIST_EACH(session, &core->sessions, node) {
        if (session->state != SESSION_UP)
            continue;
        link_send_heart(session->link, clock_mono_ns(), buf_view(&heart));
        session_pump(session);
    }
}

/* ---- the path --------------------------------------------------------------------------------------- */

static void on_packets(void *user, const struct view *packets, size_t n)
{
    struct session *session = user;

    if (!session->link)
        return; /* QUIC says it again */
    link_input(session->link, clock_mono_ns(), packets, n);
    session_pump(session);
}

static void on_usable(void *user)
{
    struct session *session = user;
    struct err err;

    if (session->state != SESSION_CONNECTING && session->state != SESSION_UP)
        return;
    if (!session->link && !make_link(session, &err)) {
        session_over(session, &err);
        return;
    }
    link_resume(session->link, clock_mono_ns());
    session_pump(session);
}

static void on_changed(void *user)
{
    struct session *session = user;
    struct hub_event *event;

    if (session->state != SESSION_UP)
        return;
    session_refresh(session);
    event = hub_event_new(PEER_EVENT_PATH);
    event->event.link = peer_link_ref(session->handle);
    hub_put(session->core->hub, event);
}

static void on_lost(void *user)
{
    (void)user; /* the link's own silence decides; ICE may find another path before */
}

static void on_ice_state(void *user, enum ice_state state)
{
    struct session *session = user;
    struct err err = { 0 };

    if (state != ICE_FAILED || session->state != SESSION_CONNECTING)
        return;
    err_set(&err, ERR_NO_PATH, "none of the addresses of %s can be reached from here",
            session->remote_id);
    session_over(session, &err);
}

static void on_candidate(void *user, const char *line)
{
    struct session *session = user;

    if (session->n_ours < ICE_MAX_LATER)
        session->ours[session->n_ours++] = mem_text(line);
    session_tell_candidates(session);
}

static void on_gathered(void *user)
{
    struct session *session = user;

    session->ours_ended = true;
    session_tell_candidates(session);
}

bool session_gather(struct session *session, struct err *err)
{
    static const struct path_events path_events = { on_packets, on_usable, on_changed, on_lost };
    static const struct carrier_ice_events ice_events = { on_candidate, on_gathered, on_ice_state };
    const struct carrier_ice_config config = {
        .context = loop_context(session->core->loop),
        .is_controlling = session->is_caller,
        .allow_loopback = session->core->allow_loopback,
        .events = &ice_events,
        .user = session,
    };
    struct ice_description ours = { 0 };

    session->path = path_new(&path_events, session);
    if (!carrier_ice_new(session->path, &config, &session->carrier, err) ||
        !ice_agent_gather(carrier_ice_agent(session->carrier), err))
        return err_wrap(err, "gathering addresses");
    ice_agent_describe(carrier_ice_agent(session->carrier), &ours);
    ice_description_write(&ours, &session->our_ice);
    session->ours_end_told = ours.is_complete;
    ice_description_deinit(&ours);
    return true;
}

bool session_connect(struct session *session, struct err *err)
{
    struct ice_description theirs = { 0 };
    struct ice_agent *agent = carrier_ice_agent(session->carrier);
    bool ok;

    session_set_state(session, SESSION_CONNECTING, SESSION_CONNECT_MS);
    hash_sha256(buf_view(&session->grant), session->grant_hash);
    if (!session->is_caller && !make_link(session, err))
        return false;
    ok = ice_description_read(buf_view(&session->their_ice), &theirs, err) &&
         ice_agent_set_remote(agent, &theirs, err);
    ice_description_deinit(&theirs);
    if (!ok)
        return err_wrap(err, "the other side's ICE description");
    for (size_t i = 0; i < session->n_theirs; i++)
        ice_agent_add_remote(agent, view_text(session->theirs[i]),
                             err); /* a bad one is passed over */
    session->n_theirs_later = session->n_theirs;
    if (session->theirs_ended)
        ice_agent_end_remote(agent);
    session_tell_candidates(session);
    return true;
}

void session_add_candidate(struct session *session, struct view line)
{
    struct err err;

    if (session->n_theirs_later >= ICE_MAX_LATER || !ice_candidate_check(line, true, &err))
        return;
    session->n_theirs_later++;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_UP)
        ice_agent_add_remote(carrier_ice_agent(session->carrier), line, &err);
    else
        session->theirs[session->n_theirs++] = view_dup_text(line);
}

void session_end_candidates(struct session *session)
{
    session->theirs_ended = true;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_UP)
        ice_agent_end_remote(carrier_ice_agent(session->carrier));
}

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* without these candidates there may still be a path */
}

void session_tell_candidates(struct session *session)
{
    bool can_tell = session->state == SESSION_CONNECTING || session->state == SESSION_UP;
    _free_ char *procedure = mem_format("peer.%s.ice.update", session->remote_id);
    bool tells_end = session->ours_ended && !session->ours_end_told;
    _buf_ args = { 0 };

    if (!can_tell || !session->core->is_up || (session->n_ours == 0 && !tells_end))
        return;
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_array(&args, (uint32_t)session->n_ours);
    for (size_t i = 0; i < session->n_ours; i++) {
        rpc_put_str(&args, session->ours[i]);
        free(STEAL(session->ours[i]));
    }
    session->n_ours = 0;
    rpc_put_map(&args, tells_end);
    if (tells_end) {
        rpc_put_str(&args, "end");
        rpc_put_bool(&args, true);
        session->ours_end_told = true;
    }
    rpc_client_call(session->core->client, clock_mono_ms(), procedure, buf_view(&args),
                    CLOSE_CALL_MS, false, on_told, NULL);
    core_flush_soon(session->core);
}
