/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/token.h"

#include "base/text.h"

/* The heads 0xc0 to 0xdf: what follows, and the bytes of its length, count or number. */
static const struct {
    uint8_t kind, width;
} heads[32] = {
    { RPC_NIL, 0 },       { RPC_TOKEN_RESERVED, 0 },
    { RPC_BOOL, 0 },      { RPC_BOOL, 0 },
    { RPC_BIN, 1 },       { RPC_BIN, 2 },
    { RPC_BIN, 4 },       { RPC_TOKEN_EXT, 0 },
    { RPC_TOKEN_EXT, 0 }, { RPC_TOKEN_EXT, 0 },
    { RPC_FLOAT, 4 },     { RPC_FLOAT, 8 },
    { RPC_INT, 1 },       { RPC_INT, 2 },
    { RPC_INT, 4 },       { RPC_INT, 8 },
    { RPC_INT, 1 },       { RPC_INT, 2 },
    { RPC_INT, 4 },       { RPC_INT, 8 },
    { RPC_TOKEN_EXT, 0 }, { RPC_TOKEN_EXT, 0 },
    { RPC_TOKEN_EXT, 0 }, { RPC_TOKEN_EXT, 0 },
    { RPC_TOKEN_EXT, 0 }, { RPC_TEXT, 1 },
    { RPC_TEXT, 2 },      { RPC_TEXT, 4 },
    { RPC_ARRAY, 2 },     { RPC_ARRAY, 4 },
    { RPC_MAP, 2 },       { RPC_MAP, 4 },
};

bool rpc_token_read_long(struct view bytes, struct rpc_token *ret_token)
{
    struct rpc_token token = { 0 };
    uint8_t head = bytes.data[0];

    if (rpc_token_is_undefined(bytes)) {
        *ret_token = (struct rpc_token){ .kind = RPC_TOKEN_EXT, .head = 3 };
        return true;
    }
    token.kind = heads[head - 0xc0].kind;
    token.head = 1u + heads[head - 0xc0].width;
    if (bytes.len < token.head)
        return false;
    for (size_t i = 1; i < token.head; i++)
        token.n = token.n << 8 | bytes.data[i];
    token.is_negative = head >= 0xd0 && head <= 0xd3 && (bytes.data[1] & 0x80);
    token.is_double = head == 0xcb;
    if (token.kind == RPC_BOOL)
        token.n = head == 0xc3;
    *ret_token = token;
    return true;
}

struct walk {
    struct view rest;
    struct level {
        uint64_t n_left; /* values; a pair of a map is two */
        bool is_map;
    } level[RPC_MAX_DEPTH];
    unsigned depth;
    unsigned n_maps; /* so far, of those that stand in the outermost array */
};

static const char *check_text(struct view text, bool is_key)
{
    if (!text_is_utf8(text))
        return "text is not UTF-8";
    if (is_key && view_eq_text(text, "__proto__"))
        return "a map key is __proto__";
    return NULL;
}

/* Right inside a message's options: the first of the maps that stand in the outermost array. They
 * are read here and go no further, unlike arguments. */
static bool is_in_options(const struct walk *w)
{
    return w->depth == 2 && w->level[1].is_map && !w->level[0].is_map && w->n_maps == 1;
}

/* Takes one head and, for text and bin, its bytes. Returns what is wrong, or NULL. */
static const char *walk_step(struct walk *w)
{
    struct level *in = w->depth ? &w->level[w->depth - 1] : NULL;
    bool is_key = in && in->is_map && in->n_left % 2 == 0;
    struct rpc_token token;
    struct view body;

    if (!rpc_token_read(w->rest, &token))
        return "cut short";
    if (token.kind == RPC_TOKEN_RESERVED ||
        (token.kind == RPC_TOKEN_EXT && !(token.head == 3 && is_in_options(w))))
        return "an ext or reserved type";
    if (is_key && token.kind != RPC_TEXT)
        return "a map key is not text";
    rpc_take(&w->rest, token.head, &body);
    if (in)
        in->n_left--;
    if (token.kind == RPC_TEXT || token.kind == RPC_BIN) {
        if (!rpc_take(&w->rest, (size_t)token.n, &body))
            return "cut short";
        return token.kind == RPC_TEXT ? check_text(body, is_key) : NULL;
    }
    if (token.kind == RPC_ARRAY || token.kind == RPC_MAP) {
        uint64_t n = token.kind == RPC_MAP ? 2 * token.n : token.n;
        if (w->depth == RPC_MAX_DEPTH)
            return "nested too deep";
        w->n_maps += w->depth == 1 && token.kind == RPC_MAP;
        if (n > w->rest.len) /* a value has at least one byte */
            return "cut short";
        w->level[w->depth++] = (struct level){ n, token.kind == RPC_MAP };
    }
    return NULL;
}

static bool walk_to_end(struct walk *w, struct view bytes, size_t *ret_len, struct err *err)
{
    const char *why;

    w->rest = bytes;
    do {
        size_t at = bytes.len - w->rest.len;
        why = walk_step(w);
        if (why)
            return err_set(err, ERR_BAD_WIRE, "byte %zu: %s", at, why);
        while (w->depth && w->level[w->depth - 1].n_left == 0)
            w->depth--;
    } while (w->depth);
    *ret_len = bytes.len - w->rest.len;
    return true;
}

bool rpc_walk(struct view bytes, size_t *ret_len, struct err *err)
{
    _uninitialized_ struct walk w;

    w.depth = w.n_maps = 0;
    return walk_to_end(&w, bytes, ret_len, err);
}

bool rpc_walk_payload(struct view bytes, size_t *ret_len, struct err *err)
{
    _uninitialized_ struct walk w;

    w.level[0] = (struct level){ 1, false }; /* the message, with its options already behind */
    w.depth = w.n_maps = 1;
    return walk_to_end(&w, bytes, ret_len, err);
}

size_t rpc_value_len_nested(struct view bytes)
{
    struct view rest = bytes, body;
    struct rpc_token token;

    for (uint64_t n_left = 1; n_left; n_left--) {
        if (!rpc_token_read(rest, &token) || !rpc_take(&rest, token.head, &body))
            return 0;
        if (token.kind == RPC_TEXT || token.kind == RPC_BIN) {
            if (!rpc_take(&rest, (size_t)token.n, &body))
                return 0;
        } else if (token.kind == RPC_ARRAY) {
            n_left += token.n;
        } else if (token.kind == RPC_MAP) {
            n_left += 2 * token.n;
        }
    }
    return bytes.len - rest.len;
}
