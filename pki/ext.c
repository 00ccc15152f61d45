/* SPDX-License-Identifier: Apache-2.0 */
/* The extensions: one table that writes ours and judges anybody's. A value must be byte-equal to
 * the one that we would write; the printed forms of both make the reason. */
#include "pki/der.h"
#include "pki/profile.h"

enum { URL_MAX = 512, PRINT_MAX = 100 };

/* ---- values ----------------------------------------------------------------------------- */

static const uint8_t oid_ocsp[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01 };
static const uint8_t oid_ca_issuers[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02 };
static const uint8_t no_address[32] = { 0 }; /* 0.0.0.0/0 and ::/0: address and mask are zero */

static bool is_given(const char *url)
{
    return url && *url;
}

/* `point`: of the certificate's own key. */
typedef void value_fn(const struct pki_ask *ask, struct view point, struct buf *to);

static void put_basic(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    buf_put(to, pki_shapes[ask->shape].basic);
}

static void put_usage(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    buf_put(to, pki_shapes[ask->shape].usage);
}

static void put_purposes(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    buf_put(to, pki_shapes[ask->shape].purposes);
}

/* GeneralNames with the one dNSName. */
static void put_san(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    size_t start = to->len;
    _buf_ name = { 0 };

    buf_printf(&name, "%s.%s", ask->label, ask->network);
    der_put(to, DER_CONTEXT | 2, buf_view(&name));
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_subtree(struct buf *to, unsigned kind, struct view base)
{
    size_t start = to->len;

    der_put(to, DER_CONTEXT | kind, base);
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_constraints(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    size_t start = to->len, excluded;

    put_subtree(to, 2, view_text(ask->network));
    der_wrap(to, start, DER_CONSTRUCTED | 0);
    excluded = to->len;
    put_subtree(to, 7, VIEW(no_address, 8));
    put_subtree(to, 7, VIEW(no_address, 32));
    der_wrap(to, excluded, DER_CONSTRUCTED | 1);
    der_wrap(to, start, DER_SEQUENCE);
}

void pki_ext_key_id(struct view point, uint8_t ret_id[PKI_SKI_SIZE])
{
    uint8_t hash[HASH_SIZE];

    pki_hash(point, hash);
    memcpy(ret_id, hash, PKI_SKI_SIZE);
}

static void put_ski(_unused_ const struct pki_ask *ask, struct view point, struct buf *to)
{
    uint8_t id[PKI_SKI_SIZE];

    pki_ext_key_id(point, id);
    der_put(to, DER_OCTETS, VIEW_ARR(id));
}

static void put_key_id(struct buf *to, struct view point)
{
    uint8_t id[PKI_SKI_SIZE];
    size_t start = to->len;

    pki_ext_key_id(point, id);
    der_put(to, DER_CONTEXT | 0, VIEW_ARR(id));
    der_wrap(to, start, DER_SEQUENCE);
}

/* Every issuer of ours has the SKI that the table asks for, so it follows from its key. */
void pki_ext_put_aki(struct buf *to, X509 *issuer)
{
    put_key_id(to, pki_x509_point(issuer));
}

static void put_aki(const struct pki_ask *ask, struct view point, struct buf *to)
{
    put_key_id(to, ask->issuer ? pki_x509_point(ask->issuer->x509) : point);
}

static void put_crl_url(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    size_t start = to->len;

    der_put(to, DER_CONTEXT | 6, view_text(ask->crl_url));
    der_wrap(to, start, DER_CONSTRUCTED | 0); /* fullName */
    der_wrap(to, start, DER_CONSTRUCTED | 0); /* distributionPoint */
    der_wrap(to, start, DER_SEQUENCE);        /* DistributionPoint */
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_access(struct buf *to, struct view oid, const char *url)
{
    size_t start = to->len;

    if (!is_given(url))
        return;
    der_put(to, DER_OID, oid);
    der_put(to, DER_CONTEXT | 6, view_text(url));
    der_wrap(to, start, DER_SEQUENCE);
}

static void put_access_urls(const struct pki_ask *ask, _unused_ struct view point, struct buf *to)
{
    size_t start = to->len;

    put_access(to, VIEW_ARR(oid_ocsp), ask->ocsp_url);
    put_access(to, VIEW_ARR(oid_ca_issuers), ask->ca_url);
    der_wrap(to, start, DER_SEQUENCE);
}

/* An OCSP signer is not itself asked about (RFC 6960, 4.2.2.2.1): it lives for days. */
static void put_nocheck(_unused_ const struct pki_ask *ask, _unused_ struct view point,
                        struct buf *to)
{
    der_put(to, DER_NULL, VIEW(NULL, 0));
}

/* ---- the table -------------------------------------------------------------------------- */

enum presence { NO, MAY, MUST };

/* clang-format off */
/* MAY: a root may name its own key as its issuer's; a leaf carries the URLs that den.conf gives. */
static const struct rule {
    const char *name;
    value_fn *put;
    int nid;
    enum presence presence[PKI_N_SHAPES];
    bool is_critical;
} rules[] = {
    /* presence: peer, router, OCSP signer, intermediate, root */
    { "basicConstraints", put_basic, NID_basic_constraints,
      { MUST, MUST, MUST, MUST, MUST }, true },
    { "keyUsage", put_usage, NID_key_usage,
      { MUST, MUST, MUST, MUST, MUST }, true },
    { "extKeyUsage", put_purposes, NID_ext_key_usage,
      { MUST, MUST, MUST, MUST, NO   }, false },
    { "subjectAltName", put_san, NID_subject_alt_name,
      { MUST, MUST, MUST, NO,   NO   }, false },
    { "nameConstraints", put_constraints, NID_name_constraints,
      { NO,   NO,   NO,   MUST, MUST }, true },
    { "subjectKeyIdentifier", put_ski, NID_subject_key_identifier,
      { MUST, MUST, MUST, MUST, MUST }, false },
    { "authorityKeyIdentifier", put_aki, NID_authority_key_identifier,
      { MUST, MUST, MUST, MUST, MAY  }, false },
    { "ocspNoCheck", put_nocheck, NID_id_pkix_OCSP_noCheck,
      { NO,   NO,   MUST, NO,   NO   }, false },
    { "cRLDistributionPoints", put_crl_url, NID_crl_distribution_points,
      { MAY,  MAY,  NO,   NO,   NO   }, false },
    { "authorityInfoAccess", put_access_urls, NID_info_access,
      { MAY,  MAY,  NO,   NO,   NO   }, false },
};
/* clang-format on */

/* RFC 5280, 4.2.1.6: alternative names are critical exactly when there is no other name. */
static bool is_critical(const struct rule *rule, bool has_subject)
{
    return rule->nid == NID_subject_alt_name ? !has_subject : rule->is_critical;
}

/* ---- writing ---------------------------------------------------------------------------- */

bool pki_ext_new(int nid, bool critical, struct view value, X509_EXTENSION **ret_ext,
                 struct err *err)
{
    _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();

    if (!octets || !ASN1_OCTET_STRING_set(octets, value.data, (int)value.len) ||
        !(*ret_ext = X509_EXTENSION_create_by_NID(NULL, nid, critical, octets)))
        return pki_err(err, ERR_SYSTEM, "new extension");
    return true;
}

/* Whether we write an extension that the table allows: the ones with URLs when there is a URL. */
static bool is_wanted(const struct rule *rule, const struct pki_ask *ask)
{
    if (rule->nid == NID_crl_distribution_points)
        return is_given(ask->crl_url) && rule->presence[ask->shape] != NO;
    if (rule->nid == NID_info_access)
        return (is_given(ask->ca_url) || is_given(ask->ocsp_url)) &&
               rule->presence[ask->shape] != NO;
    return rule->presence[ask->shape] == MUST;
}

static void write_one(struct buf *to, const struct rule *rule, const struct pki_ask *ask,
                      struct view point)
{
    static const uint8_t yes = 0xff;
    const ASN1_OBJECT *oid = OBJ_nid2obj(rule->nid);
    size_t start = to->len;
    _buf_ value = { 0 };

    rule->put(ask, point, &value);
    der_put(to, DER_OID, VIEW(OBJ_get0_data(oid), OBJ_length(oid)));
    if (is_critical(rule, true)) /* what we write has a subject */
        der_put(to, DER_BOOLEAN, VIEW(&yes, 1));
    der_put(to, DER_OCTETS, buf_view(&value));
    der_wrap(to, start, DER_SEQUENCE);
}

static bool is_web_url(struct view url)
{
    if (!view_starts(url, VIEW_LIT("http://")) && !view_starts(url, VIEW_LIT("https://")))
        return false;
    for (size_t i = 0; i < url.len; i++)
        if (url.data[i] <= ' ' || url.data[i] >= 0x7f)
            return false;
    return url.len <= URL_MAX;
}

static bool check_given(const char *url, struct err *err)
{
    return !is_given(url) || is_web_url(view_text(url)) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "\"%.100s\" is not a web address of at most %d characters", url, URL_MAX);
}

bool pki_ext_write(const struct pki_ask *ask, struct view point, struct buf *to, struct err *err)
{
    size_t start = to->len;

    if (!check_given(ask->crl_url, err) || !check_given(ask->ca_url, err) ||
        !check_given(ask->ocsp_url, err))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(rules); i++)
        if (is_wanted(&rules[i], ask))
            write_one(to, &rules[i], ask, point);
    der_wrap(to, start, DER_SEQUENCE);
    der_wrap(to, start, DER_CONSTRUCTED | 3);
    return true;
}

/* ---- judging ---------------------------------------------------------------------------- */

/* An extension for people, on one line: "CA:FALSE". */
static void print_ext(X509_EXTENSION *ext, struct buf *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    size_t len;

    if (!bio)
        abort();
    if (X509V3_EXT_print(bio, ext, 0, 0) == 1) {
        len = (size_t)BIO_get_mem_data(bio, &bytes);
        for (size_t i = 0; i < len && to->len < PRINT_MAX; i++)
            if (bytes[i] != '\n' && !(bytes[i] == ' ' && (i == 0 || bytes[i - 1] == '\n')))
                buf_put_u8(to, (uint8_t)bytes[i]);
            else if (to->len > 0 && to->data[to->len - 1] != ' ')
                buf_put_u8(to, ' ');
        while (to->len > 0 && to->data[to->len - 1] == ' ')
            to->len--;
    } else {
        buf_put_text(to, "malformed");
    }
    if (to->len == 0)
        buf_put_text(to, "empty");
    BIO_free(bio);
    ERR_clear_error();
}

static bool refuse_value(const struct rule *rule, X509_EXTENSION *ext, struct view wanted,
                         struct err *err)
{
    _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *ours = NULL;
    _buf_ got = { 0 }, want = { 0 };

    if (!pki_ext_new(rule->nid, false, wanted, &ours, err))
        return false;
    print_ext(ext, &got);
    print_ext(ours, &want);
    if (view_eq(buf_view(&got), buf_view(&want)))
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "has the %s \"%s\", but not in DER or with something else", rule->name,
                       buf_cstr(&got));
    return err_set(err, ERR_BAD_CERTIFICATE, "has the %s \"%s\", not \"%s\"", rule->name,
                   buf_cstr(&got), buf_cstr(&want));
}

/* One dNSName, but another: that is the certificate of somebody else. */
static bool refuse_san(const struct rule *rule, X509_EXTENSION *ext, const struct pki_ask *ask,
                       struct view wanted, struct err *err)
{
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = X509V3_EXT_d2i(ext);
    const GENERAL_NAME *name =
        sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;

    if (!name || name->type != GEN_DNS)
        return refuse_value(rule, ext, wanted, err);
    return err_set(err, ERR_NAME_MISMATCH, "is for %.*s, not %s.%s",
                   VIEW_FMT(VIEW(ASN1_STRING_get0_data(name->d.dNSName),
                                 (size_t)ASN1_STRING_length(name->d.dNSName))),
                   ask->label, ask->network);
}

/* The one URL of a distribution point. */
static bool read_crl_url(struct view value, struct pki_ask *ask, char **ret_crl)
{
    struct view list, point, name, full, url;

    if (!der_take(&value, DER_SEQUENCE, &list) || !der_take(&list, DER_SEQUENCE, &point) ||
        !der_take(&point, DER_CONSTRUCTED | 0, &name) ||
        !der_take(&name, DER_CONSTRUCTED | 0, &full) || !der_take(&full, DER_CONTEXT | 6, &url) ||
        !is_web_url(url))
        return false;
    ask->crl_url = *ret_crl = view_dup_text(url);
    return true;
}

static bool read_access_urls(struct view value, struct pki_ask *ask, char **ret_ocsp, char **ret_ca)
{
    struct view list, access, oid, url;

    if (!der_take(&value, DER_SEQUENCE, &list) || !list.len)
        return false;
    while (list.len) {
        char **to;
        if (!der_take(&list, DER_SEQUENCE, &access) || !der_take(&access, DER_OID, &oid) ||
            !der_take(&access, DER_CONTEXT | 6, &url) || !is_web_url(url))
            return false;
        to = view_eq(oid, VIEW_ARR(oid_ocsp)) ? ret_ocsp : ret_ca;
        if (*to)
            return false;
        *to = view_dup_text(url);
    }
    ask->ocsp_url = *ret_ocsp;
    ask->ca_url = *ret_ca;
    return true;
}

/* URLs are whatever they are; around them stands what we would write. */
static bool check_urls(const struct rule *rule, struct view value, struct err *err)
{
    _free_ char *first = NULL, *second = NULL;
    struct pki_ask ask = { 0 };
    _buf_ again = { 0 };
    bool is_read = rule->nid == NID_crl_distribution_points
                       ? read_crl_url(value, &ask, &first)
                       : read_access_urls(value, &ask, &first, &second);

    if (is_read)
        rule->put(&ask, VIEW(NULL, 0), &again);
    return (is_read && view_eq(buf_view(&again), value)) ||
           err_set(err, ERR_BAD_CERTIFICATE, "has a %s that is not exactly one web address%s",
                   rule->name, rule->nid == NID_info_access ? " of each kind" : "");
}

static bool check_value(const struct rule *rule, X509 *x509, X509_EXTENSION *ext,
                        const struct pki_ask *ask, struct err *err)
{
    const ASN1_OCTET_STRING *octets = X509_EXTENSION_get_data(ext);
    struct view value = VIEW(ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets));
    _buf_ wanted = { 0 };

    if (rule->put == put_crl_url || rule->put == put_access_urls)
        return check_urls(rule, value, err);
    rule->put(ask, pki_x509_point(x509), &wanted);
    if (view_eq(buf_view(&wanted), value))
        return true;
    return rule->put == put_san ? refuse_san(rule, ext, ask, buf_view(&wanted), err)
                                : refuse_value(rule, ext, buf_view(&wanted), err);
}

static bool check_rule(const struct rule *rule, X509 *x509, const struct pki_ask *ask,
                       struct err *err)
{
    int at = X509_get_ext_by_NID(x509, rule->nid, -1);
    bool critical = is_critical(rule, X509_NAME_entry_count(X509_get_subject_name(x509)) > 0);
    X509_EXTENSION *ext;

    if (at < 0)
        return rule->presence[ask->shape] != MUST ||
               err_set(err, ERR_BAD_CERTIFICATE, "has no %s", rule->name);
    if (rule->presence[ask->shape] == NO)
        return err_set(err, ERR_BAD_CERTIFICATE, "must not have %s", rule->name);
    if (X509_get_ext_by_NID(x509, rule->nid, at) >= 0)
        return err_set(err, ERR_BAD_CERTIFICATE, "has %s twice", rule->name);
    ext = X509_get_ext(x509, at);
    if (X509_EXTENSION_get_critical(ext) != critical)
        return err_set(err, ERR_BAD_CERTIFICATE, "%s its %s critical",
                       critical ? "does not mark" : "marks", rule->name);
    return check_value(rule, x509, ext, ask, err);
}

bool pki_ext_is_bound(X509 *ca, const char *network)
{
    int at = X509_get_ext_by_NID(ca, NID_name_constraints, -1);
    const ASN1_OCTET_STRING *octets = at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(ca, at));
    struct pki_ask ask = { .network = network };
    _buf_ wanted = { 0 };

    put_constraints(&ask, VIEW(NULL, 0), &wanted);
    return octets && view_eq(buf_view(&wanted), VIEW(ASN1_STRING_get0_data(octets),
                                                     (size_t)ASN1_STRING_length(octets)));
}

static bool is_known(X509_EXTENSION *ext)
{
    int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));

    for (size_t i = 0; i < N_ELEMENTS(rules); i++)
        if (rules[i].nid == nid)
            return true;
    return false;
}

bool pki_ext_check(X509 *x509, const struct pki_ask *ask, struct err *err)
{
    char oid[80];

    for (size_t i = 0; i < N_ELEMENTS(rules); i++)
        if (!check_rule(&rules[i], x509, ask, err))
            return false;
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        X509_EXTENSION *ext = X509_get_ext(x509, i);
        if (is_known(ext))
            continue;
        OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(ext), 1);
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "has an extension that the profile does not know: %s", oid);
    }
    return true;
}
