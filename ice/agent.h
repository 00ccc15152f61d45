/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an agent, shared by agent.c (its life and what it is told), agent_signals.c
 * (what libnice tells) and agent_packets.c (datagrams), agent_socket.c (the same, by the batch), agent_turn.c (servers that relay). Of the
 * folder's own.
 *
 * libnice emits some of its signals inside calls that we make. So nothing is reported from a
 * handler: it is noted here, and the `wake` source reports it from the context. */
#pragma once

#include "ice/candidate.h"
#include "ice/source.h"

#include <gio/gio.h>
#include <nice/agent.h>
#include <stdio.h>

enum { AGENT_COMPONENT = 1, AGENT_BATCH = 64, AGENT_PACKET = 2048 };
enum { AGENT_MAX_LOCAL = ICE_MAX_CANDIDATES + ICE_MAX_LATER };

struct agent_batch { /* datagrams received and not handed over yet */
    struct view packets[AGENT_BATCH];
    size_t n, len;
    uint8_t bytes[AGENT_BATCH * AGENT_PACKET];
};

struct ice_agent {
    NiceAgent *nice;
    GMainContext *context;
    guint stream;
    struct ice_config config;
    struct ice_events events;

    enum ice_state state, reported;
    char *lines
        [AGENT_MAX_LOCAL]; /* our candidates in order of discovery; the first n_told were told */
    size_t n_lines, n_told, n_remote_later;
    struct ice_description theirs; /* as it was set, and what came later as far as there is room */
    bool is_described, is_gathered, is_gathered_reported, is_closed, is_closing;
    unsigned n_turns; /* of the loop, since it was freed and not closed yet */

    struct agent_turn *turn; /* agent_turn.c; NULL: direct paths */

    struct agent_socket *socket; /* agent_socket.c; NULL: everything goes through libnice */
    bool is_pair_new;            /* libnice has selected another pair */

    struct ice_portmap *portmap; /* agent_portmap.c; NULL: none */
    char portmap_local[NICE_ADDRESS_STRING_LEN];
    uint16_t portmap_port;

    GSource *wake;     /* reports what was noted */
    GSource *writable; /* waits for room in the socket's buffer; NULL while nothing is blocked */
    struct agent_batch *batch;
};

/* ---- agent_socket.c: what makes a direct pair quick ---- */
/* Makes it, moves it, or drops it, as the selected pair and the state are now. From the wake source alone. */
void agent_socket_follow(struct ice_agent *agent);
size_t agent_socket_send(struct agent_socket *s, const struct view *packets, size_t n);
void agent_socket_free(struct agent_socket *s); /* NULL is fine */
void agent_tune_socket(int fd);

/* ---- agent_portmap.c ---- */
void agent_portmap_begin(struct ice_agent *agent); /* the host candidates are there */

/* ---- agent_turn.c ---- */
struct agent_turn *agent_turn_new(struct ice_agent *agent, const struct ice_turn *turn);
void agent_turn_free(struct agent_turn *turn); /* NULL is fine */
void agent_turn_gather(struct agent_turn *turn);
void agent_turn_gathered(struct agent_turn *turn); /* libnice has no question open */

void agent_wake(struct ice_agent *agent); /* the wake source runs in the next turn of the context */
void agent_connect_signals(struct ice_agent *agent);
void agent_read_lines(
    struct ice_agent *agent); /* libnice's local candidates that are not in `lines` yet */
void agent_tune_sockets(struct ice_agent *agent);
void agent_stop_waiting(struct ice_agent *agent); /* drops `writable` */
void agent_hand_over(struct ice_agent *agent);    /* the batch, to on_packets */
void agent_attach_recv(struct ice_agent *agent);
void agent_address(const NiceAddress *address,
                   char to[64]); /* "192.0.2.1:40000", "[2001:db8::1]:40000" */
enum ice_kind agent_kind(const NiceCandidate *candidate);
