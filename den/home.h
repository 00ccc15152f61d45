/* SPDX-License-Identifier: Apache-2.0 */
/* den's folder: keys, trust, store, the authority. Everything is checked before den says a word
 * to anybody. */
#pragma once

#include "den/config.h"
#include "den/keyring.h"
#include "den/signer.h"
#include "den/signer_link.h"
#include "rpc/rpc.h"

struct home {
    const struct den_config *config;
    int lock_fd;         /* -1: none. One den a folder */
    struct keyring keys; /* that the newest manifest lists */
    /* those before: what was made with them may not have been let go of yet */
    struct keyring retired;
    struct key *login;  /* as the connection has it: one of `keys`, or the one before */
    uint64_t router_no; /* the newest manifest that the router is known to have */
    struct rpc_trust *trust;
    struct store *store;
    struct signer *signer;    /* its certificate is listed too */
    struct signer_link *link; /* the signer's */
    struct buf router_csr;    /* DER; empty when den was not given one */
    char *trust_path, *crl_path, *list_path;
    struct signer_anchor crl_floor; /* zeros: never kept */
    struct buf crl_kept;            /* the newest list, DER; empty: none */
};

/* UNLISTED_KEY, WRONG_KEY, EXPOSED, EXPIRED, BUSY (another den runs), each with the file's
 * name. */
bool home_open(const struct den_config *config, struct home **ret_home, struct err *err);
void home_free(struct home *home);
OWN_FREEP(home, struct home)

/* Those that `trust` asks for, from the folder and the signer; what was there before stays in `retired` until the next
 * time. On failure nothing was changed, but perhaps at the signer. */
bool home_take_keys(struct home *home, const struct rpc_trust *trust, struct err *err);
/* For a new connection; the one before must be gone. */
const struct key *home_login(struct home *home);
bool home_has_new_login(const struct home *home); /* and the router knows it */
/* The router has it: private keys that are not listed any more are destroyed. */
void home_router_has(struct home *home, uint64_t manifest_no);

bool home_save_trust(const struct home *home, struct view bytes, struct err *err);
/* The number of the newest revocation list, in a file beside the store. */
/* router.csr as DER; empty when there is none. */
bool home_read_router_csr(const char *dir, struct buf *ret_der, struct err *err);
bool home_keep_crl(const struct home *home, const struct signer_anchor *anchor, struct err *err);
/* The list itself, soon: what a store from a backup does not know any more stands on it. */
bool home_keep_list(const struct home *home, struct view der, struct err *err);
/* The trust set for pki: the roots and intermediates that the newest manifest lists. */
bool home_trust_set(const struct home *home, struct pki_trust **ret_set, struct err *err);
