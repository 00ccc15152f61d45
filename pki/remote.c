/* SPDX-License-Identifier: Apache-2.0 */
/* A key whose private half is elsewhere, in a token: for OpenSSL an EC key that signs by another method. OpenSSL 3.0 calls
 * that way deprecated; the other, a provider of our own, is ten times the code for the one call that is wanted. */
#include "pki/der.h"
#include "pki/ossl.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

OWN_FREEP(EC_KEY, EC_KEY)
OWN_FREEP(ECDSA_SIG, ECDSA_SIG)

static EC_KEY_METHOD *method;
static int slot; /* of each EC_KEY, for its struct pki_remote */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* r and s, both of the curve's size (PKCS#11, 6.3.1). */
static ECDSA_SIG *sig_of(struct view halves)
{
    _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
    int half = (int)(halves.len / 2);
    BIGNUM *r = BN_bin2bn(halves.data, half, NULL), *s = BN_bin2bn(halves.data + half, half, NULL);

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1)
        return STEAL(sig);
    BN_free(r);
    BN_free(s);
    return NULL;
}

/* What failed there waits in OpenSSL's queue, for pki_err(). */
static ECDSA_SIG *sign_there(const unsigned char *digest, int len, _unused_ const BIGNUM *kinv,
                             _unused_ const BIGNUM *r, EC_KEY *key)
{
    const struct pki_remote *remote = EC_KEY_get_ex_data(key, slot);
    size_t size = ((size_t)EC_GROUP_get_degree(EC_KEY_get0_group(key)) + 7) / 8;
    struct err err = { 0 };
    _buf_ halves = { 0 };
    bool ok;

    ERR_set_mark(); /* the other side may use OpenSSL too */
    ok = remote->sign(remote->user, VIEW(digest, (size_t)len), &halves, &err);
    ERR_pop_to_mark();
    if (ok && halves.len == 2 * size)
        return sig_of(buf_view(&halves));
    if (ok)
        err_set(&err, ERR_SYSTEM, "a signature of %zu bytes, expected %zu", halves.len, 2 * size);
    ERR_raise_data(ERR_LIB_USER, (int)err.code, "%s", err.text);
    return NULL;
}

static int sign_as_der(_unused_ int type, const unsigned char *digest, int len, unsigned char *to,
                       unsigned *ret_len, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *key)
{
    _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = sign_there(digest, len, kinv, r, key);
    int n = sig ? i2d_ECDSA_SIG(sig, &to) : 0;

    *ret_len = n > 0 ? (unsigned)n : 0;
    return n > 0;
}

static void make_method(void)
{
    method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    slot = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (!method || slot < 0)
        abort(); /* memory */
    EC_KEY_METHOD_set_sign(method, sign_as_der, NULL, sign_there);
}

static EVP_PKEY *wrap(enum pki_curve curve, struct view point, struct pki_remote *remote)
{
    _cleanup_(EC_KEY_freep) EC_KEY *key = EC_KEY_new_by_curve_name(
        OBJ_sn2nid(curve == PKI_P256 ? SN_X9_62_prime256v1 : SN_secp384r1));
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = EVP_PKEY_new();

    pthread_once(&once, make_method);
    if (!key || !pkey || EC_KEY_oct2key(key, point.data, point.len, NULL) != 1 ||
        EC_KEY_set_method(key, method) != 1 || EC_KEY_set_ex_data(key, slot, remote) != 1 ||
        EVP_PKEY_assign_EC_KEY(pkey, key) != 1)
        return NULL;
    (void)STEAL(key);
    return STEAL(pkey);
}

bool pki_key_remote(struct view spki, const struct pki_remote *remote_taken,
                    struct pki_key **ret_key, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = mem_new(struct pki_key);

    key->remote = mem_dup(remote_taken, sizeof(*remote_taken));
    if (!pki_spki_curve(spki, &key->curve))
        return err_set(err, ERR_WRONG_KEY, "the key is neither P-256 nor P-384");
    key->pkey = wrap(key->curve, pki_spki_point(spki), key->remote);
    if (!key->pkey)
        return pki_err(err, ERR_WRONG_KEY, "the key's point is not on its curve");
    *ret_key = STEAL(key);
    return true;
}

void pki_remote_free(struct pki_remote *remote)
{
    if (remote && remote->free)
        remote->free(remote->user);
    free(remote);
}

static void put_spki(struct buf *to, struct view params, struct view point)
{
    static const uint8_t ec[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
    size_t bits;

    buf_clear(to);
    der_put(to, DER_OID, VIEW_ARR(ec));
    buf_put(to, params);
    der_wrap(to, 0, DER_SEQUENCE);
    bits = to->len;
    buf_put_u8(to, 0); /* no unused bits */
    buf_put(to, point);
    der_wrap(to, bits, DER_BITS);
    der_wrap(to, 0, DER_SEQUENCE);
}

/* The point is wrapped in an OCTET STRING (PKCS#11, 6.3.3); some tokens leave that out. */
bool pki_spki_by_params(struct view params, struct view point, struct buf *ret_spki,
                        enum pki_curve *ret_curve)
{
    _buf_ spki = { 0 };
    struct view inner;

    if (params.len > 64 || point.len > 256)
        return false;
    if (der_take(&(struct view){ point.data, point.len }, DER_OCTETS, &inner))
        put_spki(&spki, params, inner);
    if (!pki_spki_curve(buf_view(&spki), ret_curve))
        put_spki(&spki, params, point);
    if (!pki_spki_curve(buf_view(&spki), ret_curve))
        return false;
    buf_put(ret_spki, buf_view(&spki));
    return true;
}

enum pki_curve pki_key_curve(const struct pki_key *key)
{
    return key->curve;
}

const char *pki_curve_text(enum pki_curve curve)
{
    return pki_curve_name(curve);
}
