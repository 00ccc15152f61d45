/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying by a table, held against libsodium: whatever the input, the two answers must be one. */
#include "base/edwards.h"
#include "base/key_known.h"
#include "base/scalar.h"
#include "base/text.h"
#include "tests/check.h"

#include <sodium.h>
#include <stdio.h>

/* ---- the field ------------------------------------------------------------------------------------ */

#ifdef FIELD_IS_HERE

static struct fe number(size_t i)
{
    static const char *const edges[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 18 */
        "ffffffffffff07000000000000000000000000000000000000000000000000ff", /* a limb that is full */
    };
    uint8_t bytes[FE_SIZE];

    if (i < N_ELEMENTS(edges))
        text_read_hex(view_text(edges[i]), bytes, sizeof(bytes));
    else
        random_bytes(bytes, sizeof(bytes));
    return fe_read(bytes);
}

static bool is_same(struct fe a, struct fe b)
{
    uint8_t x[FE_SIZE], y[FE_SIZE];

    fe_write(&a, x);
    fe_write(&b, y);
    return memcmp(x, y, FE_SIZE) == 0;
}

static struct fe product(struct fe a, struct fe b)
{
    return fe_mul(&a, &b);
}

static struct fe sum(struct fe a, struct fe b)
{
    return fe_add(&a, &b);
}

static struct fe difference(struct fe a, struct fe b)
{
    return fe_sub(&a, &b);
}

TEST(numbers_obey_the_laws_of_a_field)
{
    enum { N = 24 };
    const struct fe one = fe_small(1);

    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            const struct fe a = number(i), b = number(j), c = number(j + N);
            CHECK(is_same(product(a, b), product(b, a)));
            CHECK(is_same(product(sum(a, b), c), sum(product(a, c), product(b, c))));
            CHECK(is_same(product(difference(a, b), difference(a, b)),
                          product(difference(b, a), difference(b, a))));
            CHECK(is_same(sum(difference(a, b), b), a));
            CHECK(is_same(fe_square(&a), product(a, a)));
            CHECK(is_same(product(product(a, b), c), product(a, product(b, c))));
            CHECK(fe_is_zero(&a) || is_same(product(a, fe_inverse(&a)), one));
        }
}

/* ---- the order ------------------------------------------------------------------------------------ */

static void check_reduced(const uint8_t hash[SCALAR_HASH])
{
    const struct scalar is = scalar_reduce(hash);
    uint8_t wanted[SCALAR_SIZE];

    crypto_core_ed25519_scalar_reduce(wanted, hash);
    const struct scalar as = scalar_read(wanted);
    CHECK(memcmp(is.word, as.word, sizeof(is.word)) == 0);
    CHECK(scalar_is_reduced(&is));
}

TEST(hashes_are_reduced_as_libsodium_reduces_them)
{
    static const uint8_t order[SCALAR_SIZE] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
                                                0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
                                                0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
    const struct scalar l = scalar_read(order);
    uint8_t hash[SCALAR_HASH];

    CHECK(!scalar_is_reduced(&l));
    for (unsigned at = 0; at < 8 * SCALAR_HASH; at++) { /* 2^at, and what is around it */
        memset(hash, 0, sizeof(hash));
        hash[at / 8] = (uint8_t)(1 << at % 8);
        check_reduced(hash);
        hash[0] |= 1;
        check_reduced(hash);
        memset(hash, 0xff, at / 8);
        check_reduced(hash);
    }
    for (size_t at = 0; at <= SCALAR_HASH - SCALAR_SIZE; at++) /* L 256^at, and what is around it */
        for (int more = -1; more <= 1; more++) {
            memset(hash, 0, sizeof(hash));
            memcpy(hash + at, order, sizeof(order));
            hash[at] = (uint8_t)(hash[at] + more);
            check_reduced(hash);
        }
    for (size_t i = 0; i < 1000; i++) {
        random_bytes(hash, sizeof(hash));
        check_reduced(hash);
    }
}

/* ---- signatures ----------------------------------------------------------------------------------- */

struct signed_text {
    uint8_t pk[KEY_SIZE], sig[SIG_SIZE], text[300];
    size_t len;
};

static bool by_table(const struct edwards_table *table, const struct signed_text *t)
{
    crypto_hash_sha512_state state;
    uint8_t hash[EDWARDS_HASH];

    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, t->sig, 32);
    crypto_hash_sha512_update(&state, t->pk, KEY_SIZE);
    crypto_hash_sha512_update(&state, t->text, t->len);
    crypto_hash_sha512_final(&state, hash);
    return edwards_verify(table, t->sig, t->sig + 32, hash);
}

/* The two answers, which are one. */
static bool answer(const struct edwards_table *table, const struct signed_text *t)
{
    bool is = crypto_sign_verify_detached(t->sig, t->text, t->len, t->pk) == 0;

    CHECK(by_table(table, t) == is);
    return is;
}

TEST(a_table_says_what_libsodium_says)
{
    for (size_t i = 0; i < 300; i++) {
        _cleanup_(key_freep) struct key *key = key_new();
        struct signed_text t = { .len = i };
        memcpy(t.pk, key_public(key), KEY_SIZE);
        random_bytes(t.text, sizeof(t.text));
        key_sign(key, VIEW(t.text, t.len), t.sig);
        struct edwards_table *table = edwards_table_new(t.pk);
        CHECK(table != NULL);
        CHECK(answer(table, &t));
        for (size_t n = 0; n < 8; n++) {
            struct signed_text other = t;
            size_t bit = random_below(8 * SIG_SIZE);
            other.sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!answer(table, &other));
        }
        t.text[0] ^= 1;
        CHECK(answer(table, &t) == (t.len == 0));
        edwards_table_release(table);
    }
}

/* s and s + L are the same modulo L: only the smaller one is a signature (RFC 8032, 5.1.7). */
TEST(a_second_form_of_a_signature_is_refused)
{
    static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                       0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
    _cleanup_(key_freep) struct key *key = key_new();
    struct signed_text t = { .len = 5 };
    unsigned carry = 0;

    memcpy(t.pk, key_public(key), KEY_SIZE);
    key_sign(key, VIEW(t.text, t.len), t.sig);
    struct edwards_table *table = edwards_table_new(t.pk);
    CHECK(answer(table, &t));
    for (size_t i = 0; i < 32; i++, carry >>= 8) {
        carry += t.sig[32 + i] + (unsigned)order[i];
        t.sig[32 + i] = (uint8_t)carry;
    }
    CHECK(!answer(table, &t));
    memcpy(t.sig + 32, order, 32); /* s = L */
    CHECK(!answer(table, &t));
    edwards_table_release(table);
}

/* s = r + h a for a nonce of our choice. */
static void sign_with(const uint8_t a[32], const uint8_t r[32], struct signed_text *t)
{
    crypto_hash_sha512_state state;
    uint8_t hash[64], h[32];

    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, t->sig, 32);
    crypto_hash_sha512_update(&state, t->pk, KEY_SIZE);
    crypto_hash_sha512_update(&state, t->text, t->len);
    crypto_hash_sha512_final(&state, hash);
    crypto_core_ed25519_scalar_reduce(h, hash);
    crypto_core_ed25519_scalar_mul(h, h, a);
    crypto_core_ed25519_scalar_add(t->sig + 32, h, r);
}

/* The points of small order: multiples of one of order 8. */
static void small_point(unsigned n, uint8_t to[32])
{
    static const char eighth[] = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    uint8_t step[32];

    text_read_hex(view_text(eighth), step, sizeof(step));
    memset(to, 0, 32);
    to[0] = 1;
    while (n-- > 0)
        CHECK(crypto_core_ed25519_add(to, to, step) == 0);
}

/* A key that is not in the group of the base point's order: libsodium takes it, and its signatures verify now and then. */
TEST(a_key_with_a_part_of_small_order_is_judged_alike)
{
    unsigned n_right = 0, n_wrong = 0;

    for (unsigned n = 1; n < 8; n++) {
        uint8_t a[32], r[32], small[32];
        struct signed_text t = { .len = 4 };
        crypto_core_ed25519_scalar_random(a);
        small_point(n, small);
        CHECK(crypto_scalarmult_ed25519_base_noclamp(t.pk, a) == 0);
        CHECK(crypto_core_ed25519_add(t.pk, t.pk, small) == 0);
        struct edwards_table *table = edwards_table_new(t.pk);
        for (t.text[0] = 0; t.text[0] < 64; t.text[0]++) {
            crypto_core_ed25519_scalar_random(r);
            CHECK(crypto_scalarmult_ed25519_base_noclamp(t.sig, r) == 0);
            if (t.text[0] & 1)
                CHECK(crypto_core_ed25519_add(t.sig, t.sig, small) == 0);
            sign_with(a, r, &t);
            if (answer(table, &t))
                n_right++;
            else
                n_wrong++;
        }
        edwards_table_release(table);
    }
    CHECK(n_right > 0 && n_wrong > 0);
}

/* With a nonce of nothing the equation holds; libsodium refuses such signatures, RFC 8032 leaves it open. */
TEST(a_nonce_of_small_order_is_refused)
{
    static const uint8_t none[32];
    struct signed_text t = { .len = 4 };
    uint8_t a[32];

    crypto_core_ed25519_scalar_random(a);
    CHECK(crypto_scalarmult_ed25519_base_noclamp(t.pk, a) == 0);
    small_point(0, t.sig);
    sign_with(a, none, &t);
    struct edwards_table *table = edwards_table_new(t.pk);
    CHECK(!answer(table, &t));
    edwards_table_release(table);
}

TEST(what_is_no_point_has_no_table)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 64; i++) {
        uint8_t bytes[32], sum_of[32], none[32] = { 1 };
        random_bytes(bytes, sizeof(bytes));
        struct edwards_table *table = edwards_table_new(bytes);
        CHECK((table != NULL) == (crypto_core_ed25519_add(sum_of, bytes, none) == 0));
        n += table != NULL;
        edwards_table_release(table);
    }
    CHECK(n > 0 && n < 64);
}

TEST(a_key_is_known_from_the_third_time_on)
{
    _cleanup_(key_freep) struct key *key = key_new();
    const uint8_t *pk = key_public(key);
    uint8_t sig[SIG_SIZE];

    key_sign(key, VIEW_LIT("text"), sig);
    for (unsigned i = 0; i < 6; i++) {
        const struct edwards_table *table = key_known_take(pk);
        CHECK((table != NULL) == (i >= 3));
        edwards_table_release(table);
        CHECK(
            !key_verify(VIEW(pk, KEY_SIZE), VIEW_LIT("next"), VIEW_ARR(sig))); /* counts nothing */
        CHECK(key_verify(VIEW(pk, KEY_SIZE), VIEW_LIT("text"), VIEW_ARR(sig)));
    }
}

/* More keys than there is room for: each is judged rightly, whether it has a table or has lost it. */
TEST(many_keys_take_turns)
{
    enum { N = 6000 };
    _free_ struct signed_text *all = mem_array(struct signed_text, N);

    for (size_t i = 0; i < N; i++) {
        _cleanup_(key_freep) struct key *key = key_new();
        memcpy(all[i].pk, key_public(key), KEY_SIZE);
        key_sign(key, VIEW(all[i].text, 0), all[i].sig);
    }
    for (size_t n = 0; n < 4; n++)
        for (size_t i = 0; i < N; i++)
            CHECK(key_verify(VIEW_ARR(all[i].pk), VIEW(NULL, 0), VIEW_ARR(all[i].sig)));
    for (size_t i = 0; i < N; i++)
        CHECK(!key_verify(VIEW_ARR(all[i].pk), VIEW(NULL, 0), VIEW_ARR(all[(i + 1) % N].sig)));
}

#endif
