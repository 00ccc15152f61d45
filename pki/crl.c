/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists (RFC 5280, 5): complete ones of one CA, version 2, with number and AKI. */
#include "pki/crl.h"

#include "base/clock.h"
#include "base/text.h"
#include "pki/der.h"
#include "pki/own.h"
#include "pki/profile.h"

enum { GRACE_MS = 5 * 60 * 1000 };

/* ---- issuing ---------------------------------------------------------------------------- */

/* RFC 5280, 5.3.1: 7 is not used, 8 (removeFromCRL) is for delta lists alone. */
static bool is_reason(long reason)
{
    return reason >= 0 && reason <= 10 && reason != 7 && reason != 8;
}

static bool check_revoked(const struct pki_revoked *revoked, struct err *err)
{
    struct view serial = revoked->serial;

    if (serial.len == 0 || serial.len > PKI_MAX_SERIAL || serial.data[0] > 0x7f)
        return err_set(err, ERR_INVALID_ARGUMENT, "a revoked serial number is not one of ours");
    return is_reason(revoked->reason) ||
           err_set(err, ERR_INVALID_ARGUMENT, "%u is not a reason for revocation", revoked->reason);
}

/* { { { id-ce-cRLReasons, OCTET STRING { ENUMERATED } } } } */
static const uint8_t reason_head[] = { 0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55,
                                       0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01 };

/* A list has a hundred thousand of these, so each is written once, where it stays. */
static void put_revoked(struct buf *to, const struct pki_revoked *revoked)
{
    _buf_ at = { 0 };
    size_t n_reason = revoked->reason ? sizeof(reason_head) + 1 : 0;

    der_put_time(&at, revoked->at);
    der_put_head(to, DER_SEQUENCE, 2 + revoked->serial.len + at.len + n_reason);
    der_put(to, DER_INTEGER, revoked->serial);
    buf_put(to, buf_view(&at));
    if (n_reason == 0) /* "unspecified" is said by saying nothing */
        return;
    buf_put(to, VIEW_ARR(reason_head));
    buf_put_u8(to, revoked->reason);
}

static void put_extension(struct buf *to, struct view oid, struct view value)
{
    size_t start = to->len;

    der_put(to, DER_OID, oid);
    der_put(to, DER_OCTETS, value);
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_extensions(struct buf *to, const struct pki_ca *ca, uint64_t number)
{
    static const uint8_t oid_aki[] = { 0x55, 0x1d, 0x23 }, oid_number[] = { 0x55, 0x1d, 0x14 };
    size_t start = to->len;
    _buf_ aki = { 0 }, n = { 0 };

    pki_ext_put_aki(&aki, ca->cert->x509);
    der_put_u64(&n, number);
    put_extension(to, VIEW_ARR(oid_aki), buf_view(&aki));
    put_extension(to, VIEW_ARR(oid_number), buf_view(&n));
    der_wrap(to, start, DER_SEQUENCE);
    der_wrap(to, start, DER_CONSTRUCTED | 0);
}

/* TBSCertList without its own head: what stands before the entries, and what behind them. */
static bool put_frame(const struct pki_ca *ca, const struct pki_list *list, struct buf *before,
                      struct buf *behind, struct err *err)
{
    static const uint8_t version_2 = 1;
    const unsigned char *name;
    size_t n_name;

    if (!X509_NAME_get0_der(X509_get_subject_name(ca->cert->x509), &name, &n_name))
        return pki_err(err, ERR_SYSTEM, "name of the issuer");
    der_put(before, DER_INTEGER, VIEW(&version_2, 1));
    pki_put_algorithm(before, ca->key->curve);
    buf_put(before, VIEW(name, n_name));
    der_put_time(before, list->now);
    der_put_time(before, list->next_update);
    put_extensions(behind, ca, list->number);
    return true;
}

bool pki_revoked_put(struct buf *to, const struct pki_revoked *revoked, struct err *err)
{
    if (!check_revoked(revoked, err))
        return false;
    put_revoked(to, revoked);
    return true;
}

/* ---- in pieces -------------------------------------------------------------------------- */

struct pki_listing {
    struct pki_ca *ca;
    size_t n_left; /* bytes of entries that are to come */
    struct buf before,
        behind;            /* the entries, in the list: `behind` up to the signature's own bytes */
    size_t n_tbs_behind;   /* bytes of `behind` that are signed */
    size_t n_sig;          /* of the signature that there will be */
    EVP_MD_CTX *tbs, *all; /* hashed so far: what is signed; the whole */
};

static bool check_list(const struct pki_list *list, struct err *err)
{
    if (list->n_entries > PKI_MAX_CRL - 4096)
        return err_set(err, ERR_TOO_LARGE, "a revocation list of %zu bytes, at most %d",
                       list->n_entries, PKI_MAX_CRL);
    return (list->number && list->next_update > list->now) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "a list needs a number and a time until which it holds");
}

/* CertificateList { tbsCertList { frame, { entries }, extensions }, algorithm, signature } */
static bool put_around(struct pki_listing *l, const struct pki_list *list, struct view *ret_tbs,
                       struct err *err)
{
    _buf_ before = { 0 }, entries = { 0 }, tbs = { 0 }, sig = { 0 };
    size_t tbs_at;

    if (!put_frame(l->ca, list, &before, &l->behind, err))
        return false;
    l->n_tbs_behind = l->behind.len;
    if (list->n_entries)
        der_put_head(&entries, DER_SEQUENCE, list->n_entries);
    der_put_head(&tbs, DER_SEQUENCE, before.len + entries.len + list->n_entries + l->behind.len);
    pki_put_algorithm(&l->behind, l->ca->key->curve);
    der_put_head(&sig, DER_BITS, 1 + l->n_sig);
    buf_put(&l->behind, buf_view(&sig));
    buf_put_u8(&l->behind, 0); /* no unused bits */
    der_put_head(&l->before, DER_SEQUENCE,
                 tbs.len + before.len + entries.len + list->n_entries + l->behind.len + l->n_sig);
    tbs_at = l->before.len;
    buf_put(&l->before, buf_view(&tbs));
    buf_put(&l->before, buf_view(&before));
    buf_put(&l->before, buf_view(&entries));
    *ret_tbs = view_sub(buf_view(&l->before), tbs_at, l->before.len);
    return true;
}

static bool hash_on(EVP_MD_CTX *ctx, struct view bytes)
{
    return EVP_DigestUpdate(ctx, bytes.data, bytes.len) == 1;
}

bool pki_listing_new(struct pki_ca *ca, const struct pki_list *list, struct pki_listing **ret,
                     struct err *err)
{
    _cleanup_(pki_listing_freep) struct pki_listing *l = mem_new(struct pki_listing);
    struct view tbs;

    if (!check_list(list, err))
        return false;
    pki_ca_desk(ca);
    l->ca = ca;
    l->n_left = list->n_entries;
    l->n_sig = ca->key->curve == PKI_P256 ? 71 : 103;
    l->tbs = EVP_MD_CTX_new();
    l->all = EVP_MD_CTX_new();
    if (!put_around(l, list, &tbs, err))
        return false;
    if (!l->tbs || !l->all ||
        EVP_DigestInit_ex(l->tbs, pki_curve_digest(ca->key->curve), NULL) != 1 ||
        EVP_DigestInit_ex(l->all, pki_digest(PKI_SHA256), NULL) != 1 || !hash_on(l->tbs, tbs) ||
        !hash_on(l->all, buf_view(&l->before)))
        return pki_err(err, ERR_SYSTEM, "hashing a list");
    *ret = STEAL(l);
    return true;
}

void pki_listing_free(struct pki_listing *l)
{
    if (!l)
        return;
    EVP_MD_CTX_free(l->tbs);
    EVP_MD_CTX_free(l->all);
    buf_free(&l->before);
    buf_free(&l->behind);
    free(l);
}

/* As put_revoked() writes one, and nothing else. */
static bool take_entry(struct view *from)
{
    struct view entry, serial;
    uint64_t at;

    if (!der_take(from, DER_SEQUENCE, &entry) || !der_take(&entry, DER_INTEGER, &serial) ||
        serial.len == 0 || serial.len > PKI_MAX_SERIAL || serial.data[0] > 0x7f ||
        !der_take_time(&entry, &at))
        return false;
    return entry.len == 0 ||
           (entry.len == sizeof(reason_head) + 1 && view_starts(entry, VIEW_ARR(reason_head)) &&
            entry.data[sizeof(reason_head)] != 0 && is_reason(entry.data[sizeof(reason_head)]));
}

bool pki_listing_put(struct pki_listing *l, struct view entries, struct err *err)
{
    struct view rest = entries;

    if (entries.len > l->n_left)
        return err_set(err, ERR_BAD_WIRE, "a list with more entries than its head says");
    while (rest.len)
        if (!take_entry(&rest))
            return err_set(err, ERR_BAD_WIRE, "a list with something in it that is no entry");
    if (!hash_on(l->tbs, entries) || !hash_on(l->all, entries))
        return pki_err(err, ERR_SYSTEM, "hashing a list");
    l->n_left -= entries.len;
    return true;
}

bool pki_listing_sign(struct pki_listing *l, struct buf *ret_before, struct buf *ret_behind,
                      uint8_t ret_hash[HASH_SIZE], struct err *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _buf_ sig = { 0 };

    if (l->n_left)
        return err_set(err, ERR_BAD_WIRE, "a list with fewer entries than its head says");
    if (!hash_on(l->tbs, view_sub(buf_view(&l->behind), 0, l->n_tbs_behind)) ||
        EVP_DigestFinal_ex(l->tbs, hash, &len) != 1)
        return pki_err(err, ERR_SYSTEM, "hashing a list");
    if (!pki_own_sign_hash(l->ca->desk->own, VIEW(hash, len), l->n_sig, &sig, err))
        return false;
    if (!hash_on(l->all, buf_view(&l->behind)) || !hash_on(l->all, buf_view(&sig)) ||
        EVP_DigestFinal_ex(l->all, ret_hash, &len) != 1)
        return pki_err(err, ERR_SYSTEM, "hashing a list");
    buf_put(ret_before, buf_view(&l->before));
    buf_put(ret_behind, buf_view(&l->behind));
    buf_put(ret_behind, buf_view(&sig));
    return true;
}

/* ---- at once ----------------------------------------------------------------------------- */

bool pki_ca_issue_crl(struct pki_ca *ca, uint64_t number, uint64_t now, uint64_t next_update,
                      const struct pki_revoked *revoked, size_t n_revoked, struct buf *ret_der,
                      struct err *err)
{
    struct pki_list list = { .number = number, .now = now, .next_update = next_update };
    _cleanup_(pki_listing_freep) struct pki_listing *l = NULL;
    _buf_ entries = { 0 }, before = { 0 }, behind = { 0 };
    uint8_t hash[HASH_SIZE];

    if (!check_list(&list, err))
        return false;
    for (size_t i = 0; i < n_revoked; i++)
        if (!pki_revoked_put(&entries, &revoked[i], err))
            return err_wrap(err, "entry %zu", i + 1);
    list.n_entries = entries.len;
    if (!pki_listing_new(ca, &list, &l, err) || !pki_listing_put(l, buf_view(&entries), err) ||
        !pki_listing_sign(l, &before, &behind, hash, err))
        return false;
    buf_put(ret_der, buf_view(&before));
    buf_put(ret_der, buf_view(&entries));
    buf_put(ret_der, buf_view(&behind));
    return true;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* See cert.c: written anew, it must be the same bytes. */
static bool is_der(X509_CRL *crl, struct view der)
{
    _buf_ again = { 0 };
    unsigned char *out = NULL;
    struct err err;
    int len = i2d_re_X509_CRL_tbs(crl, &out);

    OPENSSL_free(out);
    out = NULL;
    return len > 0 && pki_take_der(&again, &out, i2d_X509_CRL(crl, &out), &err) &&
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

void pki_crl_each(const struct pki_crl *crl, pki_on_revoked *each, void *user)
{
    STACK_OF(X509_REVOKED) *all = X509_CRL_get_REVOKED(crl->crl);

    for (int i = 0; i < sk_X509_REVOKED_num(all); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(all, i);
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(entry);
        struct pki_revoked r = { .serial = VIEW(ASN1_STRING_get0_data(serial),
                                                (size_t)ASN1_STRING_length(serial)) };
        ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
        long number = reason ? ASN1_ENUMERATED_get(reason) : 0;
        r.reason = (uint8_t)(is_reason(number) ? number : 0);
        ASN1_ENUMERATED_free(reason);
        if (pki_time_read(X509_REVOKED_get0_revocationDate(entry), &r.at) && !each(user, &r))
            return;
    }
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

void pki_crl_key_digits(const struct pki_crl *crl, char ret_digits[PKI_KEY_DIGITS + 1])
{
    AUTHORITY_KEYID *of = X509_CRL_get_ext_d2i(crl->crl, NID_authority_key_identifier, NULL, NULL);
    _buf_ hex = { 0 };

    if (of && of->keyid && ASN1_STRING_length(of->keyid) >= PKI_KEY_DIGITS / 2)
        text_put_hex(&hex, VIEW(ASN1_STRING_get0_data(of->keyid), PKI_KEY_DIGITS / 2));
    memcpy(ret_digits, buf_cstr(&hex), hex.len + 1);
    AUTHORITY_KEYID_free(of);
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
