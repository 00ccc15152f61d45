/* SPDX-License-Identifier: Apache-2.0 */
#include "router/match.h"
#include "base/map.h"

enum { MAX_LEN = 256 }; /* a URI has at most 255 bytes: rpc/message.h */

/* A wildcard is a path of components; NULL maps and nodes are empty. */
struct node {
    struct map *children; /* struct node, by component */
    struct node *any;     /* the empty component */
    void *value;
};

struct match {
    bool by_string;
    struct map *exact, *prefix;
    uint32_t n_prefixes[MAX_LEN]; /* of that length: the others are not looked for */
    struct node wildcards;
};

static const char *const names[] = { "exact", "prefix", "wildcard" };

const char *match_name(enum match_kind kind)
{
    return names[kind];
}

bool match_read(struct view text, enum match_kind *ret_kind)
{
    if (text.len == 0) {
        *ret_kind = MATCH_EXACT;
        return true;
    }
    for (enum match_kind kind = 0; kind < MATCH_KINDS; kind++) {
        if (view_eq_text(text, names[kind])) {
            *ret_kind = kind;
            return true;
        }
    }
    return false;
}

struct match *match_new(bool by_string)
{
    struct match *match = mem_new(struct match);

    match->by_string = by_string;
    match->exact = map_new();
    match->prefix = map_new();
    return match;
}

/* ---- wildcards ------------------------------------------------------------------------------- */

/* The component at `at`, and where the next one starts: behind the end of the URI after the last.
 */
static struct view component(struct view uri, size_t *at)
{
    struct view rest = view_sub(uri, *at, uri.len);
    const uint8_t *dot = rest.len ? memchr(rest.data, '.', rest.len) : NULL;
    struct view found = view_sub(rest, 0, dot ? (size_t)(dot - rest.data) : rest.len);

    *at += found.len + 1;
    return found;
}

static struct node *child(const struct node *node, struct view name)
{
    if (name.len == 0)
        return node->any;
    return node->children ? map_get(node->children, name) : NULL;
}

static struct node *make_child(struct node *node, struct view name)
{
    struct node *found = child(node, name);

    if (found)
        return found;
    found = mem_new(struct node);
    if (name.len == 0) {
        node->any = found;
        return found;
    }
    if (!node->children)
        node->children = map_new();
    map_set(node->children, name, found);
    return found;
}

static void drop_child(struct node *node, struct view name)
{
    struct node *found = child(node, name);

    if (found->value || found->any || found->children)
        return;
    free(found);
    if (name.len == 0) {
        node->any = NULL;
        return;
    }
    map_remove(node->children, name);
    if (map_count(node->children) == 0) {
        map_free(node->children);
        node->children = NULL;
    }
}

static void node_deinit(struct node *node)
{
    size_t cursor = 0;
    void *found;

    while (node->children && map_next(node->children, &cursor, NULL, &found)) {
        node_deinit(found);
        free(found);
    }
    map_free(node->children);
    if (node->any)
        node_deinit(node->any);
    free(node->any);
}

/* Recursion goes as deep as a URI has components: 128. */
static void forget(struct node *node, struct view pattern, size_t at)
{
    struct view name;

    if (at > pattern.len) {
        node->value = NULL;
        return;
    }
    name = component(pattern, &at);
    if (!child(node, name))
        return;
    forget(child(node, name), pattern, at);
    drop_child(node, name);
}

/* A component that is spelled out goes before the gap. Every node is seen once at most. */
static void *best_wildcard(const struct node *node, struct view uri, size_t at)
{
    struct view name;
    void *found = NULL;

    if (at > uri.len)
        return node->value;
    name = component(uri, &at);
    if (node->children && map_get(node->children, name))
        found = best_wildcard(map_get(node->children, name), uri, at);
    if (!found && node->any)
        found = best_wildcard(node->any, uri, at);
    return found;
}

static void all_wildcards(const struct node *node, struct view uri, size_t at, match_visit *visit,
                          void *user)
{
    struct view name;

    if (at > uri.len) {
        if (node->value)
            visit(user, node->value);
        return;
    }
    name = component(uri, &at);
    if (node->children && map_get(node->children, name))
        all_wildcards(map_get(node->children, name), uri, at, visit, user);
    if (node->any)
        all_wildcards(node->any, uri, at, visit, user);
}

/* ---- prefixes -------------------------------------------------------------------------------- */

/* Whether a prefix may end behind `len` bytes of `uri`. */
static bool is_edge(const struct match *match, struct view uri, size_t len)
{
    return match->by_string || len == 0 || len == uri.len || uri.data[len] == '.';
}

/* The longest prefix of `uri` that is kept and has at most *len bytes. */
static void *longest_prefix(const struct match *match, struct view uri, size_t *len)
{
    for (size_t n = *len + 1; n-- > 0;) {
        void *found = match->n_prefixes[n] && is_edge(match, uri, n)
                          ? map_get(match->prefix, view_sub(uri, 0, n))
                          : NULL;
        if (!found)
            continue;
        *len = n;
        return found;
    }
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void match_free(struct match *match)
{
    if (!match)
        return;
    map_free(match->exact);
    map_free(match->prefix);
    node_deinit(&match->wildcards);
    free(match);
}

struct view match_normal(const struct match *match, enum match_kind kind, struct view pattern)
{
    bool has_dot = pattern.len && pattern.data[pattern.len - 1] == '.';

    return kind == MATCH_PREFIX && !match->by_string && has_dot
               ? view_sub(pattern, 0, pattern.len - 1)
               : pattern;
}

void *match_get(const struct match *match, enum match_kind kind, struct view pattern)
{
    const struct node *node = &match->wildcards;

    switch (kind) {
    case MATCH_EXACT:
        return map_get(match->exact, pattern);
    case MATCH_PREFIX:
        return map_get(match->prefix, pattern);
    case MATCH_WILDCARD:
        for (size_t at = 0; node && at <= pattern.len;)
            node = child(node, component(pattern, &at));
        return node ? node->value : NULL;
    case MATCH_KINDS:
        break;
    }
    return NULL;
}

void match_set(struct match *match, enum match_kind kind, struct view pattern, void *value)
{
    struct node *node = &match->wildcards;

    switch (kind) {
    case MATCH_EXACT:
        map_set(match->exact, pattern, value);
        return;
    case MATCH_PREFIX:
        if (pattern.len < MAX_LEN && !map_set(match->prefix, pattern, value))
            match->n_prefixes[pattern.len]++;
        return;
    case MATCH_WILDCARD:
        for (size_t at = 0; at <= pattern.len;)
            node = make_child(node, component(pattern, &at));
        node->value = value;
        return;
    case MATCH_KINDS:
        break;
    }
}

void match_remove(struct match *match, enum match_kind kind, struct view pattern)
{
    switch (kind) {
    case MATCH_EXACT:
        map_remove(match->exact, pattern);
        return;
    case MATCH_PREFIX:
        if (map_remove(match->prefix, pattern))
            match->n_prefixes[pattern.len]--;
        return;
    case MATCH_WILDCARD:
        forget(&match->wildcards, pattern, 0);
        return;
    case MATCH_KINDS:
        break;
    }
}

void *match_best(const struct match *match, struct view uri)
{
    void *found = map_get(match->exact, uri);
    size_t len = uri.len;

    if (!found && map_count(match->prefix) && uri.len < MAX_LEN)
        found = longest_prefix(match, uri, &len);
    return found ? found : best_wildcard(&match->wildcards, uri, 0);
}

void match_all(const struct match *match, struct view uri, match_visit *visit, void *user)
{
    void *found = map_get(match->exact, uri);
    size_t len = uri.len;

    if (found)
        visit(user, found);
    if (map_count(match->prefix) && uri.len < MAX_LEN) {
        while ((found = longest_prefix(match, uri, &len))) {
            visit(user, found);
            if (len-- == 0)
                break;
        }
    }
    all_wildcards(&match->wildcards, uri, 0, visit, user);
}

static bool is_wildcard_of(struct view pattern, struct view uri)
{
    size_t at = 0, from = 0;

    while (at <= pattern.len && from <= uri.len) {
        struct view wanted = component(pattern, &at), got = component(uri, &from);
        if (wanted.len && !view_eq(wanted, got))
            return false;
    }
    return at > pattern.len && from > uri.len;
}

bool match_is(const struct match *match, enum match_kind kind, struct view pattern, struct view uri)
{
    switch (kind) {
    case MATCH_EXACT:
        return view_eq(pattern, uri);
    case MATCH_PREFIX:
        return view_starts(uri, pattern) && is_edge(match, uri, pattern.len);
    case MATCH_WILDCARD:
        return is_wildcard_of(pattern, uri);
    case MATCH_KINDS:
        break;
    }
    return false;
}

struct view match_fixed(enum match_kind kind, struct view pattern)
{
    size_t at = 0, end = 0;

    if (kind != MATCH_WILDCARD)
        return pattern;
    while (at <= pattern.len) {
        if (component(pattern, &at).len == 0)
            break;
        end = at - 1;
    }
    return view_sub(pattern, 0, end);
}
