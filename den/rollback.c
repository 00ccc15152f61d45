/* SPDX-License-Identifier: Apache-2.0 */
/* A store that was taken back to an older state. What den reached stands outside of the store too: the
 * newest audit entry and list number beside it, the newest heartbeat in the trust set, and at the router.
 * Where one of these is ahead, den does not go on by itself: what it gave out since (IDs, admissions,
 * revocations) is not known here. When somebody accepts that, a new epoch begins: the revocations come
 * back from the router, and every number goes on above all that was ever published. */
#include "den/rollback.h"

#include "base/log.h"
#include "base/text.h"
#include "den/policy_kept.h"
#include "den/record.h"
#include "den/restored.h"

#include <inttypes.h>
#include <stdio.h>

enum { AUDIT_STEP = 1000000 /* entries: numbers that are given up are seen to be */ };

/* ---- looking ------------------------------------------------------------------------------- */

struct look {
    size_t n;
    char first[sizeof(((struct den_core *)NULL)->rollback_cause)]; /* what was found first */
};

/* `what` is ahead, as `where` says. */
static void found(struct look *look, const char *what, uint64_t outside, uint64_t here,
                  const char *where)
{
    if (look->n++ == 0)
        snprintf(look->first, sizeof(look->first),
                 "%s %" PRIu64 " stands in %s, den.db ends at %" PRIu64, what, outside, where,
                 here);
    log_event(LOG_ERROR, "rollback.found", "what=%s outside=%" PRIu64 " store=%" PRIu64 " where=%s",
              log_quote_text(what), outside, here, log_quote_text(where));
}

static bool look_at_audit(struct den_core *core, uint64_t no, const uint8_t head[HASH_SIZE],
                          const char *where, struct look *look, struct err *err)
{
    uint8_t own[HASH_SIZE];
    uint64_t last;
    bool is_known;

    if (!audit_knows(core->c.store, no, head, &is_known, NULL, err) ||
        !audit_head(core->c.store, &last, own, err))
        return false;
    if (!is_known)
        found(look, last < no ? "audit entry" : "another audit entry", no, last, where);
    return true;
}

/* Its numbers are raised here before it signs them, so that it is never ahead of this store. */
static bool look_at_signer(struct den_core *core, uint64_t crl_no, struct look *look,
                           struct err *err)
{
    const struct signer_numbers *n = signer_numbers(core->c.signer);
    uint64_t hb_no;

    if (!store_number_get(core->c.store, "hb_no", &hb_no, err))
        return false;
    if (n->hb_no > hb_no)
        found(look, "heartbeat", n->hb_no, hb_no, "the signer's numbers");
    if (n->crl_no > crl_no)
        found(look, "revocation list", n->crl_no, crl_no, "the signer's numbers");
    return true;
}

static bool look_at_anchors(struct den_core *core, struct look *look, struct err *err)
{
    struct store_anchor anchor = { 0 };
    enum store_found is_there;
    uint64_t crl_no;

    if (!store_anchor(core->c.store, &is_there, &anchor, err) ||
        !store_number_get(core->c.store, "crl_no", &crl_no, err))
        return false;
    if (core->c.crl_floor.number > crl_no)
        found(look, "revocation list", core->c.crl_floor.number, crl_no, "crl.number");
    if (!look_at_signer(core, crl_no, look, err))
        return false;
    return is_there == STORE_NONE ||
           look_at_audit(core, anchor.no, anchor.head, "den.anchor", look, err);
}

static bool look_at_heart(struct den_core *core, const char *where, struct look *look,
                          struct err *err)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    const struct {
        const char *what, *name;
        uint64_t outside;
    } numbers[] = {
        { "heartbeat", "hb_no", h ? h->hb_no : 0 },
        { "revocation list", "crl_no", h ? h->crl_no : 0 },
        { "revocation", "rev_no", h ? h->rev_no : 0 },
        { "policy", "policy_no", h ? h->policy_no : 0 },
    };

    if (!h)
        return true;
    if (!look_at_audit(core, h->audit_no, h->audit_head.data, where, look, err))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        uint64_t here;
        if (!store_number_get(core->c.store, numbers[i].name, &here, err))
            return false;
        if (numbers[i].outside > here)
            found(look, numbers[i].what, numbers[i].outside, here, where);
    }
    return true;
}

const char rollback_remedy[] =
    "put the newer den.db back; if there is none, run it once with --accept-rollback "
    "(warren-den(8), RESTORING)";

static bool refuse(const struct look *look, struct err *err)
{
    err_set(err, ERR_STALE,
            "den.db was taken back to an older state: %s; put the newer one back, or start with "
            "--accept-rollback",
            look->first);
    return err_advise(err, rollback_remedy);
}

bool rollback_look(struct den_core *core, struct err *err)
{
    struct look look = { 0 };
    _buf_ restored_at = { 0 };

    if (!look_at_anchors(core, &look, err) || !look_at_heart(core, "trust", &look, err) ||
        !restored_find(core->c.store, &restored_at, err))
        return err_wrap(err, "rollback");
    core->is_behind = look.n != 0 || restored_at.len;
    return look.n == 0 || core->c.accepts_rollback || refuse(&look, err);
}

/* ---- meeting the router -------------------------------------------------------------------- */

static void stop(struct den_core *core, const struct err *why)
{
    log_event(LOG_ERROR, "rollback.refused", "code=%s cause=%s", err_code_name(why->code),
              log_quote_text(why->text));
    core->fatal = *why;
}

/* Restored from a backup, as `warren-den restore` noted in it: a router that knows den is asked whether
 * anything came after it. Of a den that worked beside it, it knows only what the heartbeats said. */
static bool look_at_note(struct den_core *core, struct look *look, struct err *err)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    _buf_ restored_at = { 0 };
    bool is_witnessed, had_den;
    uint64_t here;

    if (!restored_find(core->c.store, &restored_at, err) ||
        !restored_had_den(core->c.store, &had_den, err) ||
        !store_number_get(core->c.store, "hb_no", &here, err))
        return false;
    is_witnessed = rpc_trust_heartbeat_age(core->c.trust, core_mono(core)) != UINT64_MAX;
    if (!restored_at.len || look->n || (!had_den && is_witnessed && h->hb_no == here))
        return true;
    if (look->n++ == 0)
        snprintf(
            look->first, sizeof(look->first),
            "it is from a backup%s (restored %.40s), and the router does not know what came after",
            had_den ? " that was made while den ran" : "", buf_cstr(&restored_at));
    return true;
}

static bool settle_note(struct den_core *core, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    _buf_ restored_at = { 0 };

    return restored_find(open, &restored_at, err) && store_begin(open, err) &&
           (!restored_at.len || restored_settle(open, core_wall(core), err)) &&
           restored_note_backup(open, true,
                                err) && /* one that was begun before has it from here on */
           store_commit(open, err);
}

static bool take_up_list(struct den_core *core, struct err *err)
{
    if (!core->is_behind) {
        crl_keep(core);
        return true;
    }
    if (!crl_restart(core, &core->crl_is, err))
        return false;
    core->is_behind = false;
    return true;
}

static void go_on(struct den_core *core)
{
    struct err err = { 0 };

    core->has_met = true;
    if (!settle_note(core, &err) || !take_up_list(core, &err) || !heart_start(core, &err)) {
        core->has_met = false;
        log_event(LOG_ERROR, "start.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
        if (core->fatal.code == ERR_NONE)
            core->meet_at = core_mono(core) + MEET_AGAIN;
        return;
    }
    core_go_on(core);
}

void rollback_meet(struct den_core *core)
{
    struct look look = { 0 };
    struct err err = { 0 };

    core->meet_at = NEVER_MS;
    if (!look_at_anchors(core, &look, &err) || !look_at_heart(core, "the router", &look, &err) ||
        !look_at_note(core, &look, &err)) {
        err_wrap(&err, "rollback");
        stop(core, &err);
        return;
    }
    if (look.n == 0) {
        go_on(core);
        return;
    }
    if (!core->c.accepts_rollback) {
        refuse(&look, &err);
        stop(core, &err);
        return;
    }
    snprintf(core->rollback_cause, sizeof(core->rollback_cause), "%s", look.first);
    log_event(LOG_WARN, "rollback.accepting", "cause=%s", log_quote_text(look.first));
    replay_fetch(core);
}

void rollback_tick(struct den_core *core)
{
    if (core_mono(core) >= core->meet_at)
        rollback_meet(core);
}

/* ---- a new epoch --------------------------------------------------------------------------- */

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct reached { /* the highest that is known from anywhere */
    uint64_t epoch, audit_no, policy_no;
    uint8_t audit_head[HASH_SIZE];
    struct signer_anchor crl;
};

/* Of two with one number the one from outside is what was published. */
static void raise_audit(struct reached *r, uint64_t no, const uint8_t head[HASH_SIZE])
{
    if (no < r->audit_no)
        return;
    r->audit_no = no;
    memcpy(r->audit_head, head, HASH_SIZE);
}

static bool find_reached(struct den_core *core, struct reached *ret, struct err *err)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    const struct signer_numbers *n = signer_numbers(core->c.signer);
    struct reached r = { .epoch = higher(core->epoch, n->hb_no >> STORE_EPOCH_HEARTBEAT),
                         .crl = { higher(core->crl_is.number, n->crl_no),
                                  higher(core->crl_is.at, n->crl_at) } };
    struct store_anchor anchor = { 0 };
    enum store_found is_there;

    if (!audit_head(core->c.store, &r.audit_no, r.audit_head, err) ||
        !store_number_get(core->c.store, "policy_no", &r.policy_no, err) ||
        !store_anchor(core->c.store, &is_there, &anchor, err))
        return false;
    if (is_there == STORE_FOUND)
        raise_audit(&r, anchor.no, anchor.head);
    if (h) {
        raise_audit(&r, h->audit_no, h->audit_head.data);
        r.policy_no = higher(r.policy_no, h->policy_no);
        r.epoch = higher(r.epoch, h->hb_no >> STORE_EPOCH_HEARTBEAT);
        r.crl.number = higher(r.crl.number, h->crl_no);
        r.crl.at = higher(r.crl.at, h->time);
    }
    *ret = r;
    return true;
}

static bool audit(struct den_core *core, const struct reached *r, uint64_t epoch,
                  const struct replay *replay, struct err *err)
{
    char from[24], to[24], epoch_text[24], n[24], reached[24];
    const struct deed *by = &core->c.accepted_by;
    _buf_ own_hex = { 0 }, reached_hex = { 0 };
    uint8_t head[HASH_SIZE];
    uint64_t last;

    if (!audit_head(core->c.store, &last, head, err))
        return false;
    snprintf(from, sizeof(from), "%" PRIu64, last + 1);
    snprintf(to, sizeof(to), "%" PRIu64, (r->audit_no / AUDIT_STEP + 2) * AUDIT_STEP - 1);
    snprintf(epoch_text, sizeof(epoch_text), "%" PRIu64, epoch);
    snprintf(n, sizeof(n), "%zu", replay->n);
    snprintf(reached, sizeof(reached), "%" PRIu64, r->audit_no);
    text_put_hex(&own_hex, VIEW_ARR(head));
    text_put_hex(&reached_hex, VIEW_ARR(r->audit_head));
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("given_up_from", from),
        AUDIT_TEXT("given_up_to", to),
        AUDIT_TEXT("epoch", epoch_text),
        AUDIT_TEXT("revocations_taken_back", n),
        AUDIT_TEXT("cause", core->rollback_cause),
        AUDIT_TEXT("head_before", buf_cstr(&own_hex)),
        AUDIT_TEXT("lost_audit_no", reached),
        AUDIT_TEXT("lost_audit_head", buf_cstr(&reached_hex)),
        DEED_PAIRS(by),
    };
    return audit_jump(core->c.store, (r->audit_no / AUDIT_STEP + 2) * AUDIT_STEP, core_wall(core),
                      pairs, N_ELEMENTS(pairs), err);
}

/* ---- the list that was published last ------------------------------------------------------ */

struct listed {
    struct store *store;
    uint64_t by; /* the newest revocation */
    size_t n;
    bool has_failed;
    struct err *err;
};

static bool take_entry(void *user, const struct pki_revoked *entry)
{
    struct listed *l = user;
    const struct store_revoked lost = { .at = entry->at, .reason = entry->reason, .by = l->by };
    bool is_new = false;

    l->has_failed = !store_serial_is_lost(l->store, entry->serial, &lost, &is_new, l->err);
    l->n += is_new;
    return !l->has_failed;
}

/* A revoked identity or key had certificates that the store does not know any more: they stand on the
 * list that was kept beside it, and stay on it. Inside a transaction. */
static bool take_list(struct den_core *core, uint64_t rev_no, struct err *err)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    struct listed l = { .store = core->c.store, .by = rev_no, .err = err };
    struct err why = { 0 };

    if (!core->c.crl_kept.len || !rev_no)
        return true;
    if (!pki_crl_read(core->c.crl_kept, &crl, &why)) {
        log_event(LOG_WARN, "rollback.no_list", "cause=%s", log_quote_text(why.text));
        return true;
    }
    pki_crl_each(crl, take_entry, &l);
    return !l.has_failed;
}

static bool ends_certificates(const struct replay *replay)
{
    for (size_t i = 0; i < replay->n; i++) {
        if (replay->item[i].kind == STORE_REVOKE_IDENTITY ||
            replay->item[i].kind == STORE_REVOKE_TLS_KEY)
            return true;
    }
    return false;
}

/* The list that the newest heartbeat names, or one that came after it. */
static bool has_newest_list(const struct den_core *core, const struct rpc_heartbeat *h)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    uint8_t hash[HASH_SIZE];
    struct err unused;

    hash_sha256(core->c.crl_kept, hash);
    return view_eq(VIEW_ARR(hash), h->crl_hash) ||
           (core->c.crl_kept.len && pki_crl_read(core->c.crl_kept, &crl, &unused) &&
            pki_crl_number(crl) > h->crl_no);
}

/* Which certificates an identity or a key had that was revoked since, nobody knows but the list: without it they would be
 * on no list again. */
static bool check_list(const struct den_core *core, const struct replay *replay, struct err *err)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);

    if (core->c.accepts_no_list || !h || !h->crl_no || !ends_certificates(replay) ||
        has_newest_list(core, h))
        return true;
    err_set(err, ERR_STALE,
            "crl.der in the state folder is not the list that was published last (number %" PRIu64
            "), on which certificates stand that den.db does not know and that were revoked",
            h->crl_no);
    return err_advise(err, "put the file crl.der of a machine that was online last into the state "
                           "folder; if there is none, start once with --accept-rollback "
                           "--without-list: peers refuse those certificates all the same");
}

static bool go_on_with_policy(struct den_core *core, const struct reached *r, struct err *err)
{
    struct store_audit last = { 0 };
    enum store_found found;
    uint64_t known;

    if (!store_audit_last(core->c.store, &found, &last, err))
        return false;
    known = found == STORE_FOUND ? last.at : 0;
    buf_free(&last.bytes);
    return policy_kept_go_on(core->c.store, r->policy_no + 1, known, core_wall(core), err);
}

/* All of it, or nothing: killed on the way, den finds the same as before. */
static bool begin_epoch(struct den_core *core, const struct reached *r, uint64_t epoch,
                        const struct replay *replay, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    uint64_t rev_no = replay->n ? replay->item[replay->n - 1].no : core->rev_no;

    return store_begin(open, err) && store_revocations_replay(open, replay->item, replay->n, err) &&
           take_list(core, rev_no, err) && store_begin_epoch(open, epoch, core_wall(core), err) &&
           store_number_raise(open, "rev_no", rev_no, err) &&
           store_number_raise(open, "hb_no", epoch << STORE_EPOCH_HEARTBEAT, err) &&
           go_on_with_policy(core, r, err) && audit(core, r, epoch, replay, err) &&
           restored_settle(open, core_wall(core), err) && store_commit(open, err);
}

/* The signer knows what it signed by a book of its own, which may be from a backup too: what it signs
 * again is the same, and another one under its number it never signs. */
static bool tell_signer(struct den_core *core, const struct replay *replay, struct err *err)
{
    _free_ struct signer_statement *all = mem_array(struct signer_statement, VAULT_MAX_BATCH);
    bool ok = true;

    for (size_t at = 0; ok && at < replay->n; at += VAULT_MAX_BATCH) {
        size_t n = replay->n - at < VAULT_MAX_BATCH ? replay->n - at : VAULT_MAX_BATCH;
        for (size_t i = 0; i < n; i++)
            buf_put(&all[i].bytes, replay->item[at + i].statement);
        ok = signer_sign_all(core->c.signer, RPC_W_REVOKE, all, n, err);
        for (size_t i = 0; i < n; i++)
            buf_free(&all[i].bytes);
    }
    return ok;
}

static bool accept(struct den_core *core, const struct replay *replay, struct err *err)
{
    struct reached r;
    uint64_t epoch;

    if (!check_list(core, replay, err) || !find_reached(core, &r, err))
        return false;
    epoch = r.epoch + 1;
    if (!tell_signer(core, replay, err) || !begin_epoch(core, &r, epoch, replay, err))
        return false;
    core->epoch = epoch;
    core->is_behind = false;
    core->policy_no = r.policy_no + 1;
    log_event(LOG_WARN, "rollback.accepted",
              "epoch=%" PRIu64 " revocations_taken_back=%zu id_digits=%u", epoch, replay->n,
              core_id_digits(core));
    return revoke_start(core, err) && crl_restart(core, &r.crl, err);
}

void rollback_replayed(struct den_core *core, const struct replay *replay)
{
    struct err err = { 0 };

    if (!accept(core, replay, &err)) {
        err_wrap(&err, "rollback");
        stop(core, &err);
        return;
    }
    go_on(core);
}
