/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/fakenet.h"

void fake_root_init(struct fake_root *root, uint8_t n)
{
    uint8_t seed[SEED_SIZE];

    memset(seed, 0x80 + n, sizeof(seed));
    *root = (struct fake_root){ .key = key_from_seed(seed) };
    buf_put_text(&root->der, "a root: ");
    buf_put(&root->der, key_public_view(root->key));
    hash_sha256(buf_view(&root->der), root->hash);
}

void fake_root_deinit(struct fake_root *root)
{
    key_free(root->key);
    buf_free(&root->der);
}

bool fake_judge(struct view root_der, struct view bytes, struct view sig, struct err *err)
{
    if (root_der.len < KEY_SIZE ||
        !key_verify(VIEW(root_der.data + root_der.len - KEY_SIZE, KEY_SIZE), bytes, sig))
        return err_set(err, ERR_BAD_SIGNATURE, "fake root");
    return true;
}

void fake_manifest_deinit(struct fake_manifest *m)
{
    buf_free(&m->bytes);
}

struct key *fake_key(enum rpc_key_role role)
{
    uint8_t seed[SEED_SIZE];

    memset(seed, (int)role, sizeof(seed));
    return key_from_seed(seed);
}

void fake_manifest_make(struct fake_manifest *m, const struct fake_says *says)
{
    _cleanup_(key_freep) struct key *login = fake_key(RPC_KEY_DEN_LOGIN);
    _cleanup_(key_freep) struct key *sign = fake_key(RPC_KEY_DEN_SIGN);
    _cleanup_(key_freep) struct key *router = fake_key(RPC_KEY_ROUTER);
    const struct key *keys[] = { login, sign, router };
    uint8_t previous[HASH_SIZE] = { 0 };
    struct rpc_manifest says_m = {
        .netid = VIEW_ARR(says->genesis->hash),
        .network = view_text(says->network ? says->network : "corp.example"),
        .manifest_no = says->number,
        .issued_at = FAKE_ISSUED,
        .not_after = says->not_after ? says->not_after : FAKE_NOT_AFTER,
    };

    *m = (struct fake_manifest){ 0 };
    if (says->previous)
        hash_sha256(buf_view(&says->previous->bytes), previous);
    says_m.previous = VIEW_ARR(previous);
    for (size_t i = 0; i < N_ELEMENTS(says->roots) && says->roots[i]; i++)
        says_m.roots.item[says_m.roots.n++] = VIEW_ARR(says->roots[i]->hash);
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        says_m.keys.item[says_m.keys.n++] = (struct rpc_key_entry){
            (enum rpc_key_role)(RPC_KEY_DEN_LOGIN + i),
            key_public_view(keys[i]),
            FAKE_ISSUED,
            FAKE_NOT_AFTER,
        };
    for (size_t i = 0; i < N_ELEMENTS(says->intermediates) && says->intermediates[i]; i++)
        says_m.intermediates.item[says_m.intermediates.n++] =
            VIEW(says->intermediates[i], HASH_SIZE);
    rpc_statement_write(RPC_W_MANIFEST, &says_m, &m->bytes);
    for (size_t i = 0; i < N_ELEMENTS(says->signers) && says->signers[i]; i++) {
        key_sign(says->signers[i]->key, buf_view(&m->bytes), m->sig[i]);
        m->sigs[m->n_sigs++] = VIEW_ARR(m->sig[i]);
    }
}

bool fake_add(struct rpc_trust *trust, const struct fake_manifest *m, struct err *err)
{
    return rpc_trust_add_manifest(trust, buf_view(&m->bytes), m->sigs, m->n_sigs, err);
}

void fake_put_roots(struct buf *to, const struct fake_root *const *roots, size_t n)
{
    rpc_put_array(to, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        rpc_put_bin(to, buf_view(&roots[i]->der));
}

void fake_put_manifests(struct buf *to, const struct fake_manifest *const *manifests, size_t n)
{
    rpc_put_array(to, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        rpc_put_array(to, (uint32_t)(1 + manifests[i]->n_sigs));
        rpc_put_bin(to, buf_view(&manifests[i]->bytes));
        for (size_t j = 0; j < manifests[i]->n_sigs; j++)
            rpc_put_bin(to, manifests[i]->sigs[j]);
    }
}
