/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "rpc/message.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

static struct buf from_hex(const char *hex)
{
    struct buf bytes = { 0 };
    size_t n = strlen(hex) / 2;

    if (n && !text_read_hex(view_text(hex), buf_grow(&bytes, n), n))
        abort();
    return bytes;
}

TEST(walk_refuses_what_is_not_bounded_and_well_formed)
{
    static const struct {
        const char *hex, *why;
    } cases[] = {
        { "", "byte 0: cut short" },
        { "c1", "byte 0: an ext or reserved type" },
        { "d40000", "byte 0: an ext or reserved type" }, /* what msgpackr makes of undefined */
        { "91d40000", "byte 1: an ext or reserved type" },
        { "9281a161d40100c0", "byte 4: an ext or reserved type" },       /* another ext */
        { "9281a161c081a161d40000", "byte 8: an ext or reserved type" }, /* in keywords */
        { "9281a16191d4000090", "byte 5: an ext or reserved type" },     /* deeper */
        { "c70100ff", "byte 0: an ext or reserved type" },
        { "d6ff00000000", "byte 0: an ext or reserved type" }, /* a timestamp */
        { "a3c3a9c3", "byte 0: text is not UTF-8" },
        { "a1ff", "byte 0: text is not UTF-8" },
        { "8101c0", "byte 1: a map key is not text" },
        { "81c401ffc0", "byte 1: a map key is not text" },
        { "8180c0", "byte 1: a map key is not text" },
        { "81a95f5f70726f746f5f5fc0", "byte 1: a map key is __proto__" },
        { "9181a95f5f70726f746f5f5fc0", "byte 2: a map key is __proto__" },
        { "92c0", "byte 0: cut short" },
        { "9281a161c0", "byte 5: cut short" },
        { "ddffffffff", "byte 0: cut short" }, /* an array of 2^32 - 1 in five bytes */
        { "dfffffffff", "byte 0: cut short" },
        { "c6ffffffff00", "byte 0: cut short" },
        { "dbffffffff41", "byte 0: cut short" },
        { "cd01", "byte 0: cut short" },
        { "cb00000000000000", "byte 0: cut short" },
    };
    struct err err;
    size_t len;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = from_hex(cases[i].hex);
        CHECK_ERR(rpc_walk(buf_view(&bytes), &len, &err), err, ERR_BAD_WIRE);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(walk_takes_every_form_and_leaves_what_follows)
{
    static const struct {
        const char *hex;
        size_t len;
    } cases[] = {
        { "c0", 1 },
        { "c2ff", 1 },
        { "7f", 1 },
        { "e0", 1 },
        { "ccffaa", 2 },
        { "cf0000000000000001", 9 },
        { "d3ffffffffffffffff", 9 },
        { "ca00000000", 5 },
        { "c403010203", 5 },
        { "c50001ff", 4 },
        { "c600000001ff", 6 },
        { "d90141", 3 },
        { "da000141", 4 },
        { "db0000000141", 6 },
        { "dc0001c0", 4 },
        { "dd00000001c0", 6 },
        { "de0001a161c0", 6 },
        { "df00000001a161c0", 8 },
        { "9390809180", 5 },
        { "a95f5f70726f746f5f5f", 10 },
        { "de0000", 3 },
        { "81a16193010203c0", 7 },
    };
    struct err err;
    size_t len;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = from_hex(cases[i].hex);
        CHECK_OK(rpc_walk(buf_view(&bytes), &len, &err), err);
        CHECK_U64(len, cases[i].len);
    }
}

/* `n` arrays (or maps) in one another, the innermost empty. */
static struct buf nested(size_t n, bool is_map)
{
    struct buf bytes = { 0 };

    for (size_t i = 1; i < n; i++) {
        if (is_map) {
            rpc_put_map(&bytes, 1);
            rpc_put_str(&bytes, "k");
        } else {
            rpc_put_array(&bytes, 1);
        }
    }
    rpc_put_array(&bytes, 0);
    return bytes;
}

TEST(walk_goes_32_deep_and_no_deeper)
{
    struct err err;
    size_t len;

    for (int is_map = 0; is_map < 2; is_map++) {
        _buf_ fits = nested(RPC_MAX_DEPTH, is_map);
        _buf_ deeper = nested(RPC_MAX_DEPTH + 1, is_map);
        _buf_ abyss = nested(20000, is_map);
        CHECK_OK(rpc_walk(buf_view(&fits), &len, &err), err);
        CHECK_U64(len, fits.len);
        CHECK_ERR(rpc_walk(buf_view(&deeper), &len, &err), err, ERR_BAD_WIRE);
        CHECK(strstr(err.text, "nested too deep"));
        CHECK_ERR(rpc_walk(buf_view(&abyss), &len, &err), err, ERR_BAD_WIRE);
    }
}

TEST(walk_refuses_every_strict_prefix)
{
    _buf_ bytes = json_must(
        "[1, [true, null, 1.5, \"text\", h'0102'], {\"a\": {\"b\": [-5, 70000, 5000000000]}}]");
    struct err err;
    size_t len;

    CHECK_OK(rpc_walk(buf_view(&bytes), &len, &err), err);
    CHECK_U64(len, bytes.len);
    for (size_t n = 0; n < bytes.len; n++) {
        _buf_ prefix = buf_dup(
            view_sub(buf_view(&bytes), 0, n)); /* of its own, so that a sanitizer sees its end */
        CHECK_ERR(rpc_walk(buf_view(&prefix), &len, &err), err, ERR_BAD_WIRE);
    }
}

TEST(integers_come_in_every_form)
{
    static const struct {
        const char *hex;
        bool ok;
        uint64_t n;
    } cases[] = {
        { "00", true, 0 },
        { "7f", true, 127 },
        { "ccff", true, 255 },
        { "cdffff", true, 65535 },
        { "ceffffffff", true, 4294967295u },
        { "cf0020000000000000", true, (uint64_t)1 << 53 },
        { "cfffffffffffffffff", true, UINT64_MAX },
        { "d07f", true, 127 },
        { "d30020000000000000", true, (uint64_t)1 << 53 }, /* BigInt of msgpackr */
        { "cb4340000000000000", true, (uint64_t)1 << 53 }, /* 2^53 as msgpack5 writes it */
        { "cb41f0000000000000", true, (uint64_t)1 << 32 }, /* 2^32 as msgpackr does */
        { "cb0000000000000000", true, 0 },
        { "cb4340000000000001", false, 0 }, /* over 2^53 */
        { "cb3ff8000000000000", false, 0 }, /* 1.5 */
        { "cbbff0000000000000", false, 0 }, /* -1.0 */
        { "cb7ff8000000000000", false, 0 }, /* not a number */
        { "cb7ff0000000000000", false, 0 }, /* infinity */
        { "ff", false, 0 },
        { "d0ff", false, 0 },
        { "d3ffffffffffffffff", false, 0 },
        { "c0", false, 0 },
        { "a131", false, 0 },
        { "", false, 0 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = from_hex(cases[i].hex);
        uint64_t n = 0;
        if (rpc_value_u64(buf_view(&bytes), &n) != cases[i].ok)
            check_failed(__FILE__, __LINE__, "case %s", cases[i].hex);
        CHECK_U64(n, cases[i].n);
    }
}

/* wampy has it in the options of SUBSCRIBE: nil is what it means, and nobody else gets to see it. */
TEST(undefined_in_options_is_nil)
{
    uint8_t frame[] = { 0x94, 0x20, 0x01, 0x82, 0xa5, 'm',  'a',  't',  'c', 'h', 0xd4,
                        0x00, 0x00, 0xa1, 'x',  0xd4, 0x00, 0x00, 0xa3, 'a', '.', 'b' };
    struct view value;
    struct rpc_msg msg;
    struct err err;

    CHECK_OK(rpc_msg_read(VIEW_ARR(frame), &msg, &err), err);
    CHECK(msg.type == RPC_SUBSCRIBE);
    CHECK_VIEW(msg.subscribe.uri, VIEW_LIT("a.b"));
    CHECK(msg.subscribe.match.len == 0);
    CHECK(!rpc_map_get(VIEW(frame + 3, 15), "x", &value));
}
