/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/json_text.h"

#include "base/text.h"

/* Looks for the end; what is escaped is looked at when it is read. */
static const char *find_end(struct view *text, bool *ret_is_escaped)
{
    const uint8_t *at = text->data, *end = at + text->len;
    const char *why = "cut short";
    uint64_t eight;

    *ret_is_escaped = false;
    while (at < end) {
        while (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (rpc_json_is_special(eight))
                break;
            at += 8;
        }
        while (at < end && *at >= ' ' && *at != '"' && *at != '\\')
            at++;
        if (at == end || *at != '\\') {
            why = at == end ? why : *at == '"' ? NULL : "a control character in text";
            break;
        }
        *ret_is_escaped = true;
        if (end - at < 2)
            break;
        at += 2;
    }
    *text = VIEW(at, (size_t)(end - at));
    return why;
}

const char *rpc_json_take_text(struct view *text, struct view *ret_raw, bool *ret_is_escaped)
{
    const uint8_t *start = text->data;
    const char *why = find_end(text, ret_is_escaped);

    if (why)
        return why;
    *ret_raw = VIEW(start, (size_t)(text->data - start));
    *text = view_sub(*text, 1, text->len);
    return text_is_utf8(*ret_raw) ? NULL : "text is not UTF-8";
}

static bool take_unit(struct view *raw, uint32_t *ret_unit)
{
    uint8_t bytes[2];

    if (!text_read_hex(view_sub(*raw, 0, 4), bytes, sizeof(bytes)))
        return false;
    *ret_unit = (uint32_t)bytes[0] << 8 | bytes[1];
    *raw = view_sub(*raw, 4, raw->len);
    return true;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (uint8_t)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (uint8_t)(0xe0 | c >> 12);
        } else {
            *out++ = (uint8_t)(0xf0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (uint8_t)(0x80 | (c & 0x3f));
    return out;
}

/* Behind "\u": one unit of UTF-16, or two that are one character. */
static const char *take_unicode(struct view *raw, uint8_t **out)
{
    uint32_t c, low;

    if (!take_unit(raw, &c))
        return "\\u without four hexadecimal digits";
    if (c >= 0xdc00 && c <= 0xdfff)
        return "a lone surrogate";
    if (c >= 0xd800 && c <= 0xdbff) {
        if (!view_starts(*raw, VIEW_LIT("\\u")))
            return "a lone surrogate";
        *raw = view_sub(*raw, 2, raw->len);
        if (!take_unit(raw, &low))
            return "\\u without four hexadecimal digits";
        if (low < 0xdc00 || low > 0xdfff)
            return "a lone surrogate";
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, c);
    return NULL;
}

/* Up to the next escape. Where there is one there are more: they are close. */
static size_t run_len(struct view raw)
{
    enum { CLOSE = 16 };
    const uint8_t *escape;
    size_t n = 0;

    while (n < raw.len && n < CLOSE && raw.data[n] != '\\')
        n++;
    if (n < CLOSE)
        return n;
    escape = memchr(raw.data + n, '\\', raw.len - n);
    return escape ? (size_t)(escape - raw.data) : raw.len;
}

const char *rpc_json_unescape(struct view raw, uint8_t *to, size_t *ret_len)
{
    static const uint8_t meant[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    uint8_t *out = to;

    while (raw.len) {
        size_t run = run_len(raw);
        memcpy(out, raw.data, run);
        out += run;
        raw = view_sub(raw, run, raw.len);
        if (!raw.len)
            break;
        uint8_t c = raw.data[1]; /* scan_text() saw to it that there is one */
        raw = view_sub(raw, 2, raw.len);
        if (c == 'u') {
            const char *why = take_unicode(&raw, &out);
            if (why)
                return why;
        } else if (c < 128 && meant[c]) {
            *out++ = meant[c];
        } else {
            return "an unknown escape";
        }
    }
    *ret_len = (size_t)(out - to);
    return NULL;
}
