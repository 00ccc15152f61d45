/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP: the store is asked about every certificate, so that a revocation shows at once. Answers about certificates of an
 * intermediate are signed by whom it delegated: also those of an earlier one, for as long as its key is there. Their keys
 * live in the signer's memory alone; they and their certificates are made anew each day, and when the signer was started
 * anew. */
#include "den/core_in.h"

#include "base/log.h"

struct responder { /* for one intermediate */
    struct pki_cert *issuer;
    uint8_t hash[HASH_SIZE]; /* of its certificate */
    bool is_there;           /* its signer has a certificate */
    uint64_t renew_at;       /* mono: and not asked for before */
};

struct ocsp {
    struct responder of[1 + RPC_MAX_ITEMS]; /* the first for the intermediate in use */
    size_t n;
};

enum {
    SIGNER_LIFE = 2 * 24 * 3600 * 1000, /* ms */
    TRY_AGAIN = 60 * 1000,
};

struct ocsp *ocsp_new(void)
{
    return mem_new(struct ocsp);
}

void ocsp_renew(struct den_core *core)
{
    struct ocsp *ocsp = core->ocsp;

    for (size_t i = 0; i < ocsp->n; i++)
        pki_cert_free(ocsp->of[i].issuer);
    *ocsp = (struct ocsp){ 0 };
}

void ocsp_free(struct ocsp *ocsp)
{
    for (size_t i = 0; ocsp && i < ocsp->n; i++)
        pki_cert_free(ocsp->of[i].issuer);
    free(ocsp);
}

/* ---- who answers ----------------------------------------------------------------------------- */

static bool add(struct ocsp *ocsp, struct view der, struct err *err)
{
    struct responder *r = &ocsp->of[ocsp->n];

    hash_sha256(der, r->hash);
    if (ocsp->n && view_eq(VIEW_ARR(r->hash), VIEW_ARR(ocsp->of[0].hash)))
        return true;
    if (!pki_cert_read(der, &r->issuer, err))
        return false;
    ocsp->n++;
    return true;
}

/* When it is first asked for: the signer's certificate may be another one after it was started anew. */
static bool fill(struct den_core *core, struct err *err)
{
    struct ocsp *ocsp = core->ocsp;
    struct view in_use = pki_cert_der(signer_cert(core->c.signer));
    uint8_t hash[HASH_SIZE];

    hash_sha256(in_use, hash);
    if (ocsp->n && view_eq(VIEW_ARR(hash), VIEW_ARR(ocsp->of[0].hash)))
        return true;
    ocsp_renew(core);
    if (!add(ocsp, in_use, err))
        return false;
    for (size_t i = 0; i < core->c.n_intermediates && ocsp->n < N_ELEMENTS(ocsp->of); i++)
        if (!add(ocsp, buf_view(&core->c.intermediates[i]), err))
            return false;
    return true;
}

/* One signs for all of a request: about others' certificates it says that it knows nothing. */
static struct responder *choose(struct ocsp *ocsp, const struct pki_ocsp_request *request)
{
    for (size_t i = 0; i < ocsp->n; i++)
        for (size_t k = 0; k < request->n_items; k++)
            if (pki_ocsp_is_of(ocsp->of[i].issuer, &request->items[k]))
                return &ocsp->of[i];
    return NULL;
}

static bool new_signer(struct den_core *core, const struct responder *r, struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _buf_ request = { 0 }, cert = { 0 };

    if (!signer_ocsp_csr(core->c.signer, VIEW_ARR(r->hash), &request, err) ||
        !pki_csr_read(buf_view(&request), &csr, err))
        return false;
    const struct signer_order order = {
        .profile = PKI_OCSP,
        .label = "ocsp",
        .csr = csr,
        .der = buf_view(&request),
        .now = core_wall(core),
        .life = SIGNER_LIFE,
    };
    return signer_issue(core->c.signer, core->c.store, &order, &cert, err);
}

/* An old signer that still holds is better than none. A key that is not there is not asked for all the time. */
static bool ready(struct den_core *core, struct responder *r, struct err *err)
{
    bool is_first = r == core->ocsp->of;

    if (core_mono(core) < r->renew_at)
        return r->is_there ||
               err_set(err, ERR_UNLISTED_KEY, "the key of that intermediate is not at hand");
    if (new_signer(core, r, err)) {
        r->is_there = true;
        r->renew_at = core_mono(core) + SIGNER_LIFE / 2;
        return true;
    }
    log_event(LOG_ERROR, "ocsp.signer.failed", "code=%s cause=%s", err_code_name(err->code),
              log_quote_text(err->text));
    if (!is_first && err->code == ERR_UNLISTED_KEY)
        r->renew_at = core_mono(core) + TRY_AGAIN;
    return r->is_there && core_mono(core) < r->renew_at + SIGNER_LIFE / 4;
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* A serial that was reserved and never became a certificate: whoever shows one has it from nowhere. */
static bool status_of(struct den_core *core, const struct responder *r,
                      const struct pki_ocsp_item *item, struct pki_ocsp_status *to, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;

    *to = (struct pki_ocsp_status){ .what = PKI_OCSP_UNKNOWN };
    if (!pki_ocsp_is_of(r->issuer, item))
        return true;
    if (!store_certificate_by_serial(core->c.store, item->serial, &found, &c, err))
        return false;
    if (found == STORE_NONE)
        return true;
    *to = (struct pki_ocsp_status){
        .what = c.is_revoked || !c.der.len ? PKI_OCSP_REVOKED : PKI_OCSP_GOOD,
        .revoked_at = c.is_revoked ? c.revoked_at : c.reserved_at,
        .reason = c.reason,
    };
    return true;
}

static bool sign_answer(struct den_core *core, const struct responder *r, struct view der,
                        const struct pki_ocsp_status *statuses, size_t n, struct buf *to,
                        struct err *err)
{
    const struct pki_ocsp_times times = { core_wall(core), core->c.ocsp_life };

    return signer_ocsp_answer(core->c.signer, VIEW_ARR(r->hash), der, statuses, n, &times, to, err);
}

/* Signed by an intermediate that is retired: its key is destroyed, and nobody can speak for it. */
static bool is_of_the_past(struct den_core *core, const struct pki_ocsp_request *request)
{
    for (size_t i = 0; i < request->n_items; i++) {
        _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
        enum store_found found = STORE_NONE;
        struct err unused;
        if (request->items[i].hash != PKI_OCSP_OTHER_HASH &&
            store_certificate_by_serial(core->c.store, request->items[i].serial, &found, &c,
                                        &unused) &&
            found == STORE_FOUND)
            return true;
    }
    return false;
}

static bool answer(struct den_core *core, struct view der, const struct pki_ocsp_request *request,
                   struct buf *to, bool *ret_is_known, struct err *err)
{
    struct pki_ocsp_status statuses[PKI_OCSP_MAX_ITEMS];
    struct responder *r;

    if (!fill(core, err))
        return false;
    r = choose(core->ocsp, request);
    if (!r && is_of_the_past(core, request))
        return err_set(err, ERR_UNLISTED_KEY, "of an intermediate that is retired");
    r = r ? r : core->ocsp->of;
    if (!ready(core, r, err))
        return false;
    for (size_t i = 0; i < request->n_items; i++) {
        if (!status_of(core, r, &request->items[i], &statuses[i], err))
            return false;
        *ret_is_known |= statuses[i].what != PKI_OCSP_UNKNOWN;
    }
    if (sign_answer(core, r, der, statuses, request->n_items, to, err))
        return true;
    if (err->code != ERR_NOT_FOUND) /* else it has forgotten its key: it was started anew */
        return false;
    r->renew_at = 0;
    return ready(core, r, err) && sign_answer(core, r, der, statuses, request->n_items, to, err);
}

bool den_core_ocsp(struct den_core *core, struct view der, struct buf *to)
{
    struct pki_ocsp_request request;
    struct err err = { 0 };
    _buf_ signed_answer = { 0 };
    bool is_known = false;

    if (!pki_ocsp_read(der, &request, &err)) {
        pki_ocsp_write_failure(PKI_OCSP_MALFORMED, to);
        return false;
    }
    if (answer(core, der, &request, &signed_answer, &is_known, &err)) {
        buf_put(to, buf_view(&signed_answer));
        return is_known;
    }
    if (err.code == ERR_UNLISTED_KEY) {
        pki_ocsp_write_failure(PKI_OCSP_UNAUTHORIZED, to);
        return true;
    }
    if (core_take(core, RATE_LOG, VIEW_LIT("ocsp")))
        log_event(LOG_ERROR, "ocsp.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
    pki_ocsp_write_failure(PKI_OCSP_TRY_LATER, to);
    return false;
}

struct view den_core_crl(const struct den_core *core)
{
    return buf_view(&core->crl);
}
