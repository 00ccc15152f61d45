/* SPDX-License-Identifier: Apache-2.0 */
/* Random, seeded steps against a model of what sessions leave to others: whose turn a shared
 * procedure's call is, the event that a topic keeps, testaments, and sessions that are killed.
 * WARREN_SEED and WARREN_STEPS run another. */
#include "base/text.h"
#include "tests/unit/router/app.h"

#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 5, MAX_WILLS = 8, MAX_DUE = 256, SEEDS = 10, STEPS = 2000 };

static const char *const ids[MEMBERS] = { "m0", "m1", "m2", "m3", "m4" };
static const char *const invokes[] = { "single", "roundrobin", "random", "first", "last" };

struct member {
    struct wire *wire;
    uint64_t registration, topic; /* of "p" and "t"; registration 0: does not serve */
    uint8_t wills[MAX_WILLS], due[MAX_DUE];
    size_t n_wills, n_due;
    unsigned n_turns; /* calls since anybody came or went */
};

struct model {
    struct world *w;
    struct member member[MEMBERS];
    size_t serving[MEMBERS], n_serving; /* in the order in which they came */
    const char *invoke;
    uint8_t kept, next; /* of "r": 0: nothing yet; the next number of anything */
    uint64_t keeper;    /* the session that published it: it does not get it itself */
    uint64_t seed;
    unsigned n_calls, n_refused, n_retained, n_wills, n_killed;
};

static size_t draw(struct model *m, size_t below)
{
    m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(m->seed >> 33) % below;
}

static uint8_t next_number(struct model *m)
{
    m->next = (uint8_t)(m->next % 120 + 1);
    return m->next;
}

/* ---- who is there ---------------------------------------------------------------------------- */

static void forget_turns(struct model *m)
{
    for (size_t i = 0; i < MEMBERS; i++)
        m->member[i].n_turns = 0;
}

static void serves_no_more(struct model *m, size_t who)
{
    size_t n = 0;

    if (!m->member[who].registration)
        return;
    for (size_t i = 0; i < m->n_serving; i++) {
        if (m->serving[i] != who)
            m->serving[n++] = m->serving[i];
    }
    m->n_serving = n;
    m->member[who].registration = 0;
    forget_turns(m);
}

/* Its testaments are due to everybody else, in the order in which they were made. */
static void is_gone(struct model *m, size_t who)
{
    struct member *gone = &m->member[who];

    serves_no_more(m, who);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *heir = &m->member[i];
        if (i == who || !heir->wire)
            continue;
        for (size_t k = 0; k < gone->n_wills; k++) {
            if (CHECK(heir->n_due < MAX_DUE))
                heir->due[heir->n_due++] = gone->wills[k];
        }
    }
    m->n_wills += (unsigned)gone->n_wills;
    *gone = (struct member){ 0 };
}

static void come(struct model *m, size_t who)
{
    struct member *member = &m->member[who];

    member->wire = app_join(m->w, ids[who], "admin", true);
    member->topic = app_subscribe(member->wire, "t", "exact", false);
}

static void go(struct model *m, size_t who)
{
    wire_drop(m->member[who].wire);
    is_gone(m, who);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void take_due(struct member *member)
{
    struct rpc_msg msg;

    for (size_t i = 0; i < member->n_due; i++) {
        if (!app_take(member->wire, RPC_EVENT, &msg))
            return;
        CHECK_U64(msg.event.subscription, member->topic);
        CHECK_U64(app_arg(msg.event.payload), member->due[i]);
    }
    member->n_due = 0;
}

static void check_nothing_more(struct model *m)
{
    while (router_is_behind(m->w->router))
        router_tick(m->w->router, m->w->now);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (!m->member[i].wire)
            continue;
        take_due(&m->member[i]);
        CHECK(app_is_quiet(m->member[i].wire));
        CHECK(!m->member[i].wire->is_closed);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_register(struct model *m, size_t who)
{
    const char *invoke = invokes[draw(m, N_ELEMENTS(invokes))];
    struct member *member = &m->member[who];
    bool may = !m->n_serving || (m->invoke == invoke && strcmp(invoke, "single") != 0);
    struct rpc_register ask = { .request = wire_request(member->wire),
                                .uri = VIEW_LIT("p"),
                                .invoke = view_text(invoke) };
    struct rpc_msg msg;

    wire_send(member->wire, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    if (!may || member->registration) {
        if (app_take(member->wire, RPC_ERROR, &msg))
            CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.procedure_already_exists"));
        return;
    }
    if (!app_take(member->wire, RPC_REGISTERED, &msg))
        return;
    member->registration = msg.ids.second;
    m->invoke = invoke;
    m->serving[m->n_serving++] = who;
    forget_turns(m);
}

static void step_unregister(struct model *m, size_t who)
{
    struct member *member = &m->member[who];
    struct rpc_msg msg = { .type = RPC_UNREGISTER,
                           .ids = { wire_request(member->wire), member->registration } };

    wire_send(member->wire, &msg);
    app_take(member->wire, RPC_UNREGISTERED, &msg);
    serves_no_more(m, who);
}

static size_t who_was_called(struct model *m, struct rpc_msg *ret_msg)
{
    size_t found = MEMBERS;

    for (size_t i = 0; i < m->n_serving; i++) {
        if (wire_next(m->member[m->serving[i]].wire, ret_msg)) {
            CHECK(found == MEMBERS && ret_msg->type == RPC_INVOCATION);
            found = m->serving[i];
        }
    }
    return found;
}

/* Nobody is called twice before all were once. */
static void check_round(const struct model *m)
{
    unsigned least = UINT32_MAX, most = 0;

    for (size_t i = 0; i < m->n_serving; i++) {
        unsigned n = m->member[m->serving[i]].n_turns;
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    CHECK(most - least <= 1);
}

static void step_call(struct model *m, size_t who)
{
    struct wire *caller = m->member[who].wire;
    struct rpc_msg msg;
    size_t callee;

    app_call(caller, NULL, "p", 7);
    m->n_calls++;
    if (!m->n_serving) {
        if (app_take(caller, RPC_ERROR, &msg))
            CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.no_such_procedure"));
        return;
    }
    callee = who_was_called(m, &msg);
    if (!CHECK(callee < MEMBERS))
        return;
    m->member[callee].n_turns++;
    if (strcmp(m->invoke, "last") == 0)
        CHECK_U64(callee, m->serving[m->n_serving - 1]);
    else if (strcmp(m->invoke, "roundrobin") == 0)
        check_round(m);
    else if (strcmp(m->invoke, "random") != 0)
        CHECK_U64(callee, m->serving[0]);
    if (draw(m, 8) == 0) { /* dies with it, or answers */
        go(m, callee);
        m->n_refused++;
        if (callee != who && app_take(caller, RPC_ERROR, &msg))
            CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.canceled"));
        return;
    }
    app_yield(m->member[callee].wire, msg.invocation.request, false, 9);
    if (app_take(caller, RPC_RESULT, &msg))
        CHECK_U64(app_arg(msg.result.payload), 9);
}

static void step_keep(struct model *m, size_t who)
{
    m->kept = next_number(m);
    m->keeper = m->member[who].wire->session;
    app_publish(m->member[who].wire, &(struct rpc_publish){ .retain = true }, "r", m->kept);
}

static void step_look(struct model *m, size_t who)
{
    struct wire *wire = m->member[who].wire;
    bool wants = draw(m, 2);
    struct rpc_msg msg;
    uint64_t id = app_subscribe(wire, "r", draw(m, 2) ? "exact" : "prefix", wants);

    if (wants && m->kept && wire->session != m->keeper && app_take(wire, RPC_EVENT, &msg)) {
        CHECK(msg.event.retained);
        CHECK_U64(app_arg(msg.event.payload), m->kept);
        m->n_retained++;
    }
    msg = (struct rpc_msg){ .type = RPC_UNSUBSCRIBE, .ids = { wire_request(wire), id } };
    wire_send(wire, &msg);
    app_take(wire, RPC_UNSUBSCRIBED, &msg);
}

static struct rpc_payload list_of(struct buf *to, uint32_t n)
{
    _buf_ items = buf_dup(buf_view(to));

    buf_clear(to);
    rpc_put_array(to, n);
    rpc_put_raw(to, buf_view(&items));
    return rpc_args(buf_view(to));
}

static void step_will(struct model *m, size_t who)
{
    struct member *member = &m->member[who];
    uint8_t number = next_number(m);
    _buf_ args = { 0 };
    struct rpc_msg msg;

    if (member->n_wills == MAX_WILLS || !draw(m, 6)) {
        app_ask(member->wire, "wamp.session.flush_testaments", (struct rpc_payload){ 0 }, &msg);
        member->n_wills = 0;
        return;
    }
    rpc_put_str(&args, "t");
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, number);
    rpc_put_map(&args, 0);
    app_ask(member->wire, "wamp.session.add_testament", list_of(&args, 3), &msg);
    member->wills[member->n_wills++] = number;
}

static void take_goodbye(struct model *m, size_t who)
{
    struct rpc_msg msg;

    if (app_take(m->member[who].wire, RPC_GOODBYE, &msg))
        CHECK_VIEW(msg.goodbye.reason, VIEW_LIT("wamp.close.killed"));
    CHECK(m->member[who].wire->is_closed);
    wire_drop(m->member[who].wire);
    is_gone(m, who);
    m->n_killed++;
}

static void step_kill(struct model *m, size_t who)
{
    size_t victim = draw(m, MEMBERS);
    struct wire *wire = m->member[who].wire;
    _buf_ args = { 0 };
    struct rpc_call call = { 0 };
    struct rpc_msg msg;
    bool may = victim != who && m->member[victim].wire;

    rpc_put_u64(&args, m->member[victim].wire ? m->member[victim].wire->session : 1);
    call = (struct rpc_call){ .request = wire_request(wire),
                              .procedure = VIEW_LIT("wamp.session.kill"),
                              .payload = list_of(&args, 1) };
    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    if (!may) { /* nobody, or itself */
        if (app_take(wire, RPC_ERROR, &msg))
            CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.no_such_session"));
        return;
    }
    while (router_is_behind(m->w->router))
        router_tick(m->w->router, m->w->now);
    take_goodbye(m, victim);
    take_due(&m->member[who]); /* what it left comes before the answer */
    app_take(wire, RPC_RESULT, &msg);
}

static void step(struct model *m)
{
    size_t who = draw(m, MEMBERS), what = draw(m, 100);

    m->w->now.mono++; /* what waited for a slice gets one */
    m->w->now.wall++;
    if (!m->member[who].wire)
        come(m, who);
    else if (what < 3)
        go(m, who);
    else if (what < 6)
        step_kill(m, who);
    else if (what < 20)
        step_register(m, who);
    else if (what < 26 && m->member[who].registration)
        step_unregister(m, who);
    else if (what < 60)
        step_call(m, who);
    else if (what < 66)
        step_keep(m, who);
    else if (what < 80)
        step_look(m, who);
    else
        step_will(m, who);
    check_nothing_more(m);
}

static void run(uint64_t seed, uint64_t n_steps)
{
    struct model m = { .seed = seed * 7919 + 1 };
    const struct realm *realm;

    m.w = app_world("profile = standard\n");
    for (uint64_t i = 0; i < n_steps && !check_n_failed(); i++)
        step(&m);
    printf("# seed %llu: %u calls, %u left with one, %u kept events, %u testaments, %u killed\n",
           (unsigned long long)seed, m.n_calls, m.n_refused, m.n_retained, m.n_wills, m.n_killed);
    CHECK(m.n_refused && m.n_retained && m.n_wills && m.n_killed);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (m.member[i].wire)
            go(&m, i);
    }
    realm = m.w->router->realms[1];
    CHECK_U64(dealer_n_calls(realm->dealer), 0);
    CHECK_U64(dealer_n_registrations(realm->dealer), 0);
    CHECK_U64(broker_n_subscriptions(realm->broker), 0);
    CHECK_U64(map_count(realm->by_session), 0);
    world_free(m.w);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && text_read_u64(view_text(text), &n) ? n : otherwise;
}

TEST(what_sessions_leave_to_others)
{
    uint64_t seed = from_env("WARREN_SEED", 0), n_steps = from_env("WARREN_STEPS", STEPS);

    for (uint64_t i = seed ? seed : 1; i <= (seed ? seed : SEEDS); i++)
        run(i, n_steps);
}
