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
    pki_listing_free(v->listing);
    v->listing = listing;
    v->list = list;
    buf_put_u8(answer, VAULT_YES);
    return true;
}

static bool has_begun(const struct vault *v, struct err *err)
{
    return v->listing || err_set(err, ERR_BUSY, "no list was begun: begin it anew");
}

static bool put_part(struct vault *v, struct view entries, struct err *err)
{
    if (pki_listing_put(v->listing, entries, err))
        return true;
    pki_listing_free(STEAL(v->listing));
    return false;
}

bool vault_list_part(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view entries = vault_bytes(in, VAULT_MAX_PART);

    if (!vault_end(in) || !has_begun(v, err) || !put_part(v, entries, err))
        return false;
    buf_put_u8(answer, VAULT_YES);
    return true;
}

/* Its number may have been taken since it was begun. */
bool vault_list_sign(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    _cleanup_(pki_listing_freep) struct pki_listing *listing = NULL;
    struct vault_numbers *n = vault_book_numbers(v->book);
    _buf_ before = { 0 }, behind = { 0 };
    uint8_t hash[HASH_SIZE];

    if (!vault_end(in) || !has_begun(v, err))
        return false;
    listing = STEAL(v->listing);
    if (!check_list(v, &v->list, err) || !pki_listing_sign(listing, &before, &behind, hash, err))
        return false;
    n->crl_no = v->list.number;
    n->crl_at = v->list.now;
    memcpy(n->crl_hash, hash, HASH_SIZE);
    if (!vault_book_keep_numbers(v->book, err))
        return false;
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, buf_view(&before));
    vault_put(answer, buf_view(&behind));
    vault_put(answer, VIEW_ARR(hash));
    return true;
}
