/* SPDX-License-Identifier: Apache-2.0 */
/* Methods other than netsign, and realms beside the network's own. */
#include "base/base64.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/unit/router/world.h"

#include <stdio.h>

#define APP "app.one"

/* The key of 32 bytes 0x11 as a seed; "secret" salted with "salt123", 1000 rounds, 32 bytes. */
static const char derived[] = "MDS8Yxpu4J/vkHJ8dNEgqECYsI0uRDh2oZ5eN0vYPvo=";

static struct key *joes_key(void)
{
    uint8_t seed[SEED_SIZE];

    memset(seed, 0x11, sizeof(seed));
    return key_from_seed(seed);
}

static struct world *make_world(void)
{
    _cleanup_(key_freep) struct key *key = NULL;
    _buf_ people = { 0 };
    struct err err;

    if (!key_init(&err))
        abort();
    key = joes_key();
    buf_printf(&people, "[principal joe]\nrole = frontend\nticket = open sesame\nkeys = ");
    text_put_hex(&people, key_public_view(key));
    buf_printf(&people,
               "\n[principal plain]\nrole = backend\nsecret = secret2\n"
               "[principal salted]\nrole = backend\nsecret = %s\nsalt = salt123\n",
               derived);
    return world_with_realms("[realm " APP "]\nmethods = cryptosign wampcra ticket anonymous\n"
                             "principals = principals\nrouter_key = app.key\nmeta = backend\n"
                             "[realm locked]\nmethods = ticket\nprincipals = principals\n"
                             "[realm " WORLD_NETWORK "]\nmethods = netsign anonymous\n",
                             buf_cstr(&people));
}

static void hello(struct wire *wire, const char *realm, const char *methods, const char *authid,
                  struct view extra)
{
    struct rpc_msg msg = {
        .type = RPC_HELLO,
        .hello = { .realm = view_text(realm), .authid = view_text(authid), .authextra = extra }
    };
    struct view left = view_text(methods);
    _buf_ list = { 0 };
    uint32_t n = 0;

    for (size_t i = 0; i < left.len; i++)
        n += i == 0 || left.data[i] == ' ';
    rpc_put_array(&list, n);
    while (left.len) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t len = space ? (size_t)(space - left.data) : left.len;
        rpc_put_text(&list, view_sub(left, 0, len));
        left = view_sub(left, len + 1, left.len);
    }
    msg.hello.authmethods = n ? buf_view(&list) : (struct view){ 0 };
    wire_send(wire, &msg);
}

static void authenticate(struct wire *wire, struct view signature)
{
    _buf_ extra = { 0 };
    _buf_ frame = { 0 };

    rpc_put_map(&extra, 0);
    rpc_put_array(&frame, 3); /* stock clients send text */
    rpc_put_u64(&frame, RPC_AUTHENTICATE);
    rpc_put_text(&frame, signature);
    rpc_put_raw(&frame, buf_view(&extra));
    wire_say(wire, buf_view(&frame));
}

static bool challenged(struct wire *wire, const char *method, struct rpc_msg *ret_msg)
{
    return CHECK(wire_next(wire, ret_msg)) && CHECK(ret_msg->type == RPC_CHALLENGE) &&
           CHECK(view_eq_text(ret_msg->challenge.method, method));
}

TEST(whoever_says_nothing_of_himself_is_anonymous)
{
    static const char *const methods[] = { "", "anonymous", "wamp-scram anonymous" };
    _cleanup_(world_freep) struct world *w = make_world();

    for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
        struct wire *guest = wire_new(w, "192.0.2.9"), *user = wire_new(w, "192.0.2.9");
        hello(guest, WORLD_NETWORK, methods[i], "456000", (struct view){ 0 });
        CHECK(wire_welcome(guest));
        CHECK_STR(guest->role, "guest");
        CHECK(strncmp(guest->id, "anonymous-", 10) == 0); /* a name is not taken over */
        CHECK(!guest->is_trusted);                        /* its messages stay short */
        hello(user, APP, methods[i], "", (struct view){ 0 });
        CHECK(wire_welcome(user));
        CHECK_STR(user->role, "anonymous");
    }
}

TEST(what_a_realm_does_not_take_is_refused)
{
    static const struct {
        const char *realm, *methods, *answer;
    } cases[] = {
        { "nowhere", "anonymous", "ABORT wamp.error.no_such_realm" },
        { APP, "netsign", "ABORT wamp.error.no_matching_auth_method" },
        { APP, "wamp-scram", "ABORT wamp.error.no_matching_auth_method" },
        { "locked", "anonymous", "ABORT wamp.error.no_matching_auth_method" },
        { "locked", "", "ABORT wamp.error.no_matching_auth_method" },
        { WORLD_NETWORK, "ticket", "ABORT wamp.error.no_matching_auth_method" },
        /* netsign beside another could be talked out of netsign */
        { WORLD_NETWORK, "netsign anonymous", "ABORT wamp.error.no_matching_auth_method" },
        { WORLD_NETWORK, "netsign netsign", "ABORT wamp.error.no_matching_auth_method" },
    };
    _cleanup_(world_freep) struct world *w = make_world();

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = wire_new(w, "192.0.2.9");
        hello(wire, cases[i].realm, cases[i].methods, "", (struct view){ 0 });
        CHECK_STR(answer_to(wire), cases[i].answer);
        CHECK(wire->is_closed);
    }
}

TEST(tickets)
{
    static const struct {
        const char *authid, *ticket;
        bool is_good;
    } cases[] = {
        { "joe", "open sesame", true },   { "joe", "open sesam", false },  { "joe", "", false },
        { "joe", "open sesame ", false }, { "ann", "open sesame", false }, { "", "", false },
        { "plain", "", false }, /* has no ticket */
        { "plain", "secret2", false },
    };
    _cleanup_(world_freep) struct world *w = make_world();
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = wire_new(w, "192.0.2.9");
        hello(wire, APP, "ticket", cases[i].authid, (struct view){ 0 });
        if (!challenged(wire, "ticket", &msg)) /* whoever it is: who is known stays a secret */
            return;
        authenticate(wire, view_text(cases[i].ticket));
        if (!cases[i].is_good) {
            CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
            CHECK(wire->is_closed);
            continue;
        }
        CHECK(wire_welcome(wire));
        CHECK_STR(wire->id, "joe");
        CHECK_STR(wire->role, "frontend");
    }
}

/* ---- wampcra --------------------------------------------------------------------------------- */

static void prove_cra(struct wire *wire, struct view text, const char *secret)
{
    uint8_t mac[HASH_SIZE];
    _buf_ proof = { 0 };

    hmac_sha256(view_text(secret), text, mac);
    base64_put(&proof, VIEW_ARR(mac));
    authenticate(wire, buf_view(&proof));
}

static struct wire *try_cra(struct world *w, const char *authid, const char *secret,
                            struct buf *ret_salt)
{
    struct wire *wire = wire_new(w, "192.0.2.9");
    struct view text = { 0 }, salt = { 0 };
    struct rpc_msg msg;
    uint64_t n;

    hello(wire, APP, "wampcra", authid, (struct view){ 0 });
    if (!challenged(wire, "wampcra", &msg))
        return wire;
    CHECK(rpc_map_text(msg.challenge.extra, "challenge", &text));
    buf_clear(ret_salt);
    if (rpc_map_text(msg.challenge.extra, "salt", &salt)) {
        buf_put(ret_salt, salt);
        CHECK(rpc_map_u64(msg.challenge.extra, "iterations", &n) && n == 1000);
        CHECK(rpc_map_u64(msg.challenge.extra, "keylen", &n) && n == 32);
    }
    prove_cra(wire, text, secret);
    return wire;
}

TEST(challenge_and_response)
{
    static const struct {
        const char *authid, *secret;
        bool is_good;
    } cases[] = {
        { "plain", "secret2", true },  { "plain", "secret3", false }, { "salted", derived, true },
        { "salted", "secret", false }, { "joe", "", false },          { "nobody", "", false },
    };
    _cleanup_(world_freep) struct world *w = make_world();
    _buf_ salt = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *wire = try_cra(w, cases[i].authid, cases[i].secret, &salt);
        if (cases[i].is_good)
            CHECK(wire_welcome(wire));
        else
            CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
        CHECK(wire->is_closed == !cases[i].is_good);
        if (strcmp(cases[i].authid, "salted") == 0)
            CHECK_VIEW(buf_view(&salt), VIEW_LIT("salt123"));
    }
}

TEST(who_is_unknown_gets_a_salt_that_stays)
{
    _cleanup_(world_freep) struct world *w = make_world();
    _buf_ first = { 0 };
    _buf_ second = { 0 };
    _buf_ other = { 0 };

    try_cra(w, "nobody", "x", &first);
    try_cra(w, "nobody", "x", &second);
    try_cra(w, "somebody", "x", &other);
    CHECK(first.len > 0);
    CHECK_VIEW(buf_view(&first), buf_view(&second));
    CHECK(!view_eq(buf_view(&first), buf_view(&other)));
}

TEST(a_name_that_breaks_the_challenge_is_refused)
{
    _cleanup_(world_freep) struct world *w = make_world();
    struct wire *wire = wire_new(w, "192.0.2.9");

    hello(wire, APP, "wampcra", "a\",\"authrole\":\"x", (struct view){ 0 });
    CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
}

/* ---- cryptosign ------------------------------------------------------------------------------ */

static void put_crypto_extra(struct buf *to, const struct key *key, struct view challenge)
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, key_public_view(key));
    rpc_put_map(to, 4);
    rpc_put_str(to, "pubkey");
    rpc_put_text(to, buf_view(&hex));
    rpc_put_str(to, "trustroot"); /* stock clients send nil for what they have not */
    rpc_put_nil(to);
    rpc_put_str(to, "channel_binding");
    rpc_put_nil(to);
    rpc_put_str(to, "challenge");
    if (challenge.len)
        rpc_put_text(to, challenge);
    else
        rpc_put_nil(to);
}

static bool ask_crypto(struct wire *wire, const struct key *key, const char *authid,
                       uint8_t ret_challenge[32])
{
    struct view text;
    struct rpc_msg msg;
    _buf_ extra = { 0 };

    put_crypto_extra(&extra, key, (struct view){ 0 });
    hello(wire, APP, "cryptosign", authid, buf_view(&extra));
    return challenged(wire, "cryptosign", &msg) &&
           CHECK(rpc_map_text(msg.challenge.extra, "challenge", &text)) &&
           CHECK(text_read_hex(text, ret_challenge, 32)) &&
           CHECK(!rpc_map_get(msg.challenge.extra, "signature", &text));
}

static void prove_crypto(struct wire *wire, const struct key *key, const uint8_t signed_[32],
                         const uint8_t said[32])
{
    uint8_t sig[SIG_SIZE];
    _buf_ hex = { 0 };

    key_sign(key, VIEW(signed_, 32), sig);
    text_put_hex(&hex, VIEW_ARR(sig));
    text_put_hex(&hex, VIEW(said, 32));
    authenticate(wire, buf_view(&hex));
}

TEST(cryptosign_lets_in_the_key_that_was_written_down)
{
    static const struct {
        const char *authid;
        bool is_joes, is_good;
    } cases[] = {
        { "joe", true, true },
        { "", true, true },
        { "plain", true, false },
        { "joe", false, false },
    };
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key(), *other = key_new();
    uint8_t challenge[32];

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct key *key = cases[i].is_joes ? joe : other;
        struct wire *wire = wire_new(w, "192.0.2.9");
        if (!ask_crypto(wire, key, cases[i].authid, challenge))
            return;
        prove_crypto(wire, key, challenge, challenge);
        if (!cases[i].is_good) {
            CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
            continue;
        }
        CHECK(wire_welcome(wire));
        CHECK_STR(wire->id, "joe");
    }
}

/* The 96 bytes verify by themselves: they have to be about this connection's challenge. */
TEST(cryptosign_refuses_a_proof_that_was_given_before)
{
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key();
    struct wire *first = wire_new(w, "192.0.2.9"), *replay = wire_new(w, "198.51.100.1"),
                *forged = wire_new(w, "198.51.100.1"), *shorter = wire_new(w, "198.51.100.1");
    uint8_t old[32], fresh[32];

    if (!ask_crypto(first, joe, "joe", old) || !ask_crypto(replay, joe, "joe", fresh))
        return;
    prove_crypto(first, joe, old, old);
    CHECK(wire_welcome(first));
    prove_crypto(replay, joe, old, old);
    CHECK_STR(answer_to(replay), "ABORT wamp.error.authentication_failed");
    if (!ask_crypto(forged, joe, "joe", fresh) || !ask_crypto(shorter, joe, "joe", old))
        return;
    prove_crypto(forged, joe, old, fresh); /* signs one, says the other */
    CHECK_STR(answer_to(forged), "ABORT wamp.error.authentication_failed");
    authenticate(shorter, VIEW_LIT("00ff"));
    CHECK_STR(answer_to(shorter), "ABORT wamp.error.authentication_failed");
}

TEST(cryptosign_gives_one_challenge_a_connection)
{
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key();
    struct wire *wire = wire_new(w, "192.0.2.9");
    uint8_t challenge[32];
    _buf_ extra = { 0 };

    if (!ask_crypto(wire, joe, "joe", challenge))
        return;
    put_crypto_extra(&extra, joe, (struct view){ 0 });
    hello(wire, APP, "cryptosign", "joe", buf_view(&extra));
    CHECK_STR(answer_to(wire), "ABORT wamp.error.protocol_violation");
    CHECK(wire->is_closed);
}

TEST(the_router_proves_itself_too_when_it_is_asked)
{
    static const char challenge[] =
        "ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00";
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key();
    struct wire *wire = wire_new(w, "192.0.2.9");
    uint8_t pk[KEY_SIZE], proof[SIG_SIZE + 32], asked[32];
    struct view text;
    struct rpc_msg msg;
    _buf_ extra = { 0 };

    put_crypto_extra(&extra, joe, view_text(challenge));
    hello(wire, APP, "cryptosign", "joe", buf_view(&extra));
    if (!challenged(wire, "cryptosign", &msg))
        return;
    CHECK(rpc_map_text(msg.challenge.extra, "pubkey", &text) && text_read_hex(text, pk, KEY_SIZE));
    CHECK(rpc_map_text(msg.challenge.extra, "signature", &text) &&
          text_read_hex(text, proof, sizeof(proof)));
    CHECK(text_read_hex(view_text(challenge), asked, sizeof(asked)));
    CHECK_VIEW(VIEW(proof + SIG_SIZE, 32), VIEW_ARR(asked));
    CHECK(key_verify(VIEW_ARR(pk), VIEW_ARR(asked), VIEW(proof, SIG_SIZE)));
    /* not with the key of netsign: that one signs no bytes that others chose */
    CHECK(!view_eq(VIEW_ARR(pk), key_public_view(w->router_key)));
}

/* The signature of one method is worth nothing in the other. */
TEST(a_key_belongs_to_one_method)
{
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key();
    struct wire *wire = wire_new(w, "192.0.2.9");

    join_den(w);
    wire_hello(wire, joe);
    CHECK_STR(answer_to(wire), "ABORT network.error.wrong_key");
    CHECK(wire->is_closed);
}

static bool is_refused(struct world *w, const struct key *key)
{
    struct wire *wire = wire_new(w, "192.0.2.9");
    uint8_t challenge[32];
    struct rpc_msg msg;

    if (!ask_crypto(wire, key, "joe", challenge))
        return false;
    prove_crypto(wire, key, challenge, challenge);
    return wire_next(wire, &msg) && msg.type == RPC_ABORT &&
           CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.error.authentication_failed"));
}

static struct realms *with_joe(struct world *w)
{
    struct realms *realms = NULL;
    struct err err = { 0 };

    CHECK(realms_read(w->realms, WORLD_NETWORK, &realms, NULL, &err));
    return realms;
}

/* Written down for cryptosign after it came by netsign: refused while it is here, when it is gone,
 * and by the next process. */
TEST(a_key_that_ever_came_by_netsign_is_refused_by_cryptosign)
{
    _cleanup_(world_freep) struct world *w = make_world();
    _cleanup_(key_freep) struct key *joe = joes_key();
    struct wire *peer;

    router_reload(w->router, w->now, NULL); /* nobody is written down yet */
    join_den(w);
    peer = join_with(w, joe, "456000", "peer");
    CHECK(peer != NULL);
    router_reload(w->router, w->now, with_joe(w));
    CHECK(is_refused(w, joe));
    wire_drop(peer);
    CHECK(is_refused(w, joe));
    CHECK_U64(w->kept_netkeys.len, 0);
    world_pass(w, 1000);
    CHECK_U64(w->kept_netkeys.len, 2 * NETKEYS_HASH); /* den's is the other one */
    world_restart(w);
    CHECK(is_refused(w, joe));
}

TEST(a_full_disk_delays_the_note_of_a_key)
{
    _cleanup_(world_freep) struct world *w = world_new();

    join_den(w);
    join_peer(w, "456000");
    w->fails_to_save = true;
    world_pass(w, 1000);
    CHECK_U64(w->kept_netkeys.len, 0);
    join_peer(w, "456001");
    w->fails_to_save = false;
    world_pass(w, 40 * SECOND_MS);
    CHECK_U64(w->kept_netkeys.len, 3 * NETKEYS_HASH);
    join_peer(w, "456002");
    world_restart(w); /* writes what waits */
    CHECK_U64(w->kept_netkeys.len, 4 * NETKEYS_HASH);
    join_den(w); /* known: not again */
    world_pass(w, 2000);
    CHECK_U64(w->kept_netkeys.len, 4 * NETKEYS_HASH);
}

/* ---- realms ---------------------------------------------------------------------------------- */

static struct wire *anonymous(struct world *w, const char *realm)
{
    struct wire *wire = wire_new(w, "192.0.2.9");

    hello(wire, realm, "anonymous", "", (struct view){ 0 });
    CHECK(wire_welcome(wire));
    return wire;
}

TEST(realms_do_not_hear_of_each_other)
{
    _cleanup_(world_freep) struct world *w = make_world();
    struct wire *user = anonymous(w, APP), *guest = anonymous(w, WORLD_NETWORK);
    struct wire *alice;

    join_den(w);
    alice = join_peer(w, "456000");
    CHECK_STR(try_register(user, "peer.456000.chat.say"), "REGISTERED"); /* no owners there */
    CHECK_STR(try_register(alice, "peer.456000.chat.say"), "REGISTERED");
    CHECK_STR(try_call(user, "network.whoami", (struct view){ 0 }),
              "wamp.error.no_such_procedure"); /* theirs, if they want it */
    CHECK_STR(try_register(user, "network.mine"), "REGISTERED");
    CHECK_STR(try_register(user, "den.identity.admit"), "REGISTERED");
    CHECK_STR(try_call(guest, "network.whoami", (struct view){ 0 }), "RESULT");
    CHECK_STR(try_register(user, "wamp.mine"), "wamp.error.not_authorized");
}

TEST(a_guest_may_little)
{
    _cleanup_(world_freep) struct world *w = make_world();
    struct wire *guest = anonymous(w, WORLD_NETWORK);
    struct rpc_fields f;
    struct rpc_msg msg;
    struct view value;
    uint64_t n = 0;

    send_call(guest, "network.info", (struct view){ 0 });
    if (CHECK(wire_next(guest, &msg)) && CHECK(msg.type == RPC_RESULT)) {
        rpc_fields_open(&f, rpc_payload_args(msg.result.payload));
        value = rpc_fields_value(&f, "first");
        CHECK(rpc_map_get(value, "limits", &value) && rpc_map_u64(value, "message", &n));
        CHECK_U64(n, w->config.max_message_before);
    }
    CHECK_STR(try_call(guest, "network.ping", (struct view){ 0 }), "RESULT");
    CHECK_STR(try_call(guest, "den.ca.chain", (struct view){ 0 }), "network.error.den_away");
    CHECK_STR(try_call(guest, "network.peer.list", (struct view){ 0 }),
              "wamp.error.not_authorized");
    CHECK_STR(try_register(guest, "peer.456000.chat.say"), "wamp.error.not_authorized");
    CHECK_STR(try_subscribe(guest, "network.peer.on_join"), "wamp.error.not_authorized");
    CHECK_STR(try_publish(guest, "com.example.news"), "wamp.error.not_authorized");
}

/* ---- bindings -------------------------------------------------------------------------------- */

static void hail(struct wire *wire, const char *binding, const char *certificate)
{
    uint8_t bytes[32] = { 1 }, hash[32];
    _buf_ extra = { 0 };

    rpc_put_map(&extra, certificate ? 7 : 6);
    rpc_put_str(&extra, "pubkey");
    rpc_put_bin(&extra, VIEW_ARR(bytes));
    rpc_put_str(&extra, "nonce");
    rpc_put_bin(&extra, VIEW_ARR(bytes));
    rpc_put_str(&extra, "instance");
    rpc_put_bin(&extra, VIEW(bytes, 16));
    rpc_put_str(&extra, "manifest");
    rpc_put_u64(&extra, 0);
    rpc_put_str(&extra, "pin");
    rpc_put_bin(&extra, VIEW_ARR(wire->world->netid));
    rpc_put_str(&extra, "binding");
    rpc_put_str(&extra, binding);
    if (certificate) {
        CHECK(text_read_hex(view_text(certificate), hash, sizeof(hash)));
        rpc_put_str(&extra, "certificate");
        rpc_put_bin(&extra, VIEW_ARR(hash));
    }
    hello(wire, WORLD_NETWORK, "netsign", "", buf_view(&extra));
}

#define CERT_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define CERT_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define CERT_3 "3333333333333333333333333333333333333333333333333333333333333333"

TEST(what_netsign_is_bound_to)
{
    static const struct {
        const char *address, *binding, *certificate;
        bool has_tls, has_proxy;
        const char *answer; /* NULL: a CHALLENGE */
    } cases[] = {
        { "192.0.2.9", "tls-exporter", NULL, true, false, NULL },
        { "192.0.2.9", "tls-exporter", NULL, true, true, NULL },
        { "192.0.2.9", "tls-server-end-point", NULL, true, true,
          "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "none", NULL, true, false, "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "none", NULL, false, false, NULL },
        { "::1", "none", NULL, false, false, NULL },
        { "192.0.2.9", "none", NULL, false, false, "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "none", NULL, false, true, "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "tls-exporter", NULL, false, true, "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "tls-server-end-point", NULL, false, false,
          "ABORT network.error.wrong_binding" },
        { "127.0.0.1", "tls-server-end-point", NULL, false, true, NULL },
        { "127.0.0.1", "tls-server-end-point", CERT_1, false, true, NULL },
        { "127.0.0.1", "tls-server-end-point", CERT_2, false, true, NULL },
        { "127.0.0.1", "tls-server-end-point", CERT_3, false, true,
          "ABORT network.error.bad_certificate" },
    };
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(world_freep) struct world *w = make_world();
        struct wire *wire;
        join_den(w);
        if (cases[i].has_proxy) {
            CHECK(text_read_hex(VIEW_LIT(CERT_1), w->router->proxy_certificates[0], 32));
            CHECK(text_read_hex(VIEW_LIT(CERT_2), w->router->proxy_certificates[1], 32));
            w->router->n_proxy_certificates = 2;
        }
        wire = wire_new(w, cases[i].address);
        wire->conn->has_exporter = cases[i].has_tls;
        hail(wire, cases[i].binding, cases[i].certificate);
        if (cases[i].answer)
            CHECK_STR(answer_to(wire), cases[i].answer);
        else
            CHECK(wire_next(wire, &msg) && msg.type == RPC_CHALLENGE);
    }
}

/* ---- the operator changes the file while somebody comes in ---------------------------------------- */

static void reload_with(struct world *w, const char *principals)
{
    _free_ char *secrets = file_path(check_dir(), "principals");
    struct err err = { 0 };

    CHECK(file_write(secrets, view_text(principals), 0600, &err));
    router_reload(w->router, w->now, with_joe(w));
}

TEST(a_secret_that_was_taken_away_is_of_no_use_to_who_has_begun)
{
    static const struct {
        const char *after, *secret;
        bool is_good;
    } cases[] = {
        { "[principal plain]\nrole = backend\nsecret = secret2\n", "secret2", true },
        { "[principal plain]\nrole = backend\nsecret = secret3\n", "secret2", false },
        { "[principal plain]\nrole = backend\nsecret = secret3\n", "secret3", true },
        { "[principal plain]\nrole = backend\nticket = other\n", "", false },
        { "[principal plain]\nrole = backend\nticket = other\n", "secret2", false },
        { "[principal other]\nrole = backend\nticket = other\n", "", false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(world_freep) struct world *w = make_world();
        struct wire *wire = wire_new(w, "192.0.2.9");
        struct view text = { 0 };
        struct rpc_msg msg;
        hello(wire, APP, "wampcra", "plain", (struct view){ 0 });
        if (!challenged(wire, "wampcra", &msg))
            return;
        CHECK(rpc_map_text(msg.challenge.extra, "challenge", &text));
        reload_with(w, cases[i].after);
        prove_cra(wire, text, cases[i].secret);
        if (cases[i].is_good)
            CHECK(wire_welcome(wire));
        else
            CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
    }
}

TEST(a_key_that_was_taken_away_is_of_no_use_to_who_has_begun)
{
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        _cleanup_(world_freep) struct world *w = make_world();
        _cleanup_(key_freep) struct key *other = key_new(), *joe = joes_key();
        struct wire *wire = wire_new(w, "192.0.2.9");
        uint8_t challenge[32];
        _buf_ after = { 0 };
        if (!ask_crypto(wire, joe, "joe", challenge))
            return;
        buf_put_text(&after, "[principal joe]\nrole = frontend\nkeys = ");
        text_put_hex(&after, key_public_view(is_kept ? joe : other));
        buf_put_text(&after, "\n");
        reload_with(w, buf_cstr(&after));
        prove_crypto(wire, joe, challenge, challenge);
        if (is_kept)
            CHECK(wire_welcome(wire));
        else
            CHECK_STR(answer_to(wire), "ABORT wamp.error.authentication_failed");
    }
}
