/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

bool view_eq(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool view_eq_text(struct view a, const char *text)
{
    return view_eq(a, view_text(text));
}

bool view_eq_secret(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.data, b.data, a.len) == 0);
}

bool view_starts(struct view whole, struct view start)
{
    return whole.len >= start.len && view_eq(view_sub(whole, 0, start.len), start);
}

struct view view_sub(struct view whole, size_t from, size_t len)
{
    if (from >= whole.len)
        return (struct view){ 0 };
    if (len > whole.len - from)
        len = whole.len - from;
    return (struct view){ whole.data + from, len };
}

char *view_dup_text(struct view text)
{
    char *copy = mem_zero(text.len + 1, 1);

    if (text.len)
        memcpy(copy, text.data, text.len);
    return copy;
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){ 0 };
}

void buf_wipe(struct buf *buf)
{
    mem_wipe(buf->data, buf->cap);
    buf_free(buf);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

/* From here on a buffer grows by an eighth: what somebody sends must not take twice as much. */
enum { LARGE = 512 * 1024 };

uint8_t *buf_grow_over(struct buf *buf, size_t len)
{
    size_t need = buf->len + len;

    if (need < len)
        abort();
    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 64;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap + (cap < LARGE ? cap : cap / 8);
        buf->data = mem_resize(buf->data, cap, 1);
        buf->cap = cap;
    }
    buf->len = need;
    return buf->data + (need - len);
}

void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, view_text(text));
}

static void put_be(struct buf *buf, uint64_t n, size_t width)
{
    uint8_t *to = buf_grow(buf, width);

    for (size_t i = 0; i < width; i++)
        to[i] = (uint8_t)(n >> (8 * (width - 1 - i)));
}

void buf_put_u8(struct buf *buf, uint8_t n)
{
    *buf_grow(buf, 1) = n;
}

void buf_put_u16(struct buf *buf, uint16_t n)
{
    put_be(buf, n, 2);
}

void buf_put_u32(struct buf *buf, uint32_t n)
{
    put_be(buf, n, 4);
}

void buf_put_u64(struct buf *buf, uint64_t n)
{
    put_be(buf, n, 8);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    _free_ char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    buf_put_text(buf, text);
}

void buf_drop_front(struct buf *buf, size_t len)
{
    if (len > buf->len)
        len = buf->len;
    if (len && buf->len > len)
        memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
}

const char *buf_cstr(struct buf *buf)
{
    *buf_grow(buf, 1) = '\0';
    buf->len--;
    return (const char *)buf->data;
}

struct buf buf_dup(struct view bytes)
{
    struct buf copy = { 0 };

    buf_put(&copy, bytes);
    return copy;
}

bool view_take(struct view *view, size_t len, struct view *ret_bytes)
{
    if (view->len < len)
        return false;
    *ret_bytes = VIEW(view->data, len);
    *view = VIEW(view->data + len, view->len - len);
    return true;
}

static bool take_be(struct view *view, size_t width, uint64_t *ret_n)
{
    struct view bytes;
    uint64_t n = 0;

    if (!view_take(view, width, &bytes))
        return false;
    for (size_t i = 0; i < width; i++)
        n = n << 8 | bytes.data[i];
    *ret_n = n;
    return true;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses */
#define TAKE(bits)                                                                                 \
    bool view_take_u##bits(struct view *view, uint##bits##_t *ret_n)                               \
    {                                                                                              \
        uint64_t n;                                                                                \
                                                                                                   \
        if (!take_be(view, bits / 8, &n))                                                          \
            return false;                                                                          \
        *ret_n = (uint##bits##_t)n;                                                                \
        return true;                                                                               \
    }
TAKE(8)
TAKE(16)
TAKE(32)
TAKE(64)
/* NOLINTEND(bugprone-macro-parentheses) */
