/* SPDX-License-Identifier: Apache-2.0 */
/* An ID's next identity key: on the word of the key before, or on an administrator's. Every such
 * change is a statement that peers check for themselves; den hands it on with the dials of that ID. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/people.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_HANDED_ON = 8 };
#define MAX_SKEW (10 * MINUTE_MS) /* of the clock of whoever signs */

/* ---- recording ------------------------------------------------------------------------------- */

static bool check_unused(struct den_core *core, struct view pk, struct err *err)
{
    struct store_identity other;
    struct store_rekey old = { 0 };
    enum store_found found = STORE_NONE, was = STORE_NONE;

    if (identity_is_key_of_network(core, pk))
        return err_set(err, ERR_WRONG_KEY, "this key is the router's or den's");
    if (!store_identity_by_key(core->c.store, pk, &found, &other, err) ||
        !store_rekey_by_old(core->c.store, pk, &was, &old, err))
        return false;
    buf_free(&old.statement);
    return (found == STORE_NONE && was == STORE_NONE) ||
           err_set(err, ERR_WRONG_KEY, "the new key was used before: make another one");
}

static bool audit(struct den_core *core, const char *what, const struct rpc_rekey *k,
                  struct err *err)
{
    char id[STORE_ID], old_pk[RECORD_HEX], new_pk[RECORD_HEX], number[24];

    snprintf(id, sizeof(id), "%.*s", VIEW_FMT(k->id));
    snprintf(number, sizeof(number), "%" PRIu64, k->rekey_no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", id),
        AUDIT_TEXT("old_key", record_hex(k->old_pk, old_pk)),
        AUDIT_TEXT("key", record_hex(k->new_pk, new_pk)),
        AUDIT_TEXT("rekey_no", number),
    };
    return audit_append(core->c.store, core_wall(core), what, pairs, N_ELEMENTS(pairs), err);
}

/* Inside a transaction. */
static bool record(struct den_core *core, const struct rpc_rekey *k, struct view bytes,
                   struct view sig, struct view new_sig, struct err *err)
{
    struct store_rekey row = { .rekey_no = k->rekey_no, .has_new_sig = new_sig.len != 0 };
    bool ok;

    snprintf(row.id, sizeof(row.id), "%.*s", VIEW_FMT(k->id));
    memcpy(row.old_pk, k->old_pk.data, KEY_SIZE);
    memcpy(row.new_pk, k->new_pk.data, KEY_SIZE);
    memcpy(row.sig, sig.data, SIG_SIZE);
    if (new_sig.len)
        memcpy(row.new_sig, new_sig.data, SIG_SIZE);
    row.statement = buf_dup(bytes);
    ok = store_rekey_add(core->c.store, &row, err) &&
         store_identity_set_key(core->c.store, row.id, k->new_pk, k->rekey_no, err) &&
         audit(core, k->by.len ? "identity.re_enrolled" : "identity.rekeyed", k, err);
    buf_free(&row.statement);
    return ok;
}

/* After the commit: what ended the admissions of the key before is signed and on its way to the router ahead of the
 * answer, so that nobody comes in with that key once the new one is in use. Not where the key before asked itself: its
 * session would end before the answer. */
void rekey_end_old(struct den_core *core)
{
    struct err err = { 0 };

    if (!revoke_look(core, &err)) /* the next look tries again */
        log_event(LOG_ERROR, "revocations.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
}

/* ---- on an administrator's word -------------------------------------------------------------- */

/* The store takes one number after the other. Inside a transaction. */
static bool go_to(struct store *open, struct store_identity *who, struct view pk, uint64_t no,
                  struct err *err)
{
    while (who->rekey_no < no)
        if (!store_identity_set_key(open, who->id, pk, ++who->rekey_no, err))
            return false;
    memcpy(who->pk, pk.data, KEY_SIZE);
    return true;
}

/* A store that was restored from a backup may have forgotten keys that the signer's book has: `who` goes on with that one. */
static bool take_over(struct den_core *core, struct store_identity *who, struct view pk,
                      uint64_t no, struct err *err)
{
    struct store *open = core->c.store;
    uint8_t before[KEY_SIZE];

    memcpy(before, who->pk, sizeof(before));
    const struct rpc_rekey k = {
        .id = view_text(who->id),
        .old_pk = VIEW_ARR(before),
        .new_pk = pk,
        .rekey_no = no,
    };
    return people_end_key(open, who->id, VIEW_ARR(before), core_wall(core), err) &&
           audit(core, "identity.key_of_signer", &k, err) && go_to(open, who, pk, no, err);
}

bool rekey_take_back(struct den_core *core, struct view pk, struct store_identity *who,
                     bool *ret_is, struct err *err)
{
    struct store *open = core->c.store;
    enum vault_claim claim = VAULT_CLAIMED;
    uint8_t has[KEY_SIZE];
    char unused[STORE_ID];
    uint64_t no;

    if (!signer_who(core->c.signer, who->id, has, &no, err))
        return false;
    *ret_is = view_eq(pk, VIEW_ARR(has)) && no > who->rekey_no;
    if (!*ret_is)
        return true;
    who->is_revoked = false; /* that was the key before: about this one the signer knows */
    return enrolment_is_alive(who, core_wall(core), err) &&
           signer_claim(core->c.signer, who->id, pk, &claim, unused, err) &&
           take_over(core, who, pk, no, err) && store_identity_unrevoke(open, who->id, err) &&
           store_identity_set_adm_no(open, who->id, ++who->adm_no, err);
}

/* The operator's order goes on from the newest key. Inside a transaction. */
static bool follow_book(struct den_core *core, struct view next_pk, struct store_identity *who,
                        struct err *err)
{
    uint8_t pk[KEY_SIZE];
    uint64_t no;

    if (!signer_who(core->c.signer, who->id, pk, &no, err))
        return false;
    if (no && view_eq(next_pk, VIEW_ARR(pk))) { /* den could not record it the time before */
        no--;
        memcpy(pk, who->pk, sizeof(pk));
    }
    return no <= who->rekey_no || take_over(core, who, VIEW_ARR(pk), no, err);
}

/* The device's end is the operator's: a new key alone does not move it. */
static bool take_end(struct den_core *core, const struct store_token *token,
                     struct store_identity *who, struct err *err)
{
    uint64_t now = core_wall(core);

    if (token->device_life)
        who->expires_at = now + token->device_life;
    return !who->expires_at || who->expires_at > now ||
           err_set(err, ERR_BAD_TOKEN,
                   "the time of %s is over: the operator has to print another join string for it "
                   "(warren-den peer re-enrol --device-life)",
                   who->id);
}

bool rekey_by_token(struct den_core *core, const struct enrolment *in,
                    const struct store_token *token, struct store_identity *ret_who,
                    struct err *err)
{
    struct store_identity who;
    enum store_found found = STORE_NONE;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    if (!store_identity_by_id(core->c.store, view_text(token->for_id), &found, &who, err) ||
        !check_unused(core, in->e.client_pk, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_BAD_TOKEN, "the token is for %s, which is not known any more",
                       token->for_id);
    if (!take_end(core, token, &who, err) || !follow_book(core, in->e.client_pk, &who, err))
        return false;
    uint8_t old_pk[KEY_SIZE];
    memcpy(old_pk, who.pk, sizeof(old_pk));
    const struct rpc_rekey k = {
        .netid = rpc_trust_netid(core->c.trust),
        .id = view_text(who.id),
        .old_pk = VIEW_ARR(old_pk),
        .new_pk = in->e.client_pk,
        .rekey_no = who.rekey_no + 1,
        .at = core_wall(core),
        .by = VIEW_LIT("operator"),
    };
    const struct signer_proof proof = { in->bytes, in->sig, in->token_sig };
    if (!signer_re_enrol(core->c.signer, &k, &proof, &bytes, sig, err))
        return false;
    memcpy(who.pk, in->e.client_pk.data, KEY_SIZE);
    snprintf(who.host, sizeof(who.host), "%.*s", VIEW_FMT(in->e.host));
    who.rekey_no++;
    who.ended = STORE_LIVES;
    who.is_revoked = false;
    who.seen_at = core_wall(core);
    if (!people_end_key(core->c.store, who.id, VIEW_ARR(old_pk), core_wall(core), err) ||
        !record(core, &k, buf_view(&bytes), VIEW_ARR(sig), VIEW(NULL, 0), err) ||
        !store_identity_unrevoke(core->c.store, who.id, err) ||
        !store_identity_set(core->c.store, &who, err) ||
        !store_identity_set_adm_no(core->c.store, who.id, ++who.adm_no, err))
        return false;
    *ret_who = who;
    return true;
}

/* What den signed and the new key has not yet. */
static bool find_unsigned(struct den_core *core, const struct store_identity *who,
                          enum store_found *ret, struct store_rekey *ret_k, struct err *err)
{
    *ret = STORE_NONE;
    if (who->rekey_no == 0)
        return true;
    if (!store_rekey_find(core->c.store, who->id, who->rekey_no, ret, ret_k, err))
        return false;
    if (*ret == STORE_FOUND && ret_k->has_new_sig) {
        buf_free(&ret_k->statement);
        *ret = STORE_NONE;
    }
    return true;
}

bool rekey_unsigned(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                    struct err *err)
{
    struct store_identity who;
    struct store_rekey k = { 0 };
    enum store_found found;
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err) ||
        !request_take(core, view_text(who.id), err) || !find_unsigned(core, &who, &found, &k, err))
        return false;
    rpc_put_array(&answer, found == STORE_FOUND ? 2 : 0);
    if (found == STORE_FOUND) {
        rpc_put_bin(&answer, buf_view(&k.statement));
        rpc_put_bin(&answer, VIEW_ARR(k.sig));
        buf_free(&k.statement);
    }
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

bool rekey_count(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    struct store_identity who;
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err) ||
        !request_take(core, view_text(who.id), err))
        return false;
    rpc_put_array(&answer, 1);
    rpc_put_u64(&answer, who.rekey_no);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

/* ---- den.identity.rekey ---------------------------------------------------------------------- */

struct change {
    struct view bytes, sig, new_sig;
    struct rpc_rekey k;
};

static bool is_recorded(const struct store_rekey *row, const struct change *c)
{
    return view_eq(buf_view(&row->statement), c->bytes) && view_eq(VIEW_ARR(row->sig), c->sig);
}

/* The answer was lost, or the new key confirms what an administrator ordered. */
static bool settle_recorded(struct den_core *core, const struct change *c,
                            struct store_identity *who, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct store_rekey row = { 0 };
    enum store_found found = STORE_NONE;
    bool is_same;

    if (!request_begin(core, who, err) ||
        !store_rekey_find(open, who->id, c->k.rekey_no, &found, &row, err))
        return false;
    is_same = found == STORE_FOUND && is_recorded(&row, c);
    buf_free(&row.statement);
    if (!is_same)
        return err_set(err, ERR_REPLAYED, "another key replaced this one before");
    if (!row.has_new_sig && (!store_rekey_sign(open, who->id, c->k.rekey_no, c->new_sig, err) ||
                             !audit(core, "identity.re_enrolment_confirmed", &c->k, err)))
        return false;
    return store_identity_set_adm_no(open, who->id, ++who->adm_no, err) && store_commit(open, err);
}

static bool check_change(struct den_core *core, const struct change *c,
                         const struct store_identity *who, struct err *err)
{
    uint64_t now = core_wall(core);

    if (c->k.by.len || !view_eq_secret(c->k.old_pk, VIEW_ARR(who->pk)))
        return err_set(err, ERR_WRONG_KEY, "old_pk: not the key that %s has", who->id);
    if (c->k.rekey_no != who->rekey_no + 1)
        return err_set(err, ERR_BAD_STATEMENT, "rekey_no: expected %" PRIu64, who->rekey_no + 1);
    if (c->k.at > now + MAX_SKEW || c->k.at + MAX_SKEW < now)
        return err_set(err, ERR_EXPIRED, "at: more than ten minutes from now");
    if (!key_verify(VIEW_ARR(who->pk), c->bytes, c->sig))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the key that is replaced");
    return check_unused(core, c->k.new_pk, err);
}

static bool replace(struct den_core *core, const struct change *c, struct store_identity *who,
                    struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    if (!request_begin(core, who, err) || !check_change(core, c, who, err) ||
        !signer_move(core->c.signer, c->bytes, c->sig, c->new_sig, err) ||
        !record(core, &c->k, c->bytes, c->sig, c->new_sig, err) ||
        !store_identity_set_adm_no(open, who->id, ++who->adm_no, err) ||
        !people_end_key(open, who->id, c->k.old_pk, core_wall(core), err) ||
        !store_commit(open, err))
        return false;
    memcpy(who->pk, c->k.new_pk.data, KEY_SIZE);
    who->rekey_no = c->k.rekey_no;
    log_event(LOG_WARN, "rekeyed", "id=%s rekey_no=%" PRIu64, who->id, who->rekey_no);
    return true;
}

/* [K, signature, signature by the new key]: K is the request, both keys have signed it, and a second
 * time it changes nothing. */
bool rekey_replace(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                   struct err *err)
{
    struct change c = { .bytes = rpc_fields_bin(args, "rekey", RPC_MAX_STATEMENT) };
    struct store_identity who;

    c.sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    c.new_sig = rpc_fields_fixed(args, "signature of the new key", SIG_SIZE);
    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err) ||
        !rpc_statement_read(RPC_W_REKEY, c.bytes, &c.k, err))
        return err_wrap(err, "rekey");
    if (!view_eq_text(c.k.id, who.id) || !view_eq(c.k.netid, rpc_trust_netid(core->c.trust)))
        return err_set(err, ERR_NOT_AUTHORIZED,
                       "rekey: of another ID or network than the caller's");
    if (!core_take(core, RATE_REFRESH, view_text(who.id)))
        return err_set(err, ERR_LIMIT, "rekey: too many lately; wait some minutes");
    if (!key_verify(c.k.new_pk, c.bytes, c.new_sig))
        return err_set(err, ERR_BAD_SIGNATURE, "rekey: not signed by the new key");
    bool is_done = view_eq(c.k.new_pk, VIEW_ARR(who.pk));
    if (is_done ? !settle_recorded(core, &c, &who, err) : !replace(core, &c, &who, err))
        return err_wrap(err, "rekey");
    identity_answer(core, inv->number, &who, VIEW(NULL, 0));
    return true;
}

/* ---- for those who know the ID ---------------------------------------------------------------- */

bool rekey_put(struct den_core *core, const struct store_identity *who, struct buf *to,
               struct err *err)
{
    uint64_t first = who->rekey_no > MAX_HANDED_ON ? who->rekey_no - MAX_HANDED_ON + 1 : 1;
    _buf_ list = { 0 };
    uint32_t n = 0;

    if (who->rekey_no == 0)
        return true;
    for (uint64_t no = first; no <= who->rekey_no; no++) {
        struct store_rekey k = { 0 };
        enum store_found found = STORE_NONE;
        if (!store_rekey_find(core->c.store, who->id, no, &found, &k, err))
            return false;
        if (found == STORE_FOUND && k.has_new_sig) {
            rpc_put_array(&list, 3);
            rpc_put_bin(&list, buf_view(&k.statement));
            rpc_put_bin(&list, VIEW_ARR(k.sig));
            rpc_put_bin(&list, VIEW_ARR(k.new_sig));
            n++;
        }
        buf_free(&k.statement);
    }
    rpc_put_array(to, n);
    rpc_put_raw(to, buf_view(&list));
    return true;
}
