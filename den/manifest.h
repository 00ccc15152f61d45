/* SPDX-License-Identifier: Apache-2.0 */
/* Making manifests: the one thing, but for the intermediate, that the root signs. */
#pragma once

#include "base/clock.h"
#include "pki/pki.h"
#include "rpc/rpc.h"

#define MANIFEST_LIFE_MS     (400 * DAY_MS)
#define MANIFEST_BACKDATE_MS (5 * MINUTE_MS)

/* The first one of a network: one root, one intermediate, den's two keys and its router's. */
struct manifest_founders {
    const char *network;
    const struct pki_ca *root;
    const struct pki_cert *intermediate;
    struct view login_pk, sign_pk, router_pk;
    uint64_t now;
};
bool manifest_found(const struct manifest_founders *founders, struct rpc_trust **ret_trust,
                    struct err *err);

/* The next one: as the newest, with one more router key, valid from `now` on. `root` must be listed in the newest:
 * WRONG_KEY. LIMIT when the list is full, ALREADY_EXISTS when the key is on it. On failure nothing was changed. */
bool manifest_add_router(struct rpc_trust *trust, const struct pki_ca *root, struct view router_pk,
                         uint64_t now, struct err *err);
