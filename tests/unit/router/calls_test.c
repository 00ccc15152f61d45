/* SPDX-License-Identifier: Apache-2.0 */
/* Calls beyond the Basic Profile, in a realm of another application. */
#include "tests/unit/router/app.h"

#include <stdio.h>

struct scene {
    struct world *w;
    struct wire *caller, *callee;
};

static struct scene scene_new(const char *options, bool is_able)
{
    struct scene s = { .w = app_world(options) };

    s.caller = app_join(s.w, "ann", "user", is_able);
    s.callee = app_join(s.w, "bob", "user", is_able);
    return s;
}

static void scene_free(struct scene *s)
{
    struct realm *realm = s->w->router->realms[1];

    for (size_t i = 0; i < s->w->n_wires; i++) {
        if (s->w->wires[i]->conn)
            wire_drop(s->w->wires[i]);
    }
    CHECK_U64(dealer_n_calls(realm->dealer), 0);
    CHECK_U64(dealer_n_registrations(realm->dealer), 0);
    CHECK_U64(map_count(realm->by_session), 0);
    world_free(s->w);
}
#define _scene_ _cleanup_(scene_free) struct scene

static uint64_t invoked(struct wire *callee)
{
    struct rpc_msg msg;

    return app_take(callee, RPC_INVOCATION, &msg) ? msg.invocation.request : 0;
}

static void cancel(struct wire *caller, uint64_t request, const char *mode)
{
    wire_send(caller,
              &(struct rpc_msg){ .type = RPC_CANCEL, .cancel = { request, view_text(mode) } });
}

/* ---- canceling ------------------------------------------------------------------------------- */

TEST(a_call_is_canceled_in_three_ways)
{
    static const struct {
        const char *mode;
        bool is_able;
        const char *interrupt; /* its mode; "": none */
        const char *at_once, *after_error;
    } cases[] = {
        { "skip", true, "", "wamp.error.canceled", "" },
        { "kill", true, "kill", "", "app.stopped" },
        { "killnowait", true, "killnowait", "wamp.error.canceled", "" },
        { "", true, "killnowait", "wamp.error.canceled", "" },
        { "skip", false, "", "wamp.error.canceled", "" },
        { "kill", false, "", "wamp.error.canceled", "" },
        { "killnowait", false, "", "wamp.error.canceled", "" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new("", cases[i].is_able);
        uint64_t request, invocation;
        struct rpc_msg msg;
        app_register(s.callee, "a.b", "", "");
        request = app_call(s.caller, NULL, "a.b", 1);
        invocation = invoked(s.callee);
        cancel(s.caller, request, cases[i].mode);
        if (*cases[i].interrupt && app_take(s.callee, RPC_INTERRUPT, &msg)) {
            CHECK_U64(msg.interrupt.request, invocation);
            CHECK_VIEW(msg.interrupt.mode, view_text(cases[i].interrupt));
        }
        CHECK_STR(answer_to(s.caller), cases[i].at_once);
        cancel(s.caller, request, cases[i].mode); /* again: harmless */
        CHECK(app_is_quiet(s.callee));
        app_refuse(s.callee, invocation, "app.stopped");
        CHECK_STR(answer_to(s.caller), cases[i].after_error);
        CHECK(app_is_quiet(s.caller) && !s.callee->is_closed);
        cancel(s.caller, request, cases[i].mode); /* it is over: harmless */
        CHECK(app_is_quiet(s.caller) && !s.caller->is_closed);
    }
}

TEST(a_killed_call_may_still_have_a_result_and_be_given_up)
{
    _scene_ s = scene_new("", true);
    uint64_t request, invocation;
    struct rpc_msg msg;

    app_register(s.callee, "a.b", "", "");
    request = app_call(s.caller, &(struct rpc_call){ .receive_progress = true }, "a.b", 1);
    invocation = invoked(s.callee);
    cancel(s.caller, request, "kill");
    CHECK(app_take(s.callee, RPC_INTERRUPT, &msg));
    app_yield(s.callee, invocation, true, 2); /* on its way already */
    CHECK(app_is_quiet(s.caller));
    app_yield(s.callee, invocation, false, 3);
    CHECK(app_take(s.caller, RPC_RESULT, &msg) && app_arg(msg.result.payload) == 3);
    request = app_call(s.caller, NULL, "a.b", 1);
    invoked(s.callee);
    cancel(s.caller, request, "kill");
    cancel(s.caller, request, "killnowait"); /* does not wait any more */
    CHECK_STR(answer_to(s.caller), "wamp.error.canceled");
}

TEST(canceling_what_never_was_is_a_violation)
{
    _scene_ s = scene_new("", true);

    cancel(s.caller, 1, "skip");
    CHECK_STR(answer_to(s.caller), "ABORT wamp.error.protocol_violation");
}

TEST(who_works_for_a_caller_that_left_is_interrupted)
{
    for (int is_able = 0; is_able < 2; is_able++) {
        _scene_ s = scene_new("", is_able);
        struct rpc_msg msg;
        app_register(s.callee, "a.b", "", "");
        app_call(s.caller, NULL, "a.b", 1);
        invoked(s.callee);
        wire_drop(s.caller);
        if (is_able && app_take(s.callee, RPC_INTERRUPT, &msg))
            CHECK_VIEW(msg.interrupt.mode, VIEW_LIT("killnowait"));
        CHECK(app_is_quiet(s.callee));
    }
}

TEST(a_late_call_is_ended_and_interrupted_and_progress_gives_it_time)
{
    _scene_ s = scene_new("", true);
    struct rpc_call options = { .timeout = 1000, .receive_progress = true };
    struct rpc_msg msg;
    uint64_t invocation;

    app_register(s.callee, "a.b", "", "");
    app_call(s.caller, &options, "a.b", 1);
    invocation = invoked(s.callee);
    world_pass(s.w, 900);
    app_yield(s.callee, invocation, true, 1);
    CHECK(app_take(s.caller, RPC_RESULT, &msg) && msg.result.progress);
    world_pass(s.w, 900);
    CHECK(app_is_quiet(s.caller));
    world_pass(s.w, 100);
    CHECK_STR(answer_to(s.caller), "wamp.error.timeout");
    if (app_take(s.callee, RPC_INTERRUPT, &msg)) {
        CHECK_VIEW(msg.interrupt.mode, VIEW_LIT("killnowait"));
        CHECK_VIEW(msg.interrupt.reason, VIEW_LIT("wamp.error.timeout"));
    }
    app_yield(s.callee, invocation, false, 1);
    CHECK(app_is_quiet(s.caller) && !s.callee->is_closed);
}

TEST(a_callee_may_watch_the_time_itself)
{
    _scene_ s = scene_new("", true);
    struct rpc_register ask = { .request = wire_request(s.callee),
                                .uri = VIEW_LIT("a.b"),
                                .forward_timeout = true };
    struct rpc_msg msg;

    wire_send(s.callee, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    CHECK(app_take(s.callee, RPC_REGISTERED, &msg));
    app_call(s.caller, &(struct rpc_call){ .timeout = 1000 }, "a.b", 1);
    if (app_take(s.callee, RPC_INVOCATION, &msg))
        CHECK_U64(msg.invocation.timeout, 1000);
    world_pass(s.w, 2000);
    CHECK(app_is_quiet(s.caller));
    world_pass(s.w, s.w->config.call_timeout); /* our own limit stays */
    CHECK_STR(answer_to(s.caller), "wamp.error.timeout");
}

/* Neither what the caller did not ask for, nor what it has given up, nor what it says itself, gives a call more time. */
TEST(only_what_the_caller_hears_gives_a_call_time)
{
    static const struct {
        bool wants, kills, speaks;
    } cases[] = { { false, false, false }, { true, true, false }, { true, false, true } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new("", true);
        struct rpc_call options = { .timeout = 1000,
                                    .receive_progress = cases[i].wants,
                                    .progress = cases[i].speaks };
        uint64_t request, invocation;
        app_register(s.callee, "a.b", "", "");
        request = app_call(s.caller, &options, "a.b", 1);
        invocation = invoked(s.callee);
        if (cases[i].kills)
            cancel(s.caller, request, "kill");
        world_pass(s.w, 900);
        if (cases[i].speaks)
            app_call(s.caller, &(struct rpc_call){ .request = request, .progress = true }, "a.b",
                     2);
        else
            app_yield(s.callee, invocation, true, 1);
        world_pass(s.w, 100);
        CHECK_STR(answer_to(s.caller), "wamp.error.timeout");
    }
}

/* A part that is left out would be missed by nobody: the last one comes all the same. */
TEST(a_caller_that_falls_behind_its_results_is_told)
{
    _scene_ s = scene_new("", true);
    struct rpc_msg msg;
    uint64_t invocation;

    app_register(s.callee, "a.b", "", "");
    app_call(s.caller, &(struct rpc_call){ .receive_progress = true }, "a.b", 1);
    invocation = invoked(s.callee);
    app_yield(s.callee, invocation, true, 1);
    CHECK(app_take(s.caller, RPC_RESULT, &msg) && msg.result.progress);
    s.caller->queued = s.w->config.max_queue;
    app_yield(s.callee, invocation, true, 2);
    CHECK_STR(answer_to(s.caller), "network.error.slow_caller");
    if (app_take(s.callee, RPC_INTERRUPT, &msg))
        CHECK_VIEW(msg.interrupt.reason, VIEW_LIT("network.error.slow_caller"));
    app_yield(s.callee, invocation, false, 3);
    CHECK(app_is_quiet(s.caller) && !s.callee->is_closed);
    CHECK_U64(s.w->router->metrics.limit[LIMIT_SLOW_CALLER], 1);
}

/* ---- sharing --------------------------------------------------------------------------------- */

enum { CALLEES = 3 };

static void share(struct scene *s, const char *invoke, struct wire *callees[CALLEES])
{
    for (size_t i = 0; i < CALLEES; i++) {
        callees[i] = app_join(s->w, "x", "user", true);
        CHECK_U64(app_register(callees[i], "a.b", "", invoke), 1); /* all the same */
    }
}

/* Which of them got the call; answers it with `uri`, or a result. */
static size_t who_got(struct wire *callees[CALLEES], const char *uri)
{
    struct rpc_msg msg;

    for (size_t i = 0; i < CALLEES; i++) {
        if (!wire_next(callees[i], &msg))
            continue;
        CHECK(msg.type == RPC_INVOCATION && app_arg(msg.invocation.payload) == 7);
        if (*uri)
            app_refuse(callees[i], msg.invocation.request, uri);
        else
            app_yield(callees[i], msg.invocation.request, false, 1);
        return i;
    }
    return CALLEES;
}

TEST(several_take_calls_in_turns)
{
    static const struct {
        const char *invoke;
        size_t turns[6];
    } cases[] = {
        { "roundrobin", { 0, 1, 2, 0, 1, 2 } },
        { "first", { 0, 0, 0, 0, 0, 0 } },
        { "last", { 2, 2, 2, 2, 2, 2 } },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new("", true);
        struct wire *callees[CALLEES];
        share(&s, cases[i].invoke, callees);
        for (size_t k = 0; k < 6; k++) {
            app_call(s.caller, NULL, "a.b", 7);
            CHECK_U64(who_got(callees, ""), cases[i].turns[k]);
            CHECK_STR(answer_to(s.caller), "RESULT");
        }
    }
}

TEST(random_calls_all_of_them)
{
    _scene_ s = scene_new("", true);
    struct wire *callees[CALLEES];
    size_t n[CALLEES + 1] = { 0 };

    share(&s, "random", callees);
    for (int i = 0; i < 300; i++) {
        app_call(s.caller, NULL, "a.b", 7);
        n[who_got(callees, "")]++;
        CHECK_STR(answer_to(s.caller), "RESULT");
    }
    CHECK(n[0] && n[1] && n[2] && !n[CALLEES]);
}

TEST(who_leaves_or_is_slow_loses_its_turn)
{
    _scene_ s = scene_new("", true);
    struct wire *callees[CALLEES];

    share(&s, "roundrobin", callees);
    app_call(s.caller, NULL, "a.b", 7);
    CHECK_U64(who_got(callees, ""), 0);
    wire_drop(callees[0]); /* its was the last turn */
    app_call(s.caller, NULL, "a.b", 7);
    CHECK_U64(who_got(callees, ""), 1);
    callees[2]->queued = s.w->config.max_queue;
    app_call(s.caller, NULL, "a.b", 7);
    CHECK_U64(who_got(callees, ""), 1);
    callees[1]->queued = s.w->config.max_queue;
    wire_skip(s.caller);
    app_call(s.caller, NULL, "a.b", 7);
    CHECK_STR(answer_to(s.caller), "wamp.error.unavailable");
}

TEST(an_unavailable_callee_is_passed_over)
{
    static const struct {
        const char *invoke;
        size_t turns[CALLEES];
    } cases[] = {
        { "roundrobin", { 0, 1, 2 } },
        { "first", { 0, 1, 2 } },
        { "last", { 2, 1, 0 } },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new("", true);
        struct wire *callees[CALLEES];
        share(&s, cases[i].invoke, callees);
        app_call(s.caller, NULL, "a.b", 7);
        CHECK_U64(who_got(callees, "wamp.error.unavailable"), cases[i].turns[0]);
        CHECK_U64(who_got(callees, "wamp.error.unavailable"), cases[i].turns[1]);
        CHECK(app_is_quiet(s.caller));
        CHECK_U64(who_got(callees, "wamp.error.unavailable"), cases[i].turns[2]);
        CHECK_STR(answer_to(s.caller), "wamp.error.no_available_callee");
        app_call(s.caller, NULL, "a.b", 7);
        who_got(callees, "wamp.error.unavailable");
        who_got(callees, "");
        CHECK_STR(answer_to(s.caller), "RESULT");
        CHECK(app_is_quiet(s.caller));
    }
}

static uint64_t offer(struct wire *callee, bool discloses, bool watches)
{
    struct rpc_register ask = { .request = wire_request(callee),
                                .uri = VIEW_LIT("a.b"),
                                .invoke = VIEW_LIT("first"),
                                .disclose_caller = discloses,
                                .forward_timeout = watches };
    struct rpc_msg msg;

    wire_send(callee, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    return app_take(callee, RPC_REGISTERED, &msg) ? msg.ids.second : 0;
}

/* Whom the call is told of, and who looks at the clock, is as whoever takes it in the end has registered. */
TEST(a_call_that_is_passed_on_goes_by_the_next_registration)
{
    for (int discloses = 0; discloses < 2; discloses++) {
        for (int watches = 0; watches < 2; watches++) {
            _scene_ s = scene_new("disclosure = request\n", true);
            struct wire *next = app_join(s.w, "cid", "user", true);
            struct rpc_msg msg;
            offer(s.callee, !discloses, !watches);
            offer(next, discloses, watches);
            app_call(s.caller, &(struct rpc_call){ .timeout = 1000 }, "a.b", 7);
            if (!app_take(s.callee, RPC_INVOCATION, &msg))
                return;
            CHECK_U64(msg.invocation.caller, discloses ? 0 : s.caller->session);
            CHECK_U64(msg.invocation.timeout, watches ? 0 : 1000);
            world_pass(s.w, 400);
            app_refuse(s.callee, msg.invocation.request, "wamp.error.unavailable");
            if (!app_take(next, RPC_INVOCATION, &msg))
                return;
            CHECK_U64(msg.invocation.caller, discloses ? s.caller->session : 0);
            CHECK(!msg.invocation.caller_authid.len == !discloses);
            CHECK_U64(msg.invocation.timeout, watches ? 1000 : 0);
            world_pass(s.w, 600); /* since it was made */
            CHECK_STR(answer_to(s.caller), watches ? "" : "wamp.error.timeout");
        }
    }
}

TEST(a_call_is_passed_on_to_who_came_after_it)
{
    _scene_ s = scene_new("", true);
    struct wire *next = app_join(s.w, "cid", "user", true);
    uint64_t invocation;

    app_register(s.callee, "a.b", "", "first");
    app_call(s.caller, NULL, "a.b", 7);
    invocation = invoked(s.callee);
    app_register(next, "a.b", "", "first");
    app_refuse(s.callee, invocation, "wamp.error.unavailable");
    app_yield(next, invoked(next), false, 1);
    CHECK_STR(answer_to(s.caller), "RESULT");
}

/* Callees that take everything and answer nothing would have the router keep 64 MiB a session. */
TEST(only_so_much_is_kept_to_be_asked_again)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true),
                *cid = app_join(w, "cid", "user", true);
    struct rpc_msg msg;

    app_register(bob, "p", "", "first");
    app_register(cid, "p", "", "first");
    w->config.max_queue = 15; /* room for one of these */
    for (int round = 0; round < 2; round++) {
        app_call(ann, NULL, "p", 1);
        app_call(ann, NULL, "p", 2);
        CHECK(ann->conn->n_kept > 0 && ann->conn->n_kept <= 15);
        for (int i = 0; i < 2; i++) {
            if (app_take(bob, RPC_INVOCATION, &msg))
                app_refuse(bob, msg.invocation.request, "wamp.error.unavailable");
        }
        CHECK(app_take(ann, RPC_ERROR, &msg)); /* the second */
        CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.no_available_callee"));
        if (app_take(cid, RPC_INVOCATION, &msg))
            app_yield(cid, msg.invocation.request, false, 3);
        CHECK(app_take(ann, RPC_RESULT, &msg));
        CHECK_U64(ann->conn->n_kept, 0);
    }
    CHECK(app_is_quiet(cid));
}

TEST(an_only_callee_that_is_unavailable_leaves_nobody)
{
    _scene_ s = scene_new("", true);

    app_register(s.callee, "a.b", "", "");
    app_call(s.caller, NULL, "a.b", 7);
    app_refuse(s.callee, invoked(s.callee), "wamp.error.unavailable");
    CHECK_STR(answer_to(s.caller), "wamp.error.no_available_callee");
}

TEST(a_call_whose_progress_went_out_stays_where_it_is)
{
    _scene_ s = scene_new("", true);
    struct wire *callees[CALLEES];
    struct rpc_msg msg;

    share(&s, "first", callees);
    app_call(s.caller, &(struct rpc_call){ .receive_progress = true }, "a.b", 7);
    if (!app_take(callees[0], RPC_INVOCATION, &msg))
        return;
    app_yield(callees[0], msg.invocation.request, true, 1);
    app_refuse(callees[0], msg.invocation.request, "wamp.error.unavailable");
    CHECK_STR(answer_to(s.caller), "RESULT");
    CHECK_STR(answer_to(s.caller), "wamp.error.no_available_callee");
    CHECK(app_is_quiet(callees[1]));
}

/* ---- calls in parts -------------------------------------------------------------------------- */

static void chunk(struct wire *caller, uint64_t request, bool is_last, uint8_t arg)
{
    app_call(caller, &(struct rpc_call){ .request = request, .progress = !is_last }, "a.b", arg);
}

TEST(the_parts_of_a_call_go_to_one_callee_under_one_number)
{
    _scene_ s = scene_new("", true);
    struct wire *callees[CALLEES];
    struct rpc_call options = { .progress = true,
                                .receive_progress = true,
                                .disclose_me = true,
                                .ppt = { .scheme = VIEW_LIT("x_box") } };
    struct rpc_msg msg;
    uint64_t request, invocation = 0;

    share(&s, "roundrobin", callees);
    request = app_call(s.caller, &options, "a.b", 0);
    for (uint8_t i = 0; i < 4; i++) {
        if (i)
            chunk(s.caller, request, i == 3, i);
        if (!app_take(callees[0], RPC_INVOCATION, &msg))
            return;
        invocation = invocation ? invocation : msg.invocation.request;
        CHECK_U64(msg.invocation.request, invocation);
        CHECK_U64(app_arg(msg.invocation.payload), i);
        CHECK(msg.invocation.progress == (i < 3));
        CHECK(msg.invocation.receive_progress); /* the first one's options are all's */
        CHECK_U64(msg.invocation.caller, s.caller->session);
        CHECK_VIEW(msg.invocation.ppt.scheme, VIEW_LIT("x_box"));
        app_yield(callees[0], invocation, true, i);
        CHECK(app_take(s.caller, RPC_RESULT, &msg) && msg.result.progress);
    }
    app_yield(callees[0], invocation, false, 9);
    CHECK(app_take(s.caller, RPC_RESULT, &msg) && !msg.result.progress);
}

/* WAMP: "Freezing of Options". */
TEST(the_parts_of_a_call_are_told_alike)
{
    static const char *const kinds[] = { "", "prefix" };

    for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
        _scene_ s = scene_new("", true);
        struct rpc_register ask = { .request = wire_request(s.callee),
                                    .uri = VIEW_LIT("a.b"),
                                    .match = view_text(kinds[i]),
                                    .forward_timeout = true };
        struct rpc_msg msg;
        uint64_t request;
        wire_send(s.callee, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
        CHECK(app_take(s.callee, RPC_REGISTERED, &msg));
        request =
            app_call(s.caller, &(struct rpc_call){ .progress = true, .timeout = 500 }, "a.b", 0);
        for (uint8_t n = 0; n < 3; n++) {
            if (n == 2)
                wire_send(s.callee, &(struct rpc_msg){ .type = RPC_UNREGISTER,
                                                       .ids = { wire_request(s.callee), 1 } });
            if (n)
                chunk(s.caller, request, false, n);
            if (n == 2)
                CHECK(app_take(s.callee, RPC_UNREGISTERED, &msg));
            if (!app_take(s.callee, RPC_INVOCATION, &msg))
                return;
            CHECK_VIEW(msg.invocation.procedure, view_text(i ? "a.b" : ""));
            CHECK_U64(msg.invocation.timeout, 500);
        }
    }
}

/* Its client has no word for the second part, and the first one stands open there. */
TEST(a_part_that_a_callee_cannot_be_told_interrupts_it)
{
    _scene_ s = scene_new("", true);
    struct rpc_error error = { .request_type = RPC_INVOCATION,
                               .uri = VIEW_LIT("wamp.error.invalid_argument") };
    struct rpc_msg msg;
    _buf_ frame = { 0 };
    uint64_t request;

    app_register(s.callee, "a.b", "", "");
    for (int parts = 1; parts <= 2; parts++) {
        request = app_call(s.caller, &(struct rpc_call){ .progress = true }, "a.b", 0);
        for (int n = 1; n <= parts; n++) {
            if (n > 1)
                chunk(s.caller, request, false, 1);
            error.request = invoked(s.callee);
        }
        buf_clear(&frame);
        rpc_msg_write(&(struct rpc_msg){ .type = RPC_ERROR, .error = error }, &frame);
        router_answer_for(s.callee->conn, s.w->now, buf_view(&frame));
        CHECK_STR(answer_to(s.caller), "wamp.error.invalid_argument");
        if (parts == 1)
            CHECK(app_is_quiet(s.callee));
        else if (app_take(s.callee, RPC_INTERRUPT, &msg))
            CHECK_U64(msg.interrupt.request, error.request);
    }
}

TEST(a_call_in_parts_stays_where_it_is)
{
    _scene_ s = scene_new("", true);
    struct wire *callees[CALLEES];
    struct rpc_msg msg;
    uint64_t request;

    share(&s, "first", callees);
    request = app_call(s.caller, &(struct rpc_call){ .progress = true }, "a.b", 0);
    chunk(s.caller, request, true, 1);
    CHECK(app_take(callees[0], RPC_INVOCATION, &msg) && app_take(callees[0], RPC_INVOCATION, &msg));
    app_refuse(callees[0], msg.invocation.request, "wamp.error.unavailable");
    CHECK_STR(answer_to(s.caller), "wamp.error.no_available_callee");
    CHECK(app_is_quiet(callees[1]));
}

TEST(parts_that_come_after_the_end_are_dropped)
{
    _scene_ s = scene_new("", true);
    struct rpc_msg msg;
    uint64_t request;

    app_register(s.callee, "a.b", "", "");
    request = app_call(s.caller, &(struct rpc_call){ .progress = true }, "a.b", 0);
    app_refuse(s.callee, invoked(s.callee), "app.enough");
    CHECK_STR(answer_to(s.caller), "app.enough");
    chunk(s.caller, request, false, 1);
    chunk(s.caller, request, true, 2);
    CHECK(app_is_quiet(s.callee) && app_is_quiet(s.caller) && !s.caller->is_closed);
    app_call(s.caller, NULL, "a.b", 3);
    CHECK(app_take(s.callee, RPC_INVOCATION, &msg) && app_arg(msg.invocation.payload) == 3);
}

TEST(a_number_is_used_again_by_calls_in_parts_alone)
{
    static const struct {
        bool is_open, is_done;
    } cases[] = { { false, false }, { false, true }, { true, true } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new("", true);
        uint64_t request;
        app_register(s.callee, "a.b", "", "");
        request = app_call(s.caller, &(struct rpc_call){ .progress = cases[i].is_open }, "a.b", 0);
        if (cases[i].is_open)
            chunk(s.caller, request, true, 1); /* its end: it is answered yet */
        else if (cases[i].is_done)
            app_yield(s.callee, invoked(s.callee), false, 1);
        wire_skip(s.caller);
        chunk(s.caller, request, false, 2);
        CHECK_STR(answer_to(s.caller), "ABORT wamp.error.protocol_violation");
    }
}

TEST(calls_in_parts_need_all_three_to_know_them)
{
    _scene_ s = scene_new("", true);
    struct wire *old = app_join(s.w, "old", "user", false);

    app_register(old, "a.old", "", "");
    app_call(s.caller, &(struct rpc_call){ .progress = true }, "a.old", 1);
    CHECK_STR(answer_to(s.caller), "wamp.error.feature_not_supported");
    CHECK(app_is_quiet(old));
    app_call(old, &(struct rpc_call){ .progress = true }, "a.old", 1);
    CHECK_STR(answer_to(old), "ABORT wamp.error.protocol_violation");
}

TEST(a_callee_is_not_flooded_by_parts)
{
    _scene_ s = scene_new("", true);
    struct rpc_msg msg;
    uint64_t request;

    app_register(s.callee, "a.b", "", "");
    request = app_call(s.caller, &(struct rpc_call){ .progress = true }, "a.b", 0);
    invoked(s.callee);
    s.callee->queued = s.w->config.max_queue / 2 + 1;
    chunk(s.caller, request, false, 1);
    CHECK_STR(answer_to(s.caller), "wamp.error.unavailable");
    CHECK(app_take(s.callee, RPC_INTERRUPT, &msg) && app_is_quiet(s.callee));
}

/* ---- patterns, names, payloads --------------------------------------------------------------- */

TEST(a_patterns_callee_is_told_the_procedure)
{
    static const struct {
        const char *procedure;
        size_t who;
    } cases[] = {
        { "a.b", 0 }, { "a.b.c", 1 }, { "a.bc", 1 }, { "a.x.c", 2 }, { "z.y.c", 3 },
    };
    _scene_ s = scene_new("", true);
    uint64_t ids[] = { app_register(s.callee, "a.b", "", ""),
                       app_register(s.callee, "a.b", "prefix", ""),
                       app_register(s.callee, "a..c", "wildcard", ""),
                       app_register(s.callee, "..c", "wildcard", "") };
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        app_call(s.caller, NULL, cases[i].procedure, 1);
        if (!app_take(s.callee, RPC_INVOCATION, &msg))
            return;
        CHECK_U64(msg.invocation.registration, ids[cases[i].who]);
        CHECK_VIEW(msg.invocation.procedure, view_text(cases[i].who ? cases[i].procedure : ""));
        app_yield(s.callee, msg.invocation.request, false, 1);
        CHECK_STR(answer_to(s.caller), "RESULT");
    }
    app_call(s.caller, NULL, "a.x", 1);
    CHECK_STR(answer_to(s.caller), "wamp.error.no_such_procedure");
}

TEST(callers_are_named_as_the_realm_says)
{
    static const struct {
        const char *options;
        bool asks, is_asked, is_named;
        const char *answer;
    } cases[] = {
        { "disclosure = request\n", false, false, false, "" },
        { "disclosure = request\n", true, false, true, "" },
        { "disclosure = request\n", false, true, true, "" },
        { "disclosure = always\n", false, false, true, "" },
        { "disclosure = never\n", false, true, false, "" },
        { "disclosure = never\n", true, false, false, "wamp.error.option_disallowed.disclose_me" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = scene_new(cases[i].options, true);
        struct rpc_register ask = { .request = wire_request(s.callee),
                                    .uri = VIEW_LIT("a.b"),
                                    .disclose_caller = cases[i].is_asked };
        struct rpc_msg msg;
        wire_send(s.callee, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
        CHECK(app_take(s.callee, RPC_REGISTERED, &msg));
        app_call(s.caller, &(struct rpc_call){ .disclose_me = cases[i].asks }, "a.b", 1);
        CHECK_STR(answer_to(s.caller), cases[i].answer);
        if (*cases[i].answer || !app_take(s.callee, RPC_INVOCATION, &msg))
            continue;
        CHECK_U64(msg.invocation.caller, cases[i].is_named ? s.caller->session : 0);
        CHECK_VIEW(msg.invocation.caller_authid, view_text(cases[i].is_named ? "ann" : ""));
        CHECK_VIEW(msg.invocation.caller_authrole, view_text(cases[i].is_named ? "user" : ""));
    }
}

static bool is_ppt(const struct rpc_ppt *a, const struct rpc_ppt *b)
{
    return view_eq(a->scheme, b->scheme) && view_eq(a->serializer, b->serializer) &&
           view_eq(a->cipher, b->cipher) && view_eq(a->keyid, b->keyid);
}

TEST(what_two_ends_agree_on_about_a_payload_is_passed_on)
{
    static const struct rpc_ppt ppt = { { (const uint8_t *)"x_box", 5 },
                                        { (const uint8_t *)"msgpack", 7 },
                                        { (const uint8_t *)"xsalsa20poly1305", 16 },
                                        { (const uint8_t *)"k1", 2 } };
    _scene_ s = scene_new("", true);
    struct rpc_msg msg;
    struct rpc_msg answer = { .type = RPC_YIELD, .yield = { .ppt = ppt } };

    app_register(s.callee, "a.b", "", "");
    app_call(s.caller, &(struct rpc_call){ .ppt = ppt }, "a.b", 1);
    CHECK(app_take(s.callee, RPC_INVOCATION, &msg) && is_ppt(&msg.invocation.ppt, &ppt));
    answer.yield.request = msg.invocation.request;
    wire_send(s.callee, &answer);
    CHECK(app_take(s.caller, RPC_RESULT, &msg) && is_ppt(&msg.result.ppt, &ppt));
    app_call(s.caller, NULL, "a.b", 1);
    answer = (struct rpc_msg){ .type = RPC_ERROR,
                               .error = { .request_type = RPC_INVOCATION,
                                          .request = invoked(s.callee),
                                          .uri = VIEW_LIT("app.no"),
                                          .ppt = ppt } };
    wire_send(s.callee, &answer);
    CHECK(app_take(s.caller, RPC_ERROR, &msg) && is_ppt(&msg.error.ppt, &ppt));
}

TEST(a_session_may_call_itself_and_leave)
{
    _scene_ s = scene_new("", true);

    app_register(s.caller, "a.b", "", "");
    app_call(s.caller, NULL, "a.b", 1);
    invoked(s.caller);
    wire_drop(s.caller);
    CHECK_U64(dealer_n_calls(s.w->router->realms[1]->dealer), 0);
}
