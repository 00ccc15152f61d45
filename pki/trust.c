/* SPDX-License-Identifier: Apache-2.0 */
/* The trust set: nothing but what the newest manifest lists. */
#include "pki/trust.h"

struct pki_trust *pki_trust_new(void)
{
    return mem_new(struct pki_trust);
}

void pki_trust_free(struct pki_trust *trust)
{
    if (!trust)
        return;
    for (size_t i = 0; i < trust->n_roots; i++)
        pki_cert_free(trust->roots[i]);
    for (size_t i = 0; i < trust->n_intermediates; i++)
        pki_cert_free(trust->intermediates[i]);
    free(trust->roots);
    free(trust->intermediates);
    free(trust->listed);
    pki_crl_free(trust->crl);
    free(trust);
}

static bool add(struct pki_cert ***to, size_t *n, struct view der, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;

    if (!pki_cert_read(der, &cert, err))
        return false;
    *to = mem_resize(*to, *n + 1, sizeof(**to));
    (*to)[(*n)++] = STEAL(cert);
    return true;
}

/* Self-signed, checked here once: the judge takes a root for what it is and spares every chain the
 * P-384 that would only show the same again. */
bool pki_trust_add_root(struct pki_trust *trust, struct view der, struct err *err)
{
    struct pki_cert *root;

    if (!add(&trust->roots, &trust->n_roots, der, err))
        return err_wrap(err, "root");
    root = trust->roots[trust->n_roots - 1];
    if (X509_self_signed(root->x509, 1) == 1)
        return true;
    trust->n_roots--;
    pki_err(err, ERR_BAD_CERTIFICATE, "root: \"%s\" is not signed by itself", root->facts.subject);
    pki_cert_free(root);
    return false;
}

bool pki_trust_add_intermediate(struct pki_trust *trust, struct view der, struct err *err)
{
    if (!add(&trust->intermediates, &trust->n_intermediates, der, err))
        return err_wrap(err, "intermediate");
    pki_trust_list_intermediate(trust, trust->intermediates[trust->n_intermediates - 1]->hash);
    return true;
}

void pki_trust_list_intermediate(struct pki_trust *trust, const uint8_t der_hash[HASH_SIZE])
{
    trust->listed = mem_resize(trust->listed, trust->n_listed + 1, sizeof(*trust->listed));
    memcpy(trust->listed[trust->n_listed++], der_hash, HASH_SIZE);
}

bool pki_trust_lists(const struct pki_trust *trust, const struct pki_cert *intermediate)
{
    for (size_t i = 0; i < trust->n_listed; i++)
        if (memcmp(trust->listed[i], intermediate->hash, HASH_SIZE) == 0)
            return true;
    return false;
}

bool pki_trust_set_crl(struct pki_trust *trust, struct view der, struct err *err)
{
    struct pki_crl *crl = NULL;

    if (!pki_crl_read(der, &crl, err))
        return false;
    pki_crl_free(trust->crl);
    trust->crl = crl;
    return true;
}
