/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#10 requests (RFC 2986). Only the key is ever taken from one; names in it must be absent or
 * the right ones, in every place where a name can stand. */
#include "pki/batch.h"
#include "pki/der.h"

bool pki_csr_new(const struct pki_key *key, struct buf *ret_der, struct err *err)
{
    _cleanup_(X509_REQ_freep) X509_REQ *req = X509_REQ_new();
    unsigned char *der = NULL;

    if (!req || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !X509_REQ_set_pubkey(req, key->pkey) ||
        !X509_REQ_sign(req, key->pkey, pki_curve_digest(key->curve)))
        return pki_err(err, ERR_SYSTEM, "new request");
    return pki_take_der(ret_der, &der, i2d_X509_REQ(req, &der), err);
}

static struct view string_view(const ASN1_STRING *s)
{
    return VIEW(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* See cert.c: written anew, it must be the same bytes. */
static bool is_der(X509_REQ *req, struct view der)
{
    _buf_ again = { 0 }, info = { 0 };
    unsigned char *out = NULL;
    struct err err;

    if (!pki_take_der(&info, &out, i2d_re_X509_REQ_tbs(req, &out), &err))
        return false;
    out = NULL;
    return pki_take_der(&again, &out, i2d_X509_REQ(req, &out), &err) &&
           view_eq(buf_view(&again), der);
}

static bool check_key(struct pki_csr *csr, struct err *err)
{
    unsigned char *der = NULL;
    _buf_ spki = { 0 };
    enum pki_curve curve;

    if (!pki_take_der(&spki, &der, i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(csr->req), &der), err))
        return false;
    if (!pki_spki_curve(buf_view(&spki), &curve) || curve != PKI_P256)
        return pki_err(err, ERR_WRONG_KEY, "the request's key is not P-256");
    pki_hash(buf_view(&spki), csr->spki_hash);
    csr->spki = buf_dup(buf_view(&spki));
    return true;
}

enum { UNUSED_BITS = 7 }; /* of a bit string, in OpenSSL's flags */

static const EVP_MD *find_digest(int nid)
{
    switch (nid) {
    case NID_ecdsa_with_SHA256:
        return pki_digest(PKI_SHA256);
    case NID_ecdsa_with_SHA384:
        return pki_digest(PKI_SHA384);
    case NID_ecdsa_with_SHA512:
        return pki_digest(PKI_SHA512);
    default:
        return NULL;
    }
}

static bool refuse_signature(struct err *err)
{
    return err_set(err, ERR_BAD_SIGNATURE, "the request is not signed by its own key");
}

static bool check_signature(const struct pki_csr *csr, struct view der, struct err *err)
{
    int nid = X509_REQ_get_signature_nid(csr->req);
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_spki_key(buf_view(&csr->spki));
    const ASN1_BIT_STRING *sig;
    struct view outer, info;

    if (!key)
        return err_set(err, ERR_WRONG_KEY, "the request's key is no point of P-256");
    if (!find_digest(nid))
        return err_set(err, ERR_BAD_SIGNATURE,
                       "the request is signed by %s, not by ECDSA with SHA-2", OBJ_nid2ln(nid));
    X509_REQ_get0_signature(csr->req, &sig, NULL);
    return ((sig->flags & UNUSED_BITS) == 0 && der_take(&der, DER_SEQUENCE, &outer) &&
            der_take_whole(&outer, DER_SEQUENCE, &info) &&
            pki_key_signed(key, find_digest(nid), info, string_view(sig))) ||
           refuse_signature(err);
}

/* The request that pki_csr_new() writes: a P-256 key, signed with SHA-256, and nothing else. Everything is in its one
 * place, so there is nothing for OpenSSL to find. */
struct plain {
    struct view info, spki, sig;
};

static bool read_plain(struct view der, struct plain *ret)
{
    static const uint8_t no_names[] = { 0x02, 0x01, 0x00, 0x30,
                                        0x00 }; /* version 1, empty subject */
    static const uint8_t no_attributes[] = { 0xa0, 0x00 };
    struct view outer, content;
    _buf_ algorithm = { 0 };
    struct plain plain;
    enum pki_curve curve;

    pki_put_algorithm(&algorithm, PKI_P256);
    if (!der_take(&der, DER_SEQUENCE, &outer) || der.len)
        return false;
    plain.info = outer;
    if (!der_take(&outer, DER_SEQUENCE, &content))
        return false;
    plain.info.len -= outer.len;
    if (!view_starts(content, VIEW_ARR(no_names)) || !view_starts(outer, buf_view(&algorithm)))
        return false;
    content = view_sub(content, sizeof(no_names), content.len);
    outer = view_sub(outer, algorithm.len, outer.len);
    if (!der_take_whole(&content, DER_SEQUENCE, &plain.spki) ||
        !view_eq(content, VIEW_ARR(no_attributes)) || !der_take(&outer, DER_BITS, &plain.sig) ||
        outer.len || plain.sig.len == 0 || plain.sig.data[0] != 0 ||
        !pki_spki_curve(plain.spki, &curve) || curve != PKI_P256)
        return false;
    plain.sig = view_sub(plain.sig, 1, plain.sig.len); /* behind the count of unused bits */
    *ret = plain;
    return true;
}

static struct pki_csr *csr_of(const struct plain *plain)
{
    struct pki_csr *csr = mem_new(struct pki_csr);

    csr->has_no_names = true;
    csr->spki = buf_dup(plain->spki);
    pki_hash(plain->spki, csr->spki_hash);
    return csr;
}

/* Its signature is verified with the others' of the batch. */
static bool add_plain(struct pki_batch *batch, const struct plain *plain, struct err *err)
{
    uint8_t hash[HASH_SIZE];

    pki_hash(plain->info, hash);
    if (pki_batch_add(batch, plain->spki, VIEW_ARR(hash), plain->sig))
        return true;
    return pki_spki_is_key(plain->spki)
               ? refuse_signature(err)
               : err_set(err, ERR_WRONG_KEY, "the request's key is no point of P-256");
}

static bool read_any(struct view der, struct pki_csr **ret_csr, struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = mem_new(struct pki_csr);
    const unsigned char *at = der.data;

    ERR_clear_error();
    csr->req =
        (X509_REQ *)ASN1_item_d2i_ex(NULL, &at, (long)der.len, X509_REQ_it(), pki_keyless(), NULL);
    if (!csr->req)
        return pki_err(err, ERR_BAD_WIRE, "not a certificate request");
    if (at != der.data + der.len || !is_der(csr->req, der))
        return pki_err(err, ERR_BAD_WIRE, "the request is not in DER");
    if (X509_REQ_get_version(csr->req) != X509_REQ_VERSION_1)
        return err_set(err, ERR_BAD_WIRE, "the request's version is not 1");
    if (!check_key(csr, err) || !check_signature(csr, der, err))
        return false;
    *ret_csr = STEAL(csr);
    return true;
}

/* Another one than of these is read and verified by itself. */
static struct pki_csr *read_or_add(struct pki_batch *batch, struct view der, bool *ret_is_added,
                                   struct err *err)
{
    struct pki_csr *csr = NULL;
    struct plain plain;

    *ret_is_added = false;
    if (der.len > PKI_MAX_CSR)
        err_set(err, ERR_TOO_LARGE, "a request of %zu bytes, at most %d", der.len, PKI_MAX_CSR);
    else if (!read_plain(der, &plain))
        read_any(der, &csr, err);
    else if (add_plain(batch, &plain, err)) {
        *ret_is_added = true;
        csr = csr_of(&plain);
    }
    return csr;
}

void pki_csr_read_all(const struct view *ders, size_t n, struct pki_csr **ret_csrs,
                      struct err *ret_errs)
{
    _cleanup_(pki_batch_freep) struct pki_batch *batch = pki_batch_new(VIEW(NULL, 0));
    _free_ bool *is_added = mem_array(bool, n + 1), *is_right = mem_array(bool, n + 1);
    size_t n_added = 0;

    for (size_t i = 0; i < n; i++)
        ret_csrs[i] = read_or_add(batch, ders[i], &is_added[i], &ret_errs[i]);
    pki_batch_verify(batch, is_right);
    for (size_t i = 0; i < n; i++) {
        if (!is_added[i] || is_right[n_added++])
            continue;
        refuse_signature(&ret_errs[i]);
        pki_csr_free(ret_csrs[i]);
        ret_csrs[i] = NULL;
    }
}

bool pki_csr_read(struct view der, struct pki_csr **ret_csr, struct err *err)
{
    struct pki_csr *csr;

    pki_csr_read_all(&der, 1, &csr, err);
    if (!csr)
        return false;
    *ret_csr = csr;
    return true;
}

/* CertificationRequest { CertificationRequestInfo { version, subject, subjectPKInfo, ... }, ... } */
static bool take_spki(struct view der, struct view *ret_spki)
{
    struct view outer, info, skipped;

    return der_take(&der, DER_SEQUENCE, &outer) && der.len == 0 &&
           der_take(&outer, DER_SEQUENCE, &info) && der_take(&info, DER_INTEGER, &skipped) &&
           der_take(&info, DER_SEQUENCE, &skipped) && der_take_whole(&info, DER_SEQUENCE, ret_spki);
}

bool pki_csr_take(struct view der, struct pki_csr **ret_csr, struct err *err)
{
    enum pki_curve curve;
    struct pki_csr *csr;
    struct view spki;

    if (der.len > PKI_MAX_CSR)
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes, at most %d", der.len,
                       PKI_MAX_CSR);
    if (!take_spki(der, &spki))
        return err_set(err, ERR_BAD_WIRE, "not a certificate request");
    if (!pki_spki_curve(spki, &curve) || curve != PKI_P256)
        return err_set(err, ERR_WRONG_KEY, "the request's key is not P-256");
    csr = mem_new(struct pki_csr);
    csr->spki = buf_dup(spki);
    pki_hash(spki, csr->spki_hash);
    *ret_csr = csr;
    return true;
}

void pki_csr_free(struct pki_csr *csr)
{
    if (!csr)
        return;
    X509_REQ_free(csr->req);
    buf_free(&csr->spki);
    free(csr);
}

void pki_csr_spki_hash(const struct pki_csr *csr, uint8_t ret_hash[HASH_SIZE])
{
    memcpy(ret_hash, csr->spki_hash, HASH_SIZE);
}

/* ---- names ------------------------------------------------------------------------------ */

static bool check_subject(const X509_REQ *req, const char *label, struct err *err)
{
    const X509_NAME *subject = X509_REQ_get_subject_name(req);

    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        struct view value = string_view(X509_NAME_ENTRY_get_data(entry));
        if (nid != NID_commonName)
            return err_set(err, ERR_NAME_MISMATCH, "the request names %s=%.*s", OBJ_nid2sn(nid),
                           VIEW_FMT(value));
        if (!view_eq_text(value, label))
            return err_set(err, ERR_NAME_MISMATCH, "the request's common name is %.*s, not %s",
                           VIEW_FMT(value), label);
    }
    return true;
}

static bool check_name(const GENERAL_NAME *name, const char *label, const char *network,
                       struct err *err)
{
    _buf_ wanted = { 0 };

    buf_printf(&wanted, "%s.%s", label, network);
    if (name->type != GEN_DNS)
        return err_set(err, ERR_NAME_MISMATCH,
                       "the request has an alternative name that is no dNSName");
    if (!view_eq(string_view(name->d.dNSName), buf_view(&wanted)))
        return err_set(err, ERR_NAME_MISMATCH, "the request is for %.*s, not %s",
                       VIEW_FMT(string_view(name->d.dNSName)), buf_cstr(&wanted));
    return true;
}

static bool check_san(X509_EXTENSION *ext, const char *label, const char *network, struct err *err)
{
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = X509V3_EXT_d2i(ext);

    if (!names)
        return pki_err(err, ERR_NAME_MISMATCH, "the request's subjectAltName is malformed");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (!check_name(sk_GENERAL_NAME_value(names, i), label, network, err))
            return false;
    return true;
}

/* One value of an extensionRequest attribute: each subjectAltName in it, however many. */
static bool check_extensions(const ASN1_TYPE *value, const char *label, const char *network,
                             struct err *err)
{
    const unsigned char *at;
    X509_EXTENSIONS *exts = NULL;
    bool ok = true;

    if (value && value->type == V_ASN1_SEQUENCE) {
        at = ASN1_STRING_get0_data(value->value.sequence);
        exts = d2i_X509_EXTENSIONS(NULL, &at, ASN1_STRING_length(value->value.sequence));
    }
    if (!exts)
        return pki_err(err, ERR_NAME_MISMATCH, "the request's extensions are malformed");
    for (int i = 0; ok && i < sk_X509_EXTENSION_num(exts); i++) {
        X509_EXTENSION *ext = sk_X509_EXTENSION_value(exts, i);
        if (OBJ_obj2nid(X509_EXTENSION_get_object(ext)) == NID_subject_alt_name)
            ok = check_san(ext, label, network, err);
    }
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok;
}

/* Attributes but extension requests are refused: some hold names, none is of use. */
static bool check_attribute(X509_ATTRIBUTE *attr, const char *label, const char *network,
                            struct err *err)
{
    int nid = OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attr));

    if (nid != NID_ext_req && nid != NID_ms_ext_req)
        return err_set(err, ERR_NAME_MISMATCH, "the request has the attribute %s", OBJ_nid2sn(nid));
    for (int i = 0; i < X509_ATTRIBUTE_count(attr); i++)
        if (!check_extensions(X509_ATTRIBUTE_get0_type(attr, i), label, network, err))
            return false;
    return true;
}

bool pki_csr_check_names(const struct pki_csr *csr, const char *label, const char *network,
                         struct err *err)
{
    if (csr->has_no_names)
        return true;
    if (!check_subject(csr->req, label, err))
        return false;
    for (int i = 0; i < X509_REQ_get_attr_count(csr->req); i++)
        if (!check_attribute(X509_REQ_get_attr(csr->req, i), label, network, err))
            return false;
    return true;
}
