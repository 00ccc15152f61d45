/* SPDX-License-Identifier: Apache-2.0 */
#include "router/page.h"
#include "router/relay.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_TALLIES = 256 }; /* pairs of realm and role that have a series of their own */

struct tally {
    const struct realm *realm;
    const char *role;
    uint64_t n;
};

struct census {
    struct tally tally[MAX_TALLIES];
    size_t n_tallies;
    uint64_t n_others; /* of further pairs */
    uint64_t n_conns, n_handshakes;
    uint64_t queued, most_queued;
};

static void count_session(struct census *census, const struct conn *conn)
{
    for (size_t i = 0; i < census->n_tallies; i++) {
        struct tally *tally = &census->tally[i];
        if (tally->realm == conn->realm && strcmp(tally->role, conn->authrole) == 0) {
            tally->n++;
            return;
        }
    }
    if (census->n_tallies == MAX_TALLIES)
        census->n_others++;
    else
        census->tally[census->n_tallies++] = (struct tally){ conn->realm, conn->authrole, 1 };
}

static void take_census(const struct router *router, struct census *census)
{
    const struct conn *conn;

    LIST_EACH(conn, &router->conns, of_router) {
        size_t queued = router->outside.queued(conn->wire);
        census->n_conns++;
        census->queued += queued;
        if (queued > census->most_queued)
            census->most_queued = queued;
        if (conn->state == CONN_ESTABLISHED)
            count_session(census, conn);
        else if (conn->state != CONN_CLOSING)
            census->n_handshakes++;
    }
}

static void put_one(struct buf *to, const char *name, const char *help, uint64_t value)
{
    metrics_put_head(to, name, "gauge", help);
    metrics_put_u64(to, name, "", value);
}

static void put_sessions(const struct census *census, struct buf *to)
{
    metrics_put_head(to, "sessions", "gauge", "Sessions, by realm and role.");
    for (size_t i = 0; i < census->n_tallies; i++) {
        const struct tally *tally = &census->tally[i];
        _buf_ labels = { 0 };
        buf_put_text(&labels, "realm=\"");
        metrics_put_label(&labels, view_text(tally->realm->config->name));
        buf_put_text(&labels, "\",role=\"");
        metrics_put_label(&labels, view_text(tally->role));
        buf_put_text(&labels, "\"");
        metrics_put_u64(to, "sessions", buf_cstr(&labels), tally->n);
    }
    if (census->n_others)
        metrics_put_u64(to, "sessions", "realm=\"\",role=\"\"", census->n_others);
}

static void put_conns(const struct router *router, struct buf *to)
{
    _free_ struct census *census = mem_new(struct census);

    take_census(router, census);
    put_sessions(census, to);
    put_one(to, "open_connections", "WebSocket connections.", census->n_conns);
    put_one(to, "open_handshakes", "Connections that have not proved who they are.",
            census->n_handshakes);
    put_one(to, "queue_bytes", "Bytes that wait to be sent, of all connections.", census->queued);
    put_one(to, "queue_largest_bytes", "Bytes that wait for the slowest connection.",
            census->most_queued);
}

static void put_by_realm(const struct router *router, struct buf *to, const char *name,
                         const char *help, uint64_t (*count)(const struct realm *realm))
{
    metrics_put_head(to, name, "gauge", help);
    for (size_t i = 0; i < router->n_realms; i++) {
        _buf_ labels = { 0 };
        buf_put_text(&labels, "realm=\"");
        metrics_put_label(&labels, view_text(router->realms[i]->config->name));
        buf_put_text(&labels, "\"");
        metrics_put_u64(to, name, buf_cstr(&labels), count(router->realms[i]));
    }
}

static uint64_t n_calls(const struct realm *realm)
{
    return dealer_n_calls(realm->dealer);
}

static uint64_t n_registrations(const struct realm *realm)
{
    return dealer_n_registrations(realm->dealer);
}

static uint64_t n_subscriptions(const struct realm *realm)
{
    return broker_n_subscriptions(realm->broker);
}

static void put_realms(const struct router *router, struct buf *to)
{
    put_by_realm(router, to, "pending_calls", "Calls that wait for an answer.", n_calls);
    put_by_realm(router, to, "registrations", "Procedures that are served.", n_registrations);
    put_by_realm(router, to, "subscriptions", "Topics that are listened to, by each session.",
                 n_subscriptions);
}

/* What a sick network looks like from here. A heartbeat's age is unknown until the first one. */
static void put_network(const struct router *router, struct buf *to)
{
    uint64_t age = rpc_trust_heartbeat_age(router->trust, router->now.mono);

    put_one(to, "den_connected", "Whether den has a session.",
            names_find(router->names, VIEW_LIT("den")) != NULL);
    metrics_put_head(to, "den_heartbeat_age_seconds", "gauge",
                     "Age of den's newest heartbeat; absent before the first.");
    if (age != UINT64_MAX)
        metrics_put_seconds(to, "den_heartbeat_age_seconds", "", (int64_t)age);
    metrics_put_head(to, "certificate_expiry_timestamp_seconds", "gauge",
                     "When the TLS certificate ends; 0 when it has.");
    metrics_put_seconds(to, "certificate_expiry_timestamp_seconds", "",
                        (int64_t)router->certificate_not_after);
    put_one(to, "manifest_number", "Number of the network's manifest in force here.",
            rpc_trust_manifest_no(router->trust));
    put_one(to, "relay_sessions", "Sessions that use the relay.", relay_n_sessions(router->relay));
    put_one(to, "relay_open_connections", "Connections to the relay.",
            relay_n_sockets(router->relay));
    put_one(to, "draining", "Whether the router is stopping.", router->is_draining);
}

/* The names that every exporter has, without a prefix. */
static void put_process(const struct page_scene *scene, struct buf *to)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        { "process_resident_memory_bytes", "gauge", "Resident memory.",
          (double)scene->resident_bytes },
        { "process_virtual_memory_bytes", "gauge", "Virtual memory.",
          (double)scene->virtual_bytes },
        { "process_open_fds", "gauge", "Open file descriptors.", (double)scene->open_files },
        { "process_max_fds", "gauge", "The most of them that may be open.",
          (double)scene->max_files },
        { "process_cpu_seconds_total", "counter", "CPU time, of user and system.",
          (double)scene->cpu_ms / 1000 },
        { "process_start_time_seconds", "gauge", "When the process began.",
          (double)scene->started_at / 1000 },
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", rows[i].name, rows[i].help,
                   rows[i].name, rows[i].type, rows[i].name, rows[i].value);
}

void page_metrics(struct router *router, struct moment now, const struct page_scene *scene,
                  struct buf *to)
{
    char version[64];

    router->now = now;
    snprintf(version, sizeof(version), "version=\"%s\"", scene->version);
    metrics_put_head(to, "build_info", "gauge", "1, with the version as label.");
    metrics_put_u64(to, "build_info", version, 1);
    put_conns(router, to);
    put_realms(router, to);
    put_network(router, to);
    metrics_put(&router->metrics, to);
    put_process(scene, to);
}

bool page_ready(struct router *router, struct moment now, struct buf *to)
{
    const char *why = NULL;

    router->now = now;
    if (router->is_draining)
        why = "the router is stopping";
    else if (!rpc_trust_is_ready(router->trust))
        why = "no manifest of the network is known";
    else if (router->certificate_not_after <= now.wall)
        why = "the certificate has expired";
    buf_printf(to, "%s%s\n", why ? "not ready: " : "ready", why ? why : "");
    return !why;
}
