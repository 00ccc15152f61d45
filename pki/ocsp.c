/* SPDX-License-Identifier: Apache-2.0 */
/* The OCSP responder (RFC 6960, 4.2): what a delegated signer says about certificates of one issuer. */
#include "base/clock.h"
#include "pki/der.h"
#include "pki/profile.h"

static const uint8_t oid_basic[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01 };
static const uint8_t oid_nonce[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

enum { SHA1_SIZE = 20 };

struct issuer_hash { /* of the issuer's name and key, as requests name it */
    uint8_t name[HASH_SIZE], key[HASH_SIZE];
    size_t size;
};

struct pki_ocsp {
    struct pki_cert *cert;
    struct pki_key *key;
    struct issuer_hash by[PKI_OCSP_OTHER_HASH];
    uint8_t key_sha1[SHA1_SIZE]; /* of the signer's own key: the responder's identity */
};

/* ---- the responder ------------------------------------------------------------------------ */

static bool digest(const EVP_MD *md, struct view bytes, uint8_t to[HASH_SIZE], struct err *err)
{
    return EVP_Digest(bytes.data, bytes.len, to, NULL, md, NULL) == 1 ||
           pki_err(err, ERR_SYSTEM, "hashing");
}

static bool hash_issuer(struct pki_ocsp *ocsp, const struct pki_cert *issuer, struct err *err)
{
    const EVP_MD *const mds[] = { [PKI_OCSP_SHA1] = EVP_sha1(), [PKI_OCSP_SHA256] = EVP_sha256() };
    const unsigned char *name;
    size_t n_name;

    if (!X509_NAME_get0_der(X509_get_subject_name(issuer->x509), &name, &n_name))
        return pki_err(err, ERR_SYSTEM, "name of the issuer");
    for (size_t i = 0; i < N_ELEMENTS(mds); i++) {
        ocsp->by[i].size = (size_t)EVP_MD_get_size(mds[i]);
        if (!digest(mds[i], VIEW(name, n_name), ocsp->by[i].name, err) ||
            !digest(mds[i], pki_x509_point(issuer->x509), ocsp->by[i].key, err))
            return false;
    }
    return true;
}

bool pki_ocsp_new(const struct pki_cert *issuer, struct view cert_der, struct pki_key *key_taken,
                  struct pki_ocsp **ret_ocsp, struct err *err)
{
    _cleanup_(pki_ocsp_freep) struct pki_ocsp *ocsp = mem_new(struct pki_ocsp);
    uint8_t hash[HASH_SIZE], sha1[HASH_SIZE];

    ocsp->key = key_taken;
    if (!pki_cert_read(cert_der, &ocsp->cert, err) ||
        (key_taken && !pki_key_spki_hash(key_taken, hash, err)))
        return false;
    if (key_taken && !view_eq(VIEW_ARR(hash), VIEW_ARR(ocsp->cert->spki_hash)))
        return err_set(err, ERR_WRONG_KEY, "the OCSP signer's key is not its certificate's");
    if (!hash_issuer(ocsp, issuer, err) ||
        !digest(EVP_sha1(), pki_x509_point(ocsp->cert->x509), sha1, err))
        return false;
    memcpy(ocsp->key_sha1, sha1, SHA1_SIZE);
    *ret_ocsp = STEAL(ocsp);
    return true;
}

void pki_ocsp_free(struct pki_ocsp *ocsp)
{
    if (!ocsp)
        return;
    pki_cert_free(ocsp->cert);
    pki_key_free(ocsp->key);
    free(ocsp);
}

bool pki_ocsp_is_ours(const struct pki_ocsp *ocsp, const struct pki_ocsp_item *item)
{
    const struct issuer_hash *by;

    if (item->hash == PKI_OCSP_OTHER_HASH)
        return false;
    by = &ocsp->by[item->hash];
    return view_eq(item->name_hash, VIEW(by->name, by->size)) &&
           view_eq(item->key_hash, VIEW(by->key, by->size));
}

/* ---- the answer --------------------------------------------------------------------------- */

static void put_revoked(struct buf *to, const struct pki_ocsp_status *status)
{
    size_t start = to->len, reason;
    uint8_t n = status->reason;

    der_put_generalized(to, status->revoked_at);
    if (n != 0) { /* "unspecified" is said by saying nothing */
        reason = to->len;
        der_put(to, DER_ENUMERATED, VIEW(&n, 1));
        der_wrap(to, reason, DER_CONSTRUCTED | 0);
    }
    der_wrap(to, start, DER_CONSTRUCTED | 1);
}

static void put_status(struct buf *to, const struct pki_ocsp_status *status)
{
    switch (status->what) {
    case PKI_OCSP_GOOD:
        der_put(to, DER_CONTEXT | 0, VIEW(NULL, 0));
        return;
    case PKI_OCSP_REVOKED:
        put_revoked(to, status);
        return;
    case PKI_OCSP_UNKNOWN:
        der_put(to, DER_CONTEXT | 2, VIEW(NULL, 0));
        return;
    }
}

static void put_single(struct buf *to, const struct pki_ocsp_item *item,
                       const struct pki_ocsp_status *status, const struct pki_ocsp_times *times)
{
    size_t start = to->len, next;

    buf_put(to, item->id);
    put_status(to, status);
    der_put_generalized(to, times->now);
    next = to->len;
    der_put_generalized(to, times->now + times->holds_for);
    der_wrap(to, next, DER_CONSTRUCTED | 0);
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_nonce(struct buf *to, struct view nonce)
{
    size_t start = to->len;

    der_put(to, DER_OID, VIEW_ARR(oid_nonce));
    der_put(to, DER_OCTETS, nonce);
    der_wrap(to, start, DER_SEQUENCE);
    der_wrap(to, start, DER_SEQUENCE);
    der_wrap(to, start, DER_CONSTRUCTED | 1);
}

static void put_data(struct buf *to, const struct pki_ocsp *ocsp,
                     const struct pki_ocsp_request *request, const struct pki_ocsp_status *statuses,
                     const struct pki_ocsp_times *times)
{
    size_t start = to->len, responses;

    der_put(to, DER_OCTETS, VIEW_ARR(ocsp->key_sha1));
    der_wrap(to, start, DER_CONSTRUCTED | 2); /* responderID byKey */
    der_put_generalized(to, times->now);      /* producedAt */
    responses = to->len;
    for (size_t i = 0; i < request->n_items; i++)
        put_single(to, &request->items[i], &statuses[i], times);
    der_wrap(to, responses, DER_SEQUENCE);
    if (request->nonce.len)
        put_nonce(to, request->nonce);
    der_wrap(to, start, DER_SEQUENCE);
}

/* BasicOCSPResponse: data, algorithm, signature, the signer's certificate. */
static bool put_basic(struct buf *to, const struct pki_ocsp *ocsp, struct view data,
                      struct err *err)
{
    size_t start = to->len, at;
    _buf_ sig = { 0 };

    buf_put_u8(&sig, 0); /* no unused bits */
    if (!pki_key_sign(ocsp->key, data, &sig, err))
        return false;
    buf_put(to, data);
    at = to->len;
    der_put(to, DER_OID, VIEW_ARR(oid_ecdsa_sha256));
    der_wrap(to, at, DER_SEQUENCE);
    der_put(to, DER_BITS, buf_view(&sig));
    at = to->len;
    buf_put(to, pki_cert_der(ocsp->cert));
    der_wrap(to, at, DER_SEQUENCE);
    der_wrap(to, at, DER_CONSTRUCTED | 0);
    der_wrap(to, start, DER_SEQUENCE);
    return true;
}

bool pki_ocsp_write(const struct pki_ocsp *ocsp, const struct pki_ocsp_request *request,
                    const struct pki_ocsp_status *statuses, const struct pki_ocsp_times *times,
                    struct buf *to, struct err *err)
{
    static const uint8_t successful = 0;
    _buf_ data = { 0 }, basic = { 0 }, bytes = { 0 };

    put_data(&data, ocsp, request, statuses, times);
    if (!put_basic(&basic, ocsp, buf_view(&data), err))
        return err_wrap(err, "OCSP answer");
    der_put(&bytes, DER_OID, VIEW_ARR(oid_basic));
    der_put(&bytes, DER_OCTETS, buf_view(&basic));
    der_wrap(&bytes, 0, DER_SEQUENCE);
    der_wrap(&bytes, 0, DER_CONSTRUCTED | 0);

    size_t start = to->len;
    der_put(to, DER_ENUMERATED, VIEW(&successful, 1));
    buf_put(to, buf_view(&bytes));
    der_wrap(to, start, DER_SEQUENCE);
    return true;
}

void pki_ocsp_write_failure(enum pki_ocsp_failure why, struct buf *to)
{
    const uint8_t n = (uint8_t)why;
    size_t start = to->len;

    der_put(to, DER_ENUMERATED, VIEW(&n, 1));
    der_wrap(to, start, DER_SEQUENCE);
}
