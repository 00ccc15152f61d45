/* SPDX-License-Identifier: Apache-2.0 */
/* TBSCertificate (RFC 5280, 4.1), written by hand: an X509 that is filled field by field costs more than the signature
 * over it. What is written here is read again by OpenSSL, and judged, before the CA's key is touched. */
#include "pki/der.h"
#include "pki/profile.h"

#include "base/text.h"

enum { VERSION_3 = 2, SET_OF = 0x31, UTF8 = 0x0c, IA5 = 0x16 };

static const uint8_t oid_common_name[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_domain_component[] = { 0x09, 0x92, 0x26, 0x89, 0x93,
                                                0xf2, 0x2c, 0x64, 0x01, 0x19 };

static void put_rdn(struct buf *to, struct view oid, unsigned tag, struct view text)
{
    size_t start = to->len;

    der_put(to, DER_OID, oid);
    der_put(to, tag, text);
    der_wrap(to, start, DER_SEQUENCE);
    der_wrap(to, start, SET_OF);
}

/* The network's labels as domain components (RFC 2247), outermost first: they fit where an
 * organisation's 64 characters would not. */
static void put_components(struct buf *to, const char *network)
{
    size_t end = strlen(network);

    for (size_t i = end; i-- > 0;) {
        if (i > 0 && network[i - 1] != '.')
            continue;
        put_rdn(to, VIEW_ARR(oid_domain_component), IA5, VIEW(network + i, end - i));
        end = i ? i - 1 : 0;
    }
}

/* A leaf's is its label. A CA's has the start of its key's identifier, so that a successor is
 * called otherwise: some stacks choose issuers by name alone. */
static void put_subject(struct buf *to, const struct pki_ask *ask, struct view point)
{
    size_t start = to->len;
    uint8_t id[PKI_SKI_SIZE];
    _buf_ text = { 0 };

    if (pki_shapes[ask->shape].fits) {
        put_rdn(to, VIEW_ARR(oid_common_name), UTF8, view_text(ask->label));
    } else {
        pki_ext_key_id(point, id);
        buf_put_text(&text, ask->shape == PKI_SHAPE_ROOT ? "Warren root " : "Warren intermediate ");
        text_put_hex(&text, VIEW(id, 4));
        put_components(to, ask->network);
        put_rdn(to, VIEW_ARR(oid_common_name), UTF8, buf_view(&text));
    }
    der_wrap(to, start, DER_SEQUENCE);
}

static bool put_issuer(struct buf *to, const struct pki_ask *ask, struct view subject,
                       struct err *err)
{
    const unsigned char *name;
    size_t len;

    if (!ask->issuer) {
        buf_put(to, subject);
        return true;
    }
    if (!X509_NAME_get0_der(X509_get_subject_name(ask->issuer->x509), &name, &len))
        return pki_err(err, ERR_SYSTEM, "name of the issuer");
    buf_put(to, VIEW(name, len));
    return true;
}

static void put_version(struct buf *to)
{
    size_t start = to->len;

    der_put_u64(to, VERSION_3);
    der_wrap(to, start, DER_CONSTRUCTED | 0);
}

static void put_validity(struct buf *to, const struct pki_draft *draft)
{
    size_t start = to->len;

    der_put_time(to, draft->not_before);
    der_put_time(to, draft->not_after);
    der_wrap(to, start, DER_SEQUENCE);
}

static bool check_serial(struct view serial, struct err *err)
{
    return (serial.len >= PKI_MIN_SERIAL && serial.len <= PKI_MAX_SERIAL && serial.data[0] != 0 &&
            serial.data[0] <= 0x7f) ||
           err_set(err, ERR_INVALID_ARGUMENT, "a serial number must come from pki_serial_new()");
}

bool pki_tbs_write(const struct pki_ask *ask, const struct pki_draft *draft, struct buf *to,
                   struct err *err)
{
    size_t start = to->len;
    enum pki_curve curve;
    struct view point;
    _buf_ subject = { 0 };

    if (!pki_spki_curve(draft->spki, &curve))
        return err_set(err, ERR_WRONG_KEY, "the key is neither P-256 nor P-384");
    if (!check_serial(draft->serial, err))
        return false;
    point = pki_spki_point(draft->spki);
    put_subject(&subject, ask, point);
    put_version(to);
    der_put(to, DER_INTEGER, draft->serial);
    pki_put_algorithm(to, draft->signer->curve);
    if (!put_issuer(to, ask, buf_view(&subject), err))
        return false;
    put_validity(to, draft);
    buf_put(to, buf_view(&subject));
    buf_put(to, draft->spki);
    if (!pki_ext_write(ask, point, to, err))
        return false;
    der_wrap(to, start, DER_SEQUENCE);
    return true;
}
