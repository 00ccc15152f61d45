/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/uplink.h"

#include "base/clock.h"
#include "rpc/retry.h"

enum { DOUBT_MS = 3000 };

struct rpc_uplink {
    struct rpc_uplink_config config;
    struct rpc_join_host *hosts;
    char *server_name;
    struct rpc_client *client;
    struct rpc_ws_conn *conn;      /* NULL: waiting for the next try */
    struct rpc_ws_timer *deadline; /* the client's */
    struct rpc_ws_timer *timer;    /* until the next try */
    struct rpc_ws_timer *doubt;    /* until the router has answered, or is given up */
    struct rpc_retry retry;
    size_t dialed;    /* the host that the newest try began with */
    bool is_patient;  /* the pause is there because the next try will hardly do better */
    bool is_asking;   /* whether the router is there still */
    bool *is_proxied; /* by host: it wants the certificate bound, not the exporter */
};

static void connect_now(void *user);

/* The router says that TLS ends elsewhere than we thought. Whoever is in between may say so too, and
 * gains nothing: the router signs for no certificate but those that its operator listed, and we
 * sign after it. */
static bool changes_binding(struct rpc_uplink *u, const struct err *why)
{
    bool *is_proxied = &u->is_proxied[u->retry.host];

    if (why->code != ERR_WRONG_BINDING)
        return false;
    *is_proxied = !*is_proxied;
    return *is_proxied; /* otherwise both were refused: after the pause */
}

static void try_later(struct rpc_uplink *u, const struct err *why)
{
    uint64_t now = clock_mono_ms(), asked = rpc_client_take_retry_after(u->client);
    uint64_t pause = rpc_retry_lost(&u->retry, now, asked), least = rpc_retry_patience(why->code);

    u->is_patient = least > 0 || asked > 0;
    pause = pause < least ? least : pause;
    rpc_ws_timer_set(u->timer, now + pause);
    if (u->config.on_retry)
        u->config.on_retry(u->config.client.user, why, pause);
}

void rpc_uplink_flush(struct rpc_uplink *u)
{
    struct view frame;

    if (u->conn) {
        while (rpc_client_output_view(u->client, &frame))
            rpc_ws_send(u->conn, frame);
        if (rpc_client_wants_close(u->client))
            rpc_ws_close(u->conn, 1000, "the session is over");
    }
    if (rpc_client_is_up(u->client))
        rpc_retry_up(&u->retry, clock_mono_ms());
    rpc_ws_timer_set(u->deadline, rpc_client_deadline(u->client));
}

static bool bind(const struct rpc_uplink *u, const struct rpc_ws_conn *conn,
                 struct rpc_binding *ret_binding)
{
    bool is_proxied = u->is_proxied[u->retry.host];

    ret_binding->name = is_proxied ? RPC_BINDING_CERTIFICATE : RPC_BINDING_EXPORTER;
    return is_proxied ? rpc_ws_certificate(conn, ret_binding->data)
                      : rpc_ws_exporter(conn, ret_binding->data);
}

/* The owner may be gone while its connection still closes: then `user` is NULL. */
static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct rpc_uplink *u = user;
    struct rpc_binding binding;

    if (!u)
        return;
    if (!bind(u, conn, &binding)) {
        rpc_ws_close(conn, 1011, "no channel binding");
        return;
    }
    rpc_client_opened_bound(u->client, clock_mono_ms(), &binding);
    rpc_uplink_flush(u);
}

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct rpc_uplink *u = user;

    (void)conn;
    if (!u)
        return;
    rpc_client_input(u->client, clock_mono_ms(), message);
    rpc_uplink_flush(u);
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct rpc_uplink *u = user;
    struct err told;

    if (!u)
        return;
    u->conn = NULL;
    u->is_asking = false;
    if (rpc_client_wants_close(u->client)) /* it knows better than the socket */
        why = rpc_client_why(u->client);
    told = *why;
    rpc_client_closed(u->client, clock_mono_ms(), why);
    if (changes_binding(u, &told) || (rpc_ws_had_no_route(conn) && rpc_retry_pass(&u->retry)))
        connect_now(u);
    else
        try_later(u, &told);
    rpc_uplink_flush(u);
}

static bool on_judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct rpc_uplink *u = user;

    return u ? u->config.judge(u->config.client.user, u->hosts[u->retry.host].host, chain, n, err)
             : err_set(err, ERR_CANCELED, "not wanted any more");
}

static const struct rpc_ws_events events = { on_opened, on_message, on_closed };

/* The host was silent, and another one answers. */
static void on_moved(void *user, size_t which)
{
    struct rpc_uplink *u = user;
    size_t behind = which == RPC_WS_THE_HOST ? 0 : 1 + which;

    if (u)
        u->retry.host = (u->dialed + behind) % u->retry.n_hosts;
}

/* All but that, in the order in which they would be tried. */
static size_t put_others(const struct rpc_uplink *u, struct rpc_ws_place to[RPC_WS_MAX_OTHERS])
{
    size_t n = 0;

    for (; n + 1 < u->retry.n_hosts && n < RPC_WS_MAX_OTHERS; n++) {
        const struct rpc_join_host *host = &u->hosts[(u->dialed + 1 + n) % u->retry.n_hosts];
        to[n] = (struct rpc_ws_place){ host->host, host->port };
    }
    return n;
}

static void connect_now(void *user)
{
    struct rpc_uplink *u = user;
    const struct rpc_join_host *host = &u->hosts[u->retry.host];
    struct rpc_ws_place others[RPC_WS_MAX_OTHERS];
    struct rpc_ws_dial dial = {
        .host = host->host,
        .port = host->port,
        .others = others,
        .moved = on_moved,
        .server_name = u->server_name,
        .protocol = "wamp.2.msgpack",
        .max_message = RPC_MAX_MESSAGE,
        .judge = u->config.judge ? on_judge : NULL,
    };
    struct err err;

    rpc_ws_timer_set(u->timer, NEVER_MS);
    u->dialed = u->retry.host;
    dial.n_others = put_others(u, others);
    if (!rpc_ws_connect(u->config.ws, &dial, &events, u, &u->conn, &err))
        try_later(u, &err);
}

static void on_deadline(void *user)
{
    struct rpc_uplink *u = user;

    rpc_client_tick(u->client, clock_mono_ms());
    rpc_uplink_flush(u);
}

/* ---- another network --------------------------------------------------------------------------- */

static void replace(struct rpc_uplink *u)
{
    struct err why;

    err_set(&why, ERR_NETWORK_FAILURE, "the network of this machine is another one now");
    rpc_ws_set_user(u->conn, NULL);
    rpc_ws_close(u->conn, 1001, "moved");
    u->conn = NULL;
    u->is_asking = false; /* that was about the one that is gone */
    rpc_client_closed(u->client, clock_mono_ms(), &why);
    try_later(u, &why);
    rpc_ws_timer_set(u->timer, clock_mono_ms());
    rpc_uplink_flush(u);
}

static void on_doubt(void *user)
{
    struct rpc_uplink *u = user;

    if (u->conn && u->is_asking)
        replace(u);
}

static void on_pong(void *user, const struct rpc_outcome *outcome)
{
    struct rpc_uplink *u = user;

    if (outcome->what == RPC_RESULTED || outcome->uri.len)
        u->is_asking = false; /* an answer, of whatever kind */
}

static void ask(struct rpc_uplink *u)
{
    static const uint8_t none[] = { 0x90 };

    if (u->is_asking)
        return;
    u->is_asking = true;
    rpc_ws_timer_set(u->doubt, clock_mono_ms() + DOUBT_MS);
    rpc_client_call(u->client, clock_mono_ms(), "network.ping", VIEW_ARR(none), DOUBT_MS, false,
                    on_pong, u);
    rpc_uplink_flush(u);
}

void rpc_uplink_moved(struct rpc_uplink *u)
{
    if (!u->conn && !u->is_patient)
        rpc_ws_timer_set(u->timer, clock_mono_ms());
    else if (u->conn && rpc_ws_is_stranded(u->conn))
        replace(u);
    else if (u->conn && rpc_client_is_up(u->client))
        ask(u);
}

void rpc_uplink_doubt(struct rpc_uplink *u)
{
    if (u->conn && rpc_client_is_up(u->client))
        ask(u);
}

bool rpc_uplink_new(const struct rpc_uplink_config *config, struct rpc_uplink **ret_uplink,
                    struct err *err)
{
    struct rpc_uplink *u;

    if (config->n_hosts == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "no router to connect to");
    u = mem_new(struct rpc_uplink);
    u->config = *config;
    u->retry.n_hosts = config->n_hosts;
    u->hosts = mem_dup(config->hosts, config->n_hosts * sizeof(*config->hosts));
    u->config.hosts = u->hosts;
    u->is_proxied = mem_array(bool, config->n_hosts);
    u->server_name = mem_text(config->server_name);
    u->config.server_name = u->server_name;
    u->client = rpc_client_new(&config->client);
    u->deadline = rpc_ws_timer_new(config->ws, on_deadline, u);
    u->timer = rpc_ws_timer_new(config->ws, connect_now, u);
    u->doubt = rpc_ws_timer_new(config->ws, on_doubt, u);
    connect_now(u);
    *ret_uplink = u;
    return true;
}

void rpc_uplink_free(struct rpc_uplink *u)
{
    if (!u)
        return;
    if (u->conn) {
        rpc_client_goodbye(u->client, clock_mono_ms());
        rpc_uplink_flush(u);
        rpc_ws_set_user(u->conn, NULL);
        rpc_ws_close(u->conn, 1000, "goodbye");
    }
    rpc_ws_timer_free(u->deadline);
    rpc_ws_timer_free(u->timer);
    rpc_ws_timer_free(u->doubt);
    rpc_client_free(u->client);
    free(u->hosts);
    free(u->is_proxied);
    free(u->server_name);
    free(u);
}

struct rpc_client *rpc_uplink_client(struct rpc_uplink *u)
{
    return u->client;
}

const struct rpc_join_host *rpc_uplink_host(const struct rpc_uplink *u)
{
    return &u->hosts[u->retry.host];
}

size_t rpc_uplink_queued(const struct rpc_uplink *u)
{
    return rpc_client_queued(u->client) + (u->conn ? rpc_ws_queued(u->conn) : 0);
}
