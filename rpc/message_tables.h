/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of every message, as data: one reader and one writer (message.c) serve them all. Inside
 * rpc/ only. */
#pragma once

#include "rpc/message.h"

/* What a place in a message, or a key of a dictionary, holds; and the member of the message's
 * struct it fills. */
enum rpc_shape_kind {
    RPC_S_END,
    RPC_S_ID, /* 1..2^53 */
    RPC_S_URI,
    RPC_S_PATTERN,    /* REGISTER's and SUBSCRIBE's: a URI, or what `match` makes of one */
    RPC_S_TEXT,       /* at most RPC_MAX_URI bytes */
    RPC_S_LONG_TEXT,  /* at most RPC_MAX_TEXT bytes; for people */
    RPC_S_MAP,        /* raw, no key twice */
    RPC_S_DICT,       /* read key by key, `dict` */
    RPC_S_SIGNATURE,  /* bin or text */
    RPC_S_ERROR_TYPE, /* a request's type */
    RPC_S_REVOKED,    /* optional details of UNREGISTERED and UNSUBSCRIBED with request 0 */
    RPC_S_PAYLOAD,    /* args and kwargs, the tail */
    /* in dictionaries alone */
    RPC_S_U64,   /* up to 2^53; absent is 0 */
    RPC_S_BOOL,  /* absent is false */
    RPC_S_NOT,   /* the key says the opposite: exclude_me; absent leaves it false */
    RPC_S_TEXTS, /* an array of text, raw */
    RPC_S_MATCH, /* exact, prefix or wildcard */
    RPC_S_IDS,   /* an array of ids, raw */
    RPC_S_MODE,  /* skip, kill or killnowait */
    RPC_S_CLIENT_ROLES,
    RPC_S_ROUTER_ROLES, /* written whole from the tables below; read raw */
};
enum { RPC_MAX_TEXT = 4096, RPC_MAX_SIGNATURE = 4096 };

struct rpc_shape {
    enum rpc_shape_kind kind;
    const char *name;
    size_t at; /* offset in the message's struct */
    const struct rpc_shape *dict;
};
/* The places after the type; ends with RPC_S_END. NULL: not a message of ours. */
const struct rpc_shape *rpc_shape_of(enum rpc_type type);
bool rpc_type_is_request(enum rpc_type type); /* what an ERROR may answer */

struct rpc_role {
    const char *name;
    const char *features[16]; /* ends with NULL */
};
extern const struct rpc_role rpc_client_roles[], rpc_router_roles[]; /* end with a NULL name */
