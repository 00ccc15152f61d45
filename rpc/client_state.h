/* SPDX-License-Identifier: Apache-2.0 */
/* What struct rpc_client is made of. Inside rpc/ only: client.c moves the session and calls,
 * client_join.c proves who both ends are, client_serve.c registers, subscribes and answers. */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "rpc/client.h"

enum {
    RPC_CLIENT_PROVE_MS = 10000, /* HELLO to CHALLENGE */
    RPC_CLIENT_ADMIT_MS = 20000, /* AUTHENTICATE to WELCOME: den may have to be asked */
    RPC_CLIENT_LEAVE_MS = 2000,  /* GOODBYE to its answer */
    RPC_CLIENT_RETRY_MS =
        3000, /* a refused registration: an older session of ours may still hold it */
    RPC_CLIENT_MAX_INVS = 65536,   /* unanswered at one time */
    RPC_CLIENT_PUBLISH_MS = 30000, /* PUBLISH to PUBLISHED */
    /* A call's and an invocation's number: which session, then which request in it. */
    RPC_CLIENT_EPOCH_SHIFT = 48,
};

enum rpc_client_state {
    RPC_CLIENT_AWAY,    /* no connection */
    RPC_CLIENT_HAILING, /* HELLO is out */
    RPC_CLIENT_PROVING, /* AUTHENTICATE is out */
    RPC_CLIENT_UP,
    RPC_CLIENT_LEAVING, /* GOODBYE is out */
    RPC_CLIENT_OVER,    /* waits for its connection to be closed */
    RPC_CLIENT_STATES
};

struct rpc_client_call {
    struct list node;
    uint64_t number, deadline, timeout;
    bool wants_progress, is_publish; /* a publication that waits for its PUBLISHED */
    rpc_on_outcome *on_outcome;
    void *user;
};

/* A registration or a subscription: kept over sessions. */
struct rpc_client_reg {
    struct list node;
    char *uri, *match, *invoke; /* NULL: exact, single */
    rpc_on_inv *on_inv;         /* a registration's */
    rpc_on_event *on_event;     /* a subscription's */
    rpc_on_reg_state *on_state; /* NULL: nobody asks */
    void *user;
    bool get_retained, is_gone;
    uint64_t request; /* in flight; 0: none */
    uint64_t id;      /* the router's; 0: none yet */
    uint64_t retry_at;
};

struct rpc_client_inv {
    uint64_t number, request;
    bool wants_progress;
};

struct rpc_client {
    struct rpc_client_config config;
    char *agent;
    enum rpc_client_state state;
    struct err why;
    uint64_t retry_after; /* ms that the router asked us to stay away; 0: nothing said */
    bool is_told;         /* on_down came for this session */
    uint64_t now;         /* of the call that we are in */
    uint64_t deadline;    /* of the state */

    struct buf out; /* length u32 and message, one after the other */
    size_t out_from;

    struct rpc_netsign proof;
    char id[256], role[64];
    uint64_t session, epoch; /* epoch: counts connections */
    uint64_t last_request;

    struct map *calls;           /* by number */
    struct list waiting;         /* struct rpc_client_call, sent */
    struct list unsent;          /* made while not up: fail at the next tick */
    uint64_t next_call_deadline; /* never later than the earliest */
    uint64_t n_unsent;

    struct list regs, subs; /* struct rpc_client_reg */
    struct map *regs_by_id;
    struct map *invs; /* struct rpc_client_inv by number */
};

/* An action on one message in one state; on false the session is aborted with `err`. */
typedef bool rpc_client_act(struct rpc_client *c, const struct rpc_msg *msg, struct err *err);

void rpc_client_send(struct rpc_client *c, const struct rpc_msg *msg);
/* The same for a frame written before. */
void rpc_client_send_frame(struct rpc_client *c, struct view frame);
uint64_t rpc_client_next_request(struct rpc_client *c);
/* Waits for an answer to a request that was just sent, or fails at the next tick when we are not up;
 * the request's number, 0 then. */
uint64_t rpc_client_await(struct rpc_client *c, uint64_t now, const struct rpc_client_call *like);

/* client_join.c */
void rpc_client_hail(struct rpc_client *c, const struct rpc_binding *binding);
rpc_client_act rpc_client_on_challenge, rpc_client_on_welcome;

/* client_serve.c */
void rpc_client_serve_up(struct rpc_client *c); /* registers and subscribes everything */
/* The session is gone, and with it ids and invocations. */
void rpc_client_serve_down(struct rpc_client *c);
void rpc_client_serve_tick(struct rpc_client *c);
uint64_t rpc_client_serve_deadline(const struct rpc_client *c);
void rpc_client_serve_free(struct rpc_client *c);
/* False: not about these. */
bool rpc_client_serve_error(struct rpc_client *c, const struct rpc_error *error);
rpc_client_act rpc_client_on_registered, rpc_client_on_subscribed, rpc_client_on_invocation,
    rpc_client_on_interrupt, rpc_client_on_revoked, rpc_client_on_event;
