/* SPDX-License-Identifier: Apache-2.0 */
/* A client on the edge that comes back by itself: connects to one host after the other,
 * authenticates, and after a loss retries with pauses that spread the many (rpc/retry.h). Used by
 * den and by libpeer alike. It binds netsign to the TLS exporter; where the router answers that TLS
 * ends before it, to the certificate that it saw. */
#pragma once

#include "rpc/client.h"
#include "rpc/join.h"
#include "rpc/ws.h"

struct rpc_uplink;

struct rpc_uplink_config {
    struct rpc_ws *ws;
    const struct rpc_join_host *hosts; /* copied */
    size_t n_hosts;
    const char *server_name; /* "router.<network>" */
    /* Judges the chain that was shown at `host`; NULL: anything passes until netsign's proof, as
     * while joining. */
    bool (*judge)(void *user, const char *host, const struct view *chain, size_t n,
                  struct err *err);
    /* Its callbacks and `user` are the uplink's owner's, and judge's. */
    struct rpc_client_config client;
    /* Lost or refused; tries again after the pause. */
    void (*on_retry)(void *user, const struct err *why, uint64_t pause_ms);
};
bool rpc_uplink_new(const struct rpc_uplink_config *config, struct rpc_uplink **ret_uplink,
                    struct err *err);
void rpc_uplink_free(struct rpc_uplink *uplink); /* says GOODBYE; not from inside a callback */
OWN_FREEP(rpc_uplink, struct rpc_uplink)
struct rpc_client *rpc_uplink_client(struct rpc_uplink *uplink);
/* To be called after anything was done with the client outside its callbacks: sends what waits,
 * arms the timer. */
void rpc_uplink_flush(struct rpc_uplink *uplink);
/* The machine's addresses are other ones, or it slept. A connection from an address that is no longer used is replaced at once; of
 * another the router is asked, and it is replaced when no answer comes within seconds; where there is none, the next try is now.
 * Not from inside a callback. */
void rpc_uplink_moved(struct rpc_uplink *uplink);
/* Another connection to the same router is dead: it is asked whether it is there, as by rpc_uplink_moved(). */
void rpc_uplink_doubt(struct rpc_uplink *uplink);
/* The host that it is connected to, or tries; until the next try. */
const struct rpc_join_host *rpc_uplink_host(const struct rpc_uplink *uplink);
/* Bytes that wait to be sent, in the client and in its connection. */
size_t rpc_uplink_queued(const struct rpc_uplink *uplink);
