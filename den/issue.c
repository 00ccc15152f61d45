/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign, .chain and .crl. From a request nothing is taken but the public key; names are
 * written from the record. */
#include "den/asked.h"

#include "base/log.h"
#include "base/map.h"
#include "den/record.h"

/* So many are recorded in one transaction, and asked of the signer in one frame: some three milliseconds. So many frames
 * are on their way at once, that it has work while den waits for the disk; whoever has a question for it that cannot
 * wait, waits for those. */
enum { MAX_BATCH = 256, MAX_FRAME = 32, MAX_FRAMES = 4, QUICK = 50, SLOW = 200 /* ms */ };

/* ---- keys of authorities: what the manifest and the signer have ------------------------- */

enum { MAX_CA_KEYS = 64 };

struct ca_keys {
    uint64_t manifest_no; /* they are of; 0: of none yet */
    uint8_t spki[MAX_CA_KEYS][HASH_SIZE];
    size_t n;
};

/* Stages of requests (struct asked), each waiting to go on together with others:
 *   applying    the signer looks at them, and draws a serial      (frames; then another thread looks at the CSR)
 *   ready       their serials are reserved                        (a transaction)
 *   certifying  the signer signs                                  (frames)
 *   signed      their certificates are recorded, then answered    (the same transaction as others' serials)
 * So the signer works on some while den records others. */
struct stage {
    struct list all;
    size_t n;
};
struct issue {
    struct stage applying, ready, certifying, made;
    uint64_t first_at, last_at; /* mono: of what waits for a transaction */
    size_t n_frame;             /* so many certificates are asked for at once */
    uint64_t landed_at;         /* mono: the newest answer about some */
    struct map *keys;           /* struct asked from `ready` on, by the hash of its TLS key */
    struct ca_keys ca_keys;
};

static bool add_ca_key(struct ca_keys *keys, struct view der, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;

    if (keys->n == MAX_CA_KEYS)
        return err_set(err, ERR_TOO_LARGE, "more than %d authorities", MAX_CA_KEYS);
    if (!pki_cert_read(der, &cert, err))
        return false;
    pki_cert_spki_hash(cert, keys->spki[keys->n++]);
    return true;
}

static bool read_ca_keys(struct den_core *core, struct ca_keys *keys, struct err *err)
{
    struct view der;

    if (keys->manifest_no == rpc_trust_manifest(core->c.trust)->manifest_no)
        return true;
    *keys = (struct ca_keys){ 0 };
    if (!add_ca_key(keys, pki_cert_der(signer_cert(core->c.signer)), err))
        return false;
    for (size_t i = 0; i < core->c.n_intermediates; i++)
        if (!add_ca_key(keys, buf_view(&core->c.intermediates[i]), err))
            return false;
    for (size_t i = 0; rpc_trust_root(core->c.trust, i, &der); i++)
        if (!add_ca_key(keys, der, err))
            return false;
    keys->manifest_no = rpc_trust_manifest(core->c.trust)->manifest_no;
    return true;
}

static bool check_not_a_ca_key(struct den_core *core, struct view spki, struct err *err)
{
    struct ca_keys *keys = &core->issue->ca_keys;

    if (!read_ca_keys(core, keys, err))
        return false;
    for (size_t i = 0; i < keys->n; i++)
        if (view_eq(VIEW_ARR(keys->spki[i]), spki))
            return err_set(err, ERR_WRONG_KEY, "this is the key of an authority");
    return true;
}

/* One of the intermediate before is no answer any more: whoever asks wants one of the present one. */
static bool is_of_signer(const struct den_core *core, const struct store_certificate *c)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct err unused;

    return pki_cert_read(buf_view(&c->der), &cert, &unused) &&
           pki_cert_is_by(cert, signer_cert(core->c.signer));
}

/* A key belongs to the first ID that asked with it, and to one certificate. Asked again, the answer
 * is that one, so that a lost answer costs nothing; once it has ended, the key has too. *ret_der
 * stays empty when none was handed out. */
static bool find_issued(struct den_core *core, const char *id, struct view spki,
                        struct buf *ret_der, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate known = { 0 };
    enum store_found found = STORE_NONE;
    bool is_revoked;

    if (!store_key_is_revoked(core->c.store, spki, &is_revoked, err) ||
        !store_certificate_by_spki(core->c.store, spki, &found, &known, err))
        return false;
    if (is_revoked)
        return err_set(err, ERR_WRONG_KEY, "this key was revoked: make a new one");
    if (found == STORE_NONE)
        return true;
    if (strcmp(known.id, id) != 0)
        return err_set(err, ERR_WRONG_KEY, "this key was used by another ID: make a new one");
    if (!known.der.len) /* its serial was noted, and nothing left */
        return true;
    if (known.not_after <= core_wall(core))
        return err_set(err, ERR_WRONG_KEY,
                       "the certificate of this key has expired: make a new key");
    if (!is_of_signer(core, &known))
        return err_set(err, ERR_WRONG_KEY,
                       "the certificate of this key is of an intermediate that is not in use any "
                       "more: make a new key");
    *ret_der = buf_dup(buf_view(&known.der));
    return true;
}

/* Whoever asked may have been revoked, by another process too, since its signature was looked at. */
static bool check_who(struct den_core *core, const struct asked *asked, struct err *err)
{
    const struct store_identity *was = &asked->request.who;
    struct store_identity is;
    enum store_found found;

    if (!store_identity_by_id(core->c.store, view_text(was->id), &found, &is, err))
        return false;
    if (found == STORE_NONE || memcmp(is.pk, was->pk, KEY_SIZE) != 0)
        return err_set(err, ERR_NOT_AUTHORIZED, "the identity has another key meanwhile");
    return enrolment_is_alive(&is, core_wall(core), err);
}

static void answer_certificate(struct den_core *core, uint64_t inv, struct view der)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, der);
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, pki_cert_der(signer_cert(core->c.signer)));
    core_yield(core, inv, buf_view(&args));
}

/* ---- stages ----------------------------------------------------------------------------- */

static void enter(struct stage *stage, struct asked *asked)
{
    list_append(&stage->all, &asked->stage);
    stage->n++;
}

static struct asked *leave(struct stage *stage)
{
    struct asked *asked = LIST_ITEM(stage->all.next, struct asked, stage);

    list_remove(&asked->stage);
    stage->n--;
    return asked;
}

/* At most `max` that somebody still waits for, or all; returns how many. */
static size_t leave_some(struct stage *stage, struct asked **ret, size_t max, bool drops)
{
    size_t n = 0;

    while (stage->n && n < max) {
        struct asked *asked = leave(stage);
        if (drops && asked->is_dropped)
            asked_drop(asked);
        else
            ret[n++] = asked;
    }
    return n;
}

struct issue *issue_new(void)
{
    struct issue *issue = mem_new(struct issue);

    list_init(&issue->applying.all);
    list_init(&issue->ready.all);
    list_init(&issue->certifying.all);
    list_init(&issue->made.all);
    issue->keys = map_new();
    issue->n_frame = 1;
    return issue;
}

void issue_free(struct issue *issue)
{
    if (!issue)
        return;
    map_free(issue->keys);
    free(issue);
}

static void note_time(struct den_core *core)
{
    struct issue *issue = core->issue;

    issue->last_at = core_mono(core);
    if (issue->ready.n + issue->made.n == 1)
        issue->first_at = issue->last_at;
}

/* ---- ends --------------------------------------------------------------------------------- */

/* While its signer, or the signer's token, is away, a peer that tries again uses nothing up. */
static void answer(struct asked *asked, struct view der, const struct err *why)
{
    struct den_core *core = asked->core;
    struct err err = *why;

    if (der.len || err.code == ERR_BUSY) {
        core->uncertified = der.len ? (struct err){ 0 } : err;
        core->uncertified_at = core_mono(core);
    }
    if (!asked->is_dropped && der.len) {
        core->n_issued++;
        answer_certificate(core, asked->inv.number, der);
    } else if (!asked->is_dropped) {
        if (err.code == ERR_BUSY)
            core_give(core, RATE_CSR, view_text(asked->request.who.id));
        err_wrap(&err, "certificate");
        core_refuse(core, asked->inv.number, &err);
    }
}

/* It, and those that asked with the same key meanwhile. */
static void end(struct asked *asked, struct view der, const struct err *why)
{
    struct asked *other;

    if (asked->is_keyed)
        map_remove(asked->core->issue->keys, VIEW_ARR(asked->spki));
    LIST_EACH(other, &asked->same, stage) {
        answer(other, der, why);
        asked_drop(other);
    }
    answer(asked, der, why);
    asked_drop(asked);
}

/* ---- frames --------------------------------------------------------------------------------- */

static void on_applied(_unused_ void *user, struct signer_job *const *jobs, size_t n)
{
    struct asked *some[ASKED_TOGETHER];
    size_t n_some = 0;

    for (size_t i = 0; i < n; i++) {
        struct asked *asked = CONTAINER(jobs[i], struct asked, job);
        if (asked->is_dropped)
            asked_drop(asked);
        else if (asked->job.serial_len == 0 && asked->job.err.code == ERR_BUSY)
            end(asked, VIEW(NULL, 0), &asked->job.err);
        else if (asked->job.serial_len == 0)
            asked_refuse(asked, &asked->job.err);
        else
            some[n_some++] = asked;
        if (n_some == ASKED_TOGETHER || (n_some && i + 1 == n)) {
            asked_look(some, n_some);
            n_some = 0;
        }
    }
}

/* A token may take a hundred times as long for a signature as a file does: what is asked for at once is answered within a
 * moment, so that one that is slow is not taken for one that hangs. */
static void pace(struct issue *issue, const struct asked *first, uint64_t now)
{
    uint64_t began = first->sent_at > issue->landed_at ? first->sent_at : issue->landed_at;

    issue->landed_at = now;
    if (now - began > SLOW && issue->n_frame > 1)
        issue->n_frame /= 2;
    else if (now - began < QUICK && issue->n_frame < MAX_FRAME)
        issue->n_frame *= 2;
}

static void on_certified(void *user, struct signer_job *const *jobs, size_t n)
{
    struct den_core *core = user;

    pace(core->issue, CONTAINER(jobs[0], struct asked, job), core_mono(core));
    for (size_t i = 0; i < n; i++) {
        struct asked *asked = CONTAINER(jobs[i], struct asked, job);
        if (!asked->job.der.len) {
            end(asked, VIEW(NULL, 0), &asked->job.err);
            continue;
        }
        enter(&core->issue->made, asked);
        note_time(core);
    }
}

/* What is further goes first. */
static void push(struct den_core *core)
{
    struct issue *issue = core->issue;

    while (signer_n_waiting(core->c.signer) < MAX_FRAMES) {
        bool is_certifying = issue->certifying.n != 0;
        struct signer_job *jobs[MAX_FRAME];
        struct asked *some[MAX_FRAME];
        size_t n = leave_some(is_certifying ? &issue->certifying : &issue->applying, some,
                              is_certifying ? issue->n_frame : MAX_FRAME, !is_certifying);
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++) {
            jobs[i] = &some[i]->job;
            some[i]->sent_at = core_mono(core);
        }
        if (is_certifying)
            signer_certify(core->c.signer, jobs, n, on_certified, core);
        else
            signer_apply(core->c.signer, jobs, n, on_applied, core);
    }
}

void issue_apply(struct asked *asked)
{
    enter(&asked->core->issue->applying, asked);
    push(asked->core);
}

/* ---- transactions ----------------------------------------------------------------------------- */

struct batch {
    struct asked *made[MAX_BATCH], *ready[MAX_BATCH];
    size_t n_made, n_ready;
};

/* The store's own troubles are no fault of whoever asked. */
static bool is_of_store(const struct err *err)
{
    return err->code == ERR_SYSTEM || err->code == ERR_INTERNAL || err->code == ERR_BUSY ||
           err->code == ERR_ALREADY_EXISTS;
}

/* Under the lock of the transaction: what is found here nobody changes before the serial is reserved. */
static bool reserve(struct store *open, struct asked *asked, struct err *err)
{
    struct den_core *core = asked->core;

    asked->err = (struct err){ 0 };
    if (check_who(core, asked, &asked->err) &&
        find_issued(core, asked->request.who.id, VIEW_ARR(asked->spki), &asked->found,
                    &asked->err)) {
        if (asked->found.len)
            return true;
        asked->job.order.now = core_wall(core);
        asked->job.order.life = core->c.leaf_life;
        return signer_reserve(open, &asked->job, err);
    }
    if (!is_of_store(&asked->err))
        return true;
    *err = asked->err;
    return false;
}

static bool record(struct den_core *core, const struct batch *batch, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct signer_job *jobs[MAX_BATCH];

    for (size_t i = 0; i < batch->n_made; i++)
        jobs[i] = &batch->made[i]->job;
    if (!store_begin(open, err) || !signer_record(open, jobs, batch->n_made, err))
        return false;
    for (size_t i = 0; i < batch->n_ready; i++)
        if (!reserve(open, batch->ready[i], err))
            return false;
    return store_commit(open, err);
}

static void hand_out(struct asked *asked)
{
    if (asked->job.der.len)
        signer_log_issued(&asked->job);
    end(asked, buf_view(&asked->job.der), &asked->job.err);
}

/* Refused by what was found about its caller, or its key; those with the same key are of the same caller. */
static void refuse(struct asked *asked)
{
    struct asked *other;

    map_remove(asked->core->issue->keys, VIEW_ARR(asked->spki));
    LIST_EACH(other, &asked->same, stage)
        asked_refuse(other, &asked->err);
    asked_refuse(asked, &asked->err);
}

static void go_on(struct asked *asked)
{
    if (asked->found.len)
        end(asked, buf_view(&asked->found), &asked->err);
    else if (asked->err.code != ERR_NONE)
        refuse(asked);
    else
        enter(&asked->core->issue->certifying, asked);
}

static void flush(struct den_core *core)
{
    struct issue *issue = core->issue;
    struct batch batch = { 0 };
    struct err err = { 0 };
    bool ok;

    batch.n_made = leave_some(&issue->made, batch.made, MAX_BATCH, false);
    batch.n_ready = leave_some(&issue->ready, batch.ready, MAX_BATCH, false);
    issue->first_at = core_mono(core);
    ok = record(core, &batch, &err);
    for (size_t i = 0; i < batch.n_ready; i++)
        if (ok)
            go_on(batch.ready[i]);
        else
            end(batch.ready[i], VIEW(NULL, 0), &err);
    push(core); /* the signer first: it has a core of its own */
    log_hold();
    for (size_t i = 0; i < batch.n_made; i++)
        if (ok)
            hand_out(batch.made[i]);
        else
            end(batch.made[i], VIEW(NULL, 0), &err);
    log_release();
}

/* ---- time --------------------------------------------------------------------------------------- */

static uint64_t flush_deadline(const struct den_core *core)
{
    const struct issue *issue = core->issue;
    size_t n = issue->ready.n + issue->made.n;

    if (n == 0)
        return NEVER_MS;
    if (issue->ready.n >= MAX_BATCH || issue->made.n >= MAX_BATCH || !core->c.sign_together)
        return 0;
    return min_u64(issue->first_at + core->c.sign_together, issue->last_at + 1);
}

uint64_t issue_deadline(const struct den_core *core)
{
    return signer_has_answer(core->c.signer) ? 0 : flush_deadline(core);
}

void issue_tick(struct den_core *core)
{
    bool is_due, is_any;

    do {
        push(core);
        is_any = signer_look(core->c.signer); /* what comes by it may go along */
        is_due = core_mono(core) >= flush_deadline(core);
        if (is_due)
            flush(core);
    } while (is_due || is_any);
}

bool issue_take(struct asked *asked, struct err *err)
{
    struct den_core *core = asked->core;
    struct issue *issue = core->issue;
    const char *id = asked->request.who.id;
    struct asked *first;

    pki_csr_spki_hash(asked->csr, asked->spki);
    if (!check_not_a_ca_key(core, VIEW_ARR(asked->spki), err) ||
        !pki_csr_check_names(asked->csr, id, rpc_trust_network(core->c.trust), err))
        return false;
    first = map_get(issue->keys, VIEW_ARR(asked->spki));
    if (first && strcmp(first->request.who.id, id) != 0)
        return err_set(err, ERR_WRONG_KEY, "this key was used by another ID: make a new one");
    if (first) {
        list_append(&first->same, &asked->stage);
        return true;
    }
    map_set(issue->keys, VIEW_ARR(asked->spki), asked);
    asked->is_keyed = true;
    asked->job.order.csr = asked->csr;
    enter(&issue->ready, asked);
    note_time(core);
    return true;
}

static void put_intermediates(struct den_core *core, struct buf *to)
{
    rpc_put_array(to, core->c.n_intermediates ? (uint32_t)core->c.n_intermediates : 1);
    if (!core->c.n_intermediates)
        rpc_put_bin(to, pki_cert_der(signer_cert(core->c.signer)));
    for (size_t i = 0; i < core->c.n_intermediates; i++)
        rpc_put_bin(to, buf_view(&core->c.intermediates[i]));
}

static void put_chain(struct den_core *core, struct buf *to)
{
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };

    rpc_trust_put_all(core->c.trust, &roots, &manifests);
    rpc_put_array(to, 3);
    rpc_put_raw(to, buf_view(&roots));
    put_intermediates(core, to);
    rpc_put_raw(to, buf_view(&manifests));
}

bool issue_chain(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err))
        return false;
    put_chain(core, &answer);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

bool issue_crl(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
               struct err *err)
{
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err))
        return false;
    rpc_put_array(&answer, 1);
    rpc_put_bin(&answer, buf_view(&core->crl));
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
