/* SPDX-License-Identifier: Apache-2.0 */
/* A request for a certificate on its way through den, shared by asked.c and issue.c. */
#pragma once

#include "den/core_in.h"

struct asked {
    struct list node;  /* of core->asked */
    struct list stage; /* of one of struct issue's, or of `same` of another one */
    struct den_core *core;
    struct buf bytes; /* what the views below borrow from */
    struct rpc_invocation invocation;
    struct rpc_inv inv;
    struct request request;
    bool is_dropped; /* who asked is gone */
    /* The other thread's, until it is done: */
    struct pki_csr *csr; /* NULL: `err` says why */
    struct err err;

    uint8_t spki[HASH_SIZE];
    bool is_keyed;    /* it is the one that stands for this key */
    struct list same; /* others that wait for the same certificate: stages */
    struct signer_job job;
    uint64_t sent_at; /* mono: the last time to the signer */
    struct buf found; /* the certificate that this key has already */
};

/* The signer says that the identity keys asked for them: their CSRs are looked at together, and they go on from there. */
enum { ASKED_TOGETHER = 16 };
void asked_look(struct asked *const *some, size_t n);
void asked_drop(struct asked *asked);
/* Refused for a reason of its caller's: logged and audited. */
void asked_refuse(struct asked *asked, const struct err *why);

/* ---- issue.c ------------------------------------------------------------------------------------- */

void issue_apply(struct asked *asked);
/* That passed every check of its own. False: refused. */
bool issue_take(struct asked *asked, struct err *err);
