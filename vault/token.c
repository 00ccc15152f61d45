/* SPDX-License-Identifier: Apache-2.0 */
/* A private key in a token: found, logged in to, used; and found again when the token was away. */
#include "vault/token.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "vault/module.h"

#include <stdio.h>
#include <sys/mman.h>

enum { MAX_SLOTS = 64, MAX_PIN = 1024, MAX_VALUE = 256, AGAIN_AFTER = 500 /* ms */ };

enum state {
    TOKEN_THERE,
    TOKEN_AWAY, /* tried again with every request, but not all the time */
    TOKEN_OVER, /* it refused a PIN that was right: it is not tried again */
};

struct token {
    struct token_uri uri;
    struct module *module;
    unsigned n_starts; /* the module's, when the session was opened */
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    bool has_session, asks_each_time;
    bool is_proved; /* it has signed once, and rightly */
    enum pki_curve curve;
    enum token_care care;
    bool was_right; /* the PIN, once */
    char *pin;      /* a page of its own, locked; NULL: none */
    size_t pin_len;
    enum state state;
    uint64_t again_at; /* mono */
};

/* What people know it by. */
static const char *name_of(const struct token *t)
{
    return t->uri.token ? t->uri.token : t->uri.serial;
}

/* ---- the PIN --------------------------------------------------------------------------------------- */

static bool keep_pin(struct token *t, struct view pin, struct err *err)
{
    if (!pin.len)
        return true;
    if (pin.len > MAX_PIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "the PIN is too long");
    t->pin = mmap(NULL, MAX_PIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->pin == MAP_FAILED) {
        t->pin = NULL;
        return err_errno(err, "memory for the PIN");
    }
    mlock(t->pin, MAX_PIN); /* what the limits do not allow is no reason to stop */
    madvise(t->pin, MAX_PIN, MADV_DONTDUMP);
    memcpy(t->pin, pin.data, pin.len);
    t->pin_len = pin.len;
    return true;
}

static void drop_pin(struct token *t)
{
    if (!t->pin)
        return;
    mem_wipe(t->pin, MAX_PIN);
    munmap(t->pin, MAX_PIN);
    t->pin = NULL;
    t->pin_len = 0;
}

/* ---- which token ------------------------------------------------------------------------------------ */

/* Of fixed width, filled up with spaces. */
static struct view padded(const CK_UTF8CHAR *text, size_t size)
{
    while (size && (text[size - 1] == ' ' || text[size - 1] == '\0'))
        size--;
    return VIEW(text, size);
}

static bool is_named(const char *wanted, const CK_UTF8CHAR *text, size_t size)
{
    return !wanted || view_eq_text(padded(text, size), wanted);
}

static bool is_it(const struct token_uri *uri, const CK_TOKEN_INFO *info)
{
    return is_named(uri->token, info->label, sizeof(info->label)) &&
           is_named(uri->serial, info->serialNumber, sizeof(info->serialNumber)) &&
           is_named(uri->manufacturer, info->manufacturerID, sizeof(info->manufacturerID)) &&
           is_named(uri->model, info->model, sizeof(info->model));
}

static bool find_slot(const struct token *t, CK_SLOT_ID *ret_slot, CK_TOKEN_INFO *ret_info,
                      struct err *err)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG n = MAX_SLOTS;
    CK_RV rv = t->module->f->C_GetSlotList(CK_TRUE, slots, &n);
    _buf_ there = { 0 };
    size_t n_found = 0;

    if (rv != CKR_OK)
        return err_set(err, ERR_SYSTEM, "%s: %s", t->module->path, module_reason(rv));
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        if (t->module->f->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            !(info.flags & CKF_TOKEN_INITIALIZED))
            continue;
        buf_printf(&there, "%s\"%.*s\"", there.len ? ", " : "",
                   VIEW_FMT(padded(info.label, sizeof(info.label))));
        if (!is_it(&t->uri, &info))
            continue;
        n_found++;
        *ret_slot = slots[i];
        *ret_info = info;
    }
    if (n_found > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "%zu tokens are \"%s\": add serial= to the URI",
                       n_found, name_of(t));
    return n_found == 1 ||
           err_set(err, ERR_NOT_FOUND, "there is no token \"%s\"; %s has %s", name_of(t),
                   t->module->path, there.len ? buf_cstr(&there) : "none");
}

/* ---- logging in --------------------------------------------------------------------------------------- */

/* One more wrong PIN may be the last one. A machine that starts us does so again and again. */
static bool check_tries(const struct token *t, CK_FLAGS flags, struct err *err)
{
    bool is_low = flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);

    if (!(flags & CKF_USER_PIN_INITIALIZED))
        return err_set(err, ERR_BAD_CONFIG, "token \"%s\": its PIN was never set", name_of(t));
    if (flags & CKF_USER_PIN_LOCKED)
        return err_set(err, ERR_NOT_AUTHORIZED,
                       "token \"%s\": its PIN is locked: its security officer unlocks it",
                       name_of(t));
    if (!is_low || (t->was_right && !(flags & CKF_USER_PIN_FINAL_TRY)) ||
        (t->care == TOKEN_ATTENDED && !(flags & CKF_USER_PIN_FINAL_TRY)))
        return true;
    return err_set(err, ERR_NOT_AUTHORIZED,
                   "token \"%s\": a wrong PIN was given to it before, and it may lock: nothing was "
                   "tried. Log in once by hand: pkcs11-tool --module %s --token-label '%s' --login "
                   "--list-objects",
                   name_of(t), t->module->path, name_of(t));
}

static bool is_about_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_EXPIRED || rv == CKR_PIN_LOCKED;
}

static bool log_in(struct token *t, CK_FLAGS flags, struct err *err)
{
    CK_RV rv;

    if (!(flags & CKF_LOGIN_REQUIRED))
        return true;
    if (!t->pin && !(flags & CKF_PROTECTED_AUTHENTICATION_PATH))
        return err_set(err, ERR_LOCKED, "token \"%s\" wants its PIN", name_of(t));
    if (!check_tries(t, flags, err))
        return false;
    rv = t->module->f->C_Login(t->session, CKU_USER, (CK_UTF8CHAR_PTR)t->pin, t->pin_len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) {
        t->was_right = true;
        return true;
    }
    if (is_about_pin(rv) && t->was_right)
        t->state = TOKEN_OVER;
    return err_set(err,
                   rv == CKR_PIN_LOCKED ? ERR_NOT_AUTHORIZED
                   : is_about_pin(rv)   ? ERR_BAD_PASSPHRASE
                                        : ERR_SYSTEM,
                   "token \"%s\": %s%s", name_of(t), module_reason(rv),
                   is_about_pin(rv) && rv != CKR_PIN_LOCKED
                       ? "; it was tried once: a few wrong ones lock a token"
                       : "");
}

static void close_session(struct token *t)
{
    if (t->has_session && t->n_starts == t->module->n_starts)
        t->module->f->C_CloseSession(t->session);
    t->has_session = false;
}

static bool open_session(struct token *t, CK_FLAGS more, struct err *err)
{
    CK_TOKEN_INFO info = { 0 };
    CK_SLOT_ID slot = 0;
    CK_RV rv;

    if (!find_slot(t, &slot, &info, err))
        return false;
    rv = t->module->f->C_OpenSession(slot, CKF_SERIAL_SESSION | more, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return err_set(err, ERR_SYSTEM, "token \"%s\": %s", name_of(t), module_reason(rv));
    t->has_session = true;
    t->n_starts = t->module->n_starts;
    return log_in(t, info.flags, err);
}

/* ---- which key -------------------------------------------------------------------------------------------- */

#define ATTRIBUTE(type, p, n) ((CK_ATTRIBUTE){ (type), (p), (n) })

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
           err_set(err, ERR_SYSTEM, "token \"%s\": %s", name_of(t), module_reason(rv));
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

static bool find_key(struct token *t, bool may_be_none, bool *ret_is, struct err *err)
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
                       "token \"%s\" has more than one private key%s: name one by %s", name_of(t),
                       buf_cstr(&what), t->uri.object ? "id=" : "object=");
    *ret_is = n == 1;
    if (n == 1)
        t->key = found[0];
    return n == 1 || may_be_none ||
           err_set(err, ERR_NOT_FOUND, "token \"%s\" has no private key%s", name_of(t),
                   buf_cstr(&what));
}

static bool get(const struct token *t, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
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

    if (get(t, t->key, CKA_EC_POINT, ret_point) && ret_point->len)
        return true;
    if (get(t, t->key, CKA_ID, &id) && id.len) {
        CK_ATTRIBUTE wanted[] = { ATTRIBUTE(CKA_CLASS, &is_public, sizeof(is_public)),
                                  ATTRIBUTE(CKA_ID, id.data, id.len) };
        if (!find(t, wanted, N_ELEMENTS(wanted), found, &n, err))
            return false;
        if (n == 1 && get(t, found[0], CKA_EC_POINT, ret_point))
            return true;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "token \"%s\": it has no public key that belongs to the private one (with the "
                   "same identifier)",
                   name_of(t));
}

static bool is_true(const struct token *t, CK_ATTRIBUTE_TYPE type)
{
    _buf_ value = { 0 };

    return get(t, t->key, type, &value) && value.len == sizeof(CK_BBOOL) &&
           value.data[0] == CK_TRUE;
}

static bool read_key(struct token *t, struct buf *ret_spki, struct err *err)
{
    _buf_ type = { 0 }, params = { 0 }, point = { 0 };
    CK_KEY_TYPE wanted = CKK_EC;
    enum pki_curve curve;

    if (!get(t, t->key, CKA_KEY_TYPE, &type) ||
        !view_eq(buf_view(&type), VIEW(&wanted, sizeof(wanted))) ||
        !get(t, t->key, CKA_EC_PARAMS, &params))
        return err_set(err, ERR_WRONG_KEY, "token \"%s\": it is no EC key; %s is needed",
                       name_of(t), pki_curve_text(t->curve));
    if (!get_point(t, &point, err))
        return false;
    t->asks_each_time = is_true(t, CKA_ALWAYS_AUTHENTICATE);
    return (pki_spki_by_params(buf_view(&params), buf_view(&point), ret_spki, &curve) &&
            curve == t->curve) ||
           err_set(err, ERR_WRONG_KEY, "token \"%s\": the key is of another curve; %s is needed",
                   name_of(t), pki_curve_text(t->curve));
}

/* ---- making one ---------------------------------------------------------------------------------------- */

static bool make_key(struct token *t, struct err *err)
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
    return rv == CKR_OK || err_set(err, ERR_SYSTEM, "token \"%s\": making a %s key: %s", name_of(t),
                                   pki_curve_text(t->curve), module_reason(rv));
}

/* ---- signing ------------------------------------------------------------------------------------------------- */

static CK_RV sign_once(struct token *t, struct view digest, struct buf *to)
{
    CK_FUNCTION_LIST *f = t->module->f;
    CK_MECHANISM how = { CKM_ECDSA, NULL, 0 };
    struct buf bytes = buf_dup(digest); /* theirs is not const */
    uint8_t sig[MAX_VALUE];
    CK_ULONG len = sizeof(sig);
    CK_RV rv = f->C_SignInit(t->session, &how, t->key);

    if (rv == CKR_OK && t->asks_each_time)
        rv = f->C_Login(t->session, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR_PTR)t->pin, t->pin_len);
    if (rv == CKR_OK)
        rv = f->C_Sign(t->session, bytes.data, bytes.len, sig, &len);
    buf_free(&bytes);
    if (rv == CKR_OK)
        buf_put(to, VIEW(sig, len));
    if (is_about_pin(rv))
        t->state = TOKEN_OVER;
    return rv;
}

static bool open_again(struct token *t, struct view digest, struct buf *to, struct err *err)
{
    bool is;
    CK_RV rv;

    close_session(t);
    if (!open_session(t, 0, err) || !find_key(t, false, &is, err))
        return false;
    rv = sign_once(t, digest, to);
    return rv == CKR_OK ||
           err_set(err, ERR_BUSY, "token \"%s\": %s", name_of(t), module_reason(rv));
}

/* A new session; or the module from its start on: some notice only then that a token is back. */
static bool recover(struct token *t, struct view digest, struct buf *to, struct err *err)
{
    if (open_again(t, digest, to, err) || t->state == TOKEN_OVER)
        return t->state != TOKEN_OVER;
    return module_start_again(t->module, err) && open_again(t, digest, to, err);
}

static bool refuse(const struct token *t, struct err *err)
{
    return t->state == TOKEN_OVER
               ? err_set(err, ERR_BUSY,
                         "token \"%s\" refuses the PIN that it took before, and it is not tried "
                         "again: start the signer anew with the right one",
                         name_of(t))
               : err_set(err, ERR_BUSY, "token \"%s\" is away", name_of(t));
}

/* The log says each change once, and why; whoever asked is a stranger. */
static bool lost(struct token *t, enum state before, const char *why, struct err *err)
{
    t->state = t->state == TOKEN_OVER ? TOKEN_OVER : TOKEN_AWAY;
    t->again_at = clock_mono_ms() + AGAIN_AFTER;
    if (t->state != before)
        log_event(LOG_ERROR, "signer.token.lost", "token=%s again=%s cause=%s",
                  log_quote_text(name_of(t)), t->state == TOKEN_OVER ? "no" : "yes",
                  log_quote_text(why));
    return refuse(t, err);
}

static bool back(struct token *t, enum state before)
{
    t->state = TOKEN_THERE;
    if (before == TOKEN_AWAY)
        log_event(LOG_INFO, "signer.token.back", "token=%s", log_quote_text(name_of(t)));
    return true;
}

static bool sign_locked(struct token *t, struct view digest, struct buf *to, struct err *err)
{
    bool is_open = t->has_session && t->n_starts == t->module->n_starts;
    enum state before = t->state;
    struct err why = { 0 };
    CK_RV rv = CKR_SESSION_CLOSED;

    if (before == TOKEN_OVER || (before == TOKEN_AWAY && clock_mono_ms() < t->again_at))
        return refuse(t, err);
    if (before == TOKEN_THERE && is_open)
        rv = sign_once(t, digest, to);
    if (rv == CKR_OK)
        return true;
    err_set(&why, ERR_SYSTEM, "token \"%s\": %s", name_of(t), module_reason(rv));
    if (!t->is_proved) { /* it never signed: nothing is to be had by trying again */
        *err = why;
        return false;
    }
    if (t->state != TOKEN_OVER && recover(t, digest, to, &why))
        return back(t, before);
    return lost(t, before, why.text, err);
}

static bool sign(void *user, struct view digest, struct buf *ret_halves, struct err *err)
{
    struct token *t = user;
    bool ok;

    pthread_mutex_lock(&t->module->lock);
    ok = sign_locked(t, digest, ret_halves, err);
    pthread_mutex_unlock(&t->module->lock);
    return ok;
}

/* ---- from a URI to a key ----------------------------------------------------------------------------------- */

static void token_free(void *user)
{
    struct token *t = user;

    if (!t)
        return;
    if (t->module)
        close_session(t);
    module_release(t->module);
    drop_pin(t);
    token_uri_deinit(&t->uri);
    free(t);
}

static void token_freep(struct token **t)
{
    token_free(*t);
}

static bool token_new(const struct token_uri *uri, const struct token_login *login,
                      enum pki_curve curve, struct token **ret_token, struct err *err)
{
    _cleanup_(token_freep) struct token *t = mem_new(struct token);
    _buf_ text = { 0 };

    t->curve = curve;
    t->care = login->care;
    token_uri_write(uri, &text);
    if (!token_uri_read(buf_view(&text), &t->uri, err) || !keep_pin(t, login->pin, err) ||
        !module_take(uri->module, &t->module, err))
        return false;
    *ret_token = STEAL(t);
    return true;
}

/* The token's word is not enough: it is asked to sign, and the public key judges. */
static bool prove(const struct token *t, const struct pki_key *key, struct view spki,
                  struct err *err)
{
    _buf_ sig = { 0 };

    return (pki_key_sign(key, VIEW_LIT("warren: is this the key?"), &sig, err) &&
            pki_verify_by_spki(spki, VIEW_LIT("warren: is this the key?"), buf_view(&sig), err)) ||
           err_wrap(err, "token \"%s\": trying the key", name_of(t));
}

static bool give_key(struct token *t_taken, struct pki_key **ret_key, struct err *err)
{
    const struct pki_remote remote = { sign, token_free, t_taken };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(token_freep) struct token *t = t_taken;
    _buf_ spki = { 0 };

    if (!read_key(t, &spki, err))
        return false;
    (void)STEAL(t);
    if (!pki_key_remote(buf_view(&spki), &remote, &key, err) ||
        !prove(t_taken, key, buf_view(&spki), err))
        return false;
    t_taken->is_proved = true;
    *ret_key = STEAL(key);
    return true;
}

bool token_key_load(const struct token_uri *uri, const struct token_login *login,
                    enum pki_curve curve, struct pki_key **ret_key, struct err *err)
{
    _cleanup_(token_freep) struct token *t = NULL;
    bool is;

    return token_new(uri, login, curve, &t, err) && open_session(t, 0, err) &&
           find_key(t, false, &is, err) && give_key(STEAL(t), ret_key, err);
}

static bool put_place(struct token *t, struct token_uri *ret_at, struct err *err)
{
    _buf_ text = { 0 };

    if (!get(t, t->key, CKA_ID, &t->uri.id) || t->uri.id.len > TOKEN_ID)
        buf_clear(&t->uri.id);
    token_uri_write(&t->uri, &text);
    return token_uri_read(buf_view(&text), ret_at, err);
}

bool token_key_make(const struct token_uri *uri, const struct token_login *login,
                    enum pki_curve curve, struct token_uri *ret_at, struct pki_key **ret_key,
                    bool *ret_is_new, struct err *err)
{
    _cleanup_(token_freep) struct token *t = NULL;
    struct token_uri at = { 0 };
    bool is = false;

    if (!token_new(uri, login, curve, &t, err) || !open_session(t, CKF_RW_SESSION, err) ||
        !find_key(t, !uri->id.len && uri->object, &is, err) || (!is && !make_key(t, err)) ||
        !put_place(t, &at, err))
        return false;
    if (!give_key(STEAL(t), ret_key, err)) {
        token_uri_deinit(&at);
        return false;
    }
    *ret_at = at;
    *ret_is_new = !is;
    return true;
}
