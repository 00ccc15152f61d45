/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP requests. What is read can be answered, and every view lies within the bytes. */
#include "pki/pki.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static struct pki_ca *ca;

static struct pki_ocsp *responder(void)
{
    static struct pki_ocsp *ocsp;
    struct pki_key *root_key, *key, *leaf_key;
    struct pki_ca *root;
    struct pki_csr *csr;
    struct pki_cert *cert;
    const uint64_t now = 1795000000000, day = 86400000;
    struct pki_order order = {
        .profile = PKI_OCSP, .label = "ocsp", .network = "corp.example", .now = now, .life_ms = day
    };
    _buf_ der = { 0 };
    struct err err;

    if (ocsp)
        return ocsp;
    pki_serial_new(order.serial, &order.serial_len);
    if (!pki_key_new(PKI_P384, &root_key, &err) || !pki_key_new(PKI_P256, &key, &err) ||
        !pki_key_new(PKI_P256, &leaf_key, &err) || !pki_csr_new(leaf_key, &der, &err) ||
        !pki_csr_read(buf_view(&der), &csr, &err) ||
        !pki_ca_new_root("corp.example", now - day, 99 * day, root_key, &root, &err) ||
        !pki_ca_new_intermediate(root, "corp.example", now - day, 90 * day, key, &ca, &err) ||
        !pki_ca_issue(ca, csr, &order, &cert, &err) ||
        !pki_ocsp_new(pki_cert_der(cert), leaf_key, &ocsp, &err))
        abort();
    pki_cert_free(cert);
    pki_csr_free(csr);
    pki_ca_free(root);
    return ocsp;
}

static void check_within(struct view view, struct view whole)
{
    if (view.len && (view.data < whole.data || view.data + view.len > whole.data + whole.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pki_ocsp_times times = { 1795000000000, 3600000 };
    struct pki_ocsp_status statuses[PKI_OCSP_MAX_ITEMS] = { { .what = PKI_OCSP_GOOD } };
    const struct view whole = VIEW(data, size);
    struct pki_ocsp_request request;
    _buf_ answer = { 0 };
    struct err err;

    if (!pki_ocsp_read(whole, &request, &err))
        return 0;
    if (request.n_items == 0 || request.n_items > PKI_OCSP_MAX_ITEMS || size > PKI_MAX_OCSP)
        abort();
    for (size_t i = 0; i < request.n_items; i++) {
        check_within(request.items[i].id, whole);
        check_within(request.items[i].serial, whole);
        responder();
        pki_ocsp_is_of(pki_ca_cert(ca), &request.items[i]);
    }
    check_within(request.nonce, whole);
    if (!pki_ocsp_write(responder(), &request, statuses, &times, &answer, &err))
        abort();
    return 0;
}
