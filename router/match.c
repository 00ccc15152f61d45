/* SPDX-License-Identifier: Apache-2.0 */
#include "router/match.h"
#include "base/map.h"
#include "router/wildcards.h"

enum { MAX_LEN = 256 }; /* a URI has at most 255 bytes: rpc/message.h */

struct match {
    bool by_string;
    struct map *exact, *prefix;
    uint32_t n_prefixes[MAX_LEN]; /* of that length: the others are not looked for */
    struct wildcards *wildcards;
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
    match->wildcards = wildcards_new();
    return match;
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
    wildcards_free(match->wildcards);
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
    switch (kind) {
    case MATCH_EXACT:
        return map_get(match->exact, pattern);
    case MATCH_PREFIX:
        return map_get(match->prefix, pattern);
    case MATCH_WILDCARD:
        return wildcards_get(match->wildcards, pattern);
    case MATCH_KINDS:
        break;
    }
    return NULL;
}

bool match_has_room(const struct match *match, enum match_kind kind, struct view pattern)
{
    return kind != MATCH_WILDCARD || wildcards_has_room(match->wildcards, pattern);
}

bool match_refuse(struct err *err)
{
    return err_set(err, ERR_LIMIT,
                   "wildcard: %d arrangements of gaps in that many components are in use",
                   WILDCARDS_SHAPES);
}

void match_set(struct match *match, enum match_kind kind, struct view pattern, void *value)
{
    switch (kind) {
    case MATCH_EXACT:
        map_set(match->exact, pattern, value);
        return;
    case MATCH_PREFIX:
        if (pattern.len < MAX_LEN && !map_set(match->prefix, pattern, value))
            match->n_prefixes[pattern.len]++;
        return;
    case MATCH_WILDCARD:
        wildcards_set(match->wildcards, pattern, value);
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
        wildcards_remove(match->wildcards, pattern);
        return;
    case MATCH_KINDS:
        break;
    }
}

static bool keep_first(void *user, void *value)
{
    *(void **)user = value;
    return false;
}

void *match_best(const struct match *match, struct view uri)
{
    void *found = map_get(match->exact, uri);
    size_t len = uri.len;

    if (!found && map_count(match->prefix) && uri.len < MAX_LEN)
        found = longest_prefix(match, uri, &len);
    if (!found)
        wildcards_each(match->wildcards, uri, keep_first, &found);
    return found;
}

struct visitor {
    match_visit *visit;
    void *user;
};

static bool pass_on(void *user, void *value)
{
    const struct visitor *visitor = user;

    visitor->visit(visitor->user, value);
    return true;
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
    wildcards_each(match->wildcards, uri, pass_on, &(struct visitor){ visit, user });
}

bool match_is(const struct match *match, enum match_kind kind, struct view pattern, struct view uri)
{
    switch (kind) {
    case MATCH_EXACT:
        return view_eq(pattern, uri);
    case MATCH_PREFIX:
        return view_starts(uri, pattern) && is_edge(match, uri, pattern.len);
    case MATCH_WILDCARD:
        return wildcards_is(pattern, uri);
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
        if (wildcards_component(pattern, &at).len == 0)
            break;
        end = at - 1;
    }
    return view_sub(pattern, 0, end);
}
