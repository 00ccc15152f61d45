/* SPDX-License-Identifier: Apache-2.0 */
/* A private key in a token: used, and found again when the token was away. */
#include "vault/token_in.h"

#include "base/clock.h"
#include "base/log.h"

enum { MAX_SIG = 256, AGAIN_AFTER = 500 /* ms */ };

/* ---- signing ------------------------------------------------------------------------------------------------- */

static CK_RV sign_once(struct token *t, struct view digest, struct buf *to)
{
    CK_FUNCTION_LIST *f = t->module->f;
    CK_MECHANISM how = { CKM_ECDSA, NULL, 0 };
    struct buf bytes = buf_dup(digest); /* theirs is not const */
    uint8_t sig[MAX_SIG];
    CK_ULONG len = sizeof(sig);
    CK_RV rv = f->C_SignInit(t->session, &how, t->key);

    if (rv == CKR_OK && t->asks_each_time)
        rv = f->C_Login(t->session, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR_PTR)t->pin, t->pin_len);
    if (rv == CKR_OK)
        rv = f->C_Sign(t->session, bytes.data, bytes.len, sig, &len);
    buf_free(&bytes);
    if (rv == CKR_OK)
        buf_put(to, VIEW(sig, len));
    if (token_is_about_pin(rv))
        t->state = TOKEN_OVER;
    return rv;
}

static bool open_again(struct token *t, struct view digest, struct buf *to, struct err *err)
{
    bool is;
    CK_RV rv;

    token_close_session(t);
    if (!token_open_session(t, 0, err) || !token_find_key(t, false, &is, err))
        return false;
    rv = sign_once(t, digest, to);
    return rv == CKR_OK ||
           err_set(err, ERR_BUSY, "token \"%s\": %s", token_name(t), module_reason(rv));
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
                         token_name(t))
               : err_set(err, ERR_BUSY, "token \"%s\" is away", token_name(t));
}

/* The log says each change once, and why; whoever asked is a stranger. */
static bool lost(struct token *t, enum state before, const char *why, struct err *err)
{
    t->state = t->state == TOKEN_OVER ? TOKEN_OVER : TOKEN_AWAY;
    t->again_at = clock_mono_ms() + AGAIN_AFTER;
    if (t->state != before)
        log_event(LOG_ERROR, "signer.token.lost", "token=%s again=%s cause=%s",
                  log_quote_text(token_name(t)), t->state == TOKEN_OVER ? "no" : "yes",
                  log_quote_text(why));
    return refuse(t, err);
}

static bool back(struct token *t, enum state before)
{
    t->state = TOKEN_THERE;
    if (before == TOKEN_AWAY)
        log_event(LOG_INFO, "signer.token.back", "token=%s", log_quote_text(token_name(t)));
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
    err_set(&why, ERR_SYSTEM, "token \"%s\": %s", token_name(t), module_reason(rv));
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
        token_close_session(t);
    module_release(t->module);
    token_drop_pin(t);
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
    if (!token_uri_read(buf_view(&text), &t->uri, err) || !token_keep_pin(t, login->pin, err) ||
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
           err_wrap(err, "token \"%s\": trying the key", token_name(t));
}

static bool give_key(struct token *t_taken, struct pki_key **ret_key, struct err *err)
{
    const struct pki_remote remote = { sign, token_free, t_taken };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _cleanup_(token_freep) struct token *t = t_taken;
    _buf_ spki = { 0 };

    if (!token_read_key(t, &spki, err))
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

    return token_new(uri, login, curve, &t, err) && token_open_session(t, 0, err) &&
           token_find_key(t, false, &is, err) && give_key(STEAL(t), ret_key, err);
}

static bool put_place(struct token *t, struct token_uri *ret_at, struct err *err)
{
    _buf_ text = { 0 };

    if (!token_get(t, t->key, CKA_ID, &t->uri.id) || t->uri.id.len > TOKEN_ID)
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

    if (!token_new(uri, login, curve, &t, err) || !token_open_session(t, CKF_RW_SESSION, err) ||
        !token_find_key(t, !uri->id.len && uri->object, &is, err) ||
        (!is && !token_make_key(t, err)) || !put_place(t, &at, err))
        return false;
    if (!give_key(STEAL(t), ret_key, err)) {
        token_uri_deinit(&at);
        return false;
    }
    *ret_at = at;
    *ret_is_new = !is;
    return true;
}
