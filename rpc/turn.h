/* SPDX-License-Identifier: Apache-2.0 */
/* What den gives the two ends of a session for TURN (RFC 8656): servers, and a credential of coturn's REST scheme.
 * PROCEDURES.md, "TURN", has it on the wire. Over UDP and TCP alone: what is relayed is encrypted end to end. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    RPC_TURN_SERVERS = 8,
    RPC_TURN_PORT = 3478,
    RPC_TURN_MAX_HOST = 253,
    RPC_TURN_MAX_URI = 290,
    RPC_TURN_MAX_TEXT = 128, /* username, password */
    RPC_TURN_MAX = 4096,     /* all of it */
};

enum rpc_turn_transport { RPC_TURN_UDP, RPC_TURN_TCP };

struct rpc_turn_server { /* borrows */
    struct view host;    /* a name, or an IP address without brackets */
    uint16_t port;
    enum rpc_turn_transport transport;
};

/* "turn:HOST[:PORT][?transport=udp|tcp]" (RFC 7065). INVALID_ARGUMENT says what is wrong. */
bool rpc_turn_uri_read(struct view uri, struct rpc_turn_server *ret_server, struct err *err);

struct rpc_turn { /* borrows */
    struct view username, password;
    uint64_t expires_at; /* ms since 1970: no allocation is begun after it */
    struct view uris[RPC_TURN_SERVERS];
    size_t n_uris;
};
void rpc_turn_put(const struct rpc_turn *turn, struct buf *to);
/* Of a msgpack map. An URI that is not understood is left out: another version may know more kinds. BAD_WIRE, TOO_LARGE. */
bool rpc_turn_read(struct view map, struct rpc_turn *ret_turn, struct err *err);
/* The same where the servers alone are wanted, whatever else is there: username and password are empty in *ret_turn. */
bool rpc_turn_read_servers(struct view map, struct rpc_turn *ret_turn, struct err *err);
