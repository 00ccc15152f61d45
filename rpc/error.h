/* SPDX-License-Identifier: Apache-2.0 */
/* Errors over the wire: a URI `<namespace>.error.<code>` and {code, cause, remedy} in the keywords.
 * The codes that WAMP has a word for travel under WAMP's URI (wamp.error.no_such_procedure). */
#pragma once

#include "rpc/message.h"

/* `name_space`: "den", "network", "peer"; WAMP's own codes take "wamp" by themselves. */
void rpc_error_uri(const char *name_space, enum err_code code, struct buf *to);
/* args [] and kwargs {code, cause, remedy}. */
void rpc_error_put_payload(const struct err *what, struct buf *to);
/* The error that an ERROR or ABORT brings, with its cause as text. A stranger's URI becomes
 * INTERNAL, and is named. */
/* Whether the URI is WAMP's or of our form, <word>.error.<code>. */
bool rpc_error_is_own(struct view uri);
void rpc_error_read(struct view uri, struct rpc_payload payload, struct err *ret_what);
