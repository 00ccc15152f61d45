/* SPDX-License-Identifier: Apache-2.0 */
#include "base/edwards.h"

#ifdef FIELD_IS_HERE

#include "base/mem.h"
#include "base/scalar.h"

#include <pthread.h>
#include <stdatomic.h>

/* Four parts of a scalar are walked through at once, so that 64 doublings serve all four. */
enum { PARTS = 4, PART_BITS = SCALAR_BITS / PARTS };
enum { KEY_WINDOW = 5, BASE_WINDOW = 7 }; /* bits of a digit; a table has its positive odd values */
enum { N_KEY = 1 << (KEY_WINDOW - 2), N_BASE = 1 << (BASE_WINDOW - 2) };

/* x = X / Z, y = Y / Z, x y = T / Z (Hisil, Wong, Carter, Dawson 2008: their formulas hold for all points here). */
struct point {
    struct fe x, y, z, t;
};

/* y + x, y - x, 2 d x y of a point: what adding it takes. */
struct ready {
    struct fe plus, minus, twist;
};

struct edwards_table {
    atomic_uint n_shares;
    struct ready of[PARTS][N_KEY];
};

static struct {
    struct fe d2, d, root; /* 2 d; d = -121665 / 121666; the square root of -1 */
    struct ready of[PARTS][N_BASE];
} base;

/* The difference where it is to be subtracted again: tight. */
static struct fe less(const struct fe *a, const struct fe *b)
{
    const struct fe one = fe_small(1), n = fe_sub(a, b);

    return fe_mul(&n, &one);
}

/* ---- points --------------------------------------------------------------------------------------- */

static const struct point nothing = { { { 0 } }, { { 1 } }, { { 1 } }, { { 0 } } };

/* Its T, which only an addition wants, is made where `has_t`. */
static void finish(struct point *p, const struct fe *e, const struct fe *f, const struct fe *g,
                   const struct fe *h, bool has_t)
{
    p->x = fe_mul(e, f);
    p->y = fe_mul(g, h);
    p->z = fe_mul(f, g);
    if (has_t)
        p->t = fe_mul(e, h);
}

static void twice(struct point *p, bool has_t)
{
    const struct fe a = fe_square(&p->x), b = fe_square(&p->y), zz = fe_square(&p->z);
    const struct fe sum = fe_add(&p->x, &p->y), both = fe_square(&sum), h = fe_add(&a, &b),
                    e = fe_sub(&h, &both), g = fe_sub(&a, &b), c = fe_add(&zz, &zz),
                    f = fe_add(&c, &g);

    finish(p, &e, &f, &g, &h, has_t);
}

static void add(struct point *p, const struct ready *q, bool is_negative, bool has_t)
{
    const struct fe minus = fe_sub(&p->y, &p->x), plus = fe_add(&p->y, &p->x);
    const struct fe a = fe_mul(&minus, is_negative ? &q->plus : &q->minus),
                    b = fe_mul(&plus, is_negative ? &q->minus : &q->plus),
                    c = fe_mul(&p->t, &q->twist), d = fe_add(&p->z, &p->z);
    const struct fe e = fe_sub(&b, &a), h = fe_add(&b, &a), under = fe_sub(&d, &c),
                    over = fe_add(&d, &c);

    finish(p, &e, is_negative ? &over : &under, is_negative ? &under : &over, &h, has_t);
}

static struct ready ready(const struct point *p, const struct fe *inverse_z)
{
    const struct fe x = fe_mul(&p->x, inverse_z), y = fe_mul(&p->y, inverse_z), xy = fe_mul(&x, &y);

    return (struct ready){ .plus = fe_add(&y, &x),
                           .minus = fe_sub(&y, &x),
                           .twist = fe_mul(&xy, &base.d2) };
}

/* x^2 = (y^2 - 1) / (d y^2 + 1). Of a square root one is found here, or its product with the root of -1. */
static bool read_point(const uint8_t from[EDWARDS_SIZE], struct point *ret)
{
    const struct fe y = fe_read(from), yy = fe_square(&y), one = fe_small(1), zero = fe_small(0);
    const struct fe u = less(&yy, &one), dyy = fe_mul(&yy, &base.d), v = fe_add(&dyy, &one);
    const struct fe vv = fe_square(&v), v3 = fe_mul(&vv, &v), v6 = fe_square(&v3),
                    v7 = fe_mul(&v6, &v), uv7 = fe_mul(&u, &v7), root = fe_power_root(&uv7),
                    uv3 = fe_mul(&u, &v3);
    struct fe x = fe_mul(&uv3, &root);
    const struct fe xx = fe_square(&x), vxx = fe_mul(&v, &xx), difference = fe_sub(&vxx, &u),
                    sum = fe_add(&vxx, &u);
    uint8_t bytes[FE_SIZE];

    if (!fe_is_zero(&difference)) {
        if (!fe_is_zero(&sum))
            return false;
        x = fe_mul(&x, &base.root);
    }
    fe_write(&x, bytes);
    if ((bytes[0] & 1) != from[FE_SIZE - 1] >> 7) {
        if (fe_is_zero(&x))
            return false;
        x = less(&zero, &x);
    }
    *ret = (struct point){ x, y, one, fe_mul(&x, &y) };
    return true;
}

static void write_point(const struct point *p, uint8_t to[EDWARDS_SIZE])
{
    const struct fe inverse = fe_inverse(&p->z), x = fe_mul(&p->x, &inverse),
                    y = fe_mul(&p->y, &inverse);
    uint8_t bytes[FE_SIZE];

    fe_write(&x, bytes);
    fe_write(&y, to);
    to[EDWARDS_SIZE - 1] |= (uint8_t)(bytes[0] << 7);
}

/* The base point's order times 8 is the curve's. */
static bool has_small_order(const struct point *p)
{
    struct point eight = *p;

    for (int i = 0; i < 3; i++)
        twice(&eight, false);
    const struct fe difference = fe_sub(&eight.y, &eight.z);
    return fe_is_zero(&eight.x) && fe_is_zero(&difference);
}

/* ---- tables --------------------------------------------------------------------------------------- */

/* The odd multiples of *p up to the (2n - 1)-fold. */
static void odd_multiples(const struct point *p, struct point *to, size_t n)
{
    struct point two = *p;

    twice(&two, true);
    const struct fe inverse = fe_inverse(&two.z);
    const struct ready step = ready(&two, &inverse);
    to[0] = *p;
    for (size_t i = 1; i < n; i++) {
        to[i] = to[i - 1];
        add(&to[i], &step, false, true);
    }
}

/* One inversion for all: of the product of every Z, from which each of them is taken out again. */
static void make_ready(const struct point *points, struct ready *to, size_t n)
{
    struct fe products[PARTS * N_BASE], inverse;

    products[0] = points[0].z;
    for (size_t i = 1; i < n; i++)
        products[i] = fe_mul(&products[i - 1], &points[i].z);
    inverse = fe_inverse(&products[n - 1]);
    for (size_t i = n; i-- > 0;) {
        const struct fe own = i ? fe_mul(&inverse, &products[i - 1]) : inverse;
        to[i] = ready(&points[i], &own);
        inverse = fe_mul(&inverse, &points[i].z);
    }
}

static void make_table(struct point p, struct ready *to, size_t n)
{
    struct point points[PARTS * N_BASE];

    for (size_t part = 0; part < PARTS; part++) {
        odd_multiples(&p, points + part * n, n);
        for (int i = 0; i < PART_BITS; i++)
            twice(&p, i + 1 == PART_BITS);
    }
    make_ready(points, to, PARTS * n);
}

static void make_base(void)
{
    const struct fe two = fe_small(2), four = fe_small(4), five = fe_small(5), zero = fe_small(0),
                    below = fe_small(121666), above = fe_small(121665);
    struct fe inverse = fe_inverse(&below), power, y;
    const struct fe d = fe_mul(&above, &inverse);
    uint8_t bytes[FE_SIZE];
    struct point b;

    base.d = less(&zero, &d);
    base.d2 = fe_mul(&base.d, &two);
    power = fe_power_root(
        &two); /* 2^((p - 1) / 4) is the root of -1, and (p - 1) / 4 twice (p - 5) / 8, plus 1 */
    power = fe_square(&power);
    base.root = fe_mul(&power, &two);
    inverse = fe_inverse(&five);
    y = fe_mul(&four, &inverse); /* B: y = 4 / 5, x even */
    fe_write(&y, bytes);
    if (read_point(bytes, &b))
        make_table(b, &base.of[0][0], N_BASE);
}

static pthread_once_t is_base_made = PTHREAD_ONCE_INIT;

struct edwards_table *edwards_table_new(const uint8_t point[EDWARDS_SIZE])
{
    struct edwards_table *table;
    struct point p;

    pthread_once(&is_base_made, make_base);
    if (!read_point(point, &p))
        return NULL;
    table = mem_new(struct edwards_table);
    table->n_shares = 1;
    make_table(p, &table->of[0][0], N_KEY);
    return table;
}

const struct edwards_table *edwards_table_share(struct edwards_table *table)
{
    table->n_shares++;
    return table;
}

void edwards_table_release(const struct edwards_table *table)
{
    struct edwards_table *own = (struct edwards_table *)(uintptr_t)table;

    if (own && --own->n_shares == 0)
        free(own);
}

/* ---- verifying ------------------------------------------------------------------------------------ */

struct term {
    const struct ready *ready;
    bool is_negative;
};

static size_t take_term(struct term *to, const struct ready *table, int digit, bool is_negative)
{
    if (digit == 0)
        return 0;
    *to = (struct term){ &table[(digit < 0 ? -digit : digit) / 2], (digit < 0) != is_negative };
    return 1;
}

bool edwards_verify(const struct edwards_table *of_key, const uint8_t r[EDWARDS_SIZE],
                    const uint8_t s[EDWARDS_SIZE], const uint8_t hash[EDWARDS_HASH])
{
    const struct scalar by_base = scalar_read(s), by_key = scalar_reduce(hash);
    int8_t base_digits[SCALAR_BITS], key_digits[SCALAR_BITS];
    uint8_t is[EDWARDS_SIZE];
    struct point sum = nothing;
    bool has_begun = false;

    if (!scalar_is_reduced(&by_base))
        return false;
    scalar_write_digits(&by_base, BASE_WINDOW, base_digits);
    scalar_write_digits(&by_key, KEY_WINDOW, key_digits);
    for (size_t i = PART_BITS; i-- > 0;) {
        struct term terms[2 * PARTS];
        size_t n = 0;
        for (size_t part = 0; part < PARTS; part++) {
            const size_t at = part * PART_BITS + i;
            n += take_term(&terms[n], base.of[part], base_digits[at], false);
            n += take_term(&terms[n], of_key->of[part], key_digits[at], true);
        }
        if (has_begun)
            twice(&sum, n != 0);
        for (size_t t = 0; t < n; t++)
            add(&sum, terms[t].ready, terms[t].is_negative, t + 1 < n);
        has_begun = has_begun || n != 0;
    }
    write_point(&sum, is);
    return memcmp(is, r, EDWARDS_SIZE) == 0 && !has_small_order(&sum);
}

#else /* no table is ever made */

struct edwards_table *edwards_table_new(const uint8_t point[EDWARDS_SIZE])
{
    (void)point;
    return NULL;
}

const struct edwards_table *edwards_table_share(struct edwards_table *table)
{
    return table;
}

void edwards_table_release(const struct edwards_table *table)
{
    (void)table;
}

bool edwards_verify(const struct edwards_table *of_key, const uint8_t r[EDWARDS_SIZE],
                    const uint8_t s[EDWARDS_SIZE], const uint8_t hash[EDWARDS_HASH])
{
    (void)of_key, (void)r, (void)s, (void)hash;
    return false;
}

#endif
