/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/token_in.h"

#include <sys/mman.h>

enum { MAX_SLOTS = 64, MAX_PIN = 1024 };

static const char unlock[] =
    "have its security officer set a new one: pkcs11-tool --login --login-type so --init-pin";

const char *token_name(const struct token *t)
{
    return t->uri.token ? t->uri.token : t->uri.serial;
}

/* ---- the PIN --------------------------------------------------------------------------------------- */

bool token_keep_pin(struct token *t, struct view pin, struct err *err)
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

void token_drop_pin(struct token *t)
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
                       n_found, token_name(t));
    return n_found == 1 ||
           err_set(err, ERR_NOT_FOUND, "there is no token \"%s\"; %s has %s", token_name(t),
                   t->module->path, there.len ? buf_cstr(&there) : "none");
}

/* ---- logging in --------------------------------------------------------------------------------------- */

/* One more wrong PIN may be the last one. A machine that starts us does so again and again. */
static bool check_tries(const struct token *t, CK_FLAGS flags, struct err *err)
{
    bool is_low = flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY),
         is_last = flags & CKF_USER_PIN_FINAL_TRY;

    if (!(flags & CKF_USER_PIN_INITIALIZED)) {
        err_set(err, ERR_BAD_CONFIG, "token \"%s\": its PIN was never set", token_name(t));
        return err_advise(err, "set one: pkcs11-tool --login --login-type so --init-pin");
    }
    if (flags & CKF_USER_PIN_LOCKED) {
        err_set(err, ERR_NOT_AUTHORIZED, "token \"%s\": its PIN is locked", token_name(t));
        return err_advise(err, unlock);
    }
    if (!is_low || (!is_last && (t->was_right || t->care == TOKEN_ATTENDED)))
        return true;
    err_set(err, ERR_NOT_AUTHORIZED,
            "token \"%s\": a wrong PIN was given to it before, and it may lock: nothing was tried. "
            "Log in once "
            "by hand: pkcs11-tool --module %s --token-label '%s' --login --list-objects",
            token_name(t), t->module->path, token_name(t));
    return err_advise(err, "log in by hand as it says, with the right PIN, and start this again");
}

bool token_is_about_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_EXPIRED || rv == CKR_PIN_LOCKED;
}

static bool refuse(const struct token *t, CK_RV rv, struct err *err)
{
    if (rv == CKR_PIN_LOCKED) {
        err_set(err, ERR_NOT_AUTHORIZED, "token \"%s\": %s", token_name(t), module_reason(rv));
        return err_advise(err, unlock);
    }
    if (!token_is_about_pin(rv))
        return err_set(err, ERR_SYSTEM, "token \"%s\": %s", token_name(t), module_reason(rv));
    err_set(err, ERR_BAD_PASSPHRASE, "token \"%s\": %s; it was tried once", token_name(t),
            module_reason(rv));
    return err_advise(err, "give the right PIN: a few wrong ones lock a token");
}

static bool log_in(struct token *t, CK_FLAGS flags, struct err *err)
{
    CK_RV rv;

    if (!(flags & CKF_LOGIN_REQUIRED))
        return true;
    if (!t->pin && !(flags & CKF_PROTECTED_AUTHENTICATION_PATH)) {
        err_set(err, ERR_LOCKED, "token \"%s\" wants its PIN", token_name(t));
        return err_advise(
            err, "give it: --pin-fd N, at a terminal, or as the credential warren-den.pin");
    }
    if (!check_tries(t, flags, err))
        return false;
    rv = t->module->f->C_Login(t->session, CKU_USER, (CK_UTF8CHAR_PTR)t->pin, t->pin_len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) {
        t->was_right = true;
        return true;
    }
    if (token_is_about_pin(rv) && t->was_right)
        t->state = TOKEN_OVER;
    return refuse(t, rv, err);
}

void token_close_session(struct token *t)
{
    if (t->has_session && t->n_starts == t->module->n_starts)
        t->module->f->C_CloseSession(t->session);
    t->has_session = false;
}

bool token_open_session(struct token *t, CK_FLAGS more, struct err *err)
{
    CK_TOKEN_INFO info = { 0 };
    CK_SLOT_ID slot = 0;
    CK_RV rv;

    if (!find_slot(t, &slot, &info, err))
        return false;
    rv = t->module->f->C_OpenSession(slot, CKF_SERIAL_SESSION | more, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return err_set(err, ERR_SYSTEM, "token \"%s\": %s", token_name(t), module_reason(rv));
    t->has_session = true;
    t->n_starts = t->module->n_starts;
    return log_in(t, info.flags, err);
}
