/* SPDX-License-Identifier: Apache-2.0 */
/* den's core on a virtual clock with a real store: no network, every answer and call recorded. */
#pragma once

#include "den/core.h"
#include "tests/check.h"

#define WORLD_NETWORK "corp.example"

/* The linker leads every store_commit() through here: while it is true, the disk is full. */
extern bool world_disk_is_full;
extern size_t world_n_commits; /* that succeeded */

/* So does every store_begin(): `once` is called ahead of the next one, as another process that comes in between. */
void world_before_begin(void (*once)(void *user), void *user);

/* How many lines of that event were logged by this process; `holds`, if not NULL, is in the newest. */
size_t world_logged(const char *event, const char *holds);

enum { WORLD_START_S = 1800000000, WORLD_MAX = 256 };

struct world_answer {
    uint64_t inv;
    enum { WORLD_PROGRESS, WORLD_YIELDED, WORLD_REFUSED } what;
    struct buf bytes; /* args, or an ERROR's whole payload */
    struct err err;   /* WORLD_REFUSED */
};
struct world_call {
    struct world *w;
    uint64_t number, timeout;
    char procedure[80];
    struct buf args;
    rpc_on_outcome *on_outcome;
    void *user;
    bool is_done, is_forgotten;
};
struct world_event {
    char topic[64], eligible[64]; /* ids joined by ',' */
    struct buf args;
    bool is_retained;
};

struct world {
    char *store_path, *policy;
    const char *keys_dir; /* NULL: the keys are in memory alone */
    uint64_t mono, wall;
    struct key *sign, *login, *router;
    struct pki_ca *root;
    struct rpc_trust *trust;
    struct buf saved_trust;
    struct store *store;
    struct signer *signer;
    struct buf router_csr;
    struct den_port port;
    struct den_core_config config;
    struct den_core *core;
    bool cannot_save;
    bool is_turn_long; /* the loop's turn does not end with each invocation: world_pass() ends it */
    const char *source; /* where callers connect from */
    uint64_t n_invs;
    struct world_answer answers[WORLD_MAX];
    size_t n_answers;
    struct world_call calls[WORLD_MAX];
    size_t n_calls;
    struct world_event events[WORLD_MAX];
    size_t n_events;
};

/* A founded network whose core has started and is online. NULL: failed, and said so. */
struct world *world_new(const char *policy);
/* The same, with the signer's keys and book as files in that folder, as warren-den init leaves them. */
struct world *world_new_in(const char *keys_dir, const char *policy);
void world_free(struct world *w);
OWN_FREEP(world, struct world)
/* den ends and starts anew on the same folder. False when it refuses to. */
bool world_restart(struct world *w, struct err *err);
/* Its two halves: den ends; it starts, and has yet to meet its router. */
void world_close(struct world *w);
bool world_open(struct world *w, struct err *err);
/* world_found.c: what world_new() founds. */
bool world_found(struct world *w, struct err *err);
/* The same without any rate: for tests that ask for more than anybody would. */
bool world_unlimited(struct world *w);
bool world_set_policy(struct world *w, const char *policy, struct err *err);
void world_jump(struct world *w, uint64_t ms); /* at once: one tick at its end */
void world_pass(struct world *w, uint64_t ms); /* time goes by; the core ticks at its deadlines */

/* `args` is taken and freed. Returns the number by which the answer is found. */
uint64_t world_handle(struct world *w, const char *procedure, const char *role, const char *id,
                      struct buf *args);
const struct world_answer *world_answer(const struct world *w,
                                        uint64_t inv); /* the final one; NULL: none yet */
size_t world_n_progress(const struct world *w, uint64_t inv);
struct world_call *world_pending(struct world *w,
                                 const char *procedure);      /* the oldest; NULL: none */
void world_result(struct world_call *call, struct buf *args); /* taken and freed */
void world_progress(struct world_call *call);
void world_fail(struct world_call *call, enum err_code code);
void world_cut(struct world_call *call); /* the connection went: nobody answered */
/* The router's answer to "network.peer.get"; and that to all that are pending. */
void world_say_online(struct world_call *call, bool is);
void world_answer_online(struct world *w, bool is);
const struct world_event *world_last_event(const struct world *w, const char *topic);
uint64_t world_number(struct world *w, const char *name);
/* How many audit entries hold all of these texts (b may be NULL). */
size_t world_audited(struct world *w, const char *a, const char *b);
struct rpc_heartbeat
world_heartbeat(const struct world *w); /* the newest published; borrows from the world */

/* ---- peers: what an honest one would send, for tests to spoil ------------------------------ */

struct world_peer {
    struct key *key;
    char id[STORE_ID];
    struct pki_key *tls;
    struct buf csr;
    uint8_t spki[HASH_SIZE];
    struct buf ice;
};
/* The TLS key that it asks for certificates with: superseded, as an operator puts it into the store, and den has looked. */
void world_revoke_tls_key(struct world *w, const struct world_peer *peer);
struct key *world_token(struct world *w, const char *role, uint64_t uses, uint64_t expires_at);
/* Recorded as made now, for peers where `t` names no role; its key is drawn. */
struct key *world_add_token(struct world *w, struct store_token t);
/* One that gives that ID a new key, once. */
struct key *world_token_for(struct world *w, const char *id);
void world_put_signed(struct buf *args, enum rpc_word word, const void *statement,
                      const struct key *key);
struct rpc_enrol world_enrol(const struct world *w, const struct world_peer *peer,
                             const struct key *token, uint8_t nonce_to[RPC_NONCE16]);
/* Args of den.identity.admit. */
void world_put_enrol(struct buf *args, const struct rpc_enrol *e, const struct key *key,
                     const struct key *token);
/* den.identity.admit for its key; `token` may be NULL. */
uint64_t world_admit(struct world *w, const struct world_peer *peer, const struct key *token);
/* The ID of the admission that it was answered with, into peer->id too; "" after having failed. */
const char *world_take_id(struct world *w, uint64_t inv, struct world_peer *peer);
/* [body, R, signature] of an honest peer. */
uint64_t world_request(struct world *w, const struct world_peer *peer, const char *procedure,
                       struct view body);
/* den.identity.rekey: the key of `peer` names that of `next`, as number `no`. */
uint64_t world_rekey(struct world *w, const struct world_peer *peer, const struct world_peer *next,
                     uint64_t no);
/* A refusal with that code. */
void world_check_refused(const struct world *w, uint64_t inv, enum err_code code);
/* A peer with an ID and a certificate. */
struct world_peer *world_peer_new(struct world *w);
struct world_peer *world_stranger_new(struct world *w); /* keys alone */
void world_peer_free(struct world_peer *peer);
OWN_FREEP(world_peer, struct world_peer)
/* Args [body, R, sig], signed by `key` for `id`. */
void world_put_request(const struct world *w, struct buf *args, const struct key *key,
                       const char *id, const char *procedure, struct view body);
struct view world_beacon(const struct world *w);
uint64_t world_sign(struct world *w, const struct world_peer *peer); /* den.ca.sign for its key */
