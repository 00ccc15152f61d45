/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vault/fake_module.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

enum { PRIVATE = 1, PUBLIC = 2, ID = 7 };

__attribute__((visibility("default"))) struct fake fake_module;
#define fake fake_module

static EVP_PKEY *key, *other;
static CK_OBJECT_CLASS wanted;
static bool is_done;

static void pad(CK_UTF8CHAR *to, size_t size, const char *text)
{
    memset(to, ' ', size);
    memcpy(to, text, strlen(text));
}

static CK_RV initialize(void *args)
{
    (void)args;
    if (!key) {
        key = EVP_EC_gen(fake.is_p384 ? "P-384" : "P-256");
        other = EVP_EC_gen(fake.is_p384 ? "P-384" : "P-256");
    }
    fake.n_starts++;
    fake.is_lost = fake.is_lost && fake.is_away;
    return CKR_OK;
}

static CK_RV finalize(void *args)
{
    (void)args;
    return CKR_OK;
}

static CK_RV get_slots(CK_BBOOL with_token, CK_SLOT_ID *slots, CK_ULONG *n)
{
    (void)with_token;
    *n = fake.is_away || fake.is_lost ? 0 : fake.n_tokens;
    for (CK_ULONG i = 0; i < *n; i++)
        slots[i] = i;
    return CKR_OK;
}

static CK_RV get_token(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    (void)slot;
    memset(info, 0, sizeof(*info));
    pad(info->label, sizeof(info->label), "fake");
    pad(info->serialNumber, sizeof(info->serialNumber), slot ? "1" : "0");
    info->flags =
        fake.flags | CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *ret)
{
    (void)slot, (void)flags, (void)app, (void)notify;
    *ret = fake.n_starts;
    return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    (void)session;
    if (user == CKU_CONTEXT_SPECIFIC)
        fake.n_each_time++;
    else
        fake.n_logins++;
    if (fake.login_answer)
        return fake.login_answer;
    return len == strlen(fake.pin) && memcmp(pin, fake.pin, len) == 0 ? CKR_OK : CKR_PIN_INCORRECT;
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n)
{
    (void)session, (void)n;
    memcpy(&wanted, template[0].pValue, sizeof(wanted));
    is_done = false;
    return CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *to, CK_ULONG max, CK_ULONG *n)
{
    bool is_there = wanted == CKO_PRIVATE_KEY ? fake.has_key : fake.has_public;

    (void)session, (void)max;
    *n = is_there && !is_done;
    to[0] = wanted == CKO_PRIVATE_KEY ? PRIVATE : PUBLIC;
    is_done = true;
    return CKR_OK;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV give(CK_ATTRIBUTE *a, const void *value, size_t len)
{
    if (a->ulValueLen < len)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(a->pValue, value, len);
    a->ulValueLen = len;
    return CKR_OK;
}

static CK_RV give_point(CK_ATTRIBUTE *a)
{
    unsigned char *der = NULL;
    unsigned char wrapped[128] = { 0x04 };
    int len = i2d_PUBKEY(key, &der);
    size_t size = fake.is_p384 ? 97 : 65;

    wrapped[1] = (unsigned char)size;
    memcpy(wrapped + 2, der + (size_t)len - size, size);
    OPENSSL_free(der);
    return fake.is_raw_point ? give(a, wrapped + 2, size) : give(a, wrapped, size + 2);
}

static CK_RV get_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *a,
                       CK_ULONG n)
{
    static const unsigned char p256[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 },
                               p384[] = { 6, 5, 0x2b, 0x81, 4, 0, 0x22 }, id = ID;
    CK_KEY_TYPE type = fake.is_rsa ? CKK_RSA : CKK_EC;
    CK_BBOOL each = fake.asks_each_time;

    (void)session, (void)n;
    switch (a->type) {
    case CKA_KEY_TYPE:
        return give(a, &type, sizeof(type));
    case CKA_EC_PARAMS:
        return fake.is_p384 ? give(a, p384, sizeof(p384)) : give(a, p256, sizeof(p256));
    case CKA_ID:
        return give(a, &id, 1);
    case CKA_EC_POINT:
        return object == PUBLIC ? give_point(a) : CKR_ATTRIBUTE_TYPE_INVALID;
    case CKA_ALWAYS_AUTHENTICATE:
        return give(a, &each, 1);
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *how, CK_OBJECT_HANDLE object)
{
    (void)object;
    if (fake.is_away || fake.is_lost)
        return CKR_DEVICE_REMOVED;
    if (session != fake.n_starts)
        return CKR_SESSION_HANDLE_INVALID;
    return how->mechanism == CKM_ECDSA ? CKR_OK : CKR_MECHANISM_INVALID;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *to,
                  CK_ULONG *to_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(fake.is_another_key ? other : key, NULL);
    int half = fake.is_p384 ? 48 : 32;
    unsigned char der[160];
    const unsigned char *at = der;
    size_t n = sizeof(der);
    ECDSA_SIG *sig;

    (void)session;
    if (fake.sign_answer || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, der, &n, data, len) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return fake.sign_answer;
    }
    sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + half, half);
    *to_len = fake.sig_len ? fake.sig_len : 2 * (CK_ULONG)half;
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
    fake.n_signed++;
    return CKR_OK;
}

static CK_RV make(CK_SESSION_HANDLE session, CK_MECHANISM *how, CK_ATTRIBUTE *public,
                  CK_ULONG n_public, CK_ATTRIBUTE *private, CK_ULONG n_private,
                  CK_OBJECT_HANDLE *ret_public, CK_OBJECT_HANDLE *ret_private)
{
    (void)session, (void)how, (void)public, (void)n_public, (void)private, (void)n_private;
    fake.n_made++;
    fake.has_key = fake.has_public = true;
    *ret_public = PUBLIC;
    *ret_private = PRIVATE;
    return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret)
{
    static CK_FUNCTION_LIST list = {
        .version = { 2, 40 },
        .C_Initialize = initialize,
        .C_Finalize = finalize,
        .C_GetSlotList = get_slots,
        .C_GetTokenInfo = get_token,
        .C_OpenSession = open_session,
        .C_CloseSession = close_session,
        .C_Login = login,
        .C_FindObjectsInit = find_init,
        .C_FindObjects = find,
        .C_FindObjectsFinal = find_final,
        .C_GetAttributeValue = get_value,
        .C_SignInit = sign_init,
        .C_Sign = sign,
        .C_GenerateKeyPair = make,
    };

    *ret = &list;
    return CKR_OK;
}
