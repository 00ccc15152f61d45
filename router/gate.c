/* SPDX-License-Identifier: Apache-2.0 */
#include "router/gate.h"
#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <inttypes.h>

struct gate {
    const struct router_config *config;
    struct sources *sources;
    struct metrics *metrics;
    uint64_t logged_at, n_unlogged; /* turned away */
};

struct visit {
    struct gate *gate;
    struct source *source;
    bool is_proved, is_blamed;
};

static struct sources_config sources_config_of(const struct router_config *config)
{
    struct sources_config limits = {
        .per_address = config->max_per_address,
        .per_second = config->max_connection_rate,
        .unproved = config->max_unauthenticated,
        .penalty = { [SOURCE_SILENCE] = config->penalty_silence,
                     [SOURCE_AUTHENTICATION] = config->penalty_authentication,
                     [SOURCE_PROTOCOL] = config->penalty_protocol },
        .penalty_least = config->penalty_least,
        .penalty_most = config->penalty_most,
        .tracked = config->max_penalties,
    };

    if (config->unlimited_networks) /* it was checked when it was read */
        source_networks_read(config->unlimited_networks, limits.network, &limits.n_networks);
    return limits;
}

struct gate *gate_new(const struct router_config *config)
{
    struct gate *gate = mem_new(struct gate);
    struct sources_config limits = sources_config_of(config);

    gate->config = config;
    gate->sources = sources_new(&limits);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    sources_free(gate->sources);
    free(gate);
}

void gate_set_metrics(struct gate *gate, struct metrics *metrics)
{
    gate->metrics = metrics;
}

void gate_reload(struct gate *gate, const struct router_config *config)
{
    struct sources_config limits = sources_config_of(config);

    gate->config = config;
    sources_set_config(gate->sources, &limits);
}

size_t gate_n_unproved(const struct gate *gate)
{
    return sources_n_unproved(gate->sources);
}

size_t gate_n_tracked(const struct gate *gate)
{
    return sources_n_tracked(gate->sources);
}

/* ---- turning away ---------------------------------------------------------------------------- */

static const char *text_of(const uint8_t key[SOURCE_KEY], char to[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    bool is_v4 = memcmp(key, mapped, sizeof(mapped)) == 0;
    const char *text = inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? key + sizeof(mapped) : key, to,
                                 INET6_ADDRSTRLEN);

    return text ? text : "?";
}

/* A line a second at most: in a storm there is not time for more. */
static void turn_away(struct gate *gate, enum metric_limit limit, const char *from)
{
    uint64_t now = clock_mono_ms();

    metrics_limit(gate->metrics, limit);
    if (gate->logged_at && now - gate->logged_at < SECOND_MS) {
        gate->n_unlogged++;
        return;
    }
    log_event(LOG_WARN, "turned_away", "limit=%s address=%s before=%" PRIu64,
              metrics_limit_name(limit), from, gate->n_unlogged);
    gate->logged_at = now;
    gate->n_unlogged = 0;
}

static bool may_connect(void *user, const uint8_t key[SOURCE_KEY])
{
    static const enum metric_limit limits[SOURCE_VERDICTS] = {
        [SOURCE_TOO_MANY] = LIMIT_PER_ADDRESS,
        [SOURCE_TOO_OFTEN] = LIMIT_CONNECTION_RATE,
        [SOURCE_PENALISED] = LIMIT_PENALTY,
        [SOURCE_EARLY_DROP] = LIMIT_UNAUTHENTICATED,
    };
    struct gate *gate = user;
    char text[INET6_ADDRSTRLEN];
    enum source_verdict verdict;

    verdict = sources_ask(gate->sources, key, clock_mono_ms(), random_below(UINT32_MAX));
    if (verdict == SOURCE_MAY)
        return true;
    turn_away(gate, limits[verdict], text_of(key, text));
    return false;
}

static void is_full(void *user)
{
    turn_away(user, LIMIT_CONNECTIONS, "*");
}

static bool may_upgrade(void *user, struct view origin)
{
    struct gate *gate = user;

    if (router_config_has_origin(gate->config->origins, origin))
        return true;
    turn_away(gate, LIMIT_ORIGIN, log_quote(origin));
    return false;
}

/* ---- who is there ---------------------------------------------------------------------------- */

static void *connected(void *user, const uint8_t key[SOURCE_KEY])
{
    struct gate *gate = user;
    struct visit *visit = mem_new(struct visit);

    visit->gate = gate;
    visit->source = sources_open(gate->sources, key, clock_mono_ms());
    return visit;
}

/* A connection that never opened: nobody else has told what it did. */
static void gone(_unused_ void *user, void *place, bool was_open)
{
    struct visit *visit = place;
    uint64_t now = clock_mono_ms();

    if (!was_open)
        sources_blame(visit->gate->sources, visit->source, SOURCE_SILENCE, now);
    sources_close(visit->gate->sources, visit->source, visit->is_proved, now);
    free(visit);
}

struct rpc_ws_gate gate_for(struct gate *gate, bool is_proxied)
{
    struct rpc_ws_gate door = { .is_full = is_full, .may_upgrade = may_upgrade, .user = gate };

    if (is_proxied)
        return door;
    door.may_connect = may_connect;
    door.connected = connected;
    door.gone = gone;
    return door;
}

void gate_proved(struct visit *visit)
{
    if (!visit || visit->is_proved)
        return;
    visit->is_proved = true;
    sources_proved(visit->gate->sources);
}

void gate_blame(struct visit *visit, enum source_fault fault, const char *address)
{
    uint64_t refused_for;

    if (!visit || visit->is_blamed || fault == SOURCE_NO_FAULT)
        return;
    visit->is_blamed = true;
    refused_for = sources_blame(visit->gate->sources, visit->source, fault, clock_mono_ms());
    if (refused_for)
        log_event(LOG_WARN, "penalised", "address=%s fault=%s for=%" PRIu64 "s", address,
                  source_fault_name(fault), refused_for / SECOND_MS);
}

bool gate_near(const struct visit *visit, uint8_t ret_near[SOURCE_KEY])
{
    return visit && source_near(visit->source, ret_near);
}
