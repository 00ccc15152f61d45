/* SPDX-License-Identifier: Apache-2.0 */
/* Three peers who know each other's IDs, and what honest ones send: for tests to spoil. */
#pragma once

#include "tests/unit/den/world.h"

/* Rule 1: alice may chat with and tunnel to bob, unasked. Rule 2: bob may chat with alice, who is
 * asked. Rule 3: alice may not reach carol. Rule 4: alice may reach 999998, which nobody has. */
struct scene {
    struct world *w;
    struct world_peer *alice, *bob, *carol;
};

bool scene_begin(struct scene *s);
void scene_end(struct scene *s);
#define SCENE(s)                                                                                   \
    _cleanup_(scene_end) struct scene s = { 0 };                                                   \
    if (!scene_begin(&s))                                                                          \
    return

struct dial {
    struct rpc_dial d;
    uint8_t sid[RPC_SID], ice_hash[HASH_SIZE], beacon[RPC_BEACON];
    struct buf ice;
    struct view first; /* the packets that go along, a msgpack array; empty: none are sent */
    const struct key *key;
    const char *stamp;
};

void dial_begin(struct dial *dial, const struct world *w, const struct world_peer *from,
                const char *to);
void dial_end(struct dial *dial);
#define DIAL(name, w, from, to)                                                                    \
    _cleanup_(dial_end) struct dial name;                                                          \
    dial_begin(&name, w, from, to)

uint64_t scene_dial(struct world *w, const struct dial *dial); /* the invocation's number */
void scene_say_online(struct world *w, bool is);               /* the router's answers */
void scene_say_installed(struct world *w);
/* The call of the callee's session.offer that is under way; NULL: none. */
struct world_call *scene_offer_to(struct world *w, const struct world_peer *peer);
/* From the dial up to the offer at `to`; NULL: did not come that far. */
struct world_call *scene_ring(struct world *w, const struct dial *dial, const struct world_peer *to,
                              uint64_t *ret_inv);

struct offer {
    struct view grant, grant_sig, dial, dial_sig, ice;
    struct rpc_grant g;
    struct view permit; /* [P, signature], or nil */
    struct view first, who;
};

bool scene_read_offer(const struct world *w, const struct world_call *call, struct offer *ret);

struct accept {
    struct rpc_accept c;
    uint8_t grant_hash[HASH_SIZE], ice_hash[HASH_SIZE];
    const struct key *key;
    struct view ice, first; /* as in a dial */
};

void accept_begin(struct accept *a, const struct world *w, const struct offer *offer,
                  const struct world_peer *by);
void scene_accept(struct world_call *call, const struct accept *a);

void scene_check_refused(const struct world *w, uint64_t inv, enum err_code code, const char *text);
/* Its text begins with `why`. False: it was not refused at all. */
bool scene_check_refused_why(const struct world *w, uint64_t inv, enum err_code code,
                             const char *why);
/* The session's state in the store, "" when it is not there; valid until the next call. */
const char *scene_state_of(struct world *w, const uint8_t sid[RPC_SID]);
