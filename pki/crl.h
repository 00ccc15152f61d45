/* SPDX-License-Identifier: Apache-2.0 */
/* For the judge: what a parsed list says about one serial number. */
#pragma once

#include "pki/ossl.h"

struct pki_crl {
    X509_CRL *crl;
    uint64_t number, this_update, next_update; /* ms */
    bool is_verified;                          /* by the key whose SPKI hashes to verified_by */
    uint8_t verified_by[HASH_SIZE];
};

/* Whether the list names `issuer`'s key as its signer's (AKI). Proves nothing. */
bool pki_crl_is_by(const struct pki_crl *crl, const struct pki_cert *issuer);
/* Signed by `issuer`: BAD_SIGNATURE. The result is remembered: a list may be long. */
bool pki_crl_verify(struct pki_crl *crl, const struct pki_cert *issuer, struct err *err);
/* EXPIRED outside of thisUpdate and nextUpdate, five minutes of grace on both sides. */
bool pki_crl_is_fresh(const struct pki_crl *crl, uint64_t now, struct err *err);
/* REVOKED when the list has this certificate. */
bool pki_crl_check(const struct pki_crl *crl, const struct pki_cert *cert, struct err *err);
