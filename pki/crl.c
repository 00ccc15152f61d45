/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists (RFC 5280, 5): complete ones of one CA, version 2, with number and AKI. */
#include "pki/crl.h"

#include "base/clock.h"
#include "pki/der.h"
#include "pki/profile.h"

enum { GRACE_MS = 5 * 60 * 1000 };

/* ---- issuing ---------------------------------------------------------------------------- */

/* RFC 5280, 5.3.1: 7 is not used, 8 (removeFromCRL) is for delta lists alone. */
static bool is_reason(long reason)
{
    return reason >= 0 && reason <= 10 && reason != 7 && reason != 8;
}

static bool add_revoked(X509_CRL *crl, const struct pki_revoked *revoked, struct err *err)
{
    _cleanup_(X509_REVOKED_freep) X509_REVOKED *entry = X509_REVOKED_new();
    _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *serial = ASN1_INTEGER_new();
    _cleanup_(ASN1_TIME_freep) ASN1_TIME *at = ASN1_TIME_new();
    _cleanup_(ASN1_ENUMERATED_freep) ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();

    if (!entry || !serial || !at || !reason)
        return pki_err(err, ERR_SYSTEM, "new entry");
    if (revoked->serial.len == 0 || revoked->serial.len > PKI_MAX_SERIAL ||
        revoked->serial.data[0] > 0x7f)
        return err_set(err, ERR_INVALID_ARGUMENT, "a revoked serial number is not one of ours");
    if (!is_reason(revoked->reason))
        return err_set(err, ERR_INVALID_ARGUMENT, "%u is not a reason for revocation",
                       revoked->reason);
    if (!pki_time_write(revoked->at, at, err))
        return false;
    if (!ASN1_STRING_set(serial, revoked->serial.data, (int)revoked->serial.len) ||
        !X509_REVOKED_set_serialNumber(entry, serial) ||
        !X509_REVOKED_set_revocationDate(entry, at))
        return pki_err(err, ERR_SYSTEM, "new entry");
    /* "unspecified" is said by saying nothing */
    if (revoked->reason != 0 &&
        (!ASN1_ENUMERATED_set(reason, revoked->reason) ||
         X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) != 1))
        return pki_err(err, ERR_SYSTEM, "new entry");
    if (!X509_CRL_add0_revoked(crl, entry))
        return pki_err(err, ERR_SYSTEM, "new entry");
    STEAL(entry);
    return true;
}

static bool add_extensions(X509_CRL *crl, const struct pki_ca *ca, uint64_t number, struct err *err)
{
    _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *n = ASN1_INTEGER_new();
    _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *aki = NULL;
    _buf_ value = { 0 };

    pki_ext_put_aki(&value, ca->cert->x509);
    if (!pki_ext_new(NID_authority_key_identifier, false, buf_view(&value), &aki, err))
        return false;
    if (!n || !ASN1_INTEGER_set_uint64(n, number) || !X509_CRL_add_ext(crl, aki, -1) ||
        X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) != 1)
        return pki_err(err, ERR_SYSTEM, "extensions of a list");
    return true;
}

static bool set_times(X509_CRL *crl, uint64_t now, uint64_t next_update, struct err *err)
{
    _cleanup_(ASN1_TIME_freep) ASN1_TIME *from = ASN1_TIME_new(), *to = ASN1_TIME_new();

    if (!from || !to)
        return pki_err(err, ERR_SYSTEM, "new list");
    if (!pki_time_write(now, from, err) || !pki_time_write(next_update, to, err))
        return false;
    return (X509_CRL_set1_lastUpdate(crl, from) && X509_CRL_set1_nextUpdate(crl, to)) ||
           pki_err(err, ERR_SYSTEM, "new list");
}

bool pki_ca_issue_crl(const struct pki_ca *ca, uint64_t number, uint64_t now, uint64_t next_update,
                      const struct pki_revoked *revoked, size_t n_revoked, struct buf *ret_der,
                      struct err *err)
{
    _cleanup_(X509_CRL_freep) X509_CRL *crl = X509_CRL_new();
    unsigned char *der = NULL;

    if (number == 0 || next_update <= now)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a list needs a number and a time until which it holds");
    if (!crl || !X509_CRL_set_version(crl, X509_CRL_VERSION_2) ||
        !X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert->x509)))
        return pki_err(err, ERR_SYSTEM, "new list");
    if (!set_times(crl, now, next_update, err) || !add_extensions(crl, ca, number, err))
        return false;
    for (size_t i = 0; i < n_revoked; i++)
        if (!add_revoked(crl, &revoked[i], err))
            return err_wrap(err, "entry %zu", i + 1);
    if (!X509_CRL_sign(crl, ca->key->pkey, pki_curve_digest(ca->key->curve)))
        return pki_err(err, ERR_SYSTEM, "signing a list");
    return pki_take_der(ret_der, &der, i2d_X509_CRL(crl, &der), err);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* See cert.c: written anew, it must be the same bytes. */
static bool is_der(X509_CRL *crl, struct view der)
{
    _cleanup_(X509_CRL_freep) X509_CRL *copy = X509_CRL_dup(crl);
    _buf_ again = { 0 };
    unsigned char *out = NULL;
    struct err err;
    int len = copy ? i2d_re_X509_CRL_tbs(copy, &out) : 0;

    OPENSSL_free(out);
    out = NULL;
    return len > 0 && pki_take_der(&again, &out, i2d_X509_CRL(copy, &out), &err) &&
           view_eq(buf_view(&again), der);
}

/* Only number and AKI: an issuing distribution point or a delta's base would make the list say less
 * than "everything that is not here is good". */
static bool check_extensions(const X509_CRL *crl, struct err *err)
{
    char oid[80];

    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *ext = X509_CRL_get_ext(crl, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
        OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(ext), 1);
        if (nid != NID_crl_number && nid != NID_authority_key_identifier)
            return err_set(err, ERR_BAD_CERTIFICATE,
                           "the list has an extension that the profile does not know: %s", oid);
        if (X509_EXTENSION_get_critical(ext) || X509_CRL_get_ext_by_NID(crl, nid, i) >= 0)
            return err_set(err, ERR_BAD_CERTIFICATE, "the list has %s critical or twice", oid);
    }
    return X509_CRL_get_ext_by_NID(crl, NID_authority_key_identifier, -1) >= 0 ||
           err_set(err, ERR_BAD_CERTIFICATE, "the list does not say whose key signed it (AKI)");
}

static bool check_entry(const X509_REVOKED *entry, struct err *err)
{
    ASN1_ENUMERATED *reason;
    X509_EXTENSION *ext;
    bool ok;

    if (X509_REVOKED_get_ext_count(entry) == 0)
        return true;
    ext = X509_REVOKED_get_ext(entry, 0);
    if (X509_REVOKED_get_ext_count(entry) > 1 || X509_EXTENSION_get_critical(ext) ||
        OBJ_obj2nid(X509_EXTENSION_get_object(ext)) != NID_crl_reason)
        return err_set(err, ERR_BAD_CERTIFICATE, "the list has an entry with more than a reason");
    reason = X509V3_EXT_d2i(ext);
    ok = reason && is_reason(ASN1_ENUMERATED_get(reason));
    ASN1_ENUMERATED_free(reason);
    return ok || pki_err(err, ERR_BAD_CERTIFICATE, "the list has an entry with an unknown reason");
}

static bool check_entries(X509_CRL *crl, struct err *err)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);

    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++)
        if (!check_entry(sk_X509_REVOKED_value(entries, i), err))
            return false;
    return true;
}

static bool check_frame(struct pki_crl *crl, struct err *err)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl->crl, NID_crl_number, NULL, NULL);
    bool ok = number && ASN1_INTEGER_get_uint64(&crl->number, number);
    const X509_ALGOR *alg;

    ASN1_INTEGER_free(number);
    if (X509_CRL_get_version(crl->crl) != X509_CRL_VERSION_2)
        return err_set(err, ERR_BAD_CERTIFICATE, "the list is not version 2");
    if (!ok)
        return pki_err(err, ERR_BAD_CERTIFICATE, "the list has no usable number");
    X509_CRL_get0_signature(crl->crl, NULL, &alg);
    if (!pki_profile_is_alg(alg, PKI_P256))
        return err_set(err, ERR_BAD_CERTIFICATE, "the list is not signed by ECDSA with SHA256");
    if (!pki_time_read(X509_CRL_get0_lastUpdate(crl->crl), &crl->this_update) ||
        !pki_time_read(X509_CRL_get0_nextUpdate(crl->crl), &crl->next_update))
        return err_set(err, ERR_BAD_CERTIFICATE, "the list does not say how long it holds");
    return true;
}

bool pki_crl_read(struct view der, struct pki_crl **ret_crl, struct err *err)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = mem_new(struct pki_crl);
    const unsigned char *at = der.data;

    if (der.len > PKI_MAX_CRL)
        return err_set(err, ERR_TOO_LARGE, "a revocation list of %zu bytes, at most %d", der.len,
                       PKI_MAX_CRL);
    ERR_clear_error();
    crl->crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    if (!crl->crl)
        return pki_err(err, ERR_BAD_CERTIFICATE, "not a revocation list");
    if (at != der.data + der.len || !is_der(crl->crl, der))
        return pki_err(err, ERR_BAD_CERTIFICATE, "the revocation list is not in DER");
    if (!check_frame(crl, err) || !check_extensions(crl->crl, err) || !check_entries(crl->crl, err))
        return false;
    *ret_crl = STEAL(crl);
    return true;
}

void pki_crl_free(struct pki_crl *crl)
{
    if (!crl)
        return;
    X509_CRL_free(crl->crl);
    free(crl);
}

uint64_t pki_crl_number(const struct pki_crl *crl)
{
    return crl->number;
}

/* ---- asking ----------------------------------------------------------------------------- */

bool pki_crl_is_by(const struct pki_crl *crl, const struct pki_cert *issuer)
{
    int at = X509_CRL_get_ext_by_NID(crl->crl, NID_authority_key_identifier, -1);
    const ASN1_OCTET_STRING *octets = X509_EXTENSION_get_data(X509_CRL_get_ext(crl->crl, at));
    _buf_ wanted = { 0 };

    pki_ext_put_aki(&wanted, issuer->x509);
    return view_eq(buf_view(&wanted),
                   VIEW(ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets))) &&
           X509_NAME_cmp(X509_CRL_get_issuer(crl->crl), X509_get_subject_name(issuer->x509)) == 0;
}

bool pki_crl_verify(struct pki_crl *crl, const struct pki_cert *issuer, struct err *err)
{
    if (crl->is_verified && view_eq(VIEW_ARR(crl->verified_by), VIEW_ARR(issuer->spki_hash)))
        return true;
    if (X509_CRL_verify(crl->crl, X509_get0_pubkey(issuer->x509)) != 1)
        return err_set(err, ERR_BAD_SIGNATURE, "the revocation list is not signed by %s",
                       issuer->facts.subject);
    crl->is_verified = true;
    memcpy(crl->verified_by, issuer->spki_hash, HASH_SIZE);
    return true;
}

bool pki_crl_is_fresh(const struct pki_crl *crl, uint64_t now, struct err *err)
{
    char span[PKI_SPAN_TEXT], at[CLOCK_TEXT];

    if (now + GRACE_MS < crl->this_update)
        return err_set(err, ERR_EXPIRED, "the revocation list holds only in %s, from %s",
                       pki_span_text(crl->this_update - now, span),
                       clock_text(crl->this_update, at));
    if (now > crl->next_update + GRACE_MS)
        return err_set(err, ERR_EXPIRED, "the revocation list is stale since %s, it held until %s",
                       pki_span_text(now - crl->next_update, span),
                       clock_text(crl->next_update, at));
    return true;
}

bool pki_crl_check(const struct pki_crl *crl, const struct pki_cert *cert, struct err *err)
{
    X509_REVOKED *entry = NULL;
    char at[CLOCK_TEXT] = "an unknown time";
    uint64_t ms;

    if (X509_CRL_get0_by_serial(crl->crl, &entry, X509_get_serialNumber(cert->x509)) == 0)
        return true;
    if (entry && pki_time_read(X509_REVOKED_get0_revocationDate(entry), &ms))
        clock_text(ms, at);
    return err_set(err, ERR_REVOKED, "the certificate %s was revoked at %s", cert->facts.serial,
                   at);
}
