/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists. */
#include "pki/pki.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    struct err err;

    if (pki_crl_read(VIEW(data, size), &crl, &err))
        pki_crl_number(crl);
    pki_trust_set_crl(trust, VIEW(data, size), &err);
    return 0;
}
