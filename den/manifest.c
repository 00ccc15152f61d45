/* SPDX-License-Identifier: Apache-2.0 */
#include "den/manifest.h"

#include <inttypes.h>

/* Signs `manifest` and has the trust set take it, which verifies all that everybody else will. */
static bool sign(struct rpc_trust *trust, const struct rpc_manifest *manifest,
                 const struct pki_ca *root, struct err *err)
{
    _buf_ bytes = { 0 };
    _buf_ sig = { 0 };
    struct view sigs[1];

    rpc_statement_write(RPC_W_MANIFEST, manifest, &bytes);
    if (!pki_key_sign(pki_ca_key(root), buf_view(&bytes), &sig, err))
        return err_wrap(err, "signing the manifest");
    sigs[0] = buf_view(&sig);
    return rpc_trust_add_manifest(trust, buf_view(&bytes), sigs, 1, err) ||
           err_wrap(err, "our own manifest");
}

bool manifest_found(const struct manifest_founders *f, struct rpc_trust **ret_trust,
                    struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    const struct pki_cert *root = pki_ca_cert(f->root);
    uint8_t root_hash[HASH_SIZE], intermediate_hash[HASH_SIZE], none[HASH_SIZE] = { 0 };
    uint64_t from = f->now - MANIFEST_BACKDATE_MS, to = from + MANIFEST_LIFE_MS;
    struct rpc_manifest m = {
        .netid = VIEW_ARR(root_hash),
        .network = view_text(f->network),
        .manifest_no = 1,
        .previous = VIEW_ARR(none),
        .roots = { .item = { VIEW_ARR(root_hash) }, .n = 1 },
        .intermediates = { .item = { VIEW_ARR(intermediate_hash) }, .n = 1 },
        .keys = { .item = { { RPC_KEY_DEN_LOGIN, f->login_pk, from, to },
                            { RPC_KEY_DEN_SIGN, f->sign_pk, from, to },
                            { RPC_KEY_ROUTER, f->router_pk, from, to } },
                  .n = 3 },
        .issued_at = from,
        .not_after = to,
    };

    pki_cert_hash(root, root_hash);
    pki_cert_hash(f->intermediate, intermediate_hash);
    trust = rpc_trust_new(f->network, root_hash, pki_verify_by_cert);
    if (!rpc_trust_add_root(trust, pki_cert_der(root), err) || !sign(trust, &m, f->root, err))
        return false;
    *ret_trust = STEAL(trust);
    return true;
}

static bool check_next(const struct rpc_manifest *newest, const struct pki_ca *root,
                       struct view router_pk, struct err *err)
{
    uint8_t root_hash[HASH_SIZE];
    bool is_listed = false;

    pki_cert_hash(pki_ca_cert(root), root_hash);
    for (size_t i = 0; i < newest->roots.n; i++)
        is_listed |= view_eq(newest->roots.item[i], VIEW_ARR(root_hash));
    if (!is_listed)
        return err_set(err, ERR_WRONG_KEY, "this root is not in manifest %" PRIu64,
                       newest->manifest_no);
    for (size_t i = 0; i < newest->keys.n; i++) {
        if (view_eq(newest->keys.item[i].pk, router_pk))
            return err_set(err, ERR_ALREADY_EXISTS, "manifest %" PRIu64 " lists this key",
                           newest->manifest_no);
    }
    if (newest->keys.n == RPC_MAX_KEYS)
        return err_set(err, ERR_LIMIT, "manifest %" PRIu64 " lists %d keys", newest->manifest_no,
                       RPC_MAX_KEYS);
    return true;
}

bool manifest_add_router(struct rpc_trust *trust, const struct pki_ca *root, struct view router_pk,
                         uint64_t now, struct err *err)
{
    uint64_t from = now - MANIFEST_BACKDATE_MS, to = from + MANIFEST_LIFE_MS;
    const struct rpc_manifest *newest = rpc_trust_manifest(trust);
    uint8_t previous[HASH_SIZE];
    struct rpc_manifest next;

    if (!newest)
        return err_set(err, ERR_NOT_FOUND, "the trust set holds no manifest");
    if (!check_next(newest, root, router_pk, err))
        return false;
    next = *newest;
    hash_sha256(rpc_trust_manifest_bytes(trust), previous);
    next.manifest_no++;
    next.previous = VIEW_ARR(previous);
    for (size_t i = 0; i < next.keys.n; i++) {
        if (next.keys.item[i].to ==
            newest->not_after) /* a key that was ended on its own day stays ended */
            next.keys.item[i].to = to;
    }
    next.keys.item[next.keys.n++] = (struct rpc_key_entry){ RPC_KEY_ROUTER, router_pk, from, to };
    next.issued_at = from;
    next.not_after = to;
    return sign(trust, &next, root, err);
}
