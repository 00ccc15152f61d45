/* SPDX-License-Identifier: Apache-2.0 */
#include "router/denials.h"
#include "tests/unit/router/app.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define _world_ _cleanup_(world_freep) struct world

/* What den is told in one call, as text: "456000 peer call den.token.list forbidden 3" for each, a line each, in any order. */
struct told {
    uint64_t request; /* 0: nothing came */
    struct buf lines;
    unsigned n;
};

static void told_deinit(struct told *told)
{
    buf_free(&told->lines);
}
#define _told_ _cleanup_(told_deinit) struct told

static void read_one(struct view item, struct told *told)
{
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, item);
    struct view id = rpc_fields_text(&f, "id", 64), role = rpc_fields_text(&f, "role", 64),
                verb = rpc_fields_text(&f, "verb", 64), uri = rpc_fields_text(&f, "uri", 255),
                why = rpc_fields_text(&f, "why", 64);
    uint64_t n = rpc_fields_u64(&f, "count"), first = rpc_fields_u64(&f, "first"),
             last = rpc_fields_u64(&f, "last");
    struct view address = rpc_fields_text(&f, "address", 64);
    CHECK(rpc_fields_end(&f, &err));
    CHECK(first > 0 && first <= last);
    CHECK(address.len > 0);
    buf_printf(&told->lines, "%.*s %.*s %.*s %.*s %.*s %" PRIu64 "\n", VIEW_FMT(id), VIEW_FMT(role),
               VIEW_FMT(verb), VIEW_FMT(uri), VIEW_FMT(why), n);
    told->n++;
}

static struct told hear(struct wire *den)
{
    struct told told = { 0 };
    struct rpc_fields args, items;
    struct rpc_msg msg;

    if (!wire_next(den, &msg) || msg.type != RPC_INVOCATION)
        return told;
    CHECK_VIEW(msg.invocation.caller_authrole, VIEW_LIT("router"));
    told.request = msg.invocation.request;
    rpc_fields_open(&args, rpc_payload_args(msg.invocation.payload));
    rpc_fields_open(&items, rpc_fields_array(&args, "refusals"));
    while (rpc_fields_more(&items))
        read_one(rpc_fields_array(&items, "refusal"), &told);
    return told;
}

static void acknowledge(struct wire *den, uint64_t request)
{
    static const uint8_t none[] = { 0x90 };

    wire_send(den, &(struct rpc_msg){ .type = RPC_YIELD,
                                      .yield = { request, false, rpc_args(VIEW_ARR(none)) } });
}

static void fail(struct wire *den, uint64_t request)
{
    static const uint8_t none[] = { 0x90 };

    wire_send(den,
              &(struct rpc_msg){ .type = RPC_ERROR,
                                 .error = { RPC_INVOCATION, request, VIEW_LIT("den.error.system"),
                                            rpc_args(VIEW_ARR(none)) } });
}

static struct wire *den_that_listens(struct world *w)
{
    struct wire *den = join_den(w);

    den->is_alive = true;

    CHECK_STR(try_register(den, "den.refusal.note"), "REGISTERED");
    return den;
}

static void ask(struct wire *wire, const char *uri)
{
    CHECK_STR(try_call(wire, uri, (struct view){ 0 }), "wamp.error.not_authorized");
}

TEST(a_refusal_is_told_within_a_second_and_then_once_a_minute)
{
    _world_ *w = world_new();
    struct wire *den = den_that_listens(w), *alice = join_peer(w, "456000");

    ask(alice, "den.token.list");
    ask(alice, "den.token.list");
    world_pass(w, DENIALS_SOON_MS);
    _told_ first = hear(den);
    CHECK_STR(buf_cstr(&first.lines), "456000 peer call den.token.list forbidden 2\n");
    acknowledge(den, first.request);

    for (unsigned i = 0; i < 500; i++)
        ask(alice, "den.token.list");
    world_pass(w, 30 * SECOND_MS);
    _told_ early = hear(den);
    CHECK_U64(early.request, 0);
    world_pass(w, 31 * SECOND_MS);
    _told_ second = hear(den);
    CHECK_STR(buf_cstr(&second.lines), "456000 peer call den.token.list forbidden 500\n");
    acknowledge(den, second.request);
    world_pass(w, 62 * SECOND_MS);
    CHECK_U64(denials_count(w->router->denials), 0); /* nothing is kept of who is quiet */
}

TEST(each_verb_and_reason_is_its_own)
{
    _world_ *w = world_new();
    struct wire *den = den_that_listens(w), *alice = join_peer(w, "456000");

    CHECK(strcmp(try_register(alice, "den.time"), "REGISTERED") != 0);
    CHECK(strcmp(try_publish(alice, "den.heartbeat"), "PUBLISHED") != 0);
    CHECK(strcmp(try_subscribe(alice, "network.peer.on_join"), "SUBSCRIBED") != 0);
    ask(alice, "peer.123456.app.method");
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 4);
    CHECK(strstr(buf_cstr(&told.lines), "456000 peer register den.time forbidden 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "456000 peer publish den.heartbeat forbidden 1\n"));
    CHECK(
        strstr(buf_cstr(&told.lines), "456000 peer subscribe network.peer.on_join forbidden 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "456000 peer call peer.123456.app.method no_grant 1\n"));
}

TEST(whom_an_administrator_cut_off_is_told_too)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = den_that_listens(w), *admin = join_with(w, key, "111111", "admin");
    _buf_ args = { 0 };

    join_peer(w, "456000");
    rpc_put_array(&args, 2);
    rpc_put_str(&args, "456000");
    rpc_put_str(&args, "too loud");
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "RESULT");
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "network.error.not_found");
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 2);
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin kick 456000 too loud allowed 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin call network.peer.kick not_found 1\n"));
    acknowledge(den, told.request);

    join_peer(w, "456001");
    buf_clear(&args);
    rpc_put_array(&args, 1);
    rpc_put_str(&args, "456001");
    CHECK_STR(try_call(admin, "wamp.session.kill_by_authid", buf_view(&args)), "RESULT");
    CHECK_STR(try_call(admin, "wamp.session.kill_by_authid", buf_view(&args)), "RESULT");
    world_pass(w, DENIALS_EVERY_MS);
    _told_ killed = hear(den);
    CHECK_U64(killed.n, 2);
    CHECK(
        strstr(buf_cstr(&killed.lines), "111111 admin kick 456001 wamp.close.killed allowed 1\n"));
    CHECK(strstr(buf_cstr(&killed.lines),
                 "111111 admin call wamp.session.kill_by_authid not_found 1\n"));
    acknowledge(den, killed.request);

    _free_ char *why = mem_format("%0199d", 0);
    memcpy(why + 100, "\xc3\xa4\xc3\xa4", 4);
    join_peer(w, "456002");
    buf_clear(&args);
    rpc_put_array(&args, 2);
    rpc_put_str(&args, "456002");
    rpc_put_str(&args, why);
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "RESULT");
    world_pass(w, DENIALS_EVERY_MS);
    _told_ longest = hear(den);
    CHECK(strstr(buf_cstr(&longest.lines), why) != NULL);
    acknowledge(den, longest.request);
}

TEST(nobody_hides_an_act_behind_refusals)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = den_that_listens(w), *admin = join_with(w, key, "111111", "admin");
    bool is_told = false;
    _buf_ args = { 0 };

    join_peer(w, "456000");
    for (unsigned i = 0; i < DENIALS_PER_ID + 10; i++) {
        char uri[32];
        snprintf(uri, sizeof(uri), "den.zork.n%u", i);
        ask(admin, uri);
    }
    rpc_put_array(&args, 2);
    rpc_put_str(&args, "456000");
    rpc_put_str(&args, "too loud");
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "RESULT");
    for (unsigned i = 0; i < 5 && !is_told; i++) {
        world_pass(w, DENIALS_SOON_MS);
        _told_ told = hear(den);
        is_told = told.lines.len &&
                  strstr(buf_cstr(&told.lines), "111111 admin kick 456000 too loud allowed 1\n");
        acknowledge(den, told.request);
    }
    CHECK(is_told);
}

static const char *take_away(struct wire *by, const char *procedure, uint64_t id, uint64_t session)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_u64(&args, id);
    rpc_put_u64(&args, session);
    return try_call(by, procedure, buf_view(&args));
}

TEST(what_an_administrator_took_away_is_told_too)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = den_that_listens(w), *admin = join_with(w, key, "111111", "admin"),
                *peer = join_peer(w, "456000");
    uint64_t reg = app_register(peer, "peer.456000.app.go", "", ""),
             sub = app_subscribe(peer, "peer.456000.news", "", false);

    CHECK_STR(take_away(admin, "wamp.registration.remove_callee", reg, admin->session),
              "wamp.error.no_such_session");
    CHECK_STR(take_away(admin, "wamp.registration.remove_callee", reg, peer->session), "RESULT");
    CHECK_STR(take_away(admin, "wamp.subscription.remove_subscriber", sub, peer->session),
              "RESULT");
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 3);
    CHECK(strstr(buf_cstr(&told.lines),
                 "111111 admin call wamp.registration.remove_callee not_found 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin remove_callee 456000 peer.456000.app.go "
                                        "wamp.error.canceled allowed 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin remove_subscriber 456000 peer.456000.news "
                                        "wamp.error.canceled allowed 1\n"));
    acknowledge(den, told.request);
}

static void kick(struct wire *admin, const char *id, const char *why)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_str(&args, id);
    rpc_put_str(&args, why);
    CHECK_STR(try_call(admin, "network.peer.kick", buf_view(&args)), "RESULT");
}

TEST(what_den_was_not_told_when_the_router_was_killed_is_told_by_the_next)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *admin = join_with(w, key, "111111", "admin");

    den->is_alive = true;
    join_peer(w, "456000");
    join_peer(w, "456001");
    kick(admin, "456000", "too loud");
    kick(admin, "456001", "too late");
    CHECK(w->kept_acts.len > 0);             /* before it was answered */
    buf_put_text(&w->kept_acts, "\x99torn"); /* killed while it wrote a third */
    world_restart(w);

    den = den_that_listens(w);
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 2);
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin kick 456000 too loud allowed 1\n"));
    CHECK(strstr(buf_cstr(&told.lines), "111111 admin kick 456001 too late allowed 1\n"));
    world_restart(w); /* it was asked, and did not answer */

    den = den_that_listens(w);
    world_pass(w, DENIALS_SOON_MS);
    _told_ again = hear(den);
    CHECK_U64(again.n, 2);
    acknowledge(den, again.request);
    CHECK_U64(w->kept_acts.len, 0);
    world_restart(w);

    den = den_that_listens(w);
    world_pass(w, DENIALS_EVERY_MS);
    _told_ no_more = hear(den);
    CHECK_U64(no_more.request, 0);
}

TEST(of_what_den_took_some_the_rest_is_told_by_the_next)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *admin = join_with(w, key, "111111", "admin");
    char id[16];

    den->is_alive = true;
    for (unsigned i = 0; i < DENIALS_AT_ONCE + 3; i++) {
        snprintf(id, sizeof(id), "456%03u", i);
        join_peer(w, id);
        kick(admin, id, "out");
    }
    CHECK_STR(try_register(den, "den.refusal.note"), "REGISTERED");
    world_pass(w, DENIALS_AGAIN_MS);
    _told_ first = hear(den);
    CHECK_U64(first.n, DENIALS_AT_ONCE);
    acknowledge(den, first.request);
    world_restart(w);

    den = den_that_listens(w);
    world_pass(w, DENIALS_SOON_MS);
    _told_ rest = hear(den);
    CHECK_U64(rest.n, 3);
    acknowledge(den, rest.request);
    CHECK_U64(w->kept_acts.len, 0);
}

TEST(an_act_that_the_disk_did_not_take_is_written_with_the_next)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *admin = join_with(w, key, "111111", "admin");

    join_peer(w, "456000");
    join_peer(w, "456001");
    log_open("test", LOG_ERROR + 1);
    w->fails_to_save = true;
    kick(admin, "456000", "too loud");
    CHECK_U64(w->kept_acts.len, 0);
    w->fails_to_save = false;
    kick(admin, "456001", "too loud");
    world_restart(w);

    den = den_that_listens(w);
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 2);
    acknowledge(den, told.request);
}

TEST(acts_on_the_disk_have_a_bound)
{
    _world_ *w = world_new();
    _cleanup_(key_freep) struct key *key = key_new();
    struct wire *den = join_den(w), *admin = join_with(w, key, "111111", "admin");
    _free_ char *why = mem_format("%0200d", 0);
    size_t most = 0;

    for (unsigned i = 0; i < 20000; i++) { /* 5 MiB of the same */
        denials_note_kick(admin->conn, "456000", view_text(why));
        denials_keep(w->router->denials);
        most = w->kept_acts.len > most ? w->kept_acts.len : most;
    }
    CHECK(most > DENIALS_MAX_KEPT / 2 && most <= DENIALS_MAX_KEPT);
    world_restart(w);
    den = den_that_listens(w);
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_U64(told.n, 1);
    CHECK(strstr(buf_cstr(&told.lines), " allowed 20000\n"));
}

TEST(what_den_did_not_take_is_told_again)
{
    _world_ *w = world_new();
    struct wire *den, *alice = NULL;

    den = join_den(w); /* it serves nothing yet */
    den->is_alive = true;
    alice = join_peer(w, "456000");
    ask(alice, "den.token.list");
    world_pass(w, 20 * SECOND_MS);
    CHECK_STR(try_register(den, "den.refusal.note"), "REGISTERED");
    world_pass(w, DENIALS_AGAIN_MS);
    _told_ first = hear(den);
    CHECK_U64(first.n, 1);
    ask(alice, "den.token.list");
    fail(den, first.request);
    world_pass(w, DENIALS_AGAIN_MS);
    _told_ second = hear(den);
    CHECK_STR(buf_cstr(&second.lines), "456000 peer call den.token.list forbidden 2\n");

    wire_drop(den); /* without an answer */
    world_pass(w, SECOND_MS);
    den = den_that_listens(w);
    world_pass(w, DENIALS_AGAIN_MS);
    _told_ third = hear(den);
    CHECK_STR(buf_cstr(&third.lines), "456000 peer call den.token.list forbidden 2\n");
}

TEST(who_tries_out_names_is_counted_and_does_not_fill_the_memory)
{
    _world_ *w = world_new();
    struct wire *den = den_that_listens(w), *alice = join_peer(w, "456000"),
                *bob = join_peer(w, "123456");
    uint64_t n_told = 0;
    bool has_rest = false, has_bob = false;

    for (unsigned i = 0; i < 1000; i++) {
        _free_ char *uri = mem_format("den.token.x%u", i);
        ask(alice, uri);
        world_pass(w, 10); /* or it is too many requests in a second */
    }
    ask(bob, "den.token.list");
    CHECK(denials_count(w->router->denials) <= DENIALS_PER_ID + 2);
    for (unsigned i = 0; i < 20; i++) {
        world_pass(w, DENIALS_SOON_MS);
        _told_ told = hear(den);
        CHECK(told.n <= DENIALS_AT_ONCE);
        n_told += told.n;
        has_rest |= told.n && strstr(buf_cstr(&told.lines), "456000 peer   forbidden ");
        has_bob |= told.n && strstr(buf_cstr(&told.lines), "123456 peer call den.token.list");
        if (told.request)
            acknowledge(den, told.request);
    }
    CHECK(has_rest && has_bob);
    CHECK(n_told >= DENIALS_PER_ID && n_told <= 2 * DENIALS_PER_ID);
}

TEST(a_router_that_stops_says_the_rest)
{
    _world_ *w = world_new();
    struct wire *den = den_that_listens(w), *alice = join_peer(w, "456000");

    ask(alice, "den.token.list");
    router_drain(w->router, w->now);
    _told_ told = hear(den);
    CHECK_STR(buf_cstr(&told.lines), "456000 peer call den.token.list forbidden 1\n");
    acknowledge(den, told.request);
}

/* Somebody shows the admission of another key. What he says of himself is not known to be true: the network that he comes from counts. */
TEST(who_does_not_prove_what_he_says_is_told_of)
{
    _world_ *w = world_new();
    struct wire *den = den_that_listens(w), *thief = wire_new(w, "192.0.2.66");
    _cleanup_(key_freep) struct key *hers = key_new();
    _cleanup_(key_freep) struct key *his = key_new();
    _buf_ admission = { 0 }, extra = { 0 };
    uint8_t sig[SIG_SIZE];

    world_admission(w, hers, "456000", "peer", w->now.wall + DAY_MS, &admission, sig);
    put_admission_extra(&extra, "admission", buf_view(&admission), VIEW_ARR(sig));
    wire_hello(thief, his);
    CHECK(wire_challenge(thief));
    wire_authenticate(thief, his, buf_view(&extra));
    CHECK_STR(answer_to(thief), "ABORT network.error.wrong_key");
    world_pass(w, DENIALS_SOON_MS);
    _told_ told = hear(den);
    CHECK_STR(buf_cstr(&told.lines), " guest join wrong_key forbidden 1\n");
    acknowledge(den, told.request);
}
