/* SPDX-License-Identifier: Apache-2.0 */
/* The profile but for the extensions: version, serial, algorithms, names, times, key. */
#include "pki/profile.h"

#include "base/clock.h"
#include "base/text.h"

/* clang-format off */
/* Values of extensions, DER: basicConstraints, keyUsage, extKeyUsage. */
static const uint8_t not_ca[] = { 0x30, 0x00 };
static const uint8_t ca_of_leaves[] = { 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00 };
static const uint8_t ca[] = { 0x30, 0x03, 0x01, 0x01, 0xff };
static const uint8_t signs_handshakes[] = { 0x03, 0x02, 0x07, 0x80 };   /* digitalSignature */
static const uint8_t signs_certificates[] = { 0x03, 0x02, 0x01, 0x06 }; /* keyCertSign, cRLSign */
#define PURPOSE(n) 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, (n)    /* id-kp n */
static const uint8_t both_sides[] = { 0x30, 0x14, PURPOSE(1), PURPOSE(2) };     /* server, client */
static const uint8_t signs_statuses[] = { 0x30, 0x0a, PURPOSE(9) };             /* OCSPSigning */
static const uint8_t caps_leaves[] = { 0x30, 0x1e, PURPOSE(1), PURPOSE(2), PURPOSE(9) };

#define BYTES(a) { (a), sizeof(a) }
/* clang-format on */

static bool is_router(struct view label)
{
    return view_eq_text(label, "router");
}

static bool is_responder(struct view label)
{
    return view_eq_text(label, "ocsp");
}

/* clang-format off */
const struct pki_shape_row pki_shapes[PKI_N_SHAPES] = {
    [PKI_SHAPE_PEER] = { "the certificate", text_is_id, PKI_P256, PKI_P256, 7 * DAY_MS,
                         BYTES(not_ca), BYTES(signs_handshakes), BYTES(both_sides) },
    [PKI_SHAPE_ROUTER] = { "the router's certificate", is_router, PKI_P256, PKI_P256, 30 * DAY_MS,
                           BYTES(not_ca), BYTES(signs_handshakes), BYTES(both_sides) },
    [PKI_SHAPE_OCSP] = { "the OCSP signer's certificate", is_responder, PKI_P256, PKI_P256, 7 * DAY_MS,
                         BYTES(not_ca), BYTES(signs_handshakes), BYTES(signs_statuses) },
    [PKI_SHAPE_INTERMEDIATE] = { "the intermediate", NULL, PKI_P256, PKI_P384, 5 * 366 * DAY_MS,
                                 BYTES(ca_of_leaves), BYTES(signs_certificates),
                                 BYTES(caps_leaves) },
    [PKI_SHAPE_ROOT] = { "the root", NULL, PKI_P384, PKI_P384, UINT64_MAX,
                         BYTES(ca), BYTES(signs_certificates), { NULL, 0 } },
};
/* clang-format on */

bool pki_shape_of(struct view label, enum pki_shape *ret_shape, struct err *err)
{
    for (size_t i = 0; i < PKI_N_SHAPES; i++) {
        if (!pki_shapes[i].fits || !pki_shapes[i].fits(label))
            continue;
        *ret_shape = (enum pki_shape)i;
        return true;
    }
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "no certificate is ever for \"%.*s\": it is neither an ID nor \"router\"",
                   VIEW_FMT(label));
}

bool pki_profile_is_alg(const X509_ALGOR *alg, enum pki_curve signed_by)
{
    int wanted = signed_by == PKI_P256 ? NID_ecdsa_with_SHA256 : NID_ecdsa_with_SHA384;
    const ASN1_OBJECT *oid;
    int type;

    X509_ALGOR_get0(&oid, &type, NULL, alg);
    return OBJ_obj2nid(oid) == wanted && type == V_ASN1_UNDEF; /* RFC 5758: no parameters */
}

static bool check_serial(const struct pki_cert *cert, _unused_ const struct pki_ask *ask,
                         struct err *err)
{
    struct view serial = pki_cert_serial(cert);

    if (serial.len == 0 || serial.data[0] & 0x80)
        return err_set(err, ERR_BAD_CERTIFICATE, "has a negative serial number");
    if (serial.len > PKI_MAX_SERIAL)
        return err_set(err, ERR_BAD_CERTIFICATE, "has a serial number of %zu octets, at most %d",
                       serial.len, PKI_MAX_SERIAL);
    if (serial.len < PKI_MIN_SERIAL)
        return err_set(err, ERR_BAD_CERTIFICATE, "has a serial number of %zu octets, fewer than %d",
                       serial.len, PKI_MIN_SERIAL);
    return true;
}

static bool check_frame(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err)
{
    const ASN1_BIT_STRING *issuer_uid, *subject_uid;
    const X509_ALGOR *outer;

    if (X509_get_version(cert->x509) != X509_VERSION_3)
        return err_set(err, ERR_BAD_CERTIFICATE, "has version %ld, not 3",
                       X509_get_version(cert->x509) + 1);
    X509_get0_uids(cert->x509, &issuer_uid, &subject_uid);
    if (issuer_uid || subject_uid)
        return err_set(err, ERR_BAD_CERTIFICATE, "has unique identifiers");
    X509_get0_signature(NULL, &outer, cert->x509);
    if (!pki_profile_is_alg(X509_get0_tbs_sigalg(cert->x509), pki_shapes[ask->shape].signed_by) ||
        !pki_profile_is_alg(outer, pki_shapes[ask->shape].signed_by))
        return err_set(err, ERR_BAD_CERTIFICATE, "is signed by %s, not by ECDSA with %s",
                       OBJ_nid2ln(X509_get_signature_nid(cert->x509)),
                       pki_shapes[ask->shape].signed_by == PKI_P256 ? "SHA256" : "SHA384");
    return true;
}

static bool same_name(const X509_NAME *a, const X509_NAME *b)
{
    const unsigned char *x, *y;
    size_t n_x, n_y;

    return X509_NAME_get0_der(a, &x, &n_x) && X509_NAME_get0_der(b, &y, &n_y) &&
           view_eq(VIEW(x, n_x), VIEW(y, n_y));
}

/* A leaf's subject is its label as the common name, for people and old stacks, or nothing. */
static bool check_common_name(const struct pki_cert *cert, const char *label, struct err *err)
{
    const X509_NAME *subject = X509_get_subject_name(cert->x509);
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, 0);
    const ASN1_STRING *value;

    if (!entry)
        return true;
    if (X509_NAME_entry_count(subject) != 1 ||
        OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != NID_commonName)
        return err_set(err, ERR_BAD_CERTIFICATE, "has the subject \"%s\", not \"CN=%s\"",
                       cert->facts.subject, label);
    value = X509_NAME_ENTRY_get_data(entry);
    if ((ASN1_STRING_type(value) != V_ASN1_UTF8STRING &&
         ASN1_STRING_type(value) != V_ASN1_PRINTABLESTRING) ||
        !view_eq_text(VIEW(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), label))
        return err_set(err, ERR_BAD_CERTIFICATE, "has the common name \"%s\", not \"CN=%s\"",
                       cert->facts.subject, label);
    return true;
}

static bool check_names(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err)
{
    const X509 *issuer = ask->issuer ? ask->issuer->x509 : cert->x509;

    if (!same_name(X509_get_issuer_name(cert->x509), X509_get_subject_name(issuer)))
        return err_set(err, ERR_BAD_CERTIFICATE, "has the issuer \"%s\", not \"%s\"",
                       cert->facts.issuer,
                       ask->issuer ? ask->issuer->facts.subject : cert->facts.subject);
    if (pki_shapes[ask->shape].fits)
        return check_common_name(cert, ask->label, err);
    return X509_NAME_entry_count(X509_get_subject_name(cert->x509)) > 0 ||
           err_set(err, ERR_BAD_CERTIFICATE, "has no subject");
}

static bool check_times(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err)
{
    uint64_t from = cert->facts.not_before, to = cert->facts.not_after;
    uint64_t max_life = pki_shapes[ask->shape].max_life;
    char is[PKI_SPAN_TEXT], may[PKI_SPAN_TEXT];

    if (from == 0 || to == 0)
        return err_set(err, ERR_BAD_CERTIFICATE, "has times that are not written as RFC 5280 asks");
    if (to < from)
        return err_set(err, ERR_BAD_CERTIFICATE, "ends before it begins");
    if (to - from > max_life)
        return err_set(err, ERR_BAD_CERTIFICATE, "lives for %s, at most %s",
                       pki_span_text(to - from, is), pki_span_text(max_life, may));
    if (ask->issuer && to > ask->issuer->facts.not_after)
        return err_set(err, ERR_BAD_CERTIFICATE, "outlives its issuer");
    return true;
}

static bool check_key(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err)
{
    enum pki_curve wanted = pki_shapes[ask->shape].curve, curve;
    _buf_ spki = { 0 };

    if (!pki_x509_spki(cert->x509, &spki, err))
        return false;
    if (!pki_spki_curve(buf_view(&spki), &curve) || curve != wanted ||
        !pki_spki_is_key(buf_view(&spki)))
        return pki_err(err, ERR_BAD_CERTIFICATE, "has a key that is not %s",
                       pki_curve_name(wanted));
    return true;
}

static bool check_extensions(const struct pki_cert *cert, const struct pki_ask *ask,
                             struct err *err)
{
    return pki_ext_check(cert->x509, ask, err);
}

bool pki_profile_check(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err)
{
    static bool (*const checks[])(const struct pki_cert *, const struct pki_ask *, struct err *) = {
        check_frame, check_serial, check_key, check_extensions, check_names, check_times,
    };

    struct err why = { 0 };

    /* A reason is a sentence about the certificate: "has no keyUsage". */
    for (size_t i = 0; i < N_ELEMENTS(checks); i++)
        if (!checks[i](cert, ask, &why))
            return err_set(err, why.code, "%s %s", pki_shapes[ask->shape].what, why.text);
    return true;
}

bool pki_check_leaf(const struct pki_cert *leaf, const struct pki_cert *issuer, const char *name,
                    const char *network, struct err *err)
{
    const char *dot = strchr(name, '.');
    struct pki_ask ask = { .issuer = issuer, .network = network };
    _free_ char *label = NULL;

    if (!dot || strcmp(dot + 1, network) != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not a name in %s", name, network);
    label = view_dup_text(VIEW(name, (size_t)(dot - name)));
    ask.label = label;
    return pki_shape_of(view_text(label), &ask.shape, err) && pki_profile_check(leaf, &ask, err);
}
