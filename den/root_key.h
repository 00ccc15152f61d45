/* SPDX-License-Identifier: Apache-2.0 */
/* The root's key, from where the operator keeps it: a file under a passphrase, or a PKCS#11 token. */
#pragma once

#include "den/root.h"

struct root_key_source {
    /* The file, which holds the key or says in which token it is, or a PKCS#11 URI; NULL: root.key, root.N.key in `dir` */
    const char *key;
    const char *dir;   /* may be NULL when `key` is not */
    int passphrase_fd; /* as passphrase_read() has it: of the passphrase, or of the token's PIN */
    const struct buf *pin; /* of the token, when it was asked for before; NULL: not yet */
};
/* A root that the newest manifest lists, with its key: NOT_FOUND (and what to give), WRONG_KEY when it is another one. */
bool root_key_load(const struct root_key_source *from, const struct rpc_trust *trust,
                   struct pki_ca **ret_root, struct err *err);
/* The URI that the file holds, for people and for root_key_load() as another user; false where it holds a key, or is none. */
bool root_key_in_token(const struct root_key_source *from, const struct rpc_trust *trust,
                       struct buf *ret_uri);
/* A new root, for `network`: its key from the file or the token, or made there when there is none. *ret_file (may be NULL):
 * what a file beside the certificate is to say of a key in a token, and empty else. */
bool root_key_make(const struct root_key_source *from, const char *network, uint64_t now,
                   struct pki_ca **ret_root, struct buf *ret_file, bool *ret_is_new,
                   struct err *err);
