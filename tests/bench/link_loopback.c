/* SPDX-License-Identifier: Apache-2.0 */
/* One stream of a link over ICE on loopback, Mbit/s of payload. A thread and a GLib context for
 * each end. */
#include "tests/bench/meter.h"
#include "tests/unit/link/road.h"

#include <glib.h>
#include <stdio.h>
#include <unistd.h>

enum { GIVE_UP_AFTER_S = 60 };

struct end {
    bool is_caller;
    GAsyncQueue *ours, *theirs; /* descriptions */
    GMainLoop *loop;
    struct road *road;
    struct link_stream *stream;
    struct meter meter;
    bool has_failed;
};

static uint8_t block[65536];

static void write_more(struct end *end)
{
    while (link_stream_write(end->stream, road_now(), VIEW_ARR(block), false) == sizeof(block))
        ;
}

static void start_writing(struct end *end)
{
    struct err err = { 0 };

    if (!end->is_caller)
        return;
    if (link_stream_open(road_link(end->road), road_now(), VIEW_LIT("bench"), (struct view){ 0 },
                         &end->stream, &err))
        write_more(end);
}

static void read_all(struct end *end, struct link_stream *stream)
{
    bool is_end = false;
    size_t n;

    while ((n = link_stream_read(stream, road_now(), block, sizeof(block), &is_end)) > 0)
        meter_add(&end->meter, n);
    if (end->meter.is_done) {
        link_close(road_link(end->road), road_now(), LINK_CLOSE_NORMAL, "measured");
        g_main_loop_quit(end->loop);
    }
}

static void on_event(void *user, struct road *road, const struct link_event *event)
{
    struct end *end = user;

    (void)road;
    if (event->type == LINK_UP)
        start_writing(end);
    else if (event->type == LINK_STREAM_WRITABLE)
        write_more(end);
    else if (event->type == LINK_STREAM_READABLE)
        read_all(end, event->stream);
    else if (event->type == LINK_DOWN || event->type == LINK_FAILED) {
        end->has_failed = event->type == LINK_FAILED;
        if (end->has_failed)
            fprintf(stderr, "link_loopback: %s\n", event->err.text);
        g_main_loop_quit(end->loop);
    }
}

static bool run(struct end *end, GMainContext *context, struct err *err)
{
    struct road_config config = {
        .context = context, .is_caller = end->is_caller, .on_event = on_event, .user = end
    };
    struct buf *ours = mem_new(struct buf), *theirs;
    bool ok;

    if (!road_new(&config, &end->road, err))
        return false;
    road_describe(end->road, ours);
    g_async_queue_push(end->ours, ours);
    theirs = g_async_queue_pop(end->theirs);
    ok = road_set_remote(end->road, buf_view(theirs), err);
    buf_free(theirs);
    free(theirs);
    if (ok)
        g_main_loop_run(end->loop);
    return ok && !end->has_failed;
}

static gpointer end_main(gpointer user)
{
    struct end *end = user;
    GMainContext *context = g_main_context_new();
    struct err err = { 0 };
    bool ok;

    g_main_context_push_thread_default(context);
    end->loop = g_main_loop_new(context, FALSE);
    ok = run(end, context, &err);
    if (err.code != ERR_NONE)
        fprintf(stderr, "link_loopback: %s\n", err.text);
    road_free(end->road);
    while (g_main_context_iteration(context, FALSE))
        ;
    g_main_loop_unref(end->loop);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
    return GINT_TO_POINTER(ok);
}

int main(void)
{
    GAsyncQueue *a = g_async_queue_new(), *b = g_async_queue_new();
    struct end caller = { .is_caller = true, .ours = a, .theirs = b },
               callee = { .ours = b, .theirs = a };
    struct err err = { 0 };
    GThread *threads[2];
    bool ok;

    alarm(GIVE_UP_AFTER_S);
    if (!key_init(&err) || !road_prepare(&err)) {
        fprintf(stderr, "link_loopback: %s\n", err.text);
        return 1;
    }
    threads[0] = g_thread_new("callee", end_main, &callee);
    threads[1] = g_thread_new("caller", end_main, &caller);
    ok = GPOINTER_TO_INT(g_thread_join(threads[0])) != 0;
    ok = GPOINTER_TO_INT(g_thread_join(threads[1])) != 0 && ok;
    if (!ok || !callee.meter.is_done)
        return 1;
    meter_print(&callee.meter, "a link over ICE");
    return 0;
}
