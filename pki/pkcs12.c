/* SPDX-License-Identifier: Apache-2.0 */
/* Writing PKCS#12 (RFC 7292), for Java, NSS and GnuTLS. Only writing: none of OpenSSL's code that reads it, where
 * its faults were, is ever called. */
#include "pki/ossl.h"

#include <openssl/pkcs12.h>

enum { ITERATIONS = 100000, MIN_PASSPHRASE = 6 /* Java's keytool takes none that is shorter */ };

/* Java takes a certificate without a key for a trusted one only where this attribute says so. */
static const char java_trusted[] = "2.16.840.1.113894.746875.1.1";

OWN_FREEP(PKCS12, PKCS12)

static void free_certs(STACK_OF(X509) * *certs)
{
    sk_X509_pop_free(*certs, X509_free);
}

static void free_bags(STACK_OF(PKCS12_SAFEBAG) * *bags)
{
    sk_PKCS12_SAFEBAG_pop_free(*bags, PKCS12_SAFEBAG_free);
}

static void free_safes(STACK_OF(PKCS7) * *safes)
{
    sk_PKCS7_pop_free(*safes, PKCS7_free);
}

static X509 *read_cert(struct view der, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;

    if (!pki_cert_read(der, &cert, err) || !X509_up_ref(cert->x509))
        return NULL;
    return cert->x509;
}

static bool read_certs(const struct view *ders, size_t n, STACK_OF(X509) * to, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        X509 *x509 = read_cert(ders[i], err);
        if (!x509)
            return false;
        if (!sk_X509_push(to, x509)) {
            X509_free(x509);
            return pki_err(err, ERR_SYSTEM, "PKCS#12");
        }
    }
    return true;
}

static bool add_trusted(X509 *x509, const char *name, STACK_OF(PKCS12_SAFEBAG) * *bags,
                        struct err *err)
{
    PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, x509);
    const void *any = OBJ_nid2obj(NID_anyExtendedKeyUsage);

    return (bag && PKCS12_add_friendlyname_utf8(bag, name, -1) &&
            PKCS12_add1_attr_by_txt(bag, java_trusted, V_ASN1_OBJECT, any, -1)) ||
           pki_err(err, ERR_SYSTEM, "PKCS#12");
}

static PKCS12 *make_trust(STACK_OF(X509) * certs, const char *name, const char *passphrase,
                          struct err *err)
{
    _cleanup_(free_bags) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    _cleanup_(free_safes) STACK_OF(PKCS7) *safes = NULL;
    PKCS12 *made;

    for (int i = 0; i < sk_X509_num(certs); i++) {
        _free_ char *alias = i ? mem_format("%s %d", name, i + 1) : mem_text(name);
        if (!add_trusted(sk_X509_value(certs, i), alias, &bags, err))
            return NULL;
    }
    if (!PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, ITERATIONS, passphrase) ||
        !(made = PKCS12_add_safes(safes, 0))) {
        pki_err(err, ERR_SYSTEM, "PKCS#12");
        return NULL;
    }
    return made;
}

/* The leaf goes with the key, what is left of `certs` beside them. */
static PKCS12 *make_identity(const struct pki_key *key, STACK_OF(X509) * certs, const char *name,
                             const char *passphrase, struct err *err)
{
    X509 *leaf = sk_X509_shift(certs);
    PKCS12 *made = PKCS12_create(passphrase, name, key->pkey, leaf, certs, NID_aes_256_cbc,
                                 NID_aes_256_cbc, ITERATIONS, -1 /* the MAC comes below */, 0);

    X509_free(leaf);
    if (!made)
        pki_err(err, ERR_SYSTEM, "PKCS#12");
    return made;
}

bool pki_pkcs12_write(const struct pki_key *key, const struct view *certs, size_t n,
                      const char *name, const char *passphrase, struct buf *ret_der,
                      struct err *err)
{
    _cleanup_(free_certs) STACK_OF(X509) *stack = sk_X509_new_null();
    _cleanup_(PKCS12_freep) PKCS12 *made = NULL;
    unsigned char *der = NULL;

    if (strlen(passphrase) < MIN_PASSPHRASE)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the passphrase of a PKCS#12 file has at least %d characters",
                       MIN_PASSPHRASE);
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate");
    if (!stack || !read_certs(certs, n, stack, err))
        return false;
    made = key ? make_identity(key, stack, name, passphrase, err)
               : make_trust(stack, name, passphrase, err);
    if (!made)
        return false;
    if (!PKCS12_set_mac(made, passphrase, -1, NULL, 0, ITERATIONS, EVP_sha256()))
        return pki_err(err, ERR_SYSTEM, "PKCS#12");
    return pki_take_der(ret_der, &der, i2d_PKCS12(made, &der), err);
}
