/* SPDX-License-Identifier: Apache-2.0 */
/* A whole network around the router's core, in memory and in virtual time: the CA, den's keys, and
 * wires that tests write messages to and read the router's answers from. */
#pragma once

#include "pki/pki.h"
#include "router/router.h"
#include "tests/check.h"

#define WORLD_NETWORK "corp.example"
#define WORLD_WALL    UINT64_C(1800000000000)

struct wire {
    struct world *world;
    struct conn *conn;                /* NULL after wire_drop() */
    struct buf out;                   /* frames that the router sent: length u32, bytes */
    struct buf frame;                 /* the one that wire_next() gave last */
    size_t queued;                    /* what the router is told about the queue */
    size_t n_events;                  /* sent, of those that many get */
    const struct parcel *last_parcel; /* only to be compared */
    uint64_t asked;                   /* the number in the last ping: wire_answer() */
    unsigned n_asked;
    bool is_closed, is_trusted;
    bool is_alive; /* pings are answered as time passes */
    uint8_t instance[16], nonce[RPC_NONCE32], exporter[32];
    struct rpc_netsign proof;
    uint64_t last_request, session;
    char id[TEXT_ID], role[16];
};

struct world {
    struct router_config config;
    struct router *router;
    char *realms; /* path of realms.conf; NULL: none */
    struct moment now;
    struct pki_ca *root, *intermediate;
    struct key *router_key, *den_login, *den_sign;
    struct pki_key *tls_key;
    struct buf manifest, manifest_sig;
    uint8_t netid[HASH_SIZE], beacon[RPC_BEACON];
    uint64_t hb_no;
    struct buf saved; /* what save_trust() was given last */
    struct buf kept_revocations, kept_netkeys, kept_acts;
    unsigned n_acts_kept; /* how often */
    uint64_t rev_no;      /* of den's newest, and its hash: what heartbeats say */
    uint8_t rev_head[HASH_SIZE];
    unsigned n_saved, n_installed;
    bool fails_to_save;
    struct wire **wires;
    size_t n_wires;
};

struct world *world_new(void);
/* With this realms.conf, beside whose text stands `principals`, a file of mode 0600. */
struct world *world_with_realms(const char *realms, const char *principals);
void world_free(struct world *world);
OWN_FREEP(world, struct world)
void world_restart(struct world *world); /* the router, from what it saved; wires are gone */
void world_drop_wires(struct world *world);
/* Time; ticks the router at each deadline on the way */
void world_pass(struct world *world, uint64_t ms);

struct wire *wire_new(struct world *world, const char *address);
void wire_drop(struct wire *wire);   /* the connection breaks */
void wire_answer(struct wire *wire); /* the pong to the last ping */
void wire_say(struct wire *wire, struct view frame);
void wire_send(struct wire *wire, const struct rpc_msg *msg);
/* The next message from the router; its views live until the next call. False: none. */
bool wire_next(struct wire *wire, struct rpc_msg *ret_msg);
void wire_skip(struct wire *wire);        /* all that waits */
uint64_t wire_request(struct wire *wire); /* the next request's number */

/* netsign up to the CHALLENGE, and the proof. */
void wire_hello(struct wire *wire, const struct key *key);
bool wire_challenge(struct wire *wire); /* reads it and checks the router's signature */
/* Signs what was challenged */
void wire_authenticate(struct wire *wire, const struct key *key, struct view extra);
bool wire_welcome(struct wire *wire); /* reads WELCOME */
/* The root lists another key of den's for signing, which signs from now on. */
void world_roll_sign(struct world *world);
void world_admission(struct world *world, const struct key *key, const char *id, const char *role,
                     uint64_t not_after, struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE]);
void put_admission_extra(struct buf *to, const char *what, struct view bytes, struct view sig);

struct wire *join_den(struct world *world);                  /* and publishes a first heartbeat */
struct wire *join_silent_den(struct world *world);           /* and does not */
struct wire *join_peer(struct world *world, const char *id); /* with a fresh key and an admission */
struct wire *join_with(struct world *world, const struct key *key, const char *id,
                       const char *role);

/* What an answer came to: "RESULT", "REGISTERED", "" (no answer) or the error's URI. Lives until
 * the next call. */
const char *answer_to(struct wire *wire);
const char *try_register(struct wire *wire, const char *uri);
const char *try_subscribe(struct wire *wire, const char *uri);
const char *try_publish(struct wire *wire, const char *uri); /* acknowledged */
const char *try_call(struct wire *wire, const char *procedure, struct view args);
void send_call(struct wire *wire, const char *procedure, struct view args);

/* den's next revocation, as [V, sig]. */
void world_revoke(struct world *world, enum rpc_revoked_kind kind, const char *id,
                  struct view subject, struct buf *ret_signed);
/* The next heartbeat, with another beacon, as args [H, sig]; and den saying it. */
void world_heartbeat(struct world *world, struct buf *ret_args);
void den_beat(struct wire *den);
struct grant_facts {
    uint8_t sid; /* sixteen times this byte */
    const char *a, *b, *cap, *cap_back;
    uint64_t live_until;
};
/* Args [G, sig] signed with `key` (NULL: den-sign). */
void world_grant(struct world *world, const struct grant_facts *facts, const struct key *key,
                 struct buf *ret_args);
const char *install_grant(struct wire *den, const struct grant_facts *facts);
