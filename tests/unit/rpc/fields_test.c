/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

/* Reads [id, text, uri, bin, bin of 2, bin or nil, array, map], as an example of all. */
static bool read_example(const char *json, struct err *err)
{
    _buf_ bytes = json_must(json);
    struct rpc_fields f;

    rpc_fields_open(&f, buf_view(&bytes));
    rpc_fields_id(&f, "id");
    rpc_fields_text(&f, "text", 5);
    rpc_fields_uri(&f, "uri");
    rpc_fields_bin(&f, "bin", 3);
    rpc_fields_fixed(&f, "fixed", 2);
    rpc_fields_bin_or_nil(&f, "maybe", 3);
    rpc_fields_array(&f, "array");
    rpc_fields_map(&f, "map");
    return rpc_fields_end(&f, err);
}

/* A request can be answered when nothing but its name is wrong. */
static bool names_uri(const char *why)
{
    return strstr(why, ": empty component") || strstr(why, "control character") ||
           strstr(why, "longer than 255");
}

TEST(fields_name_the_first_that_is_wrong)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        { "{}", "fields: not an array" },
        { "[]", "id: missing" },
        { "[0]", "id: not an id" },
        { "[-1]", "id: not an id" },
        { "[9007199254740993]", "id: not an id" },
        { "[\"1\"]", "id: not an id" },
        { "[1, 2]", "text: not text" },
        { "[1, \"longer\"]", "text: too long" },
        { "[1, h'61']", "text: not text" },
        { "[1, \"t\", \"a..b\"]", "uri: empty component" },
        { "[1, \"t\", \"\"]", "uri: empty component" },
        { "[1, \"t\", \"a.\"]", "uri: empty component" },
        { "[1, \"t\", \"a b\"]", "uri: '#', space or control character" },
        { "[1, \"t\", \"a#b\"]", "uri: '#', space or control character" },
        { "[1, \"t\", \"a\", \"b\"]", "bin: not binary" },
        { "[1, \"t\", \"a\", h'00112233']", "bin: too long" },
        { "[1, \"t\", \"a\", h'', h'00']", "fixed: of a wrong length" },
        { "[1, \"t\", \"a\", h'', h'0000', 5]", "maybe: not binary" },
        { "[1, \"t\", \"a\", h'', h'0000', null, {}]", "array: not an array" },
        { "[1, \"t\", \"a\", h'', h'0000', null, [], []]", "map: not a map" },
        { "[1, \"t\", \"a\", h'', h'0000', null, [], null]", "map: not a map" },
        { "[1, \"t\", \"a\", h'', h'0000', null, [], {}, 1]", "fields: more than expected" },
    };
    struct err err;

    CHECK_OK(
        read_example(
            "[9007199254740992, \"t\", \"a.b\", h'010203', h'0000', h'01', [1], {\"a\": 1}]", &err),
        err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        enum err_code code = names_uri(cases[i].why) ? ERR_INVALID_URI : ERR_BAD_WIRE;
        CHECK_ERR(read_example(cases[i].json, &err), err, code);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(fields_left_out_and_nil_are_the_same)
{
    _buf_ with_nil = json_must("[null, null]");
    _buf_ without = json_must("[]");
    const struct buf *both[] = { &with_nil, &without };
    struct rpc_fields f;
    struct err err;

    for (size_t i = 0; i < 2; i++) {
        rpc_fields_open(&f, buf_view(both[i]));
        CHECK_U64(rpc_fields_bin_or_nil(&f, "a", 10).len, 0);
        CHECK_U64(rpc_fields_text_or_nil(&f, "b", 10).len, 0);
        CHECK_OK(rpc_fields_end(&f, &err), err);
    }
}

TEST(fields_failure_sticks)
{
    _buf_ bytes = json_must("[\"x\", 5, 6]");
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, buf_view(&bytes));
    CHECK_U64(rpc_fields_u64(&f, "first"), 0);
    CHECK_U64(rpc_fields_u64(&f, "second"), 0); /* 5, were it not for the failure before */
    CHECK(!rpc_fields_more(&f));
    rpc_fields_skip_rest(&f);
    CHECK_ERR(rpc_fields_end(&f, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "first: not a non-negative integer");
}

TEST(maps_are_read_by_key)
{
    _buf_ bytes = json_must("{\"n\": 5, \"t\": \"text\", \"b\": h'01', \"yes\": true, \"nil\": "
                            "null, \"f\": 4294967296.0}");
    struct view map = buf_view(&bytes), got;
    uint64_t n;

    CHECK(rpc_map_u64(map, "n", &n) && n == 5);
    CHECK(rpc_map_u64(map, "f", &n) && n == (uint64_t)1 << 32);
    CHECK(rpc_map_text(map, "t", &got) && view_eq_text(got, "text"));
    CHECK(rpc_map_bin(map, "b", &got) && got.len == 1);
    CHECK(rpc_map_bool(map, "yes"));
    CHECK(!rpc_map_bool(map, "n"));
    CHECK(!rpc_map_get(map, "nil", &got));
    CHECK(!rpc_map_get(map, "absent", &got));
    CHECK(!rpc_map_text(map, "b", &got));
    CHECK(!rpc_map_bin(map, "t", &got));
    CHECK(!rpc_map_get((struct view){ 0 }, "n", &got));
}

TEST(duplicates_are_seen)
{
    _buf_ twice = json_must("{\"a\": 1, \"b\": 2, \"a\": 3}");
    _buf_ inner = json_must("{\"a\": {\"b\": 1}, \"b\": 2}");
    _buf_ many = { 0 };

    CHECK(rpc_map_has_duplicates(buf_view(&twice)));
    CHECK(!rpc_map_has_duplicates(buf_view(&inner)));
    CHECK(!rpc_map_has_duplicates((struct view){ 0 }));
    for (uint32_t n = 64; n <= 65; n++) {
        buf_clear(&many);
        rpc_put_map(&many, n);
        for (uint32_t i = 0; i < n; i++) {
            char key[8] = { (char)('a' + i / 26), (char)('a' + i % 26) };
            rpc_put_str(&many, key);
            rpc_put_nil(&many);
        }
        CHECK(rpc_map_has_duplicates(buf_view(&many)) == (n > 64));
    }
}

TEST(uris)
{
    _buf_ at_limit = { 0 };

    memset(buf_grow(&at_limit, RPC_MAX_URI), 'a', RPC_MAX_URI);
    CHECK(rpc_uri_is_valid(buf_view(&at_limit)));
    buf_put_text(&at_limit, "a");
    CHECK(!rpc_uri_is_valid(buf_view(&at_limit)));
    CHECK(rpc_uri_is_valid(VIEW_LIT("peer.456000.session.offer")));
    CHECK(rpc_uri_is_valid(VIEW_LIT("com.\xc3\xa4pp-1.X")));
    CHECK(!rpc_uri_is_valid(VIEW_LIT(".a")));
    CHECK(!rpc_uri_is_valid(VIEW_LIT("a\nb")));

    CHECK(rpc_uri_is_below(VIEW_LIT("peer.12"), VIEW_LIT("peer.12")));
    CHECK(rpc_uri_is_below(VIEW_LIT("peer.12"), VIEW_LIT("peer.12.x")));
    CHECK(!rpc_uri_is_below(VIEW_LIT("peer.12"), VIEW_LIT("peer.123")));
    CHECK(!rpc_uri_is_below(VIEW_LIT("peer.12"), VIEW_LIT("peer.123.x")));
    CHECK(!rpc_uri_is_below(VIEW_LIT("peer.12"), VIEW_LIT("peer")));
}
