/* SPDX-License-Identifier: Apache-2.0 */
/* Another try at a direct path inside a link that is up (RFC 8445, 9): when the one before is gone, or the machine's network is another
 * one. Tries are numbered, and both ends count: whoever hears of a higher number makes that try too and describes itself in return. So it
 * does not matter which end began, or that both did. The words go over the link itself; over the router only while no path lives.
 *
 * Each try has an ICE agent of its own: libnice gathers once, at addresses that may be gone. What a frame or an agent says is noted, and
 * acted on by the timer, when nothing below is on the stack. */
#include "peer/session.h"

enum {
    SETTLE_MS = 2000,  /* of a dead path that may come back by itself */
    STEADY_MS = 10000, /* who lived so long is believed again */
    TRY_MS = 15000,    /* RFC 8445's checks give up before */
    LEAST_PAUSE_MS = 1000,
    MOST_PAUSE_MS = 300 * 1000,
    FIRST_FAILURES = 5, /* where there never was a direct path there hardly will be one soon */
    MAX_FAILURES = 12,
    WINDOW_MS = 60 * 1000,
    MAX_IN_WINDOW = 20, /* that the other end makes us begin */
    THEIR_PAUSE_MS = 1000,
    MAX_JUMP = 1000000,
    TELL_CALL_MS = 10000,
    TELL_AGAIN_MS = 2000,
    QUIET_MS = 1000,
    AGAIN_MS = 1000,
    STRAGGLE_MS = 1000, /* of packets that are under way over the one before */
};

struct attempt {
    struct session *session;
    uint64_t number;
    struct carrier_ice *carrier;
    struct buf later;                      /* candidates of ours that were not told */
    bool has_theirs, has_news;             /* news: for the router, that it was not told */
    uint64_t began_at, told_at, proved_at; /* told_at: over the router */
};

static void attempt_free(struct attempt *attempt)
{
    if (!attempt)
        return;
    carrier_ice_free(attempt->carrier);
    buf_free(&attempt->later);
    free(attempt);
}
OWN_FREEP(attempt, struct attempt)

static bool goes_direct(const struct session *session)
{
    return session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_DIRECT;
}

static bool is_direct(const struct session *session)
{
    return path_has_carrier(session->path, PATH_DIRECT);
}

/* ---- telling the other end ---------------------------------------------------------------------------- */

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* the next try will be told again */
}

static void put_update(const struct attempt *attempt, const struct ice_description *d,
                       struct buf *args)
{
    rpc_put_array(args, 3);
    rpc_put_bin(args, VIEW_ARR(attempt->session->sid));
    rpc_put_array(args, (uint32_t)d->n_candidates);
    for (size_t i = 0; i < d->n_candidates; i++)
        rpc_put_str(args, d->candidates[i]);
    rpc_put_map(args, 3 + d->is_complete);
    rpc_put_str(args, "restart");
    rpc_put_u64(args, attempt->number);
    rpc_put_str(args, "ufrag");
    rpc_put_str(args, d->ufrag);
    rpc_put_str(args, "pwd");
    rpc_put_str(args, d->pwd);
    if (d->is_complete) {
        rpc_put_str(args, "end");
        rpc_put_bool(args, true);
    }
}

/* All that is known by now, each time. */
static void tell_router(struct attempt *attempt)
{
    struct session *session = attempt->session;
    struct core *core = session->core;
    _free_ char *procedure = mem_format("peer.%s.ice.update", session->remote_id);
    struct ice_description d = { 0 };
    _buf_wipe_ args = { 0 };

    if (!core->is_up || !core->client)
        return;
    attempt->told_at = clock_mono_ms();
    attempt->has_news = false;
    ice_agent_describe(carrier_ice_agent(attempt->carrier), &d);
    put_update(attempt, &d, &args);
    ice_description_deinit(&d);
    rpc_client_call(core->client, clock_mono_ms(), procedure, buf_view(&args), TELL_CALL_MS, false,
                    on_told, NULL);
    core_flush_soon(core);
}

/* What is said inside the link may have to wait for a path that this try is to find. */
static bool is_quiet(const struct session *session)
{
    return path_silent_for(session->path) >= (uint64_t)QUIET_MS * 1000000 ||
           !(is_direct(session) || path_has_carrier(session->path, PATH_TURN) ||
             path_has_carrier(session->path, PATH_RELAY));
}

static void tell_description(struct attempt *attempt)
{
    struct session *session = attempt->session;
    struct ice_description d = { 0 };
    _buf_wipe_ text = { 0 };

    ice_agent_describe(carrier_ice_agent(attempt->carrier), &d);
    ice_description_write(&d, &text);
    ice_description_deinit(&d);
    link_send_ice(session->link, clock_mono_ns(), attempt->number, buf_view(&text));
}

static void tell_later(struct attempt *attempt)
{
    struct session *session = attempt->session;

    if (attempt->later.len &&
        link_send_ice(session->link, clock_mono_ns(), attempt->number, buf_view(&attempt->later)))
        buf_clear(&attempt->later);
}

/* ---- our agent ------------------------------------------------------------------------------------------ */

static void on_candidate(void *user, const char *line)
{
    struct attempt *attempt = user;

    if (attempt->later.len + strlen(line) + 1 > LINK_MAX_ICE)
        return;
    buf_printf(&attempt->later, "%s\n", line);
    attempt->has_news = true;
    restart_soon(attempt->session);
}

static void on_gathered(void *user)
{
    struct attempt *attempt = user;
    static const char end[] = "end-of-candidates\n";

    if (attempt->later.len + sizeof(end) <= LINK_MAX_ICE)
        buf_put_text(&attempt->later, end);
    attempt->has_news = true;
    restart_soon(attempt->session);
}

static void on_state(void *user, enum ice_state state)
{
    struct attempt *attempt = user;

    (void)state; /* it is looked at when nothing of the agent is on the stack */
    restart_soon(attempt->session);
}

static bool attempt_new(struct session *session, uint64_t number, struct attempt **ret_attempt,
                        struct err *err)
{
    static const struct carrier_ice_events events = { on_candidate, on_gathered, on_state };
    _cleanup_(attempt_freep) struct attempt *attempt = mem_new(struct attempt);
    const struct carrier_ice_config config = {
        .context = loop_context(session->core->loop),
        .is_controlling = session->is_caller,
        .allow_loopback = session->core->allow_loopback,
        .stun = session->core->stun.host,
        .stun_port = session->core->stun.port,
        .maps_ports = true,
        .events = &events,
        .user = attempt,
    };

    attempt->session = session;
    attempt->number = number;
    attempt->began_at = clock_mono_ms();
    if (!carrier_ice_new(session->path, &config, &attempt->carrier, err) ||
        !ice_agent_gather(carrier_ice_agent(attempt->carrier), err))
        return false;
    *ret_attempt = STEAL(attempt);
    return true;
}

/* ---- a try ---------------------------------------------------------------------------------------------- */

/* It grows with each failure, and no two machines keep step. */
static uint64_t pause_after(unsigned n_failures)
{
    uint64_t pause =
        min_u64((uint64_t)LEAST_PAUSE_MS << min_u64(n_failures, MAX_FAILURES), MOST_PAUSE_MS);

    return pause - pause / 4 + random_below((uint32_t)(pause / 2));
}

static void note_failure(struct restart *restart, unsigned least)
{
    restart->n_failures = restart->n_failures < least ? least : restart->n_failures + 1;
    restart->not_before = clock_mono_ms() + pause_after(restart->n_failures);
}

/* What does not work any more makes room; what does stays until the new one is proved. Not while there is no way to tell of the new one. */
static void drop_dead(struct session *session)
{
    struct restart *restart = &session->restart;

    if (session->carrier && !carrier_ice_is_alive(session->carrier))
        carrier_ice_free(STEAL(session->carrier));
    if (restart->current && !carrier_ice_is_alive(restart->current->carrier))
        attempt_free(STEAL(restart->current));
}

/* The new one is proved by both ends: it is the one now. */
static void adopt(struct session *session)
{
    struct restart *restart = &session->restart;

    carrier_ice_free(STEAL(session->carrier));
    attempt_free(STEAL(restart->current));
    restart->current = STEAL(restart->next);
}

static void begin(struct session *session, uint64_t number)
{
    struct restart *restart = &session->restart;
    struct err err;

    if (restart->next && carrier_ice_is_alive(restart->next->carrier))
        adopt(session);
    attempt_free(STEAL(restart->next));
    if (!is_quiet(session))
        drop_dead(session);
    restart->number = number;
    restart->is_wanted = false;
    if (!loop_has_descriptors() || !attempt_new(session, number, &restart->next, &err)) {
        note_failure(restart, 1);
        return;
    }
    tell_description(restart->next);
    if (is_quiet(session) || session->policy == PEER_PATH_DIRECT)
        tell_router(restart->next);
}

static bool is_first_under_way(const struct session *session)
{
    enum ice_state state;

    if (!session->carrier || session->restart.number > 0 || session->restart.was_direct)
        return false;
    state = ice_agent_state(carrier_ice_agent(session->carrier));
    return (state == ICE_GATHERING || state == ICE_CONNECTING) &&
           clock_mono_ms() - session->restart.lost_at < TRY_MS;
}

static void look_at_next(struct session *session, uint64_t now)
{
    struct restart *restart = &session->restart;
    struct attempt *next = restart->next;

    if (carrier_ice_is_alive(next->carrier)) {
        next->proved_at = next->proved_at ? next->proved_at : now;
        tell_later(next);
        if (now - next->proved_at >= STRAGGLE_MS)
            adopt(session);
    } else if (ice_agent_state(carrier_ice_agent(next->carrier)) == ICE_FAILED ||
               now - next->began_at >= TRY_MS) {
        attempt_free(STEAL(restart->next));
        note_failure(restart, 1);
    } else {
        tell_later(next);
        if (is_quiet(session) &&
            (next->has_news || (!next->has_theirs && now - next->told_at >= TELL_AGAIN_MS)))
            tell_router(next);
    }
}

/* How it stands with the direct path; `lost_at` and `found_at` are since when. One that is alone is not asked by the path: it is lost
 * when the link hears nothing. */
static void note_path(struct session *session, uint64_t now)
{
    struct restart *restart = &session->restart;

    uint64_t silent = path_silent_for(session->path) / 1000000;

    if (is_direct(session) && silent < SETTLE_MS) {
        restart->lost_at = 0;
        restart->was_direct = true;
        restart->found_at = restart->found_at ? restart->found_at : now;
        if (now - restart->found_at >= STEADY_MS)
            restart->n_failures = 0;
    } else {
        restart->found_at = 0;
        restart->lost_at = restart->lost_at ? restart->lost_at : now - silent;
    }
}

static bool is_due(struct session *session, uint64_t now)
{
    struct restart *restart = &session->restart;

    if (restart->is_wanted)
        return true;
    if (restart->lost_at == 0 || restart->next || is_first_under_way(session) ||
        now < restart->not_before || now - restart->lost_at < SETTLE_MS)
        return false;
    if (!restart->was_direct && restart->number == 0 && restart->n_failures == 0) {
        note_failure(restart, FIRST_FAILURES); /* the one that the session was opened with */
        return false;
    }
    return true;
}

/* Nothing lives, and the words of a new try may have no way to the other end: the one before may come back by itself. */
static void look_at_last(struct session *session, uint64_t now)
{
    struct restart *restart = &session->restart;
    struct carrier_ice *last = restart->current ? restart->current->carrier : session->carrier;

    if (!last || !is_quiet(session) || ice_agent_state(carrier_ice_agent(last)) != ICE_FAILED ||
        now - restart->again_at < AGAIN_MS)
        return;
    restart->again_at = now;
    ice_agent_check_again(carrier_ice_agent(last));
}

void restart_look(struct session *session)
{
    struct restart *restart = &session->restart;
    uint64_t now = clock_mono_ms();

    if (session->state != SESSION_UP || !goes_direct(session))
        return;
    if (restart->next)
        look_at_next(session, now);
    look_at_last(session, now);
    note_path(session, now);
    if (is_due(session, now))
        begin(session, restart->number + 1);
}

void restart_wish(struct session *session)
{
    session->restart.is_wanted = goes_direct(session);
    session->restart.n_failures = 0;
    session->restart.not_before = 0;
    restart_soon(session);
}

/* ---- what the other end says ----------------------------------------------------------------------------- */

static bool is_too_often(struct restart *restart)
{
    uint64_t now = clock_mono_ms();

    if (now - restart->heard_since >= WINDOW_MS) {
        restart->heard_since = now;
        restart->n_heard = 0;
    }
    return ++restart->n_heard > MAX_IN_WINDOW;
}

static void add_candidates(struct attempt *attempt, const struct ice_description *theirs)
{
    struct ice_agent *agent = carrier_ice_agent(attempt->carrier);
    struct err ignored;

    for (size_t i = 0; i < theirs->n_candidates; i++)
        ice_agent_add_remote(agent, view_text(theirs->candidates[i]), &ignored);
    if (theirs->is_complete)
        ice_agent_end_remote(agent);
}

static void begin_theirs(struct session *session, uint64_t number)
{
    session->restart.theirs_at = clock_mono_ms();
    begin(session, number);
}

static bool take_description(struct session *session, uint64_t number,
                             const struct ice_description *theirs, struct err *err)
{
    struct restart *restart = &session->restart;

    if (number > restart->number && number - restart->number <= MAX_JUMP && !is_too_often(restart))
        begin_theirs(session, number);
    if (number != restart->number || !restart->next)
        return true; /* of an older one, or ours did not come to be */
    if (restart->next->has_theirs) {
        add_candidates(restart->next, theirs); /* said twice, with more in it */
        return true;
    }
    restart->next->has_theirs = true;
    return ice_agent_set_remote(carrier_ice_agent(restart->next->carrier), theirs, err);
}

static bool take_text(struct session *session, uint64_t number, struct view text, struct err *err)
{
    _cleanup_(ice_description_deinit) struct ice_description theirs = { 0 };
    struct attempt *next;

    if (view_starts(text, view_text("ice-ufrag:")))
        return ice_description_read(text, &theirs, err) &&
               take_description(session, number, &theirs, err);
    if (!ice_description_read_later(text, &theirs, err))
        return false;
    next = session->restart.next;
    if (next && next->number == number && next->has_theirs)
        add_candidates(next, &theirs);
    return true;
}

static void take_frame(struct session *session, const struct restart_frame *frame)
{
    uint64_t number;
    struct view text;
    struct err err = { 0 };

    if (!goes_direct(session) || !link_ice_read(buf_view(&frame->bytes), &number, &text) ||
        take_text(session, number, text, &err) || frame->is_from_router)
        return; /* what the router brings, nobody signed: it is passed over when it is not right */
    err_wrap(&err, "ICE");
    session_close(session, LINK_CLOSE_PROTOCOL, err.text, &err);
}

static void note_frame(struct session *session, struct view frame, bool is_from_router)
{
    struct restart *restart = &session->restart;

    if (restart->n_inbox == RESTART_INBOX || session->state != SESSION_UP)
        return;
    restart->inbox[restart->n_inbox++] =
        (struct restart_frame){ .bytes = buf_dup(frame), .is_from_router = is_from_router };
    restart_soon(session);
}

void restart_take(struct session *session, struct view data)
{
    note_frame(session, data, false);
}

void restart_update(struct session *session, struct view list, struct view more)
{
    struct view ufrag = { 0 }, pwd = { 0 };
    uint64_t number = 0;
    _buf_wipe_ frame = { 0 };
    struct rpc_fields f;

    if (!rpc_map_u64(more, "restart", &number) || !rpc_map_text(more, "ufrag", &ufrag) ||
        !rpc_map_text(more, "pwd", &pwd) || ufrag.len + pwd.len > ICE_MAX_LINE)
        return;
    buf_put_u64(&frame, number);
    buf_printf(&frame, "ice-ufrag:%.*s\nice-pwd:%.*s\n", VIEW_FMT(ufrag), VIEW_FMT(pwd));
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f)) {
        struct view line = rpc_fields_text(&f, "candidate", ICE_MAX_LINE);
        if (f.has_failed || frame.len + line.len > LINK_MAX_ICE)
            return;
        buf_printf(&frame, "%.*s\n", VIEW_FMT(line));
    }
    if (rpc_map_bool(more, "end"))
        buf_put_text(&frame, "end-of-candidates\n");
    note_frame(session, buf_view(&frame), true);
}

/* ---- its life -------------------------------------------------------------------------------------------- */

/* A try that the other end wants while the one that it wanted before has hardly begun: each holds sockets until it is closed. */
static uint64_t too_soon_for(const struct session *session, const struct restart_frame *frame)
{
    const struct restart *restart = &session->restart;
    uint64_t number, since = clock_mono_ms() - restart->theirs_at;
    struct view text;

    if (!link_ice_read(buf_view(&frame->bytes), &number, &text) || number <= restart->number ||
        restart->theirs_at == 0 || since >= THEIR_PAUSE_MS)
        return 0;
    return THEIR_PAUSE_MS - since;
}

/* What was noted, in order, as far as it need not wait. More may come meanwhile. */
static void take_inbox(struct session *session)
{
    struct restart *restart = &session->restart;
    uint64_t wait = 0;

    while (restart->n_inbox > 0 && session->state == SESSION_UP && wait == 0) {
        struct restart_frame first = restart->inbox[0];

        wait = too_soon_for(session, &first);
        if (wait > 0)
            break;
        restart->n_inbox--;
        memmove(restart->inbox, restart->inbox + 1, restart->n_inbox * sizeof(first));
        take_frame(session, &first);
        buf_wipe(&first.bytes);
    }
    if (wait > 0)
        loop_timer_in(restart->timer, wait);
}

static void on_timer(void *user)
{
    struct session *session = user;

    take_inbox(session);
    restart_look(session);
    session_pump(session);
}

void restart_soon(struct session *session)
{
    struct restart *restart = &session->restart;

    if (!restart->timer)
        restart->timer = loop_timer_new(session->core->loop, on_timer, session);
    loop_timer_in(restart->timer, 0);
}

void restart_end(struct session *session)
{
    struct restart *restart = &session->restart;

    attempt_free(STEAL(restart->next));
    attempt_free(STEAL(restart->current));
    for (size_t i = 0; i < restart->n_inbox; i++)
        buf_wipe(&restart->inbox[i].bytes);
    restart->n_inbox = 0;
    loop_timer_free(STEAL(restart->timer));
}
