/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of `warren-den rollover`: one step on its way. rollover.c has its order, rolling.c the new key and the two folders,
 * rollover_check.c whether everybody is ready for it. */
#pragma once

#include "den/acting.h"
#include "den/rollover.h"

struct key;
struct pki_key;

struct rolling {
    const struct rollover_order *order;
    const char *dir, *signer_dir; /* the same where den has its signer itself */
    struct owner den, signer;     /* whose they are */
    bool is_apart;                /* two folders, and the step changes what lies in the signer's */
    char *pending_path;           /* the order that waits for its answer */
    struct store *store;
    struct rpc_trust **trust;
    struct root_order asked;
    struct root_answer answer;
    struct key *den_key;       /* new: of den's */
    struct pki_key *ca_key;    /* new: the intermediate's */
    struct buf place;          /* in which token that is; empty: in a file */
    struct buf passphrase;     /* of the keys beside which it lies */
    char *key_path, *root_key; /* files made on the way; gone again when the step fails */
    bool is_kept;
};
/* Finds the folders and their owners, and acts as den's from then on. */
bool rolling_open(struct rolling *r, struct err *err);
void rolling_deinit(struct rolling *r);

uint64_t rolling_next_no(const struct rolling *r);
/* In memory alone, after `asked` says of what. */
bool rolling_make_key(struct rolling *r, struct err *err);
/* To where the keys of its kind are. An order that waits for its answer ends with it. */
bool rolling_put_key(struct rolling *r, struct err *err);
/* That of an order that was answered. NOT_FOUND. */
bool rolling_check_key(struct rolling *r, struct err *err);
bool rolling_put_cert(struct rolling *r, const char *kind, struct view der, struct err *err);
/* By which the signer chooses among its keys. */
bool rolling_put_manifests(struct rolling *r, struct err *err);
/* What the newest manifest retired, in a folder that den itself cannot tidy. */
void rolling_forget(struct rolling *r);

/* BUSY, with who is not ready: nobody is lost for it that would not be anyway. */
bool rolling_check_ready(struct rolling *r, struct err *err);
