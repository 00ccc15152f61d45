/* SPDX-License-Identifier: Apache-2.0 */
/* Random, seeded steps of several sessions in one realm against a model of what has to hold:
 * every call has exactly one last answer unless its caller left, it reached a session that serves
 * the best match, calls between two sessions stay in order, events reach exactly those who listen
 * and may, in slices of any size but always before whatever is sent to the same session later, and
 * nothing is held for those who are gone. WARREN_SEED and WARREN_STEPS run another. */
#include "base/text.h"
#include "tests/unit/router/app.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MEMBERS = 6,
    MAX_HELD = 16,
    MAX_INVS = 4096,
    MAX_DUE = 4096,
    MAX_CALLS = 200000,
    SEEDS = 8,
    STEPS = 3000
};

static const char *const uris[] = { "a", "a.b", "a.b.c", "a.bc", "b.b", "b.c.d", "a.x.c" };
static const struct {
    const char *match, *uri;
} patterns[] = {
    { "exact", "a" },      { "exact", "a.b" },   { "exact", "b.b" },     { "prefix", "a" },
    { "prefix", "a.b" },   { "prefix", "b." },   { "wildcard", "a..c" }, { "wildcard", ".b" },
    { "wildcard", "..c" }, { "wildcard", "a." },
};
static const char *const invokes[] = { "single", "roundrobin", "first", "last" }; /* no dice */
static const char *const modes[] = { "skip", "kill", "killnowait", "" };
static const char *const roles[] = { "red", "blue" };
static const char *const ids[MEMBERS] = { "m0", "m1", "m2", "m3", "m4", "m5" };

struct held { /* a registration or a subscription */
    uint64_t id;
    size_t pattern;
};
struct inv {
    uint64_t number;
    size_t call;
};
struct member {
    struct wire *wire; /* NULL: away */
    bool is_able;
    uint64_t generation; /* of this session */
    struct held regs[MAX_HELD], subs[MAX_HELD];
    struct inv invs[MAX_INVS];
    size_t n_regs, n_subs, n_invs;
    size_t last_call_of[MEMBERS]; /* that was given to this session, by caller */
    uint64_t due[MAX_DUE];        /* publications whose events have to come, in order */
    size_t n_due;
};
struct call {
    size_t caller;
    uint64_t generation, request, n_answers;
    uint64_t callee_generation; /* of whom it went to; 0: nobody yet */
    uint64_t next_chunk;
    bool is_open, wants_progress, was_refused, was_moved;
    struct view best; /* the pattern whose turn it was: of our tables */
    const char *best_match;
    size_t n_serving; /* how many served it */
};
struct model {
    struct world *w;
    struct member member[MEMBERS];
    struct call *calls;
    size_t n_calls;
    uint64_t last_generation, seed;
    bool moves; /* callees say `unavailable`: order is not kept then */
    uint64_t publication;
    unsigned n_delivered, n_waited, n_results, n_errors, n_progress, n_chunks;
};

static uint64_t draw(struct model *m, uint64_t below)
{
    m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (m->seed >> 33) % below;
}

/* ---- what matches, told in another way than router/match.c does ------------------------------ */

static size_t split(const char *uri, char parts[8][16])
{
    size_t n = 0, len = 0;

    for (;; uri++) {
        if (*uri && *uri != '.') {
            parts[n][len++] = *uri;
            continue;
        }
        parts[n++][len] = '\0';
        len = 0;
        if (!*uri)
            return n;
    }
}

static bool wildcard_fits(const char *pattern, const char *uri)
{
    char a[8][16], b[8][16];
    size_t n = split(pattern, a);

    if (n != split(uri, b))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (*a[i] && strcmp(a[i], b[i]) != 0)
            return false;
    }
    return true;
}

static bool fits(size_t pattern, const char *uri)
{
    const char *text = patterns[pattern].uri;

    if (strcmp(patterns[pattern].match, "exact") == 0)
        return strcmp(text, uri) == 0;
    if (strcmp(patterns[pattern].match, "prefix") == 0)
        return strncmp(text, uri, strlen(text)) == 0;
    return wildcard_fits(text, uri);
}

/* Higher goes first: exact, longer prefixes, then wildcards by where their gaps are. */
static unsigned rank(size_t pattern)
{
    char parts[8][16];
    unsigned gaps = 0;
    size_t n;

    if (strcmp(patterns[pattern].match, "exact") == 0)
        return 100000;
    if (strcmp(patterns[pattern].match, "prefix") == 0)
        return 10000 + (unsigned)strlen(patterns[pattern].uri);
    n = split(patterns[pattern].uri, parts);
    for (size_t i = 0; i < 8; i++)
        gaps = gaps * 2 + (i < n && *parts[i]);
    return gaps;
}

static size_t best_of(const struct model *m, const char *uri, size_t *ret_n)
{
    size_t best = SIZE_MAX;

    *ret_n = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        for (size_t k = 0; k < m->member[i].n_regs; k++) {
            size_t pattern = m->member[i].regs[k].pattern;
            if (!fits(pattern, uri))
                continue;
            if (best == SIZE_MAX || rank(pattern) > rank(best)) {
                best = pattern;
                *ret_n = 0;
            }
            *ret_n += pattern == best;
        }
    }
    return best;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void two(struct buf *to, uint64_t a, uint64_t b)
{
    rpc_put_array(to, 2);
    rpc_put_u64(to, a);
    rpc_put_u64(to, b);
}

static bool read_two(struct rpc_payload payload, uint64_t *ret_a, uint64_t *ret_b)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    *ret_a = rpc_fields_u64(&f, "a");
    *ret_b = rpc_fields_u64(&f, "b");
    return !f.has_failed;
}

static void on_invocation(struct model *m, size_t who, const struct rpc_invocation *in)
{
    struct member *callee = &m->member[who];
    uint64_t number, chunk;
    struct call *call;
    bool serves = false;

    if (!CHECK(read_two(in->payload, &number, &chunk) && number < m->n_calls))
        return;
    call = &m->calls[number];
    CHECK(!call->n_answers && !call->was_refused);
    CHECK(m->member[call->caller].wire && m->member[call->caller].generation == call->generation);
    if (chunk) { /* more of it: where it began */
        CHECK_U64(call->callee_generation, callee->generation);
        CHECK_U64(chunk, call->next_chunk);
        call->next_chunk++;
        m->n_chunks++;
        return;
    }
    for (size_t k = 0; k < callee->n_regs; k++)
        serves |= callee->regs[k].id == in->registration &&
                  view_eq_text(call->best, patterns[callee->regs[k].pattern].uri) &&
                  strcmp(call->best_match, patterns[callee->regs[k].pattern].match) == 0;
    CHECK(serves || call->was_moved);
    CHECK(!call->callee_generation || call->was_moved);
    if (!m->moves) {
        CHECK(callee->last_call_of[call->caller] < number + 1);
        callee->last_call_of[call->caller] = number + 1;
    }
    call->callee_generation = callee->generation;
    call->next_chunk = 1;
    if (CHECK(callee->n_invs < MAX_INVS))
        callee->invs[callee->n_invs++] = (struct inv){ in->request, number };
}

static void forget_inv(struct member *member, size_t at)
{
    member->invs[at] = member->invs[--member->n_invs];
}

static void on_interrupt(struct model *m, size_t who, const struct rpc_interrupt *in)
{
    struct member *callee = &m->member[who];

    CHECK(callee->is_able);
    CHECK(in->request <= callee->wire->conn->last_invocation);
    if (draw(m, 2)) /* some do as they are told, some answer all the same */
        return;
    for (size_t i = 0; i < callee->n_invs; i++) {
        if (callee->invs[i].number != in->request || view_eq_text(in->mode, "kill"))
            continue;
        forget_inv(callee, i);
        return;
    }
}

static struct call *find_call(struct model *m, size_t who, uint64_t request)
{
    for (size_t i = m->n_calls; i-- > 0;) {
        struct call *call = &m->calls[i];
        if (call->caller == who && call->generation == m->member[who].generation &&
            call->request == request)
            return call;
    }
    return NULL;
}

static void on_answer(struct model *m, size_t who, uint64_t request, bool is_last)
{
    struct call *call = find_call(m, who, request);

    if (!CHECK(call != NULL) || !CHECK(call->n_answers == 0))
        return;
    if (is_last) {
        call->n_answers++;
        return;
    }
    CHECK(call->wants_progress);
    m->n_progress++;
}

/* The next that is due, of a subscription that it has. */
static void on_event(struct model *m, struct member *member, const struct rpc_event *event)
{
    uint64_t number, ignored;
    bool is_held = false;

    if (!CHECK(read_two(event->payload, &number, &ignored)) || !CHECK(member->n_due > 0))
        return;
    CHECK_U64(number, member->due[0]);
    memmove(member->due, member->due + 1, --member->n_due * sizeof(member->due[0]));
    for (size_t i = 0; i < member->n_subs; i++)
        is_held |= member->subs[i].id == event->subscription;
    CHECK(is_held);
    m->n_delivered++;
}

static void drain(struct model *m, size_t who)
{
    struct member *member = &m->member[who];
    struct rpc_msg msg;

    while (member->wire && wire_next(member->wire, &msg)) {
        if (msg.type != RPC_EVENT)
            CHECK_U64(member->n_due, 0); /* it was sent later than they were published */
        switch (msg.type) {
        case RPC_INVOCATION:
            on_invocation(m, who, &msg.invocation);
            break;
        case RPC_INTERRUPT:
            on_interrupt(m, who, &msg.interrupt);
            break;
        case RPC_RESULT:
            m->n_results += !msg.result.progress;
            on_answer(m, who, msg.result.request, !msg.result.progress);
            break;
        case RPC_ERROR:
            if (!CHECK(msg.error.request_type == RPC_CALL))
                break;
            m->n_errors++;
            on_answer(m, who, msg.error.request, true);
            break;
        case RPC_EVENT:
            on_event(m, member, &msg.event);
            break;
        default:
            check_failed(__FILE__, __LINE__, "%s came", rpc_type_name(msg.type));
        }
    }
    if (member->wire)
        CHECK(!member->wire->is_closed);
}

static void drain_all(struct model *m)
{
    for (size_t i = 0; i < MEMBERS; i++)
        drain(m, i);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void come(struct model *m, size_t who)
{
    struct member *member = &m->member[who];

    *member = (struct member){ .is_able = draw(m, 3) != 0, .generation = ++m->last_generation };
    member->wire = app_join(m->w, ids[who], roles[who % 2], member->is_able);
}

static void go(struct model *m, size_t who)
{
    wire_drop(m->member[who].wire);
    m->member[who] = (struct member){ 0 };
}

/* Behind the events that were waiting. */
static bool answer_of(struct model *m, struct member *member, struct rpc_msg *ret_msg)
{
    while (CHECK(wire_next(member->wire, ret_msg))) {
        if (ret_msg->type != RPC_EVENT)
            return CHECK_U64(member->n_due, 0);
        on_event(m, member, &ret_msg->event);
    }
    return false;
}

static void step_register(struct model *m, struct member *member)
{
    size_t pattern = draw(m, N_ELEMENTS(patterns));
    struct rpc_register ask = { .request = wire_request(member->wire),
                                .uri = view_text(patterns[pattern].uri),
                                .match = view_text(patterns[pattern].match),
                                .invoke = view_text(invokes[draw(m, N_ELEMENTS(invokes))]) };
    struct rpc_msg msg;

    wire_send(member->wire, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    if (answer_of(m, member, &msg) && msg.type == RPC_REGISTERED)
        member->regs[member->n_regs++] = (struct held){ msg.ids.second, pattern };
}

static void step_unregister(struct model *m, struct member *member)
{
    size_t at = draw(m, member->n_regs);
    struct rpc_msg msg = { .type = RPC_UNREGISTER,
                           .ids = { wire_request(member->wire), member->regs[at].id } };

    wire_send(member->wire, &msg);
    CHECK(answer_of(m, member, &msg) && msg.type == RPC_UNREGISTERED);
    member->regs[at] = member->regs[--member->n_regs];
}

static void step_subscribe(struct model *m, struct member *member)
{
    size_t pattern = draw(m, N_ELEMENTS(patterns));
    struct rpc_register ask = { .request = wire_request(member->wire),
                                .uri = view_text(patterns[pattern].uri),
                                .match = view_text(patterns[pattern].match) };
    struct rpc_msg msg;
    uint64_t id;

    wire_send(member->wire, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
    if (!answer_of(m, member, &msg) || !CHECK(msg.type == RPC_SUBSCRIBED))
        return;
    id = msg.ids.second;
    for (size_t i = 0; i < member->n_subs; i++) {
        if (member->subs[i].pattern != pattern)
            continue;
        CHECK_U64(id, member->subs[i].id);
        return;
    }
    member->subs[member->n_subs++] = (struct held){ id, pattern };
}

static void step_unsubscribe(struct model *m, struct member *member)
{
    size_t at = draw(m, member->n_subs);
    struct rpc_msg msg = { .type = RPC_UNSUBSCRIBE,
                           .ids = { wire_request(member->wire), member->subs[at].id } };

    wire_send(member->wire, &msg);
    CHECK(answer_of(m, member, &msg) && msg.type == RPC_UNSUBSCRIBED);
    member->subs[at] = member->subs[--member->n_subs];
}

static void send_part(struct member *member, const struct call *call, size_t number,
                      const char *uri, uint64_t chunk, uint64_t timeout)
{
    struct rpc_call ask = { .request = call->request,
                            .timeout = timeout,
                            .receive_progress = call->wants_progress,
                            .progress = call->is_open,
                            .procedure = view_text(uri) };
    _buf_ args = { 0 };

    two(&args, number, chunk);
    ask.payload = rpc_args(buf_view(&args));
    wire_send(member->wire, &(struct rpc_msg){ .type = RPC_CALL, .call = ask });
}

static void step_call(struct model *m, size_t who)
{
    struct member *member = &m->member[who];
    const char *uri = uris[draw(m, N_ELEMENTS(uris))];
    struct call *call = &m->calls[m->n_calls++];
    size_t best;

    *call = (struct call){ .caller = who,
                           .generation = member->generation,
                           .request = wire_request(member->wire),
                           .is_open = member->is_able && draw(m, 4) == 0,
                           .wants_progress = draw(m, 2) };
    best = best_of(m, uri, &call->n_serving);
    if (best != SIZE_MAX) {
        call->best = view_text(patterns[best].uri);
        call->best_match = patterns[best].match;
    }
    send_part(member, call, m->n_calls - 1, uri, 0, draw(m, 3) ? 0 : 1 + draw(m, 5000));
    drain_all(m);
    if (best == SIZE_MAX)
        CHECK_U64(call->n_answers, 1); /* nobody serves it */
    else
        CHECK(call->callee_generation || call->n_answers); /* it is somewhere, or was refused */
}

static struct call *some_call(struct model *m, size_t who, bool is_open, size_t *ret_number)
{
    for (size_t i = 0; i < 64 && i < m->n_calls; i++) {
        size_t number = m->n_calls - 1 - i;
        struct call *call = &m->calls[number];
        if (call->caller != who || call->generation != m->member[who].generation ||
            (is_open && !call->is_open) || (call->n_answers && draw(m, 8)) || draw(m, 2))
            continue;
        *ret_number = number;
        return call;
    }
    return NULL;
}

static void step_chunk(struct model *m, size_t who)
{
    size_t number;
    struct call *call = some_call(m, who, true, &number);

    if (!call)
        return;
    call->is_open = draw(m, 4);
    send_part(&m->member[who], call, number, "a", call->next_chunk, 0);
    if (call->n_answers) /* it was over, and this was dropped */
        return;
    drain_all(m);
}

static void step_cancel(struct model *m, size_t who)
{
    size_t number;
    const struct call *call = some_call(m, who, false, &number);
    const char *mode = modes[draw(m, N_ELEMENTS(modes))];

    if (!call)
        return;
    wire_send(
        m->member[who].wire,
        &(struct rpc_msg){ .type = RPC_CANCEL, .cancel = { call->request, view_text(mode) } });
    drain_all(m);
    if (strcmp(mode, "kill") != 0)
        CHECK_U64(call->n_answers, 1);
}

static void step_answer(struct model *m, struct member *member)
{
    size_t at = draw(m, member->n_invs);
    struct inv inv = member->invs[at];

    switch (draw(m, m->moves ? 5 : 4)) {
    case 0:
        app_yield(member->wire, inv.number, true, 1);
        return;
    case 1:
        forget_inv(member, at);
        app_refuse(member->wire, inv.number, "app.no");
        return;
    case 4:
        forget_inv(member, at);
        m->calls[inv.call].was_moved = true;
        app_refuse(member->wire, inv.number, "wamp.error.unavailable");
        return;
    default:
        forget_inv(member, at);
        app_yield(member->wire, inv.number, false, 2);
    }
}

static void put_list(struct model *m, struct buf *to, bool chosen[MEMBERS])
{
    uint32_t n = 0;

    for (size_t i = 0; i < MEMBERS; i++) {
        chosen[i] = draw(m, 2);
        n += chosen[i];
    }
    rpc_put_array(to, n);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (chosen[i])
            rpc_put_str(to, ids[i]);
    }
}

/* Who has nothing waiting in the router has had all that was due. */
static void check_no_more_wait(const struct model *m)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (m->member[i].wire && list_is_empty(&m->member[i].wire->conn->waiting))
            CHECK_U64(m->member[i].n_due, 0);
    }
}

/* Another slice of what waits, or all of them. */
static void step_tick(struct model *m)
{
    do {
        router_tick(m->w->router, m->w->now);
        drain_all(m);
        check_no_more_wait(m);
    } while (draw(m, 3) && router_is_behind(m->w->router));
}

static void step_publish(struct model *m, size_t who)
{
    const char *uri = uris[draw(m, N_ELEMENTS(uris))];
    struct rpc_publish ask = { .request = wire_request(m->member[who].wire),
                               .topic = view_text(uri),
                               .include_me = draw(m, 2) };
    bool eligible[MEMBERS], excluded[MEMBERS], has_eligible = draw(m, 2), has_excluded = draw(m, 2);
    bool is_red_only = draw(m, 4) == 0;
    _buf_ args = { 0 };
    struct buf lists[3] = { 0 };

    put_list(m, &lists[0], eligible);
    put_list(m, &lists[1], excluded);
    rpc_put_array(&lists[2], 1);
    rpc_put_str(&lists[2], "blue");
    if (has_eligible)
        ask.eligible_authid = buf_view(&lists[0]);
    if (has_excluded)
        ask.exclude_authid = buf_view(&lists[1]);
    if (is_red_only)
        ask.exclude_authrole = buf_view(&lists[2]);
    drain_all(m);
    m->w->now.mono += draw(m, 2); /* another slice may begin, though the last was not worked off */
    two(&args, ++m->publication, 0);
    ask.payload = rpc_args(buf_view(&args));
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *member = &m->member[i];
        bool may = (i != who || ask.include_me) && (!has_eligible || eligible[i]) &&
                   (!has_excluded || !excluded[i]) && (!is_red_only || i % 2 == 0);
        unsigned wanted = 0;
        for (size_t k = 0; k < member->n_subs; k++)
            wanted += may && fits(member->subs[k].pattern, uri);
        while (wanted-- && CHECK(member->n_due < MAX_DUE))
            member->due[member->n_due++] = m->publication;
    }
    wire_send(m->member[who].wire, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    drain_all(m);
    m->n_waited += router_is_behind(m->w->router);
    check_no_more_wait(m);
    for (size_t i = 0; i < N_ELEMENTS(lists); i++)
        buf_free(&lists[i]);
}

static void step(struct model *m)
{
    size_t who = draw(m, MEMBERS), what = draw(m, 106);
    struct member *member = &m->member[who];

    if (!member->wire)
        come(m, who);
    else if (what < 2)
        go(m, who);
    else if (what < 14 && member->n_regs < 8)
        step_register(m, member);
    else if (what < 18 && member->n_regs)
        step_unregister(m, member);
    else if (what < 24)
        step_subscribe(m, member);
    else if (what < 28 && member->n_subs)
        step_unsubscribe(m, member);
    else if (what < 50 && m->n_calls < MAX_CALLS)
        step_call(m, who);
    else if (what < 60)
        step_chunk(m, who);
    else if (what < 64)
        step_cancel(m, who);
    else if (what < 70)
        world_pass(m->w, draw(m, 3000));
    else if (what < 80)
        step_publish(m, who);
    else if (what >= 100)
        step_tick(m);
    else if (member->n_invs)
        step_answer(m, member);
    drain_all(m);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void check_answers(const struct model *m)
{
    for (size_t i = 0; i < m->n_calls; i++) {
        const struct call *call = &m->calls[i];
        if (m->member[call->caller].generation == call->generation && call->n_answers != 1)
            check_failed(__FILE__, __LINE__, "call %zu has %llu last answers", i,
                         (unsigned long long)call->n_answers);
    }
}

static void check_empty(const struct model *m)
{
    const struct realm *realm = m->w->router->realms[1];

    CHECK_U64(dealer_n_calls(realm->dealer), 0);
    CHECK_U64(dealer_n_registrations(realm->dealer), 0);
    CHECK_U64(broker_n_subscriptions(realm->broker), 0);
    CHECK_U64(map_count(realm->by_session), 0);
    for (size_t i = 0; i < N_ELEMENTS(uris); i++)
        CHECK(!dealer_serves(realm->dealer, view_text(uris[i])) &&
              !broker_is_heard(realm->broker, uris[i]));
    CHECK(router_deadline(m->w->router) == NEVER_MS);
    CHECK(m->w->router->backlog.n == 0 && m->w->router->backlog.bytes == 0);
}

static void run(uint64_t seed, unsigned n_steps)
{
    static const size_t slices[] = { BACKLOG_SLICE, 1,
                                     BACKLOG_TOUCH + 300 }; /* all, 1, 2 of them */
    struct model m = { .seed = seed * 7919 + 1, .moves = seed % 2 };
    _free_ struct call *calls = mem_resize(NULL, MAX_CALLS, sizeof(*calls));

    m.calls = calls;
    m.w = app_world("");
    m.w->router->backlog.slice = slices[seed % N_ELEMENTS(slices)];
    for (unsigned i = 0; i < n_steps; i++)
        step(&m);
    printf("# %zu calls, %u results, %u errors, %u progress, %u events (%u waited), %u chunks\n",
           m.n_calls, m.n_results, m.n_errors, m.n_progress, m.n_delivered, m.n_waited, m.n_chunks);
    CHECK((m.n_waited > 0) == (m.w->router->backlog.slice < BACKLOG_SLICE));
    CHECK(m.n_results > 0 && m.n_errors > 0 && m.n_progress > 0 && m.n_delivered > 0 &&
          m.n_chunks > 0);
    for (int i = 0; i < 3; i++) { /* whatever callees are silent about comes to an end */
        world_pass(m.w, m.w->config.call_timeout + 1);
        drain_all(&m);
    }
    check_answers(&m);
    CHECK_U64(dealer_n_calls(m.w->router->realms[1]->dealer), 0);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (m.member[i].wire)
            go(&m, i);
    }
    check_empty(&m);
    world_free(m.w);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && text_read_u64(view_text(text), &n) ? n : otherwise;
}

TEST(whatever_they_do_the_rules_hold)
{
    uint64_t seed = from_env("WARREN_SEED", 0), n_steps = from_env("WARREN_STEPS", STEPS);

    for (uint64_t i = seed ? seed : 1; i <= (seed ? seed : SEEDS); i++) {
        printf("# seed %llu\n", (unsigned long long)i);
        run(i, (unsigned)n_steps);
    }
}
