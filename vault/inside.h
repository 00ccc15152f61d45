/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the vault, shared by its files. Nobody else includes it. */
#pragma once

#include "base/clock.h"
#include "base/crew.h"
#include "rpc/rpc.h"
#include "vault/serials.h"
#include "vault/vault.h"

/* Of the clock that den goes by: both run on one machine. */
#define VAULT_SKEW (10 * MINUTE_MS)

enum { VAULT_MAX_DESKS = 1 + VAULT_MAX_HELPERS };

struct vault {
    struct vault_keys keys;
    struct vault_book *book;
    enum vault_trust trust;
    uint64_t now; /* of the request at hand */
    char report[512];
    struct crew *crew;                       /* NULL: nobody helps */
    struct pki_desk *desks[VAULT_MAX_DESKS]; /* of keys.ca, one for each of the crew */
    size_t n_desks;
    struct vault_ocsp *ocsp;
    struct vault_serials *serials;
    /* The list that is being told, as each of vault_issuer() will sign it; the first NULL: none. The others' may be NULL. */
    struct pki_listing *listings[1 + RPC_MAX_ITEMS];
    struct pki_list list;
    uint64_t n_logged, logged_at, n_unlogged;
};

/* Each reads its request and appends its answer: true; or fails with the refusal, having appended nothing. A request
 * that is none sets in->is_bad. */
typedef bool vault_handler(struct vault *v, struct vault_in *in, struct buf *answer,
                           struct err *err);

vault_handler vault_re_sign;                                          /* statements.c */
vault_handler vault_statements;                                       /* statements.c */
vault_handler vault_list, vault_list_part, vault_list_sign;           /* list.c */
vault_handler vault_apply, vault_issue;                               /* issue.c */
vault_handler vault_ocsp_key, vault_ocsp;                             /* ocsp.c */
vault_handler vault_claim, vault_say_who, vault_move, vault_re_enrol; /* claims.c */

/* claims.c: the ID's key, which is this one from now on if it has none. WRONG_KEY, REVOKED. */
bool vault_check_key(struct vault *v, struct view id, struct view pk, struct err *err);
/* Whether it is den-sign, or a key that the newest manifest lists for it. */
bool vault_is_den_sign(const struct vault *v, struct view pk);
/* A beacon of one of the newest heartbeats: STALE. */
bool vault_check_beacon(struct vault *v, struct view beacon, struct err *err);
bool vault_check_netid(struct vault *v, struct view netid, struct err *err);
bool vault_check_now(struct vault *v, uint64_t at, const char *what, struct err *err);

void vault_open_desks(struct vault *v);
/* The intermediate in use, then the others that the manifest lists and whose keys are here. */
struct pki_ca *vault_issuer(const struct vault *v, size_t at);
size_t vault_n_issuers(const struct vault *v);
void vault_give_up_list(struct vault *v); /* list.c */
/* vault_issuer(v, at) goes, and those behind it move up. */
void vault_list_forget(struct vault *v, size_t at); /* list.c */
void vault_ocsp_forget(struct vault *v, size_t at); /* ocsp.c */

/* ocsp.c: a signer of answers for each listed intermediate whose key is here. Their keys are made here, and never told. */
struct vault_ocsp *vault_ocsp_new(void);
void vault_ocsp_free(struct vault_ocsp *ocsp);
/* Whether the key that waits for its certificate is that one (its SPKI's hash). */
bool vault_ocsp_waits(const struct vault *v, struct view spki);
/* The certificate of the key that waits, from the intermediate that it was made for: answers are signed with it from now on. */
bool vault_ocsp_issue(struct vault *v, const struct pki_csr *csr, const struct pki_order *leaf,
                      struct buf *ret_der, struct err *err);

/* A refusal worth a line of the log: whoever asks is den, or was. */
void vault_log_refusal(struct vault *v, const char *what, const struct err *why);
