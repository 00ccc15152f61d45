/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>
#include <unistd.h>

/* This system's list of authorities is our root, for the length of a test. */
static void trust_publicly(const struct pki_ca *root, char path[32])
{
    _buf_ pem = { 0 };
    FILE *file;

    snprintf(path, 32, "/tmp/warren-public-XXXXXX");
    file = fdopen(mkstemp(path), "w");
    pki_pem_put(&pem, "CERTIFICATE", pki_cert_der(pki_ca_cert(root)));
    CHECK(file && fwrite(pem.data, 1, pem.len, file) == pem.len && fclose(file) == 0);
    setenv("SSL_CERT_FILE", path, 1);
}

TEST(a_public_certificate_is_for_its_name_and_time)
{
    static const struct {
        const char *host;
        uint64_t later;
        size_t n_chain;
        const char *why; /* NULL: good */
    } cases[] = {
        { "router." NET_NAME, 0, 2, NULL },
        { "other." NET_NAME, 0, 2, "hostname mismatch" },
        { NET_NAME, 0, 2, "hostname mismatch" },
        { "router." NET_NAME, 31 * DAY_MS, 2, "certificate has expired" },
        { "router." NET_NAME, 0, 1, "unable to get local issuer certificate" },
        { "router." NET_NAME, 0, 0, "no certificate was sent" },
    };
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct view chain[2];
    struct err err = { 0 };
    char path[32];

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_ROUTER, "router", NULL, &leaf, &err), err);
    chain[0] = pki_cert_der(leaf);
    chain[1] = pki_cert_der(pki_ca_cert(net.intermediate));
    CHECK(!pki_judge_public("router." NET_NAME, chain, 2, NET_NOW, &err));
    trust_publicly(net.root, path);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        err = (struct err){ 0 };
        CHECK(pki_judge_public(cases[i].host, chain, cases[i].n_chain, NET_NOW + cases[i].later,
                               &err) == !cases[i].why);
        CHECK(!cases[i].why || strstr(err.text, cases[i].why));
    }
    unlink(path);
}

TEST(an_address_and_a_single_label_are_not_public)
{
    static const struct {
        const char *host;
        bool is_public;
    } cases[] = {
        { "router.example", true },    { "a.b.example", true }, { "x.1a", true },
        { "127.0.0.1", false },        { "::1", false },        { "2001:db8::7", false },
        { "::ffff:127.0.0.1", false }, { "localhost", false },  { ".example", false },
        { "example.", false },         { "", false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK(pki_is_public_name(cases[i].host) == cases[i].is_public);
}
