/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing. A removed slot becomes a tombstone where a probe may have to
 * pass it; they are swept when the table fills. Short keys, as numbers are, stand in the slot, and
 * are hashed by multiplying their halves of words with secret factors (multilinear hashing: Lemire
 * and Kaser, "Strongly universal string hashing is fast"): whatever two keys somebody chooses, they
 * collide no oftener than chance. Long ones take SipHash. */
#include "base/map.h"

#include <sodium.h>

enum { SHORT_KEY = 16, N_FACTORS = 2 + SHORT_KEY / 4 };
enum slot_state { SLOT_EMPTY, SLOT_GONE, SLOT_USED };

struct slot {
    uint64_t hash;
    union {
        uint8_t *long_key; /* owned */
        uint8_t short_key[SHORT_KEY];
    };
    uint32_t key_len;
    enum slot_state state;
    void *value;
};

struct map {
    struct slot *slots;
    size_t n_slots, n_used, n_gone; /* n_slots is a power of two */
    uint8_t secret[MAP_SECRET];
    uint64_t factors[N_FACTORS];
};

struct map *map_new(void)
{
    struct map *map = mem_new(struct map);

    map->n_slots = 16;
    map->slots = mem_array(struct slot, map->n_slots);
    randombytes_buf(map->secret, sizeof(map->secret));
    randombytes_buf(map->factors, sizeof(map->factors));
    return map;
}

static struct view key_of(const struct slot *slot)
{
    return VIEW(slot->key_len <= SHORT_KEY ? slot->short_key : slot->long_key, slot->key_len);
}

static struct slot slot_new(uint64_t hash, struct view key, void *value)
{
    struct slot slot = { .hash = hash, .state = SLOT_USED, .value = value };

    if (key.len > UINT32_MAX)
        abort();
    slot.key_len = (uint32_t)key.len;
    if (key.len > SHORT_KEY)
        slot.long_key = mem_dup(key.data, key.len);
    else if (key.len)
        memcpy(slot.short_key, key.data, key.len);
    return slot;
}

static void slot_free(struct slot *slot)
{
    if (slot->state == SLOT_USED && slot->key_len > SHORT_KEY)
        free(slot->long_key);
}

void map_free(struct map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->n_slots; i++)
        slot_free(&map->slots[i]);
    free(map->slots);
    free(map);
}

size_t map_count(const struct map *map)
{
    return map->n_used;
}

_Static_assert(MAP_SECRET == crypto_shorthash_KEYBYTES, "sodium's");

uint64_t map_hash(const uint8_t secret[MAP_SECRET], struct view bytes)
{
    uint64_t hash;

    crypto_shorthash((unsigned char *)&hash, bytes.data, bytes.len, secret);
    return hash;
}

static uint64_t hash_short(const uint64_t factors[N_FACTORS], struct view key)
{
    uint32_t halves[SHORT_KEY / 4] = { 0 };
    uint64_t sum = factors[0] + factors[1] * key.len;

    if (key.len)
        memcpy(halves, key.data, key.len);
    for (size_t i = 0; i < SHORT_KEY / 4; i++)
        sum += factors[2 + i] * halves[i];
    return sum >> 32; /* the lower half is not as good */
}

static uint64_t hash_of(const struct map *map, struct view key)
{
    return key.len <= SHORT_KEY ? hash_short(map->factors, key) : map_hash(map->secret, key);
}

static struct slot *find(const struct map *map, struct view key, uint64_t hash)
{
    size_t mask = map->n_slots - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &map->slots[i];
        if (slot->state == SLOT_EMPTY)
            return NULL;
        if (slot->state == SLOT_USED && slot->hash == hash && view_eq(key_of(slot), key))
            return slot;
    }
}

static struct slot *vacant(const struct map *map, uint64_t hash)
{
    size_t mask = map->n_slots - 1, i = hash & mask;

    while (map->slots[i].state == SLOT_USED)
        i = (i + 1) & mask;
    return &map->slots[i];
}

static void make_room(struct map *map)
{
    struct slot *old = map->slots;
    size_t n_old = map->n_slots;

    if ((map->n_used + map->n_gone + 1) * 4 <= n_old * 3)
        return;
    if ((map->n_used + 1) * 2 > n_old)
        map->n_slots *= 2;
    map->slots = mem_array(struct slot, map->n_slots);
    map->n_gone = 0;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].state == SLOT_USED)
            *vacant(map, old[i].hash) = old[i];
    }
    free(old);
}

void *map_get(const struct map *map, struct view key)
{
    struct slot *slot = find(map, key, hash_of(map, key));

    return slot ? slot->value : NULL;
}

void *map_set(struct map *map, struct view key, void *value)
{
    uint64_t hash = hash_of(map, key);
    struct slot *slot = find(map, key, hash);
    void *before = NULL;

    if (slot) {
        before = slot->value;
        slot->value = value;
        return before;
    }
    make_room(map);
    slot = vacant(map, hash);
    map->n_gone -= slot->state == SLOT_GONE;
    *slot = slot_new(hash, key, value);
    map->n_used++;
    return NULL;
}

/* A probe that would end behind it anyway needs no tombstone, and none of those before it. */
static void vacate(struct map *map, struct slot *slot)
{
    size_t mask = map->n_slots - 1, i = (size_t)(slot - map->slots);

    *slot = (struct slot){ .state = SLOT_GONE };
    map->n_gone++;
    if (map->slots[(i + 1) & mask].state != SLOT_EMPTY)
        return;
    for (; map->slots[i].state == SLOT_GONE; i = (i - 1) & mask) {
        map->slots[i].state = SLOT_EMPTY;
        map->n_gone--;
    }
}

void *map_remove(struct map *map, struct view key)
{
    struct slot *slot = find(map, key, hash_of(map, key));
    void *value;

    if (!slot)
        return NULL;
    value = slot->value;
    slot_free(slot);
    vacate(map, slot);
    map->n_used--;
    return value;
}

bool map_next(const struct map *map, size_t *cursor, struct view *ret_key, void **ret_value)
{
    for (; *cursor < map->n_slots; (*cursor)++) {
        struct slot *slot = &map->slots[*cursor];
        if (slot->state != SLOT_USED)
            continue;
        if (ret_key)
            *ret_key = key_of(slot);
        if (ret_value)
            *ret_value = slot->value;
        (*cursor)++;
        return true;
    }
    return false;
}
