/* SPDX-License-Identifier: Apache-2.0 */
/* The router's own certificate: is a chain good for it? */
#pragma once

#include "pki/pki.h"
#include "rpc/rpc.h"

struct certificate_question {
    const struct rpc_trust *trust;
    const uint8_t *tls_spki; /* the router's own TLS key */
    uint64_t now;            /* network time */
};
/* Whether `chain`, leaf first, is for router.<network>, carries our key and ends in the newest
 * manifest. */
bool certificate_judge(const struct certificate_question *question, const struct view *chain,
                       size_t n, uint64_t *ret_not_after, struct err *err);
