/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching a host through a proxy: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, 1929). The name is given to the
 * proxy, which looks it up. No I/O. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum rpc_proxy_kind { RPC_PROXY_NONE, RPC_PROXY_HTTP, RPC_PROXY_SOCKS5 };

struct rpc_proxy {
    enum rpc_proxy_kind kind;
    char host[256], user[256], password[256]; /* user "": none */
    uint16_t port;
    char except[1024]; /* hosts that are reached without it: rpc_proxy_is_for() */
};

/* [http://|socks5://|socks5h://][user[:password]@]host[:port], percent-encoded user and password. "" is
 * none. INVALID_ARGUMENT, which repeats no password. */
bool rpc_proxy_read(const char *text, struct rpc_proxy *ret_proxy, struct err *err);
/* What curl and others read for an https address: https_proxy, all_proxy, no_proxy, or the same in
 * capitals. `get` is getenv() or a test's. */
bool rpc_proxy_from_environment(char *(*get)(const char *name), struct rpc_proxy *ret_proxy,
                                struct err *err);
/* False for loopback, and for what `except` names: hosts, and domains with everything below, with commas
 * between; "*" is all. */
bool rpc_proxy_is_for(const struct rpc_proxy *proxy, const char *host);

/* ---- what is said to it -------------------------------------------------------------------------- */

enum rpc_proxy_step { RPC_PROXY_MORE, RPC_PROXY_THROUGH, RPC_PROXY_REFUSED };
enum { RPC_PROXY_MAX_ANSWER = 16 * 1024 };

struct rpc_proxy_talk {
    const struct rpc_proxy *proxy; /* borrowed, like the host */
    const char *host;
    uint16_t port;
    unsigned state;
    struct buf answer; /* of this state */
    size_t wanted;     /* bytes to read next, and not one more */
    bool is_beyond;    /* REFUSED: it would, but the host cannot be reached from there */
};
/* Appends the first words to `out`. */
void rpc_proxy_begin(struct rpc_proxy_talk *talk, const struct rpc_proxy *proxy, const char *host,
                     uint16_t port, struct buf *out);
/* `came`: what was read, at most talk->wanted bytes. NETWORK_FAILURE says what the proxy said. */
enum rpc_proxy_step rpc_proxy_input(struct rpc_proxy_talk *talk, struct view came, struct buf *out,
                                    struct err *err);
void rpc_proxy_end(struct rpc_proxy_talk *talk);
