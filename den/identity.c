/* SPDX-License-Identifier: Apache-2.0 */
/* den.identity.admit and .refresh: the same key gets the same ID, for ever; a new key needs a
 * token. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    OPEN_DIGITS = 9,
    MAX_DRAWS = 128 /* at most half of the IDs are taken: 2^-128 that none of these is free */
};

struct enrolment {
    struct view bytes, sig, token_sig;
    struct rpc_enrol e;
};

/* Nobody vouches for E but its own key: it is read before it is verified, strictly, and for
 * that key alone. */
static bool read_enrolment(struct rpc_fields *args, struct enrolment *ret_enrolment,
                           struct err *err)
{
    struct enrolment in = { .bytes = rpc_fields_bin(args, "enrolment", RPC_MAX_STATEMENT) };

    in.sig = rpc_fields_fixed(args, "signature", SIG_SIZE);
    in.token_sig = rpc_fields_bin_or_nil(args, "token signature", SIG_SIZE);
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
static bool is_key_of_the_network(const struct den_core *core, struct view pk)
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
    if (is_key_of_the_network(core, in->e.client_pk))
        return err_set(err, ERR_WRONG_KEY, "this key is the router's or den's");
    return fresh_check(fresh_look(core->fresh, in->e.beacon, in->e.client_pk, in->e.nonce), err);
}

static bool check_token(struct den_core *core, const struct enrolment *in,
                        struct store_token *ret_token, struct err *err)
{
    enum store_found found = STORE_NONE;

    if (in->e.token_pk.len == 0)
        return err_set(err, ERR_BAD_TOKEN, "this key is new here, and no token came with it");
    if (!store_token_find(core->c.store, in->e.token_pk, &found, ret_token, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_BAD_TOKEN, "the token is unknown");
    if (ret_token->expires_at && ret_token->expires_at <= core_wall(core))
        return err_set(err, ERR_BAD_TOKEN, "the token has expired");
    if (ret_token->uses_left == 0)
        return err_set(err, ERR_BAD_TOKEN, "the token is spent");
    return true;
}

/* Uniform over all IDs of the configured length; whoever tries them finds at most every second
 * one in use. */
static bool draw_id(struct den_core *core, unsigned n_digits, char to[STORE_ID], struct err *err)
{
    struct store_identity other;
    enum store_found found;
    uint32_t lowest = 1;
    uint64_t n;

    for (unsigned i = 1; i < n_digits; i++)
        lowest *= 10;
    if (!store_identity_count(core->c.store, &n, err))
        return false;
    if (n >= (uint64_t)lowest * 9 / 2)
        return err_set(err, ERR_LIMIT,
                       "half of all IDs are in use: the operator must choose longer ones");
    for (unsigned i = 0; i < MAX_DRAWS; i++) {
        snprintf(to, STORE_ID, "%" PRIu32, lowest + random_below(9 * lowest));
        if (!store_identity_by_id(core->c.store, view_text(to), &found, &other, err))
            return false;
        if (found == STORE_NONE)
            return true;
    }
    return err_set(err, ERR_INTERNAL, "no free ID was drawn");
}

static bool add_identity(struct den_core *core, const struct enrolment *in,
                         struct store_identity *ret_who, struct err *err)
{
    struct store_identity who = { .adm_no = 1, .created_at = core_wall(core) };
    struct store_token token = { .role = "peer" };
    bool is_open = core->c.is_open && in->e.token_pk.len == 0;

    if (!is_open && !check_token(core, in, &token, err))
        return false;
    if (!draw_id(core, is_open ? OPEN_DIGITS : core->c.id_digits, who.id, err))
        return false;
    assert(in->e.client_pk.data); /* of the reader's length */
    memcpy(who.pk, in->e.client_pk.data, KEY_SIZE);
    memcpy(who.role, token.role, sizeof(who.role));
    if (!store_identity_add(core->c.store, &who, err) ||
        (!is_open &&
         !store_token_use(core->c.store, in->e.token_pk, in->e.client_pk, who.created_at, err)))
        return false;
    *ret_who = who;
    return true;
}

static bool count_admission(struct den_core *core, struct store_identity *who, struct err *err)
{
    if (who->is_revoked)
        return err_set(err, ERR_REVOKED, "this identity key was revoked");
    return store_identity_set_adm_no(core->c.store, who->id, ++who->adm_no, err);
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
        AUDIT_TEXT("adm_no", number),
        AUDIT_TEXT("token", record_hex(token_pk, token)), /* the public key; empty: none */
        { "source", view_sub(source, 0, 64) },
    };
    return audit_append(core->c.store, core_wall(core), what, pairs, N_ELEMENTS(pairs), err);
}

/* Look-ups, the token's use and the audit in one transaction: a token is spent once, whoever
 * asks at once. */
static bool admit(struct den_core *core, const struct enrolment *in, struct view source,
                  struct store_identity *ret_who, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    enum store_found found = STORE_NONE;
    struct store_identity who;

    if (!store_begin(open, err) || !store_identity_by_key(open, in->e.client_pk, &found, &who, err))
        return false;
    bool is_new = found == STORE_NONE;
    if (is_new ? !add_identity(core, in, &who, err) : !count_admission(core, &who, err))
        return false;
    if (!audit_admission(core, is_new ? "identity.enrolled" : "identity.admitted", &who,
                         is_new ? in->e.token_pk : VIEW(NULL, 0), source, err) ||
        !store_commit(open, err))
        return false;
    log_event(LOG_INFO, is_new ? "enrolled" : "admitted", "id=%s role=%s source=%s", who.id,
              who.role, log_quote(source));
    *ret_who = who;
    return true;
}

static void answer_admission(struct den_core *core, uint64_t inv, const struct store_identity *who,
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
        .not_after = now + core->c.admission_life,
        .enrol_hash = enrol_hash,
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    _buf_ args = { 0 };

    rpc_statement_sign(RPC_W_ADMISSION, &a, core->c.sign, &bytes, sig);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    core_yield(core, inv, buf_view(&args));
}

bool identity_admit(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                    struct err *err)
{
    struct store_identity who = { 0 };
    struct enrolment in = { 0 };
    enum store_found found = STORE_NONE;
    uint8_t hash[HASH_SIZE];

    if (!read_enrolment(args, &in, err) ||
        !store_identity_by_key(core->c.store, in.e.client_pk, &found, &who, err) ||
        !take_source(core, inv, found == STORE_NONE, err) || !verify_enrolment(&in, err) ||
        !check_enrolment(core, &in, err))
        return err_wrap(err, "enrolment");
    if (found == STORE_FOUND && !core_take(core, RATE_ADMIT, view_text(who.id)))
        return err_set(err, ERR_LIMIT, "enrolment: too many with this key: wait some seconds");
    if (!admit(core, &in, inv->invocation->source, &who, err))
        return err_wrap(err, "enrolment");
    fresh_take(core->fresh, in.e.beacon, in.e.client_pk, in.e.nonce);
    hash_sha256(in.bytes, hash);
    answer_admission(core, inv->number, &who, VIEW_ARR(hash));
    return true;
}

bool identity_refresh(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                      struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct request request;

    if (!request_open(core, inv, args, "den.identity.refresh", 64, RATE_REFRESH, &request, err))
        return false;
    if (!store_begin(open, err) || !count_admission(core, &request.who, err) ||
        !audit_admission(core, "identity.refreshed", &request.who, VIEW(NULL, 0),
                         inv->invocation->source, err) ||
        !store_commit(open, err))
        return err_wrap(err, "admission");
    answer_admission(core, inv->number, &request.who, VIEW(NULL, 0));
    return true;
}
