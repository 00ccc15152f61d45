/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's certificate with its key, and the network's roots, for other programs. */
#include "base/file.h"
#include "base/secret.h"
#include "peer/errand.h"

enum { MAX_ROOTS = 16 };

struct exported { /* views borrow from what owns them */
    struct buf key_pem, certs_pem, der[MAX_ROOTS];
    struct view view[MAX_ROOTS];
    size_t n;
    struct pki_key *key;
};

static void exported_deinit(struct exported *e)
{
    buf_wipe(&e->key_pem);
    buf_free(&e->certs_pem);
    for (size_t i = 0; i < MAX_ROOTS; i++)
        buf_free(&e->der[i]);
    pki_key_free(e->key);
}

static bool read_identity(const struct state *state, struct exported *to, struct err *err)
{
    if (!state_read(state, STATE_CERT, &to->certs_pem, err) ||
        !state_read(state, STATE_TLS_KEY, &to->key_pem, err))
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, "there is no certificate yet")
                   : false;
    return pki_key_read(buf_view(&to->key_pem), VIEW(NULL, 0), &to->key, err) &&
           pki_pem_read_all(buf_view(&to->certs_pem), "CERTIFICATE", to->der, MAX_ROOTS, &to->n,
                            err);
}

static bool read_roots(const struct state *state, struct exported *to, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _buf_ bytes = { 0 };
    struct view root;

    if (!state_read(state, STATE_TRUST, &bytes, err) ||
        !rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &trust, err))
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_JOINED, "this machine has not joined a network")
                   : false;
    for (; to->n < MAX_ROOTS && rpc_trust_root(trust, to->n, &root); to->n++)
        to->der[to->n] = buf_dup(root);
    return true;
}

static bool put(const struct exported *e, const struct peer_export *wanted, struct buf *to,
                struct err *err)
{
    struct view passphrase = wanted->passphrase ? view_text(wanted->passphrase) : VIEW(NULL, 0);
    const char *name = wanted->is_trust ? "warren root" : "warren";

    if (wanted->is_pkcs12)
        return wanted->passphrase
                   ? pki_pkcs12_write(e->key, e->view, e->n, name, wanted->passphrase, to, err)
                   : err_set(err, ERR_INVALID_ARGUMENT, "a PKCS#12 file needs a passphrase");
    if (e->key && !pki_key_write(e->key, passphrase, to, err))
        return false;
    for (size_t i = 0; i < e->n; i++)
        pki_pem_put(to, "CERTIFICATE", e->view[i]);
    return true;
}

static bool export_to(const struct peer_export *wanted, struct err *err)
{
    _cleanup_(exported_deinit) struct exported e = { 0 };
    _cleanup_(state_freep) struct state *state = NULL;
    _buf_wipe_ bytes = { 0 };
    _free_ char *dir = NULL;

    if (!wanted->is_trust && wanted->passphrase &&
        !secret_check_new(view_text(wanted->passphrase), "the exported key", err))
        return false;
    if (!key_init(err) || !state_default_dir(wanted->state_dir, &dir, err) ||
        !state_look(dir, &state, err))
        return false;
    if (wanted->is_trust ? !read_roots(state, &e, err) : !read_identity(state, &e, err))
        return false;
    for (size_t i = 0; i < e.n; i++)
        e.view[i] = buf_view(&e.der[i]);
    return put(&e, wanted, &bytes, err) &&
           file_create(wanted->path, buf_view(&bytes), wanted->is_trust ? 0644 : 0600, err);
}

bool peer_export(const struct peer_export *wanted, struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (export_to(wanted, &err))
        return true;
    errand_put_error(&err, ret_error);
    return false;
}
