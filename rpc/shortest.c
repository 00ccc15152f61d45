/* SPDX-License-Identifier: Apache-2.0 */
/* Raffaello Giulietti, "The Schubfach way to render doubles" (2020); names as there. */
#include "rpc/shortest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    FRACTION_BITS = 52,
    BIAS = 1023 + FRACTION_BITS,
    LEAST_POWER = -292,
    MOST_POWER = 324,
    LIMBS = 19, /* of 64 bits: 10^324, and 2^1152 */
};

typedef unsigned __int128 uint128_t;

/* ---- powers of ten --------------------------------------------------------------------------- */

/* Each times the power of two that makes it 128 bits long, rounded up. */
static struct power {
    uint64_t high, low;
} powers[MOST_POWER - LEAST_POWER + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

static void times_ten(uint64_t big[LIMBS])
{
    uint64_t carry = 0;

    for (int i = 0; i < LIMBS; i++) {
        uint128_t product = (uint128_t)big[i] * 10 + carry;
        big[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
}

static bool over_ten(uint64_t big[LIMBS]) /* true: something was left */
{
    uint64_t left = 0;

    for (int i = LIMBS - 1; i >= 0; i--) {
        uint128_t part = (uint128_t)left << 64 | big[i];
        big[i] = (uint64_t)(part / 10);
        left = (uint64_t)(part % 10);
    }
    return left != 0;
}

static uint64_t limb(const uint64_t big[LIMBS], int i)
{
    return i >= 0 ? big[i] : 0;
}

static struct power round_up(const uint64_t big[LIMBS], bool is_more)
{
    int top = LIMBS - 1, shift;
    uint128_t high;

    while (!big[top])
        top--;
    shift = __builtin_clzll(big[top]);
    high = ((uint128_t)big[top] << 64 | limb(big, top - 1)) << shift;
    if (shift)
        high |= limb(big, top - 2) >> (64 - shift);
    is_more |= limb(big, top - 2) << shift != 0;
    for (int i = 0; i < top - 2; i++)
        is_more |= big[i] != 0;
    high += is_more;
    return (struct power){ (uint64_t)(high >> 64), (uint64_t)high };
}

static void make_powers(void)
{
    uint64_t up[LIMBS] = { 1 }, down[LIMBS] = { [LIMBS - 1] = 1 };
    bool is_more = false;

    for (int k = 0; k <= MOST_POWER; k++) {
        powers[k - LEAST_POWER] = round_up(up, false);
        times_ten(up);
    }
    for (int k = -1; k >= LEAST_POWER; k--) {
        is_more |= over_ten(down);
        powers[k - LEAST_POWER] = round_up(down, is_more);
    }
}

/* ---- one number ------------------------------------------------------------------------------ */

/* The whole part of n * a power, its last bit set when something follows. */
static uint64_t round_to_odd(const struct power *g, uint64_t n)
{
    uint64_t below = (uint64_t)((uint128_t)g->low * n >> 64);
    uint128_t product = (uint128_t)g->high * n + below;

    return (uint64_t)(product >> 64) | ((uint64_t)product > 1);
}

/* c * 2^q, of which the number below is only half as far as the one above when `is_uneven`. */
static struct rpc_decimal schubfach(uint64_t c, int q, bool is_uneven)
{
    int k = (q * 1262611 - (is_uneven ? 524031 : 0)) >> 22; /* floor(log10(2^q)), or of 3/4 of it */
    int h = q + ((-k * 1741647) >> 19) + 1;                 /* floor(log2(10^-k)) */
    const struct power *g = &powers[-k - LEAST_POWER];
    uint64_t odd = c & 1; /* then the ends of the interval belong to others */
    uint64_t v = round_to_odd(g, (4 * c) << h);
    uint64_t from = round_to_odd(g, (4 * c - 2 + is_uneven) << h) + odd;
    uint64_t to = round_to_odd(g, (4 * c + 2) << h) - odd;
    uint64_t s = v / 4, tens = s / 10;
    bool below, above;

    below = from <= 40 * tens;
    above = 40 * tens + 40 <= to;
    if (s >= 10 && below != above)
        return (struct rpc_decimal){ tens + above, k + 1 };
    below = from <= 4 * s;
    above = 4 * s + 4 <= to;
    if (below == above)
        above = v > 4 * s + 2 || (v == 4 * s + 2 && (s & 1));
    return (struct rpc_decimal){ s + above, k };
}

struct rpc_decimal rpc_shortest(double number)
{
    struct rpc_decimal decimal = { 0 };
    uint64_t bits, fraction;
    int exponent;

    memcpy(&bits, &number, sizeof(bits));
    if (!bits)
        return decimal;
    pthread_once(&powers_once, make_powers);
    fraction = bits & (((uint64_t)1 << FRACTION_BITS) - 1);
    exponent = (int)(bits >> FRACTION_BITS);
    if (exponent)
        decimal = schubfach((uint64_t)1 << FRACTION_BITS | fraction, exponent - BIAS,
                            !fraction && exponent > 1);
    else
        decimal = schubfach(fraction, 1 - BIAS, false);
    for (; decimal.digits % 10 == 0; decimal.exponent++)
        decimal.digits /= 10;
    return decimal;
}
