/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer is given for TURN. What it takes is written and read as the same again, and each of its URIs is one. */
#include "rpc/turn.h"
#include "rpc/value.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rpc_turn_server server;
    struct rpc_turn turn, back;
    _buf_ bytes = { 0 };
    struct err err;
    size_t len;

    if (rpc_turn_uri_read(VIEW(data, size), &server, &err) &&
        (server.port == 0 || server.host.len == 0 || server.host.len > RPC_TURN_MAX_HOST))
        abort();
    if (!rpc_walk(VIEW(data, size), &len, &err) || len != size ||
        !rpc_turn_read(VIEW(data, size), &turn, &err))
        return 0;
    rpc_turn_put(&turn, &bytes);
    if (!rpc_turn_read(buf_view(&bytes), &back, &err) || back.n_uris != turn.n_uris ||
        back.expires_at != turn.expires_at || !view_eq(back.username, turn.username) ||
        !view_eq(back.password, turn.password))
        abort();
    for (size_t i = 0; i < back.n_uris; i++)
        if (!rpc_turn_uri_read(back.uris[i], &server, &err) || !view_eq(back.uris[i], turn.uris[i]))
            abort();
    return 0;
}
