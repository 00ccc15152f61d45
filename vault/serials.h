/* SPDX-License-Identifier: Apache-2.0 */
/* The serial numbers that the vault has drawn and not yet used, each with what it may be used for, once. They are of this
 * process alone: what was drawn before it started is not signed any more. */
#pragma once

#include "base/key.h"
#include "pki/pki.h"

enum {
    VAULT_SERIAL_FOR = 60000,  /* ms: so long one may be used */
    VAULT_MAX_SERIALS = 16384, /* at once: some 10 MB */
    VAULT_LABEL = 64,
};

struct vault_serial {
    uint8_t serial[PKI_MAX_SERIAL];
    size_t len;
    enum pki_profile profile;
    char label[VAULT_LABEL + 1];
    uint8_t pk[KEY_SIZE]; /* of a peer: the identity key that asked */
    struct pki_csr *csr;  /* the key that the certificate is for */
};
void vault_serial_free(struct vault_serial *serial);
OWN_FREEP(vault_serial, struct vault_serial)

struct vault_serials;
struct vault_serials *vault_serials_new(void);
void vault_serials_free(struct vault_serials *serials);
OWN_FREEP(vault_serials, struct vault_serials)

/* Draws one for what stands in `serial`, which is taken; it is told by the return value until it is used. BUSY: too
 * many are out. `now`: wall, ms. */
const struct vault_serial *vault_serials_draw(struct vault_serials *serials,
                                              struct vault_serial *serial_taken, uint64_t now,
                                              struct err *err);
/* What it was drawn for; the caller owns it, and it is gone from here. NULL: never drawn, used, or too long ago. */
struct vault_serial *vault_serials_use(struct vault_serials *serials, struct view serial,
                                       uint64_t now);
