/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are elsewhere: here another key of this process plays the token. */
#include "base/clock.h"
#include "tests/unit/pki/net.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define NOW ((uint64_t)1795000000 * SECOND_MS)

struct elsewhere {
    EVP_PKEY *key;
    unsigned n_signed, n_freed;
    enum err_code fails;
    bool is_short;
};

static bool sign(void *user, struct view digest, struct buf *ret_halves, struct err *err)
{
    struct elsewhere *e = user;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(e->key, NULL);
    size_t half = EVP_PKEY_get_bits(e->key) == 384 ? 48 : 32, len = 256;
    uint8_t der[256];
    const uint8_t *at = der;
    ECDSA_SIG *sig;

    if (e->fails) {
        EVP_PKEY_CTX_free(ctx);
        return err_set(err, e->fails, "token \"x\" is away");
    }
    e->n_signed++;
    CHECK(EVP_PKEY_sign_init(ctx) == 1 &&
          EVP_PKEY_sign(ctx, der, &len, digest.data, digest.len) == 1);
    sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), buf_grow(ret_halves, half), (int)half);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), buf_grow(ret_halves, half), (int)half);
    ret_halves->len -= e->is_short;
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
    return true;
}

static void let_go(void *user)
{
    struct elsewhere *e = user;

    e->n_freed++;
}

static struct pki_key *key_at(struct elsewhere *e, const char *curve)
{
    const struct pki_remote remote = { sign, let_go, e };
    unsigned char *der = NULL;
    struct pki_key *key = NULL;
    struct err err = { 0 };
    int len;

    e->key = EVP_EC_gen(curve);
    len = i2d_PUBKEY(e->key, &der);
    CHECK(pki_key_remote(VIEW(der, (size_t)len), &remote, &key, &err));
    OPENSSL_free(der);
    return key;
}

TEST(a_whole_authority_signs_with_keys_that_are_elsewhere)
{
    struct elsewhere a = { 0 }, b = { 0 };
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL, *ca = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL, *cert = NULL;
    _cleanup_(pki_key_freep) struct pki_key *peer = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    struct pki_order order = {
        .label = "456000", .network = "corp.example", .now = NOW, .life_ms = DAY_MS
    };
    const struct pki_question question = {
        .name = "456000.corp.example", .network = "corp.example", .now = NOW, .needs_crl = true
    };
    _buf_ der = { 0 }, list = { 0 }, sig = { 0 };
    struct err err = { 0 };

    CHECK_OK(pki_ca_new_root("corp.example", NOW, 3650 * DAY_MS, key_at(&a, "P-384"), &root, &err),
             err);
    CHECK_OK(pki_ca_new_intermediate(root, "corp.example", NOW, 365 * DAY_MS, key_at(&b, "P-256"),
                                     &ca, &err),
             err);
    CHECK_OK(pki_key_new(PKI_P256, &peer, &err) && pki_csr_new(peer, &der, &err) &&
                 pki_csr_read(buf_view(&der), &csr, &err),
             err);
    pki_serial_new(order.serial, &order.serial_len);
    CHECK_OK(pki_ca_issue(ca, csr, &order, &leaf, &err), err);
    CHECK_OK(pki_ca_issue_crl(ca, 1, NOW, NOW + DAY_MS, NULL, 0, &list, &err), err);
    CHECK_OK(pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(root)), &err) &&
                 pki_trust_add_intermediate(trust, pki_cert_der(pki_ca_cert(ca)), &err) &&
                 pki_trust_set_crl(trust, buf_view(&list), &err),
             err);
    CHECK_OK(pki_judge(trust, &(struct view){ pki_cert_der(leaf).data, pki_cert_der(leaf).len }, 1,
                       &question, &cert, &err),
             err);
    CHECK_OK(pki_key_sign(pki_ca_key(root), VIEW_LIT("a manifest"), &sig, &err), err);
    CHECK_OK(pki_verify_by_cert(pki_cert_der(pki_ca_cert(root)), VIEW_LIT("a manifest"),
                                buf_view(&sig), &err),
             err);
    CHECK_U64(a.n_signed, 3); /* itself, the intermediate, the manifest */
    CHECK(b.n_signed == 2 || b.n_signed == 3);
    /* of a list, now and then the second try */ /* the leaf, the list */
    pki_ca_free(STEAL(root));
    pki_ca_free(STEAL(ca));
    CHECK_U64(a.n_freed, 1);
    CHECK_U64(b.n_freed, 1);
    EVP_PKEY_free(a.key);
    EVP_PKEY_free(b.key);
}

TEST(a_request_is_signed_elsewhere_and_the_key_is_not_given)
{
    struct elsewhere e = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = key_at(&e, "P-256");
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _buf_ der = { 0 }, none = { 0 };
    struct err err = { 0 };

    CHECK_OK(pki_csr_new(key, &der, &err) && pki_csr_read(buf_view(&der), &csr, &err), err);
    CHECK_ERR(pki_key_der(key, &none, &err), err, ERR_NOT_AUTHORIZED);
    CHECK_ERR(pki_key_write(key, VIEW(NULL, 0), &none, &err), err, ERR_NOT_AUTHORIZED);
    EVP_PKEY_free(e.key);
}

TEST(what_failed_there_is_the_error_here)
{
    struct elsewhere e = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = key_at(&e, "P-384");
    _buf_ sig = { 0 };
    struct err err = { 0 };

    e.fails = ERR_BUSY;
    CHECK_ERR(pki_key_sign(key, VIEW_LIT("x"), &sig, &err), err, ERR_BUSY);
    CHECK_STR(err.text, "signing: token \"x\" is away");
    CHECK_ERR(pki_csr_new(key, &sig, &err), err, ERR_BUSY);
    CHECK_STR(err.text, "new request: token \"x\" is away");
    e.fails = ERR_NONE;
    e.is_short = true;
    CHECK_ERR(pki_key_sign(key, VIEW_LIT("x"), &sig, &err), err, ERR_SYSTEM);
    CHECK(strstr(err.text, "95 bytes, expected 96"));
    e.is_short = false;
    CHECK_OK(pki_key_sign(key, VIEW_LIT("x"), &sig, &err), err);
    EVP_PKEY_free(e.key);
}

/* The key file of another token, or a token that signs with another key than it names. */
TEST(a_certificate_that_another_key_signed_does_not_come_out)
{
    struct elsewhere e = { 0 };
    struct pki_key *key = key_at(&e, "P-384");
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL;
    struct err err = { 0 };

    EVP_PKEY_free(e.key);
    e.key = EVP_EC_gen("P-384");
    CHECK(!pki_ca_new_root("corp.example", NOW, DAY_MS, key, &root, &err));
    CHECK(strstr(err.text, "our own signature does not verify"));
    CHECK_U64(e.n_freed, 1);
    EVP_PKEY_free(e.key);
}

TEST(a_tokens_words_for_a_public_key_are_read)
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 },
                         secp256k1[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a };
    uint8_t point[67] = { 0x04, 0x41, 0x04, 0x3f };
    _buf_ spki = { 0 }, raw = { 0 };
    enum pki_curve curve = PKI_P384;

    CHECK(pki_spki_by_params(VIEW_ARR(p256), VIEW_ARR(point), &spki, &curve) && curve == PKI_P256);
    CHECK(pki_spki_by_params(VIEW_ARR(p256), VIEW(point + 2, 65), &raw,
                             &curve)); /* unwrapped, and like one */
    CHECK(view_eq(buf_view(&spki), buf_view(&raw)));
    CHECK(!pki_spki_by_params(VIEW_ARR(secp256k1), VIEW_ARR(point), &raw, &curve));
    CHECK(!pki_spki_by_params(VIEW_ARR(p256), VIEW(point, 66), &raw, &curve));
}
