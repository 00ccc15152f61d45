/* SPDX-License-Identifier: Apache-2.0 */
/* What den is to know of sessions and could not be told at once, and what this machine may have missed of them. A session that ended while
 * den or the router was away is told as soon as both are back; and with each new connection den hears which sessions live here, and answers
 * with its signed end for each that was ended meanwhile (den.session.mine). */
#include "peer/told.h"

#include "base/clock.h"

enum { MAX_UNTOLD = 256, MAX_LIVE = 256, CALL_MS = 10000 };

struct untold {
    struct list node; /* of core->untold */
    struct core *core;
    struct buf body;
    bool is_under_way;
};

static void untold_free(struct untold *untold)
{
    list_remove(&untold->node);
    untold->core->n_untold--;
    buf_free(&untold->body);
    free(untold);
}

void told_free(struct core *core)
{
    struct untold *untold;

    LIST_EACH(untold, &core->untold, node)
        untold_free(untold);
}

/* den, or the router, may take the same later. */
static bool may_take_later(const struct rpc_outcome *outcome)
{
    switch (outcome->err.code) {
    case ERR_BUSY:
    case ERR_DEN_AWAY:
    case ERR_LIMIT:
    case ERR_NETWORK_FAILURE:
    case ERR_STALE:
    case ERR_TIMEOUT:
        return outcome->what != RPC_RESULTED;
    default:
        return false;
    }
}

/* ---- what ended here ------------------------------------------------------------------------------ */

static bool is_settled(struct untold *untold, const struct rpc_outcome *outcome)
{
    untold->is_under_way = false;
    if (may_take_later(outcome))
        return false;
    untold_free(untold); /* or the other end was first */
    return true;
}

static void settle_later(void *user)
{
    core_settle(user);
}

static void on_told_first(void *user, const struct rpc_outcome *outcome)
{
    struct untold *untold = user;
    struct core *core = untold->core;

    if (outcome->what != RPC_PROGRESS && !is_settled(untold, outcome))
        loop_invoke(core->loop, settle_later, core);
}

static void on_told_again(void *user, const struct rpc_outcome *outcome)
{
    struct untold *untold = user;
    struct core *core = untold->core;
    struct err err = outcome->err;

    if (outcome->what == RPC_PROGRESS)
        return;
    err_wrap(&err, "telling den how a session ended");
    core_step_done(core, STEP_SESSIONS, is_settled(untold, outcome) ? NULL : &err);
}

static bool send(struct untold *untold, rpc_on_outcome *on_outcome, struct err *err)
{
    struct core *core = untold->core;
    _buf_ args = { 0 };

    if (!identity_put_request(core, "den.session.close", buf_view(&untold->body), &args, err))
        return false;
    untold->is_under_way = true;
    rpc_client_call(core->client, clock_mono_ms(), "den.session.close", buf_view(&args), CALL_MS,
                    false, on_outcome, untold);
    return true;
}

static struct untold *find_waiting(const struct core *core)
{
    struct untold *untold;

    LIST_EACH(untold, &core->untold, node)
        if (!untold->is_under_way)
            return untold;
    return NULL;
}

void told_over(struct core *core, struct view body)
{
    struct untold *untold = mem_new(struct untold), *oldest = find_waiting(core);
    struct err ignored;

    if (core->n_untold >= MAX_UNTOLD && oldest)
        untold_free(oldest);
    untold->core = core;
    untold->body = buf_dup(body);
    list_append(&core->untold, &untold->node);
    core->n_untold++;
    if (core->is_up && send(untold, on_told_first, &ignored))
        core_flush_soon(core);
}

/* ---- what goes on here ---------------------------------------------------------------------------- */

static bool is_live(const struct session *session)
{
    return session->is_known_to_den && session->state == SESSION_UP;
}

static size_t put_live(const struct core *core, struct buf *to)
{
    const struct session *session;
    size_t n = 0;

    LIST_EACH(session, &core->sessions, node)
        if (is_live(session) && n < MAX_LIVE) {
            buf_put(to, VIEW_ARR(session->sid));
            n++;
        }
    return n;
}

static void on_asked(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool is_later = may_take_later(outcome);

    if (outcome->what == RPC_PROGRESS)
        return;
    core->has_asked_sessions = !is_later;
    err_wrap(&err, "asking den about live sessions");
    core_step_done(core, STEP_SESSIONS, is_later ? &err : NULL);
}

/* ---- the step --------------------------------------------------------------------------------------- */

void told_up(struct core *core)
{
    core->has_asked_sessions = false;
}

bool told_is_needed(const struct core *core)
{
    const struct session *session;

    if (find_waiting(core))
        return true;
    LIST_EACH(session, &core->sessions, node)
        if (is_live(session))
            return !core->has_asked_sessions;
    return false;
}

void told_send(struct core *core)
{
    struct untold *untold = find_waiting(core);
    _buf_ body = { 0 }, sids = { 0 };
    struct err err;

    if (untold && send(untold, on_told_again, &err))
        return;
    if (untold) {
        core_step_done(core, STEP_SESSIONS, &err);
        return;
    }
    put_live(core, &sids);
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sids");
    rpc_put_bin(&body, buf_view(&sids));
    follow_request(core, STEP_SESSIONS, "den.session.mine", buf_view(&body), on_asked);
}
