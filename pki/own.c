/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/own.h"

#include "pki/batch.h"
#include "pki/der.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>

OWN_FREEP(ECDSA_SIG, ECDSA_SIG)

struct pki_own {
    const struct pki_key *key;
    EVP_PKEY_CTX *signing;
    struct pki_batch *
        waiting; /* signatures that were not verified yet; NULL: another curve, verified in the general way */
};

/* ---- the authority's key ------------------------------------------------------------------------- */

struct pki_own *pki_own_new(const struct pki_key *key)
{
    struct pki_own *own = mem_new(struct pki_own);
    _buf_ spki = { 0 };
    struct err err;

    own->key = key;
    own->signing = EVP_PKEY_CTX_new(key->pkey, NULL);
    if (!own->signing || EVP_PKEY_sign_init(own->signing) != 1 || !pki_key_spki(key, &spki, &err))
        abort(); /* memory */
    if (key->curve == PKI_P256)
        own->waiting = pki_batch_new(buf_view(&spki));
    return own;
}

void pki_own_free(struct pki_own *own)
{
    if (!own)
        return;
    EVP_PKEY_CTX_free(own->signing);
    pki_batch_free(own->waiting);
    free(own);
}

bool pki_own_verify(struct pki_own *own, struct err *err)
{
    return !own->waiting || pki_batch_verify(own->waiting, NULL) ||
           err_set(err, ERR_INTERNAL, "our own signature does not verify");
}

static bool is_signed_in_general(struct pki_own *own, struct view hash, struct view sig)
{
    _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own->key->pkey, NULL);
    bool is = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
              EVP_PKEY_verify(ctx, sig.data, sig.len, hash.data, hash.len) == 1;

    ERR_clear_error();
    return is;
}

static bool sign_soon(struct pki_own *own, struct view hash, struct buf *ret_sig, struct err *err)
{
    uint8_t sig[256];
    size_t len = sizeof(sig);

    if (EVP_PKEY_sign(own->signing, sig, &len, hash.data, hash.len) != 1)
        return pki_err(err, ERR_SYSTEM, "signing");
    if (own->waiting ? !pki_batch_add(own->waiting, VIEW(NULL, 0), hash, VIEW(sig, len))
                     : !is_signed_in_general(own, hash, VIEW(sig, len)))
        return pki_err(err, ERR_INTERNAL, "our own signature does not verify");
    buf_put(ret_sig, VIEW(sig, len));
    return true;
}

bool pki_own_sign_soon(struct pki_own *own, struct view bytes, struct buf *ret_sig, struct err *err)
{
    const EVP_MD *digest = pki_curve_digest(own->key->curve);
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(bytes.data, bytes.len, hash, &len, digest, NULL) != 1)
        return pki_err(err, ERR_SYSTEM, "signing");
    return sign_soon(own, VIEW(hash, len), ret_sig, err);
}

bool pki_own_sign(struct pki_own *own, struct view bytes, struct buf *ret_sig, struct err *err)
{
    return pki_own_sign_soon(own, bytes, ret_sig, err) && pki_own_verify(own, err);
}

/* With (r, s) the pair (r, n - s) signs the same, and of s and n - s one needs an octet more. */
static bool turn(struct pki_own *own, struct buf *sig)
{
    const BIGNUM *n = EC_GROUP_get0_order(pki_curve_group(own->key->curve)), *r, *s;
    const unsigned char *at = sig->data;
    _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *is = d2i_ECDSA_SIG(NULL, &at, (long)sig->len),
                                         *other = ECDSA_SIG_new();
    BIGNUM *r2 = BN_new(), *s2 = BN_new();
    unsigned char *out = NULL;
    struct err unused;

    if (is)
        ECDSA_SIG_get0(is, &r, &s);
    if (!is || !other || !r2 || !s2 || !BN_copy(r2, r) || !BN_sub(s2, n, s) ||
        ECDSA_SIG_set0(other, r2, s2) != 1) {
        BN_free(r2);
        BN_free(s2);
        return false;
    }
    buf_clear(sig);
    return pki_take_der(sig, &out, i2d_ECDSA_SIG(other, &out), &unused);
}

/* A number that begins with a zero octet is one in 128: then the next signature is tried. */
bool pki_own_sign_hash(struct pki_own *own, struct view hash, size_t len, struct buf *ret_sig,
                       struct err *err)
{
    enum { MAX_TRIES = 200 };

    for (size_t i = 0; i < MAX_TRIES; i++) {
        _buf_ sig = { 0 };
        if (!sign_soon(own, hash, &sig, err) || !pki_own_verify(own, err))
            return false;
        if (sig.len != len && own->waiting && !turn(own, &sig))
            return pki_err(err, ERR_SYSTEM, "signing");
        if (sig.len != len)
            continue;
        buf_put(ret_sig, buf_view(&sig));
        return true;
    }
    return err_set(err, ERR_SYSTEM, "no signature of %zu bytes in %d tries", len, MAX_TRIES);
}

/* ---- the throwaway key --------------------------------------------------------------------------- */

struct pki_throwaway {
    EC_GROUP *group;
    BIGNUM *d, *k_inverse, *r, *s; /* the number of the key, of the nonce; the signature's two */
    BN_CTX *numbers;
    EC_POINT *point;
};

static bool draw(struct pki_throwaway *t)
{
    const BIGNUM *n = EC_GROUP_get0_order(t->group);

    do
        if (BN_priv_rand_range(t->d, n) != 1 || BN_priv_rand_range(t->s, n) != 1 ||
            EC_POINT_mul(t->group, t->point, t->s, NULL, NULL, t->numbers) != 1 ||
            EC_POINT_get_affine_coordinates(t->group, t->point, t->r, NULL, t->numbers) != 1 ||
            BN_nnmod(t->r, t->r, n, t->numbers) != 1)
            return false;
    while (BN_is_zero(t->d) || BN_is_zero(t->s) || BN_is_zero(t->r));
    return BN_mod_inverse(t->k_inverse, t->s, n, t->numbers) &&
           EC_POINT_mul(t->group, t->point, t->d, NULL, NULL, t->numbers) == 1;
}

struct pki_throwaway *pki_throwaway_new(void)
{
    struct pki_throwaway *t = mem_new(struct pki_throwaway);

    t->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    t->d = BN_new();
    t->k_inverse = BN_new();
    t->r = BN_new();
    t->s = BN_new();
    t->numbers = BN_CTX_new();
    t->point = t->group ? EC_POINT_new(t->group) : NULL;
    if (!t->point || !t->d || !t->k_inverse || !t->r || !t->s || !t->numbers || !draw(t))
        abort(); /* memory, or no randomness */
    return t;
}

void pki_throwaway_free(struct pki_throwaway *t)
{
    if (!t)
        return;
    BN_clear_free(t->d);
    BN_clear_free(t->k_inverse);
    BN_free(t->r);
    BN_clear_free(t->s);
    BN_CTX_free(t->numbers);
    EC_POINT_free(t->point);
    EC_GROUP_free(t->group);
    free(t);
}

static void put_number(struct buf *to, const BIGNUM *n)
{
    uint8_t bytes[1 + HASH_SIZE] = { 0 };
    size_t len = (size_t)BN_bn2bin(n, bytes + 1);
    bool is_high = bytes[1] & 0x80;

    der_put(to, DER_INTEGER, is_high ? VIEW(bytes, len + 1) : VIEW(bytes + 1, len));
}

/* s = (z + r d) / k: one hash and two multiplications. A zero s is one in 2^256. */
bool pki_throwaway_sign(struct pki_throwaway *t, struct view bytes, struct buf *ret_sig,
                        struct err *err)
{
    const BIGNUM *n = EC_GROUP_get0_order(t->group);
    size_t start = ret_sig->len;
    uint8_t hash[HASH_SIZE];

    pki_hash(bytes, hash);
    BN_CTX_start(t->numbers);
    BIGNUM *z = BN_CTX_get(t->numbers);
    bool ok = z && BN_bin2bn(hash, sizeof(hash), z) &&
              BN_mod_mul(t->s, t->r, t->d, n, t->numbers) == 1 &&
              BN_mod_add(t->s, t->s, z, n, t->numbers) == 1 &&
              BN_mod_mul(t->s, t->s, t->k_inverse, n, t->numbers) == 1 && !BN_is_zero(t->s);
    BN_CTX_end(t->numbers);
    if (!ok)
        return pki_err(err, ERR_SYSTEM, "signing a copy");
    put_number(ret_sig, t->r);
    put_number(ret_sig, t->s);
    der_wrap(ret_sig, start, DER_SEQUENCE);
    return true;
}

void pki_throwaway_point(const struct pki_throwaway *t, uint8_t ret_point[PKI_P256_POINT])
{
    if (EC_POINT_point2oct(t->group, t->point, POINT_CONVERSION_UNCOMPRESSED, ret_point,
                           PKI_P256_POINT, NULL) != PKI_P256_POINT)
        abort(); /* memory */
}
