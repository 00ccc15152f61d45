/* SPDX-License-Identifier: Apache-2.0 */
#include "router/wildcards.h"
#include "base/key.h"
#include "base/map.h"

enum { MAX_PARTS = 256, WORDS = MAX_PARTS / 64 };

/* Which components are gaps: bit i is that of component i. */
struct shape {
    uint64_t gaps[WORDS];
    uint64_t number; /* no other has it */
    size_t n_entries;
};

struct entry {
    struct entry *next; /* of the same sum: next to never */
    struct buf pattern;
    void *value;
};

struct wildcards {
    struct shape *shapes[MAX_PARTS + 1]; /* by their number of components, the best first */
    size_t n_shapes[MAX_PARTS + 1];
    struct map *by_sum; /* struct entry, by struct place */
    uint64_t last_number;
    uint8_t secret[MAP_SECRET];
};

/* A key of by_sum: a shape, and the sum of what is spelled out. */
struct place {
    uint64_t number, sum;
};

struct wildcards *wildcards_new(void)
{
    struct wildcards *wildcards = mem_new(struct wildcards);

    wildcards->by_sum = map_new();
    random_bytes(wildcards->secret, sizeof(wildcards->secret));
    return wildcards;
}

static void entry_free(struct entry *entry)
{
    buf_free(&entry->pattern);
    free(entry);
}

void wildcards_free(struct wildcards *wildcards)
{
    size_t cursor = 0;
    void *found;

    if (!wildcards)
        return;
    while (map_next(wildcards->by_sum, &cursor, NULL, &found)) {
        for (struct entry *entry = found, *next; entry; entry = next) {
            next = entry->next;
            entry_free(entry);
        }
    }
    map_free(wildcards->by_sum);
    for (size_t i = 0; i <= MAX_PARTS; i++)
        free(wildcards->shapes[i]);
    free(wildcards);
}

struct view wildcards_component(struct view uri, size_t *at)
{
    struct view rest = view_sub(uri, *at, uri.len);
    const uint8_t *dot = rest.len ? memchr(rest.data, '.', rest.len) : NULL;
    struct view found = view_sub(rest, 0, dot ? (size_t)(dot - rest.data) : rest.len);

    *at += found.len + 1;
    return found;
}

/* A URI taken apart: a number for each component, which nobody else can foresee, and their sum. */
struct parts {
    size_t n;
    uint64_t part[MAX_PARTS], sum;
    uint64_t gaps[WORDS];
};

static size_t count_parts(struct view uri)
{
    size_t n = 1;

    for (size_t i = 0; i < uri.len; i++)
        n += uri.data[i] == '.';
    return n;
}

/* An empty component adds nothing to the sum. */
static void take_apart(const struct wildcards *wildcards, struct view uri, struct parts *ret_parts)
{
    struct parts *parts = ret_parts;

    parts->n = 0;
    parts->sum = 0;
    memset(parts->gaps, 0, sizeof(parts->gaps));
    for (size_t at = 0; at <= uri.len && parts->n < MAX_PARTS; parts->n++) {
        struct view name = wildcards_component(uri, &at);
        uint64_t hash = name.len ? map_hash(wildcards->secret, name) : 0;
        if (!name.len)
            parts->gaps[parts->n / 64] |= UINT64_C(1) << parts->n % 64;
        parts->part[parts->n] = hash * (2 * parts->n + 1); /* a.b is not b.a */
        parts->sum += parts->part[parts->n];
    }
}

/* Below 0: `a` spells out a component before `b` does. */
static int compare(const uint64_t *a, const uint64_t *b)
{
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t differ = a[i] ^ b[i];
        if (differ)
            return a[i] & (differ & -differ) ? 1 : -1;
    }
    return 0;
}

/* Where that shape is, or would be. */
static size_t shape_at(const struct wildcards *wildcards, const struct parts *parts, bool *ret_is)
{
    const struct shape *shapes = wildcards->shapes[parts->n];
    size_t low = 0, high = wildcards->n_shapes[parts->n];

    *ret_is = false;
    while (low < high && !*ret_is) {
        size_t middle = (low + high) / 2;
        int order = compare(parts->gaps, shapes[middle].gaps);
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
        if (order == 0) {
            *ret_is = true;
            low = middle;
        }
    }
    return low;
}

static struct shape *find_shape(const struct wildcards *wildcards, const struct parts *parts)
{
    bool is_there;
    size_t at = shape_at(wildcards, parts, &is_there);

    return is_there ? &wildcards->shapes[parts->n][at] : NULL;
}

static struct shape *make_shape(struct wildcards *wildcards, const struct parts *parts)
{
    size_t *n = &wildcards->n_shapes[parts->n];
    struct shape **shapes = &wildcards->shapes[parts->n], *more;
    bool is_there;
    size_t at = shape_at(wildcards, parts, &is_there);

    if (is_there)
        return &(*shapes)[at];
    more = mem_array(struct shape, *n + 1);
    for (size_t i = 0; i < *n; i++)
        more[i < at ? i : i + 1] = (*shapes)[i];
    memcpy(more[at].gaps, parts->gaps, sizeof(parts->gaps));
    more[at].number = ++wildcards->last_number;
    free(*shapes);
    *shapes = more;
    (*n)++;
    return &more[at];
}

static void drop_shape(struct wildcards *wildcards, const struct parts *parts)
{
    struct shape *shapes = wildcards->shapes[parts->n];
    bool is_there;
    size_t at = shape_at(wildcards, parts, &is_there);

    for (size_t i = at + 1; i < wildcards->n_shapes[parts->n]; i++)
        shapes[i - 1] = shapes[i];
    if (--wildcards->n_shapes[parts->n] == 0)
        free(STEAL(wildcards->shapes[parts->n]));
}

/* ---- one pattern ----------------------------------------------------------------------------- */

static struct entry *find(const struct wildcards *wildcards, const struct place *place,
                          struct view pattern)
{
    struct entry *entry = map_get(wildcards->by_sum, VIEW(place, sizeof(*place)));

    while (entry && !view_eq(buf_view(&entry->pattern), pattern))
        entry = entry->next;
    return entry;
}

void *wildcards_get(const struct wildcards *wildcards, struct view pattern)
{
    struct parts parts;
    const struct shape *shape;
    const struct entry *entry;

    take_apart(wildcards, pattern, &parts);
    shape = find_shape(wildcards, &parts);
    entry = shape ? find(wildcards, &(struct place){ shape->number, parts.sum }, pattern) : NULL;
    return entry ? entry->value : NULL;
}

bool wildcards_has_room(const struct wildcards *wildcards, struct view pattern)
{
    struct parts parts;

    take_apart(wildcards, pattern, &parts);
    return wildcards->n_shapes[parts.n] < WILDCARDS_SHAPES || find_shape(wildcards, &parts);
}

void wildcards_set(struct wildcards *wildcards, struct view pattern, void *value)
{
    struct parts parts;
    struct shape *shape;
    struct entry *entry;
    struct place place;

    take_apart(wildcards, pattern, &parts);
    shape = make_shape(wildcards, &parts);
    place = (struct place){ shape->number, parts.sum };
    entry = find(wildcards, &place, pattern);
    if (entry) {
        entry->value = value;
        return;
    }
    entry = mem_new(struct entry);
    entry->pattern = buf_dup(pattern);
    entry->value = value;
    entry->next = map_set(wildcards->by_sum, VIEW(&place, sizeof(place)), entry);
    shape->n_entries++;
}

/* Takes it out of those with the same sum. */
static void unlink_entry(struct wildcards *wildcards, const struct place *place,
                         struct entry *entry)
{
    struct view key = VIEW(place, sizeof(*place));
    struct entry *before = map_get(wildcards->by_sum, key);

    if (before == entry) {
        if (entry->next)
            map_set(wildcards->by_sum, key, entry->next);
        else
            map_remove(wildcards->by_sum, key);
        return;
    }
    while (before->next != entry)
        before = before->next;
    before->next = entry->next;
}

void wildcards_remove(struct wildcards *wildcards, struct view pattern)
{
    struct parts parts;
    struct shape *shape;
    struct entry *entry;
    struct place place;

    take_apart(wildcards, pattern, &parts);
    shape = find_shape(wildcards, &parts);
    if (!shape)
        return;
    place = (struct place){ shape->number, parts.sum };
    entry = find(wildcards, &place, pattern);
    if (!entry)
        return;
    unlink_entry(wildcards, &place, entry);
    entry_free(entry);
    if (--shape->n_entries == 0)
        drop_shape(wildcards, &parts);
}

/* ---- all that match -------------------------------------------------------------------------- */

static uint64_t sum_of_gaps(const struct parts *parts, const struct shape *shape)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < WORDS; i++) {
        for (uint64_t left = shape->gaps[i]; left; left &= left - 1)
            sum += parts->part[i * 64 + (size_t)__builtin_ctzll(left)];
    }
    return sum;
}

void wildcards_each(const struct wildcards *wildcards, struct view uri, wildcards_visit *visit,
                    void *user)
{
    size_t n = map_count(wildcards->by_sum) ? count_parts(uri) : 0;
    struct parts parts;

    if (n == 0 || n > MAX_PARTS || !wildcards->n_shapes[n])
        return;
    take_apart(wildcards, uri, &parts);
    for (size_t i = 0; i < wildcards->n_shapes[n]; i++) {
        const struct shape *shape = &wildcards->shapes[n][i];
        struct place place = { shape->number, parts.sum - sum_of_gaps(&parts, shape) };
        const struct entry *entry = map_get(wildcards->by_sum, VIEW(&place, sizeof(place)));
        for (; entry; entry = entry->next) {
            if (wildcards_is(buf_view(&entry->pattern), uri) && !visit(user, entry->value))
                return;
        }
    }
}

bool wildcards_is(struct view pattern, struct view uri)
{
    size_t at = 0, from = 0;

    while (at <= pattern.len && from <= uri.len) {
        struct view wanted = wildcards_component(pattern, &at),
                    got = wildcards_component(uri, &from);
        if (wanted.len && !view_eq(wanted, got))
            return false;
    }
    return at > pattern.len && from > uri.len;
}
