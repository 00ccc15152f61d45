/* SPDX-License-Identifier: Apache-2.0 */
/* The judge of certificates, for whoever has a chain and a root and no network. */
#include "base/clock.h"
#include "peer/errand.h"

#include <stdio.h>

enum { MAX_CERTS = 16 };

struct certs {
    struct buf der[MAX_CERTS];
    struct view view[MAX_CERTS];
    size_t n;
};

static void certs_deinit(struct certs *c)
{
    for (size_t i = 0; i < MAX_CERTS; i++)
        buf_free(&c->der[i]);
}

static bool is_cert(struct view der, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;

    return pki_cert_read(der, &cert, err);
}

static bool is_crl(struct view der, struct err *err)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;

    return pki_crl_read(der, &crl, err);
}

/* What cannot be read is no verdict on the chain. */
static bool blame_input(const char *what, struct err *err)
{
    char why[sizeof(err->text)];

    snprintf(why, sizeof(why), "%s", err->text);
    err_set(err, ERR_INVALID_ARGUMENT, "%s: %s", what, why);
    return err_advise(err, "give PEM, or one certificate or list in DER");
}

/* PEM, however many, or one in DER. */
static bool read_blocks(const void *bytes, size_t size, const char *label, const char *what,
                        struct certs *to, struct err *err)
{
    struct view given = VIEW(bytes, size);

    if (given.len && given.data[0] == 0x30) { /* a SEQUENCE, which no text begins with here */
        to->der[0] = buf_dup(given);
        to->n = 1;
        if (!(strcmp(label, "CERTIFICATE") == 0 ? is_cert : is_crl)(given, err))
            return blame_input(what, err);
    } else if (!pki_pem_read_all(given, label, to->der, MAX_CERTS, &to->n, err)) {
        return blame_input(what, err);
    }
    for (size_t i = 0; i < to->n; i++)
        to->view[i] = buf_view(&to->der[i]);
    if (to->n > 0)
        return true;
    err_set(err, ERR_INVALID_ARGUMENT, "no %s in it", label);
    return blame_input(what, err);
}

/* Those that the chain is judged by: a malformed one is not the chain's fault. */
static bool check_blocks(const struct certs *c, bool (*check)(struct view der, struct err *err),
                         const char *what, struct err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (!check(c->view[i], err))
            return blame_input(what, err);
    return true;
}

/* There is no manifest: the intermediates are those that the chain brings, and the root's word counts. */
static bool judge_ours(const struct certs *chain, const struct certs *roots,
                       const struct certs *crls, const struct pki_question *question,
                       struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    uint8_t hash[HASH_SIZE];

    for (size_t i = 0; i < roots->n; i++)
        if (!pki_trust_add_root(trust, roots->view[i], err))
            return false;
    for (size_t i = 1; i < chain->n; i++) {
        hash_sha256(chain->view[i], hash);
        pki_trust_list_intermediate(trust, hash);
    }
    if (crls->n && !pki_trust_set_crl(trust, crls->view[0], err))
        return false;
    return pki_judge(trust, chain->view, chain->n, question, NULL, err);
}

static bool judge(const struct peer_chain_question *q, const struct certs *chain,
                  const struct certs *roots, const struct certs *crls, struct err *err)
{
    const char *dot = strchr(q->name, '.');
    const struct pki_question ours = {
        .name = q->name,
        .network = dot ? dot + 1 : "",
        .role = q->is_client ? PKI_CLIENT : PKI_SERVER,
        .now = q->at ? q->at : clock_wall_ms(),
        .needs_crl = crls->n > 0,
    };
    const struct pki_general general = {
        .chain = chain->view,
        .n_chain = chain->n,
        .anchors = roots->view,
        .n_anchors = roots->n,
        .crls = crls->view,
        .n_crls = crls->n,
        .name = q->name,
        .role = ours.role,
        .now = ours.now,
        .max_intermediates = -1,
    };

    if (q->is_general)
        return pki_judge_general(&general, err);
    return dot ? judge_ours(chain, roots, crls, &ours, err)
               : err_set(err, ERR_INVALID_ARGUMENT,
                         "%.100s: expected a name in a network, such as 456000.corp.example",
                         q->name);
}

static void describe(const struct pki_facts *from, struct peer_chain_facts *to)
{
    *to = (struct peer_chain_facts){ .not_before = from->not_before, .not_after = from->not_after };
    snprintf(to->subject, sizeof(to->subject), "%s", from->subject);
    snprintf(to->issuer, sizeof(to->issuer), "%s", from->issuer);
    snprintf(to->names, sizeof(to->names), "%s", from->names);
    snprintf(to->serial, sizeof(to->serial), "%s", from->serial);
}

static bool verify(const struct peer_chain_question *q, struct peer_chain_facts *ret_facts,
                   struct err *err)
{
    _cleanup_(certs_deinit) struct certs chain = { 0 }, roots = { 0 }, crls = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;

    if (!key_init(err) ||
        !read_blocks(q->chain, q->chain_size, "CERTIFICATE", "chain", &chain, err) ||
        !read_blocks(q->roots, q->roots_size, "CERTIFICATE", "root", &roots, err) ||
        (q->crl_size &&
         !read_blocks(q->crl, q->crl_size, "X509 CRL", "revocation list", &crls, err)) ||
        !check_blocks(&roots, is_cert, "root", err) ||
        !check_blocks(&crls, is_crl, "revocation list", err) ||
        !judge(q, &chain, &roots, &crls, err) || !pki_cert_read(chain.view[0], &leaf, err))
        return false;
    if (ret_facts)
        describe(pki_cert_facts(leaf), ret_facts);
    return true;
}

bool peer_verify_chain(const struct peer_chain_question *question,
                       struct peer_chain_facts *ret_facts, struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (verify(question, ret_facts, &err))
        return true;
    errand_put_error(&err, ret_error);
    return false;
}
