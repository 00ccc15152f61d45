/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that touches the CA's key. A serial is reserved durably, then the certificate
 * is signed and judged, then recorded durably together with its audit entry; only then it is
 * handed out. */
#pragma once

#include "den/store.h"
#include "pki/pki.h"

struct signer;

struct signer_config {
    const char *network;
    const char *crl_url, *ca_url, *ocsp_url; /* NULL or empty: none */
};
/* Takes `ca_taken`. */
struct signer *signer_new(struct pki_ca *ca_taken, const struct signer_config *config);
/* From intermediate.key and intermediate.pem in `dir`: EXPOSED, WRONG_KEY when they do not
 * belong together. */
bool signer_load(const char *dir, const struct signer_config *config, struct signer **ret_signer,
                 struct err *err);
void signer_free(struct signer *signer);
OWN_FREEP(signer, struct signer)

const struct pki_cert *signer_cert(const struct signer *signer);

struct signer_order {
    enum pki_profile profile;
    const char *label; /* the ID, or "router" */
    const struct pki_csr *csr;
    uint64_t now, life;
};
/* The issued certificate as DER. On failure the serial stays reserved, and is never used. */
bool signer_issue(struct signer *signer, struct store *store, const struct signer_order *order,
                  struct buf *ret_der, struct err *err);

struct signer_job {
    struct signer_order order;
    struct buf der; /* the certificate, owned by the caller; empty: `err` says why */
    struct err err;
    uint8_t serial[PKI_MAX_SERIAL]; /* the signer's */
    size_t serial_len;
};
/* Many at once, for the price of two transactions: the serials of all are reserved, all are signed,
 * all are recorded. False: nothing is to be handed out. */
bool signer_issue_all(struct signer *signer, struct store *store, struct signer_job *jobs, size_t n,
                      struct err *err);

/* The number of the newest list that may have left, and its thisUpdate. */
struct signer_anchor {
    uint64_t number, at;
};
struct signer_list {
    struct view entries; /* by pki_revoked_put() */
    uint64_t now, life;
    struct signer_anchor floor; /* what was kept outside of the store */
    /* Keeps it there, durably, before anything is signed. */
    bool (*keep)(void *user, const struct signer_anchor *anchor, struct err *err);
    void *user;
};
/* A list of all that is revoked. Its number is the clock in seconds, and always higher than the one
 * before, as its thisUpdate is never earlier: neither a clock that goes back nor a store that was
 * restored from a backup moves them back. Audited. */
bool signer_issue_crl(struct signer *signer, struct store *store, const struct signer_list *list,
                      struct buf *ret_der, struct signer_anchor *ret_is, struct err *err);
