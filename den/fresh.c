/* SPDX-License-Identifier: Apache-2.0 */
#include "den/fresh.h"

#include "base/map.h"

enum { N_BEACONS = 2, MAX_KEY = 64 };

struct age {
    uint8_t beacon[RPC_BEACON];
    struct map *used;  /* NULL: this age has not begun */
    struct map *by_pk; /* size_t *: how many of them each key has */
};

struct fresh {
    struct age ages[N_BEACONS]; /* the newest first */
};

struct fresh *fresh_new(void)
{
    return mem_new(struct fresh);
}

static void age_deinit(struct age *age)
{
    size_t cursor = 0;
    struct view pk;
    void *n;

    while (age->by_pk && map_next(age->by_pk, &cursor, &pk, &n))
        free(n);
    map_free(age->by_pk);
    map_free(age->used);
}

void fresh_free(struct fresh *fresh)
{
    if (!fresh)
        return;
    for (size_t i = 0; i < N_BEACONS; i++)
        age_deinit(&fresh->ages[i]);
    free(fresh);
}

void fresh_turn(struct fresh *fresh, const uint8_t beacon[RPC_BEACON])
{
    age_deinit(&fresh->ages[1]);
    fresh->ages[1] = fresh->ages[0];
    memcpy(fresh->ages[0].beacon, beacon, RPC_BEACON);
    fresh->ages[0].used = map_new();
    fresh->ages[0].by_pk = map_new();
}

struct view fresh_beacon(const struct fresh *fresh)
{
    return VIEW_ARR(fresh->ages[0].beacon);
}

static const struct age *find_age(const struct fresh *fresh, struct view beacon)
{
    for (size_t i = 0; i < N_BEACONS; i++)
        if (fresh->ages[i].used && view_eq_secret(beacon, VIEW_ARR(fresh->ages[i].beacon)))
            return &fresh->ages[i];
    return NULL;
}

static struct view join_key(struct view pk, struct view nonce, uint8_t to[MAX_KEY])
{
    size_t n_pk = pk.len < KEY_SIZE ? pk.len : KEY_SIZE;
    size_t n_nonce = nonce.len < MAX_KEY - n_pk ? nonce.len : MAX_KEY - n_pk;

    if (n_pk)
        memcpy(to, pk.data, n_pk);
    if (n_nonce)
        memcpy(to + n_pk, nonce.data, n_nonce);
    return VIEW(to, n_pk + n_nonce);
}

static bool has_room(const struct age *age, struct view pk)
{
    const size_t *n = map_get(age->by_pk, pk);

    return map_count(age->used) < FRESH_MAX_USED && (!n || *n < FRESH_MAX_PER_KEY);
}

static void count(const struct age *age, struct view pk)
{
    size_t *n = map_get(age->by_pk, pk);

    if (!n) {
        n = mem_new(size_t);
        map_set(age->by_pk, pk, n);
    }
    ++*n;
}

enum fresh_look fresh_look(const struct fresh *fresh, struct view beacon, struct view pk,
                           struct view nonce)
{
    const struct age *age = find_age(fresh, beacon);
    uint8_t key[MAX_KEY];

    if (!age)
        return FRESH_STALE;
    if (map_get(age->used, join_key(pk, nonce, key)))
        return FRESH_USED;
    return has_room(age, pk) ? FRESH_NEW : FRESH_FULL;
}

enum fresh_look fresh_take(struct fresh *fresh, struct view beacon, struct view pk,
                           struct view nonce)
{
    enum fresh_look look = fresh_look(fresh, beacon, pk, nonce);
    const struct age *age = find_age(fresh, beacon);
    uint8_t key[MAX_KEY];

    if (look == FRESH_NEW) {
        map_set(age->used, join_key(pk, nonce, key), fresh);
        count(age, pk);
    }
    return look;
}

bool fresh_check(enum fresh_look look, struct err *err)
{
    switch (look) {
    case FRESH_NEW:
        return true;
    case FRESH_STALE:
        return err_set(err, ERR_STALE, "the beacon is not one of the last two");
    case FRESH_USED:
        return err_set(err, ERR_REPLAYED, "it was used before under this beacon");
    case FRESH_FULL:
        return err_set(err, ERR_LIMIT, "too many requests under this beacon");
    }
    return err_set(err, ERR_INTERNAL, "freshness");
}
