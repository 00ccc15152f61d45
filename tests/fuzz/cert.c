/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: read, described, held against the profile and judged as a chain of one. What is read comes out
 * as it went in. */
#include "pki/pki.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    const struct view der = VIEW(data, size);
    const struct pki_question question = { .name = "456000.corp.example",
                                           .network = "corp.example",
                                           .now = 1795000000000 };
    const struct pki_general general = {
        .chain = &der,
        .n_chain = 1,
        .anchors = &der,
        .n_anchors = 1,
        .name = "456000.corp.example",
        .now = 1795000000000,
        .max_intermediates = -1,
    };
    struct err err;

    if (!pki_cert_read(der, &cert, &err))
        return 0;
    if (!view_eq(pki_cert_der(cert), der) || size > PKI_MAX_CERT || !pki_cert_facts(cert)->subject)
        abort();
    pki_check_leaf(cert, cert, "456000.corp.example", "corp.example", &err);
    pki_trust_add_root(trust, der, &err);
    if (pki_judge(trust, &der, 1, &question, NULL, &err))
        abort(); /* a chain has three */
    pki_judge_general(&general, &err);
    return 0;
}
