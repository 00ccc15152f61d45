/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment tokens that are drawn on an administrator's machine: what crosses the network is no secret. */
#include "peer/errand.h"

#include "base/text.h"

#include <stdio.h>

void peer_token_new(char ret_token[32], char ret_public_key[65])
{
    _cleanup_(key_freep) struct key *key = NULL;
    uint8_t token[RPC_TOKEN];
    struct err err;
    _buf_wipe_ text = { 0 };
    _buf_ hex = { 0 };

    if (!key_init(&err))
        abort(); /* the machine has no randomness */
    random_bytes(token, sizeof(token));
    key = rpc_token_key(token);
    rpc_token_write(token, &text);
    mem_wipe(token, sizeof(token));
    text_put_hex(&hex, VIEW(key_public(key), KEY_SIZE));
    snprintf(ret_token, 32, "%.*s", VIEW_FMT(buf_view(&text)));
    snprintf(ret_public_key, 65, "%.*s", VIEW_FMT(buf_view(&hex)));
}
