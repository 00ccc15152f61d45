/* SPDX-License-Identifier: Apache-2.0 */
#include "base/field.h"

#ifdef FIELD_IS_HERE

static struct fe squares(struct fe a, int n)
{
    while (n-- > 0)
        a = fe_square(&a);
    return a;
}

static struct fe squares_times(const struct fe *a, int n, const struct fe *b)
{
    struct fe c = squares(*a, n);

    return fe_mul(&c, b);
}

/* a^(2^250 - 1), and a^11 on the way. */
static struct fe power_250(const struct fe *a, struct fe *ret_11)
{
    const struct fe a2 = fe_square(a), a8 = squares(a2, 2), a9 = fe_mul(&a8, a),
                    a11 = fe_mul(&a9, &a2);
    const struct fe n5 = squares_times(&a11, 1, &a9), n10 = squares_times(&n5, 5, &n5),
                    n20 = squares_times(&n10, 10, &n10), n40 = squares_times(&n20, 20, &n20),
                    n50 = squares_times(&n40, 10, &n10), n100 = squares_times(&n50, 50, &n50),
                    n200 = squares_times(&n100, 100, &n100);

    *ret_11 = a11;
    return squares_times(&n200, 50, &n50);
}

/* a^(p - 2), p - 2 being 2^255 - 21. */
struct fe fe_inverse(const struct fe *a)
{
    struct fe a11, n250 = power_250(a, &a11);

    return squares_times(&n250, 5, &a11);
}

/* (p - 5) / 8 is 2^252 - 3. */
struct fe fe_power_root(const struct fe *a)
{
    struct fe a11, n250 = power_250(a, &a11);

    return squares_times(&n250, 2, a);
}

static uint64_t load(const uint8_t *from)
{
    uint64_t n = 0;

    for (int i = 7; i >= 0; i--)
        n = n << 8 | from[i];
    return n;
}

static void store(uint64_t n, uint8_t *to)
{
    for (int i = 0; i < 8; i++, n >>= 8)
        to[i] = (uint8_t)n;
}

struct fe fe_read(const uint8_t from[FE_SIZE])
{
    const uint64_t w0 = load(from), w1 = load(from + 8), w2 = load(from + 16), w3 = load(from + 24);

    return (struct fe){ { w0 & FE_MASK, (w0 >> 51 | w1 << 13) & FE_MASK,
                          (w1 >> 38 | w2 << 26) & FE_MASK, (w2 >> 25 | w3 << 39) & FE_MASK,
                          w3 >> 12 & FE_MASK } };
}

static void carry(uint64_t limb[FE_LIMBS])
{
    for (int i = 0; i + 1 < FE_LIMBS; i++) {
        limb[i + 1] += limb[i] >> FE_LIMB_BITS;
        limb[i] &= FE_MASK;
    }
    limb[0] += 19 * (limb[4] >> FE_LIMB_BITS);
    limb[4] &= FE_MASK;
}

/* After three carries it is below 2^255. Adding 19 reaches 2^255 where it is p or more, and tells that by its top. */
void fe_write(const struct fe *a, uint8_t to[FE_SIZE])
{
    struct fe n = *a;
    uint64_t over = 19;

    for (int i = 0; i < 3; i++)
        carry(n.limb);
    for (int i = 0; i < FE_LIMBS; i++)
        over = (n.limb[i] + over) >> FE_LIMB_BITS;
    n.limb[0] += 19 * over;
    for (int i = 0; i + 1 < FE_LIMBS; i++) {
        n.limb[i + 1] += n.limb[i] >> FE_LIMB_BITS;
        n.limb[i] &= FE_MASK;
    }
    n.limb[4] &= FE_MASK;
    store(n.limb[0] | n.limb[1] << 51, to);
    store(n.limb[1] >> 13 | n.limb[2] << 38, to + 8);
    store(n.limb[2] >> 26 | n.limb[3] << 25, to + 16);
    store(n.limb[3] >> 39 | n.limb[4] << 12, to + 24);
}

bool fe_is_zero(const struct fe *a)
{
    static const uint8_t zero[FE_SIZE];
    uint8_t is[FE_SIZE];

    fe_write(a, is);
    return memcmp(is, zero, FE_SIZE) == 0;
}

#else
typedef int field_is_not_here;
#endif
