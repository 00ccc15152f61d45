/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys: P-256 and P-384, as PKCS#8 (RFC 5958), at rest under PBES2 (RFC 8018) with scrypt
 * (RFC 7914). OpenSSL's PKCS#12 code stays unused: what it offers for PBES2 is a few lines here. */
#include "pki/ossl.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>

/* scrypt's cost for a passphrase: 16 MiB and five rounds over it, about a fifth of a second. */
enum { SCRYPT_N = 1 << 14, SCRYPT_R = 8, SCRYPT_P = 5, SCRYPT_SALT = 16 };
enum { KEY_PEM_MAX = 8192, SECURE_HEAP = 256 * 1024, SECURE_LEAST = 32 };

static const char plain_label[] = "PRIVATE KEY";
static const char sealed_label[] = "ENCRYPTED PRIVATE KEY";

bool pki_guard_keys(void)
{
    return CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST) == 1;
}

bool pki_key_new(enum pki_curve curve, struct pki_key **ret_key, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = mem_new(struct pki_key);

    key->curve = curve;
    key->pkey = EVP_EC_gen(pki_curve_name(curve));
    if (!key->pkey)
        return pki_err(err, ERR_SYSTEM, "new %s key", pki_curve_name(curve));
    *ret_key = STEAL(key);
    return true;
}

void pki_key_free(struct pki_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey); /* clears the private number */
    pki_remote_free(key->remote);
    free(key);
}

bool pki_key_spki(const struct pki_key *key, struct buf *ret_der, struct err *err)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);

    return pki_take_der(ret_der, &der, len, err);
}

bool pki_key_spki_hash(const struct pki_key *key, uint8_t ret_hash[HASH_SIZE], struct err *err)
{
    _buf_ spki = { 0 };

    if (!pki_key_spki(key, &spki, err))
        return false;
    pki_hash(buf_view(&spki), ret_hash);
    return true;
}

bool pki_key_der(const struct pki_key *key, struct buf *ret_der, struct err *err)
{
    _cleanup_(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info =
        key->remote ? NULL : EVP_PKEY2PKCS8(key->pkey);
    unsigned char *der = NULL;

    if (key->remote)
        return err_set(err, ERR_NOT_AUTHORIZED, "the key is in a token, which does not give it");
    if (!info)
        return pki_err(err, ERR_SYSTEM, "writing the key");
    return pki_take_der(ret_der, &der, i2d_PKCS8_PRIV_KEY_INFO(info, &der), err);
}

/* Runs PBES2 as `alg` says over `from`; false when it does not come out (a wrong passphrase). */
static bool pbes2(const X509_ALGOR *alg, struct view passphrase, bool encrypt, struct view from,
                  struct buf *to)
{
    _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, n_last = 0;
    uint8_t *at;

    if (!ctx || passphrase.len > INT_MAX || from.len > INT_MAX ||
        !EVP_PBE_CipherInit(alg->algorithm, (const char *)passphrase.data, (int)passphrase.len,
                            alg->parameter, ctx, encrypt)) {
        ERR_clear_error();
        return false;
    }
    at = buf_grow(to, from.len + EVP_MAX_BLOCK_LENGTH);
    if (!EVP_CipherUpdate(ctx, at, &n, from.data, (int)from.len) ||
        !EVP_CipherFinal_ex(ctx, at + n, &n_last)) {
        ERR_clear_error();
        return false;
    }
    to->len -= from.len + EVP_MAX_BLOCK_LENGTH - (size_t)(n + n_last);
    return true;
}

static bool seal(struct view der, struct view passphrase, struct buf *ret_der, struct err *err)
{
    _cleanup_(X509_ALGOR_freep) X509_ALGOR *alg = PKCS5_pbe2_set_scrypt(
        EVP_aes_256_cbc(), NULL, SCRYPT_SALT, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    _cleanup_(X509_SIG_freep) X509_SIG *sealed = X509_SIG_new();
    _buf_ secret = { 0 };
    unsigned char *out = NULL;
    ASN1_OCTET_STRING *octets;
    X509_ALGOR *where;

    if (!alg || !sealed || !pbes2(alg, passphrase, true, der, &secret))
        return pki_err(err, ERR_SYSTEM, "encrypting the key");
    X509_SIG_getm(sealed, &where, &octets);
    if (!X509_ALGOR_copy(where, alg) ||
        !ASN1_OCTET_STRING_set(octets, secret.data, (int)secret.len))
        return pki_err(err, ERR_SYSTEM, "encrypting the key");
    return pki_take_der(ret_der, &out, i2d_X509_SIG(sealed, &out), err);
}

bool pki_key_write(const struct pki_key *key, struct view passphrase, struct buf *ret_pem,
                   struct err *err)
{
    _buf_wipe_ der = { 0 };
    _buf_ sealed = { 0 };

    if (!pki_key_der(key, &der, err))
        return false;
    if (passphrase.len == 0) {
        pki_pem_put(ret_pem, plain_label, buf_view(&der));
        return true;
    }
    if (!seal(buf_view(&der), passphrase, &sealed, err))
        return false;
    pki_pem_put(ret_pem, sealed_label, buf_view(&sealed));
    return true;
}

static bool unseal(struct view der, struct view passphrase, struct buf *ret_der, struct err *err)
{
    const unsigned char *at = der.data;
    _cleanup_(X509_SIG_freep) X509_SIG *sealed = d2i_X509_SIG(NULL, &at, (long)der.len);
    const ASN1_OCTET_STRING *octets;
    const X509_ALGOR *alg;

    if (!sealed || at != der.data + der.len)
        return pki_err(err, ERR_BAD_WIRE, "the encrypted key is malformed");
    X509_SIG_get0(sealed, &alg, &octets);
    if (OBJ_obj2nid(alg->algorithm) != NID_pbes2)
        return err_set(err, ERR_BAD_WIRE, "the key is not encrypted by PBES2");
    if (passphrase.len == 0)
        return err_set(err, ERR_LOCKED, "the key is encrypted: its passphrase is needed");
    if (!pbes2(alg, passphrase, false,
               VIEW(ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets)), ret_der))
        return err_set(err, ERR_BAD_PASSPHRASE, "the passphrase does not open the key");
    return true;
}

/* Takes one of our curves, point and number belonging together, and nothing else. */
static bool key_from_der(struct view der, struct pki_key **ret_key, struct err *err)
{
    const unsigned char *at = der.data;
    _cleanup_(pki_key_freep) struct pki_key *key = mem_new(struct pki_key);
    _cleanup_(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
    _buf_ spki = { 0 };

    if (!info || at != der.data + der.len || !(key->pkey = EVP_PKCS82PKEY(info)))
        return pki_err(err, ERR_BAD_WIRE, "the key is not PKCS#8");
    if (!pki_key_spki(key, &spki, err))
        return false;
    if (!pki_spki_curve(buf_view(&spki), &key->curve))
        return err_set(err, ERR_WRONG_KEY, "the key is neither P-256 nor P-384");
    ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    if (!ctx || EVP_PKEY_pairwise_check(ctx) != 1)
        return pki_err(err, ERR_WRONG_KEY, "the key's two halves do not belong together");
    *ret_key = STEAL(key);
    return true;
}

bool pki_key_read(struct view pem, struct view passphrase, struct pki_key **ret_key,
                  struct err *err)
{
    _buf_wipe_ der = { 0 };
    _buf_ sealed = { 0 };
    size_t n_plain = 0, n_sealed = 0;

    if (pem.len > KEY_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "a key of %zu bytes, at most %d", pem.len, KEY_PEM_MAX);
    if (!pki_pem_read_all(pem, sealed_label, &sealed, 1, &n_sealed, err) ||
        !pki_pem_read_all(pem, plain_label, &der, 1, &n_plain, err))
        return false;
    if (n_plain + n_sealed != 1)
        return err_set(err, ERR_BAD_WIRE, "%zu private keys where one is wanted (PKCS#8, PEM)",
                       n_plain + n_sealed);
    if (n_sealed == 0)
        return key_from_der(buf_view(&der), ret_key, err);
    if (!unseal(buf_view(&sealed), passphrase, &der, err))
        return false;
    if (!key_from_der(buf_view(&der), ret_key, err)) {
        /* one wrong passphrase in 256 leaves padding that looks right */
        return err_set(err, ERR_BAD_PASSPHRASE, "the passphrase does not open the key");
    }
    return true;
}

bool pki_key_sign(const struct pki_key *key, struct view bytes, struct buf *ret_sig,
                  struct err *err)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[256];
    size_t len = sizeof(sig);

    if (!ctx || EVP_DigestSignInit(ctx, NULL, pki_curve_digest(key->curve), NULL, key->pkey) != 1 ||
        EVP_DigestSign(ctx, sig, &len, bytes.data, bytes.len) != 1)
        return pki_err(err, ERR_SYSTEM, "signing");
    buf_put(ret_sig, VIEW(sig, len));
    return true;
}

static bool check_signed(struct view spki, struct view bytes, struct view sig, bool *ret_is,
                         struct err *err)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_spki_key(spki);
    enum pki_curve curve;

    if (!key || !pki_spki_curve(spki, &curve))
        return pki_err(err, ERR_WRONG_KEY, "the key is neither P-256 nor P-384");
    *ret_is = pki_key_signed(key, pki_curve_digest(curve), bytes, sig);
    return true;
}

bool pki_verify_by_spki(struct view spki, struct view bytes, struct view sig, struct err *err)
{
    bool is = false;

    return check_signed(spki, bytes, sig, &is, err) &&
           (is || err_set(err, ERR_BAD_SIGNATURE, "not signed by that key"));
}

bool pki_verify_by_cert(struct view cert_der, struct view bytes, struct view sig, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ spki = { 0 };
    bool is = false;

    if (!pki_cert_read_keyless(cert_der, &cert, err) || !pki_x509_spki(cert->x509, &spki, err))
        return false;
    return check_signed(buf_view(&spki), bytes, sig, &is, err) &&
           (is || err_set(err, ERR_BAD_SIGNATURE, "not signed by %s", cert->facts.subject));
}
