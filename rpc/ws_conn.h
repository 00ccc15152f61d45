/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the edge: what it queues, holds, says and refuses. What it needs of the wire
 * are the few verbs below, which ws.c knows how to do. Inside rpc/ only. */
#pragma once

#include "base/list.h"
#include "rpc/ws.h"
#include "rpc/ws_address.h"
#include "rpc/ws_box.h"
#include "rpc/ws_reader.h"
#include "rpc/ws_ticket.h"

struct lws;
struct rpc_ws_dialing; /* what only a client's connection has; ws.c's */

/* What all connections of an edge share. */
struct rpc_ws_hub {
    struct list opening;         /* accepted, not open yet */
    struct list conns, dirty;    /* dirty: have bytes to send at the end of the turn */
    struct list unread;          /* the TLS library may hold more of what came than was read */
    struct rpc_ws_conn *reading; /* while it is being read out; NULL once it is gone */
    unsigned n_reads;            /* left of its share of this turn */
    unsigned n_at_once; /* and of that, until TLS gives something: it takes KeyUpdates for itself */
    struct rpc_ws_spares spares;
    struct buf record; /* what came last, of whichever connection */
    bool has_turns;    /* otherwise they ask the wire to be called when it can take more */
    struct rpc_ws_masks masks;
    struct rpc_ws_tickets tickets; /* to connect again with */
    struct rpc_ws_ticket_events ticket_events;
    size_t max_trusted; /* the longest message of an authenticated client */
    size_t max_control; /* bytes in a tick that belong to no message; 0: any number */
    uint64_t stall_ticks;
    uint64_t connect_timeout; /* ms from accepting to open */
    uint64_t n_ticks;
    uint64_t n_turns;
};

struct rpc_ws_conn {
    struct rpc_ws_hub *hub;
    struct rpc_ws *ws;
    struct lws *wsi; /* NULL: not begun, or gone */
    struct list node, dirty, unread;
    size_t early; /* bytes that leave before the end of turn `early_turn` */
    uint64_t early_turn;
    struct list opening;  /* until it is open: in the order in which they came */
    uint64_t accepted_at; /* clock_mono_ms() */
    struct rpc_ws_events events;
    void *user;
    struct rpc_ws_dialing *dial; /* NULL: accepted */
    /* Of one that was dialed: struct rpc_ws_dial's, and what tickets of the same server are kept
     * under; NULL: it neither uses nor keeps any. */
    bool (*judge)(void *user, const struct view *chain, size_t n, struct err *err);
    char *ticket;
    const struct rpc_ws_gate *gate; /* NULL: a client */
    void *place;                    /* the gate's, once it has_place */
    bool has_place;
    char address_text[RPC_WS_ADDRESS_TEXT];
    bool is_open, is_closing, has_asked_to_write, was_read;
    bool came_as_text, sends_text; /* of a sub-protocol that has both kinds */
    uint64_t heard_at;             /* in ticks */
    uint64_t began_at;             /* the message that is coming in */
    uint64_t n_put;                /* bytes that were queued, ever */
    uint64_t mark, mark_at;        /* so many have to leave within stall_ticks; 0: nothing waits */
    uint64_t n_came;               /* bytes from the socket in this tick ... */
    uint64_t n_used; /* ... and what messages, with all around them, come to at most */
    enum rpc_ws_end end;
    struct err *why; /* what closed() will say, once it is known */
    size_t max_queue;
    uint16_t close_code; /* theirs */
    unsigned share;      /* reads in one turn; 0: MAX_READS */
    const struct rpc_ws_protocol *protocol;
    struct buf batch; /* messages that will be one, of a sub-protocol that has it */
    struct rpc_ws_reader reader;
    struct rpc_ws_in in;
    struct rpc_ws_out out;
    bool had_no_route;
};

struct rpc_ws_conn *rpc_ws_conn_new(struct rpc_ws_hub *hub, const struct rpc_ws_events *events,
                                    void *user);
/* The end, from the loop: tells the owner, makes the wire forget us, and frees it. */
void rpc_ws_conn_end(struct rpc_ws_conn *conn, const struct err *why);
void rpc_ws_conn_lost(struct rpc_ws_conn *conn);
void rpc_ws_conn_opened(struct rpc_ws_conn *conn);
void rpc_ws_conn_set_why(struct rpc_ws_conn *conn,
                         const struct err *why);  /* the first one counts */
bool rpc_ws_conn_flush(struct rpc_ws_conn *conn); /* false: the wire is broken */
void rpc_ws_hub_flush(struct rpc_ws_hub *hub);    /* what is dirty */
void rpc_ws_conn_came(void *conn, size_t n);      /* bytes came from the socket */
bool rpc_ws_conn_may_read(void *conn);            /* the socket has bytes: whether it is our turn */
/* Reads out what the TLS library holds. True: there was more than one turn's share. */
bool rpc_ws_hub_read(struct rpc_ws_hub *hub);
/* Cuts what is not open in time; the next instant to look at, or NEVER_MS. */
uint64_t rpc_ws_hub_open_by(struct rpc_ws_hub *hub, uint64_t now);
/* To be called every RPC_WS_TICK_MS: pings whoever was silent for half a minute, and cuts whoever
 * stays silent, reads too slowly or does not end what it began. */
void rpc_ws_hub_tick(struct rpc_ws_hub *hub);

/* A piece came; its frame has `left` bytes more. False: cut the connection. */
bool rpc_ws_conn_receive(struct rpc_ws_conn *conn, struct view piece, size_t left, bool is_final);
bool rpc_ws_conn_refuse_kind(struct rpc_ws_conn *conn); /* text for binary, or the reverse */
void rpc_ws_conn_heard(struct rpc_ws_conn *conn);       /* a sign of life */
void rpc_ws_conn_answered(struct rpc_ws_conn *conn, struct view payload); /* a pong */
bool rpc_ws_conn_writable(struct rpc_ws_conn *conn);
void rpc_ws_conn_peer_closes(struct rpc_ws_conn *conn, struct view payload);

/* ---- done by ws.c ---------------------------------------------------------------------------- */

bool rpc_ws_wire_write(struct rpc_ws_conn *conn, size_t from, size_t len); /* of conn->out.bytes */
bool rpc_ws_wire_is_stuck(struct rpc_ws_conn *conn); /* not all that was written has left */
void rpc_ws_wire_ask(struct rpc_ws_conn *conn); /* rpc_ws_conn_writable() when it can take more */
void rpc_ws_wire_limit(struct rpc_ws_conn *conn, int secs);     /* cut after so long; 0: soon */
struct ssl_st *rpc_ws_wire_ssl(const struct rpc_ws_conn *conn); /* NULL: none (yet) */
void rpc_ws_wire_pong(struct rpc_ws_conn *conn); /* what is due; `conn` may be gone after it */
void rpc_ws_wire_forget(struct rpc_ws_conn *conn);
bool rpc_ws_wire_has_more(struct rpc_ws_conn *conn); /* read from the socket, not from TLS */
/* What of one TLS record is there, without taking it; 0: nothing now, or the end. */
size_t rpc_ws_wire_peek(struct rpc_ws_conn *conn, uint8_t *to, size_t len, bool *ret_is_over);
bool rpc_ws_wire_take(struct rpc_ws_conn *conn, uint8_t *to, size_t len); /* of what was there */
size_t rpc_ws_wire_unread(struct rpc_ws_conn *conn);                      /* of that record */
bool rpc_ws_wire_is_ahead(struct rpc_ws_conn *conn); /* it may have taken bytes and not told yet */
void rpc_ws_wire_read(struct rpc_ws_conn *conn);     /* some of it; `conn` may be gone after it */
void rpc_ws_dialing_look(
    struct rpc_ws_conn *conn); /* soon: it is not wanted any more, or goes on */
void rpc_ws_dialing_free(struct rpc_ws_dialing *dial); /* NULL is fine */
