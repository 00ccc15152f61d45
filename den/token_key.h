/* SPDX-License-Identifier: Apache-2.0 */
/* A new intermediate's key in a token, by what den.conf says of it. */
#pragma once

#include "vault/token.h"

struct token_key_order {
    const char *uri, *paths; /* den.conf's intermediate_key and token_paths; paths may be NULL */
    const char *network;
    uint64_t no; /* the manifest's that will list it: of the name, where the URI has none */
    struct token_login login;
};
/* *ret_file: what the key's file is to say. *ret_is_new: false when it was there under that name. */
bool token_key_order(const struct token_key_order *order, struct pki_key **ret_key,
                     struct buf *ret_file, bool *ret_is_new, struct err *err);
