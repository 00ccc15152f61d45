/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

static const struct grant_facts alice_to_bob = {
    .sid = 1, .a = "456000", .b = "123456", .cap = "call:chat", .cap_back = "call:news"
};

static const char *code_of(struct world *w, struct view args)
{
    struct wire *den = w->wires[0];

    return try_call(den, "network.grant.install", args);
}

TEST(a_grant_opens_what_it_names_both_ways)
{
    static const struct {
        bool is_bob;
        const char *procedure, *answer;
    } cases[] = {
        { false, "peer.123456.ice.update",
          "wamp.error.no_such_procedure" }, /* allowed: nobody serves it here */
        { true, "peer.456000.ice.update", "wamp.error.no_such_procedure" },
        { false, "peer.123456.session.packets", "wamp.error.no_such_procedure" },
        { true, "peer.456000.session.packets", "wamp.error.no_such_procedure" },
        { false, "peer.123456.chat.say", "wamp.error.no_such_procedure" },
        { true, "peer.456000.news.read", "wamp.error.no_such_procedure" },
        { true, "peer.456000.chat.say", "network.error.capability" },
        { false, "peer.123456.news.read", "network.error.capability" },
        { false, "peer.123456.chat2.say", "network.error.capability" },
        { false, "peer.123456.chat", "wamp.error.not_authorized" },
        { false, "peer.123456.session.offer", "wamp.error.not_authorized" },
        { false, "peer.123456.ice.other", "wamp.error.not_authorized" },
        { false, "peer.777777.ice.update", "wamp.error.not_authorized" },
        { false, "peer.777777.session.packets", "wamp.error.not_authorized" },
    };
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "123456"),
                *eve = join_peer(w, "777777");

    CHECK_STR(install_grant(den, &alice_to_bob), "RESULT");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        if (!CHECK_STR(try_call(cases[i].is_bob ? bob : alice, cases[i].procedure, VIEW_LIT("")),
                       cases[i].answer))
            check_failed(__FILE__, __LINE__, "case: %s", cases[i].procedure);
    }
    CHECK_STR(try_call(eve, "peer.123456.ice.update", VIEW_LIT("")), "wamp.error.not_authorized");
    CHECK_STR(try_call(eve, "peer.123456.session.packets", VIEW_LIT("")),
              "wamp.error.not_authorized");
    CHECK_STR(try_call(eve, "peer.456000.chat.say", VIEW_LIT("")), "wamp.error.not_authorized");
}

TEST(a_removed_grant_closes_again)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    uint8_t sid[RPC_SID];
    _buf_ args = { 0 };

    memset(sid, alice_to_bob.sid, sizeof(sid));
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(sid));
    CHECK_STR(try_call(den, "network.grant.remove", buf_view(&args)), "network.error.not_found");
    CHECK_STR(install_grant(den, &alice_to_bob), "RESULT");
    CHECK_STR(try_call(alice, "peer.123456.ice.update", VIEW_LIT("")),
              "wamp.error.no_such_procedure");
    CHECK_STR(try_call(den, "network.grant.remove", buf_view(&args)), "RESULT");
    CHECK_STR(try_call(alice, "peer.123456.ice.update", VIEW_LIT("")), "wamp.error.not_authorized");
    CHECK_U64(grants_count(w->router->grants), 0);
}

TEST(a_grant_ends_when_it_says_so)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct grant_facts facts = alice_to_bob;

    facts.live_until = w->now.wall + 60 * SECOND_MS;
    CHECK_STR(install_grant(den, &facts), "RESULT");
    world_pass(w, 59 * SECOND_MS);
    CHECK_STR(try_call(alice, "peer.123456.ice.update", VIEW_LIT("")),
              "wamp.error.no_such_procedure");
    world_pass(w, SECOND_MS);
    CHECK_STR(try_call(alice, "peer.123456.ice.update", VIEW_LIT("")), "wamp.error.not_authorized");
}

TEST(bad_grants_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *stranger = key_new();
    struct wire *den = join_den(w);
    struct grant_facts facts = alice_to_bob;
    _buf_ foreign = { 0 };
    _buf_ login = { 0 };
    _buf_ altered = { 0 };
    _buf_ expired = { 0 };
    _buf_ old = { 0 };
    _buf_ other_network = { 0 };

    world_grant(w, &facts, stranger, &foreign);
    CHECK_STR(code_of(w, buf_view(&foreign)), "network.error.bad_signature");
    world_grant(w, &facts, w->den_login, &login); /* den's other key does not sign grants */
    CHECK_STR(code_of(w, buf_view(&login)), "network.error.bad_signature");
    world_grant(w, &facts, NULL, &altered);
    altered.data[altered.len / 2] ^= 1;
    CHECK_STR(code_of(w, buf_view(&altered)), "network.error.bad_signature");
    facts.live_until = w->now.wall;
    world_grant(w, &facts, NULL, &expired);
    CHECK_STR(code_of(w, buf_view(&expired)), "network.error.expired");
    facts.live_until = 0;
    w->netid[0] ^= 1;
    world_grant(w, &facts, NULL, &other_network);
    w->netid[0] ^= 1;
    CHECK_STR(code_of(w, buf_view(&other_network)), "network.error.bad_statement");
    world_grant(w, &facts, NULL,
                &old); /* two heartbeats later it is nobody's permission any more */
    den_beat(den);
    den_beat(den);
    CHECK_STR(code_of(w, buf_view(&old)), "network.error.stale");
    CHECK_U64(grants_count(w->router->grants), 0);
}

TEST(one_sid_one_grant)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    struct grant_facts facts = alice_to_bob;

    CHECK_STR(install_grant(den, &facts), "RESULT");
    CHECK_STR(install_grant(den, &facts),
              "RESULT"); /* the same again: den repeats itself after a lost answer */
    facts.cap = "call:everything";
    CHECK_STR(install_grant(den, &facts), "network.error.replayed");
    CHECK_U64(grants_count(w->router->grants), 1);
}

TEST(malformed_installs_are_refused)
{
    static const struct {
        const char *hex;
    } cases[] = {
        { "90" },             /* [] */
        { "92c0c0" },         /* [nil, nil] */
        { "92c401aac401bb" }, /* too short a signature */
        { "91a161" },         /* text */
    };
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        size_t n = strlen(cases[i].hex) / 2;
        _buf_ args = { 0 };
        CHECK(text_read_hex(view_text(cases[i].hex), buf_grow(&args, n), n));
        CHECK_STR(code_of(w, buf_view(&args)), "wamp.error.invalid_argument");
        CHECK(!den->is_closed);
    }
}
