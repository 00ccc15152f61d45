/* SPDX-License-Identifier: Apache-2.0 */
/* The relay: the two ends of a grant exchange datagrams that it does not look at. PROTOCOL.md,
 * section 12. No I/O: what is to be sent and closed is said through `struct relay_outside`, and
 * nothing out there calls back from inside those. */
#pragma once

#include "router/router.h"

enum {
    RELAY_MAX_DATAGRAM = 1500,
    RELAY_MAX_HELD = 16, /* datagrams of an end whose other one is not there yet */
};

/* WebSocket close codes. */
enum relay_code {
    RELAY_GOING_AWAY = 1001,
    RELAY_BAD_MESSAGE = 4400,
    RELAY_BAD_PROOF = 4401,
    RELAY_NO_GRANT = 4403,
    RELAY_REVOKED = 4404,
    RELAY_UNPAIRED = 4408,
    RELAY_REPLACED = 4409,
    RELAY_ENDED = 4410,
    RELAY_TOO_LARGE = 4413,
    RELAY_SESSION_BYTES = 4429,
    RELAY_PEER_BYTES = 4430,
    RELAY_SESSIONS = 4431,
};

struct relay_outside {
    void (*send)(void *wire, struct view datagram);
    void (*tell)(void *wire, const char *word);
    size_t (*queued)(void *wire); /* bytes waiting there */
    void (*close)(void *wire, enum relay_code code, const char *reason);
    void (*proved)(void *wire); /* its opening held */
};

struct relay;
struct relay_socket;

/* Looks at the router's trust, grants and revocations. To be freed before it, when every socket is
 * closed. */
struct relay *relay_new(struct router *router, const struct relay_outside *outside);
void relay_free(struct relay *relay);
OWN_FREEP(relay, struct relay)

/* `exporter` as for router_opened(). */
struct relay_socket *relay_opened(struct relay *relay, struct moment now, void *wire,
                                  const char *address, const uint8_t *exporter);
void relay_input(struct relay_socket *socket, struct moment now, bool is_text, struct view message);
bool relay_is_open(const struct relay_socket *socket); /* its opening held, and it is not closed */
/* The wire is gone; socket is freed. What is to be held against where it came from. */
enum source_fault relay_closed(struct relay_socket *socket, struct moment now);

/* All take NULL for a router without relay. */
void relay_grant_removed(struct relay *relay, struct view sid);
void relay_look_at_revocations(struct relay *relay);
void relay_shut_down(struct relay *relay, const char *reason); /* closes every socket */
size_t relay_n_sockets(const struct relay *relay);
size_t relay_n_sessions(const struct relay *relay);
