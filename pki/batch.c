/* SPDX-License-Identifier: Apache-2.0 */
/* EC_GROUP_precompute_mult() and EC_POINT_get_Jprojective_coordinates_GFp(): 3.0 has nothing in their place */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "pki/batch.h"

#include "pki/der.h"

#include <openssl/bn.h>

struct item {
    BIGNUM *z, *r; /* the hash, and the signature's first number */
    BIGNUM *s,
        *product; /* its second one; of every second one up to this: both times Montgomery's constant */
    EC_POINT *key;
};

struct pki_batch {
    const EC_GROUP *group;
    EC_GROUP *
        of_key; /* with the one key's point as its generator, and a table of its multiples; NULL: each has its own */
    const BIGNUM *n; /* the group's order */
    BIGNUM *p;       /* the field's */
    BN_MONT_CTX *order;
    struct item *items;
    size_t n_items, n_rooms;
    BN_CTX *numbers;
    EC_POINT *a, *b;
    BIGNUM *inverse, *w, *u, *v, *x, *y;
};

/* ---- its beginning and end -------------------------------------------------------------------------- */

static bool make_table(struct pki_batch *b, struct view spki)
{
    struct view at = pki_spki_point(spki);

    b->of_key = EC_GROUP_dup(b->group);
    return b->of_key && EC_POINT_oct2point(b->group, b->a, at.data, at.len, b->numbers) == 1 &&
           EC_GROUP_set_generator(b->of_key, b->a, b->n, EC_GROUP_get0_cofactor(b->group)) == 1 &&
           EC_GROUP_precompute_mult(b->of_key, b->numbers) == 1;
}

struct pki_batch *pki_batch_new(struct view spki)
{
    struct pki_batch *b = mem_new(struct pki_batch);
    BIGNUM **const all[] = { &b->p, &b->inverse, &b->w, &b->u, &b->v, &b->x, &b->y };
    bool ok = true;

    b->group = pki_curve_group(PKI_P256);
    b->n = EC_GROUP_get0_order(b->group);
    b->order = BN_MONT_CTX_new();
    b->numbers = BN_CTX_new();
    b->a = EC_POINT_new(b->group);
    b->b = EC_POINT_new(b->group);
    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        ok = (*all[i] = BN_new()) && ok;
    if (!ok || !b->numbers || !b->a || !b->b || !b->order ||
        BN_MONT_CTX_set(b->order, b->n, b->numbers) != 1 ||
        EC_GROUP_get_curve(b->group, b->p, NULL, NULL, b->numbers) != 1 ||
        (spki.len && !make_table(b, spki)))
        abort(); /* memory, or no key of this curve */
    return b;
}

void pki_batch_free(struct pki_batch *b)
{
    if (!b)
        return;
    BIGNUM *const all[] = { b->p, b->inverse, b->w, b->u, b->v, b->x, b->y };
    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        BN_free(all[i]);
    for (size_t i = 0; i < b->n_rooms; i++) {
        BN_free(b->items[i].z);
        BN_free(b->items[i].r);
        BN_free(b->items[i].s);
        BN_free(b->items[i].product);
        EC_POINT_free(b->items[i].key);
    }
    free(b->items);
    EC_POINT_free(b->a);
    EC_POINT_free(b->b);
    BN_MONT_CTX_free(b->order);
    BN_CTX_free(b->numbers);
    EC_GROUP_free(b->of_key);
    free(b);
}

/* ---- adding ------------------------------------------------------------------------------------------- */

static struct item *next_item(struct pki_batch *b)
{
    if (b->n_items == b->n_rooms) {
        b->items = mem_resize(b->items, b->n_rooms + 1, sizeof(*b->items));
        b->items[b->n_rooms++] =
            (struct item){ BN_new(), BN_new(), BN_new(), BN_new(), EC_POINT_new(b->group) };
    }
    struct item *item = &b->items[b->n_items];
    if (!item->z || !item->r || !item->s || !item->product || !item->key)
        abort(); /* memory */
    return item;
}

/* A positive INTEGER in its fewest octets, that is smaller than the order. */
static bool take_number(const struct pki_batch *b, struct view *from, BIGNUM *to)
{
    struct view octets;

    if (!der_take(from, DER_INTEGER, &octets) || octets.len == 0 || octets.len > HASH_SIZE + 1 ||
        octets.data[0] & 0x80 ||
        (octets.len > 1 && octets.data[0] == 0 && !(octets.data[1] & 0x80)))
        return false;
    return BN_bin2bn(octets.data, (int)octets.len, to) && !BN_is_zero(to) && BN_cmp(to, b->n) < 0;
}

/* Its key is a point of the curve: P-256 has no others than those of its order. */
static bool take_key(const struct pki_batch *b, struct view spki, EC_POINT *to)
{
    enum pki_curve curve;
    struct view point;

    if (!pki_spki_curve(spki, &curve) || curve != PKI_P256)
        return false;
    point = pki_spki_point(spki);
    return EC_POINT_oct2point(b->group, to, point.data, point.len, b->numbers) == 1;
}

bool pki_batch_add(struct pki_batch *b, struct view spki, struct view hash, struct view sig)
{
    struct item *item = next_item(b);
    struct view pair;
    bool ok = hash.len == HASH_SIZE && der_take(&sig, DER_SEQUENCE, &pair) && sig.len == 0 &&
              take_number(b, &pair, item->r) && take_number(b, &pair, item->s) && pair.len == 0 &&
              (b->of_key || take_key(b, spki, item->key)) &&
              BN_bin2bn(hash.data, HASH_SIZE, item->z) &&
              BN_to_montgomery(item->s, item->s, b->order, b->numbers) == 1;

    ERR_clear_error();
    b->n_items += ok;
    return ok;
}

size_t pki_batch_count(const struct pki_batch *b)
{
    return b->n_items;
}

/* ---- verifying ---------------------------------------------------------------------------------------- */

static bool multiply(const struct pki_batch *b, BIGNUM *to, const BIGNUM *x, const BIGNUM *y)
{
    return BN_mod_mul_montgomery(to, x, y, b->order, b->numbers) == 1;
}

static bool is_x_at(struct pki_batch *b, const BIGNUM *x)
{
    return BN_mod_mul(b->v, x, b->y, b->p, b->numbers) == 1 && BN_cmp(b->v, b->x) == 0;
}

/* Whether the first coordinate of `a` is r, or what gives r when the order is taken off. A point is X : Y : Z, its first
 * coordinate X / Z^2: r Z^2 is held against X, which spares dividing. */
static bool has_x(struct pki_batch *b, const BIGNUM *r)
{
    if (EC_POINT_is_at_infinity(b->group, b->a) ||
        EC_POINT_get_Jprojective_coordinates_GFp(b->group, b->a, b->x, NULL, b->y, b->numbers) !=
            1 ||
        BN_mod_sqr(b->y, b->y, b->p, b->numbers) != 1)
        return false;
    if (is_x_at(b, r))
        return true;
    return BN_add(b->u, r, b->n) == 1 && BN_cmp(b->u, b->p) < 0 && is_x_at(b, b->u);
}

/* `w`: the inverse of s, times Montgomery's constant. */
static bool is_right(struct pki_batch *b, const struct item *item, const BIGNUM *w)
{
    if (!multiply(b, b->u, item->z, w) || !multiply(b, b->v, item->r, w))
        return false;
    if (!b->of_key)
        return EC_POINT_mul(b->group, b->a, b->u, item->key, b->v, b->numbers) == 1 &&
               has_x(b, item->r);
    return EC_POINT_mul(b->group, b->a, b->u, NULL, NULL, b->numbers) == 1 &&
           EC_POINT_mul(b->of_key, b->b, b->v, NULL, NULL, b->numbers) == 1 &&
           EC_POINT_add(b->group, b->a, b->a, b->b, b->numbers) == 1 && has_x(b, item->r);
}

/* One inversion for all: of the product of every s, from which each of them is taken out again. */
static bool invert(struct pki_batch *b)
{
    const BIGNUM *last = NULL;

    for (size_t i = 0; i < b->n_items; i++) {
        struct item *item = &b->items[i];
        if (last ? !multiply(b, item->product, item->s, last) : !BN_copy(item->product, item->s))
            return false;
        last = item->product;
    }
    return BN_from_montgomery(b->inverse, last, b->order, b->numbers) == 1 &&
           BN_mod_inverse(b->inverse, b->inverse, b->n, b->numbers) &&
           BN_to_montgomery(b->inverse, b->inverse, b->order, b->numbers) == 1;
}

bool pki_batch_verify(struct pki_batch *b, bool *ret_is)
{
    bool goes_on = b->n_items == 0 || invert(b), are_all = true;

    for (size_t i = b->n_items; i-- > 0;) {
        const struct item *item = &b->items[i];
        goes_on = goes_on &&
                  (i ? multiply(b, b->w, b->inverse, b->items[i - 1].product)
                     : BN_copy(b->w, b->inverse) != NULL) &&
                  multiply(b, b->inverse, b->inverse, item->s);
        bool is = goes_on && is_right(b, item, b->w);
        are_all = are_all && is;
        if (ret_is)
            ret_is[i] = is;
    }
    b->n_items = 0;
    ERR_clear_error();
    return are_all;
}
