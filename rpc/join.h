/* SPDX-License-Identifier: Apache-2.0 */
/* The join string: warren://host[:port][,host...]/network#pin[.token] A string with a token is a
 * secret: never an argument, never logged. PROTOCOL.md, "Join string". */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

enum { RPC_JOIN_HOSTS = 4, RPC_JOIN_MAX = 512, RPC_TOKEN = 16, RPC_DEFAULT_PORT = 443 };

struct rpc_join {
    struct rpc_join_host {
        char host[256]; /* without brackets */
        uint16_t port;
    } hosts[RPC_JOIN_HOSTS];
    size_t n_hosts;
    char network[201];
    uint8_t pin[HASH_SIZE];
    bool has_token;
    uint8_t token[RPC_TOKEN]; /* wipe it: rpc_join_wipe() */
};

/* INVALID_ARGUMENT names the column (from 1) and what was expected there. The text itself is never
 * in the error. */
bool rpc_join_read(struct view text, struct rpc_join *ret_join, struct err *err);
/* Whether "HOST[:PORT]" can stand in a join string: INVALID_ARGUMENT names the column. */
bool rpc_join_read_host(struct view text, struct rpc_join_host *ret_host, struct err *err);
bool rpc_join_check_host(struct view text, struct err *err);
void rpc_join_write(const struct rpc_join *join, struct buf *to);
/* "wt1" and its 26 characters, as it stands in a join string: a secret. */
void rpc_token_write(const uint8_t token[RPC_TOKEN], struct buf *to);
void rpc_join_wipe(struct rpc_join *join);
/* The token's Ed25519 key: seed = BLAKE2b-32("warren/1 token" 0x00 || token). The caller frees it. */
struct key *rpc_token_key(const uint8_t token[RPC_TOKEN]);
