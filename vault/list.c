/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists. Their entries come in pieces, between others' questions: none of them waits for a list of megabytes.
 * What is signed begins and ends as it is written here, so it is a list, whatever den says. */
#include "vault/inside.h"

#include <inttypes.h>

enum { LIST_AHEAD = 1000000 };

static bool check_list(struct vault *v, const struct pki_list *list, struct err *err)
{
    const struct vault_numbers *n = vault_book_numbers(v->book);
    uint64_t clock = v->now / SECOND_MS, highest = n->crl_no > clock ? n->crl_no : clock;
    uint64_t latest = n->crl_at > v->now ? n->crl_at : v->now;

    if (list->number <= n->crl_no || list->now < n->crl_at)
        return err_set(err, ERR_STALE,
                       "list %" PRIu64 " was signed before: numbers and times do not fall",
                       n->crl_no);
    if (list->number > highest + LIST_AHEAD || list->now > latest + DAY_MS ||
        list->next_update > list->now + DAY_MS)
        return err_set(err, ERR_BAD_STATEMENT, "number or times: far ahead of the clock");
    return true;
}

void vault_give_up_list(struct vault *v)
{
    for (size_t i = 0; i < N_ELEMENTS(v->listings); i++)
        pki_listing_free(STEAL(v->listings[i]));
}

/* What is being told goes on without it. */
void vault_list_forget(struct vault *v, size_t at)
{
    pki_listing_free(v->listings[at]);
    for (size_t i = at; i + 1 < N_ELEMENTS(v->listings); i++)
        v->listings[i] = v->listings[i + 1];
    v->listings[N_ELEMENTS(v->listings) - 1] = NULL;
}

/* Software that knows nothing of manifests wants the list of whoever issued the certificate: so an intermediate that is
 * listed and not in use signs the same. When it cannot, the list itself does not wait for it. */
static void begin_others(struct vault *v)
{
    for (size_t i = 1; i < vault_n_issuers(v); i++) {
        struct err why = { 0 };
        if (!pki_listing_new(vault_issuer(v, i), &v->list, &v->listings[i], &why))
            vault_log_refusal(v, "list of another intermediate", &why);
    }
}

/* One that was begun before and not signed is given up. */
bool vault_list(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct pki_list list = { .number = vault_u64(in), .now = vault_u64(in) };
    struct pki_listing *listing;

    list.next_update = vault_u64(in);
    list.n_entries = vault_u64(in);
    if (!vault_end(in) || !check_list(v, &list, err) ||
        !pki_listing_new(v->keys.ca, &list, &listing, err))
        return false;
    vault_give_up_list(v);
    v->listings[0] = listing;
    v->list = list;
    begin_others(v);
    buf_put_u8(answer, VAULT_YES);
    return true;
}

static bool has_begun(const struct vault *v, struct err *err)
{
    return v->listings[0] || err_set(err, ERR_BUSY, "no list was begun: begin it anew");
}

static bool put_part(struct vault *v, struct view entries, struct err *err)
{
    for (size_t i = 0; i < N_ELEMENTS(v->listings); i++)
        if (v->listings[i] && !pki_listing_put(v->listings[i], entries, err)) {
            vault_give_up_list(v);
            return false;
        }
    return true;
}

bool vault_list_part(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view entries = vault_bytes(in, VAULT_MAX_PART);

    if (!vault_end(in) || !has_begun(v, err) || !put_part(v, entries, err))
        return false;
    buf_put_u8(answer, VAULT_YES);
    return true;
}

/* ---- signed ------------------------------------------------------------------------------------------------ */

static bool put_other(struct vault *v, size_t at, struct buf *answer)
{
    _buf_ before = { 0 }, behind = { 0 };
    char digits[PKI_KEY_DIGITS + 1];
    uint8_t hash[HASH_SIZE];
    struct err why = { 0 };

    if (!v->listings[at])
        return false;
    if (!pki_listing_sign(v->listings[at], &before, &behind, hash, &why)) {
        vault_log_refusal(v, "list of another intermediate", &why);
        return false;
    }
    pki_cert_key_digits(pki_ca_cert(vault_issuer(v, at)), digits);
    vault_put_text(answer, digits);
    vault_put(answer, buf_view(&before));
    vault_put(answer, buf_view(&behind));
    return true;
}

static void put_others(struct vault *v, struct buf *answer)
{
    size_t n_at = answer->len;
    uint8_t n = 0;

    buf_put_u8(answer, 0);
    for (size_t i = 1; i < vault_n_issuers(v); i++)
        n = (uint8_t)(n + put_other(v, i, answer));
    answer->data[n_at] = n;
}

static bool keep_number(struct vault *v, const uint8_t hash[HASH_SIZE], struct err *err)
{
    struct vault_numbers *n = vault_book_numbers(v->book);

    n->crl_no = v->list.number;
    n->crl_at = v->list.now;
    memcpy(n->crl_hash, hash, HASH_SIZE);
    return vault_book_keep_numbers(v->book, err);
}

/* Its number may have been taken since it was begun. */
static bool sign(struct vault *v, struct buf *answer, struct err *err)
{
    _buf_ before = { 0 }, behind = { 0 };
    uint8_t hash[HASH_SIZE];

    if (!check_list(v, &v->list, err) ||
        !pki_listing_sign(v->listings[0], &before, &behind, hash, err) ||
        !keep_number(v, hash, err))
        return false;
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, buf_view(&before));
    vault_put(answer, buf_view(&behind));
    vault_put(answer, VIEW_ARR(hash));
    put_others(v, answer);
    return true;
}

bool vault_list_sign(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    bool ok;

    if (!vault_end(in) || !has_begun(v, err))
        return false;
    ok = sign(v, answer, err);
    vault_give_up_list(v);
    return ok;
}
