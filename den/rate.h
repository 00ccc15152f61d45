/* SPDX-License-Identifier: Apache-2.0 */
/* How often den does what for whom: one table. What is counted per ID is the ID that the router
 * proved; what is counted per source is a /24 of IPv4 or a /48 of IPv6, which one party has whole
 * more often than not. */
#pragma once

#include "den/bucket.h"

enum rate {
    RATE_REQUEST,   /* per ID: everything signed, before its signature is looked at */
    RATE_REFRESH,   /* per ID: new admissions by den.identity.refresh */
    RATE_ADMIT,     /* per ID: new admissions of a key that is known */
    RATE_WAITING,   /* per key: those that ask whether they are approved */
    RATE_SOURCE,    /* per source: enrolments of all kinds, before their signatures are looked at */
    RATE_ENROL,     /* per source: those of keys that are new here */
    RATE_CSR,       /* per ID: certificates */
    RATE_DIAL,      /* per ID: dials in which nothing is wrong */
    RATE_MISS,      /* per ID: those that reached nobody */
    RATE_MISS_NEAR, /* per source: the same */
    RATE_REVOKED,   /* per ID or source: den.ca.revocations */
    RATE_NAME,      /* per ID: names claimed, released and transferred */
    RATE_CLONE,     /* per ID: second processes with its key that are put into the audit */
    RATE_OCSP,      /* per source: answers about certificates */
    RATE_PATH,      /* per ID: paths of its sessions that are put into the audit */
    RATE_TURN,      /* per ID: TURN servers and credentials that it asks for */
    RATE_TIME,      /* per ID or source: den.time */
    RATE_AUDIT,     /* per ID or source: refusals in the audit */
    RATE_AUDIT_ALL, /* the same, of all together */
    RATE_DENIED,    /* per ID or source: what the router refused, in the audit */
    RATE_ACTS,      /* of all together: what administrators did at the router, as it says */
    RATE_DENIED_ALL, /* the same, of all together */
    RATE_LOG,        /* per ID or source: refusals in the log */
    N_RATES
};

void rate_defaults(struct bucket_rule ret_rules[N_RATES]);

/* At most `n` in any minute, half of them at once; 0: any number. */
void rate_per_minute(uint64_t n, struct bucket_rule *ret_rule);

#define RATE_KEY 32
/* What stands for a source of that address, as text with or without a port. Anything else is one
 * source. */
struct view rate_source(struct view address, uint8_t to[RATE_KEY]);
