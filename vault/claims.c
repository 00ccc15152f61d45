/* SPDX-License-Identifier: Apache-2.0 */
/* Which key an ID has: the first one that came with it, then what that one signs over to, then what an operator orders.
 * den's word alone changes nothing about an ID that is known here. */
#include "vault/inside.h"

#include "base/text.h"

bool vault_check_netid(struct vault *v, struct view netid, struct err *err)
{
    return view_eq(netid, vault_book_netid(v->book)) ||
           err_set(err, ERR_BAD_STATEMENT, "for another network");
}

bool vault_check_now(struct vault *v, uint64_t at, const char *what, struct err *err)
{
    return (at <= v->now + VAULT_SKEW && at + VAULT_SKEW >= v->now) ||
           err_set(err, ERR_EXPIRED, "%s: more than ten minutes from the signer's clock", what);
}

bool vault_check_beacon(struct vault *v, struct view beacon, struct err *err)
{
    const struct vault_numbers *n = vault_book_numbers(v->book);

    for (size_t i = 0; i < VAULT_BEACONS; i++)
        if (view_eq(beacon, VIEW_ARR(n->beacons[i])))
            return true;
    return err_set(err, ERR_STALE, "not bound to one of the newest heartbeats");
}

/* ---- the first key --------------------------------------------------------------------------------------- */

static bool say_claim(enum vault_claim claim, struct view id, const struct vault_who *who,
                      struct err *err)
{
    switch (claim) {
    case VAULT_CLAIMED:
        return true;
    case VAULT_ID_TAKEN:
        return err_set(err, ERR_WRONG_KEY, "%.*s has another identity key", VIEW_FMT(id));
    case VAULT_KEY_HAS_ID:
        return err_set(err, ERR_WRONG_KEY, "this identity key has the ID %s", who->id);
    case VAULT_KEY_REVOKED:
        return err_set(err, ERR_REVOKED, "the identity key of %.*s was revoked", VIEW_FMT(id));
    case VAULT_KEY_USED:
        return err_set(err, ERR_WRONG_KEY, "this identity key was replaced by another one");
    }
    abort();
}

bool vault_check_key(struct vault *v, struct view id, struct view pk, struct err *err)
{
    const struct vault_who *who;
    enum vault_claim claim;

    if (!text_is_id(id) || pk.len != KEY_SIZE)
        return err_set(err, ERR_BAD_STATEMENT, "not an ID and a key");
    claim = vault_book_claim(v->book, id, pk, v->now, &who);
    return say_claim(claim, id, who, err);
}

/* The answer is an outcome and the ID that the key has, for den may draw another ID. */
bool vault_claim(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view id = vault_bytes(in, VAULT_ID), pk = vault_fixed(in, KEY_SIZE);
    const struct vault_who *who;
    enum vault_claim claim;

    if (!vault_end(in))
        return false;
    if (!text_is_id(id))
        return err_set(err, ERR_BAD_STATEMENT, "not an ID");
    claim = vault_book_claim(v->book, id, pk, v->now, &who);
    if (claim == VAULT_KEY_REVOKED || claim == VAULT_KEY_USED)
        return say_claim(claim, id, who, err);
    buf_put_u8(answer, VAULT_YES);
    buf_put_u8(answer, (uint8_t)claim);
    vault_put_text(answer, claim == VAULT_KEY_HAS_ID ? who->id : "");
    return true;
}

/* No secret: den knew it before its store was lost. */
bool vault_say_who(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view id = vault_bytes(in, VAULT_ID);
    const struct vault_who *who;

    if (!vault_end(in))
        return false;
    who = vault_book_find(v->book, id);
    if (!who)
        return err_set(err, ERR_NOT_FOUND, "%.*s has no key here", VIEW_FMT(id));
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, VIEW_ARR(who->pk));
    buf_put_u64(answer, who->rekey_no);
    return true;
}

/* ---- the next one ---------------------------------------------------------------------------------------- */

static bool check_next(struct vault *v, const struct rpc_rekey *k, bool *ret_is_done,
                       struct err *err)
{
    const struct vault_who *who = vault_book_find(v->book, k->id);

    if (!vault_check_netid(v, k->netid, err))
        return false;
    if (!who)
        return err_set(err, ERR_NOT_FOUND, "%.*s has no key here", VIEW_FMT(k->id));
    *ret_is_done = view_eq_secret(VIEW_ARR(who->pk), k->new_pk) && who->rekey_no == k->rekey_no;
    if (*ret_is_done) /* den could not record it the time before */
        return true;
    if (!view_eq_secret(VIEW_ARR(who->pk), k->old_pk))
        return err_set(err, ERR_WRONG_KEY, "old_pk: not the key that %s has", who->id);
    if (k->rekey_no != who->rekey_no + 1)
        return err_set(err, ERR_BAD_STATEMENT, "rekey_no: not the one that follows");
    if (vault_book_knows_key(v->book, k->new_pk))
        return err_set(err, ERR_WRONG_KEY, "the new key was used before");
    return vault_check_now(v, k->at, "at", err);
}

bool vault_move(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view bytes = vault_bytes(in, RPC_MAX_STATEMENT), sig = vault_fixed(in, SIG_SIZE),
                new_sig = vault_fixed(in, SIG_SIZE);
    const struct vault_who *who;
    struct rpc_rekey k;
    bool is_done = false;

    if (!vault_end(in) || !rpc_statement_read(RPC_W_REKEY, bytes, &k, err))
        return false;
    if (k.by.len)
        return err_set(err, ERR_NOT_AUTHORIZED, "by an operator: needs the operator's order");
    if (!check_next(v, &k, &is_done, err))
        return false;
    if (!key_verify(k.old_pk, bytes, sig) || !key_verify(k.new_pk, bytes, new_sig))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the old key and by the new one");
    who = vault_book_find(v->book, k.id);
    if (!is_done && who->is_revoked)
        return err_set(err, ERR_REVOKED, "the identity key of %s was revoked", who->id);
    if (!is_done)
        vault_book_move(v->book, k.id, k.new_pk, k.rekey_no, VIEW(NULL, 0), v->now);
    buf_put_u8(answer, VAULT_YES);
    return true;
}

/* The token that the operator's order names, shown by who asks: E is signed by the new key and by the token. */
static bool check_enrolment(struct vault *v, const struct rpc_rekey *k, const struct rpc_enrol *e,
                            struct view bytes, struct view sig, struct view token_sig,
                            struct err *err)
{
    if (!vault_check_netid(v, e->netid, err) || !vault_check_beacon(v, e->beacon, err))
        return false;
    if (!view_eq_secret(e->client_pk, k->new_pk))
        return err_set(err, ERR_WRONG_KEY, "the enrolment is of another key");
    if (e->token_pk.len == 0 || !key_verify(e->client_pk, bytes, sig) ||
        !key_verify(e->token_pk, bytes, token_sig))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the key and its token");
    return true;
}

bool vault_re_enrol(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view k_bytes = vault_bytes(in, RPC_MAX_STATEMENT),
                e_bytes = vault_bytes(in, RPC_MAX_STATEMENT), e_sig = vault_fixed(in, SIG_SIZE),
                token_sig = vault_fixed(in, SIG_SIZE);
    uint8_t sig[SIG_SIZE];
    struct rpc_rekey k;
    struct rpc_enrol e;
    bool is_done = false;

    if (!vault_end(in) || !rpc_statement_read(RPC_W_REKEY, k_bytes, &k, err) ||
        !rpc_statement_read(RPC_W_ENROL, e_bytes, &e, err))
        return false;
    if (k.by.len == 0)
        return err_set(err, ERR_BAD_STATEMENT, "by: nobody");
    if (!check_next(v, &k, &is_done, err) ||
        !check_enrolment(v, &k, &e, e_bytes, e_sig, token_sig, err) ||
        (!is_done && !vault_order_check(v->book, k.id, e.token_pk, v->now, err)))
        return false;
    if (!is_done)
        vault_book_move(v->book, k.id, k.new_pk, k.rekey_no, e.token_pk, v->now);
    key_sign(v->keys.sign, k_bytes, sig);
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, VIEW_ARR(sig));
    return true;
}
