/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/carrier_relay.h"
#include "base/clock.h"

#include <stdio.h>

enum {
    GREETING = RPC_NONCE32 + KEY_SIZE,
    MAX_MESSAGE = 16 * 1024,
    MAX_QUEUED = 256 * 1024, /* bytes on their way: more only wait for longer */
    FIRST_PAUSE_MS = 100,
    LAST_PAUSE_MS = 15000,
    LONG_PAUSE_MS = 60000,
    UNPAIRED = 4408,
};

struct carrier_relay {
    struct path_carrier base;
    struct path *path;
    struct carrier_relay_config config;
    char *server_name;
    struct rpc_join_host dialed, others[RPC_JOIN_HOSTS]; /* of the newest try */
    struct rpc_ws_conn *conn;                            /* NULL: waiting for the next try */
    struct rpc_ws_timer *timer;
    uint64_t pause;
    uint8_t greeting[GREETING];
    bool has_greeting, has_opened, was_paired, is_up, is_over;
    bool is_held;           /* the relay said to come back much later */
    bool is_idle;           /* there was nothing to open with in time: no try before there is */
    bool binds_certificate; /* TLS ends before the router, it seems */
};

static size_t carrier_send(struct path_carrier *base, const struct view *packets, size_t n)
{
    struct carrier_relay *carrier = CONTAINER(base, struct carrier_relay, base);
    size_t i = 0;

    if (!carrier->conn || !carrier->has_opened)
        return 0;
    for (; i < n && rpc_ws_queued(carrier->conn) < MAX_QUEUED; i++)
        rpc_ws_send(carrier->conn, packets[i]);
    return i;
}

static bool carrier_facts(const struct path_carrier *base, struct path_facts *ret)
{
    const struct carrier_relay *carrier = (const struct carrier_relay *)(const void *)base;
    struct path_facts facts = { .kind = PATH_RELAY };
    const struct rpc_join_host *host = &carrier->config.host;

    snprintf(facts.local, sizeof(facts.local), "tls");
    snprintf(facts.remote, sizeof(facts.remote), "%.50s:%u", host->host, (unsigned)host->port);
    snprintf(facts.local_type, sizeof(facts.local_type), "relay");
    snprintf(facts.remote_type, sizeof(facts.remote_type), "relay");
    *ret = facts;
    return true;
}

static const struct path_carrier_ops carrier_ops = {
    .kind = PATH_RELAY,
    .send = carrier_send,
    .facts = carrier_facts,
};

static void go_up(struct carrier_relay *carrier)
{
    if (carrier->is_up)
        return;
    carrier->is_up = true;
    path_carrier_up(carrier->path, &carrier->base);
}

static void go_down(struct carrier_relay *carrier)
{
    if (!carrier->is_up)
        return;
    carrier->is_up = false;
    path_carrier_down(carrier->path, &carrier->base);
}

static void tell(struct carrier_relay *carrier, enum carrier_relay_state state,
                 const struct err *why)
{
    if (carrier->config.on_state)
        carrier->config.on_state(carrier->config.user, state, why);
}

static void connect_now(void *user);

/* ---- opening --------------------------------------------------------------------------------- */

static bool bind(const struct carrier_relay *carrier, struct rpc_binding *ret_binding)
{
    ret_binding->name = carrier->binds_certificate ? RPC_BINDING_CERTIFICATE : RPC_BINDING_EXPORTER;
    return carrier->binds_certificate ? rpc_ws_certificate(carrier->conn, ret_binding->data)
                                      : rpc_ws_exporter(carrier->conn, ret_binding->data);
}

void carrier_relay_open(struct carrier_relay *carrier)
{
    struct carrier_relay_greeting greeting = {
        .nonce = VIEW(carrier->greeting, RPC_NONCE32),
        .router_pk = VIEW(carrier->greeting + RPC_NONCE32, KEY_SIZE),
    };
    _buf_ opening = { 0 };

    if (carrier->is_idle) {
        carrier->is_idle = false;
        connect_now(carrier);
    }
    if (carrier->is_over || carrier->has_opened || !carrier->has_greeting || !carrier->conn ||
        !bind(carrier, &greeting.binding) ||
        !carrier->config.put_opening(carrier->config.user, &greeting, &opening))
        return;
    rpc_ws_send(carrier->conn, buf_view(&opening));
    carrier->has_opened = true;
    if (carrier->config.is_eager && !carrier->was_paired)
        go_up(carrier);
}

static void on_word(struct carrier_relay *carrier, struct view word)
{
    if (view_eq_text(word, "paired")) {
        carrier->pause = 0;
        carrier->was_paired = true;
        go_up(carrier);
        tell(carrier, CARRIER_RELAY_UP, NULL);
    } else if (view_eq_text(word, "waiting") && carrier->was_paired) {
        go_down(carrier);
    }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct carrier_relay *carrier = user;

    if (!carrier)
        return;
    if (rpc_ws_is_text(conn)) {
        on_word(carrier, message);
    } else if (carrier->has_opened) {
        path_carrier_received(carrier->path, &carrier->base, &message, 1);
    } else if (message.len == GREETING && !carrier->has_greeting) {
        memcpy(carrier->greeting, message.data, GREETING);
        carrier->has_greeting = true;
        carrier_relay_open(carrier);
    }
}

/* How long to wait before the next try, by what the relay said; NEVER_MS: there is none. */
static uint64_t pause_after(struct carrier_relay *carrier, uint16_t code)
{
    switch (code) {
    case 4401: /* TLS may end before the router: once with the certificate */
        carrier->binds_certificate = !carrier->binds_certificate;
        return carrier->binds_certificate ? 0 : LONG_PAUSE_MS;
    case 4403: /* the grant */
    case 4404:
    case 4410:
        return NEVER_MS;
    case 4429:
    case 4430:
    case 4431:
        return LONG_PAUSE_MS;
    default:
        carrier->pause = carrier->pause ? min_u64(2 * carrier->pause, LAST_PAUSE_MS)
                                        : FIRST_PAUSE_MS + random_below(FIRST_PAUSE_MS);
        return carrier->pause;
    }
}

static void try_later(struct carrier_relay *carrier, uint64_t pause, const struct err *why)
{
    if (pause == NEVER_MS) {
        carrier->is_over = true;
        tell(carrier, CARRIER_RELAY_OVER, why);
        return;
    }
    carrier->is_held = pause == LONG_PAUSE_MS;
    rpc_ws_timer_set(carrier->timer, clock_mono_ms() + pause);
    tell(carrier, CARRIER_RELAY_TRYING, why);
}

static bool is_at(const struct rpc_join_host *a, const struct rpc_join_host *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The host does not take us: the one after it, if there are several. */
static void pass_on(struct carrier_relay *carrier)
{
    const struct carrier_relay_config *config = &carrier->config;
    size_t at = 0;

    while (at < config->n_others && !is_at(&config->others[at], &config->host))
        at++;
    if (config->n_others)
        carrier->config.host =
            config->others[at < config->n_others ? (at + 1) % config->n_others : 0];
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct carrier_relay *carrier = user;
    bool had_opened;

    if (!carrier)
        return;
    had_opened = carrier->has_opened;
    if (!carrier->has_greeting && rpc_ws_close_code(conn) == 0)
        pass_on(carrier);
    carrier->conn = NULL;
    carrier->has_greeting = carrier->has_opened = false;
    go_down(carrier);
    /* who has nothing to open with is cut by the relay after a while, as when a person is being asked */
    carrier->is_idle = !had_opened && rpc_ws_close_code(conn) == UNPAIRED;
    if (!carrier->is_idle)
        try_later(carrier, pause_after(carrier, rpc_ws_close_code(conn)), why);
}

static bool on_judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct carrier_relay *carrier = user;

    return carrier ? carrier->config.judge(carrier->config.user, carrier->config.host.host, chain,
                                           n, err)
                   : err_set(err, ERR_CANCELED, "not wanted any more");
}

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    (void)user; /* it greets first */
    (void)conn;
}

/* The host was silent, and another one answers. */
static void on_moved(void *user, size_t which)
{
    struct carrier_relay *carrier = user;

    if (carrier)
        carrier->config.host = which == RPC_WS_THE_HOST ? carrier->dialed : carrier->others[which];
}

static size_t put_others(struct carrier_relay *carrier, struct rpc_ws_place to[RPC_JOIN_HOSTS])
{
    size_t n = 0;

    carrier->dialed = carrier->config.host;
    for (size_t i = 0; i < carrier->config.n_others; i++) {
        if (is_at(&carrier->config.others[i], &carrier->config.host))
            continue;
        carrier->others[n] = carrier->config.others[i];
        to[n] = (struct rpc_ws_place){ carrier->others[n].host, carrier->others[n].port };
        n++;
    }
    return n;
}

static void connect_now(void *user)
{
    static const struct rpc_ws_events events = { on_opened, on_message, on_closed };
    struct carrier_relay *carrier = user;
    struct rpc_ws_place others[RPC_JOIN_HOSTS];
    const struct rpc_ws_dial dial = {
        .host = carrier->config.host.host,
        .port = carrier->config.host.port,
        .others = others,
        .n_others = carrier->conn ? 0 : put_others(carrier, others),
        .moved = on_moved,
        .server_name = carrier->server_name,
        .protocol = "warren-relay.1",
        .max_message = MAX_MESSAGE,
        .judge = on_judge,
    };
    struct err err;

    carrier->is_held = false;
    rpc_ws_timer_set(carrier->timer, NEVER_MS);
    if (!carrier->conn &&
        !rpc_ws_connect(carrier->config.ws, &dial, &events, carrier, &carrier->conn, &err))
        try_later(carrier, pause_after(carrier, 0), &err);
}

static void disconnect(struct carrier_relay *carrier)
{
    go_down(carrier);
    carrier->has_greeting = carrier->has_opened = false;
    if (!carrier->conn)
        return;
    rpc_ws_set_user(carrier->conn, NULL);
    rpc_ws_close(carrier->conn, 1000, "done");
    carrier->conn = NULL;
}

static void connect_anew(struct carrier_relay *carrier)
{
    disconnect(carrier);
    carrier->pause = 0;
    connect_now(carrier);
}

void carrier_relay_renew(struct carrier_relay *carrier)
{
    if (!carrier->is_over && !carrier->is_idle && !carrier->is_held)
        connect_anew(carrier);
}

bool carrier_relay_move(struct carrier_relay *carrier, const struct rpc_join_host *host)
{
    if (is_at(host, &carrier->config.host))
        return false;
    carrier->config.host = *host;
    if (!carrier->is_idle) /* else carrier_relay_open() connects */
        connect_anew(carrier);
    return true;
}

void carrier_relay_set_others(struct carrier_relay *carrier, const struct rpc_join_host *others,
                              size_t n)
{
    memcpy(carrier->config.others, others, n * sizeof(*others));
    carrier->config.n_others = n;
}

bool carrier_relay_is_stranded(const struct carrier_relay *carrier)
{
    return !carrier->conn || rpc_ws_is_stranded(carrier->conn);
}

bool carrier_relay_is_alive(const struct carrier_relay *carrier)
{
    return carrier->is_up && path_is_alive(carrier->path, &carrier->base);
}

void carrier_relay_new(struct path *path, const struct carrier_relay_config *config,
                       struct carrier_relay **ret_carrier)
{
    struct carrier_relay *carrier = mem_new(struct carrier_relay);

    carrier->base.ops = &carrier_ops;
    carrier->path = path;
    carrier->config = *config;
    carrier->server_name = mem_text(config->server_name);
    carrier->timer = rpc_ws_timer_new(config->ws, connect_now, carrier);
    *ret_carrier = carrier;
    connect_now(carrier);
}

void carrier_relay_free(struct carrier_relay *carrier)
{
    if (!carrier)
        return;
    disconnect(carrier);
    rpc_ws_timer_free(carrier->timer);
    free(carrier->server_name);
    free(carrier);
}
