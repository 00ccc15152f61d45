/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_verdict.h"
#include "rpc/ws_tls.h"

#include <openssl/ssl.h>

/* Those that are shaking hands came last. */
static struct rpc_ws_conn *find(struct rpc_ws_hub *hub, const SSL *ssl)
{
    struct list *at = hub->conns.prev;

    for (; at != &hub->conns; at = at->prev) {
        struct rpc_ws_conn *conn = LIST_ITEM(at, struct rpc_ws_conn, node);
        if (conn->dial && conn->wsi && rpc_ws_wire_ssl(conn) == ssl)
            return conn;
    }
    return NULL;
}

static bool judge(struct rpc_ws_conn *conn, const struct view *chain, size_t n, struct err *err)
{
    return !conn->judge || conn->judge(conn->user, chain, n, err);
}

/* OpenSSL asks nobody else. */
bool rpc_ws_verdict(void *hub, const SSL *ssl, const struct view *chain, size_t n)
{
    struct rpc_ws_conn *conn = find(hub, ssl);
    struct err err = { 0 };

    if (conn && judge(conn, chain, n, &err))
        return true;
    if (conn)
        rpc_ws_conn_set_why(conn, &err);
    return false;
}

static bool judge_again(void *conn, _unused_ const SSL *ssl, const struct view *chain, size_t n)
{
    struct err ignored;

    return judge(conn, chain, n, &ignored);
}

/* A ticket is offered while today's verdict on the chain behind it is good. */
static void on_start(void *hub, SSL *ssl)
{
    struct rpc_ws_conn *conn = find(hub, ssl);
    SSL_SESSION *session;

    if (!conn || !conn->ticket)
        return;
    session = rpc_ws_tickets_take(&conn->hub->tickets, conn->ticket);
    if (!session)
        return;
    if (SSL_set_session(ssl, session) != 1 || !rpc_ws_tls_judge_again(ssl, judge_again, conn))
        SSL_set_session(ssl, NULL);
    SSL_SESSION_free(session);
}

/* A copy: OpenSSL takes the session of a connection that breaks for a bad one (TLS 1.1 and later
 * do not), and that is when it is wanted. */
static void on_ticket(void *hub, SSL *ssl, SSL_SESSION *session)
{
    struct rpc_ws_conn *conn = find(hub, ssl);

    session = conn && conn->ticket ? SSL_SESSION_dup(session) : NULL;
    if (session)
        rpc_ws_tickets_put(&conn->hub->tickets, conn->ticket, session);
}

void rpc_ws_verdict_resume(struct rpc_ws_hub *hub, SSL_CTX *ssl)
{
    hub->ticket_events = (struct rpc_ws_ticket_events){ on_start, on_ticket, hub };
    rpc_ws_tickets_want(ssl, &hub->ticket_events);
}
