/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault remembers by itself, so that it need not believe den: which key an ID has, what was revoked, how high
 * its numbers are, and what an operator ordered. Lines are only ever added; each carries a hash of all before it. */
#pragma once

#include "base/err.h"
#include "base/key.h"

struct vault_book;

enum { VAULT_ID = 10, VAULT_BEACON = 16, VAULT_BEACONS = 4 };

struct vault_who {
    char id[VAULT_ID];
    uint8_t pk[KEY_SIZE];
    uint64_t rekey_no;
    bool is_revoked; /* its key */
};

/* Numbers that were signed: none of them falls. Hashes are zeros where nothing is known. */
struct vault_numbers {
    uint64_t hb_no, hb_crl_no, hb_rev_no, manifest_no, policy_no, audit_no;
    uint8_t audit_head[HASH_SIZE];
    uint64_t crl_no, crl_at; /* the newest list */
    uint8_t crl_hash[HASH_SIZE];
    uint8_t beacons[VAULT_BEACONS][VAULT_BEACON]; /* the newest first */
};

/* A new one in `dir`: signer.book, signer.numbers, signer.orders. ALREADY_EXISTS. */
bool vault_book_create(const char *dir, struct view netid, const char *network, struct err *err);
bool vault_book_exists(const char *dir);
/* From one folder to another of the same disk: its lines last, for with them the book is there. */
bool vault_book_rename(const char *from, const char *to, struct err *err);
/* A last line that was cut short was never relied on, and is dropped; any other damage is BAD_CONFIG. */
bool vault_book_open(const char *dir, struct vault_book **ret_book, struct err *err);
/* In memory alone. */
struct vault_book *vault_book_new(struct view netid, const char *network);
void vault_book_free(struct vault_book *book);
OWN_FREEP(vault_book, struct vault_book)

struct view vault_book_netid(const struct vault_book *book);
const char *vault_book_network(const struct vault_book *book);

/* What follows counts at once, and is durable after vault_book_sync(): nothing that relies on it may leave before. */
enum vault_claim {
    VAULT_CLAIMED,
    VAULT_ID_TAKEN,
    VAULT_KEY_HAS_ID,
    VAULT_KEY_REVOKED,
    VAULT_KEY_USED
};
/* An unknown ID gets that key; a known one must have it. *ret_who: the ID's, or with KEY_HAS_ID the key's. */
enum vault_claim vault_book_claim(struct vault_book *book, struct view id, struct view pk,
                                  uint64_t now, const struct vault_who **ret_who);
const struct vault_who *vault_book_find(const struct vault_book *book,
                                        struct view id); /* NULL: unknown */
bool vault_book_knows_key(const struct vault_book *book, struct view pk);
/* The ID's next key. `token_pk`: on an operator's order, which is used up by it; empty: by the key before. */
void vault_book_move(struct vault_book *book, struct view id, struct view pk, uint64_t rekey_no,
                     struct view token_pk, uint64_t now);
/* Revocation n + 1, the hash of its statement, and the identity key that it ends, if it does. */
void vault_book_revoke(struct vault_book *book, const uint8_t head[HASH_SIZE], struct view pk,
                       uint64_t now);
uint64_t vault_book_n_revoked(const struct vault_book *book);
struct view vault_book_revoked_head(const struct vault_book *book,
                                    uint64_t no); /* zeros: number 0 */
/* TLS keys (hashes of SPKIs) that may have the router's name. */
void vault_book_add_router(struct vault_book *book, struct view spki_hash, uint64_t now);
bool vault_book_is_router(const struct vault_book *book, struct view spki_hash);
/* As a folder from before had it: the number of its key too. */
bool vault_book_adopt(struct vault_book *book, const struct vault_who *who, uint64_t now,
                      struct err *err);
bool vault_book_sync(struct vault_book *book, struct err *err);

struct vault_numbers *vault_book_numbers(struct vault_book *book);
bool vault_book_keep_numbers(struct vault_book *book, struct err *err);

/* ---- orders.c: what an operator allows, in a file that only whoever holds the folder can write -------- */

/* Whoever proves that token may give the ID a new key, until then (wall, ms). */
bool vault_order_add(const char *dir, const char *id, struct view token_pk, uint64_t until,
                     struct err *err);
/* Not any more: nothing happens where there is no such order. */
bool vault_order_end(const char *dir, struct view token_pk, struct err *err);
/* This TLS key (its SPKI's hash) may have the router's name. */
bool vault_order_add_router(const char *dir, struct view spki_hash, uint64_t until,
                            struct err *err);
bool vault_order_check_router(const struct vault_book *book, struct view spki_hash, uint64_t now,
                              struct err *err);
/* NOT_AUTHORIZED. */
bool vault_order_check(const struct vault_book *book, struct view id, struct view token_pk,
                       uint64_t now, struct err *err);

/* For orders.c and sandbox.c. */
int vault_book_orders_fd(const struct vault_book *book); /* -1: in memory */
bool vault_book_used(const struct vault_book *book, struct view token_pk);
