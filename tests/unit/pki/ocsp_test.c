/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP: requests as OpenSSL's command writes them and bent ones; answers as OpenSSL reads them. */
#include "base/clock.h"
#include "base/file.h"
#include "tests/unit/pki/net.h"

#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct scene {
    struct net net;
    struct pki_cert *leaf;
    struct pki_ocsp *ocsp;
    X509 *x_leaf, *x_issuer, *x_root;
};

static X509 *as_x509(struct view der)
{
    const unsigned char *at = der.data;

    return d2i_X509(NULL, &at, (long)der.len);
}

static bool scene_init(struct scene *s, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *signer = NULL;
    struct pki_key *key;

    if (!net_init(&s->net, err) || !net_issue(&s->net, PKI_PEER, "456000", NULL, &s->leaf, err) ||
        !net_issue(&s->net, PKI_OCSP, "ocsp", &key, &signer, err) ||
        !pki_ocsp_new(pki_cert_der(signer), key, &s->ocsp, err))
        return false;
    s->x_leaf = as_x509(pki_cert_der(s->leaf));
    s->x_issuer = as_x509(pki_cert_der(pki_ca_cert(s->net.intermediate)));
    s->x_root = as_x509(pki_cert_der(pki_ca_cert(s->net.root)));
    return true;
}

static void scene_deinit(struct scene *s)
{
    pki_ocsp_free(s->ocsp);
    pki_cert_free(s->leaf);
    X509_free(s->x_leaf);
    X509_free(s->x_issuer);
    X509_free(s->x_root);
    net_deinit(&s->net);
}

/* OpenSSL's request about the leaf; nonce_len 0: none, -1: its default. */
static struct buf request_of(const struct scene *s, const EVP_MD *md, int nonce_len,
                             OCSP_REQUEST **ret_request)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    unsigned char *out = NULL, nonce[64] = { 1, 2, 3 };
    struct buf der = { 0 };
    int len;

    OCSP_request_add0_id(request, OCSP_cert_to_id(md, s->x_leaf, s->x_issuer));
    if (nonce_len)
        OCSP_request_add1_nonce(request, nonce_len > 0 ? nonce : NULL, nonce_len);
    len = i2d_OCSP_REQUEST(request, &out);
    buf_put(&der, VIEW(out, (size_t)len));
    OPENSSL_free(out);
    if (ret_request)
        *ret_request = request;
    else
        OCSP_REQUEST_free(request);
    return der;
}

static const struct pki_ocsp_times times = { NET_NOW, 3600000 };

TEST(requests_of_openssl_are_understood)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct pki_ocsp_request request;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    const struct {
        const EVP_MD *md;
        int nonce;
        bool is_ours;
    } cases[] = { { EVP_sha1(), -1, true },
                  { EVP_sha256(), 32, true },
                  { EVP_sha512(), 0, false } };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ der = request_of(&s, cases[i].md, cases[i].nonce, NULL);
        CHECK_OK(pki_ocsp_read(buf_view(&der), &request, &err), err);
        CHECK_U64(request.n_items, 1);
        CHECK_VIEW(request.items[0].serial, pki_cert_serial(s.leaf));
        CHECK(pki_ocsp_is_of(pki_ca_cert(s.net.intermediate), &request.items[0]) ==
              cases[i].is_ours);
        CHECK(!pki_ocsp_is_of(pki_ca_cert(s.net.root), &request.items[0]));
        CHECK((request.nonce.len > 0) == (cases[i].nonce != 0));
    }
}

static void check_answer(const struct scene *s, struct view der, OCSP_REQUEST *request,
                         int wanted_status, int wanted_reason)
{
    const unsigned char *at = der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), s->x_leaf, s->x_issuer);
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *to = NULL;
    int status = -1, reason = -1;

    X509_STORE_add_cert(store, s->x_root);
    X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)(NET_NOW / 1000));
    sk_X509_push(others, s->x_issuer);
    CHECK(basic && at == der.data + der.len);
    CHECK(OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL);
    CHECK(OCSP_basic_verify(basic, others, store, 0) == 1);
    CHECK(OCSP_check_nonce(request, basic) == 1);
    CHECK(OCSP_resp_find_status(basic, id, &status, &reason, &revoked, &from, &to) == 1);
    CHECK_U64(status, wanted_status);
    CHECK_U64(reason, wanted_reason);
    CHECK(to && ASN1_TIME_cmp_time_t(from, (time_t)(NET_NOW / 1000)) == 0);
    if (wanted_status == V_OCSP_CERTSTATUS_REVOKED)
        CHECK(ASN1_TIME_cmp_time_t(revoked, (time_t)(NET_NOW / 1000 - 60)) == 0);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    X509_STORE_free(store);
    sk_X509_free(others);
}

TEST(answers_are_what_openssl_expects)
{
    static const struct {
        struct pki_ocsp_status status;
        int wanted, reason;
    } cases[] = {
        { { .what = PKI_OCSP_GOOD }, V_OCSP_CERTSTATUS_GOOD, -1 },
        { { .what = PKI_OCSP_UNKNOWN }, V_OCSP_CERTSTATUS_UNKNOWN, -1 },
        { { PKI_OCSP_REVOKED, NET_NOW - 60000, 1 }, V_OCSP_CERTSTATUS_REVOKED, 1 },
        { { PKI_OCSP_REVOKED, NET_NOW - 60000, 0 }, V_OCSP_CERTSTATUS_REVOKED, -1 },
    };
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        OCSP_REQUEST *asked;
        _buf_ der = request_of(&s, EVP_sha1(), -1, &asked), answer = { 0 };
        struct pki_ocsp_request request;
        CHECK_OK(pki_ocsp_read(buf_view(&der), &request, &err), err);
        CHECK_OK(pki_ocsp_write(s.ocsp, &request, &cases[i].status, &times, &answer, &err), err);
        check_answer(&s, buf_view(&answer), asked, cases[i].wanted, cases[i].reason);
        OCSP_REQUEST_free(asked);
    }
}

TEST(an_answer_is_about_everything_that_was_asked)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct pki_ocsp_status statuses[PKI_OCSP_MAX_ITEMS] = { { .what = PKI_OCSP_GOOD } };
    struct pki_ocsp_request request;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    for (int n = PKI_OCSP_MAX_ITEMS; n <= PKI_OCSP_MAX_ITEMS + 1; n++) {
        OCSP_REQUEST *asked = OCSP_REQUEST_new();
        unsigned char *out = NULL;
        _buf_ answer = { 0 };
        for (int i = 0; i < n; i++)
            OCSP_request_add0_id(asked, OCSP_cert_to_id(EVP_sha1(), s.x_leaf, s.x_issuer));
        int len = i2d_OCSP_REQUEST(asked, &out);
        bool is_read = pki_ocsp_read(VIEW(out, (size_t)len), &request, &err);
        CHECK(is_read == (n == PKI_OCSP_MAX_ITEMS));
        if (is_read) {
            CHECK_OK(pki_ocsp_write(s.ocsp, &request, statuses, &times, &answer, &err), err);
            const unsigned char *at = answer.data;
            OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)answer.len);
            OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
            CHECK_U64(OCSP_resp_count(basic), n);
            OCSP_BASICRESP_free(basic);
            OCSP_RESPONSE_free(response);
        } else {
            CHECK_U64(err.code, ERR_TOO_LARGE);
        }
        OPENSSL_free(out);
        OCSP_REQUEST_free(asked);
    }
}

TEST(bent_requests_are_refused)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct pki_ocsp_request request;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    _buf_ whole = request_of(&s, EVP_sha1(), -1, NULL);
    for (size_t len = 0; len < whole.len; len++) /* every strict prefix */
        CHECK_ERR(pki_ocsp_read(view_sub(buf_view(&whole), 0, len), &request, &err), err,
                  ERR_BAD_WIRE);
    _buf_ longer = buf_dup(buf_view(&whole));
    buf_put_u8(&longer, 0);
    CHECK_ERR(pki_ocsp_read(buf_view(&longer), &request, &err), err, ERR_BAD_WIRE);
    static const uint8_t huge[PKI_MAX_OCSP + 1] = { 0x30, 0x82, 0x0f, 0xfd };
    CHECK_ERR(pki_ocsp_read(VIEW_ARR(huge), &request, &err), err, ERR_TOO_LARGE);
    _buf_ long_nonce = request_of(&s, EVP_sha1(), 33, NULL);
    CHECK_ERR(pki_ocsp_read(buf_view(&long_nonce), &request, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "OCSP request: has a nonce that is not 1 to 32 octets long");
    CHECK_ERR(pki_ocsp_read(VIEW_LIT("\x30\x04\x30\x02\x30\x00"), &request, &err), err,
              ERR_BAD_WIRE);
    CHECK_STR(err.text, "OCSP request: asks about nothing");
    CHECK_ERR(pki_ocsp_read(VIEW_LIT("\x30\x80\x30\x02\x30\x00\x00\x00"), &request, &err), err,
              ERR_BAD_WIRE); /* indefinite length is BER */
}

TEST(a_failure_is_what_openssl_reads)
{
    _buf_ der = { 0 };

    pki_ocsp_write_failure(PKI_OCSP_MALFORMED, &der);
    const unsigned char *at = der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    CHECK(response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    OCSP_RESPONSE_free(response);
}

TEST(a_signer_needs_its_own_key)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *signer = NULL;
    struct pki_key *key;
    struct pki_ocsp *ocsp;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    CHECK_OK(net_issue(&s.net, PKI_OCSP, "ocsp", NULL, &signer, &err), err);
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_ERR(pki_ocsp_new(pki_cert_der(signer), key, &ocsp, &err), err, ERR_WRONG_KEY);
}

TEST(a_signers_certificate_signs_statuses_and_serves_nobody)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *signer = NULL;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    CHECK_OK(net_issue(&s.net, PKI_OCSP, "ocsp", NULL, &signer, &err), err);
    X509 *x509 = as_x509(pki_cert_der(signer));
    CHECK(X509_get_ext_by_NID(x509, NID_id_pkix_OCSP_noCheck, -1) >= 0);
    CHECK_U64(X509_get_extended_key_usage(x509), XKU_OCSP_SIGN);
    X509_free(x509);
    struct view chain = pki_cert_der(signer);
    const struct pki_question question = {
        .name = "ocsp.corp.example", .network = NET_NAME, .role = PKI_SERVER, .now = NET_NOW
    };
    CHECK_ERR(pki_judge(s.net.trust, &chain, 1, &question, NULL, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "the certificate must not be used by a TLS server");
}
