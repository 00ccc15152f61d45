/* SPDX-License-Identifier: Apache-2.0 */
/* A relay in the world of world.h, a session of two peers, and their connections in memory. */
#pragma once

#include "router/relay.h"
#include "tests/unit/router/world.h"

struct relay_end { /* one connection */
    struct relay_scene *scene;
    struct relay_socket *socket; /* NULL after end_drop() */
    uint8_t exporter[32], nonce[RPC_NONCE32];
    bool has_nonce, is_closed, is_proved;
    int code; /* of the close */
    char reason[200], words[200];
    size_t queued;  /* what the relay is told */
    struct buf got; /* datagrams, each with '|' behind it */
    size_t n_got;
};

struct relay_scene {
    struct world *world;
    struct wire *den;
    struct relay *relay;
    struct key *key[2]; /* of 456000, who calls, and 123456 */
    uint64_t adm_no, adm_not_after, live_until;
    struct buf grant;
    uint8_t grant_sig[SIG_SIZE], sid[RPC_SID];
    struct relay_end **ends;
    size_t n_ends;
};

struct relay_scene *relay_scene_new(void); /* with an installed grant */
void relay_scene_free(struct relay_scene *scene);
OWN_FREEP(relay_scene, struct relay_scene)
void relay_scene_restart(struct relay_scene *scene); /* the router; connections are gone */
void relay_scene_drop(struct relay_scene *scene);    /* all connections */
/* Another grant of another session, installed unless `key` (NULL: den-sign) is somebody else's. */
void scene_grant(struct relay_scene *scene, uint8_t sid, const struct key *key, bool is_installed);
void scene_remove(struct relay_scene *scene); /* den ends the session */

/* What an opening says; all as it should be until a test changes it. */
struct relay_say {
    struct rpc_relay y;
    const struct key *key, *admission_key;
    const char *admission_id;
    uint8_t grant_hash[HASH_SIZE], zeros[HASH_SIZE];
};
struct relay_end *end_new(struct relay_scene *scene);
void end_drop(struct relay_end *end);
void say_init(struct relay_say *say, const struct relay_end *end, unsigned side);
void say_put(const struct relay_say *say, const struct relay_end *end, struct buf *to);
void end_say(struct relay_end *end, const struct relay_say *say);
void end_input(struct relay_end *end, struct view message);
void end_send(struct relay_end *end, const char *datagram);
struct relay_end *end_open(struct relay_scene *scene, unsigned side); /* whole, as it should be */
