/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: applied for, reserved, signed, recorded. */
#include "den/signer_in.h"

#include "base/clock.h"
#include "base/log.h"
#include "den/record.h"

/* A frame's worth of them. */
struct batch {
    struct flight flight;
    void (*read)(struct batch *batch, struct vault_in *in);
    struct signer_job **jobs;
    size_t n;
    signer_on_done *done;
    void *user;
};

static void put_application(const struct signer_job *job, struct buf *to)
{
    const struct signer_order *order = &job->order;

    buf_put_u8(to, (uint8_t)order->profile);
    vault_put_text(to, order->label);
    vault_put(to, order->profile == PKI_PEER ? VIEW(NULL, 0) : order->der);
    vault_put(to, order->body);
    vault_put(to, order->request);
    vault_put(to, order->sig);
    vault_put(to, order->pk);
}

static void read_serials(struct batch *batch, struct vault_in *in)
{
    for (size_t i = 0; i < batch->n; i++) {
        struct signer_job *job = batch->jobs[i];
        if (!vault_take_outcome(in, &job->err))
            continue;
        struct view serial = vault_bytes(in, PKI_MAX_SERIAL);
        if (serial.len)
            memcpy(job->serial, serial.data, serial.len);
        job->serial_len = serial.len;
    }
}

/* That the certificate is the one that was ordered, the record alone has to know: its serial was reserved. */
static void read_certs(struct batch *batch, struct vault_in *in)
{
    for (size_t i = 0; i < batch->n; i++) {
        struct signer_job *job = batch->jobs[i];
        if (!vault_take_outcome(in, &job->err)) {
            err_wrap(&job->err, "signing");
            continue;
        }
        struct view der = vault_bytes(in, PKI_MAX_CERT), serial;
        if (in->is_bad)
            return;
        if (!pki_cert_span(der, &serial, &job->span) ||
            !view_eq(serial, VIEW(job->serial, job->serial_len)))
            err_set(&job->err, ERR_INTERNAL, "the signer took another serial number");
        else
            buf_put(&job->der, der);
    }
}

static void landed(struct flight *flight, struct vault_in *in, const struct err *why)
{
    struct batch *batch = CONTAINER(flight, struct batch, flight);
    struct err err = { 0 };

    if (in)
        batch->read(batch, in);
    if (in && !vault_end(in))
        err_set(&err, ERR_INTERNAL, "the signer's answer is damaged");
    if (!in)
        err = *why;
    for (size_t i = 0; err.code != ERR_NONE && i < batch->n; i++) {
        batch->jobs[i]->err = err;
        batch->jobs[i]->serial_len = 0;
        buf_free(&batch->jobs[i]->der);
    }
    batch->done(batch->user, batch->jobs, batch->n);
}

static void batch_free(struct flight *flight)
{
    struct batch *batch = CONTAINER(flight, struct batch, flight);

    free(batch->jobs);
    free(batch);
}

static struct batch *batch_new(struct signer_job *const *jobs, size_t n, signer_on_done *done,
                               void *user)
{
    struct batch *batch = mem_new(struct batch);

    batch->flight.landed = landed;
    batch->flight.free = batch_free;
    batch->jobs = mem_array(struct signer_job *, n + 1);
    memcpy(batch->jobs, jobs, n * sizeof(*jobs));
    batch->n = n;
    batch->done = done;
    batch->user = user;
    return batch;
}

void signer_apply(struct signer *s, struct signer_job *const *jobs, size_t n, signer_on_done *done,
                  void *user)
{
    struct batch *batch = batch_new(jobs, n, done, user);
    _buf_ request = { 0 };

    batch->read = read_serials;
    buf_put_u8(&request, VAULT_APPLY);
    buf_put_u16(&request, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        jobs[i]->serial_len = 0;
        jobs[i]->err = (struct err){ 0 };
        put_application(jobs[i], &request);
    }
    signer_take_off(s, &request, &batch->flight);
}

bool signer_reserve(struct store *open, const struct signer_job *job, struct err *err)
{
    const struct signer_order *order = &job->order;
    uint8_t spki[HASH_SIZE];

    pki_csr_spki_hash(order->csr, spki);
    return store_serial_reserve(open, VIEW(job->serial, job->serial_len), order->label,
                                VIEW_ARR(spki), order->now, err) ||
           err_wrap(err, "reserving a serial");
}

void signer_certify(struct signer *s, struct signer_job *const *jobs, size_t n,
                    signer_on_done *done, void *user)
{
    struct batch *batch = batch_new(jobs, n, done, user);
    _buf_ request = { 0 };

    batch->read = read_certs;
    buf_put_u8(&request, VAULT_ISSUE);
    vault_put_text(&request, s->crl_url);
    vault_put_text(&request, s->ca_url);
    vault_put_text(&request, s->ocsp_url);
    buf_put_u16(&request, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&jobs[i]->der);
        jobs[i]->err = (struct err){ 0 };
        vault_put(&request, VIEW(jobs[i]->serial, jobs[i]->serial_len));
        buf_put_u64(&request, jobs[i]->order.now);
        buf_put_u64(&request, jobs[i]->order.life);
    }
    signer_take_off(s, &request, &batch->flight);
}

static bool audit(struct audit_run *run, const struct signer_job *job, struct err *err)
{
    char spki_hex[RECORD_HEX], hash_hex[RECORD_HEX], serial_hex[RECORD_HEX], until[CLOCK_TEXT];
    uint8_t hash[HASH_SIZE], spki[HASH_SIZE];

    pki_hash(buf_view(&job->der), hash);
    pki_csr_spki_hash(job->order.csr, spki);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", job->order.label),
        AUDIT_TEXT("serial", record_hex(VIEW(job->serial, job->serial_len), serial_hex)),
        AUDIT_TEXT("spki", record_hex(VIEW_ARR(spki), spki_hex)),
        AUDIT_TEXT("sha256", record_hex(VIEW_ARR(hash), hash_hex)),
        AUDIT_TEXT("not_after", clock_text(job->span.not_after, until)),
    };
    return audit_run_append(run, job->order.now, "certificate.issued", pairs, N_ELEMENTS(pairs),
                            err);
}

static bool record(struct store *open, struct audit_run *run, struct signer_job *job,
                   struct err *err)
{
    struct view serial = VIEW(job->serial, job->serial_len);
    char hex[RECORD_HEX];

    if (store_certificate_put(open, serial, buf_view(&job->der), job->span.not_before,
                              job->span.not_after, err))
        return audit(run, job, err);
    if (err->code != ERR_REVOKED)
        return false;
    log_event(LOG_WARN, "certificate.withheld", "id=%s serial=%s cause=revoked_meanwhile",
              job->order.label, record_hex(serial, hex));
    buf_free(&job->der);
    err_set(&job->err, ERR_REVOKED, "it was revoked while it was being signed");
    return true;
}

bool signer_record(struct store *open, struct signer_job *const *jobs, size_t n, struct err *err)
{
    struct audit_run run;
    bool ok = audit_run_start(open, &run, err);

    for (size_t i = 0; ok && i < n; i++)
        ok = !jobs[i]->der.len || record(open, &run, jobs[i], err);
    return (ok && audit_run_end(&run, err)) || err_wrap(err, "recording a certificate");
}

void signer_log_issued(const struct signer_job *job)
{
    char serial_hex[RECORD_HEX], until[CLOCK_TEXT];

    log_event(LOG_INFO, "certificate.issued", "id=%s serial=%s until=%s", job->order.label,
              record_hex(VIEW(job->serial, job->serial_len), serial_hex),
              clock_text(job->span.not_after, until));
}

/* ---- one, with waiting ------------------------------------------------------------------------------------- */

static void note_done(void *user, _unused_ struct signer_job *const *jobs, _unused_ size_t n)
{
    *(bool *)user = true;
}

static bool reserve_one(struct store *store, const struct signer_job *job, struct err *err)
{
    _transaction_ struct store *open = store;

    return store_begin(open, err) && signer_reserve(open, job, err) && store_commit(open, err);
}

static bool record_one(struct store *store, struct signer_job *job, struct err *err)
{
    _transaction_ struct store *open = store;

    return store_begin(open, err) && signer_record(open, &job, 1, err) && store_commit(open, err);
}

static bool issue_one(struct signer *s, struct store *store, struct signer_job *job,
                      struct err *err)
{
    bool is_done = false;

    signer_apply(s, &job, 1, note_done, &is_done);
    signer_end_last(s);
    if (!is_done || job->serial_len == 0) {
        *err = job->err;
        return false;
    }
    if (!reserve_one(store, job, err))
        return false;
    is_done = false;
    signer_certify(s, &job, 1, note_done, &is_done);
    signer_end_last(s);
    if (!is_done || job->der.len == 0 || !record_one(store, job, err) || job->der.len == 0) {
        *err = job->err.code != ERR_NONE ? job->err : *err;
        return false;
    }
    return true;
}

bool signer_issue(struct signer *s, struct store *store, const struct signer_order *order,
                  struct buf *ret_der, struct err *err)
{
    struct signer_job job = { .order = *order };

    if (!issue_one(s, store, &job, err)) {
        buf_free(&job.der);
        return false;
    }
    signer_log_issued(&job);
    *ret_der = job.der;
    return true;
}
