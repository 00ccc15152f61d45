/* SPDX-License-Identifier: Apache-2.0 */
/* den.identity.admit and .refresh: the same key gets the same ID, for ever; a new key needs a
 * token. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

/* Nobody vouches for E but its own key: it is read before it is verified, strictly, and for
 * that key alone. */
static bool read_enrolment(struct rpc_fields *args, struct enrolment *ret_enrolment,
                           struct err *err)
{
    struct enrolment in = { .bytes = rpc_fields_bin(args, "enrolment", RPC_MAX_STATEMENT) };

    in.sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    in.token_sig = rpc_fields_bin_or_nil(args, "token signature", SIG_SIZE);
    if (rpc_fields_more(args)) {
        in.before = rpc_fields_bin(args, "admission before", RPC_MAX_STATEMENT);
        in.before_sig = rpc_fields_fixed(args, "its signature", SIG_SIZE);
    }
    if (!rpc_fields_end(args, err) || !rpc_statement_read(RPC_W_ENROL, in.bytes, &in.e, err))
        return false;
    *ret_enrolment = in;
    return true;
}

static bool verify_enrolment(const struct enrolment *in, struct err *err)
{
    if (!key_verify(in->e.client_pk, in->bytes, in->sig))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the key that it enrols");
    if (in->e.token_pk.len && !key_verify(in->e.token_pk, in->bytes, in->token_sig))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the token's key");
    return true;
}

/* New keys cost whoever makes them nothing, so their source is counted, before any signature is
 * looked at; known ones have a rate of their own, which others cannot use up. */
static bool take_source(struct den_core *core, const struct rpc_inv *inv, bool is_new,
                        struct err *err)
{
    uint8_t key[RATE_KEY];
    struct view source = rate_source(inv->invocation->source, key);

    if (!core_take(core, RATE_SOURCE, source) || (is_new && !core_take(core, RATE_ENROL, source)))
        return err_set(err, ERR_LIMIT, "too many enrolments from this address: wait a minute");
    return true;
}

/* Keys of den and router sign only their own words: none of them becomes a peer. */
bool identity_is_key_of_network(const struct den_core *core, struct view pk)
{
    const struct rpc_manifest *m = rpc_trust_manifest(core->c.trust);

    for (size_t i = 0; i < m->keys.n; i++)
        if (view_eq_secret(m->keys.item[i].pk, pk))
            return true;
    return false;
}

static bool check_enrolment(const struct den_core *core, const struct enrolment *in,
                            struct err *err)
{
    if (!view_eq_secret(in->e.netid, rpc_trust_netid(core->c.trust)) ||
        !view_eq_text(in->e.network, rpc_trust_network(core->c.trust)))
        return err_set(err, ERR_BAD_STATEMENT, "for another network");
    if (identity_is_key_of_network(core, in->e.client_pk))
        return err_set(err, ERR_WRONG_KEY, "this key is the router's or den's");
    return fresh_check(fresh_look(core->fresh, in->e.beacon, in->e.client_pk, in->e.nonce), err);
}

static uint64_t day_of(uint64_t at)
{
    return at / DAY_MS;
}

/* A key that came back on a later day means it: its ID is kept. */
static bool count_admission(struct den_core *core, struct store_identity *who, struct err *err)
{
    uint64_t now = core_wall(core);

    if (!enrolment_is_alive(who, now, err))
        return false;
    if (who->kind == STORE_PROVISIONAL && day_of(now) > day_of(who->created_at))
        who->kind = STORE_COMMITTED;
    who->seen_at = now;
    return store_identity_set(core->c.store, who, err) &&
           store_identity_set_adm_no(core->c.store, who->id, ++who->adm_no, err);
}

static bool audit_admission(struct den_core *core, const char *what,
                            const struct store_identity *who, struct view token_pk,
                            struct view source, struct err *err)
{
    char key[RECORD_HEX], token[RECORD_HEX], number[24];

    snprintf(number, sizeof(number), "%" PRIu64, who->adm_no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", who->id),
        AUDIT_TEXT("key", record_hex(VIEW_ARR(who->pk), key)),
        AUDIT_TEXT("role", who->role),
        AUDIT_TEXT("groups", who->groups),
        AUDIT_TEXT("adm_no", number),
        AUDIT_TEXT("token", record_hex(token_pk, token)), /* the public key; empty: none */
        { "source", view_sub(source, 0, 64) },
    };
    return audit_append(core->c.store, core_wall(core), what, pairs, N_ELEMENTS(pairs), err);
}

/* Its time was over, and it asks for more as a new one would. */
static bool enrols_again(const struct den_core *core, const struct enrolment *in,
                         const struct store_identity *who)
{
    bool is_over =
        who->ended == STORE_VANISHED || (who->expires_at && who->expires_at <= core_wall(core));

    return is_over && !who->is_revoked && who->ended != STORE_REMOVED &&
           (in->e.token_pk.len || core->c.enrolment != DEN_BY_TOKEN);
}

static bool say_pending(const struct den_core *core, struct view pk, struct err *err)
{
    char code[RPC_CODE];

    rpc_identity_code(rpc_trust_netid(core->c.trust), pk, code);
    return err_set(err, ERR_PENDING,
                   "the operator has not approved this machine yet; its code is %s", code);
}

/* Look-ups, the token's use and the audit in one transaction: a token is spent once, whoever
 * asks at once. */
static bool admit(struct den_core *core, const struct enrolment *in, struct view source,
                  struct store_identity *ret_who, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    enum store_found found = STORE_NONE;
    struct store_identity who = { 0 }, known = { 0 };
    struct enrolment_wait wait = { 0 };
    bool is_new, is_back = false;

    if (!store_begin(open, err) ||
        !store_identity_by_key(open, in->e.client_pk, &found, &known, err))
        return false;
    is_new = found == STORE_NONE;
    who = known;
    if (is_new && !enrolment_take_back(core, in, &who, &is_back, err))
        return false;
    is_new &= !is_back;
    if (!is_back &&
        (is_new || enrols_again(core, in, &known)
             ? !enrolment_take(core, in, source, is_new ? NULL : &known, &who, &wait, err)
             : !count_admission(core, &who, err)))
        return false;
    if (wait.is) {
        if (!store_commit(open, err))
            return false;
        enrolment_log_wait(&wait);
        return say_pending(core, in->e.client_pk, err);
    }
    if (!audit_admission(core,
                         is_new    ? "identity.enrolled"
                         : is_back ? "identity.taken_back"
                                   : "identity.admitted",
                         &who, is_new ? in->e.token_pk : VIEW(NULL, 0), source, err) ||
        !store_commit(open, err))
        return false;
    if (who.rekey_no != known.rekey_no && !is_back)
        log_event(LOG_WARN, "re_enrolled", "id=%s rekey_no=%" PRIu64, who.id, who.rekey_no);
    log_event(LOG_INFO,
              is_new    ? "enrolled"
              : is_back ? "taken_back"
                        : "admitted",
              "id=%s role=%s source=%s", who.id, who.role, log_quote(source));
    if (who.rekey_no != known.rekey_no)
        rekey_end_old(core);
    *ret_who = who;
    return true;
}

void identity_answer(struct den_core *core, uint64_t inv, const struct store_identity *who,
                     struct view enrol_hash)
{
    uint64_t now = core_wall(core);
    struct rpc_admission a = {
        .netid = rpc_trust_netid(core->c.trust),
        .network = view_text(rpc_trust_network(core->c.trust)),
        .id = view_text(who->id),
        .client_pk = VIEW_ARR(who->pk),
        .role = view_text(who->role),
        .adm_no = who->adm_no,
        .issued_at = now,
        .not_after = enrolment_admitted_until(core, who, now),
        .enrol_hash = enrol_hash,
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    _buf_ args = { 0 };
    struct err err = { 0 };

    if (!signer_sign(core->c.signer, RPC_W_ADMISSION, &a, &bytes, sig, &err)) {
        err_wrap(&err, "admission");
        core_refuse(core, inv, &err);
        return;
    }
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    core_yield(core, inv, buf_view(&args));
}

/* Known, or known to wait: such a key has a rate of its own. */
static bool find_rate(struct den_core *core, struct view pk, enum rate *ret_rate, struct err *err)
{
    struct store_identity who;
    struct store_waiting w;
    enum store_found found = STORE_NONE, waits = STORE_NONE;

    if (!store_identity_by_key(core->c.store, pk, &found, &who, err) ||
        (found == STORE_NONE && !store_waiting_find(core->c.store, pk, &waits, &w, err)))
        return false;
    *ret_rate = found == STORE_FOUND   ? RATE_ADMIT
                : waits == STORE_FOUND ? RATE_WAITING
                                       : RATE_ENROL;
    return true;
}

bool identity_admit(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                    struct err *err)
{
    struct store_identity who = { 0 };
    struct enrolment in = { 0 };
    uint8_t hash[HASH_SIZE];
    enum rate rate = RATE_ENROL;

    if (!read_enrolment(args, &in, err) || !find_rate(core, in.e.client_pk, &rate, err) ||
        !take_source(core, inv, rate == RATE_ENROL, err) || !verify_enrolment(&in, err) ||
        !check_enrolment(core, &in, err))
        return err_wrap(err, "enrolment");
    if (rate != RATE_ENROL && !core_take(core, rate, in.e.client_pk))
        return err_set(err, ERR_LIMIT, "enrolment: too many with this key: wait some seconds");
    if (!admit(core, &in, inv->invocation->source, &who, err))
        return err_wrap(err, "enrolment");
    fresh_take(core->fresh, in.e.beacon, in.e.client_pk, in.e.nonce);
    hash_sha256(in.bytes, hash);
    identity_answer(core, inv->number, &who, VIEW_ARR(hash));
    return true;
}

bool identity_refresh(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                      struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct request request;

    if (!request_open(core, inv, args, "den.identity.refresh", 64, RATE_REFRESH, &request, err))
        return false;
    if (!request_begin(core, &request.who, err) || !count_admission(core, &request.who, err) ||
        !audit_admission(core, "identity.refreshed", &request.who, VIEW(NULL, 0),
                         inv->invocation->source, err) ||
        !store_commit(open, err))
        return err_wrap(err, "admission");
    identity_answer(core, inv->number, &request.who, VIEW(NULL, 0));
    return true;
}
