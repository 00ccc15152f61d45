/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of den's core, shared by the files that each hold one of its verbs. Nobody else
 * includes it. */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "den/audit.h"
#include "den/core.h"
#include "den/fresh.h"
#include "den/revoked.h"

enum {
    CORE_MAX_OPENS = 1024, /* dials on their way, at once */
    CORE_MAX_OPENS_PER_ID = 8,
    CORE_MAX_ICE = 2048,
    CORE_MAX_FIRST = 6144, /* bytes of the packets with which a link begins */
    CORE_MAX_REASON = 100,
    CORE_MAX_ACCEPTED_DAYS = 400,
    CORE_CALL_TIMEOUT = 10000, /* ms: what the router answers by itself */
};

struct den_core {
    struct den_core_config c;
    struct fresh *fresh;
    struct policy *policy;
    uint64_t policy_no;
    struct err policy_refused; /* why its file is not in force; ERR_NONE: it is */
    struct buckets *rates[N_RATES];
    uint64_t left_out_at; /* mono: when to say what the log left out, at the next tick */
    uint64_t n_refused, n_admin_acts, n_issued, n_granted, n_not_granted; /* in this process */
    uint64_t age_at;      /* mono: when to look at the age of authorities */
    unsigned age_mark;    /* that was said */
    uint64_t n_unaudited; /* refusals since the last one that was audited */
    uint64_t n_denied,
        n_undenied; /* what the router refused, in this process; of it, since the last that was audited */
    struct err fatal; /* code ERR_NONE: none */

    struct list asked;         /* asked.c */
    size_t n_asked, n_looking; /* all of them; looks of another thread at some */
    struct issue *issue;       /* issue.c */
    struct buf crl;
    char crl_digits[PKI_KEY_DIGITS + 1]; /* of the key that signed it; "": not known */
    struct other_crl {                   /* the same list, by another intermediate that is listed */
        char digits[PKI_KEY_DIGITS + 1];
        struct buf der;
    } other_crls[RPC_MAX_ITEMS];
    size_t n_other_crls;
    uint8_t crl_hash[HASH_SIZE];
    struct signer_anchor crl_is;
    uint64_t crl_rev_no;       /* the newest revocation that it knows of */
    uint64_t crl_due_at;       /* mono */
    struct crl_making *making; /* crl.c */
    struct revoked *revoked;   /* what stands on it */
    struct ocsp *ocsp;         /* ocsp.c */
    uint64_t rev_no; /* revoke.c: the newest that was signed, and the hash of what says so */
    uint8_t rev_head[HASH_SIZE];
    uint64_t rev_published;
    bool is_handing_over, has_handed_over; /* to the router */
    uint64_t tick_at,
        beat_at;         /* mono: when a new beacon is due; when another try is (NEVER_MS: none) */
    struct err unbeaten; /* why the newest heartbeat could not be signed; ERR_NONE: it was */
    struct err unrecorded;  /* health.c: the same of the newest try to write something down */
    uint64_t try_record_at; /* mono: not before */
    struct err
        uncertified; /* why the newest certificate could not be signed, for now; ERR_NONE: it was */
    uint64_t uncertified_at; /* mono */
    bool is_up, is_leaving;
    bool has_met;     /* the router, in this process: den signs */
    uint64_t meet_at; /* mono: when it is tried again */
    /* The store is an older one, or from a backup: nothing is signed before the router was met. */
    bool is_behind;
    struct rollback *rollback; /* NULL: it has nothing under way */
    char rollback_cause[160];  /* what shows that the store is an older one */
    uint64_t epoch;            /* how often such a one was */

    uint64_t
        judge_at; /* mono: when all sessions are judged again; NEVER_MS: when something changes */
    uint64_t people_no; /* as judge_look() saw it last */

    struct list opens;                  /* struct open of open.h */
    struct list untold, untold_askings; /* untold.c: what waits; what the signer is asked */
    size_t n_untold, n_untold_askings;
    bool is_untold_due; /* there is something new in it */
    size_t n_opens;
    struct list proofs; /* struct open: proof.c */
    size_t n_proofs;
    struct together *together; /* together.c */
    struct lives *lives;       /* live.c */
    struct list ungrants;      /* struct ungrant of ungrant.c */
    size_t n_ungrants;

    struct list parked; /* struct parked of parked.c: what waits for a sign of life of the signer */
    size_t n_parked, parked_bytes;
    bool beat_waits, look_waits; /* for the same */
    bool beat_missed;            /* the signer is away */
    struct beating *beating;     /* heart.c */

    struct list askings; /* passing.c: the router is asked whether they are there */
    size_t n_askings;
    uint64_t passing_at, up_at; /* mono: the next look; wall: since when the router can be asked */

    uint64_t renew_at; /* mono: when to ask the router how long its certificate lives */
    bool is_renewing;
    uint64_t manifest_sent;             /* to the router, last */
    uint64_t router_says, router_noted; /* the newest that it has; as the store knows it */
    uint8_t router_pk[KEY_SIZE];        /* as it says */

    uint64_t refused_manifest,
        refused_until; /* that could not be taken, and is tried again then (mono); 0: none */
    bool is_resigning; /* what another key of den's has signed */
};

static inline uint64_t core_mono(const struct den_core *core)
{
    return core->c.port->mono(core->c.port->user);
}
static inline uint64_t core_wall(const struct den_core *core)
{
    return core->c.port->wall(core->c.port->user);
}
struct view core_sign_pk(const struct den_core *core);
void core_yield(struct den_core *core, uint64_t inv, struct view args);
/* Faults of den's own are logged whole and answered without their details. */
void core_refuse(struct den_core *core, uint64_t inv, const struct err *why);
/* The same, logged and audited as far as its caller may fill both. */
void core_refuse_inv(struct den_core *core, const char *procedure, const struct rpc_inv *inv,
                     const struct err *why);
/* Takes one of what `key` may have; false when none is left. */
bool core_take(struct den_core *core, enum rate rate, struct view key);
bool core_has(const struct den_core *core, enum rate rate, struct view key); /* whether it would */
void core_give(struct den_core *core, enum rate rate, struct view key);      /* back, unused */
/* Whether `id`, who asks from `source`, may look for one more that is not there; and there was one. */
bool core_may_miss(const struct den_core *core, struct view id, struct view source,
                   struct err *err);
void core_missed(struct den_core *core, struct view id, struct view source);
/* Who is asking, as a key of rates: the ID that the router proved, else the source. */
struct view core_caller(const struct rpc_inv *inv, uint8_t to[RATE_KEY]);
/* Writes a refusal of `caller` to the audit, if not too many were written lately. Never fails: a
 * refusal stands anyway. */
void core_audit_refusal(struct den_core *core, struct view caller, const char *what,
                        const struct audit_pair *pairs, size_t n_pairs);
/* Those that were too many for it, counted, and which nothing would tell any more: den stops. */
void core_audit_left_out(struct den_core *core);

/* rollback.c: what to do when the store was taken back to an older state. */
extern const char rollback_remedy[];

/* heart.c: what den knows of the network, to the disk. */
bool core_save_trust(struct den_core *core, struct err *err);

/* A procedure. True: answered, or will be; false: refuse with `err`. */
typedef bool core_handler(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                          struct err *err);

core_handler identity_admit, identity_refresh;                                /* identity.c */
core_handler rekey_replace, rekey_unsigned, rekey_count;                      /* rekey.c */
core_handler name_claim, name_release, name_transfer, name_list, name_lookup; /* names.c */
core_handler issue_chain, issue_crl;                                          /* issue.c */
core_handler grant_open, close_session;                                       /* grant.c, close.c */
/* close.c: whose session it is, does not matter. NOT_FOUND. */
struct deed;
bool close_by_admin(struct den_core *core, struct view sid, const struct deed *deed,
                    struct view reason, struct err *err);
/* policy_load.c. Takes `policy_taken` in any case. */
bool policy_load_take(struct den_core *core, struct policy *policy_taken, struct view text,
                      const struct deed *deed, struct err *err);
/* {text, trial?, replaces?} -> whether it is good, and in force now; what is wrong with it. */
struct admin_object;
bool policy_load_asked(struct den_core *core, struct view body, const struct deed *deed,
                       struct admin_object *to, struct err *err);
/* status.c: how den is, a member a fact. */
struct status_counts {
    uint64_t n_peers, n_waiting, n_ringing, n_sessions, n_tokens, audit_no, backup_at;
    uint8_t audit_head[HASH_SIZE];
};
bool status_count(struct den_core *core, struct status_counts *ret, struct err *err);
void status_put(struct den_core *core, struct admin_object *to);
core_handler time_now;    /* time.c */
core_handler path_told;   /* path.c */
core_handler mine_told;   /* mine.c */
core_handler turn_asked;  /* turn_asked.c */
core_handler denied_note; /* denied.c */

/* ---- request.c: [body, R, signature] ------------------------------------------------------- */

struct request {
    struct store_identity who;  /* from den's own record */
    struct view body;           /* walked: one msgpack map without duplicate keys */
    struct view statement, sig; /* R, for whoever has to see it too */
};
/* Size, rates (of all requests, then whether `rate` has one left), the caller's record, signature by the recorded key,
 * beacon and nonce, procedure, H(body): in this order, the cheap ones first. Of `rate` one is taken once the signature is known to be
 * right: what a router that lies stamps with somebody's ID costs that one no more than requests of the next seconds. */
bool request_open(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  const char *procedure, size_t max_body, enum rate rate /* N_RATES: no other */,
                  struct request *ret_request, struct err *err);
/* The same in steps, for who has the signature looked at elsewhere. Behind the first three it is: only what is signed may
 * take the nonce. */
bool request_read(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  size_t max_body, enum rate rate, struct request *ret_request, struct err *err);
bool request_match(struct den_core *core, const struct request *request, const char *procedure,
                   struct err *err);
bool request_check_body(const struct request *request, struct err *err);
/* Takes one of `rate`, after the signature: LIMIT. */
bool request_charge(struct den_core *core, const struct request *request, enum rate rate,
                    struct err *err);
bool request_take_nonce(struct den_core *core, const struct request *request, struct err *err);
/* The record of the caller whom the router stamped: NOT_AUTHORIZED, REVOKED. */
bool request_caller(struct den_core *core, const struct rpc_inv *inv,
                    struct store_identity *ret_who, struct err *err);
/* Begins a transaction in which the caller is what he was when he was read: *who is as it is now. REVOKED,
 * NOT_AUTHORIZED, EXPIRED; WRONG_KEY when he has another key since. The caller's `_transaction_` ends it. */
bool request_begin(struct den_core *core, struct store_identity *who, struct err *err);
/* Counts something signed by `id`, before its signature is looked at. LIMIT. */
bool request_take(struct den_core *core, struct view id, struct err *err);

/* ---- identity.c ------------------------------------------------------------------------------- */

/* Answers with an admission, or with why there is none; `enrol_hash` is empty where it was not asked for by an enrolment. */
void identity_answer(struct den_core *core, uint64_t inv, const struct store_identity *who,
                     struct view enrol_hash);
bool identity_is_key_of_network(const struct den_core *core, struct view pk);

/* ---- enrolment.c: keys that den does not know, or no longer takes -------------------------- */

struct enrolment {
    struct view bytes, sig, token_sig;
    struct view before, before_sig; /* an admission that its key had; empty: none */
    struct rpc_enrol e;
};

struct enrolment_wait {
    bool is;     /* not yet: somebody has to approve it */
    bool is_new; /* from now on */
    struct store_waiting who;
};

/* Gives the key of `in` an ID: a new one, or where its token says so a known one; or an ID that it
 * had before and that ended, once more. Inside a transaction; ret_who is not written where it waits.
 * BAD_TOKEN, NOT_AUTHORIZED, LIMIT. */
bool enrolment_take(struct den_core *core, const struct enrolment *in, struct view source,
                    const struct store_identity *before /* NULL: a new key */,
                    struct store_identity *ret_who, struct enrolment_wait *ret_wait,
                    struct err *err);
/* After the commit: what the log says is recorded. */
void enrolment_log_wait(const struct enrolment_wait *wait);
/* Of the IDs that are drawn now. */
unsigned core_id_digits(const struct den_core *core);
/* For a store that was taken back to an older state: the key of `in` is not known, but an admission that
 * den signed in the life that is over says whose it is, and it was not revoked. *ret_is false: nothing
 * was done. Inside a transaction. */
bool enrolment_take_back(struct den_core *core, const struct enrolment *in,
                         struct store_identity *ret_who, bool *ret_is, struct err *err);
/* How long it is admitted from `now` on, at most. */
uint64_t enrolment_admitted_until(const struct den_core *core, const struct store_identity *who,
                                  uint64_t now);
/* Revoked, removed, gone, over: REVOKED, NOT_AUTHORIZED, EXPIRED. */
bool enrolment_is_alive(const struct store_identity *who, uint64_t now, struct err *err);
/* When its time is over by itself; wall, NEVER_MS: it has none. */
static inline uint64_t enrolment_over_at(const struct store_identity *who)
{
    return who->expires_at ? who->expires_at : NEVER_MS;
}

/* ---- rekey.c --------------------------------------------------------------------------------- */

/* After an administrator replaced a key: the router hears at once that the one before is over. */
void rekey_end_old(struct den_core *core);
/* *ret_is: this is the key that the ID has by the signer's book, which a restored store has forgotten; now `who` has it again.
 * REVOKED and what enrolment_is_alive() says. Inside a transaction. */
bool rekey_take_back(struct den_core *core, struct view pk, struct store_identity *who,
                     bool *ret_is, struct err *err);
/* The ID of `token` gets the key of `in`, on an administrator's word. Inside a transaction; rekey_end_old() says it in the log after it. */
bool rekey_by_token(struct den_core *core, const struct enrolment *in,
                    const struct store_token *token, struct store_identity *ret_who,
                    struct err *err);
/* Appends a list of [K, signature, signature by the new key] of `who`, the newest 8 at
 * most, oldest first; by whom K is made says its field `by`. Nothing is appended when its key was never replaced. */
bool rekey_put(struct den_core *core, const struct store_identity *who, struct buf *to,
               struct err *err);

/* ---- passing.c: IDs that end when nobody comes back ------------------------------------------- */

void passing_up(struct den_core *core);
void passing_tick(struct den_core *core);
void passing_drop_all(struct den_core *core);

/* ---- parked.c: what has to ask the signer, and is begun when that answers ----------------------- */

enum parked_need {
    PARKED_NOTHING,
    PARKED_AT_ONCE, /* it is asked without waiting: refused while it is away */
    PARKED_NEEDS,   /* waited for; refused when it does not answer */
    PARKED_WANTS,   /* waited for; done without it when it does not answer */
};
enum parked_turn { PARKED_GO, PARKED_WAITS, PARKED_REFUSED };
/* Whether an invocation that may be made goes on now; PARKED_WAITS: core_go() is called for it. */
enum parked_turn parked_take(struct den_core *core, enum parked_need need, const char *procedure,
                             const struct rpc_inv *inv, struct err *err);
void parked_tick(struct den_core *core);
void untold_tick(struct den_core *core); /* untold.c: each turn */
uint64_t untold_deadline(const struct den_core *core);
void untold_free_all(struct den_core *core);
void parked_interrupt(struct den_core *core, uint64_t inv);
void parked_drop_all(struct den_core *core);
/* core.c: what was parked is done. */
void core_go(struct den_core *core, const char *procedure, const struct rpc_inv *inv);
/* For what is looked at again and again: false: not now; den_core_look() comes when the signer answers. */
bool core_may_ask(struct den_core *core);

/* ---- heart.c ------------------------------------------------------------------------------- */

struct beating *heart_beating_new(void);
void heart_beating_free(struct beating *beating);
bool heart_start(struct den_core *core, struct err *err); /* the first of this process */
void heart_tick(struct den_core *core);
void heart_signer(struct den_core *core); /* it may answer (again): what waited for that */
/* Something changed that every peer should know of at once: an extra heartbeat, under the same
 * beacon. */
void heart_extra(struct den_core *core);
uint64_t heart_deadline(const struct den_core *core);

/* ---- crl.c ----------------------------------------------------------------------------------- */

bool crl_start(struct den_core *core, struct err *err);
void crl_keep(struct den_core *core); /* outside of the store: the router was met */
/* All of it anew, with a number and a time above these. */
bool crl_restart(struct den_core *core, const struct signer_anchor *floor, struct err *err);
bool crl_tick(struct den_core *core);           /* whether there is a new one */
bool crl_is_ready(const struct den_core *core); /* crl_tick() has one to tell of */
/* The certificate of a listed intermediate with these digits; pki_cert_free(). */
bool crl_find_listed(const struct den_core *core, struct view digits, struct pki_cert **ret_cert);
/* The list as the intermediate with these digits signed it; borrowed until the core is next called. */
bool crl_of(const struct den_core *core, struct view digits, struct view *ret_der);
void crl_deinit(struct den_core *core);
struct crl_making *crl_making_new(void);
void crl_making_free(struct crl_making *making);

/* ---- revoke.c -------------------------------------------------------------------------------- */

bool revoke_start(struct den_core *core, struct err *err); /* reads what was signed */
bool revoke_sign(struct den_core *core, struct err *err);  /* what is not signed yet */
void revoke_up(struct den_core *core);                     /* the router gets what it lacks */
void revoke_again(struct den_core *core); /* what the router could not be given before */
bool revoke_look(struct den_core *core, struct err *err); /* what came to the store */
core_handler revoke_list;
core_handler revoke_asked; /* revoke_asked.c */

/* ---- rollback.c: a store that was taken back to an older state -------------------------------- */

/* Nothing outside of the store is ahead of it, or that was accepted: STALE. */
bool rollback_look(struct den_core *core, struct err *err);
/* The router is there. When the store is as new as what den signed before, or was brought past it, then
 * core_go_on(). */
void rollback_meet(struct den_core *core);
void rollback_tick(struct den_core *core);
void rollback_down(struct den_core *core); /* the router is gone */
void core_go_on(struct den_core *core);    /* core.c */

/* ---- ocsp.c ---------------------------------------------------------------------------------- */

void ocsp_renew(struct den_core *core); /* the intermediate is another one now */
struct ocsp *ocsp_new(void);
void ocsp_free(struct ocsp *ocsp);

/* ---- asked.c, issue.c (asked.h): requests for certificates ------------------------------------ */

core_handler asked_sign;
void asked_down(struct den_core *core); /* who asked is gone */
void asked_drop_all(struct den_core *core);

struct issue *issue_new(void);
void issue_free(struct issue *issue);
void issue_tick(struct den_core *core); /* whatever can go on does */
uint64_t issue_deadline(const struct den_core *core);

/* ---- open.c, ungrant.c, renew.c -------------------------------------------------------------- */

void open_drop_all(struct den_core *core);
/* The dial of that invocation, if there is one, is over; who is being asked is told. */
void open_interrupt(struct den_core *core, uint64_t inv);
void open_down(struct den_core *core); /* those that wait for nothing of the router */
/* Why a dial ends without an answer when den has no router any more, or is stopped itself. */
void open_cut(const struct den_core *core, struct err *ret_why);
void ungrant_again(struct den_core *core); /* what the router was not there to hear */
void ungrant_drop_all(struct den_core *core);
void renew_tick(struct den_core *core);
void renew_now(struct den_core *core); /* there is a new manifest: the router gets it */

/* ---- adopt.c, resign.c: rollovers ------------------------------------------------------------ */

bool roll_look(struct den_core *core, struct err *err); /* a manifest that came to the store */
void roll_tell(struct den_core *core);                  /* everybody who is connected */
core_handler roll_acknowledge;
/* A good many at a time; *ret_is_all: nothing is left that another key of den's has signed. */
bool resign_more(struct den_core *core, bool *ret_is_all, struct err *err);

/* ---- live.c: sessions that go on ------------------------------------------------------------- */

struct lives *lives_new(struct den_core *core);
void lives_free(struct lives *lives);
void proof_tick(struct den_core *core);
uint64_t proof_deadline(const struct den_core *core);
struct together *together_new(void);
void together_free(struct together *together);
void together_tick(struct den_core *core);
uint64_t together_deadline(const struct den_core *core);
bool live_start(struct den_core *core, struct err *err); /* what the store has open */
/* Decided in round `judged` (live_round()): when that is over, policy is asked again. The time at which it ends counts from then on. */
void live_add(struct den_core *core, const struct store_session *session, uint64_t judged);
void live_moved(struct den_core *core, struct view sid, const char *state);
/* What was accepted of what was asked for: policy is asked about no more than that. */
void live_narrow(struct den_core *core, struct view sid, const char caps[256]);
/* It ends then (wall; 0: whenever), or earlier when that was said before. */
void live_bound(struct den_core *core, struct view sid, uint64_t ends_at);
/* The reason of what was ended because both its ends were away. */
extern const char live_lost[];
void live_doom(struct den_core *core, struct view sid); /* over, though the store has it open */
bool live_has_room(const struct den_core *core, const char *a_id, const char *b_id,
                   struct err *err); /* LIMIT */
void live_tick(struct den_core *core);
uint64_t live_deadline(const struct den_core *core);
void live_down(struct den_core *core);
/* All of them are to be judged by policy again; live_next() gives one after the other. */
struct live_facts {
    uint8_t sid[RPC_SID];
    char a_id[STORE_ID], b_id[STORE_ID], caps[256];
    const char *caps_back; /* borrowed until it ends */
    uint64_t opened_at;
    bool is_accepted; /* else it rings */
};
void live_judge_all(struct den_core *core);
uint64_t live_round(const struct den_core *core); /* rises with each live_judge_all() */
bool live_next(struct den_core *core, struct live_facts *ret_facts);
bool live_is_judged(const struct den_core *core);
/* Recorded, with the rule that says so ("": none does); the router forgets the grant, and both ends close. */
bool live_end(struct den_core *core, struct view sid, const char *reason, const char *rule,
              struct err *err);

/* ---- judge.c: sessions that policy does not allow any more end ------------------------------- */

void judge_all(struct den_core *core);  /* something changed that decides */
void judge_look(struct den_core *core); /* whether another process changed it */
void judge_tick(struct den_core *core);
uint64_t judge_deadline(const struct den_core *core);
