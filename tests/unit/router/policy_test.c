/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

enum {
    G = 1 << ROLE_GUEST,
    P = 1 << ROLE_PEER,
    A = 1 << ROLE_ADMIN,
    S = 1 << ROLE_SCRIPT,
    D = 1 << ROLE_DEN,
    ALL = G | P | A | S | D
};

/* Who may do what, without any grant; the peer and the admin are 456000. Everything that is not in
 * `who` is refused. */
static const struct {
    enum policy_verb verb;
    const char *uri;
    int who;
} cases[] = {
    { POLICY_REGISTER, "peer.456000.session.offer", P | A },
    { POLICY_REGISTER, "peer.456000.ice.update", P | A },
    { POLICY_REGISTER, "peer.456000.app.method", P | A },
    { POLICY_REGISTER, "peer.123456.session.offer", 0 },
    { POLICY_REGISTER, "peer.4560001.session.offer", 0 },
    { POLICY_REGISTER, "peer.45600.session.offer", 0 },
    { POLICY_REGISTER, "peer.456000", 0 },
    { POLICY_REGISTER, "peer", 0 },
    { POLICY_REGISTER, "peer.x", 0 },
    { POLICY_REGISTER, "Peer.456000.x", 0 },
    { POLICY_REGISTER, "den.session.open", D },
    { POLICY_REGISTER, "den.identity.admit", D },
    { POLICY_REGISTER, "den", D },
    { POLICY_REGISTER, "denx.identity.admit", 0 },
    { POLICY_REGISTER, "network.ping", 0 },
    { POLICY_REGISTER, "network.mine", 0 },
    { POLICY_REGISTER, "wamp.session.count", 0 },
    { POLICY_REGISTER, "com.example.add", 0 },

    { POLICY_PUBLISH, "peer.456000.news", P | A },
    { POLICY_PUBLISH, "peer.123456.news", 0 },
    { POLICY_PUBLISH, "den.heartbeat", D },
    { POLICY_PUBLISH, "den.session.on_state", D },
    { POLICY_PUBLISH, "network.peer.on_join", 0 },
    { POLICY_PUBLISH, "wamp.session.on_leave", 0 },
    { POLICY_PUBLISH, "com.example.news", 0 },

    { POLICY_SUBSCRIBE, "den.heartbeat", ALL },
    { POLICY_SUBSCRIBE, "den.ca.on_revoke", ALL },
    { POLICY_SUBSCRIBE, "den.session.on_state", P | A },
    { POLICY_SUBSCRIBE, "den.secret", D },
    { POLICY_SUBSCRIBE, "network.peer.on_join", A | D },
    { POLICY_SUBSCRIBE, "peer.456000.news", P | A },
    { POLICY_SUBSCRIBE, "peer.123456.news", 0 },
    { POLICY_SUBSCRIBE, "wamp.session.on_join", 0 },

    { POLICY_CALL, "network.info", ALL },
    { POLICY_CALL, "network.whoami", ALL },
    { POLICY_CALL, "network.ping", ALL },
    { POLICY_CALL, "network.resolve", ALL },
    { POLICY_CALL, "network.grant.install", D },
    { POLICY_CALL, "network.grant.remove", D },
    { POLICY_CALL, "network.router.certificate", D },
    { POLICY_CALL, "network.router.status", D },
    { POLICY_CALL, "network.reverse", ALL },
    { POLICY_CALL, "network.peer.get", A | D },
    { POLICY_CALL, "network.peer.list", A | D },
    { POLICY_CALL, "network.peer.kick", A | D },
    { POLICY_CALL, "network.grant.list", A | D },
    { POLICY_CALL, "network.stats", A | D },
    { POLICY_CALL, "wamp.session.count", 0 },
    { POLICY_CALL, "wamp.session.add_testament", ALL },
    { POLICY_CALL, "network.anything", 0 },
    { POLICY_CALL, "den.identity.admit", G | P | A },
    { POLICY_CALL, "den.identity.refresh", P | A },
    { POLICY_CALL, "den.ca.sign", P | A },
    { POLICY_CALL, "den.ca.chain", ALL },
    { POLICY_CALL, "den.ca.crl", ALL },
    { POLICY_CALL, "den.session.open", P | A },
    { POLICY_CALL, "den.session.close", P | A },
    { POLICY_CALL, "den.token.new", A },
    { POLICY_CALL, "den.policy.set", A },
    { POLICY_CALL, "den.unheard.of", 0 },
    { POLICY_CALL, "peer.123456.session.offer", D },
    { POLICY_CALL, "peer.123456.session.other", 0 },
    { POLICY_CALL, "peer.123456.session.packets", 0 },
    { POLICY_CALL, "peer.123456.session", 0 },
    { POLICY_CALL, "peer.123456.ice.update", 0 },
    { POLICY_CALL, "peer.123456.app.method", 0 },
    { POLICY_CALL, "peer.123456.app", 0 },
    { POLICY_CALL, "peer.456000.app.method", 0 }, /* itself */
    { POLICY_CALL, "wamp.session.kill", 0 },
    { POLICY_CALL, "com.example.add", 0 },
};

TEST(every_role_may_what_the_table_says_and_nothing_else)
{
    _cleanup_(world_freep) struct world *w = world_new();

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        for (int role = ROLE_GUEST; role <= ROLE_DEN; role++) {
            struct policy_ask ask = {
                .verb = cases[i].verb,
                .role = (enum role)role,
                .id = role == ROLE_DEN     ? VIEW_LIT("den")
                      : role == ROLE_GUEST ? VIEW_LIT("")
                                           : VIEW_LIT("456000"),
                .uri = view_text(cases[i].uri),
                .grants = w->router->grants,
                .now = WORLD_WALL,
            };
            bool may = policy_decide(&ask) == POLICY_ALLOWED;
            if (may != !!(cases[i].who & 1 << role))
                check_failed(
                    __FILE__, __LINE__, "%s %s %s: %s", role_name(ask.role),
                    (const char *[]){ "call", "register", "publish", "subscribe" }[ask.verb],
                    cases[i].uri, may ? "allowed" : "refused");
        }
    }
}

TEST(refusals_reach_the_wire_with_their_uri)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");

    CHECK_STR(try_register(alice, "peer.123456.session.offer"), "wamp.error.not_authorized");
    CHECK_STR(try_register(alice, "den.session.open"), "wamp.error.not_authorized");
    CHECK_STR(try_register(den, "peer.456000.session.offer"), "wamp.error.not_authorized");
    CHECK_STR(try_register(den, "network.ping"), "wamp.error.not_authorized");
    CHECK_STR(try_publish(alice, "den.heartbeat"), "wamp.error.not_authorized");
    CHECK_STR(try_publish(alice, "peer.123456.news"), "wamp.error.not_authorized");
    CHECK_STR(try_subscribe(alice, "network.peer.on_join"), "wamp.error.not_authorized");
    CHECK_STR(try_call(alice, "network.grant.install", VIEW_LIT("")), "wamp.error.not_authorized");
    CHECK_STR(try_call(alice, "peer.123456.ice.update", VIEW_LIT("")), "wamp.error.not_authorized");
    CHECK_STR(try_call(alice, "peer.123456.session.offer", VIEW_LIT("")),
              "wamp.error.not_authorized");
    CHECK(!alice->is_closed && !den->is_closed); /* a refusal is an answer, not a fault */
}

/* On component boundaries, for peers and not for guests; what is asked for whole must be open whole. */
TEST(what_the_realm_opens_belongs_to_all_peers)
{
    static const struct {
        const char *uri;
        bool is_ours;
    } names[] = {
        { "app.x", true },    { "app", true },        { "com.shop.a.b", true },
        { "apple.x", false }, { "com.other", false }, { "com", false },
    };
    _cleanup_(world_freep) struct world *w = world_with_realms(
        "[realm " WORLD_NETWORK "]\nmethods = netsign anonymous\nopen = app com.shop\n", "");
    struct wire *alice, *bob;
    struct rpc_msg msg;

    join_den(w);
    alice = join_peer(w, "456000");
    bob = join_peer(w, "123456");
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        const char *refused = names[i].is_ours ? NULL : "wamp.error.not_authorized";
        CHECK_STR(try_register(alice, names[i].uri), refused ? refused : "REGISTERED");
        CHECK_STR(try_publish(bob, names[i].uri), refused ? refused : "PUBLISHED");
        CHECK_STR(try_subscribe(bob, names[i].uri), refused ? refused : "SUBSCRIBED");
    }
    CHECK_STR(try_register(bob, "app.x"), "wamp.error.procedure_already_exists");
    send_call(bob, "app.x", VIEW_LIT(""));
    CHECK(wire_next(alice, &msg) && msg.type == RPC_INVOCATION);
    for (int role = ROLE_GUEST; role <= ROLE_DEN; role++) {
        struct policy_ask ask = { .verb = POLICY_PUBLISH,
                                  .role = (enum role)role,
                                  .uri = VIEW_LIT("app.x"),
                                  .is_open = true };
        CHECK((policy_decide(&ask) == POLICY_ALLOWED) == !!((P | A | S) & 1 << role));
    }
}

TEST(a_refusal_names_cause_and_remedy)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_msg msg;
    struct err back = { 0 };

    join_den(w);
    alice = join_peer(w, "456000");
    send_call(alice, "peer.123456.chat.say", VIEW_LIT(""));
    if (!CHECK(wire_next(alice, &msg)))
        return;
    rpc_error_read(msg.error.uri, msg.error.payload, &back);
    CHECK(strstr(back.text, "no grant of den lets 456000 call peer.123456.chat.say") != NULL);
}
