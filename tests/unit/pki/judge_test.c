/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>

static struct pki_question question(const char *name, enum pki_role role)
{
    return (struct pki_question){ .name = name, .network = NET_NAME, .role = role, .now = NET_NOW };
}

static bool judge_bad(const struct net *net, const struct bad_cert *bad, enum pki_role role,
                      struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    struct pki_question asked = question("456000." NET_NAME, role);
    struct view chain[BAD_MAX_CHAIN];

    asked.needs_crl = bad->needs_crl;
    for (size_t i = 0; i < bad->n_chain; i++)
        chain[i] = buf_view(&bad->chain[i]);
    if (!CHECK(
            pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(net->root)), err) &&
            pki_trust_add_intermediate(trust, pki_cert_der(pki_ca_cert(net->intermediate)), err) &&
            bad_cert_trust(bad, trust, err)))
        return false;
    return pki_judge(trust, chain, bad->n_chain, &asked, NULL, err);
}

static void check_row(const struct net *net, size_t row)
{
    struct bad_net where = { "456000", NET_NAME, net->root, net->intermediate, NET_NOW };
    _cleanup_(bad_cert_deinit) struct bad_cert bad = { 0 };
    _free_ char *why = bad_certs_why(row, &where);
    struct err err = { 0 };

    CHECK(*why);
    if (!bad_certs_make(row, &where, &bad, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return;
    }
    for (enum pki_role role = PKI_CLIENT; role <= PKI_SERVER; role++) {
        err = (struct err){ 0 };
        if (judge_bad(net, &bad, role, &err))
            check_failed(__FILE__, __LINE__, "%s: accepted", bad_certs_name(row));
        else if (err.code != bad_certs_code(row))
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", bad_certs_name(row),
                         err_code_name(err.code), err.text);
        else if (role == PKI_SERVER && !strstr(err.text, why))
            check_failed(__FILE__, __LINE__, "%s: \"%s\" does not say \"%s\"", bad_certs_name(row),
                         err.text, why);
    }
    printf("# %-34s %-16s %s\n", bad_certs_name(row), err_code_name(err.code), err.text);
}

TEST(every_bad_certificate_is_refused_for_its_fault)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK(bad_certs_count() >= 40);
    for (size_t i = 0; i < bad_certs_count(); i++)
        check_row(&net, i);
}

TEST(without_a_fault_the_same_are_accepted)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    for (size_t i = 0; i < bad_certs_n_controls(); i++) {
        struct bad_net where = { "456000", NET_NAME, net.root, net.intermediate, NET_NOW };
        _cleanup_(bad_cert_deinit) struct bad_cert good = { 0 };
        CHECK_OK(bad_certs_make_control(i, &where, &good, &err), err);
        CHECK_OK(judge_bad(&net, &good, PKI_CLIENT, &err), err);
        CHECK_OK(judge_bad(&net, &good, PKI_SERVER, &err), err);
    }
}

/* ---- what our CA issues ----------------------------------------------------------------- */

static bool judge_one(const struct net *net, struct view leaf, const struct pki_question *asked,
                      struct err *err)
{
    struct view chain[] = { leaf, pki_cert_der(pki_ca_cert(net->intermediate)) };

    return pki_judge(net->trust, chain, N_ELEMENTS(chain), asked, NULL, err);
}

TEST(everything_that_our_ca_issues_is_accepted_in_both_roles)
{
    static const struct {
        enum pki_profile profile;
        const char *label, *name;
    } cases[] = {
        { PKI_PEER, "456000", "456000.corp.example" },
        { PKI_PEER, "000000", "000000.corp.example" },
        { PKI_PEER, "1234567", "1234567.corp.example" },
        { PKI_PEER, "999999999", "999999999.corp.example" },
        { PKI_ROUTER, "router", "router.corp.example" },
    };
    _cleanup_(net_deinit) struct net net = { 0 };
    struct err err = { 0 };
    _buf_ list = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(pki_ca_issue_crl(net.intermediate, 1, NET_NOW, NET_NOW + DAY_MS, NULL, 0, &list, &err),
             err);
    for (size_t i = 0; i < 4 * N_ELEMENTS(cases); i++) {
        size_t at = i % N_ELEMENTS(cases);
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        if (i == 2 * N_ELEMENTS(cases))
            CHECK_OK(pki_trust_set_crl(net.trust, buf_view(&list), &err), err);
        CHECK_OK(net_issue(&net, cases[at].profile, cases[at].label, NULL, &cert, &err), err);
        for (enum pki_role role = PKI_CLIENT; role <= PKI_SERVER; role++) {
            struct pki_question asked = question(cases[at].name, role);
            asked.needs_crl = i >= 2 * N_ELEMENTS(cases);
            CHECK_OK(judge_one(&net, pki_cert_der(cert), &asked, &err), err);
        }
    }
}

TEST(a_certificate_holds_from_its_first_to_its_last_second)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_SERVER);
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    asked.now = NET_NOW - 5 * MINUTE_MS;
    CHECK_OK(judge_one(&net, pki_cert_der(cert), &asked, &err), err);
    asked.now = NET_NOW - 5 * MINUTE_MS - SECOND_MS;
    CHECK_ERR(judge_one(&net, pki_cert_der(cert), &asked, &err), err, ERR_EXPIRED);
    CHECK_STR(err.text,
              "the certificate is not yet valid: it begins in 1 second, at 2026-11-18T11:01:40Z");
    asked.now = NET_NOW + DAY_MS - SECOND_MS;
    CHECK_OK(judge_one(&net, pki_cert_der(cert), &asked, &err), err);
    asked.now = NET_NOW + DAY_MS + SECOND_MS;
    CHECK_ERR(judge_one(&net, pki_cert_der(cert), &asked, &err), err, ERR_EXPIRED);
    CHECK_STR(err.text, "the certificate expired 1 second ago, at 2026-11-19T11:06:40Z");
}

TEST(the_key_must_be_the_promised_one)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL, *leaf = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_SERVER);
    uint8_t spki[HASH_SIZE];
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    pki_cert_spki_hash(cert, spki);
    asked.spki = spki;
    struct view chain = pki_cert_der(cert);
    CHECK_OK(pki_judge(net.trust, &chain, 1, &asked, &leaf, &err), err);
    CHECK_VIEW(pki_cert_der(leaf), pki_cert_der(cert));
    spki[31] ^= 1;
    CHECK_ERR(pki_judge(net.trust, &chain, 1, &asked, NULL, &err), err, ERR_WRONG_KEY);
    CHECK_STR(err.text, "the certificate's key is not the one that was promised");
}

TEST(intermediates_come_from_the_chain_when_they_are_only_listed)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL, *other = NULL;
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    struct pki_question asked = question("456000." NET_NAME, PKI_CLIENT);
    uint8_t hash[HASH_SIZE];
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "111111", NULL, &other, &err), err);
    CHECK_OK(pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(net.root)), &err), err);
    /* root and strangers among the chain do no harm, the order does not count */
    struct view chain[] = { pki_cert_der(cert), pki_cert_der(pki_ca_cert(net.root)),
                            pki_cert_der(other), pki_cert_der(pki_ca_cert(net.intermediate)) };
    CHECK_ERR(pki_judge(trust, chain, 4, &asked, NULL, &err), err, ERR_BAD_CERTIFICATE);
    CHECK(strstr(err.text, "is not listed by the manifest") != NULL);
    pki_cert_hash(pki_ca_cert(net.intermediate), hash);
    pki_trust_list_intermediate(trust, hash);
    CHECK_OK(pki_judge(trust, chain, 4, &asked, NULL, &err), err);
    CHECK_ERR(pki_judge(trust, chain, 1, &asked, NULL, &err), err, ERR_BAD_CERTIFICATE);
    CHECK(strstr(err.text,
                 "is not issued by a CA of this network, but by \"CN=Warren intermediate ") !=
          NULL);
}

TEST(an_empty_trust_set_trusts_nobody)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    struct pki_question asked = question("456000." NET_NAME, PKI_CLIENT);
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    struct view chain[] = { pki_cert_der(cert), pki_cert_der(pki_ca_cert(net.intermediate)),
                            pki_cert_der(pki_ca_cert(net.root)) };
    CHECK_ERR(pki_judge(trust, chain, 3, &asked, NULL, &err), err, ERR_BAD_CERTIFICATE);
    struct view root = pki_cert_der(pki_ca_cert(net.root));
    CHECK_ERR(pki_judge(net.trust, &root, 1, &asked, NULL, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_ERR(pki_trust_add_root(trust, pki_cert_der(cert), &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "root: \"CN=456000\" is not signed by itself");
}

TEST(chains_are_bounded_before_they_are_read)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_CLIENT);
    struct err err = { 0 };
    _buf_ large = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    struct view chain[PKI_MAX_CHAIN + 1];
    for (size_t i = 0; i < N_ELEMENTS(chain); i++)
        chain[i] = pki_cert_der(cert);
    CHECK_OK(pki_judge(net.trust, chain, PKI_MAX_CHAIN, &asked, NULL, &err), err);
    CHECK_ERR(pki_judge(net.trust, chain, PKI_MAX_CHAIN + 1, &asked, NULL, &err), err,
              ERR_TOO_LARGE);
    CHECK_STR(err.text, "a chain of 7 certificates, at most 6");
    buf_grow(&large, PKI_MAX_CERT + 1);
    chain[1] = buf_view(&large);
    CHECK_ERR(pki_judge(net.trust, chain, 2, &asked, NULL, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "number 2 of the chain: a certificate of 8193 bytes, at most 8192");
    chain[1] = VIEW_LIT("junk");
    CHECK_ERR(pki_judge(net.trust, chain, 2, &asked, NULL, &err), err, ERR_BAD_CERTIFICATE);
}

TEST(a_successor_of_the_intermediate_lives_beside_it)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_ca_freep) struct pki_ca *next = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *old_leaf = NULL, *new_leaf = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_CLIENT);
    struct pki_key *key = NULL;
    struct err err = { 0 };
    _buf_ list = { 0 }, revoking = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_ca_new_intermediate(net.root, NET_NAME, NET_NOW, 99 * DAY_MS, key, &next, &err),
             err);
    CHECK_OK(pki_trust_add_intermediate(net.trust, pki_cert_der(pki_ca_cert(next)), &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &old_leaf, &err), err);
    struct net by_next = { .intermediate = next, .now = NET_NOW };
    CHECK_OK(net_issue(&by_next, PKI_PEER, "456000", NULL, &new_leaf, &err), err);
    CHECK_OK(judge_one(&net, pki_cert_der(old_leaf), &asked, &err), err);
    CHECK_OK(judge_one(&net, pki_cert_der(new_leaf), &asked, &err), err);
    CHECK_OK(pki_ca_issue_crl(next, 1, NET_NOW, NET_NOW + DAY_MS, NULL, 0, &list, &err), err);
    CHECK_OK(pki_trust_set_crl(net.trust, buf_view(&list), &err), err);
    asked.needs_crl = true;
    CHECK_OK(judge_one(&net, pki_cert_der(new_leaf), &asked, &err), err);
    CHECK_OK(judge_one(&net, pki_cert_der(old_leaf), &asked, &err), err);
    const struct pki_revoked revoked = { pki_cert_serial(old_leaf), NET_NOW, 1 };
    CHECK_OK(pki_ca_issue_crl(next, 2, NET_NOW, NET_NOW + DAY_MS, &revoked, 1, &revoking, &err),
             err);
    CHECK_OK(pki_trust_set_crl(net.trust, buf_view(&revoking), &err), err);
    CHECK_OK(judge_one(&net, pki_cert_der(new_leaf), &asked, &err), err);
    CHECK_ERR(judge_one(&net, pki_cert_der(old_leaf), &asked, &err), err, ERR_REVOKED);
}

TEST(the_list_of_a_ca_that_the_manifest_does_not_list_is_none)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_ca_freep) struct pki_ca *next = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_CLIENT);
    struct pki_key *key = NULL;
    struct err err = { 0 };
    _buf_ list = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_ca_new_intermediate(net.root, NET_NAME, NET_NOW, 99 * DAY_MS, key, &next, &err),
             err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &leaf, &err), err);
    CHECK_OK(pki_ca_issue_crl(next, 1, NET_NOW, NET_NOW + DAY_MS, NULL, 0, &list, &err), err);
    CHECK_OK(pki_trust_set_crl(net.trust, buf_view(&list), &err), err);
    CHECK_OK(judge_one(&net, pki_cert_der(leaf), &asked, &err), err);
    asked.needs_crl = true;
    CHECK_ERR(judge_one(&net, pki_cert_der(leaf), &asked, &err), err, ERR_BAD_CERTIFICATE);
}

TEST(the_question_itself_is_checked)
{
    static const struct {
        const char *name, *network;
    } cases[] = {
        { "456000.else.example", NET_NAME }, { "456000", NET_NAME },
        { "corp.example", NET_NAME },        { "alice.corp.example", NET_NAME },
        { "*.corp.example", NET_NAME },      { "", NET_NAME },
    };
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct pki_question asked = { .name = cases[i].name,
                                      .network = cases[i].network,
                                      .now = NET_NOW };
        CHECK_ERR(judge_one(&net, pki_cert_der(cert), &asked, &err), err, ERR_INVALID_ARGUMENT);
    }
    /* the CAs are constrained to another network than the one that is asked for */
    struct pki_question asked = { .name = "456000.example.org",
                                  .network = "example.org",
                                  .now = NET_NOW };
    CHECK_ERR(judge_one(&net, pki_cert_der(cert), &asked, &err), err, ERR_BAD_CERTIFICATE);
    CHECK(strstr(err.text, "the root has the nameConstraints") != NULL);
}

TEST(no_octet_of_a_certificate_may_change)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_question asked = question("456000." NET_NAME, PKI_SERVER);
    struct err err = { 0 };
    _buf_ der = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", NULL, &cert, &err), err);
    buf_put(&der, pki_cert_der(cert));
    for (size_t i = 0; i < der.len; i++) {
        uint8_t kept = der.data[i];
        der.data[i] ^= (uint8_t)(1 + random_below(255));
        CHECK(!judge_one(&net, buf_view(&der), &asked, &err));
        der.data[i] = kept;
    }
    for (size_t len = 0; len < der.len; len++)
        CHECK(!judge_one(&net, VIEW(der.data, len), &asked, &err));
    CHECK_OK(judge_one(&net, buf_view(&der), &asked, &err), err);
}
