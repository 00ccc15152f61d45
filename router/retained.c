/* SPDX-License-Identifier: Apache-2.0 */
#include "router/retained.h"

struct retained {
    struct map *by_topic; /* struct buf: the EVENT, of no subscription yet */
    size_t n_bytes, max, max_bytes;
};

struct retained *retained_new(size_t max, size_t max_bytes)
{
    struct retained *retained = mem_new(struct retained);

    retained->by_topic = map_new();
    retained->max = max;
    retained->max_bytes = max_bytes;
    return retained;
}

static void drop(struct retained *retained, struct buf *frame)
{
    if (!frame)
        return;
    retained->n_bytes -= frame->len;
    buf_free(frame);
    free(frame);
}

void retained_free(struct retained *retained)
{
    size_t cursor = 0;
    void *frame;

    if (!retained)
        return;
    while (map_next(retained->by_topic, &cursor, NULL, &frame))
        drop(retained, frame);
    map_free(retained->by_topic);
    free(retained);
}

size_t retained_count(const struct retained *retained)
{
    return map_count(retained->by_topic);
}

bool retained_set(struct retained *retained, struct view topic, const struct rpc_event *event,
                  struct err *err)
{
    struct rpc_msg msg = { .type = RPC_EVENT, .event = *event };
    struct buf *frame;

    if (event->payload.n == 0) {
        drop(retained, map_remove(retained->by_topic, topic));
        return true;
    }
    if (!map_get(retained->by_topic, topic) && map_count(retained->by_topic) >= retained->max)
        return err_set(err, ERR_LIMIT, "retain: %zu events are kept already", retained->max);
    if (retained->n_bytes + event->payload.bytes.len > retained->max_bytes)
        return err_set(err, ERR_LIMIT, "retain: %zu bytes are kept already", retained->max_bytes);
    frame = mem_new(struct buf);
    msg.event.subscription = 1; /* to be told to whoever gets it */
    rpc_msg_write(&msg, frame);
    retained->n_bytes += frame->len;
    drop(retained, map_set(retained->by_topic, topic, frame));
    return true;
}

static void show(const struct buf *frame, struct view topic, retained_visit *visit, void *user)
{
    struct rpc_msg msg;
    struct err err;

    if (!rpc_msg_read(buf_view(frame), &msg, &err))
        abort(); /* we wrote it */
    visit(user, topic, &msg.event);
}

void retained_each(const struct retained *retained, const struct match *index, enum match_kind kind,
                   struct view pattern, retained_visit *visit, void *user)
{
    size_t cursor = 0;
    struct view topic;
    void *frame;

    if (kind == MATCH_EXACT) {
        frame = map_get(retained->by_topic, pattern);
        if (frame)
            show(frame, pattern, visit, user);
        return;
    }
    while (map_next(retained->by_topic, &cursor, &topic, &frame)) {
        if (match_is(index, kind, pattern, topic))
            show(frame, topic, visit, user);
    }
}
