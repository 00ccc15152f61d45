/* SPDX-License-Identifier: Apache-2.0 */
/* For pki's own files: what its structs hold, and OpenSSL's types as owners. */
#pragma once

#include "pki/pki.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct pki_key {
    EVP_PKEY *pkey;
    enum pki_curve curve;
    struct pki_remote *remote; /* who signs; NULL: the key is here */
};
void pki_remote_free(struct pki_remote *remote);

struct pki_csr {
    X509_REQ *req; /* NULL: it has nothing but a key, or nothing else was looked at */
    bool has_no_names;
    struct buf spki; /* DER */
    uint8_t spki_hash[HASH_SIZE];
};

struct pki_cert {
    X509 *x509;
    struct buf der, serial_octets;
    char *subject, *issuer, *names, *serial; /* what `facts` points to */
    struct pki_facts facts;
    uint8_t hash[HASH_SIZE], spki_hash[HASH_SIZE];
};

struct pki_ca {
    struct pki_cert *cert;
    struct pki_key *key;
    struct pki_desk *desk; /* pki_ca_desk() */
};

struct pki_desk {
    const struct pki_ca *ca;
    struct pki_own *own;
    struct pki_throwaway *throwaway; /* signs copies of leaves, which are only looked at */
    char *network; /* that the CA was found to be constrained to; NULL: not looked at yet */
};
/* The CA's own, made when it is first asked for. */
struct pki_desk *pki_ca_desk(struct pki_ca *ca);

OWN_FREEP(X509, X509)
OWN_FREEP(X509_REQ, X509_REQ)
OWN_FREEP(X509_CRL, X509_CRL)
OWN_FREEP(X509_NAME, X509_NAME)
OWN_FREEP(X509_EXTENSION, X509_EXTENSION)
OWN_FREEP(X509_REVOKED, X509_REVOKED)
OWN_FREEP(X509_SIG, X509_SIG)
OWN_FREEP(X509_ALGOR, X509_ALGOR)
OWN_FREEP(X509_STORE, X509_STORE)
OWN_FREEP(X509_STORE_CTX, X509_STORE_CTX)
OWN_FREEP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO)
OWN_FREEP(EVP_PKEY, EVP_PKEY)
OWN_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX)
OWN_FREEP(EC_POINT, EC_POINT)
OWN_FREEP(EVP_MD_CTX, EVP_MD_CTX)
OWN_FREEP(EVP_CIPHER_CTX, EVP_CIPHER_CTX)
OWN_FREEP(ASN1_INTEGER, ASN1_INTEGER)
OWN_FREEP(ASN1_ENUMERATED, ASN1_ENUMERATED)
OWN_FREEP(ASN1_OCTET_STRING, ASN1_OCTET_STRING)
OWN_FREEP(ASN1_TIME, ASN1_TIME)
OWN_FREEP(GENERAL_NAMES, GENERAL_NAMES)

/* Fails with OpenSSL's own newest reason behind the text, and leaves its queue empty: libssl, in
 * the same thread, would take what we leave there for its own. When it was a key elsewhere that failed, with its
 * code and reason. */
bool pki_err(struct err *err, enum err_code code, const char *fmt, ...) _printf_(3, 4);
#ifdef __clang_analyzer__ /* false, always, as base/err.h has it */
#define pki_err(...) ((void)pki_err(__VA_ARGS__), false)
#endif

/* Appends what an i2d function made at *der (`len` <= 0: it failed) and frees it, wiped. */
bool pki_take_der(struct buf *to, unsigned char **der, int len, struct err *err);

/* What a public key must be, byte by byte: a named curve and an uncompressed point. False for
 * every other key. */
bool pki_spki_curve(struct view spki, enum pki_curve *ret_curve);
struct view pki_spki_point(struct view spki); /* of one of ours: what the bit string holds */
struct view pki_x509_point(const X509 *x509); /* of any key */
/* AlgorithmIdentifier of ECDSA by a key of that curve. */
void pki_put_algorithm(struct buf *to, enum pki_curve curve);
enum pki_digest { PKI_SHA256, PKI_SHA384, PKI_SHA512, PKI_DIGESTS };
const EVP_MD *pki_digest(enum pki_digest digest); /* lives as long as the process */
const EVP_MD *pki_curve_digest(enum pki_curve curve);
const char *pki_curve_name(enum pki_curve curve); /* "P-256" */
const EC_GROUP *pki_curve_group(enum pki_curve curve);
bool pki_x509_spki(X509 *x509, struct buf *ret_der, struct err *err);
/* The public key that these bytes are, owned by the caller; NULL when they are none of ours, or the point is
 * not on its curve. Twenty times as fast as OpenSSL 3.0's decoders. */
EVP_PKEY *pki_spki_key(struct view spki);
/* The same look, without a key to keep. */
bool pki_spki_is_key(struct view spki);
/* Whether `key` signed `bytes`, with its curve's own digest or with `digest`. False for each doubt. */
bool pki_key_signed(EVP_PKEY *key, const EVP_MD *digest, struct view bytes, struct view sig);

/* A certificate to be held against the profile: facts have its times alone, and no texts for people. */
bool pki_cert_read_bare(struct view der, struct pki_cert **ret_cert, struct err *err);

/* Where OpenSSL finds no decoder: X509 and X509_REQ made with it leave the key in them as the bytes that it is,
 * which is four fifths of the cost of reading one. They cannot verify, nor be verified by OpenSSL. */
OSSL_LIB_CTX *pki_keyless(void);

/* Milliseconds since 1970. False when not in the one form that RFC 5280, 4.1.2.5 allows. */
bool pki_time_read(const ASN1_TIME *time, uint64_t *ret_ms);
bool pki_time_write(uint64_t ms, ASN1_TIME *to, struct err *err);
/* "3 days" for messages. */
#define PKI_SPAN_TEXT 32
const char *pki_span_text(uint64_t ms, char to[PKI_SPAN_TEXT]);
