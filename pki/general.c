/* SPDX-License-Identifier: Apache-2.0 */
/* The judge of chains that are not ours: a company's or a public CA's. OpenSSL builds and verifies
 * with every strict flag that it has; then the chain that it built is held against what RFC 5280
 * and the CA/Browser Forum ask for and OpenSSL does not look at. */
#include "pki/general.h"

#include "base/clock.h"

enum { AUTH_LEVEL = 2 };
enum { HOST_FLAGS = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS };

struct trial {
    const struct pki_general *question;
    STACK_OF(X509) * anchors, *others; /* owned, and so are the certificates */
    STACK_OF(X509_CRL) * lists;
    X509 *leaf; /* borrowed from `others` */
    X509_STORE *store;
    X509_STORE_CTX *ctx;
};

static void trial_deinit(struct trial *trial)
{
    X509_STORE_CTX_free(trial->ctx);
    X509_STORE_free(trial->store);
    sk_X509_pop_free(trial->anchors, X509_free);
    sk_X509_pop_free(trial->others, X509_free);
    sk_X509_CRL_pop_free(trial->lists, X509_CRL_free);
    ERR_clear_error();
}

/* ---- what was given --------------------------------------------------------------------- */

static bool read_certs(const struct view *ders, size_t n, size_t max, const char *what,
                       STACK_OF(X509) * to, struct err *err)
{
    if (n > max)
        return err_set(err, ERR_TOO_LARGE, "%zu %s certificates, at most %zu", n, what, max);
    for (size_t i = 0; i < n; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        if (!pki_cert_read(ders[i], &cert, err))
            return err_wrap(err, "%s certificate %zu", what, i + 1);
        if (!X509_up_ref(cert->x509))
            return pki_err(err, ERR_SYSTEM, "certificate");
        if (!sk_X509_push(to, cert->x509)) {
            X509_free(cert->x509);
            return pki_err(err, ERR_SYSTEM, "certificate");
        }
    }
    return true;
}

static bool read_lists(const struct pki_general *q, STACK_OF(X509_CRL) * to, struct err *err)
{
    for (size_t i = 0; i < q->n_crls; i++) {
        const unsigned char *at = q->crls[i].data;
        _cleanup_(X509_CRL_freep) X509_CRL *crl = NULL;
        if (q->crls[i].len > PKI_MAX_CRL)
            return err_set(err, ERR_TOO_LARGE, "a revocation list of %zu bytes, at most %d",
                           q->crls[i].len, PKI_MAX_CRL);
        crl = d2i_X509_CRL(NULL, &at, (long)q->crls[i].len);
        if (!crl || at != q->crls[i].data + q->crls[i].len)
            return pki_err(err, ERR_BAD_CERTIFICATE, "not a revocation list");
        if (!pki_general_list(crl, err))
            return false;
        if (!sk_X509_CRL_push(to, crl))
            return pki_err(err, ERR_SYSTEM, "revocation list");
        STEAL(crl);
    }
    return true;
}

static bool prepare(struct trial *trial, struct err *err)
{
    const struct pki_general *q = trial->question;

    if (q->n_chain == 0)
        return err_set(err, ERR_BAD_CERTIFICATE, "no certificate was given");
    if (!(trial->anchors = sk_X509_new_null()) || !(trial->others = sk_X509_new_null()) ||
        !(trial->lists = sk_X509_CRL_new_null()))
        return pki_err(err, ERR_SYSTEM, "verifying");
    if (!read_certs(q->chain, q->n_chain, PKI_MAX_GENERAL, "given", trial->others, err) ||
        !read_certs(q->anchors, q->n_anchors, PKI_MAX_GENERAL, "trusted", trial->anchors, err) ||
        !read_lists(q, trial->lists, err))
        return false;
    trial->leaf = sk_X509_value(trial->others, 0);
    return true;
}

/* ---- OpenSSL's verdict ------------------------------------------------------------------ */

/* RFC 5280, 4.1.2.5: notAfter is the last second that counts; OpenSSL ends one earlier. */
static int on_verdict(int is_ok, X509_STORE_CTX *ctx)
{
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    time_t now = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(ctx));

    if (!is_ok && cert && X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CERT_HAS_EXPIRED &&
        ASN1_TIME_cmp_time_t(X509_get0_notAfter(cert), now) == 0) {
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    }
    return is_ok;
}

static bool set_up(struct trial *trial, struct err *err)
{
    const struct pki_general *q = trial->question;
    unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
                          (q->n_crls ? X509_V_FLAG_CRL_CHECK : 0);
    X509_VERIFY_PARAM *param;

    if (!(trial->store = X509_STORE_new()) || !(trial->ctx = X509_STORE_CTX_new()) ||
        !X509_STORE_CTX_init(trial->ctx, trial->store, trial->leaf, trial->others))
        return pki_err(err, ERR_SYSTEM, "verifying");
    X509_STORE_CTX_set0_trusted_stack(trial->ctx, trial->anchors);
    X509_STORE_CTX_set0_crls(trial->ctx, trial->lists);
    X509_STORE_CTX_set_verify_cb(trial->ctx, on_verdict);
    param = X509_STORE_CTX_get0_param(trial->ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)(q->now / SECOND_MS));
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    if (q->max_intermediates >= 0)
        X509_VERIFY_PARAM_set_depth(param, q->max_intermediates);
    return (X509_VERIFY_PARAM_set_flags(param, flags) &&
            X509_VERIFY_PARAM_set_purpose(param, q->role == PKI_SERVER
                                                     ? X509_PURPOSE_SSL_SERVER
                                                     : X509_PURPOSE_SSL_CLIENT)) ||
           pki_err(err, ERR_SYSTEM, "verifying");
}

static bool refuse(const struct trial *trial, struct err *err)
{
    int verdict = X509_STORE_CTX_get_error(trial->ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(trial->ctx);
    enum err_code code =
        verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID
            ? ERR_EXPIRED
        : verdict == X509_V_ERR_CERT_REVOKED ? ERR_REVOKED
                                             : ERR_BAD_CERTIFICATE;
    char name[100] = "the certificate";

    if (cert)
        X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof(name));
    return err_set(err, code, "%s: %s", name, X509_verify_cert_error_string(verdict));
}

/* ---- what OpenSSL does not look at ------------------------------------------------------- */

static bool check_name(const struct trial *trial, struct err *err)
{
    const char *name = trial->question->name;

    if (!name)
        return true;
    if (X509_check_ip_asc(trial->leaf, name, 0) == 1 ||
        X509_check_host(trial->leaf, name, strlen(name), HOST_FLAGS, NULL) == 1)
        return true;
    return err_set(err, ERR_NAME_MISMATCH, "the certificate is not for %s", name);
}

bool pki_judge_general(const struct pki_general *question, struct err *err)
{
    _cleanup_(trial_deinit) struct trial trial = { .question = question };

    if (!prepare(&trial, err) || !set_up(&trial, err))
        return false;
    if (X509_verify_cert(trial.ctx) != 1)
        return refuse(&trial, err);
    return pki_general_rules(X509_STORE_CTX_get0_chain(trial.ctx), question, err) &&
           check_name(&trial, err);
}
