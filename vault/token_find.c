/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/token_in.h"

#include "base/text.h"

enum { MAX_VALUE = 256 };

/* ---- which key -------------------------------------------------------------------------------------------- */

static CK_ATTRIBUTE text_attribute(CK_ATTRIBUTE_TYPE type, char *text)
{
    return ATTRIBUTE(type, text, strlen(text));
}

static bool find(const struct token *t, CK_ATTRIBUTE *wanted, CK_ULONG n_wanted,
                 CK_OBJECT_HANDLE *ret, CK_ULONG *n, struct err *err)
{
    CK_FUNCTION_LIST *f = t->module->f;
    CK_RV rv = f->C_FindObjectsInit(t->session, wanted, n_wanted);

    if (rv == CKR_OK) {
        rv = f->C_FindObjects(t->session, ret, *n, n);
        f->C_FindObjectsFinal(t->session);
    }
    return rv == CKR_OK ||
           err_set(err, ERR_SYSTEM, "token \"%s\": %s", token_name(t), module_reason(rv));
}

/* How the key was named, for errors. */
static void put_wanted(const struct token *t, struct buf *to)
{
    if (t->uri.object)
        buf_printf(to, " \"%s\"", t->uri.object);
    if (t->uri.id.len) {
        buf_put_text(to, " with the identifier ");
        text_put_hex(to, buf_view(&t->uri.id));
    }
}

bool token_find_key(struct token *t, bool may_be_none, bool *ret_is, struct err *err)
{
    CK_OBJECT_CLASS is_private = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[3] = { ATTRIBUTE(CKA_CLASS, &is_private, sizeof(is_private)) };
    CK_OBJECT_HANDLE found[8];
    CK_ULONG n_wanted = 1, n = N_ELEMENTS(found);
    _buf_ what = { 0 };

    if (t->uri.object)
        wanted[n_wanted++] = text_attribute(CKA_LABEL, t->uri.object);
    if (t->uri.id.len)
        wanted[n_wanted++] = ATTRIBUTE(CKA_ID, t->uri.id.data, t->uri.id.len);
    if (!find(t, wanted, n_wanted, found, &n, err))
        return false;
    put_wanted(t, &what);
    if (n > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "token \"%s\" has more than one private key%s: name one by %s",
                       token_name(t), buf_cstr(&what), t->uri.object ? "id=" : "object=");
    *ret_is = n == 1;
    if (n == 1)
        t->key = found[0];
    return n == 1 || may_be_none ||
           err_set(err, ERR_NOT_FOUND, "token \"%s\" has no private key%s", token_name(t),
                   buf_cstr(&what));
}

bool token_get(const struct token *t, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
               struct buf *ret_value)
{
    uint8_t bytes[MAX_VALUE];
    CK_ATTRIBUTE a = ATTRIBUTE(type, bytes, sizeof(bytes));

    if (t->module->f->C_GetAttributeValue(t->session, object, &a, 1) != CKR_OK ||
        a.ulValueLen > sizeof(bytes))
        return false;
    buf_clear(ret_value);
    buf_put(ret_value, VIEW(bytes, a.ulValueLen));
    return true;
}

/* Of the public key beside it, which has the same identifier; some tokens tell it of the private one. */
static bool get_point(const struct token *t, struct buf *ret_point, struct err *err)
{
    CK_OBJECT_CLASS is_public = CKO_PUBLIC_KEY;
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = N_ELEMENTS(found);
    _buf_ id = { 0 };

    if (token_get(t, t->key, CKA_EC_POINT, ret_point) && ret_point->len)
        return true;
    if (token_get(t, t->key, CKA_ID, &id) && id.len) {
        CK_ATTRIBUTE wanted[] = { ATTRIBUTE(CKA_CLASS, &is_public, sizeof(is_public)),
                                  ATTRIBUTE(CKA_ID, id.data, id.len) };
        if (!find(t, wanted, N_ELEMENTS(wanted), found, &n, err))
            return false;
        if (n == 1 && token_get(t, found[0], CKA_EC_POINT, ret_point))
            return true;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "token \"%s\": it has no public key that belongs to the private one (with the "
                   "same identifier)",
                   token_name(t));
}

static bool is_true(const struct token *t, CK_ATTRIBUTE_TYPE type)
{
    _buf_ value = { 0 };

    return token_get(t, t->key, type, &value) && value.len == sizeof(CK_BBOOL) &&
           value.data[0] == CK_TRUE;
}

static bool refuse(const struct token *t, const char *what, struct err *err)
{
    err_set(err, ERR_WRONG_KEY, "token \"%s\": the key is %s; %s is needed", token_name(t), what,
            pki_curve_text(t->curve));
    return err_advise(err, "name another object: where there is none of that name, a key is made");
}

bool token_read_key(struct token *t, struct buf *ret_spki, struct err *err)
{
    _buf_ type = { 0 }, params = { 0 }, point = { 0 };
    CK_KEY_TYPE wanted = CKK_EC;
    enum pki_curve curve;

    if (!token_get(t, t->key, CKA_KEY_TYPE, &type) ||
        !view_eq(buf_view(&type), VIEW(&wanted, sizeof(wanted))) ||
        !token_get(t, t->key, CKA_EC_PARAMS, &params))
        return refuse(t, "no EC key", err);
    if (!get_point(t, &point, err))
        return false;
    t->asks_each_time = is_true(t, CKA_ALWAYS_AUTHENTICATE);
    return (pki_spki_by_params(buf_view(&params), buf_view(&point), ret_spki, &curve) &&
            curve == t->curve) ||
           refuse(t, "of another curve", err);
}

/* ---- making one ---------------------------------------------------------------------------------------- */

bool token_make_key(struct token *t, struct err *err)
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 },
                         p384[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
    struct buf params = buf_dup(t->curve == PKI_P256 ? VIEW_ARR(p256) : VIEW_ARR(p384));
    CK_MECHANISM how = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    uint8_t id[8];
    CK_ATTRIBUTE public[] = {
        ATTRIBUTE(CKA_TOKEN, &yes, sizeof(yes)),           ATTRIBUTE(CKA_VERIFY, &yes, sizeof(yes)),
        ATTRIBUTE(CKA_EC_PARAMS, params.data, params.len), ATTRIBUTE(CKA_ID, id, sizeof(id)),
        text_attribute(CKA_LABEL, t->uri.object),
    };
    CK_ATTRIBUTE private[] = {
        ATTRIBUTE(CKA_TOKEN, &yes, sizeof(yes)),     ATTRIBUTE(CKA_PRIVATE, &yes, sizeof(yes)),
        ATTRIBUTE(CKA_SENSITIVE, &yes, sizeof(yes)), ATTRIBUTE(CKA_EXTRACTABLE, &no, sizeof(no)),
        ATTRIBUTE(CKA_SIGN, &yes, sizeof(yes)),      ATTRIBUTE(CKA_ID, id, sizeof(id)),
        text_attribute(CKA_LABEL, t->uri.object),
    };
    CK_OBJECT_HANDLE unused;
    CK_RV rv;

    random_bytes(id, sizeof(id));
    rv = t->module->f->C_GenerateKeyPair(t->session, &how, public, N_ELEMENTS(public), private,
                                         N_ELEMENTS(private), &unused, &t->key);
    buf_free(&params);
    return rv == CKR_OK || err_set(err, ERR_SYSTEM, "token \"%s\": making a %s key: %s",
                                   token_name(t), pki_curve_text(t->curve), module_reason(rv));
}
