/* SPDX-License-Identifier: Apache-2.0 */
/* A den that is connected and hangs. */
#include "router/vigil.h"
#include "tests/unit/router/world.h"

static const uint8_t none[] = { 0x90 };

struct scene {
    struct world *w;
    struct wire *den, *alice;
};

static struct scene scene_new(void)
{
    struct scene s = { .w = world_new() };

    s.den = join_den(s.w);
    s.alice = join_peer(s.w, "456000");
    CHECK_STR(try_register(s.den, "den.session.open"), "REGISTERED");
    return s;
}

static void scene_deinit(struct scene *s)
{
    world_free(s->w);
}
#define _scene_ _cleanup_(scene_deinit) struct scene

static uint64_t invoked(struct wire *den)
{
    struct rpc_msg msg;

    if (!CHECK(wire_next(den, &msg)) || !CHECK(msg.type == RPC_INVOCATION))
        return 0;
    return msg.invocation.request;
}

static void yield(struct wire *den, uint64_t invocation, bool is_progress)
{
    wire_send(den,
              &(struct rpc_msg){ .type = RPC_YIELD,
                                 .yield = { invocation, is_progress, rpc_args(VIEW_ARR(none)) } });
}

TEST(a_den_that_hangs_is_away_within_two_seconds)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    invoked(s.den);
    world_pass(s.w, VIGIL_ASK_MS + VIGIL_ANSWER_MS - 1);
    CHECK(!wire_next(s.alice, &(struct rpc_msg){ 0 }));
    world_pass(s.w, 1);
    CHECK(VIGIL_ASK_MS * 2 + VIGIL_ANSWER_MS <= 2000);
    CHECK_STR(answer_to(s.alice), "network.error.den_away");
    CHECK_STR(answer_to(s.den), "INTERRUPT");
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(none)),
              "network.error.den_away"); /* at once */

    wire_answer(s.den); /* it goes on */
    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    yield(s.den, invoked(s.den), false);
    CHECK_STR(answer_to(s.alice), "RESULT");
}

TEST(whoever_gives_a_sign_of_life_may_take_its_time)
{
    _scene_ s = scene_new();
    uint64_t invocation;

    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    invocation = invoked(s.den);
    for (unsigned i = 0; i < 20; i++) {
        world_pass(s.w, VIGIL_ASK_MS + 1);
        wire_answer(s.den);
    }
    CHECK(!wire_next(s.alice, &(struct rpc_msg){ 0 }));
    yield(s.den, invocation, false);
    CHECK_STR(answer_to(s.alice), "RESULT");
}

TEST(a_dial_that_rings_waits_for_whoever_is_called)
{
    _scene_ s = scene_new();
    uint64_t invocation;

    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    invocation = invoked(s.den);
    yield(s.den, invocation, true);
    world_pass(s.w, 20000);
    CHECK(!wire_next(s.alice, &(struct rpc_msg){ 0 }));
    yield(s.den, invocation, false);
    CHECK_STR(answer_to(s.alice), "RESULT");
}

/* Rings at bob, who has answered. */
static uint64_t ring_and_answer(struct scene *s)
{
    struct wire *bob = join_peer(s->w, "123456");
    uint64_t invocation;

    CHECK_STR(try_register(bob, "peer.123456.session.offer"), "REGISTERED");
    send_call(s->alice, "den.session.open", VIEW_ARR(none));
    invocation = invoked(s->den);
    yield(s->den, invocation, true);
    send_call(s->den, "peer.123456.session.offer", VIEW_ARR(none));
    world_pass(s->w, 20000);
    yield(bob, invoked(bob), false);
    CHECK_STR(answer_to(s->den), "RESULT");
    return invocation;
}

TEST(a_den_that_hangs_when_it_was_answered_is_away)
{
    _scene_ s = scene_new();

    ring_and_answer(&s);
    CHECK(!wire_next(s.alice, &(struct rpc_msg){ 0 }));
    world_pass(s.w, VIGIL_ASK_MS + VIGIL_ANSWER_MS);
    CHECK_STR(answer_to(s.alice), "network.error.den_away");
    CHECK_STR(answer_to(s.den), "INTERRUPT");
    wire_answer(s.den);
    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    yield(s.den, invoked(s.den), false);
    CHECK_STR(answer_to(s.alice), "RESULT");
}

TEST(a_den_that_was_answered_and_lives_may_take_its_time)
{
    _scene_ s = scene_new();
    uint64_t invocation = ring_and_answer(&s);

    world_pass(s.w, VIGIL_ASK_MS);
    wire_answer(s.den);
    world_pass(s.w, 20000);
    CHECK(!wire_next(s.alice, &(struct rpc_msg){ 0 }));
    yield(s.den, invocation, false);
    CHECK_STR(answer_to(s.alice), "RESULT");
}

TEST(nobody_else_is_watched)
{
    _scene_ s = scene_new();
    struct wire *bob = join_peer(s.w, "123456");

    CHECK_STR(try_register(bob, "peer.123456.session.offer"), "REGISTERED");
    send_call(s.den, "peer.123456.session.offer", VIEW_ARR(none));
    world_pass(s.w, 20000);
    CHECK(!wire_next(s.den, &(struct rpc_msg){ 0 }));
}

TEST(a_den_that_leaves_meanwhile_is_not_asked)
{
    _scene_ s = scene_new();

    send_call(s.alice, "den.session.open", VIEW_ARR(none));
    invoked(s.den);
    world_pass(s.w, VIGIL_ASK_MS + 1);
    wire_drop(s.den);
    CHECK_STR(answer_to(s.alice), "network.error.den_away");
    world_pass(s.w, 5000);
    CHECK_STR(try_call(s.alice, "den.session.open", VIEW_ARR(none)), "network.error.den_away");
}

TEST(a_den_that_has_just_come_is_away_until_it_is_heard_of)
{
    _scene_ s = scene_new();

    CHECK_STR(try_call(s.alice, "den.session.close", VIEW_ARR(none)),
              "wamp.error.no_such_procedure");
    wire_drop(s.den);
    s.den = join_silent_den(s.w);
    CHECK_STR(try_call(s.alice, "den.session.close", VIEW_ARR(none)), "network.error.den_away");
    CHECK_STR(try_register(s.den, "den.session.open"), "REGISTERED");
    CHECK_STR(try_call(s.alice, "den.session.close", VIEW_ARR(none)), "network.error.den_away");
    den_beat(s.den);
    CHECK_STR(try_call(s.alice, "den.session.close", VIEW_ARR(none)),
              "wamp.error.no_such_procedure");
}
