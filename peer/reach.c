/* SPDX-License-Identifier: Apache-2.0 */
/* How the two ends of a session find a path: ICE below, candidates over the router. */
#include "peer/explain.h"

enum { TELL_CALL_MS = 10000 };

/* Whether our addresses may be told, and theirs be tried. */
static bool goes_direct(const struct session *session)
{
    return session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_DIRECT;
}

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
    if (!session->link && !session_make_link(session, &err)) {
        session_over(session, &err);
        return;
    }
    link_hurry(session->link, clock_mono_ns());
    session_pump(session);
}

/* Over the router before, and now. */
static bool stays_relayed(const struct session *session)
{
    const struct peer_link_facts *facts =
        &session->handle->facts; /* this thread alone changes them */
    struct path_facts now;

    return path_facts(session->path, &now) && now.kind == PATH_RELAY &&
           strcmp(facts->path_kind, path_kind_name(PATH_RELAY)) == 0;
}

static void on_changed(void *user)
{
    struct session *session = user;
    struct hub_event *event;
    bool is_same;

    if (session->state != SESSION_UP)
        return;
    is_same = stays_relayed(session);
    session_refresh(session);
    restart_soon(session);
    if (!is_same)
        report_path(session);
    if (!is_same && hub_claim_path(session->core->hub,
                                   session->handle)) { /* one that waits tells of this too */
        event = hub_event_new(PEER_EVENT_PATH);
        event->event.link = peer_link_ref(session->handle);
        hub_put(session->core->hub, event);
    }
    link_hurry(session->link, clock_mono_ns());
    session_pump(session);
}

static void on_lost(void *user)
{
    (void)user; /* the link's own silence decides; ICE may find another path before */
}

static void on_switch(void *user, uint64_t number, enum path_kind kind)
{
    struct session *session = user;

    if (session->link)
        link_send_switch(session->link, clock_mono_ns(), number, (uint8_t)kind);
}

static uint64_t now_ns(void *user)
{
    (void)user;
    return clock_mono_ns();
}

static void on_ice_state(void *user, enum ice_state state)
{
    struct session *session = user;

    session->has_ice_failed = state == ICE_FAILED;
    if (state == ICE_FAILED)
        session_look_for_path(session);
    if (session->state == SESSION_UP)
        restart_soon(session);
}

void session_set_no_path(const struct session *session, const char *when, struct err *err)
{
    if (session->policy == PEER_PATH_TURN)
        err_set(err, ERR_NO_PATH, "no path to %s over the network's TURN servers",
                session->remote_id);
    else if (session->policy == PEER_PATH_RELAY || (session->relay && session->relay_why.code))
        err_set(err, ERR_NO_PATH, "no path to %s was found %s; the relay: %s", session->remote_id,
                when,
                session->relay_why.code ? session->relay_why.text : "the other end is not there");
    else
        err_set(err, ERR_NO_PATH, "none of the addresses of %s can be reached from here",
                session->remote_id);
}

void session_look_for_path(struct session *session)
{
    bool may_relay = session->relay && !session->is_relay_over;
    struct err err = { 0 };

    if (session->state != SESSION_CONNECTING || may_relay || turned_may_come(session) ||
        (session->carrier && !session->has_ice_failed && goes_direct(session)))
        return;
    session_set_no_path(session, "at all", &err);
    session_over(session, &err);
}

static void on_candidate(void *user, const char *line)
{
    struct session *session = user;

    if (!goes_direct(session))
        return;
    if (session->n_ours < ICE_MAX_LATER)
        session->ours[session->n_ours++] = mem_text(line);
    session_tell_candidates(session);
}

static void on_gathered(void *user)
{
    struct session *session = user;

    if (!goes_direct(session))
        return;
    session->ours_ended = true;
    session_tell_candidates(session);
}

static void drop_candidates(struct ice_description *d)
{
    for (size_t i = 0; i < d->n_candidates; i++)
        free(STEAL(d->candidates[i]));
    d->n_candidates = 0;
    d->is_complete = true;
}

bool session_gather(struct session *session, struct err *err)
{
    static const struct path_events path_events = { on_packets, on_usable, on_changed,
                                                    on_lost,    on_switch, now_ns };
    static const struct carrier_ice_events ice_events = { on_candidate, on_gathered, on_ice_state };
    struct ice_agent *ready =
        goes_direct(session) ? spare_take(session->core, session->is_caller) : NULL;
    const struct carrier_ice_config config = {
        .ready = ready,
        .context = loop_context(session->core->loop),
        .is_controlling = session->is_caller,
        .allow_loopback = session->core->allow_loopback,
        .stun = session->core->stun.host,
        .stun_port = session->core->stun.port,
        .maps_ports = goes_direct(session),
        .events = &ice_events,
        .user = session,
    };
    struct ice_description ours = { 0 };

    session->path = path_new(&path_events, session->is_caller, session);
    relayed_begin(session);
    if (!carrier_ice_new(session->path, &config, &session->carrier, err) ||
        (!ready && !ice_agent_gather(carrier_ice_agent(session->carrier), err)))
        return err_wrap(err, "gathering addresses");
    ice_agent_describe(carrier_ice_agent(session->carrier), &ours);
    if (!goes_direct(session)) /* nobody is told where we are */
        drop_candidates(&ours);
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
    if (!session->is_caller && !session->link && !session_make_link(session, err))
        return false;
    first_open(session);
    relayed_open(session);
    ok = ice_description_read(buf_view(&session->their_ice), &theirs, err) &&
         (!goes_direct(session) || ice_agent_set_remote(agent, &theirs, err));
    ice_description_deinit(&theirs);
    if (!ok)
        return err_wrap(err, "the other side's ICE description");
    for (size_t i = 0; i < session->n_theirs && goes_direct(session); i++)
        ice_agent_add_remote(agent, view_text(session->theirs[i]),
                             err); /* a bad one is passed over */
    session->n_theirs_later = session->n_theirs;
    if (session->theirs_ended && goes_direct(session))
        ice_agent_end_remote(agent);
    session_tell_candidates(session);
    turned_begin(session);
    session_look_for_path(session);
    first_go_on(session);
    return true;
}

void session_add_candidate(struct session *session, struct view line)
{
    struct err err;

    if (session->n_theirs_later >= ICE_MAX_LATER || !ice_candidate_check(line, true, &err))
        return;
    session->n_theirs_later++;
    if (!goes_direct(session) || !session->carrier)
        return;
    if (session->state == SESSION_CONNECTING || session->state == SESSION_UP)
        ice_agent_add_remote(carrier_ice_agent(session->carrier), line, &err);
    else
        session->theirs[session->n_theirs++] = view_dup_text(line);
}

void session_end_candidates(struct session *session)
{
    session->theirs_ended = true;
    if (goes_direct(session) && session->carrier &&
        (session->state == SESSION_CONNECTING || session->state == SESSION_UP))
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
                    TELL_CALL_MS, false, on_told, NULL);
    core_flush_soon(session->core);
}
