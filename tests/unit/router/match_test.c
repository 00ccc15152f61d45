/* SPDX-License-Identifier: Apache-2.0 */
#include "router/match.h"
#include "router/wildcards.h"
#include "tests/check.h"

#include <stdio.h>

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

/* The same in every run. */
static uint32_t below(uint32_t bound)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return (state >> 16) % bound;
}

/* Components from few words, so that they meet; the gap is one of them where `has_gaps`. */
static struct view draw(char text[32], bool has_gaps)
{
    static const char *const words[] = { "a", "b", "c", "" };
    uint32_t n = 1 + below(6);

    text[0] = '\0';
    for (uint32_t i = 0; i < n; i++)
        snprintf(text + strlen(text), 32 - strlen(text), "%s%s", i ? "." : "",
                 words[below(has_gaps ? 4 : 3)]);
    return view_text(text);
}

struct drawn {
    char text[32];
    bool is_there, is_found;
};

struct last {
    const char *text;
    unsigned n;
};

/* The one that spells out more comes first. */
static void note(void *user, void *value)
{
    struct drawn *drawn = value;
    struct last *last = user;

    CHECK(drawn->is_there && !drawn->is_found);
    drawn->is_found = true;
    if (last->n++) {
        size_t a = 0, b = 0;
        struct view before = view_text(last->text), after = view_text(drawn->text), x, y;
        do {
            x = wildcards_component(before, &a);
            y = wildcards_component(after, &b);
        } while ((x.len != 0) == (y.len != 0) && a <= before.len);
        CHECK(x.len && !y.len);
    }
    last->text = drawn->text;
}

TEST(wildcards_are_found_whatever_comes_and_goes)
{
    enum { PATTERNS = 200, TURNS = 4000 };
    static struct drawn drawn[PATTERNS];
    _cleanup_(match_freep) struct match *match = match_new(true);
    char uri[32];

    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct drawn *one = &drawn[below(PATTERNS)];
        struct last last = { 0 };
        struct view at = draw(uri, false);
        if (one->is_there) {
            CHECK(match_get(match, MATCH_WILDCARD, view_text(one->text)) == one);
            match_remove(match, MATCH_WILDCARD, view_text(one->text));
            one->is_there = false;
        } else if (!match_get(match, MATCH_WILDCARD, draw(one->text, true))) {
            match_set(match, MATCH_WILDCARD, view_text(one->text), one);
            one->is_there = true;
        }
        match_all(match, at, note, &last);
        CHECK((match_best(match, at) != NULL) == (last.n != 0));
        for (size_t i = 0; i < PATTERNS; i++) {
            CHECK(drawn[i].is_found ==
                  (drawn[i].is_there &&
                   match_is(match, MATCH_WILDCARD, view_text(drawn[i].text), at)));
            drawn[i].is_found = false;
        }
    }
}

/* `n` components; a gap where a bit of `gaps` is set, `word` elsewhere. */
static struct view shaped(char text[64], unsigned n, unsigned gaps, const char *word)
{
    text[0] = '\0';
    for (unsigned i = 0; i < n; i++)
        snprintf(text + strlen(text), 64 - strlen(text), "%s%s", i ? "." : "",
                 gaps >> i & 1 ? "" : word);
    return view_text(text);
}

/* Or a few hundred patterns of a hundred components each would keep the router busy for minutes. */
TEST(wildcards_have_so_many_arrangements_of_gaps)
{
    _cleanup_(match_freep) struct match *match = match_new(true);
    char text[64];
    unsigned n = 0;

    for (unsigned gaps = 0; gaps < 128; gaps++) { /* of seven components all there are */
        CHECK(match_has_room(match, MATCH_WILDCARD, shaped(text, 7, gaps, "a")));
        match_set(match, MATCH_WILDCARD, view_text(text), match);
    }
    for (unsigned gaps = 0; gaps < 256; gaps++) {
        if (!match_has_room(match, MATCH_WILDCARD, shaped(text, 8, gaps, "a")))
            continue;
        match_set(match, MATCH_WILDCARD, view_text(text), match);
        n++;
    }
    CHECK_U64(n, WILDCARDS_SHAPES);
    CHECK(match_has_room(match, MATCH_WILDCARD, shaped(text, 8, 5, "b"))); /* other words */
    CHECK(!match_has_room(match, MATCH_WILDCARD, shaped(text, 8, 200, "b")));
    CHECK(match_has_room(match, MATCH_WILDCARD, shaped(text, 9, 200, "b")));
    CHECK(match_has_room(match, MATCH_PREFIX, shaped(text, 8, 200, "b")));
    match_remove(match, MATCH_WILDCARD, shaped(text, 8, 5, "a"));
    CHECK(match_has_room(match, MATCH_WILDCARD, shaped(text, 8, 200, "b")));
    CHECK(match_best(match, VIEW_LIT("x.a.a.a.a.a.a.a")) != NULL);
    CHECK(!match_best(match, VIEW_LIT("a.x.a.a.a.a.a.x")));
}

TEST(patterns_as_long_as_they_may_be)
{
    _cleanup_(match_freep) struct match *match = match_new(true);
    char dots[256] = { 0 }, uri[256] = { 0 };

    memset(dots, '.', 255); /* 256 gaps: no URI has as many components */
    match_set(match, MATCH_WILDCARD, view_text(dots), match);
    CHECK(match_get(match, MATCH_WILDCARD, view_text(dots)) == match);
    for (size_t i = 0; i < 255; i++)
        uri[i] = i % 2 ? '.' : 'a';
    dots[127] = '\0'; /* 128 */
    match_set(match, MATCH_WILDCARD, view_text(dots), dots);
    CHECK(match_best(match, view_text(uri)) == dots);
    match_remove(match, MATCH_WILDCARD, view_text(dots));
    CHECK(!match_best(match, view_text(uri)));
    match_set(match, MATCH_WILDCARD, view_text(""), dots); /* one gap */
    CHECK(match_best(match, VIEW_LIT("a")) == dots && !match_best(match, VIEW_LIT("a.b")));
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
