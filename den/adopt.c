/* SPDX-License-Identifier: Apache-2.0 */
#include "den/adopt.h"

#include "base/file.h"
#include "pki/pki.h"
#include "vault/vault.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct adopting {
    struct vault_book *book;
    uint64_t now, n_signed;
    struct err err;
    bool has_failed;
};

static bool take_identity(void *user, const struct store_identity *who)
{
    struct adopting *a = user;
    struct vault_who to = { .rekey_no = who->rekey_no };

    memcpy(to.id, who->id, sizeof(to.id));
    memcpy(to.pk, who->pk, sizeof(to.pk));
    a->has_failed = !vault_book_adopt(a->book, &to, a->now, &a->err);
    return !a->has_failed;
}

static bool take_revocation(void *user, const struct store_revocation *r)
{
    struct adopting *a = user;
    uint8_t head[HASH_SIZE];

    if (!r->statement.len) /* nobody has seen it */
        return false;
    hash_sha256(r->statement, head);
    vault_book_revoke(a->book, head,
                      r->kind == STORE_REVOKE_IDENTITY ? VIEW(r->subject, r->subject_len)
                                                       : VIEW(NULL, 0),
                      a->now);
    return true;
}

static bool take_router(void *user, const struct store_certificate *c)
{
    struct adopting *a = user;

    if (c->der.len)
        vault_book_add_router(a->book, VIEW_ARR(c->spki), a->now);
    return true;
}

static bool take_numbers(struct adopting *a, struct store *store, const struct rpc_trust *trust,
                         struct err *err)
{
    struct vault_numbers *n = vault_book_numbers(a->book);
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(trust);

    if (!store_number_get(store, "hb_no", &n->hb_no, err) ||
        !store_number_get(store, "crl_no", &n->crl_no, err) ||
        !store_number_get(store, "crl_at", &n->crl_at, err))
        return false;
    if (h) {
        n->hb_no = h->hb_no > n->hb_no ? h->hb_no : n->hb_no;
        n->hb_crl_no = h->crl_no;
        n->hb_rev_no = min_u64(h->rev_no, vault_book_n_revoked(a->book));
        n->manifest_no = h->manifest_no;
        n->policy_no = h->policy_no;
        n->audit_no = h->audit_no;
        memcpy(n->audit_head, h->audit_head.data, HASH_SIZE);
        memcpy(n->beacons[0], h->beacon.data, VAULT_BEACON);
    }
    return vault_book_keep_numbers(a->book, err);
}

static bool fill(struct adopting *a, struct store *store, struct view router_csr, struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    uint8_t spki[HASH_SIZE];

    if (!store_identity_each(store, false, take_identity, a, err) ||
        !store_revocation_each(store, 1, take_revocation, a, err) ||
        !store_certificate_each(store, "router", take_router, a, err))
        return false;
    if (router_csr.len && pki_csr_read(router_csr, &csr, err)) {
        pki_csr_spki_hash(csr, spki);
        vault_book_add_router(a->book, VIEW_ARR(spki), a->now);
    }
    if (a->has_failed)
        *err = a->err;
    return !a->has_failed;
}

/* The folder is ours, and what is in it counts for nobody. */
static void remove_work(const char *work)
{
    static const char *const names[] = { "signer.book", "signer.numbers", "signer.orders" };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *path = file_path(work, names[i]);
        unlink(path);
    }
    rmdir(work);
}

static bool make(const char *work, struct adopting *a, struct store *store,
                 const struct rpc_trust *trust, struct view router_csr, struct err *err)
{
    _cleanup_(vault_book_freep) struct vault_book *book = NULL;

    if (!vault_book_create(work, rpc_trust_netid(trust), rpc_trust_network(trust), err) ||
        !vault_book_open(work, &book, err))
        return false;
    a->book = book;
    return fill(a, store, router_csr, err) && take_numbers(a, store, trust, err) &&
           vault_book_sync(book, err);
}

bool adopt_book(const char *dir, struct store *store, const struct rpc_trust *trust,
                struct view router_csr, uint64_t now, bool *ret_is_new, struct err *err)
{
    _free_ char *work = file_path(dir, "signer.new");
    struct adopting a = { .now = now };
    bool ok;

    *ret_is_new = !vault_book_exists(dir);
    if (!*ret_is_new)
        return true;
    remove_work(work); /* of one that was killed */
    if (mkdir(work, 0700) != 0)
        return err_errno(err, "%s", work);
    ok = make(work, &a, store, trust, router_csr, err) && vault_book_rename(work, dir, err);
    remove_work(work);
    return ok || err_wrap(err, "the signer's book");
}
