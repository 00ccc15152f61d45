/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: `struct buf` owns them, `struct view` borrows them. Text from afar is always a view. */
#pragma once

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct view {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

struct buf {
    uint8_t *data;
    size_t len, cap;
};

#define VIEW(p, n)  ((struct view){ (const uint8_t *)(p), (n) })
#define VIEW_LIT(s) ((struct view){ (const uint8_t *)("" s), sizeof(s) - 1 })
#define VIEW_ARR(a) ((struct view){ (const uint8_t *)(a), sizeof(a) })
/* For printf: "%.*s", VIEW_FMT(view) */
#define VIEW_FMT(v)                                                                                \
    ((int)((v).len > 4096 ? 4096 : (v).len)), ((v).len ? (const char *)(v).data : "")

static inline struct view view_text(const char *text)
{
    return (struct view){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

static inline struct view buf_view(const struct buf *buf)
{
    return (struct view){ buf->data, buf->len };
}

bool view_eq(struct view a, struct view b);
bool view_eq_text(struct view a, const char *text);
bool view_eq_secret(struct view a, struct view b); /* constant time for equal lengths */
bool view_starts(struct view whole, struct view start);
/* `len` bytes from `from` on; shorter or empty when the view ends before. */
struct view view_sub(struct view whole, size_t from, size_t len);
char *view_dup_text(struct view text); /* NUL-terminated copy; the caller frees it */

void buf_free(struct buf *buf);  /* the bytes, not the struct: it is empty and usable afterwards */
void buf_wipe(struct buf *buf);  /* the same, wiping first */
void buf_clear(struct buf *buf); /* empty, capacity kept */
uint8_t *buf_grow_over(struct buf *buf, size_t len); /* buf_grow() when there is no room yet */

/* `len` more bytes, uninitialised, and where. */
static inline uint8_t *buf_grow(struct buf *buf, size_t len)
{
    if (len > buf->cap - buf->len || !buf->data)
        return buf_grow_over(buf, len);
    buf->len += len;
    return buf->data + (buf->len - len);
}

static inline void buf_put(struct buf *buf, struct view bytes)
{
    if (bytes.len)
        memcpy(buf_grow(buf, bytes.len), bytes.data, bytes.len);
}

void buf_put_text(struct buf *buf, const char *text);
void buf_put_u8(struct buf *buf, uint8_t n);
void buf_put_u16(struct buf *buf, uint16_t n); /* big-endian, as all of these */
void buf_put_u32(struct buf *buf, uint32_t n);
void buf_put_u64(struct buf *buf, uint64_t n);
void buf_printf(struct buf *buf, const char *fmt, ...) _printf_(2, 3);
void buf_drop_front(struct buf *buf, size_t len);
const char *buf_cstr(struct buf *buf); /* NUL-terminated, the NUL not counted in len */
struct buf buf_dup(struct view bytes);

#define _buf_      _cleanup_(buf_free) struct buf
#define _buf_wipe_ _cleanup_(buf_wipe) struct buf

/* Reads big-endian integers off the front of a view; false when too few bytes are left. */
bool view_take_u8(struct view *view, uint8_t *ret_n);
bool view_take_u16(struct view *view, uint16_t *ret_n);
bool view_take_u32(struct view *view, uint32_t *ret_n);
bool view_take_u64(struct view *view, uint64_t *ret_n);
bool view_take(struct view *view, size_t len, struct view *ret_bytes);
