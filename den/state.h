/* SPDX-License-Identifier: Apache-2.0 */
/* den's folder: keys, trust, store, the authority. Everything is checked before den says a word to anybody. */
#pragma once

#include "den/config.h"
#include "den/signer.h"
#include "rpc/rpc.h"

struct state {
    int lock_fd;              /* -1: none. One den a folder */
    struct key *login, *sign; /* listed in the newest manifest */
    struct rpc_trust *trust;
    struct store *store;
    struct signer *signer;    /* its certificate is listed too */
    struct buf router_csr;    /* DER; empty when den was not given one */
    char *trust_path;
};

/* UNLISTED_KEY, WRONG_KEY, EXPOSED, EXPIRED, BUSY (another den runs), each with the file's name. */
bool state_open(const struct den_config *config, struct state **ret_state, struct err *err);
void state_free(struct state *state);
OWN_FREEP(state, struct state)

bool state_save_trust(const struct state *state, struct view bytes, struct err *err);
/* The trust set for pki: the roots and intermediates that the newest manifest lists. */
bool state_trust_set(const struct state *state, struct pki_trust **ret_set, struct err *err);
