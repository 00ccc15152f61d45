/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket edge (RFC 6455), server and client, on libwebsockets: an edge without logic. TLS
 * 1.3 alone. It joins a libuv loop (daemons) or a GLib one (libpeer); one thread. Frames of one
 * loop turn go out together. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rpc/proxy.h"
#include "rpc/ws_protocol.h"

struct rpc_ws;
struct rpc_ws_conn;

enum rpc_ws_loop { RPC_WS_UV, RPC_WS_GLIB }; /* native: rpc_loop_native(), GMainLoop * */
bool rpc_ws_new(enum rpc_ws_loop kind, void *native, struct rpc_ws **ret_ws, struct err *err);
/* Closes everything; closed() comes for each. Not from inside a callback. On libuv, before
 * rpc_loop_free(). */
void rpc_ws_free(struct rpc_ws *ws);
OWN_FREEP(rpc_ws, struct rpc_ws)

/* Comes from the loop, never from inside a call made here. `user` is the listener's or the
 * dial's, until rpc_ws_set_user(). */
struct rpc_ws_events {
    void (*opened)(void *user, struct rpc_ws_conn *conn);
    /* Whole, of a batch one after the other; text or binary as the sub-protocol says. */
    void (*message)(void *user, struct rpc_ws_conn *conn, struct view message);
    /* The last one: conn is gone after it. */
    void (*closed)(void *user, struct rpc_ws_conn *conn, const struct err *why);
    /* The pong to rpc_ws_ask(number). NULL is fine. */
    void (*answered)(void *user, struct rpc_ws_conn *conn, uint64_t number);
};

struct rpc_ws_tls {
    const struct view *chain; /* DER, leaf first */
    size_t n_chain;
    struct view key; /* PKCS#8 DER */
};

/* Who may connect, asked before anything is done for a connection. `key`: the address, as
 * rpc_ws_address_key() makes it. All of them may be NULL. */
struct rpc_ws_gate {
    bool (*may_connect)(void *user, const uint8_t key[16]); /* false: closed before TLS */
    void (*is_full)(void *user);                            /* max_connections */
    /* It was accepted; what is returned is rpc_ws_place(). gone() comes once for each:
     * `was_open`: closed() came before. */
    void *(*connected)(void *user, const uint8_t key[16]);
    void (*gone)(void *user, void *place, bool was_open);
    bool (*may_upgrade)(void *user, struct view origin); /* false: 403. A browser names its page */
    void *user;
};

/* Why a connection was closed here. */
enum rpc_ws_end {
    RPC_WS_END_OTHER,
    RPC_WS_END_KIND,      /* 1003: text for binary, or the reverse */
    RPC_WS_END_BATCH,     /* 1007 */
    RPC_WS_END_MESSAGE,   /* 1009: a message over the limit */
    RPC_WS_END_FRAGMENTS, /* 1008: in too many of them */
    RPC_WS_END_CONTROL,   /* 1008: too much beside messages */
    RPC_WS_END_STALLED,   /* 1008: a message that does not come to its end */
    RPC_WS_END_READER,    /* what was sent to it waits for too long */
    RPC_WS_END_QUEUE,     /* more than max_queue would wait for it */
    RPC_WS_END_SILENT,    /* no answer to a ping */
};

enum { RPC_WS_MAX_SOCKETS = 8 };

struct rpc_ws_listener {
    const char *host; /* address to bind; NULL: all */
    uint16_t port;    /* 0: any, see rpc_ws_port() */
    /* Listening sockets that somebody else opened, instead of host and port; at most
     * RPC_WS_MAX_SOCKETS. They are taken over. On libuv alone. */
    const int *sockets;
    size_t n_sockets;
    struct rpc_ws_tls tls; /* copied; n_chain 0: without TLS, which is for loopback alone */
    const char *protocol;  /* the WebSocket sub-protocol: "wamp.2.msgpack" */
    /* Or several, up to a NULL: a client gets the first of its own list that is served. */
    const char *const *protocols;
    uint32_t max_connections;
    struct rpc_ws_gate gate;
    size_t max_message_before, max_message; /* before and after rpc_ws_set_trusted() */
    uint32_t max_fragments;                 /* of one message; 0: RPC_WS_MAX_FRAGMENTS */
    size_t max_control;       /* bytes a second that belong to no message; 0: any number */
    uint64_t stall_timeout;   /* ms that a message may take to come, or to leave; 0: forever */
    uint64_t connect_timeout; /* ms for TLS and for the upgrade, in whole seconds; 0: 10 s */
    size_t max_queue;         /* bytes waiting to be sent per connection: over it, it is closed */
    /* A proxy before us writes who connects into X-Forwarded-For: its last address is told, and is
     * what the gate is asked about, at the upgrade. */
    bool is_forwarded;
};
bool rpc_ws_listen(struct rpc_ws *ws, const struct rpc_ws_listener *listener,
                   const struct rpc_ws_events *events, void *user, struct err *err);
uint16_t rpc_ws_port(const struct rpc_ws *ws);
/* Another certificate for new connections; old ones keep theirs. */
bool rpc_ws_set_tls(struct rpc_ws *ws, const struct rpc_ws_tls *tls, struct err *err);

enum { RPC_WS_MAX_OTHERS = 7 };
#define RPC_WS_THE_HOST SIZE_MAX

struct rpc_ws_dial {
    const char *host;
    uint16_t port;
    /* Where the same server is as well. When neither the host nor another of its addresses takes the connection within 250 ms, or says
     * nothing for two seconds after that, these are asked whether they would, and the dial goes on at the first that does: `moved` says
     * so, before `judge`. It may come back to the host: RPC_WS_THE_HOST. NULL is fine. */
    const struct rpc_ws_place {
        const char *host;
        uint16_t port;
    } * others;
    size_t n_others; /* RPC_WS_MAX_OTHERS count */
    void (*moved)(void *user, size_t which);
    const char *server_name; /* SNI and Host, "router.corp.example"; NULL: the host */
    const char *protocol;
    size_t max_message;
    /* Judges the server's chain, leaf first; NULL: anything passes (joining, until netsign's
     * proof). */
    bool (*judge)(void *user, const struct view *chain, size_t n, struct err *err);
    bool is_fresh; /* with a full handshake, even where an earlier connection could be resumed */
};
/* What dials of hosts that are not excepted go through; RPC_PROXY_NONE: nothing, as at first. */
void rpc_ws_set_proxy(struct rpc_ws *ws, const struct rpc_proxy *proxy);
/* closed() comes when it fails. *ret_conn may be given to rpc_ws_close() before opened(). */
bool rpc_ws_connect(struct rpc_ws *ws, const struct rpc_ws_dial *dial,
                    const struct rpc_ws_events *events, void *user, struct rpc_ws_conn **ret_conn,
                    struct err *err);

/* One message of the sub-protocol, without its batching; queued, goes out at the end of the loop
 * turn. */
void rpc_ws_send(struct rpc_ws_conn *conn, struct view message);
/* Of a sub-protocol that has words: one in text; and, inside message(), whether it came as text. */
void rpc_ws_send_text(struct rpc_ws_conn *conn, struct view text);
bool rpc_ws_is_text(const struct rpc_ws_conn *conn);
/* From inside message(): the same message back, as text or binary as it came. For sub-protocols
 * that have both. */
void rpc_ws_echo(struct rpc_ws_conn *conn, struct view message);
/* A ping of its own, behind what is queued: every WebSocket end answers it by itself (RFC 6455,
 * 5.5.2), which shows that it lives. */
void rpc_ws_ask(struct rpc_ws_conn *conn, uint64_t number);
size_t rpc_ws_queued(const struct rpc_ws_conn *conn); /* bytes waiting */
/* After what is queued; nothing is delivered any more. closed() comes in at most five seconds. */
void rpc_ws_close(struct rpc_ws_conn *conn, uint16_t code, const char *reason);
/* Connections that were closed here and whose other end has not answered yet. Who frees the edge before that may lose his last words:
 * what a socket has unread when it is closed makes the kernel reset the connection. */
size_t rpc_ws_n_closing(struct rpc_ws *ws);
/* The one that was agreed on; from opened() on. */
const struct rpc_ws_protocol *rpc_ws_protocol(const struct rpc_ws_conn *conn);
uint64_t rpc_ws_age(const struct rpc_ws_conn *conn); /* ms since it was accepted */
void *rpc_ws_place(const struct rpc_ws_conn *conn);  /* the gate's; NULL: a client, or no gate */
enum rpc_ws_end rpc_ws_end_of(const struct rpc_ws_conn *conn); /* in closed() */
void rpc_ws_set_user(struct rpc_ws_conn *conn, void *user);
void *rpc_ws_user(const struct rpc_ws_conn *conn);
/* Others instead of the listener's or the dial's, with their `user`. From opened() on. */
void rpc_ws_set_events(struct rpc_ws_conn *conn, const struct rpc_ws_events *events, void *user);
/* How many reads of it are one turn's share; others have their turn sooner. 0: the usual number. */
void rpc_ws_set_share(struct rpc_ws_conn *conn, unsigned n_reads);
void rpc_ws_set_trusted(struct rpc_ws_conn *conn); /* authenticated: the larger limits */
/* RFC 9266: 32 bytes of EXPORTER-Channel-Binding. From opened() on. */
bool rpc_ws_exporter(const struct rpc_ws_conn *conn, uint8_t ret_exporter[32]);
/* Whether it resumed an earlier one's TLS session (RFC 8446, 2.2), with keys of its own. */
bool rpc_ws_is_resumed(const struct rpc_ws_conn *conn);
/* RFC 5929, tls-server-end-point, always by SHA-256: of the certificate that the server showed. A
 * dial's, from opened() on. */
bool rpc_ws_certificate(const struct rpc_ws_conn *conn, uint8_t ret_hash[32]);
uint16_t rpc_ws_close_code(const struct rpc_ws_conn *conn); /* the other side's; 0: it said none */
/* It ended before anything was sent: this machine has no route to the host, or there is no such host. */
bool rpc_ws_had_no_route(const struct rpc_ws_conn *conn);
const char *rpc_ws_address(const struct rpc_ws_conn *conn); /* of the other side, without port */
/* A dial's: it is from another address than the system would use now, or there is no way at all. So it may be dead, and TCP may
 * need minutes to say so. */
bool rpc_ws_is_stranded(const struct rpc_ws_conn *conn);

/* A timer that works on either loop. */
struct rpc_ws_timer;
struct rpc_ws_timer *rpc_ws_timer_new(struct rpc_ws *ws, void (*on_timer)(void *user), void *user);
void rpc_ws_timer_set(struct rpc_ws_timer *timer,
                      uint64_t at); /* clock_mono_ms(); NEVER_MS: unset */
void rpc_ws_timer_free(struct rpc_ws_timer *timer);
