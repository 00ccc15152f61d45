/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/den/ocsp.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

static X509 *as_x509(struct view der)
{
    const unsigned char *at = der.data;

    return d2i_X509(NULL, &at, (long)der.len);
}

struct buf ocsp_ask(struct view issuer, struct view serial)
{
    X509 *ca = as_x509(issuer);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    unsigned char *out = NULL;
    struct buf der = { 0 };
    int len;

    ASN1_STRING_set(number, serial.data, (int)serial.len);
    OCSP_request_add0_id(request, OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(ca),
                                                   X509_get0_pubkey_bitstr(ca), number));
    len = i2d_OCSP_REQUEST(request, &out);
    buf_put(&der, VIEW(out, (size_t)len));
    OPENSSL_free(out);
    OCSP_REQUEST_free(request);
    ASN1_INTEGER_free(number);
    X509_free(ca);
    return der;
}

/* The issuer is what is trusted; the test's clock is not OpenSSL's. */
static bool is_verified(OCSP_BASICRESP *basic, struct view issuer)
{
    X509_STORE *store = X509_STORE_new();
    X509 *ca = as_x509(issuer);
    bool ok;

    X509_STORE_add_cert(store, ca);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
    ok = OCSP_basic_verify(basic, NULL, store, 0) == 1;
    X509_free(ca);
    X509_STORE_free(store);
    return ok;
}

int ocsp_says(struct view answer, struct view issuer)
{
    const unsigned char *at = answer.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)answer.len);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    int status = response ? -OCSP_response_status(response) : OCSP_SAYS_JUNK, reason;

    if (basic)
        status = is_verified(basic, issuer)
                     ? OCSP_single_get0_status(OCSP_resp_get0(basic, 0), &reason, NULL, NULL, NULL)
                     : OCSP_SAYS_UNVERIFIED;
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return status;
}

bool crl_is_signed_by(struct view der, struct view issuer)
{
    const unsigned char *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    X509 *ca = as_x509(issuer);
    AUTHORITY_KEYID *aki =
        crl ? X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL) : NULL;
    bool is = crl && X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca)) == 0 &&
              aki && X509_check_akid(ca, aki) == X509_V_OK &&
              X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1;

    AUTHORITY_KEYID_free(aki);
    X509_CRL_free(crl);
    X509_free(ca);
    return is;
}
