/* SPDX-License-Identifier: Apache-2.0 */
#include "router/retained.h"

struct kept {
    struct buf event;       /* EVENT, of no subscription yet */
    struct buf lists;       /* PUBLISH without payload: who may get it; empty: all */
    struct rpc_msg as_read; /* of `event`: a mebibyte is not walked for each who asks */
};

struct retained {
    struct map *by_topic; /* struct kept */
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

static size_t size_of(const struct kept *kept)
{
    return kept ? kept->event.len + kept->lists.len : 0;
}

static void kept_free(struct kept *kept)
{
    if (!kept)
        return;
    buf_free(&kept->event);
    buf_free(&kept->lists);
    free(kept);
}
OWN_FREEP(kept, struct kept)

static void drop(struct retained *retained, struct kept *kept)
{
    retained->n_bytes -= size_of(kept);
    kept_free(kept);
}

void retained_free(struct retained *retained)
{
    size_t cursor = 0;
    void *kept;

    if (!retained)
        return;
    while (map_next(retained->by_topic, &cursor, NULL, &kept))
        drop(retained, kept);
    map_free(retained->by_topic);
    free(retained);
}

size_t retained_count(const struct retained *retained)
{
    return map_count(retained->by_topic);
}

static struct kept *kept_new(const struct rpc_event *event, const struct rpc_publish *ask)
{
    struct kept *kept = mem_new(struct kept);
    struct rpc_msg msg = { .type = RPC_EVENT, .event = *event };
    struct err err;

    msg.event.subscription = 1; /* to be told to whoever gets it */
    rpc_msg_write(&msg, &kept->event);
    if (!rpc_msg_read(buf_view(&kept->event), &kept->as_read, &err))
        abort(); /* we wrote it */
    if (!ask)
        return kept;
    msg = (struct rpc_msg){ .type = RPC_PUBLISH, .publish = *ask };
    msg.publish.payload = (struct rpc_payload){ 0 };
    rpc_msg_write(&msg, &kept->lists);
    return kept;
}

bool retained_set(struct retained *retained, struct view topic, const struct rpc_event *event,
                  const struct rpc_publish *ask, struct err *err)
{
    _cleanup_(kept_freep) struct kept *kept = NULL;
    const struct kept *before = map_get(retained->by_topic, topic);

    if (event->payload.n == 0) {
        drop(retained, map_remove(retained->by_topic, topic));
        return true;
    }
    if (!before && map_count(retained->by_topic) >= retained->max)
        return err_set(err, ERR_LIMIT, "retain: %zu events are kept already", retained->max);
    kept = kept_new(event, ask);
    if (retained->n_bytes - size_of(before) + size_of(kept) > retained->max_bytes)
        return err_set(err, ERR_LIMIT, "retain: more than %zu bytes in all", retained->max_bytes);
    retained->n_bytes += size_of(kept);
    drop(retained, map_set(retained->by_topic, topic, STEAL(kept)));
    return true;
}

static void show(const struct kept *kept, struct view topic, retained_visit *visit, void *user)
{
    struct rpc_msg lists;
    struct err err;

    if (kept->lists.len && !rpc_msg_read(buf_view(&kept->lists), &lists, &err))
        abort(); /* we wrote it */
    visit(user, topic, &kept->as_read.event, kept->lists.len ? &lists.publish : NULL);
}

/* One that is only looked at costs little: a SUBSCRIBE is worth that many of them. */
enum { LOOKS = 64 };

size_t retained_each(const struct retained *retained, const struct match *index,
                     enum match_kind kind, struct view pattern, retained_visit *visit, void *user)
{
    size_t cursor = 0, n = map_count(retained->by_topic) / LOOKS;
    struct view topic;
    void *kept;

    if (kind == MATCH_EXACT) {
        kept = map_get(retained->by_topic, pattern);
        if (kept)
            show(kept, pattern, visit, user);
        return kept ? 1 : 0;
    }
    while (map_next(retained->by_topic, &cursor, &topic, &kept)) {
        if (!match_is(index, kind, pattern, topic))
            continue;
        show(kept, topic, visit, user);
        n++;
    }
    return n;
}
