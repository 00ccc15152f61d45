/* SPDX-License-Identifier: Apache-2.0 */
/* The carrier "relay": a connection to the router's relay below a path (rpc/PROTOCOL.md, section
 * 12). It connects at once, opens when there is something to open with, and comes back when it is lost,
 * for as long as it lives. The thread of the loop alone. */
#pragma once

#include "peer/link/path.h"
#include "rpc/rpc.h"

struct carrier_relay;

enum carrier_relay_state {
    CARRIER_RELAY_TRYING,
    CARRIER_RELAY_UP,   /* both ends are there */
    CARRIER_RELAY_OVER, /* it says why, and no try will change that */
};

struct carrier_relay_greeting { /* what an opening has to name */
    struct view nonce, router_pk;
    struct rpc_binding binding;
};

struct carrier_relay_config {
    struct rpc_ws *ws;
    struct rpc_join_host host;
    struct rpc_join_host
        others[RPC_JOIN_HOSTS]; /* where the same relay is too; maybe with `host` */
    size_t n_others;
    const char *server_name; /* copied */
    bool
        is_eager; /* sends behind its opening, without waiting for the other end: the relay keeps some */
    bool (*judge)(void *user, const char *host, const struct view *chain, size_t n,
                  struct err *err);
    /* Appends the opening; false: not yet, carrier_relay_open() will say when. */
    bool (*put_opening)(void *user, const struct carrier_relay_greeting *greeting, struct buf *to);
    void (*on_state)(void *user, enum carrier_relay_state state, const struct err *why);
    void *user;
};

void carrier_relay_new(struct path *path, const struct carrier_relay_config *config,
                       struct carrier_relay **ret_carrier);
/* Takes it off the path first, so free it before the path; never inside an event of either. NULL
 * is fine. */
void carrier_relay_free(struct carrier_relay *carrier);
OWN_FREEP(carrier_relay, struct carrier_relay)
void carrier_relay_open(struct carrier_relay *carrier); /* put_opening() will have what it needs */
/* What it has is dead, or from an address that is gone: another connection, at once. Nothing happens when the relay told us to stay away. */
void carrier_relay_renew(struct carrier_relay *carrier);
/* To another place, at once, whatever was said at the one before. False: it is there. */
bool carrier_relay_move(struct carrier_relay *carrier, const struct rpc_join_host *host);
/* Up, and it has shown that it works. */
bool carrier_relay_is_alive(const struct carrier_relay *carrier);
/* It has no connection, or one from another address than the system would use now. */
bool carrier_relay_is_stranded(const struct carrier_relay *carrier);
/* Where the same relay is as well, from the next try on. */
void carrier_relay_set_others(struct carrier_relay *carrier, const struct rpc_join_host *others,
                              size_t n);
