/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/der.h"

#include <stdio.h>
#include <time.h>

static size_t n_len_octets(size_t len)
{
    size_t n = 0;

    for (; len; len >>= 8)
        n++;
    return n;
}

void der_put_head(struct buf *to, unsigned tag, size_t len)
{
    size_t n = n_len_octets(len);

    buf_put_u8(to, (uint8_t)tag);
    if (len < 0x80) {
        buf_put_u8(to, (uint8_t)len);
        return;
    }
    buf_put_u8(to, (uint8_t)(0x80 | n));
    while (n-- > 0)
        buf_put_u8(to, (uint8_t)(len >> (8 * n)));
}

void der_put(struct buf *to, unsigned tag, struct view content)
{
    der_put_head(to, tag, content.len);
    buf_put(to, content);
}

void der_wrap(struct buf *to, size_t start, unsigned tag)
{
    _buf_ content = buf_dup(view_sub(buf_view(to), start, to->len));

    to->len = start;
    der_put(to, tag, buf_view(&content));
}

void der_put_u64(struct buf *to, uint64_t n)
{
    uint8_t octets[9] = { 0 };
    size_t at = 1;

    for (size_t i = 0; i < 8; i++)
        octets[1 + i] = (uint8_t)(n >> (56 - 8 * i));
    while (at < 8 && octets[at] == 0)
        at++;
    if (octets[at] & 0x80)
        at--; /* the zero before keeps it positive */
    der_put(to, DER_INTEGER, VIEW(octets + at, sizeof(octets) - at));
}

void der_put_generalized(struct buf *to, uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm = { 0 };
    char text[64];

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof(text), "%04d%02d%02d%02d%02d%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    der_put(to, DER_GENERALIZED_TIME, view_text(text));
}

/* RFC 5280, 4.1.2.5: two digits of the year to 2049, four from then on. */
void der_put_time(struct buf *to, uint64_t ms)
{
    static const uint64_t year_2050 = 2524608000000;
    _buf_ whole = { 0 };

    if (ms >= year_2050) {
        der_put_generalized(to, ms);
        return;
    }
    der_put_generalized(&whole, ms);
    der_put(to, DER_UTC_TIME, view_sub(buf_view(&whole), 4, whole.len));
}

/* ---- reading ------------------------------------------------------------------------------ */

bool der_next_is(struct view from, unsigned tag)
{
    return from.len > 0 && from.data[0] == tag;
}

/* X.690, 10.1: definite, in the fewest octets. */
static bool take_len(struct view *from, size_t *ret_len)
{
    uint8_t first, octet;
    size_t len = 0;

    if (!view_take_u8(from, &first))
        return false;
    if (first < 0x80) {
        *ret_len = first;
        return true;
    }
    if (first == 0x80 || first > 0x84)
        return false;
    for (unsigned i = first & 0x7f; i > 0; i--) {
        if (!view_take_u8(from, &octet))
            return false;
        len = len << 8 | octet;
    }
    if (len < 0x80 || n_len_octets(len) != (first & 0x7f))
        return false;
    *ret_len = len;
    return true;
}

bool der_take(struct view *from, unsigned tag, struct view *ret_content)
{
    struct view rest = *from;
    uint8_t found;
    size_t len;

    if (!view_take_u8(&rest, &found) || found != tag || !take_len(&rest, &len) ||
        !view_take(&rest, len, ret_content))
        return false;
    *from = rest;
    return true;
}

bool der_take_whole(struct view *from, unsigned tag, struct view *ret_element)
{
    struct view before = *from, content;

    if (!der_take(from, tag, &content))
        return false;
    *ret_element = view_sub(before, 0, before.len - from->len);
    return true;
}

static bool take_digits(struct view *text, size_t n, int *ret)
{
    int value = 0;

    if (text->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        value = 10 * value + text->data[i] - '0';
    }
    *text = view_sub(*text, n, text->len);
    *ret = value;
    return true;
}

bool der_take_time(struct view *from, uint64_t *ret_ms)
{
    bool is_short = der_next_is(*from, DER_UTC_TIME);
    struct view rest = *from, text;
    struct tm tm = { 0 };
    time_t seconds;

    if (!der_take(&rest, is_short ? DER_UTC_TIME : DER_GENERALIZED_TIME, &text) ||
        !take_digits(&text, is_short ? 2 : 4, &tm.tm_year) || !take_digits(&text, 2, &tm.tm_mon) ||
        !take_digits(&text, 2, &tm.tm_mday) || !take_digits(&text, 2, &tm.tm_hour) ||
        !take_digits(&text, 2, &tm.tm_min) || !take_digits(&text, 2, &tm.tm_sec) ||
        !view_eq_text(text, "Z"))
        return false;
    tm.tm_year = is_short ? tm.tm_year + (tm.tm_year < 50 ? 100 : 0) : tm.tm_year - 1900;
    tm.tm_mon--;
    seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    *ret_ms = (uint64_t)seconds * 1000;
    *from = rest;
    return true;
}
