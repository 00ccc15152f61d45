/* SPDX-License-Identifier: Apache-2.0 */
/* The OCSP responder (RFC 6960, 4.2): what a delegated signer says about certificates of its issuer. */
#include "base/clock.h"
#include "pki/der.h"
#include "pki/profile.h"

static const uint8_t oid_basic[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01 };
static const uint8_t oid_nonce[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

enum { SHA1_SIZE = 20 };

struct pki_ocsp {
    struct pki_cert *cert;
    struct pki_key *key;
    uint8_t key_sha1[SHA1_SIZE]; /* of the signer's own key: the responder's identity */
};

/* ---- the responder ------------------------------------------------------------------------ */

static bool digest(const EVP_MD *md, struct view bytes, uint8_t to[HASH_SIZE], struct err *err)
{
    return EVP_Digest(bytes.data, bytes.len, to, NULL, md, NULL) == 1 ||
           pki_err(err, ERR_SYSTEM, "hashing");
}

bool pki_ocsp_new(struct view cert_der, struct pki_key *key_taken, struct pki_ocsp **ret_ocsp,
                  struct err *err)
{
    _cleanup_(pki_ocsp_freep) struct pki_ocsp *ocsp = mem_new(struct pki_ocsp);
    uint8_t hash[HASH_SIZE], sha1[HASH_SIZE];

    ocsp->key = key_taken;
    if (!pki_cert_read(cert_der, &ocsp->cert, err) || !pki_key_spki_hash(key_taken, hash, err))
        return false;
    if (!view_eq(VIEW_ARR(hash), VIEW_ARR(ocsp->cert->spki_hash)))
        return err_set(err, ERR_WRONG_KEY, "the OCSP signer's key is not its certificate's");
    if (!digest(EVP_sha1(), pki_x509_point(ocsp->cert->x509), sha1, err))
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

/* RFC 6960, 4.1.1: hashes of the issuer's name and of its key, by the algorithm that the request chose. */
bool pki_ocsp_is_of(const struct pki_cert *issuer, const struct pki_ocsp_item *item)
{
    const EVP_MD *const mds[] = { [PKI_OCSP_SHA1] = EVP_sha1(), [PKI_OCSP_SHA256] = EVP_sha256() };
    uint8_t name_hash[HASH_SIZE], key_hash[HASH_SIZE];
    const unsigned char *name;
    struct err unused;
    size_t n_name, size;

    if (item->hash == PKI_OCSP_OTHER_HASH ||
        !X509_NAME_get0_der(X509_get_subject_name(issuer->x509), &name, &n_name) ||
        !digest(mds[item->hash], VIEW(name, n_name), name_hash, &unused) ||
        !digest(mds[item->hash], pki_x509_point(issuer->x509), key_hash, &unused))
        return false;
    size = (size_t)EVP_MD_get_size(mds[item->hash]);
    return view_eq(item->name_hash, VIEW(name_hash, size)) &&
           view_eq(item->key_hash, VIEW(key_hash, size));
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
