/* SPDX-License-Identifier: Apache-2.0 */
#include "router/match.h"
#include "tests/check.h"

static const char *const patterns[][2] = {
    { "exact", "a.b.c" },          { "exact", "a" },
    { "prefix", "a.b" },           { "prefix", "a" },
    { "prefix", "peer.12" },       { "wildcard", "a..c" },
    { "wildcard", "a.b." },        { "wildcard", "..c" },
    { "wildcard", "peer..offer" }, { "wildcard", "a1.b2..d4.e5" },
    { "wildcard", "a1.b2..d4." },  { "wildcard", "x." },
};

static struct match *fill(bool by_string)
{
    struct match *match = match_new(by_string);

    for (size_t i = 0; i < N_ELEMENTS(patterns); i++) {
        enum match_kind kind = MATCH_KINDS;
        CHECK(match_read(view_text(patterns[i][0]), &kind));
        match_set(match, kind, view_text(patterns[i][1]), (char *)(size_t)patterns[i][1]);
    }
    return match;
}

static const char *best(const struct match *match, const char *uri)
{
    const char *found = match_best(match, view_text(uri));

    return found ? found : "";
}

TEST(the_best_is_exact_then_the_longest_prefix_then_the_most_spelled_out)
{
    static const struct {
        const char *uri, *by_component, *by_string;
    } cases[] = {
        { "a.b.c", "a.b.c", "a.b.c" },
        { "a.b.d", "a.b", "a.b" },
        { "a.bc", "a", "a.b" },
        { "ab", "", "a" },
        { "peer.123.x", "", "peer.12" }, /* 12 does not own 123's */
        { "peer.12.x", "peer.12", "peer.12" },
        { "peer.12", "peer.12", "peer.12" },
        { "peer.9.offer", "peer..offer", "peer..offer" },
        { "q.r.c", "..c", "..c" },
        { "q.r.s", "", "" },
        { "a1.b2.x.d4.e5", "a1.b2..d4.e5", "a" },
        { "a1.b2.x.d4.e6", "a1.b2..d4.", "a" },
        { "x", "", "" },
        { "x.y", "x.", "x." },
        { "x.y.z", "", "" },
    };
    _cleanup_(match_freep) struct match *component = fill(false), *string = fill(true);

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_STR(best(component, cases[i].uri), cases[i].by_component);
        CHECK_STR(best(string, cases[i].uri), cases[i].by_string);
    }
}

static void join(void *user, void *value)
{
    struct buf *to = user;

    buf_printf(to, "%s%s", to->len ? " " : "", (const char *)value);
}

TEST(all_that_match_are_found_once)
{
    _cleanup_(match_freep) struct match *match = fill(false);
    _buf_ found = { 0 };

    match_all(match, VIEW_LIT("a.b.c"), join, &found);
    CHECK_STR(buf_cstr(&found), "a.b.c a.b a a.b. a..c ..c");
}

TEST(the_index_and_the_single_pattern_agree)
{
    static const char *const words[] = { "a", "b", "c", "ab", "a1", "peer", "12", "123", "x" };
    _cleanup_(match_freep) struct match *component = fill(false), *string = fill(true);

    for (unsigned seed = 1; seed < 3000; seed++) {
        _buf_ uri = { 0 };
        for (unsigned n = seed; n; n /= 10) {
            buf_put_text(&uri, uri.len ? "." : "");
            buf_put_text(&uri, words[n % N_ELEMENTS(words)]);
        }
        for (int k = 0; k < 2; k++) {
            struct match *match = k ? string : component;
            _buf_ found = { 0 };
            bool is_any = false;
            match_all(match, buf_view(&uri), join, &found);
            for (size_t i = 0; i < N_ELEMENTS(patterns); i++) {
                enum match_kind kind;
                match_read(view_text(patterns[i][0]), &kind);
                is_any |= match_is(match, kind, view_text(patterns[i][1]), buf_view(&uri));
            }
            CHECK(is_any == (found.len != 0));
            CHECK(is_any == (match_best(match, buf_view(&uri)) != NULL));
        }
    }
}

TEST(what_is_removed_is_gone)
{
    _cleanup_(match_freep) struct match *match = fill(false);

    for (size_t i = 0; i < N_ELEMENTS(patterns); i++) {
        enum match_kind kind;
        match_read(view_text(patterns[i][0]), &kind);
        CHECK_STR(match_get(match, kind, view_text(patterns[i][1])), patterns[i][1]);
        match_remove(match, kind, view_text(patterns[i][1]));
        CHECK(!match_get(match, kind, view_text(patterns[i][1])));
        match_remove(match, kind, view_text(patterns[i][1])); /* harmless */
    }
    CHECK_STR(best(match, "a.b.c"), "");
    CHECK_STR(best(match, "a1.b2.x.d4.e5"), "");
}

TEST(the_fixed_part_is_what_every_match_has)
{
    static const struct {
        const char *kind, *pattern, *fixed;
    } cases[] = {
        { "", "a.b", "a.b" },         { "prefix", "a.b", "a.b" },    { "wildcard", "a..b", "a" },
        { "wildcard", ".a", "" },     { "wildcard", "a.b.", "a.b" }, { "wildcard", "", "" },
        { "wildcard", "a.b", "a.b" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        enum match_kind kind = MATCH_KINDS;
        CHECK(match_read(view_text(cases[i].kind), &kind));
        CHECK_VIEW(match_fixed(kind, view_text(cases[i].pattern)), view_text(cases[i].fixed));
    }
}

TEST(a_prefix_is_kept_without_its_last_dot)
{
    _cleanup_(match_freep) struct match *component = match_new(false), *string = match_new(true);
    enum match_kind kind;

    CHECK_VIEW(match_normal(component, MATCH_PREFIX, VIEW_LIT("a.")), VIEW_LIT("a"));
    CHECK_VIEW(match_normal(string, MATCH_PREFIX, VIEW_LIT("a.")), VIEW_LIT("a."));
    CHECK_VIEW(match_normal(component, MATCH_WILDCARD, VIEW_LIT("a.")), VIEW_LIT("a."));
    CHECK(!match_read(VIEW_LIT("regex"), &kind));
}
