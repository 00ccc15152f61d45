/* SPDX-License-Identifier: Apache-2.0 */
/* A realm of profile `standard` by the letter of WAMP's Basic Profile: what is a request's error,
 * and what ends the session. */
#include "tests/unit/rpc/json.h"
#include "tests/unit/router/app.h"

static void say(struct wire *wire, const char *json)
{
    _buf_ frame = { 0 };

    CHECK(json_to_msgpack(view_text(json), &frame));
    wire_say(wire, buf_view(&frame));
}

/* Basic Profile, "Incorrect URIs". */
TEST(an_invalid_uri_is_the_requests_error)
{
    static const struct {
        const char *json;
        enum rpc_type type;
    } cases[] = {
        { "[48, 1, {}, \"a..b\"]", RPC_CALL },
        { "[48, 2, {}, \"\"]", RPC_CALL },
        { "[48, 3, {}, \"a b\", [1], {\"k\": 2}]", RPC_CALL },
        { "[64, 4, {}, \"a#\"]", RPC_REGISTER },
        { "[64, 5, {\"match\": \"prefix\"}, \"a..b\"]", RPC_REGISTER },
        { "[32, 6, {}, \".a\"]", RPC_SUBSCRIBE },
        { "[32, 7, {\"match\": \"wildcard\"}, \"a.#.b\"]", RPC_SUBSCRIBE },
        { "[16, 8, {\"acknowledge\": true}, \"a.\"]", RPC_PUBLISH },
    };
    _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");
    struct wire *wire = app_join(w, "m0", "red", true);
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        say(wire, cases[i].json);
        if (!app_take(wire, RPC_ERROR, &msg))
            return;
        CHECK_U64(msg.error.request_type, cases[i].type);
        CHECK_U64(msg.error.request, i + 1);
        CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.invalid_uri"));
    }
    say(wire, "[16, 9, {}, \"a..b\"]"); /* nobody waits for an answer */
    CHECK(app_is_quiet(wire));
    wire->last_request = 9;
    CHECK(app_register(wire, "a.b", "exact", "single") != 0); /* and all goes on */
    say(wire, "[48, 9, {}, \"a..b\"]");                       /* but a number is used once */
    CHECK(app_take(wire, RPC_ABORT, &msg));
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.protocol_violation"));
}

TEST(in_our_own_realm_it_is_a_violation)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *wire = join_peer(w, "456000");
    struct rpc_msg msg;

    (void)den;
    say(wire, "[48, 1, {}, \"a..b\"]");
    CHECK(app_take(wire, RPC_ABORT, &msg));
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.protocol_violation"));
}

/* Basic Profile, "Protocol Errors": ABORT, everything is disposed of, and the transport goes. */
TEST(protocol_errors_end_the_session)
{
    static const char *const cases[] = {
        "[1, \"app\", {\"roles\": {\"caller\": {}}}]",
        "[2, 1, {\"roles\": {}}]",
        "[4, \"ticket\", {}]",
        "[5, \"s\", {}]",
        "[8, 48, 1, {}, \"a.b\"]",  /* only a callee's */
        "[8, 7, 1, {}, \"a.b\"]",   /* no request's type */
        "[8, 68, 99, {}, \"a.b\"]", /* no invocation of that number */
        "[70, 99, {}]",
        "[33, 1, 1]",
        "[36, 1, 1, {}]",
        "[50, 1, {}]",
        "[65, 1, 1]",
        "[68, 1, 1, {}]",
        "[]",
        "[99, 1]",
        "[48, 1]",
        "[48, 0, {}, \"a.b\"]",
        "[48, -1, {}, \"a.b\"]",
        "[48, 9007199254740993, {}, \"a.b\"]",
        "[48, 1, [], \"a.b\"]",
        "[48, 1, {}, 7]",
        "{\"a\": 1}",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");
        struct wire *wire = app_join(w, "m0", "red", true);
        struct rpc_msg msg;
        CHECK(app_register(wire, "a.b", "exact", "single") != 0);
        CHECK(app_subscribe(wire, "a.b", "exact", false) != 0);
        say(wire, cases[i]);
        if (!wire_next(wire, &msg) || msg.type != RPC_ABORT) {
            check_failed(__FILE__, __LINE__, "%s was taken", cases[i]);
            continue;
        }
        CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.protocol_violation"));
        CHECK(wire->is_closed);
        CHECK_U64(dealer_n_registrations(w->router->realms[1]->dealer), 0);
        CHECK_U64(broker_n_subscriptions(w->router->realms[1]->broker), 0);
    }
}

/* Before there is a session nothing but HELLO and ABORT is understood. */
TEST(what_comes_before_hello_is_a_protocol_error)
{
    static const char *const cases[] = { "[6, {}, \"wamp.close.normal\"]",
                                         "[8, 68, 1, {}, \"a.b\"]", "[48, 1, {}, \"a.b\"]",
                                         "[70, 1, {}]", "[5, \"s\", {}]" };
    _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = wire_new(w, "192.0.2.9");
        struct rpc_msg msg;
        say(wire, cases[i]);
        if (app_take(wire, RPC_ABORT, &msg))
            CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.protocol_violation"));
        CHECK(wire->is_closed);
    }
}

/* Basic Profile: a client announces the roles it has, one at least. Ours takes who says nothing of them. */
TEST(who_announces_no_role_is_refused)
{
    static const struct {
        const char *details;
        bool is_refused;
    } cases[] = {
        { "{}", true },
        { "{\"roles\": {}}", true },
        { "{\"roles\": {\"broker\": {}, \"dealer\": {}}}", true },
        { "{\"roles\": {\"caller\": {}}}", false },
        { "{\"roles\": {\"juggler\": {}, \"subscriber\": {\"features\": {}}}}", false },
    };

    _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");
    struct wire *ours = wire_new(w, "192.0.2.9");
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = wire_new(w, "192.0.2.9");
        _free_ char *hello = mem_format("[1, \"" APP_REALM "\", %s]", cases[i].details);
        say(wire, hello);
        if (app_take(wire, cases[i].is_refused ? RPC_ABORT : RPC_WELCOME, &msg) &&
            cases[i].is_refused)
            CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.protocol_violation"));
        CHECK(wire->is_closed == cases[i].is_refused);
    }
    say(ours, "[1, \"" WORLD_NETWORK "\", {}]"); /* a guest */
    CHECK(app_take(ours, RPC_WELCOME, &msg));
}

TEST(an_unusable_realm_is_said_to_be_that)
{
    _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");
    struct wire *wire = wire_new(w, "192.0.2.9");
    struct rpc_msg msg;

    say(wire, "[1, \"a realm\", {\"roles\": {\"caller\": {}}}]");
    CHECK(app_take(wire, RPC_ABORT, &msg));
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.invalid_uri"));
}

/* Of the two numbers that WAMP wants drawn from all there are. */
TEST(numbers_of_global_scope_are_drawn_from_all_there_are)
{
    _cleanup_(world_freep) struct world *w = app_world("profile = standard\n");
    uint64_t publications = 0, sessions = 0;
    struct wire *wire = app_join(w, "m0", "red", true);
    struct rpc_msg msg;

    for (unsigned i = 0; i < 64; i++) {
        app_publish(wire, &(struct rpc_publish){ .acknowledge = true }, "a.b", 1);
        if (!app_take(wire, RPC_PUBLISHED, &msg))
            return;
        CHECK(msg.ids.second >= 1 && msg.ids.second <= RPC_MAX_ID);
        publications |= msg.ids.second;
        sessions |= router_draw_session(w->router->realms[1]);
    }
    CHECK(publications >> 52 && sessions >> 52);
}
