/* SPDX-License-Identifier: Apache-2.0 */
/* Every bad certificate that pki's tests know, shown on a real link to an end that judges with
 * pki: none comes up, whoever calls, and nothing of the application's flows. */
#include "tests/unit/link/pair.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <stdio.h>

static struct {
    struct net net;
    struct pki_trust *trust;
    bool needs_crl;
} honest; /* what the honest end of the run at hand goes by */

static bool accept_all(void *user, const struct view *chain, size_t n, struct err *err)
{
    (void)user;
    (void)chain;
    (void)n;
    (void)err;
    return true;
}

static bool judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    const struct pair_end *end = user;
    struct pki_question question = {
        .name = "456000." NET_NAME,
        .network = NET_NAME,
        .role = end->is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = NET_NOW,
        .needs_crl = honest.needs_crl,
    };

    return pki_judge(honest.trust, chain, n, &question, NULL, err);
}

static bool make_trust(const struct bad_cert *cert, struct err *err)
{
    honest.trust = pki_trust_new();
    honest.needs_crl = cert->needs_crl;
    return pki_trust_add_root(honest.trust, pki_cert_der(pki_ca_cert(honest.net.root)), err) &&
           pki_trust_add_intermediate(honest.trust,
                                      pki_cert_der(pki_ca_cert(honest.net.intermediate)), err) &&
           bad_cert_trust(cert, honest.trust, err);
}

/* Whether GnuTLS can be made to show it at all: the liar would have to bring a TLS library of
 * its own. */
static bool can_show(const struct pair_side *side)
{
    struct tls tls = { 0 };
    struct link_config config = { .chain = side->chain,
                                  .n_chain = side->n_chain,
                                  .key_der = side->key_der };
    struct err err = { 0 };
    bool ok = tls_credentials_new(&tls, &config, &tls_profile_link, &err);

    tls_deinit(&tls);
    return ok;
}

static struct pair *run_link(const struct bad_cert *cert, bool liar_calls, bool *ret_is_shown)
{
    struct view chain[BAD_MAX_CHAIN];
    struct pair_side liar = { .judge = accept_all,
                              .chain = chain,
                              .n_chain = cert->n_chain,
                              .key_der = buf_view(&cert->key) };
    struct pair_side judging = { .judge = judge };
    struct pair_options options = { .wire = { .delay_ns = MS_NS },
                                    .caller = liar_calls ? liar : judging,
                                    .callee = liar_calls ? judging : liar };
    struct pair *pair;

    for (size_t i = 0; i < cert->n_chain; i++)
        chain[i] = buf_view(&cert->chain[i]);
    *ret_is_shown = can_show(&liar);
    if (!*ret_is_shown)
        return NULL;
    pair = pair_new(&options);
    PAIR_UNTIL(pair, 30 * S_NS,
               (pair->caller.n_up && pair->callee.n_up) ||
                   (pair->caller.n_failed && pair->callee.n_failed));
    return pair;
}

static bool nothing_came_up(const struct pair *pair, const struct pair_end *judging)
{
    return CHECK_U64(pair->caller.n_up + pair->callee.n_up, 0) &&
           CHECK_U64(judging->n_opened + judging->n_hearts + judging->n_datagrams, 0) &&
           CHECK(!judging->link->has_sent_bind);
}

static bool refused_by_judge(const struct pair_end *judging, const struct pair_end *liar,
                             size_t row)
{
    return CHECK_U64(judging->n_failed, 1) && CHECK_U64(liar->n_failed, 1) &&
           CHECK_U64(judging->err.code, bad_certs_code(row)) &&
           CHECK(!judging->by_remote && liar->by_remote) &&
           CHECK_STR(liar->err.text,
                     "the other side refused our certificate (TLS alert bad_certificate)");
}

/* True when the judge saw it. Else the liar's own GnuTLS would not load it, or not sign with its
 * key: then nothing may have come up either, and pki's own tests judge the row. */
static bool try_row(size_t row, bool liar_calls)
{
    struct bad_net where = { "456000", NET_NAME, honest.net.root, honest.net.intermediate,
                             NET_NOW };
    _cleanup_(bad_cert_deinit) struct bad_cert cert = { 0 };
    _cleanup_(pair_freep) struct pair *pair = NULL;
    struct pair_end *judging, *liar;
    bool is_shown = false;
    struct err err = { 0 };

    if (!bad_certs_make(row, &where, &cert, &err) || !make_trust(&cert, &err)) {
        check_failed(__FILE__, __LINE__, "%s: %s", bad_certs_name(row), err.text);
        return false;
    }
    pair = run_link(&cert, liar_calls, &is_shown);
    if (is_shown) {
        judging = liar_calls ? &pair->callee : &pair->caller;
        liar = liar_calls ? &pair->caller : &pair->callee;
        is_shown = judging->n_judged > 0;
        if (!nothing_came_up(pair, judging) || (is_shown && !refused_by_judge(judging, liar, row)))
            check_failed(__FILE__, __LINE__, "row: %s", bad_certs_name(row));
    }
    if (!is_shown)
        printf("# %s: GnuTLS would not show it\n", bad_certs_name(row));
    pki_trust_free(honest.trust);
    return is_shown;
}

TEST(no_bad_certificate_completes_a_link_on_either_side)
{
    struct err err = { 0 };
    size_t n_shown = 0;

    CHECK_OK(net_init(&honest.net, &err), err);
    CHECK(bad_certs_count() >= 40);
    for (size_t row = 0; row < bad_certs_count(); row++)
        for (int liar_calls = 0; liar_calls < 2; liar_calls++)
            n_shown += try_row(row, liar_calls);
    printf("# %zu of %zu were judged\n", n_shown, 2 * bad_certs_count());
    CHECK(n_shown >= 2 * 40);
    net_deinit(&honest.net);
}

TEST(the_same_without_the_fault_completes)
{
    struct err err = { 0 };

    CHECK_OK(net_init(&honest.net, &err), err);
    for (size_t i = 0; i < bad_certs_n_controls(); i++)
        for (int liar_calls = 0; liar_calls < 2; liar_calls++) {
            struct bad_net where = { "456000", NET_NAME, honest.net.root, honest.net.intermediate,
                                     NET_NOW };
            _cleanup_(bad_cert_deinit) struct bad_cert good = { 0 };
            _cleanup_(pair_freep) struct pair *pair = NULL;
            bool is_shown = false;

            CHECK_OK(bad_certs_make_control(i, &where, &good, &err) && make_trust(&good, &err),
                     err);
            pair = run_link(&good, liar_calls, &is_shown);
            CHECK(is_shown && pair->caller.n_up && pair->callee.n_up);
            pki_trust_free(honest.trust);
        }
    net_deinit(&honest.net);
}
