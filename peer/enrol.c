/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/core.h"

#include <stdio.h>
#include <unistd.h>

void enrol_host_text(char to[65])
{
    char name[65] = "";
    size_t used = 0;

    if (gethostname(name, sizeof(name) - 1) != 0)
        name[0] = '\0';
    for (size_t i = 0; name[i] != '\0'; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.')
            to[used++] = c;
    }
    to[used] = '\0';
}

/* E, its signature, and where there is a token the token's. */
static void put_signed(const struct enrol_context *context, struct buf *to,
                       uint8_t ret_hash[HASH_SIZE])
{
    uint8_t nonce[RPC_NONCE16], sig[SIG_SIZE], token_sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    random_bytes(nonce, sizeof(nonce));
    const struct rpc_enrol enrol = {
        .netid = context->netid,
        .network = view_text(context->network),
        .client_pk = key_public_view(context->identity),
        .beacon = context->beacon,
        .nonce = VIEW_ARR(nonce),
        .token_pk = context->token ? key_public_view(context->token) : VIEW(NULL, 0),
        .host = view_text(context->host),
    };
    rpc_statement_sign(RPC_W_ENROL, &enrol, context->identity, &bytes, sig);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
    if (context->token) {
        key_sign(context->token, buf_view(&bytes), token_sig);
        rpc_put_bin(to, VIEW_ARR(token_sig));
    }
    hash_sha256(buf_view(&bytes), ret_hash);
}

void enrol_put(const struct enrol_context *context, struct buf *ret_extra,
               uint8_t ret_hash[HASH_SIZE])
{
    bool has_before = context->before.len != 0;

    rpc_put_map(ret_extra, has_before ? 2 : 1);
    rpc_put_str(ret_extra, "enrol");
    rpc_put_array(ret_extra, context->token ? 3 : 2);
    put_signed(context, ret_extra, ret_hash);
    if (!has_before)
        return;
    rpc_put_str(ret_extra, "before");
    rpc_put_array(ret_extra, 2);
    rpc_put_bin(ret_extra, context->before);
    rpc_put_bin(ret_extra, context->before_sig);
}

void enrol_put_args(const struct enrol_context *context, struct buf *ret_args,
                    uint8_t ret_hash[HASH_SIZE])
{
    rpc_put_array(ret_args, 5);
    put_signed(context, ret_args, ret_hash);
    if (!context->token)
        rpc_put_nil(ret_args);
    rpc_put_bin(ret_args, context->before);
    rpc_put_bin(ret_args, context->before_sig);
}

bool enrol_check(const struct enrol_wanted *wanted, struct view bytes,
                 const struct rpc_admission *a, struct err *err)
{
    if (wanted->id[0] != '\0' && !view_eq_text(a->id, wanted->id))
        return err_set(err, ERR_BAD_STATEMENT, "admission: gives the ID %.*s, but ours is %s",
                       VIEW_FMT(a->id), wanted->id);
    if (wanted->carried.len && view_eq(bytes, wanted->carried))
        return true;
    if (wanted->enrol_hash && !view_eq_secret(a->enrol_hash, VIEW(wanted->enrol_hash, HASH_SIZE)))
        return err_set(err, ERR_BAD_STATEMENT, "admission: answers another enrolment than ours");
    if (!wanted->enrol_hash && a->enrol_hash.len)
        return err_set(err, ERR_BAD_STATEMENT,
                       "admission: answers an enrolment that we did not send");
    return true;
}
