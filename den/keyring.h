/* SPDX-License-Identifier: Apache-2.0 */
/* den's own key and the certificates that it hands on, by what the newest manifest lists; vault/keys.c says how files are
 * called and found. */
#pragma once

#include "den/config.h"
#include "rpc/rpc.h"

/* The path of a file that is made for manifest `no`: keyring_path(dir, "sign", 7, "key"). The caller frees it. */
char *keyring_path(const char *dir, const char *kind, uint64_t no, const char *ending);

struct keyring {
    struct key *login;                       /* the first that is listed */
    struct buf intermediates[RPC_MAX_ITEMS]; /* DER of those listed, in their order */
    size_t n_intermediates;
};
void keyring_deinit(struct keyring *keys);
/* Whether a router with that manifest (0: it never said) knows a login key of den's that is listed now. */
bool keyring_has_login(const struct rpc_trust *trust, uint64_t router_no);
/* `router_no`: the newest manifest that the router has; den proves to it what it knows. 0: not known. The login key is NULL when
 * it is the one `at_hand`. UNLISTED_KEY when
 * the folder lacks what is listed, EXPOSED, EXPIRED (the manifest). */
bool keyring_load(const struct den_config *config, const struct rpc_trust *trust,
                  uint64_t router_no, const struct key *at_hand, struct keyring *ret_keys,
                  struct err *err);
/* Destroys the files with private keys of den's and of intermediates that the newest manifest does not list and an earlier
 * one did, or that were made for one that came without them. Root keys are the operator's to keep. */
void keyring_forget(const char *dir, const struct rpc_trust *trust);
