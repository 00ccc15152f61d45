/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: append-only, each entry hashed over the one before, written in the transaction of what it records.
 * head(n) = SHA-256("warren/1 audit" 0x00 | head(n-1) | n u64be | time u64be | length u32be | canonical bytes), head(0) = 32 zero bytes.
 * Canonical bytes: `key=value` pairs, one a line, "what" first, in the order given; values are escaped so that
 * no value can look like another pair. */
#pragma once

#include "den/store.h"

struct audit_pair {
    const char *key;
    struct view value; /* text; bytes that are not printable ASCII, and '\\', come out as \xNN */
};
#define AUDIT_TEXT(k, v)                                                                           \
    {                                                                                              \
        (k), view_text(v)                                                                          \
    }

/* Inside a transaction of the store. `what`: "identity.admitted", "certificate.issued", "session.granted", "session.refused" ... */
bool audit_append(struct store *store, uint64_t at, const char *what,
                  const struct audit_pair *pairs, size_t n_pairs, struct err *err);
/* The canonical bytes of such an entry, and one that has them already. */
void audit_put(struct buf *to, const char *what, const struct audit_pair *pairs, size_t n_pairs);
bool audit_append_bytes(struct store *store, uint64_t at, struct view bytes, struct err *err);
/* Many, for less, in one transaction, in which nothing else is appended meanwhile. */
struct audit_run {
    struct store *store;
    uint64_t no; /* of the newest entry */
    uint8_t head[HASH_SIZE];
    bool is_any;
};
bool audit_run_start(struct store *store, struct audit_run *ret_run, struct err *err);
bool audit_run_append(struct audit_run *run, uint64_t at, const char *what,
                      const struct audit_pair *pairs, size_t n_pairs, struct err *err);
bool audit_run_end(struct audit_run *run, struct err *err);
/* The same with number `to`, which is above the next one: for the entry AUDIT_ROLLBACK alone, which says that those
 * between were given up. INTERNAL when it is not above. */
#define AUDIT_ROLLBACK "rollback.accepted"
bool audit_jump(struct store *store, uint64_t to, uint64_t at, const struct audit_pair *pairs,
                size_t n_pairs, struct err *err);
/* Whether the audit has that entry, or says that it was given up. An entry that is sealed in a file is not looked for there: it counts as
 * known, and *ret_is_sealed (NULL: not wanted) says so. */
bool audit_knows(struct store *store, uint64_t no, const uint8_t head[HASH_SIZE], bool *ret_does,
                 bool *ret_is_sealed, struct err *err);
/* The newest number and head: 0 and zeros before the first. */
bool audit_head(struct store *store, uint64_t *ret_no, uint8_t ret_head[HASH_SIZE],
                struct err *err);
/* The head of the entry with number `no`, of time `at` and with these canonical bytes, that follows `previous`. */
void audit_next_head(const uint8_t previous[HASH_SIZE], uint64_t no, uint64_t at, struct view bytes,
                     uint8_t ret_head[HASH_SIZE]);
bool audit_is_jump(
    const struct store_audit *entry); /* its number may be higher than the next one */
/* Whether `entry` is whole and comes right after the one with number `no` and that head. */
bool audit_follows(const struct store_audit *entry, uint64_t no, const uint8_t head[HASH_SIZE]);
/* Walks the whole chain, from the checkpoint on (seal.h); *ret_bad_no is the first entry that is changed, missing or out of order, 0: none. *ret_newest is the number
 * of the last one before it, *ret_n (NULL: not wanted) how many there are up to that one: fewer, once numbers were given up. A checkpoint that
 * was changed counts as the entry that it stands for. */
bool audit_verify(struct store *store, uint64_t *ret_newest, uint64_t *ret_bad_no, uint64_t *ret_n,
                  struct err *err);
/* The same for `most` entries that follow entry `after`, which is trusted; 0: the checkpoint. NOT_FOUND: there is no such entry. */
struct audit_checked {
    uint64_t last_no; /* the last that is whole */
    uint8_t head[HASH_SIZE];
    uint64_t bad_no;    /* 0: none */
    uint64_t n_entries; /* that were looked at */
    uint64_t sealed_no; /* up to this one they are sealed in files; 0: none is */
    bool is_point_bad;  /* it is the checkpoint that is changed: bad_no is sealed_no, at least 1 */
    bool is_all;        /* nothing is left to check */
};
bool audit_verify_some(struct store *store, uint64_t after, uint64_t most,
                       struct audit_checked *ret, struct err *err);
/* "36h" ago, "2027-01-31", "2027-01-31T12:00:00.250Z" or with an offset such as "+01:00" (RFC 3339), or the number that `at_ms` has in a line
 * of the audit. */
bool audit_read_time(const char *text, uint64_t now, uint64_t *ret_at);
/* "what" of an entry; its other pairs one by one, as they stand there. A damaged entry gives what is left of it. */
struct view audit_each_fact(const struct store_audit *entry,
                            void (*each)(void *user, struct view key, struct view value),
                            void *user);
/* Appends one line, without its end, for `warren-den audit list`:
 * {"no":1,"at":"2026-11-20T19:03:02Z","at_ms":1795201382000,"what":"...","facts":{"key":"value"},"head":"hex"}; values stay escaped. */
void audit_put_json(const struct store_audit *entry, struct buf *to);
/* The value of `key` in an entry's bytes, as it was before it was escaped. False: it has none. */
bool audit_find(struct view bytes, const char *key, struct buf *to);
/* A JSON string, quoted and escaped. */
void audit_put_json_text(struct buf *to, struct view text);
