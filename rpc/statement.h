/* SPDX-License-Identifier: Apache-2.0 */
/* Signed statements: what one party relies on is signed end to end by the party that says it.
 * PROTOCOL.md, "Statements", has every word with its fields. A statement travels as opaque bytes
 * with its signature beside them: verify over the received bytes, then read; reading is strict. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

enum {
    RPC_MAX_STATEMENT = 16384,
    RPC_BEACON = 16,
    RPC_NONCE16 = 16,
    RPC_NONCE32 = 32,
    RPC_SID = 16,
    RPC_MAX_ITEMS = 16,
    RPC_MAX_KEYS = 64,
};

enum rpc_word {
    RPC_W_MANIFEST,
    RPC_W_NETSIGN_ROUTER,
    RPC_W_NETSIGN_CLIENT,
    RPC_W_ENROL,
    RPC_W_ADMISSION,
    RPC_W_REQUEST,
    RPC_W_DIAL,
    RPC_W_GRANT,
    RPC_W_ACCEPT,
    RPC_W_HEARTBEAT,
    RPC_W_TIME,
    RPC_W_REVOKE,
    RPC_W_REAUTH,
    RPC_W_NAME,
    RPC_W_REKEY,
    RPC_W_END,
    RPC_W_RELAY,
    RPC_W_PERMIT,
    RPC_W_WHO,
    RPC_N_WORDS
};

struct rpc_items { /* a list field: texts or hashes */
    struct view item[RPC_MAX_ITEMS];
    size_t n;
};
enum rpc_key_role { RPC_KEY_DEN_LOGIN = 1, RPC_KEY_DEN_SIGN = 2, RPC_KEY_ROUTER = 3 };
struct rpc_key_entry {
    enum rpc_key_role role;
    struct view pk;
    uint64_t from, to;
};
struct rpc_key_list {
    struct rpc_key_entry item[RPC_MAX_KEYS];
    size_t n;
};

/* All views borrow from the statement's bytes when read, from anywhere when written. */
struct rpc_manifest {
    struct view netid, network;
    uint64_t manifest_no;
    struct view previous;                  /* H of the previous statement, or 32 zero bytes */
    struct rpc_items roots, intermediates; /* H of the DER */
    struct rpc_key_list keys;
    uint64_t issued_at, not_after;
};
struct rpc_netsign_proof { /* S1; S2 adds the heartbeat's hash */
    struct view netid, network, binding, binding_data, nonce_router, nonce_client, router_pk,
        client_pk, hello_hash,
        heartbeat_hash /* S2 alone: 32 bytes, or empty when there is none yet */;
};
struct rpc_enrol {
    struct view netid, network, client_pk, beacon, nonce, token_pk, host;
};
struct rpc_admission {
    struct view netid, network, id, client_pk, role;
    uint64_t adm_no, issued_at, not_after;
    struct view enrol_hash;
};
struct rpc_request {
    struct view netid, den_pk, id, procedure, beacon, nonce, body_hash;
};
struct rpc_dial {
    struct view netid, sid, a_id, a_pk, b_id;
    struct rpc_items caps;
    struct view a_spki, a_ice, beacon;
};
struct rpc_grant {
    struct view netid, sid, a_id, a_pk, b_id, b_pk, dial_hash;
    struct rpc_items caps, caps_back;
    uint64_t consent; /* u8: 0 none, 1 ask */
    uint64_t issued_at, live_until;
    struct view beacon;
    uint64_t crl_no, policy_no;
    struct rpc_items relay;
};
struct rpc_accept {
    struct view netid, sid, grant_hash, b_id, b_pk;
    struct rpc_items caps;
    struct view b_spki, b_ice;
};
struct rpc_heartbeat {
    struct view netid;
    uint64_t hb_no, time, next_in, bound;
    struct view beacon;
    uint64_t crl_no;
    struct view crl_hash;
    uint64_t rev_no;
    struct view rev_head;
    uint64_t manifest_no, policy_no, audit_no;
    struct view audit_head;
};
enum rpc_revoked_kind {
    RPC_REVOKED_SERIAL = 1,     /* subject: the content octets of a certificate's serial number */
    RPC_REVOKED_TLS_KEY = 2,    /* H of its SubjectPublicKeyInfo */
    RPC_REVOKED_IDENTITY = 3,   /* the identity key */
    RPC_REVOKED_ADMISSIONS = 4, /* those below this adm_no, 8 bytes */
};
enum {
    RPC_SUPERSEDED = 4
}; /* the reason why, in RFC 5280, 5.3.1: another key has taken its place */
struct rpc_revocation {
    struct view netid;
    uint64_t rev_no;
    struct view previous; /* H of revocation rev_no - 1, zeros for the first */
    uint64_t kind;        /* enum rpc_revoked_kind */
    struct view id;       /* whose it is, or was */
    struct view subject;
    uint64_t reason; /* RFC 5280, 5.3.1: CRLReason */
    uint64_t at;
};
struct rpc_reauth { /* a new certificate inside a link that goes on */
    struct view netid, sid, id, exporter, new_spki;
    uint64_t counter; /* from 1 on, rises by one */
};
struct rpc_time { /* den's answer to a nonce of the asker's: made after the question */
    struct view netid, nonce;
    uint64_t time;
};

struct rpc_end { /* den ends a session, whatever its two ends think of it */
    struct view netid, sid, a_id, b_id;
    uint64_t at;
    struct view reason; /* for people */
};

struct rpc_who { /* den tells whoever is called what the caller is called, and its groups */
    struct view netid, sid, a_id;
    struct view names, groups; /* printable ASCII with commas between; empty: none */
};
enum { RPC_MAX_WHO = 512 }; /* bytes of each */

enum { RPC_SIDE_CALLER = 0, RPC_SIDE_CALLEE = 1 };
struct rpc_relay { /* an end of a session, to a relay: over this connection, now */
    struct view netid, sid, grant_hash;
    uint64_t side; /* u8: RPC_SIDE_CALLER, RPC_SIDE_CALLEE */
    struct view pk, router_pk, binding, binding_data, nonce;
};

/* Two machines that den let talk may find each other again on their own network without it, until not_after, while den's newest
 * heartbeat that they know is not older than max_hb_age. Nothing else is needed, and nothing can take it back before. */
enum { RPC_PERMIT_ID = 16, RPC_PERMIT_MS = 24 * 3600 * 1000 };
struct rpc_permit {
    struct view netid, permit_id, a_id, a_pk, b_id, b_pk;
    struct rpc_items caps, caps_back;
    uint64_t issued_at, not_after, max_hb_age; /* ms; at most RPC_PERMIT_MS apart */
};

struct rpc_name { /* whom a name means, until not_after */
    struct view netid, name, id, client_pk;
    uint64_t name_no, not_after;
};
/* An ID's next key. By the old key and the new one; or, with `by`, by den and the new one: then an
 * administrator re-enrolled the ID. */
struct rpc_rekey {
    struct view netid, id, old_pk, new_pk;
    uint64_t rekey_no, at;
    struct view by;
};

const char *rpc_word_name(enum rpc_word word); /* "admission" */
/* `statement` is the struct of the word. Writing aborts on what its own reader would refuse (our
 * bug). */
void rpc_statement_write(enum rpc_word word, const void *statement, struct buf *to);
/* Strict: word, field count, exact lengths, nothing left over, text charset. BAD_STATEMENT names
 * the field. */
bool rpc_statement_read(enum rpc_word word, struct view bytes, void *ret_statement,
                        struct err *err);
/* Verifies with `pk`, then reads: the order that STATEMENTS ask for. BAD_SIGNATURE, BAD_STATEMENT. */
bool rpc_statement_open(enum rpc_word word, struct view pk, struct view bytes, struct view sig,
                        void *ret_statement, struct err *err);
/* Writes and signs. */
void rpc_statement_sign(enum rpc_word word, const void *statement, const struct key *key,
                        struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE]);

/* ---- requests: every procedure of den that changes something takes [body, R, signature] ------- */

/* Appends the args array [body bin, R bin, sig bin] for `procedure`. */
void rpc_request_put(struct buf *to, const struct key *identity,
                     const struct rpc_request *context /* netid, den_pk, id, beacon */,
                     const char *procedure, struct view body);
