/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign, .chain and .crl. From a request nothing is taken but the public key; names are
 * written from the record. */
#include "den/core_in.h"

#include "base/log.h"

/* So many are signed in one go: a hundred and twenty-eight take some twenty milliseconds. */
enum { MAX_BATCH = 128 };

/* ---- keys of authorities: what the manifest and the signer have ------------------------- */

enum { MAX_CA_KEYS = 64 };

struct ca_keys {
    uint64_t manifest_no; /* they are of; 0: of none yet */
    uint8_t spki[MAX_CA_KEYS][HASH_SIZE];
    size_t n;
};

/* Requests that passed every check and wait for the end of the loop's turn: what came together is
 * recorded together. */
struct issue {
    size_t n;
    uint64_t first_at, last_at; /* mono */
    uint64_t invs[MAX_BATCH];
    char ids[MAX_BATCH][STORE_ID];
    uint8_t spkis[MAX_BATCH][HASH_SIZE];
    struct pki_csr *csrs[MAX_BATCH]; /* NULL: the same key as an earlier one of the batch */
    struct proof { /* that the peer asked for it: for the signer, which looks by itself */
        struct buf body, request;
        uint8_t sig[SIG_SIZE], pk[KEY_SIZE];
    } proofs[MAX_BATCH];
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

static void answer_certificate(struct den_core *core, uint64_t inv, struct view der)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, der);
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, pki_cert_der(signer_cert(core->c.signer)));
    core_yield(core, inv, buf_view(&args));
}

/* ---- the batch -------------------------------------------------------------------------- */

struct issue *issue_new(void)
{
    return mem_new(struct issue);
}

static void clear(struct issue *issue)
{
    for (size_t i = 0; i < issue->n; i++) {
        pki_csr_free(issue->csrs[i]);
        buf_free(&issue->proofs[i].body);
        buf_free(&issue->proofs[i].request);
    }
    issue->n = 0;
}

void issue_free(struct issue *issue)
{
    if (!issue)
        return;
    clear(issue);
    free(issue);
}

void issue_down(struct den_core *core)
{
    clear(core->issue);
}

/* The first of the batch that has this key; issue->n: none. */
static size_t find_waiting(const struct issue *issue, struct view spki)
{
    for (size_t i = 0; i < issue->n; i++)
        if (view_eq(VIEW_ARR(issue->spkis[i]), spki))
            return i;
    return issue->n;
}

static void keep_proof(struct proof *proof, const struct request *request)
{
    proof->body = buf_dup(request->body);
    proof->request = buf_dup(request->statement);
    memcpy(proof->sig, request->sig.data, SIG_SIZE);
    memcpy(proof->pk, request->who.pk, KEY_SIZE);
}

static bool add(struct den_core *core, uint64_t inv, const struct request *request,
                struct pki_csr **csr_taken, struct err *err)
{
    const char *id = request->who.id;
    struct issue *issue = core->issue;
    size_t n = issue->n, first;

    pki_csr_spki_hash(*csr_taken, issue->spkis[n]);
    first = find_waiting(issue, VIEW_ARR(issue->spkis[n]));
    if (first < n && strcmp(issue->ids[first], id) != 0)
        return err_set(err, ERR_WRONG_KEY, "this key was used by another ID: make a new one");
    issue->last_at = core_mono(core);
    issue->first_at = n ? issue->first_at : issue->last_at;
    issue->invs[n] = inv;
    memcpy(issue->ids[n], id, STORE_ID);
    issue->csrs[n] = first < n ? NULL : STEAL(*csr_taken);
    keep_proof(&issue->proofs[n], request);
    if (++issue->n == MAX_BATCH)
        issue_flush(core);
    return true;
}

/* While its signer, or the signer's token, is away, a peer that tries again uses nothing up. */
static void answer_job(struct den_core *core, uint64_t inv, const struct signer_job *job,
                       const struct err *why)
{
    struct err err = why ? *why : job->err;

    if (!why && job->der.len) {
        answer_certificate(core, inv, buf_view(&job->der));
        return;
    }
    if (err.code == ERR_BUSY)
        core_give(core, RATE_CSR, view_text(job->order.label));
    err_wrap(&err, "certificate");
    core_refuse(core, inv, &err);
}

void issue_flush(struct den_core *core)
{
    struct issue *issue = core->issue;
    _free_ struct signer_job *jobs = mem_array(struct signer_job, issue->n + 1);
    size_t of[MAX_BATCH] = { 0 }, n = 0;
    struct err err = { 0 };
    bool ok;

    if (issue->n == 0)
        return;
    for (size_t i = 0; i < issue->n; i++) {
        size_t first = find_waiting(issue, VIEW_ARR(issue->spkis[i]));
        of[i] = first < i ? of[first] : n;
        if (first < i)
            continue;
        jobs[n++].order = (struct signer_order){
            .profile = PKI_PEER,
            .label = issue->ids[i],
            .csr = issue->csrs[i],
            .body = buf_view(&issue->proofs[i].body),
            .request = buf_view(&issue->proofs[i].request),
            .sig = VIEW_ARR(issue->proofs[i].sig),
            .pk = VIEW_ARR(issue->proofs[i].pk),
            .now = core_wall(core),
            .life = core->c.leaf_life,
        };
    }
    ok = signer_issue_all(core->c.signer, core->c.store, jobs, n, &err);
    for (size_t i = 0; i < issue->n; i++)
        answer_job(core, issue->invs[i], &jobs[of[i]], ok ? NULL : &err);
    for (size_t i = 0; i < n; i++)
        buf_free(&jobs[i].der);
    clear(issue);
}

uint64_t issue_deadline(const struct den_core *core)
{
    const struct issue *issue = core->issue;

    if (issue->n == 0)
        return NEVER_MS;
    return core->c.sign_together
               ? min_u64(issue->first_at + core->c.sign_together, issue->last_at + 1)
               : 0;
}

bool issue_take(struct den_core *core, uint64_t inv, const struct request *request,
                struct pki_csr **csr_taken, struct err *err)
{
    _buf_ der = { 0 };
    uint8_t spki[HASH_SIZE];

    pki_csr_spki_hash(*csr_taken, spki);
    if (!check_not_a_ca_key(core, VIEW_ARR(spki), err) ||
        !find_issued(core, request->who.id, VIEW_ARR(spki), &der, err) ||
        !pki_csr_check_names(*csr_taken, request->who.id, rpc_trust_network(core->c.trust), err))
        return false;
    if (!der.len)
        return add(core, inv, request, csr_taken, err);
    answer_certificate(core, inv, buf_view(&der));
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
