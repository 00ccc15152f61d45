/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket sub-protocols (RFC 6455, 1.9): how WAMP messages stand in WebSocket messages. */
#pragma once

#include "rpc/batch.h"

struct rpc_ws_protocol {
    const char *name;
    bool is_json; /* JSON in text messages; otherwise msgpack, or whatever it is, in binary ones */
    enum rpc_batch batch;
    bool
        has_words; /* binary ones, and words in text beside them: rpc_ws_send_text(), rpc_ws_is_text() */
    bool is_any; /* text and binary, each as it comes: rpc_ws_echo() */
};
/* The traits of the sub-protocol of that name; one that is not WAMP's is binary and whole. Borrows
 * the name. */
struct rpc_ws_protocol rpc_ws_protocol_named(const char *name);
