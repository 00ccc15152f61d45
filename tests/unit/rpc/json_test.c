/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to msgpack and back. The helper json.c reads a looser JSON, with h'00ff' for binary, by
 * itself: it says what is wanted. */
#include "rpc/json.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

#include <dirent.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

enum { ENOUGH = 1 << 20 };

static struct buf to_msgpack(struct view text)
{
    struct buf to = { 0 };
    struct err err;

    if (!rpc_json_to_msgpack(text, ENOUGH, &to, &err))
        check_failed(__FILE__, __LINE__, "%.*s: %s", VIEW_FMT(text), err.text);
    return to;
}

static struct buf from_msgpack(struct view value)
{
    struct buf to = { 0 };
    struct err err;

    if (!rpc_json_from_msgpack(value, 8 * ENOUGH, &to, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return to;
}

static struct buf unhex(const char *hex)
{
    struct buf bytes = { 0 };

    if (!text_read_hex(view_text(hex), buf_grow(&bytes, strlen(hex) / 2), strlen(hex) / 2))
        check_failed(__FILE__, __LINE__, "not hexadecimal: %s", hex);
    return bytes;
}

/* ---- values that correspond ------------------------------------------------------------------ */

/* A text, its msgpack in hexadecimal, and the text that comes back; NULL: the same. */
static const struct {
    const char *text, *hex, *back;
} pairs[] = {
    { "null", "c0", NULL },
    { " \t\r\n[ true , false ]\n", "92c3c2", "[true,false]" },
    { "[]", "90", NULL },
    { "{}", "80", NULL },
    { "[[],{},[{}]]",
      "93908091"
      "80",
      NULL },
    { "{ \"a\" : 1 , \"b\" : [ 2 ] }", "82a16101a1629102", "{\"a\":1,\"b\":[2]}" },
    { "{\"a\":1,\"a\":2}", "82a16101a16102", NULL }, /* as in msgpack: its reader's matter */

    { "0", "00", NULL },
    { "127", "7f", NULL },
    { "128", "cc80", NULL },
    { "256", "cd0100", NULL },
    { "65536", "ce00010000", NULL },
    { "4294967296", "cf0000000100000000", NULL },
    { "9007199254740991", "cf001fffffffffffff", NULL },
    { "9007199254740992", "cf0020000000000000", NULL },
    { "9007199254740993", "cf0020000000000001", NULL },
    { "18446744073709551615", "cfffffffffffffffff", NULL },
    { "-1", "ff", NULL },
    { "-32", "e0", NULL },
    { "-33", "d0df", NULL },
    { "-128", "d080", NULL },
    { "-129", "d1ff7f", NULL },
    { "-32769", "d2ffff7fff", NULL },
    { "-2147483649", "d3ffffffff7fffffff", NULL },
    { "-9223372036854775808", "d38000000000000000", NULL },
    { "18446744073709551616", "cb43f0000000000000", "1.8446744073709552e19" },
    { "-9223372036854775809", "cbc3e0000000000000", "-9.223372036854776e18" },

    { "0.0", "cb0000000000000000", NULL },
    { "-0", "cb8000000000000000", "-0.0" },
    { "1.0", "cb3ff0000000000000", NULL },
    { "1e0", "cb3ff0000000000000", "1.0" },
    { "1E+2", "cb4059000000000000", "100.0" },
    { "0.1", "cb3fb999999999999a", NULL },
    { "-2.5", "cbc004000000000000", NULL },
    { "3.141592653589793", "cb400921fb54442d18", NULL },
    { "0.30000000000000004", "cb3fd3333333333334", NULL },
    { "0.000001", "cb3eb0c6f7a0b5ed8d", NULL },
    { "1e-7", "cb3e7ad7f29abcaf48", NULL },
    { "123456789012345.0", "cb42dc12218377de40", NULL },
    { "1e15", "cb430c6bf526340000", NULL },
    { "1.7976931348623157e308", "cb7fefffffffffffff", NULL },
    { "5e-324", "cb0000000000000001", NULL },
    { "1e-400", "cb0000000000000000", "0.0" },
    { "4503599627370497.5", "cb4330000000000002", "4.503599627370498e15" }, /* to the even one */

    { "\"\"", "a0", NULL },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a8225c2f080c0a0d09", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
    { "\"\\u0001\\u001f\\u007f\"", "a3011f7f", "\"\\u0001\\u001f\x7f\"" },
    { "\"\\u00e9\\u20AC\"", "a5c3a9e282ac", "\"\xc3\xa9\xe2\x82\xac\"" },
    { "\"\\ud83d\\ude00\"", "a4f09f9880", "\"\xf0\x9f\x98\x80\"" },
    { "\"a\\u0000b\"", "a3610062", NULL }, /* U+0000 means something at the beginning alone */
    { "{\"\\u0000QQ==\":1}",
      "81a5005151"
      "3d3d01",
      NULL }, /* and in no key */

    { "\"\\u0000\"", "c400", NULL },
    { "\"\\u0000AP8=\"", "c40200ff", NULL },
    { "\"\\u0000\\u0000AA==\"", "a100", NULL },
    { "\"\\u0000\\u0000AEFQOD0=\"",
      "a50041"
      "50383d",
      NULL },
};

TEST(values_correspond)
{
    for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
        _buf_ wanted = unhex(pairs[i].hex);
        _buf_ got = to_msgpack(view_text(pairs[i].text));
        _buf_ back = from_msgpack(buf_view(&wanted));
        if (!CHECK_VIEW(buf_view(&got), buf_view(&wanted)) ||
            !CHECK_VIEW(buf_view(&back), view_text(pairs[i].back ? pairs[i].back : pairs[i].text)))
            check_failed(__FILE__, __LINE__, "row %zu: %s", i, pairs[i].text);
    }
}

/* msgpack that JSON does not lead to. */
TEST(other_forms_of_msgpack_are_taken)
{
    static const struct {
        const char *hex, *text;
    } cases[] = {
        { "ca3fc00000", "1.5" },
        { "ca3dcccccd", "0.10000000149011612" }, /* the number that it is, in 64 bits */
        { "d3ffffffffffffffff", "-1" },
        { "d30000000000000005", "5" },
        { "d2ffffffff", "-1" },
        { "d1ffff", "-1" },
        { "cf0000000000000001", "1" },
        { "de0000", "{}" },
        { "dd0000000101", "[1]" },
        { "db0000000161", "\"a\"" },
        { "d90161", "\"a\"" },
        { "c600000001ff", "\"\\u0000/w==\"" },
        { "cb7fe0000000000000", "8.98846567431158e307" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ value = unhex(cases[i].hex);
        _buf_ text = from_msgpack(buf_view(&value));
        CHECK_VIEW(buf_view(&text), view_text(cases[i].text));
    }
}

/* Heads of every width: the bytes behind them move when the count is known. */
TEST(every_width_of_head_comes_out)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000 };

    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        for (int is_map = 0; is_map <= 1; is_map++) {
            _buf_ wanted = { 0 };
            rpc_put_array(&wanted, 2);
            if (is_map)
                rpc_put_map(&wanted, (uint32_t)sizes[i]);
            else
                rpc_put_array(&wanted, (uint32_t)sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++) {
                if (is_map)
                    rpc_put_str(&wanted, "k");
                rpc_put_u64(&wanted, k % 100);
            }
            _buf_ filler = { 0 };
            for (size_t k = 0; k < sizes[i]; k++)
                buf_put_u8(&filler, is_map ? '"' : 'x');
            rpc_put_text(&wanted, buf_view(&filler));
            _buf_ text = from_msgpack(buf_view(&wanted));
            _buf_ back = to_msgpack(buf_view(&text));
            CHECK(view_eq(buf_view(&back), buf_view(&wanted)));
        }
    }
}

TEST(depth_is_bounded_in_both_directions)
{
    for (unsigned depth = RPC_MAX_DEPTH; depth <= RPC_MAX_DEPTH + 1; depth++) {
        _buf_ text = { 0 };
        _buf_ value = { 0 };
        _buf_ to = { 0 };
        struct err err = { 0 };
        bool wanted = depth == RPC_MAX_DEPTH;
        for (unsigned i = 0; i < depth; i++)
            buf_put_u8(&text, '[');
        for (unsigned i = 0; i < depth; i++)
            buf_put_u8(&text, ']');
        for (unsigned i = 1; i < depth; i++)
            rpc_put_array(&value, 1);
        rpc_put_array(&value, 0);
        CHECK(rpc_json_to_msgpack(buf_view(&text), ENOUGH, &to, &err) == wanted);
        CHECK_STR(err.text, wanted ? "" : "byte 32: nested too deep");
        err = (struct err){ 0 };
        CHECK(rpc_json_from_msgpack(buf_view(&value), ENOUGH, &to, &err) == wanted);
        CHECK_STR(err.text, wanted ? "" : "byte 32: nested too deep");
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

TEST(malformed_json_is_refused)
{
    static const struct {
        struct view text;
        const char *why;
    } cases[] = {
#define ROW(text, why) { { (const uint8_t *)(text), sizeof(text) - 1 }, why }
        ROW("", "byte 0: cut short"),
        ROW("   ", "byte 3: cut short"),
        ROW("[", "byte 1: cut short"),
        ROW("[1", "byte 2: cut short"),
        ROW("[1,", "byte 3: cut short"),
        ROW("{\"a\"", "byte 4: cut short"),
        ROW("{\"a\":", "byte 5: cut short"),
        ROW("\"a", "byte 2: cut short"),
        ROW("\"a\\", "byte 2: cut short"),
        ROW("\"a\\\"", "byte 4: cut short"),
        ROW("-", "byte 1: cut short"),
        ROW("1.", "byte 2: cut short"),
        ROW("1e", "byte 2: cut short"),
        ROW("1e-", "byte 3: cut short"),
        ROW("[1,]", "byte 3: not a value"),
        ROW("[,1]", "byte 1: not a value"),
        ROW("[1 2]", "byte 3: neither ',' nor ']'"),
        ROW("[1}", "byte 2: neither ',' nor ']'"),
        ROW("[\0]", "byte 1: not a value"),
        ROW("[1]]", "byte 3: more than one value"),
        ROW("[1] 2", "byte 4: more than one value"),
        ROW("[1]\0", "byte 3: more than one value"),
        ROW("{\"a\":1,}", "byte 7: a key is not text"),
        ROW("{1:2}", "byte 1: a key is not text"),
        ROW("{a:2}", "byte 1: a key is not text"),
        ROW("{\"a\" 1}", "byte 5: no ':' after a key"),
        ROW("{\"a\",1}", "byte 4: no ':' after a key"),
        ROW("{\"a\":1 \"b\":2}", "byte 7: neither ',' nor '}'"),
        ROW("{\"a\":1]", "byte 6: neither ',' nor '}'"),
        ROW("{\"__proto__\":1}", "byte 12: a key is __proto__"),
        ROW("[{\"\\u005f_proto__\":1}]", "byte 18: a key is __proto__"),
        ROW("nul", "byte 0: not a value"),
        ROW("True", "byte 0: not a value"),
        ROW("undefined", "byte 0: not a value"),
        ROW("nullx", "byte 4: more than one value"),
        ROW("NaN", "byte 0: not a value"),
        ROW("Infinity", "byte 0: not a value"),
        ROW("-Infinity", "byte 1: not a digit in a number"),
        ROW("+1", "byte 0: not a value"),
        ROW("01", "byte 1: a number with a leading zero"),
        ROW("-01", "byte 2: a number with a leading zero"),
        ROW(".5", "byte 0: not a value"),
        ROW("1.e5", "byte 2: not a digit in a number"),
        ROW("1e+x", "byte 3: not a digit in a number"),
        ROW("0x10", "byte 1: more than one value"),
        ROW("1e309", "byte 5: a number out of range"),
        ROW("-1e999999999999999999999", "byte 24: a number out of range"),
        ROW("'a'", "byte 0: not a value"),
        ROW("// a\n1", "byte 0: not a value"),
        ROW("/**/1", "byte 0: not a value"),
        ROW("\xef\xbb\xbf"
            "1",
            "byte 0: not a value"),
        ROW("\"\x01\"", "byte 1: a control character in text"),
        ROW("\"a\nb\"", "byte 2: a control character in text"),
        ROW("\"12345678\x1f\"", "byte 9: a control character in text"),
        ROW("\"\\x41\"", "byte 6: an unknown escape"),
        ROW("\"\\\xc3\xa9\"", "byte 5: an unknown escape"),
        ROW("\"\\u12\"", "byte 6: \\u without four hexadecimal digits"),
        ROW("\"\\u12g4\"", "byte 8: \\u without four hexadecimal digits"),
        ROW("\"\\ud800\"", "byte 8: a lone surrogate"),
        ROW("\"\\ud800\\n\"", "byte 10: a lone surrogate"),
        ROW("\"\\ud800\\u0041\"", "byte 14: a lone surrogate"),
        ROW("\"\\ud800\\ud800\"", "byte 14: a lone surrogate"),
        ROW("\"\\ud800\\u12\"", "byte 12: \\u without four hexadecimal digits"),
        ROW("\"\\udc00\"", "byte 8: a lone surrogate"),
        ROW("\"\\udc00\\ud800\"", "byte 14: a lone surrogate"),
        ROW("\"\xff\"", "byte 3: text is not UTF-8"),
        ROW("\"\xc0\x80\"", "byte 4: text is not UTF-8"),
        ROW("\"\xed\xa0\x80\"", "byte 5: text is not UTF-8"),
        ROW("\"\xc3\\n\xa9\"", "byte 6: text is not UTF-8"),
        ROW("{\"\xff\":1}", "byte 4: text is not UTF-8"),
        ROW("\"\\u0000A\"", "byte 9: text after U+0000 is not base64"),
        ROW("\"\\u0000AP8\"", "byte 11: text after U+0000 is not base64"),
        ROW("\"\\u0000AP9=\"", "byte 12: text after U+0000 is not base64"),
        ROW("\"\\u0000AP_=\"", "byte 12: text after U+0000 is not base64"),
        ROW("\"\\u0000AP8=\\n\"", "byte 14: text after U+0000 is not base64"),
        ROW("\"\\u0000\\u0000\"", "byte 14: text after U+0000 U+0000 is not base64 of such a text"),
        ROW("\"\\u0000\\u0000QQ==\"",
            "byte 18: text after U+0000 U+0000 is not base64 of such a text"),
        ROW("\"\\u0000\\u0000AP8=\"",
            "byte 18: text after U+0000 U+0000 is not base64 of such a text"),
        ROW("\"\\u0000\\u0000A\"", "byte 15: text after U+0000 is not base64"),
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ text = buf_dup(cases[i].text); /* where it ends, it ends for a sanitizer too */
        _buf_ to = { 0 };
        struct err err;
        buf_put_text(&to, "before");
        CHECK_ERR(rpc_json_to_msgpack(VIEW(text.data, text.len), ENOUGH, &to, &err), err,
                  ERR_BAD_WIRE);
        if (!CHECK_STR(err.text, cases[i].why))
            check_failed(__FILE__, __LINE__, "row %zu: %.*s", i, VIEW_FMT(cases[i].text));
        CHECK_VIEW(buf_view(&to), VIEW_LIT("before"));
    }
}

TEST(a_number_has_its_limit)
{
    _buf_ text = { 0 };
    _buf_ to = { 0 };
    struct err err;

    buf_put_text(&text, "0.");
    memset(buf_grow(&text, 398), '3', 398);
    CHECK_OK(rpc_json_to_msgpack(buf_view(&text), ENOUGH, &to, &err), err);
    CHECK_VIEW(buf_view(&to), VIEW_LIT("\xcb\x3f\xd5\x55\x55\x55\x55\x55\x55"));
    buf_put_u8(&text, '3');
    CHECK_ERR(rpc_json_to_msgpack(buf_view(&text), ENOUGH, &to, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "byte 401: a number of more than 400 characters");
}

TEST(malformed_msgpack_is_refused)
{
    static const struct {
        const char *hex, *why;
    } cases[] = {
        { "", "byte 0: cut short" },
        { "91", "byte 0: cut short" },
        { "9201", "byte 0: cut short" },
        { "ddffffffff", "byte 0: cut short" },
        { "dfffffffff01", "byte 0: cut short" },
        { "a161"
          "61",
          "byte 2: more than one value" },
        { "a261", "byte 0: cut short" },
        { "c6ffffffff", "byte 0: cut short" },
        { "cb00", "byte 0: cut short" },
        { "91c1", "byte 1: an ext or reserved type" },
        { "91d40000", "byte 1: an ext or reserved type" },
        { "91c70000", "byte 1: an ext or reserved type" },
        { "810101", "byte 1: a map key is not text" },
        { "81c4016101", "byte 1: a map key is not text" },
        { "81a95f5f70726f746f5f5f01", "byte 1: a map key is __proto__" },
        { "91a1ff", "byte 1: text is not UTF-8" },
        { "81a1ff01", "byte 1: text is not UTF-8" },
        { "91cb7ff0000000000000", "byte 1: JSON has no NaN and no infinity" },
        { "91cbfff0000000000000", "byte 1: JSON has no NaN and no infinity" },
        { "91cb7ff8000000000000", "byte 1: JSON has no NaN and no infinity" },
        { "91ca7fc00000", "byte 1: JSON has no NaN and no infinity" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ value = unhex(cases[i].hex);
        _buf_ to = { 0 };
        struct err err;
        buf_put_text(&to, "before");
        CHECK_ERR(rpc_json_from_msgpack(buf_view(&value), ENOUGH, &to, &err), err, ERR_BAD_WIRE);
        if (!CHECK_STR(err.text, cases[i].why))
            check_failed(__FILE__, __LINE__, "row %zu: %s", i, cases[i].hex);
        CHECK_VIEW(buf_view(&to), VIEW_LIT("before"));
    }
}

TEST(what_comes_out_is_bounded)
{
    _buf_ floats = { 0 }; /* nine bytes for four characters */
    _buf_ controls = { 0 };
    _buf_ value = { 0 };
    _buf_ to = { 0 };
    struct err err;

    buf_put_u8(&floats, '[');
    for (int i = 0; i < 999; i++)
        buf_put_text(&floats, "1e1,");
    buf_put_text(&floats, "1e1]");
    CHECK_OK(rpc_json_to_msgpack(buf_view(&floats), 9003, &to, &err), err);
    CHECK_U64(to.len, 9003);
    buf_clear(&to);
    CHECK_ERR(rpc_json_to_msgpack(buf_view(&floats), 9002, &to, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "more than 9002 bytes as msgpack");
    CHECK_U64(to.len, 0);
    memset(buf_grow(&controls, 1000), 1, 1000);
    rpc_put_text(&value, buf_view(&controls));
    CHECK_OK(rpc_json_from_msgpack(buf_view(&value), 6002, &to, &err), err);
    CHECK_U64(to.len, 6002);
    buf_clear(&to);
    CHECK_ERR(rpc_json_from_msgpack(buf_view(&value), 6001, &to, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "more than 6001 bytes as JSON");
    CHECK_U64(to.len, 0);
}

/* ---- random values --------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void put_random_text(struct buf *to, uint64_t *state)
{
    static const char *const pieces[] = {
        "a",    "b.c",     "\"",       "\\",           "\n",
        "\x7f", "\x01",    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "/",    "00000000"
    };
    _buf_ text = { 0 };

    if (draw(state) % 8 == 0)
        buf_put_u8(&text, 0);
    for (uint64_t n = draw(state) % 12; n; n--)
        buf_put_text(&text, pieces[draw(state) % N_ELEMENTS(pieces)]);
    rpc_put_text(to, buf_view(&text));
}

static void put_random_double(struct buf *to, uint64_t *state)
{
    double number;
    uint64_t bits = draw(state);

    memcpy(&number, &bits, sizeof(number));
    if (!isfinite(number) || draw(state) % 2)
        number = (double)(int64_t)(draw(state) >> draw(state) % 64) / 1000.0;
    rpc_put_double(to, number);
}

static void put_random(struct buf *to, uint64_t *state, unsigned depth)
{
    uint64_t n = draw(state) % 20, amount = draw(state) >> draw(state) % 64;
    uint8_t bytes[40];

    switch (draw(state) % (depth < 6 ? 9 : 7)) {
    case 0:
        rpc_put_nil(to);
        break;
    case 1:
        rpc_put_bool(to, n & 1);
        break;
    case 2:
        rpc_put_u64(to, amount);
        break;
    case 3:
        rpc_put_i64(to, -(int64_t)(amount >> 1) - (int64_t)(n & 1));
        break;
    case 4:
        put_random_double(to, state);
        break;
    case 5:
        put_random_text(to, state);
        break;
    case 6:
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)draw(state);
        rpc_put_bin(to, VIEW(bytes, n * 2));
        break;
    case 7:
        rpc_put_array(to, (uint32_t)n);
        for (; n; n--)
            put_random(to, state, depth + 1);
        break;
    case 8:
        rpc_put_map(to, (uint32_t)n);
        for (; n; n--) {
            put_random_text(to, state);
            put_random(to, state, depth + 1);
        }
        break;
    }
}

TEST(random_values_come_back_as_they_were)
{
    uint64_t state = 20240607;

    for (int i = 0; i < 3000; i++) {
        _buf_ value = { 0 };
        put_random(&value, &state, 0);
        _buf_ text = { 0 };
        struct err err;
        if (!rpc_json_from_msgpack(buf_view(&value), SIZE_MAX, &text, &err)) {
            check_failed(__FILE__, __LINE__, "value %d: %s", i, err.text);
            continue;
        }
        _buf_ back = { 0 };
        if (!rpc_json_to_msgpack(buf_view(&text), SIZE_MAX, &back, &err))
            check_failed(__FILE__, __LINE__, "value %d: %s", i, err.text);
        if (!CHECK(view_eq(buf_view(&back), buf_view(&value))))
            check_failed(__FILE__, __LINE__, "value %d: %.*s", i, VIEW_FMT(buf_view(&text)));
        _buf_ loose = { 0 }; /* the looser reader takes it too */
        CHECK(json_to_msgpack(buf_view(&text), &loose));
    }
}

TEST(random_fractions_come_back_to_the_bit)
{
    uint64_t state = 7;

    for (int i = 0; i < 20000; i++) {
        uint64_t bits = draw(&state);
        double number;
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number))
            continue;
        _buf_ value = { 0 };
        rpc_put_double(&value, number);
        _buf_ text = from_msgpack(buf_view(&value));
        _buf_ back = to_msgpack(buf_view(&text));
        CHECK_VIEW(buf_view(&back), buf_view(&value));
    }
}

/* The front of a text is never the whole: it is refused and nothing is read behind it. */
TEST(every_front_of_a_value_is_refused)
{
    static const char text[] =
        "[48,-1.5e3,{\"a\\n\":[\"\\ud83d\\ude00\",\"\\u0000AP8=\",\"\\u0000\\u0000AA==\"]},"
        "\"\xc3\xa9\",true,null,9007199254740993]";
    _buf_ value = to_msgpack(view_text(text));
    struct err err;

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        _buf_ front = buf_dup(VIEW(text, len));
        _buf_ to = { 0 };
        CHECK_ERR(rpc_json_to_msgpack(VIEW(front.data, len), ENOUGH, &to, &err), err, ERR_BAD_WIRE);
    }
    for (size_t len = 0; len < value.len; len++) {
        _buf_ front = buf_dup(VIEW(value.data, len));
        _buf_ to = { 0 };
        CHECK_ERR(rpc_json_from_msgpack(VIEW(front.data, len), ENOUGH, &to, &err), err,
                  ERR_BAD_WIRE);
    }
}

/* Makes a language in which 1.5 is 1,5, out of what Debian's package locales brings. */
static bool set_comma(void)
{
    _free_ char *command =
        mem_format("localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", check_dir());

    setenv("LOCPATH", check_dir(), 1);
    return system(command) == 0 && setlocale(LC_NUMERIC, "de_DE.UTF-8");
}

TEST(numbers_are_the_same_in_every_language)
{
    static const char text[] = "[5e-324,1.7976931348623157e308,0.30000000000000004]";

    if (!set_comma()) {
        check_skip("no language with a decimal comma: the package locales is missing");
        return;
    }
    _buf_ value = to_msgpack(view_text(text));
    _buf_ back = from_msgpack(buf_view(&value));
    setlocale(LC_NUMERIC, "C");
    CHECK_VIEW(buf_view(&back), view_text(text));
}

/* ---- the specification's samples ------------------------------------------------------------- */

static struct buf hex_of(struct view text)
{
    _free_ char *hex = view_dup_text(text);

    return unhex(hex);
}

/* Every encoding in JSON of a sample is its encoding in msgpack, which is one of those in JSON. */
static unsigned check_sample(const char *path, struct view serializers)
{
    struct view json, msgpack, hex;
    struct rpc_fields f;
    unsigned n = 0, n_same = 0;

    if (!rpc_map_get(serializers, "json", &json) || !rpc_map_get(serializers, "msgpack", &msgpack))
        return 0;
    rpc_fields_open(&f, msgpack);
    if (!CHECK(rpc_map_text(rpc_fields_map(&f, "encoding"), "bytes_hex", &hex)))
        return 0;
    _buf_ value = hex_of(hex);
    _buf_ text = from_msgpack(buf_view(&value));
    rpc_fields_open(&f, json);
    for (; rpc_fields_more(&f); n++) {
        struct view entry = rpc_fields_map(&f, "encoding");
        if (!CHECK(rpc_map_text(entry, "bytes_hex", &hex)))
            return n;
        _buf_ bytes = hex_of(hex);
        _buf_ got = to_msgpack(buf_view(&bytes));
        if (!CHECK_VIEW(buf_view(&got), buf_view(&value)))
            check_failed(__FILE__, __LINE__, "%s", path);
        n_same += view_eq(buf_view(&bytes), buf_view(&text));
    }
    if (n_same == 0)
        check_failed(__FILE__, __LINE__, "%s: none is %.*s", path, VIEW_FMT(buf_view(&text)));
    return n;
}

static unsigned check_file(const char *path)
{
    _buf_ text = { 0 };
    struct rpc_fields f;
    struct view samples, serializers;
    struct err err;
    unsigned n = 0;

    if (!file_read(path, 16 * 1024 * 1024, &text, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return 0;
    }
    _buf_ value = to_msgpack(buf_view(&text)); /* the file itself is JSON too */
    if (!rpc_map_get(buf_view(&value), "samples", &samples))
        return 0;
    rpc_fields_open(&f, samples);
    while (rpc_fields_more(&f)) {
        struct view sample = rpc_fields_map(&f, "sample");
        if (rpc_map_get(sample, "serializers", &serializers))
            n += check_sample(path, serializers);
    }
    return n;
}

TEST(the_specification_s_samples_are_transcoded_into_each_other)
{
    static const char *const folders[] = { "wamp/basic", "wamp/advanced" };
    unsigned n = 0;

    for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
        _free_ char *path = check_vectors(folders[i]);
        struct dirent *entry;
        if (!path)
            return;
        DIR *dir = opendir(path);
        if (!CHECK(dir))
            return;
        while ((entry = readdir(dir))) {
            if (entry->d_name[0] == '.')
                continue;
            _free_ char *name = file_path(path, entry->d_name);
            n += check_file(name);
        }
        closedir(dir);
    }
    CHECK(n >= 40);
}
