/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>

static struct pki_question question(const char *name, enum pki_role role)
{
    return (struct pki_question){ .name = name, .network = NET_NAME, .role = role, .now = NET_NOW };
}

/* What the row's "why" says of ID and network, filled in. */
static char *filled(const char *why)
{
    _buf_ out = { 0 };

    for (; *why; why++) {
        if (*why == '@' && (why[1] == 'I' || why[1] == 'N'))
            buf_put_text(&out, *++why == 'I' ? "456000" : NET_NAME);
        else
            buf_put_u8(&out, (uint8_t)*why);
    }
    return mem_text(buf_cstr(&out));
}

static bool judge_bad(const struct net *net, const struct bad_cert *bad, enum pki_role role, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    struct pki_question asked = question("456000." NET_NAME, role);
    struct view chain[BAD_MAX_CHAIN];

    asked.needs_crl = bad->needs_crl;
    for (size_t i = 0; i < bad->n_chain; i++)
        chain[i] = buf_view(&bad->chain[i]);
    if (!CHECK(pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(net->root)), err) &&
               pki_trust_add_intermediate(trust, pki_cert_der(pki_ca_cert(net->intermediate)), err) &&
               bad_cert_trust(bad, trust, err)))
        return false;
    return pki_judge(trust, chain, bad->n_chain, &asked, NULL, err);
}

static void check_row(const struct net *net, size_t row)
{
    struct bad_net where = { "456000", NET_NAME, net->root, net->intermediate, NET_NOW };
    _cleanup_(bad_cert_deinit) struct bad_cert bad = { 0 };
    _free_ char *why = filled(bad_certs_why(row));
    struct err err = { 0 };

    if (!bad_certs_make(row, &where, &bad, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return;
    }
    for (enum pki_role role = PKI_CLIENT; role <= PKI_SERVER; role++) {
        err = (struct err){ 0 };
        if (judge_bad(net, &bad, role, &err))
            check_failed(__FILE__, __LINE__, "%s: accepted", bad_certs_name(row));
        else if (err.code != bad_certs_code(row))
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", bad_certs_name(row), err_code_name(err.code), err.text);
        else if (role == PKI_SERVER && !strstr(err.text, why))
            check_failed(__FILE__, __LINE__, "%s: \"%s\" does not say \"%s\"", bad_certs_name(row), err.text, why);
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

