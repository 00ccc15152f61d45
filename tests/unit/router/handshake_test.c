/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

#include <stdio.h>

/* A peer's wire just after a good CHALLENGE. */
static struct wire *challenged(struct world *w, const struct key *key)
{
    struct wire *wire = wire_new(w, "192.0.2.7");

    wire_hello(wire, key);
    CHECK(wire_challenge(wire));
    return wire;
}

static void show_admission(struct wire *wire, const struct key *key, struct view bytes,
                           struct view sig)
{
    _buf_ extra = { 0 };

    put_admission_extra(&extra, "admission", bytes, sig);
    wire_authenticate(wire, key, buf_view(&extra));
}

TEST(den_joins_by_its_listed_key)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);

    CHECK_STR(den->id, "den");
    CHECK_STR(den->role, "den");
    CHECK(den->is_trusted);
    CHECK(names_find(w->router->names, VIEW_LIT("den")) == den->conn);
}

TEST(a_peer_joins_by_its_admission)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;

    join_den(w);
    alice = join_peer(w, "456000");
    CHECK_STR(alice->id, "456000");
    CHECK_STR(alice->role, "peer");
    CHECK(alice->session > 0 && alice->session < RPC_MAX_ID);
}

TEST(an_admission_still_lets_in_while_den_is_away)
{
    _cleanup_(world_freep) struct world *w = world_new();

    wire_drop(join_den(w));
    CHECK_STR(join_peer(w, "456000")->id, "456000");
    world_restart(w); /* the heartbeat comes from disk then */
    CHECK_STR(join_peer(w, "456000")->id, "456000");
}

TEST(without_a_heartbeat_only_den_is_let_in)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *wire = challenged(w, key);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    world_admission(w, key, "456000", "peer", w->now.wall + DAY_MS, &bytes, sig);
    show_admission(wire, key, buf_view(&bytes), VIEW_ARR(sig));
    CHECK_STR(answer_to(wire), "ABORT network.error.den_away");
    CHECK(wire->is_closed);
}

TEST(a_stale_den_makes_admissions_stale)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *wire;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    wire_drop(join_den(w));
    world_pass(w, 25 * HOUR_MS);
    world_admission(w, key, "456000", "peer", w->now.wall + DAY_MS, &bytes, sig);
    wire = challenged(w, key);
    show_admission(wire, key, buf_view(&bytes), VIEW_ARR(sig));
    CHECK_STR(answer_to(wire), "ABORT network.error.den_away");
}

/* Each case changes one thing of a good admission. */
TEST(bad_admissions_are_refused)
{
    static const struct {
        const char *what, *id, *role, *answer, *why;
        int64_t life;
        bool other_key, other_signer, is_altered;
    } cases[] = {
        { "expired", "456000", "peer", "ABORT network.error.expired",
          "admission: not_after: has passed", -1, false, false, false },
        { "another key's", "456000", "peer", "ABORT network.error.wrong_key",
          "admission: client_pk: of another key than the one that was proved", 1000, true, false,
          false },
        { "self-signed", "456000", "peer", "ABORT network.error.bad_signature", NULL, 1000, false,
          true, false },
        { "altered", "456000", "peer", "ABORT network.error.bad_signature", NULL, 1000, false,
          false, true },
    };
    _cleanup_(world_freep) struct world *w = world_new();

    join_den(w);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(key_freep) struct key *key = key_new(), *other = key_new();
        struct wire *wire = challenged(w, key);
        uint8_t sig[SIG_SIZE];
        struct rpc_msg msg;
        _buf_ bytes = { 0 };
        _buf_ keep = { 0 };
        world_admission(w, cases[i].other_key ? other : key, cases[i].id, cases[i].role,
                        w->now.wall + (uint64_t)cases[i].life, &bytes, sig);
        if (cases[i].other_signer)
            key_sign(key, buf_view(&bytes), sig);
        if (cases[i].is_altered)
            bytes.data[bytes.len - 1] ^= 1;
        show_admission(wire, key, buf_view(&bytes), VIEW_ARR(sig));
        keep = buf_dup(buf_view(&wire->out));
        if (!CHECK_STR(answer_to(wire), cases[i].answer))
            fprintf(stderr, "# case: %s\n", cases[i].what);
        buf_put(&wire->out, buf_view(&keep));
        if (cases[i].why && CHECK(wire_next(wire, &msg)))
            CHECK_VIEW(msg.abort.message, view_text(cases[i].why));
        CHECK(wire->is_closed);
        CHECK(!wire->is_trusted);
        CHECK(!router_find(w->router, VIEW_LIT("456000")));
    }
}

/* Many machines may be behind one address: what was decided about one of them is nobody's fault there. */
TEST(who_slept_while_dens_key_was_replaced_is_not_at_fault)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    uint8_t sig[SIG_SIZE], forged[SIG_SIZE];
    struct wire *sleeper, *forger;
    _buf_ bytes = { 0 };

    join_den(w);
    world_admission(w, key, "456000", "peer", w->now.wall + DAY_MS, &bytes, sig);
    world_roll_sign(w);
    sleeper = challenged(w, key);
    show_admission(sleeper, key, buf_view(&bytes), VIEW_ARR(sig));
    CHECK_STR(answer_to(sleeper), "ABORT network.error.expired");
    CHECK_U64(sleeper->conn->fault, SOURCE_NO_FAULT);
    key_sign(key, buf_view(&bytes), forged);
    forger = challenged(w, key);
    show_admission(forger, key, buf_view(&bytes), VIEW_ARR(forged));
    CHECK_STR(answer_to(forger), "ABORT network.error.bad_signature");
    CHECK_U64(forger->conn->fault, SOURCE_AUTHENTICATION);
}

TEST(a_proof_is_bound_to_its_connection)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *first, *second;
    uint8_t sig[SIG_SIZE];
    _buf_ extra = { 0 };
    _buf_ bytes = { 0 };

    join_den(w);
    world_admission(w, key, "456000", "peer", w->now.wall + DAY_MS, &bytes, sig);
    put_admission_extra(&extra, "admission", buf_view(&bytes), VIEW_ARR(sig));
    first = challenged(w, key);
    second = challenged(w, key);
    second->proof = first->proof; /* replayed: the first connection's proof */
    wire_authenticate(second, key, buf_view(&extra));
    CHECK_STR(answer_to(second), "ABORT network.error.bad_signature");

    /* The same nonces over another TLS connection: somebody in between. */
    second = challenged(w, key);
    second->proof.binding_data[0] ^= 1;
    wire_authenticate(second, key, buf_view(&extra));
    CHECK_STR(answer_to(second), "ABORT network.error.bad_signature");

    /* The heartbeat is signed too: an old one cannot be slipped in. */
    second = challenged(w, key);
    second->proof.heartbeat_hash[0] ^= 1;
    wire_authenticate(second, key, buf_view(&extra));
    CHECK_STR(answer_to(second), "ABORT network.error.bad_signature");

    wire_authenticate(first, key, buf_view(&extra)); /* and the honest one still works */
    CHECK(wire_welcome(first));
}

TEST(another_keys_proof_is_refused)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *other = key_new();
    struct wire *wire;
    _buf_ extra = { 0 };

    join_den(w);
    rpc_put_map(&extra, 0);
    wire = challenged(w, w->den_login);
    wire_authenticate(wire, other, buf_view(&extra)); /* claims den's key, has another */
    CHECK_STR(answer_to(wire), "ABORT network.error.bad_signature");
    wire = challenged(w, w->den_sign); /* den-sign is no login */
    wire_authenticate(wire, w->den_sign, buf_view(&extra));
    CHECK_STR(answer_to(wire), "ABORT network.error.unlisted_key");
}

/* HELLO with one thing wrong. */
static void say_hello(struct wire *wire, const char *realm, const char *method, const char *binding,
                      size_t nonce_len)
{
    uint8_t bytes[32] = { 1 };
    struct rpc_msg msg = { .type = RPC_HELLO, .hello = { .realm = view_text(realm) } };
    _buf_ methods = { 0 };
    _buf_ extra = { 0 };

    rpc_put_array(&methods, 1);
    rpc_put_str(&methods, method);
    rpc_put_map(&extra, 6);
    rpc_put_str(&extra, "pubkey");
    rpc_put_bin(&extra, VIEW_ARR(bytes));
    rpc_put_str(&extra, "nonce");
    rpc_put_bin(&extra, VIEW(bytes, nonce_len));
    rpc_put_str(&extra, "binding");
    rpc_put_str(&extra, binding);
    rpc_put_str(&extra, "instance");
    rpc_put_bin(&extra, VIEW(bytes, 16));
    rpc_put_str(&extra, "manifest");
    rpc_put_u64(&extra, 0);
    rpc_put_str(&extra, "pin");
    rpc_put_bin(&extra, VIEW_ARR(bytes));
    msg.hello.authmethods = buf_view(&methods);
    msg.hello.authextra = buf_view(&extra);
    wire_send(wire, &msg);
}

TEST(bad_hellos_are_refused)
{
    static const struct {
        const char *realm, *method, *binding;
        size_t nonce_len;
        const char *answer;
    } cases[] = {
        { "other.example", "netsign", "tls-exporter", 32, "ABORT wamp.error.no_such_realm" },
        { WORLD_NETWORK, "cryptosign", "tls-exporter", 32,
          "ABORT wamp.error.no_matching_auth_method" },
        { WORLD_NETWORK, "netsign", "none", 32, "ABORT network.error.wrong_binding" },
        { WORLD_NETWORK, "netsign", "tls-server-end-point", 32,
          "ABORT network.error.wrong_binding" },
        { WORLD_NETWORK, "netsign", "tls-exporter", 31, "ABORT wamp.error.protocol_violation" },
        { WORLD_NETWORK, "netsign", "tls-exporter", 32,
          "ABORT network.error.bad_pin" }, /* an unknown root */
    };
    _cleanup_(world_freep) struct world *w = world_new();

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = wire_new(w, "192.0.2.7");
        say_hello(wire, cases[i].realm, cases[i].method, cases[i].binding, cases[i].nonce_len);
        CHECK_STR(answer_to(wire), cases[i].answer);
        CHECK(wire->is_closed);
    }
}

/* It signs bytes that a JSON client never saw. */
TEST(netsign_is_refused_to_a_client_that_speaks_json)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *wire = wire_new(w, "192.0.2.7");
    _cleanup_(key_freep) struct key *key = key_new();
    struct rpc_msg msg;

    wire->conn->is_json = true;
    wire_hello(wire, key);
    if (!CHECK(wire_next(wire, &msg)) || !CHECK(msg.type == RPC_ABORT))
        return;
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.no_matching_auth_method"));
    CHECK_VIEW(msg.abort.message,
               VIEW_LIT("HELLO: authmethods: netsign needs the sub-protocol wamp.2.msgpack"));
    CHECK(wire->is_closed);
}

TEST(one_challenge_a_connection)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *wire = challenged(w, key);

    wire_hello(wire, key);
    CHECK_STR(answer_to(wire), "ABORT wamp.error.protocol_violation");
    CHECK(wire->is_closed);
}

TEST(a_handshake_has_ten_seconds)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *silent = wire_new(w, "192.0.2.7"), *halfway = challenged(w, key),
                *den = join_den(w);

    world_pass(w, 9999);
    CHECK(!silent->is_closed && !halfway->is_closed);
    world_pass(w, 1);
    CHECK(silent->is_closed && halfway->is_closed);
    CHECK_STR(answer_to(silent), "ABORT wamp.error.timeout");
    CHECK(!den->is_closed);
}

/* ---- enrolment ------------------------------------------------------------------------------- */

static void put_enrolment(struct world *w, const struct key *key, struct buf *ret_extra,
                          uint8_t ret_hash[HASH_SIZE])
{
    uint8_t nonce[16] = { 3 }, sig[SIG_SIZE];
    struct rpc_enrol e = {
        .netid = VIEW_ARR(w->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .client_pk = key_public_view(key),
        .beacon = VIEW_ARR(w->beacon),
        .nonce = VIEW_ARR(nonce),
        .host = VIEW_LIT("laptop"),
    };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_ENROL, &e, key, &bytes, sig);
    hash_sha256(buf_view(&bytes), ret_hash);
    put_admission_extra(ret_extra, "enrol", buf_view(&bytes), VIEW_ARR(sig));
}

/* den answers the invocation that waits with an admission over `enrol_hash`. */
static void den_admits(struct wire *den, const struct key *key, const char *id,
                       const uint8_t enrol_hash[HASH_SIZE])
{
    struct world *w = den->world;
    struct rpc_admission a = {
        .netid = VIEW_ARR(w->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .id = view_text(id),
        .client_pk = key_public_view(key),
        .role = VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = w->now.wall,
        .not_after = w->now.wall + DAY_MS,
        .enrol_hash = VIEW(enrol_hash, HASH_SIZE),
    };
    uint8_t sig[SIG_SIZE];
    struct rpc_msg msg;
    _buf_ bytes = { 0 };
    _buf_ args = { 0 };

    if (!CHECK(wire_next(den, &msg)) || !CHECK(msg.type == RPC_INVOCATION))
        return;
    CHECK_U64(msg.invocation.caller, 0);
    CHECK_VIEW(msg.invocation.caller_authrole, VIEW_LIT("router"));
    CHECK_VIEW(msg.invocation.caller_authid, VIEW_LIT(""));
    CHECK_VIEW(msg.invocation.source, VIEW_LIT("192.0.2.7"));
    rpc_statement_sign(RPC_W_ADMISSION, &a, w->den_sign, &bytes, sig);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    wire_send(den, &(struct rpc_msg){
                       .type = RPC_YIELD,
                       .yield = { msg.invocation.request, false, rpc_args(buf_view(&args)) } });
}

static struct wire *den_that_admits(struct world *w)
{
    struct wire *den = join_den(w);

    CHECK_STR(try_register(den, "den.identity.admit"), "REGISTERED");
    return den;
}

TEST(a_newcomer_is_admitted_by_den)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = den_that_admits(w), *wire = challenged(w, key);
    uint8_t hash[HASH_SIZE];
    _buf_ extra = { 0 };

    put_enrolment(w, key, &extra, hash);
    wire_authenticate(wire, key, buf_view(&extra));
    CHECK(wire->conn->state == CONN_ADMITTING);
    den_admits(den, key, "123456", hash);
    CHECK(wire_welcome(wire));
    CHECK_STR(wire->id, "123456");
}

TEST(an_admission_for_another_enrolment_or_key_is_refused)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new(), *other = key_new();
    struct wire *den = den_that_admits(w);

    for (unsigned i = 0; i < 2; i++) {
        struct wire *wire = challenged(w, key);
        uint8_t hash[HASH_SIZE];
        _buf_ extra = { 0 };
        put_enrolment(w, key, &extra, hash);
        wire_authenticate(wire, key, buf_view(&extra));
        hash[0] ^= i == 0;
        den_admits(den, i == 1 ? other : key, "123456", hash);
        CHECK_STR(answer_to(wire),
                  i == 0 ? "ABORT network.error.bad_statement" : "ABORT network.error.wrong_key");
        CHECK(wire->is_closed);
    }
}

TEST(dens_refusal_reaches_the_newcomer_word_for_word)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = den_that_admits(w), *wire = challenged(w, key);
    uint8_t hash[HASH_SIZE];
    struct err no, back = { 0 };
    struct rpc_msg msg;
    _buf_ extra = { 0 };
    _buf_ payload = { 0 };

    put_enrolment(w, key, &extra, hash);
    wire_authenticate(wire, key, buf_view(&extra));
    if (!CHECK(wire_next(den, &msg)))
        return;
    err_set(&no, ERR_BAD_TOKEN, "the token is spent");
    rpc_error_put_payload(&no, &payload);
    wire_send(den, &(struct rpc_msg){ .type = RPC_ERROR,
                                      .error = { RPC_INVOCATION,
                                                 msg.invocation.request,
                                                 VIEW_LIT("den.error.bad_token"),
                                                 { buf_view(&payload), 2 } } });
    if (!CHECK(wire_next(wire, &msg)) || !CHECK(msg.type == RPC_ABORT))
        return;
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("den.error.bad_token"));
    rpc_error_read(msg.abort.reason, msg.abort.payload, &back);
    CHECK(back.code == ERR_BAD_TOKEN);
}

TEST(an_enrolment_waits_for_nobody)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *wire = challenged(w, key); /* den serves nothing yet */
    uint8_t hash[HASH_SIZE];
    struct rpc_msg msg;
    _buf_ extra = { 0 };

    put_enrolment(w, key, &extra, hash);
    wire_authenticate(wire, key, buf_view(&extra));
    CHECK_STR(answer_to(wire), "ABORT network.error.den_away");

    CHECK_STR(try_register(den, "den.identity.admit"), "REGISTERED");
    wire = challenged(w, key);
    wire_authenticate(wire, key, buf_view(&extra));
    wire_drop(wire); /* gone before the answer: which is dropped then */
    CHECK(wire_next(den, &msg));
    wire_send(den, &(struct rpc_msg){ .type = RPC_YIELD,
                                      .yield = { msg.invocation.request, false, { { 0 }, 0 } } });
    CHECK(!den->is_closed);

    wire = challenged(w, key);
    wire_authenticate(wire, key, buf_view(&extra));
    wire_drop(den); /* den leaves in the middle */
    CHECK_STR(answer_to(wire), "ABORT network.error.den_away");
}

TEST(an_enrolment_signed_by_another_key_does_not_reach_den)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new(), *other = key_new();
    struct wire *den = den_that_admits(w), *wire = challenged(w, key);
    uint8_t hash[HASH_SIZE];
    struct rpc_msg msg;
    _buf_ extra = { 0 };

    put_enrolment(w, other, &extra, hash);
    wire_authenticate(wire, key, buf_view(&extra));
    CHECK_STR(answer_to(wire), "ABORT network.error.bad_signature");
    CHECK(!wire_next(den, &msg));
}

/* ---- the same ID twice ----------------------------------------------------------------------- */

TEST(the_newest_connection_of_an_id_stays)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *first, *second;

    join_den(w);
    first = join_with(w, key, "456000", "peer");
    CHECK_STR(try_register(first, "peer.456000.x.y"), "REGISTERED");
    second = join_with(w, key, "456000", "peer");
    CHECK_STR(answer_to(first), "GOODBYE network.close.replaced");
    CHECK(first->is_closed && !second->is_closed);
    CHECK(router_find(w->router, VIEW_LIT("456000")) == second->conn);
    CHECK_STR(try_register(second, "peer.456000.x.y"),
              "REGISTERED"); /* the old one's went with it */
    wire_drop(first);
    CHECK(router_find(w->router, VIEW_LIT("456000")) == second->conn);
}

TEST(no_number_of_reconnects_leaves_anything_behind)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *peer = NULL;

    for (unsigned i = 0; i < 50; i++) {
        struct wire *before = peer;
        peer = join_with(w, key, "456000", "peer");
        CHECK_STR(try_register(peer, "peer.456000.session.offer"), "REGISTERED");
        CHECK_STR(try_subscribe(peer, "den.heartbeat"), "SUBSCRIBED");
        send_call(den, "peer.456000.session.offer", VIEW_LIT(""));
        if (before)
            CHECK_STR(answer_to(den), "wamp.error.canceled"); /* the one before never answered */
        if (before && i % 2)
            wire_drop(before);
    }
    CHECK_U64(map_count(w->router->by_id), 2);
    CHECK_U64(dealer_n_registrations(w->router->home->dealer), 1);
    CHECK_U64(dealer_n_calls(w->router->home->dealer), 1);
    CHECK_U64(broker_n_subscriptions(w->router->home->broker), 1);
}
