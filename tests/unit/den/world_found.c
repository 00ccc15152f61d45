/* SPDX-License-Identifier: Apache-2.0 */
/* A network's keys, its authority and its first manifest. */
#include "tests/unit/den/world.h"

#include "base/file.h"

static bool sign_manifest(struct world *w, struct view root_der, struct view intermediate_der,
                          struct err *err)
{
    static const uint8_t zeros[HASH_SIZE];
    uint8_t root_hash[HASH_SIZE], intermediate_hash[HASH_SIZE];
    struct rpc_manifest m = {
        .netid = VIEW_ARR(root_hash),
        .network = VIEW_LIT(WORLD_NETWORK),
        .manifest_no = 1,
        .previous = VIEW_ARR(zeros),
        .roots = { { VIEW_ARR(root_hash) }, 1 },
        .intermediates = { { VIEW_ARR(intermediate_hash) }, 1 },
        .issued_at = w->wall,
        .not_after = w->wall + 365 * DAY_MS,
    };
    const struct rpc_key_entry keys[] = {
        { RPC_KEY_DEN_LOGIN, key_public_view(w->login), w->wall - DAY_MS, w->wall + 365 * DAY_MS },
        { RPC_KEY_DEN_SIGN, key_public_view(w->sign), w->wall - DAY_MS, w->wall + 365 * DAY_MS },
        { RPC_KEY_ROUTER, key_public_view(w->router), w->wall - DAY_MS, w->wall + 365 * DAY_MS },
    };
    _buf_ bytes = { 0 };
    _buf_ sig = { 0 };

    hash_sha256(root_der, root_hash);
    hash_sha256(intermediate_der, intermediate_hash);
    memcpy(m.keys.item, keys, sizeof(keys));
    m.keys.n = N_ELEMENTS(keys);
    rpc_statement_write(RPC_W_MANIFEST, &m, &bytes);
    if (!pki_key_sign(pki_ca_key(w->root), buf_view(&bytes), &sig, err))
        return false;
    w->trust = rpc_trust_new(WORLD_NETWORK, root_hash, pki_verify_by_cert);
    struct view sig_view = buf_view(&sig);
    return rpc_trust_add_root(w->trust, root_der, err) &&
           rpc_trust_add_manifest(w->trust, buf_view(&bytes), &sig_view, 1, err);
}

static uint64_t signer_clock(void *user)
{
    const struct world *w = user;

    return w->port.wall(w->port.user);
}

static bool write_keys(const struct world *w, const struct pki_ca *ca, struct err *err)
{
    _free_ char *key = file_path(w->keys_dir, "intermediate.key"),
                *cert = file_path(w->keys_dir, "intermediate.pem"),
                *sign = file_path(w->keys_dir, "sign.key");
    _buf_wipe_ key_pem = { 0 };
    _buf_ cert_pem = { 0 };

    pki_pem_put(&cert_pem, "CERTIFICATE", pki_cert_der(pki_ca_cert(ca)));
    return pki_key_write(pki_ca_key(ca), VIEW(NULL, 0), &key_pem, err) &&
           file_create(key, buf_view(&key_pem), 0600, err) &&
           file_create(cert, buf_view(&cert_pem), 0644, err) && key_write(w->sign, sign, err);
}

bool world_found(struct world *w, struct err *err)
{
    const struct signer_config config = { .network = WORLD_NETWORK,
                                          .clock = signer_clock,
                                          .clock_user = w };
    struct vault_keys keys = { 0 };
    uint8_t seed[SEED_SIZE], netid[HASH_SIZE];
    _cleanup_(pki_key_freep) struct pki_key *router_tls = NULL;
    struct pki_key *root_key, *key;
    random_bytes(seed, sizeof(seed));
    w->sign = key_from_seed(seed);
    keys.sign = key_from_seed(seed);
    w->login = key_new();
    w->router = key_new();
    if (!pki_key_new(PKI_P384, &root_key, err) ||
        !pki_ca_new_root(WORLD_NETWORK, w->wall, 3650 * DAY_MS, root_key, &w->root, err) ||
        !pki_key_new(PKI_P256, &key, err) ||
        !pki_ca_new_intermediate(w->root, WORLD_NETWORK, w->wall, 1000 * DAY_MS, key, &keys.ca,
                                 err))
        return false;
    struct vault_book *book;
    uint8_t router_spki[HASH_SIZE];

    if (!pki_key_new(PKI_P256, &router_tls, err) || !pki_csr_new(router_tls, &w->router_csr, err) ||
        !pki_key_spki_hash(router_tls, router_spki, err))
        return false;
    pki_cert_hash(pki_ca_cert(w->root), netid);
    if (w->keys_dir) {
        bool ok = write_keys(w, keys.ca, err) &&
                  vault_book_create(w->keys_dir, VIEW_ARR(netid), WORLD_NETWORK, err) &&
                  signer_load(w->keys_dir, &config, &w->signer, err);
        vault_keys_deinit(&keys);
        return ok && sign_manifest(w, pki_cert_der(pki_ca_cert(w->root)),
                                   pki_cert_der(signer_cert(w->signer)), err);
    }
    book = vault_book_new(VIEW_ARR(netid), WORLD_NETWORK);
    vault_book_add_router(book, VIEW_ARR(router_spki), w->wall);
    if (!signer_new(vault_new(&keys, book, VAULT_ASKED_BY_DEN), &config, &w->signer, err))
        return false;
    return sign_manifest(w, pki_cert_der(pki_ca_cert(w->root)),
                         pki_cert_der(signer_cert(w->signer)), err);
}
