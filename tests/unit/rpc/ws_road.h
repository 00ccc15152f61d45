/* SPDX-License-Identifier: Apache-2.0 */
/* A server and a client of the edge in one process, and what happens at each end. */
#pragma once

#include "tests/unit/rpc/edge.h"

#include "base/clock.h"
#include "base/key.h"
#include "rpc/ws_conn.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PROTOCOL "wamp.2.msgpack"

/* What happened at one end of one connection. */
struct end {
    struct rpc_ws_conn *conn; /* NULL once it is closed */
    unsigned n_opened, n_messages, n_closed;
    size_t n_bytes;
    uint8_t exporter[32];
    char address[64];
    struct err why;
    bool echoes, trusts;
};
extern const struct rpc_ws_events road_events;

struct road {
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct edge_cert cert;
    struct end server, client;
    struct rpc_ws_listener listener;
    struct rpc_ws_dial dial;
    struct err judged; /* what the judge says, when code is set */
    unsigned n_judged;
    struct buf leaf;
};

extern struct road *the_road;      /* of the test that runs */
void road_init(struct road *road); /* nothing is open yet: listener and dial may be changed */
void road_listen(struct road *road);
struct rpc_ws_conn *road_dial(struct road *road, struct end *end);
void road_open(struct road *road); /* both, until both ends are open */
void road_deinit(struct road *road);
#define _road_ _cleanup_(road_deinit) struct road

/* For edge_until(): of a road, of an end. */
bool both_open(void *user);
bool both_closed(void *user);
bool is_open(void *user);
bool is_closed(void *user);
bool is_settled(void *user);

/* Messages are numbered in their first four bytes, so that order shows. */
void send_numbered(struct rpc_ws_conn *conn, uint32_t number, size_t size);
