/* SPDX-License-Identifier: Apache-2.0 */
#include "den/signer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

struct signer {
    struct signer_road road;
    struct vault *vault; /* in this process; NULL: in another one */
    char *dir;           /* that it was opened from; NULL: none */
    struct signer_config config;
    char *network, *crl_url, *ca_url, *ocsp_url;
    struct pki_cert *cert;
    uint8_t sign_pk[KEY_SIZE], netid[HASH_SIZE];
    char report[200];
    struct signer_numbers numbers;
    uint64_t generation;
};

/* ---- asking ------------------------------------------------------------------------------------------ */

static bool hello(struct signer *s, struct err *err);

/* One that was started anew says first who it is. */
bool signer_greet(struct signer *s, struct err *err)
{
    uint64_t is = s->road.generation ? s->road.generation(s->road.user) : 0;

    if (is == s->generation)
        return true;
    s->generation = is;
    return hello(s, err);
}

static bool ask(struct signer *s, const struct buf *request, struct buf *answer,
                struct vault_in *ret_in, struct err *err)
{
    if (request->data[0] != VAULT_HELLO && !signer_greet(s, err))
        return false;
    if (!s->road.ask(s->road.user, buf_view(request), answer, err))
        return false;
    *ret_in = (struct vault_in){ .rest = buf_view(answer) };
    return vault_take_outcome(ret_in, err);
}

static bool end(const struct vault_in *in, struct err *err)
{
    return vault_end(in) || err_set(err, ERR_INTERNAL, "the signer's answer is damaged");
}

static bool read_hello(struct signer *s, struct vault_in *in, struct err *err)
{
    struct pki_cert *cert = NULL;
    struct view pk = vault_fixed(in, KEY_SIZE), der = vault_bytes(in, PKI_MAX_CERT),
                netid = vault_fixed(in, HASH_SIZE), report = vault_bytes(in, sizeof(s->report) - 1);

    struct signer_numbers numbers = { .hb_no = vault_u64(in) };
    numbers.crl_no = vault_u64(in);
    numbers.crl_at = vault_u64(in);
    numbers.rev_no = vault_u64(in);
    if (!end(in, err) || !pki_cert_read(der, &cert, err))
        return false;
    pki_cert_free(s->cert);
    s->cert = cert;
    s->numbers = numbers;
    memcpy(s->sign_pk, pk.data, KEY_SIZE);
    memcpy(s->netid, netid.data, HASH_SIZE);
    snprintf(s->report, sizeof(s->report), "%.*s", VIEW_FMT(report));
    return true;
}

static bool hello(struct signer *s, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_HELLO);
    buf_put_u8(&request, VAULT_VERSION);
    if (!ask(s, &request, &answer, &in, err) || !read_hello(s, &in, err))
        return err_wrap(err, "signer");
    s->generation = s->road.generation ? s->road.generation(s->road.user) : 0;
    if (*s->report)
        log_event(LOG_INFO, "signer.ready", "%s", s->report);
    return true;
}

/* ---- a vault in this process --------------------------------------------------------------------------- */

static bool ask_vault(void *user, struct view request, struct buf *answer, struct err *err)
{
    struct signer *s = user;
    uint64_t now = s->config.clock ? s->config.clock(s->config.clock_user) : clock_wall_ms();

    if (!s->vault && !vault_open(s->dir, VAULT_ASKED_BY_OPERATOR, &s->vault, err))
        return false; /* it could not be opened anew before */
    switch (vault_handle(s->vault, now, request, answer)) {
    case VAULT_LEAVES:
    case VAULT_ANSWERED:
        return true;
    case VAULT_JUNK:
        return err_set(err, ERR_INTERNAL, "the signer does not understand the request");
    case VAULT_BROKEN:
        return err_set(err, ERR_SYSTEM, "the signer's book could not be written");
    }
    abort();
}

static struct signer *make(const struct signer_config *config)
{
    struct signer *s = mem_new(struct signer);

    s->config = *config;
    s->config.secrets = (struct vault_secrets){ 0 };
    s->network = mem_text(config->network);
    s->crl_url = mem_text(config->crl_url ? config->crl_url : "");
    s->ca_url = mem_text(config->ca_url ? config->ca_url : "");
    s->ocsp_url = mem_text(config->ocsp_url ? config->ocsp_url : "");
    return s;
}

bool signer_new_on(const struct signer_road *road, const struct signer_config *config,
                   struct signer **ret_signer, struct err *err)
{
    _cleanup_(signer_freep) struct signer *s = make(config);

    s->road = *road;
    if (!hello(s, err))
        return false;
    *ret_signer = STEAL(s);
    return true;
}

bool signer_new(struct vault *vault_taken, const struct signer_config *config,
                struct signer **ret_signer, struct err *err)
{
    _cleanup_(signer_freep) struct signer *s = make(config);

    s->vault = vault_taken;
    s->road = (struct signer_road){ .ask = ask_vault, .user = s };
    if (!hello(s, err))
        return false;
    *ret_signer = STEAL(s);
    return true;
}

bool signer_load(const char *dir, const struct signer_config *config, struct signer **ret_signer,
                 struct err *err)
{
    struct vault *vault;

    if (!vault_unlock(dir, VAULT_ASKED_BY_OPERATOR, &config->secrets, &vault, err) ||
        !signer_new(vault, config, ret_signer, err))
        return false;
    (*ret_signer)->dir = mem_text(dir);
    return true;
}

/* The book is locked by whoever has it open: the old vault goes first, once the new keys can be read. */
static bool open_vault_again(struct signer *s, struct err *err)
{
    struct vault_keys keys = { 0 };

    if (!vault_keys_read(s->dir, &(struct vault_secrets){ 0 }, &keys, err))
        return err->code == ERR_LOCKED ? err_wrap(err, "start warren-den anew") : false;
    vault_keys_deinit(&keys);
    vault_free(s->vault);
    s->vault = NULL;
    return vault_open(s->dir, VAULT_ASKED_BY_OPERATOR, &s->vault, err);
}

bool signer_re_open(struct signer *s, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    if (s->road.may_leave && !s->road.may_leave(s->road.user, err))
        return false;
    buf_put_u8(&request, VAULT_RE_OPEN);
    if (!ask(s, &request, &answer, &in, err) || !end(&in, err))
        return err_wrap(err, "signer");
    if (s->dir && !open_vault_again(s, err))
        return err_wrap(err, "signer");
    if (s->road.has_left)
        s->road.has_left(s->road.user);
    return hello(s, err);
}

void signer_free(struct signer *signer)
{
    if (!signer)
        return;
    if (signer->road.free)
        signer->road.free(signer->road.user);
    vault_free(signer->vault);
    free(signer->dir);
    pki_cert_free(signer->cert);
    free(signer->network);
    free(signer->crl_url);
    free(signer->ca_url);
    free(signer->ocsp_url);
    free(signer);
}

const struct pki_cert *signer_cert(const struct signer *signer)
{
    return signer->cert;
}

struct view signer_sign_pk(const struct signer *signer)
{
    return VIEW_ARR(signer->sign_pk);
}

struct view signer_netid(const struct signer *signer)
{
    return VIEW_ARR(signer->netid);
}

const struct signer_numbers *signer_numbers(const struct signer *signer)
{
    return &signer->numbers;
}

const char *signer_report(const struct signer *signer)
{
    return signer->report;
}

/* ---- statements ------------------------------------------------------------------------------------------ */

static bool take_sig(struct vault_in *in, uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    struct view sig = vault_fixed(in, SIG_SIZE);

    if (in->is_bad)
        return err_set(err, ERR_INTERNAL, "the signer's answer is damaged");
    memcpy(ret_sig, sig.data, SIG_SIZE);
    return true;
}

bool signer_sign_all(struct signer *s, enum rpc_word word, struct signer_statement *items, size_t n,
                     struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_STATEMENTS);
    buf_put_u16(&request, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u8(&request, (uint8_t)word);
        vault_put(&request, buf_view(&items[i].bytes));
    }
    if (!ask(s, &request, &answer, &in, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!vault_take_outcome(&in, err) || !take_sig(&in, items[i].sig, err))
            return err_wrap(err, "signer");
    return end(&in, err);
}

bool signer_sign(struct signer *s, enum rpc_word word, const void *statement, struct buf *ret_bytes,
                 uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    struct signer_statement one = { 0 };
    bool ok;

    rpc_statement_write(word, statement, &one.bytes);
    ok = signer_sign_all(s, word, &one, 1, err);
    if (ok) {
        buf_clear(ret_bytes);
        buf_put(ret_bytes, buf_view(&one.bytes));
        memcpy(ret_sig, one.sig, SIG_SIZE);
    }
    buf_free(&one.bytes);
    return ok;
}

bool signer_re_sign(struct signer *s, struct view k, struct view sig, uint8_t ret_sig[SIG_SIZE],
                    struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_RE_SIGN);
    vault_put(&request, k);
    vault_put(&request, sig);
    return (ask(s, &request, &answer, &in, err) && take_sig(&in, ret_sig, err) && end(&in, err)) ||
           err_wrap(err, "signer");
}

/* ---- keys of IDs ------------------------------------------------------------------------------------------ */

bool signer_claim(struct signer *s, const char *id, struct view pk, enum vault_claim *ret_is,
                  char ret_has[STORE_ID], struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;
    uint8_t is;

    buf_put_u8(&request, VAULT_CLAIM);
    vault_put_text(&request, id);
    vault_put(&request, pk);
    if (!ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    is = vault_u8(&in);
    struct view has = vault_bytes(&in, STORE_ID - 1);
    if (!end(&in, err))
        return false;
    snprintf(ret_has, STORE_ID, "%.*s", VIEW_FMT(has));
    *ret_is = (enum vault_claim)is;
    return true;
}

bool signer_move(struct signer *s, struct view k, struct view sig, struct view new_sig,
                 struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_MOVE);
    vault_put(&request, k);
    vault_put(&request, sig);
    vault_put(&request, new_sig);
    return (ask(s, &request, &answer, &in, err) && end(&in, err)) || err_wrap(err, "signer");
}

bool signer_re_enrol(struct signer *s, const struct rpc_rekey *k, const struct signer_proof *proof,
                     struct buf *ret_k, uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_clear(ret_k);
    rpc_statement_write(RPC_W_REKEY, k, ret_k);
    buf_put_u8(&request, VAULT_RE_ENROL);
    vault_put(&request, buf_view(ret_k));
    vault_put(&request, proof->bytes);
    vault_put(&request, proof->sig);
    vault_put(&request, proof->token_sig);
    return (ask(s, &request, &answer, &in, err) && take_sig(&in, ret_sig, err) && end(&in, err)) ||
           err_wrap(err, "signer");
}

/* ---- certificates ------------------------------------------------------------------------------------------ */

/* Durable before anything is signed with it: whatever was signed, its serial is known. */
static bool reserve_all(struct store *store, struct signer_job *jobs, size_t n, struct err *err)
{
    _transaction_ struct store *open = store;

    if (!store_begin(open, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct signer_order *order = &jobs[i].order;
        uint8_t spki[HASH_SIZE];
        pki_csr_spki_hash(order->csr, spki);
        pki_serial_new(jobs[i].serial, &jobs[i].serial_len);
        if (!store_serial_reserve(open, VIEW(jobs[i].serial, jobs[i].serial_len), order->label,
                                  VIEW_ARR(spki), order->now, err))
            return false;
    }
    return store_commit(open, err);
}

static void put_job(const struct signer_job *job, struct buf *to)
{
    const struct signer_order *order = &job->order;

    buf_put_u8(to, (uint8_t)order->profile);
    vault_put_text(to, order->label);
    vault_put(to, order->profile == PKI_PEER ? VIEW(NULL, 0) : order->der);
    vault_put(to, order->body);
    vault_put(to, order->request);
    vault_put(to, order->sig);
    vault_put(to, order->pk);
    buf_put_u64(to, order->now);
    buf_put_u64(to, order->life);
    vault_put(to, VIEW(job->serial, job->serial_len));
}

/* That the certificate is the one that was ordered, the record alone has to know: its serial was reserved. */
static bool take_cert(const struct signer_job *job, struct vault_in *in, struct pki_cert **ret_cert,
                      struct err *err)
{
    struct view der;

    if (!vault_take_outcome(in, err))
        return err_wrap(err, "signing");
    der = vault_bytes(in, PKI_MAX_CERT);
    if (in->is_bad || !pki_cert_read_keyless(der, ret_cert, err))
        return err_set(err, ERR_INTERNAL, "the signer's answer is damaged");
    if (view_eq(pki_cert_serial(*ret_cert), VIEW(job->serial, job->serial_len)))
        return true;
    pki_cert_free(STEAL(*ret_cert));
    return err_set(err, ERR_INTERNAL, "the signer took another serial number");
}

static bool sign_some(struct signer *s, struct signer_job *jobs, size_t n, struct pki_cert **certs,
                      struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_ISSUE);
    vault_put_text(&request, s->crl_url);
    vault_put_text(&request, s->ca_url);
    vault_put_text(&request, s->ocsp_url);
    buf_put_u16(&request, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        put_job(&jobs[i], &request);
    if (!ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signing");
    for (size_t i = 0; i < n; i++)
        take_cert(&jobs[i], &in, &certs[i], &jobs[i].err);
    return end(&in, err);
}

static bool sign_all(struct signer *s, struct signer_job *jobs, size_t n, struct pki_cert **certs,
                     struct err *err)
{
    for (size_t i = 0; i < n; i += VAULT_MAX_BATCH) {
        size_t some = n - i < VAULT_MAX_BATCH ? n - i : VAULT_MAX_BATCH;
        if (!sign_some(s, jobs + i, some, certs + i, err))
            return false;
    }
    return true;
}

static bool record(struct store *open, const struct signer_job *job, const struct pki_cert *cert,
                   struct err *err)
{
    const struct pki_facts *facts = pki_cert_facts(cert);
    char spki_hex[RECORD_HEX], hash_hex[RECORD_HEX], until[CLOCK_TEXT];
    uint8_t hash[HASH_SIZE], spki[HASH_SIZE];

    pki_cert_hash(cert, hash);
    pki_cert_spki_hash(cert, spki);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", job->order.label),
        AUDIT_TEXT("serial", facts->serial),
        AUDIT_TEXT("spki", record_hex(VIEW_ARR(spki), spki_hex)),
        AUDIT_TEXT("sha256", record_hex(VIEW_ARR(hash), hash_hex)),
        AUDIT_TEXT("not_after", clock_text(facts->not_after, until)),
    };
    return store_certificate_put(open, pki_cert_serial(cert), pki_cert_der(cert), facts->not_before,
                                 facts->not_after, err) &&
           audit_append(open, job->order.now, "certificate.issued", pairs, N_ELEMENTS(pairs), err);
}

static bool record_all(struct store *store, const struct signer_job *jobs,
                       struct pki_cert *const *certs, size_t n, struct err *err)
{
    _transaction_ struct store *open = store;

    if (!store_begin(open, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (certs[i] && !record(open, &jobs[i], certs[i], err))
            return false;
    return store_commit(open, err);
}

static void hand_out(struct signer_job *job, const struct pki_cert *cert)
{
    const struct pki_facts *facts = pki_cert_facts(cert);
    char until[CLOCK_TEXT];

    log_event(LOG_INFO, "certificate.issued", "id=%s serial=%s until=%s", job->order.label,
              facts->serial, clock_text(facts->not_after, until));
    job->der = buf_dup(pki_cert_der(cert));
}

bool signer_issue_all(struct signer *s, struct store *store, struct signer_job *jobs, size_t n,
                      struct err *err)
{
    _free_ struct pki_cert **certs = mem_array(struct pki_cert *, n + 1);
    bool ok = (reserve_all(store, jobs, n, err) || err_wrap(err, "reserving a serial")) &&
              sign_all(s, jobs, n, certs, err);

    ok = ok && (record_all(store, jobs, certs, n, err) || err_wrap(err, "recording a certificate"));
    for (size_t i = 0; i < n; i++) {
        if (ok && certs[i])
            hand_out(&jobs[i], certs[i]);
        pki_cert_free(certs[i]);
    }
    return ok;
}

bool signer_issue(struct signer *s, struct store *store, const struct signer_order *order,
                  struct buf *ret_der, struct err *err)
{
    struct signer_job job = { .order = *order };

    if (!signer_issue_all(s, store, &job, 1, err))
        return false;
    if (!job.der.len) {
        *err = job.err;
        return false;
    }
    *ret_der = job.der;
    return true;
}

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

static bool sign_list(struct signer *s, const struct signer_list *list,
                      const struct signer_anchor *is, struct buf *ret_der, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_LIST);
    buf_put_u64(&request, is->number);
    buf_put_u64(&request, is->at);
    buf_put_u64(&request, is->at + list->life);
    vault_put(&request, list->entries);
    if (!ask(s, &request, &answer, &in, err))
        return false;
    struct view der = vault_bytes(&in, VAULT_MAX_LIST);
    if (!end(&in, err))
        return false;
    *ret_der = buf_dup(der);
    return true;
}

bool signer_issue_crl(struct signer *s, struct store *store, const struct signer_list *list,
                      struct buf *ret_der, struct signer_anchor *ret_is, struct err *err)
{
    struct signer_anchor is;

    if (!take_number(store, list, &is, err) || !sign_list(s, list, &is, ret_der, err))
        return err_wrap(err, "revocation list");
    *ret_is = is;
    return true;
}

/* ---- OCSP ---------------------------------------------------------------------------------------------------- */

bool signer_ocsp_csr(struct signer *s, struct buf *ret_der, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP_KEY);
    if (!ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view der = vault_bytes(&in, PKI_MAX_CSR);
    if (!end(&in, err))
        return false;
    *ret_der = buf_dup(der);
    return true;
}

bool signer_ocsp_answer(struct signer *s, struct view der, const struct pki_ocsp_status *statuses,
                        size_t n, const struct pki_ocsp_times *times, struct buf *to,
                        struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_OCSP);
    vault_put(&request, der);
    buf_put_u64(&request, times->now);
    buf_put_u64(&request, times->holds_for);
    buf_put_u8(&request, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u8(&request, (uint8_t)statuses[i].what);
        buf_put_u64(&request, statuses[i].revoked_at);
        buf_put_u8(&request, statuses[i].reason);
    }
    if (!ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view bytes = vault_bytes(&in, VAULT_MAX_REQUEST);
    if (!end(&in, err))
        return false;
    buf_put(to, bytes);
    return true;
}
