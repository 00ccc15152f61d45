/* SPDX-License-Identifier: Apache-2.0 */
/* den's own keys, as the files *.key of its folder: plain, or under one passphrase (base/secret.h). Not those of the root, which
 * have a passphrase of their own and are not opened by a den that runs. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Whether one of them is sealed. */
bool keys_are_sealed(const char *dir, bool *ret_are, struct err *err);
/* secret_change() of each; what only says where a key is stays as it is: *ret_n_elsewhere of them. */
bool keys_change_passphrase(const char *dir, struct view old, struct view next, size_t *ret_n,
                            size_t *ret_n_elsewhere, struct err *err);

/* Where `--passphrase-fd N` was given, from there; else a credential of systemd, or the terminal. Nothing is asked for when all
 * keys are plain. Wipe it. */
bool keys_ask(const char *dir, const char *fd, struct buf *ret_passphrase, struct err *err);
/* Whether one of them is a file that says in which token the key is. */
bool keys_are_in_token(const char *dir, bool *ret_are, struct err *err);
/* The token's PIN, likewise; nothing is asked for when no key is in one. */
bool keys_ask_pin(const char *dir, const char *fd, struct buf *ret_pin, struct err *err);
/* The same where a key is to be made in a token. `option` is how it is given. */
bool keys_ask_pin_of(const char *what, const char *option, const char *fd, struct buf *ret_pin,
                     struct err *err);
/* A new one. */
bool keys_ask_new(const char *fd, struct buf *ret_passphrase, struct err *err);
