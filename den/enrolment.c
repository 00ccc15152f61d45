/* SPDX-License-Identifier: Apache-2.0 */
/* What a key needs that den does not know: a token, somebody's approval, or in an open network
 * nothing. The same decides about a device whose time was over and that comes back. */
#include "den/core_in.h"

#include "base/log.h"
#include "base/text.h"
#include "den/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    LONG_DIGITS = 9, /* of IDs that many may take: provisional and ephemeral ones */
    MAX_DRAWS = 128, /* at most half of the IDs are taken: 2^-128 that none of these is free */
    MAX_EPOCH_BITS = 16,
    MAX_WAITING = 10000,
    MAX_WAITING_PER_NETWORK = 64,
    LEAST_ADMISSION = 10 * 60 * 1000, /* ms */
};
#define WAITS_FOR  (7 * DAY_MS) /* who does not ask for so long is forgotten */
#define NOTE_EVERY MINUTE_MS    /* that somebody still waits */

struct terms { /* what an enrolment gives */
    const char *role, *groups;
    enum store_kind kind;
    uint64_t device_life, vanish_after;
};

static bool check_token(struct den_core *core, struct view pk, struct store_token *ret_token,
                        struct err *err)
{
    enum store_found found = STORE_NONE;

    if (!store_token_find(core->c.store, pk, &found, ret_token, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_BAD_TOKEN, "the token is unknown");
    if (ret_token->revoked_at)
        return err_set(err, ERR_BAD_TOKEN, "the token was revoked");
    if (ret_token->expires_at && ret_token->expires_at <= core_wall(core))
        return err_set(err, ERR_BAD_TOKEN, "the token has expired");
    if (ret_token->uses && ret_token->uses_left == 0)
        return err_set(err, ERR_BAD_TOKEN, "the token is spent");
    return true;
}

/* ---- waiting for approval ------------------------------------------------------------------- */

static bool has_room(struct den_core *core, struct view network, struct err *err)
{
    struct store *store = core->c.store;
    uint64_t n_all, n_here;

    if (!store_waiting_drop_old(store, core_wall(core) - WAITS_FOR, err) ||
        !store_waiting_count(store, VIEW(NULL, 0), &n_all, err) ||
        !store_waiting_count(store, network, &n_here, err))
        return false;
    if (n_here >= MAX_WAITING_PER_NETWORK)
        return err_set(err, ERR_LIMIT, "%d machines from this address wait for approval",
                       MAX_WAITING_PER_NETWORK);
    return n_all < MAX_WAITING ||
           err_set(err, ERR_LIMIT, "%d machines wait for approval", MAX_WAITING);
}

static bool queue(struct den_core *core, const struct enrolment *in, struct view source,
                  const struct terms *terms, struct enrolment_wait *ret_wait, struct err *err)
{
    struct store_waiting w = { .first_at = core_wall(core) };
    uint8_t key[RATE_KEY];
    struct view network = rate_source(source, key);
    char pk[RECORD_HEX];

    w.last_at = w.first_at;
    w.has_token = in->e.token_pk.len != 0;
    memcpy(w.pk, in->e.client_pk.data, KEY_SIZE);
    if (w.has_token)
        memcpy(w.token_pk, in->e.token_pk.data, KEY_SIZE);
    w.network_len = network.len < sizeof(w.network) ? network.len : sizeof(w.network);
    memcpy(w.network, network.data, w.network_len);
    rpc_identity_code(rpc_trust_netid(core->c.trust), in->e.client_pk, w.code);
    snprintf(w.host, sizeof(w.host), "%.*s", VIEW_FMT(in->e.host));
    snprintf(w.source, sizeof(w.source), "%.*s", VIEW_FMT(view_sub(source, 0, 64)));
    snprintf(w.role, sizeof(w.role), "%s", terms->role);
    snprintf(w.groups, sizeof(w.groups), "%s", terms->groups);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("code", w.code),
        AUDIT_TEXT("key", record_hex(in->e.client_pk, pk)),
        AUDIT_TEXT("host", w.host),
        AUDIT_TEXT("source", w.source),
    };
    if (!has_room(core, VIEW(w.network, w.network_len), err) ||
        !store_waiting_put(core->c.store, &w, err) ||
        !audit_append(core->c.store, w.first_at, "identity.waits", pairs, N_ELEMENTS(pairs), err))
        return false;
    *ret_wait = (struct enrolment_wait){ .is_new = true, .who = w };
    return true;
}

void enrolment_log_wait(const struct enrolment_wait *wait)
{
    const struct store_waiting *w = &wait->who;

    if (wait->is_new)
        log_event(LOG_INFO, "waits_for_approval", "code=%s host=%s source=%s", w->code,
                  log_quote_text(w->host), log_quote_text(w->source));
}

static bool is_asked_with(const struct store_waiting *w, const struct enrolment *in)
{
    return w->has_token ? view_eq(VIEW_ARR(w->token_pk), in->e.token_pk) : in->e.token_pk.len == 0;
}

/* Where it stands in the queue; it is put there when it is not. */
static bool ask_people(struct den_core *core, const struct enrolment *in, struct view source,
                       const struct terms *terms, struct enrolment_wait *wait, struct err *err)
{
    struct store *store = core->c.store;
    struct store_waiting *w = &wait->who;
    enum store_found found = STORE_NONE;

    if (!store_waiting_find(store, in->e.client_pk, &found, w, err))
        return false;
    if (found == STORE_NONE)
        return queue(core, in, source, terms, wait, err);
    if (w->answer != STORE_DENIED && !is_asked_with(w, in)) /* its terms are others now */
        return store_waiting_drop(store, in->e.client_pk, err) &&
               queue(core, in, source, terms, wait, err);
    switch (w->answer) {
    case STORE_APPROVED:
        return store_waiting_drop(store, in->e.client_pk, err);
    case STORE_DENIED:
        return err_set(err, ERR_NOT_AUTHORIZED, "the operator did not let this machine in");
    case STORE_WAITS:
        if (core_wall(core) < w->last_at + NOTE_EVERY)
            return true;
        w->last_at = core_wall(core);
        return store_waiting_put(store, w, err);
    }
    abort();
}

/* ---- IDs ------------------------------------------------------------------------------------- */

/* IDs that were handed out in a life of the store that is over are not known here. So those of another
 * epoch are others: they have more digits, and where there are no more, the number of zero bits at the
 * end of their hash is that of the epoch. */
unsigned core_id_digits(const struct den_core *core)
{
    uint64_t n = core->c.id_digits + core->epoch;

    return n < LONG_DIGITS ? (unsigned)n : LONG_DIGITS;
}

static bool is_of_epoch(const struct den_core *core, const char *id)
{
    uint64_t bits = 0, at = 0;
    uint8_t hash[HASH_SIZE];

    if (strlen(id) < LONG_DIGITS)
        return true;
    hash_sha256(view_text(id), hash);
    while (at < MAX_EPOCH_BITS && !(hash[at / 8] >> at % 8 & 1))
        at++;
    bits = at;
    return bits == core->epoch % MAX_EPOCH_BITS;
}

/* Uniform over all IDs of that length; whoever tries them finds at most every second one in use. */
static bool draw_id(struct den_core *core, unsigned n_digits, char to[STORE_ID], struct err *err)
{
    struct store_identity other;
    enum store_found found;
    uint32_t lowest = 1;
    uint64_t n;

    for (unsigned i = 1; i < n_digits; i++)
        lowest *= 10;
    if (!store_identity_count(core->c.store, n_digits, &n, err))
        return false;
    if (n >= (uint64_t)lowest * 9 / 2)
        return err_set(err, ERR_LIMIT,
                       "half of all IDs are in use: the operator must choose longer ones");
    for (unsigned i = 0; i < MAX_DRAWS;) {
        snprintf(to, STORE_ID, "%" PRIu32, lowest + random_below(9 * lowest));
        if (!is_of_epoch(core, to))
            continue;
        i++;
        if (!store_identity_by_id(core->c.store, view_text(to), &found, &other, err))
            return false;
        if (found == STORE_NONE)
            return true;
    }
    return err_set(err, ERR_INTERNAL, "no free ID was drawn");
}

/* For good: the signer has a book of its own, which also remembers what this store may have forgotten. A key that had an
 * ID gets that one again. */
static bool choose_id(struct den_core *core, unsigned n_digits, struct view pk, char to[STORE_ID],
                      struct err *err)
{
    struct store_identity other;
    enum store_found found = STORE_NONE;
    enum vault_claim claim = VAULT_ID_TAKEN;
    char has[STORE_ID];

    for (unsigned i = 0; i < MAX_DRAWS && claim == VAULT_ID_TAKEN; i++) {
        if (!draw_id(core, n_digits, to, err) ||
            !signer_claim(core->c.signer, to, pk, &claim, has, err))
            return false;
    }
    if (claim == VAULT_CLAIMED)
        return true;
    if (claim == VAULT_ID_TAKEN)
        return err_set(err, ERR_LIMIT,
                       "no free ID was drawn: the operator must choose longer ones");
    if (!store_identity_by_id(core->c.store, view_text(has), &found, &other, err))
        return false;
    memcpy(to, has, STORE_ID);
    return found == STORE_NONE ||
           err_set(err, ERR_INTERNAL, "the signer knows this key as %s, whose key it is not", has);
}

static void apply(struct store_identity *who, const struct terms *terms, const struct enrolment *in,
                  uint64_t now)
{
    snprintf(who->role, sizeof(who->role), "%s", terms->role);
    snprintf(who->groups, sizeof(who->groups), "%s", terms->groups);
    snprintf(who->host, sizeof(who->host), "%.*s", VIEW_FMT(in->e.host));
    who->ended = STORE_LIVES;
    who->expires_at = terms->device_life ? now + terms->device_life : 0;
    who->vanish_after = terms->vanish_after;
    who->seen_at = now;
}

static bool add_new(struct den_core *core, const struct enrolment *in, const struct terms *terms,
                    struct store_identity *ret_who, struct err *err)
{
    uint64_t now = core_wall(core);
    struct store_identity who = { .adm_no = (core->epoch << STORE_EPOCH_OF_ID) + 1,
                                  .created_at = now,
                                  .kind = terms->kind };
    bool is_long = terms->kind != STORE_COMMITTED;

    assert(in->e.client_pk.data); /* of the reader's length */
    if (!choose_id(core, is_long ? LONG_DIGITS : core_id_digits(core), in->e.client_pk, who.id,
                   err))
        return false;
    memcpy(who.pk, in->e.client_pk.data, KEY_SIZE);
    apply(&who, terms, in, now);
    if (!store_identity_add(core->c.store, &who, err))
        return false;
    *ret_who = who;
    return true;
}

/* The same key, so the same ID, on the terms of now. What was committed stays it. */
static bool add_again(struct den_core *core, const struct enrolment *in, const struct terms *terms,
                      struct store_identity *who, struct err *err)
{
    if (who->kind == STORE_PROVISIONAL)
        who->kind = terms->kind;
    apply(who, terms, in, core_wall(core));
    judge_all(core); /* it may have other groups now */
    return store_identity_set(core->c.store, who, err) &&
           store_identity_set_adm_no(core->c.store, who->id, ++who->adm_no, err);
}

static bool replaced_key(struct den_core *core, struct view pk, struct err *err)
{
    struct store_rekey k = { 0 };
    enum store_found found = STORE_NONE;

    if (!store_rekey_by_old(core->c.store, pk, &found, &k, err))
        return true;
    buf_free(&k.statement);
    if (found == STORE_NONE)
        return false;
    err_set(err, ERR_REVOKED, "this identity key was replaced by another one");
    return true;
}

/* ---- what a life that is over handed out ------------------------------------------------------ */

static bool read_before(const struct den_core *core, const struct enrolment *in,
                        struct rpc_admission *ret_a, struct err *err)
{
    struct rpc_admission a;

    if (!rpc_trust_is_by_a_den(core->c.trust, in->before, in->before_sig))
        return err_set(err, ERR_BAD_SIGNATURE, "the admission before: not signed by den");
    if (!rpc_statement_read(RPC_W_ADMISSION, in->before, &a, err))
        return err_wrap(err, "the admission before");
    if (!view_eq(a.netid, rpc_trust_netid(core->c.trust)) ||
        !view_eq(a.client_pk, in->e.client_pk) || !text_is_id(a.id))
        return err_set(err, ERR_BAD_STATEMENT, "the admission before: of another network or key");
    *ret_a = a;
    return true;
}

/* The signer's book may never have lost it. */
static bool claim_back(struct den_core *core, const struct store_identity *who, struct err *err)
{
    enum vault_claim claim;
    char has[STORE_ID];

    if (!signer_claim(core->c.signer, who->id, VIEW_ARR(who->pk), &claim, has, err))
        return false;
    return claim == VAULT_CLAIMED ||
           err_set(err, ERR_WRONG_KEY,
                   "the signer knows %s with another key: the operator has to re-enrol it "
                   "(warren-den peer re-enrol)",
                   who->id);
}

/* The ID comes back with its key, for good; groups, names and ends are not in an admission. */
static bool add_back(struct den_core *core, const struct enrolment *in,
                     const struct rpc_admission *a, struct store_identity *ret_who, struct err *err)
{
    bool is_admin = view_eq_text(a->role, "admin");
    const struct terms terms = { .role = is_admin ? "admin" : "peer", .groups = "" };
    struct store_identity who = { .adm_no = (core->epoch << STORE_EPOCH_OF_ID) + 1,
                                  .created_at = a->issued_at };

    snprintf(who.id, sizeof(who.id), "%.*s", VIEW_FMT(a->id));
    memcpy(who.pk, in->e.client_pk.data, KEY_SIZE);
    apply(&who, &terms, in, core_wall(core));
    *ret_who = who;
    return claim_back(core, &who, err) && store_identity_add(core->c.store, &who, err);
}

bool enrolment_take_back(struct den_core *core, const struct enrolment *in,
                         struct store_identity *ret_who, bool *ret_is, struct err *err)
{
    struct store_identity known;
    enum store_found found;
    struct rpc_admission a;
    bool is_revoked;

    *ret_is = false;
    if (!in->before.len || core->epoch == 0 || replaced_key(core, in->e.client_pk, err))
        return true;
    if (!read_before(core, in, &a, err) ||
        !store_admission_is_revoked(core->c.store, a.id, a.client_pk, a.adm_no, &is_revoked, err))
        return false;
    if (is_revoked)
        return err_set(err, ERR_REVOKED, "the admission of %.*s before was revoked",
                       VIEW_FMT(a.id));
    if (!store_identity_by_id(core->c.store, a.id, &found, &known, err))
        return false;
    *ret_is = true;
    if (found == STORE_NONE)
        return add_back(core, in, &a, ret_who, err);
    if (!rekey_take_back(core, in->e.client_pk, &known, ret_is, err))
        return false;
    *ret_who = known;
    return *ret_is ||
           err_set(err, ERR_WRONG_KEY,
                   "%s had another key when the database was backed up: the operator has to "
                   "re-enrol it (warren-den peer re-enrol)",
                   known.id);
}

/* ---- the decision ---------------------------------------------------------------------------- */

static void read_terms(const struct store_token *token, struct terms *terms)
{
    terms->role = token->role;
    terms->groups = token->groups;
    terms->kind = token->vanish_after ? STORE_EPHEMERAL : STORE_COMMITTED;
    terms->device_life = token->device_life;
    terms->vanish_after = token->vanish_after;
}

bool enrolment_take(struct den_core *core, const struct enrolment *in, struct view source,
                    const struct store_identity *before, struct store_identity *ret_who,
                    struct enrolment_wait *ret_wait, struct err *err)
{
    struct terms terms = { .role = "peer", .groups = "" };
    struct store_token token = { 0 };
    struct enrolment_wait wait = { 0 };
    bool has_token = in->e.token_pk.len != 0, must_ask;

    if (!before && replaced_key(core, in->e.client_pk, err))
        return false;
    if (!has_token && core->c.enrolment == DEN_BY_TOKEN)
        return err_set(err, ERR_BAD_TOKEN, "this key is new here, and no token came with it");
    if (has_token && !check_token(core, in->e.token_pk, &token, err))
        return false;
    if (has_token)
        read_terms(&token, &terms);
    else if (core->c.enrolment == DEN_OPEN)
        terms.kind = STORE_PROVISIONAL;
    must_ask = has_token ? token.needs_approval : core->c.enrolment == DEN_BY_APPROVAL;
    if (must_ask) {
        if (!ask_people(core, in, source, &terms, &wait, err))
            return false;
        terms.role = wait.who.role;
        terms.groups = wait.who.groups;
    }
    wait.is = must_ask && wait.who.answer != STORE_APPROVED;
    *ret_wait = wait;
    if (wait.is)
        return true;
    if (before)
        *ret_who = *before;
    if (token.for_id[0] != '\0' ? !rekey_by_token(core, in, &token, ret_who, err)
        : before                ? !add_again(core, in, &terms, ret_who, err)
                                : !add_new(core, in, &terms, ret_who, err))
        return false;
    return !has_token ||
           store_token_use(core->c.store, in->e.token_pk, in->e.client_pk, core_wall(core), err);
}

uint64_t enrolment_admitted_until(const struct den_core *core, const struct store_identity *who,
                                  uint64_t now)
{
    uint64_t life = core->c.admission_life;

    if (who->kind == STORE_EPHEMERAL) /* whoever vanished comes back through den */
        life = min_u64(life,
                       who->vanish_after > LEAST_ADMISSION ? who->vanish_after : LEAST_ADMISSION);
    return who->expires_at ? min_u64(now + life, who->expires_at) : now + life;
}

bool enrolment_is_alive(const struct store_identity *who, uint64_t now, struct err *err)
{
    if (who->is_revoked)
        return err_set(err, ERR_REVOKED, "the identity of %s was revoked", who->id);
    if (who->ended == STORE_REMOVED)
        return err_set(err, ERR_NOT_AUTHORIZED, "%s was removed by an administrator", who->id);
    if (who->ended == STORE_VANISHED)
        return err_set(err, ERR_EXPIRED, "%s was gone for too long: join with a token again",
                       who->id);
    if (who->expires_at && who->expires_at <= now)
        return err_set(err, ERR_EXPIRED,
                       "the time of this device is over: join with a new token to go on as %s",
                       who->id);
    return true;
}
