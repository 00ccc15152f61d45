/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A character's value and one; 0: none of the alphabet. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

void base64_put(struct buf *to, struct view bytes)
{
    uint8_t *out = buf_grow(to, base64_text_len(bytes.len));
    size_t i = 0;

    for (; i + 3 <= bytes.len; i += 3, out += 4) {
        const uint8_t *in = bytes.data + i;
        out[0] = (uint8_t)digits[in[0] >> 2];
        out[1] = (uint8_t)digits[(in[0] & 3) << 4 | in[1] >> 4];
        out[2] = (uint8_t)digits[(in[1] & 15) << 2 | in[2] >> 6];
        out[3] = (uint8_t)digits[in[2] & 63];
    }
    if (i < bytes.len) {
        bool has_two = i + 2 == bytes.len;
        uint8_t first = bytes.data[i], second = has_two ? bytes.data[i + 1] : 0;
        out[0] = (uint8_t)digits[first >> 2];
        out[1] = (uint8_t)digits[(first & 3) << 4 | second >> 4];
        out[2] = has_two ? (uint8_t)digits[(second & 15) << 2] : '=';
        out[3] = '=';
    }
}

bool base64_read(struct view text, uint8_t *to, size_t *ret_len)
{
    uint8_t *out = to;
    size_t n_pad = 0, n_bytes;

    if (text.len % 4)
        return false;
    if (text.len && text.data[text.len - 1] == '=')
        n_pad = text.data[text.len - 2] == '=' ? 2 : 1;
    n_bytes = text.len / 4 * 3 - n_pad;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t n = i + 4 == text.len ? 3 - n_pad : 3;
        uint8_t v[4] = { 0 }; /* read before `out` is written: it may be the same place */
        for (size_t k = 0; k <= n; k++) {
            v[k] = values[text.data[i + k]];
            if (v[k]-- == 0)
                return false;
        }
        if ((n == 1 && (v[1] & 15)) || (n == 2 && (v[2] & 3)))
            return false; /* left-over bits */
        *out++ = (uint8_t)(v[0] << 2 | v[1] >> 4);
        if (n > 1)
            *out++ = (uint8_t)(v[1] << 4 | v[2] >> 2);
        if (n > 2)
            *out++ = (uint8_t)(v[2] << 6 | v[3]);
    }
    *ret_len = n_bytes;
    return true;
}
