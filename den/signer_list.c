/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists and OCSP answers. */
#include "den/signer_in.h"

#include "base/clock.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t highest(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t ab = a > b ? a : b;

    return ab > c ? ab : c;
}

/* The number is taken, in the store and outside of it, before it is used. */
static bool take_number(struct store *store, const struct signer_list *list,
                        struct signer_anchor *ret_is, struct err *err)
{
    _transaction_ struct store *open = store;
    uint64_t number, at;
    char text[24];

    if (!store_begin(open, err) || !store_number_get(open, "crl_no", &number, err) ||
        !store_number_get(open, "crl_at", &at, err))
        return false;
    ret_is->at = highest(at, list->floor.at, list->now);
    ret_is->number = highest(number + 1, list->floor.number + 1, list->now / SECOND_MS);
    snprintf(text, sizeof(text), "%" PRIu64, ret_is->number);
    const struct audit_pair pairs[] = { AUDIT_TEXT("number", text) };
    return store_number_raise(open, "crl_no", ret_is->number, err) &&
           store_number_raise(open, "crl_at", ret_is->at, err) &&
           audit_append(open, list->now, "crl.issued", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err) && list->keep(list->user, ret_is, err);
}

static bool sign_list(struct signer *s, const struct signer_list *list,
                      const struct signer_anchor *is, struct buf *ret_der, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_LIST);
    buf_put_u64(&request, is->number);
    buf_put_u64(&request, is->at);
    buf_put_u64(&request, is->at + list->life);
    vault_put(&request, list->entries);
    if (!signer_ask(s, &request, &answer, &in, err))
        return false;
    struct view der = vault_bytes(&in, VAULT_MAX_LIST);
    if (!signer_end(&in, err))
        return false;
    *ret_der = buf_dup(der);
    return true;
}

bool signer_issue_crl(struct signer *s, struct store *store, const struct signer_list *list,
                      struct buf *ret_der, struct signer_anchor *ret_is, struct err *err)
{
    struct signer_anchor is;

    if (!take_number(store, list, &is, err) || !sign_list(s, list, &is, ret_der, err))
        return err_wrap(err, "revocation list");
    *ret_is = is;
    return true;
}

/* ---- OCSP ---------------------------------------------------------------------------------------------------- */

bool signer_ocsp_csr(struct signer *s, struct buf *ret_der, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP_KEY);
    if (!signer_ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view der = vault_bytes(&in, PKI_MAX_CSR);
    if (!signer_end(&in, err))
        return false;
    *ret_der = buf_dup(der);
    return true;
}

bool signer_ocsp_answer(struct signer *s, struct view der, const struct pki_ocsp_status *statuses,
                        size_t n, const struct pki_ocsp_times *times, struct buf *to,
                        struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP);
    vault_put(&request, der);
    buf_put_u64(&request, times->now);
    buf_put_u64(&request, times->holds_for);
    buf_put_u8(&request, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u8(&request, (uint8_t)statuses[i].what);
        buf_put_u64(&request, statuses[i].revoked_at);
        buf_put_u8(&request, statuses[i].reason);
    }
    if (!signer_ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view bytes = vault_bytes(&in, VAULT_MAX_REQUEST);
    if (!signer_end(&in, err))
        return false;
    buf_put(to, bytes);
    return true;
}
