/* SPDX-License-Identifier: Apache-2.0 */
/* Of a client's connections: who judges the server's certificates, and which earlier TLS session it
 * may resume. Inside rpc/ only. */
#pragma once

#include "rpc/ws_conn.h"

struct ssl_st;
struct ssl_ctx_st;

/* `ssl` is rpc_ws_tls_client()'s, made with rpc_ws_verdict() and `hub`. */
bool rpc_ws_verdict(void *hub, const struct ssl_st *ssl, const struct view *chain, size_t n);
void rpc_ws_verdict_resume(struct rpc_ws_hub *hub, struct ssl_ctx_st *ssl);
