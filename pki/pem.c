/* SPDX-License-Identifier: Apache-2.0 */
/* PEM (RFC 7468): base64 between two lines. Keys pass through here, so a result grows once and no
 * copy of it is left behind. */
#include "pki/pki.h"

#include <stdio.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { LINE = 64, LABEL_MAX = 40 };

/* 1 to 3 bytes as 4 characters. */
static void put_group(const uint8_t *from, size_t n, uint8_t to[4])
{
    uint32_t bits = (uint32_t)from[0] << 16 | (n > 1 ? (uint32_t)from[1] << 8 : 0) |
                    (n > 2 ? (uint32_t)from[2] : 0);

    to[0] = (uint8_t)digits[bits >> 18];
    to[1] = (uint8_t)digits[bits >> 12 & 63];
    to[2] = (uint8_t)(n > 1 ? digits[bits >> 6 & 63] : '=');
    to[3] = (uint8_t)(n > 2 ? digits[bits & 63] : '=');
}

void pki_pem_put(struct buf *to, const char *label, struct view der)
{
    size_t n_text = (der.len + 2) / 3 * 4, n_lines = (n_text + LINE - 1) / LINE;
    char head[LABEL_MAX + 24], foot[LABEL_MAX + 24];
    int n_head = snprintf(head, sizeof(head), "-----BEGIN %.*s-----\n", LABEL_MAX, label);
    int n_foot = snprintf(foot, sizeof(foot), "-----END %.*s-----\n", LABEL_MAX, label);
    uint8_t *at = buf_grow(to, n_text + n_lines + (size_t)n_head + (size_t)n_foot);

    memcpy(at, head, (size_t)n_head);
    at += n_head;
    for (size_t i = 0, column = 0; i < der.len; i += 3) {
        put_group(der.data + i, der.len - i < 3 ? der.len - i : 3, at);
        at += 4;
        column += 4;
        if (column == LINE || i + 3 >= der.len) {
            *at++ = '\n';
            column = 0;
        }
    }
    memcpy(at, foot, (size_t)n_foot);
}

static bool is_space(uint8_t c)
{
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

static int digit_of(uint8_t c)
{
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* 4 characters, the last `n_pads` of them padding, as 3 - n_pads bytes; unused bits are zero. */
static bool read_group(const uint8_t *from, size_t n_pads, struct buf *to)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = i < 4 - n_pads ? digit_of(from[i]) : 0;
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
    }
    for (size_t i = 0; i < 3 - n_pads; i++)
        buf_put_u8(to, (uint8_t)(bits >> (16 - 8 * i)));
    return (bits & ((1u << 8 * n_pads) - 1)) == 0;
}

/* Strict but for white space: whole groups, padding only at the end. */
static bool read_base64(struct view text, struct buf *to)
{
    _buf_wipe_ packed = { 0 };
    uint8_t *at = buf_grow(&packed, text.len);
    size_t n_pads = 0;

    for (size_t i = 0; i < text.len; i++)
        if (!is_space(text.data[i]))
            *at++ = text.data[i];
    packed.len -= text.len - (size_t)(at - packed.data);
    if (packed.len == 0 || packed.len % 4 != 0)
        return false;
    while (n_pads < 2 && packed.data[packed.len - 1 - n_pads] == '=')
        n_pads++;
    buf_grow(to, packed.len / 4 * 3); /* at once: no copies are left behind */
    to->len -= packed.len / 4 * 3;
    for (size_t i = 0; i < packed.len; i += 4)
        if (!read_group(packed.data + i, i + 4 == packed.len ? n_pads : 0, to))
            return false;
    return true;
}

/* Where `line` starts in `text` at a line's beginning, or false. */
static bool find_line(struct view text, size_t from, const char *line, size_t *ret_at)
{
    size_t len = strlen(line);

    for (size_t i = from; i + len <= text.len; i++) {
        if ((i == 0 || text.data[i - 1] == '\n') && memcmp(text.data + i, line, len) == 0) {
            *ret_at = i;
            return true;
        }
    }
    return false;
}

bool pki_pem_read_all(struct view pem, const char *label, struct buf *ret, size_t max,
                      size_t *ret_n, struct err *err)
{
    char head[LABEL_MAX + 24], foot[LABEL_MAX + 24];
    size_t at = 0, end = 0, n = 0;

    snprintf(head, sizeof(head), "-----BEGIN %.*s-----", LABEL_MAX, label);
    snprintf(foot, sizeof(foot), "-----END %.*s-----", LABEL_MAX, label);
    while (find_line(pem, at, head, &at)) {
        if (n == max)
            return err_set(err, ERR_TOO_LARGE, "more than %zu %s blocks", max, label);
        at += strlen(head);
        if (!find_line(pem, at, foot, &end))
            return err_set(err, ERR_BAD_WIRE, "%s number %zu has no END line", label, n + 1);
        if (!read_base64(view_sub(pem, at, end - at), &ret[n]))
            return err_set(err, ERR_BAD_WIRE, "%s number %zu is not base64", label, n + 1);
        n++;
        at = end;
    }
    *ret_n = n;
    return true;
}
