/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/link/certs.h"

#include "base/clock.h"

#define NETWORK "corp.example"
#define NOW_MS  ((uint64_t)1795000000000)

static struct {
    struct pki_trust *trust;
    struct buf der[2][2], key[2]; /* caller, callee: leaf and intermediate */
    struct view chain[2][2];
} certs;

static bool make_leaf(struct pki_ca *ca, const char *label, struct buf *chain, struct buf *ret_key,
                      struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_order order = {
        .profile = PKI_PEER,
        .label = label,
        .network = NETWORK,
        .now = NOW_MS,
        .life_ms = DAY_MS,
    };
    _buf_ csr_der = { 0 };

    pki_serial_new(order.serial, &order.serial_len);
    if (!pki_key_new(PKI_P256, &key, err) || !pki_csr_new(key, &csr_der, err) ||
        !pki_csr_read(buf_view(&csr_der), &csr, err) ||
        !pki_ca_issue(ca, csr, &order, &cert, err) || !pki_key_der(key, ret_key, err))
        return false;
    chain[0] = buf_dup(pki_cert_der(cert));
    chain[1] = buf_dup(pki_cert_der(pki_ca_cert(ca)));
    return true;
}

static bool make_certs(struct err *err)
{
    static struct pki_ca *root, *ca;
    struct pki_key *root_key = NULL, *ca_key = NULL;

    if (certs.trust)
        return true;
    if (!pki_key_new(PKI_P384, &root_key, err) || !pki_key_new(PKI_P256, &ca_key, err) ||
        !pki_ca_new_root(NETWORK, NOW_MS, 3650 * DAY_MS, root_key, &root, err) ||
        !pki_ca_new_intermediate(root, NETWORK, NOW_MS, 365 * DAY_MS, ca_key, &ca, err))
        return false;
    certs.trust = pki_trust_new();
    return pki_trust_add_root(certs.trust, pki_cert_der(pki_ca_cert(root)), err) &&
           pki_trust_add_intermediate(certs.trust, pki_cert_der(pki_ca_cert(ca)), err) &&
           make_leaf(ca, "100001", certs.der[0], &certs.key[0], err) &&
           make_leaf(ca, "200002", certs.der[1], &certs.key[1], err);
}

bool certs_fill(struct link_config *config, bool is_caller, struct err *err)
{
    size_t side = is_caller ? 0 : 1;

    if (!make_certs(err))
        return false;
    for (size_t i = 0; i < 2; i++)
        certs.chain[side][i] = buf_view(&certs.der[side][i]);
    config->is_caller = is_caller;
    config->chain = certs.chain[side];
    config->n_chain = 2;
    config->key_der = buf_view(&certs.key[side]);
    return true;
}

bool certs_judge(bool is_caller, const struct view *chain, size_t n, struct err *err)
{
    struct pki_question question = {
        .name = is_caller ? "200002." NETWORK : "100001." NETWORK,
        .network = NETWORK,
        .role = is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = NOW_MS,
    };

    return pki_judge(certs.trust, chain, n, &question, NULL, err);
}
