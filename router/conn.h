/* SPDX-License-Identifier: Apache-2.0 */
/* One connection and the session on it: a table of moves says what may come when. */
#pragma once

#include "base/list.h"
#include "base/text.h"
#include "router/deadline.h"
#include "router/match.h"
#include "router/policy.h"
#include "router/quota.h"
#include "router/metrics.h"
#include "router/realms.h"
#include "router/sources.h"
#include "router/vigil.h"
#include "rpc/rpc.h"

struct router;
struct realm;
struct handshake;

enum conn_state {
    CONN_GREETING,
    CONN_PROVING,
    CONN_ADMITTING,
    CONN_ESTABLISHED,
    CONN_CLOSING,
    CONN_STATES
};
enum conn_event {
    EV_HELLO,
    EV_AUTHENTICATE,
    EV_ADMITTED,
    EV_REQUEST,
    EV_GOODBYE,
    EV_ABORT,
    EV_SILENCE,
    CONN_EVENTS,
};

enum { CONN_ID = 64 };

/* What a client said in HELLO that it can: what only some understand is sent to those alone. */
enum {
    CONN_CAN_CANCEL = 1,         /* as callee: INTERRUPT */
    CONN_TAKES_CHUNKS = 2,       /* as callee: one call in several INVOCATIONs */
    CONN_SENDS_CHUNKS = 4,       /* as caller: one call in several CALLs */
    CONN_HEARS_UNREGISTERED = 8, /* of a registration that was taken away */
    CONN_HEARS_UNSUBSCRIBED = 16,
    CONN_PACKS_CALLS = 32, /* payload passthru mode, in each of its roles */
    CONN_PACKS_RESULTS = 64,
    CONN_PACKS_EVENTS = 128,
    CONN_UNPACKS_EVENTS = 256,
    CONN_IS_FRAIL = 512, /* what it cannot: frailty.h */
};

struct conn {
    struct router *router;
    void *wire;
    enum conn_state state;
    struct list of_router;
    char address[64]; /* where it connects from */
    uint8_t exporter[32];
    bool has_exporter;           /* false: a proxy ended TLS, or there is none */
    bool is_json;                /* what it sends and gets is not what is read and written here */
    bool is_hushed;              /* its end is no event: wamp.session.kill_all */
    bool is_answered_for;        /* the message that is being taken is our edge's, in its place */
    struct deadline silence;     /* of the handshake */
    struct handshake *handshake; /* until established */

    /* Proved; set when it is established. */
    struct realm *realm; /* from HELLO on; NULL before */
    uint64_t number;     /* of this connection, from 1 */
    uint64_t session;
    char id[CONN_ID]; /* its authid */
    enum role role;
    enum realm_method method;
    uint64_t joined_at; /* network time */
    char authrole[REALM_ROLE];
    uint8_t pk[KEY_SIZE], instance[16];
    uint64_t adm_no; /* of its admission; 0: it needs none */

    unsigned features;        /* CONN_CAN_CANCEL and so on */
    uint64_t last_request;    /* of the client's; they only grow */
    uint64_t last_open_call;  /* of those, the last that came in several CALLs */
    uint64_t last_invocation; /* of ours */
    uint64_t n_events_dropped;
    struct list waiting; /* events that have not left: backlog.c's */
    struct list of_backlog;
    size_t waiting_bytes;         /* of them, charged to its queue */
    uint64_t slice;               /* the last in which it was sent an event */
    uint64_t second_at, n_second; /* requests since then; see conn_may_request() */
    uint64_t log_at, n_unlogged;  /* see conn_may_log() */
    enum source_fault fault;      /* what its end tells about where it came from */
    uint8_t near[SOURCE_KEY];     /* the network that its address is in, if that is known */
    bool has_near;
    struct quota quota;
    struct list registrations, subscriptions; /* struct reg, struct sub */
    struct list asked, serving;               /* struct call: as caller, as callee */
    size_t n_kept;                            /* bytes of calls that may be asked again */
    struct list testaments;                   /* struct testament */
    struct list doubters;                     /* struct handshake: they came with its key */
    uint64_t clone_told_at;                   /* mono; 0: never */
    struct vigil vigil;                       /* den's */
    bool has_beaten;                          /* den's: it was heard of on this connection */
};

struct conn_input {
    const struct rpc_msg *msg;
    struct view frame; /* the bytes that msg was read from */
};

struct conn *conn_new(struct router *router, void *wire, const char *address,
                      const uint8_t *exporter);
void conn_free(struct conn *conn); /* ends what it still holds */
/* On false the conn's owner tells the other side why, and closes it: conn_abort(). */
bool conn_step(struct conn *conn, enum conn_event event, const struct conn_input *in,
               struct err *err);
void conn_input(struct conn *conn, struct view frame);

void conn_send(struct conn *conn, const struct rpc_msg *msg);
bool conn_is_slow(const struct conn *conn); /* half of its queue is full */
/* It ran into a limit: counted, and named in the refusal that follows. */
void conn_over(struct conn *conn, enum metric_limit limit);
/* One more request. False: too many in this second. */
bool conn_may_request(struct conn *conn, struct err *err);
/* Whether what it just did is worth a line of the log: fifty are, then one a second. How many were not is said with
 * the next one, or at its end. */
bool conn_may_log(struct conn *conn);
/* The last one was as much work as `n` more: the rest of this second may be over. */
void conn_charge(struct conn *conn, uint64_t n);
/* Its connection has been there for `ms` already: less is left for the handshake. */
void conn_hurry(struct conn *conn, uint64_t ms);
/* Answers one request with an error. */
void conn_refuse(struct conn *conn, enum rpc_type type, uint64_t request, const struct err *why);
/* With a URI that no code of ours stands for. */
void conn_refuse_as(struct conn *conn, enum rpc_type type, uint64_t request, const char *uri,
                    const struct err *why);
/* Both release everything and close the wire after what is queued. */
void conn_abort(struct conn *conn, const struct err *why);
/* The same in somebody's own words. */
void conn_abort_with(struct conn *conn, struct view reason, struct rpc_payload payload,
                     const char *why);
void conn_goodbye(struct conn *conn, const char *reason, const char *message);
/* Because the router stops: GOODBYE, or ABORT before the session, with a time to come back at. */
void conn_shut_down(struct conn *conn);
const char *conn_state_name(enum conn_state state);
static inline struct view conn_id(const struct conn *conn)
{
    return view_text(conn->id);
}
/* Who packs its payload said in HELLO that it does; else it is a violation. */
bool conn_may_pack(const struct conn *conn, unsigned feature, const struct rpc_ppt *ppt,
                   struct err *err);
bool conn_may(struct conn *conn, enum policy_verb verb, struct view uri, struct err *err);
/* The same of everything that a pattern matches. */
bool conn_may_match(struct conn *conn, enum policy_verb verb, enum match_kind kind,
                    struct view pattern, struct err *err);
