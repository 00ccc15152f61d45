/* SPDX-License-Identifier: Apache-2.0 */
#include "router/window.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

struct window {
    struct list node; /* the longest quiet first */
    struct buf key;
    uint64_t n;    /* ever */
    uint64_t at[]; /* a ring of `limit` */
};

struct windows {
    uint64_t limit, span;
    size_t max_keys;
    struct map *by_key;
    struct list quiet;
};

struct windows *windows_new(uint64_t limit, uint64_t span, size_t max_keys)
{
    struct windows *windows = mem_new(struct windows);

    windows->limit = limit;
    windows->span = span;
    windows->max_keys = max_keys;
    windows->by_key = map_new();
    list_init(&windows->quiet);
    return windows;
}

static void window_free(struct windows *windows, struct window *window)
{
    map_remove(windows->by_key, buf_view(&window->key));
    list_remove(&window->node);
    buf_free(&window->key);
    free(window);
}

static void forget_all(struct windows *windows)
{
    struct window *window;

    LIST_EACH(window, &windows->quiet, node)
        window_free(windows, window);
}

void windows_free(struct windows *windows)
{
    if (!windows)
        return;
    forget_all(windows);
    map_free(windows->by_key);
    free(windows);
}

void windows_set_limit(struct windows *windows, uint64_t limit)
{
    if (windows->limit == limit)
        return;
    forget_all(windows);
    windows->limit = limit;
}

size_t windows_count(const struct windows *windows)
{
    return map_count(windows->by_key);
}

static uint64_t last_of(const struct windows *windows, const struct window *window)
{
    return window->at[(window->n - 1) % windows->limit];
}

bool windows_is_full(const struct windows *windows, struct view key, uint64_t now)
{
    const struct window *window = map_get(windows->by_key, key);

    if (!windows->limit || !window || window->n < windows->limit)
        return false;
    return now - window->at[window->n % windows->limit] < windows->span; /* the oldest of them */
}

/* Those of whom nothing counts any more, and whoever must make room. */
static void tidy(struct windows *windows, uint64_t now)
{
    while (!list_is_empty(&windows->quiet)) {
        struct window *first = LIST_ITEM(windows->quiet.next, struct window, node);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see window_free() unlink it */
        if (now - last_of(windows, first) < windows->span &&
            map_count(windows->by_key) < windows->max_keys)
            return;
        window_free(windows, first);
    }
}

void windows_add(struct windows *windows, struct view key, uint64_t now)
{
    struct window *window = map_get(windows->by_key, key);

    if (!windows->limit)
        return;
    if (!window) {
        tidy(windows, now);
        window = mem_zero(1, sizeof(*window) + windows->limit * sizeof(window->at[0]));
        window->key = buf_dup(key);
        list_init(&window->node);
        map_set(windows->by_key, key, window);
    }
    window->at[window->n++ % windows->limit] = now;
    list_remove(&window->node);
    list_append(&windows->quiet, &window->node);
}
