/* SPDX-License-Identifier: Apache-2.0 */
/* A plan says what leaf, intermediate and root contain; a row bends the plan at one place. Texts
 * may hold @I, @N and @U for ID, network and network in capitals. Values of extensions are written
 * as openssl's configuration writes them. */
#include "tests/unit/pki/bad_certs.h"

#include "base/clock.h"
#include "base/text.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct spec {
    long version;
    const char *serial; /* hex, "-" before it makes it negative; NULL: 16 random octets behind 40 */
    int64_t from, to;   /* ms from now */
    const char *cn, *cn2, *o, *dc; /* NULL: none */
    const char *key;               /* "P-256", "RSA-2048", "ED25519", ... */
    const char *digest;
    const char *bc, *ku, *eku, *san, *san2, *nc, *ski, *aki, *crldp, *more, *raw; /* NULL: none */
    bool has_general_time, is_compressed;
};

struct list { /* the revocation list of a row */
    bool is_there, has_leaf, is_by_other_key, is_by_other_ca;
    int64_t from, to;
};

struct plan {
    struct spec leaf, middle, root;
    bool own_root, own_middle; /* else the network's */
    bool is_root_unlisted, is_middle_unlisted;
    bool is_self_signed;      /* the leaf, by its own key and name */
    bool is_by_root;          /* the leaf, by the root */
    bool is_forged;           /* the leaf: the issuer's name, another key's signature */
    bool is_middle_by_middle; /* the own intermediate, by the network's intermediate */
    bool has_flipped_bit, has_tail, is_ber, is_empty, needs_crl;
    struct list list;
};

/* ---- the rows --------------------------------------------------------------------------- */

#define DAY  ((int64_t)DAY_MS)
#define HOUR ((int64_t)HOUR_MS)

#define X(name, code, why, ...)                                                                    \
    static void bend_##name(struct plan *p)                                                        \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }
#include "tests/unit/pki/bad_rows.h"
#undef X

static const struct row {
    const char *name, *why;
    enum err_code code;
    void (*bend)(struct plan *p);
} rows[] = {
#define X(name, code, why, ...) { #name, why, ERR_##code, bend_##name },
#include "tests/unit/pki/bad_rows.h"
#undef X
};

/* ---- making: keys and texts ------------------------------------------------------------- */

struct maker {
    const struct bad_net *net;
    struct plan plan;
    EVP_PKEY *root_key, *middle_key, *leaf_key;
    X509 *root, *middle, *leaf, *net_middle;
};

static bool fail(struct err *err, const char *what)
{
    bool ret =
        err_set(err, ERR_INTERNAL, "%s: %s", what, ERR_reason_error_string(ERR_peek_last_error()));

    ERR_clear_error();
    return ret;
}

/* @I, @N and @U filled in, @@ for @; the caller frees it. */
static char *expand(const struct bad_net *net, const char *text)
{
    _buf_ out = { 0 };

    for (; *text; text++) {
        if (*text != '@') {
            buf_put_u8(&out, (uint8_t)*text);
            continue;
        }
        text++;
        if (*text == 'I' || *text == 'N')
            buf_put_text(&out, *text == 'I' ? net->id : net->network);
        else if (*text == 'U')
            for (const char *c = net->network; *c; c++)
                buf_put_u8(&out, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c));
        else
            buf_put_u8(&out, '@');
    }
    return mem_text(buf_cstr(&out));
}

static EVP_PKEY *new_key(const char *kind)
{
    if (strncmp(kind, "RSA-", 4) == 0)
        return EVP_RSA_gen(strcmp(kind, "RSA-1024") == 0 ? 1024u : 2048u);
    if (strcmp(kind, "ED25519") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, kind);
    return EVP_EC_gen(kind);
}

static EVP_PKEY *key_of(const struct pki_ca *ca)
{
    _buf_wipe_ der = { 0 };
    struct err err;
    const unsigned char *at;

    if (!pki_key_der(pki_ca_key(ca), &der, &err))
        return NULL;
    at = der.data;
    return d2i_AutoPrivateKey(NULL, &at, (long)der.len);
}

static X509 *x509_of(const struct pki_ca *ca)
{
    struct view der = pki_cert_der(pki_ca_cert(ca));
    const unsigned char *at = der.data;

    return d2i_X509(NULL, &at, (long)der.len);
}

/* ---- making: one certificate ------------------------------------------------------------ */

static bool set_serial(X509 *x509, const char *hex)
{
    uint8_t bytes[32] = { 0x40 };
    size_t n = 17;
    bool is_negative = hex && hex[0] == '-';
    ASN1_INTEGER *to = X509_get_serialNumber(x509);

    random_bytes(bytes + 1, 16);
    if (hex) {
        hex += is_negative;
        n = strlen(hex) / 2;
        if (!text_read_hex(view_text(hex), bytes, n))
            return false;
    }
    if (!ASN1_STRING_set(to, bytes, (int)n))
        return false;
    to->type = is_negative ? V_ASN1_NEG_INTEGER : V_ASN1_INTEGER;
    return true;
}

static bool add_name(X509 *x509, const struct bad_net *net, int nid, const char *text)
{
    _free_ char *value = text ? expand(net, text) : NULL;

    return !value || X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), nid, MBSTRING_UTF8,
                                                (const unsigned char *)value, -1, -1, 0);
}

/* A key's identifier as the profile wants it, the first 20 octets of its SHA-256, behind `head`. */
static char *key_id(X509 *x509, const char *head)
{
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x509);
    uint8_t hash[HASH_SIZE];
    _buf_ text = { 0 };

    hash_sha256(VIEW(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits)), hash);
    buf_put_text(&text, head);
    text_put_hex(&text, VIEW(hash, 20));
    return mem_text(buf_cstr(&text));
}

static char *ext_value(X509 *x509, X509 *issuer, const struct bad_net *net, int nid,
                       const char *text)
{
    if (strcmp(text, "good") != 0)
        return expand(net, text);
    return nid == NID_authority_key_identifier ? key_id(issuer, "DER:30168014") : key_id(x509, "");
}

static bool add_ext(X509 *x509, X509 *issuer, const struct bad_net *net, int nid, const char *text)
{
    _free_ char *value = NULL;
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    if (!text)
        return true;
    value = ext_value(x509, issuer, net, nid, text);
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(x509, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

/* "OID=hex", "!" before it makes it critical. */
static bool add_raw(X509 *x509, const char *text)
{
    bool is_critical = text && text[0] == '!';
    const char *equals = text ? strchr(text, '=') : NULL;
    uint8_t bytes[64];
    size_t n = equals ? strlen(equals + 1) / 2 : 0;
    char oid[40] = "";
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *obj = NULL;
    X509_EXTENSION *ext = NULL;
    bool ok = true;

    if (text) {
        snprintf(oid, sizeof(oid), "%.*s", (int)(equals - text - is_critical), text + is_critical);
        obj = OBJ_txt2obj(oid, 1);
        ok = obj && text_read_hex(view_text(equals + 1), bytes, n) &&
             ASN1_OCTET_STRING_set(octets, bytes, (int)n) &&
             (ext = X509_EXTENSION_create_by_OBJ(NULL, obj, is_critical, octets)) &&
             X509_add_ext(x509, ext, -1);
    }
    X509_EXTENSION_free(ext);
    ASN1_OBJECT_free(obj);
    ASN1_OCTET_STRING_free(octets);
    return ok;
}

static bool add_extensions(X509 *x509, X509 *issuer, const struct bad_net *net,
                           const struct spec *spec)
{
    const struct {
        int nid;
        const char *value;
    } exts[] = {
        { NID_basic_constraints, spec->bc },
        { NID_key_usage, spec->ku },
        { NID_ext_key_usage, spec->eku },
        { NID_subject_alt_name, spec->san },
        { NID_subject_alt_name, spec->san2 },
        { NID_name_constraints, spec->nc },
        { NID_subject_key_identifier, spec->ski },
        { NID_authority_key_identifier, spec->aki },
        { NID_crl_distribution_points, spec->crldp },
    };

    for (size_t i = 0; i < N_ELEMENTS(exts); i++)
        if (!add_ext(x509, issuer, net, exts[i].nid, exts[i].value))
            return false;
    return add_raw(x509, spec->raw);
}

static bool set_time(ASN1_TIME *to, uint64_t now, int64_t offset, bool is_general)
{
    time_t seconds = (time_t)(((int64_t)now + offset) / 1000);

    return is_general ? ASN1_GENERALIZEDTIME_set(to, seconds) != NULL
                      : ASN1_TIME_set(to, seconds) != NULL;
}

/* `issuer` NULL: itself. */
static X509 *make_one(const struct bad_net *net, const struct spec *spec, EVP_PKEY *key,
                      X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *x509 = X509_new();
    const EVP_MD *digest =
        EVP_PKEY_get_id(issuer_key) == EVP_PKEY_ED25519 ? NULL : EVP_get_digestbyname(spec->digest);
    bool ok = X509_set_version(x509, spec->version) && set_serial(x509, spec->serial) &&
              set_time(X509_getm_notBefore(x509), net->now, spec->from, spec->has_general_time) &&
              set_time(X509_getm_notAfter(x509), net->now, spec->to, spec->has_general_time) &&
              add_name(x509, net, NID_domainComponent, spec->dc) &&
              add_name(x509, net, NID_organizationName, spec->o) &&
              add_name(x509, net, NID_commonName, spec->cn) &&
              add_name(x509, net, NID_commonName, spec->cn2) &&
              X509_set_issuer_name(x509, X509_get_subject_name(issuer ? issuer : x509)) &&
              X509_set_pubkey(x509, key) &&
              add_extensions(x509, issuer ? issuer : x509, net, spec) &&
              X509_sign(x509, issuer_key, digest);

    if (!ok) {
        X509_free(x509);
        return NULL;
    }
    return x509;
}

/* ---- making: the plan ------------------------------------------------------------------- */

static void plan_init(struct plan *plan)
{
    static const struct spec ca = {
        .version = X509_VERSION_3,
        .from = -HOUR,
        .to = 1000 * DAY,
        .dc = "example",
        .bc = "critical,CA:TRUE",
        .ku = "critical,keyCertSign,cRLSign",
        .ski = "good",
        .nc = "critical,permitted;DNS:@N,excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::",
        .digest = "SHA384",
    };

    *plan = (struct plan){ .root = ca, .middle = ca };
    plan->root.cn = "Warren root of a test";
    plan->root.to = 4000 * DAY;
    plan->root.key = "P-384";
    plan->middle.cn = "Warren intermediate of a test";
    plan->middle.key = "P-256";
    plan->middle.bc = "critical,CA:TRUE,pathlen:0";
    plan->middle.eku = "serverAuth,clientAuth,OCSPSigning";
    plan->middle.aki = "good";
    plan->leaf = (struct spec){
        .version = X509_VERSION_3,
        .from = -5 * (int64_t)MINUTE_MS,
        .to = DAY,
        .cn = "@I",
        .key = "P-256",
        .digest = "SHA256",
        .bc = "critical,CA:FALSE",
        .ku = "critical,digitalSignature",
        .eku = "serverAuth,clientAuth",
        .san = "DNS:@I.@N",
        .ski = "good",
        .aki = "good",
    };
}

static bool make_cas(struct maker *m, struct err *err)
{
    const struct plan *plan = &m->plan;
    EVP_PKEY *net_key;
    bool by_middle = plan->is_middle_by_middle;

    m->root_key = plan->own_root ? new_key(plan->root.key) : key_of(m->net->root);
    m->root = plan->own_root ? make_one(m->net, &plan->root, m->root_key, NULL, m->root_key)
                             : x509_of(m->net->root);
    if (!m->root)
        return fail(err, "making a root");
    m->net_middle = x509_of(m->net->intermediate);
    if (!plan->own_middle) {
        m->middle_key = key_of(m->net->intermediate);
        m->middle = x509_of(m->net->intermediate);
        return true;
    }
    net_key = key_of(m->net->intermediate);
    m->middle_key = new_key(plan->middle.key);
    m->middle = make_one(m->net, &plan->middle, m->middle_key, by_middle ? m->net_middle : m->root,
                         by_middle ? net_key : m->root_key);
    EVP_PKEY_free(net_key);
    return m->middle || fail(err, "making an intermediate");
}

static bool make_leaf(struct maker *m, struct err *err)
{
    const struct plan *plan = &m->plan;
    EVP_PKEY *forger = EVP_EC_gen("P-256");

    m->leaf_key = new_key(plan->leaf.key);
    if (plan->leaf.is_compressed)
        EVP_PKEY_set_utf8_string_param(m->leaf_key, "point-format", "compressed");
    if (plan->is_self_signed)
        m->leaf = make_one(m->net, &plan->leaf, m->leaf_key, NULL, m->leaf_key);
    else if (plan->is_by_root)
        m->leaf = make_one(m->net, &plan->leaf, m->leaf_key, m->root, m->root_key);
    else
        m->leaf = make_one(m->net, &plan->leaf, m->leaf_key, m->middle,
                           plan->is_forged ? forger : m->middle_key);
    EVP_PKEY_free(forger);
    return m->leaf || fail(err, "making a leaf");
}

static void put_x509(struct buf *to, X509 *x509)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);

    buf_put(to, VIEW(der, (size_t)(len > 0 ? len : 0)));
    OPENSSL_free(der);
}

/* The outermost length in one octet more than needed: BER, but not DER. */
static void make_ber(struct buf *der)
{
    _buf_ copy = buf_dup(buf_view(der));

    buf_clear(der);
    buf_put_u8(der, 0x30);
    buf_put_u8(der, 0x83);
    buf_put_u8(der, 0);
    buf_put(der, view_sub(buf_view(&copy), 2, copy.len));
}

static bool make_list(struct maker *m, struct bad_cert *ret, struct err *err)
{
    const struct list *list = &m->plan.list;
    X509 *issuer = list->is_by_other_ca ? m->root : m->middle;
    EVP_PKEY *other = EVP_EC_gen("P-256"),
             *key = list->is_by_other_key || list->is_by_other_ca ? other : m->middle_key;
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_new(), *to = ASN1_TIME_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    X509_EXTENSION *aki = NULL;
    X509V3_CTX ctx;
    unsigned char *der = NULL;
    int len = 0;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    set_time(from, m->net->now, list->from, false);
    set_time(to, m->net->now, list->to, false);
    ok = X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
         X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) &&
         X509_CRL_set1_lastUpdate(crl, from) && X509_CRL_set1_nextUpdate(crl, to) &&
         ASN1_INTEGER_set(number, 7) &&
         X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1 &&
         (aki = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always")) &&
         X509_CRL_add_ext(crl, aki, -1) && X509_REVOKED_set_revocationDate(entry, from) &&
         X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(m->leaf));
    if (ok && list->has_leaf && X509_CRL_add0_revoked(crl, entry))
        entry = NULL;
    ok = ok && X509_CRL_sign(crl, key, EVP_sha256()) && (len = i2d_X509_CRL(crl, &der)) > 0;
    if (ok)
        buf_put(&ret->crl, VIEW(der, (size_t)len));
    OPENSSL_free(der);
    X509_REVOKED_free(entry);
    X509_EXTENSION_free(aki);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_CRL_free(crl);
    EVP_PKEY_free(other);
    return ok || fail(err, "making a list");
}

static void put_chain(const struct maker *m, struct bad_cert *ret)
{
    const struct plan *plan = &m->plan;

    ret->is_x509 = !plan->has_tail && !plan->is_ber && !plan->is_empty;
    if (plan->is_empty)
        return;
    put_x509(&ret->chain[ret->n_chain++], m->leaf);
    if (plan->has_flipped_bit)
        ret->chain[0].data[ret->chain[0].len - 1] ^= 1;
    if (plan->has_tail)
        buf_put_u8(&ret->chain[0], 0);
    if (plan->is_ber)
        make_ber(&ret->chain[0]);
    put_x509(&ret->chain[ret->n_chain++], m->middle);
    if (plan->is_middle_by_middle)
        put_x509(&ret->chain[ret->n_chain++], m->net_middle);
}

static bool finish(struct maker *m, struct bad_cert *ret, struct err *err)
{
    const struct plan *plan = &m->plan;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(m->leaf_key);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    put_chain(m, ret);
    buf_put(&ret->key, VIEW(der, (size_t)(len > 0 ? len : 0)));
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (plan->own_root && !plan->is_root_unlisted)
        put_x509(&ret->root, m->root);
    if (plan->own_middle && !plan->is_middle_unlisted)
        put_x509(&ret->listed, m->middle);
    ret->needs_crl = plan->needs_crl || plan->list.is_there;
    return !plan->list.is_there || make_list(m, ret, err);
}

static bool make(struct maker *m, struct bad_cert *ret, struct err *err)
{
    bool ok;

    *ret = (struct bad_cert){ 0 };
    ok = make_cas(m, err) && make_leaf(m, err) && finish(m, ret, err);
    X509_free(m->root);
    X509_free(m->middle);
    X509_free(m->net_middle);
    X509_free(m->leaf);
    EVP_PKEY_free(m->root_key);
    EVP_PKEY_free(m->middle_key);
    EVP_PKEY_free(m->leaf_key);
    ERR_clear_error();
    return ok;
}

/* ---- the door --------------------------------------------------------------------------- */

size_t bad_certs_count(void)
{
    return N_ELEMENTS(rows);
}

const char *bad_certs_name(size_t row)
{
    return rows[row].name;
}

enum err_code bad_certs_code(size_t row)
{
    return rows[row].code;
}

char *bad_certs_why(size_t row, const struct bad_net *net)
{
    return expand(net, rows[row].why);
}

bool bad_certs_make(size_t row, const struct bad_net *net, struct bad_cert *ret, struct err *err)
{
    struct maker m = { .net = net };

    plan_init(&m.plan);
    rows[row].bend(&m.plan);
    return make(&m, ret, err) || err_wrap(err, "%s", rows[row].name);
}

/* Leaf, leaf and intermediate, all three made here; and with a list. */
size_t bad_certs_n_controls(void)
{
    return 4;
}

bool bad_certs_make_control(size_t control, const struct bad_net *net, struct bad_cert *ret,
                            struct err *err)
{
    struct maker m = { .net = net };

    plan_init(&m.plan);
    m.plan.own_middle = control == 1 || control == 2;
    m.plan.own_root = control == 2;
    m.plan.list = (struct list){ .is_there = control == 3, .from = -HOUR, .to = HOUR };
    return make(&m, ret, err);
}

void bad_cert_deinit(struct bad_cert *bad)
{
    for (size_t i = 0; i < BAD_MAX_CHAIN; i++)
        buf_free(&bad->chain[i]);
    buf_wipe(&bad->key);
    buf_free(&bad->root);
    buf_free(&bad->listed);
    buf_free(&bad->crl);
}

bool bad_cert_trust(const struct bad_cert *bad, struct pki_trust *trust, struct err *err)
{
    if (bad->root.len > 0 && !pki_trust_add_root(trust, buf_view(&bad->root), err))
        return false;
    if (bad->listed.len > 0 && !pki_trust_add_intermediate(trust, buf_view(&bad->listed), err))
        return false;
    return bad->crl.len == 0 || pki_trust_set_crl(trust, buf_view(&bad->crl), err);
}
