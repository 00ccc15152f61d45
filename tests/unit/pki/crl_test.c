/* SPDX-License-Identifier: Apache-2.0 */
/* Bad lists are made with OpenSSL alone; judge_test.c has what the judge says of lists. */
#include "base/clock.h"
#include "tests/unit/pki/net.h"

#include <openssl/x509v3.h>

static bool issue(const struct net *net, uint64_t number, const struct pki_revoked *revoked,
                  size_t n, struct buf *ret, struct err *err)
{
    return pki_ca_issue_crl(net->intermediate, number, NET_NOW, NET_NOW + DAY_MS, revoked, n, ret,
                            err);
}

static bool judge(const struct net *net, const struct pki_cert *leaf, struct view list,
                  struct err *err)
{
    struct pki_question asked = {
        .name = "456000." NET_NAME, .network = NET_NAME, .now = NET_NOW, .needs_crl = true
    };
    struct view chain = pki_cert_der(leaf);

    return pki_trust_set_crl(net->trust, list, err) &&
           pki_judge(net->trust, &chain, 1, &asked, NULL, err);
}

TEST(who_is_on_the_list_is_refused_and_nobody_else)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL, *other = NULL;
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &leaf, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &other, &err), err);
    struct pki_revoked revoked[40];
    uint8_t serials[40][PKI_MAX_SERIAL];
    for (size_t i = 0; i < N_ELEMENTS(revoked); i++) {
        size_t len;
        pki_serial_new(serials[i], &len);
        revoked[i] =
            (struct pki_revoked){ VIEW(serials[i], len), NET_NOW - i * HOUR_MS, (uint8_t)(i % 6) };
    }
    for (size_t at = 0; at <= N_ELEMENTS(revoked); at += 8) {
        _buf_ list = { 0 };
        if (at < N_ELEMENTS(revoked))
            revoked[at].serial = pki_cert_serial(leaf);
        CHECK_OK(issue(&net, at + 1, revoked, at < N_ELEMENTS(revoked) ? N_ELEMENTS(revoked) : 0,
                       &list, &err),
                 err);
        CHECK_OK(judge(&net, other, buf_view(&list), &err), err);
        if (at == N_ELEMENTS(revoked))
            CHECK_OK(judge(&net, leaf, buf_view(&list), &err), err);
        else
            CHECK_ERR(judge(&net, leaf, buf_view(&list), &err), err, ERR_REVOKED);
    }
}

TEST(a_list_has_its_number)
{
    static const uint64_t numbers[] = { 1, 0x7f, 0x80, 1795000000000, UINT64_MAX };
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
        _buf_ list = { 0 };
        CHECK_OK(issue(&net, numbers[i], NULL, 0, &list, &err), err);
        CHECK_OK(pki_crl_read(buf_view(&list), &crl, &err), err);
        CHECK_U64(pki_crl_number(crl), numbers[i]);
    }
}

/* The signature's length is chosen: whichever way that comes about, OpenSSL verifies it. */
TEST(every_list_is_signed)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    const unsigned char *cert_at = pki_cert_der(pki_ca_cert(net.intermediate)).data;
    X509 *ca = d2i_X509(NULL, &cert_at, (long)pki_cert_der(pki_ca_cert(net.intermediate)).len);
    for (uint64_t i = 1; i <= 64; i++) {
        _buf_ der = { 0 };
        CHECK_OK(issue(&net, i, NULL, 0, &der, &err), err);
        const unsigned char *at = der.data;
        X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
        CHECK(crl && X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1);
        X509_CRL_free(crl);
    }
    X509_free(ca);
}

TEST(lists_that_make_no_sense_are_not_issued)
{
    static const uint8_t long_serial[21] = { 1 }, negative[9] = { 0x80 };
    static const struct {
        uint64_t number, next_update;
        struct pki_revoked revoked;
        const char *why;
    } cases[] = {
        { 0,
          NET_NOW + 1,
          { { NULL, 0 } },
          "a list needs a number and a time until which it holds" },
        { 1, NET_NOW, { { NULL, 0 } }, "a list needs a number and a time until which it holds" },
        { 1, NET_NOW + 1, { { NULL, 0 } }, "entry 1: a revoked serial number is not one of ours" },
        { 1,
          NET_NOW + 1,
          { { long_serial, 21 } },
          "entry 1: a revoked serial number is not one of ours" },
        { 1,
          NET_NOW + 1,
          { { negative, 9 } },
          "entry 1: a revoked serial number is not one of ours" },
        { 1,
          NET_NOW + 1,
          { { long_serial, 9 }, .reason = 7 },
          "entry 1: 7 is not a reason for revocation" },
        { 1,
          NET_NOW + 1,
          { { long_serial, 9 }, .reason = 8 },
          "entry 1: 8 is not a reason for revocation" },
        { 1,
          NET_NOW + 1,
          { { long_serial, 9 }, .reason = 11 },
          "entry 1: 11 is not a reason for revocation" },
    };
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ list = { 0 };
        CHECK_ERR(pki_ca_issue_crl(net.intermediate, cases[i].number, NET_NOW, cases[i].next_update,
                                   &cases[i].revoked, 1, &list, &err),
                  err, ERR_INVALID_ARGUMENT);
        CHECK_STR(err.text, cases[i].why);
    }
}

/* ---- lists by strangers ----------------------------------------------------------------- */

struct bad_list {
    const char *why;
    long version;
    bool no_number, no_aki, no_next, sha384, delta, idp, reason_remove, entry_issuer;
};

static void add_ext(X509_CRL *crl, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    X509_CRL_add_ext(crl, ext, -1);
    X509_EXTENSION_free(ext);
}

static void add_entry(X509_CRL *crl, const struct bad_list *bad, const ASN1_TIME *at)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();

    ASN1_INTEGER_set(serial, 12345);
    ASN1_ENUMERATED_set(reason, 8);
    X509_REVOKED_set_serialNumber(entry, serial);
    X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)(uintptr_t)at);
    if (bad->reason_remove)
        X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0);
    if (bad->entry_issuer)
        X509_REVOKED_add1_ext_i2d(entry, NID_invalidity_date, (ASN1_TIME *)(uintptr_t)at, 0, 0);
    X509_CRL_add0_revoked(crl, entry);
    ASN1_INTEGER_free(serial);
    ASN1_ENUMERATED_free(reason);
}

static void make(const struct net *net, const struct bad_list *bad, struct buf *to)
{
    struct view cert = pki_cert_der(pki_ca_cert(net->intermediate));
    const unsigned char *at = cert.data;
    X509 *issuer = d2i_X509(NULL, &at, (long)cert.len);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(NET_NOW / 1000));
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    unsigned char *der = NULL;
    int len;

    ASN1_INTEGER_set(number, 7);
    X509_CRL_set_version(crl, bad->version);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
    X509_CRL_set1_lastUpdate(crl, from);
    if (!bad->no_next)
        X509_CRL_set1_nextUpdate(crl, from);
    if (!bad->no_number)
        X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
    if (!bad->no_aki)
        add_ext(crl, issuer, NID_authority_key_identifier, "keyid:always");
    if (bad->delta)
        X509_CRL_add1_ext_i2d(crl, NID_delta_crl, number, 1, 0);
    if (bad->idp)
        add_ext(crl, issuer, NID_issuer_alt_name, "DNS:corp.example");
    if (bad->reason_remove || bad->entry_issuer)
        add_entry(crl, bad, from);
    X509_CRL_sign(crl, key, bad->sha384 ? EVP_sha384() : EVP_sha256());
    len = i2d_X509_CRL(crl, &der);
    buf_put(to, VIEW(der, (size_t)len));
    OPENSSL_free(der);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
    X509_free(issuer);
}

TEST(lists_of_another_kind_are_refused_when_read)
{
    static const struct bad_list cases[] = {
        { .version = 1, .why = NULL },
        { .version = 0, .why = "the list is not version 2" },
        { .version = 1, .no_number = true, .why = "the list has no usable number" },
        { .version = 1, .no_aki = true, .why = "the list does not say whose key signed it (AKI)" },
        { .version = 1, .no_next = true, .why = "the list does not say how long it holds" },
        { .version = 1, .sha384 = true, .why = "the list is not signed by ECDSA with SHA256" },
        { .version = 1,
          .delta = true,
          .why = "the list has an extension that the profile does not know: 2.5.29.27" },
        { .version = 1,
          .idp = true,
          .why = "the list has an extension that the profile does not know: 2.5.29.18" },
        { .version = 1,
          .reason_remove = true,
          .why = "the list has an entry with an unknown reason" },
        { .version = 1,
          .entry_issuer = true,
          .why = "the list has an entry with more than a reason" },
    };
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
        _buf_ der = { 0 };
        make(&net, &cases[i], &der);
        if (!cases[i].why) {
            CHECK_OK(pki_crl_read(buf_view(&der), &crl, &err), err);
            continue;
        }
        CHECK_ERR(pki_crl_read(buf_view(&der), &crl, &err), err, ERR_BAD_CERTIFICATE);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(a_list_is_strict_der)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct pki_crl *crl = NULL;
    struct err err = { 0 };
    _buf_ list = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &leaf, &err), err);
    CHECK_OK(issue(&net, 1, NULL, 0, &list, &err), err);
    for (size_t len = 0; len < list.len; len++)
        CHECK(!pki_crl_read(VIEW(list.data, len), &crl, &err));
    for (size_t i = 0; i < list.len; i++) { /* no octet may change and still be believed */
        list.data[i] ^= 0x01;
        CHECK(!judge(&net, leaf, buf_view(&list), &err));
        list.data[i] ^= 0x01;
    }
    CHECK_OK(judge(&net, leaf, buf_view(&list), &err), err);
    buf_put_u8(&list, 0);
    CHECK_ERR(pki_crl_read(buf_view(&list), &crl, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "the revocation list is not in DER");
}

TEST(a_list_that_cannot_be_read_replaces_nothing)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct err err = { 0 };
    _buf_ list = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &leaf, &err), err);
    struct pki_revoked revoked = { pki_cert_serial(leaf), NET_NOW, 1 };
    CHECK_OK(issue(&net, 1, &revoked, 1, &list, &err), err);
    CHECK_ERR(judge(&net, leaf, buf_view(&list), &err), err, ERR_REVOKED);
    CHECK_ERR(pki_trust_set_crl(net.trust, VIEW_LIT("nothing"), &err), err, ERR_BAD_CERTIFICATE);
    struct pki_question asked = { .name = "456000." NET_NAME, .network = NET_NAME, .now = NET_NOW };
    struct view chain = pki_cert_der(leaf);
    CHECK_ERR(pki_judge(net.trust, &chain, 1, &asked, NULL, &err), err, ERR_REVOKED);
}
