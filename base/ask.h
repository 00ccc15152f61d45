/* SPDX-License-Identifier: Apache-2.0 */
/* A passphrase from wherever the operator gives it: a descriptor, a credential of systemd (LoadCredential=), the terminal. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { ASK_NOWHERE = -1 };

struct ask {
    const char *what;       /* "the root key": whose passphrase it is */
    const char *option;     /* "--passphrase-fd": how it is given, for those who have no terminal */
    int fd;                 /* up to its first newline or its end; ASK_NOWHERE: none */
    const char *credential; /* a file in $CREDENTIALS_DIRECTORY, if it is there; NULL: none */
    bool is_new; /* of SECRET_PASSPHRASE_MIN characters; on the terminal asked for twice */
    bool is_pin; /* of a token: it is called that, and may be empty (a token that asks by itself) */
};
/* INVALID_ARGUMENT with the remedy when there is no terminal, it is empty, too long, or new and too short, or the two differ; CANCELED. At most
 * SECRET_PASSPHRASE bytes. Wipe it. */
bool ask_passphrase(const struct ask *ask, struct buf *ret_passphrase, struct err *err);
