/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP answers. Whoever trusts an intermediate believes a signer that this one delegated (RFC 6960, 4.2.2.2): so each has its
 * own, also an earlier one for as long as the manifest lists it. */
#include "vault/inside.h"

enum { MAX_ISSUERS = 1 + RPC_MAX_ITEMS }; /* the intermediate in use, then keys.others */

struct vault_ocsp {
    struct pki_ocsp *of[MAX_ISSUERS]; /* NULL: none yet */
    struct {
        struct pki_key *key; /* waits for its certificate; NULL: none does */
        uint8_t spki[HASH_SIZE];
        size_t at;
    } next;
};

struct vault_ocsp *vault_ocsp_new(void)
{
    return mem_new(struct vault_ocsp);
}

void vault_ocsp_free(struct vault_ocsp *ocsp)
{
    for (size_t i = 0; i < N_ELEMENTS(ocsp->of); i++)
        pki_ocsp_free(ocsp->of[i]);
    pki_key_free(ocsp->next.key);
    free(ocsp);
}

/* A key that waits is asked for anew. */
void vault_ocsp_forget(struct vault *v, size_t at)
{
    struct vault_ocsp *ocsp = v->ocsp;

    pki_key_free(STEAL(ocsp->next.key));
    pki_ocsp_free(ocsp->of[at]);
    for (size_t i = at; i + 1 < N_ELEMENTS(ocsp->of); i++)
        ocsp->of[i] = ocsp->of[i + 1];
    ocsp->of[N_ELEMENTS(ocsp->of) - 1] = NULL;
}

/* By the hash of its certificate. */
static bool find_issuer(const struct vault *v, struct view hash, size_t *ret_at, struct err *err)
{
    uint8_t is[HASH_SIZE];

    for (size_t i = 0; i < vault_n_issuers(v); i++) {
        pki_cert_hash(pki_ca_cert(vault_issuer(v, i)), is);
        if (view_eq(hash, VIEW_ARR(is))) {
            *ret_at = i;
            return true;
        }
    }
    return err_set(err, ERR_UNLISTED_KEY, "the key of that intermediate is not here");
}

/* ---- who signs ---------------------------------------------------------------------------------------------- */

bool vault_ocsp_key(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    struct view issuer = vault_fixed(in, HASH_SIZE);
    uint8_t spki[HASH_SIZE];
    size_t at = 0;
    _buf_ csr = { 0 };

    if (!vault_end(in) || !find_issuer(v, issuer, &at, err) || !pki_key_new(PKI_P256, &key, err) ||
        !pki_csr_new(key, &csr, err) || !pki_key_spki_hash(key, spki, err))
        return false;
    pki_key_free(v->ocsp->next.key);
    v->ocsp->next.key = STEAL(key);
    v->ocsp->next.at = at;
    memcpy(v->ocsp->next.spki, spki, HASH_SIZE);
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, buf_view(&csr));
    return true;
}

bool vault_ocsp_waits(const struct vault *v, struct view spki)
{
    return v->ocsp->next.key && view_eq(spki, VIEW_ARR(v->ocsp->next.spki));
}

bool vault_ocsp_issue(struct vault *v, const struct pki_csr *csr, const struct pki_order *leaf,
                      struct buf *ret_der, struct err *err)
{
    struct vault_ocsp *ocsp = v->ocsp;
    struct pki_ocsp *signer;

    if (!pki_ca_issue_der(vault_issuer(v, ocsp->next.at), csr, leaf, ret_der, err) ||
        !pki_ocsp_new(buf_view(ret_der), STEAL(ocsp->next.key), &signer, err))
        return false;
    pki_ocsp_free(ocsp->of[ocsp->next.at]);
    ocsp->of[ocsp->next.at] = signer;
    return true;
}

/* ---- the answer --------------------------------------------------------------------------------------------- */

static bool read_statuses(struct vault_in *in, size_t n, struct pki_ocsp_status *to)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t what = vault_u8(in);
        in->is_bad = in->is_bad || what > PKI_OCSP_REVOKED;
        to[i].what = what;
        to[i].revoked_at = vault_u64(in);
        to[i].reason = vault_u8(in);
    }
    return vault_end(in);
}

bool vault_ocsp(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view issuer = vault_fixed(in, HASH_SIZE), der = vault_bytes(in, PKI_MAX_OCSP);
    struct pki_ocsp_times times = { .now = vault_u64(in) };
    struct pki_ocsp_status statuses[PKI_OCSP_MAX_ITEMS] = { 0 };
    struct pki_ocsp_request request;
    _buf_ signed_answer = { 0 };
    size_t at = 0;
    uint8_t n;

    times.holds_for = vault_u64(in);
    n = vault_u8(in);
    if (n > PKI_OCSP_MAX_ITEMS)
        in->is_bad = true;
    if (in->is_bad || !read_statuses(in, n, statuses) || !pki_ocsp_read(der, &request, err))
        return false;
    if (request.n_items != n)
        return err_set(err, ERR_BAD_WIRE, "%u answers to %zu questions", n, request.n_items);
    if (!vault_check_now(v, times.now, "time", err))
        return false;
    if (times.holds_for == 0 || times.holds_for > 7 * DAY_MS)
        return err_set(err, ERR_BAD_STATEMENT, "holds for more than 7 days");
    if (!find_issuer(v, issuer, &at, err))
        return false;
    if (!v->ocsp->of[at])
        return err_set(err, ERR_NOT_FOUND, "the OCSP signer has no certificate yet");
    if (!pki_ocsp_write(v->ocsp->of[at], &request, statuses, &times, &signed_answer, err))
        return false;
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, buf_view(&signed_answer));
    return true;
}
