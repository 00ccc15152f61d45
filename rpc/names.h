/* SPDX-License-Identifier: Apache-2.0 */
/* What people call keys and IDs: a code to compare keys by, and names. */
#pragma once

#include "base/buf.h"
#include "base/key.h"

enum {
    RPC_CODE = 15,       /* "7k3f-9qzt-m2xa" and its NUL: 60 bits */
    RPC_MAX_NAME = 128,  /* an assigned one, user@domain */
    RPC_MAX_CLAIMED = 63 /* one that peers claim by themselves */
};

/* What both ends show of an identity key that waits to be let in: of SHA-256("warren/1 code" 0x00,
 * netid, key), so that a key made for one network means nothing in another. */
void rpc_identity_code(struct view netid, struct view pk, char ret_code[RPC_CODE]);

/* A name that a peer may claim: 3 to 63 lower-case letters, digits and single hyphens, a letter first
 * and no hyphen last. NULL, or what is wrong with it. */
const char *rpc_name_fault(struct view name);
/* One that administrators assign: user@domain. */
bool rpc_name_is_assigned(struct view name);
bool rpc_name_is_valid(struct view name); /* of either kind */
/* What a name looks like: names with one skeleton are taken for each other (0 and o; 1, l and i; rn
 * and m; vv and w; hyphens and dots count for nothing). */
void rpc_name_skeleton(struct view name, struct buf *ret_skeleton);
