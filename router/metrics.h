/* SPDX-License-Identifier: Apache-2.0 */
/* What the router counts, as tables: a row makes the constant, the series and its line in
 * router/README.md's list. Counting is one addition; nothing here does I/O or allocates.
 *
 *     metrics_count(&router->metrics, METRIC_SESSIONS_CLONED);
 *     metrics_limit(&router->metrics, LIMIT_PENDING_CALLS);
 *
 * metrics_page.h writes all of it, and the gauges that are looked up when somebody asks, as one page
 * in the text format of Prometheus, 0.0.4. */
#pragma once

#include "base/buf.h"

/* Counters: constant, family (without "warren_router_" and "_total"), labels or "", help. Rows of
 * one family stand together; the first one's help counts. */
#define METRICS(X)                                                                                 \
    X(CONNECTIONS, "connections", "", "WebSocket connections that were opened.")                   \
    X(HANDSHAKES_OK, "handshakes", "result=\"welcomed\"",                                          \
      "Sessions that were asked for, by what came of it.")                                         \
    X(HANDSHAKES_REFUSED, "handshakes", "result=\"refused\"", "")                                  \
    X(HANDSHAKES_LATE, "handshakes", "result=\"timeout\"", "")                                     \
    X(HANDSHAKES_GONE, "handshakes", "result=\"gone\"", "")                                        \
    X(SESSIONS_LEFT, "sessions_ended", "by=\"client\"",                                            \
      "Sessions that ended, by what: the client's goodbye, the router's, a broken rule, a lost "   \
      "connection.")                                                                               \
    X(SESSIONS_DISMISSED, "sessions_ended", "by=\"router\"", "")                                   \
    X(SESSIONS_ABORTED, "sessions_ended", "by=\"violation\"", "")                                  \
    X(SESSIONS_LOST, "sessions_ended", "by=\"lost\"", "")                                          \
    X(SESSIONS_CLONED, "sessions_cloned", "",                                                      \
      "Sessions refused because another process with the same key has one, and is alive.")         \
    X(CALLS, "calls", "", "Calls that were accepted, those to the router itself included.")        \
    X(EVENTS_DELIVERED, "events_delivered", "", "Events that were handed to a connection.")        \
    X(EVENTS_DROPPED, "events_dropped", "", "Events that a slow connection lost.")                 \
    X(WITHHELD_EVENTS, "withheld", "what=\"event\"",                                               \
      "Messages with a keyword that the receiver's client library cannot take.")                   \
    X(WITHHELD_INVOCATIONS, "withheld", "what=\"invocation\"", "")                                 \
    X(WITHHELD_RESULTS, "withheld", "what=\"result\"", "")                                         \
    X(WITHHELD_ERRORS, "withheld", "what=\"error\"", "")                                           \
    X(RELAY_SOCKETS, "relay_connections", "", "Connections to the relay that were opened.")        \
    X(RELAY_REFUSED, "relay_refused", "", "Connections to the relay whose opening did not hold.")  \
    X(RELAY_DATAGRAMS, "relay_datagrams", "", "Datagrams that were relayed.")                      \
    X(RELAY_BYTES, "relay_bytes", "", "Bytes in relayed datagrams.")                               \
    X(RELAY_DROPPED_ALONE, "relay_dropped", "why=\"alone\"",                                       \
      "Datagrams that were not relayed, by why: the other end is not there, a rate, a slow end.")  \
    X(RELAY_DROPPED_SESSION, "relay_dropped", "why=\"session_rate\"", "")                          \
    X(RELAY_DROPPED_PEER, "relay_dropped", "why=\"peer_rate\"", "")                                \
    X(RELAY_DROPPED_QUEUE, "relay_dropped", "why=\"queue\"", "")                                   \
    X(STUN_ANSWERED, "stun_requests", "result=\"answered\"",                                       \
      "Datagrams to the STUN server, by what came of them.")                                       \
    X(STUN_REFUSED, "stun_requests", "result=\"refused\"", "")                                     \
    X(STUN_DROPPED, "stun_requests", "result=\"dropped\"", "")                                     \
    X(STUN_LIMITED, "stun_requests", "result=\"limited\"", "")                                     \
    X(DENIED, "denied", "", "Calls, registrations, subscriptions and publications denied.")        \
    X(RELOADS_OK, "reloads", "result=\"ok\"", "Reloads of the configuration.")                     \
    X(RELOADS_FAILED, "reloads", "result=\"failed\"", "")

/* Every limit that something can run into: constant, the label's value (the option's name, where it
 * is an option), and what the one who ran into it is told: a URI in ERROR or ABORT, a code of the
 * WebSocket's close, an HTTP status, or nothing ("cut"). All are counted as
 * `warren_router_limit_total{limit="..."}`. rpc/PROTOCOL.md, section 11, has the same table. */
#define METRIC_LIMITS(X)                                                                           \
    X(CONNECTIONS, "max_connections", "cut")                                                       \
    X(PER_ADDRESS, "max_per_address", "cut")                                                       \
    X(CONNECTION_RATE, "max_connection_rate", "cut")                                               \
    X(UNAUTHENTICATED, "max_unauthenticated", "cut")                                               \
    X(PENALTY, "penalty", "cut")                                                                   \
    X(ORIGIN, "origins", "403")                                                                    \
    X(HANDSHAKE_TIME, "handshake_timeout", "wamp.error.timeout")                                   \
    X(GUESTS, "max_guests", "network.error.too_many_guests")                                       \
    X(MESSAGE_BEFORE, "max_message_before", "1009")                                                \
    X(MESSAGE, "max_message", "1009")                                                              \
    X(FRAGMENTS, "max_fragments", "1008")                                                          \
    X(CONTROL, "max_control_rate", "1008")                                                         \
    X(STALLED, "stall_timeout", "1008")                                                            \
    X(SLOW_READER, "slow_reader", "cut")                                                           \
    X(QUEUE, "max_queue", "cut")                                                                   \
    X(REQUEST_RATE, "max_request_rate", "network.error.too_many_requests")                         \
    X(PENDING_CALLS, "max_pending_calls", "network.error.too_many_calls")                          \
    X(REGISTRATIONS, "max_registrations", "network.error.too_many_registrations")                  \
    X(SUBSCRIPTIONS, "max_subscriptions", "network.error.too_many_subscriptions")                  \
    X(TESTAMENTS, "max_testaments", "network.error.too_many_testaments")                           \
    X(RETAINED, "max_retained", "network.error.too_many_retained")                                 \
    X(GRANTS, "max_grants", "network.error.too_many_grants")                                       \
    X(LOOKUPS, "max_lookups", "network.error.too_many_lookups")                                    \
    X(LOOKUPS_NEAR, "max_lookups_network", "network.error.too_many_lookups_nearby")                \
    X(RELAY_SESSIONS, "max_relay_sessions", "4431")                                                \
    X(RELAY_SESSION_BYTES, "max_relay_session_bytes", "4429")                                      \
    X(RELAY_PEER_BYTES, "max_relay_peer_bytes", "4430")                                            \
    X(RELAY_SESSION_RATE, "max_relay_session_rate", "dropped")                                     \
    X(RELAY_PEER_RATE, "max_relay_peer_rate", "dropped")                                           \
    X(RELAY_QUEUE, "max_relay_queue", "dropped")                                                   \
    X(RELAY_UNPAIRED, "relay_unpaired_timeout", "4408")                                            \
    X(STUN_RATE, "max_stun_rate", "dropped")                                                       \
    X(CALL_TIME, "call_timeout", "wamp.error.timeout")                                             \
    X(SLOW_CALLEE, "slow_callee", "wamp.error.unavailable")                                        \
    X(SLOW_CALLER, "slow_caller", "network.error.slow_caller")

/* What a call that failed was told: constant, URI, the label's value. The first row that is equal
 * to the URI, or that it stands below. */
#define METRIC_CALL_ERRORS(X)                                                                      \
    X(NO_SUCH_PROCEDURE, "wamp.error.no_such_procedure", "no_such_procedure")                      \
    X(NOT_AUTHORIZED, "wamp.error.not_authorized", "not_authorized")                               \
    X(INVALID_ARGUMENT, "wamp.error.invalid_argument", "invalid_argument")                         \
    X(TIMEOUT, "wamp.error.timeout", "timeout")                                                    \
    X(CANCELED, "wamp.error.canceled", "canceled")                                                 \
    X(UNAVAILABLE, "wamp.error.unavailable", "unavailable")                                        \
    X(NO_CALLEE, "wamp.error.no_available_callee", "no_available_callee")                          \
    X(WAMP, "wamp", "wamp")                                                                        \
    X(NETWORK, "network", "network")                                                               \
    X(DEN, "den", "den")                                                                           \
    X(APPLICATION, "", "application") /* all others */

#define METRIC_ENUM(name, ...) METRIC_##name,
enum metric { METRICS(METRIC_ENUM) METRIC_N };
#define METRIC_LIMIT_ENUM(name, ...) LIMIT_##name,
enum metric_limit { METRIC_LIMITS(METRIC_LIMIT_ENUM) LIMIT_N };
#define METRIC_ERROR_ENUM(name, ...) CALL_ERROR_##name,
enum metric_call_error { METRIC_CALL_ERRORS(METRIC_ERROR_ENUM) CALL_ERROR_N };

enum { METRIC_TYPES = 71 }; /* WAMP's message types are below it: 70 is YIELD */
enum { METRIC_BUCKETS = 16 };

struct metrics {
    uint64_t counter[METRIC_N];
    uint64_t limit[LIMIT_N];
    uint64_t call_error[CALL_ERROR_N];
    struct metrics_flow {
        uint64_t messages, bytes;
    } in[METRIC_TYPES], out[METRIC_TYPES]; /* as msgpack, whatever a connection speaks */
    struct metrics_histogram {
        uint64_t bucket[METRIC_BUCKETS + 1]; /* the last one: longer than all bounds */
        uint64_t sum_us;
    } call_time, loop_time; /* from CALL to its last answer; work in one turn of the loop */
};

static inline void metrics_count(struct metrics *metrics, enum metric metric)
{
    metrics->counter[metric]++;
}
static inline void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n)
{
    metrics->counter[metric] += n;
}
static inline void metrics_limit(struct metrics *metrics, enum metric_limit limit)
{
    metrics->limit[limit]++;
}
/* What the one who ran into it is told; static text. */
const char *metrics_limit_told(enum metric_limit limit);
const char *metrics_limit_name(enum metric_limit limit);
static inline void metrics_flow(struct metrics_flow flow[METRIC_TYPES], unsigned type, size_t bytes)
{
    flow[type].messages++;
    flow[type].bytes += bytes;
}
void metrics_call_failed(struct metrics *metrics, struct view uri);
void metrics_took(struct metrics_histogram *histogram, uint64_t us);

/* ---- writing --------------------------------------------------------------------------------- */

/* "# HELP" and "# TYPE". `name` without "warren_router_"; type: "counter", "gauge", "histogram". */
void metrics_put_head(struct buf *to, const char *name, const char *type, const char *help);
/* A line. `labels`: as they stand between the braces, or "". */
void metrics_put_u64(struct buf *to, const char *name, const char *labels, uint64_t value);
void metrics_put_seconds(struct buf *to, const char *name, const char *labels, int64_t ms);
/* A label's value: escaped for between its quotes. */
void metrics_put_label(struct buf *to, struct view value);
/* Everything in `metrics`. */
void metrics_put(const struct metrics *metrics, struct buf *to);
