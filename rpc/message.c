/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message_tables.h"
#include "rpc/token.h"

#include <stdio.h>

/* The member of `msg` that a shape fills; all structs of the union start where it starts. */
static void *member(struct rpc_msg *msg, const struct rpc_shape *shape)
{
    return (char *)&msg->hello + shape->at;
}

static const void *member_of(const struct rpc_msg *msg, const struct rpc_shape *shape)
{
    return (const char *)&msg->hello + shape->at;
}

#define GET(type) (*(const type *)member_of(msg, shape))
#define SET(type) (*(type *)member(msg, shape))

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_texts(struct view value)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, value);
    while (rpc_fields_more(&f))
        rpc_fields_text(&f, "item", RPC_MAX_URI);
    return rpc_fields_end(&f, &err);
}

static const char *read_text(struct view value, size_t max, struct view *ret_text)
{
    if (!rpc_value_text(value, ret_text))
        return "not text";
    return ret_text->len > max ? "too long" : NULL;
}

static bool is_ids(struct view value)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, value);
    while (rpc_fields_more(&f))
        rpc_fields_id(&f, "item");
    return rpc_fields_end(&f, &err);
}

/* One of three words. */
static const char *read_word(struct view value, const char *const words[3], const char *why,
                             struct view *ret_word)
{
    struct view text;

    if (!rpc_value_text(value, &text))
        return "not text";
    for (size_t i = 0; i < 3; i++) {
        if (view_eq_text(text, words[i])) {
            *ret_word = text;
            return NULL;
        }
    }
    return why;
}

static const char *const matches[] = { "exact", "prefix", "wildcard" };
static const char *const modes[] = { "skip", "kill", "killnowait" };

/* One value of a dictionary. Returns what is wrong, or NULL. */
static const char *read_key(struct rpc_msg *msg, const struct rpc_shape *shape, struct view value)
{
    bool is = false;

    switch (shape->kind) {
    case RPC_S_TEXT:
        return read_text(value, RPC_MAX_URI, &SET(struct view));
    case RPC_S_LONG_TEXT:
        return read_text(value, RPC_MAX_TEXT, &SET(struct view));
    case RPC_S_U64:
        if (!rpc_value_u64(value, &SET(uint64_t)) || GET(uint64_t) > RPC_MAX_ID)
            return "not an integer up to 2^53";
        return NULL;
    case RPC_S_BOOL:
    case RPC_S_NOT:
        if (!rpc_value_bool(value, &is))
            return "not a boolean";
        SET(bool) = is == (shape->kind == RPC_S_BOOL);
        return NULL;
    case RPC_S_TEXTS:
        if (!is_texts(value))
            return "not an array of text";
        SET(struct view) = value;
        return NULL;
    case RPC_S_MAP:
        if (rpc_value_kind(value) != RPC_MAP)
            return "not a map";
        if (rpc_map_has_duplicates(value))
            return "a key twice, or more than 64";
        SET(struct view) = value;
        return NULL;
    case RPC_S_MATCH:
        return read_word(value, matches, "neither exact, prefix nor wildcard", &SET(struct view));
    case RPC_S_MODE:
        return read_word(value, modes, "neither skip, kill nor killnowait", &SET(struct view));
    case RPC_S_IDS:
        if (!is_ids(value))
            return "not an array of ids";
        SET(struct view) = value;
        return NULL;
    case RPC_S_CLIENT_ROLES:
    case RPC_S_ROUTER_ROLES:
        if (rpc_value_kind(value) != RPC_MAP)
            return "not a map";
        SET(struct view) = value;
        return NULL;
    default:
        abort(); /* the tables are ours */
    }
}

static struct view take_map(struct rpc_fields *f, const char *name)
{
    struct view map = rpc_fields_map(f, name);

    if (map.len && rpc_map_has_duplicates(map)) {
        rpc_fields_fail(f, name, "a key twice, or more than 64");
        return (struct view){ 0 };
    }
    return map;
}

static const struct rpc_shape *key_shape(const struct rpc_shape *dict, struct view name)
{
    for (; dict->kind != RPC_S_END; dict++) {
        if (name.len && name.data[0] == (uint8_t)dict->name[0] && view_eq_text(name, dict->name))
            return dict;
    }
    return NULL;
}

static void fail_key(struct rpc_fields *f, const char *dict, const char *key, const char *why)
{
    char name[64];

    snprintf(name, sizeof(name), "%s: %s", dict, key);
    rpc_fields_fail(f, name, why);
}

static bool is_among(const struct view *keys, size_t n, struct view name)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].len == name.len && view_eq(keys[i], name))
            return true;
    return false;
}

/* What is wrong with a key, or NULL. Those that the table does not know are passed over; nil is absent. */
static const char *take_key(struct rpc_msg *msg, const struct rpc_shape *key, struct view value)
{
    return key && rpc_value_kind(value) != RPC_NIL ? read_key(msg, key, value) : NULL;
}

/* Every message has such a map, most of them empty or small: it is walked once. */
static void read_dict(struct rpc_fields *f, struct rpc_msg *msg, const struct rpc_shape *shape)
{
    _uninitialized_ struct view keys[RPC_MAX_MAP_KEYS];
    struct view cursor, value;
    size_t n_keys = 0;
    uint32_t n;

    if (f->has_failed || f->n_left == 0 || !rpc_map_open(f->rest, &cursor, &n)) {
        rpc_fields_map(f, shape->name); /* which says what is wrong */
        return;
    }
    bool is_wrong = n > RPC_MAX_MAP_KEYS;
    for (; !is_wrong && rpc_map_next(&cursor, &n, &keys[n_keys], &value); n_keys++) {
        const struct rpc_shape *key = key_shape(shape->dict, keys[n_keys]);
        const char *why = take_key(msg, key, value);
        if (why) {
            fail_key(f, shape->name, key->name, why);
            return;
        }
        is_wrong = is_among(keys, n_keys, keys[n_keys]);
    }
    if (is_wrong)
        rpc_fields_fail(f, shape->name, "a key twice, or more than 64");
    f->rest = cursor;
    f->n_left--;
}

static struct view read_signature(struct rpc_fields *f, const char *name)
{
    struct view value = rpc_fields_value(f, name), bytes = { 0 };

    if (!rpc_value_bin(value, &bytes) && !rpc_value_text(value, &bytes))
        rpc_fields_fail(f, name, "neither binary nor text");
    else if (bytes.len > RPC_MAX_SIGNATURE)
        rpc_fields_fail(f, name, "too long");
    return f->has_failed ? (struct view){ 0 } : bytes;
}

static enum rpc_type read_request_type(struct rpc_fields *f, const char *name)
{
    uint64_t type = rpc_fields_u64(f, name);

    if (!f->has_failed && (type > RPC_YIELD || !rpc_type_is_request((enum rpc_type)type)))
        rpc_fields_fail(f, name, "not a request's type");
    return f->has_failed ? 0 : (enum rpc_type)type;
}

/* [67, request], or when the router takes it away [67, 0, {"registration": id}]. */
static void read_revoked(struct rpc_fields *f, struct rpc_ids *ids, const char *key)
{
    uint64_t request = rpc_fields_u64(f, "request"), second = 0;
    struct view details = { 0 };

    if (rpc_fields_more(f))
        details = take_map(f, "details");
    if (f->has_failed)
        return;
    if (request == 0 && (!rpc_map_u64(details, key, &second) || second < 1 || second > RPC_MAX_ID))
        rpc_fields_fail(f, key, "not an id");
    else if (request > RPC_MAX_ID)
        rpc_fields_fail(f, "request", "not an id");
    rpc_map_text(details, "reason", &ids->reason);
    ids->request = request;
    ids->second = second;
}

/* Only the options say what the text may be: they stand before it. */
static struct view read_pattern(struct rpc_fields *f, const char *name, struct view match)
{
    bool is_prefix = view_eq_text(match, "prefix"), is_wildcard = view_eq_text(match, "wildcard");

    return is_prefix || is_wildcard ? rpc_fields_pattern(f, name, is_wildcard)
                                    : rpc_fields_uri(f, name);
}

/* The last value of a message is all that is left of it: no need to walk it again. */
static bool take_last_args(struct rpc_fields *f, struct rpc_payload *ret_payload)
{
    if (f->has_failed || f->n_left != 1 || rpc_value_kind(f->rest) != RPC_ARRAY)
        return false;
    *ret_payload = rpc_args(f->rest);
    f->rest = (struct view){ 0 };
    f->n_left = 0;
    return true;
}

static struct rpc_payload read_payload(struct rpc_fields *f)
{
    struct rpc_payload payload = { .bytes = f->rest };

    if (take_last_args(f, &payload))
        return payload;
    if (rpc_fields_more(f)) {
        rpc_fields_array(f, "args");
        payload.n++;
    }
    if (rpc_fields_more(f)) {
        rpc_fields_map(f, "kwargs");
        payload.n++;
    }
    if (f->has_failed || payload.n == 0)
        return (struct rpc_payload){ 0 };
    payload.bytes.len -= f->rest.len;
    return payload;
}

static void read_shape(struct rpc_fields *f, struct rpc_msg *msg, const struct rpc_shape *shape)
{
    switch (shape->kind) {
    case RPC_S_ID:
        SET(uint64_t) = rpc_fields_id(f, shape->name);
        break;
    case RPC_S_URI:
        SET(struct view) = rpc_fields_uri(f, shape->name);
        break;
    case RPC_S_PATTERN:
        SET(struct view) = read_pattern(f, shape->name, msg->reg.match);
        break;
    case RPC_S_TEXT:
        SET(struct view) = rpc_fields_text(f, shape->name, RPC_MAX_URI);
        break;
    case RPC_S_MAP:
        SET(struct view) = take_map(f, shape->name);
        break;
    case RPC_S_DICT:
        read_dict(f, msg, shape);
        break;
    case RPC_S_SIGNATURE:
        SET(struct view) = read_signature(f, shape->name);
        break;
    case RPC_S_ERROR_TYPE:
        SET(enum rpc_type) = read_request_type(f, shape->name);
        break;
    case RPC_S_REVOKED:
        read_revoked(f, &msg->ids, shape->name);
        break;
    case RPC_S_PAYLOAD:
        SET(struct rpc_payload) = read_payload(f);
        break;
    default:
        abort();
    }
}

/* What can be answered to the one who asked. */
static bool is_named_request(enum rpc_type type)
{
    return type == RPC_HELLO || type == RPC_CALL || type == RPC_REGISTER || type == RPC_SUBSCRIBE ||
           type == RPC_PUBLISH;
}

/* Fills *msg as far as it goes. */
static bool read_message(struct view frame, struct rpc_msg *msg, struct err *err)
{
    struct rpc_fields f;
    uint64_t type;
    size_t len;

    if (frame.len > RPC_MAX_MESSAGE)
        return err_set(err, ERR_TOO_LARGE, "message: longer than %d bytes", RPC_MAX_MESSAGE);
    if (!rpc_walk(frame, &len, err))
        return err_wrap(err, "message");
    if (len != frame.len)
        return err_set(err, ERR_BAD_WIRE, "message: byte %zu: more than one value", len);
    rpc_fields_open(&f, frame);
    type = rpc_fields_u64(&f, "type");
    if (f.has_failed)
        return err_set(err, ERR_BAD_WIRE, "message: %s", f.why);
    if (type > RPC_YIELD || !rpc_shape_of((enum rpc_type)type))
        return err_set(err, ERR_BAD_WIRE, "message: type: %llu is none of ours",
                       (unsigned long long)type);
    msg->type = (enum rpc_type)type;
    for (const struct rpc_shape *shape = rpc_shape_of(msg->type); shape->kind != RPC_S_END; shape++)
        read_shape(&f, msg, shape);
    if (rpc_fields_end(&f, err))
        return true;
    if (err->code == ERR_INVALID_URI && !is_named_request(msg->type))
        err->code = ERR_BAD_WIRE;
    return err_wrap(err, "%s", rpc_type_name(msg->type));
}

bool rpc_msg_read(struct view frame, struct rpc_msg *ret_msg, struct err *err)
{
    *ret_msg = (struct rpc_msg){ 0 };
    return read_message(frame, ret_msg, err);
}

void rpc_msg_read_misnamed(struct view frame, struct rpc_msg *ret_msg)
{
    struct err ignored;

    *ret_msg = (struct rpc_msg){ 0 };
    read_message(frame, ret_msg, &ignored);
}

struct view rpc_payload_args(struct rpc_payload payload)
{
    static const uint8_t none[] = { 0x90 };

    return payload.n ? view_sub(payload.bytes, 0, rpc_value_len(payload.bytes)) : VIEW_ARR(none);
}

struct view rpc_payload_kwargs(struct rpc_payload payload)
{
    if (payload.n < 2)
        return (struct view){ 0 };
    return view_sub(payload.bytes, rpc_value_len(payload.bytes), payload.bytes.len);
}

bool rpc_roles_have(struct view roles, const char *role, const char *feature)
{
    struct view of_role, features;

    return rpc_map_get(roles, role, &of_role) && rpc_map_get(of_role, "features", &features) &&
           rpc_map_bool(features, feature);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_roles(struct buf *to, const struct rpc_role *roles)
{
    uint32_t n = 0;

    while (roles[n].name)
        n++;
    rpc_put_map(to, n);
    for (; roles->name; roles++) {
        for (n = 0; roles->features[n]; n++)
            ;
        rpc_put_str(to, roles->name);
        rpc_put_map(to, 1);
        rpc_put_str(to, "features");
        rpc_put_map(to, n);
        for (uint32_t i = 0; i < n; i++) {
            rpc_put_str(to, roles->features[i]);
            rpc_put_bool(to, true);
        }
    }
}

static bool is_present(const struct rpc_msg *msg, const struct rpc_shape *shape)
{
    switch (shape->kind) {
    case RPC_S_U64:
        return GET(uint64_t) != 0;
    case RPC_S_BOOL:
    case RPC_S_NOT:
        return GET(bool);
    case RPC_S_CLIENT_ROLES:
    case RPC_S_ROUTER_ROLES:
        return true;
    default:
        return GET(struct view).len != 0;
    }
}

static void put_key(struct buf *to, const struct rpc_msg *msg, const struct rpc_shape *shape)
{
    rpc_put_str(to, shape->name);
    switch (shape->kind) {
    case RPC_S_TEXT:
    case RPC_S_LONG_TEXT:
    case RPC_S_MATCH:
    case RPC_S_MODE:
        rpc_put_text(to, GET(struct view));
        break;
    case RPC_S_U64:
        rpc_put_u64(to, GET(uint64_t));
        break;
    case RPC_S_BOOL:
    case RPC_S_NOT:
        rpc_put_bool(to, shape->kind == RPC_S_BOOL);
        break;
    case RPC_S_TEXTS:
    case RPC_S_IDS:
    case RPC_S_MAP:
        rpc_put_raw(to, GET(struct view));
        break;
    case RPC_S_CLIENT_ROLES:
        put_roles(to, rpc_client_roles);
        break;
    case RPC_S_ROUTER_ROLES:
        put_roles(to, rpc_router_roles);
        break;
    default:
        abort();
    }
}

static void put_dict(struct buf *to, const struct rpc_msg *msg, const struct rpc_shape *dict)
{
    uint32_t n = 0;

    for (const struct rpc_shape *key = dict; key->kind != RPC_S_END; key++)
        n += is_present(msg, key);
    rpc_put_map(to, n);
    for (const struct rpc_shape *key = dict; key->kind != RPC_S_END; key++) {
        if (is_present(msg, key))
            put_key(to, msg, key);
    }
}

static void put_revoked(struct buf *to, const struct rpc_ids *ids, const char *key)
{
    rpc_put_u64(to, ids->request);
    if (ids->request)
        return;
    rpc_put_map(to, ids->reason.len ? 2 : 1);
    rpc_put_str(to, key);
    rpc_put_u64(to, ids->second);
    if (!ids->reason.len)
        return;
    rpc_put_str(to, "reason");
    rpc_put_text(to, ids->reason);
}

static void put_map_or_empty(struct buf *to, struct view map)
{
    if (map.len)
        rpc_put_raw(to, map);
    else
        rpc_put_map(to, 0);
}

/* The elements that a shape comes to. */
static uint32_t n_elements(const struct rpc_msg *msg, const struct rpc_shape *shape)
{
    if (shape->kind == RPC_S_PAYLOAD)
        return GET(struct rpc_payload).n;
    return shape->kind == RPC_S_REVOKED && msg->ids.request == 0 ? 2 : 1;
}

static void put_shape(struct buf *to, const struct rpc_msg *msg, const struct rpc_shape *shape)
{
    switch (shape->kind) {
    case RPC_S_ID:
        rpc_put_u64(to, GET(uint64_t));
        break;
    case RPC_S_URI:
    case RPC_S_PATTERN:
    case RPC_S_TEXT:
        rpc_put_text(to, GET(struct view));
        break;
    case RPC_S_MAP:
        put_map_or_empty(to, GET(struct view));
        break;
    case RPC_S_DICT:
        put_dict(to, msg, shape->dict);
        break;
    case RPC_S_SIGNATURE:
        rpc_put_bin(to, GET(struct view));
        break;
    case RPC_S_ERROR_TYPE:
        rpc_put_u64(to, GET(enum rpc_type));
        break;
    case RPC_S_REVOKED:
        put_revoked(to, &msg->ids, shape->name);
        break;
    case RPC_S_PAYLOAD:
        rpc_put_raw(to, GET(struct rpc_payload).bytes);
        break;
    default:
        abort();
    }
}

void rpc_msg_write(const struct rpc_msg *msg, struct buf *to)
{
    const struct rpc_shape *shapes = rpc_shape_of(msg->type);
    uint32_t n = 1;

    if (!shapes)
        abort();
    for (const struct rpc_shape *shape = shapes; shape->kind != RPC_S_END; shape++)
        n += n_elements(msg, shape);
    rpc_put_array(to, n);
    rpc_put_u64(to, (uint64_t)msg->type);
    for (const struct rpc_shape *shape = shapes; shape->kind != RPC_S_END; shape++)
        put_shape(to, msg, shape);
}
