/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that must be refused, one row each, made with OpenSSL alone and not with pki/: for
 * the judge's own tests and for every place that takes a certificate from afar. */
#pragma once

#include "pki/pki.h"

/* The network whose peers are to be deceived, and the ID whose name the bad certificate claims. */
struct bad_net {
    const char *id, *network; /* "456000", "corp.example" */
    const struct pki_ca *root, *intermediate;
    uint64_t now;
};

enum { BAD_MAX_CHAIN = 3 };

struct bad_cert {
    struct buf chain[BAD_MAX_CHAIN]; /* as it is sent, leaf first, intermediates behind it */
    size_t n_chain;
    struct buf key;    /* the leaf's, PKCS#8 DER */
    struct buf root;   /* the trust set lists it besides the network's; may be empty */
    struct buf listed; /* an intermediate that it lists besides; may be empty */
    struct buf crl;    /* its list; may be empty */
    bool needs_crl;    /* the row is about the list: the question must ask for it */
    bool is_x509;      /* false: not even parsable, a TLS library may not load it */
};

size_t bad_certs_count(void);
const char *bad_certs_name(size_t row);
enum err_code bad_certs_code(size_t row); /* what the judge answers */
/* Part of its text, when a server is judged; the caller frees it. */
char *bad_certs_why(size_t row, const struct bad_net *net);
bool bad_certs_make(size_t row, const struct bad_net *net, struct bad_cert *ret, struct err *err);
/* The same without a fault: all must be accepted, so that a row is refused for its fault alone. */
size_t bad_certs_n_controls(void);
bool bad_certs_make_control(size_t control, const struct bad_net *net, struct bad_cert *ret,
                            struct err *err);
void bad_cert_deinit(struct bad_cert *bad);
/* Adds root, listed intermediate and list to a trust set that has the network's own already. */
bool bad_cert_trust(const struct bad_cert *bad, struct pki_trust *trust, struct err *err);
