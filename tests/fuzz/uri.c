/* SPDX-License-Identifier: Apache-2.0 */
/* URIs and patterns of them. The input is a URI, and lines of patterns; the index must find what
 * each pattern says by itself. */
#include "router/match.h"
#include "rpc/rpc.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_PATTERNS = 12 };

struct one {
    enum match_kind kind;
    struct view pattern;
    unsigned n_visits;
};

static void visit(void *user, void *value)
{
    (void)user;
    ((struct one *)value)->n_visits++;
}

static struct view take_line(struct view *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    struct view line = view_sub(*rest, 0, len);

    *rest = view_sub(*rest, len + (end != NULL), rest->len);
    return line;
}

static void check_all(const struct match *match, struct one *all, size_t n, struct view uri)
{
    const struct one *best = match_best(match, uri);
    bool has_any = false;

    match_all(match, uri, visit, NULL);
    for (size_t i = 0; i < n; i++) {
        bool is = match_is(match, all[i].kind, all[i].pattern, uri);
        has_any |= is;
        if (all[i].n_visits != is || match_get(match, all[i].kind, all[i].pattern) != &all[i])
            abort();
    }
    if (has_any != (best != NULL) || (best && !match_is(match, best->kind, best->pattern, uri)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = VIEW(data, size), uri = take_line(&rest);
    _cleanup_(match_freep) struct match *match = match_new(size & 1);
    struct one all[MAX_PATTERNS] = { 0 };
    size_t n = 0;

    if (!rpc_uri_is_valid(uri))
        return 0;
    while (rest.len && n < MAX_PATTERNS) {
        struct view line = take_line(&rest);
        if (line.len < 1 || line.len > 200)
            continue;
        all[n].kind = (enum match_kind)(line.data[0] % MATCH_KINDS);
        all[n].pattern = match_normal(match, all[n].kind, view_sub(line, 1, line.len));
        if (match_get(match, all[n].kind, all[n].pattern))
            continue;
        match_set(match, all[n].kind, all[n].pattern, &all[n]);
        n++;
    }
    check_all(match, all, n, uri);
    while (n--) {
        match_remove(match, all[n].kind, all[n].pattern);
        if (match_get(match, all[n].kind, all[n].pattern))
            abort();
    }
    if (match_best(match, uri))
        abort();
    return 0;
}
