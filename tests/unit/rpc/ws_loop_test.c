/* SPDX-License-Identifier: Apache-2.0 */
/* The edge on its two loops. */
#include "tests/unit/rpc/ws_road.h"

#include <glib.h>

/* ---- timers, loops --------------------------------------------------------------------------- */

struct ticks {
    struct rpc_ws_timer *timer;
    unsigned n;
    uint64_t at[3];
};

static void on_tick(void *user)
{
    struct ticks *ticks = user;

    ticks->at[ticks->n++] = clock_mono_ms();
    if (ticks->n < 3)
        rpc_ws_timer_set(ticks->timer, clock_mono_ms() + 20);
}

static bool ticked_thrice(void *user)
{
    return ((const struct ticks *)user)->n == 3;
}

TEST(timers_are_never_early_and_can_be_moved)
{
    _road_ road;
    struct ticks ticks = { 0 }, never = { 0 };
    uint64_t start = clock_mono_ms();

    road_init(&road);
    ticks.timer = rpc_ws_timer_new(road.ws, on_tick, &ticks);
    never.timer = rpc_ws_timer_new(road.ws, on_tick, &never);
    rpc_ws_timer_set(never.timer, start + 5);
    rpc_ws_timer_set(never.timer, NEVER_MS);
    rpc_ws_timer_set(ticks.timer, start + 10000);
    rpc_ws_timer_set(ticks.timer, start + 10);
    rpc_ws_timer_set(ticks.timer, start + 30); /* later again */
    CHECK(edge_until(road.loop, ticked_thrice, &ticks));
    CHECK(ticks.at[0] >= start + 30 && ticks.at[1] >= ticks.at[0] + 20 &&
          ticks.at[2] >= ticks.at[1] + 20);
    CHECK_U64(never.n, 0);
    rpc_ws_timer_free(ticks.timer);
    rpc_ws_timer_free(never.timer);
}

TEST(the_signal_dispositions_are_left_alone)
{
    static const int signals[] = { SIGPIPE, SIGINT, SIGTERM, SIGSEGV, SIGHUP };
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct sigaction before[N_ELEMENTS(signals)], now;
    struct err err;

    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++)
        sigaction(signals[i], NULL, &before[i]);
    CHECK_OK(rpc_loop_new(&loop, &err), err);
    CHECK_OK(rpc_ws_new(RPC_WS_UV, rpc_loop_native(loop), &ws, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
        sigaction(signals[i], NULL, &now);
        CHECK(now.sa_handler == before[i].sa_handler);
    }
    rpc_ws_free(ws);
    rpc_loop_free(loop);
    signal(SIGPIPE, SIG_IGN);
}

/* libpeer: a context of its own, on a thread of its own, beside a server that runs on libuv. */
struct glib_side {
    GMainContext *context;
    GMainLoop *loop;
    struct rpc_ws *ws;
    struct rpc_ws_dial dial;
    struct end client;
    uint32_t n_sent;
    gint is_done;
    GThread *thread;
};

static gboolean glib_look(void *user)
{
    struct glib_side *side = user;

    for (; side->client.conn && side->n_sent < 100; side->n_sent++)
        send_numbered(side->client.conn, side->n_sent, 5000);
    if (side->client.n_messages >= 100 || side->client.n_closed)
        g_main_loop_quit(side->loop);
    return G_SOURCE_CONTINUE;
}

static void *glib_run(void *user)
{
    struct glib_side *side = user;
    struct rpc_ws_conn *conn;
    GSource *source = g_timeout_source_new(5);
    struct err err;

    side->context = g_main_context_new();
    g_main_context_push_thread_default(side->context);
    side->loop = g_main_loop_new(side->context, FALSE);
    if (!rpc_ws_new(RPC_WS_GLIB, side->loop, &side->ws, &err) ||
        !rpc_ws_connect(side->ws, &side->dial, &road_events, &side->client, &conn, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    g_source_set_callback(source, glib_look, side, NULL);
    g_source_attach(source, side->context);
    g_main_loop_run(side->loop);
    rpc_ws_free(side->ws);
    for (int i = 0; i < 5; i++)
        g_main_context_iteration(side->context, FALSE);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_loop_unref(side->loop);
    g_main_context_pop_thread_default(side->context);
    g_main_context_unref(side->context);
    g_atomic_int_set(&side->is_done, 1);
    return NULL;
}

static bool glib_is_done(void *user)
{
    return g_atomic_int_get(&((struct glib_side *)user)->is_done) && the_road->server.n_closed;
}

TEST(a_client_on_glib_in_its_own_thread_talks_to_a_server_on_libuv)
{
    _road_ road;
    struct glib_side side = { 0 };

    road_init(&road);
    road.server.echoes = true;
    road_listen(&road);
    side.dial = road.dial;
    side.dial.judge = NULL;
    side.thread = g_thread_new("peer", glib_run, &side);
    CHECK(edge_until(road.loop, glib_is_done, &side));
    g_thread_join(side.thread);
    CHECK_U64(side.client.n_messages, 100);
    CHECK_U64(side.client.n_bytes, 500000);
    CHECK_U64(side.client.n_closed, 1); /* rpc_ws_free() said so */
    CHECK_STR(side.client.why.text, "shutting down");
}
