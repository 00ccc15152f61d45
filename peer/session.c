/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/explain.h"
#include "peer/told.h"

#include <stdio.h>

enum { GRACE_MS = 1000, LOOK_MS = 30000 };

/* LOOK_MS: the clock may have moved on while the machine slept. */
static void on_timer(void *user);

struct session *session_new(struct core *core, bool is_caller)
{
    struct session *session = mem_new(struct session);

    session->core = core;
    session->is_caller = is_caller;
    session->cert = cert_ref(core->cert);
    session->policy = core->policy;
    list_init(&session->flows);
    session->timer = loop_timer_new(core->loop, on_timer, session);
    list_append(&core->sessions, &session->node);
    watch_session(core);
    return session;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    list_remove(&session->node);
    path_end(session->path);
    if (session->call && session->core->client)
        rpc_client_forget(session->core->client, session->call);
    flow_free_all(session);
    report_end(session);
    lan_end(session);
    buf_free(&session->permit);
    link_free(session->link);
    carrier_ice_free(session->carrier);
    restart_end(session);
    turned_end(session);
    relayed_end(session);
    first_end(session);
    path_free(session->path);
    loop_timer_free(session->timer);
    loop_timer_free(session->link_timer);
    cert_unref(session->cert);
    for (size_t i = 0; i < ICE_MAX_LATER; i++) {
        free(session->theirs[i]);
        free(session->ours[i]);
    }
    for (size_t i = 0; i < session->n_chain; i++)
        buf_free(&session->chain[i]);
    buf_free(&session->reauth);
    buf_free(&session->beacons);
    buf_free(&session->grant);
    buf_free(&session->dial);
    buf_free(&session->accept);
    buf_free(&session->their_ice);
    buf_free(&session->rekeys);
    buf_free(&session->who);
    buf_free(&session->asked);
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

struct session *session_with(struct core *core, struct view sid, struct view id, struct err *err)
{
    struct session *session = session_find(core, sid);

    if (session && session->state != SESSION_CLOSING && view_eq_text(id, session->remote_id))
        return session;
    err_set(err, ERR_NOT_AUTHORIZED, "no such session with the caller");
    return NULL;
}

static bool is_unanswered(const struct session *session)
{
    return !session->is_caller &&
           (session->state == SESSION_OPENING || session->state == SESSION_VERIFYING ||
            session->state == SESSION_ASKING);
}

size_t session_count(const struct core *core, bool unanswered_only)
{
    const struct session *session;
    size_t n = 0;

    LIST_EACH(session, &core->sessions, node)
        n += !unanswered_only || is_unanswered(session);
    return n;
}

size_t session_count_with(const struct core *core, const char *id, size_t *ret_unanswered)
{
    const struct session *session;
    size_t n = 0, n_unanswered = 0;

    LIST_EACH(session, &core->sessions, node) {
        if (session->is_caller || session->state == SESSION_CLOSING ||
            strcmp(session->remote_id, id) != 0)
            continue;
        n++;
        n_unanswered += is_unanswered(session);
    }
    *ret_unanswered = n_unanswered;
    return n;
}

void session_set_state(struct session *session, enum session_state state, uint64_t for_ms)
{
    session->state = state;
    loop_timer_in(session->timer, for_ms);
}

/* ---- the end -------------------------------------------------------------------------------------- */

/* With what den's operator wants to know of a session: over which path, and how much. */
static void put_last_words(const struct session *session, const char *reason, struct buf *to)
{
    struct peer_link_facts facts = { 0 };
    char path[64];

    if (session->handle) {
        hub_lock(session->core->hub);
        facts = session->handle->facts;
        hub_unlock(session->core->hub);
    }
    report_text(session, path);
    if (path[0] == 0)
        snprintf(path, sizeof(path), "%.15s %.46s", facts.path_kind, facts.path_remote);
    rpc_put_map(to, facts.path_kind[0] ? 5 : 2);
    rpc_put_str(to, "sid");
    rpc_put_bin(to, VIEW_ARR(session->sid));
    rpc_put_str(to, "reason");
    rpc_put_str(to, reason);
    if (!facts.path_kind[0])
        return;
    rpc_put_str(to, "path");
    rpc_put_str(to, path);
    rpc_put_str(to, "sent");
    rpc_put_u64(to, facts.bytes_sent);
    rpc_put_str(to, "received");
    rpc_put_u64(to, facts.bytes_received);
}

/* Tells den, so that the router forgets the grant and the other end hears of it even if no path leads there. */
static void close_at_den(struct session *session, const char *reason)
{
    _buf_ body = { 0 };

    if (!session->is_known_to_den || session->is_closed_by_den)
        return;
    session->is_closed_by_den = true;
    put_last_words(session, reason, &body);
    told_over(session->core, buf_view(&body));
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
    if (session->state < SESSION_CONNECTING)
        session_drop_link(session);
    report_over(session);
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
    if (session->link && session->state >= SESSION_CONNECTING)
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

/* How long the timer of a link that is up may sleep. */
static uint64_t up_for(const struct session *session)
{
    uint64_t now = core_now(session->core);

    if (session->ends_at == 0)
        return LOOK_MS;
    return min_u64(session->ends_at > now ? session->ends_at - now : 0, LOOK_MS);
}

void session_set_up(struct session *session)
{
    session_set_state(session, SESSION_UP, up_for(session));
}

static void on_up_timer(struct session *session)
{
    uint64_t now = core_now(session->core);
    struct err err = { 0 };

    if (session->ends_at && now >= session->ends_at) {
        err_set(&err, ERR_EXPIRED,
                session->close_code == LINK_CLOSE_EXPIRED
                    ? "the other side's certificate ran out"
                    : "the time that it was allowed for is over");
        if (session->close_code == LINK_CLOSE_LIVE_UNTIL)
            err_advise(&err, link_over_remedy);
        session_close(session, session->close_code, err.text, &err);
    } else {
        session_refresh(session);
        loop_timer_in(session->timer, up_for(session));
    }
}

/* Den, or the other end itself, said that the session is closed, and no last word came over the path: the reason is the other end's code,
 * if any. */
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
        err_set(&err, ERR_TIMEOUT, "it rang, and no answer came in time");
        break;
    case SESSION_VERIFYING:
        err_set(&err, ERR_STALE,
                "the offer is newer than the newest list or heartbeat that could be had");
        break;
    case SESSION_ASKING:
        err_set(&err, ERR_TIMEOUT, "nobody answered the call");
        break;
    case SESSION_CONNECTING:
        if (session->is_closed_by_den || session->den_reason[0] != '\0')
            set_gave_up(session, &err);
        else if (session->link && session->path && path_is_usable(session->path))
            err_set(&err, ERR_TIMEOUT, "a path was found, but the link did not come up");
        else
            session_set_no_path(session, "in time", &err);
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

/* Den's signature under the end of exactly this session. */
static bool check_end(const struct session *session, struct view bytes, struct view sig,
                      struct rpc_end *ret_end, struct err *err)
{
    const struct core *core = session->core;
    struct view own = view_text(core->id), other = view_text(session->remote_id);
    struct rpc_end e;

    if (!rpc_trust_open(core->trust, RPC_W_END, bytes, sig, core_now(core), &e, err))
        return false;
    if (!view_eq(e.sid, VIEW_ARR(session->sid)) ||
        !(view_eq(e.a_id, own) ? view_eq(e.b_id, other)
                               : view_eq(e.a_id, other) && view_eq(e.b_id, own)))
        return err_set(err, ERR_BAD_STATEMENT, "end: of another session");
    *ret_end = e;
    return true;
}

static void end_by_den(struct session *session, struct view bytes, struct view sig)
{
    struct rpc_end end = { 0 };
    struct err err = { 0 };

    if (!check_end(session, bytes, sig, &end, &err))
        return; /* it goes on: whoever said that may not end it */
    err_set(&err, ERR_NOT_AUTHORIZED, "the network ended this session: %.*s", VIEW_FMT(end.reason));
    session->is_closed_by_den = session->state != SESSION_UP; /* else den hears what it came to */
    session_close(session, LINK_CLOSE_ADMIN, err.text, &err);
}

/* The other end's own last word may be under way. Said again it puts nothing off. */
static void gives_up_soon(struct session *session, struct view reason)
{
    if (session->is_given_up)
        return;
    session->is_given_up = true;
    snprintf(session->den_reason, sizeof(session->den_reason), "%.*s",
             VIEW_FMT(view_sub(reason, 0, SESSION_REASON)));
    loop_timer_in(session->timer, GRACE_MS);
}

void session_is_over_there(struct session *session, struct view reason)
{
    if (!session->is_caller && session->state == SESSION_CONNECTING)
        gives_up_soon(session, reason);
}

void session_on_state(void *user, const struct rpc_event *event)
{
    struct core *core = user;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view sid = rpc_fields_fixed(&f, "sid", RPC_SID),
                state = rpc_fields_text(&f, "state", 32),
                reason = rpc_fields_text(&f, "reason", SESSION_REASON), end = { 0 },
                end_sig = { 0 };
    if (rpc_fields_more(&f)) {
        end = rpc_fields_bin(&f, "end", RPC_MAX_STATEMENT);
        end_sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    }
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) || !view_eq_text(state, "closed"))
        return;

    struct session *session = session_find(core, sid);
    if (session && session->state != SESSION_CLOSING && end.len) {
        end_by_den(session, end, end_sig);
        return;
    }
    /* Nobody signed it. A link that is up ends by its other end's own word, by its time, or by silence. */
    if (!session || session->state == SESSION_CLOSING || session->state == SESSION_UP)
        return;
    session->is_closed_by_den = true;
    if (session->state == SESSION_CONNECTING) {
        gives_up_soon(session, reason);
        return;
    }
    err_set(&err, ERR_CANCELED, "the other side gave up");
    session_close(session, LINK_CLOSE_NORMAL, "canceled", &err);
}
