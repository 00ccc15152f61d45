/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of the authority, and what may be signed with them: the intermediate, den-sign and the OCSP signer. den asks
 * in frames (wire.h) and never sees a key. The vault keeps a book of its own, in which an ID has one key: whoever takes
 * den over cannot have another one signed. It runs in a process of its own (warren-den-signer, main.c), or, for
 * the verbs of an operator and for tests, in the caller's. */
#pragma once

#include "pki/pki.h"
#include "vault/book.h"
#include "vault/wire.h"

struct key;

/* ---- keys.c: from the folder to the keys ------------------------------------------------------- */

struct vault_keys {
    struct key *sign; /* den-sign */
    struct pki_ca *ca;
};
/* sign.key, intermediate.key and intermediate.pem: EXPOSED; WRONG_KEY when they do not belong together. */
/* The keys may be sealed under a passphrase (base/secret.h): LOCKED, BAD_PASSPHRASE. */
bool vault_keys_read(const char *dir, struct view passphrase, struct vault_keys *ret_keys,
                     struct err *err);
void vault_keys_deinit(struct vault_keys *keys);

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
/* The same, of keys under a passphrase. */
bool vault_unlock(const char *dir, enum vault_trust trust, struct view passphrase,
                  struct vault **ret_vault, struct err *err);
void vault_free(struct vault *vault);
OWN_FREEP(vault, struct vault)
/* One line about the sandbox that it runs in, for its first answer. "" before. */
void vault_set_report(struct vault *vault, const char *text);

enum vault_outcome {
    VAULT_ANSWERED, /* also with a refusal */
    VAULT_JUNK,     /* no request: whoever sent it is not den */
    VAULT_BROKEN,   /* what had to be written first was not: nothing may be signed any more */
};
/* Appends the answer to a frame's content. Everything that the answer relies on is durable before. `now`: wall, ms. */
enum vault_outcome vault_handle(struct vault *vault, uint64_t now, struct view request,
                                struct buf *answer);
