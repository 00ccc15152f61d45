/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing: removed slots
 * become tombstones, swept when the table grows. */
#include "base/map.h"

#include <sodium.h>

struct slot {
    uint64_t hash;
    uint8_t *key; /* NULL: empty or, with is_gone, removed */
    size_t key_len;
    void *value;
    bool is_gone;
};

struct map {
    struct slot *slots;
    size_t n_slots, n_used, n_gone; /* n_slots is a power of two */
    uint8_t secret[crypto_shorthash_KEYBYTES];
};

struct map *map_new(void)
{
    struct map *map = mem_new(struct map);

    map->n_slots = 16;
    map->slots = mem_array(struct slot, map->n_slots);
    randombytes_buf(map->secret, sizeof(map->secret));
    return map;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->n_slots; i++)
        free(map->slots[i].key);
    free(map->slots);
    free(map);
}

size_t map_count(const struct map *map)
{
    return map->n_used;
}

static uint64_t hash_of(const struct map *map, struct view key)
{
    uint64_t hash;

    crypto_shorthash((unsigned char *)&hash, key.data, key.len, map->secret);
    return hash;
}

static struct slot *find(const struct map *map, struct view key, uint64_t hash)
{
    size_t mask = map->n_slots - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *slot = &map->slots[i];
        if (!slot->key && !slot->is_gone)
            return NULL;
        if (slot->key && slot->hash == hash && view_eq(VIEW(slot->key, slot->key_len), key))
            return slot;
    }
}

static struct slot *vacant(const struct map *map, uint64_t hash)
{
    size_t mask = map->n_slots - 1, i = hash & mask;

    while (map->slots[i].key)
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
        if (old[i].key)
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
    if (slot->is_gone)
        map->n_gone--;
    *slot = (struct slot){ hash, mem_dup(key.data, key.len), key.len, value, false };
    map->n_used++;
    return NULL;
}

void *map_remove(struct map *map, struct view key)
{
    struct slot *slot = find(map, key, hash_of(map, key));
    void *value;

    if (!slot)
        return NULL;
    value = slot->value;
    free(slot->key);
    *slot = (struct slot){ .is_gone = true };
    map->n_used--;
    map->n_gone++;
    return value;
}

bool map_next(const struct map *map, size_t *cursor, struct view *ret_key, void **ret_value)
{
    for (; *cursor < map->n_slots; (*cursor)++) {
        struct slot *slot = &map->slots[*cursor];
        if (!slot->key)
            continue;
        if (ret_key)
            *ret_key = VIEW(slot->key, slot->key_len);
        if (ret_value)
            *ret_value = slot->value;
        (*cursor)++;
        return true;
    }
    return false;
}
