/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pki/net.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

static bool same_key(const struct pki_key *a, const struct pki_key *b)
{
    uint8_t x[HASH_SIZE], y[HASH_SIZE];
    struct err err;

    return pki_key_spki_hash(a, x, &err) && pki_key_spki_hash(b, y, &err) &&
           memcmp(x, y, HASH_SIZE) == 0;
}

TEST(keys_come_back_from_pem_with_and_without_a_passphrase)
{
    static const struct {
        enum pki_curve curve;
        struct view passphrase;
        const char *head;
    } cases[] = {
        { PKI_P256, { NULL, 0 }, "-----BEGIN PRIVATE KEY-----\n" },
        { PKI_P384, VIEW_LIT("correct horse"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" },
        { PKI_P256, VIEW_LIT("\xc3\xbc\x01 \xff"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pki_key_freep) struct pki_key *key = NULL, *back = NULL;
        _buf_ pem = { 0 };
        struct err err = { 0 };
        CHECK_OK(pki_key_new(cases[i].curve, &key, &err), err);
        CHECK_OK(pki_key_write(key, cases[i].passphrase, &pem, &err), err);
        CHECK(view_starts(buf_view(&pem), view_text(cases[i].head)));
        CHECK_OK(pki_key_read(buf_view(&pem), cases[i].passphrase, &back, &err), err);
        CHECK(same_key(key, back));
    }
}

TEST(a_wrong_or_missing_passphrase_is_said)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL, *back = NULL;
    _buf_ pem = { 0 };
    struct err err = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_key_write(key, VIEW_LIT("right"), &pem, &err), err);
    CHECK_ERR(pki_key_read(buf_view(&pem), VIEW_LIT("wrong"), &back, &err), err,
              ERR_BAD_PASSPHRASE);
    CHECK_STR(err.text, "the passphrase does not open the key");
    CHECK_ERR(pki_key_read(buf_view(&pem), VIEW(NULL, 0), &back, &err), err, ERR_LOCKED);
    CHECK_STR(err.text, "the key is encrypted: its passphrase is needed");
}

/* What OpenSSL itself writes as PKCS#8, for keys that are not ours. */
static void pem_of(EVP_PKEY *pkey, const char *passphrase, struct buf *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    long len;

    PEM_write_bio_PKCS8PrivateKey(bio, pkey, passphrase ? EVP_aes_256_cbc() : NULL, passphrase,
                                  passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    len = BIO_get_mem_data(bio, &bytes);
    buf_put(to, VIEW(bytes, (size_t)len));
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}

TEST(openssl_and_we_read_each_others_keys)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL, *theirs = NULL;
    _buf_ pem = { 0 }, ours = { 0 };
    struct err err = { 0 };
    char passphrase[] = "correct horse";
    EVP_PKEY *pkey;
    BIO *bio;

    pem_of(EVP_EC_gen("P-256"), "their phrase", &pem); /* PBKDF2 */
    CHECK_OK(pki_key_read(buf_view(&pem), VIEW_LIT("their phrase"), &theirs, &err), err);
    CHECK_OK(pki_key_new(PKI_P384, &key, &err), err);
    CHECK_OK(pki_key_write(key, view_text(passphrase), &ours, &err), err);
    bio = BIO_new_mem_buf(ours.data, (int)ours.len);
    pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase);
    CHECK(pkey != NULL);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
}

TEST(only_our_two_curves_are_read)
{
    static const char *const curves[] = { "P-224", "P-521", "secp256k1" };
    struct err err = { 0 };

    for (size_t i = 0; i <= N_ELEMENTS(curves); i++) {
        struct pki_key *key = NULL;
        _buf_ pem = { 0 };
        pem_of(i < N_ELEMENTS(curves) ? EVP_EC_gen(curves[i]) : EVP_RSA_gen(2048u), NULL, &pem);
        CHECK_ERR(pki_key_read(buf_view(&pem), VIEW(NULL, 0), &key, &err), err, ERR_WRONG_KEY);
        CHECK_STR(err.text, "the key is neither P-256 nor P-384");
    }
}

TEST(what_is_not_a_key_is_refused)
{
    static const struct {
        const char *pem;
        enum err_code code;
        const char *why;
    } cases[] = {
        { "", ERR_BAD_WIRE, "0 private keys where one is wanted (PKCS#8, PEM)" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n", ERR_BAD_WIRE,
          "PRIVATE KEY number 1 has no END line" },
        { "-----BEGIN PRIVATE KEY-----\nA*AA\n-----END PRIVATE KEY-----\n", ERR_BAD_WIRE,
          "PRIVATE KEY number 1 is not base64" },
        { "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
          ERR_BAD_WIRE, "the encrypted key is malformed" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ERR_BAD_WIRE,
          "the key is not PKCS#8" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct pki_key *key = NULL;
        struct err err = { 0 };
        CHECK_ERR(pki_key_read(view_text(cases[i].pem), VIEW_LIT("x"), &key, &err), err,
                  cases[i].code);
        CHECK(strncmp(err.text, cases[i].why, strlen(cases[i].why)) == 0);
    }
}

TEST(signatures_verify_by_the_certificate_and_by_nothing_else)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };
    _buf_ by_root = { 0 }, by_other = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    struct view root = pki_cert_der(pki_ca_cert(net.root));
    CHECK_OK(pki_key_sign(pki_ca_key(net.root), VIEW_LIT("manifest"), &by_root, &err), err);
    CHECK_OK(pki_key_sign(pki_ca_key(net.intermediate), VIEW_LIT("manifest"), &by_other, &err),
             err);
    CHECK_OK(pki_verify_by_cert(root, VIEW_LIT("manifest"), buf_view(&by_root), &err), err);
    CHECK_ERR(pki_verify_by_cert(root, VIEW_LIT("manifesT"), buf_view(&by_root), &err), err,
              ERR_BAD_SIGNATURE);
    CHECK(strncmp(err.text, "not signed by CN=Warren root ", 29) == 0);
    CHECK_ERR(pki_verify_by_cert(root, VIEW_LIT("manifest"), buf_view(&by_other), &err), err,
              ERR_BAD_SIGNATURE);
    CHECK_ERR(pki_verify_by_cert(root, VIEW_LIT("manifest"), VIEW(NULL, 0), &err), err,
              ERR_BAD_SIGNATURE);
    for (size_t i = 0; i < by_root.len; i++) { /* every bit counts, and so does DER */
        by_root.data[i] ^= 1;
        CHECK(!pki_verify_by_cert(root, VIEW_LIT("manifest"), buf_view(&by_root), &err));
        by_root.data[i] ^= 1;
    }
    CHECK_ERR(pki_verify_by_cert(VIEW_LIT("root"), VIEW_LIT("manifest"), buf_view(&by_root), &err),
              err, ERR_BAD_CERTIFICATE);
}

TEST(the_spki_is_the_certificates)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    uint8_t by_key[HASH_SIZE], by_cert[HASH_SIZE], by_hand[HASH_SIZE];
    struct err err = { 0 };
    _buf_ spki = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", &key, &cert, &err), err);
    CHECK_OK(pki_key_spki_hash(key, by_key, &err), err);
    pki_cert_spki_hash(cert, by_cert);
    CHECK_OK(pki_key_spki(key, &spki, &err), err);
    hash_sha256(buf_view(&spki), by_hand);
    CHECK_VIEW(VIEW_ARR(by_cert), VIEW_ARR(by_key));
    CHECK_VIEW(VIEW_ARR(by_hand), VIEW_ARR(by_key));
}
