/* SPDX-License-Identifier: Apache-2.0 */
/* A loop, an edge and a certificate for tests of the WebSocket edge. */
#pragma once

#include "rpc/loop.h"
#include "rpc/ws.h"
#include "tests/check.h"

struct edge_cert {
    struct buf der, key;
};
void edge_cert_make(struct edge_cert *cert,
                    const char *name); /* self-signed, P-256, good for an hour */
void edge_cert_free(struct edge_cert *cert);

/* Runs the loop until `is` holds; false after ten seconds. */
bool edge_until(struct rpc_loop *loop, bool (*is)(void *user), void *user);

/* Opens TLS to 127.0.0.1:port in a thread of its own, sends `request`, after the first answer
 * `then` (may be empty), and reads until the other side closes. */
struct edge_raw;
struct edge_raw *edge_raw_start(uint16_t port, struct view request, struct view then,
                                int max_tls_version /* 0: newest */);
bool edge_raw_is_done(void *raw);
/* What came, or why there was no TLS; waits for the end and frees `raw`. */
void edge_raw_take(struct edge_raw *raw, struct buf *ret_got);
