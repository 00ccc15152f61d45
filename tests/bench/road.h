/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions at a real router for the load programs. The folder of the throw-away network's den is
 * read: its keys admit as many peers as a figure needs. Peer `n` has always the same key and ID.
 * What fails ends the program: a figure of half a load is none. */
#pragma once

#include "base/text.h"
#include "rpc/rpc.h"

struct road { /* what the sessions of one program share */
    struct rpc_loop *loop;
    struct rpc_ws *ws;
    struct rpc_trust *trust;
    struct key *login, *sign; /* den's */
    uint16_t port;
};
void road_open(struct road *road, const char *den_folder, uint16_t port);

struct session {
    struct road *road;
    struct key *key; /* until it is up */
    char id[TEXT_ID];
    uint32_t number;
    uint8_t host; /* it connects to 127.0.0.1 + host: a port is for one pair of addresses */
    bool is_den;
    bool is_single; /* a TLS record a message, as clients do that do not coalesce */
    bool is_fresh;  /* with a full TLS handshake each time */
    bool is_leaving;
    struct rpc_client *client;
    struct rpc_ws_conn *conn;
    void (*on_up)(struct session *session);
    void (*on_closed)(struct session *session); /* NULL: that ends the program */
    void (*on_lost)(struct session *session); /* it ended by itself; NULL: that ends the program */
    void *user;
};
void session_open(struct session *session); /* road, number and callbacks are set */
void session_open_den(struct session *session);
void session_flush(struct session *session); /* after using the client outside its callbacks */
void session_close(struct session *session);

/* [body, R, signature] of den.ca.sign, as peer `id` with that key asks for it. */
void road_put_request(const struct road *road, struct buf *args, const char *id,
                      const struct key *key, struct view body);

void peer_id(uint32_t number, char ret_id[TEXT_ID]);
struct key *peer_key(uint32_t number);
_Noreturn void give_up(const char *what, const struct err *why);

/* "name=123" of the arguments; `fallback` when it is not there. */
uint64_t argument(char **argv, const char *name, uint64_t fallback);

/* ---- latencies -------------------------------------------------------------------------------- */

enum { MAX_SAMPLES = 1 << 23 };
struct samples {
    uint32_t *ns;
    size_t n;
};
void samples_add(struct samples *samples, uint64_t ns);
double samples_us(struct samples *samples, double part); /* 0.5: the median; sorts */
