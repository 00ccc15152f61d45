/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key_known.h"

#include "base/map.h"

#include <pthread.h>

/* A key may stand in one of the `WAYS` places of its set, which nobody foresees; the one longest unused makes room. */
enum { SETS = 1024, WAYS = 4, OFTEN = 3 };

struct place {
    uint8_t public_key[KEY_SIZE];
    uint32_t n_seen; /* 0: free */
    uint64_t seen_at;
    struct edwards_table *table; /* from the OFTENth time on */
};

static struct {
    pthread_mutex_t lock;
    struct place *places;
    uint8_t secret[MAP_SECRET];
    uint64_t now; /* a verification after the other */
} known = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct place *find(const uint8_t public_key[KEY_SIZE], bool makes_room)
{
    struct place *set, *oldest;

    if (!known.places) {
        random_bytes(known.secret, sizeof(known.secret));
        known.places = mem_array(struct place, SETS * WAYS);
    }
    set = known.places + map_hash(known.secret, VIEW(public_key, KEY_SIZE)) % SETS * WAYS;
    oldest = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].n_seen && memcmp(set[i].public_key, public_key, KEY_SIZE) == 0)
            return &set[i];
        if (set[i].seen_at < oldest->seen_at)
            oldest = &set[i];
    }
    if (!makes_room)
        return NULL;
    edwards_table_release(oldest->table);
    *oldest = (struct place){ 0 };
    memcpy(oldest->public_key, public_key, KEY_SIZE);
    return oldest;
}

const struct edwards_table *key_known_take(const uint8_t public_key[KEY_SIZE])
{
    const struct edwards_table *table = NULL;
    struct place *place;

    pthread_mutex_lock(&known.lock);
    place = find(public_key, false);
    if (place && place->table) {
        place->seen_at = ++known.now;
        table = edwards_table_share(place->table);
    }
    pthread_mutex_unlock(&known.lock);
    return table;
}

/* Made outside of the lock; of two threads that make the same one, one has worked in vain. */
static void add_table(const uint8_t public_key[KEY_SIZE])
{
    struct edwards_table *table = edwards_table_new(public_key);
    struct place *place;

    pthread_mutex_lock(&known.lock);
    place = find(public_key, false);
    if (place && !place->table)
        place->table = STEAL(table);
    pthread_mutex_unlock(&known.lock);
    edwards_table_release(table);
}

void key_known_note(const uint8_t public_key[KEY_SIZE])
{
    struct place *place;
    bool is_often;

    pthread_mutex_lock(&known.lock);
    place = find(public_key, true);
    place->seen_at = ++known.now;
    is_often = ++place->n_seen == OFTEN;
    pthread_mutex_unlock(&known.lock);
    if (is_often)
        add_table(public_key);
}
