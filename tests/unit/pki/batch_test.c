/* SPDX-License-Identifier: Apache-2.0 */
/* What Wycheproof's vectors (vectors_test.c) cannot tell. */
#include "pki/batch.h"
#include "tests/check.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>

enum { POINT = 65 };

static void sign_any(struct buf *ret_spki, struct buf *ret_sig, struct view bytes)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    struct err err = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_key_spki(key, ret_spki, &err), err);
    CHECK_OK(pki_key_sign(key, bytes, ret_sig, &err), err);
}

/* The key -z / r: with it u1 G + u2 Q is no point, whatever s is; X and Z are both zero there. */
static void put_cancelling_key(struct view hash, struct view sig, struct buf *spki)
{
    const EC_GROUP *group = pki_curve_group(PKI_P256);
    const BIGNUM *n = EC_GROUP_get0_order(group);
    const unsigned char *at = sig.data;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)sig.len);
    BN_CTX *numbers = BN_CTX_new();
    BIGNUM *d = BN_mod_inverse(NULL, ECDSA_SIG_get0_r(pair), n, numbers), *z = BN_new();
    EC_POINT *key = EC_POINT_new(group);

    BN_bin2bn(hash.data, (int)hash.len, z);
    BN_mod_mul(d, d, z, n, numbers);
    BN_sub(d, n, d);
    EC_POINT_mul(group, key, d, NULL, NULL, numbers);
    CHECK_U64(EC_POINT_point2oct(group, key, POINT_CONVERSION_UNCOMPRESSED,
                                 spki->data + spki->len - POINT, POINT, numbers),
              POINT);
    EC_POINT_free(key);
    BN_free(d);
    BN_free(z);
    BN_CTX_free(numbers);
    ECDSA_SIG_free(pair);
}

TEST(what_cancels_out_is_no_signature)
{
    _cleanup_(pki_batch_freep) struct pki_batch *batch = pki_batch_new(VIEW(NULL, 0));
    _buf_ spki = { 0 }, sig = { 0 };
    uint8_t hash[HASH_SIZE];

    sign_any(&spki, &sig, VIEW_LIT("bytes"));
    pki_hash(VIEW_LIT("bytes"), hash);
    CHECK(pki_batch_add(batch, buf_view(&spki), VIEW_ARR(hash), buf_view(&sig)));
    CHECK(pki_batch_verify(batch, NULL));
    put_cancelling_key(VIEW_ARR(hash), buf_view(&sig), &spki);
    CHECK(pki_batch_add(batch, buf_view(&spki), VIEW_ARR(hash), buf_view(&sig)));
    CHECK(!pki_batch_verify(batch, NULL));
}

TEST(a_key_is_a_point_of_p256)
{
    _cleanup_(pki_batch_freep) struct pki_batch *batch = pki_batch_new(VIEW(NULL, 0));
    _cleanup_(pki_key_freep) struct pki_key *other = NULL;
    _buf_ spki = { 0 }, sig = { 0 }, other_spki = { 0 };
    struct err err = { 0 };
    uint8_t hash[HASH_SIZE];

    sign_any(&spki, &sig, VIEW_LIT("bytes"));
    pki_hash(VIEW_LIT("bytes"), hash);
    CHECK_OK(pki_key_new(PKI_P384, &other, &err), err);
    CHECK_OK(pki_key_spki(other, &other_spki, &err), err);
    CHECK(!pki_batch_add(batch, buf_view(&other_spki), VIEW_ARR(hash), buf_view(&sig)));
    CHECK(!pki_batch_add(batch, VIEW(NULL, 0), VIEW_ARR(hash), buf_view(&sig)));
    CHECK(!pki_batch_add(batch, buf_view(&spki), VIEW(hash, 20), buf_view(&sig)));
    spki.data[spki.len - 1] ^= 1;
    CHECK(!pki_batch_add(batch, buf_view(&spki), VIEW_ARR(hash), buf_view(&sig)));
    CHECK_U64(pki_batch_count(batch), 0);
    CHECK(pki_batch_verify(batch, NULL));
}

TEST(those_of_one_key_are_verified_by_its_table)
{
    _buf_ spki = { 0 }, sig = { 0 };
    uint8_t hash[HASH_SIZE], other[HASH_SIZE];
    bool is[3];

    sign_any(&spki, &sig, VIEW_LIT("bytes"));
    pki_hash(VIEW_LIT("bytes"), hash);
    pki_hash(VIEW_LIT("others"), other);
    _cleanup_(pki_batch_freep) struct pki_batch *batch = pki_batch_new(buf_view(&spki));
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3; i++)
            CHECK(pki_batch_add(batch, VIEW(NULL, 0), i == round ? VIEW_ARR(other) : VIEW_ARR(hash),
                                buf_view(&sig)));
        CHECK(!pki_batch_verify(batch, is));
        for (size_t i = 0; i < 3; i++)
            CHECK(is[i] == (i != round));
    }
}
