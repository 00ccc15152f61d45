/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/key.h"
#include "tests/check.h"

TEST(get_what_was_set)
{
    _cleanup_(map_freep) struct map *map = map_new();
    int a, b;

    CHECK(map_set(map, VIEW_LIT("key"), &a) == NULL);
    CHECK(map_get(map, VIEW_LIT("key")) == &a);
    CHECK(map_set(map, VIEW_LIT("key"), &b) == &a);
    CHECK_U64(map_count(map), 1);
    CHECK(map_get(map, VIEW_LIT("ke")) == NULL);
    CHECK(map_get(map, VIEW_LIT("")) == NULL);
    CHECK(map_remove(map, VIEW_LIT("key")) == &b);
    CHECK(map_remove(map, VIEW_LIT("key")) == NULL);
    CHECK_U64(map_count(map), 0);
}

/* Every third key is too long to stand in a slot of the table. */
static struct view key_bytes(const uint64_t *key, uint64_t to[4])
{
    to[0] = to[1] = to[2] = to[3] = *key;
    return *key % 3 ? map_u64(key) : VIEW(to, 4 * sizeof(*to));
}

/* Random steps against an array that is indexed by the key itself. */
TEST(random_steps_against_a_plain_array)
{
    enum { KEYS = 500 };
    _cleanup_(map_freep) struct map *map = map_new();
    static char values[KEYS];
    bool is_in[KEYS] = { false };
    size_t n = 0;

    for (int step = 0; step < 50000; step++) {
        uint64_t key = random_below(KEYS);
        uint64_t bytes[4];
        struct view name = key_bytes(&key, bytes);
        void *wanted = is_in[key] ? &values[key] : NULL;
        if (!CHECK(map_get(map, name) == wanted))
            return;
        if (random_below(2)) {
            CHECK(map_set(map, name, &values[key]) == wanted);
            n += !is_in[key];
            is_in[key] = true;
        } else {
            CHECK(map_remove(map, name) == wanted);
            n -= is_in[key];
            is_in[key] = false;
        }
        if (!CHECK_U64(map_count(map), n))
            return;
    }
}

TEST(a_walk_meets_everything_once_and_may_remove)
{
    _cleanup_(map_freep) struct map *map = map_new();
    static int values[100];
    size_t cursor = 0, n = 0;
    struct view key;
    void *value;

    for (uint64_t i = 0; i < 100; i++)
        map_set(map, map_u64(&i), &values[i]);
    while (map_next(map, &cursor, &key, &value)) {
        uint64_t i;
        memcpy(&i, key.data, sizeof(i));
        CHECK(value == &values[i]);
        CHECK_U64(values[i]++, 0);
        CHECK(map_remove(map, map_u64(&i)) == value);
        n++;
    }
    CHECK_U64(n, 100);
    CHECK_U64(map_count(map), 0);
}
