/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of den's store as values, for programs: the network, the socket and `--json` all write the same. Instants are
 * text ("2026-11-20T19:03:02Z"), nil where there is none. No I/O. */
#pragma once

#include "den/store.h"

struct admin_object { /* a map that is being written; admin_end() frees it */
    struct buf bytes;
    uint32_t n;
};
void admin_text(struct admin_object *o, const char *key, const char *text);
void admin_view(struct admin_object *o, const char *key, struct view text); /* not UTF-8: '?' */
void admin_hex(struct admin_object *o, const char *key, struct view bytes);
void admin_number(struct admin_object *o, const char *key, uint64_t n);
void admin_bool(struct admin_object *o, const char *key, bool is);
void admin_time(struct admin_object *o, const char *key, uint64_t at);        /* 0: nil */
void admin_value(struct admin_object *o, const char *key, struct view value); /* as it is */
void admin_nil(struct admin_object *o, const char *key);
void admin_end(struct admin_object *o, struct buf *to);

/* One map each. */
void admin_put_peer(const struct store_identity *who, uint64_t now, struct buf *to);
void admin_put_name(const struct store_name *name, struct buf *to);
void admin_put_token(const struct store_token *t, uint64_t now, struct buf *to);
void admin_put_waiting(const struct store_waiting *w, struct buf *to);
void admin_put_session(const struct store_session *x, struct buf *to);
/* {no, at, at_ms, what, facts, head}: the facts in their order, as they stand in the chain, escapes and all. */
void admin_put_audit(const struct store_audit *entry, struct buf *to);
