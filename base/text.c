/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base32_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void text_put_hex(struct buf *to, struct view bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        buf_put_u8(to, (uint8_t)hex_digits[bytes.data[i] >> 4]);
        buf_put_u8(to, (uint8_t)hex_digits[bytes.data[i] & 15]);
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_read_hex(struct view text, uint8_t *to, size_t size)
{
    if (text.len != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void text_put_base32(struct buf *to, struct view bytes)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | bytes.data[i];
        for (n_bits += 8; n_bits >= 5; n_bits -= 5)
            buf_put_u8(to, (uint8_t)base32_digits[bits >> (n_bits - 5) & 31]);
    }
    if (n_bits)
        buf_put_u8(to, (uint8_t)base32_digits[bits << (5 - n_bits) & 31]);
}

bool text_read_base32(struct view text, uint8_t *to, size_t size, size_t *ret_bad_at)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t used = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *digit = text.data[i] ? strchr(base32_digits, text.data[i]) : NULL;
        *ret_bad_at = i;
        if (!digit)
            return false;
        bits = bits << 5 | (uint32_t)(digit - base32_digits);
        n_bits += 5;
        if (n_bits >= 8) {
            if (used == size)
                return false;
            n_bits -= 8;
            to[used++] = (uint8_t)(bits >> n_bits);
        }
    }
    *ret_bad_at = text.len ? text.len - 1 : 0;
    return used == size && n_bits < 5 && (bits & ((1u << n_bits) - 1)) == 0;
}

bool text_read_u64(struct view text, uint64_t *ret_n)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len > 20)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text.data[i] - '0', &n))
            return false;
    }
    *ret_n = n;
    return true;
}

/* RFC 3629, section 4. */
size_t text_utf8_sequence(const uint8_t *s, size_t len)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    }
    return n;
}

bool text_is_printable(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

bool text_is_utf8(struct view text)
{
    size_t i = 0;

    while (i < text.len) {
        uint64_t eight;
        if (text.len - i >= 8) { /* most text is ASCII: eight at a time */
            memcpy(&eight, text.data + i, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        size_t n = text_utf8_sequence(text.data + i, text.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

const char *text_id(const char *id, char to[TEXT_ID])
{
    size_t len = strlen(id), used = 0;

    for (size_t i = 0; i < len && used + 2 < TEXT_ID; i++) {
        if (i && (len - i) % 3 == 0)
            to[used++] = ' ';
        to[used++] = id[i];
    }
    to[used] = '\0';
    return to;
}

bool text_is_id(struct view text)
{
    if (text.len < 6 || text.len > 9)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return true;
}

bool text_read_id(const char *typed, char ret_id[TEXT_ID])
{
    size_t used = 0;

    for (; *typed != '\0'; typed++) {
        if (*typed == ' ')
            continue;
        if (used + 1 >= TEXT_ID)
            return false;
        ret_id[used++] = *typed;
    }
    ret_id[used] = '\0';
    return text_is_id(VIEW(ret_id, used));
}

static bool is_label(const uint8_t *label, size_t len)
{
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

bool text_is_network(struct view text)
{
    size_t start = 0, n_labels = 0;
    uint64_t number;

    if (text.len == 0 || text.len > 200)
        return false;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.data[i] != '.')
            continue;
        if (!is_label(text.data + start, i - start))
            return false;
        n_labels++;
        if (i == text.len)
            return n_labels >= 2 && !text_read_u64(view_sub(text, start, i - start), &number);
        start = i + 1;
    }
    return false;
}
