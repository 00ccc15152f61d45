/* SPDX-License-Identifier: Apache-2.0 */
/* How a router is taken into a network: `warren-router init` writes a request, den answers it,
 * `warren-router accept` installs the answer. Both are `key = value` files (base/conf.h), so that
 * a person can read what is asked. No I/O. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

enum { RPC_MAX_ROUTER_FILE = 256 * 1024 };

struct rpc_router_request {
    char *host;                   /* HOST:PORT that peers connect to */
    uint8_t public_key[KEY_SIZE]; /* the router's netsign key */
    struct buf csr;               /* DER, subject empty; for its TLS key */
};
void rpc_router_request_deinit(struct rpc_router_request *request);
/* Signs "warren/1 router-request" 0x00 || host || 0x00 || csr with the router's key, which also
 * fills in its public half. */
void rpc_router_request_write(const char *host, struct view csr, const struct key *key,
                              struct buf *ret_text);
/* `name` stands for the file in errors. BAD_CONFIG (a line), BAD_SIGNATURE. The CSR is bounded,
 * not parsed: pki_csr_read(). */
bool rpc_router_request_read(const char *name, struct view text,
                             struct rpc_router_request *ret_request, struct err *err);

struct rpc_router_answer {
    char *network;
    struct buf certificate; /* the router's leaf, DER */
    struct buf chain;       /* the intermediate, DER */
    struct buf trust;       /* rpc_trust_save() bytes: roots, manifests, perhaps a heartbeat */
};
void rpc_router_answer_deinit(struct rpc_router_answer *answer);
void rpc_router_answer_write(const struct rpc_router_answer *answer, struct buf *ret_text);
/* Says nothing about truth: the reader loads the trust set, then judges key and chain by it. */
bool rpc_router_answer_read(const char *name, struct view text,
                            struct rpc_router_answer *ret_answer, struct err *err);
