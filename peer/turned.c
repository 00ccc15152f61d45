/* SPDX-License-Identifier: Apache-2.0 */
/* A session's way through the network's TURN servers. The first try is made with the credential that came with the session; it delays
 * nothing of the direct path, and stays ready when that one carries. An allocation belongs to the addresses that it was made from, so
 * another network, or a NAT that forgot, ends it: then there is another try, with a fresh credential of den's at both ends. Tries are
 * numbered as those at a direct path are (restart.c): who hears of a higher number makes that one too. Not where a direct path is: what
 * stands in for that one at once is the relay. */
#include "peer/turn_try.h"

#include <stdio.h>

enum {
    ASK_MS = 10000,
    SETTLE_MS = 2000,   /* of what may come back by itself */
    TRY_MS = 15000,     /* RFC 8445's checks give up before */
    STEADY_MS = 10000,  /* who lived so long is believed again */
    STRAGGLE_MS = 1000, /* of packets that are under way over the one before */
    LEAST_PAUSE_MS = 10 * 1000,
    LEAST_AGAIN_MS = 1000,
    MOST_PAUSE_MS = 900 * 1000,
    MAX_FAILURES = 8,
    WINDOW_MS = 60 * 1000,
    MAX_IN_WINDOW = 4, /* that the other end makes us begin: each costs a credential */
    MAX_JUMP = 1000000,
};

struct turned {
    struct session *session;
    struct ice_turn first; /* wiped when the agent has it */
    bool has_servers;
    uint64_t number;          /* of the newest try, whichever end began it */
    struct turn_try *current; /* NULL: it failed */
    struct turn_try *next;    /* under way */
    uint64_t call;            /* den.session.turn; 0: none is under way */
    bool is_wanted;           /* at once: the machine's network is another one */
    bool is_first_over;       /* it came to something, or failed */
    uint64_t not_wanted_before;
    unsigned n_failures, n_lost,
        n_heard;                  /* n_lost: questions in a row; n_heard: since heard_since */
    uint64_t begun_at, proved_at; /* the newest try; clock_mono_ms(), 0: it is not */
    uint64_t lost_at, found_at;   /* a path that is as good as this one; likewise */
    uint64_t not_before, heard_since;
    struct loop_timer *timer;
};

static bool is_allowed(const struct session *session)
{
    return session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_TURN;
}

static void on_timer(void *user)
{
    struct session *session = user;

    turned_look(session);
    session_pump(session);
}

/* Updates may come before den's answer: then there is nothing but them. */
static struct turned *get(struct session *session)
{
    struct turned *turned = session->turned;

    if (!turned) {
        turned = session->turned = mem_new(struct turned);
        turned->session = session;
        turned->current = turn_try_new(session, 0);
        turned->timer = loop_timer_new(session->core->loop, on_timer, session);
    }
    return turned;
}

void turned_end(struct session *session)
{
    struct turned *turned = STEAL(session->turned);

    if (!turned)
        return;
    if (turned->call && session->core->client)
        rpc_client_forget(session->core->client, turned->call);
    turn_try_free(turned->current);
    turn_try_free(turned->next);
    ice_turn_wipe(&turned->first);
    loop_timer_free(turned->timer);
    free(turned);
}

void turned_soon(struct session *session)
{
    if (session->turned)
        loop_timer_in(session->turned->timer, 0);
}

/* ---- den's credential ------------------------------------------------------------------------ */

static void copy(struct view text, char *to, size_t size)
{
    snprintf(to, size, "%.*s", VIEW_FMT(text));
}

/* False: there is none. */
static bool read_turn(struct core *core, struct view value, struct ice_turn *to)
{
    struct rpc_turn_server server;
    struct rpc_turn turn;
    struct err ignored;

    if (rpc_value_kind(value) == RPC_NIL || !rpc_turn_read(value, &turn, &ignored))
        return false;
    copy(turn.username, to->username, sizeof(to->username));
    copy(turn.password, to->password, sizeof(to->password));
    for (to->n_servers = 0; to->n_servers < turn.n_uris && to->n_servers < ICE_MAX_TURN;) {
        struct ice_turn_server *at = &to->servers[to->n_servers];
        if (!rpc_turn_uri_read(turn.uris[to->n_servers], &server, &ignored))
            break; /* rpc_turn_read() left these out */
        copy(server.host, at->host, sizeof(at->host));
        at->port = server.port;
        at->is_tcp = server.transport == RPC_TURN_TCP;
        if (!at->is_tcp)
            nat_take_second(core, at->host, at->port);
        to->n_servers++;
    }
    return to->n_servers > 0;
}

void turned_take(struct session *session, struct view value)
{
    struct ice_turn turn = { 0 };

    if (is_allowed(session) && read_turn(session->core, value, &turn)) {
        get(session)->first = turn;
        session->turned->has_servers = true;
    }
    ice_turn_wipe(&turn);
}

void turned_begin(struct session *session)
{
    struct turned *turned = session->turned;

    /* Where policy names other paths alone, what den gave is not even asked with. */
    if (!turned || !turned->current || turn_try_has_begun(turned->current) ||
        turned->first.n_servers == 0 || !is_allowed(session))
        return;
    turned->begun_at = clock_mono_ms();
    turn_try_begin(turned->current, &turned->first);
    ice_turn_wipe(&turned->first);
}

/* ---- another try --------------------------------------------------------------------------------- */

/* It grows with each failure, and no two machines keep step. */
static uint64_t pause_after(uint64_t least, unsigned n_failures)
{
    uint64_t pause = min_u64(least << n_failures, MOST_PAUSE_MS);

    return pause - pause / 4 + random_below((uint32_t)(pause / 2));
}

static void note_failure(struct turned *turned)
{
    turned->not_before = clock_mono_ms() + pause_after(LEAST_PAUSE_MS, turned->n_failures);
    turned->n_failures += turned->n_failures < MAX_FAILURES;
}

static void drop_next(struct turned *turned)
{
    turn_try_free(STEAL(turned->next));
    note_failure(turned);
}

static void give_up(struct turned *turned)
{
    turn_try_tell_failed(turned->next);
    drop_next(turned);
}

/* The connection to the router went with the network: once more, under the same number, as soon as there is one. Where that does not
 * help it is asked ever more rarely: what is asked may be why the connection goes. */
static void put_off(struct turned *turned)
{
    turn_try_free(STEAL(turned->next));
    turned->number--;
    turned->is_wanted = true;
    turned->not_wanted_before = 0;
    if (turned->n_lost > 0)
        turned->not_wanted_before =
            clock_mono_ms() + pause_after(LEAST_AGAIN_MS, turned->n_lost - 1);
    turned->n_lost += turned->n_lost < MAX_FAILURES;
}

static void on_credential(void *user, const struct rpc_outcome *outcome)
{
    struct session *session = user;
    struct turned *turned = session->turned;
    struct ice_turn turn = { 0 };
    struct rpc_fields f;

    if (outcome->what == RPC_PROGRESS)
        return;
    turned->call = 0;
    turned->n_lost = rpc_outcome_is_cut(outcome) ? turned->n_lost : 0;
    if (!turned->next || session->state != SESSION_UP)
        return;
    if (outcome->what != RPC_FAILED) {
        rpc_fields_open(&f, rpc_payload_args(outcome->payload));
        read_turn(session->core, rpc_fields_value(&f, "TURN"), &turn);
    }
    if (turn.n_servers)
        turn_try_begin(turned->next, &turn);
    else if (rpc_outcome_is_cut(outcome))
        put_off(turned);
    else
        give_up(turned);
    ice_turn_wipe(&turn);
}

static bool ask_den(struct turned *turned)
{
    struct session *session = turned->session;
    struct core *core = session->core;
    _buf_ body = { 0 }, args = { 0 };
    struct err ignored;

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, VIEW_ARR(session->sid));
    if (!core->is_up || !core->client ||
        !identity_put_request(core, "den.session.turn", buf_view(&body), &args, &ignored))
        return false;
    turned->call = rpc_client_call(core->client, clock_mono_ms(), "den.session.turn",
                                   buf_view(&args), ASK_MS, false, on_credential, session);
    core_flush_soon(core);
    return true;
}

static void begin(struct turned *turned, uint64_t number)
{
    if (turned->current && turn_try_has_failed(turned->current))
        turn_try_free(STEAL(turned->current));
    turn_try_free(turned->next);
    turned->next = turn_try_new(turned->session, number);
    turned->number = number;
    turned->is_wanted = false;
    turned->begun_at = clock_mono_ms();
    turned->proved_at = 0;
    if (!turned->call && !ask_den(turned)) /* else the answer is for this one */
        give_up(turned);
}

/* The new one is proved by both ends: it is the one now. */
static void adopt(struct turned *turned)
{
    turn_try_free(turned->current);
    turned->current = STEAL(turned->next);
}

static void look_at_next(struct turned *turned, uint64_t now)
{
    struct turn_try *next = turned->next;

    if (turn_try_is_alive(next)) {
        turned->proved_at = turned->proved_at ? turned->proved_at : now;
        if (now - turned->proved_at >= STRAGGLE_MS)
            adopt(turned);
        else
            loop_timer_in(turned->timer, STRAGGLE_MS);
    } else if (turn_try_has_failed(next) || now - turned->begun_at >= TRY_MS) {
        give_up(turned);
    } else {
        turn_try_tell(next);
    }
}

/* How it stands with this path, and with a better one. */
static void note_path(struct turned *turned, uint64_t now)
{
    const struct path *path = turned->session->path;
    uint64_t silent = path_silent_for(path) / 1000000;

    turned->is_first_over |= path_has_carrier(path, PATH_TURN);
    if (silent < SETTLE_MS &&
        (path_has_carrier(path, PATH_TURN) || path_has_carrier(path, PATH_DIRECT))) {
        turned->lost_at = 0;
        turned->found_at = turned->found_at ? turned->found_at : now;
        if (now - turned->found_at >= STEADY_MS)
            turned->n_failures = 0;
    } else {
        turned->found_at = 0;
        turned->lost_at = turned->lost_at ? turned->lost_at : now - silent;
    }
}

/* The one that the session was opened with has time to come to something, and then to come again. */
static bool is_first_at_it(struct turned *turned, uint64_t now)
{
    if (turned->number > 0 || turned->is_first_over)
        return false;
    if (turn_try_has_begun(turned->current) && now - turned->begun_at < TRY_MS)
        return true;
    turned->is_first_over = true;
    note_failure(turned);
    return true;
}

static bool is_due(struct turned *turned, uint64_t now)
{
    bool has_better = turned->lost_at == 0 && path_has_carrier(turned->session->path, PATH_DIRECT);

    turned->is_wanted &= !has_better;
    if (!turned->session->core->is_up)
        return false;
    if (turned->is_wanted)
        return now >= turned->not_wanted_before;
    return !turned->next && turned->lost_at && now - turned->lost_at >= SETTLE_MS &&
           !is_first_at_it(turned, now) && now >= turned->not_before;
}

void turned_look(struct session *session)
{
    struct turned *turned = session->turned;
    uint64_t now = clock_mono_ms();

    if (!turned)
        return;
    if (turned->current)
        turn_try_tell(turned->current);
    if (session->state != SESSION_UP || !turned->has_servers || !is_allowed(session))
        return;
    if (turned->next)
        look_at_next(turned, now);
    note_path(turned, now);
    if (is_due(turned, now))
        begin(turned, turned->number + 1);
}

/* The allocation was made from an address that may be gone. */
void turned_wish(struct session *session)
{
    struct turned *turned = session->turned;
    struct path_facts facts = { 0 };

    if (!turned)
        return;
    turned->is_wanted =
        session->state == SESSION_UP &&
        (turned->next || (path_facts(session->path, &facts) && facts.kind == PATH_TURN));
    turned->is_first_over = true; /* what failed in the other network says nothing of this one */
    turned->n_failures = turned->n_lost = 0;
    turned->not_before = turned->not_wanted_before = 0;
    turned_soon(session);
}

/* ---- what the other end says ----------------------------------------------------------------------- */

static bool is_too_often(struct turned *turned)
{
    uint64_t now = clock_mono_ms();

    if (now - turned->heard_since >= WINDOW_MS) {
        turned->heard_since = now;
        turned->n_heard = 0;
    }
    return ++turned->n_heard > MAX_IN_WINDOW;
}

static bool may_begin(struct turned *turned, uint64_t number)
{
    const struct session *session = turned->session;

    return session->state == SESSION_UP && turned->has_servers && is_allowed(session) &&
           number - turned->number <= MAX_JUMP && !is_too_often(turned);
}

/* What is left of it here finds nobody. */
static void they_gave_up(struct turned *turned, uint64_t number)
{
    if (turned->next && turn_try_number(turned->next) == number)
        drop_next(turned);
}

void turned_update(struct session *session, struct view list, struct view more)
{
    struct turned *turned = get(session);
    uint64_t number = 0;

    rpc_map_u64(more, "try", &number);
    if (rpc_map_bool(more, "failed")) {
        they_gave_up(turned, number);
        return;
    }
    if (number > turned->number && may_begin(turned, number))
        begin(turned, number);
    if (turned->next && turn_try_number(turned->next) == number)
        turn_try_take(turned->next, list, more);
    else if (turned->current && turn_try_number(turned->current) == number)
        turn_try_take(turned->current, list, more);
    turned_soon(session);
}

bool turned_has_candidate(const struct session *session)
{
    const struct turned *turned = session->turned;

    return turned &&
           (turn_try_has_candidate(turned->next) || turn_try_has_candidate(turned->current));
}

bool turned_may_come(const struct session *session)
{
    return session->turned && turn_try_has_begun(session->turned->current);
}
