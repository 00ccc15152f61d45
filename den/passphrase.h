/* SPDX-License-Identifier: Apache-2.0 */
/* The root key's passphrase, from wherever the operator gives it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { PASSPHRASE_PROMPT = -1 };

/* `fd`: up to its first newline or its end. PASSPHRASE_PROMPT: asked for on the terminal, without echo, twice when it is a
 * new one (`is_new`). INVALID_ARGUMENT with the remedy when there is no terminal, it is empty, or the two differ. Wipe it. */
bool passphrase_read(int fd, bool is_new, struct buf *ret_passphrase, struct err *err);
/* The same for the PIN of the token that has the root's key; it may be empty. */
bool passphrase_read_pin(int fd, struct buf *ret_pin, struct err *err);
