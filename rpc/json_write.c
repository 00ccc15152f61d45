/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack to JSON in one pass over the heads. */
#include "rpc/json.h"

#include "base/base64.h"
#include "base/text.h"
#include "rpc/json_number.h"
#include "rpc/json_text.h"
#include "rpc/token.h"

#include <math.h>

struct writer {
    struct view rest;
    struct buf *to;
    struct level {
        uint64_t n_left; /* values; a pair of a map is two */
        bool is_map, has_begun;
    } level[RPC_MAX_DEPTH];
    unsigned depth;
};

/* ---- text and binary ------------------------------------------------------------------------- */

/* What stands after the backslash; 'u' for the six-character form, 0: no escape. */
static const uint8_t escapes[256] = {
    [0] = 'u',  [1] = 'u',  [2] = 'u',  [3] = 'u',  [4] = 'u',   [5] = 'u',     [6] = 'u',
    [7] = 'u',  [8] = 'b',  [9] = 't',  [10] = 'n', [11] = 'u',  [12] = 'f',    [13] = 'r',
    [14] = 'u', [15] = 'u', [16] = 'u', [17] = 'u', [18] = 'u',  [19] = 'u',    [20] = 'u',
    [21] = 'u', [22] = 'u', [23] = 'u', [24] = 'u', [25] = 'u',  [26] = 'u',    [27] = 'u',
    [28] = 'u', [29] = 'u', [30] = 'u', [31] = 'u', ['"'] = '"', ['\\'] = '\\',
};

static uint8_t *put_escape(uint8_t *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = '\\';
    *out++ = escapes[c];
    if (escapes[c] == 'u') {
        *out++ = '0';
        *out++ = '0';
        *out++ = (uint8_t)digits[c >> 4];
        *out++ = (uint8_t)digits[c & 15];
    }
    return out;
}

enum { CHUNK = 1024, ESCAPED = 6 }; /* what one byte can come to */

static uint8_t *put_chunk(uint8_t *out, struct view text)
{
    const uint8_t *at = text.data, *end = at + text.len;
    uint64_t eight;

    while (at < end) {
        while (end - at >= 8) { /* most text needs no escape: eight at a time */
            memcpy(&eight, at, 8);
            if (rpc_json_is_special(eight))
                break;
            memcpy(out, &eight, 8);
            at += 8;
            out += 8;
        }
        for (int n = 8; n && at < end; n--, at++) {
            if (escapes[*at])
                out = put_escape(out, *at);
            else
                *out++ = *at;
        }
    }
    return out;
}

static void put_quoted(struct buf *to, struct view text)
{
    buf_put_u8(to, '"');
    while (text.len) {
        struct view chunk = view_sub(text, 0, CHUNK);
        uint8_t *start = buf_grow(to, ESCAPED * chunk.len);
        size_t len = (size_t)(put_chunk(start, chunk) - start);
        to->len -= ESCAPED * chunk.len - len;
        text = view_sub(text, chunk.len, text.len);
    }
    buf_put_u8(to, '"');
}

static void put_marked(struct buf *to, const char *marks, struct view bytes)
{
    buf_put_u8(to, '"');
    buf_put_text(to, marks);
    base64_put(to, bytes);
    buf_put_u8(to, '"');
}

static const char *put_bytes(struct writer *w, const struct rpc_token *token, bool is_key)
{
    struct view bytes;

    if (!view_take(&w->rest, (size_t)token->n, &bytes))
        return "cut short";
    if (token->kind == RPC_BIN) {
        put_marked(w->to, "\\u0000", bytes);
        return NULL;
    }
    if (!text_is_utf8(bytes))
        return "text is not UTF-8";
    if (is_key && view_eq_text(bytes, "__proto__"))
        return "a map key is __proto__";
    if (!is_key && bytes.len && bytes.data[0] == 0) /* or it would be read as binary */
        put_marked(w->to, "\\u0000\\u0000", bytes);
    else
        put_quoted(w->to, bytes);
    return NULL;
}

/* ---- scalars --------------------------------------------------------------------------------- */

static void put_digits(struct buf *to, uint64_t n)
{
    char text[20];
    size_t at = sizeof(text);

    do
        text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_put(to, VIEW(text + at, sizeof(text) - at));
}

static void put_integer(struct buf *to, struct view head, const struct rpc_token *token)
{
    uint64_t n = token->n;

    if (!token->is_negative) {
        put_digits(to, n);
        return;
    }
    if (token->head == 1)
        n = 256u - head.data[0];
    else /* as it would be in 64 bits, and then its amount */
        n = (UINT64_MAX >> (64 - 8 * (token->head - 1))) - n + 1;
    buf_put_u8(to, '-');
    put_digits(to, n);
}

static const char *put_float(struct buf *to, const struct rpc_token *token)
{
    double number;
    float narrow;
    uint32_t bits = (uint32_t)token->n;

    if (token->is_double) {
        memcpy(&number, &token->n, sizeof(number));
    } else {
        memcpy(&narrow, &bits, sizeof(narrow));
        number = (double)narrow;
    }
    if (!isfinite(number))
        return "JSON has no NaN and no infinity";
    rpc_json_put_double(to, number);
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static const char *open_level(struct writer *w, const struct rpc_token *token)
{
    bool is_map = token->kind == RPC_MAP;
    uint64_t n = is_map ? 2 * token->n : token->n;

    if (w->depth == RPC_MAX_DEPTH)
        return "nested too deep";
    if (n > w->rest.len) /* a value has at least one byte */
        return "cut short";
    w->level[w->depth++] = (struct level){ n, is_map, false };
    buf_put_u8(w->to, is_map ? '{' : '[');
    return NULL;
}

static void close_levels(struct writer *w)
{
    while (w->depth && w->level[w->depth - 1].n_left == 0)
        buf_put_u8(w->to, w->level[--w->depth].is_map ? '}' : ']');
}

static void put_separator(struct writer *w, struct level *in)
{
    if (in->is_map && in->n_left % 2)
        buf_put_u8(w->to, ':');
    else if (in->has_begun)
        buf_put_u8(w->to, ',');
    in->has_begun = true;
}

/* One head, and for text and binary its bytes. Returns what is wrong, or NULL. */
static const char *put_value(struct writer *w)
{
    struct level *in = w->depth ? &w->level[w->depth - 1] : NULL;
    bool is_key = in && in->is_map && in->n_left % 2 == 0;
    struct rpc_token token;
    struct view head;

    if (!rpc_token_read(w->rest, &token))
        return "cut short";
    if (is_key && token.kind != RPC_TEXT)
        return "a map key is not text";
    view_take(&w->rest, token.head, &head);
    if (in) {
        put_separator(w, in);
        in->n_left--;
    }
    switch (token.kind) {
    case RPC_NIL:
        if (token.head > 1) /* a form of it that a reader may know: not to be passed on */
            return "an ext or reserved type";
        buf_put_text(w->to, "null");
        return NULL;
    case RPC_BOOL:
        buf_put_text(w->to, token.n ? "true" : "false");
        return NULL;
    case RPC_INT:
        put_integer(w->to, head, &token);
        return NULL;
    case RPC_FLOAT:
        return put_float(w->to, &token);
    case RPC_TEXT:
    case RPC_BIN:
        return put_bytes(w, &token, is_key);
    case RPC_ARRAY:
    case RPC_MAP:
        return open_level(w, &token);
    default:
        return "an ext or reserved type";
    }
}

bool rpc_json_from_msgpack(struct view value, size_t max, struct buf *to, struct err *err)
{
    struct writer w = { .rest = value, .to = to };
    size_t before = to->len, at = 0;
    const char *why = NULL;

    do {
        at = value.len - w.rest.len;
        why = put_value(&w);
        close_levels(&w);
    } while (!why && w.depth && to->len - before <= max);
    if (!why && w.depth == 0 && w.rest.len) {
        at = value.len - w.rest.len;
        why = "more than one value";
    }
    if (!why && to->len - before <= max)
        return true;
    to->len = before;
    if (!why)
        return err_set(err, ERR_TOO_LARGE, "more than %zu bytes as JSON", max);
    return err_set(err, ERR_BAD_WIRE, "byte %zu: %s", at, why);
}
