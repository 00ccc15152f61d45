/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a PKCS#11 token. A key's file in the folder then holds where the key is, a URI (RFC 7512), and no secret. */
#pragma once

#include "pki/pki.h"

/* ---- token_uri.c: where a key is ----------------------------------------------------------------- */

enum { TOKEN_URI = 2048, TOKEN_ID = 64 }; /* bytes, at most */

/* Texts are the caller's, NULL when the URI does not name them. */
struct token_uri {
    char *module; /* module-path: an absolute path */
    char *token, *serial, *manufacturer, *model;
    char *object;
    struct buf id;
};
bool token_is_uri(struct view text); /* by its first word */
/* INVALID_ARGUMENT: malformed; without module-path or without a token; with what we do not know, or with a PIN. */
bool token_uri_read(struct view text, struct token_uri *ret_uri, struct err *err);
void token_uri_write(const struct token_uri *uri, struct buf *to); /* appends */
void token_uri_deinit(struct token_uri *uri);
/* Whether they name one token by the same words. */
bool token_uri_is_same_token(const struct token_uri *a, const struct token_uri *b);

/* ---- token_file.c: a file that says so ------------------------------------------------------------- */

struct token_place {
    struct token_uri uri;
    char *
        paths; /* files and folders that the module opens while it signs, between spaces; "": none */
};
void token_place_deinit(struct token_place *place);
/* What is no secret of a file that may hold one: whether it only says where the key is. */
bool token_file_is(struct view bytes);
/* BAD_CONFIG. `name` stands for the file in errors. */
bool token_file_read(const char *name, struct view bytes, struct token_place *ret_place,
                     struct err *err);
void token_file_write(const struct token_place *place, struct buf *to);
/* Of a path: *ret_is is false when there is no such file, or it holds a key. EXPOSED. */
bool token_file_look(const char *path, bool *ret_is, struct err *err);
/* What it says, for people; false where it is no such file. */
bool token_file_say(const char *path, struct buf *to);
/* Absolute paths between spaces. INVALID_ARGUMENT. */
bool token_check_paths(const char *paths, struct err *err);

/* ---- token.c: the key itself -------------------------------------------------------------------------- */

enum token_care {
    /* Somebody looks on: a PIN is tried once. */
    TOKEN_ATTENDED,
    /* Started by a machine, perhaps again and again: not when a wrong PIN was given before, so that nothing locks a token. */
    TOKEN_UNATTENDED,
};
struct token_login {
    struct view pin; /* may be empty: a token that asks by itself, or wants none */
    enum token_care care;
};
/* Loads the module, logs in, finds the one private key and signs something with it. NOT_FOUND: no such module, token or
 * key; INVALID_ARGUMENT: more than one; WRONG_KEY: no EC key of `curve`, or the token signs with another one;
 * BAD_PASSPHRASE: the PIN; NOT_AUTHORIZED: it is locked; EXPOSED: others may change the module. A token that goes away
 * makes signatures fail (BUSY) until it is back: it is logged in again by itself, with a PIN that was right before. */
bool token_key_load(const struct token_uri *uri, const struct token_login *login,
                    enum pki_curve curve, struct pki_key **ret_key, struct err *err);
/* The same; makes the key when there is none, neither to be read nor to be copied out of the token. The URI names the
 * object. *ret_at: the same URI, with the key's identifier. */
bool token_key_make(const struct token_uri *uri, const struct token_login *login,
                    enum pki_curve curve, struct token_uri *ret_at, struct pki_key **ret_key,
                    bool *ret_is_new, struct err *err);
