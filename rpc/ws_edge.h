/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the WebSocket edge, shared by the three files that know libwebsockets 4.1: ws.c (the edge and its
 * connections), ws_server.c and ws_client.c. Nobody else includes it. */
#pragma once

#include "rpc/proxy.h"
#include "rpc/ws_conn.h"
#include "rpc/ws_timer.h"
#include "rpc/ws_tls.h"
#include "rpc/ws_ways.h"

#include <libwebsockets.h>

enum {
    RPC_WS_HANDSHAKE_SECS = 10,
    RPC_WS_TX_LIMIT = 2 * 1024 * 1024,
    RPC_WS_MAX_PROTOCOLS = 8,
    RPC_WS_REMEMBERED = 8,
};

struct rpc_ws {
    struct rpc_ws_hub hub;
    struct lws_context *context;
    enum rpc_ws_loop kind;
    void *native;
    bool is_closing, is_woken;
    struct rpc_turn *turn; /* on libuv: what was queued leaves at the end of the turn */
    struct rpc_ws_timers timers;
    struct rpc_ws_timer *tick, *opening;
    lws_sorted_usec_list_t timer; /* theirs */

    struct lws_vhost *server;
    struct lws_protocols
        server_protocols[2 + RPC_WS_MAX_PROTOCOLS]; /* HTTP first, an empty one last */
    struct rpc_ws_protocol protocols[RPC_WS_MAX_PROTOCOLS];
    char protocol_names[RPC_WS_MAX_PROTOCOLS][64];
    struct rpc_ws_listener listener; /* limits; its texts and TLS are not kept */
    struct rpc_ws_events events;
    void *user;
    uint32_t n_accepted;
    struct rpc_ws_accept *accepts[RPC_WS_MAX_SOCKETS]; /* on libuv, instead of libwebsockets' own */
    size_t n_accepts;
    SSL_CTX *server_ssl;            /* the vhost's; borrowed */
    const struct rpc_ws_pair *pair; /* while the vhost is being made */

    struct lws_vhost *client;
    struct rpc_ws_names *names;
    struct rpc_proxy proxy;
    unsigned n_tunnels;  /* dials that wait for it */
    struct rpc_ws_good { /* the address of a host that worked last */
        char host[256], address[RPC_WS_NUMERIC];
        uint16_t port;
    } good[RPC_WS_REMEMBERED];
    size_t next_good;
    struct lws_protocols client_protocols[2];
    SSL_CTX *client_ssl;
};

/* libwebsockets looks at its timers only when one of its sockets had an event: give it one. */
void rpc_ws_edge_wake(struct rpc_ws *ws);
struct rpc_ws_conn *rpc_ws_edge_conn_new(struct rpc_ws *ws, const struct rpc_ws_events *events,
                                         void *user);
int rpc_ws_edge_established(struct rpc_ws_conn *conn);
/* What both sides have in common once a connection is open. */
int rpc_ws_edge_on_open(struct rpc_ws_conn *conn, enum lws_callback_reasons reason, void *in,
                        size_t len);
/* libwebsockets' own pings are off: it would sort a list of all connections whenever one of them
 * is heard. rpc_ws_hub_tick() looks after them. */
extern const lws_retry_bo_t rpc_ws_liveness;

void rpc_ws_server_stop(struct rpc_ws *ws); /* accepts nobody any more */
void rpc_ws_server_opening(void *user);     /* struct rpc_ws: when its timer `opening` is due */
bool rpc_ws_client_start(struct rpc_ws *ws, struct err *err);
