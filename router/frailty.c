/* SPDX-License-Identifier: Apache-2.0 */
#include "router/frailty.h"

/* A feature that nobody else announces stands for the library: autobahn for Python sends no agent
 * in HELLO, and its version nowhere. */
static const struct {
    const char *role, *feature;
} signs[] = {
    { "caller", "payload_encryption_cryptobox" },
    { "callee", "payload_encryption_cryptobox" },
    { "subscriber", "payload_encryption_cryptobox" },
    { "publisher", "payload_encryption_cryptobox" },
};

/* What autobahn 22.7 does with kwargs in each. */
enum place { AS_EVENT, AS_INVOCATION, AS_RESULT, AS_PROGRESS, AS_ERROR, PLACES };
enum { KEYWORDS = 8 };
static const char *const keywords[PLACES][KEYWORDS] = {
    [AS_EVENT] = { "self", "fun" }, /* txaio.as_future(self, fun, ...) */
    [AS_INVOCATION] = { "self", "fun" },
    /* CallResult(self, ..., callee=, callee_authid=, callee_authrole=, forward_for=, **kwargs), which
     * takes enc_algo out of them and looks whether it is text */
    [AS_RESULT] = { "self", "callee", "callee_authid", "callee_authrole", "forward_for",
                    "enc_algo" },
    [AS_PROGRESS] = { "self", "fun", "callee", "callee_authid", "callee_authrole", "forward_for",
                      "enc_algo" },
    [AS_ERROR] = { "self", "error" }, /* ApplicationError(self, error, ...) */
};

bool frailty_is_in(struct view roles)
{
    for (size_t i = 0; i < N_ELEMENTS(signs); i++) {
        if (rpc_roles_have(roles, signs[i].role, signs[i].feature))
            return true;
    }
    return false;
}

static const char *find_keyword(enum place place, struct view key)
{
    for (size_t i = 0; i < KEYWORDS && keywords[place][i]; i++) {
        if (view_eq_text(key, keywords[place][i]))
            return keywords[place][i];
    }
    return NULL;
}

static const char *find(enum place place, struct rpc_payload payload)
{
    struct view cursor, key, value;
    const char *found = NULL;
    uint32_t n;

    if (payload.n < 2 || !rpc_map_open(rpc_payload_kwargs(payload), &cursor, &n))
        return NULL;
    while (!found && rpc_map_next(&cursor, &n, &key, &value))
        found = find_keyword(place, key);
    return found;
}

const char *frailty_find_in_result(struct rpc_payload payload, bool is_progress)
{
    return find(is_progress ? AS_PROGRESS : AS_RESULT, payload);
}

const char *frailty_find(enum rpc_type type, struct rpc_payload payload)
{
    switch ((int)type) {
    case RPC_EVENT:
        return find(AS_EVENT, payload);
    case RPC_INVOCATION:
        return find(AS_INVOCATION, payload);
    case RPC_ERROR:
        return find(AS_ERROR, payload);
    default:
        return NULL;
    }
}

bool frailty_refuse(const char *keyword, const char *whose, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "keyword %s: the client library of the %s cannot take it", keyword, whose);
}
