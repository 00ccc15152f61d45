/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger may throw at the router, before and after it proved who it is. */
#include "tests/unit/router/world.h"

#include <stdio.h>

static const struct {
    const char *what, *hex, *reason;
} bad_frames[] = {
    { "nothing", "", "ABORT wamp.error.protocol_violation" },
    { "truncated array", "94", "ABORT wamp.error.protocol_violation" },
    { "truncated CALL", "943001", "ABORT wamp.error.protocol_violation" },
    { "an array that claims 4 Gi elements", "ddffffffff", "ABORT wamp.error.protocol_violation" },
    { "text that claims 4 GiB", "91dbffffffff", "ABORT wamp.error.protocol_violation" },
    { "not an array", "a161", "ABORT wamp.error.protocol_violation" },
    { "an empty array", "90", "ABORT wamp.error.protocol_violation" },
    { "two values", "9090", "ABORT wamp.error.protocol_violation" },
    { "type 0", "9100", "ABORT wamp.error.protocol_violation" },
    { "type 99", "9163", "ABORT wamp.error.protocol_violation" },
    { "type as text", "91a130", "ABORT wamp.error.protocol_violation" },
    { "WELCOME to a router", "93020180", "ABORT wamp.error.protocol_violation" },
    { "EVENT to a router", "9424010180", "ABORT wamp.error.protocol_violation" },
    { "not UTF-8", "94300180a2c328", "ABORT wamp.error.protocol_violation" },
    { "an ext type", "95300180a3612e62d40000", "ABORT wamp.error.protocol_violation" },
    { "request 0", "94300080a3612e62", "ABORT wamp.error.protocol_violation" },
    { "an empty component", "94300180a4612e2e62", "ABORT wamp.error.protocol_violation" },
    { "__proto__", "95300180a3612e629181a95f5f70726f746f5f5f01",
      "ABORT wamp.error.protocol_violation" },
};

static void say_hex(struct wire *wire, const char *hex)
{
    size_t n = strlen(hex) / 2;
    _buf_ frame = { 0 };

    CHECK(text_read_hex(view_text(hex), buf_grow(&frame, n), n));
    wire_say(wire, buf_view(&frame));
}

/* CALL with `depth` arrays in each other as its argument. */
static void put_nested(struct buf *to, unsigned depth)
{
    rpc_put_array(to, 5);
    rpc_put_u64(to, RPC_CALL);
    rpc_put_u64(to, 1);
    rpc_put_map(to, 0);
    rpc_put_str(to, "network.ping");
    for (unsigned i = 0; i < depth; i++)
        rpc_put_array(to, 1);
    rpc_put_nil(to);
}

TEST(malformed_messages_end_a_connection)
{
    _cleanup_(world_freep) struct world *w = world_new();

    join_den(w);
    for (size_t i = 0; i < N_ELEMENTS(bad_frames); i++) {
        struct wire *stranger = wire_new(w, "192.0.2.9"), *peer = join_peer(w, "456000");
        say_hex(stranger, bad_frames[i].hex);
        say_hex(peer, bad_frames[i].hex);
        if (!CHECK_STR(answer_to(stranger), bad_frames[i].reason) ||
            !CHECK_STR(answer_to(peer), bad_frames[i].reason))
            check_failed(__FILE__, __LINE__, "case: %s", bad_frames[i].what);
        CHECK(stranger->is_closed && peer->is_closed);
        wire_drop(stranger);
        wire_drop(peer);
    }
}

TEST(depth_is_bounded)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *peer;
    _buf_ deep = { 0 };

    join_den(w);
    peer = join_peer(w, "456000");
    put_nested(&deep, 20000);
    wire_say(peer, buf_view(&deep));
    CHECK_STR(answer_to(peer), "ABORT wamp.error.protocol_violation");
}

TEST(size_is_bounded_tighter_before_the_proof)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *stranger = wire_new(w, "192.0.2.9"), *peer;
    _buf_ frame = { 0 };

    rpc_put_array(&frame, 5);
    rpc_put_u64(&frame, RPC_CALL);
    rpc_put_u64(&frame, 1);
    rpc_put_map(&frame, 0);
    rpc_put_str(&frame, "network.resolve");
    rpc_put_array(&frame, 1);
    buf_grow(&frame, RPC_MAX_MESSAGE_BEFORE_AUTH);
    wire_say(stranger, buf_view(&frame));
    CHECK_STR(answer_to(stranger), "ABORT wamp.error.payload_size_exceeded");
    CHECK(stranger->is_closed);

    join_den(w);
    peer = join_peer(w, "456000");
    buf_grow(&frame, RPC_MAX_MESSAGE);
    wire_say(peer, buf_view(&frame));
    CHECK_STR(answer_to(peer), "ABORT wamp.error.payload_size_exceeded");
}

TEST(only_hello_opens)
{
    static const char *const frames[] = {
        "94300180ac6e6574776f726b2e70696e67", /* CALL network.ping */
        "94400180a3612e62",                   /* REGISTER */
        "94200180a3612e62",                   /* SUBSCRIBE */
        "930680a3612e62",                     /* GOODBYE */
        "9305c40080",                         /* AUTHENTICATE */
    };
    _cleanup_(world_freep) struct world *w = world_new();

    for (size_t i = 0; i < N_ELEMENTS(frames); i++) {
        struct wire *wire = wire_new(w, "192.0.2.9");
        say_hex(wire, frames[i]);
        CHECK_STR(answer_to(wire), "ABORT wamp.error.protocol_violation");
        CHECK(wire->is_closed);
    }
}

TEST(request_numbers_only_grow)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *peer;

    join_den(w);
    peer = join_peer(w, "456000");
    CHECK_STR(try_call(peer, "network.ping", VIEW_LIT("")), "RESULT");
    peer->last_request = 0; /* number 1 again */
    CHECK_STR(try_call(peer, "network.ping", VIEW_LIT("")), "ABORT wamp.error.protocol_violation");
    CHECK(peer->is_closed);
}

TEST(a_closed_session_is_deaf)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *peer;
    struct rpc_msg msg;

    join_den(w);
    peer = join_peer(w, "456000");
    wire_send(peer, &(struct rpc_msg){ .type = RPC_GOODBYE,
                                       .goodbye = { .reason = VIEW_LIT("wamp.close.normal") } });
    CHECK_STR(answer_to(peer), "GOODBYE wamp.close.goodbye_and_out");
    CHECK(peer->is_closed);
    CHECK(!router_find(w->router, VIEW_LIT("456000")));
    send_call(peer, "network.ping", VIEW_LIT(""));
    say_hex(peer, "ff");
    CHECK(!wire_next(peer, &msg));
}

TEST(a_router_that_stops_says_goodbye_to_all_with_a_time_for_each)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *peer = join_peer(w, "456000");
    _cleanup_(key_freep) struct key *key = key_new();
    struct rpc_msg msg;
    struct wire *late;

    router_drain(w->router, w->now);
    CHECK(router_is_drained(w->router));
    CHECK_STR(answer_to(den), "GOODBYE wamp.close.system_shutdown");
    if (CHECK(wire_next(peer, &msg) && msg.type == RPC_GOODBYE)) {
        CHECK_VIEW(msg.goodbye.message, VIEW_LIT("the router is stopping"));
        CHECK(msg.goodbye.retry_after >= 1000 && msg.goodbye.retry_after <= 7000);
    }
    CHECK(den->is_closed && peer->is_closed);
    late = wire_new(w, "192.0.2.1");
    wire_hello(late, key);
    if (CHECK(wire_next(late, &msg) && msg.type == RPC_ABORT)) {
        CHECK_VIEW(msg.abort.reason, VIEW_LIT("wamp.close.system_shutdown"));
        CHECK(msg.abort.retry_after >= 500);
    }
    CHECK(late->is_closed);
}

/* Good messages of every kind that a session sends, damaged at random: whatever comes of it, the
 * router answers or closes, and holds nothing for those who left. */
static void put_good(struct buf *to, unsigned kind, uint64_t request)
{
    static const uint8_t args[] = { 0x92, 0xa1, 'x', 0xc4, 0x02, 1, 2 };
    static const uint8_t eligible[] = { 0x91, 0xa6, '4', '5', '6', '0', '0', '0' };
    struct rpc_payload payload = rpc_args(VIEW_ARR(args));
    struct rpc_msg msgs[] = {
        { .type = RPC_CALL, .call = { request, 5, true, VIEW_LIT("network.resolve"), payload } },
        { .type = RPC_CALL,
          .call = { request, 0, false, VIEW_LIT("peer.123456.chat.say"), payload } },
        { .type = RPC_REGISTER, .reg = { .request = request, .uri = VIEW_LIT("peer.456000.a.b") } },
        { .type = RPC_UNREGISTER, .ids = { request, 1 } },
        { .type = RPC_SUBSCRIBE, .reg = { .request = request, .uri = VIEW_LIT("den.heartbeat") } },
        { .type = RPC_UNSUBSCRIBE, .ids = { request, 1 } },
        { .type = RPC_PUBLISH,
          .publish = { request, true, true, false, VIEW_ARR(eligible), VIEW_LIT("peer.456000.n"),
                       payload } },
        { .type = RPC_YIELD, .yield = { 1, true, payload } },
        { .type = RPC_ERROR, .error = { RPC_INVOCATION, 1, VIEW_LIT("a.b"), payload } },
        { .type = RPC_HELLO, .hello = { .realm = VIEW_LIT(WORLD_NETWORK) } },
        { .type = RPC_AUTHENTICATE, .authenticate = { VIEW_LIT("sig"), VIEW_LIT("\x80") } },
        { .type = RPC_GOODBYE, .goodbye = { .reason = VIEW_LIT("a.b") } },
    };

    rpc_msg_write(&msgs[kind % N_ELEMENTS(msgs)], to);
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

static void damage(struct buf *frame, uint32_t *seed)
{
    for (uint32_t n = draw(seed, 4); n; n--)
        frame->data[draw(seed, (uint32_t)frame->len)] = (uint8_t)draw(seed, 256);
    if (draw(seed, 8) == 0)
        frame->len = draw(seed, (uint32_t)frame->len + 1);
}

TEST(damaged_messages_do_no_damage)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *peer = NULL, *den = join_den(w);
    uint32_t seed = 20261120;
    unsigned n_closed = 0;

    for (unsigned i = 0; i < 20000; i++) {
        _buf_ frame = { 0 };
        if (!peer || peer->is_closed) {
            n_closed++;
            if (peer)
                wire_drop(peer);
            peer = draw(&seed, 4) == 0 ? wire_new(w, "192.0.2.9") : join_peer(w, "456000");
        }
        put_good(&frame, draw(&seed, 12), wire_request(peer));
        damage(&frame, &seed);
        wire_say(peer, buf_view(&frame));
        wire_skip(peer);
    }
    CHECK(n_closed > 100 && n_closed < 20000); /* some of both */
    CHECK(!den->is_closed);
    CHECK_STR(try_call(den, "network.ping", VIEW_LIT("")), "RESULT");
}
