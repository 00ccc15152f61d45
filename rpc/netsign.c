/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/netsign.h"

/* The statement that one side signs: nine fields, and the client's also says which heartbeat it was
 * shown. */
static void write_proof(const struct rpc_netsign *n, bool is_router, struct buf *to)
{
    struct rpc_netsign_proof proof = {
        .netid = VIEW_ARR(n->netid),
        .network = view_text(n->network),
        .binding = view_text(n->binding),
        .binding_data = VIEW_ARR(n->binding_data),
        .nonce_router = VIEW_ARR(n->nonce_router),
        .nonce_client = VIEW_ARR(n->nonce_client),
        .router_pk = VIEW_ARR(n->router_pk),
        .client_pk = VIEW_ARR(n->client_pk),
        .hello_hash = VIEW_ARR(n->hello_hash),
    };

    if (n->has_heartbeat)
        proof.heartbeat_hash = VIEW_ARR(n->heartbeat_hash);
    rpc_statement_write(is_router ? RPC_W_NETSIGN_ROUTER : RPC_W_NETSIGN_CLIENT, &proof, to);
}

void rpc_netsign_sign(const struct rpc_netsign *n, bool is_router, const struct key *key,
                      uint8_t ret_sig[SIG_SIZE])
{
    _buf_ bytes = { 0 };

    write_proof(n, is_router, &bytes);
    key_sign(key, buf_view(&bytes), ret_sig);
}

bool rpc_netsign_verify(const struct rpc_netsign *n, bool is_router, struct view sig,
                        struct err *err)
{
    static const char *const bindings[] = { RPC_BINDING_EXPORTER, "tls-server-end-point", "none" };
    struct view pk = is_router ? VIEW_ARR(n->router_pk) : VIEW_ARR(n->client_pk);
    _buf_ bytes = { 0 };

    for (size_t i = 0; strcmp(n->binding, bindings[i]) != 0;) {
        if (++i ==
            N_ELEMENTS(bindings)) /* from afar: not to be written, which would be our own fault */
            return err_set(err, ERR_BAD_SIGNATURE, "netsign: unknown binding");
    }
    write_proof(n, is_router, &bytes);
    return key_verify(pk, buf_view(&bytes), sig) ||
           err_set(err, ERR_BAD_SIGNATURE,
                   "netsign: the %s's proof does not verify: another key, or somebody in between",
                   is_router ? "router" : "client");
}
