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

/* ---- in pieces ------------------------------------------------------------------------------------------ */

/* Two pieces are on their way: while one is hashed the next is sent. */
enum { MAX_PIECES = 2 };

struct piece {
    struct flight flight;
    struct signer_listing *listing;
    bool is_last;
};

static void piece_free(struct flight *flight)
{
    free(CONTAINER(flight, struct piece, flight));
}

static void send_pieces(struct signer_listing *l);

void signer_listing_deinit(struct signer_listing *l)
{
    for (size_t i = 0; i < l->n_others; i++) {
        buf_free(&l->others[i].before);
        buf_free(&l->others[i].behind);
    }
    l->n_others = 0;
    buf_free(&l->before);
    buf_free(&l->behind);
}

static void read_other(struct vault_in *in, struct signer_frame *to)
{
    struct view digits = vault_fixed(in, PKI_KEY_DIGITS), before = vault_bytes(in, PKI_MAX_CERT),
                behind = vault_bytes(in, PKI_MAX_CERT);

    snprintf(to->digits, sizeof(to->digits), "%.*s", VIEW_FMT(digits));
    to->before = buf_dup(before);
    to->behind = buf_dup(behind);
}

static void read_list(struct signer_listing *l, struct vault_in *in)
{
    struct view before = vault_bytes(in, PKI_MAX_CERT), behind = vault_bytes(in, PKI_MAX_CERT),
                hash = vault_fixed(in, HASH_SIZE);
    uint8_t n = vault_u8(in);

    in->is_bad = in->is_bad || n > N_ELEMENTS(l->others);
    while (!in->is_bad && l->n_others < n)
        read_other(in, &l->others[l->n_others++]);
    if (!signer_end(in, &l->err))
        return;
    buf_put(&l->before, before);
    buf_put(&l->behind, behind);
    memcpy(l->hash, hash.data, HASH_SIZE);
}

static void on_piece(struct flight *flight, struct vault_in *in, const struct err *why)
{
    struct piece *piece = CONTAINER(flight, struct piece, flight);
    struct signer_listing *l = piece->listing;

    l->n_flights--;
    if (in && piece->is_last)
        read_list(l, in);
    else if (l->err.code == ERR_NONE && !(in && signer_end(in, &l->err)))
        l->err = in ? l->err : *why;
    if (l->err.code == ERR_NONE && !piece->is_last)
        send_pieces(l);
    if (l->n_flights == 0 && (piece->is_last || l->err.code != ERR_NONE))
        l->done(l->user, l);
}

static void send_piece(struct signer_listing *l, const struct buf *request)
{
    struct piece *piece = mem_new(struct piece);

    piece->flight.landed = on_piece;
    piece->flight.free = piece_free;
    piece->listing = l;
    piece->is_last = l->is_all;
    l->n_flights++;
    signer_take_off(l->signer, request, &piece->flight);
}

/* Whole entries, as many as there is room for. */
static size_t part_len(struct view entries)
{
    size_t len = 0;

    while (len < entries.len) {
        struct view rest = view_sub(entries, len, entries.len);
        size_t head = 2, one = rest.len >= 2 ? rest.data[1] : 0; /* an entry is shorter than 128 */
        if (len + head + one > VAULT_MAX_PART || head + one > rest.len)
            break;
        len += head + one;
    }
    return len;
}

/* What is not made of entries goes as it is: it is refused where it is looked at. */
static struct view next_part(struct signer_listing *l)
{
    struct view rest = view_sub(l->entries, l->at, l->entries.len);
    size_t len = part_len(rest);

    return view_sub(rest, 0, len ? len : VAULT_MAX_PART);
}

static void send_pieces(struct signer_listing *l)
{
    while (l->n_flights < MAX_PIECES && !l->is_all) {
        struct view part = next_part(l);
        _buf_ request = { 0 };
        l->is_all = part.len == 0;
        buf_put_u8(&request, l->is_all ? VAULT_LIST_SIGN : VAULT_LIST_PART);
        if (!l->is_all)
            vault_put(&request, part);
        l->at += part.len;
        send_piece(l, &request);
    }
}

bool signer_list(struct signer *s, struct store *store, const struct signer_list *list,
                 struct signer_listing *l, struct err *err)
{
    _buf_ request = { 0 };

    l->signer = s;
    l->entries = list->entries;
    l->at = l->n_flights = 0;
    l->is_all = false;
    l->err = (struct err){ 0 };
    signer_listing_deinit(l);
    if (!take_number(store, list, &l->is, err))
        return err_wrap(err, "revocation list");
    buf_put_u8(&request, VAULT_LIST);
    buf_put_u64(&request, l->is.number);
    buf_put_u64(&request, l->is.at);
    buf_put_u64(&request, l->is.at + list->life);
    buf_put_u64(&request, list->entries.len);
    send_piece(l, &request);
    return true;
}

/* ---- with waiting --------------------------------------------------------------------------------------- */

static void note_done(void *user, _unused_ struct signer_listing *listing)
{
    *(bool *)user = true;
}

bool signer_list_now(struct signer *s, struct store *store, const struct signer_list *list,
                     struct signer_listing *l, struct err *err)
{
    bool is_done = false;

    l->done = note_done;
    l->user = &is_done;
    if (!signer_list(s, store, list, l, err))
        return false;
    while (!is_done)
        signer_wait(s);
    if (l->err.code == ERR_NONE)
        return true;
    *err = l->err;
    return err_wrap(err, "revocation list");
}

/* ---- OCSP ---------------------------------------------------------------------------------------------------- */

bool signer_ocsp_csr(struct signer *s, struct view issuer, struct buf *ret_der, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP_KEY);
    vault_put(&request, issuer);
    if (!signer_ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view der = vault_bytes(&in, PKI_MAX_CSR);
    if (!signer_end(&in, err))
        return false;
    *ret_der = buf_dup(der);
    return true;
}

bool signer_ocsp_answer(struct signer *s, struct view issuer, struct view der,
                        const struct pki_ocsp_status *statuses, size_t n,
                        const struct pki_ocsp_times *times, struct buf *to, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP);
    vault_put(&request, issuer);
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
