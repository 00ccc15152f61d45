/* SPDX-License-Identifier: Apache-2.0 */
/* The part of RFC 7512 that names a private key, and the module that has it. */
#include "vault/token.h"

#include "base/text.h"

static const char scheme[] = "pkcs11:";
static const char shape[] = "pkcs11:token=NAME;object=NAME?module-path=/PATH/OF/MODULE.so";

bool token_is_uri(struct view text)
{
    return view_starts(text, VIEW(scheme, sizeof(scheme) - 1));
}

void token_uri_deinit(struct token_uri *uri)
{
    free(uri->module);
    free(uri->token);
    free(uri->serial);
    free(uri->manufacturer);
    free(uri->model);
    free(uri->object);
    buf_free(&uri->id);
    *uri = (struct token_uri){ 0 };
}

/* ---- reading -------------------------------------------------------------------------------------- */

static bool unescape(struct view text, struct buf *to)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c <= ' ' || c >= 0x7f)
            return false;
        if (c == '%') {
            if (!text_read_hex(view_sub(text, i + 1, 2), &c, 1))
                return false;
            i += 2;
        }
        buf_put_u8(to, c);
    }
    return true;
}

static bool take_text(const char *name, struct view value, char **to, struct err *err)
{
    if (*to)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s stands twice", name);
    if (value.len == 0 || !text_is_utf8(value) || memchr(value.data, 0, value.len))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: expected a text", name);
    *to = view_dup_text(value);
    return true;
}

static bool take_id(struct token_uri *uri, struct view value, struct err *err)
{
    if (uri->id.len)
        return err_set(err, ERR_INVALID_ARGUMENT, "id stands twice");
    if (value.len == 0 || value.len > TOKEN_ID)
        return err_set(err, ERR_INVALID_ARGUMENT, "id: expected 1 to %d bytes", TOKEN_ID);
    uri->id = buf_dup(value);
    return true;
}

static bool take_path(struct token_uri *uri, struct view name, struct view value, struct err *err)
{
    const struct {
        const char *name;
        char **to;
    } texts[] = {
        { "token", &uri->token },
        { "serial", &uri->serial },
        { "manufacturer", &uri->manufacturer },
        { "model", &uri->model },
        { "object", &uri->object },
    };

    for (size_t i = 0; i < N_ELEMENTS(texts); i++)
        if (view_eq_text(name, texts[i].name))
            return take_text(texts[i].name, value, texts[i].to, err);
    if (view_eq_text(name, "id"))
        return take_id(uri, value, err);
    if (view_eq_text(name, "type"))
        return view_eq_text(value, "private") ||
               err_set(err, ERR_INVALID_ARGUMENT, "type: a private key is wanted");
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "%.*s: expected token, serial, manufacturer, model, object, id or type",
                   VIEW_FMT(name));
}

static bool take_query(struct token_uri *uri, struct view name, struct view value, struct err *err)
{
    if (view_eq_text(name, "module-path")) {
        if (value.len && value.data[0] != '/')
            return err_set(err, ERR_INVALID_ARGUMENT, "module-path: expected an absolute path");
        return take_text("module-path", value, &uri->module, err);
    }
    if (view_eq_text(name, "pin-value") || view_eq_text(name, "pin-source"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a URI is no place for a PIN: it is asked for, or given by a descriptor");
    return err_set(err, ERR_INVALID_ARGUMENT, "%.*s: expected module-path", VIEW_FMT(name));
}

typedef bool take_one(struct token_uri *uri, struct view name, struct view value, struct err *err);

static bool take_all(struct token_uri *uri, struct view text, uint8_t between, take_one *take,
                     struct err *err)
{
    while (text.len) {
        const uint8_t *end = memchr(text.data, between, text.len);
        struct view one = view_sub(text, 0, end ? (size_t)(end - text.data) : text.len);
        const uint8_t *is = one.len ? memchr(one.data, '=', one.len) : NULL;
        _buf_ value = { 0 };
        if (!is || !unescape(view_sub(one, (size_t)(is - one.data) + 1, one.len), &value))
            return err_set(err, ERR_INVALID_ARGUMENT, "expected %s", shape);
        if (!take(uri, VIEW(one.data, (size_t)(is - one.data)), buf_view(&value), err))
            return false;
        text = view_sub(text, one.len + 1, text.len);
    }
    return true;
}

bool token_uri_read(struct view text, struct token_uri *ret_uri, struct err *err)
{
    _cleanup_(token_uri_deinit) struct token_uri uri = { 0 };
    struct view path = view_sub(text, sizeof(scheme) - 1, text.len), query = { 0 };
    const uint8_t *mark = path.len ? memchr(path.data, '?', path.len) : NULL;

    if (!token_is_uri(text) || text.len > TOKEN_URI)
        return err_set(err, ERR_INVALID_ARGUMENT, "expected %s", shape);
    if (mark) {
        query = view_sub(path, (size_t)(mark - path.data) + 1, path.len);
        path.len = (size_t)(mark - path.data);
    }
    if (!take_all(&uri, path, ';', take_path, err) || !take_all(&uri, query, '&', take_query, err))
        return err_wrap(err, "PKCS#11 URI");
    if (!uri.token && !uri.serial)
        return err_set(err, ERR_INVALID_ARGUMENT, "PKCS#11 URI: it names no token: expected %s",
                       shape);
    if (!uri.module)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "PKCS#11 URI: it names no module: expected %s, for example "
                       "/usr/lib/softhsm/libsofthsm2.so",
                       shape);
    *ret_uri = uri;
    uri = (struct token_uri){ 0 };
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void escape(struct buf *to, struct view bytes, bool is_binary)
{
    static const char plain[] =
        "-._~:[]@!$'()*+,/"; /* of both parts (RFC 7512, 2.3), but not '=' */

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_binary && (is_letter || (c && strchr(plain, c))))
            buf_put_u8(to, c);
        else
            buf_printf(to, "%%%02X", c);
    }
}

static void put(struct buf *to, const char *between, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(to, "%s%s=", to->len && to->data[to->len - 1] == ':' ? "" : between, name);
    escape(to, view_text(value), false);
}

void token_uri_write(const struct token_uri *uri, struct buf *to)
{
    buf_put_text(to, scheme);
    put(to, ";", "token", uri->token);
    put(to, ";", "serial", uri->serial);
    put(to, ";", "manufacturer", uri->manufacturer);
    put(to, ";", "model", uri->model);
    put(to, ";", "object", uri->object);
    if (uri->id.len) {
        buf_put_text(to, ";id=");
        escape(to, buf_view(&uri->id), true);
    }
    put(to, "?", "module-path", uri->module);
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool token_uri_is_same_token(const struct token_uri *a, const struct token_uri *b)
{
    return is_same(a->module, b->module) && is_same(a->token, b->token) &&
           is_same(a->serial, b->serial) && is_same(a->manufacturer, b->manufacturer) &&
           is_same(a->model, b->model);
}
