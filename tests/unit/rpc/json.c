/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/json.h"
#include "base/text.h"
#include "rpc/value.h"

#include <stdio.h>

static bool put_value(struct view *in, struct buf *to, int depth);

static void skip_space(struct view *in)
{
    while (in->len && strchr(" \t\r\n", in->data[0]) && in->data[0])
        *in = view_sub(*in, 1, in->len);
}

static bool take(struct view *in, const char *word)
{
    struct view start = view_text(word);

    skip_space(in);
    if (!view_starts(*in, start))
        return false;
    *in = view_sub(*in, start.len, in->len);
    return true;
}

static void put_utf8(struct buf *to, uint32_t c)
{
    if (c < 0x80) {
        buf_put_u8(to, (uint8_t)c);
    } else if (c < 0x800) {
        buf_put_u8(to, (uint8_t)(0xc0 | c >> 6));
        buf_put_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_put_u8(to, (uint8_t)(0xe0 | c >> 12));
        buf_put_u8(to, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_put_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        buf_put_u8(to, (uint8_t)(0xf0 | c >> 18));
        buf_put_u8(to, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buf_put_u8(to, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_put_u8(to, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

static bool take_u16(struct view *in, uint32_t *ret_c)
{
    uint8_t bytes[2];

    if (!text_read_hex(view_sub(*in, 0, 4), bytes, 2))
        return false;
    *in = view_sub(*in, 4, in->len);
    *ret_c = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

static bool take_unicode(struct view *in, struct buf *to)
{
    uint32_t c, low;

    if (!take_u16(in, &c))
        return false;
    if (c >= 0xd800 && c < 0xdc00) {
        if (!take(in, "\\u") || !take_u16(in, &low))
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(to, c);
    return true;
}

/* After the opening quote. */
static bool take_string(struct view *in, struct buf *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";

    while (in->len) {
        uint8_t c = in->data[0];
        *in = view_sub(*in, 1, in->len);
        if (c == '"')
            return true;
        if (c != '\\') {
            buf_put_u8(to, c);
            continue;
        }
        c = in->len ? in->data[0] : 0;
        *in = view_sub(*in, 1, in->len);
        if (c == 'u') {
            if (!take_unicode(in, to))
                return false;
        } else if (c && strchr(from, c)) {
            buf_put_u8(to, (uint8_t)into[strchr(from, c) - from]);
        } else {
            return false;
        }
    }
    return false;
}

static bool put_number(struct view *in, struct buf *to)
{
    size_t len = 0;
    uint64_t n, bits;
    double number;

    while (len < in->len && strchr("+-.0123456789eE", in->data[len]) && in->data[len])
        len++;
    _free_ char *text = view_dup_text(view_sub(*in, 0, len));
    *in = view_sub(*in, len, in->len);
    if (len == 0)
        return false;
    if (text_read_u64(view_text(text), &n)) {
        rpc_put_u64(to, n);
    } else if (text[0] == '-' && text_read_u64(view_text(text + 1), &n)) {
        buf_put_u8(to, 0xd3);
        buf_put_u64(to, (uint64_t)0 - n);
    } else {
        number = strtod(text, NULL);
        memcpy(&bits, &number, sizeof(bits));
        buf_put_u8(to, 0xcb);
        buf_put_u64(to, bits);
    }
    return true;
}

static bool put_binary(struct view *in, struct buf *to)
{
    size_t len = 0;

    while (len < in->len && in->data[len] != '\'')
        len++;
    _buf_ bytes = { 0 };
    if (!text_read_hex(view_sub(*in, 0, len), buf_grow(&bytes, len / 2 + 1), len / 2))
        return false;
    rpc_put_bin(to, VIEW(bytes.data, len / 2));
    *in = view_sub(*in, len, in->len);
    return take(in, "'");
}

/* After '[' or '{'. */
static bool put_items(struct view *in, struct buf *to, bool is_map, int depth)
{
    const char *end = is_map ? "}" : "]";
    _buf_ items = { 0 };
    uint32_t n = 0;

    while (!take(in, end)) {
        if (n && !take(in, ","))
            return false;
        if (!put_value(in, &items, depth + 1))
            return false;
        if (is_map && (!take(in, ":") || !put_value(in, &items, depth + 1)))
            return false;
        n++;
    }
    if (is_map)
        rpc_put_map(to, n);
    else
        rpc_put_array(to, n);
    buf_put(to, buf_view(&items));
    return true;
}

static bool put_value(struct view *in, struct buf *to, int depth)
{
    if (depth > 200)
        return false;
    if (take(in, "[") || take(in, "{"))
        return put_items(in, to, in->data[-1] == '{', depth);
    if (take(in, "\"")) {
        _buf_ text = { 0 };
        bool ok = take_string(in, &text);
        rpc_put_text(to, buf_view(&text));
        return ok;
    }
    if (take(in, "h'"))
        return put_binary(in, to);
    if (take(in, "null"))
        return rpc_put_nil(to), true;
    if (take(in, "true"))
        return rpc_put_bool(to, true), true;
    if (take(in, "false"))
        return rpc_put_bool(to, false), true;
    return put_number(in, to);
}

bool json_to_msgpack(struct view text, struct buf *to)
{
    if (!put_value(&text, to, 0))
        return false;
    skip_space(&text);
    return text.len == 0;
}

struct buf json_must(const char *text)
{
    struct buf to = { 0 };

    if (!json_to_msgpack(view_text(text), &to)) {
        fprintf(stderr, "not JSON: %s\n", text);
        abort();
    }
    return to;
}
