/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_protocol.h"

static const struct rpc_ws_protocol known[] = {
    { "wamp.2.msgpack", false, RPC_BATCH_NONE },
    { "wamp.2.json", true, RPC_BATCH_NONE },
    { "wamp.2.msgpack.batched", false, RPC_BATCH_LENGTHS },
    { "wamp.2.json.batched", true, RPC_BATCH_SEPARATORS },
    { .name = "warren-relay.1", .has_words = true },
    { .name = "echo", .is_any = true },
};

struct rpc_ws_protocol rpc_ws_protocol_named(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(known); i++) {
        if (strcmp(known[i].name, name) == 0)
            return (struct rpc_ws_protocol){ name, known[i].is_json, known[i].batch,
                                             known[i].has_words, known[i].is_any };
    }
    return (struct rpc_ws_protocol){ .name = name };
}
