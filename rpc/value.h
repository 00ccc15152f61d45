/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack values. Nothing is read before rpc_walk() has found it bounded and well-formed; after
 * that, reading is by views into the same bytes. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { RPC_MAX_DEPTH = 32 };

/* Checks the one value at the front of `bytes`: structure, depth at most RPC_MAX_DEPTH, map keys
 * text and not "__proto__", text UTF-8, no ext types, every declared length within the bytes.
 * Allocates nothing. */
bool rpc_walk(struct view bytes, size_t *ret_len, struct err *err);
/* The same for args or kwargs by themselves: as deep as they may be inside a message. */
bool rpc_walk_payload(struct view bytes, size_t *ret_len, struct err *err);

/* ---- reading: on bytes that rpc_walk() has passed ------------------------------------------- */

enum rpc_kind { RPC_NIL, RPC_BOOL, RPC_INT, RPC_FLOAT, RPC_TEXT, RPC_BIN, RPC_ARRAY, RPC_MAP };
enum rpc_kind rpc_value_kind(struct view value);
/* False when the value is of another kind or out of range; an integral float64 up to 2^53 counts as
 * an integer. */
bool rpc_value_u64(struct view value, uint64_t *ret_n);
bool rpc_value_bool(struct view value, bool *ret_is);
bool rpc_value_text(struct view value, struct view *ret_text);
bool rpc_value_bin(struct view value, struct view *ret_bytes);

/* An array's (or payload's) elements in order. The first failure sticks: later reads give zero
 * values, and rpc_fields_end() reports it, or elements left over. */
struct rpc_fields {
    struct view rest;
    uint32_t n_left;
    bool has_failed;
    enum err_code code;
    char why[160];
};
void rpc_fields_open(struct rpc_fields *f, struct view array); /* not an array: fails */
struct view rpc_fields_value(struct rpc_fields *f, const char *name);
uint64_t rpc_fields_u64(struct rpc_fields *f, const char *name);
uint64_t rpc_fields_id(struct rpc_fields *f, const char *name); /* 1..2^53 */
/* At most `max` bytes, as for bin. What is left out is nil too. */
struct view rpc_fields_text(struct rpc_fields *f, const char *name, size_t max);
struct view rpc_fields_text_or_nil(struct rpc_fields *f, const char *name, size_t max);
struct view rpc_fields_uri(struct rpc_fields *f, const char *name); /* loose URI, at most 255 */
/* A prefix may end in a dot or be empty, a wildcard may have any component empty. */
struct view rpc_fields_pattern(struct rpc_fields *f, const char *name, bool is_wildcard);
struct view rpc_fields_bin(struct rpc_fields *f, const char *name, size_t max);
struct view rpc_fields_bin_or_nil(struct rpc_fields *f, const char *name, size_t max);
/* bin of exactly `size` */
struct view rpc_fields_fixed(struct rpc_fields *f, const char *name, size_t size);
struct view rpc_fields_array(struct rpc_fields *f, const char *name); /* the value's bytes */
struct view rpc_fields_map(struct rpc_fields *f, const char *name);
bool rpc_fields_more(const struct rpc_fields *f); /* elements are left, nothing failed */
void rpc_fields_skip_rest(struct rpc_fields *f);
void rpc_fields_fail(struct rpc_fields *f, const char *name, const char *why);
bool rpc_fields_end(struct rpc_fields *f, struct err *err); /* BAD_WIRE "request: not an id" */

/* The value under `key` in a map; false when absent, nil, or `map` is empty bytes. */
bool rpc_map_get(struct view map, const char *key, struct view *ret_value);
bool rpc_map_text(struct view map, const char *key, struct view *ret_text);
bool rpc_map_bin(struct view map, const char *key, struct view *ret_bytes);
bool rpc_map_u64(struct view map, const char *key, uint64_t *ret_n);
bool rpc_map_bool(struct view map, const char *key); /* false when absent */
bool rpc_map_next(struct view *cursor, uint32_t *n_left, struct view *ret_key,
                  struct view *ret_value);
bool rpc_map_open(struct view map, struct view *ret_cursor, uint32_t *ret_n);
/* At this level; maps of at most 64 keys, more count as bad. */
bool rpc_map_has_duplicates(struct view map);

/* ---- writing: appends; on msgpack-c's packer -------------------------------------------------- */

void rpc_put_nil(struct buf *to);
void rpc_put_bool(struct buf *to, bool is);
void rpc_put_u64(struct buf *to, uint64_t n); /* shortest form */
void rpc_put_i64(struct buf *to, int64_t n);  /* likewise */
void rpc_put_double(struct buf *to, double n);
void rpc_put_text(struct buf *to, struct view text);
void rpc_put_str(struct buf *to, const char *text);
void rpc_put_bin(struct buf *to, struct view bytes);
void rpc_put_array(struct buf *to, uint32_t n);
void rpc_put_map(struct buf *to, uint32_t n);
static inline void rpc_put_raw(struct buf *to, struct view value) /* a value as it is */
{
    buf_put(to, value);
}
