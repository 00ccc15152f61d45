/* SPDX-License-Identifier: Apache-2.0 */
/* A map from bytes to pointers. Keys are copied, hashed with a secret of the process, so that a
 * remote who chooses keys cannot make them collide. Values are borrowed: the map frees none. */
#pragma once

#include "base/buf.h"

struct map;

struct map *map_new(void);
void map_free(struct map *map);
OWN_FREEP(map, struct map)

size_t map_count(const struct map *map);
void *map_get(const struct map *map, struct view key);        /* NULL when absent */
void *map_set(struct map *map, struct view key, void *value); /* the value it replaces, or NULL */
void *map_remove(struct map *map, struct view key);           /* the value removed, or NULL */
/* Walks all entries in no order: start with *cursor = 0. Nothing may be set meanwhile; the entry
 * just returned may be removed. */
bool map_next(const struct map *map, size_t *cursor, struct view *ret_key, void **ret_value);

/* What maps find their keys by: a number that nobody foresees who does not know the secret. */
enum { MAP_SECRET = 16 };
uint64_t map_hash(const uint8_t secret[MAP_SECRET], struct view bytes);

static inline struct view map_u64(const uint64_t *n) /* an integer as a key */
{
    return VIEW(n, sizeof(*n));
}
