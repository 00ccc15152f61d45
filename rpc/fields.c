/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"
#include "rpc/token.h"

#include <stdio.h>

enum rpc_kind rpc_value_kind(struct view value)
{
    struct rpc_token token;

    if (!rpc_token_read(value, &token) || token.kind > RPC_MAP)
        return RPC_NIL;
    return (enum rpc_kind)token.kind;
}

/* Clients in languages without integers send large ones as float64 (2^53 by msgpack5, all above
 * 2^32 by msgpackr). */
static bool read_integral(uint64_t bits, uint64_t *ret_n)
{
    double number;

    memcpy(&number, &bits, sizeof(number));
    if (!(number >= 0 && number <= (double)RPC_MAX_ID) || (double)(uint64_t)number != number)
        return false;
    *ret_n = (uint64_t)number;
    return true;
}

bool rpc_value_u64(struct view value, uint64_t *ret_n)
{
    struct rpc_token token;

    if (!rpc_token_read(value, &token))
        return false;
    if (token.kind == RPC_FLOAT && token.is_double)
        return read_integral(token.n, ret_n);
    if (token.kind != RPC_INT || token.is_negative)
        return false;
    *ret_n = token.n;
    return true;
}

bool rpc_value_bool(struct view value, bool *ret_is)
{
    struct rpc_token token;

    if (!rpc_token_read(value, &token) || token.kind != RPC_BOOL)
        return false;
    *ret_is = token.n != 0;
    return true;
}

static bool value_bytes(struct view value, enum rpc_kind kind, struct view *ret_bytes)
{
    struct rpc_token token;
    struct view rest = value, head;

    return rpc_token_read(value, &token) && token.kind == kind &&
           rpc_take(&rest, token.head, &head) && rpc_take(&rest, (size_t)token.n, ret_bytes);
}

bool rpc_value_text(struct view value, struct view *ret_text)
{
    return value_bytes(value, RPC_TEXT, ret_text);
}

bool rpc_value_bin(struct view value, struct view *ret_bytes)
{
    return value_bytes(value, RPC_BIN, ret_bytes);
}

void rpc_fields_open(struct rpc_fields *f, struct view array)
{
    struct rpc_token token;

    *f = (struct rpc_fields){ .rest = array };
    if (!rpc_token_read(array, &token) || token.kind != RPC_ARRAY) {
        rpc_fields_fail(f, "fields", "not an array");
        return;
    }
    f->n_left = (uint32_t)token.n;
    f->rest = view_sub(array, token.head, array.len);
}

void rpc_fields_fail(struct rpc_fields *f, const char *name, const char *why)
{
    if (f->has_failed)
        return;
    f->has_failed = true;
    f->code = ERR_BAD_WIRE;
    snprintf(f->why, sizeof(f->why), "%s: %s", name, why);
}

struct view rpc_fields_value(struct rpc_fields *f, const char *name)
{
    struct view value = { 0 };
    size_t len;

    if (f->has_failed)
        return value;
    len = f->n_left ? rpc_value_len(f->rest) : 0;
    if (len == 0) {
        rpc_fields_fail(f, name, "missing");
        return value;
    }
    rpc_take(&f->rest, len, &value);
    f->n_left--;
    return value;
}

uint64_t rpc_fields_u64(struct rpc_fields *f, const char *name)
{
    uint64_t n = 0;

    if (!rpc_value_u64(rpc_fields_value(f, name), &n))
        rpc_fields_fail(f, name, "not a non-negative integer");
    return n;
}

uint64_t rpc_fields_id(struct rpc_fields *f, const char *name)
{
    uint64_t n = 0;

    if (!rpc_value_u64(rpc_fields_value(f, name), &n) || n < 1 || n > RPC_MAX_ID) {
        rpc_fields_fail(f, name, "not an id");
        return 0;
    }
    return n;
}

struct view rpc_fields_text(struct rpc_fields *f, const char *name, size_t max)
{
    struct view text = { 0 };

    if (!rpc_value_text(rpc_fields_value(f, name), &text)) {
        rpc_fields_fail(f, name, "not text");
    } else if (text.len > max) {
        rpc_fields_fail(f, name, "too long");
        text = (struct view){ 0 };
    }
    return text;
}

/* What stands next is nil, or nothing: the two are the same. Takes the nil. */
static bool take_absent(struct rpc_fields *f)
{
    if (f->has_failed || f->n_left == 0)
        return true;
    if (rpc_value_kind(f->rest) != RPC_NIL)
        return false;
    rpc_fields_value(f, "nil");
    return true;
}

struct view rpc_fields_text_or_nil(struct rpc_fields *f, const char *name, size_t max)
{
    return take_absent(f) ? (struct view){ 0 } : rpc_fields_text(f, name, max);
}

/* Which components may be empty: what a pattern of that kind leaves open. */
enum uri_kind { URI_PLAIN, URI_PREFIX, URI_WILDCARD };

static const char *uri_fault(struct view uri, enum uri_kind kind)
{
    bool is_empty = true;

    if (uri.len > RPC_MAX_URI)
        return "longer than 255 bytes";
    for (size_t i = 0; i < uri.len; i++) {
        uint8_t c = uri.data[i];
        if (c == '.' && is_empty && kind != URI_WILDCARD)
            return "empty component";
        if (c == '#' || c <= ' ' || c == 0x7f)
            return "'#', space or control character";
        is_empty = c == '.';
    }
    return is_empty && kind == URI_PLAIN ? "empty component" : NULL;
}

bool rpc_uri_is_valid(struct view uri)
{
    return uri_fault(uri, URI_PLAIN) == NULL;
}

bool rpc_uri_is_below(struct view prefix, struct view uri)
{
    return view_starts(uri, prefix) && (uri.len == prefix.len || uri.data[prefix.len] == '.');
}

static struct view take_uri(struct rpc_fields *f, const char *name, enum uri_kind kind)
{
    struct view uri = rpc_fields_text(f, name, SIZE_MAX);
    const char *fault;

    if (f->has_failed)
        return uri;
    fault = uri_fault(uri, kind);
    if (fault) {
        rpc_fields_fail(f, name, fault);
        f->code = ERR_INVALID_URI;
        return (struct view){ 0 };
    }
    return uri;
}

struct view rpc_fields_uri(struct rpc_fields *f, const char *name)
{
    return take_uri(f, name, URI_PLAIN);
}

struct view rpc_fields_pattern(struct rpc_fields *f, const char *name, bool is_wildcard)
{
    return take_uri(f, name, is_wildcard ? URI_WILDCARD : URI_PREFIX);
}

struct view rpc_fields_bin(struct rpc_fields *f, const char *name, size_t max)
{
    struct view bytes = { 0 };

    if (!rpc_value_bin(rpc_fields_value(f, name), &bytes)) {
        rpc_fields_fail(f, name, "not binary");
    } else if (bytes.len > max) {
        rpc_fields_fail(f, name, "too long");
        bytes = (struct view){ 0 };
    }
    return bytes;
}

struct view rpc_fields_bin_or_nil(struct rpc_fields *f, const char *name, size_t max)
{
    return take_absent(f) ? (struct view){ 0 } : rpc_fields_bin(f, name, max);
}

struct view rpc_fields_fixed(struct rpc_fields *f, const char *name, size_t size)
{
    struct view bytes = rpc_fields_bin(f, name, SIZE_MAX);

    if (bytes.len != size) {
        rpc_fields_fail(f, name, "of a wrong length");
        return (struct view){ 0 };
    }
    return bytes;
}

static struct view take_kind(struct rpc_fields *f, const char *name, enum rpc_kind kind,
                             const char *fault)
{
    struct view value = rpc_fields_value(f, name);

    if (value.len == 0 || rpc_value_kind(value) != kind) {
        rpc_fields_fail(f, name, fault);
        return (struct view){ 0 };
    }
    return value;
}

struct view rpc_fields_array(struct rpc_fields *f, const char *name)
{
    return take_kind(f, name, RPC_ARRAY, "not an array");
}

struct view rpc_fields_map(struct rpc_fields *f, const char *name)
{
    return take_kind(f, name, RPC_MAP, "not a map");
}

bool rpc_fields_more(const struct rpc_fields *f)
{
    return !f->has_failed && f->n_left > 0;
}

void rpc_fields_skip_rest(struct rpc_fields *f)
{
    while (rpc_fields_more(f))
        rpc_fields_value(f, "rest");
}

bool rpc_fields_end(struct rpc_fields *f, struct err *err)
{
    if (rpc_fields_more(f))
        rpc_fields_fail(f, "fields", "more than expected");
    return !f->has_failed || err_set(err, f->code, "%s", f->why);
}
