/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication method `netsign`: both ends sign both nonces, both keys, the TLS exporter (RFC
 * 9266) and the HELLO. PROTOCOL.md, "netsign". */
#pragma once

#include "rpc/statement.h"
#include "rpc/trust.h"

#define RPC_BINDING_EXPORTER "tls-exporter" /* RFC 9266 */
#define RPC_BINDING_CERTIFICATE                                                                    \
    "tls-server-end-point"      /* SHA-256 of the certificate; behind a proxy */
#define RPC_BINDING_NONE "none" /* zeros; on loopback alone */

/* How one client's connection is bound. */
struct rpc_binding {
    const char *name; /* one of the above; static */
    uint8_t data[HASH_SIZE];
};

/* What both ends hold of one handshake; the same values on both sides. */
struct rpc_netsign {
    char network[201];
    uint8_t netid[HASH_SIZE], binding_data[HASH_SIZE], nonce_router[RPC_NONCE32],
        nonce_client[RPC_NONCE32];
    uint8_t router_pk[KEY_SIZE], client_pk[KEY_SIZE], hello_hash[HASH_SIZE];
    uint8_t heartbeat_hash[HASH_SIZE]; /* of the one in the CHALLENGE */
    bool has_heartbeat;
    char binding[32];
};
void rpc_netsign_sign(const struct rpc_netsign *n, bool is_router, const struct key *key,
                      uint8_t ret_sig[SIG_SIZE]);
/* BAD_SIGNATURE. The signer's key is taken from `n`. */
bool rpc_netsign_verify(const struct rpc_netsign *n, bool is_router, struct view sig,
                        struct err *err);
