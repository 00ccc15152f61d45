/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that was ever signed, as people and programs see it. */
#pragma once

#include "den/store.h"

enum inventory_state { INVENTORY_VALID, INVENTORY_EXPIRED, INVENTORY_REVOKED, INVENTORY_UNSIGNED };
enum { INVENTORY_N_STATES = INVENTORY_UNSIGNED + 1 };
const char *inventory_state_name(enum inventory_state state); /* "valid" */
/* False: no such word. */
bool inventory_state_find(const char *word, enum inventory_state *ret_state);
/* A revoked one stays "revoked" when it has expired. */
enum inventory_state inventory_state_of(const struct store_certificate *c, uint64_t now);

/* RFC 5280, 5.3.1, in words: "key-compromise". */
const char *inventory_reason_name(uint8_t reason);
/* Ours, or as RFC 5280, 5.3.1, spells them (keyCompromise). INVALID_ARGUMENT names those that there are; `what` was given. */
bool inventory_reason_read(const char *what, const char *word, uint8_t *ret_reason,
                           struct err *err);

struct inventory_wanted { /* what is to be listed; zeros: everything */
    const char *id;
    bool has_state;
    enum inventory_state state;
    uint64_t expires_before; /* those that are valid now and are not then; 0: not asked */
    uint64_t now;
};
bool inventory_is_wanted(const struct inventory_wanted *wanted, const struct store_certificate *c);
/* One line each, without its newline. */
void inventory_put_line(const struct store_certificate *c, uint64_t now, struct buf *to);
/* The same as a map of msgpack. */
void inventory_put(const struct store_certificate *c, uint64_t now, struct buf *to);
void inventory_put_json(const struct store_certificate *c, uint64_t now, struct buf *to);
/* "36h", "30d" from now, "2027-01-31" or "2027-01-31T12:00:00Z". */
bool inventory_read_time(const char *text, uint64_t now, uint64_t *ret_at);
