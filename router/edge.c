/* SPDX-License-Identifier: Apache-2.0 */
#include "router/edge.h"
#include "base/file.h"
#include "base/listen_fds.h"
#include "router/door.h"
#include "router/gate.h"
#include "router/relay_edge.h"
#include "router/router.h"
#include "router/state.h"
#include "router/stun_edge.h"
#include "router/transcode.h"
#include "router/saver.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SPARE_FILES = 200, MAX_FILES = 1024 * 1024, MOST_BY_ITSELF = 100 * 1000 };

struct edge {
    struct router_config *config;
    struct rpc_ws *ws, *plain; /* plain: without TLS, on loopback; often NULL */
    struct gate *gate;
    struct rpc_timer *timer;
    struct rpc_turn *turn; /* of the loop: another now; and while the core is behind */
    struct moment now;
    bool knows_now; /* in this turn */
    struct router *router;
    struct door *door;      /* NULL: none wanted */
    struct stun_edge *stun; /* NULL: none */
    struct saver *saver;
    struct key *key;    /* the router's */
    struct buf tls_key; /* PKCS#8 DER; wiped */
    int lock_fd;
    size_t n_conns;
    struct relay_edge relay;
    struct transcode *transcode;
    struct list answers; /* struct answer */
};

/* A connection, as the core's `wire` and the WebSocket's `user`. */
struct wire {
    struct edge *edge;
    struct rpc_ws_conn *ws;
    struct conn *conn;                    /* NULL while the core makes it */
    bool is_trusted, is_json, has_untold; /* the log said that something had no JSON */
};

/* What a client answers though it was not asked: an INVOCATION that has no JSON. It waits until
 * the core is no longer in the middle of asking. */
struct answer {
    struct list node;
    struct wire *wire;
    struct buf message;
};

/* The clocks are read once for all that came together. */
static struct moment now(struct edge *edge)
{
    uint64_t fine;

    if (!edge->knows_now) {
        fine = clock_mono_us();
        edge->now = (struct moment){ fine / 1000, clock_wall_ms(), fine };
        edge->knows_now = true;
    }
    return edge->now;
}

static void arm(struct edge *edge)
{
    bool is_now = !list_is_empty(&edge->answers);

    if (router_is_behind(edge->router)) /* a timer would keep what comes in out */
        rpc_turn_again(edge->turn);
    else
        rpc_timer_set(edge->timer, is_now ? clock_mono_ms() : router_deadline(edge->router));
}

/* ---- what the core asks for ------------------------------------------------------------------ */

static void answer_later(struct wire *wire, struct view message)
{
    struct answer *answer = mem_new(struct answer);

    answer->wire = wire;
    answer->message = buf_dup(message);
    list_append(&wire->edge->answers, &answer->node);
}

static void answer_free(struct answer *answer)
{
    list_remove(&answer->node);
    buf_free(&answer->message);
    free(answer);
}

/* Once a connection: who publishes such things may do so often. */
static void log_untold(struct wire *wire, const struct err *why)
{
    log_event(wire->has_untold ? LOG_DEBUG : LOG_INFO, "untold", "address=%s why=%s",
              rpc_ws_address(wire->ws), log_quote_text(why->text));
    wire->has_untold = true;
}

static void send_json(struct wire *wire, struct view message)
{
    struct err why = { 0 };
    struct view text;

    switch (transcode_out(wire->edge->transcode, message, &text, &why)) {
    case TRANSCODED:
        rpc_ws_send(wire->ws, text);
        return;
    case TRANSCODED_REPLACED:
        log_untold(wire, &why);
        rpc_ws_send(wire->ws, text);
        return;
    case TRANSCODED_REFUSED:
        log_untold(wire, &why);
        answer_later(wire, text);
        return;
    case TRANSCODED_DROPPED:
        log_untold(wire, &why);
        return;
    case TRANSCODED_FATAL:
        log_untold(wire, &why);
        rpc_ws_close(wire->ws, 1011, "no JSON for that");
    }
}

static void send_out(void *user, struct view message)
{
    struct wire *wire = user;

    if (wire->is_json)
        send_json(wire, message);
    else
        rpc_ws_send(wire->ws, message);
}

static void tell_event(struct wire *wire, struct parcel *parcel)
{
    struct view text;

    if (transcode_out(wire->edge->transcode, buf_view(&parcel->frame), &text, &parcel->why) ==
        TRANSCODED) {
        buf_put(&parcel->text, text);
        parcel->told = PARCEL_TOLD;
    } else {
        parcel->told = PARCEL_UNTELLABLE;
    }
}

/* All who speak the same get the same bytes. */
static void send_event(void *user, struct parcel *parcel)
{
    struct wire *wire = user;

    if (wire->is_json && parcel->told == PARCEL_UNTOLD)
        tell_event(wire, parcel);
    if (!wire->is_json)
        rpc_ws_send(wire->ws, buf_view(&parcel->frame));
    else if (parcel->told == PARCEL_TOLD)
        rpc_ws_send(wire->ws, buf_view(&parcel->text));
    else
        log_untold(wire, &parcel->why);
}

static size_t queued(void *wire)
{
    return rpc_ws_queued(((struct wire *)wire)->ws);
}

static void close_wire(void *wire, const char *reason)
{
    rpc_ws_close(((struct wire *)wire)->ws, 1000, reason);
}

static void trusted(void *wire)
{
    ((struct wire *)wire)->is_trusted = true;
    rpc_ws_set_trusted(((struct wire *)wire)->ws);
}

static void established(void *wire)
{
    gate_proved(rpc_ws_place(((struct wire *)wire)->ws));
}

static void ask(void *wire, uint64_t nonce)
{
    rpc_ws_ask(((struct wire *)wire)->ws, nonce);
}

static bool save_trust(void *user, struct view bytes, struct err *err)
{
    const struct edge *edge = user;

    (void)err; /* on_unsaved() */
    saver_take(edge->saver, bytes);
    return true;
}

/* The next heartbeat tries again. */
static void on_unsaved(void *user, const struct err *why)
{
    struct edge *edge = user;

    edge->router->is_trust_unsaved = true;
    log_event(LOG_ERROR, "trust_unsaved", "why=%s", log_quote_text(why->text));
}

static bool read_revocations(void *user, struct buf *ret_file, struct err *err)
{
    const struct edge *edge = user;

    return state_read_revocations(edge->config->state, ret_file, err);
}

static bool keep_revocations(void *user, struct view records, struct err *err)
{
    const struct edge *edge = user;

    return state_keep_revocations(edge->config->state, records, err);
}

static bool keep_netkeys(void *user, struct view records, struct err *err)
{
    const struct edge *edge = user;

    return state_keep_netkeys(edge->config->state, records, err);
}

static bool keep_acts(void *user, struct view records, bool is_all, struct err *err)
{
    const struct edge *edge = user;

    return state_keep_acts(edge->config->state, records, is_all, err);
}

static bool install_chain(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct edge *edge = user;
    struct rpc_ws_tls tls = { chain, n, buf_view(&edge->tls_key) };

    if (!rpc_ws_set_tls(edge->ws, &tls, err))
        return false;
    return state_save_chain(edge->config->state, chain, n, err);
}

/* ---- what the wire says ---------------------------------------------------------------------- */

static void open_wire(struct edge *edge, struct rpc_ws_conn *ws, const uint8_t *exporter)
{
    struct wire *wire = mem_new(struct wire);

    edge->n_conns++;
    wire->edge = edge;
    wire->ws = ws;
    wire->is_json = rpc_ws_protocol(ws)->is_json;
    rpc_ws_set_user(ws, wire);
    wire->conn = router_opened(edge->router, now(edge), wire, rpc_ws_address(ws), exporter);
    wire->conn->is_json = wire->is_json;
    wire->conn->has_near = gate_near(rpc_ws_place(ws), wire->conn->near);
    conn_hurry(wire->conn, rpc_ws_age(ws));
    arm(edge);
}

/* Conformance tests of the WebSocket edge: what comes goes back, no session is made. */
static bool is_echo(struct rpc_ws_conn *ws)
{
    if (!rpc_ws_protocol(ws)->is_any)
        return false;
    rpc_ws_set_user(ws, NULL);
    rpc_ws_set_trusted(ws);
    return true;
}

static bool is_relay(struct rpc_ws_conn *ws)
{
    return rpc_ws_protocol(ws)->has_words;
}

static void on_opened(void *user, struct rpc_ws_conn *ws)
{
    struct edge *edge = user;
    uint8_t exporter[32];

    if (is_echo(ws))
        return;
    if (!rpc_ws_exporter(ws, exporter)) {
        rpc_ws_set_user(ws, NULL);
        rpc_ws_close(ws, 1011, "no exporter");
        return;
    }
    if (is_relay(ws))
        relay_edge_opened(&edge->relay, ws, exporter);
    else
        open_wire(edge, ws, exporter);
}

static void on_opened_plain(void *user, struct rpc_ws_conn *ws)
{
    struct edge *edge = user;

    if (is_relay(ws))
        relay_edge_opened(&edge->relay, ws, NULL);
    else if (!is_echo(ws))
        open_wire(edge, ws, NULL);
}

static void take(struct wire *wire, struct view message)
{
    struct err err;

    if (wire->is_json && !transcode_in(wire->edge->transcode, message, &message, &err))
        router_refuse(wire->conn, now(wire->edge), &err);
    else
        router_input(wire->conn, now(wire->edge), message);
}

static void on_message(void *user, struct rpc_ws_conn *ws, struct view message)
{
    struct wire *wire = user;

    if (!wire && rpc_ws_protocol(ws)->is_any)
        rpc_ws_echo(ws, message);
    if (!wire)
        return;
    take(wire, message);
    arm(wire->edge);
}

static void on_answered(void *user, struct rpc_ws_conn *ws, uint64_t number)
{
    struct wire *wire = user;

    (void)ws;
    if (!wire)
        return;
    router_answered(wire->conn, now(wire->edge), number);
    arm(wire->edge);
}

static void forget_answers(struct wire *wire)
{
    struct answer *answer;

    LIST_EACH(answer, &wire->edge->answers, node) {
        if (answer->wire == wire)
            answer_free(answer);
    }
}

/* What the edge found out by itself. */
static enum source_fault count_end(struct metrics *metrics, struct rpc_ws_conn *ws, bool is_known)
{
    static const struct {
        enum metric_limit limit;
        enum source_fault fault;
    } ends[] = {
        [RPC_WS_END_OTHER] = { LIMIT_N, SOURCE_NO_FAULT },
        [RPC_WS_END_KIND] = { LIMIT_N, SOURCE_PROTOCOL },
        [RPC_WS_END_BATCH] = { LIMIT_N, SOURCE_PROTOCOL },
        [RPC_WS_END_MESSAGE] = { LIMIT_MESSAGE, SOURCE_PROTOCOL },
        [RPC_WS_END_FRAGMENTS] = { LIMIT_FRAGMENTS, SOURCE_PROTOCOL },
        [RPC_WS_END_CONTROL] = { LIMIT_CONTROL, SOURCE_PROTOCOL },
        [RPC_WS_END_STALLED] = { LIMIT_STALLED, SOURCE_PROTOCOL },
        [RPC_WS_END_READER] = { LIMIT_SLOW_READER, SOURCE_NO_FAULT },
        [RPC_WS_END_QUEUE] = { LIMIT_QUEUE, SOURCE_NO_FAULT },
        [RPC_WS_END_SILENT] = { LIMIT_N, SOURCE_NO_FAULT },
    };
    enum rpc_ws_end end = rpc_ws_end_of(ws);
    enum metric_limit limit = ends[end].limit;

    if (limit == LIMIT_MESSAGE && !is_known)
        limit = LIMIT_MESSAGE_BEFORE;
    if (limit != LIMIT_N)
        metrics_limit(metrics, limit);
    return ends[end].fault;
}

static void on_closed(void *user, struct rpc_ws_conn *ws, const struct err *why)
{
    enum source_fault fault, other;
    struct wire *wire = user;
    struct edge *edge;

    if (!wire)
        return;
    edge = wire->edge;
    forget_answers(wire);
    fault = count_end(&edge->router->metrics, ws, wire->is_trusted);
    other = router_closed(wire->conn, now(edge), why ? why->text : "closed");
    gate_blame(rpc_ws_place(ws), fault > other ? fault : other, rpc_ws_address(ws));
    edge->n_conns--;
    free(wire);
    arm(edge);
}

/* What an answer leads to may be one more, at the end. */
static void give_answers(struct edge *edge)
{
    struct answer *answer;

    LIST_EACH(answer, &edge->answers, node) {
        router_answer_for(answer->wire->conn, now(edge), buf_view(&answer->message));
        answer_free(answer);
    }
}

static void on_timer(void *user)
{
    struct edge *edge = user;

    edge->knows_now = false; /* what is due by now was not when this turn began */
    give_answers(edge);
    router_tick(edge->router, now(edge));
    arm(edge);
}

static void on_turn(void *user)
{
    struct edge *edge = user;

    edge->knows_now = false;
    if (router_is_behind(edge->router))
        on_timer(edge);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* As many as the system gives, before the edge sizes its tables; some are kept for files and the
 * loop. `wanted` 0: all of them, within reason. */
static uint64_t raise_files(uint64_t wanted)
{
    struct rlimit files;

    if (wanted == 0)
        wanted = MOST_BY_ITSELF;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return wanted;
    files.rlim_cur = min_u64(files.rlim_max, MAX_FILES);
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur <= 2 * SPARE_FILES)
        return min_u64(wanted, files.rlim_cur / 2);
    return min_u64(wanted, files.rlim_cur - SPARE_FILES);
}

static const char *const protocols[] = { "wamp.2.msgpack",         "wamp.2.json",
                                         "wamp.2.msgpack.batched", "wamp.2.json.batched",
                                         "warren-relay.1",         NULL };
static const char *const protocols_and_echo[] = { "wamp.2.msgpack",
                                                  "wamp.2.json",
                                                  "wamp.2.msgpack.batched",
                                                  "wamp.2.json.batched",
                                                  "warren-relay.1",
                                                  "echo",
                                                  NULL };

static struct rpc_ws_listener listener_of(const struct router_config *config,
                                          uint64_t max_connections)
{
    return (struct rpc_ws_listener){
        .protocols = config->echo ? protocols_and_echo : protocols,
        .max_connections = (uint32_t)max_connections,
        .max_message_before = config->max_message_before,
        .max_message = config->max_message,
        .max_queue = config->max_queue,
        .max_fragments = (uint32_t)config->max_fragments,
        .max_control = config->max_control_rate,
        .stall_timeout = config->stall_timeout,
        .connect_timeout = config->handshake_timeout,
    };
}

/* systemd's sockets come before what the file says. */
static bool find_sockets(struct rpc_ws_listener *listener, int sockets[LISTEN_FDS_MAX],
                         struct err *err)
{
    _Static_assert((int)LISTEN_FDS_MAX <= (int)RPC_WS_MAX_SOCKETS, "all that may be given");
    if (!listen_fds_take(sockets, &listener->n_sockets, err))
        return err_wrap(err, "socket activation");
    listener->sockets = sockets;
    return true;
}

static bool listen_on(struct edge *edge, const struct state *state, uint64_t max_connections,
                      struct err *err)
{
    static const struct rpc_ws_events events = { on_opened, on_message, on_closed, on_answered };
    struct rpc_ws_listener listener = listener_of(edge->config, max_connections);
    struct view chain[PKI_MAX_CHAIN];
    _free_ char *host = NULL;
    int sockets[LISTEN_FDS_MAX];

    listener.tls =
        (struct rpc_ws_tls){ chain, state_chain_views(state, chain), buf_view(&state->tls_key) };
    if (!router_config_listen(edge->config->listen, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "listen: not an address");
    listener.host = host;
    listener.gate = gate_for(edge->gate, false);
    if (!find_sockets(&listener, sockets, err) ||
        !rpc_ws_listen(edge->ws, &listener, &events, edge, err))
        return false;
    log_event(LOG_INFO, "listening", "address=%s port=%u network=%s connections=%" PRIu64,
              listener.n_sockets ? "given"
              : host             ? host
                                 : "*",
              (unsigned)rpc_ws_port(edge->ws), rpc_trust_network(edge->router->trust),
              max_connections);
    return true;
}

/* For a proxy on this machine that ends TLS: as many connections as there may be at all, for all
 * come from its address. */
static bool listen_plain(struct edge *edge, struct rpc_loop *loop, uint64_t max_connections,
                         struct err *err)
{
    static const struct rpc_ws_events events = { on_opened_plain, on_message, on_closed,
                                                 on_answered };
    struct rpc_ws_listener listener = listener_of(edge->config, max_connections);
    _free_ char *host = NULL;

    if (!edge->config->listen_plain)
        return true;
    if (!router_config_listen(edge->config->listen_plain, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "listen_plain: not an address");
    listener.host = host;
    listener.is_forwarded = edge->config->forwarded_for;
    listener.gate = gate_for(edge->gate, !listener.is_forwarded);
    if (!rpc_ws_new(RPC_WS_UV, rpc_loop_native(loop), &edge->plain, err) ||
        !rpc_ws_listen(edge->plain, &listener, &events, edge, err))
        return false;
    log_event(LOG_INFO, "listening_plain", "address=%s port=%u", host,
              (unsigned)rpc_ws_port(edge->plain));
    return true;
}

/* NULL: the network's own realm alone. */
static bool read_realms(const struct router_config *config, const struct state *state,
                        struct realms **ret_realms, struct err *err)
{
    return !config->realms ||
           realms_read(config->realms, rpc_trust_network(state->trust), ret_realms, NULL, err);
}

static struct moment now_of(void *user)
{
    return now(user);
}

static void arm_of(void *user)
{
    arm(user);
}

static void make_core(struct edge *edge, struct state *state, struct realms *realms,
                      struct netkeys *netkeys, struct view acts)
{
    struct router_setup setup = {
        .config = edge->config,
        .realms = realms,
        .key = edge->key,
        .trust = STEAL(state->trust),
        .revoked = STEAL(state->revoked),
        .netkeys = netkeys,
        .acts = acts,
        .certificate_not_after = state->not_after,
        .outside = { send_out, queued, close_wire, trusted, save_trust, keep_revocations,
                     read_revocations, install_chain, edge, send_event, established, keep_netkeys,
                     keep_acts, ask },
    };

    memcpy(setup.tls_spki, state->tls_spki, sizeof(setup.tls_spki));
    edge->router = router_new(&setup, now(edge));
    gate_set_metrics(edge->gate, &edge->router->metrics);
    edge->relay = (struct relay_edge){ .relay = relay_new(edge->router, &relay_edge_outside),
                                       .now = now_of,
                                       .arm = arm_of,
                                       .user = edge };
}

bool edge_new(struct rpc_loop *loop, struct router_config *config, struct view passphrase,
              struct edge **ret_edge, struct err *err)
{
    _cleanup_(edge_freep) struct edge *edge = mem_new(struct edge);
    _cleanup_(state_deinit) struct state state = { .passphrase = passphrase };
    _cleanup_(realms_freep) struct realms *realms = NULL;
    _cleanup_(netkeys_freep) struct netkeys *netkeys = NULL;
    _free_ char *lock = file_path(config->state, STATE_LOCK);
    _buf_ acts = { 0 };
    uint64_t max_connections = raise_files(config->max_connections);

    edge->config = config;
    edge->lock_fd = -1;
    edge->gate = gate_new(config);
    list_init(&edge->answers);
    /* JSON is longer; one message must not fill what a connection's queue has left (events stop
     * at half of it). */
    edge->transcode = transcode_new(
        config->max_message, (size_t)min_u64(2 * config->max_message, config->max_queue / 2));
    if (!state_load(config->state, clock_wall_ms(), &state, err) ||
        !read_realms(config, &state, &realms, err))
        return false;
    if (!file_lock(lock, &edge->lock_fd, err) ||
        !state_open_netkeys(config->state, &netkeys, err) ||
        !state_read_acts(config->state, &acts, err) ||
        (realms && !netkeys_check_realms(netkeys, realms, NULL, err)) ||
        !rpc_ws_new(RPC_WS_UV, rpc_loop_native(loop), &edge->ws, err))
        return false;
    edge->timer = rpc_timer_new(loop, on_timer, edge);
    edge->turn = rpc_turn_new(rpc_loop_native(loop), on_turn, edge);
    edge->tls_key = buf_dup(buf_view(&state.tls_key));
    edge->key = STEAL(state.key);
    edge->saver = saver_new(loop, config->state, on_unsaved, edge);
    make_core(edge, &state, STEAL(realms), STEAL(netkeys), buf_view(&acts));
    if (!listen_on(edge, &state, max_connections, err) ||
        !listen_plain(edge, loop, max_connections, err))
        return false;
    if (!stun_edge_new(loop, edge->router, rpc_ws_port(edge->ws), &edge->stun, err))
        return false;
    if (config->metrics && !door_new(loop, config->metrics, edge->router, &edge->door, err))
        return false;
    *ret_edge = STEAL(edge);
    return true;
}

void edge_free(struct edge *edge)
{
    if (!edge)
        return;
    saver_free(edge->saver); /* first: what it waits for turns the loop */
    door_free(edge->door);
    stun_edge_free(edge->stun);
    rpc_ws_free(edge->ws); /* on_closed comes for each */
    rpc_ws_free(edge->plain);
    gate_free(edge->gate);
    relay_free(edge->relay.relay);
    router_free(edge->router);
    key_free(edge->key);
    transcode_free(edge->transcode);
    if (edge->timer)
        rpc_timer_free(edge->timer);
    rpc_turn_free(edge->turn);
    buf_wipe(&edge->tls_key);
    if (edge->lock_fd >= 0)
        close(edge->lock_fd);
    free(edge);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* What is on disk now, all of it read before any of it is taken. */
struct news {
    struct state state;
    struct realms *realms;
};

static void news_deinit(struct news *news)
{
    state_deinit(&news->state);
    realms_free(news->realms);
}

/* A line of the log for each line of `all`, or for `err` alone. */
static void log_failure(struct buf *all, const struct err *err)
{
    char *line, *rest = NULL;

    if (all->len == 0)
        buf_put_text(all, err->text);
    buf_put_u8(all, '\0');
    for (line = strtok_r((char *)all->data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        log_event(LOG_ERROR, "reload_failed", "why=%s", log_quote_text(line));
}

static bool read_news(const struct edge *edge, const struct router_config *other, struct news *news)
{
    _buf_ all = { 0 };
    struct err err = { 0 };

    /* the passphrase is gone, and opening them would keep everybody waiting */
    news->state.has_keys = true;
    memcpy(news->state.pk, key_public(edge->key), KEY_SIZE);
    memcpy(news->state.tls_spki, edge->router->tls_spki, HASH_SIZE);
    if (state_check(edge->config->state, clock_wall_ms(), &news->state, &all, &err) &&
        memcmp(news->state.tls_spki, edge->router->tls_spki, HASH_SIZE) != 0)
        err_set(&err, ERR_WRONG_KEY, STATE_TLS_KEY ": another key needs a restart");
    if (err.code == ERR_NONE && other->realms)
        realms_read(other->realms, rpc_trust_network(news->state.trust), &news->realms, &all, &err);
    if (err.code == ERR_NONE && news->realms)
        netkeys_check_realms(edge->router->netkeys, news->realms, &all, &err);
    if (err.code == ERR_NONE)
        return true;
    log_failure(&all, &err);
    return false;
}

/* The two that can still fail come first. */
static bool take_news(struct edge *edge, struct router_config *other, struct news *news,
                      struct err *err)
{
    struct view chain[PKI_MAX_CHAIN];
    struct rpc_ws_tls tls = { chain, state_chain_views(&news->state, chain),
                              buf_view(&edge->tls_key) };
    _buf_ ignored = { 0 };

    if (!router_reload_trust(edge->router, now(edge), STEAL(news->state.trust), err) ||
        !rpc_ws_set_tls(edge->ws, &tls, err))
        return false;
    edge->router->certificate_not_after = news->state.not_after;
    router_config_exchange(edge->config, other, &ignored);
    gate_reload(edge->gate, edge->config);
    if (edge->stun)
        stun_edge_reload(edge->stun);
    router_reload(edge->router, now(edge), STEAL(news->realms));
    if (!edge->config->relay)
        relay_shut_down(edge->relay.relay, "nothing is relayed here any more");
    if (ignored.len)
        log_event(LOG_WARN, "needs_restart", "options=\"%s\"", buf_cstr(&ignored));
    return true;
}

void edge_count_failed_reload(struct edge *edge)
{
    metrics_count(&edge->router->metrics, METRIC_RELOADS_FAILED);
}

bool edge_reload(struct edge *edge, struct router_config *other)
{
    _cleanup_(news_deinit) struct news news = { 0 };
    struct err err = { 0 };
    _buf_ none = { 0 };
    bool ok = read_news(edge, other, &news);

    if (ok && !take_news(edge, other, &news, &err)) {
        log_failure(&none, &err);
        ok = false;
    }
    metrics_count(&edge->router->metrics, ok ? METRIC_RELOADS_OK : METRIC_RELOADS_FAILED);
    if (ok)
        log_event(LOG_INFO, "reloaded", "manifest=%" PRIu64 " realms=%zu",
                  rpc_trust_manifest(edge->router->trust)->manifest_no, edge->router->n_realms);
    arm(edge);
    return ok;
}

void edge_drain(struct edge *edge)
{
    router_drain(edge->router, now(edge));
    arm(edge);
}

bool edge_is_drained(const struct edge *edge)
{
    return router_is_drained(edge->router);
}

bool edge_is_empty(const struct edge *edge)
{
    return edge->n_conns == 0 && edge->relay.n_open == 0;
}
