/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

#include <stdio.h>

static const uint8_t one[] = { 0x91, 0x01 }, two[] = { 0x91, 0x02 };

/* den serves a procedure that alice calls: the shortest way to a call that waits. */
struct scene {
    struct world *w;
    struct wire *den, *alice;
};

static struct scene scene_new(void)
{
    struct scene s = { .w = world_new() };

    s.den = join_den(s.w);
    s.den->is_alive = true;
    s.alice = join_peer(s.w, "456000");
    CHECK_STR(try_register(s.den, "den.session.open"), "REGISTERED");
    return s;
}

static void scene_free(struct scene *s)
{
    world_free(s->w);
}
#define _scene_ _cleanup_(scene_free) struct scene

static uint64_t invoked(struct wire *callee)
{
    struct rpc_msg msg;

    if (!CHECK(wire_next(callee, &msg)) || !CHECK(msg.type == RPC_INVOCATION))
        return 0;
    return msg.invocation.request;
}

static void yield(struct wire *callee, uint64_t invocation, bool is_progress, struct view args)
{
    wire_send(callee, &(struct rpc_msg){ .type = RPC_YIELD,
                                         .yield = { invocation, is_progress, rpc_args(args) } });
}

static void call_with(struct wire *caller, const char *procedure, bool wants_progress,
                      uint64_t timeout)
{
    struct rpc_call call = { .request = wire_request(caller),
                             .procedure = view_text(procedure),
                             .timeout = timeout,
                             .receive_progress = wants_progress };

    wire_send(caller, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
}

TEST(a_call_reaches_its_server_and_its_result_the_caller)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    if (!CHECK(wire_next(s.den, &msg)))
        return;
    CHECK(msg.type == RPC_INVOCATION);
    CHECK_U64(msg.invocation.caller, s.alice->session);
    CHECK_VIEW(msg.invocation.caller_authid, VIEW_LIT("456000"));
    CHECK_VIEW(msg.invocation.caller_authrole, VIEW_LIT("peer"));
    CHECK_VIEW(msg.invocation.source, VIEW_LIT("192.0.2.1")); /* den is told, and nobody else */
    CHECK_VIEW(msg.invocation.payload.bytes, VIEW_ARR(one));
    yield(s.den, msg.invocation.request, false, VIEW_ARR(two));
    if (!CHECK(wire_next(s.alice, &msg)))
        return;
    CHECK(msg.type == RPC_RESULT && !msg.result.progress);
    CHECK_U64(msg.result.request, s.alice->last_request);
    CHECK_VIEW(msg.result.payload.bytes, VIEW_ARR(two));
}

/* [48, 1, {"caller": 7, "caller_authid": "999999", "caller_authrole": "den", "_warren_source":
 * "x"}, "den.session.open"] */
TEST(a_caller_cannot_forge_who_it_is)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;
    _buf_ frame = { 0 };

    rpc_put_array(&frame, 4);
    rpc_put_u64(&frame, RPC_CALL);
    rpc_put_u64(&frame, wire_request(s.alice));
    rpc_put_map(&frame, 5);
    rpc_put_str(&frame, "caller");
    rpc_put_u64(&frame, 7);
    rpc_put_str(&frame, "caller_authid");
    rpc_put_str(&frame, "999999");
    rpc_put_str(&frame, "caller_authrole");
    rpc_put_str(&frame, "den");
    rpc_put_str(&frame, "_warren_source");
    rpc_put_str(&frame, "x");
    rpc_put_str(&frame, "disclose_me");
    rpc_put_bool(&frame, false);
    rpc_put_str(&frame, "den.session.open");
    wire_say(s.alice, buf_view(&frame));
    if (!CHECK(wire_next(s.den, &msg)))
        return;
    CHECK_U64(msg.invocation.caller, s.alice->session);
    CHECK_VIEW(msg.invocation.caller_authid, VIEW_LIT("456000"));
    CHECK_VIEW(msg.invocation.caller_authrole, VIEW_LIT("peer"));
    CHECK_VIEW(msg.invocation.source, VIEW_LIT("192.0.2.1"));
}

TEST(progress_comes_before_the_result_and_only_when_asked_for)
{
    _scene_ s = scene_new();
    uint64_t first, second;
    struct rpc_msg msg;

    call_with(s.alice, "den.session.open", true, 0);
    call_with(s.alice, "den.session.open", false, 0);
    first = invoked(s.den);
    second = invoked(s.den);
    CHECK_U64(second, first + 1);
    yield(s.den, second, true, VIEW_ARR(one)); /* not wanted: dropped */
    yield(s.den, first, true, VIEW_ARR(one));
    yield(s.den, first, false, VIEW_ARR(two));
    CHECK(wire_next(s.alice, &msg) && msg.type == RPC_RESULT && msg.result.progress);
    CHECK(wire_next(s.alice, &msg) && msg.type == RPC_RESULT && !msg.result.progress);
    CHECK(!wire_next(s.alice, &msg));
    CHECK_U64(dealer_n_calls(s.w->router->home->dealer), 1);
}

TEST(an_error_travels_with_its_uri_and_payload)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    wire_send(s.den, &(struct rpc_msg){ .type = RPC_ERROR,
                                        .error = { RPC_INVOCATION, invoked(s.den),
                                                   VIEW_LIT("den.error.not_reachable"),
                                                   rpc_args(VIEW_ARR(two)) } });
    if (!CHECK(wire_next(s.alice, &msg)))
        return;
    CHECK(msg.type == RPC_ERROR && msg.error.request_type == RPC_CALL);
    CHECK_U64(msg.error.request, s.alice->last_request);
    CHECK_VIEW(msg.error.uri, VIEW_LIT("den.error.not_reachable"));
    CHECK_VIEW(msg.error.payload.bytes, VIEW_ARR(two));
}

TEST(calls_of_one_caller_to_one_server_stay_in_order)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;

    for (uint8_t i = 0; i < 60; i++) {
        uint8_t args[] = { 0x91, i };
        send_call(s.alice, "den.session.open", VIEW_ARR(args));
    }
    for (uint8_t i = 0; i < 60; i++) {
        uint8_t args[] = { 0x91, i };
        if (!CHECK(wire_next(s.den, &msg)))
            return;
        CHECK_VIEW(msg.invocation.payload.bytes, VIEW_ARR(args));
        CHECK_U64(msg.invocation.request, i + 1); /* sequential */
    }
}

TEST(a_server_that_leaves_cancels_its_calls)
{
    _scene_ s = scene_new();

    CHECK_STR(try_register(s.alice, "peer.456000.session.offer"), "REGISTERED");
    send_call(s.den, "peer.456000.session.offer", VIEW_ARR(one));
    wire_drop(s.alice);
    CHECK_STR(answer_to(s.den), "wamp.error.canceled");
}

TEST(a_den_that_leaves_is_away_for_its_calls)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    wire_drop(s.den);
    CHECK_STR(answer_to(s.alice), "network.error.den_away");
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(one)), "network.error.den_away");
    CHECK_U64(dealer_n_registrations(s.w->router->home->dealer), 0);
}

TEST(answers_for_a_caller_that_left_are_dropped)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;
    uint64_t number;

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    number = invoked(s.den);
    wire_drop(s.alice);
    CHECK_U64(dealer_n_calls(s.w->router->home->dealer), 0);
    CHECK_STR(answer_to(s.den), "INTERRUPT"); /* it may stop */
    yield(s.den, number, true, VIEW_ARR(one));
    yield(s.den, number, false, VIEW_ARR(one));
    wire_send(s.den, &(struct rpc_msg){
                         .type = RPC_ERROR,
                         .error = { RPC_INVOCATION, number, VIEW_LIT("a.b"), { { 0 }, 0 } } });
    CHECK(!s.den->is_closed && !wire_next(s.den, &msg));
}

TEST(an_answer_to_what_was_never_asked_is_a_protocol_violation)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    yield(s.alice, 1, false,
          VIEW_ARR(two)); /* somebody else's invocation: alice was never asked anything */
    CHECK_STR(answer_to(s.alice), "ABORT wamp.error.protocol_violation");
    yield(s.den, invoked(s.den) + 1, false, VIEW_ARR(two));
    CHECK_STR(answer_to(s.den), "INTERRUPT"); /* for alice is gone */
    CHECK_STR(answer_to(s.den), "ABORT wamp.error.protocol_violation");
}

TEST(a_call_waits_as_long_as_it_may)
{
    static const struct {
        uint64_t asked, waits;
    } cases[] = { { 0, 60000 }, { 500, 500 }, { 3600000, 60000 } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new();
        struct rpc_msg msg;
        uint64_t number;
        call_with(s.alice, "den.session.open", false, cases[i].asked);
        number = invoked(s.den);
        world_pass(s.w, cases[i].waits - 1);
        CHECK(!wire_next(s.alice, &msg));
        world_pass(s.w, 1);
        CHECK_STR(answer_to(s.alice), "wamp.error.timeout");
        yield(s.den, number, false, VIEW_ARR(one)); /* too late: no fault, no answer */
        CHECK(!s.den->is_closed && !wire_next(s.alice, &msg));
    }
}

TEST(progress_renews_a_calls_patience)
{
    _scene_ s = scene_new();
    uint64_t number;

    call_with(s.alice, "den.session.open", true, 0);
    number = invoked(s.den);
    world_pass(s.w, 59000);
    yield(s.den, number, true, VIEW_ARR(one));
    CHECK_STR(answer_to(s.alice), "RESULT");
    world_pass(s.w, 59000);
    yield(s.den, number, false, VIEW_ARR(one));
    CHECK_STR(answer_to(s.alice), "RESULT");
}

TEST(sixty_four_calls_may_wait)
{
    _scene_ s = scene_new();

    for (unsigned i = 0; i < 64; i++)
        send_call(s.alice, "den.session.open", VIEW_ARR(one));
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(one)), "network.error.too_many_calls");
    yield(s.den, invoked(s.den), false, VIEW_ARR(one));
    CHECK_STR(answer_to(s.alice), "RESULT");
    send_call(s.alice, "den.session.open", VIEW_ARR(one)); /* room again */
    CHECK_U64(dealer_n_calls(s.w->router->home->dealer), 64);
}

TEST(registrations_are_counted_and_come_back)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_msg msg;
    uint64_t last = 0;
    char uri[64];

    join_den(w);
    alice = join_peer(w, "456000");
    for (unsigned i = 0; i < 256; i++) {
        struct rpc_register ask = { .request = wire_request(alice) };
        snprintf(uri, sizeof(uri), "peer.456000.app.m%u", i);
        ask.uri = view_text(uri);
        wire_send(alice, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
        CHECK(wire_next(alice, &msg) && msg.type == RPC_REGISTERED);
        last = msg.ids.second;
    }
    CHECK_STR(try_register(alice, "peer.456000.app.more"), "network.error.too_many_registrations");
    wire_send(alice,
              &(struct rpc_msg){ .type = RPC_UNREGISTER, .ids = { wire_request(alice), last } });
    CHECK_STR(answer_to(alice), "UNREGISTERED");
    CHECK_STR(try_register(alice, "peer.456000.app.more"), "REGISTERED");
}

TEST(a_procedure_has_one_server)
{
    _scene_ s = scene_new();

    CHECK_STR(try_register(s.den, "den.session.open"), "wamp.error.procedure_already_exists");
}

TEST(nobody_unregisters_for_somebody_else)
{
    _scene_ s = scene_new();

    for (uint64_t id = 1; id <= 2; id++) { /* 1 is den's, 2 is nobody's */
        wire_send(s.alice, &(struct rpc_msg){ .type = RPC_UNREGISTER,
                                              .ids = { wire_request(s.alice), id } });
        CHECK_STR(answer_to(s.alice), "wamp.error.no_such_registration");
    }
    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    CHECK(invoked(s.den) == 1);
}

TEST(a_pattern_is_registered_only_within_the_owners_names)
{
    static const struct {
        const char *match, *invoke, *uri, *answer;
    } cases[] = {
        { "prefix", "", "peer.456000.a.b", "REGISTERED" },
        { "prefix", "", "peer.456000.a.b.", "wamp.error.procedure_already_exists" },
        { "exact", "", "peer.456000.a.b", "REGISTERED" },
        { "wildcard", "", "peer.456000.a..b", "REGISTERED" },
        { "prefix", "", "peer.456000", "REGISTERED" },
        { "prefix", "", "peer.45600", "wamp.error.not_authorized" },
        { "prefix", "", "peer.123456.a", "wamp.error.not_authorized" },
        { "prefix", "", "peer", "wamp.error.not_authorized" },
        { "prefix", "", "", "wamp.error.not_authorized" },
        { "prefix", "", "den", "wamp.error.not_authorized" },
        { "prefix", "", "wamp", "wamp.error.not_authorized" },
        { "prefix", "", "network.info", "wamp.error.not_authorized" },
        { "wildcard", "", "peer..a", "wamp.error.not_authorized" },
        { "wildcard", "", ".456000.a", "wamp.error.not_authorized" },
        { "wildcard", "", "den.", "wamp.error.not_authorized" },
        { "wildcard", "", "..", "wamp.error.not_authorized" },
        { "", "roundrobin", "peer.456000.c", "REGISTERED" },
        { "", "single", "peer.456000.c", "wamp.error.procedure_already_exists" },
        { "", "roundrobin", "peer.456000.c", "wamp.error.procedure_already_exists" },
        { "", "fastest", "peer.456000.d", "wamp.error.invalid_argument" },
    };
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;

    join_den(w);
    alice = join_peer(w, "456000");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_register ask = { .request = wire_request(alice),
                                    .match = view_text(cases[i].match),
                                    .invoke = view_text(cases[i].invoke),
                                    .uri = view_text(cases[i].uri) };
        wire_send(alice, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
        CHECK_STR(answer_to(alice), cases[i].answer);
    }
}

TEST(a_server_that_does_not_keep_up_is_left_alone)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;

    s.den->queued = s.w->config.max_queue / 2 + 1;
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(one)), "wamp.error.unavailable");
    CHECK(!wire_next(s.den, &msg));
    CHECK_U64(dealer_n_calls(s.w->router->home->dealer), 0);
}

TEST(den_offers_a_session_to_a_peer)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *bob = join_peer(w, "123456");
    struct rpc_msg msg;

    CHECK_STR(try_call(den, "peer.123456.session.offer", VIEW_ARR(one)),
              "wamp.error.no_such_procedure");
    CHECK_STR(try_register(bob, "peer.123456.session.offer"), "REGISTERED");
    send_call(den, "peer.123456.session.offer", VIEW_ARR(one));
    if (!CHECK(wire_next(bob, &msg)))
        return;
    CHECK_VIEW(msg.invocation.caller_authid, VIEW_LIT("den"));
    CHECK_VIEW(msg.invocation.caller_authrole, VIEW_LIT("den"));
    yield(bob, msg.invocation.request, false, VIEW_ARR(two));
    CHECK_STR(answer_to(den), "RESULT");
}

/* ---- a model --------------------------------------------------------------------------------- */

/* Random steps of four peers that serve and call each other, against what has to hold after each:
 * every call that was accepted gets exactly one last answer, unless its caller left; nothing is
 * held for those who are gone. */
enum { PEERS = 4, STEPS = 4000 };
static const char *const ids[PEERS] = { "100001", "100002", "100003", "100004" };

struct model {
    struct world *w;
    struct wire *peer[PEERS];
    uint64_t serving[PEERS][64]; /* invocations not answered yet */
    size_t n_serving[PEERS];
    size_t n_waiting[PEERS]; /* calls without a last answer */
    uint32_t seed;
};

static uint32_t draw(struct model *m, uint32_t below)
{
    m->seed = m->seed * 1664525 + 1013904223;
    return (m->seed >> 8) % below;
}

static void model_join(struct model *m, size_t i)
{
    char uri[64];

    m->peer[i] = join_peer(m->w, ids[i]);
    snprintf(uri, sizeof(uri), "peer.%s.app.echo", ids[i]);
    CHECK_STR(try_register(m->peer[i], uri), "REGISTERED");
    m->n_serving[i] = m->n_waiting[i] = 0;
}

static void model_drain(struct model *m)
{
    struct rpc_msg msg;

    for (size_t i = 0; i < PEERS; i++) {
        while (wire_next(m->peer[i], &msg)) {
            if (msg.type == RPC_INVOCATION) {
                if (m->n_serving[i] < 64)
                    m->serving[i][m->n_serving[i]++] = msg.invocation.request;
            } else if ((msg.type == RPC_RESULT && !msg.result.progress) || msg.type == RPC_ERROR) {
                if (CHECK(m->n_waiting[i] > 0)) /* no answer that nobody waits for */
                    m->n_waiting[i]--;
            }
        }
    }
}

static void model_call(struct model *m, size_t from, size_t to)
{
    char uri[64];

    snprintf(uri, sizeof(uri), "peer.%s.app.echo", ids[to]);
    if (from == to || m->n_serving[to] >= 48)
        return;
    send_call(m->peer[from], uri, VIEW_ARR(one));
    m->n_waiting[from]++;
}

static void model_answer(struct model *m, size_t i)
{
    size_t which = draw(m, (uint32_t)m->n_serving[i]);

    yield(m->peer[i], m->serving[i][which], draw(m, 4) == 0, VIEW_ARR(two));
    if (draw(m, 2) == 0)
        wire_send(
            m->peer[i],
            &(struct rpc_msg){
                .type = RPC_ERROR,
                .error = { RPC_INVOCATION, m->serving[i][which], VIEW_LIT("a.b"), { { 0 }, 0 } } });
    else
        yield(m->peer[i], m->serving[i][which], false, VIEW_ARR(two));
    m->serving[i][which] = m->serving[i][--m->n_serving[i]];
}

static void model_leave(struct model *m, size_t i)
{
    wire_drop(m->peer[i]);
    model_join(m, i);
}

static void model_step(struct model *m, size_t *n_leaves)
{
    size_t i = draw(m, PEERS);

    if (draw(m, 100) == 0 && *n_leaves < 40) { /* as many wires as the world has */
        (*n_leaves)++;
        model_leave(m, i);
    } else if (draw(m, 2) == 0 && m->n_serving[i]) {
        model_answer(m, i);
    } else {
        model_call(m, i, draw(m, PEERS));
    }
    model_drain(m);
}

static void model_grants(struct wire *den)
{
    uint8_t sid = 0;

    for (size_t a = 0; a < PEERS; a++) {
        for (size_t b = a + 1; b < PEERS; b++) {
            struct grant_facts facts = {
                .sid = ++sid, .a = ids[a], .b = ids[b], .cap = "call:app", .cap_back = "call:app"
            };
            CHECK_STR(install_grant(den, &facts), "RESULT");
        }
    }
}

TEST(every_accepted_call_gets_one_last_answer)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct model m = { .w = w, .seed = 20261120 };
    size_t n_leaves = 0, n_waiting;

    model_grants(join_den(w));
    for (size_t i = 0; i < PEERS; i++)
        model_join(&m, i);
    for (unsigned step = 0; step < STEPS; step++) {
        model_step(&m, &n_leaves);
        n_waiting = 0;
        for (size_t i = 0; i < PEERS; i++)
            n_waiting += m.n_waiting[i];
        if (!CHECK_U64(dealer_n_calls(w->router->home->dealer), n_waiting)) {
            fprintf(stderr, "# step %u of seed 20261120\n", step);
            return;
        }
    }
    CHECK(n_leaves > 10);
    world_pass(w, 61 * SECOND_MS); /* what was not answered is answered by time */
    model_drain(&m);
    CHECK_U64(dealer_n_calls(w->router->home->dealer), 0);
    for (size_t i = 0; i < PEERS; i++)
        CHECK_U64(m.n_waiting[i], 0);
}

TEST(a_router_that_stops_lets_calls_in_flight_finish)
{
    _scene_ s = scene_new();
    struct wire *idle = join_peer(s.w, "123456");
    uint64_t invocation;

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    invocation = invoked(s.den);
    wire_skip(idle);
    router_drain(s.w->router, s.w->now);
    CHECK_STR(answer_to(idle), "GOODBYE wamp.close.system_shutdown");
    CHECK(!s.alice->is_closed && !s.den->is_closed && !router_is_drained(s.w->router));
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(two)), "wamp.error.unavailable");
    yield(s.den, invocation, false, VIEW_ARR(two));
    CHECK_STR(answer_to(s.alice), "RESULT");
    world_pass(s.w, 100);
    CHECK_STR(answer_to(s.alice), "GOODBYE wamp.close.system_shutdown");
    CHECK_STR(answer_to(s.den), "GOODBYE wamp.close.system_shutdown");
    CHECK(router_is_drained(s.w->router));
}

TEST(a_router_that_stops_waits_for_calls_only_so_long)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    router_drain(s.w->router, s.w->now);
    world_pass(s.w, s.w->config.drain_timeout - 1);
    CHECK(!router_is_drained(s.w->router));
    world_pass(s.w, 1);
    CHECK(router_is_drained(s.w->router));
    CHECK_STR(answer_to(s.alice), "wamp.error.canceled");
    CHECK_STR(answer_to(s.alice), "GOODBYE wamp.close.system_shutdown");
    CHECK(s.w->router->metrics.counter[METRIC_SESSIONS_DISMISSED] == 2);
}

TEST(asked_twice_a_router_stops_at_once)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(one));
    router_drain(s.w->router, s.w->now);
    router_drain(s.w->router, s.w->now);
    CHECK(router_is_drained(s.w->router));
    CHECK_STR(answer_to(s.alice), "wamp.error.canceled");
}
