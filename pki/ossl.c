/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's error queue made a struct err, its DER made a buf, its times made numbers. */
#include "pki/ossl.h"
#include "pki/der.h"

#include "base/clock.h"

#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#undef pki_err

/* Of a key that is elsewhere (remote.c): OpenSSL puts reasons of its own on top of it. */
static bool take_remote(struct err *ret_err)
{
    const char *data;
    bool is_it = false;
    unsigned long e;
    int flags;

    while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        if (is_it || ERR_GET_LIB(e) != ERR_LIB_USER || !(flags & ERR_TXT_STRING))
            continue;
        err_set(ret_err, (enum err_code)ERR_GET_REASON(e), "%s", data);
        is_it = true;
    }
    return is_it;
}

bool pki_err(struct err *err, enum err_code code, const char *fmt, ...)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    struct err there;
    char text[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (take_remote(&there))
        return err_set(err, there.code, "%s: %s", text, there.text);
    return reason ? err_set(err, code, "%s: %s", text, reason) : err_set(err, code, "%s", text);
}

bool pki_take_der(struct buf *to, unsigned char **der, int len, struct err *err)
{
    if (len <= 0)
        return pki_err(err, ERR_SYSTEM, "writing DER");
    buf_put(to, VIEW(*der, (size_t)len));
    OPENSSL_clear_free(*der, (size_t)len);
    return true;
}

/* ---- digests -------------------------------------------------------------------------------- */

/* EVP_sha256() is a name that OpenSSL 3.0 looks up at each use, which costs more than hashing some hundred bytes. */
static EVP_MD *digests[PKI_DIGESTS];
static pthread_once_t digests_once = PTHREAD_ONCE_INIT;

static void fetch_digests(void)
{
    static const char *const names[] = {
        [PKI_SHA256] = "SHA2-256", [PKI_SHA384] = "SHA2-384", [PKI_SHA512] = "SHA2-512"
    };

    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (!(digests[i] = EVP_MD_fetch(NULL, names[i], NULL)))
            abort(); /* memory, or an OpenSSL without it */
}

const EVP_MD *pki_digest(enum pki_digest digest)
{
    pthread_once(&digests_once, fetch_digests);
    return digests[digest];
}

/* ---- curves --------------------------------------------------------------------------------- */

/* The SubjectPublicKeyInfo (RFC 5480) up to and with the 04 of an uncompressed point. */
static const uint8_t p256_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
static const uint8_t p384_head[] = { 0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                     0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                     0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04 };

static const struct {
    const char *name;
    struct view head;
    size_t point; /* octets behind the head */
    enum pki_digest digest;
    int nid;
} curves[] = {
    [PKI_P256] = { "P-256",
                   { p256_head, sizeof(p256_head) },
                   64,
                   PKI_SHA256,
                   NID_X9_62_prime256v1 },
    [PKI_P384] = { "P-384", { p384_head, sizeof(p384_head) }, 96, PKI_SHA384, NID_secp384r1 },
};

bool pki_spki_curve(struct view spki, enum pki_curve *ret_curve)
{
    for (size_t i = 0; i < N_ELEMENTS(curves); i++) {
        if (spki.len != curves[i].head.len + curves[i].point || !view_starts(spki, curves[i].head))
            continue;
        *ret_curve = (enum pki_curve)i;
        return true;
    }
    return false;
}

struct view pki_spki_point(struct view spki)
{
    enum pki_curve curve;

    if (!pki_spki_curve(spki, &curve))
        abort();                                                 /* the caller looked */
    return view_sub(spki, curves[curve].head.len - 1, spki.len); /* from the 04 on */
}

struct view pki_x509_point(const X509 *x509)
{
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x509);

    return VIEW(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits));
}

void pki_put_algorithm(struct buf *to, enum pki_curve curve)
{
    static const uint8_t ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
    static const uint8_t ecdsa_sha384[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03 };
    size_t start = to->len;

    der_put(to, DER_OID, curve == PKI_P256 ? VIEW_ARR(ecdsa_sha256) : VIEW_ARR(ecdsa_sha384));
    der_wrap(to, start, DER_SEQUENCE);
}

const EVP_MD *pki_curve_digest(enum pki_curve curve)
{
    return pki_digest(curves[curve].digest);
}

const char *pki_curve_name(enum pki_curve curve)
{
    return curves[curve].name;
}

bool pki_x509_spki(X509 *x509, struct buf *ret_der, struct err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);

    return pki_take_der(ret_der, &der, len, err);
}

/* ---- keys, without the decoders ------------------------------------------------------------- */

static EVP_PKEY *templates[N_ELEMENTS(curves)]; /* a curve, and no point on it yet */
static EC_GROUP *groups[N_ELEMENTS(curves)];
static OSSL_LIB_CTX *keyless;
static pthread_once_t templates_once = PTHREAD_ONCE_INIT, keyless_once = PTHREAD_ONCE_INIT;

static EVP_PKEY *new_template(const char *curve)
{
    _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    _free_ char *name = mem_text(curve);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;

    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params) != 1)
        abort(); /* memory, or an OpenSSL without the curve */
    return key;
}

static void make_templates(void)
{
    for (size_t i = 0; i < N_ELEMENTS(curves); i++) {
        templates[i] = new_template(curves[i].name);
        groups[i] = EC_GROUP_new_by_curve_name(curves[i].nid);
        if (!groups[i])
            abort();
    }
}

const EC_GROUP *pki_curve_group(enum pki_curve curve)
{
    pthread_once(&templates_once, make_templates);
    return groups[curve];
}

EVP_PKEY *pki_spki_key(struct view spki)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    enum pki_curve curve;
    struct view point;

    if (!pki_spki_curve(spki, &curve))
        return NULL;
    pthread_once(&templates_once, make_templates);
    point = pki_spki_point(spki);
    key = EVP_PKEY_dup(templates[curve]);
    if (key && EVP_PKEY_set1_encoded_public_key(key, point.data, point.len) == 1)
        return STEAL(key);
    ERR_clear_error();
    return NULL;
}

bool pki_spki_is_key(struct view spki)
{
    _cleanup_(EC_POINT_freep) EC_POINT *at = NULL;
    enum pki_curve curve;
    struct view point;
    bool is;

    if (!pki_spki_curve(spki, &curve))
        return false;
    pthread_once(&templates_once, make_templates);
    point = pki_spki_point(spki);
    at = EC_POINT_new(groups[curve]);
    is = at && EC_POINT_oct2point(groups[curve], at, point.data, point.len, NULL) == 1;
    ERR_clear_error();
    return is;
}

bool pki_key_signed(EVP_PKEY *key, const EVP_MD *digest, struct view bytes, struct view sig)
{
    _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool is = ctx && EVP_Digest(bytes.data, bytes.len, hash, &len, digest, NULL) == 1 &&
              EVP_PKEY_verify_init(ctx) == 1 &&
              EVP_PKEY_verify(ctx, sig.data, sig.len, hash, len) == 1;

    ERR_clear_error();
    return is;
}

static void make_keyless(void)
{
    keyless = OSSL_LIB_CTX_new();
    if (!keyless || !OSSL_PROVIDER_load(keyless, "null"))
        abort(); /* memory: the provider is built in */
}

OSSL_LIB_CTX *pki_keyless(void)
{
    pthread_once(&keyless_once, make_keyless);
    return keyless;
}

/* ---- times -------------------------------------------------------------------------------------- */

bool pki_time_write(uint64_t ms, ASN1_TIME *to, struct err *err)
{
    /* UTCTime through 2049, GeneralizedTime after, as RFC 5280 asks. */
    if (!ASN1_TIME_set(to, (time_t)(ms / 1000)))
        return pki_err(err, ERR_INVALID_ARGUMENT, "a time that no certificate can carry");
    return true;
}

bool pki_time_read(const ASN1_TIME *time, uint64_t *ret_ms)
{
    _cleanup_(ASN1_TIME_freep) ASN1_TIME *again = NULL;
    struct tm tm;
    time_t seconds;

    if (!time || !ASN1_TIME_to_tm(time, &tm))
        return false;
    seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    again = ASN1_TIME_set(NULL, seconds);
    if (!again || ASN1_STRING_cmp(again, time) != 0) /* type and bytes */
        return false;
    *ret_ms = (uint64_t)seconds * 1000;
    return true;
}

const char *pki_span_text(uint64_t ms, char to[PKI_SPAN_TEXT])
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {
        { DAY_MS, "day" }, { HOUR_MS, "hour" }, { MINUTE_MS, "minute" }, { SECOND_MS, "second" }
    };
    size_t i = 0;

    while (i + 1 < N_ELEMENTS(units) && ms < units[i].unit)
        i++;
    snprintf(to, PKI_SPAN_TEXT, "%" PRIu64 " %s%s", ms / units[i].unit, units[i].name,
             ms / units[i].unit == 1 ? "" : "s");
    return to;
}

void pki_hash(struct view bytes, uint8_t ret_hash[HASH_SIZE])
{
    if (EVP_Digest(bytes.data, bytes.len, ret_hash, NULL, pki_digest(PKI_SHA256), NULL) != 1)
        abort(); /* memory, or an OpenSSL without SHA-256 */
}

void pki_hmac_sha1(struct view key, struct view bytes, uint8_t ret_mac[PKI_SHA1])
{
    unsigned len = 0;

    if (!HMAC(EVP_sha1(), key.data, (int)key.len, bytes.data, bytes.len, ret_mac, &len) ||
        len != PKI_SHA1)
        abort(); /* memory, or an OpenSSL without SHA-1 */
}
