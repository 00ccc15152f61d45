/* SPDX-License-Identifier: Apache-2.0 */
/* A small door for GET, and where asked for POST, over plain HTTP, on libwebsockets and libuv: for pages that a machine reads,
 * such as figures and health. Each answer closes its connection; there are few connections at a
 * time, each has ten seconds to ask and ten to take its answer. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rpc/loop.h"

enum { RPC_HTTP_MAX_CONNS = 16 };

struct rpc_http;
struct rpc_http_page {
    unsigned status;  /* 200, 404, 503 */
    const char *type; /* Content-Type; static text */
    struct buf body;
    const char *address; /* who asks, without port; not to be changed */
};
/* Fills the page, whose status is 404 and which is empty. `path` is without the query. */
typedef void rpc_http_serve(void *user, struct view path, struct rpc_http_page *page);
/* The same for a POST with its whole body. */
typedef void rpc_http_post(void *user, struct view path, struct view body,
                           struct rpc_http_page *page);

struct rpc_http_listener {
    const char *host; /* numeric; NULL: all */
    uint16_t port;    /* 0: any, see rpc_http_port() */
    rpc_http_serve *serve;
    rpc_http_post *post; /* NULL: there is none */
    size_t max_body;     /* of a POST, which says its length beforehand */
    unsigned max_conns;  /* 0: RPC_HTTP_MAX_CONNS */
    void *user;
};
bool rpc_http_new(struct rpc_loop *loop, const struct rpc_http_listener *listener,
                  struct rpc_http **ret_http, struct err *err);
uint16_t rpc_http_port(const struct rpc_http *http);
/* Before rpc_loop_free(), and not from inside `serve`. */
void rpc_http_free(struct rpc_http *http);
OWN_FREEP(rpc_http, struct rpc_http)
