/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/world.h"

#include <stdio.h>

static const uint8_t one[] = { 0x91, 0x01 };

static void publish(struct wire *wire, const char *topic, struct view eligible, bool include_me)
{
    struct rpc_publish ask = { .request = wire_request(wire),
                               .topic = view_text(topic),
                               .include_me = include_me,
                               .eligible_authid = eligible,
                               .payload = rpc_args(VIEW_ARR(one)) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
}

static bool gets_event(struct wire *wire)
{
    struct rpc_msg msg;

    return wire_next(wire, &msg) && msg.type == RPC_EVENT &&
           view_eq(msg.event.payload.bytes, VIEW_ARR(one));
}

TEST(den_addresses_the_two_ends_alone)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "123456"),
                *eve = join_peer(w, "777777");
    struct wire *all[] = { alice, bob, eve };
    struct rpc_msg msg;
    _buf_ ends = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        CHECK_STR(try_subscribe(all[i], "den.session.on_state"), "SUBSCRIBED");
    rpc_put_array(&ends, 2);
    rpc_put_str(&ends, "456000");
    rpc_put_str(&ends, "123456");
    publish(den, "den.session.on_state", buf_view(&ends), false);
    CHECK(gets_event(alice) && gets_event(bob));
    CHECK(!wire_next(eve, &msg));
    publish(den, "den.session.on_state", (struct view){ 0 }, false);
    CHECK(gets_event(alice) && gets_event(bob) && gets_event(eve));
}

TEST(an_event_says_who_published_it)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct rpc_msg msg;

    CHECK_STR(try_subscribe(alice, "den.session.on_state"), "SUBSCRIBED");
    publish(den, "den.session.on_state", (struct view){ 0 }, false);
    if (!CHECK(wire_next(alice, &msg)))
        return;
    CHECK_U64(msg.event.publisher, den->session);
    CHECK_VIEW(msg.event.publisher_authid, VIEW_LIT("den"));
    CHECK_VIEW(msg.event.publisher_authrole, VIEW_LIT("den"));
    CHECK(!msg.event.retained);
}

TEST(the_publisher_hears_itself_only_when_it_asks)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_msg msg;

    join_den(w);
    alice = join_peer(w, "456000");
    CHECK_STR(try_subscribe(alice, "peer.456000.news"), "SUBSCRIBED");
    publish(alice, "peer.456000.news", (struct view){ 0 }, false);
    CHECK(!wire_next(alice, &msg));
    publish(alice, "peer.456000.news", (struct view){ 0 }, true);
    CHECK(gets_event(alice));
}

static bool subscribe_retained(struct wire *wire, const char *topic, struct rpc_msg *ret_event)
{
    struct rpc_register ask = { .request = wire_request(wire),
                                .get_retained = true,
                                .uri = view_text(topic) };
    struct rpc_msg msg;

    wire_send(wire, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
    if (!CHECK(wire_next(wire, &msg)) || !CHECK(msg.type == RPC_SUBSCRIBED))
        return false;
    return wire_next(wire, ret_event);
}

TEST(the_heartbeat_is_retained_stored_and_survives_a_restart)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct rpc_msg msg;
    struct rpc_fields f;

    CHECK_U64(w->n_saved, 1);
    CHECK(subscribe_retained(alice, "den.heartbeat", &msg));
    CHECK(msg.type == RPC_EVENT && msg.event.retained);
    rpc_fields_open(&f, rpc_payload_args(msg.event.payload));
    CHECK_VIEW(rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT),
               rpc_trust_heartbeat_bytes(w->router->trust));
    den_beat(den);
    CHECK_U64(w->n_saved, 2);
    CHECK_STR(answer_to(alice), "EVENT");

    world_restart(w);
    CHECK_U64(rpc_trust_heartbeat(w->router->trust)->hb_no, 2);
    alice = join_peer(w, "456000");
    CHECK(subscribe_retained(alice, "den.heartbeat", &msg));
    CHECK(msg.event.retained);
}

TEST(bad_heartbeats_go_nowhere)
{
    _cleanup_(world_freep) struct world *w = world_new();
    _cleanup_(key_freep) struct key *stranger = key_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");
    struct key *right = w->den_sign;
    struct rpc_publish ask = { .acknowledge = true,
                               .retain = true,
                               .topic = VIEW_LIT("den.heartbeat") };
    struct rpc_msg msg;
    _buf_ foreign = { 0 };
    _buf_ old = { 0 };
    _buf_ unsaved = { 0 };

    CHECK_STR(try_subscribe(alice, "den.heartbeat"), "SUBSCRIBED");
    w->den_sign = stranger;
    world_heartbeat(w, &foreign);
    w->den_sign = right;
    ask.request = wire_request(den);
    ask.payload = rpc_args(buf_view(&foreign));
    wire_send(den, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK_STR(answer_to(den), "network.error.bad_signature");

    w->hb_no = 0;
    world_heartbeat(w, &old); /* number 1 once more, with other contents */
    ask.request = wire_request(den);
    ask.payload = rpc_args(buf_view(&old));
    wire_send(den, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK(strstr(answer_to(den), ".error.") != NULL);

    w->hb_no = 5;
    w->fails_to_save = true;
    world_heartbeat(w, &unsaved); /* what cannot be kept is not passed on */
    ask.request = wire_request(den);
    ask.payload = rpc_args(buf_view(&unsaved));
    wire_send(den, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK_STR(answer_to(den), "network.error.system");
    CHECK(!wire_next(alice, &msg));
    w->fails_to_save = false;
    ask.request = wire_request(den); /* den says it again: now it is kept, and then passed on */
    wire_send(den, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK_STR(answer_to(den), "PUBLISHED");
    CHECK_U64(w->n_saved, 2);
    CHECK_STR(answer_to(alice), "EVENT");
}

TEST(only_den_retains)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_publish ask = { .acknowledge = true,
                               .retain = true,
                               .topic = VIEW_LIT("peer.456000.news") };

    join_den(w);
    alice = join_peer(w, "456000");
    ask.request = wire_request(alice);
    wire_send(alice, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    CHECK_STR(answer_to(alice), "wamp.error.not_authorized");
}

TEST(the_same_topic_twice_is_one_subscription)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    struct rpc_msg msg;
    uint64_t ids[2];

    join_den(w);
    alice = join_peer(w, "456000");
    for (size_t i = 0; i < 2; i++) {
        struct rpc_register ask = { .request = wire_request(alice),
                                    .uri = VIEW_LIT("den.heartbeat") };
        wire_send(alice, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
        CHECK(wire_next(alice, &msg) && msg.type == RPC_SUBSCRIBED);
        ids[i] = msg.ids.second;
    }
    CHECK_U64(ids[0], ids[1]);
    CHECK_U64(broker_n_subscriptions(w->router->home->broker), 1);
    wire_send(alice,
              &(struct rpc_msg){ .type = RPC_UNSUBSCRIBE, .ids = { wire_request(alice), ids[0] } });
    CHECK_STR(answer_to(alice), "UNSUBSCRIBED");
    wire_send(alice,
              &(struct rpc_msg){ .type = RPC_UNSUBSCRIBE, .ids = { wire_request(alice), ids[0] } });
    CHECK_STR(answer_to(alice), "wamp.error.no_such_subscription");
}

TEST(subscriptions_are_counted)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;
    char uri[64];

    join_den(w);
    alice = join_peer(w, "456000");
    for (unsigned i = 0; i < 256; i++) {
        snprintf(uri, sizeof(uri), "peer.456000.t%u", i);
        CHECK_STR(try_subscribe(alice, uri), "SUBSCRIBED");
    }
    CHECK_STR(try_subscribe(alice, "peer.456000.more"), "network.error.too_many_subscriptions");
}

TEST(a_listener_that_does_not_keep_up_loses_events_not_its_session)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000"), *bob = join_peer(w, "123456");
    struct rpc_msg msg;

    CHECK_STR(try_subscribe(alice, "den.session.on_state"), "SUBSCRIBED");
    CHECK_STR(try_subscribe(bob, "den.session.on_state"), "SUBSCRIBED");
    alice->queued = w->config.max_queue / 2 + 1;
    publish(den, "den.session.on_state", (struct view){ 0 }, false);
    CHECK(!wire_next(alice, &msg) && gets_event(bob));
    CHECK_U64(alice->conn->n_events_dropped, 1);
    CHECK(!alice->is_closed);
}
