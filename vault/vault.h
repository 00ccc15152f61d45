/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of the authority, and what may be signed with them: the intermediate, den-sign and the OCSP signer. den asks
 * in frames (wire.h) and never sees a key. The vault keeps a book of its own, in which an ID has one key: whoever takes
 * den over cannot have another one signed. It runs in a process of its own (warren-den-signer, main.c), or, for
 * the verbs of an operator and for tests, in the caller's. */
#pragma once

#include "pki/pki.h"
#include "rpc/rpc.h"
#include "vault/book.h"
#include "vault/token.h"
#include "vault/wire.h"

struct key;

/* ---- keys.c: from the folder to the keys ------------------------------------------------------- */

#define VAULT_MANIFESTS                                                                            \
    "manifests" /* the file: a trust set, written by whoever may change the folder */

struct vault_secrets {        /* what opens them; borrowed */
    struct view passphrase;   /* of files that are sealed (base/secret.h); may be empty */
    struct token_login login; /* of the token that has the intermediate's key, if one has */
};
struct vault_keys {
    struct key *sign; /* den-sign */
    struct pki_ca *ca;
    struct rpc_trust *trust;  /* the folder's manifests; NULL: there was no rollover yet */
    struct token_place place; /* of the intermediate's key; no `paths`: it is in a file */
    /* The other intermediates that the manifest lists, as far as their keys are here: they sign for software that knows
     * nothing of manifests: the list, and who answers OCSP. */
    struct pki_ca *others[RPC_MAX_ITEMS];
    size_t n_others;
};
/* Those that the folder's manifest lists first; without one sign.key, intermediate.key and intermediate.pem. EXPOSED;
 * UNLISTED_KEY when what is listed is not there; WRONG_KEY when a key and its certificate do not belong together. */
/* A file may be sealed under a passphrase: LOCKED, BAD_PASSPHRASE. The intermediate's may say that the key is in a token:
 * what token_key_load() says. */
bool vault_keys_read(const char *dir, const struct vault_secrets *secrets,
                     struct vault_keys *ret_keys, struct err *err);
void vault_keys_deinit(struct vault_keys *keys);

/* The certificate of that hash among KIND.pem, KIND.N.pem; *ret_key_path (may be NULL) is where its key would be. The
 * caller owns both. UNLISTED_KEY: there is none. */
bool vault_find_cert(const char *dir, const char *kind, struct view hash,
                     struct pki_cert **ret_cert, char **ret_key_path, struct err *err);
/* The key file among KIND.key, KIND.N.key that holds the private half of `pk`. UNLISTED_KEY. */
bool vault_find_key(const char *dir, const char *kind, struct view pk, struct view passphrase,
                    struct key **ret_key, struct err *err);
/* Every file KIND.ENDING, KIND.N.ENDING; `each` returns false to stop. */
bool vault_each_file(const char *dir, const char *kind, const char *ending,
                     bool (*each)(void *user, const char *path), void *user);

/* ---- vault.c ----------------------------------------------------------------------------------- */

struct vault;

enum vault_trust {
    VAULT_ASKED_BY_DEN,      /* what only an operator may order is refused */
    VAULT_ASKED_BY_OPERATOR, /* in the operator's own process: `init`, `router add` */
};
/* Takes keys and book. */
struct vault *vault_new(struct vault_keys *keys_taken, struct vault_book *book_taken,
                        enum vault_trust trust);
/* Keys, book, numbers and orders of a folder. NOT_FOUND when it has no book (vault_book_create()). */
bool vault_open(const char *dir, enum vault_trust trust, struct vault **ret_vault, struct err *err);
/* The same, of keys that need something to be opened. */
bool vault_unlock(const char *dir, enum vault_trust trust, const struct vault_secrets *secrets,
                  struct vault **ret_vault, struct err *err);
/* NULL: the intermediate's key is in a file. */
const char *vault_token_paths(const struct vault *vault);
void vault_free(struct vault *vault);
OWN_FREEP(vault, struct vault)
enum { VAULT_MAX_HELPERS = 3 }; /* what cannot be spread is as much as four do of the rest */
/* Signatures of one request are verified, and made, by so many threads beside the caller's. */
void vault_set_helpers(struct vault *vault, unsigned n);
/* One line about the sandbox that it runs in, for its first answer. "" before. */
void vault_set_report(struct vault *vault, const char *text);

enum vault_outcome {
    VAULT_ANSWERED, /* also with a refusal */
    VAULT_JUNK,     /* no request: whoever sent it is not den */
    VAULT_LEAVES, /* answered; the keys of the folder are others now: open it again, or end and be started again */
    VAULT_BROKEN, /* what had to be written first was not: nothing may be signed any more */
};
/* Appends the answer to a frame's content. Everything that the answer relies on is durable before. `now`: wall, ms. */
enum vault_outcome vault_handle(struct vault *vault, uint64_t now, struct view request,
                                struct buf *answer);
