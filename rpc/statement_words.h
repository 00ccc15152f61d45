/* SPDX-License-Identifier: Apache-2.0 */
/* Every statement's fields in order, as data; statement.c reads and writes by it. Inside rpc/ only. */
#pragma once

#include "rpc/statement.h"

enum rpc_field_kind {
    RPC_F_FIXED,  /* exactly `size` bytes */
    RPC_F_MAYBE,  /* the same, or none */
    RPC_F_BYTES,  /* 1 to `size` of them */
    RPC_F_U8,     /* at most `size` */
    RPC_F_TIME,   /* u64, and every number that may be 0 */
    RPC_F_NUMBER, /* u64 from 1 on */
    RPC_F_NETWORK,
    RPC_F_ID,
    RPC_F_OWNER, /* an ID, or what has a certificate without one: the router */
    RPC_F_ROLE,
    RPC_F_BINDING,
    RPC_F_PROCEDURE,
    RPC_F_NAME,   /* claimed or assigned */
    RPC_F_HOST,   /* printable ASCII of at most `size` bytes, or none */
    RPC_F_HASHES, /* lists */
    RPC_F_TEXTS,  /* of 1 to `size` printable characters without space */
    RPC_F_KEYS,
};
struct rpc_field {
    const char *name;
    enum rpc_field_kind kind;
    size_t size, at; /* `at`: offset in the word's struct */
};
struct rpc_word_shape {
    const char *word;
    size_t struct_size;
    const struct rpc_field *fields;
    size_t n_fields;
    const char *(*check)(const void *statement); /* what no field can say alone; NULL: nothing */
};
const struct rpc_word_shape *rpc_word_shape(enum rpc_word word);

union rpc_any_statement {
    struct rpc_manifest manifest;
    struct rpc_netsign_proof proof;
    struct rpc_enrol enrol;
    struct rpc_admission admission;
    struct rpc_request request;
    struct rpc_dial dial;
    struct rpc_grant grant;
    struct rpc_accept accept;
    struct rpc_heartbeat heartbeat;
    struct rpc_time time;
    struct rpc_revocation revocation;
    struct rpc_reauth reauth;
    struct rpc_name name;
    struct rpc_rekey rekey;
    struct rpc_end end;
    struct rpc_relay relay;
    struct rpc_permit permit;
    struct rpc_who who;
    struct view netid; /* every struct starts with it */
};
