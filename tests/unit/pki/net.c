/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pki/net.h"

#include "base/clock.h"

bool net_init(struct net *net, struct err *err)
{
    return net_init_at(net, NET_NOW, err);
}

bool net_init_at(struct net *net, uint64_t now, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *root_key = NULL, *key = NULL;

    *net = (struct net){ .trust = pki_trust_new(), .now = now };
    return pki_key_new(PKI_P384, &root_key, err) && pki_key_new(PKI_P256, &key, err) &&
           pki_ca_new_root(NET_NAME, now - DAY_MS, 20 * 365 * DAY_MS, STEAL(root_key), &net->root,
                           err) &&
           pki_ca_new_intermediate(net->root, NET_NAME, now - DAY_MS, 5 * 365 * DAY_MS, STEAL(key),
                                   &net->intermediate, err) &&
           pki_trust_add_root(net->trust, pki_cert_der(pki_ca_cert(net->root)), err) &&
           pki_trust_add_intermediate(net->trust, pki_cert_der(pki_ca_cert(net->intermediate)),
                                      err);
}

void net_deinit(struct net *net)
{
    pki_ca_free(net->root);
    pki_ca_free(net->intermediate);
    pki_trust_free(net->trust);
}

struct pki_order net_order(enum pki_profile profile, const char *label)
{
    struct pki_order order = { .profile = profile,
                               .label = label,
                               .network = NET_NAME,
                               .now = NET_NOW,
                               .life_ms = profile == PKI_ROUTER ? 30 * DAY_MS : DAY_MS };

    pki_serial_new(order.serial, &order.serial_len);
    return order;
}

bool net_issue(const struct net *net, enum pki_profile profile, const char *label,
               struct pki_key **ret_key, struct pki_cert **ret_cert, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    struct pki_order order = net_order(profile, label);
    _buf_ der = { 0 };

    order.now = net->now;
    if (!pki_key_new(PKI_P256, &key, err) || !pki_csr_new(key, &der, err) ||
        !pki_csr_read(buf_view(&der), &csr, err) ||
        !pki_ca_issue(net->intermediate, csr, &order, ret_cert, err))
        return false;
    if (ret_key)
        *ret_key = STEAL(key);
    return true;
}
