/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer knows of itself: copied out of the snapshot, or read from the state folder. */
#include "peer/errand.h"

bool peer_is_online(const struct peer *peer)
{
    hub_lock(peer->core->hub);
    bool is_online = peer->core->snapshot.is_online && !peer->hub.is_forked;
    hub_unlock(peer->core->hub);
    return is_online;
}

bool peer_identity(const struct peer *peer, struct peer_identity *ret_identity)
{
    hub_lock(peer->core->hub);
    bool has_id = peer->core->snapshot.has_id;
    if (has_id)
        *ret_identity = peer->core->snapshot.identity;
    hub_unlock(peer->core->hub);
    return has_id;
}

static size_t copy_out(struct view from, char *to, size_t size)
{
    if (from.len && size) {
        size_t n = from.len < size - 1 ? from.len : size - 1;
        memcpy(to, from.data, n);
        to[n] = '\0';
    }
    return from.len;
}

size_t peer_chain_pem(const struct peer *peer, char *to, size_t size)
{
    hub_lock(peer->core->hub);
    size_t len = copy_out(buf_view(&peer->core->snapshot.chain_pem), to, size);
    hub_unlock(peer->core->hub);
    return len;
}

size_t peer_root_pem(const struct peer *peer, char *to, size_t size)
{
    hub_lock(peer->core->hub);
    size_t len = copy_out(buf_view(&peer->core->snapshot.root_pem), to, size);
    hub_unlock(peer->core->hub);
    return len;
}

size_t peer_manifest(const struct peer *peer, void *to, size_t size)
{
    hub_lock(peer->core->hub);
    const struct buf *manifest = &peer->core->snapshot.manifest;
    size_t len = manifest->len;
    if (len && len <= size)
        memcpy(to, manifest->data, len);
    hub_unlock(peer->core->hub);
    return len;
}

bool peer_manifest_signature(const struct peer *peer, size_t i,
                             struct peer_manifest_signature *ret_signature)
{
    hub_lock(peer->core->hub);
    bool exists = i < peer->core->snapshot.n_signatures;
    if (exists)
        *ret_signature = peer->core->snapshot.signatures[i];
    hub_unlock(peer->core->hub);
    return exists;
}

const char *peer_version(void)
{
    return WARREN_VERSION;
}

/* ---- without connecting ---- */

/* That it is there; under a passphrase it is not opened (NULL): what it would show stands in the admission. */
static bool check_identity(struct state *state, struct key **ret_key, struct err *err)
{
    return state_identity(state, false, ret_key, err) || err->code == ERR_LOCKED;
}

static bool load_identity(const char *state_dir, struct peer_identity *ret_identity,
                          struct err *err)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    _cleanup_(key_freep) struct key *key = NULL;
    _buf_ bytes = { 0 }, pem = { 0 };
    struct view admission, sig;
    struct rpc_admission a;
    _free_ char *dir = NULL;
    struct err none;

    if (!key_init(err) || !state_default_dir(state_dir, &dir, err) ||
        !state_look(dir, &state, err) || !check_identity(state, &key, err))
        return false;
    if (!state_read(state, STATE_ADMISSION, &bytes, err))
        return err->code == ERR_NOT_FOUND ? err_set(err, ERR_NOT_JOINED, "%s has no ID yet", dir)
                                          : false;
    if (!state_read_signed(buf_view(&bytes), &admission, &sig) ||
        !rpc_statement_read(RPC_W_ADMISSION, admission, &a, err))
        return err_set(err, ERR_BAD_CONFIG, "%s: not an admission",
                       state_path(state, STATE_ADMISSION));
    if (state_read(state, STATE_CERT, &pem, &none)) /* there may be none yet */
        pki_cert_read_pem(buf_view(&pem), &leaf, &none);

    _free_ char *id = view_dup_text(a.id), *network = view_dup_text(a.network);
    /* the admission may be the one before, of the key before */
    identity_describe(key ? key_public_view(key) : a.client_pk, id, network, leaf, ret_identity);
    return true;
}

bool peer_identity_load(const char *state_dir, struct peer_identity *ret_identity,
                        struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (load_identity(state_dir, ret_identity, &err))
        return true;
    errand_put_error(&err, ret_error);
    return false;
}
