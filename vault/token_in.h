/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a key in a token, shared by token*.c. Nobody else includes it. */
#pragma once

#include "vault/module.h"
#include "vault/token.h"

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
const char *token_name(const struct token *t);

/* ---- token_session.c ----------------------------------------------------------------------------- */

bool token_keep_pin(struct token *t, struct view pin, struct err *err);
void token_drop_pin(struct token *t);
bool token_is_about_pin(CK_RV rv);
/* Finds the token and logs in. `more`: CKF_RW_SESSION, to make a key. */
bool token_open_session(struct token *t, CK_FLAGS more, struct err *err);
void token_close_session(struct token *t);

/* ---- token_find.c -------------------------------------------------------------------------------- */

#define ATTRIBUTE(type, p, n) ((CK_ATTRIBUTE){ (type), (p), (n) })

/* The one private key that the URI names. */
bool token_find_key(struct token *t, bool may_be_none, bool *ret_is, struct err *err);
/* Its public half, which has to be of the curve that is wanted. */
bool token_read_key(struct token *t, struct buf *ret_spki, struct err *err);
bool token_make_key(struct token *t, struct err *err);
/* False when the token does not tell. Replaces what is in *ret_value. */
bool token_get(const struct token *t, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
               struct buf *ret_value);
