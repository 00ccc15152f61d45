/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody wants revoked, from words to a row of the store. The signed statement is made of it
 * by den at work. */
#pragma once

#include "den/deed.h"
#include "den/store.h"
#include "pki/pki.h"

struct revocation_serial {
    uint8_t octets[PKI_MAX_SERIAL];
    size_t len;
};
/* Hexadecimal, with or without colons, as every tool prints it. INVALID_ARGUMENT. */
bool revocation_read_serial(const char *typed, struct revocation_serial *ret_serial,
                            struct err *err);

/* As typed; exactly one of the first three. */
struct revocation_words {
    const char *id;     /* an ID: its identity key, and with it everything of that machine */
    const char *serial; /* one certificate */
    const char *key;    /* one TLS key, by the SHA-256 of its SubjectPublicKeyInfo */
    const char *reason; /* RFC 5280, 5.3.1; NULL: unspecified */
};
/* INVALID_ARGUMENT: words that are none; NOT_FOUND: nobody has that. */
bool revocation_resolve(struct store *store, const struct revocation_words *words, uint64_t now,
                        struct store_revocation *ret_revocation, struct err *err);

/* Recorded and audited, in one transaction; `r->no` is its number, or that of the one before it. An ID is
 * revoked under the key that it has by then, which is `r->subject` afterwards. */
bool revocation_put_down(struct store *store, struct store_revocation *r, const struct deed *deed,
                         bool *ret_is_new, struct err *err);
const char *revocation_kind_name(enum store_revoke kind); /* "serial" */
