/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers modulo p = 2^255 - 19, for what is public alone: nothing here takes care to take the same time for all.
 * A number is five limbs of 51 bits. What a multiplication gives is "tight", limbs below 2^51 + 2^13; sums and differences
 * of two tight ones are "loose", below 2^53, and every operation but fe_sub() takes those. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SIZEOF_INT128__
#define FIELD_IS_HERE 1 /* else key.c verifies with libsodium alone */

__extension__ typedef unsigned __int128 fe_wide;

enum { FE_SIZE = 32, FE_LIMBS = 5, FE_LIMB_BITS = 51 };
#define FE_MASK ((UINT64_C(1) << FE_LIMB_BITS) - 1)

struct fe {
    uint64_t limb[FE_LIMBS];
};

static inline struct fe fe_small(uint64_t n) /* below 2^51 */
{
    return (struct fe){ { n } };
}

static inline struct fe fe_add(const struct fe *a, const struct fe *b)
{
    return (struct fe){ { a->limb[0] + b->limb[0], a->limb[1] + b->limb[1], a->limb[2] + b->limb[2],
                          a->limb[3] + b->limb[3], a->limb[4] + b->limb[4] } };
}

/* a - b + 4p: no limb falls below zero where `b` is the sum of two tight ones. The result is below 2^54. */
static inline struct fe fe_sub(const struct fe *a, const struct fe *b)
{
    const uint64_t first = 4 * (FE_MASK - 18), other = 4 * FE_MASK;

    return (struct fe){ { a->limb[0] + first - b->limb[0], a->limb[1] + other - b->limb[1],
                          a->limb[2] + other - b->limb[2], a->limb[3] + other - b->limb[3],
                          a->limb[4] + other - b->limb[4] } };
}

/* The limbs are below 2^115 each: what is carried out of the last one comes back 19-fold, for 2^255 is 19. */
static inline struct fe fe_carried(fe_wide r0, fe_wide r1, fe_wide r2, fe_wide r3, fe_wide r4)
{
    uint64_t l0, l1, l2, l3, l4, c;

    l0 = (uint64_t)r0 & FE_MASK;
    r1 += (uint64_t)(r0 >> FE_LIMB_BITS);
    l1 = (uint64_t)r1 & FE_MASK;
    r2 += (uint64_t)(r1 >> FE_LIMB_BITS);
    l2 = (uint64_t)r2 & FE_MASK;
    r3 += (uint64_t)(r2 >> FE_LIMB_BITS);
    l3 = (uint64_t)r3 & FE_MASK;
    r4 += (uint64_t)(r3 >> FE_LIMB_BITS);
    l4 = (uint64_t)r4 & FE_MASK;
    r0 = l0 + (r4 >> FE_LIMB_BITS) * 19;
    l0 = (uint64_t)r0 & FE_MASK;
    c = (uint64_t)(r0 >> FE_LIMB_BITS);
    l1 += c;
    return (struct fe){ { l0, (l1 & FE_MASK), l2 + (l1 >> FE_LIMB_BITS), l3, l4 } };
}

static inline struct fe fe_mul(const struct fe *a, const struct fe *b)
{
    const uint64_t a0 = a->limb[0], a1 = a->limb[1], a2 = a->limb[2], a3 = a->limb[3],
                   a4 = a->limb[4];
    const uint64_t b0 = b->limb[0], b1 = b->limb[1], b2 = b->limb[2], b3 = b->limb[3],
                   b4 = b->limb[4];
    const uint64_t c1 = 19 * b1, c2 = 19 * b2, c3 = 19 * b3, c4 = 19 * b4;

    return fe_carried((fe_wide)a0 * b0 + (fe_wide)a1 * c4 + (fe_wide)a2 * c3 + (fe_wide)a3 * c2 +
                          (fe_wide)a4 * c1,
                      (fe_wide)a0 * b1 + (fe_wide)a1 * b0 + (fe_wide)a2 * c4 + (fe_wide)a3 * c3 +
                          (fe_wide)a4 * c2,
                      (fe_wide)a0 * b2 + (fe_wide)a1 * b1 + (fe_wide)a2 * b0 + (fe_wide)a3 * c4 +
                          (fe_wide)a4 * c3,
                      (fe_wide)a0 * b3 + (fe_wide)a1 * b2 + (fe_wide)a2 * b1 + (fe_wide)a3 * b0 +
                          (fe_wide)a4 * c4,
                      (fe_wide)a0 * b4 + (fe_wide)a1 * b3 + (fe_wide)a2 * b2 + (fe_wide)a3 * b1 +
                          (fe_wide)a4 * b0);
}

static inline struct fe fe_square(const struct fe *a)
{
    const uint64_t a0 = a->limb[0], a1 = a->limb[1], a2 = a->limb[2], a3 = a->limb[3],
                   a4 = a->limb[4];
    const uint64_t d0 = 2 * a0, d1 = 2 * a1, d2 = 2 * a2, c3 = 19 * a3, c4 = 19 * a4;

    return fe_carried((fe_wide)a0 * a0 + (fe_wide)d1 * c4 + (fe_wide)d2 * c3,
                      (fe_wide)d0 * a1 + (fe_wide)d2 * c4 + (fe_wide)a3 * c3,
                      (fe_wide)d0 * a2 + (fe_wide)a1 * a1 + (fe_wide)(2 * a3) * c4,
                      (fe_wide)d0 * a3 + (fe_wide)d1 * a2 + (fe_wide)a4 * c4,
                      (fe_wide)d0 * a4 + (fe_wide)d1 * a3 + (fe_wide)a2 * a2);
}

struct fe fe_inverse(const struct fe *a);       /* of zero: zero */
struct fe fe_power_root(const struct fe *a);    /* a^((p - 5) / 8), a square root's beginning */
struct fe fe_read(const uint8_t from[FE_SIZE]); /* little-endian; the highest bit is left aside */
void fe_write(const struct fe *a, uint8_t to[FE_SIZE]); /* below p */
bool fe_is_zero(const struct fe *a);

#endif
