/* SPDX-License-Identifier: Apache-2.0 */
/* What den remembers, as verbs. SQLite in WAL mode today, synchronous=FULL: when store_commit() returned true it
 * survives a power cut. Everything that changes something runs inside one transaction, together with its audit record;
 * a transaction that was not committed left nothing. Two processes may use one store (den and `warren-den token new`). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

struct store;

enum {
    STORE_ID = 16,
    STORE_ROLE = 16,
    STORE_GROUPS = 256, /* names joined by ',' */
    STORE_HOST = 65,
    STORE_LABEL = 65,
    STORE_CODE = 15, /* "7k3f-9qzt-m2xa" */
    STORE_NAME = 129,
};

bool store_create(const char *path, struct err *err); /* a new file, mode 0600: ALREADY_EXISTS */
bool store_open(const char *path, struct store **ret_store,
                struct err *err); /* checks mode and schema version */
/* The same to read alone, also on a folder or of a file that cannot be written: a copy. SYSTEM where that copy is not whole. */
bool store_open_to_read(const char *path, struct store **ret_store, struct err *err);
void store_free(struct store *store); /* closes it; NULL is fine */
OWN_FREEP(store, struct store)

/* Takes the write lock now (BEGIN IMMEDIATE). Refused for good, SYSTEM, once the disk has not kept what
 * was written to it: what it still has is not known then, and a later success would hide that. */
bool store_begin(struct store *store, struct err *err);
/* Whoever had it before may have ended because the disk failed: what it left in the log is put on the disk (again), so that
 * what follows does not stand behind a hole. store_begin() does that by itself in a process that finds the store as a killed one left
 * it. SYSTEM: it could not; nothing was begun. */
bool store_settle(struct store *store, struct err *err);
/* NULL: all is well; else why no transaction begins any more. */
const struct err *store_sickness(const struct store *s);
bool store_commit(struct store *store, struct err *err);
void store_rollback(struct store *store); /* harmless outside a transaction */
/* What is read until store_look_end(), or until store_begin(), is read from one moment's state, which costs less than
 * looking for the newest each time. For less than a turn of the loop: other processes change things, too. False: it was so
 * already, or a transaction is under way; it is ended by whoever began it. */
bool store_look(struct store *store);
void store_look_end(struct store *store);
/* From now on the first look-up begins one by itself, for whoever calls store_look_end() in every turn of its loop; or no
 * longer. */
void store_look_by_turns(struct store *store, bool does);

/* Outcomes of look-ups: false from the function is an error of the store itself. */
enum store_found { STORE_NONE, STORE_FOUND };

/* ---- identities --------------------------------------------------------------------------- */

enum store_kind { STORE_COMMITTED, STORE_PROVISIONAL, STORE_EPHEMERAL };
enum store_ended { STORE_LIVES, STORE_VANISHED /* an ephemeral one */, STORE_REMOVED };

struct store_identity {
    char id[STORE_ID];
    uint8_t pk[KEY_SIZE];
    char role[STORE_ROLE]; /* "peer", "admin" */
    uint64_t adm_no;       /* of the newest admission */
    uint64_t created_at;
    bool is_revoked;
    enum store_kind kind;
    enum store_ended ended;
    char groups[STORE_GROUPS], host[STORE_HOST];
    uint64_t expires_at;   /* 0: never */
    uint64_t vanish_after; /* ephemeral: ms after it was last seen */
    uint64_t seen_at;
    uint64_t rekey_no; /* how often its key was replaced */
};
bool store_identity_by_key(struct store *s, struct view pk, enum store_found *ret,
                           struct store_identity *ret_i, struct err *err);
bool store_identity_by_id(struct store *s, struct view id, enum store_found *ret,
                          struct store_identity *ret_i, struct err *err);
bool store_identity_add(struct store *s, const struct store_identity *i,
                        struct err *err); /* ALREADY_EXISTS */
bool store_identity_set_adm_no(struct store *s, const char *id, uint64_t adm_no, struct err *err);
/* Its kind, end, role, groups, host and times as `i` has them now; not its key and numbers. */
bool store_identity_set(struct store *s, const struct store_identity *i, struct err *err);
/* Its next key, with the number `rekey_no` that follows the one before. An ID that is revoked stays it. */
bool store_identity_set_key(struct store *s, const char *id, struct view pk, uint64_t rekey_no,
                            struct err *err);
/* Under a key that an administrator gave it: the one before stays revoked. */
bool store_identity_unrevoke(struct store *s, const char *id, struct err *err);
/* It has taken that manifest; a lower number than before changes only the time. */
bool store_identity_acknowledge(struct store *s, const char *id, uint64_t manifest_no, uint64_t at,
                                struct err *err);
/* How far the identities that live at `now` are with a manifest. */
struct store_progress {
    uint64_t n, n_acknowledged;
    uint64_t n_seen; /* that have not, and were seen at `since` or later */
    uint64_t
        longest_since; /* that have not: when the longest silent one was seen last; 0: all have */
};
bool store_identity_progress(struct store *s, uint64_t manifest_no, uint64_t since, uint64_t now,
                             struct store_progress *ret_p, struct err *err);
/* Walks those that have not, the one that was seen last first; `each` returns false to stop, and changes
 * nothing here. */
struct store_behind {
    char id[STORE_ID], host[STORE_HOST];
    uint64_t manifest_no; /* the newest that it acknowledged; 0: none */
    uint64_t seen_at;
};
bool store_identity_each_behind(struct store *s, uint64_t manifest_no, uint64_t now,
                                bool (*each)(void *user, const struct store_behind *b), void *user,
                                struct err *err);
bool store_identity_drop(struct store *s, const char *id, struct err *err); /* a provisional one */
/* Its key, for ever; *ret_is_its_key false, and nothing changed, when that is not the key it has now. */
bool store_identity_revoke(struct store *s, const char *id, struct view pk, uint64_t at,
                           bool *ret_is_its_key, struct err *err);
/* How many IDs of that many digits are taken, also by those that ended; 0: of any length. */
bool store_identity_count(struct store *s, unsigned n_digits, uint64_t *ret_n, struct err *err);
/* Walks all, by ID; or those that may pass: provisional and ephemeral ones that did not end and are not revoked. `each`
 * returns false to stop, and changes nothing here. */
typedef bool store_on_identity(void *user, const struct store_identity *i);
bool store_identity_each(struct store *s, bool only_passing, store_on_identity *each, void *user,
                         struct err *err);
/* Those whose ID, as text, comes after this one. As are the other walks that begin somewhere: for pages. */
bool store_identity_after(struct store *s, const char *id, store_on_identity *each, void *user,
                          struct err *err);

/* ---- tokens: only their public keys ---------------------------------------------------------- */

struct store_token {
    uint8_t pk[KEY_SIZE];
    char role[STORE_ROLE], groups[STORE_GROUPS], label[STORE_LABEL];
    uint64_t uses; /* 0: any number */
    uint64_t uses_left, n_used;
    uint64_t created_at, expires_at; /* expires_at 0: never */
    bool needs_approval;             /* who comes with it waits for it, in every network */
    uint64_t device_life;            /* ms from its enrolment, 0: for ever */
    uint64_t vanish_after;           /* ms after it disconnected, 0: it stays */
    char for_id[STORE_ID];           /* gives this ID a new key; "": none */
    char by[32];                     /* who made it */
    uint64_t revoked_at;             /* 0: not */
};
bool store_token_add(struct store *s, const struct store_token *t, struct err *err);
bool store_token_find(struct store *s, struct view pk, enum store_found *ret,
                      struct store_token *ret_t, struct err *err);
/* One use less, unless that identity used it before: one key counts once. BAD_TOKEN when none is left. */
bool store_token_use(struct store *s, struct view token_pk, struct view identity_pk, uint64_t at,
                     struct err *err);
/* One that gives this ID a new key, was not revoked and has a use left. */
bool store_token_open_for(struct store *s, const char *id, enum store_found *ret,
                          struct store_token *ret_t, struct err *err);
bool store_token_revoke(struct store *s, struct view pk, uint64_t at, struct err *err);
/* Newest first; `each` returns false to stop, and changes nothing here. */
typedef bool store_on_token(void *user, const struct store_token *t);
bool store_token_each(struct store *s, store_on_token *each, void *user, struct err *err);
bool store_token_before(struct store *s, uint64_t created_at, struct view pk, store_on_token *each,
                        void *user, struct err *err);

/* ---- machines that wait for approval --------------------------------------------------------- */

enum store_answer { STORE_WAITS, STORE_APPROVED, STORE_DENIED };
struct store_waiting {
    uint8_t pk[KEY_SIZE];
    char code[STORE_CODE], host[STORE_HOST], source[STORE_HOST];
    uint8_t network[16]; /* of the source: whose quota it takes from */
    size_t network_len;
    uint8_t token_pk[KEY_SIZE];
    bool has_token;
    uint64_t first_at, last_at;
    enum store_answer answer;
    char role[STORE_ROLE], groups[STORE_GROUPS]; /* that it gets when approved */
};
bool store_waiting_find(struct store *s, struct view pk, enum store_found *ret,
                        struct store_waiting *ret_w, struct err *err);
bool store_waiting_put(struct store *s, const struct store_waiting *w,
                       struct err *err); /* new, or as it is now */
bool store_waiting_drop(struct store *s, struct view pk, struct err *err);
bool store_waiting_drop_old(struct store *s, uint64_t before, struct err *err); /* last asked */
/* Who came with that token; who was turned away stays so. */
bool store_waiting_drop_token(struct store *s, struct view token_pk, int *ret_n, struct err *err);
bool store_waiting_count(struct store *s, struct view network /* empty: of all */, uint64_t *ret_n,
                         struct err *err);
/* Oldest first; `each` returns false to stop, and changes nothing here. */
typedef bool store_on_waiting(void *user, const struct store_waiting *w);
bool store_waiting_each(struct store *s, store_on_waiting *each, void *user, struct err *err);
bool store_waiting_after(struct store *s, uint64_t first_at, struct view pk, store_on_waiting *each,
                         void *user, struct err *err);

/* ---- names ------------------------------------------------------------------------------------ */

struct store_name {
    char name[STORE_NAME], skeleton[STORE_NAME], id[STORE_ID];
    uint64_t name_no; /* rises with every change */
    bool is_assigned; /* by an administrator */
    uint64_t claimed_at, released_at;
};
bool store_name_find(struct store *s, struct view name, enum store_found *ret,
                     struct store_name *ret_n, struct err *err);
/* The one that looks like it. */
bool store_name_by_skeleton(struct store *s, struct view skeleton, enum store_found *ret,
                            struct store_name *ret_n, struct err *err);
bool store_name_add(struct store *s, const struct store_name *n, struct err *err);
/* All of it but its name and skeleton; n->name_no is the next number. */
bool store_name_set(struct store *s, const struct store_name *n, struct err *err);
/* Those of `id`, and those that it released at `since` or later. */
bool store_name_count(struct store *s, const char *id, uint64_t since, uint64_t *ret_n,
                      struct err *err);
/* By name; of `id` alone, or of all (NULL). */
typedef bool store_on_name(void *user, const struct store_name *n);
bool store_name_each(struct store *s, const char *id, store_on_name *each, void *user,
                     struct err *err);
bool store_name_after(struct store *s, const char *name, store_on_name *each, void *user,
                      struct err *err);

/* ---- new keys of known IDs --------------------------------------------------------------------- */

struct store_rekey {
    char id[STORE_ID];
    uint64_t rekey_no;
    uint8_t old_pk[KEY_SIZE], new_pk[KEY_SIZE], sig[SIG_SIZE], new_sig[SIG_SIZE];
    bool has_new_sig;
    struct buf statement; /* owned by the caller: buf_free() */
};
bool store_rekey_add(struct store *s, const struct store_rekey *k, struct err *err);
bool store_rekey_sign(struct store *s, const char *id, uint64_t rekey_no, struct view new_sig,
                      struct err *err);
/* Another signature of den's under the same statement. */
bool store_rekey_resign(struct store *s, const char *id, uint64_t rekey_no, struct view sig,
                        struct err *err);
/* Number `i` of all, from 0 on. */
bool store_rekey_at(struct store *s, uint64_t i, enum store_found *ret, struct store_rekey *ret_k,
                    struct err *err);
/* Whether that key was replaced, and by what. */
bool store_rekey_by_old(struct store *s, struct view old_pk, enum store_found *ret,
                        struct store_rekey *ret_k, struct err *err);
bool store_rekey_find(struct store *s, const char *id, uint64_t rekey_no, enum store_found *ret,
                      struct store_rekey *ret_k, struct err *err);

/* ---- certificates ---------------------------------------------------------------------------- */

struct store_certificate {
    struct buf serial,
        der; /* der empty: reserved, never signed. Owned by the caller: store_certificate_deinit() */
    uint64_t no; /* in the order of reservation */
    char id[STORE_ID];
    uint8_t spki[HASH_SIZE];
    uint64_t reserved_at, not_before, not_after;
    bool is_revoked;
    uint64_t revoked_at; /* if it is */
    uint8_t reason;
};
void store_certificate_deinit(struct store_certificate *c);
bool store_serial_reserve(struct store *s, struct view serial, const char *id, struct view spki,
                          uint64_t at, struct err *err);
/* REVOKED: its serial was, meanwhile. NOT_FOUND. */
bool store_certificate_put(struct store *s, struct view serial, struct view der,
                           uint64_t not_before, uint64_t not_after, struct err *err);
/* The newest one of that key; whoever it was issued to. */
bool store_certificate_by_spki(struct store *s, struct view spki, enum store_found *ret,
                               struct store_certificate *ret_c, struct err *err);

bool store_certificate_by_serial(struct store *s, struct view serial, enum store_found *ret,
                                 struct store_certificate *ret_c, struct err *err);
/* Walks those of an ID, or all (NULL), in the order of reservation; `each` returns false to stop. */
typedef bool store_on_certificate(void *user, const struct store_certificate *c);
bool store_certificate_each(struct store *s, const char *id, store_on_certificate *each, void *user,
                            struct err *err);
bool store_certificate_after(struct store *s, const char *id, uint64_t no,
                             store_on_certificate *each, void *user, struct err *err);

/* ---- revocations: only ever added --------------------------------------------------------------- */

/* As in the statement about it. */
enum store_revoke {
    STORE_REVOKE_SERIAL = 1, /* subject: the serial's content octets */
    STORE_REVOKE_TLS_KEY,    /* subject: the hash of its SPKI */
    STORE_REVOKE_IDENTITY, /* subject: the identity key; if the ID has it still, all its certificates */
    STORE_REVOKE_ADMISSIONS, /* subject: below this number, 8 octets; no certificate */
};
struct store_revocation {
    uint64_t no; /* 1, 2, 3 ... */
    enum store_revoke kind;
    char id[STORE_ID]; /* whose it is */
    uint8_t subject[32];
    size_t subject_len;
    uint8_t reason; /* RFC 5280, 5.3.1 */
    uint64_t at;
    struct view statement, sig; /* empty until signed; borrowed while it is being walked */
};
/* Notes it and marks the certificates that come under it. A second time changes nothing: *ret_no is then the
 * first one's number, and *ret_is_new false. */
bool store_revocation_add(struct store *s, const struct store_revocation *r, uint64_t *ret_no,
                          bool *ret_is_new, struct err *err);
bool store_revocation_last(struct store *s, uint64_t *ret_no, struct err *err); /* 0: none */
bool store_revocation_each(struct store *s, uint64_t from,
                           bool (*each)(void *user, const struct store_revocation *r), void *user,
                           struct err *err);
/* Whether that key, or that admission of `id`, is revoked. */
bool store_admission_is_revoked(struct store *s, struct view id, struct view pk, uint64_t adm_no,
                                bool *ret_is, struct err *err);
/* The statement that says it, once. NOT_FOUND when there is one already. */
bool store_revocation_sign(struct store *s, uint64_t no, struct view statement, struct view sig,
                           struct err *err);
/* Another signature of den's under the same statement: NOT_FOUND when there is none yet. */
bool store_revocation_resign(struct store *s, uint64_t no, struct view sig, struct err *err);
/* By serial, as above: NOT_FOUND. */
bool store_certificate_revoke(struct store *s, struct view serial, uint64_t at, uint8_t reason,
                              struct err *err);
/* Itself, or a certificate for it. */
bool store_key_is_revoked(struct store *s, struct view spki, bool *ret_is, struct err *err);

struct store_revoked {
    uint8_t serial[20];
    size_t serial_len;
    uint64_t at, not_after;
    uint8_t reason;
    uint64_t by; /* the revocation's number */
};
/* Walks revoked certificates that end at `not_after` or later, those of revocations above `after`, in their
 * order; `each` returns false to stop. */
bool store_revoked_each(struct store *s, uint64_t after, uint64_t not_after,
                        bool (*each)(void *user, const struct store_revoked *r), void *user,
                        struct err *err);

/* ---- sessions -------------------------------------------------------------------------------- */

enum { STORE_CAPS_BACK = 1040 }; /* 16 of 64 bytes, each with ',' or its end */
struct store_session {
    uint8_t sid[16];
    char a_id[STORE_ID], b_id[STORE_ID];
    char caps[256]; /* joined by ',' */
    char state[16]; /* offered, accepted, declined, failed, closed */
    char reason[128];
    uint64_t opened_at, closed_at;
    char path[64]; /* as the end that closed it says: "direct [::1]:4000 host"; "": it did not */
    uint64_t a_sent, b_sent;         /* bytes, likewise */
    uint64_t ends_at;                /* at the latest, from its accept on; 0: whenever */
    char caps_back[STORE_CAPS_BACK]; /* what the called side may open back, joined by ',' */
    char caps_accepted[256];         /* of `caps`, by the called side; "": not (yet) */
};
/* It rings or is up: `closed_at` is 0. The others are over. */
bool store_is_open_state(const char *state);
/* What may be done in it, as far as is known. */
static inline const char *store_session_caps(const struct store_session *x)
{
    return *x->caps_accepted ? x->caps_accepted : x->caps;
}
bool store_session_add(struct store *s, const struct store_session *x,
                       struct err *err); /* ALREADY_EXISTS: sid seen */
bool store_session_find(struct store *s, struct view sid, enum store_found *ret,
                        struct store_session *ret_x, struct err *err);
bool store_session_set_state(struct store *s, struct view sid, const char *state,
                             const char *reason, uint64_t at, struct err *err);
/* Its path, bytes, latest end and what was accepted as `x` has them. */
bool store_session_report(struct store *s, const struct store_session *x, struct err *err);
/* Walks those that are offered or accepted; `each` returns false to stop, and changes nothing here. */
bool store_session_each_open(struct store *s,
                             bool (*each)(void *user, const struct store_session *x), void *user,
                             struct err *err);

/* All, present and past, the newest first, from the one before number `no` on. */
bool store_session_before(struct store *s, uint64_t no,
                          bool (*each)(void *user, uint64_t no, const struct store_session *x),
                          void *user, struct err *err);

/* ---- numbers that never fall ------------------------------------------------------------------- */

bool store_number_get(struct store *s, const char *name, uint64_t *ret_n,
                      struct err *err); /* 0 when never set */
bool store_number_raise(struct store *s, const char *name, uint64_t to,
                        struct err *err); /* INTERNAL when it would fall */

/* Which groups an identity was in when the audit was sealed up to there. */
bool store_sealed_groups_set(struct store *s, const char *id, const char *groups, struct err *err);
bool store_sealed_groups_each(struct store *s,
                              void (*each)(void *user, const char *id, const char *groups),
                              void *user, struct err *err);

/* Bytes kept under a name: policies, the newest CRL. */
bool store_blob_get(struct store *s, const char *name, enum store_found *ret, struct buf *ret_bytes,
                    struct err *err);
bool store_blob_set(struct store *s, const char *name, struct view bytes, struct err *err);

bool store_blob_drop(struct store *s, const char *name, struct err *err); /* or it was not there */

/* The newest audit entry that was committed, as it stands beside the store in a file of its own
 * (store_anchor.c): what it says and the store does not shows an older state of the store. STORE_NONE
 * where there is no such file yet. */
struct store_anchor {
    uint64_t no;
    uint8_t head[HASH_SIZE];
};
bool store_anchor(struct store *s, enum store_found *ret, struct store_anchor *ret_a,
                  struct err *err);
/* The same beside a store that need not be there or whole any more. */
bool store_anchor_at(const char *path, enum store_found *ret, struct store_anchor *ret_a,
                     struct err *err);

/* ---- an older state that was accepted (store_past.c) ------------------------------------------ */

/* What den numbered in the life that is over is not numbered again: each accepted rollback begins an
 * epoch, and every number of an epoch is above all of those before. */
enum { STORE_EPOCH_HEARTBEAT = 40, STORE_EPOCH_OF_ID = 32 /* admissions and names; bits */ };

/* Admissions and names count on from the beginning of `epoch`; every token ends: whether it was spent
 * or revoked meanwhile is not known here. */
bool store_begin_epoch(struct store *s, uint64_t epoch, uint64_t at, struct err *err);
/* A revoked certificate that nothing else here tells of: r->at, reason and by. */
struct store_revoked;
bool store_serial_is_lost(struct store *s, struct view serial, const struct store_revoked *r,
                          bool *ret_is_new, struct err *err);
/* Signed revocations that the store does not know any more, the next first, each with its statement and
 * signature. What was revoked here meanwhile and is not signed yet comes behind them. Identities
 * and certificates that only these tell of are known as revoked afterwards; one whose newest admission
 * here was revoked had another key since, or was removed: it is not admitted until its admission, or
 * an administrator, says what it is. */
bool store_revocations_replay(struct store *s, const struct store_revocation *list, size_t n,
                              struct err *err);

/* ---- copies (store_backup.c) ------------------------------------------------------------------ */

typedef void store_on_progress(void *user, uint64_t n_done, uint64_t n_all);
/* One state of the store as a new file, mode 0600, while others go on writing. */
bool store_copy(struct store *s, const char *path, store_on_progress *on_progress /* or NULL */,
                void *user, struct err *err);
bool store_check(struct store *s, struct err *err); /* whole in itself: SYSTEM */
bool store_log(struct store *s, struct err *err);   /* a copy becomes a store to write to */

/* ---- audit: rows are only added, and go once they are sealed; the chain is audit.h's --------------- */

struct store_audit {
    uint64_t no, at;
    struct buf bytes; /* canonical; owned by the caller: buf_free() */
    uint8_t head[HASH_SIZE];
};
bool store_audit_last(struct store *s, enum store_found *ret, struct store_audit *ret_a,
                      struct err *err);
bool store_audit_add(struct store *s, const struct store_audit *a, struct err *err);
/* Up to number `upto`, which must have been sealed (seal.h) in this transaction or before: else the store refuses. */
bool store_audit_drop(struct store *s, uint64_t upto, struct err *err);
/* Walks from number `from` on; `each` returns false to stop. */
bool store_audit_each(struct store *s, uint64_t from,
                      bool (*each)(void *user, const struct store_audit *a), void *user,
                      struct err *err);
