/* SPDX-License-Identifier: Apache-2.0 */
/* The root's key, from where the operator keeps it: a file under a passphrase. */
#pragma once

#include "den/root.h"

struct root_key_source {
    const char *key;   /* the file; NULL: root.key, root.N.key in `dir` */
    const char *dir;   /* may be NULL when `key` is not */
    int passphrase_fd; /* as passphrase_read() has it */
};
/* A root that the newest manifest lists, with its key: NOT_FOUND (and what to give), WRONG_KEY when it is another one. */
bool root_key_load(const struct root_key_source *from, const struct rpc_trust *trust,
                   struct pki_ca **ret_root, struct err *err);
/* A new root, for `network`: its key from the file, or made and written to it when there is none. */
bool root_key_make(const struct root_key_source *from, const char *network, uint64_t now,
                   struct pki_ca **ret_root, struct err *err);
