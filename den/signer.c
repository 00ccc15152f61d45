/* SPDX-License-Identifier: Apache-2.0 */
#include "den/signer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_PEM = 64 * 1024 };

struct signer {
    struct pki_ca *ca;
    char *network, *crl_url, *ca_url, *ocsp_url;
};

struct signer *signer_new(struct pki_ca *ca_taken, const struct signer_config *config)
{
    struct signer *s = mem_new(struct signer);

    s->ca = ca_taken;
    s->network = mem_text(config->network);
    s->crl_url = mem_text(config->crl_url);
    s->ca_url = mem_text(config->ca_url);
    s->ocsp_url = mem_text(config->ocsp_url);
    return s;
}

void signer_free(struct signer *signer)
{
    if (!signer)
        return;
    pki_ca_free(signer->ca);
    free(signer->network);
    free(signer->crl_url);
    free(signer->ca_url);
    free(signer->ocsp_url);
    free(signer);
}

bool signer_load(const char *dir, const struct signer_config *config, struct signer **ret_signer,
                 struct err *err)
{
    _free_ char *key_path = file_path(dir, "intermediate.key"),
                *cert_path = file_path(dir, "intermediate.pem");
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_wipe_ key_pem = { 0 };
    _buf_ cert_pem = { 0 };
    struct pki_key *key;
    struct pki_ca *ca;

    if (!file_read_secret(key_path, MAX_PEM, &key_pem, err) ||
        !file_read(cert_path, MAX_PEM, &cert_pem, err))
        return false;
    if (!pki_cert_read_pem(buf_view(&cert_pem), &cert, err))
        return err_wrap(err, "%s", cert_path);
    if (!pki_key_read(buf_view(&key_pem), VIEW(NULL, 0), &key, err))
        return err_wrap(err, "%s", key_path);
    if (!pki_ca_load(pki_cert_der(cert), key, &ca, err))
        return err_wrap(err, "%s and %s", key_path, cert_path);
    *ret_signer = signer_new(ca, config);
    return true;
}

const struct pki_cert *signer_cert(const struct signer *signer)
{
    return pki_ca_cert(signer->ca);
}

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

static bool sign(const struct signer *s, const struct signer_job *job, struct pki_cert **ret_cert,
                 struct err *err)
{
    struct pki_order leaf = {
        .profile = job->order.profile,
        .label = job->order.label,
        .network = s->network,
        .now = job->order.now,
        .life_ms = job->order.life,
        .crl_url = s->crl_url,
        .ca_url = s->ca_url,
        .ocsp_url = s->ocsp_url,
        .serial_len = job->serial_len,
    };

    memcpy(leaf.serial, job->serial, sizeof(leaf.serial));
    return pki_ca_issue(s->ca, job->order.csr, &leaf, ret_cert, err);
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
    bool ok = reserve_all(store, jobs, n, err) || err_wrap(err, "reserving a serial");

    for (size_t i = 0; ok && i < n; i++)
        if (!sign(s, &jobs[i], &certs[i], &jobs[i].err))
            err_wrap(&jobs[i].err, "signing");
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

bool signer_issue_crl(struct signer *s, struct store *store, const struct signer_list *list,
                      struct buf *ret_der, struct signer_anchor *ret_is, struct err *err)
{
    struct signer_anchor is;

    if (!take_number(store, list, &is, err))
        return err_wrap(err, "revocation list");
    const struct pki_list signed_as = { .number = is.number,
                                        .now = is.at,
                                        .next_update = is.at + list->life };
    if (!pki_ca_issue_list(s->ca, &signed_as, list->entries, ret_der, err))
        return err_wrap(err, "revocation list");
    *ret_is = is;
    return true;
}
