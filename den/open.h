/* SPDX-License-Identifier: Apache-2.0 */
/* A dial on its way through den, from den.session.open to its answer. dial.c checks it, grant.c
 * decides, grants and offers, accept.c checks what comes back, close.c ends it. Inside den's
 * core only. */
#pragma once

#include "den/core_in.h"
#include "den/record.h"

struct open;
/* Of one signature under way: proof.c. */
typedef void proof_then(struct open *open, bool is_right, const struct err *why);
struct proof {
    struct list node; /* of core->proofs, while nobody looks yet */
    enum rpc_word word;
    proof_then *then;
    bool is_looking; /* another thread does */
    bool is_dropped; /* meanwhile */
    bool is_right;
    struct err err;
};

struct open {
    struct list node;  /* in core->opens */
    struct list stage; /* in one of together.c's; else in none */
    struct proof proof;
    struct open **minted; /* where it is named while its grant is at the signer; else NULL */
    struct den_core *core;
    uint64_t inv, call; /* the dial's number; the call that is under way, 0: none */
    bool wants_progress, is_ringing, is_granted, must_ask, is_live, has_left;
    struct store_identity a, b;
    struct buf dial, ice, grant, accept, accept_ice;
    struct buf who; /* of the caller, for the called side; or empty */
    uint8_t who_sig[SIG_SIZE];
    struct buf first, accept_first; /* the link's first packets, each a msgpack array; or empty */
    char caller[TEXT_ID];           /* as the router says */
    uint8_t dial_sig[SIG_SIZE], grant_sig[SIG_SIZE], accept_sig[SIG_SIZE];
    char consent[16];
    uint64_t offline; /* ms: that the permit is for; 0: none */
    struct buf permit;
    uint8_t permit_sig[SIG_SIZE];
    char source[64];   /* where the caller is connected from, as the router says */
    struct rpc_dial d; /* borrows from `dial` */
    char rule[sizeof(((struct policy_decision *)NULL)->rule)];
    char sid[RECORD_HEX], caps[256], caps_back[STORE_CAPS_BACK], caps_accepted[256];
    uint64_t judged;              /* live_round() when policy was asked */
    uint64_t rule_until;          /* by policy alone; wall, 0: none, as the next ones */
    uint64_t live_until, ends_at; /* by its two machines too; by its accept too */
    char name[RPC_MAX_NAME +
              1]; /* by which the caller says that he found the ID; "" when by itself */
};

struct open *open_new(struct den_core *core, const struct rpc_inv *inv);
void open_free(struct open *open); /* forgets the call that is under way */
OWN_FREEP(open, struct open)

/* Refuses the dial and frees it. Once it was granted, that is undone at the router and recorded
 * as `state`, and the callee, who may still be asking somebody, is told. */
void open_fail(struct open *open, const char *state, const struct err *why);
/* It was closed by policy or an administrator: both ends hear `reason`, which den signs. */
void open_close(struct open *open, const struct err *why, struct view reason);

/* The stamp, and room; then, behind the signature by the recorded key, all that the dial says: PROCEDURES.md has the order. */
bool dial_take(struct open *open, const struct rpc_inv *inv, struct view bytes, struct view sig,
               struct view ice, struct err *err);
bool dial_check(struct open *open, struct err *err);
/* The accept, whose signature is the callee's, is for exactly this grant. */
bool accept_check(struct open *open, struct err *err);

/* The key must be that of a certificate that was issued to `id`, is in time and not revoked. */
bool open_check_spki(struct den_core *core, struct view spki, const char *id, struct err *err);
bool open_check_hash(struct view bytes, struct view hash, const char *what, struct err *err);

/* What the router answered to network.peer.get. */
bool open_is_online(const struct rpc_outcome *outcome);

/* For so long after a session was closed its ends may still tell of it. */
enum { CLOSE_LATE_MS = 60000 };
/* close.c: a session of which `id` is an end; one answer for one that is not there and for one of others. NOT_FOUND. */
bool close_find_session(struct den_core *core, struct view sid, const char *id,
                        struct store_session *ret_session, struct err *err);
/* A session's new state, with its audit entry and what an end reported (or NULL), durable; then it counts as that. */
bool open_record_state(struct den_core *core, struct view sid, const char *state,
                       const char *reason, const struct store_session *report,
                       const struct audit_pair *pairs, size_t n_pairs, struct err *err);
void open_remove_grant(struct den_core *core, struct view sid);
/* With `end`, den's signed word, they close a link that is up; NULL: it is not signed, and ends what is not up yet. */
struct signer_statement;
void open_tell(struct den_core *core, struct view sid, const char *a_id, const char *b_id,
               struct view reason, const struct signer_statement *end);

/* untold.c: told with den's signature, at the end of the loop's turn; later, where signer or router are away. */
void untold_keep(struct den_core *core, struct view sid, const char *a_id, const char *b_id,
                 struct view reason);

/* ---- permit.c ---------------------------------------------------------------------------------------- */

void permit_make(struct open *open); /* where the rule says so */
/* who.c: what is to be signed and told to the called side of the caller (RPC_W_WHO), into open->who; false: there is nothing. Then
 * [bytes, signature], or nil, is appended. */
bool who_write(struct open *open);
void who_put(const struct open *open, struct buf *to);
void permit_put(const struct open *open, struct buf *to); /* [P, signature] or nil */

/* ---- together.c: recorded and signed with others ---------------------------------------------------- */

void together_grant(struct open *open);  /* grant_recorded(), then grant_minted(); or it fails */
void together_accept(struct open *open); /* grant_accepted(); or it fails */
void together_leave(struct open *open);  /* wherever it is */

void grant_recorded(struct open *open);
void grant_minted(struct open *open, const uint8_t sig[SIG_SIZE]);
void grant_accepted(struct open *open);

/* ---- proof.c ---------------------------------------------------------------------------------------- */

/* Whether `a` signed the dial, or `b` the accept; then `then`, at once or later. */
void proof_ask(struct open *open, enum rpc_word word, proof_then *then);
/* False: a thread is at it, and frees it at its end. */
bool proof_leave(struct open *open);
