/* SPDX-License-Identifier: Apache-2.0 */
#include "den/bucket.h"

#include "base/map.h"

enum { SWEEP_EVERY = 50 /* ms: looking through all keys takes milliseconds */ };

struct bucket {
    uint64_t empty_until; /* the instant at which it is full again, were nothing taken */
    uint64_t n_missed;
};

struct buckets {
    struct bucket_rule rule;
    struct map *by_key;
    uint64_t sweep_at;
    uint64_t n_missed; /* of keys that are not tracked, or no longer */
};

struct buckets *buckets_new(const struct bucket_rule *rule)
{
    struct buckets *b = mem_new(struct buckets);

    b->rule = *rule;
    b->by_key = map_new();
    return b;
}

void buckets_set_rule(struct buckets *b, const struct bucket_rule *rule)
{
    b->rule = *rule;
}

void buckets_free(struct buckets *buckets)
{
    size_t cursor = 0;
    struct view key;
    void *bucket;

    if (!buckets)
        return;
    while (map_next(buckets->by_key, &cursor, &key, &bucket))
        free(bucket);
    map_free(buckets->by_key);
    free(buckets);
}

/* A bucket that is full again says nothing that a missing one does not. */
static void drop_full(struct buckets *b, uint64_t now)
{
    size_t cursor = 0;
    struct view key;
    void *value;

    while (map_next(b->by_key, &cursor, &key, &value)) {
        struct bucket *bucket = value;
        if (bucket->empty_until > now)
            continue;
        b->n_missed += bucket->n_missed;
        free(map_remove(b->by_key, key));
    }
    b->sweep_at = now + SWEEP_EVERY;
}

static bool has_one(const struct bucket_rule *rule, const struct bucket *bucket, uint64_t now)
{
    return !bucket || bucket->empty_until <= now + (rule->burst - 1) * rule->every;
}

bool buckets_has(const struct buckets *b, uint64_t now, struct view key)
{
    return !b->rule.burst || has_one(&b->rule, map_get(b->by_key, key), now);
}

static struct bucket *add_bucket(struct buckets *b, uint64_t now, struct view key)
{
    struct bucket *bucket;

    if (map_count(b->by_key) >= b->rule.max_keys && now >= b->sweep_at)
        drop_full(b, now);
    if (map_count(b->by_key) >= b->rule.max_keys)
        return NULL;
    bucket = mem_new(struct bucket);
    map_set(b->by_key, key, bucket);
    return bucket;
}

bool buckets_take(struct buckets *b, uint64_t now, struct view key)
{
    struct bucket *bucket = map_get(b->by_key, key);

    if (!b->rule.burst)
        return true;
    if (!bucket && !(bucket = add_bucket(b, now, key))) {
        b->n_missed++;
        return false;
    }
    if (!has_one(&b->rule, bucket, now)) {
        bucket->n_missed++;
        return false;
    }
    bucket->empty_until = (bucket->empty_until > now ? bucket->empty_until : now) + b->rule.every;
    return true;
}

void buckets_give(struct buckets *b, uint64_t now, struct view key)
{
    struct bucket *bucket = map_get(b->by_key, key);

    if (bucket && bucket->empty_until >= now + b->rule.every)
        bucket->empty_until -= b->rule.every;
}

uint64_t buckets_missed(struct buckets *b, struct view key)
{
    struct bucket *bucket = map_get(b->by_key, key);
    uint64_t n = bucket ? bucket->n_missed : 0;

    if (bucket)
        bucket->n_missed = 0;
    return n;
}

uint64_t buckets_missed_by_all(struct buckets *b)
{
    size_t cursor = 0;
    uint64_t n = b->n_missed;
    struct view key;
    void *bucket;

    b->n_missed = 0;
    while (map_next(b->by_key, &cursor, &key, &bucket)) {
        n += ((struct bucket *)bucket)->n_missed;
        ((struct bucket *)bucket)->n_missed = 0;
    }
    return n;
}
