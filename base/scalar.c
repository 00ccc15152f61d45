/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scalar.h"

#ifdef FIELD_IS_HERE

/* L, the base point's order: 2^252 + 27742317777372353535851937790883648493. */
static const uint64_t order[SCALAR_WORDS] = { 0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0,
                                              0x1000000000000000 };

static uint64_t read_word(const uint8_t *from, size_t size)
{
    uint64_t n = 0;

    while (size-- > 0)
        n = n << 8 | from[size];
    return n;
}

/* The difference modulo 2^256; whether b was the larger one. */
static bool subtract(uint64_t a[SCALAR_WORDS], const uint64_t b[SCALAR_WORDS])
{
    bool is_below = false;

    for (size_t i = 0; i < SCALAR_WORDS; i++) {
        const fe_wide n = (fe_wide)a[i] - b[i] - is_below;
        a[i] = (uint64_t)n;
        is_below = (uint64_t)(n >> 64) != 0;
    }
    return is_below;
}

bool scalar_is_reduced(const struct scalar *s)
{
    struct scalar n = *s;

    return subtract(n.word, order);
}

static void add_order(uint64_t a[SCALAR_WORDS])
{
    fe_wide n = 0;

    for (size_t i = 0; i < SCALAR_WORDS; i++, n >>= 64) {
        n += (fe_wide)a[i] + order[i];
        a[i] = (uint64_t)n;
    }
}

/* a 2^32 + low, modulo L, for an a below it. That is q 2^252 + rest; 2^252 is L less the rest c of its words, so rest - q c
 * remains, and where that is below zero, L more. */
static void shift_in(uint64_t a[SCALAR_WORDS], uint32_t low)
{
    const uint64_t q = a[3] >> 28; /* what will be the bits from 252 on: below 2^33 */
    fe_wide n = 0;
    uint64_t taken[SCALAR_WORDS];

    for (size_t i = SCALAR_WORDS; i-- > 1;)
        a[i] = a[i] << 32 | a[i - 1] >> 32;
    a[0] = a[0] << 32 | low;
    a[3] &= (UINT64_C(1) << 60) - 1;
    for (size_t i = 0; i < SCALAR_WORDS; i++, n >>= 64) {
        n += (fe_wide)q * (i < 2 ? order[i] : 0);
        taken[i] = (uint64_t)n;
    }
    if (subtract(a, taken))
        add_order(a);
}

struct scalar scalar_reduce(const uint8_t hash[SCALAR_HASH])
{
    struct scalar s = { { 0 } };

    for (size_t i = SCALAR_HASH; i > 0; i -= 4)
        shift_in(s.word, (uint32_t)read_word(hash + i - 4, 4));
    return s;
}

struct scalar scalar_read(const uint8_t from[SCALAR_SIZE])
{
    return (struct scalar){ { read_word(from, 8), read_word(from + 8, 8), read_word(from + 16, 8),
                              read_word(from + 24, 8) } };
}

void scalar_write_digits(const struct scalar *s, unsigned width, int8_t to[SCALAR_BITS])
{
    const uint64_t mask = (UINT64_C(1) << width) - 1;
    uint64_t carry = 0;

    memset(to, 0, SCALAR_BITS);
    for (unsigned at = 0; at < SCALAR_BITS;) {
        const unsigned word = at / 64, bit = at % 64;
        uint64_t bits = s->word[word] >> bit;
        if (bit && word + 1 < SCALAR_WORDS)
            bits |= s->word[word + 1] << (64 - bit);
        bits = (bits & mask) + carry;
        if (!(bits & 1)) {
            at++;
            continue;
        }
        carry = bits >> (width - 1) & 1;
        to[at] = (int8_t)((int64_t)bits - (int64_t)(carry << width));
        at += width;
    }
}

#else
typedef int scalar_is_not_here;
#endif
