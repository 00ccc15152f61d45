/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>

TEST(facts_are_what_people_want_to_see)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct err err = { 0 };
    _buf_ hex = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    const struct pki_facts *facts = pki_cert_facts(cert);
    CHECK_STR(facts->subject, "CN=456000");
    CHECK_STR(facts->issuer, pki_cert_facts(pki_ca_cert(net.intermediate))->subject);
    CHECK(strncmp(facts->issuer, "CN=Warren intermediate ", 23) == 0);
    CHECK(strstr(facts->issuer, ",DC=corp,DC=example") != NULL);
    CHECK_STR(facts->names, "DNS:456000.corp.example");
    CHECK_U64(facts->not_before, NET_NOW - 5 * MINUTE_MS);
    CHECK_U64(facts->not_after, NET_NOW + DAY_MS);
    text_put_hex(&hex, pki_cert_serial(cert));
    CHECK_STR(facts->serial, buf_cstr(&hex));
    CHECK_U64(strlen(facts->serial), 34);
}

TEST(a_certificate_comes_back_from_der_and_pem)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL, *by_der = NULL, *by_pem = NULL;
    uint8_t hash[HASH_SIZE], wanted[HASH_SIZE];
    struct err err = { 0 };
    _buf_ pem = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_ROUTER, "router", NULL, &cert, &err), err);
    CHECK_OK(pki_cert_read(pki_cert_der(cert), &by_der, &err), err);
    CHECK_VIEW(pki_cert_der(by_der), pki_cert_der(cert));
    pki_pem_put(&pem, "CERTIFICATE", pki_cert_der(cert));
    pki_pem_put(&pem, "CERTIFICATE", pki_cert_der(pki_ca_cert(net.intermediate)));
    CHECK_OK(pki_cert_read_pem(buf_view(&pem), &by_pem, &err), err);
    CHECK_VIEW(pki_cert_der(by_pem), pki_cert_der(cert));
    pki_cert_hash(cert, hash);
    hash_sha256(pki_cert_der(cert), wanted);
    CHECK_VIEW(VIEW_ARR(hash), VIEW_ARR(wanted));
}

TEST(what_is_not_one_whole_certificate_is_refused)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct pki_cert *no = NULL;
    struct err err = { 0 };
    _buf_ der = { 0 }, large = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    buf_put(&der, pki_cert_der(pki_ca_cert(net.root)));
    for (size_t len = 0; len < der.len; len++)
        CHECK_ERR(pki_cert_read(VIEW(der.data, len), &no, &err), err, ERR_BAD_CERTIFICATE);
    buf_put_u8(&der, 0);
    CHECK_ERR(pki_cert_read(buf_view(&der), &no, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "the certificate is not in DER");
    memset(buf_grow(&large, PKI_MAX_CERT + 1), 0x30, PKI_MAX_CERT + 1);
    CHECK_ERR(pki_cert_read(buf_view(&large), &no, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "a certificate of 8193 bytes, at most 8192");
    CHECK_ERR(pki_cert_read_pem(VIEW_LIT("hello"), &no, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "no CERTIFICATE in the PEM");
}

/* Whatever stands in a stranger's certificate: what we show is short, printable and one line. */
TEST(facts_of_strangers_are_printable)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };
    size_t n_seen = 0;

    CHECK_OK(net_init(&net, &err), err);
    for (size_t row = 0; row < bad_certs_count(); row++) {
        struct bad_net where = { "45\x01\n\xc3\xbc", NET_NAME, net.root, net.intermediate,
                                 NET_NOW };
        _cleanup_(bad_cert_deinit) struct bad_cert bad = { 0 };
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        if (!bad_certs_make(row, &where, &bad, &err) || !bad.is_x509)
            continue; /* some values cannot be written with such an ID */
        if (!pki_cert_read(buf_view(&bad.chain[0]), &cert, &err))
            continue;
        const struct pki_facts *facts = pki_cert_facts(cert);
        const char *texts[] = { facts->subject, facts->issuer, facts->names, facts->serial };
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
            for (const char *c = texts[i]; *c; c++)
                if (!CHECK(*c >= ' ' && *c < 0x7f))
                    return;
        n_seen++;
    }
    CHECK(n_seen > bad_certs_count() / 2);
}
