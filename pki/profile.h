/* SPDX-License-Identifier: Apache-2.0 */
/* The profile (PROFILE.md) as one mechanism: the same tables write a certificate of ours and judge
 * anybody's, and what is not byte-equal to what we would have written is refused. */
#pragma once

#include "pki/ossl.h"

/* Leaves first, as enum pki_profile has them. */
enum pki_shape {
    PKI_SHAPE_PEER = PKI_PEER,
    PKI_SHAPE_ROUTER = PKI_ROUTER,
    PKI_SHAPE_OCSP = PKI_OCSP,
    PKI_SHAPE_INTERMEDIATE,
    PKI_SHAPE_ROOT
};
enum { PKI_N_SHAPES = PKI_SHAPE_ROOT + 1 };
enum { PKI_SKI_SIZE = 20, PKI_MIN_SERIAL = 8 };

struct pki_shape_row {
    const char *what;                   /* "the certificate", for errors */
    bool (*fits)(struct view label);    /* whom leaves of this shape are for; NULL: a CA */
    enum pki_curve curve;               /* of its own key */
    enum pki_curve signed_by;           /* of its issuer's key */
    uint64_t max_life;                  /* ms; UINT64_MAX: any */
    struct view basic, usage, purposes; /* the extensions' values, DER */
};
extern const struct pki_shape_row pki_shapes[PKI_N_SHAPES];

struct pki_ask { /* what one certificate is to say, when written and when judged */
    enum pki_shape shape;
    const struct pki_cert *issuer; /* NULL: itself */
    const char *label;             /* leaves: "456000" */
    const char *network;
    const char *crl_url, *ca_url, *ocsp_url; /* leaves, when written; NULL: none */
};

struct pki_draft { /* what is written beyond the ask */
    struct view serial;
    uint64_t not_before, not_after;
    struct view spki; /* the subject's key, DER */
    const struct pki_key *signer, *throwaway;
};

/* The shape that a leaf of this label has: each label fits one row. */
bool pki_shape_of(struct view label, enum pki_shape *ret_shape, struct err *err);

/* ---- ext.c: the extensions --------------------------------------------------------------- */

/* Appends what the table asks for, for a key of that point, with the [3] around it. */
bool pki_ext_write(const struct pki_ask *ask, struct view point, struct buf *to, struct err *err);
/* Exactly those, each once, each with that criticality and those bytes. */
bool pki_ext_check(X509 *x509, const struct pki_ask *ask, struct err *err);
/* Octets of a key's identifier: RFC 7093, section 2, method 1. */
void pki_ext_key_id(struct view point, uint8_t ret_id[PKI_SKI_SIZE]);
/* Whether a CA is constrained to this network, and to nothing else. */
bool pki_ext_is_bound(X509 *ca, const char *network);
/* For lists: AKI as a value. */
void pki_ext_put_aki(struct buf *to, X509 *issuer);
bool pki_ext_new(int nid, bool is_critical, struct view value, X509_EXTENSION **ret_ext,
                 struct err *err);

/* ---- tbs.c: what is signed ------------------------------------------------------------------- */

bool pki_tbs_write(const struct pki_ask *ask, const struct pki_draft *draft, struct buf *to,
                   struct err *err);

/* ---- profile.c: everything else ---------------------------------------------------------- */

bool pki_profile_check(const struct pki_cert *cert, const struct pki_ask *ask, struct err *err);
/* ecdsa-with-SHA256 or -SHA384, without parameters. */
bool pki_profile_is_alg(const X509_ALGOR *alg, enum pki_curve signed_by);
