/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that go on: how many an ID has, and whether anybody is left of them. Two peers that
 * crashed close nothing; den asks the router about the ends now and then, and ends a session when
 * both have been away for a while. One end alone keeps it: the other may come back, and the link
 * between the two needs neither den nor the router. */
#include "den/open.h"

#include "base/log.h"
#include "base/map.h"

#include <stdio.h>

enum {
    MAX_POLLS = 16,        /* questions to the router under way: it allows a client 64 calls */
    MAX_ROUND = 4096,      /* ends that one round asks about */
    MAX_LOST_AT_ONCE = 64, /* each is a write that waits for the disk */
    HURRY = 1000,          /* ms until the next ones */
};

const char live_lost[] = "lost";

struct end {          /* an ID with at least one session */
    struct list node; /* in lives->ends: who is asked about next comes first */
    struct list sides;
    struct lives *lives;
    size_t n_sides;
    uint64_t call;          /* under way; 0: none */
    uint64_t offline_since; /* mono; NEVER_MS: online, or not known */
    char id[STORE_ID];
};

struct live {
    struct list node; /* in lives->all */
    struct side {
        struct list node; /* in end->sides */
        struct live *live;
        struct end *end;
    } sides[2]; /* who dialled, who was called */
    uint8_t sid[RPC_SID];
    char caps[256], *caps_back;
    uint64_t opened_at, ends_at; /* wall; ends_at 0: whenever */
    uint64_t judged;             /* the round in which policy was last asked about it */
    bool is_accepted;
    bool is_doomed; /* ended, but the store did not take it */
};

struct lives {
    struct den_core *core;
    struct list all, ends;
    struct map *by_sid, *by_id;
    size_t n_to_poll, n_polls;
    uint64_t round; /* those with a lower number stand in front of the others in `all` */
    uint64_t tick_at;
    uint64_t expire_at; /* mono: when the first of them ends at the latest */
};

struct lives *lives_new(struct den_core *core)
{
    struct lives *lives = mem_new(struct lives);

    lives->core = core;
    lives->by_sid = map_new();
    lives->by_id = map_new();
    lives->tick_at = lives->expire_at = NEVER_MS;
    list_init(&lives->all);
    list_init(&lives->ends);
    return lives;
}

static void end_free(struct end *end)
{
    const struct den_port *port = end->lives->core->c.port;

    if (end->call) {
        end->lives->n_polls--;
        port->forget(port->user, end->call);
    }
    map_remove(end->lives->by_id, view_text(end->id));
    list_remove(&end->node);
    free(end);
}

static void live_free(struct lives *lives, struct live *live)
{
    for (size_t i = 0; i < N_ELEMENTS(live->sides); i++) {
        struct side *side = &live->sides[i];
        list_remove(&side->node);
        if (--side->end->n_sides == 0)
            end_free(side->end);
    }
    map_remove(lives->by_sid, VIEW_ARR(live->sid));
    list_remove(&live->node);
    free(live->caps_back);
    free(live);
}

void lives_free(struct lives *lives)
{
    struct live *live;

    if (!lives)
        return;
    LIST_EACH(live, &lives->all, node)
        live_free(lives, live);
    map_free(lives->by_sid);
    map_free(lives->by_id);
    free(lives);
}

/* ---- who has how many ---------------------------------------------------------------------- */

static struct end *find_end(const struct lives *lives, const char *id)
{
    return map_get(lives->by_id, view_text(id));
}

static void join_end(struct lives *lives, struct live *live, struct side *side, const char *id)
{
    struct end *end = find_end(lives, id);

    if (!end) {
        end = mem_new(struct end);
        end->lives = lives;
        end->offline_since = NEVER_MS;
        memcpy(end->id, id, sizeof(end->id));
        list_init(&end->sides);
        list_append(&lives->ends, &end->node);
        map_set(lives->by_id, view_text(end->id), end);
    }
    end->n_sides++;
    side->live = live;
    side->end = end;
    list_append(&end->sides, &side->node);
}

/* The wall clock may be set: it is looked at again when the time has come by the other one. */
static void expect_end(struct den_core *core, const struct live *live)
{
    uint64_t now = core_wall(core), left = live->ends_at > now ? live->ends_at - now : 0;

    if (live->ends_at)
        core->lives->expire_at = min_u64(core->lives->expire_at, core_mono(core) + left);
}

void live_add(struct den_core *core, const struct store_session *session, uint64_t judged)
{
    struct lives *lives = core->lives;
    struct live *live = mem_new(struct live);

    memcpy(live->sid, session->sid, sizeof(live->sid));
    snprintf(live->caps, sizeof(live->caps), "%s", store_session_caps(session));
    live->caps_back = mem_text(session->caps_back);
    live->opened_at = session->opened_at;
    live->ends_at = session->ends_at;
    live->judged = judged;
    live->is_accepted = strcmp(session->state, "accepted") == 0;
    if (judged == lives->round) {
        list_append(&lives->all, &live->node);
    } else { /* what decided about it has changed since: it is the next one */
        list_append(lives->all.next, &live->node);
        core->judge_at = core_mono(core);
    }
    map_set(lives->by_sid, VIEW_ARR(live->sid), live);
    join_end(lives, live, &live->sides[0], session->a_id);
    join_end(lives, live, &live->sides[1], session->b_id);
    expect_end(core, live);
}

void live_moved(struct den_core *core, struct view sid, const char *state)
{
    struct live *live = map_get(core->lives->by_sid, sid);

    if (live && strcmp(state, "accepted") == 0)
        live->is_accepted = true;
    else if (live)
        live_free(core->lives, live);
}

void live_narrow(struct den_core *core, struct view sid, const char caps[256])
{
    struct live *live = map_get(core->lives->by_sid, sid);

    if (live)
        memcpy(live->caps, caps, sizeof(live->caps));
}

void live_bound(struct den_core *core, struct view sid, uint64_t ends_at)
{
    struct live *live = map_get(core->lives->by_sid, sid);

    if (!live || !ends_at || (live->ends_at && live->ends_at <= ends_at))
        return;
    live->ends_at = ends_at;
    expect_end(core, live);
}

void live_doom(struct den_core *core, struct view sid)
{
    struct live *live = map_get(core->lives->by_sid, sid);

    if (live)
        live->is_doomed = true;
}

static size_t count_between(const struct end *a, const struct end *b)
{
    const struct side *side;
    size_t n = 0;

    LIST_EACH(side, &a->sides, node)
        n += side->live->sides[0].end == b || side->live->sides[1].end == b;
    return n;
}

bool live_has_room(const struct den_core *core, const char *a_id, const char *b_id, struct err *err)
{
    const uint64_t per_pair = core->c.max_sessions_per_pair, per_id = core->c.max_sessions_per_id;
    const struct end *a = find_end(core->lives, a_id), *b = find_end(core->lives, b_id);

    if (per_id && ((a && a->n_sides >= per_id) || (b && b->n_sides >= per_id)))
        return err_set(err, ERR_LIMIT, "one of the two has too many sessions: close some");
    if (per_pair && a && b && count_between(a, b) >= per_pair)
        return err_set(err, ERR_LIMIT, "too many sessions between the two: close some");
    return true;
}

/* ---- ending what nobody ends --------------------------------------------------------------- */

/* `rule`: which forbids it, "" where none does; NULL: it is not forbidden, but over. */
static bool end_session(struct den_core *core, const struct live *live, const char *state,
                        const char *reason, const char *rule, struct err *err)
{
    const struct live copy = *live; /* it goes with its state */
    char sid[RECORD_HEX], a_id[STORE_ID], b_id[STORE_ID];

    memcpy(a_id, live->sides[0].end->id, sizeof(a_id));
    memcpy(b_id, live->sides[1].end->id, sizeof(b_id));
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", record_hex(VIEW_ARR(copy.sid), sid)),
        AUDIT_TEXT("from", a_id),
        AUDIT_TEXT("to", b_id),
        AUDIT_TEXT("by", "den"),
        AUDIT_TEXT("reason", reason),
        AUDIT_TEXT("rule", rule ? rule : ""),
    };
    if (!open_record_state(core, VIEW_ARR(copy.sid), state, reason, NULL, pairs,
                           N_ELEMENTS(pairs) - (!rule || !*rule), err))
        return err_wrap(err, "ending a session");
    log_event(LOG_INFO, "session.ended", "sid=%s from=%s to=%s state=%s reason=%s", sid, a_id, b_id,
              state, log_quote_text(reason));
    open_remove_grant(core, VIEW_ARR(copy.sid));
    if (rule)
        untold_keep(core, VIEW_ARR(copy.sid), a_id, b_id, view_text(reason));
    else if (core->is_up) /* a link that may be there yet goes on by itself */
        open_tell(core, VIEW_ARR(copy.sid), a_id, b_id, view_text(reason), NULL);
    return true;
}

/* ---- judged again ---------------------------------------------------------------------------- */

void live_judge_all(struct den_core *core)
{
    core->lives->round++;
}

uint64_t live_round(const struct den_core *core)
{
    return core->lives->round;
}

bool live_next(struct den_core *core, struct live_facts *ret_facts)
{
    struct lives *lives = core->lives;
    struct live *live = LIST_ITEM(lives->all.next, struct live, node);

    if (list_is_empty(&lives->all) || live->judged == lives->round)
        return false;
    live->judged = lives->round;
    list_remove(&live->node);
    list_append(&lives->all, &live->node);
    memcpy(ret_facts->sid, live->sid, sizeof(live->sid));
    memcpy(ret_facts->caps, live->caps, sizeof(live->caps));
    memcpy(ret_facts->a_id, live->sides[0].end->id, STORE_ID);
    memcpy(ret_facts->b_id, live->sides[1].end->id, STORE_ID);
    ret_facts->caps_back = live->caps_back;
    ret_facts->opened_at = live->opened_at;
    ret_facts->is_accepted = live->is_accepted;
    return true;
}

bool live_is_judged(const struct den_core *core)
{
    const struct lives *lives = core->lives;

    return list_is_empty(&lives->all) ||
           LIST_ITEM(lives->all.next, struct live, node)->judged == lives->round;
}

bool live_end(struct den_core *core, struct view sid, const char *reason, const char *rule,
              struct err *err)
{
    const struct live *live = map_get(core->lives->by_sid, sid);

    return !live || end_session(core, live, "closed", reason, rule, err);
}

/* Both ends do so themselves: this is for the record, and for an end that does not. */
static void end_expired(struct den_core *core)
{
    static const char reason[] = "the time that it was allowed for is over";
    struct lives *lives = core->lives;
    struct err err = { 0 };
    struct live *live;
    size_t n = 0;

    if (core_mono(core) < lives->expire_at)
        return;
    lives->expire_at = NEVER_MS;
    LIST_EACH(live, &lives->all, node) {
        bool is_over = live->ends_at && live->ends_at <= core_wall(core);
        if (is_over && n++ < MAX_LOST_AT_ONCE &&
            end_session(core, live, "closed", reason, "", &err))
            continue;
        expect_end(core, live);
        if (!is_over)
            continue;
        lives->expire_at = core_mono(core) + HURRY; /* not all at once; or the disk is full */
        if (n <= MAX_LOST_AT_ONCE)
            log_event(LOG_ERROR, "session.not_ended", "cause=%s", log_quote_text(err.text));
        return;
    }
}

static bool is_lost(const struct den_core *core, const struct live *live)
{
    uint64_t now = core_mono(core), since = 0;

    if (live->is_doomed || !live->is_accepted) /* what rings ends by itself */
        return live->is_doomed;
    for (size_t i = 0; i < N_ELEMENTS(live->sides); i++) {
        uint64_t one = live->sides[i].end->offline_since;
        since = one > since ? one : since;
    }
    return since <= now && now - since >= core->c.lost_after;
}

static void end_lost(struct den_core *core)
{
    struct err err = { 0 };
    struct live *live;
    size_t n = 0;

    LIST_EACH(live, &core->lives->all, node) {
        if (!is_lost(core, live))
            continue;
        if (n++ == MAX_LOST_AT_ONCE) {
            core->lives->tick_at = core_mono(core) + HURRY;
            return;
        }
        if (end_session(core, live, "closed", live_lost, NULL, &err))
            continue;
        log_event(LOG_ERROR, "session.not_ended", "cause=%s", log_quote_text(err.text));
        return;
    }
}

/* ---- asking the router --------------------------------------------------------------------- */

static void poll_more(struct lives *lives);

static void on_seen(void *user, const struct rpc_outcome *outcome)
{
    struct end *end = user;
    struct lives *lives = end->lives;
    uint64_t now = core_mono(lives->core);

    if (outcome->what == RPC_PROGRESS)
        return;
    end->call = 0;
    lives->n_polls--;
    if (outcome->what == RPC_RESULTED && open_is_online(outcome))
        end->offline_since = NEVER_MS;
    else if (outcome->what == RPC_RESULTED)
        end->offline_since = min_u64(end->offline_since, now);
    poll_more(lives);
}

static void poll_more(struct lives *lives)
{
    const struct den_port *port = lives->core->c.port;

    while (lives->core->is_up && lives->n_to_poll && lives->n_polls < MAX_POLLS &&
           !list_is_empty(&lives->ends)) {
        struct end *end = LIST_ITEM(lives->ends.next, struct end, node);
        _buf_ args = { 0 };
        list_remove(&end->node);
        list_append(&lives->ends, &end->node);
        lives->n_to_poll--;
        if (end->call)
            continue;
        lives->n_polls++;
        rpc_put_array(&args, 1);
        rpc_put_str(&args, end->id);
        end->call = port->call(port->user, "network.peer.get", buf_view(&args), CORE_CALL_TIMEOUT,
                               false, on_seen, end);
    }
}

void live_tick(struct den_core *core)
{
    struct lives *lives = core->lives;
    uint64_t now = core_mono(core);

    if (core->fatal.code != ERR_NONE)
        return;
    end_expired(core);
    if (now < lives->tick_at)
        return;
    lives->tick_at = now + core->c.beat_every;
    end_lost(core);
    if (lives->n_to_poll == 0)
        lives->n_to_poll = (size_t)min_u64(map_count(lives->by_id), MAX_ROUND);
    poll_more(lives);
}

uint64_t live_deadline(const struct den_core *core)
{
    return core->fatal.code == ERR_NONE ? min_u64(core->lives->tick_at, core->lives->expire_at)
                                        : NEVER_MS;
}

/* While the router is away nobody is known to be offline. */
void live_down(struct den_core *core)
{
    struct end *end;

    core->lives->n_to_poll = 0;
    LIST_EACH(end, &core->lives->ends, node)
        end->offline_since = NEVER_MS;
}

/* ---- den starts ---------------------------------------------------------------------------- */

static bool take_kept(void *user, const struct store_session *session)
{
    live_add(user, session, live_round(user));
    return true;
}

/* Who dialled what was still ringing when den ended got no answer then, and gets none now. */
bool live_start(struct den_core *core, struct err *err)
{
    struct live *live;

    if (!store_session_each_open(core->c.store, take_kept, core, err))
        return err_wrap(err, "sessions");
    LIST_EACH(live, &core->lives->all, node)
        if (!live->is_accepted && !end_session(core, live, "failed", "den restarted", NULL, err))
            return false;
    core->lives->tick_at = core_mono(core) + core->c.beat_every;
    return true;
}
