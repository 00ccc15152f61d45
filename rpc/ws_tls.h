/* SPDX-License-Identifier: Apache-2.0 */
/* TLS as the edge wants it: 1.3 alone, one judge of certificates. */
#pragma once

#include "rpc/ws.h"

struct ssl_st;     /* OpenSSL's SSL */
struct ssl_ctx_st; /* and SSL_CTX */

struct rpc_ws_pair; /* a certificate chain and its key */
bool rpc_ws_pair_read(const struct rpc_ws_tls *tls, struct rpc_ws_pair **ret_pair, struct err *err);
void rpc_ws_pair_free(struct rpc_ws_pair *pair);
OWN_FREEP(rpc_ws_pair, struct rpc_ws_pair)
bool rpc_ws_pair_use(const struct rpc_ws_pair *pair, struct ssl_ctx_st *ssl, struct err *err);

bool rpc_ws_tls_profile(struct ssl_ctx_st *ssl);
/* `chain` is what the server sent, leaf first. */
typedef bool rpc_ws_on_chain(void *user, const struct ssl_st *ssl, const struct view *chain,
                             size_t n);
/* The same question about the chain of the session that `ssl` is about to resume: it was judged
 * when it began, and the verdict may be another one today. */
bool rpc_ws_tls_judge_again(struct ssl_st *ssl, rpc_ws_on_chain *on_chain, void *user);
bool rpc_ws_tls_client(rpc_ws_on_chain *on_chain, void *user, struct ssl_ctx_st **ret_ssl,
                       struct err *err);
void rpc_ws_tls_free(struct ssl_ctx_st *ssl);

/* Reading ahead: a read of the socket takes what is there, not one TLS record, and happens when
 * may_read() lets it; otherwise there seems to be nothing. came() follows a read that took bytes.
 * Whoever asks for this has to read on while rpc_ws_tls_has_more(): the socket is not readable for
 * what was read ahead. With NULL: never again. */
struct rpc_ws_ahead {
    bool (*may_read)(void *user);
    void (*came)(void *user, size_t n);
    void *user;
};
void rpc_ws_tls_read_ahead(struct ssl_st *ssl, const struct rpc_ws_ahead *ahead);
bool rpc_ws_tls_has_more(const struct ssl_st *ssl);
/* What of the next record can be had at once, at most `len` bytes, and it stays there. 0: nothing
 * yet, or the connection is at its end, which *ret_is_over says. */
size_t rpc_ws_tls_peek(struct ssl_st *ssl, uint8_t *to, size_t len, bool *ret_is_over);
/* Takes bytes that were looked at. */
bool rpc_ws_tls_take(struct ssl_st *ssl, uint8_t *to, size_t len);

bool rpc_ws_tls_exporter(struct ssl_st *ssl, uint8_t ret_exporter[32]);
/* SHA-256 of the other side's certificate; false: it showed none. */
bool rpc_ws_tls_certificate(const struct ssl_st *ssl, uint8_t ret_hash[32]);
