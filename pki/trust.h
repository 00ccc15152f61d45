/* SPDX-License-Identifier: Apache-2.0 */
/* For the judge: what a trust set holds. */
#pragma once

#include "pki/crl.h"

struct pki_trust {
    struct pki_cert **roots, **intermediates;
    size_t n_roots, n_intermediates, n_listed;
    uint8_t (*listed)[HASH_SIZE]; /* of intermediates, known or not */
    struct pki_crl *crl;          /* may be NULL */
};

bool pki_trust_lists(const struct pki_trust *trust, const struct pki_cert *intermediate);
