/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP requests (RFC 6960, 4.1). Anybody may send one: strict DER, bounded, nothing but views into the bytes. */
#include "pki/der.h"
#include "pki/ossl.h"

static const uint8_t oid_nonce[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02 };
static const uint8_t oid_sha1[] = { 0x2b, 0x0e, 0x03, 0x02, 0x1a };
static const uint8_t oid_sha256[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };

static bool bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_WIRE, "OCSP request: %s", what);
}

static bool read_algorithm(struct view *from, struct pki_ocsp_item *item)
{
    struct view algorithm, oid, parameters;

    if (!der_take(from, DER_SEQUENCE, &algorithm) || !der_take(&algorithm, DER_OID, &oid))
        return false;
    if (algorithm.len &&
        (!der_take(&algorithm, DER_NULL, &parameters) || parameters.len || algorithm.len))
        return false;
    item->hash = view_eq(oid, VIEW_ARR(oid_sha1))     ? PKI_OCSP_SHA1
                 : view_eq(oid, VIEW_ARR(oid_sha256)) ? PKI_OCSP_SHA256
                                                      : PKI_OCSP_OTHER_HASH;
    return true;
}

/* X.690, 8.3.2: no octet more than needed. Negative ones are nobody's, but well-formed. */
static bool is_integer(struct view n)
{
    if (n.len == 0)
        return false;
    return n.len == 1 || !((n.data[0] == 0x00 && !(n.data[1] & 0x80)) ||
                           (n.data[0] == 0xff && (n.data[1] & 0x80)));
}

static bool read_id(struct view id, struct pki_ocsp_item *item, struct err *err)
{
    if (!read_algorithm(&id, item) || !der_take(&id, DER_OCTETS, &item->name_hash) ||
        !der_take(&id, DER_OCTETS, &item->key_hash) || !der_take(&id, DER_INTEGER, &item->serial) ||
        id.len || !is_integer(item->serial))
        return bad(err, "a certificate identifier is malformed");
    return item->serial.len <= PKI_MAX_SERIAL + 1 ||
           bad(err, "a serial number is longer than any can be");
}

/* One Extension; a nonce goes to *ret_nonce, what else is critical is refused. */
static bool read_extension(struct view extension, struct view *ret_nonce, struct err *err)
{
    struct view oid, critical = { 0 }, value, nonce;

    if (!der_take(&extension, DER_OID, &oid))
        return bad(err, "an extension is malformed");
    if (der_next_is(extension, DER_BOOLEAN) && (!der_take(&extension, DER_BOOLEAN, &critical) ||
                                                critical.len != 1 || critical.data[0] != 0xff))
        return bad(err, "an extension is malformed");
    if (!der_take(&extension, DER_OCTETS, &value) || extension.len)
        return bad(err, "an extension is malformed");
    if (!ret_nonce || !view_eq(oid, VIEW_ARR(oid_nonce)))
        return !critical.len || bad(err, "has a critical extension that is not known here");
    if (ret_nonce->len)
        return bad(err, "has two nonces");
    *ret_nonce = value;
    /* RFC 8954: an OCTET STRING of 1 to 32 octets */
    if (!der_take(&value, DER_OCTETS, &nonce) || value.len || nonce.len < 1 || nonce.len > 32)
        return bad(err, "has a nonce that is not 1 to 32 octets long");
    return true;
}

/* `explicit` holds Extensions; ret_nonce NULL: none is looked for. */
static bool read_extensions(struct view tagged, struct view *ret_nonce, struct err *err)
{
    struct view list, extension;
    unsigned n = 0;

    if (!der_take(&tagged, DER_SEQUENCE, &list) || tagged.len || !list.len)
        return bad(err, "its extensions are malformed");
    while (list.len) {
        if (++n > PKI_OCSP_MAX_EXTENSIONS)
            return err_set(err, ERR_TOO_LARGE, "OCSP request: more than %d extensions",
                           PKI_OCSP_MAX_EXTENSIONS);
        if (!der_take(&list, DER_SEQUENCE, &extension))
            return bad(err, "an extension is malformed");
        if (!read_extension(extension, ret_nonce, err))
            return false;
    }
    return true;
}

static bool read_item(struct view request, struct pki_ocsp_item *item, struct err *err)
{
    struct view id, extensions, whole = request;

    if (!der_take_whole(&whole, DER_SEQUENCE, &item->id) || !der_take(&request, DER_SEQUENCE, &id))
        return bad(err, "a single request is malformed");
    if (!read_id(id, item, err))
        return false;
    if (!request.len)
        return true;
    if (!der_take(&request, DER_CONSTRUCTED | 0, &extensions) || request.len)
        return bad(err, "a single request is malformed");
    return read_extensions(extensions, NULL, err);
}

static bool read_items(struct view list, struct pki_ocsp_request *to, struct err *err)
{
    struct view request;

    while (list.len) {
        if (to->n_items == PKI_OCSP_MAX_ITEMS)
            return err_set(err, ERR_TOO_LARGE, "OCSP request: about more than %d certificates",
                           PKI_OCSP_MAX_ITEMS);
        if (!der_take(&list, DER_SEQUENCE, &request))
            return bad(err, "a single request is malformed");
        if (!read_item(request, &to->items[to->n_items], err))
            return false;
        to->n_items++;
    }
    return to->n_items > 0 || bad(err, "asks about nothing");
}

static bool read_tbs(struct view tbs, struct pki_ocsp_request *to, struct err *err)
{
    struct view version, number, requestor, list, extensions;

    if (der_next_is(tbs, DER_CONSTRUCTED | 0)) /* version: only v1 is known, which DER leaves out */
        if (!der_take(&tbs, DER_CONSTRUCTED | 0, &version) ||
            !der_take(&version, DER_INTEGER, &number) || version.len ||
            !view_eq(number, VIEW_LIT("\x00")))
            return bad(err, "its version is not 1");
    if (der_next_is(tbs, DER_CONSTRUCTED | 1) &&
        !der_take(&tbs, DER_CONSTRUCTED | 1, &requestor)) /* who asks makes no difference */
        return bad(err, "its requestor is malformed");
    if (!der_take(&tbs, DER_SEQUENCE, &list))
        return bad(err, "has no list of requests");
    if (!read_items(list, to, err))
        return false;
    if (!tbs.len)
        return true;
    if (!der_take(&tbs, DER_CONSTRUCTED | 2, &extensions) || tbs.len)
        return bad(err, "something stands behind the list of requests");
    return read_extensions(extensions, &to->nonce, err);
}

bool pki_ocsp_read(struct view der, struct pki_ocsp_request *ret_request, struct err *err)
{
    struct pki_ocsp_request request = { 0 };
    struct view whole, tbs, signature;

    if (der.len > PKI_MAX_OCSP)
        return err_set(err, ERR_TOO_LARGE, "an OCSP request of %zu bytes, at most %d", der.len,
                       PKI_MAX_OCSP);
    if (!der_take(&der, DER_SEQUENCE, &whole) || der.len || !der_take(&whole, DER_SEQUENCE, &tbs))
        return bad(err, "not DER of the right shape");
    /* a signature by whoever asks makes no difference either */
    if (whole.len && (!der_take(&whole, DER_CONSTRUCTED | 0, &signature) || whole.len))
        return bad(err, "something stands behind it");
    if (!read_tbs(tbs, &request, err))
        return false;
    *ret_request = request;
    return true;
}
