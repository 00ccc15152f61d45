/* SPDX-License-Identifier: Apache-2.0 */
#include "router/certificate.h"

/* The trust set of the newest manifest, as pki wants it. */
static bool make_trust(const struct rpc_trust *trust, struct pki_trust **ret_trust, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *set = pki_trust_new();
    const struct rpc_manifest *manifest = rpc_trust_manifest(trust);
    struct view root;

    if (!manifest)
        return err_set(err, ERR_BAD_PIN, "no manifest is known");
    for (size_t i = 0; rpc_trust_root(trust, i, &root); i++) {
        if (!pki_trust_add_root(set, root, err))
            return err_wrap(err, "root %zu", i + 1);
    }
    for (size_t i = 0; i < manifest->intermediates.n; i++)
        pki_trust_list_intermediate(set, manifest->intermediates.item[i].data);
    *ret_trust = STEAL(set);
    return true;
}

bool certificate_judge(const struct certificate_question *question, const struct view *chain,
                       size_t n, uint64_t *ret_not_after, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    const char *network = rpc_trust_network(question->trust);
    _free_ char *name = mem_format("router.%s", network);
    struct pki_question ask = {
        .name = name,
        .network = network,
        .role = PKI_SERVER,
        .now = question->now,
        .spki = question->tls_spki,
    };

    if (!make_trust(question->trust, &trust, err))
        return false;
    if (!pki_judge(trust, chain, n, &ask, &leaf, err))
        return err_wrap(err, "the router's certificate");
    *ret_not_after = pki_cert_facts(leaf)->not_after;
    return true;
}
