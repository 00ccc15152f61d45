/* SPDX-License-Identifier: Apache-2.0 */
/* rpc/ws.h once more, over connections that are made of queues and a clock that is a number. */
#include "tests/sim/net.h"

#include "rpc/ws_life.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    SETUP_STEPS = 6,     /* TCP, TLS 1.3 and the upgrade: three round trips */
    DIAL_MS = 10000,     /* until who dials gives up */
    CLOSE_MS = 5000,     /* until a close that is not answered is one */
    RESEND_MS = 200,     /* the first retransmission; each further one takes twice as long */
    SOCKETS = 64 * 1024, /* what the two systems buffer: nobody sees it wait */
    GRAIN = 256,         /* signatures of one message differ in length by some bytes */
    START_MONO = 1000000,
};
#define START_WALL UINT64_C(1800000000000)

enum kind { SETUP, DATA, PING, PONG, FIN, RST };

struct frame {
    struct list node;
    enum kind kind;
    unsigned step;
    uint64_t at;
    struct buf bytes;
};

struct rpc_ws {            /* a process's edge */
    struct net_host *host; /* NULL: it is gone */
    struct list of_net, conns;
    size_t max_queue;
    struct rpc_ws_events events; /* the listener's */
    void *user;
};

struct rpc_ws_conn { /* one end of a pair */
    struct list of_ws, in;
    struct pair *pair;
    struct rpc_ws_conn *other;
    struct net_host *host;
    struct rpc_ws *ws; /* NULL: nobody is there (any more) */
    struct rpc_ws_events events;
    void *user;
    bool is_open, is_closing, is_over;
    uint64_t heard_at, last_at, busy_until;
    size_t waiting; /* bytes on their way here */
};

struct pair {
    struct list of_net;
    struct rpc_ws_conn client, server;
    uint8_t exporter[32];
    unsigned n_messages;
};

struct rpc_ws_timer {
    struct list of_net;
    struct net *net;
    uint64_t at, due_at; /* due_at: of the event that is under way */
    void (*on_timer)(void *user);
    void *user;
    bool is_dead;
};

struct event {
    uint64_t at, number;
    void (*run)(void *user);
    void *user;
};

struct net {
    uint64_t now, state, n_events;
    struct event *heap; /* [0] is unused */
    size_t n, cap;
    struct list hosts, edges, pairs, timers;
    struct rpc_ws *listener;
};

static struct net *current; /* whose clock and dice they are */

/* ---- clock and dice, for everybody ----------------------------------------------------------- */

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return current->now;
}

uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_clock_wall_ms(void)
{
    return START_WALL + current->now - START_MONO;
}

static uint64_t draw_bits(struct net *net)
{
    net->state = net->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return net->state >> 32;
}

uint64_t net_draw(struct net *net, uint64_t below)
{
    return below ? (draw_bits(net) << 16 ^ draw_bits(net)) % below : 0;
}

static const char *dice_name(void)
{
    return "sim";
}

static uint32_t dice_u32(void)
{
    return (uint32_t)draw_bits(current);
}

static void dice_bytes(void *const to, const size_t size)
{
    uint8_t *bytes = to;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(draw_bits(current) >> 8);
}

static struct randombytes_implementation dice = {
    .implementation_name = dice_name,
    .random = dice_u32,
    .buf = dice_bytes,
};

/* ---- events ---------------------------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void sift_up(struct event *heap, size_t i)
{
    for (; i > 1 && is_before(&heap[i], &heap[i / 2]); i /= 2) {
        struct event swapped = heap[i];
        heap[i] = heap[i / 2];
        heap[i / 2] = swapped;
    }
}

static void sift_down(struct event *heap, size_t n)
{
    for (size_t i = 1, child; (child = 2 * i) <= n; i = child) {
        if (child < n && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &heap[i]))
            return;
        struct event swapped = heap[i];
        heap[i] = heap[child];
        heap[child] = swapped;
    }
}

void net_at(struct net *net, uint64_t at, void (*run)(void *user), void *user)
{
    if (net->n + 2 > net->cap) {
        net->cap = net->cap ? 2 * net->cap : 256;
        net->heap = mem_resize(net->heap, net->cap, sizeof(*net->heap));
    }
    net->heap[++net->n] =
        (struct event){ at < net->now ? net->now : at, ++net->n_events, run, user };
    sift_up(net->heap, net->n);
}

bool net_step(struct net *net, uint64_t until)
{
    struct event event;

    if (!net->n || net->heap[1].at > until) {
        net->now = until;
        return false;
    }
    event = net->heap[1];
    net->heap[1] = net->heap[net->n--];
    sift_down(net->heap, net->n);
    net->now = event.at;
    event.run(event.user);
    return true;
}

uint64_t net_now(const struct net *net)
{
    return net->now;
}

struct net *net_new(uint64_t seed)
{
    struct net *net = mem_new(struct net);

    net->now = START_MONO;
    net->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    list_init(&net->hosts);
    list_init(&net->edges);
    list_init(&net->pairs);
    list_init(&net->timers);
    current = net;
    randombytes_set_implementation(&dice);
    return net;
}

static void drop_frames(struct rpc_ws_conn *end)
{
    struct frame *frame;

    LIST_EACH(frame, &end->in, node) {
        list_remove(&frame->node);
        buf_free(&frame->bytes);
        free(frame);
    }
    end->waiting = 0;
}

void net_free(struct net *net)
{
    struct pair *pair;
    struct net_host *host;
    struct rpc_ws *ws;
    struct rpc_ws_timer *timer;

    if (!net)
        return;
    LIST_EACH(pair, &net->pairs, of_net) {
        drop_frames(&pair->client);
        drop_frames(&pair->server);
        free(pair);
    }
    LIST_EACH(ws, &net->edges, of_net)
        free(ws);
    LIST_EACH(timer, &net->timers, of_net)
        free(timer);
    LIST_EACH(host, &net->hosts, of_net)
        free(host);
    free(net->heap);
    free(net); /* `current` stays: keys are still to be freed, and nobody looks at the clock */
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void arrive(void *user);

static uint64_t travel(const struct sim_path *path, struct net *net)
{
    uint64_t ms = path->delay_ms + net_draw(net, path->jitter_ms + 1u);

    for (uint64_t again = RESEND_MS; net_draw(net, 100) < path->loss_pct && again < 60000;
         again *= 2)
        ms += again;
    return ms;
}

/* To the other end, behind what is on its way already. */
static void post(struct rpc_ws_conn *from, enum kind kind, unsigned step, struct view bytes)
{
    struct rpc_ws_conn *to = from->other;
    struct net *net = from->pair->client.host->net;
    const struct sim_path *path = &from->pair->client.host->path;
    struct frame *frame = mem_new(struct frame);
    uint64_t leaves = net->now;

    frame->kind = kind;
    frame->step = step;
    frame->bytes = buf_dup(bytes);
    if (path->bytes_per_s) {
        leaves = to->busy_until > net->now ? to->busy_until : net->now;
        leaves += (bytes.len + GRAIN) / GRAIN * GRAIN * 1000 / path->bytes_per_s;
        to->busy_until = leaves;
    }
    frame->at = leaves + travel(path, net);
    if (frame->at < to->last_at) /* one behind the other, as TCP has it */
        frame->at = to->last_at;
    to->last_at = frame->at;
    to->waiting += bytes.len;
    list_append(&to->in, &frame->node);
    net_at(net, frame->at, arrive, to);
}

static void end_conn(struct rpc_ws_conn *end, const char *text)
{
    bool is_told = end->is_open || end == &end->pair->client;
    struct err why = { 0 };

    if (end->is_over)
        return;
    end->is_over = true;
    list_remove(&end->of_ws);
    err_set(&why, ERR_NETWORK_FAILURE, "%s", text);
    if (end->ws && is_told)
        end->events.closed(end->user, end, &why);
    end->ws = NULL;
}

static void end_later(void *user)
{
    end_conn(user, "the connection was closed");
}

static void on_setup(struct rpc_ws_conn *end, unsigned step)
{
    if (step < SETUP_STEPS - 2) {
        post(end, SETUP, step + 1, VIEW(NULL, 0));
        return;
    }
    end->is_open = true;
    end->heard_at = end->host->n_ticks;
    if (step == SETUP_STEPS - 2)
        post(end, SETUP, step + 1, VIEW(NULL, 0));
    end->events.opened(end->user, end);
}

/* Its first sign at the server: is anybody listening? */
static bool accept(struct rpc_ws_conn *end)
{
    struct rpc_ws *listener = end->host->net->listener;

    if (!listener || !listener->host || listener->host != end->host)
        return false;
    end->ws = listener;
    end->events = listener->events;
    end->user = listener->user;
    list_append(&listener->conns, &end->of_ws);
    return true;
}

static void reset_pair(struct pair *pair)
{
    drop_frames(&pair->client);
    drop_frames(&pair->server);
    pair->client.last_at = pair->server.last_at = 0;
    post(&pair->client, RST, 0, VIEW(NULL, 0));
    post(&pair->server, RST, 0, VIEW(NULL, 0));
}

static void pong(struct rpc_ws_conn *end, struct view payload)
{
    uint64_t number;

    if (view_take_u64(&payload, &number) && !end->is_closing && end->events.answered)
        end->events.answered(end->user, end, number);
}

static void take(struct rpc_ws_conn *end, const struct frame *frame)
{
    struct pair *pair = end->pair;

    end->heard_at = end->host->n_ticks;
    switch (frame->kind) {
    case SETUP:
        on_setup(end, frame->step);
        return;
    case DATA:
        if (pair->client.host->reset_after &&
            ++pair->n_messages == pair->client.host->reset_after) {
            pair->client.host->reset_after = 0;
            reset_pair(pair);
        } else if (!end->is_closing && end->is_open) {
            end->events.message(end->user, end, buf_view(&frame->bytes));
        }
        return;
    case PING:
        post(end, PONG, 0, buf_view(&frame->bytes));
        return;
    case PONG:
        pong(end, buf_view(&frame->bytes));
        return;
    case FIN:
        if (!end->is_closing)
            post(end, FIN, 0, VIEW(NULL, 0));
        end_conn(end, "the connection was closed");
        return;
    case RST:
        end_conn(end, end->is_open ? "the connection was reset" : "the connection was refused");
    }
}

static void deliver(struct rpc_ws_conn *end, const struct frame *frame)
{
    bool is_first = frame->kind == SETUP && frame->step == 0;

    if (!end->host->is_on)
        return;
    if (end->is_over || (is_first && !accept(end)) || !end->ws) {
        if (frame->kind != RST)
            post(end, RST, 0, VIEW(NULL, 0));
        return;
    }
    take(end, frame);
}

static void arrive(void *user)
{
    struct rpc_ws_conn *end = user;
    const struct net_host *at = end->pair->client.host;

    while (!list_is_empty(&end->in)) {
        struct frame *frame = LIST_ITEM(end->in.next, struct frame, node);
        if (frame->at > at->net->now || at->is_cut || end->pair->server.host->is_cut)
            return;
        list_remove(&frame->node);
        end->waiting -= frame->bytes.len;
        deliver(end, frame);
        buf_free(&frame->bytes);
        free(frame);
    }
}

/* ---- hosts and processes --------------------------------------------------------------------- */

struct net_host *net_host_new(struct net *net)
{
    struct net_host *host = mem_new(struct net_host);

    host->net = net;
    host->is_on = true;
    host->path = (struct sim_path){ .delay_ms = 5 };
    list_append(&net->hosts, &host->of_net);
    return host;
}

static void look_after(struct rpc_ws *ws)
{
    struct rpc_ws_conn *end;

    LIST_EACH(end, &ws->conns, of_ws) {
        enum rpc_ws_life life = rpc_ws_life_look(ws->host->n_ticks, end->heard_at);
        if (!end->is_open || end->is_closing)
            continue;
        if (life == RPC_WS_LIFE_ASK) {
            post(end, PING, 0, VIEW(NULL, 0));
        } else if (life == RPC_WS_LIFE_DEAD) {
            post(end, RST, 0, VIEW(NULL, 0));
            end_conn(end, "the other side is silent");
        }
    }
}

static void on_tick(void *user)
{
    struct rpc_ws *ws = user;

    if (!ws->host)
        return;
    ws->host->n_ticks++;
    look_after(ws);
    net_at(ws->host->net, ws->host->net->now + RPC_WS_TICK_MS, on_tick, ws);
}

struct rpc_ws *net_start(struct net_host *host)
{
    struct rpc_ws *ws = mem_new(struct rpc_ws);

    host->is_on = host->is_running = true;
    host->ws = ws;
    ws->host = host;
    list_init(&ws->conns);
    list_append(&host->net->edges, &ws->of_net);
    net_at(host->net, host->net->now + net_draw(host->net, RPC_WS_TICK_MS), on_tick, ws);
    return ws;
}

void net_stop(struct net_host *host, bool is_crash)
{
    struct rpc_ws *ws = STEAL(host->ws);
    struct rpc_ws_conn *end;

    host->is_running = false;
    host->is_on = !is_crash;
    if (!ws)
        return;
    LIST_EACH(end, &ws->conns, of_ws) {
        if (!is_crash)
            post(end, RST, 0, VIEW(NULL, 0));
        list_remove(&end->of_ws);
        end->is_over = true;
        end->ws = NULL;
    }
    ws->host = NULL;
}

void net_listen(struct rpc_ws *ws, size_t max_queue, const struct rpc_ws_events *events, void *user)
{
    ws->events = *events;
    ws->user = user;
    ws->max_queue = max_queue;
    ws->host->net->listener = ws;
}

void net_reset(struct net_host *host)
{
    struct pair *pair;

    LIST_EACH(pair, &host->net->pairs, of_net) {
        if (pair->client.host == host && !pair->client.is_over)
            reset_pair(pair);
    }
}

/* What was sent meanwhile is retransmitted. */
void net_mended(struct net_host *host)
{
    struct pair *pair;

    LIST_EACH(pair, &host->net->pairs, of_net) {
        uint64_t at = host->net->now + RESEND_MS + net_draw(host->net, 2000);
        if (pair->client.host != host && pair->server.host != host)
            continue;
        net_at(host->net, at, arrive, &pair->client);
        net_at(host->net, at, arrive, &pair->server);
    }
}

/* ---- rpc/ws.h -------------------------------------------------------------------------------- */

static void init_end(struct rpc_ws_conn *end, struct pair *pair, struct rpc_ws_conn *other,
                     struct net_host *host)
{
    list_init(&end->of_ws);
    list_init(&end->in);
    end->pair = pair;
    end->other = other;
    end->host = host;
}

static void give_up(void *user)
{
    struct rpc_ws_conn *end = user;

    if (!end->is_open)
        end_conn(end, "nobody answers");
}

bool rpc_ws_connect(struct rpc_ws *ws, const struct rpc_ws_dial *dial,
                    const struct rpc_ws_events *events, void *user, struct rpc_ws_conn **ret_conn,
                    struct err *err)
{
    struct net *net = ws->host->net;
    struct pair *pair = mem_new(struct pair);

    (void)dial;
    if (!net->listener) {
        free(pair);
        return err_set(err, ERR_NETWORK_FAILURE, "no such host");
    }
    init_end(&pair->client, pair, &pair->server, ws->host);
    init_end(&pair->server, pair, &pair->client,
             CONTAINER(net->hosts.next, struct net_host, of_net)); /* the router's is the first */
    dice_bytes(pair->exporter, sizeof(pair->exporter));
    pair->client.ws = ws;
    pair->client.events = *events;
    pair->client.user = user;
    list_append(&ws->conns, &pair->client.of_ws);
    list_append(&net->pairs, &pair->of_net);
    ws->host->n_dials++;
    ws->host->dialed_at = net->now;
    post(&pair->client, SETUP, 0, VIEW(NULL, 0));
    net_at(net, net->now + DIAL_MS, give_up, &pair->client);
    *ret_conn = &pair->client;
    return true;
}

size_t rpc_ws_queued(const struct rpc_ws_conn *conn)
{
    return conn->other->waiting > SOCKETS ? conn->other->waiting - SOCKETS : 0;
}

void rpc_ws_send(struct rpc_ws_conn *conn, struct view message)
{
    if (conn->is_over || conn->is_closing)
        return;
    if (conn->ws->max_queue && rpc_ws_queued(conn) > conn->ws->max_queue) {
        conn->is_closing = true;
        drop_frames(conn->other);
        post(conn, RST, 0, VIEW(NULL, 0));
        net_at(conn->host->net, 0, end_later, conn);
        return;
    }
    post(conn, DATA, 0, message);
}

void rpc_ws_ask(struct rpc_ws_conn *conn, uint64_t number)
{
    _buf_ payload = { 0 };

    buf_put_u64(&payload, number);
    if (!conn->is_over && !conn->is_closing)
        post(conn, PING, 0, buf_view(&payload));
}

/* Whoever is there has an address that all have a route to. */
bool rpc_ws_had_no_route(const struct rpc_ws_conn *conn)
{
    (void)conn;
    return false;
}

void rpc_ws_close(struct rpc_ws_conn *conn, uint16_t code, const char *reason)
{
    (void)code;
    (void)reason;
    if (conn->is_over || conn->is_closing)
        return;
    conn->is_closing = true;
    post(conn, FIN, 0, VIEW(NULL, 0));
    net_at(conn->host->net, conn->host->net->now + CLOSE_MS, end_later, conn);
}

void rpc_ws_set_user(struct rpc_ws_conn *conn, void *user)
{
    conn->user = user;
}

bool rpc_ws_exporter(const struct rpc_ws_conn *conn, uint8_t ret_exporter[32])
{
    memcpy(ret_exporter, conn->pair->exporter, sizeof(conn->pair->exporter));
    return true;
}

/* TLS ends at the router itself here: nobody asks. */
bool rpc_ws_certificate(_unused_ const struct rpc_ws_conn *conn, _unused_ uint8_t ret_hash[32])
{
    return false;
}

struct rpc_ws_timer *rpc_ws_timer_new(struct rpc_ws *ws, void (*on_timer)(void *user), void *user)
{
    struct rpc_ws_timer *timer = mem_new(struct rpc_ws_timer);

    timer->net = ws->host->net;
    timer->at = timer->due_at = NEVER_MS;
    timer->on_timer = on_timer;
    timer->user = user;
    list_append(&timer->net->timers, &timer->of_net);
    return timer;
}

static void timer_due(void *user)
{
    struct rpc_ws_timer *timer = user;
    uint64_t at = timer->at;

    if (timer->is_dead || timer->due_at > timer->net->now)
        return; /* there is an earlier event for it, or there was */
    timer->due_at = NEVER_MS;
    if (at > timer->net->now) {
        rpc_ws_timer_set(timer, at);
        return;
    }
    timer->at = NEVER_MS;
    timer->on_timer(timer->user);
}

void rpc_ws_timer_set(struct rpc_ws_timer *timer, uint64_t at)
{
    timer->at = at;
    if (at >= timer->due_at)
        return;
    timer->due_at = at;
    net_at(timer->net, at, timer_due, timer);
}

void rpc_ws_timer_free(struct rpc_ws_timer *timer)
{
    if (timer)
        timer->is_dead = true; /* an event may be under way: net_free() frees it */
}
