/* SPDX-License-Identifier: Apache-2.0 */
/* What den remembers, as verbs. SQLite in WAL mode today, synchronous=FULL: when store_commit() returned true it
 * survives a power cut. Everything that changes something runs inside one transaction, together with its audit record;
 * a transaction that was not committed left nothing. Two processes may use one store (den and `warren-den token new`). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

struct store;

enum { STORE_ID = 16, STORE_ROLE = 16 };

bool store_create(const char *path, struct err *err); /* a new file, mode 0600: ALREADY_EXISTS */
bool store_open(const char *path, struct store **ret_store,
                struct err *err);     /* checks mode and schema version */
void store_free(struct store *store); /* closes it; NULL is fine */
OWN_FREEP(store, struct store)

bool store_begin(struct store *store,
                 struct err *err); /* takes the write lock now (BEGIN IMMEDIATE) */
bool store_commit(struct store *store, struct err *err);
void store_rollback(struct store *store); /* harmless outside a transaction */

/* Outcomes of look-ups: false from the function is an error of the store itself. */
enum store_found { STORE_NONE, STORE_FOUND };

/* ---- identities --------------------------------------------------------------------------- */

struct store_identity {
    char id[STORE_ID];
    uint8_t pk[KEY_SIZE];
    char role[STORE_ROLE]; /* "peer", "admin" */
    uint64_t adm_no;       /* of the newest admission */
    uint64_t created_at;
    bool is_revoked;
};
bool store_identity_by_key(struct store *s, struct view pk, enum store_found *ret,
                           struct store_identity *ret_i, struct err *err);
bool store_identity_by_id(struct store *s, struct view id, enum store_found *ret,
                          struct store_identity *ret_i, struct err *err);
bool store_identity_add(struct store *s, const struct store_identity *i,
                        struct err *err); /* ALREADY_EXISTS */
bool store_identity_set_adm_no(struct store *s, const char *id, uint64_t adm_no, struct err *err);
bool store_identity_revoke(struct store *s, const char *id, uint64_t at,
                           struct err *err); /* its key, for ever */
bool store_identity_count(struct store *s, uint64_t *ret_n, struct err *err);

/* ---- tokens: only their public keys ---------------------------------------------------------- */

struct store_token {
    uint8_t pk[KEY_SIZE];
    char role[STORE_ROLE];
    uint64_t uses_left, created_at, expires_at; /* expires_at 0: never */
};
bool store_token_add(struct store *s, const struct store_token *t, struct err *err);
bool store_token_find(struct store *s, struct view pk, enum store_found *ret,
                      struct store_token *ret_t, struct err *err);
/* One use less, unless that identity used it before: one key counts once. BAD_TOKEN when none is left. */
bool store_token_use(struct store *s, struct view token_pk, struct view identity_pk, uint64_t at,
                     struct err *err);

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
bool store_certificate_put(struct store *s, struct view serial, struct view der,
                           uint64_t not_before, uint64_t not_after, struct err *err);
/* The newest one of that key; whoever it was issued to. */
bool store_certificate_by_spki(struct store *s, struct view spki, enum store_found *ret,
                               struct store_certificate *ret_c, struct err *err);

bool store_certificate_by_serial(struct store *s, struct view serial, enum store_found *ret,
                                 struct store_certificate *ret_c, struct err *err);
/* Walks those of an ID, or all (NULL), in the order of reservation; `each` returns false to stop. */
bool store_certificate_each(struct store *s, const char *id,
                            bool (*each)(void *user, const struct store_certificate *c), void *user,
                            struct err *err);

/* ---- revocations: only ever added --------------------------------------------------------------- */

/* As in the statement about it. */
enum store_revoke {
    STORE_REVOKE_SERIAL = 1, /* subject: the serial's content octets */
    STORE_REVOKE_TLS_KEY,    /* subject: the hash of its SPKI */
    STORE_REVOKE_IDENTITY,   /* subject: the identity key; all certificates of the ID */
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
/* The statement that says it, once. NOT_FOUND when there is one already. */
bool store_revocation_sign(struct store *s, uint64_t no, struct view statement, struct view sig,
                           struct err *err);
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

struct store_session {
    uint8_t sid[16];
    char a_id[STORE_ID], b_id[STORE_ID];
    char caps[256]; /* joined by ',' */
    char state[16]; /* offered, accepted, declined, failed, closed */
    char reason[128];
    uint64_t opened_at, closed_at;
};
bool store_session_add(struct store *s, const struct store_session *x,
                       struct err *err); /* ALREADY_EXISTS: sid seen */
bool store_session_find(struct store *s, struct view sid, enum store_found *ret,
                        struct store_session *ret_x, struct err *err);
bool store_session_set_state(struct store *s, struct view sid, const char *state,
                             const char *reason, uint64_t at, struct err *err);
/* Walks those that are offered or accepted; `each` returns false to stop, and changes nothing here. */
bool store_session_each_open(struct store *s,
                             bool (*each)(void *user, const struct store_session *x), void *user,
                             struct err *err);

/* ---- numbers that never fall ------------------------------------------------------------------- */

bool store_number_get(struct store *s, const char *name, uint64_t *ret_n,
                      struct err *err); /* 0 when never set */
bool store_number_raise(struct store *s, const char *name, uint64_t to,
                        struct err *err); /* INTERNAL when it would fall */

/* Bytes kept under a name: the policy in force, the newest CRL. */
bool store_blob_get(struct store *s, const char *name, enum store_found *ret, struct buf *ret_bytes,
                    struct err *err);
bool store_blob_set(struct store *s, const char *name, struct view bytes, struct err *err);

/* ---- audit: rows are only ever added; the chain is audit.h's ------------------------------------ */

struct store_audit {
    uint64_t no, at;
    struct buf bytes; /* canonical; owned by the caller: buf_free() */
    uint8_t head[HASH_SIZE];
};
bool store_audit_last(struct store *s, enum store_found *ret, struct store_audit *ret_a,
                      struct err *err);
bool store_audit_add(struct store *s, const struct store_audit *a, struct err *err);
/* Walks from number `from` on; `each` returns false to stop. */
bool store_audit_each(struct store *s, uint64_t from,
                      bool (*each)(void *user, const struct store_audit *a), void *user,
                      struct err *err);
