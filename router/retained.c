/* SPDX-License-Identifier: Apache-2.0 */
#include "router/retained.h"

struct kept {
    struct buf event;       /* EVENT, of no subscription yet */
    struct buf lists;       /* PUBLISH without payload: who may get it; empty: all */
    struct rpc_msg as_read; /* of `event`: a mebibyte is not walked for each who asks */
    uint64_t but;
};

/* Of one topic; one of them at least. */
struct slot {
    struct kept *for_all, *for_some; /* `for_some` is the newer */
};

struct retained {
    struct map *by_topic; /* struct slot */
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

static size_t slot_size(const struct slot *slot)
{
    return slot ? size_of(slot->for_all) + size_of(slot->for_some) : 0;
}

static void drop(struct retained *retained, struct slot *slot)
{
    if (!slot)
        return;
    retained->n_bytes -= slot_size(slot);
    kept_free(slot->for_all);
    kept_free(slot->for_some);
    free(slot);
}

void retained_free(struct retained *retained)
{
    size_t cursor = 0;
    void *slot;

    if (!retained)
        return;
    while (map_next(retained->by_topic, &cursor, NULL, &slot))
        drop(retained, slot);
    map_free(retained->by_topic);
    free(retained);
}

size_t retained_count(const struct retained *retained)
{
    return map_count(retained->by_topic);
}

static struct kept *kept_new(const struct retained_event *event)
{
    struct kept *kept = mem_new(struct kept);
    struct rpc_msg msg = { .type = RPC_EVENT, .event = event->event };
    struct err err;

    msg.event.subscription = 1; /* to be told to whoever gets it */
    rpc_msg_write(&msg, &kept->event);
    if (!rpc_msg_read(buf_view(&kept->event), &kept->as_read, &err))
        abort(); /* we wrote it */
    kept->but = event->but;
    if (!event->lists)
        return kept;
    msg = (struct rpc_msg){ .type = RPC_PUBLISH, .publish = *event->lists };
    msg.publish.payload = (struct rpc_payload){ 0 };
    rpc_msg_write(&msg, &kept->lists);
    return kept;
}

/* What is for all is the newest for all. */
static void put(struct retained *retained, struct view topic, struct kept *kept)
{
    struct slot *slot = mem_new(struct slot), *before = map_set(retained->by_topic, topic, slot);

    if (kept->lists.len && before)
        slot->for_all = STEAL(before->for_all);
    drop(retained, before);
    if (kept->lists.len)
        slot->for_some = kept;
    else
        slot->for_all = kept;
}

void retained_drop(struct retained *retained, struct view topic)
{
    drop(retained, map_remove(retained->by_topic, topic));
}

bool retained_set(struct retained *retained, struct view topic, const struct retained_event *event,
                  struct err *err)
{
    _cleanup_(kept_freep) struct kept *kept = NULL;
    const struct slot *before = map_get(retained->by_topic, topic);
    size_t goes;

    if (!before && map_count(retained->by_topic) >= retained->max)
        return err_set(err, ERR_LIMIT, "retain: %zu events are kept already", retained->max);
    kept = kept_new(event);
    goes = before && event->lists ? size_of(before->for_some) : slot_size(before);
    if (retained->n_bytes - goes + size_of(kept) > retained->max_bytes)
        return err_set(err, ERR_LIMIT, "retain: more than %zu bytes in all", retained->max_bytes);
    retained->n_bytes += size_of(kept);
    put(retained, topic, STEAL(kept));
    return true;
}

static bool show(const struct kept *kept, struct view topic, retained_visit *visit, void *user)
{
    struct retained_event event = { .event = kept->as_read.event, .but = kept->but };
    struct rpc_msg lists;
    struct err err;

    if (kept->lists.len && !rpc_msg_read(buf_view(&kept->lists), &lists, &err))
        abort(); /* we wrote it */
    if (kept->lists.len)
        event.lists = &lists.publish;
    return visit(user, topic, &event);
}

static void show_newest(const struct slot *slot, struct view topic, retained_visit *visit,
                        void *user)
{
    if (slot->for_some && show(slot->for_some, topic, visit, user))
        return;
    if (slot->for_all)
        show(slot->for_all, topic, visit, user);
}

/* One that is only looked at costs little: a SUBSCRIBE is worth that many of them. */
enum { LOOKS = 64 };

size_t retained_each(const struct retained *retained, const struct match *index,
                     enum match_kind kind, struct view pattern, retained_visit *visit, void *user)
{
    size_t cursor = 0, n = map_count(retained->by_topic) / LOOKS;
    struct view topic;
    void *slot;

    if (kind == MATCH_EXACT) {
        slot = map_get(retained->by_topic, pattern);
        if (slot)
            show_newest(slot, pattern, visit, user);
        return slot ? 1 : 0;
    }
    while (map_next(retained->by_topic, &cursor, &topic, &slot)) {
        if (!match_is(index, kind, pattern, topic))
            continue;
        show_newest(slot, topic, visit, user);
        n++;
    }
    return n;
}
