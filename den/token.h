/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment tokens: drawn here, handed to whoever may join, kept only as public keys. */
#pragma once

#include "den/store.h"
#include "rpc/rpc.h"

enum { TOKEN_MAX_USES = 1000000 };

struct token_order {
    const char *role;       /* "peer", "admin" */
    uint64_t uses, life_ms; /* life_ms 0: for ever */
    uint64_t now;
    const char *router; /* HOST:PORT, as the join string names it */
    const struct rpc_trust *trust;
};
/* Records the token, audited, and appends the join string that holds it: a secret, wipe it. Works while den runs. */
bool token_new(struct store *store, const struct token_order *order, struct buf *ret_join,
               struct err *err);
