/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to msgpack in one pass. A head that holds a count or a length is written when it is known:
 * the bytes behind it move by a few. */
#include "rpc/json.h"

#include "base/base64.h"
#include "base/text.h"
#include "rpc/json_number.h"
#include "rpc/json_text.h"

struct reader {
    const uint8_t *at, *end;
    struct buf *to;
    struct level {
        size_t head; /* where its head stands in `to`, one byte for now */
        uint32_t n;  /* items begun; a pair is one */
        bool is_map;
    } level[RPC_MAX_DEPTH];
    unsigned depth;
    const char *why; /* what is wrong, once something is */
};

static bool fail(struct reader *r, const char *why)
{
    r->why = why;
    return false;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* ---- heads ----------------------------------------------------------------------------------- */

/* The forms of one kind: the short one with its number inside, if there is one, then one, two and
 * four bytes of number; 0: there is no such form. */
struct heads {
    uint8_t fix, max_fix, one, two, four;
};
static const struct heads text_heads = { 0xa0, 31, 0xd9, 0xda, 0xdb };
static const struct heads bin_heads = { 0, 0, 0xc4, 0xc5, 0xc6 };
static const struct heads array_heads = { 0x90, 15, 0, 0xdc, 0xdd };
static const struct heads map_heads = { 0x80, 15, 0, 0xde, 0xdf };

enum { MAX_HEAD = 5 };

static size_t make_head(const struct heads *heads, size_t n, uint8_t head[MAX_HEAD])
{
    if (heads->fix && n <= heads->max_fix) {
        head[0] = (uint8_t)(heads->fix | n);
        return 1;
    }
    if (heads->one && n <= UINT8_MAX) {
        head[0] = heads->one;
        head[1] = (uint8_t)n;
        return 2;
    }
    if (n <= UINT16_MAX) {
        head[0] = heads->two;
        head[1] = (uint8_t)(n >> 8);
        head[2] = (uint8_t)n;
        return 3;
    }
    head[0] = heads->four;
    for (int i = 0; i < 4; i++)
        head[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    return 5;
}

/* ---- text and binary ------------------------------------------------------------------------- */

/* U+0000 and base64 is binary; U+0000 twice and base64 is a text that begins with U+0000. Decodes
 * in place. */
static const char *unmark(uint8_t *text, size_t *len, const struct heads **heads)
{
    bool is_text = *len > 1 && text[1] == 0;
    size_t n_marks = is_text ? 2 : 1;

    if (!base64_read(VIEW(text + n_marks, *len - n_marks), text, len))
        return "text after U+0000 is not base64";
    if (!is_text)
        *heads = &bin_heads;
    else if (*len == 0 || text[0] != 0 || !text_is_utf8(VIEW(text, *len)))
        return "text after U+0000 U+0000 is not base64 of such a text";
    return NULL;
}

static bool put_escaped(struct reader *r, struct view raw, bool is_key)
{
    const struct heads *heads = &text_heads;
    size_t at = r->to->len, len = 0, n_head;
    uint8_t *start = buf_grow(r->to, MAX_HEAD + raw.len), *text = start + MAX_HEAD;
    uint8_t head[MAX_HEAD];

    r->why = rpc_json_unescape(raw, text, &len);
    if (!r->why && !is_key && len && text[0] == 0)
        r->why = unmark(text, &len, &heads);
    if (r->why)
        return false;
    n_head = make_head(heads, len, head);
    memcpy(start, head, n_head);
    memmove(start + n_head, text, len);
    r->to->len = at + n_head + len;
    return !is_key || !view_eq_text(VIEW(start + n_head, len), "__proto__") ||
           fail(r, "a key is __proto__");
}

/* Behind the opening quote. */
static bool put_text(struct reader *r, bool is_key)
{
    struct view rest = VIEW(r->at, (size_t)(r->end - r->at)), raw;
    uint8_t head[MAX_HEAD], *to;
    bool is_escaped;
    size_t n_head;

    r->why = rpc_json_take_text(&rest, &raw, &is_escaped);
    r->at = rest.len ? rest.data : r->end;
    if (r->why)
        return false;
    if (is_escaped)
        return put_escaped(r, raw, is_key);
    if (is_key && view_eq_text(raw, "__proto__"))
        return fail(r, "a key is __proto__");
    n_head = make_head(&text_heads, raw.len, head);
    to = buf_grow(r->to, n_head + raw.len);
    memcpy(to, head, n_head);
    if (raw.len)
        memcpy(to + n_head, raw.data, raw.len);
    return true;
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static bool is_digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static bool skip_digits(struct reader *r)
{
    if (!is_digit(r))
        return fail(r, r->at == r->end ? "cut short" : "not a digit in a number");
    while (is_digit(r))
        r->at++;
    return true;
}

/* A number's grammar (RFC 8259, section 6). */
static bool scan_number(struct reader *r, bool *ret_is_integer)
{
    if (*r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0') {
        r->at++;
        if (is_digit(r))
            return fail(r, "a number with a leading zero");
    } else if (!skip_digits(r)) {
        return false;
    }
    *ret_is_integer = true;
    if (r->at < r->end && *r->at == '.') {
        *ret_is_integer = false;
        r->at++;
        if (!skip_digits(r))
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        *ret_is_integer = false;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        return skip_digits(r);
    }
    return true;
}

/* False: it is not an integer of 64 bits. "-0" is none: only a float64 has it. */
static bool put_integer(struct reader *r, struct view text)
{
    bool is_negative = text.data[0] == '-';
    uint64_t n;

    if (!text_read_u64(view_sub(text, is_negative, text.len), &n))
        return false;
    if (!is_negative)
        rpc_put_u64(r->to, n);
    else if (n != 0 && n <= (uint64_t)INT64_MAX + 1)
        rpc_put_i64(r->to, (int64_t)(0 - n));
    else
        return false;
    return true;
}

static bool put_number(struct reader *r)
{
    const uint8_t *start = r->at;
    bool is_integer;
    double number;
    struct view text;

    if (!scan_number(r, &is_integer))
        return false;
    text = VIEW(start, (size_t)(r->at - start));
    if (is_integer && put_integer(r, text))
        return true;
    r->why = rpc_json_read_double(text, &number);
    if (r->why)
        return false;
    rpc_put_double(r->to, number);
    return true;
}

static bool put_word(struct reader *r, struct view word, uint8_t byte)
{
    if (!view_starts(VIEW(r->at, (size_t)(r->end - r->at)), word))
        return fail(r, "not a value");
    r->at += word.len;
    buf_put_u8(r->to, byte);
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool open_level(struct reader *r, bool is_map)
{
    if (r->depth == RPC_MAX_DEPTH)
        return fail(r, "nested too deep");
    r->at++;
    r->level[r->depth++] = (struct level){ r->to->len, 0, is_map };
    buf_put_u8(r->to, 0);
    return true;
}

static void close_level(struct reader *r)
{
    const struct level *level = &r->level[--r->depth];
    uint8_t head[MAX_HEAD], *at;
    size_t n_head = make_head(level->is_map ? &map_heads : &array_heads, level->n, head);
    size_t len = r->to->len - level->head - 1;

    if (n_head > 1)
        buf_grow(r->to, n_head - 1);
    at = r->to->data + level->head;
    if (n_head > 1)
        memmove(at + n_head, at + 1, len);
    memcpy(at, head, n_head);
}

/* A whole value, or the beginning of an array or object. */
static bool put_value(struct reader *r)
{
    skip_space(r);
    if (r->at == r->end)
        return fail(r, "cut short");
    switch (*r->at) {
    case '{':
    case '[':
        return open_level(r, *r->at == '{');
    case '"':
        r->at++;
        return put_text(r, false);
    case 't':
        return put_word(r, VIEW_LIT("true"), 0xc3);
    case 'f':
        return put_word(r, VIEW_LIT("false"), 0xc2);
    case 'n':
        return put_word(r, VIEW_LIT("null"), 0xc0);
    case '-':
    case '0' ... '9':
        return put_number(r);
    default:
        return fail(r, "not a value");
    }
}

static bool put_key(struct reader *r)
{
    skip_space(r);
    if (r->at == r->end)
        return fail(r, "cut short");
    if (*r->at != '"')
        return fail(r, "a key is not text");
    r->at++;
    if (!put_text(r, true))
        return false;
    skip_space(r);
    if (r->at == r->end)
        return fail(r, "cut short");
    if (*r->at != ':')
        return fail(r, "no ':' after a key");
    r->at++;
    return true;
}

/* Whether another value follows: closes what ends here, and takes what stands before it. */
static bool is_more(struct reader *r)
{
    while (r->depth) {
        struct level *in = &r->level[r->depth - 1];
        skip_space(r);
        if (r->at == r->end)
            return fail(r, "cut short");
        if (*r->at == (in->is_map ? '}' : ']')) {
            r->at++;
            close_level(r);
            continue;
        }
        if (in->n++ > 0) {
            if (*r->at != ',')
                return fail(r, in->is_map ? "neither ',' nor '}'" : "neither ',' nor ']'");
            r->at++;
        }
        return !in->is_map || put_key(r);
    }
    return false;
}

bool rpc_json_to_msgpack(struct view text, size_t max, struct buf *to, struct err *err)
{
    struct reader r = { .at = text.data, .end = text.data + text.len, .to = to };
    size_t before = to->len;
    bool is_too_large = false;

    while (put_value(&r) && !is_too_large && is_more(&r))
        is_too_large = to->len - before > max;
    is_too_large = is_too_large || to->len - before > max;
    if (!r.why)
        skip_space(&r);
    if (!r.why && !is_too_large && r.at == r.end)
        return true;
    to->len = before;
    if (is_too_large && !r.why)
        return err_set(err, ERR_TOO_LARGE, "more than %zu bytes as msgpack", max);
    return err_set(err, ERR_BAD_WIRE, "byte %zu: %s", (size_t)(r.at - text.data),
                   r.why ? r.why : "more than one value");
}
