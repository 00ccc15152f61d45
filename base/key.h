/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 keys (RFC 8032), hashes and random bytes, on libsodium. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define KEY_SIZE  32 /* a public key */
#define SIG_SIZE  64
#define SEED_SIZE 32
#define HASH_SIZE 32 /* SHA-256 */

/* A signing key; lives in locked, guarded memory. */
struct key;

bool key_init(struct err *err); /* libsodium; call once before anything else of base/ */
struct key *key_new(void);      /* a fresh one */
struct key *key_from_seed(const uint8_t seed[SEED_SIZE]);
/* What two keys agree on (X25519 over the same secrets, hashed by nobody: derive keys from it, do not use it as one). Wipe it. False: `pk` is no
 * usable key. */
bool key_shared(const struct key *key, struct view pk, uint8_t ret_shared[KEY_SIZE]);
void key_free(struct key *key); /* wipes it; NULL is fine */
OWN_FREEP(key, struct key)
const uint8_t *key_public(const struct key *key); /* KEY_SIZE bytes, owned by the key */
struct view key_public_view(const struct key *key);
void key_sign(const struct key *key, struct view bytes, uint8_t ret_sig[SIG_SIZE]);
/* False for wrong lengths too. */
bool key_verify(struct view public_key, struct view bytes, struct view sig);

/* The seed as one line of text "warren-ed25519 HEX\n" in a file of mode 0600. */
bool key_write(const struct key *key, const char *path, struct err *err); /* ALREADY_EXISTS */
bool key_read(const char *path, struct key **ret_key, struct err *err);   /* EXPOSED, NOT_FOUND */
/* The same where the file may be sealed under a passphrase (base/secret.h); an empty one is none. */
bool key_create(const struct key *key, const char *path, struct view passphrase, struct err *err);
bool key_unlock(const char *path, struct view passphrase, struct key **ret_key, struct err *err);
/* That line of text, for a seed: appended at once. Wipe it. */
void key_put_text(const uint8_t seed[SEED_SIZE], struct buf *to);

void hash_sha256(struct view bytes, uint8_t ret_hash[HASH_SIZE]);
void hash_blake2b(struct view bytes, uint8_t ret_hash[HASH_SIZE]); /* BLAKE2b, 32 bytes, no key */
/* RFC 2104; a key of any length. */
void hmac_sha256(struct view key, struct view bytes, uint8_t ret_mac[HASH_SIZE]);
void random_bytes(void *to, size_t size);
uint32_t random_below(uint32_t bound); /* uniform */
