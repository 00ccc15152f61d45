/* SPDX-License-Identifier: Apache-2.0 */
#include "den/root.h"

#include <inttypes.h>

#define MAX_AHEAD (10 * MINUTE_MS) /* of the clock of whoever signs */

void root_order_deinit(struct root_order *order)
{
    free(order->network);
    free(order->reason);
    free(order->host);
    buf_free(&order->pk);
    buf_free(&order->login_pk);
    buf_free(&order->sign_pk);
    buf_free(&order->csr);
    rpc_trust_free(order->trust);
    buf_free(&order->text);
    *order = (struct root_order){ 0 };
}

void root_answer_deinit(struct root_answer *answer)
{
    buf_free(&answer->manifest);
    for (size_t i = 0; i < ROOT_MAX_SIGNERS; i++)
        buf_free(&answer->sigs[i]);
    buf_free(&answer->root);
    buf_free(&answer->intermediate);
    *answer = (struct root_answer){ 0 };
}

static struct change change_of(const struct root_order *order)
{
    return (struct change){
        .step = order->step,
        .what = order->what,
        .pk = buf_view(&order->pk),
        .network = order->network,
        .login_pk = buf_view(&order->login_pk),
        .sign_pk = buf_view(&order->sign_pk),
    };
}

/* ---- signing -------------------------------------------------------------------------------- */

static bool check_root(const struct root_order *order, const struct pki_ca *root, struct err *err)
{
    uint8_t hash[HASH_SIZE];

    if (order->step == CHANGE_FOUND)
        return true;
    pki_cert_hash(pki_ca_cert(root), hash);
    for (size_t i = 0; i < rpc_trust_manifest(order->trust)->roots.n; i++) {
        if (view_eq(rpc_trust_manifest(order->trust)->roots.item[i], VIEW_ARR(hash)))
            return true;
    }
    return err_set(err, ERR_WRONG_KEY, "this root is not in manifest %" PRIu64,
                   rpc_trust_manifest_no(order->trust));
}

static bool certify(const struct root_order *order, const struct pki_ca *above, uint64_t now,
                    struct root_answer *answer, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;

    if (!pki_csr_read(buf_view(&order->csr), &csr, err) ||
        !pki_ca_certify(above, csr, order->network, now, INTERMEDIATE_LIFE_MS, &cert, err))
        return err_wrap(err, "the new intermediate");
    answer->intermediate = buf_dup(pki_cert_der(cert));
    return true;
}

static bool add_sig(const struct pki_ca *root, struct root_answer *answer, struct err *err)
{
    return pki_key_sign(pki_ca_key(root), buf_view(&answer->manifest),
                        &answer->sigs[answer->n_sigs++], err) ||
           err_wrap(err, "signing the manifest");
}

bool root_sign(const struct root_order *order, const struct root_signers *by, uint64_t now,
               struct root_answer *ret_answer, struct err *err)
{
    _cleanup_(root_answer_deinit) struct root_answer answer = { 0 };
    struct change change = change_of(order);
    uint8_t root[HASH_SIZE], intermediate[HASH_SIZE], previous[HASH_SIZE];
    const struct pki_ca *fresh = order->step == CHANGE_FOUND ? by->root : by->fresh;
    struct rpc_manifest next;

    change.at = now;
    if (!check_root(order, by->root, err) ||
        (order->trust && !change_check(order->trust, &change, err)))
        return false;
    if (change_needs_root(&change) || order->step == CHANGE_FOUND) {
        answer.root = buf_dup(pki_cert_der(pki_ca_cert(fresh)));
        hash_sha256(buf_view(&answer.root), root);
        change.root = VIEW_ARR(root);
    }
    if (change_needs_intermediate(&change)) {
        if (!certify(order, change.root.len ? fresh : by->root, now, &answer, err))
            return false;
        hash_sha256(buf_view(&answer.intermediate), intermediate);
        change.intermediate = VIEW_ARR(intermediate);
    }
    change_apply(order->trust, &change, previous, &next);
    rpc_statement_write(RPC_W_MANIFEST, &next, &answer.manifest);
    hash_sha256(buf_view(&order->text), answer.order_hash);
    if (!add_sig(by->root, &answer, err) ||
        (change_needs_root(&change) && !add_sig(by->fresh, &answer, err)))
        return false;
    *ret_answer = answer;
    answer = (struct root_answer){ 0 };
    return true;
}

/* ---- accepting ------------------------------------------------------------------------------ */

/* Whether the network is where it was when the order was written. */
static bool check_stands(const struct rpc_trust *trust, const struct root_order *order,
                         struct err *err)
{
    if (!trust || !order->trust)
        return (!trust && !order->trust) ||
               err_set(err, ERR_STALE, "the order is for a network's first manifest");
    if (!view_eq(rpc_trust_netid(trust), rpc_trust_netid(order->trust)))
        return err_set(err, ERR_BAD_STATEMENT, "the order is of another network");
    return view_eq(rpc_trust_manifest_bytes(trust), rpc_trust_manifest_bytes(order->trust)) ||
           err_set(err, ERR_STALE,
                   "the order stands on manifest %" PRIu64 ", and the network has manifest %" PRIu64
                   " now: ask the root again",
                   rpc_trust_manifest_no(order->trust), rpc_trust_manifest_no(trust));
}

static bool check_order(const struct root_order *order, const struct root_answer *answer,
                        struct err *err)
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(buf_view(&order->text), hash);
    return view_eq(VIEW_ARR(hash), VIEW_ARR(answer->order_hash)) ||
           err_set(err, ERR_STALE, "the answer is to another request than the one that waits here");
}

static bool check_certificates(const struct root_order *order, const struct root_answer *answer,
                               const struct change *change, const struct rpc_trust *trust,
                               uint64_t now, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *root = NULL, *intermediate = NULL;
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    uint8_t wanted[HASH_SIZE], is[HASH_SIZE];
    struct view der;

    if (answer->root.len && (!pki_cert_read(buf_view(&answer->root), &root, err) ||
                             !pki_check_ca(root, NULL, order->network, now, err)))
        return err_wrap(err, "the new root");
    if (!change_needs_intermediate(change))
        return true;
    if (!pki_cert_read(buf_view(&answer->intermediate), &intermediate, err) ||
        !pki_csr_read(buf_view(&order->csr), &csr, err))
        return err_wrap(err, "the new intermediate");
    pki_cert_spki_hash(intermediate, is);
    pki_csr_spki_hash(csr, wanted);
    if (!view_eq(VIEW_ARR(is), VIEW_ARR(wanted)))
        return err_set(err, ERR_WRONG_KEY,
                       "the new intermediate is not for the key that the request has");
    if (root)
        return pki_check_ca(intermediate, root, order->network, now, err);
    for (size_t i = 0; rpc_trust_root(trust, i, &der); i++) {
        if (!pki_cert_read(der, &root, err))
            return false;
        if (pki_check_ca(intermediate, root, order->network, now, err))
            return true;
        pki_cert_free(STEAL(root));
    }
    return err_wrap(err, "the new intermediate");
}

/* What we would have signed ourselves, had we the root's key: the same bytes, but for the time. */
static bool check_manifest(const struct root_order *order, const struct root_answer *answer,
                           const struct rpc_trust *trust, struct change *change, uint64_t now,
                           struct err *err)
{
    uint8_t previous[HASH_SIZE];
    struct rpc_manifest is, next;
    _buf_ wanted = { 0 };

    if (!rpc_statement_read(RPC_W_MANIFEST, buf_view(&answer->manifest), &is, err))
        return false;
    if (is.issued_at > now + MAX_AHEAD ||
        is.issued_at + MANIFEST_BACKDATE_MS + MAX_AHEAD < order->made_at)
        return err_set(err, ERR_BAD_STATEMENT,
                       "the manifest's date is not between the request's and now: check the clocks "
                       "of both machines");
    change->at = is.issued_at + MANIFEST_BACKDATE_MS;
    change_apply(trust, change, previous, &next);
    rpc_statement_write(RPC_W_MANIFEST, &next, &wanted);
    return view_eq(buf_view(&wanted), buf_view(&answer->manifest)) ||
           err_set(err, ERR_BAD_STATEMENT, "the manifest is not the one that was asked for");
}

static bool copy_trust(const struct rpc_trust *from, const struct root_order *order,
                       const struct change *change, struct rpc_trust **ret_copy, struct err *err)
{
    _buf_ bytes = { 0 };

    if (!from) {
        *ret_copy = rpc_trust_new(order->network, change->root.data, pki_verify_by_cert);
        return true;
    }
    rpc_trust_save(from, &bytes);
    return rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, ret_copy, err);
}

static bool add_manifest(struct rpc_trust *trust, const struct root_answer *answer, struct err *err)
{
    struct view sigs[ROOT_MAX_SIGNERS];

    for (size_t i = 0; i < answer->n_sigs; i++)
        sigs[i] = buf_view(&answer->sigs[i]);
    if (answer->root.len && !rpc_trust_add_root(trust, buf_view(&answer->root), err))
        return false;
    return rpc_trust_add_manifest(trust, buf_view(&answer->manifest), sigs, answer->n_sigs, err);
}

bool root_accept(struct rpc_trust **trust, const struct root_order *order,
                 const struct root_answer *answer, uint64_t now, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *copy = NULL;
    struct change change = change_of(order);
    uint8_t root[HASH_SIZE], intermediate[HASH_SIZE];
    bool is_first = order->step == CHANGE_FOUND;

    if (!check_order(order, answer, err) || !check_stands(*trust, order, err) ||
        (*trust && !change_check(*trust, &change, err)))
        return false;
    if ((answer->root.len > 0) != (is_first || change_needs_root(&change)) ||
        (answer->intermediate.len > 0) != change_needs_intermediate(&change))
        return err_set(err, ERR_BAD_STATEMENT,
                       "a certificate is missing, or one is there that was not asked for");
    hash_sha256(buf_view(&answer->root), root);
    hash_sha256(buf_view(&answer->intermediate), intermediate);
    change.root = VIEW(root, answer->root.len ? sizeof(root) : 0);
    change.intermediate = VIEW(intermediate, answer->intermediate.len ? sizeof(intermediate) : 0);
    if (!check_manifest(order, answer, *trust, &change, now, err) ||
        !check_certificates(order, answer, &change, *trust, now, err) ||
        !copy_trust(*trust, order, &change, &copy, err) || !add_manifest(copy, answer, err))
        return false;
    rpc_trust_free(*trust);
    *trust = STEAL(copy);
    return true;
}
