/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions run into: each limit says its own word, and is counted. */
#include "base/file.h"
#include "tests/unit/router/app.h"

#include <stdio.h>

static struct wire *join_guest(struct world *w, const char *address)
{
    struct wire *guest = wire_new(w, address);
    struct rpc_hello hello = { .realm = VIEW_LIT(WORLD_NETWORK) };
    _buf_ roles = { 0 };

    rpc_put_map(&roles, 1);
    rpc_put_str(&roles, "caller");
    rpc_put_map(&roles, 0);
    hello.roles = buf_view(&roles);
    wire_send(guest, &(struct rpc_msg){ .type = RPC_HELLO, .hello = hello });
    return guest;
}

static struct wire *welcome_guest(struct world *w, const char *address)
{
    struct wire *guest = join_guest(w, address);

    CHECK(wire_welcome(guest));
    CHECK_STR(guest->role, "guest");
    return guest;
}

static uint64_t counted(const struct world *w, enum metric_limit limit)
{
    return w->router->metrics.limit[limit];
}

/* PROTOCOL.md's table and the code's are one. */
TEST(the_protocol_lists_every_limit)
{
    _free_ char *path = mem_format("%s/rpc/PROTOCOL.md", check_source_root());
    struct err err = { 0 };
    _buf_ text = { 0 };
    char begin[100];

    CHECK_OK(file_read(path, 1024 * 1024, &text, &err), err);
    for (enum metric_limit limit = 0; limit < LIMIT_N; limit++) {
        const char *row, *end, *told;
        snprintf(begin, sizeof(begin), "\n| `%s` | ", metrics_limit_name(limit));
        row = strstr(buf_cstr(&text), begin);
        end = row ? strchr(row + 1, '\n') : NULL;
        told = row ? strstr(row, metrics_limit_told(limit)) : NULL;
        if (!row || !end || !told || told > end)
            check_failed(__FILE__, __LINE__, "%s: %s", begin + 1, metrics_limit_told(limit));
    }
}

TEST(requests_have_a_rate)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice, *bob;

    w->config.max_request_rate = 5;
    join_den(w);
    alice = join_peer(w, "456000");
    bob = join_peer(w, "456001");
    for (size_t i = 0; i < 5; i++)
        CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "network.error.too_many_requests");
    CHECK_STR(try_register(alice, "peer.456000.a"), "network.error.too_many_requests");
    CHECK_STR(try_call(bob, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_U64(counted(w, LIMIT_REQUEST_RATE), 2);
    world_pass(w, 1000);
    CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "RESULT");
}

TEST(whoever_goes_on_is_sent_away)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_msg msg = { 0 };

    w->config.max_request_rate = 5;
    join_den(w);
    alice = join_peer(w, "456000");
    for (size_t i = 0; i < 51; i++)
        send_call(alice, "network.ping", VIEW_LIT(""));
    CHECK(alice->is_closed);
    while (wire_next(alice, &msg) && msg.type != RPC_ABORT)
        continue;
    CHECK_U64(msg.type, RPC_ABORT);
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("network.error.too_many_requests"));
    CHECK_U64(alice->conn->fault, SOURCE_PROTOCOL);
}

/* What a small SUBSCRIBE can ask for is a lot: it has its price. */
TEST(listeners_count_as_requests_of_who_publishes)
{
    static const struct rpc_publish heard = { .acknowledge = true };
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true);
    uint64_t before;

    for (unsigned i = 0; i < 40; i++)
        app_subscribe(app_join(w, "bob", "user", true), "news", "", false);
    w->config.max_request_rate = 20;
    world_pass(w, 1000);
    app_publish(ann, &heard, "elsewhere", 1);
    before = ann->conn->n_second;
    app_publish(ann, &heard, "news", 1);
    CHECK_U64(ann->conn->n_second, before + 1 + 2);
    for (unsigned i = 0; i < 20; i++)
        app_publish(ann, &heard, "news", 1);
    CHECK(ann->conn->n_second >= 20);
    CHECK(!ann->is_closed);
}

TEST(retained_events_count_as_requests)
{
    static const struct rpc_publish kept = { .retain = true };
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob;
    char topic[16];

    for (unsigned i = 0; i < 640; i++) {
        snprintf(topic, sizeof(topic), "%s.%u", i < 24 ? "few" : "many", i);
        app_publish(ann, &kept, topic, 1);
    }
    w->config.max_request_rate = 40;
    bob = app_join(w, "bob", "user", true);
    app_subscribe(bob, "few", "prefix", true); /* 1, 24 events, and 10 for looking at 640 */
    CHECK_U64(bob->conn->n_second, 35);
    wire_skip(bob);
    app_subscribe(bob, "many.24", "", true);
    CHECK_U64(bob->conn->n_second, 37);
    wire_skip(bob);
    app_subscribe(bob, "many", "prefix", true); /* all of them */
    for (unsigned i = 24; i < 640; i++) {
        struct rpc_msg msg;
        app_take(bob, RPC_EVENT, &msg);
    }
    CHECK_U64(bob->conn->n_second, 40);
    CHECK_STR(try_call(bob, "x", (struct view){ 0 }), "network.error.too_many_requests");
    CHECK(!bob->is_closed);
    world_pass(w, 1000);
    CHECK_STR(try_call(bob, "x", (struct view){ 0 }), "wamp.error.no_such_procedure");
}

TEST(the_parts_of_a_call_count)
{
    static const struct rpc_call part = { .progress = true };
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true);
    struct rpc_call more = part;
    struct rpc_msg msg = { 0 };

    app_register(bob, "up", "", "");
    w->config.max_request_rate = 4;
    more.request = app_call(ann, &part, "up", 1);
    more.procedure = VIEW_LIT("up");
    for (unsigned i = 0; i < 4; i++)
        wire_send(ann, &(struct rpc_msg){ .type = RPC_CALL, .call = more });
    CHECK(app_take(ann, RPC_ERROR, &msg));
    CHECK_VIEW(msg.error.uri, VIEW_LIT("network.error.too_many_requests"));
    for (unsigned i = 0; i < 4; i++)
        app_take(bob, RPC_INVOCATION, &msg);
    CHECK(app_take(bob, RPC_INTERRUPT, &msg));
    CHECK_U64(counted(w, LIMIT_REQUEST_RATE), 1);
    while (!ann->is_closed && ann->conn->n_second < 100) /* what comes after the end counts too */
        wire_send(ann, &(struct rpc_msg){ .type = RPC_CALL, .call = more });
    CHECK(app_take(ann, RPC_ABORT, &msg));
    CHECK_VIEW(msg.abort.reason, VIEW_LIT("network.error.too_many_requests"));
    CHECK(app_is_quiet(bob));
}

TEST(den_has_no_rate)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den;

    w->config.max_request_rate = 2;
    den = join_den(w);
    for (size_t i = 0; i < 40; i++)
        CHECK_STR(try_call(den, "network.ping", VIEW_LIT("")), "RESULT");
}

TEST(guests_have_little)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *guest, *alice;
    _buf_ large = { 0 };

    w->config.guest_request_rate = 3;
    join_den(w);
    alice = join_peer(w, "456000");
    guest = welcome_guest(w, "192.0.2.9");
    CHECK_U64(guest->conn->quota.limit[QUOTA_CALLS], 4);
    CHECK_U64(guest->conn->quota.limit[QUOTA_REGISTRATIONS], 0);
    CHECK_U64(guest->conn->quota.limit[QUOTA_SUBSCRIPTIONS], 8);
    for (size_t i = 0; i < 3; i++)
        CHECK_STR(try_call(guest, "network.ping", VIEW_LIT("")), "RESULT");
    CHECK_STR(try_call(guest, "network.ping", VIEW_LIT("")), "network.error.too_many_requests");
    rpc_put_array(&large, 1);
    for (size_t i = 0; i < 20000; i++)
        buf_put_u8(&large, 0);
    wire_say(guest, buf_view(&large));
    CHECK(guest->is_closed);
    CHECK_U64(counted(w, LIMIT_MESSAGE_BEFORE), 1);
    CHECK_STR(try_call(alice, "network.ping", VIEW_LIT("")), "RESULT");
}

TEST(so_many_guests_are_here)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *first, *third;
    struct rpc_msg msg;

    w->config.max_guests = 2;
    join_den(w);
    first = welcome_guest(w, "192.0.2.9");
    welcome_guest(w, "192.0.2.10");
    third = join_guest(w, "192.0.2.11");
    if (CHECK(wire_next(third, &msg)) && CHECK_U64(msg.type, RPC_ABORT))
        CHECK_VIEW(msg.abort.reason, VIEW_LIT("network.error.too_many_guests"));
    CHECK_U64(counted(w, LIMIT_GUESTS), 1);
    CHECK_U64(third->conn->fault, SOURCE_NO_FAULT); /* it did nothing wrong */
    join_peer(w, "456000");
    wire_drop(first);
    welcome_guest(w, "192.0.2.12");
    CHECK_U64(w->router->n_guests, 2);
}

static const char *reverse(struct wire *wire, uint64_t session)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_u64(&args, session);
    return try_call(wire, "network.reverse", buf_view(&args));
}

TEST(lookups_that_find_nothing_are_counted)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "456001");
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_str(&args, "den");
    for (uint64_t n = 0; n < 10; n++) {
        CHECK_STR(reverse(alice, alice->session), "RESULT"); /* what is found costs nothing */
        CHECK_STR(reverse(alice, 1000 + n), "network.error.not_reachable");
    }
    CHECK_STR(reverse(alice, 1), "network.error.too_many_lookups");
    CHECK_STR(reverse(alice, alice->session), "network.error.too_many_lookups");
    CHECK_STR(try_call(alice, "network.resolve", buf_view(&args)), "RESULT");
    CHECK_STR(reverse(bob, 1), "network.error.not_reachable");
    for (uint64_t n = 0; n < 40; n++)
        CHECK_STR(reverse(den, 1000 + n), "network.error.not_reachable");
    CHECK_U64(counted(w, LIMIT_LOOKUPS), 2);
    world_pass(w, 59999);
    CHECK_STR(reverse(alice, 1), "network.error.too_many_lookups");
    world_pass(w, 1);
    CHECK_STR(reverse(alice, 1), "network.error.not_reachable");
}

/* A new name helps nobody who stays where he is. */
TEST(lookups_are_counted_by_network_too)
{
    _cleanup_(world_freep) struct world *w = world_new();
    unsigned n_failed = 0;

    w->config.max_lookups_network = 60;
    join_den(w);
    for (size_t i = 0; i < 12; i++) {
        struct wire *guest = welcome_guest(w, "192.0.2.9");
        guest->conn->has_near = true; /* as the edge says it */
        for (uint64_t n = 0; n < 9; n++)
            n_failed += strcmp(reverse(guest, 1 + n), "network.error.not_reachable") == 0;
        wire_drop(guest);
    }
    CHECK_U64(n_failed, 60);
    CHECK_U64(counted(w, LIMIT_LOOKUPS_NEAR), 12 * 9 - 60);
}

/* The same bytes for what never was and for what may not be seen. */
TEST(answers_about_others_are_alike)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice, *bob;
    struct rpc_msg msg;
    _buf_ first = { 0 };

    join_den(w);
    alice = join_peer(w, "456000");
    bob = join_peer(w, "456001");
    reverse(alice, bob->session);
    _buf_ args = { 0 };
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, bob->session);
    send_call(alice, "network.reverse", buf_view(&args));
    if (!CHECK(wire_next(alice, &msg)))
        return;
    buf_put(&first, msg.error.payload.bytes);
    buf_clear(&args);
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, 7);
    send_call(alice, "network.reverse", buf_view(&args));
    if (CHECK(wire_next(alice, &msg)))
        CHECK_VIEW(msg.error.payload.bytes, buf_view(&first));
}

/* What a connection is charged for. */
TEST(so_many_grants_are_installed)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w);
    struct grant_facts first = { 1, "456000", "123456", "chat", "chat", 0 };
    struct grant_facts second = { 2, "456000", "123457", "chat", "chat", 0 };

    first.live_until = w->now.wall + MINUTE_MS;
    grants_set_max(w->router->grants, 1);
    CHECK_STR(install_grant(den, &first), "RESULT");
    CHECK_STR(install_grant(den, &second), "network.error.too_many_grants");
    CHECK_U64(counted(w, LIMIT_GRANTS), 1);
    CHECK_STR(install_grant(den, &first), "RESULT"); /* it is there already */
    CHECK_U64(grants_count(w->router->grants), 1);
    world_pass(w, MINUTE_MS); /* one that is over makes room */
    CHECK_STR(install_grant(den, &second), "RESULT");
    CHECK_U64(counted(w, LIMIT_GRANTS), 1);
}

TEST(faults_are_told_apart)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *wrong, *silent, *late;

    join_den(w);
    wrong = wire_new(w, "192.0.2.9");
    wire_say(wrong, VIEW_LIT("\xc1"));
    CHECK_U64(wrong->conn->fault, SOURCE_PROTOCOL);
    late = wire_new(w, "192.0.2.9");
    conn_hurry(late->conn, 4000); /* TLS took that long */
    world_pass(w, 5999);
    CHECK(!late->is_closed);
    world_pass(w, 1);
    CHECK(late->is_closed);
    CHECK_U64(late->conn->fault, SOURCE_SILENCE);
    silent = wire_new(w, "192.0.2.9");
    CHECK_U64(router_closed(STEAL(silent->conn), w->now, "gone"), SOURCE_SILENCE);
}
