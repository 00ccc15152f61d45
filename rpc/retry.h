/* SPDX-License-Identifier: Apache-2.0 */
/* When to try a lost connection again, and at which host. Who lost nothing but a connection is back
 * within half a second. When that fails the router is away, for everybody at once: the second pause
 * is drawn from six seconds, and those after it are six seconds long. So each of the many keeps a
 * moment of its own in those six seconds, and whenever the router comes back they come evenly, the
 * last of them six seconds later. Who has not been connected yet is not one of many: it tries each host
 * once without a pause, as only some of them may be of its kind of address. (Pauses that grow bunch together: of 42 peers 29 came within
 * one second of a crash.) */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RPC_RETRY_FIRST_MS = 500, /* the first pause is drawn from these */
    RPC_RETRY_ROUND_MS = 6000,
    RPC_RETRY_LEAST_MS = 50,
    RPC_RETRY_JITTER_MS = 300,      /* of a round, to both sides */
    RPC_RETRY_MAX_ASKED_MS = 60000, /* a router that asks for more is not believed */
    RPC_RETRY_PATIENCE_MS = 60000,  /* where the next try will hardly do better */
    RPC_RETRY_STEADY_MS = 5000,     /* a session that lasted this long starts the pauses anew */
};

struct rpc_retry {
    size_t n_hosts, host; /* the one to try next */
    unsigned n_failures;
    uint64_t up_at;  /* 0: not yet in this connection */
    bool was_up;     /* ever */
    size_t n_tried;  /* before that */
    size_t n_passed; /* in a row */
};

void rpc_retry_up(struct rpc_retry *retry, uint64_t now); /* the session is established */
/* The connection is gone, or never came to be: how long to wait, in ms, before retry->host is
 * tried; 0: at once. `asked`: what the router asked for, drawn for each client, and no failure; 0: nothing. */
uint64_t rpc_retry_lost(struct rpc_retry *retry, uint64_t now, uint64_t asked);
/* retry->host cannot be reached from this machine at all (another kind of address, say): the next one is tried at once in its place. False: so
 * it is with all of them; then it is as with a connection that is gone. */
bool rpc_retry_pass(struct rpc_retry *retry);
/* How long to wait at least, in ms, when that was the reason: a minute where somebody has to do something
 * before the next try can succeed. 0: as usual. Drawn anew each time. */
uint64_t rpc_retry_patience(enum err_code why);
