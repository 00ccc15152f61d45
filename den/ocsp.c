/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP: the store is asked about every certificate, so that a revocation shows at once. The key of the answers lives in
 * the signer's memory alone; it and its certificate are made anew each day, and when the signer was started anew. */
#include "den/core_in.h"

#include "base/log.h"

struct ocsp {
    struct pki_ocsp *signer; /* what it answers for; NULL: not yet */
    uint64_t renew_at;       /* mono */
};

enum { SIGNER_LIFE = 2 * 24 * 3600 * 1000 /* ms */ };

struct ocsp *ocsp_new(void)
{
    return mem_new(struct ocsp);
}

void ocsp_renew(struct den_core *core)
{
    pki_ocsp_free(core->ocsp->signer);
    core->ocsp->signer = NULL;
}

void ocsp_free(struct ocsp *ocsp)
{
    if (!ocsp)
        return;
    pki_ocsp_free(ocsp->signer);
    free(ocsp);
}

static bool new_signer(struct den_core *core, struct pki_ocsp **ret_signer, struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _buf_ request = { 0 }, cert = { 0 };

    if (!signer_ocsp_csr(core->c.signer, &request, err) ||
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
    return signer_issue(core->c.signer, core->c.store, &order, &cert, err) &&
           pki_ocsp_new(signer_cert(core->c.signer), buf_view(&cert), NULL, ret_signer, err);
}

/* An old signer that still holds is better than none. */
static bool ready(struct den_core *core, struct err *err)
{
    struct ocsp *ocsp = core->ocsp;
    struct pki_ocsp *signer;

    if (ocsp->signer && core_mono(core) < ocsp->renew_at)
        return true;
    if (!new_signer(core, &signer, err)) {
        log_event(LOG_ERROR, "ocsp.signer.failed", "code=%s cause=%s", err_code_name(err->code),
                  log_quote_text(err->text));
        return ocsp->signer && core_mono(core) < ocsp->renew_at + SIGNER_LIFE / 4;
    }
    pki_ocsp_free(ocsp->signer);
    ocsp->signer = signer;
    ocsp->renew_at = core_mono(core) + SIGNER_LIFE / 2;
    return true;
}

/* A serial that was reserved and never became a certificate: whoever shows one has it from nowhere. */
static bool status_of(struct den_core *core, const struct pki_ocsp_item *item,
                      struct pki_ocsp_status *to, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;

    *to = (struct pki_ocsp_status){ .what = PKI_OCSP_UNKNOWN };
    if (!pki_ocsp_is_ours(core->ocsp->signer, item))
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

static bool sign_answer(struct den_core *core, struct view der,
                        const struct pki_ocsp_request *request,
                        const struct pki_ocsp_status *statuses, struct buf *to, struct err *err)
{
    const struct pki_ocsp_times times = { core_wall(core), core->c.ocsp_life };

    return signer_ocsp_answer(core->c.signer, der, statuses, request->n_items, &times, to, err);
}

static bool answer(struct den_core *core, struct view der, const struct pki_ocsp_request *request,
                   struct buf *to, bool *ret_is_known, struct err *err)
{
    struct pki_ocsp_status statuses[PKI_OCSP_MAX_ITEMS];

    if (!ready(core, err))
        return false;
    for (size_t i = 0; i < request->n_items; i++) {
        if (!status_of(core, &request->items[i], &statuses[i], err))
            return false;
        *ret_is_known |= statuses[i].what != PKI_OCSP_UNKNOWN;
    }
    if (sign_answer(core, der, request, statuses, to, err))
        return true;
    if (err->code != ERR_NOT_FOUND) /* else it has forgotten its key: it was started anew */
        return false;
    core->ocsp->renew_at = 0;
    return ready(core, err) && sign_answer(core, der, request, statuses, to, err);
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
