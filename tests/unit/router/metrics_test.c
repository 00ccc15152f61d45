/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "tests/unit/router/world.h"

static bool has_line(struct buf *page, const char *line)
{
    _free_ char *whole = mem_format("\n%s\n", line);

    return strstr(buf_cstr(page), whole) != NULL;
}

TEST(metrics_are_written_as_families_with_one_head_each)
{
    struct metrics m = { 0 };
    _buf_ page = { 0 };

    metrics_count(&m, METRIC_HANDSHAKES_LATE);
    metrics_add(&m, METRIC_EVENTS_DROPPED, 3);
    metrics_limit(&m, LIMIT_QUEUE);
    metrics_flow(m.in, RPC_CALL, 20);
    metrics_flow(m.in, RPC_CALL, 22);
    metrics_put(&m, &page);
    CHECK(has_line(&page, "# TYPE warren_router_handshakes_total counter"));
    CHECK(has_line(&page, "warren_router_handshakes_total{result=\"welcomed\"} 0"));
    CHECK(has_line(&page, "warren_router_handshakes_total{result=\"timeout\"} 1"));
    CHECK(has_line(&page, "warren_router_events_dropped_total 3"));
    CHECK(has_line(&page, "warren_router_limit_total{limit=\"max_queue\"} 1"));
    CHECK(has_line(&page, "warren_router_messages_received_total{type=\"CALL\"} 2"));
    CHECK(has_line(&page, "warren_router_received_bytes_total{type=\"CALL\"} 42"));
    CHECK(!strstr(buf_cstr(&page), "unknown"));
}

TEST(metrics_histogram_is_cumulative)
{
    struct metrics m = { 0 };
    _buf_ page = { 0 };

    metrics_took(&m.call_time, 50);
    metrics_took(&m.call_time, 51);
    metrics_took(&m.call_time, 60000000);
    metrics_put(&m, &page);
    CHECK(has_line(&page, "warren_router_call_duration_seconds_bucket{le=\"5e-05\"} 1"));
    CHECK(has_line(&page, "warren_router_call_duration_seconds_bucket{le=\"0.0001\"} 2"));
    CHECK(has_line(&page, "warren_router_call_duration_seconds_bucket{le=\"30\"} 2"));
    CHECK(has_line(&page, "warren_router_call_duration_seconds_bucket{le=\"+Inf\"} 3"));
    CHECK(has_line(&page, "warren_router_call_duration_seconds_sum 60.000101"));
    CHECK(has_line(&page, "warren_router_call_duration_seconds_count 3"));
}

TEST(metrics_know_the_class_of_an_error)
{
    static const struct {
        const char *uri;
        enum metric_call_error class;
    } cases[] = {
        { "wamp.error.timeout", CALL_ERROR_TIMEOUT },
        { "wamp.error.timeouts", CALL_ERROR_WAMP },
        { "network.error.limit", CALL_ERROR_NETWORK },
        { "networks.error.limit", CALL_ERROR_APPLICATION },
        { "den.error.declined", CALL_ERROR_DEN },
        { "com.example.broken", CALL_ERROR_APPLICATION },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct metrics m = { 0 };
        metrics_call_failed(&m, view_text(cases[i].uri));
        CHECK(m.call_error[cases[i].class] == 1);
    }
}

TEST(metrics_labels_are_escaped)
{
    _buf_ to = { 0 };

    metrics_put_label(&to, VIEW_LIT("a\"b\\c\nd"));
    CHECK_STR(buf_cstr(&to), "a\\\"b\\\\c\\nd");
}

TEST(metrics_follow_what_happens)
{
    _cleanup_(world_freep) struct world *world = world_new();
    struct wire *den = join_den(world), *peer = join_peer(world, "123456");
    const struct metrics *m = &world->router->metrics;
    uint64_t n_calls = m->counter[METRIC_CALLS];

    CHECK(m->counter[METRIC_HANDSHAKES_OK] == 2);
    CHECK(m->in[RPC_HELLO].messages == 2 && m->out[RPC_WELCOME].messages == 2);
    CHECK_STR(try_call(peer, "app.nothing", (struct view){ 0 }), "wamp.error.not_authorized");
    CHECK(m->counter[METRIC_CALLS] == n_calls + 1);
    CHECK(m->call_error[CALL_ERROR_NOT_AUTHORIZED] == 1);
    CHECK_STR(try_subscribe(peer, "den.heartbeat"), "SUBSCRIBED");
    den_beat(den);
    CHECK(m->counter[METRIC_EVENTS_DELIVERED] == 1 && m->out[RPC_EVENT].messages == 1);
    peer->queued = world->config.max_queue;
    den_beat(den);
    CHECK(m->counter[METRIC_EVENTS_DROPPED] == 1 && m->out[RPC_EVENT].messages == 1);
    wire_drop(peer);
    CHECK(m->counter[METRIC_SESSIONS_LOST] == 1);
}
