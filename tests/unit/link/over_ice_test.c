/* SPDX-License-Identifier: Apache-2.0 */
/* The whole road in one process: two links over two paths over two ICE agents, on one GLib loop. */
#include "tests/check.h"
#include "tests/unit/ice/turn.h"
#include "tests/unit/link/pair.h"
#include "tests/unit/link/road.h"

#include <glib.h>

enum { PATIENCE_MS = 30000, SIZE = 4 << 20 };

struct side {
    struct road *road;
    struct link_stream *stream;
    unsigned n_up, n_ends, n_down, n_failed;
    uint64_t place, n_bytes;
    bool is_garbled;
    struct err err;
};

static void read_all(struct side *side, struct link_stream *stream)
{
    uint8_t bytes[65536];
    bool is_end = false;
    size_t n;

    do {
        n = link_stream_read(stream, road_now(), bytes, sizeof(bytes), &is_end);
        for (size_t i = 0; i < n; i++)
            side->is_garbled = side->is_garbled || bytes[i] != pattern_byte(side->n_bytes + i);
        side->n_bytes += n;
    } while (n && !is_end);
    side->n_ends += is_end;
}

static void write_more(struct side *side)
{
    uint8_t bytes[16384];
    size_t took, want;

    do {
        want = SIZE - side->place < sizeof(bytes) ? (size_t)(SIZE - side->place) : sizeof(bytes);
        for (size_t i = 0; i < want; i++)
            bytes[i] = pattern_byte(side->place + i);
        took = link_stream_write(side->stream, road_now(), VIEW(bytes, want),
                                 side->place + want == SIZE);
        side->place += took;
    } while (took == want && side->place < SIZE);
}

static void on_event(void *user, struct road *road, const struct link_event *event)
{
    struct side *side = user;
    struct err err = { 0 };

    (void)road;
    if (event->type == LINK_UP)
        side->n_up++;
    else if (event->type == LINK_STREAM_READABLE)
        read_all(side, event->stream);
    else if (event->type == LINK_STREAM_WRITABLE)
        write_more(side);
    else if (event->type == LINK_DOWN)
        side->n_down++;
    else if (event->type == LINK_FAILED)
        side->n_failed++;
    if (event->type == LINK_DOWN || event->type == LINK_FAILED)
        side->err = event->err;
    if (event->type == LINK_UP &&
        link_stream_open(road_link(side->road), road_now(), VIEW_LIT("file"), (struct view){ 0 },
                         &side->stream, &err))
        write_more(side);
}

static bool begin(GMainContext *context, struct side *caller, struct side *callee, struct err *err)
{
    struct road_config a = {
        .context = context, .is_caller = true, .on_event = on_event, .user = caller
    };
    struct road_config b = { .context = context, .on_event = on_event, .user = callee };
    _buf_ ours = { 0 };
    _buf_ theirs = { 0 };

    if (!road_new(&a, &caller->road, err) || !road_new(&b, &callee->road, err))
        return false;
    road_describe(caller->road, &ours);
    road_describe(callee->road, &theirs);
    return road_set_remote(caller->road, buf_view(&theirs), err) &&
           road_set_remote(callee->road, buf_view(&ours), err);
}

static void finish(GMainContext *context, struct side *caller, struct side *callee)
{
    road_free(caller->road);
    road_free(callee->road);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, ice_n_closing() == 0));
    g_main_context_unref(context);
}

TEST(bytes_flow_both_ways_over_ice)
{
    GMainContext *context = g_main_context_new();
    struct side caller = { 0 }, callee = { 0 };
    struct path_facts facts;
    struct err err = { 0 };

    CHECK_OK(begin(context, &caller, &callee, &err), err);
    CHECK(!path_is_usable(road_path(caller.road)));
    CHECK(TURN_UNTIL(context, PATIENCE_MS,
                     (caller.n_ends && callee.n_ends) || caller.n_failed || callee.n_failed));
    CHECK_U64(caller.n_up, 1);
    CHECK_U64(callee.n_up, 1);
    CHECK_U64(caller.n_bytes, SIZE);
    CHECK_U64(callee.n_bytes, SIZE);
    CHECK(!caller.is_garbled && !callee.is_garbled);
    CHECK(path_facts(road_path(caller.road), &facts));
    CHECK_STR(path_kind_name(facts.kind), "direct");
    CHECK(strchr(facts.local, ':') && strchr(facts.remote, ':'));

    link_close(road_link(caller.road), road_now(), LINK_CLOSE_NORMAL, "done");
    road_touch(caller.road);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, callee.n_down == 1));
    CHECK_STR(callee.err.text, "the other side closed the link: done");
    CHECK_U64(caller.n_down, 1);
    finish(context, &caller, &callee);
}
