/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign, .chain and .crl. From a request nothing is taken but the public key; names are
 * written from the record. */
#include "den/core_in.h"

#include "base/log.h"

enum { MAX_BODY = PKI_MAX_CSR + 256 };

static bool read_body(struct view body, struct pki_csr **ret_csr, struct err *err)
{
    struct view csr;

    if (!rpc_map_bin(body, "csr", &csr))
        return err_set(err, ERR_BAD_WIRE, "body: csr: missing, or not bytes");
    return pki_csr_read(csr, ret_csr, err);
}

static bool is_spki_of(struct view cert_der, struct view spki, bool *ret_is, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    uint8_t hash[HASH_SIZE];

    if (!pki_cert_read(cert_der, &cert, err))
        return false;
    pki_cert_spki_hash(cert, hash);
    *ret_is = view_eq_secret(VIEW_ARR(hash), spki);
    return true;
}

static bool check_not_a_ca_key(struct den_core *core, struct view spki, struct err *err)
{
    struct view der;
    bool is = false;

    if (!is_spki_of(pki_cert_der(signer_cert(core->c.signer)), spki, &is, err))
        return false;
    for (size_t i = 0; !is && rpc_trust_root(core->c.trust, i, &der); i++)
        if (!is_spki_of(der, spki, &is, err))
            return false;
    return !is || err_set(err, ERR_WRONG_KEY, "this is the key of an authority");
}

static bool is_valid(const struct store_certificate *c, uint64_t now)
{
    return c->der.len && !c->is_revoked && c->not_before <= now && now < c->not_after;
}

/* A key belongs to the first ID that asked with it. Asked again, the answer is the certificate
 * that it has, so that a lost answer costs nothing; *ret_der stays empty when there is none to
 * give. */
static bool find_issued(struct den_core *core, const char *id, struct view spki,
                        struct buf *ret_der, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate known = { 0 };
    enum store_found found = STORE_NONE;

    if (!store_certificate_by_spki(core->c.store, spki, &found, &known, err))
        return false;
    if (found == STORE_NONE)
        return true;
    if (strcmp(known.id, id) != 0)
        return err_set(err, ERR_WRONG_KEY, "this key was used by another ID: make a new one");
    if (known.is_revoked)
        return err_set(err, ERR_WRONG_KEY, "this key was revoked: make a new one");
    if (is_valid(&known, core_wall(core)))
        *ret_der = buf_dup(buf_view(&known.der));
    return true;
}

static void answer_certificate(struct den_core *core, uint64_t inv, struct view der)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, der);
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, pki_cert_der(signer_cert(core->c.signer)));
    core_yield(core, inv, buf_view(&args));
}

bool issue_sign(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _buf_ der = { 0 };
    struct request request;
    uint8_t spki[HASH_SIZE];

    if (!request_open(core, inv, args, "den.ca.sign", MAX_BODY, RATE_CSR, &request, err) ||
        !read_body(request.body, &csr, err))
        return err_wrap(err, "certificate request");
    pki_csr_spki_hash(csr, spki);
    if (!check_not_a_ca_key(core, VIEW_ARR(spki), err) ||
        !find_issued(core, request.who.id, VIEW_ARR(spki), &der, err) ||
        !pki_csr_check_names(csr, request.who.id, rpc_trust_network(core->c.trust), err))
        return err_wrap(err, "certificate request");

    const struct signer_order order = {
        .profile = PKI_PEER,
        .label = request.who.id,
        .csr = csr,
        .now = core_wall(core),
        .life = core->c.leaf_life,
    };
    if (!der.len && !signer_issue(core->c.signer, core->c.store, &order, &der, err))
        return err_wrap(err, "certificate");
    answer_certificate(core, inv->number, buf_view(&der));
    return true;
}

static bool put_chain(struct den_core *core, struct buf *to, struct err *err)
{
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };

    if (!rpc_trust_put_challenge(core->c.trust, 0, rpc_trust_netid(core->c.trust), &roots,
                                 &manifests, err))
        return false;
    rpc_put_array(to, 3);
    rpc_put_raw(to, buf_view(&roots));
    rpc_put_array(to, 1);
    rpc_put_bin(to, pki_cert_der(signer_cert(core->c.signer)));
    rpc_put_raw(to, buf_view(&manifests));
    return true;
}

bool issue_chain(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err) || !put_chain(core, &answer, err))
        return false;
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

bool issue_crl(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
               struct err *err)
{
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(&answer, 1);
    rpc_put_bin(&answer, buf_view(&core->crl));
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
