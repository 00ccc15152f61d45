/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of public authorities, by this system's list of them (RFC 5280, RFC 9525): for a
 * router, or a proxy before it, that is reached by a public name. */
#include "pki/ossl.h"
#include "pki/pki.h"

#include "base/clock.h"

#include <openssl/x509v3.h>

struct trial {
    X509 *leaf;
    STACK_OF(X509) * others;
    X509_STORE *store;
    X509_STORE_CTX *ctx;
};

static void trial_deinit(struct trial *trial)
{
    X509_STORE_CTX_free(trial->ctx);
    X509_STORE_free(trial->store);
    sk_X509_pop_free(trial->others, X509_free);
    X509_free(trial->leaf);
    ERR_clear_error();
}

static X509 *read_one(struct view der)
{
    const unsigned char *at = der.data;
    X509 *cert = der.len <= PKI_MAX_CERT ? d2i_X509(NULL, &at, (long)der.len) : NULL;

    if (cert && at == der.data + der.len)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool read_chain(struct trial *trial, const struct view *chain, size_t n, struct err *err)
{
    trial->others = sk_X509_new_null();
    for (size_t i = 0; i < n && i < PKI_MAX_CHAIN; i++) {
        X509 *cert = read_one(chain[i]);
        if (!cert)
            return err_set(err, ERR_BAD_CERTIFICATE, "number %zu of the chain is not readable",
                           i + 1);
        if (i == 0)
            trial->leaf = cert;
        else if (sk_X509_push(trial->others, cert) <= 0)
            X509_free(cert);
    }
    return trial->leaf || err_set(err, ERR_BAD_CERTIFICATE, "no certificate was sent");
}

/* Name, purpose and strength; the subject is no place for names, and `*` stands for a whole label. */
static bool set_rules(const struct trial *trial, const char *host, uint64_t now)
{
    X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(trial->ctx);
    const int level = 2; /* 112 bits */

    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set_auth_level(rules, level);
    X509_VERIFY_PARAM_set_time(rules, (time_t)(now / SECOND_MS));
    return X509_VERIFY_PARAM_set1_host(rules, host, 0) == 1 &&
           X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_SSL_SERVER) == 1;
}

bool pki_is_public_name(const char *host)
{
    const char *dot = strrchr(host, '.');

    /* an address ends in a number, or has colons (RFC 1123, 2.1) */
    return dot && dot != host && dot[1] && strspn(dot + 1, "0123456789") != strlen(dot + 1) &&
           !strchr(host, ':');
}

bool pki_judge_public(const char *host, const struct view *chain, size_t n, uint64_t now,
                      struct err *err)
{
    _cleanup_(trial_deinit) struct trial trial = { 0 };

    if (!read_chain(&trial, chain, n, err))
        return false;
    trial.store = X509_STORE_new();
    trial.ctx = X509_STORE_CTX_new();
    if (!trial.store || !trial.ctx || X509_STORE_set_default_paths(trial.store) != 1 ||
        X509_STORE_CTX_init(trial.ctx, trial.store, trial.leaf, trial.others) != 1 ||
        !set_rules(&trial, host, now))
        return pki_err(err, ERR_SYSTEM, "the list of public authorities");
    return X509_verify_cert(trial.ctx) == 1 ||
           err_set(err, ERR_BAD_CERTIFICATE, "it is not public for %s either: %s", host,
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(trial.ctx)));
}
