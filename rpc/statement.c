/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/statement_words.h"
#include "base/clock.h"
#include "base/text.h"
#include "rpc/message.h"
#include "rpc/names.h"

#include <stdio.h>

static const char prefix[] = "warren/1 ";
enum { KEY_ENTRY = 1 + KEY_SIZE + 8 + 8 };

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_visible(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    return true;
}

static bool is_printable(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    }
    return true;
}

static bool is_one_of(struct view text, const char *const *words)
{
    for (; *words; words++) {
        if (view_eq_text(text, *words))
            return true;
    }
    return false;
}

static bool is_owner(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9'))
            return false;
    }
    return text.len >= 1 && text.len <= 15;
}

static const char *check_text(const struct rpc_field *field, struct view text)
{
    static const char *const roles[] = { "peer", "admin", NULL };
    static const char *const bindings[] = { "tls-exporter", "tls-server-end-point", "none", NULL };

    switch (field->kind) {
    case RPC_F_NETWORK:
        return text_is_network(text) ? NULL : "not a network's name";
    case RPC_F_ID:
        return text_is_id(text) ? NULL : "not an ID of 6 to 9 digits";
    case RPC_F_OWNER:
        return is_owner(text) ? NULL : "neither an ID nor 1 to 15 of a-z 0-9";
    case RPC_F_NAME:
        return rpc_name_is_valid(text) ? NULL : "not a name";
    case RPC_F_ROLE:
        return is_one_of(text, roles) ? NULL : "neither peer nor admin";
    case RPC_F_BINDING:
        return is_one_of(text, bindings) ? NULL : "not a binding";
    case RPC_F_PROCEDURE:
        return rpc_uri_is_valid(text) && is_visible(text) ? NULL : "not a procedure";
    default: /* RPC_F_HOST */
        return text.len <= field->size && is_printable(text) ? NULL : "not printable, or too long";
    }
}

/* The next `length | bytes` of a field. */
static bool take_item(struct view *list, struct view *ret_item)
{
    uint32_t len;

    return view_take_u32(list, &len) && view_take(list, len, ret_item);
}

static const char *read_items(const struct rpc_field *field, struct view list,
                              struct rpc_items *ret_items)
{
    struct rpc_items items = { 0 };
    uint16_t n;

    if (!view_take_u16(&list, &n))
        return "cut short";
    if (n > RPC_MAX_ITEMS)
        return "more than 16 items";
    for (; items.n < n; items.n++) {
        struct view item;
        if (!take_item(&list, &item))
            return "cut short";
        if (field->kind == RPC_F_HASHES && item.len != HASH_SIZE)
            return "not a hash";
        if (field->kind == RPC_F_TEXTS &&
            (item.len == 0 || item.len > field->size || !is_visible(item)))
            return "an item is empty, too long or not visible text";
        items.item[items.n] = item;
    }
    *ret_items = items;
    return list.len ? "bytes left over" : NULL;
}

static bool read_key(struct view bytes, struct rpc_key_entry *ret_entry)
{
    struct rpc_key_entry entry = { 0 };
    uint8_t role;

    if (bytes.len != KEY_ENTRY || !view_take_u8(&bytes, &role) || role < RPC_KEY_DEN_LOGIN ||
        role > RPC_KEY_ROUTER)
        return false;
    entry.role = (enum rpc_key_role)role;
    if (!view_take(&bytes, KEY_SIZE, &entry.pk) || !view_take_u64(&bytes, &entry.from) ||
        !view_take_u64(&bytes, &entry.to))
        return false;
    *ret_entry = entry;
    return entry.from < entry.to;
}

static const char *read_keys(struct view list, struct rpc_key_list *keys)
{
    struct view item;
    uint16_t n;

    keys->n = 0;
    if (!view_take_u16(&list, &n))
        return "cut short";
    if (n > RPC_MAX_KEYS)
        return "more than 64 keys";
    for (; keys->n < n; keys->n++) {
        if (!take_item(&list, &item))
            return "cut short";
        if (!read_key(item, &keys->item[keys->n]))
            return "not a key entry";
    }
    return list.len ? "bytes left over" : NULL;
}

static const char *read_number(const struct rpc_field *field, struct view bytes, uint64_t *ret_n)
{
    uint8_t small;

    if (field->kind == RPC_F_U8) {
        if (bytes.len != 1 || !view_take_u8(&bytes, &small) || small > field->size)
            return "out of range";
        *ret_n = small;
        return NULL;
    }
    if (bytes.len != 8 || !view_take_u64(&bytes, ret_n))
        return "not 8 bytes";
    return field->kind == RPC_F_NUMBER && *ret_n == 0 ? "0" : NULL;
}

/* Returns what is wrong, or NULL. */
static const char *read_field(const struct rpc_field *field, struct view bytes, void *to)
{
    switch (field->kind) {
    case RPC_F_FIXED:
    case RPC_F_MAYBE:
        if (bytes.len != field->size && (field->kind == RPC_F_FIXED || bytes.len))
            return "of a wrong length";
        *(struct view *)to = bytes;
        return NULL;
    case RPC_F_BYTES:
        if (bytes.len == 0 || bytes.len > field->size)
            return "of a wrong length";
        *(struct view *)to = bytes;
        return NULL;
    case RPC_F_U8:
    case RPC_F_TIME:
    case RPC_F_NUMBER:
        return read_number(field, bytes, to);
    case RPC_F_HASHES:
    case RPC_F_TEXTS:
        return read_items(field, bytes, to);
    case RPC_F_KEYS:
        return read_keys(bytes, to);
    case RPC_F_NETWORK:
    case RPC_F_ID:
    case RPC_F_OWNER:
    case RPC_F_NAME:
    case RPC_F_ROLE:
    case RPC_F_BINDING:
    case RPC_F_PROCEDURE:
    case RPC_F_HOST:
        *(struct view *)to = bytes;
        return check_text(field, bytes);
    }
    abort(); /* the tables are ours */
}

/* `warren/1 WORD` NUL and the number of fields. */
static bool take_head(const struct rpc_word_shape *shape, struct view *bytes)
{
    size_t n_word = strlen(shape->word) + 1;
    struct view start;
    uint8_t n;

    return view_take(bytes, sizeof(prefix) - 1, &start) && view_eq_text(start, prefix) &&
           view_take(bytes, n_word, &start) && memcmp(start.data, shape->word, n_word) == 0 &&
           view_take_u8(bytes, &n) && n == shape->n_fields;
}

static bool read_all(const struct rpc_word_shape *shape, struct view bytes, void *statement,
                     struct err *err)
{
    const char *why;

    if (bytes.len > RPC_MAX_STATEMENT)
        return err_set(err, ERR_BAD_STATEMENT, "longer than %d bytes", RPC_MAX_STATEMENT);
    if (!take_head(shape, &bytes))
        return err_set(err, ERR_BAD_STATEMENT, "another statement, or another number of fields");
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct rpc_field *field = &shape->fields[i];
        struct view item;
        why = take_item(&bytes, &item) ? read_field(field, item, (char *)statement + field->at)
                                       : "cut short";
        if (why)
            return err_set(err, ERR_BAD_STATEMENT, "%s: %s", field->name, why);
    }
    if (bytes.len)
        return err_set(err, ERR_BAD_STATEMENT, "bytes left over");
    why = shape->check ? shape->check(statement) : NULL;
    return !why || err_set(err, ERR_BAD_STATEMENT, "%s", why);
}

bool rpc_statement_read(enum rpc_word word, struct view bytes, void *ret_statement, struct err *err)
{
    const struct rpc_word_shape *shape = rpc_word_shape(word);
    union rpc_any_statement any;

    memset(&any, 0, sizeof(any));
    if (!read_all(shape, bytes, &any, err))
        return err_wrap(err, "%s", shape->word);
    memcpy(ret_statement, &any, shape->struct_size);
    return true;
}

bool rpc_statement_open(enum rpc_word word, struct view pk, struct view bytes, struct view sig,
                        void *ret_statement, struct err *err)
{
    if (bytes.len > RPC_MAX_STATEMENT || !key_verify(pk, bytes, sig))
        return err_set(err, ERR_BAD_SIGNATURE, "%s: the signature does not verify",
                       rpc_word_shape(word)->word);
    return rpc_statement_read(word, bytes, ret_statement, err);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_item(struct buf *to, struct view bytes)
{
    buf_put_u32(to, (uint32_t)bytes.len);
    buf_put(to, bytes);
}

static void put_items(struct buf *to, const struct rpc_items *items)
{
    buf_put_u16(to, (uint16_t)items->n);
    for (size_t i = 0; i < items->n; i++)
        put_item(to, items->item[i]);
}

static void put_keys(struct buf *to, const struct rpc_key_list *keys)
{
    buf_put_u16(to, (uint16_t)keys->n);
    for (size_t i = 0; i < keys->n; i++) {
        buf_put_u32(to, KEY_ENTRY);
        buf_put_u8(to, (uint8_t)keys->item[i].role);
        buf_put(to, keys->item[i].pk);
        buf_put_u64(to, keys->item[i].from);
        buf_put_u64(to, keys->item[i].to);
    }
}

static void put_field(struct buf *to, const struct rpc_field *field, const void *from)
{
    _buf_ bytes = { 0 };

    switch (field->kind) {
    case RPC_F_U8:
        buf_put_u8(&bytes, (uint8_t)min_u64(*(const uint64_t *)from, UINT8_MAX));
        break;
    case RPC_F_TIME:
    case RPC_F_NUMBER:
        buf_put_u64(&bytes, *(const uint64_t *)from);
        break;
    case RPC_F_HASHES:
    case RPC_F_TEXTS:
        put_items(&bytes, from);
        break;
    case RPC_F_KEYS:
        put_keys(&bytes, from);
        break;
    case RPC_F_FIXED:
    case RPC_F_MAYBE:
    case RPC_F_BYTES:
    case RPC_F_NETWORK:
    case RPC_F_ID:
    case RPC_F_OWNER:
    case RPC_F_NAME:
    case RPC_F_ROLE:
    case RPC_F_BINDING:
    case RPC_F_PROCEDURE:
    case RPC_F_HOST:
        buf_put(&bytes, *(const struct view *)from);
        break;
    }
    put_item(to, buf_view(&bytes));
}

void rpc_statement_write(enum rpc_word word, const void *statement, struct buf *to)
{
    const struct rpc_word_shape *shape = rpc_word_shape(word);
    union rpc_any_statement back;
    size_t start = to->len;
    struct err err;

    buf_put_text(to, prefix);
    buf_put(to, VIEW(shape->word, strlen(shape->word) + 1));
    buf_put_u8(to, (uint8_t)shape->n_fields);
    for (size_t i = 0; i < shape->n_fields; i++)
        put_field(to, &shape->fields[i], (const char *)statement + shape->fields[i].at);
    if (rpc_statement_read(word, view_sub(buf_view(to), start, to->len), &back, &err))
        return;
    fprintf(stderr, "writing a statement that nobody would read: %s\n", err.text);
    abort();
}

void rpc_statement_sign(enum rpc_word word, const void *statement, const struct key *key,
                        struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE])
{
    buf_clear(ret_bytes);
    rpc_statement_write(word, statement, ret_bytes);
    key_sign(key, buf_view(ret_bytes), ret_sig);
}

void rpc_request_put(struct buf *to, const struct key *identity, const struct rpc_request *context,
                     const char *procedure, struct view body)
{
    struct rpc_request request = *context;
    uint8_t nonce[RPC_NONCE16], body_hash[HASH_SIZE], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    random_bytes(nonce, sizeof(nonce));
    hash_sha256(body, body_hash);
    request.procedure = view_text(procedure);
    request.nonce = VIEW_ARR(nonce);
    request.body_hash = VIEW_ARR(body_hash);
    rpc_statement_sign(RPC_W_REQUEST, &request, identity, &bytes, sig);
    rpc_put_array(to, 3);
    rpc_put_bin(to, body);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
}
