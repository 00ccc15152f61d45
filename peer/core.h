/* SPDX-License-Identifier: Apache-2.0 */
/* What the library's thread works on: one network, one identity, its sessions. Everything here is
 * touched by that thread alone, once it runs. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "ice/ice.h"
#include "ice/nat.h"
#include "peer/check.h"
#include "peer/hub.h"
#include "peer/lan.h"
#include "peer/loop.h"
#include "peer/permits.h"
#include "peer/seen.h"
#include "peer/state.h"
#include "pki/pki.h"
#include "rpc/rpc.h"

enum { CORE_MAX_INTERMEDIATES = 16, CORE_RECENT_REVOCATIONS = 128 };

/* A certificate with its key, as links use it. Sessions keep theirs when a newer one comes. */
struct cert {
    unsigned refs;
    struct pki_cert *leaf;
    struct pki_key *key;
    struct buf key_der; /* PKCS#8; wiped */
    struct buf chain[PKI_MAX_CHAIN];
    size_t n_chain;
    uint8_t spki[HASH_SIZE];
    uint64_t renew_at; /* network time: from two thirds of its life on, drawn from a tenth of it */
};

/* What the application may read at any time, under the hub's lock. */
struct snapshot {
    bool has_id, is_online;
    struct peer_identity identity;
    struct buf chain_pem, root_pem, manifest;
    struct peer_manifest_signature *signatures;
    size_t n_signatures;
};

enum step {
    STEP_TIME,
    STEP_CHAIN,
    STEP_CRL,
    STEP_REVOKED,
    STEP_RESTORED,
    STEP_CERT,
    STEP_REKEY,
    STEP_ADMISSION,
    STEP_ACKNOWLEDGE,
    STEP_SESSIONS,
    CORE_STEPS
}; /* what is fetched from den, in this order */

struct core {
    struct peer *peer;
    struct hub *hub;
    struct loop *loop;
    struct state *state;
    struct rpc_join join; /* hosts, network, pin; the token until we are admitted */
    struct key *key;      /* the identity */
    struct rpc_trust *trust;
    uint8_t instance[16];
    uint64_t epoch; /* restored.c: of the newest heartbeat */
    bool has_epoch, is_restoring, is_known_again;
    uint8_t restored_hash[HASH_SIZE];
    struct list untold; /* told.c: sessions that ended, and den has not taken that */
    size_t n_untold;
    bool has_asked_sessions;
    struct rpc_proxy proxy;
    bool allow_loopback, takes_calls;
    struct {
        char host[64];             /* an IP address; "": none is known */
        uint16_t port, other_port; /* other_port 0: it has none */
        struct ice_lookup *lookup; /* under way */
    } stun;
    struct nat {
        struct ice_nat_probe *probe[2]; /* IPv4, IPv6; NULL: not under way */
        struct ice_nat is[2];           /* as it was found last */
        bool has[2];                    /* whether it was */
        char other[64];  /* the router's address of the other family; "": none is known */
        char second[64]; /* a server that may have two addresses; "": none is known */
        uint16_t second_port;
        struct ice_lookup *lookup; /* its name's, under way */
        uint64_t found_at;         /* clock_mono_ms(); 0: never */
        bool measures;             /* how large a packet may be is asked too: for who examines */
    } nat;
    struct err offline;  /* why there is no connection to the router */
    uint64_t offline_at; /* clock_mono_ms() */
    struct permits permits;
    struct lan *lan;         /* NULL: no permit holds */
    struct examine *examine; /* NULL: nobody asked */
    struct beside *beside;   /* beside.c; NULL: no other program can ask */
    enum peer_path policy;   /* of calls that are taken, and of dials that say nothing */
    struct buf serves_bytes; /* what `serves` borrows from */
    struct rpc_items serves;
    struct snapshot snapshot;

    /* join.c */
    struct rpc_ws *ws;
    struct rpc_uplink *uplink;
    struct rpc_client *client; /* the uplink's */
    struct loop_timer *settle_timer;
    struct buf admission, admission_sig;
    uint8_t enrol_hash[HASH_SIZE]; /* of the E that went out last */
    bool has_enrolled;             /* in this connection */
    bool must_enrol;               /* the admission we carry was refused */
    bool has_rekey_file;           /* STATE_REKEY was there when we began */
    bool has_pending_rekey;        /* STATE_REKEY is there, with a key that den may not have yet */
    bool wants_rekey;              /* the application asked for it */
    struct trial *trial;           /* trial.c: the next key is tried; NULL: it is not */
    bool has_tried;                /* that came to nothing: others were told */
    uint64_t rekey_no;             /* how often our key was replaced, as den said */
    bool may_be_unsigned;          /* a token gave us this ID: it may have been another key's */
    size_t n_final;                /* routers in a row that refused us for good */
    bool is_joined;                /* `network` is on disk */
    bool is_waiting;               /* for approval */
    bool is_up, was_ready, has_failed, is_closing;
    bool has_registered, is_flush_queued;
    char id[TEXT_ID]; /* "" before */

    /* what is fetched from den */
    struct {
        bool is_pending;
        uint64_t failures, not_before; /* clock_mono_ms(): no try before */
    } steps[CORE_STEPS];
    bool has_answered; /* den or the router answered a call since the connection came up */

    /* trust.c */
    struct pki_trust *anchors;
    struct buf intermediates[CORE_MAX_INTERMEDIATES];
    size_t n_intermediates;
    bool suspects_manifest;     /* there is a newer one than ours */
    uint64_t suspected_at;      /* clock_mono_ms() */
    uint64_t chain_manifest_no; /* of the manifest that `intermediates` were fetched for */
    struct buf crl;
    uint64_t crl_no;
    bool has_crl;
    uint64_t anchors_manifest_no;
    uint64_t
        told_apart; /* how far the wall clock was from network time when that was said, mod 2^64 */
    uint8_t time_nonce[RPC_NONCE16]; /* den.time was asked with it, at: */
    uint64_t time_asked_at;
    bool has_asked_time; /* and had the answer, in this connection */
    struct err alarm;    /* den contradicted itself: no new links. Code NONE: it did not */

    /* revoked.c */
    struct rpc_revoked *revoked;
    struct buf revoked_unkept; /* records that the disk lacks */
    struct buf
        recent[CORE_RECENT_REVOCATIONS]; /* by number modulo their count: as links carry them */

    /* identity.c */
    struct cert *cert;        /* NULL: none yet */
    struct pki_key *next_key; /* in a request that is not answered */

    /* follow.c */
    uint64_t
        replace_at; /* clock_mono_ms(): our certificate is of an intermediate that is not in use */
    uint64_t acknowledged_no, acknowledging_no; /* manifests, as den was told */
    uint64_t acknowledged_at,
        stayed_at; /* wall: then, and when a process last stayed for it in vain */

    /* join.c: the router's certificate that did not hold by what we knew then */
    struct buf router_chain[PKI_MAX_CHAIN];
    size_t n_router_chain;
    char router_host[256]; /* that showed it */

    struct list plugs;   /* plug.c */
    struct spare *spare; /* spare.c; NULL: there was none yet */
    struct watch *watch; /* watch.c; NULL: the thread does not run */

    /* talk_core.c */
    struct list talks;       /* struct talk, by core_node */
    struct map *invocations; /* those of them, by number */
    struct list backlog;     /* struct errand: what the connection is too slow for */
    struct loop_timer *backlog_timer;

    /* session.c, listen.c */
    struct list sessions;
    struct seen seen; /* offers */
};

uint64_t core_now(const struct core *core); /* network time */

/* ---- watch.c ---- */
void watch_begin(struct core *core);
void watch_session(struct core *core); /* there is a new one */
void watch_end(struct core *core);

/* ---- spare.c ---- */
void spare_renew(struct core *core); /* what is known of the network is new */
/* An ICE agent with that role that has gathered, the taker's from now on; NULL: there is none. */
struct ice_agent *spare_take(struct core *core, bool is_controlling);
void spare_end(struct core *core);

/* ---- core.c ---- */

/* What peer_new() prepared; on failure the caller frees it. Takes everything it is given into itself. */
struct core *core_new(struct peer *peer, struct hub *hub, struct loop *loop);
void core_free(struct core *core); /* after the thread ended */
void core_begin(void *core);       /* on the thread */
void core_end(void *core);
void core_event(struct core *core, enum peer_event_type type);
void core_fail(struct core *core, const struct err *err); /* FAILED: nothing more will be tried */
void core_alarm(struct core *core);                       /* ALARM, with `alarm` */
/* Sends what was said to the router outside of its callbacks; `soon`: from anywhere. */
void core_flush(struct core *core);
void core_flush_soon(struct core *core);
/* Fetches what is missing; tells JOINED once nothing is. Harmless at any time. */
void core_settle(struct core *core);
void core_step_done(struct core *core, enum step step, const struct err *err /* NULL: it worked */);
bool core_is_ready(const struct core *core, struct err *err); /* whether links may be made now */
bool core_has_cert(const struct core *core);                  /* one that links take now */
void core_publish(struct core *core);                         /* the snapshot anew */

/* network.peer.on_clone: cloned.c */
void cloned_on_event(void *core, const struct rpc_event *event);

/* ---- join.c ---- */
bool join_begin(struct core *core, struct err *err);
void join_end(struct core *core);
/* The chain of the router, or of a relay, at `host`. */
bool join_judge_router(struct core *core, const char *host, const struct view *chain, size_t n,
                       struct err *err);
void join_tell_offline(struct core *core, const struct err *why, uint64_t pause_ms);
bool join_load(struct core *core, struct err *err); /* the admission from the state folder */

/* ---- stun.c ---- */
void stun_ask(struct core *core); /* the router, where its STUN server is */
void stun_forget(struct core *core);

/* ---- nat.c: what NAT this machine is behind ---- */
void nat_look(
    struct core *core); /* with the servers that are known; nothing while it is under way */
bool nat_is_looking(const struct core *core);
void nat_take_other(struct core *core, const char *address);
void nat_take_second(struct core *core, const char *host, uint16_t port);
void nat_measure(struct core *core); /* looks again from the beginning, at all there is */
void nat_forget(struct core *core);

/* ---- enrol.c: no I/O ---- */
struct enrol_context {
    struct view netid, beacon;
    const char *network, *host;
    const struct key *identity, *token; /* token may be NULL */
    struct view before, before_sig;     /* an admission that we had; may be empty */
};
/* Appends the extra {enrol: [E, sig, token_sig?], before: [A, sig]?}; the hash is what the admission must name. */
void enrol_put(const struct enrol_context *context, struct buf *ret_extra,
               uint8_t ret_hash[HASH_SIZE]);
/* The same as args of den.identity.admit; there is one before. */
void enrol_put_args(const struct enrol_context *context, struct buf *ret_args,
                    uint8_t ret_hash[HASH_SIZE]);
/* Whether an admission is ours: of this ID if we have one, and for this enrolment, or byte-equal to the one we carry. BAD_STATEMENT. */
struct enrol_wanted {
    const char *id;            /* "" : any */
    const uint8_t *enrol_hash; /* NULL: we did not enrol in this connection */
    struct view carried;       /* the admission that we carry; may be empty */
};
bool enrol_check(const struct enrol_wanted *wanted, struct view bytes,
                 const struct rpc_admission *a, struct err *err);
void enrol_host_text(char to[65]); /* this machine's name, for the operator's list */

/* ---- restored.c ---- */
bool restored_load(struct core *core, struct err *err);
void restored_look(struct core *core); /* a heartbeat came, and is not on disk yet */
bool restored_is_needed(const struct core *core);
void restored_ask(struct core *core);
bool restored_needs_cert(const struct core *core);
void restored_has_cert(struct core *core);

/* ---- trust.c ---- */
bool trust_load(struct core *core,
                struct err *err); /* the CRL from the state folder; builds the anchors */
bool trust_store(struct core *core, struct err *err);
void trust_moved(
    struct core *core); /* manifests or heartbeat moved: store, rebuild, tell the links */
void trust_on_heartbeat(void *core, const struct rpc_event *event);
bool trust_take_heart(struct core *core, struct view bytes, struct view sig, struct err *err);
void trust_on_fork(void *core, struct view bytes, struct view sig, const struct err *why);
/* Whether what links are judged by is as new as it must be: no alarm, network time confirmed, the newest heartbeat not over its
 * bound, its manifest there. DEN_AWAY, STALE, or what the alarm says. */
bool trust_is_fresh(const struct core *core, struct err *err);
bool trust_needs_time(const struct core *core);
void trust_fetch_time(struct core *core);
bool trust_needs_chain(const struct core *core);
bool trust_needs_crl(const struct core *core);
void trust_fetch_chain(struct core *core);
void trust_fetch_crl(struct core *core);

/* ---- follow.c: a new manifest ---- */
void follow_changed(struct core *core); /* the anchors are those of another one now */
void follow_on_manifest(void *core, const struct rpc_event *event); /* den.ca.on_manifest */
bool follow_is_replaced(
    const struct core *core);                   /* our certificate is of the intermediate in use */
bool follow_is_listed(const struct core *core); /* or at least of one that others take */
bool follow_must_replace(const struct core *core); /* it is not, and our turn has come */
void follow_got_cert(struct core *core);
bool follow_needs_admission(const struct core *core);
void follow_fetch_admission(struct core *core);
/* A signed request whose end ends the step. */
void follow_request(struct core *core, enum step step, const char *procedure, struct view body,
                    rpc_on_outcome *on_outcome);

/* ---- acknowledge.c ---- */

void acknowledge_load(struct core *core); /* what den was told before */
bool acknowledge_is_needed(const struct core *core);
void acknowledge_send(struct core *core);
void acknowledge_before_end(struct core *core); /* where it is owed, a second at most */

/* ---- revoked.c ---- */
bool revoked_load(struct core *core, struct err *err); /* from the state folder, after the trust */
void revoked_on_event(void *core, const struct rpc_event *event);
/* One that came by any way. BAD_SIGNATURE, BAD_STATEMENT (an alarm, when den contradicts itself), STALE: others are missing. */
bool revoked_take(struct core *core, struct view bytes, struct view sig, struct err *err);
bool revoked_is_behind(const struct core *core); /* the newest heartbeat knows of more */
void revoked_fetch(struct core *core);
/* REVOKED */
bool revoked_check_key(const struct core *core, const char *id, struct view pk, struct err *err);
bool revoked_check_self(struct core *core); /* false: FAILED was told */
bool revoked_check_leaf(const struct core *core, const struct pki_cert *leaf, struct err *err);

/* ---- identity.c ---- */
bool identity_load(struct core *core,
                   struct err *err); /* certificate and key from the state folder, if usable */
bool identity_needs_cert(const struct core *core);
void identity_request(struct core *core);
struct cert *cert_new(struct pki_key *key_taken, const struct view *chain, size_t n_chain,
                      struct err *err);
struct cert *cert_ref(struct cert *cert);
void cert_unref(struct cert *cert);
/* What new links use from now on. */
void identity_use(struct core *core, struct cert *cert_taken);
/* session.h has the rest of it. */
void reauth_offer_all(struct core *core);
void identity_describe(struct view pk, const char *id, const char *network,
                       const struct pki_cert *leaf, struct peer_identity *ret_identity);

/* Appends the args [body, R, signature] of a signed request. DEN_AWAY. */
bool identity_put_request(const struct core *core, const char *procedure, struct view body,
                          struct buf *args, struct err *err);

/* ---- names.c ---- */
enum name_verb { NAME_CLAIM, NAME_RELEASE, NAME_TRANSFER, NAME_LIST };
/* The outcome is an event. */
void names_start(struct core *core, enum name_verb verb, const char *name, const char *to);
/* N: by den, of this network, for `name`, in force. */
bool name_check(const struct core *core, struct view bytes, struct view sig, const char *name,
                struct rpc_name *ret_name, struct err *err);

/* The application is told when the name meant another ID the last time: known_names.c. */
void known_name(struct core *core, const char *name, const char *id);

/* ---- trial.c ---- */
/* A router says that our key was revoked: whether den takes the next one is found out. False: there is none. */
bool trial_begin(struct core *core);
void trial_end(struct core *core); /* not from inside its callbacks */

/* ---- rekey.c ---- */
/* A new identity key, signed by the old one; the outcome is an event. */
void rekey_start(struct core *core);
/* What an administrator ordered, and what was under way when this program ended. */
bool rekey_is_needed(const struct core *core);
void rekey_go_on(struct core *core);
/* den signed that it no longer takes the key that we have: the one that was under way is the one now. */
bool rekey_take_over(struct core *core);
/* The one that is under way; NULL: none. The caller frees it. */
struct key *rekey_next(const struct core *core);
/* den admitted that one. */
bool rekey_admitted(struct core *core, struct view admission, struct view sig, struct err *err);
/* It can never be ours. */
void rekey_drop(struct core *core);
/* What STATE_REKEY says: whether it is still to be done, or this machine's key is its key already. */
void rekey_load(struct core *core);
/* The key that we have is the one before: no connection is made with it any more. */
void rekey_stop(struct core *core);

/* ---- listen.c ---- */
void listen_register(struct core *core); /* peer.<id>.session.offer, peer.<id>.ice.update; once */
void listen_settle(struct core *core);   /* offers that waited for a list or a heartbeat */
void listen_on_interrupt(struct core *core,
                         uint64_t inv); /* an offer of which nobody waits for the answer */
void listen_on_down(
    struct core *core,
    const struct err *why); /* what rings was offered over the connection that is gone */
