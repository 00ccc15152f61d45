/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate requests: what is read has its names checked, and a key that hashes. */
#include "pki/pki.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    uint8_t hash[HASH_SIZE];
    struct err err;

    if (!pki_csr_read(VIEW(data, size), &csr, &err))
        return 0;
    if (size > PKI_MAX_CSR)
        abort();
    pki_csr_spki_hash(csr, hash);
    pki_csr_check_names(csr, "456000", "corp.example", &err);
    return 0;
}
