/* SPDX-License-Identifier: Apache-2.0 */
/* What the signer's process may do from now on: answer on descriptors that it has; with a key in a token, use that. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* After everything was opened. No file can be opened, no socket made, no program run; a system call that it has no
 * business with kills it. `may_accept`: it has a listening socket. Appends one line on what is in force, for the log:
 * what the kernel does not have is said there.
 * `token_paths`: NULL, or what the module of a token may open beside, absolute paths between spaces (BAD_CONFIG). Then it may
 * also open a socket of this machine's (AF_UNIX: a card reader's daemon): still no network, and no program. */
bool vault_sandbox_enter(bool may_accept, const char *token_paths, struct buf *ret_report,
                         struct err *err);
