/* SPDX-License-Identifier: Apache-2.0 */
/* Resumption (RFC 8446, 2.2): who connects again need not check certificates again. Always with a
 * fresh key exchange, never with early data: every connection has keys and an exporter of its own.
 * Inside rpc/ only. */
#pragma once

#include "rpc/ws.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st; /* OpenSSL's SSL_SESSION */

/* ---- the server ------------------------------------------------------------------------------ */

enum { RPC_WS_TICKET_SECS = 3600 };

/* Gives each client a ticket that is good for RPC_WS_TICKET_SECS, and keeps nothing of it: what it
 * needs later stands in the ticket, under keys of this process that change as often. */
bool rpc_ws_tickets_serve(struct ssl_ctx_st *ssl);
/* Other keys from now on; those before open what they sealed until the next time. Done by itself
 * every RPC_WS_TICKET_SECS. */
void rpc_ws_tickets_turn(struct ssl_ctx_st *ssl);
/* All tickets so far are worth nothing. */
void rpc_ws_tickets_forget(struct ssl_ctx_st *ssl);

/* ---- the client ------------------------------------------------------------------------------ */

enum { RPC_WS_MAX_TICKETS = 32 };

/* In memory alone. */
struct rpc_ws_tickets {
    struct rpc_ws_held_ticket {
        char *server; /* whom it is for */
        struct ssl_session_st *session;
    } held[RPC_WS_MAX_TICKETS];
    size_t n;
};
void rpc_ws_tickets_free(struct rpc_ws_tickets *tickets);
/* Takes `session`; the oldest one goes when there are too many. */
void rpc_ws_tickets_put(struct rpc_ws_tickets *tickets, const char *server,
                        struct ssl_session_st *session);
/* The newest one for `server`, once: the caller's from now on. NULL: none that is still good. */
struct ssl_session_st *rpc_ws_tickets_take(struct rpc_ws_tickets *tickets, const char *server);

/* `on_start`: a handshake begins. `on_ticket`: one came; the session stays OpenSSL's. */
struct rpc_ws_ticket_events {
    void (*on_start)(void *user, struct ssl_st *ssl);
    void (*on_ticket)(void *user, struct ssl_st *ssl, struct ssl_session_st *session);
    void *user;
};
/* `events` has to live as long as `ssl`. */
void rpc_ws_tickets_want(struct ssl_ctx_st *ssl, const struct rpc_ws_ticket_events *events);
