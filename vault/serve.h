/* SPDX-License-Identifier: Apache-2.0 */
/* The edge of the signer's process: frames on a socket, one after the other. */
#pragma once

#include "vault/vault.h"

#include <sys/types.h>

struct vault_place {
    int listen_fd; /* -1: there is just one connection, and its end is ours */
    int conn_fd;   /* -1: none yet */
    uid_t peer;    /* who may connect to listen_fd */
};

/* Until the only connection ends (true), or what had to be written was not. Closes nothing. */
bool vault_serve(struct vault *vault, struct vault_place *place);
