/* SPDX-License-Identifier: Apache-2.0 */
/* For the judge of other CAs' chains: the rules that OpenSSL leaves out. */
#pragma once

#include "pki/ossl.h"

/* Holds the built chain, leaf first, anchor last, against general_rules.c's table. */
bool pki_general_rules(STACK_OF(X509) * chain, const struct pki_general *question, struct err *err);
/* A list needs a number (RFC 5280, 5.2.3). */
bool pki_general_list(const X509_CRL *crl, struct err *err);
