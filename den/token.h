/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment tokens: drawn here, handed to whoever may join, kept only as public keys. */
#pragma once

#include "den/deed.h"
#include "den/store.h"
#include "rpc/rpc.h"

enum { TOKEN_MAX_USES = 1000000 };
#define TOKEN_ANY UINT64_MAX /* uses without a number */

struct token_words { /* as typed; NULL: not said */
    const char *uses, *expires, *role, *groups, *label, *ephemeral, *device_life;
    bool needs_approval;
};
#define TOKEN_EXPIRES "7d"
struct token_order {
    const char *role;           /* "peer", "admin" */
    uint64_t uses, life_ms;     /* of the token. uses may be TOKEN_ANY; life_ms 0: for ever */
    struct deed deed;           /* who makes it, and when */
    const char *groups, *label; /* NULL: none */
    const char *for_id;         /* gives this ID a new key; NULL: a new ID */
    const uint8_t *
        pk; /* KEY_SIZE bytes: the public key of a token that somebody else drew; NULL: it is drawn here */
    uint8_t *ret_pk;     /* KEY_SIZE bytes: the token's public key; NULL: not asked */
    bool needs_approval; /* who comes with it waits for an operator */
    uint64_t device_life, vanish_after; /* ms, of what joins with it; 0: for ever, it stays */
    const char *router;                 /* HOST:PORT, as the join string names it */
    const struct rpc_trust *trust;
};
/* Words into an order, which has its deed. INVALID_ARGUMENT. */
bool token_read_words(const struct token_words *words, struct token_order *order, struct err *err);
/* `never` where that is a choice: 0. NULL: 0. */
bool token_read_duration(const char *option, const char *text, bool may_be_never, uint64_t *ret_ms,
                         struct err *err);
/* An order for a new key of that ID, whose row it borrows. `device_life`: the word of how long it lives from its joining on; NULL:
 * its end stays, and must not have come. INVALID_ARGUMENT. */
bool token_read_known(const struct store_identity *who, const char *device_life,
                      struct token_order *order, struct err *err);
/* Records the token, audited, and appends the join string that holds it: a secret, wipe it; where somebody
 * else drew it, without it. Works while den runs. */
bool token_new(struct store *store, const struct token_order *order, struct buf *ret_join,
               struct err *err);
/* The token whose public key starts with these hexadecimal digits (8 at least): NOT_FOUND, or
 * INVALID_ARGUMENT when there are several. */
bool token_by_name(struct store *store, const char *digits, struct store_token *ret_token,
                   struct err *err);
/* Nobody joins with it any more, who waited for an approval with it does so no longer; who joined stays.
 * Audited. *ret_before: when that was done before (wall, ms), and nothing is changed; 0: it was not. */
bool token_revoke(struct store *store, const struct store_token *token, const struct deed *deed,
                  uint64_t *ret_before, struct err *err);
/* In an open transaction: no token gives this ID a new key any more. Each is audited as if revoked. */
bool token_end_for(struct store *open, const char *id, const struct deed *deed, struct err *err);
/* "usable", "spent", "expired" or "revoked". */
const char *token_state(const struct store_token *token, uint64_t now);
