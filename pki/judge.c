/* SPDX-License-Identifier: Apache-2.0 */
/* The one judge: OpenSSL builds and verifies a chain from the trust set alone, then the chain that
 * it built is held against the profile, because OpenSSL by itself is too lenient; then key and
 * list. */
#include "pki/profile.h"
#include "pki/trust.h"

#include "base/clock.h"

#include <assert.h>

enum { AUTH_LEVEL = 2, CHAIN_LEN = 3 }; /* leaf, intermediate, root */
enum { HOST_FLAGS = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS };

struct trial {
    const struct pki_trust *trust;
    const struct pki_question *question;
    struct pki_cert *certs[PKI_MAX_CHAIN]; /* as they were sent, leaf first */
    size_t n_certs;
    const struct pki_cert *unlisted;    /* an intermediate that was sent and may not be used */
    STACK_OF(X509) * roots, *untrusted; /* borrowed certificates */
    X509_STORE *store;
    X509_STORE_CTX *ctx;
};

static void trial_deinit(struct trial *trial)
{
    X509_STORE_CTX_free(trial->ctx);
    X509_STORE_free(trial->store);
    sk_X509_free(trial->roots);
    sk_X509_free(trial->untrusted);
    for (size_t i = 0; i < trial->n_certs; i++)
        pki_cert_free(trial->certs[i]);
    ERR_clear_error();
}

/* ---- what was sent ---------------------------------------------------------------------- */

static bool read_chain(struct trial *trial, const struct view *chain, size_t n, struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_BAD_CERTIFICATE, "no certificate was sent");
    if (n > PKI_MAX_CHAIN)
        return err_set(err, ERR_TOO_LARGE, "a chain of %zu certificates, at most %d", n,
                       PKI_MAX_CHAIN);
    for (size_t i = 0; i < n; i++) {
        if (!pki_cert_read(chain[i], &trial->certs[i], err))
            return err_wrap(err, "number %zu of the chain", i + 1);
        trial->n_certs++;
    }
    return true;
}

static bool is_root(const struct trial *trial, const struct pki_cert *cert)
{
    for (size_t i = 0; i < trial->trust->n_roots; i++)
        if (memcmp(trial->trust->roots[i]->hash, cert->hash, HASH_SIZE) == 0)
            return true;
    return false;
}

/* Candidates are the intermediates that the manifest lists, wherever they come from. */
static bool gather(struct trial *trial)
{
    const struct pki_trust *trust = trial->trust;
    bool ok = (trial->roots = sk_X509_new_null()) && (trial->untrusted = sk_X509_new_null());

    for (size_t i = 0; ok && i < trust->n_roots; i++)
        ok = sk_X509_push(trial->roots, trust->roots[i]->x509) > 0;
    for (size_t i = 0; ok && i < trust->n_intermediates; i++)
        ok = sk_X509_push(trial->untrusted, trust->intermediates[i]->x509) > 0;
    for (size_t i = 1; ok && i < trial->n_certs; i++) {
        if (pki_trust_lists(trust, trial->certs[i]))
            ok = sk_X509_push(trial->untrusted, trial->certs[i]->x509) > 0;
        else if (!is_root(trial, trial->certs[i]))
            trial->unlisted = trial->certs[i];
    }
    return ok;
}

/* ---- OpenSSL's verdict ------------------------------------------------------------------ */

static const struct {
    const char *name; /* "server" */
    int purpose;
} roles[] = {
    [PKI_CLIENT] = { "client", X509_PURPOSE_SSL_CLIENT },
    [PKI_SERVER] = { "server", X509_PURPOSE_SSL_SERVER },
};

/* OpenSSL's verdicts in our words; the others keep OpenSSL's own. */
static const struct {
    int verdict;
    const char *text;
} verdicts[] = {
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "is self-signed" },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "is self-signed and no root of this network" },
    { X509_V_ERR_CERT_SIGNATURE_FAILURE, "is not signed by the one it names as its issuer" },
    { X509_V_ERR_PERMITTED_VIOLATION,
      "has a name outside of what its CA may name (name constraints)" },
    { X509_V_ERR_EXCLUDED_VIOLATION, "has a name that its CA must not name (name constraints)" },
};

/* Who it is about, by position in the chain. */
static const char *who(int depth)
{
    static const char *const names[] = { "the certificate", "the intermediate", "the root" };

    return names[depth < 0 || depth > 2 ? 0 : depth];
}

static bool refuse_time(X509 *cert, int depth, uint64_t now, struct err *err)
{
    char span[PKI_SPAN_TEXT], at[CLOCK_TEXT];
    uint64_t from, to;

    if (!pki_time_read(X509_get0_notBefore(cert), &from) ||
        !pki_time_read(X509_get0_notAfter(cert), &to))
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "%s has times that are not written as RFC 5280 asks", who(depth));
    if (now < from)
        return err_set(err, ERR_EXPIRED, "%s is not yet valid: it begins in %s, at %s", who(depth),
                       pki_span_text(from - now, span), clock_text(from, at));
    return err_set(err, ERR_EXPIRED, "%s expired %s ago, at %s", who(depth),
                   pki_span_text(now - min_u64(to, now), span), clock_text(to, at));
}

static bool refuse_issuer(const struct trial *trial, struct err *err)
{
    const struct pki_cert *leaf = trial->certs[0];

    if (X509_get_extension_flags(leaf->x509) & EXFLAG_INVALID) /* OpenSSL asks nobody about those */
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "the certificate has an extension that is malformed or there twice");
    if (trial->unlisted && strcmp(trial->unlisted->facts.subject, leaf->facts.issuer) == 0)
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "the intermediate \"%s\" is not listed by the manifest",
                       trial->unlisted->facts.subject);
    return err_set(err, ERR_BAD_CERTIFICATE,
                   "the certificate is not issued by a CA of this network, but by \"%s\"",
                   leaf->facts.issuer);
}

static bool refuse(const struct trial *trial, struct err *err)
{
    int verdict = X509_STORE_CTX_get_error(trial->ctx),
        depth = X509_STORE_CTX_get_error_depth(trial->ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(trial->ctx);

    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return refuse_time(cert ? cert : trial->certs[0]->x509, depth, trial->question->now, err);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return refuse_issuer(trial, err);
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "the chain is longer than leaf, intermediate, root");
    case X509_V_ERR_INVALID_PURPOSE:
        return err_set(err, ERR_BAD_CERTIFICATE, "%s must not be used by a TLS %s", who(depth),
                       roles[trial->question->role].name);
    }
    for (size_t i = 0; i < N_ELEMENTS(verdicts); i++)
        if (verdicts[i].verdict == verdict)
            return err_set(err, ERR_BAD_CERTIFICATE, "%s %s", who(depth), verdicts[i].text);
    return err_set(err, ERR_BAD_CERTIFICATE, "%s: %s", who(depth),
                   X509_verify_cert_error_string(verdict));
}

static bool prepare(struct trial *trial, struct err *err)
{
    X509_VERIFY_PARAM *param;

    assert(trial->n_certs > 0);
    if (!gather(trial) || !(trial->store = X509_STORE_new()) ||
        !(trial->ctx = X509_STORE_CTX_new()) ||
        !X509_STORE_CTX_init(trial->ctx, trial->store, trial->certs[0]->x509, trial->untrusted))
        return pki_err(err, ERR_SYSTEM, "verifying");
    X509_STORE_CTX_set0_trusted_stack(trial->ctx, trial->roots);
    param = X509_STORE_CTX_get0_param(trial->ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)(trial->question->now / 1000));
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_LEN - 2);
    if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT) ||
        !X509_VERIFY_PARAM_set_purpose(param, roles[trial->question->role].purpose))
        return pki_err(err, ERR_SYSTEM, "verifying");
    return true;
}

/* ---- ours ------------------------------------------------------------------------------- */

/* Finds the judged form of a certificate of the built chain: with hash and facts. */
static const struct pki_cert *find(const struct trial *trial, const X509 *x509)
{
    const struct pki_trust *trust = trial->trust;

    for (size_t i = 0; i < trial->n_certs; i++)
        if (trial->certs[i]->x509 == x509)
            return trial->certs[i];
    for (size_t i = 0; i < trust->n_intermediates; i++)
        if (trust->intermediates[i]->x509 == x509)
            return trust->intermediates[i];
    for (size_t i = 0; i < trust->n_roots; i++)
        if (trust->roots[i]->x509 == x509)
            return trust->roots[i];
    return NULL;
}

static bool check_chain(const struct trial *trial, const struct pki_cert **ret_issuer,
                        struct err *err)
{
    const struct pki_question *question = trial->question;
    STACK_OF(X509) *built = X509_STORE_CTX_get0_chain(trial->ctx);
    struct pki_ask ask = { .network = question->network };
    const struct pki_cert *intermediate, *root;

    if (sk_X509_num(built) != CHAIN_LEN)
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "the chain has %d certificates, not three: leaf, intermediate, root",
                       sk_X509_num(built));
    intermediate = find(trial, sk_X509_value(built, 1));
    root = find(trial, sk_X509_value(built, 2));
    if (!intermediate || !root)
        return err_set(err, ERR_INTERNAL, "the chain has a certificate that nobody gave");
    ask.shape = PKI_SHAPE_ROOT;
    if (!pki_profile_check(root, &ask, err))
        return false;
    ask.shape = PKI_SHAPE_INTERMEDIATE;
    ask.issuer = root;
    if (!pki_profile_check(intermediate, &ask, err))
        return false;
    *ret_issuer = intermediate;
    return pki_check_leaf(trial->certs[0], intermediate, question->name, question->network, err);
}

/* RFC 9525: alternative names alone. The profile has compared the bytes; this is OpenSSL's word. */
static bool check_host(const struct trial *trial, struct err *err)
{
    const struct pki_question *question = trial->question;

    return X509_check_host(trial->certs[0]->x509, question->name, strlen(question->name),
                           HOST_FLAGS, NULL) == 1 ||
           err_set(err, ERR_NAME_MISMATCH, "the certificate is not for %s", question->name);
}

static bool check_spki(const struct trial *trial, struct err *err)
{
    const uint8_t *wanted = trial->question->spki;

    return !wanted ||
           view_eq_secret(VIEW(wanted, HASH_SIZE), VIEW_ARR(trial->certs[0]->spki_hash)) ||
           err_set(err, ERR_WRONG_KEY, "the certificate's key is not the one that was promised");
}

/* Serial numbers are drawn from one space, whichever intermediate signs: the list of any that the
 * manifest lists is about the certificates of all of them. */
static const struct pki_cert *list_issuer(const struct trial *trial, const struct pki_cert *issuer)
{
    const struct pki_trust *trust = trial->trust;

    if (pki_crl_is_by(trust->crl, issuer))
        return issuer;
    for (size_t i = 0; i < trust->n_intermediates; i++)
        if (pki_crl_is_by(trust->crl, trust->intermediates[i]))
            return trust->intermediates[i];
    return NULL;
}

/* A list that is there must be genuine, and counts even when it is stale; whether it must be there
 * and fresh is the question's. A list of a CA that is not the network's says nothing. */
static bool check_revocation(const struct trial *trial, const struct pki_cert *issuer,
                             struct err *err)
{
    struct pki_crl *crl = trial->trust->crl;
    bool needs_crl = trial->question->needs_crl;
    const struct pki_cert *lister;

    assert(issuer);
    if (!crl)
        return !needs_crl ||
               err_set(err, ERR_BAD_CERTIFICATE, "there is no revocation list to ask");
    lister = list_issuer(trial, issuer);
    if (!lister)
        return !needs_crl || err_set(err, ERR_BAD_CERTIFICATE,
                                     "the revocation list is not of \"%s\"", issuer->facts.subject);
    if (!pki_crl_verify(crl, lister, err) || !pki_crl_check(crl, trial->certs[0], err))
        return false;
    return !needs_crl || pki_crl_is_fresh(crl, trial->question->now, err);
}

bool pki_judge(const struct pki_trust *trust, const struct view *chain, size_t n_chain,
               const struct pki_question *question, struct pki_cert **ret_leaf, struct err *err)
{
    _cleanup_(trial_deinit) struct trial trial = { .trust = trust, .question = question };
    const struct pki_cert *issuer = NULL;

    if (!read_chain(&trial, chain, n_chain, err) || !prepare(&trial, err))
        return false;
    if (X509_verify_cert(trial.ctx) != 1)
        return refuse(&trial, err);
    if (!check_chain(&trial, &issuer, err) || !check_host(&trial, err) ||
        !check_spki(&trial, err) || !check_revocation(&trial, issuer, err))
        return false;
    if (ret_leaf)
        *ret_leaf = STEAL(trial.certs[0]);
    return true;
}
