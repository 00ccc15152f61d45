/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP as OpenSSL's own client asks and judges. */
#pragma once

#include "base/buf.h"

enum { OCSP_SAYS_JUNK = -99, OCSP_SAYS_UNVERIFIED = -98 };

/* A request about that serial number of the issuer whose certificate this is. The caller owns it. */
struct buf ocsp_ask(struct view issuer, struct view serial);
/* The status (V_OCSP_CERTSTATUS_GOOD and so on) in an answer that somebody signed whom that issuer delegated; minus the failure
 * (-6: unauthorized) in one that nobody signs. */
int ocsp_says(struct view answer, struct view issuer);
/* Whether the list is of that issuer, by name, key identifier and signature. */
bool crl_is_signed_by(struct view crl, struct view issuer);
