/* SPDX-License-Identifier: Apache-2.0 */
/* The state folder: what a peer keeps between runs. Mode 0700, every file 0600, written whole or not at
 * all and synced; refused when others can get at it. What is in it:
 *
 *     lock           held by the one process that uses the folder
 *     identity.key   the Ed25519 key that the ID belongs to: "warren-ed25519 HEX", or that sealed under a passphrase
 *     network        the join string without its token; its presence says that this machine has joined
 *     trust          roots, manifests, newest heartbeat (rpc/trust.h)
 *     admission      length u32be, den's admission, its signature (64 bytes)
 *     tls.key        the link's P-256 key, PKCS#8 PEM; new with each certificate
 *     cert.pem       the certificate and its intermediate
 *     crl.der        the newest revocation list
 *     revocations    what den has revoked, as it signed it (rpc/revoked.h)
 *     known_peers    a line per peer: ID, identity key (hex), first seen (peer/known.h)
 *     known_names    a line per name that was dialled: the name, and the ID that it meant last
 *     alarm          two heartbeats of den that cannot be together (or the newest, and a revocation that contradicts others):
 *                    what is wrong, then a line for each, the statement and its signature in hex. While it is there, no new links are made
 *     consent        what the owner wants of calls, whatever policy says: none, ask or deny (peer/consent.h)
 *     offered_key    a line as in known_peers: the changed key that was refused last, for `warren known accept`
 *     joining        the join string, with its token, of a machine that waits for approval
 *     moved          this identity went to another machine: it is not used here any more
 *     permits        den's permits for when it is away, each with its signature
 *     rekey          the next identity key, its statement and both signatures, until den has taken it
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

enum state_file {
    STATE_NETWORK,
    STATE_TRUST,
    STATE_ADMISSION,
    STATE_TLS_KEY,
    STATE_CERT,
    STATE_CRL,
    STATE_REVOCATIONS,
    STATE_KNOWN,
    STATE_ALARM,
    STATE_OFFERED,
    STATE_JOINING,
    STATE_MOVED,
    STATE_REKEY,
    STATE_RESTORED,
    STATE_NAMES,
    STATE_ACKNOWLEDGED,
    STATE_CONSENT,
    STATE_PERMITS,
    STATE_N_FILES
};

struct state;

/* `dir` NULL: $XDG_STATE_HOME/warren, or ~/.local/state/warren. The caller frees it. */
bool state_default_dir(const char *dir, char **ret_dir, struct err *err);
/* Opens and locks the folder; makes it when `may_create`. NOT_JOINED, EXPOSED, BUSY, SYSTEM. */
bool state_open(const char *dir, bool may_create, struct state **ret_state, struct err *err);
int state_held(const struct state *state); /* the descriptor of that lock; -1: none */
/* Only to look: no lock, nothing is made. */
bool state_look(const char *dir, struct state **ret_state, struct err *err);
void state_free(struct state *state);
OWN_FREEP(state, struct state)

/* Before the identity is read: what its file, and `rekey`, are sealed with. Ignored where the file is plain; a new one is sealed.
 * Copied, and wiped with the state. */
void state_set_passphrase(struct state *state, const char *passphrase);
/* secret_change() of what holds an identity key; an empty passphrase is none. */
bool state_change_passphrase(const struct state *state, struct view old, struct view next,
                             struct err *err);

const char *state_path(const struct state *state, enum state_file file); /* owned by the state */
/* NOT_FOUND when there is none; EXPOSED. */
bool state_read(const struct state *state, enum state_file file, struct buf *ret_bytes,
                struct err *err);
/* False in *ret_exists instead of NOT_FOUND. */
bool state_read_if(const struct state *state, enum state_file file, struct buf *ret_bytes,
                   bool *ret_exists, struct err *err);
bool state_remove(const struct state *state, enum state_file file, struct err *err);
bool state_write(const struct state *state, enum state_file file, struct view bytes,
                 struct err *err);
/* Adds to a file that is there. */
bool state_append(const struct state *state, enum state_file file, struct view bytes,
                  struct err *err);
/* The identity key: read, or made once where `may_create`; NOT_JOINED, LOCKED, BAD_PASSPHRASE. */
bool state_identity(struct state *state, bool may_create, struct key **ret_key, struct err *err);

const char *state_dir_of(const struct state *state);
bool state_has_identity(const struct state *state);
/* identity.key as it is, sealed or text, to move it. Wipe it. */
bool state_read_identity(const struct state *state, struct buf *ret_text, struct err *err);
bool state_write_identity(const struct state *state, struct view text, struct err *err);
/* identity.key holds this key from now on. */
bool state_replace_identity(const struct state *state, const uint8_t seed[SEED_SIZE],
                            struct err *err);

/* A statement with den's signature, as `admission` has it and as hearts go over links. */
void state_put_signed(struct buf *to, struct view statement, struct view sig);
bool state_read_signed(struct view bytes, struct view *ret_statement, struct view *ret_sig);
