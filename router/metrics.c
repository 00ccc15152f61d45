/* SPDX-License-Identifier: Apache-2.0 */
#include "router/metrics.h"
#include "rpc/rpc.h"

#include <inttypes.h>
#include <stdio.h>

#define PREFIX "warren_router_"

static const uint64_t bounds_us[METRIC_BUCKETS] = {
    50,    100,   200,    500,    1000,   2000,    5000,    10000,
    20000, 50000, 100000, 200000, 500000, 1000000, 5000000, 30000000,
};

void metrics_took(struct metrics_histogram *histogram, uint64_t us)
{
    size_t i = 0;

    while (i < METRIC_BUCKETS && us > bounds_us[i])
        i++;
    histogram->bucket[i]++;
    histogram->sum_us += us;
}

#define ERROR_ROW(name, uri, label) { uri, label },
static const struct {
    const char *uri, *label;
} call_errors[] = { METRIC_CALL_ERRORS(ERROR_ROW) };

void metrics_call_failed(struct metrics *metrics, struct view uri)
{
    size_t i = 0;

    while (i < CALL_ERROR_APPLICATION && !rpc_uri_is_below(view_text(call_errors[i].uri), uri))
        i++;
    metrics->call_error[i]++;
}

/* ---- writing --------------------------------------------------------------------------------- */

void metrics_put_head(struct buf *to, const char *name, const char *type, const char *help)
{
    buf_printf(to, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void put_name(struct buf *to, const char *name, const char *labels)
{
    bool has_labels = *labels != '\0';

    buf_printf(to, PREFIX "%s%s%s%s ", name, has_labels ? "{" : "", labels, has_labels ? "}" : "");
}

void metrics_put_u64(struct buf *to, const char *name, const char *labels, uint64_t value)
{
    put_name(to, name, labels);
    buf_printf(to, "%" PRIu64 "\n", value);
}

void metrics_put_seconds(struct buf *to, const char *name, const char *labels, int64_t ms)
{
    put_name(to, name, labels);
    buf_printf(to, "%.3f\n", (double)ms / 1000);
}

void metrics_put_label(struct buf *to, struct view value)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (c == '\n')
            buf_put_text(to, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else
            buf_put_u8(to, c);
    }
}

#define COUNTER_ROW(name, family, labels, help) { family, labels, help },
static const struct {
    const char *family, *labels, *help;
} counters[] = { METRICS(COUNTER_ROW) };

static void put_counters(const struct metrics *metrics, struct buf *to)
{
    const char *before = "";
    char name[64];

    for (size_t i = 0; i < METRIC_N; i++) {
        snprintf(name, sizeof(name), "%s_total", counters[i].family);
        if (strcmp(before, counters[i].family) != 0)
            metrics_put_head(to, name, "counter", counters[i].help);
        metrics_put_u64(to, name, counters[i].labels, metrics->counter[i]);
        before = counters[i].family;
    }
}

/* One family with one label, a series for each of its values. */
static void put_labelled(struct buf *to, const char *name, const char *key,
                         const char *const *values, const uint64_t *counts, size_t n)
{
    char labels[128];

    for (size_t i = 0; i < n; i++) {
        snprintf(labels, sizeof(labels), "%s=\"%s\"", key, values[i]);
        metrics_put_u64(to, name, labels, counts[i]);
    }
}

#define LIMIT_NAME(name, label, told) label,
#define LIMIT_TOLD(name, label, told) told,
static const char *const limit_names[] = { METRIC_LIMITS(LIMIT_NAME) };
static const char *const limit_told[] = { METRIC_LIMITS(LIMIT_TOLD) };

const char *metrics_limit_told(enum metric_limit limit)
{
    return limit_told[limit];
}

const char *metrics_limit_name(enum metric_limit limit)
{
    return limit_names[limit];
}

static void put_limits(const struct metrics *metrics, struct buf *to)
{
    metrics_put_head(to, "limit_total", "counter", "Times that something ran into a limit.");
    put_labelled(to, "limit_total", "limit", limit_names, metrics->limit, LIMIT_N);
}

static void put_call_errors(const struct metrics *metrics, struct buf *to)
{
    const char *labels[CALL_ERROR_N];

    for (size_t i = 0; i < CALL_ERROR_N; i++)
        labels[i] = call_errors[i].label;
    metrics_put_head(to, "call_errors_total", "counter",
                     "Calls that were answered with an error, by its URI: one of WAMP's, one below "
                     "wamp, network or den, or an application's own.");
    put_labelled(to, "call_errors_total", "error", labels, metrics->call_error, CALL_ERROR_N);
}

static void put_flow(struct buf *to, const char *name, const struct metrics_flow *flow,
                     bool is_bytes)
{
    char labels[64];

    for (unsigned type = 0; type < METRIC_TYPES; type++) {
        if (flow[type].messages == 0)
            continue;
        snprintf(labels, sizeof(labels), "type=\"%s\"", rpc_type_name((enum rpc_type)type));
        metrics_put_u64(to, name, labels, is_bytes ? flow[type].bytes : flow[type].messages);
    }
}

static void put_flows(const struct metrics *metrics, struct buf *to)
{
    metrics_put_head(to, "messages_received_total", "counter", "WAMP messages from clients.");
    put_flow(to, "messages_received_total", metrics->in, false);
    metrics_put_head(to, "messages_sent_total", "counter", "WAMP messages to clients.");
    put_flow(to, "messages_sent_total", metrics->out, false);
    metrics_put_head(to, "received_bytes_total", "counter",
                     "Bytes of WAMP messages from clients, as msgpack.");
    put_flow(to, "received_bytes_total", metrics->in, true);
    metrics_put_head(to, "sent_bytes_total", "counter",
                     "Bytes of WAMP messages to clients, as msgpack.");
    put_flow(to, "sent_bytes_total", metrics->out, true);
}

static void put_histogram(struct buf *to, const char *name, const struct metrics_histogram *h,
                          const char *help)
{
    char series[64], le[32];
    uint64_t n = 0;

    metrics_put_head(to, name, "histogram", help);
    snprintf(series, sizeof(series), "%s_bucket", name);
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        n += h->bucket[i];
        snprintf(le, sizeof(le), "le=\"%g\"", (double)bounds_us[i] / 1e6);
        metrics_put_u64(to, series, le, n);
    }
    n += h->bucket[METRIC_BUCKETS];
    metrics_put_u64(to, series, "le=\"+Inf\"", n);
    buf_printf(to, PREFIX "%s_sum %.6f\n", name, (double)h->sum_us / 1e6);
    buf_printf(to, PREFIX "%s_count %" PRIu64 "\n", name, n);
}

void metrics_put(const struct metrics *metrics, struct buf *to)
{
    put_counters(metrics, to);
    put_limits(metrics, to);
    put_call_errors(metrics, to);
    put_flows(metrics, to);
    put_histogram(
        to, "call_duration_seconds", &metrics->call_time,
        "From a CALL to its last answer, whatever that was. The clock is read once in a turn "
        "of the loop: as fine as loop_turn_duration_seconds.");
    put_histogram(to, "loop_turn_duration_seconds", &metrics->loop_time,
                  "Work in one turn of the loop: for so long everybody else waited.");
}
