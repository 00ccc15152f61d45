/* SPDX-License-Identifier: Apache-2.0 */
/* den without I/O but its store: procedures come in with the facts that the router proved about
 * their caller, answers go out through a port, at once or later. den.c puts it on the network;
 * tests put it on a virtual clock. */
#pragma once

#include "den/deed.h"
#include "den/policy.h"
#include "den/rate.h"
#include "den/signer.h"
#include "den/store.h"
#include "rpc/rpc.h"

struct den_core;
struct admin_place;
struct turn;

/* What changes with a manifest: borrowed. */
struct den_authority {
    /* DER of the intermediates that the newest manifest lists; none: the signer's alone */
    const struct buf *intermediates;
    size_t n_intermediates;
    struct view router_csr; /* as below */
};

/* The outside, as the core needs it. Its functions never call back into the core before they
 * return. */
struct den_port {
    uint64_t (*mono)(void *user); /* ms, never goes back */
    uint64_t (*wall)(void *user); /* ms since 1970: den's wall clock is the network's time */
    void (*yield)(void *user, uint64_t inv, bool is_progress, struct view args);
    void (*refuse)(void *user, uint64_t inv, const struct err *why);
    /* As rpc_client_call() and rpc_client_forget(). */
    uint64_t (*call)(void *user, const char *procedure, struct view args, uint64_t timeout,
                     bool wants_progress, rpc_on_outcome *on_outcome, void *outcome_user);
    void (*forget)(void *user, uint64_t call);
    void (*publish)(void *user, const char *topic, const struct rpc_publish_options *options,
                    struct view args);
    /* Keeps the trust (manifests and heartbeat) where a restored store cannot reach: to notice
     * a rollback. */
    bool (*save_trust)(void *user, struct view bytes, struct err *err);
    /* Keeps the number of the revocation list that is about to be signed where a restored store
     * cannot reach. */
    bool (*keep_crl)(void *user, const struct signer_anchor *anchor, struct err *err);
    /* The list itself, in the same way, though it need not survive the machine. NULL: not kept. */
    bool (*keep_list)(void *user, struct view der, struct err *err);
    /* Calls `work` in another thread, and when it has returned `done` in the core's; all of it is done before the core
     * is freed. NULL: there is only one thread. */
    void (*work)(void *user, void (*work)(void *work_user), void (*done)(void *work_user),
                 void *work_user);
    /* The router has that manifest, and all before it. May be NULL. */
    void (*router_has)(void *user, uint64_t manifest_no);
    /* The keys that `trust` asks for are used from now on, the signer's too; what was borrowed before is let go of when
     * this returns true. NULL: new manifests are not taken while den runs. */
    bool (*take_keys)(void *user, const struct rpc_trust *trust,
                      struct den_authority *ret_authority, struct err *err);
    void *user;
};

/* What a key that den does not know needs for an ID. */
enum den_enrolment {
    DEN_BY_TOKEN,
    DEN_BY_APPROVAL, /* somebody's word, or a token that was made with it */
    DEN_OPEN,        /* nothing: it gets a provisional one, of 9 digits, as a peer */
};

struct den_core_config { /* everything is borrowed and must outlive the core */
    const struct den_port *port;
    struct rpc_trust *trust; /* ready; the core moves its heartbeat */
    struct store *store;
    struct signer *signer;
    const struct buf *intermediates; /* as in struct den_authority */
    size_t n_intermediates;
    struct view router_csr; /* DER; empty: the router's certificate is not renewed from here */
    const struct admin_place *place; /* NULL: no join strings are made here */
    unsigned id_digits;              /* 6 to 9 */
    enum den_enrolment enrolment;
    uint64_t provisional_life; /* ms: given up when its key does not come back for so long */
    uint64_t names_per_id;     /* that a peer may claim by itself */
    uint64_t name_quarantine;  /* ms: a released name is nobody else's for so long */
    uint64_t leaf_life, router_life, admission_life; /* ms */
    uint64_t beat_every,
        bound;         /* ms: between ticks; how old an H may get before peers fail closed */
    uint64_t crl_life; /* reissued at half of it */
    struct signer_anchor crl_floor; /* as keep_crl() kept it last; zeros: never */
    struct view crl_kept;           /* as keep_list() kept it last; empty: never */
    bool accepts_rollback; /* somebody said so: an older state of the store is gone on from */
    struct deed accepted_by;
    bool accepts_no_list; /* and without the revocation list that was published last */
    /* ms: a request for a certificate waits so long for others at most, and a millisecond after the
     * newest: what is signed together is recorded together. 0: to the next tick. */
    uint64_t sign_together;
    uint64_t ocsp_life; /* how long an OCSP answer may be kept */
    uint64_t offer_timeout;
    uint64_t max_sessions_per_pair, max_sessions_per_id; /* that go on at once; 0: no limit */
    uint64_t lost_after;     /* ms: a session ends when both ends were offline for so long */
    const struct turn *turn; /* NULL: sessions get no TURN */
    char relay[1200];        /* grant_read_relays(); "": the router's own */
    struct bucket_rule rates[N_RATES];
};
void den_core_defaults(struct den_core_config *config); /* everything that has a default */

bool den_core_new(const struct den_core_config *config, struct den_core **ret_core,
                  struct err *err);
void den_core_free(struct den_core *core); /* open dials are dropped without an answer */
OWN_FREEP(den_core, struct den_core)

/* The policy from now on, read from the file `path`; policy_no rises when `text` is not what the store has. Takes
 * `policy_taken` in success and failure alike; on failure the old one stays. */
bool den_core_set_policy(struct den_core *core, struct policy *policy_taken, struct view text,
                         const char *path, struct err *err);
/* The newest that is kept, for a file that cannot be taken: *ret_is false where none is. `name`: the file's, for its rules. */
bool den_core_keep_policy(struct den_core *core, const char *name, bool *ret_is, struct err *err);
/* For the audit: the file `path`, read anew, has errors, and what was in force stays. `what`: "policy.refused", "config.refused". */
void den_core_note_refused(struct den_core *core, const char *what, const char *path,
                           const struct err *why);
/* A fresh CRL. Needs a policy. What den says is signed from the first den_core_up() on: what the router
 * kept shows then whether the store is as new as what was signed before. */
bool den_core_start(struct den_core *core, struct err *err);

const char *den_core_procedure(size_t i); /* the names to register, in order; NULL after the last */
/* An invocation of `procedure`; answered through the port, now or later. */
void den_core_handle(struct den_core *core, const char *procedure, const struct rpc_inv *inv);
/* Whoever made the invocation does not wait for its answer any more: it hung up, or is gone. */
void den_core_interrupt(struct den_core *core, uint64_t inv);

/* Lifetimes, limits, rates and the way of enrolment as `next` has them, from now on; all else in it is not looked at. A revocation list
 * lives as long as it says, and what was counted stays counted. */
void den_core_adjust(struct den_core *core, const struct den_core_config *next);
/* An act of the admin table, asked by an account of this machine, whom the caller lets in. Appends one value. */
bool den_core_admin(struct den_core *core, const char *procedure, unsigned long uid,
                    struct view body, struct buf *ret_value, struct err *err);
void den_core_up(struct den_core *core); /* the router is there: publish, ask how it is */
void den_core_down(struct den_core *core);
/* den is about to leave its router by itself: what was done since the newest heartbeat is in a last one, so that a database that
 * is put back is noticed by it. */
void den_core_leave(struct den_core *core);
/* The event network.peer.on_clone, which is the router's own. */
void den_core_on_clone(struct den_core *core, struct rpc_payload payload);
void den_core_trust_moved(struct den_core *core);        /* newer manifests came */
uint64_t den_core_deadline(const struct den_core *core); /* tick by then (mono) */
void den_core_tick(struct den_core *core);
/* The signer may have answered. */
void den_core_signer(struct den_core *core);
/* Whether the store has revocations that are new here (another process may put them there): they are
 * on a new list when this returns. False: there are more, look again soon. */
bool den_core_look(struct den_core *core);

/* ---- for software that knows nothing of Warren: what plain HTTP serves ----------------------- */

struct view den_core_crl(const struct den_core *core); /* DER; until the core is next called */
/* Appends an answer to an OCSP request, always: failures have their own answers. True: it is about
 * something that is known here. */
bool den_core_ocsp(struct den_core *core, struct view request, struct buf *to);

/* What is wrong with it, a line each, for whoever watches it; nothing: all is well. */
void den_core_health(struct den_core *core, struct buf *to);
/* The same, and what an operator should see to though den does its work. */
void den_core_warnings(struct den_core *core, struct buf *to);
/* den met its router in this life, and the store is as new as what was signed before: what is written down is written for good. */
bool den_core_is_at_work(const struct den_core *core);
/* Something after which den must not go on: the store is behind what den signed before. NULL:
 * all is well. */
const struct err *den_core_fatal(const struct den_core *core);
