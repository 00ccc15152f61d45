/* SPDX-License-Identifier: Apache-2.0 */
/* den's own keys, as the files *.key of its folder: plain, or under one passphrase (base/secret.h). Not those of the root, which
 * have a passphrase of their own and are not opened by a den that runs. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Whether one of them is sealed. */
bool keys_are_sealed(const char *dir, bool *ret_are, struct err *err);
/* secret_change() of each. */
bool keys_change_passphrase(const char *dir, struct view old, struct view next, size_t *ret_n,
                            struct err *err);

/* Where `--passphrase-fd N` was given, from there; else a credential of systemd, or the terminal. Nothing is asked for when all
 * keys are plain. Wipe it. */
bool keys_ask(const char *dir, const char *fd, struct buf *ret_passphrase, struct err *err);
/* A new one. */
bool keys_ask_new(const char *fd, struct buf *ret_passphrase, struct err *err);
