/* SPDX-License-Identifier: Apache-2.0 */
/* One key in two processes, and what is none. */
#include "router/clone.h"
#include "tests/unit/router/world.h"

#define ALICE "456000"

/* Everything that a process does to join, up to its proof. */
static struct wire *come(struct world *w, const struct key *key, const char *address,
                         const uint8_t *instance)
{
    struct wire *wire = wire_new(w, address);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    _buf_ extra = { 0 };

    if (instance)
        memcpy(wire->instance, instance, sizeof(wire->instance));
    world_admission(w, key, ALICE, "peer", w->now.wall + DAY_MS, &bytes, sig);
    put_admission_extra(&extra, "admission", buf_view(&bytes), VIEW_ARR(sig));
    wire_hello(wire, key);
    CHECK(wire_challenge(wire));
    wire_authenticate(wire, key, buf_view(&extra));
    return wire;
}

struct scene {
    struct world *w;
    struct key *key;
    struct wire *den, *bob, *first;
};

static void scene_init(struct scene *s)
{
    s->w = world_new();
    s->key = key_new();
    s->den = join_den(s->w);
    s->bob = join_peer(s->w, "123456");
    s->first = join_with(s->w, s->key, ALICE, "peer");
}

static void scene_deinit(struct scene *s)
{
    world_free(s->w);
    key_free(s->key);
}

#define SCENE(s)                                                                                   \
    _cleanup_(scene_deinit) struct scene s = { 0 };                                                \
    scene_init(&s)

static bool is_in(const struct scene *s, const struct wire *wire)
{
    return wire->conn && router_find(s->w->router, VIEW_LIT(ALICE)) == wire->conn;
}

TEST(the_same_process_takes_its_own_place_at_once)
{
    SCENE(s);
    struct wire *again = come(s.w, s.key, "192.0.2.7", s.first->instance);

    CHECK(wire_welcome(again));
    CHECK_STR(answer_to(s.first), "GOODBYE network.close.replaced");
    CHECK(is_in(&s, again));
    CHECK_U64(s.first->n_asked, 0);
    CHECK_U64(s.w->router->metrics.counter[METRIC_SESSIONS_CLONED], 0);
}

TEST(a_second_process_is_refused_while_the_first_lives)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);

    CHECK_U64(s.first->n_asked, 1);
    CHECK_U64(second->out.len, 0); /* it waits */
    world_pass(s.w, CLONE_ANSWER_MS - 1);
    CHECK_U64(second->out.len, 0);
    wire_answer(s.first);
    CHECK_STR(answer_to(second), "ABORT network.error.clone");
    CHECK(second->is_closed);
    CHECK(is_in(&s, s.first));
    CHECK_STR(try_call(s.first, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_U64(s.w->router->metrics.counter[METRIC_SESSIONS_CLONED], 1);
    wire_drop(second);
    world_pass(s.w, 2 * CLONE_ANSWER_MS);
    CHECK(is_in(&s, s.first));
}

TEST(who_gives_no_sign_of_life_is_replaced)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);

    world_pass(s.w, CLONE_ANSWER_MS - 1);
    CHECK_U64(second->out.len, 0);
    world_pass(s.w, 1);
    CHECK(wire_welcome(second));
    CHECK_STR(answer_to(s.first), "GOODBYE network.close.replaced");
    CHECK(is_in(&s, second));
    CHECK_U64(s.w->router->metrics.counter[METRIC_SESSIONS_CLONED], 0);
    router_answered(s.first->conn, s.w->now, s.first->asked); /* too late */
    CHECK(is_in(&s, second));
}

TEST(who_is_gone_meanwhile_is_not_waited_for)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);

    world_pass(s.w, 10);
    wire_drop(s.first); /* its process was killed, and its system says so */
    world_pass(s.w, 1);
    CHECK(wire_welcome(second));
    CHECK(is_in(&s, second));
}

/* A pong on its way since long before shows nothing. */
TEST(only_the_answer_to_that_very_ping_is_a_sign)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);

    router_answered(s.first->conn, s.w->now, s.first->asked + 1);
    router_answered(s.bob->conn, s.w->now, s.first->asked);
    world_pass(s.w, CLONE_ANSWER_MS);
    CHECK(wire_welcome(second));
}

TEST(a_newcomer_that_leaves_is_forgotten)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);

    wire_drop(second);
    wire_answer(s.first);
    world_pass(s.w, 2 * CLONE_ANSWER_MS);
    CHECK(is_in(&s, s.first));
    CHECK_U64(s.w->router->metrics.counter[METRIC_SESSIONS_CLONED], 0);
}

/* The faster one is in; the other one is in its place what the first was to it. */
TEST(of_two_newcomers_the_second_asks_the_first)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL), *third;

    world_pass(s.w, 10);
    third = come(s.w, s.key, "192.0.2.8", NULL);
    CHECK_U64(s.first->n_asked, 2);
    world_pass(s.w, CLONE_ANSWER_MS - 10);
    CHECK(wire_welcome(second));
    CHECK(is_in(&s, second));
    CHECK_U64(second->n_asked, 1);
    CHECK_U64(third->out.len, 0);
    wire_answer(second);
    CHECK_STR(answer_to(third), "ABORT network.error.clone");
    CHECK(is_in(&s, second));
}

TEST(what_is_revoked_while_it_waits_stays_out)
{
    SCENE(s);
    struct wire *second = come(s.w, s.key, "192.0.2.7", NULL);
    _buf_ item = { 0 };
    _buf_ args = { 0 };

    world_revoke(s.w, RPC_REVOKED_IDENTITY, ALICE, key_public_view(s.key), &item);
    rpc_put_array(&args, 1);
    rpc_put_array(&args, 1);
    rpc_put_raw(&args, buf_view(&item));
    CHECK_STR(try_call(s.den, "network.revocations.install", buf_view(&args)), "RESULT");
    CHECK_STR(answer_to(s.first), "GOODBYE network.error.revoked");
    world_pass(s.w, CLONE_ANSWER_MS);
    CHECK_STR(answer_to(second), "ABORT network.error.revoked");
}

TEST(den_is_there_once_too)
{
    SCENE(s);
    struct wire *copy = wire_new(s.w, "127.0.0.2");
    _buf_ extra = { 0 };

    rpc_put_map(&extra, 0);
    wire_hello(copy, s.w->den_login);
    CHECK(wire_challenge(copy));
    wire_authenticate(copy, s.w->den_login, buf_view(&extra));
    CHECK_U64(s.den->n_asked, 1);
    wire_answer(s.den);
    CHECK_STR(answer_to(copy), "ABORT network.error.clone");
    den_beat(s.den);
}

/* ---- who hears of it ------------------------------------------------------------------------- */

static const char topic[] = "network.peer.on_clone";

static bool hears(struct wire *wire, const char *id, const char *other)
{
    struct rpc_fields f;
    struct rpc_msg msg;

    if (!wire_next(wire, &msg) || msg.type != RPC_EVENT)
        return false;
    rpc_fields_open(&f, rpc_payload_args(msg.event.payload));
    CHECK_VIEW(rpc_fields_text(&f, "id", RPC_MAX_URI), view_text(id));
    CHECK_VIEW(rpc_fields_text(&f, "address", RPC_MAX_URI), VIEW_LIT("192.0.2.1"));
    CHECK_VIEW(rpc_fields_text(&f, "other address", RPC_MAX_URI), view_text(other));
    return CHECK(rpc_fields_u64(&f, "at") != 0);
}

TEST(both_and_the_operators_hear_of_it_and_nobody_else)
{
    SCENE(s);
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *admin = join_with(s.w, key, "777000", "admin"), *second;
    struct rpc_msg msg;

    CHECK_STR(try_subscribe(s.first, topic), "SUBSCRIBED");
    CHECK_STR(try_subscribe(s.den, topic), "SUBSCRIBED");
    CHECK_STR(try_subscribe(s.bob, topic), "SUBSCRIBED");
    CHECK_STR(try_subscribe(admin, topic), "SUBSCRIBED");
    second = come(s.w, s.key, "192.0.2.7", NULL);
    wire_answer(s.first);
    world_pass(s.w, 1);
    CHECK(hears(s.first, ALICE, "192.0.2.7"));
    CHECK(hears(s.den, ALICE, "192.0.2.7"));
    CHECK(hears(admin, ALICE, "192.0.2.7"));
    CHECK(!wire_next(s.bob, &msg));
    wire_drop(second);
}

/* It comes again and again: whoever is there hears so once a minute. */
TEST(one_that_tries_on_is_told_of_once_a_minute)
{
    SCENE(s);
    unsigned n = 0;

    CHECK_STR(try_subscribe(s.first, topic), "SUBSCRIBED");
    for (int i = 0; i < 12; i++) {
        struct wire *copy = come(s.w, s.key, "192.0.2.7", NULL);
        wire_answer(s.first);
        CHECK_STR(answer_to(copy), "ABORT network.error.clone");
        wire_drop(copy);
        world_pass(s.w, 10000);
        while (s.first->out.len)
            n += hears(s.first, ALICE, "192.0.2.7");
    }
    CHECK_U64(n, 2);
}
