/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate (RFC 5280), parsed once, kept with its bytes and with what people want to see. */
#include "pki/der.h"
#include "pki/ossl.h"
#include "pki/profile.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>

/* Text from afar for people: printable ASCII, the rest as \xNN. */
static void put_printable(struct buf *to, struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] >= 0x20 && text.data[i] < 0x7f)
            buf_put_u8(to, text.data[i]);
        else
            buf_printf(to, "\\x%02x", text.data[i]);
    }
}

static struct view string_view(const ASN1_STRING *s)
{
    return VIEW(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* RFC 2253, what is not ASCII escaped. */
static char *name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *bytes = NULL;
    long len;

    if (!bio)
        abort();
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0 &&
        (len = BIO_get_mem_data(bio, &bytes)) > 0)
        text = view_dup_text(VIEW(bytes, (size_t)len));
    BIO_free(bio);
    return text ? text : mem_text("");
}

static void put_ip(struct buf *to, struct view ip)
{
    char text[INET6_ADDRSTRLEN] = "malformed";

    if (ip.len == 4 || ip.len == 16)
        inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.data, text, sizeof(text));
    buf_put_text(to, text);
}

static void put_name(struct buf *to, const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_DNS:
        buf_put_text(to, "DNS:");
        put_printable(to, string_view(name->d.dNSName));
        break;
    case GEN_URI:
        buf_put_text(to, "URI:");
        put_printable(to, string_view(name->d.uniformResourceIdentifier));
        break;
    case GEN_EMAIL:
        buf_put_text(to, "email:");
        put_printable(to, string_view(name->d.rfc822Name));
        break;
    case GEN_IPADD:
        buf_put_text(to, "IP:");
        put_ip(to, string_view(name->d.iPAddress));
        break;
    default:
        buf_put_text(to, "other");
    }
}

static char *names_text(X509 *x509)
{
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
        X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    _buf_ text = { 0 };

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (i > 0)
            buf_put_text(&text, ", ");
        put_name(&text, sk_GENERAL_NAME_value(names, i));
    }
    return mem_text(buf_cstr(&text));
}

/* For people: the profile refuses times in another form than RFC 5280's, facts show 0 for them. */
static uint64_t time_or_zero(const ASN1_TIME *time)
{
    uint64_t ms;

    return pki_time_read(time, &ms) ? ms : 0;
}

/* OpenSSL keeps sign and magnitude; on the wire it is two's complement, behind tag and length. */
static bool read_serial(struct pki_cert *cert, struct err *err)
{
    unsigned char *der = NULL;
    _buf_ whole = { 0 };
    size_t head = 2;

    if (!pki_take_der(&whole, &der, i2d_ASN1_INTEGER(X509_get_serialNumber(cert->x509), &der), err))
        return false;
    if (whole.data[1] & 0x80)
        head += whole.data[1] & 0x7f;
    buf_put(&cert->serial_octets, view_sub(buf_view(&whole), head, whole.len));
    return true;
}

static void read_times(struct pki_cert *cert)
{
    cert->facts = (struct pki_facts){
        .subject = "",
        .issuer = "",
        .names = "",
        .serial = "",
        .not_before = time_or_zero(X509_get0_notBefore(cert->x509)),
        .not_after = time_or_zero(X509_get0_notAfter(cert->x509)),
    };
}

static void read_texts(struct pki_cert *cert)
{
    _buf_ serial = { 0 };

    text_put_hex(&serial, pki_cert_serial(cert));
    cert->subject = name_text(X509_get_subject_name(cert->x509));
    cert->issuer = name_text(X509_get_issuer_name(cert->x509));
    cert->names = names_text(cert->x509);
    cert->serial = mem_text(buf_cstr(&serial));
    cert->facts.subject = cert->subject;
    cert->facts.issuer = cert->issuer;
    cert->facts.names = cert->names;
    cert->facts.serial = cert->serial;
}

/* OpenSSL reads BER and remembers the bytes it came from. Writing everything anew shows whether
 * they were DER, the only encoding in which equal means equal bytes. It is written from the very
 * object that is then used: a copy would decode the key once more, which costs more than the rest. */
static bool is_tbs_der(X509 *x509, struct view tbs)
{
    unsigned char *out = NULL;
    int len = i2d_re_X509_tbs(x509, &out);
    bool same = len > 0 && view_eq(VIEW(out, (size_t)len), tbs);

    OPENSSL_free(out);
    return same;
}

static bool is_rest_der(X509 *x509, struct view rest)
{
    unsigned char *alg_der = NULL, *sig_der = NULL;
    const ASN1_BIT_STRING *sig;
    const X509_ALGOR *alg;
    _buf_ again = { 0 };
    struct err unused;

    X509_get0_signature(&sig, &alg, x509);
    return pki_take_der(&again, &alg_der, i2d_X509_ALGOR(alg, &alg_der), &unused) &&
           pki_take_der(&again, &sig_der, i2d_ASN1_BIT_STRING(sig, &sig_der), &unused) &&
           view_eq(buf_view(&again), rest);
}

/* Certificate (RFC 5280, 4.1): the signature is over the first of three. */
static bool is_der(X509 *x509, struct view der)
{
    struct view outer, tbs;

    return der_take(&der, DER_SEQUENCE, &outer) && der.len == 0 &&
           der_take_whole(&outer, DER_SEQUENCE, &tbs) && is_tbs_der(x509, tbs) &&
           is_rest_der(x509, outer);
}

static bool read_with(OSSL_LIB_CTX *ctx, struct view der, struct pki_cert **ret_cert,
                      struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = mem_new(struct pki_cert);
    const unsigned char *at = der.data;
    _buf_ spki = { 0 };

    if (der.len > PKI_MAX_CERT)
        return err_set(err, ERR_TOO_LARGE, "a certificate of %zu bytes, at most %d", der.len,
                       PKI_MAX_CERT);
    ERR_clear_error();
    cert->x509 = (X509 *)ASN1_item_d2i_ex(NULL, &at, (long)der.len, X509_it(), ctx, NULL);
    if (!cert->x509)
        return pki_err(err, ERR_BAD_CERTIFICATE, "not a certificate");
    if (at != der.data + der.len || !is_der(cert->x509, der))
        return err_set(err, ERR_BAD_CERTIFICATE, "the certificate is not in DER");
    if (!pki_x509_spki(cert->x509, &spki, err) || !read_serial(cert, err))
        return false;
    cert->der = buf_dup(der);
    pki_hash(der, cert->hash);
    pki_hash(buf_view(&spki), cert->spki_hash);
    read_times(cert);
    *ret_cert = STEAL(cert);
    return true;
}

bool pki_cert_read_bare(struct view der, struct pki_cert **ret_cert, struct err *err)
{
    return read_with(pki_keyless(), der, ret_cert, err);
}

bool pki_cert_read(struct view der, struct pki_cert **ret_cert, struct err *err)
{
    if (!read_with(NULL, der, ret_cert, err))
        return false;
    read_texts(*ret_cert);
    return true;
}

bool pki_cert_read_keyless(struct view der, struct pki_cert **ret_cert, struct err *err)
{
    if (!pki_cert_read_bare(der, ret_cert, err))
        return false;
    read_texts(*ret_cert);
    return true;
}

bool pki_cert_read_pem(struct view pem, struct pki_cert **ret_cert, struct err *err)
{
    struct buf blocks[PKI_MAX_CHAIN] = { 0 };
    size_t n = 0;
    bool ok = pki_pem_read_all(pem, "CERTIFICATE", blocks, N_ELEMENTS(blocks), &n, err);

    if (ok && n == 0)
        ok = err_set(err, ERR_BAD_CERTIFICATE, "no CERTIFICATE in the PEM");
    ok = ok && pki_cert_read(buf_view(&blocks[0]), ret_cert, err);
    for (size_t i = 0; i < N_ELEMENTS(blocks); i++)
        buf_free(&blocks[i]);
    return ok;
}

bool pki_cert_span(struct view der, struct view *ret_serial, struct pki_span *ret_span)
{
    struct view outer, tbs, serial, validity, skipped;
    struct pki_span span;

    if (!der_take(&der, DER_SEQUENCE, &outer) || der.len || !der_take(&outer, DER_SEQUENCE, &tbs) ||
        !der_take(&tbs, DER_CONSTRUCTED | 0, &skipped) || !der_take(&tbs, DER_INTEGER, &serial) ||
        !der_take(&tbs, DER_SEQUENCE, &skipped) || !der_take(&tbs, DER_SEQUENCE, &skipped) ||
        !der_take(&tbs, DER_SEQUENCE, &validity) || !der_take_time(&validity, &span.not_before) ||
        !der_take_time(&validity, &span.not_after))
        return false;
    *ret_serial = serial;
    *ret_span = span;
    return true;
}

void pki_cert_free(struct pki_cert *cert)
{
    if (!cert)
        return;
    X509_free(cert->x509);
    buf_free(&cert->der);
    buf_free(&cert->serial_octets);
    free(cert->subject);
    free(cert->issuer);
    free(cert->names);
    free(cert->serial);
    free(cert);
}

struct view pki_cert_der(const struct pki_cert *cert)
{
    return buf_view(&cert->der);
}

struct view pki_cert_serial(const struct pki_cert *cert)
{
    return buf_view(&cert->serial_octets);
}

const struct pki_facts *pki_cert_facts(const struct pki_cert *cert)
{
    return &cert->facts;
}

void pki_cert_hash(const struct pki_cert *cert, uint8_t ret_hash[HASH_SIZE])
{
    memcpy(ret_hash, cert->hash, HASH_SIZE);
}

void pki_cert_spki_hash(const struct pki_cert *cert, uint8_t ret_hash[HASH_SIZE])
{
    memcpy(ret_hash, cert->spki_hash, HASH_SIZE);
}

void pki_cert_key_digits(const struct pki_cert *cert, char ret_digits[PKI_KEY_DIGITS + 1])
{
    uint8_t id[PKI_SKI_SIZE];
    _buf_ hex = { 0 };

    pki_ext_key_id(pki_x509_point(cert->x509), id);
    text_put_hex(&hex, VIEW(id, PKI_KEY_DIGITS / 2));
    memcpy(ret_digits, buf_cstr(&hex), PKI_KEY_DIGITS + 1);
}

bool pki_cert_is_by(const struct pki_cert *cert, const struct pki_cert *issuer)
{
    return X509_check_issued(issuer->x509, cert->x509) == X509_V_OK;
}
