/* SPDX-License-Identifier: Apache-2.0 */
/* What den and its signer say to each other: a frame is a length (4 bytes, big-endian) and so many bytes, of which the
 * first is the kind. One request, one answer. Fields are integers of 1, 2 or 8 bytes and `length | bytes`. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum vault_kind {
    VAULT_HELLO = 1,  /* version u8 */
    VAULT_STATEMENTS, /* n u16, n * (word u8, bytes) */
    VAULT_CLAIM,      /* id, pk: the first key of an ID */
    VAULT_MOVE,       /* K, signature by the old key, by the new one */
    VAULT_RE_ENROL,   /* K, E, its signature, the token's: on an operator's order */
    VAULT_APPLY, /* n u16, n * (profile u8, label, csr, body, request, sig, pk): a serial for each */
    VAULT_ISSUE, /* crl_url, ca_url, ocsp_url, n u16, n * (serial, now u64, life u64) */
    VAULT_LIST, /* number u64, at u64, next_update u64, n u64: a list with n bytes of entries begins */
    VAULT_LIST_PART, /* entries: the next ones */
    VAULT_LIST_SIGN, /* nothing: what stands before the entries, what behind them, the list's hash; n u8 of other
                        intermediates, n * (16 digits of its key, what stands before, what behind) */
    VAULT_OCSP_KEY, /* hash of an intermediate: a request for a certificate from it, for a new key */
    VAULT_OCSP, /* hash of an intermediate, request, now u64, holds_for u64, n u8, n * (what u8, at u64, reason u8) */
    VAULT_RE_SIGN, /* K, signature by an earlier den-sign key: the same by the present one */
    VAULT_RE_OPEN, /* nothing: the folder's keys are others now */
    VAULT_WHO,     /* id: its key as the book has it, and the number of that, u64 */
    VAULT_KEEP, /* n u8, n hashes in one field: the intermediates that are listed; keys of others but the one in use are forgotten */
    VAULT_N_KINDS
};
enum {
    VAULT_VERSION = 4,
    VAULT_HEAD = 4,
    VAULT_MAX_REQUEST = 4 * 1024 * 1024,
    VAULT_MAX_ANSWER = VAULT_MAX_REQUEST + 1024,
    VAULT_MAX_PART = 64 * 1024, /* of a list: a tenth of a millisecond */
    VAULT_MAX_BATCH = 512,
};

/* Bytes that a frame may have whose first byte is `kind`; 0: there is no such kind. */
size_t vault_max_request(uint8_t kind);

/* The answer's first byte. A refusal is followed by the code's name and a text. */
enum { VAULT_YES = 0, VAULT_NO = 1 };

void vault_put(struct buf *to, struct view bytes); /* length u32 | bytes */
void vault_put_text(struct buf *to, const char *text);
void vault_put_refusal(struct buf *to, const struct err *why);

/* The first thing that is missing or too long makes all later reads empty; vault_end() tells. */
struct vault_in {
    struct view rest;
    bool is_bad;
};
uint8_t vault_u8(struct vault_in *in);
uint16_t vault_u16(struct vault_in *in);
uint64_t vault_u64(struct vault_in *in);
struct view vault_bytes(struct vault_in *in, size_t max);
struct view vault_fixed(struct vault_in *in, size_t len);
bool vault_end(const struct vault_in *in); /* all was there, and nothing is left */
/* VAULT_YES; or false with the refusal as the error, BAD_WIRE when it is neither. */
bool vault_take_outcome(struct vault_in *in, struct err *err);
