/* SPDX-License-Identifier: Apache-2.0 */
/* An event to many leaves in slices. */
#include "tests/unit/router/app.h"

#include <stdio.h>

enum { CROWD = 200, A_SLICE = BACKLOG_SLICE / BACKLOG_TOUCH };

struct crowd {
    struct world *w;
    struct wire *ann, *one[CROWD];
};

static void crowd_open(struct crowd *crowd, size_t n)
{
    char id[16];

    crowd->w = app_world("");
    crowd->ann = app_join(crowd->w, "ann", "user", true);
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "p%zu", i);
        crowd->one[i] = app_join(crowd->w, id, "user", true);
        app_subscribe(crowd->one[i], "news", "", false);
    }
}

/* How many events each has taken since, and whether they came in the order 0, 1, 2, ... */
static size_t count(struct crowd *crowd, size_t n, uint8_t next[])
{
    struct rpc_msg msg;
    size_t total = 0;

    for (size_t i = 0; i < n; i++) {
        while (wire_next(crowd->one[i], &msg)) {
            CHECK(msg.type == RPC_EVENT);
            CHECK_U64(app_arg(msg.event.payload), next[i]++);
            total++;
        }
    }
    return total;
}

TEST(calls_have_their_turn_between_two_slices)
{
    struct crowd crowd;
    uint8_t next[CROWD] = { 0 };
    struct rpc_msg msg;
    size_t total, part, n_slices = 1;

    crowd_open(&crowd, CROWD);
    app_register(crowd.one[CROWD - 1], "echo", "", "");
    app_publish(crowd.ann, NULL, "news", 0);
    CHECK(router_is_behind(crowd.w->router) &&
          router_deadline(crowd.w->router) == crowd.w->now.mono);
    total = count(&crowd, CROWD, next);
    CHECK(total > 0 && total <= A_SLICE);
    app_call(crowd.ann, NULL, "echo", 7);
    CHECK(app_take(crowd.one[CROWD - 1], RPC_EVENT, &msg)); /* it was published before the call */
    CHECK(app_take(crowd.one[CROWD - 1], RPC_INVOCATION, &msg));
    app_yield(crowd.one[CROWD - 1], msg.invocation.request, false, 8);
    CHECK(app_take(crowd.ann, RPC_RESULT, &msg) && app_arg(msg.result.payload) == 8);
    for (total++; router_is_behind(crowd.w->router); n_slices++) {
        router_tick(crowd.w->router, crowd.w->now);
        part = count(&crowd, CROWD, next);
        CHECK(part > 0 && part <= A_SLICE);
        total += part;
    }
    CHECK_U64(total, CROWD);
    CHECK(n_slices >= CROWD / A_SLICE);
    CHECK(router_deadline(crowd.w->router) == NEVER_MS);
    world_free(crowd.w);
}

TEST(an_event_is_written_once_for_all)
{
    struct crowd crowd;
    const struct parcel *parcel;

    crowd_open(&crowd, CROWD);
    app_publish(crowd.ann, NULL, "news", 0);
    parcel = crowd.one[0]->last_parcel;
    CHECK(parcel && crowd.w->router->backlog.bytes == parcel->frame.len);
    world_pass(crowd.w, 1);
    for (size_t i = 0; i < CROWD; i++)
        CHECK(crowd.one[i]->last_parcel == parcel && crowd.one[i]->n_events == 1);
    CHECK_U64(crowd.w->router->backlog.bytes, 0);
    world_free(crowd.w);
}

TEST(several_events_wait_in_order_and_leave_together)
{
    struct crowd crowd;
    uint8_t next[CROWD] = { 0 };

    crowd_open(&crowd, CROWD);
    for (uint8_t i = 0; i < 3; i++)
        app_publish(crowd.ann, NULL, "news", i);
    count(&crowd, CROWD, next);
    router_tick(crowd.w->router, crowd.w->now);
    count(&crowd, CROWD, next);
    for (size_t i = 0; i < CROWD; i++) /* those of the first slice had one at once */
        CHECK(next[i] == 0 || next[i] == 1 || next[i] == 3);
    world_pass(crowd.w, 1);
    count(&crowd, CROWD, next);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_U64(next[i], 3);
    world_free(crowd.w);
}

TEST(who_leaves_while_an_event_waits_is_forgotten)
{
    struct crowd crowd;
    uint8_t next[CROWD] = { 0 };
    struct rpc_msg msg;
    size_t last = CROWD - 1;

    crowd_open(&crowd, CROWD);
    app_publish(crowd.ann, NULL, "news", 0);
    wire_drop(crowd.one[last]);
    wire_send(crowd.one[last - 1],
              &(struct rpc_msg){ .type = RPC_UNSUBSCRIBE,
                                 .ids = { wire_request(crowd.one[last - 1]), 1 } });
    CHECK(app_take(crowd.one[last - 1], RPC_EVENT, &msg)); /* it listened when it was published */
    CHECK(app_take(crowd.one[last - 1], RPC_UNSUBSCRIBED, &msg));
    world_pass(crowd.w, 1);
    CHECK(app_is_quiet(crowd.one[last - 1]) && app_is_quiet(crowd.one[last]));
    CHECK_U64(count(&crowd, last - 1, next), last - 1);
    CHECK_U64(crowd.w->router->backlog.n, 0);
    world_free(crowd.w);
}

TEST(what_waits_is_charged_to_the_listener)
{
    struct crowd crowd;
    struct rpc_publish ask = { .topic = VIEW_LIT("news") };
    const struct conn *conn;
    _buf_ args = { 0 };
    uint8_t *body;

    crowd_open(&crowd, CROWD);
    conn = crowd.one[CROWD - 1]->conn;
    rpc_put_array(&args, 1);
    body = mem_zero(1, 100 * 1024);
    rpc_put_bin(&args, VIEW(body, 100 * 1024));
    free(body);
    ask.payload = rpc_args(buf_view(&args));
    for (int i = 0; i < 40; i++) {
        ask.request = wire_request(crowd.ann);
        wire_send(crowd.ann, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = ask });
    }
    CHECK(conn->n_events_dropped > 0);
    CHECK(conn->waiting_bytes <= crowd.w->config.max_queue / 2 + 101 * 1024);
    world_pass(crowd.w, 1);
    CHECK(conn->waiting_bytes == 0);
    CHECK_U64(crowd.one[CROWD - 1]->n_events + conn->n_events_dropped, 40);
    world_free(crowd.w);
}

TEST(the_backlog_has_an_end)
{
    struct crowd crowd;
    const struct backlog *backlog;

    crowd_open(&crowd, CROWD);
    backlog = &crowd.w->router->backlog;
    crowd.w->config.max_request_rate = 0; /* so many listeners are worth a good many requests */
    for (int i = 0; i < 2 * BACKLOG_MAX / CROWD; i++) {
        app_publish(crowd.ann, NULL, "news", (uint8_t)(i % 100));
        CHECK(backlog->n <= BACKLOG_MAX && backlog->bytes <= BACKLOG_MAX_BYTES);
    }
    CHECK(backlog->n > BACKLOG_MAX / 2);
    world_pass(crowd.w, 1);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_U64(crowd.one[i]->n_events, 2 * BACKLOG_MAX / CROWD);
    world_free(crowd.w);
}
