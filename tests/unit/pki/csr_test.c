/* SPDX-License-Identifier: Apache-2.0 */
/* Requests are made with OpenSSL, as a stranger would make them. */
#include "tests/unit/pki/net.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

struct shape {
    const char *key, *digest, *cn[3], *o, *san[3]; /* each san in an extension of its own */
    int second_attribute;                          /* the second san goes into one of this kind */
    const char *challenge, *unstructured;
};

static void add_san(STACK_OF(X509_EXTENSION) * *to, const char *text)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_subject_alt_name, text);
    if (!*to)
        *to = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(*to, ext);
}

/* An attribute is a set: more extensions can stand in a second value of it. */
static void add_value(X509_ATTRIBUTE *attr, STACK_OF(X509_EXTENSION) * exts)
{
    unsigned char *der = NULL;
    int len = i2d_X509_EXTENSIONS(exts, &der);

    X509_ATTRIBUTE_set1_data(attr, V_ASN1_SEQUENCE, der, len);
    OPENSSL_free(der);
}

static void add_sans(X509_REQ *req, const struct shape *shape)
{
    STACK_OF(X509_EXTENSION) *first = NULL, *second = NULL;

    for (size_t i = 0; i < N_ELEMENTS(shape->san); i++)
        if (shape->san[i])
            add_san(shape->second_attribute && i > 0 ? &second : &first, shape->san[i]);
    if (first)
        X509_REQ_add_extensions(req, first);
    if (second && shape->second_attribute == NID_ext_req)
        add_value(X509_REQ_get_attr(req, 0), second);
    else if (second)
        X509_REQ_add_extensions_nid(req, second, shape->second_attribute);
    sk_X509_EXTENSION_pop_free(first, X509_EXTENSION_free);
    sk_X509_EXTENSION_pop_free(second, X509_EXTENSION_free);
}

static void make(const struct shape *shape, struct buf *to)
{
    const char *kind = shape->key ? shape->key : "P-256";
    EVP_PKEY *key = strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(2048u) : EVP_EC_gen(kind);
    X509_REQ *req = X509_REQ_new();
    X509_NAME *subject = X509_REQ_get_subject_name(req);
    unsigned char *der = NULL;
    int len;

    X509_REQ_set_pubkey(req, key);
    for (size_t i = 0; i < N_ELEMENTS(shape->cn); i++)
        if (shape->cn[i])
            X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                       (const unsigned char *)shape->cn[i], -1, -1, 0);
    if (shape->o)
        X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)shape->o, -1,
                                   -1, 0);
    add_sans(req, shape);
    if (shape->challenge)
        X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_ASC,
                                  (const unsigned char *)shape->challenge, -1);
    if (shape->unstructured)
        X509_REQ_add1_attr_by_NID(req, NID_pkcs9_unstructuredName, MBSTRING_ASC,
                                  (const unsigned char *)shape->unstructured, -1);
    X509_REQ_sign(req, key, EVP_get_digestbyname(shape->digest ? shape->digest : "SHA256"));
    len = i2d_X509_REQ(req, &der);
    buf_put(to, VIEW(der, (size_t)len));
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
}

TEST(names_are_absent_or_right_wherever_they_stand)
{
#define OURS "DNS:456000.corp.example"
    static const struct {
        struct shape shape;
        const char *why; /* NULL: fine */
    } cases[] = {
        { { NULL }, NULL },
        { { .cn = { "456000" } }, NULL },
        { { .san = { OURS } }, NULL },
        { { .cn = { "456000" }, .san = { OURS } }, NULL },
        { { .san = { OURS "," OURS, OURS } }, NULL },
        { { .cn = { "111111" } }, "the request's common name is 111111, not 456000" },
        { { .cn = { "456000", "456000", "111111" } },
          "the request's common name is 111111, not 456000" },
        { { .cn = { "111111", "456000" } }, "the request's common name is 111111, not 456000" },
        { { .cn = { "456000.corp.example" } },
          "the request's common name is 456000.corp.example, not 456000" },
        { { .cn = { "456000" }, .o = "Example" }, "the request names O=Example" },
        { { .san = { "DNS:111111.corp.example" } },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { OURS ",DNS:111111.corp.example" } },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { "DNS:111111.corp.example," OURS } },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { OURS "," OURS ",DNS:*.corp.example," OURS } },
          "the request is for *.corp.example, not 456000.corp.example" },
        { { .san = { OURS, "DNS:111111.corp.example" } },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { OURS, "DNS:111111.corp.example" }, .second_attribute = NID_ms_ext_req },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { OURS, "DNS:111111.corp.example" }, .second_attribute = NID_ext_req },
          "the request is for 111111.corp.example, not 456000.corp.example" },
        { { .san = { "DNS:456000.CORP.example" } },
          "the request is for 456000.CORP.example, not 456000.corp.example" },
        { { .san = { "IP:127.0.0.1" } }, "the request has an alternative name that is no dNSName" },
        { { .san = { OURS ",email:a@corp.example" } },
          "the request has an alternative name that is no dNSName" },
        { { .challenge = "secret" }, "the request has the attribute challengePassword" },
        { { .unstructured = "111111.corp.example" },
          "the request has the attribute unstructuredName" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
        _buf_ der = { 0 };
        struct err err = { 0 };
        make(&cases[i].shape, &der);
        CHECK_OK(pki_csr_read(buf_view(&der), &csr, &err), err);
        if (!cases[i].why) {
            CHECK_OK(pki_csr_check_names(csr, "456000", "corp.example", &err), err);
            continue;
        }
        CHECK_ERR(pki_csr_check_names(csr, "456000", "corp.example", &err), err, ERR_NAME_MISMATCH);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(only_p256_and_sha2_are_read)
{
    static const struct {
        struct shape shape;
        enum err_code code;
        const char *why;
    } cases[] = {
        { { .key = "RSA" }, ERR_WRONG_KEY, "the request's key is not P-256" },
        { { .key = "P-384" }, ERR_WRONG_KEY, "the request's key is not P-256" },
        { { .key = "P-224" }, ERR_WRONG_KEY, "the request's key is not P-256" },
        { { .key = "secp256k1" }, ERR_WRONG_KEY, "the request's key is not P-256" },
        { { .digest = "SHA1" },
          ERR_BAD_SIGNATURE,
          "the request is signed by ecdsa-with-SHA1, not by ECDSA with SHA-2" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct pki_csr *csr = NULL;
        _buf_ der = { 0 };
        struct err err = { 0 };
        make(&cases[i].shape, &der);
        CHECK_ERR(pki_csr_read(buf_view(&der), &csr, &err), err, cases[i].code);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(a_request_is_strict_der_signed_by_its_own_key)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    struct pki_csr *no = NULL;
    uint8_t by_key[HASH_SIZE], by_csr[HASH_SIZE];
    struct err err = { 0 };
    _buf_ der = { 0 }, large = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_csr_new(key, &der, &err), err);
    CHECK_OK(pki_csr_read(buf_view(&der), &csr, &err), err);
    CHECK_OK(pki_key_spki_hash(key, by_key, &err), err);
    pki_csr_spki_hash(csr, by_csr);
    CHECK_VIEW(VIEW_ARR(by_csr), VIEW_ARR(by_key));
    CHECK_OK(pki_csr_check_names(csr, "456000", "corp.example", &err), err);

    for (size_t len = 0; len < der.len; len++)
        CHECK(!pki_csr_read(VIEW(der.data, len), &no, &err));
    for (size_t i = 0; i < der.len; i++) { /* no octet may change */
        der.data[i] ^= 0x01;
        if (!CHECK(!pki_csr_read(buf_view(&der), &no, &err)))
            pki_csr_free(no);
        der.data[i] ^= 0x01;
    }
    der.data[der.len - 1] ^= 1;
    CHECK_ERR(pki_csr_read(buf_view(&der), &no, &err), err, ERR_BAD_SIGNATURE);
    der.data[der.len - 1] ^= 1;
    buf_put_u8(&der, 0);
    CHECK_ERR(pki_csr_read(buf_view(&der), &no, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "the request is not in DER");
    memset(buf_grow(&large, PKI_MAX_CSR + 1), 0x30, PKI_MAX_CSR + 1);
    CHECK_ERR(pki_csr_read(buf_view(&large), &no, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "a request of 4097 bytes, at most 4096");
}

TEST(many_are_read_at_once_and_judged_each)
{
    static const struct shape plain = { NULL }, named = { .cn = { "456000" } },
                              rsa = { .key = "RSA" };
    enum { N = 8 };
    struct pki_csr *csrs[N];
    struct buf ders[N] = { 0 };
    struct view views[N];
    struct err errs[N];
    static const enum err_code wanted[N] = {
        [1] = ERR_BAD_SIGNATURE, [3] = ERR_WRONG_KEY,     [4] = ERR_BAD_WIRE,
        [5] = ERR_WRONG_KEY,     [6] = ERR_BAD_SIGNATURE,
    };

    for (size_t i = 0; i < N; i++)
        make(i == 2 ? &named : i == 3 ? &rsa : &plain, &ders[i]);
    ders[1].data[ders[1].len - 1] ^= 1; /* in the last number of the signature */
    ders[4].len = 40;
    ders[5].data[90] ^= 1; /* in the point */
    ders[6].data[ders[6].len - 1] ^= 0x40;
    for (size_t i = 0; i < N; i++)
        views[i] = buf_view(&ders[i]);
    pki_csr_read_all(views, N, csrs, errs);
    for (size_t i = 0; i < N; i++) {
        uint8_t all[HASH_SIZE], one[HASH_SIZE];
        struct pki_csr *csr = NULL;
        struct err err = { 0 };
        if (wanted[i] != ERR_NONE) {
            CHECK(!csrs[i]);
            CHECK_U64(errs[i].code, wanted[i]);
            CHECK(!pki_csr_read(views[i], &csr, &err));
            CHECK_STR(errs[i].text, err.text);
        } else if (CHECK(csrs[i]) && CHECK(pki_csr_read(views[i], &csr, &err))) {
            pki_csr_spki_hash(csrs[i], all);
            pki_csr_spki_hash(csr, one);
            CHECK_VIEW(VIEW_ARR(all), VIEW_ARR(one));
            pki_csr_free(csr);
        }
        pki_csr_free(csrs[i]);
        buf_free(&ders[i]);
    }
    pki_csr_read_all(views, 0, csrs, errs);
}
